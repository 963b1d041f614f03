"""A faster decoder in front of Pillow, for plain JPEGs; whatever it refuses goes to Pillow, whose verdict counts."""

from __future__ import annotations

from typing import BinaryIO

import simplejpeg
from PIL import Image

_PLAIN_MODES = ("RGB", "L")
_FORMATS = ("JPEG", "MPO")
_MOST_BYTES = 2**28  # of a file read at once; Pillow reads larger ones piece by piece


def decode(stream: BinaryIO, header: Image.Image, least_side: int | None) -> Image.Image | None:
    """Return the image that `header` has opened on the stream, as RGBX, or None where Pillow has to decode it.

    Pixels are identical to Pillow's. With `least_side` the image may come smaller: by eighths, down to one, while it
    is decoded (DCT scaling), but its shorter side not below `least_side`.
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
        pixels = simplejpeg.decode_jpeg(content, "RGBX", strict=True, **shrink)
    except ValueError:
        return None
    height, width, _ = pixels.shape
    if not shrink and (width, height) != header.size:
        return None
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)


def _smallest(size: tuple[int, int], least_side: int) -> dict[str, int]:
    width, height = size
    scale = least_side / min(width, height)
    if scale >= 1:
        return {}
    return {"min_height": round(height * scale), "min_width": round(width * scale)}
