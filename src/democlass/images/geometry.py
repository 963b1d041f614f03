"""The two geometries: from an RGB image of any size to the pixels that the networks are given.

Both are the reference's to the bit: torchvision's transforms of a PIL image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from democlass.errors import ImageError
from democlass.settings import MAX_PIXELS
from democlass.tasks import SIDE, Geometry

Size = tuple[int, int]
"""Width and height in pixels."""

_PASS_ORDER_KNOWN = tuple(int(part) for part in PIL.__version__.split(".")[:2]) <= (13, 0)
"""Whether `_may_share` is right about this Pillow: its source was read up to 13.0."""


def cut(image: Image.Image, geometry: Geometry, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return RGB uint8 SIDE x SIDE x 3, the same to the bit as torchvision's transforms of the PIL image.

    Raises ImageError where the resized image, before its centre is cut out, would have more than `max_pixels`.
    """
    return _cut(image, image.size, geometry, max_pixels)


def cut_all(
    image: Image.Image, geometries: Sequence[Geometry], *, max_pixels: int = MAX_PIXELS
) -> dict[Geometry, NDArray[np.uint8]]:
    """Return what `cut` does for each geometry, sharing the work that they have in common. Raises ImageError."""
    if image.width == image.height:  # both geometries are the same resize
        return dict.fromkeys(geometries, cut(image, Geometry.SQUASH))
    source = image
    if len(geometries) > 1 and _may_share(image.size):
        source = image.resize((SIDE, image.height), Image.Resampling.BILINEAR)
    return {geometry: _cut(source, image.size, geometry, max_pixels) for geometry in geometries}


def _may_share(size: Size) -> bool:
    """Whether Pillow resizes to both geometries by making the width SIDE first, and the height after that.

    Pillow resizes in two passes, with 8-bit pixels in between. Widths go first unless the height shrinks by more than
    twice as many pixels as the width. Both geometries of an upright image have the width SIDE, so the first pass is the
    same for both, and it is the expensive one.
    """
    width, height = size
    return _PASS_ORDER_KNOWN and SIDE <= width < height and height - SIDE <= 2 * (width - SIDE)


def _cut(source: Image.Image, size: Size, geometry: Geometry, max_pixels: int) -> NDArray[np.uint8]:
    """Cut an image of a size; `source` may already have the width that it is resized to."""
    if geometry is Geometry.SQUASH:
        return np.asarray(source.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    scaled = width, height = _short_side_to_224(size)
    if width * height > max_pixels:
        raise ImageError("too narrow", f"{size[0]}x{size[1]} grows to {width}x{height} when resized")
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    resized = source.resize(scaled, Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def _short_side_to_224(size: Size) -> Size:
    """Return the size that torchvision's Resize(SIDE) makes of another: fractions of a pixel are dropped."""
    width, height = size
    if width <= height:
        return SIDE, int(SIDE * height / width)
    return int(SIDE * width / height), SIDE
