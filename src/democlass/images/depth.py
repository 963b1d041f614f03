"""Images with more than 8 bits per channel: scaled to 8 bits if their range of values is known, else refused.

Pillow's own conversion to RGB clips values at 255, which makes most of these images white or black.

| pixels                                     | conversion                                                  |
| ------------------------------------------ | ----------------------------------------------------------- |
| 16-bit grey (PNG, TIFF, JPEG 2000, PGM)    | 0 to 65535 becomes 0 to 255                                 |
| 12-bit grey (TIFF)                         | 0 to 4095 becomes 0 to 255                                  |
| 32-bit floats, all from 0 to 1 (TIFF, PFM) | 0 to 1 becomes 0 to 255                                     |
| other floats, NaN, infinity                | refused                                                     |
| 32-bit integers, signed 16-bit integers    | refused: the values of black and white are not known        |
| FITS, SPIDER, McIDAS, IM                   | refused: they store measurements, whose range is not known  |

If the tags of a TIFF say that 0 is white, the result is inverted. The same rules apply to PIL images. Pillow itself
converts RGB with 16 bits per channel to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from democlass.errors import ImageError

Scale: TypeAlias = Callable[[NDArray[Any]], NDArray[np.uint8]]

_MEASUREMENTS = frozenset({"FITS", "SPIDER", "MCIDAS", "IM", "IMT"})
_16_BIT_AS_INTEGERS = frozenset({"PNG", "PPM"})
"""Formats for which some versions of Pillow return 16-bit grey as 32-bit integers."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # two TIFF tags, and a value of the second one
_STRIP = 2**20
"""Number of pixels that are scaled at a time, which limits the memory needed."""


def to_8_bit(image: Image.Image, header: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel. `header` is the image as opened, with its format and TIFF tags.

    Raises ImageError if the range of the values is not known, or values are outside it.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    if header.format in _MEASUREMENTS:
        raise _unsupported(f"{header.format} files of more than 8 bits hold measurements, whose range is not known")
    tags: Any = getattr(header, "tag_v2", {})
    if image.mode == "F":
        # Pillow up to 13.0 swaps the bytes, although libtiff has already done so.
        if header.format == "TIFF" and tags.prefix == b"MM" and header.info.get("compression") != "raw":
            raise _unsupported("Pillow misreads compressed floats in a big-endian TIFF")
        scale: Scale = _scale_floats
    elif image.mode == "I" and header.format not in _16_BIT_AS_INTEGERS:
        raise _unsupported("integers of 32 bits, or with a sign, do not say which values are black and white")
    else:
        bits = tags[_BITS_PER_SAMPLE][0] if _BITS_PER_SAMPLE in tags else 16
        scale = _make_integer_scale(2**bits - 1)
    is_inverted = header.format == "TIFF" and tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    return _scale_in_strips(image, scale, is_inverted)


def _scale_in_strips(image: Image.Image, scale: Scale, is_inverted: bool) -> Image.Image:
    grey = np.empty((image.height, image.width), np.uint8)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        scaled = scale(np.asarray(image.crop((0, top, image.width, bottom))))
        grey[top:bottom] = 255 - scaled if is_inverted else scaled
    return Image.fromarray(grey)


def _make_integer_scale(maximum: int) -> Scale:
    def scale(values: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale 0 to `maximum` to 0 to 255, rounded to the nearest integer."""
        wide = np.clip(values, 0, maximum).astype(np.uint32)
        scaled: NDArray[np.uint8] = ((wide * 255 + maximum // 2) // maximum).astype(np.uint8)
        return scaled

    return scale


def _scale_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 0 to 1 to 0 to 255, rounded to the nearest integer. Raises ImageError for values outside 0 to 1."""
    if not np.isfinite(values).all():
        raise _unsupported("its floats are not all finite")
    if values.min() < 0 or values.max() > 1:
        raise _unsupported("its floats are not all from 0 to 1, so their range is not known")
    scaled: NDArray[np.uint8] = (values * 255 + np.float32(0.5)).astype(np.uint8)
    return scaled


def _unsupported(why: str) -> ImageError:
    return ImageError("unsupported pixels", f"{why}; save it with 8 bits a channel")
