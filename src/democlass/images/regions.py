"""Cut rotated regions from an image."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from democlass.boxes import Box

_MARGIN = 2
"""Pixels around a region that bicubic interpolation reads."""


def cut_region(image: Image.Image, box: Box) -> Image.Image:
    """Return a region of an RGB image at its own size, at least one pixel, turned upright.

    It is interpolated bicubically. Outside the image, its nearest edge pixel is repeated.
    """
    width, height = max(1, round(box.width)), max(1, round(box.height))
    angle = math.radians(box.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    centre_x, centre_y = box.centre
    reach_x = math.ceil((abs(cos) * box.width + abs(sin) * box.height) / 2) + _MARGIN
    reach_y = math.ceil((abs(sin) * box.width + abs(cos) * box.height) / 2) + _MARGIN
    left, top = math.floor(centre_x) - reach_x, math.floor(centre_y) - reach_y
    near = _crop_with_edges(image, left, top, left + 2 * reach_x + 1, top + 2 * reach_y + 1)
    # The output's pixel (u, v) shows the point M (u, v) + origin of `near`.
    x_per_u, x_per_v = cos * box.width / width, -sin * box.height / height
    y_per_u, y_per_v = sin * box.width / width, cos * box.height / height
    origin_x = centre_x - left - (x_per_u * width + x_per_v * height) / 2
    origin_y = centre_y - top - (y_per_u * width + y_per_v * height) / 2
    matrix = (x_per_u, x_per_v, origin_x, y_per_u, y_per_v, origin_y)
    return near.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _crop_with_edges(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """Return a rectangle of an image. Outside the image, the nearest edge pixel is repeated."""
    inside = (
        min(max(left, 0), image.width - 1),
        min(max(top, 0), image.height - 1),
        max(min(right, image.width), 1),
        max(min(bottom, image.height), 1),
    )
    inside = (inside[0], inside[1], max(inside[2], inside[0] + 1), max(inside[3], inside[1] + 1))
    cropped = image.crop(inside)
    if inside == (left, top, right, bottom):
        return cropped
    columns = np.clip(np.arange(left, right), inside[0], inside[2] - 1) - inside[0]
    rows = np.clip(np.arange(top, bottom), inside[1], inside[3] - 1) - inside[1]
    return Image.fromarray(np.asarray(cropped)[rows[:, None], columns])
