"""Random framing: crops, zoom, shift, rotation and mirror images, so that answers do not depend on the exact crop.

A face detector never frames a face exactly as the training images are framed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from democlass.train.augmentation import Augmentation

_MAX_ASPECT_CHANGE = 1.1
_OTHER_PICTURE_PROBABILITY = 0.5
_BACKGROUND_ZOOM = 0.35
"""Half side of the part of another image that serves as background, in half sides of that image."""


def frame(images: torch.Tensor, size: int, settings: Augmentation, random: torch.Generator) -> torch.Tensor:
    """Return images in random frames of size x size pixels; half of them are mirrored.

    `images` is float32 N x 3 x H x W. Outside an image is its nearest edge pixel or a part of another image of the
    batch, each for half of the images.
    """
    device = images.device
    if size < min(images.shape[2:]):  # a sampling grid alone would alias
        images = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    transforms = _random_transforms(len(images), settings, random).to(device)
    grid = functional.affine_grid(transforms, [len(images), 3, size, size], align_corners=False)
    framed = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if not (settings.zoom_out or settings.shift):
        return framed
    is_outside = (grid.abs() > 1).any(3).unsqueeze(1)
    uses_other = torch.rand(len(images), 1, 1, 1, generator=random).to(device) < _OTHER_PICTURE_PROBABILITY
    return torch.where(is_outside & uses_other, _backgrounds(images, size, random), framed)


def _random_transforms(count: int, settings: Augmentation, random: torch.Generator) -> torch.Tensor:
    """Return affine transforms from output to input coordinates, both -1 to 1: float32 N x 2 x 3."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=random)

    scale = uniform(1 - settings.crop, 1 + settings.zoom_out)
    aspect = uniform(-0.5, 0.5) * math.log(_MAX_ASPECT_CHANGE)
    width, height = scale * aspect.exp(), scale * (-aspect).exp()
    angle = uniform(-1, 1) * math.radians(settings.rotation)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    # A crop lies anywhere in the image, and a smaller image anywhere in its frame. The shift is in half sides.
    x = uniform(-1, 1) * (1 - width).abs() + 2 * settings.shift * uniform(-1, 1)
    y = uniform(-1, 1) * (1 - height).abs() + 2 * settings.shift * uniform(-1, 1)
    cosine, sine = angle.cos(), angle.sin()
    rows = (mirror * width * cosine, -height * sine, x, mirror * width * sine, height * cosine, y)
    return torch.stack(rows, 1).view(count, 2, 3)


def _backgrounds(images: torch.Tensor, size: int, random: torch.Generator) -> torch.Tensor:
    """Return a part of another image for each image. It is enlarged, so that it shows no second face."""
    count = len(images)
    zoom = torch.full((count,), _BACKGROUND_ZOOM)
    place = (1 - _BACKGROUND_ZOOM) * (2 * torch.rand(2, count, generator=random) - 1)
    zero = torch.zeros(count)
    transforms = torch.stack((zoom, zero, place[0], zero, zoom, place[1]), 1).view(count, 2, 3).to(images.device)
    grid = functional.affine_grid(transforms, [count, 3, size, size], align_corners=False)
    return functional.grid_sample(images.roll(1, 0), grid, padding_mode="border", align_corners=False)
