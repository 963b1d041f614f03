"""The exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn


def make_moving_average(decay: float) -> Callable[..., None]:
    """Return a `multi_avg_fn` for torch's AveragedModel, with a lower decay in the first steps.

    The decay after n steps is min(decay, (1 + n) / (10 + n)), as in TensorFlow's ExponentialMovingAverage. With a
    constant decay of .999, the initial weights would still be 37 % of the average after a thousand steps.
    """

    def update(averaged: Any, current: Any, steps: torch.Tensor) -> None:
        current_decay = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(current_decay)(averaged, current, steps)  # type: ignore[no-untyped-call]

    return update
