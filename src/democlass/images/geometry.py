"""The two geometries: from an RGB image of any size to the input size of the networks.

The pixels are identical to those of torchvision's transforms of a PIL image, which is the reference.
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

_IS_PASS_ORDER_KNOWN = tuple(int(part) for part in PIL.__version__.split(".")[:2]) <= (13, 0)
"""Whether `_can_share_first_pass` is right for this Pillow. Its source was checked up to version 13.0."""


def apply_geometry(image: Image.Image, geometry: Geometry, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return RGB uint8 SIDE x SIDE x 3, identical to torchvision's transforms of the PIL image.

    Raises ImageError if the resized image, before the centre crop, would have more than `max_pixels`.
    """
    return _apply(image, image.size, geometry, max_pixels)


def apply_geometries(
    image: Image.Image, geometries: Sequence[Geometry], *, max_pixels: int = MAX_PIXELS
) -> dict[Geometry, NDArray[np.uint8]]:
    """Return the result of `apply_geometry` for each geometry. Work they have in common is done once.

    Raises ImageError.
    """
    if image.width == image.height:  # both geometries are the same resize
        return dict.fromkeys(geometries, apply_geometry(image, Geometry.SQUASH))
    source = image
    if len(geometries) > 1 and _can_share_first_pass(image.size):
        source = image.resize((SIDE, image.height), Image.Resampling.BILINEAR)
    return {geometry: _apply(source, image.size, geometry, max_pixels) for geometry in geometries}


def _can_share_first_pass(size: Size) -> bool:
    """Return whether Pillow's first pass is the same for both geometries: it resizes the width to SIDE.

    Pillow resizes in two passes, with 8-bit pixels in between. It resizes the width first, unless the height shrinks by
    more than twice as many pixels as the width. If an image is taller than wide, both geometries have the width SIDE,
    so their first pass is the same. It is the expensive one.
    """
    width, height = size
    return _IS_PASS_ORDER_KNOWN and SIDE <= width < height and height - SIDE <= 2 * (width - SIDE)


def _apply(source: Image.Image, size: Size, geometry: Geometry, max_pixels: int) -> NDArray[np.uint8]:
    """Apply a geometry to an image of the given size. `source` may already have its final width."""
    if geometry is Geometry.SQUASH:
        return np.asarray(source.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    resized_size = width, height = _resize_short_side(size)
    if width * height > max_pixels:
        raise ImageError("too narrow", f"{size[0]}x{size[1]} grows to {width}x{height} when resized")
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    resized = source.resize(resized_size, Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def _resize_short_side(size: Size) -> Size:
    """Return the size after torchvision's Resize(SIDE), which rounds down."""
    width, height = size
    if width <= height:
        return SIDE, int(SIDE * height / width)
    return int(SIDE * width / height), SIDE
