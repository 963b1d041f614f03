"""A fast decoder for plain JPEGs. Pillow decodes all images that it does not support."""

from __future__ import annotations

import threading
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

_PLAIN_MODES = ("RGB", "L")
_FORMATS = ("JPEG", "MPO")
_MAX_BYTES = 2**28  # Pillow decodes larger files, because it does not read them at once
_SCALES = (8, 4, 2)  # the divisors for which libjpeg-turbo has vector code; others are slower than full size


class _ReusedBuffer(threading.local):
    """Memory that each thread reuses for decoding. New memory costs a fifth of the time of a large photo."""

    _MAX_KEPT = 2**26

    def __init__(self) -> None:
        self._kept = bytearray()

    def allocate(self, size: int) -> bytearray:
        """Return at least `size` bytes, with undefined content, that no image uses."""
        if size > self._MAX_KEPT:
            return bytearray(size)
        if size > len(self._kept) or self._is_used():
            self._kept = bytearray(size)
        return self._kept

    def _is_used(self) -> bool:
        try:
            self._kept.append(self._kept.pop())  # Python refuses this while the memory is used elsewhere
        except BufferError:
            return True
        return False


_buffer = _ReusedBuffer()


def decode(stream: BinaryIO, header: Image.Image, min_side: int | None) -> Image.Image | None:
    """Decode the image of the stream to RGB, or return None if Pillow has to decode it. `header` is the opened image.

    The pixels are identical to Pillow's. With `min_side`, a large image is decoded at a half, a quarter or an eighth
    of its size (DCT scaling), as long as its short side has at least `min_side` pixels.
    """
    if header.format not in _FORMATS or header.mode not in _PLAIN_MODES:
        return None
    position = stream.tell()
    stream.seek(0)
    content = stream.read(_MAX_BYTES)
    stream.seek(position)  # Pillow may continue from here
    if len(content) == _MAX_BYTES:
        return None
    scaling = {} if min_side is None else _choose_scaling(header.size, min_side)
    try:
        # strict: refuse truncated files
        memory = _buffer.allocate(header.width * header.height * 4)
        pixels = simplejpeg.decode_jpeg(content, "RGBX", strict=True, buffer=memory, **scaling)
    except ValueError:
        return None
    height, width, _ = pixels.shape
    if not scaling and (width, height) != header.size:
        return None
    return _wrap(pixels)


def _wrap(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an RGB image that uses the memory of pixels uint8 H x W x 4, without copying.

    This is Pillow's own layout of RGB. The public function, Image.frombuffer, supports only three bytes a pixel, and
    copies.
    """
    height, width, _ = pixels.shape
    mapped = Image.core.map_buffer(pixels, (width, height), "raw", 0, ("RGB", 0, 1))  # type: ignore[attr-defined]
    image = Image.new("RGB", (0, 0))._new(mapped)
    image.readonly = 1  # Pillow copies the pixels before it changes them
    return image


def _choose_scaling(size: tuple[int, int], min_side: int) -> dict[str, int]:
    """Return the arguments of simplejpeg for the smallest allowed scale, empty for full size."""
    for divisor in _SCALES:
        width, height = (-(-side // divisor) for side in size)
        if min(width, height) >= min_side:
            return {"min_height": height, "min_width": width}
    return {}
