"""Calibration: the temperature that makes probabilities mean what they say, on average."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

_FARTHEST = math.log(20.0)
_STEPS = 60


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the temperature, above 0, at which logits N x labels give targets N the least negative log likelihood.

    Guo et al., "On calibration of modern neural networks", ICML 2017. The likelihood has one optimum in the
    temperature's logarithm, which a golden-section search closes in on.
    """
    shrink = (math.sqrt(5) - 1) / 2
    low, high = -_FARTHEST, _FARTHEST
    for _ in range(_STEPS):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        if _loss(logits, targets, left) < _loss(logits, targets, right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _loss(logits: torch.Tensor, targets: torch.Tensor, log_temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / math.exp(log_temperature), targets))
