"""Decoding the formats of images: EXIF orientation, pixel modes, JPEGs at a smaller size, HEIC."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decoding import encoded, reason
from democlass.errors import ImageError
from democlass.images.decode import read
from democlass.images.geometry import apply_geometry
from democlass.tasks import Geometry


def test_fast_decodes_a_large_jpeg_at_a_smaller_size(portrait: Image.Image) -> None:
    data = encoded(portrait.resize((2000, 1800)), "JPEG")
    assert (read(data).size, read(data, fast=True).size) == ((2000, 1800), (500, 450))
    approximate, exact = (
        apply_geometry(read(data, fast=is_fast), Geometry.SQUASH).astype(int) for is_fast in (True, False)
    )
    assert np.abs(approximate - exact).mean() < 2


STORED = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each EXIF orientation, the transposition that turns the upright image into the stored one."""


def with_orientation(orientation: int, format_: str, **options: Any) -> tuple[Image.Image, Image.Image, bytes]:
    """Return the upright image, the stored image, and a file with the stored image and its EXIF orientation."""
    upright = Image.new("RGB", (64, 96), "black")
    upright.paste("white", (0, 0, 32, 32))  # all eight orientations look different
    transposition = STORED[orientation]
    stored = upright if transposition is None else upright.transpose(Image.Transpose(transposition))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return upright, stored, encoded(stored, format_, exif=exif.tobytes(), **options)


def assert_similar(image: Image.Image, expected: Image.Image) -> None:
    assert image.size == expected.size
    assert np.abs(np.asarray(image).astype(int) - np.asarray(expected).astype(int)).mean() < 8


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("format_", "options"),
    [("JPEG", {}), ("MPO", {}), ("PNG", {}), ("WEBP", {}), ("AVIF", {}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"})],
)  # fmt: skip
def test_exif_orientation_is_applied_or_ignored(orientation: int, format_: str, options: dict[str, Any]) -> None:
    Image.init()
    if format_ not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {format_}")
    upright, stored, data = with_orientation(orientation, format_, **options)
    assert_similar(read(data), upright)
    assert_similar(read(data, ignore_exif=True), stored)
    with Image.open(io.BytesIO(data)) as image:
        assert_similar(read(image, ignore_exif=True), stored)


@pytest.mark.parametrize("orientation", STORED)
def test_the_orientation_of_heic_is_always_applied_because_it_is_not_exif(orientation: int) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    upright, _, data = with_orientation(orientation, "HEIF")
    assert_similar(read(data), upright)
    assert_similar(read(data, ignore_exif=True), upright)


def test_a_16_bit_tiff_is_rotated_and_scaled() -> None:
    values = np.array([[0, 257, 514], [771, 1028, 65535]], np.uint16)
    data = encoded(Image.fromarray(values), "TIFF", tiffinfo={0x0112: 6})
    assert np.asarray(read(data))[:, :, 0].tolist() == [[3, 0], [4, 1], [255, 2]]
    assert np.asarray(read(data, ignore_exif=True))[:, :, 0].tolist() == [[0, 1, 2], [3, 4, 255]]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_cannot_be_read_is_ignored() -> None:
    data = encoded(Image.new("RGB", (16, 24)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 40)
    assert read(data).size == (16, 24)


def test_pixels_that_pillow_cannot_convert_are_an_error() -> None:
    assert reason(Image.new("La", (4, 3))) == "unsupported pixels"


MODES: dict[str, tuple[Callable[[Image.Image], Image.Image], str, dict[str, Any]]] = {
    "grey PNG": (lambda image: image.convert("L"), "PNG", {}),
    "1-bit PNG": (lambda image: image.convert("1"), "PNG", {}),
    "grey and alpha PNG": (lambda image: with_alpha(image).convert("LA"), "PNG", {}),
    "RGBA PNG": (lambda image: with_alpha(image), "PNG", {}),
    "palette PNG": (lambda image: image.quantize(64), "PNG", {}),
    "palette PNG with one transparent colour": (lambda image: image.quantize(64), "PNG", {"transparency": 3}),
    "palette PNG with alpha values": (lambda image: image.quantize(64), "PNG", {"transparency": bytes(range(64))}),
    "PNG with a palette of 4 colours": (lambda image: image.quantize(4), "PNG", {"bits": 2}),
    "grey PNG with one transparent value": (lambda image: image.convert("L"), "PNG", {"transparency": 7}),
    "RGB PNG with one transparent colour": (lambda image: image, "PNG", {"transparency": (1, 2, 3)}),
    "CMYK JPEG": (lambda image: image.convert("CMYK"), "JPEG", {}),
    "grey JPEG": (lambda image: image.convert("L"), "JPEG", {}),
    "RGB JPEG": (lambda image: image, "JPEG", {"keep_rgb": True}),
    "MPO": (lambda image: image, "MPO", {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}),
    "GIF": (lambda image: image, "GIF", {}),
    "transparent GIF": (lambda image: with_alpha(image), "GIF", {}),
    "animated GIF": (lambda image: image, "GIF", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),
    "animated PNG": (lambda image: image, "PNG", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),
    "1-bit TIFF": (lambda image: image.convert("1"), "TIFF", {"compression": "group4"}),
    "grey TIFF": (lambda image: image.convert("L"), "TIFF", {"compression": "tiff_lzw"}),
    "grey and alpha TIFF": (lambda image: with_alpha(image).convert("LA"), "TIFF", {}),
    "palette TIFF": (lambda image: image.quantize(64), "TIFF", {}),
    "RGBA TIFF": (lambda image: with_alpha(image), "TIFF", {"compression": "tiff_adobe_deflate"}),
    "CMYK TIFF": (lambda image: image.convert("CMYK"), "TIFF", {}),
    "YCbCr TIFF": (lambda image: image.convert("YCbCr"), "TIFF", {}),
    "YCbCr JPEG in TIFF": (lambda image: image.convert("YCbCr"), "TIFF", {"compression": "jpeg"}),
    "JPEG in TIFF": (lambda image: image, "TIFF", {"compression": "jpeg"}),
    "TIFF with several pages": (
        lambda image: image,
        "TIFF",
        {"save_all": True, "append_images": [Image.new("L", (9, 9))]},
    ),
    "WebP": (lambda image: image, "WEBP", {}),
    "RGBA WebP": (lambda image: with_alpha(image), "WEBP", {}),
    "animated WebP": (lambda image: image, "WEBP", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),
    "JPEG 2000": (lambda image: image, "JPEG2000", {}),
    "RGBA JPEG 2000": (lambda image: with_alpha(image), "JPEG2000", {}),
    "BMP": (lambda image: image, "BMP", {}),
    "palette BMP": (lambda image: image.quantize(64), "BMP", {}),
    "RGBA ICO": (lambda image: with_alpha(image), "ICO", {}),
    "RGBA TGA": (lambda image: with_alpha(image), "TGA", {"compression": "tga_rle"}),
    "PPM": (lambda image: image, "PPM", {}),
    "PCX": (lambda image: image, "PCX", {}),
    "SGI": (lambda image: image, "SGI", {}),
    "DDS": (lambda image: with_alpha(image), "DDS", {}),
    "QOI": (lambda image: image, "QOI", {}),
}


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("name", MODES)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_every_format_and_mode_gives_the_pixels_that_pillow_gives(name: str, portrait: Image.Image) -> None:
    make, format_, options = MODES[name]
    Image.init()
    if format_ not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {format_}")
    data = encoded(make(portrait.resize((40, 30))), format_, **options)
    try:
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image.convert("RGB"))
    except OSError:  # every Pillow writes YCbCr TIFFs, but only new versions read them
        assert reason(data) in ("truncated", "damaged image")
        return
    assert np.array_equal(np.asarray(read(data)), expected)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(read(image)), expected)


@pytest.mark.parametrize(
    "brand", [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]
)
def test_the_error_for_heic_names_the_package_to_install(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'democlass\[heic\]'"):
        read(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 100)


def test_heic_is_read_if_the_package_is_installed(portrait: Image.Image) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    decoded = np.asarray(read(encoded(portrait, "HEIF"))).astype(int)
    assert np.abs(decoded - np.asarray(portrait).astype(int)).mean() < 8
