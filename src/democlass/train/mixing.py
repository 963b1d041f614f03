"""Mixed images: mixup and CutMix, with the shares of the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Mix:
    """Image i of a batch is mixed with image `partners[i]` (int64 N), which has the `share` (0 to 1) of the label."""

    partners: torch.Tensor
    share: float


def mix(images: torch.Tensor, mixup: float, cutmix: float, random: torch.Generator) -> tuple[torch.Tensor, Mix]:
    """Mix each image, float32 N x 3 x H x W, with another one of the batch; return the images and how they are mixed.

    `mixup` and `cutmix` are the parameters of their beta distributions, 0 for "never"; one of them is above 0. See
    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018, and Yun et al., "CutMix", ICCV 2019.
    """
    seed = int(torch.randint(2**62, (), generator=random))
    rng = np.random.default_rng(seed)
    uses_cutmix = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    partners = torch.from_numpy(rng.permutation(len(images)))
    parameter = cutmix if uses_cutmix else mixup
    share = float(rng.beta(parameter, parameter))
    others = images[partners.to(images.device)]
    if not uses_cutmix:
        return images.lerp(others, share), Mix(partners, share)
    height, width = images.shape[2:]
    box_height, box_width = (round(length * math.sqrt(share)) for length in (height, width))
    top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
    box = (..., slice(top, top + box_height), slice(left, left + box_width))
    mixed = images.clone()
    mixed[box] = others[box]
    return mixed, Mix(partners, box_height * box_width / (height * width))
