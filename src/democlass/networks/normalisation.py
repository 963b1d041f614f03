"""Normalisation: RGB pixels to the input of the networks."""

from __future__ import annotations

import torch

from democlass.tasks import IMAGENET_MEAN, IMAGENET_STD


class Normaliser:
    """Converts RGB uint8 N x H x W x 3 to float32 N x 3 x H x W with ImageNet's mean and standard deviation.

    The result has the memory format channels_last. The constants are kept on `device`, where the pixels must be.
    """

    def __init__(self, device: torch.device) -> None:
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a new tensor; `pixels` is not changed."""
        return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(self._mean).div_(self._std)
