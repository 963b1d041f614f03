"""Calibration: fit the temperature that makes probabilities match the observed accuracy."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

_MAX_LOG_TEMPERATURE = math.log(20.0)
_ITERATIONS = 60


def fit_temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the temperature (above 0) that minimises the negative log likelihood.

    `logits` is float N x labels, `targets` is int64 N. See Guo et al., "On calibration of modern neural networks",
    ICML 2017. The likelihood has a single optimum in the logarithm of the temperature; a golden-section search finds
    it.
    """
    ratio = (math.sqrt(5) - 1) / 2
    low, high = -_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE
    for _ in range(_ITERATIONS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits, targets, left) < _loss(logits, targets, right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _loss(logits: torch.Tensor, targets: torch.Tensor, log_temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / math.exp(log_temperature), targets))
