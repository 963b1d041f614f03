"""The reference: decodes files with plain Pillow, in a separate process. It shares no code with the package."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

PIXELS, REJECTED, FAILED, UNKNOWN = b"P", b"R", b"F", b"N"
"""Decoded; rejected by a rule of the package; Pillow failed; the process crashed or took too long."""

SIDE = 224
_REJECTED_FORMATS = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
_MEASUREMENT_FORMATS = {"FITS", "SPIDER", "MCIDAS", "IM", "IMT"}
_TRANSPOSE = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""The number of the PIL transposition that undoes an EXIF orientation."""


class RejectedError(Exception):
    """A rule of the package rejects the file, although Pillow may be able to decode it."""


class ReferenceDecoder:
    """A process that decodes files with plain Pillow. It is restarted if a file crashes it."""

    def __init__(self, max_pixels: int, seconds: float) -> None:
        self._max_pixels, self._seconds = max_pixels, seconds
        self._start()

    def __call__(self, source: bytes) -> tuple[bytes, bytes]:
        """Return one of the kinds above, with the pixels of both geometries or the text of the error."""
        try:
            self._connection.send_bytes(source)
            if self._connection.poll(self._seconds):
                reply = self._connection.recv_bytes()
                return reply[:1], reply[1:]
            reason = b"took too long"
        except (EOFError, OSError):
            reason = b"crashed"
        self.close()
        self._start()
        return UNKNOWN, reason

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._max_pixels), daemon=True)
        self._process.start()
        theirs.close()


def _serve(connection: Connection, max_pixels: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # decoders write to standard error
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            connection.send_bytes(_decode(connection.recv_bytes(), max_pixels))


def _decode(content: bytes, max_pixels: int) -> bytes:
    try:
        return PIXELS + read(content, max_pixels)
    except RejectedError as error:
        return REJECTED + str(error).encode()
    except Exception as error:  # decoders raise various exceptions
        kind = "not an image" if isinstance(error, UnidentifiedImageError) else type(error).__name__
        return FAILED + f"{kind}: {error}".encode(errors="replace")


def read(content: bytes, max_pixels: int) -> bytes:
    """Return the centre crop and the squashed image as torchvision computes them: RGB, uint8 2 x SIDE x SIDE x 3."""
    with Image.open(io.BytesIO(content)) as image:
        if image.format in _REJECTED_FORMATS:
            raise RejectedError(f"{image.format} is not supported")
        _check_size(image.size, max_pixels)
        image.load()
        _check_size(image.size, max_pixels)
        rgb = _convert_to_eight_bits(_apply_orientation(image), image).convert("RGB")
    width, height = rgb.size
    scaled = (SIDE, int(SIDE * height / width)) if width <= height else (int(SIDE * width / height), SIDE)
    _check_size(scaled, max_pixels)
    squashed = rgb.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    resized = rgb if rgb.size == scaled else rgb.resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - SIDE) / 2), round((scaled[1] - SIDE) / 2)
    return resized.crop((left, top, left + SIDE, top + SIDE)).tobytes() + squashed.tobytes()


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if min(size) < 1 or size[0] * size[1] > max_pixels:
        raise RejectedError(f"{size[0]}x{size[1]}")


def _apply_orientation(image: Image.Image) -> Image.Image:
    try:
        number = _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    except Exception:  # unreadable metadata is ignored
        number = None
    return image if number is None else image.transpose(Image.Transpose(number))


def _convert_to_eight_bits(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Convert images with more than 8 bits as the package documents it in `democlass.images.depth`."""
    if image.mode not in ("I", "F") and image.mode[:4] != "I;16":
        if image.mode == "La":
            raise RejectedError("premultiplied grey")
        return image
    tags: Any = getattr(opened, "tag_v2", {})
    is_tiff = opened.format == "TIFF"
    swapped = is_tiff and tags.prefix == b"MM" and opened.info.get("compression") != "raw"
    if opened.format in _MEASUREMENT_FORMATS or (image.mode == "F" and swapped):
        raise RejectedError(f"{opened.format} {image.mode}")
    values = np.array(image).astype(np.float64)
    if image.mode == "F":
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise RejectedError("floats")
        grey = np.floor(np.float32(255) * values.astype(np.float32) + np.float32(0.5))
    elif image.mode == "I" and opened.format not in ("PNG", "PPM"):
        raise RejectedError("integers")
    else:
        maximum = 4095 if is_tiff and tags.get(258, (16,))[0] == 12 else 65535
        grey = np.floor(np.clip(values, 0, maximum) * 255 / maximum + 0.5)
    if is_tiff and tags.get(262, 0) == 0:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8))
