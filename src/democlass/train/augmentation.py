"""Augmentation: random crops, mirror images and colour changes; a seed determines each of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

MIN_AREA = 0.72
"""Smallest share of the image that a crop keeps. It is high because faces are already cropped tightly."""

_MAX_ASPECT_CHANGE = 1.1
_MAX_COLOUR_CHANGE = 0.2
_GREY_PROBABILITY = 0.08


def random_crop(pixels: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random crop, uint8 size x size x 3, of RGB uint8 H x W x 3. Half of the crops are mirrored."""
    height, width, _ = pixels.shape
    area = rng.uniform(MIN_AREA, 1.0)
    aspect = math.sqrt(rng.uniform(1 / _MAX_ASPECT_CHANGE, _MAX_ASPECT_CHANGE))
    crop_width, crop_height = (min(1.0, math.sqrt(area) * factor) for factor in (aspect, 1 / aspect))
    left, top = rng.uniform(0, 1 - crop_width) * width, rng.uniform(0, 1 - crop_height) * height
    box = (left, top, left + crop_width * width, top + crop_height * height)
    crop = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
    is_mirrored = rng.random() < 0.5
    return np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_mirrored else crop)


def jitter_colours(batch: torch.Tensor, seed: int) -> torch.Tensor:
    """Change brightness and contrast of normalised images at random, and make some of them grey.

    `batch` and the result are float32 N x 3 x H x W.
    """
    generator = torch.Generator().manual_seed(seed)
    brightness, contrast, grey = torch.rand(3, len(batch), 1, 1, 1, generator=generator).to(batch.device)
    images = torch.where(grey < _GREY_PROBABILITY, batch.mean(1, keepdim=True), batch)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast_factor = 1 + _MAX_COLOUR_CHANGE * (2 * contrast - 1)
    # Normalised values are in standard deviations: 1 is about 0.225 of the range 0 to 1.
    offset = _MAX_COLOUR_CHANGE * (4 * brightness - 2)
    changed: torch.Tensor = (images - mean) * contrast_factor + mean + offset
    return changed
