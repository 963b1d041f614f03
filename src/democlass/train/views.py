"""Views: the ever different crops of an image that a network learns from; a seed decides each."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from democlass.tasks import IMAGENET_MEAN, IMAGENET_STD

LEAST_AREA = 0.72
"""Of the image that a crop keeps, at least: faces are cropped tightly already."""

_MOST_STRETCH = 1.1
_COLOUR = 0.2
_GREY_SHARE = 0.08


def crop(pixels: NDArray[np.uint8], size: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random crop of RGB uint8 H x W x 3, uint8 size x size x 3, mirrored every other time."""
    height, width, _ = pixels.shape
    area, stretch = chance.uniform(LEAST_AREA, 1.0), math.sqrt(chance.uniform(1 / _MOST_STRETCH, _MOST_STRETCH))
    wide, high = (min(1.0, math.sqrt(area) * way) for way in (stretch, 1 / stretch))
    left, top = chance.uniform(0, 1 - wide) * width, chance.uniform(0, 1 - high) * height
    box = (left, top, left + wide * width, top + high * height)
    view = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    mirrored = chance.random() < 0.5
    return np.asarray(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else view)


def normalised(batch: torch.Tensor) -> torch.Tensor:
    """Return uint8 N x H x W x 3 as float32 N x 3 x H x W, channels last, as the networks expect it."""
    mean, std = (torch.tensor(each, device=batch.device).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    pixels: torch.Tensor = batch.permute(0, 3, 1, 2).float() / 255
    return (pixels - mean) / std


def recoloured(batch: torch.Tensor, seed: int) -> torch.Tensor:
    """Return normalised images with brightness and contrast changed at random, some of them grey."""
    generator = torch.Generator().manual_seed(seed)
    brightness, contrast, grey = torch.rand(3, len(batch), 1, 1, 1, generator=generator).to(batch.device)
    changed = torch.where(grey < _GREY_SHARE, batch.mean(1, keepdim=True), batch)
    centre = changed.mean((1, 2, 3), keepdim=True)
    factor = 1 + _COLOUR * (2 * contrast - 1)
    answer: torch.Tensor = (changed - centre) * factor + centre + _COLOUR * (4 * brightness - 2)
    return answer  # in units of the deviation, about 0.225 of 0..1
