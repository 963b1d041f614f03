"""Random changes of pixels: colours, blur, JPEG artefacts and erased rectangles."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

_GREY_PROBABILITY = 0.08
_BLUR_SIGMA = (0.3, 2.0)  # pixels
_BLUR_RADIUS = 4  # pixels: twice the largest sigma
_JPEG_QUALITY = (20, 80)
_ERASED_SHARE = (0.1, 0.35)  # of each side


def jitter_colours(images: torch.Tensor, strength: float, random: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast and saturation of normalised images at random, and make some of them grey.

    `images` and the result are float32 N x 3 x H x W. `strength` is the largest change, 0 to 1.
    """
    if not strength:
        return images
    draws = torch.rand(4, len(images), 1, 1, 1, generator=random).to(images.device)
    brightness, contrast, saturation = (strength * (2 * draw - 1) for draw in draws[:3])
    saturation = torch.where(draws[3] < _GREY_PROBABILITY, torch.full_like(saturation, -1.0), saturation)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    # Normalised values are in standard deviations: 1 is about 0.225 of the range 0 to 1.
    changed: torch.Tensor = (images - mean) * (1 + contrast) + mean + 2 * brightness
    return changed


def blur(images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
    """Blur some of the images, float32 N x 3 x H x W, each with its own Gaussian."""
    chosen = torch.nonzero(torch.rand(len(images), generator=random) < probability).flatten()
    if not len(chosen):
        return images
    low, high = _BLUR_SIGMA
    sigma = low + (high - low) * torch.rand(len(chosen), 1, generator=random)
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1)
    kernels = functional.softmax(-(offsets**2) / (2 * sigma**2), 1).repeat_interleave(3, 0).to(images.device)
    chosen = chosen.to(images.device)
    height, width = images.shape[2:]
    part = images[chosen].reshape(1, -1, height, width)
    padded = functional.pad(part, (_BLUR_RADIUS,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernels[:, None, None, :], groups=len(kernels))
    both = functional.conv2d(rows, kernels[:, None, :, None], groups=len(kernels))
    return images.index_copy(0, chosen, both.view(len(chosen), 3, height, width))


def erase(images: torch.Tensor, probability: float, random: torch.Generator) -> torch.Tensor:
    """Set a rectangle of some of the images, float32 N x 3 x H x W, to the mean colour.

    After Zhong et al., "Random erasing data augmentation", AAAI 2020.
    """
    if not probability:
        return images
    low, high = _ERASED_SHARE
    shares = low + (high - low) * torch.rand(2, len(images), 1, generator=random)
    starts = (1 - shares) * torch.rand(2, len(images), 1, generator=random)
    is_chosen = torch.rand(len(images), 1, 1, 1, generator=random) < probability
    device, inside = images.device, []
    for start, share, length in zip(starts.to(device), shares.to(device), images.shape[2:], strict=True):
        place = (torch.arange(length, device=device) + 0.5) / length
        inside.append((place >= start) & (place < start + share))
    is_erased = inside[0][:, None, :, None] & inside[1][:, None, None, :] & is_chosen.to(device)
    return images.masked_fill(is_erased, 0.0)


def compress(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a lossy JPEG copy of RGB uint8 H x W x 3, with a random quality."""
    stream = io.BytesIO()
    low, high = _JPEG_QUALITY
    Image.fromarray(pixels).save(stream, "JPEG", quality=int(rng.integers(low, high)))
    with Image.open(stream, formats=("JPEG",)) as image:
        return np.asarray(image)
