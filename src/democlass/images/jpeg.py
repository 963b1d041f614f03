"""A faster decoder in front of Pillow, for plain JPEGs; whatever it refuses goes to Pillow, whose verdict counts."""

from __future__ import annotations

import threading
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

_PLAIN_MODES = ("RGB", "L")
_FORMATS = ("JPEG", "MPO")
_MOST_BYTES = 2**28  # of a file read at once; Pillow reads larger ones piece by piece
_SHRINKS = (8, 4, 2)  # the scales that libjpeg-turbo has vector code for; others cost more than they save


class _Scratch(threading.local):
    """Memory that each thread decodes into again and again: fresh pages cost a fifth of decoding a large photo."""

    _MOST_KEPT = 2**26

    def __init__(self) -> None:
        self._kept = bytearray()

    def of(self, size: int) -> bytearray:
        """Return `size` bytes or more, whose content is anything, and which no image stands on."""
        if size > self._MOST_KEPT:
            return bytearray(size)
        if size > len(self._kept) or self._in_use():
            self._kept = bytearray(size)
        return self._kept

    def _in_use(self) -> bool:
        try:
            self._kept.append(self._kept.pop())  # which Python refuses while anything points into it
        except BufferError:
            return True
        return False


_scratch = _Scratch()


def decode(stream: BinaryIO, header: Image.Image, least_side: int | None) -> Image.Image | None:
    """Return the image that `header` has opened on the stream, in RGB, or None where Pillow has to decode it.

    Pixels are identical to Pillow's. With `least_side` the image may come smaller: a half, a quarter or an eighth while
    it is decoded (DCT scaling), but its shorter side not below `least_side`.
    """
    if header.format not in _FORMATS or header.mode not in _PLAIN_MODES:
        return None
    place = stream.tell()
    stream.seek(0)
    content = stream.read(_MOST_BYTES)
    stream.seek(place)  # where Pillow, should it come to that, goes on
    if len(content) == _MOST_BYTES:
        return None
    shrink = {} if least_side is None else _smallest(header.size, least_side)
    try:
        # strict: a truncated file must not pass for a whole one
        memory = _scratch.of(header.width * header.height * 4)
        pixels = simplejpeg.decode_jpeg(content, "RGBX", strict=True, buffer=memory, **shrink)
    except ValueError:
        return None
    height, width, _ = pixels.shape
    if not shrink and (width, height) != header.size:
        return None
    return _standing_on(pixels)


def _standing_on(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an RGB image on pixels uint8 H x W x 4 as they lie: it is how Pillow lays RGB out, so nothing is copied.

    Image.frombuffer, the public way, knows of RGB in three bytes only, and copies.
    """
    height, width, _ = pixels.shape
    mapped = Image.core.map_buffer(pixels, (width, height), "raw", 0, ("RGB", 0, 1))  # type: ignore[attr-defined]
    image = Image.new("RGB", (0, 0))._new(mapped)
    image.readonly = 1  # whatever would change it, copies it first
    return image


def _smallest(size: tuple[int, int], least_side: int) -> dict[str, int]:
    for shrink in _SHRINKS:
        width, height = (-(-side // shrink) for side in size)
        if min(width, height) >= least_side:
            return {"min_height": height, "min_width": width}
    return {}
