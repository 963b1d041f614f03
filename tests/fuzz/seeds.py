"""Creates valid images of every format and mode that Pillow can write. The fuzzer damages them."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.png"
SMALL, TALL = (48, 36), (240, 330)

_EXCLUDED_FORMATS = {"EPS", "PDF", "PALM", "BUFR", "GRIB", "HDF5", "WMF", "MPEG"}
"""Formats that Pillow only writes, or that the package rejects."""

_MAX_IMAGES = {"ICNS": 2}
"""Maximum number of images of a format. An ICNS image has a megabyte."""

_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "JPEG": [{"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}, {"keep_rgb": True}],
    "PNG": [{"bits": 4}, {"transparency": 1}],
    "TIFF": [
        *({"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group3", "group4",
                                             "lzma", "zstd", "tiff_deflate")),
        {"big_tiff": True},
        {"tiffinfo": {0x0112: 6}},
        {"tiffinfo": {278: 7}},
    ],
    "WEBP": [{"lossless": True}],
    "JPEG2000": [{"tile_size": (16, 16)}, {"irreversible": True, "quality_layers": [20]}, {"no_jp2": True}],
    "TGA": [{"compression": "tga_rle"}],
    "BMP": [{}],
    "SGI": [{"bpc": 2}],
    "DDS": [{"pixel_format": name} for name in ("DXT1", "DXT3", "DXT5", "BC2", "BC3", "BC5")],
    "AVIF": [{"subsampling": "4:4:4"}],
}  # fmt: skip
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF")


@cache
def seeds() -> dict[str, list[bytes]]:
    """Return valid images by format, with every mode and option that the format supports."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    with warnings.catch_warnings(), _discard_stderr(), Image.open(EXAMPLE) as photo:
        warnings.simplefilter("ignore")
        portrait = photo.convert("RGB")
        formats = sorted(set(Image.SAVE) - _EXCLUDED_FORMATS)
        found = {
            name: list(dict.fromkeys(islice(_write_images(name, portrait), _MAX_IMAGES.get(name)))) for name in formats
        }
    found["JPEG"] += _create_jpegs(portrait)
    found["PPM"] += [b"P2 3 2 1000\n0 1 2 500 999 1000\n", b"P3 1 2 9\n0 5 9 9 0 1\n", b"P1 3 2\n0 1 0 1 0 1\n"]
    return {name: files for name, files in found.items() if files}


@contextlib.contextmanager
def _discard_stderr() -> Iterator[None]:
    """Discard what C libraries write to standard error."""
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)


def _write_images(format_: str, portrait: Image.Image) -> Iterator[bytes]:
    small = portrait.resize(SMALL)
    exif = Image.Exif()
    exif[0x0112] = 8
    for image in _create_modes(small):
        yield from _save(image, format_)
    yield from _save(portrait.resize(TALL), format_)
    yield from _save(small, format_, exif=exif.tobytes())
    for options in _OPTIONS.get(format_, []):
        for image in (small, small.convert("L"), small.quantize(16), small.convert("1"), _add_alpha(small)):
            yield from _save(image, format_, **options)
    if format_ in _ANIMATED:
        yield from _save(small, format_, save_all=True, append_images=[small.rotate(90), small.convert("L")])


def _create_modes(small: Image.Image) -> Iterator[Image.Image]:
    grey = np.asarray(small.convert("L"))
    yield from (small, small.quantize(16), _add_alpha(small), Image.fromarray(grey.astype(np.uint16) * 257))
    yield Image.fromarray(grey.astype(np.float32) / 255)
    yield Image.fromarray(grey.astype(np.int32))
    yield from (small.convert(mode) for mode in ("L", "1", "LA", "CMYK", "YCbCr", "LAB", "PA", "RGBX"))


def _add_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def _save(image: Image.Image, format_: str, **options: Any) -> Iterator[bytes]:
    stream = io.BytesIO()
    try:
        image.save(stream, format_, **options)
    except Exception:  # formats raise various exceptions for modes and options that they do not support
        return
    yield stream.getvalue()


def _create_jpegs(portrait: Image.Image) -> list[bytes]:
    pixels = np.array(portrait.resize((50, 38)))
    return [simplejpeg.encode_jpeg(pixels, 85, colorsubsampling=name) for name in ("444", "422", "420", "440", "411")]
