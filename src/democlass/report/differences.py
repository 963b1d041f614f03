"""Differences of the shares of two collections, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from democlass.report.estimates import Shares


@dataclass(frozen=True)
class Differences:
    """The second shares minus the first ones, with the bounds of 95 % intervals: float64 K each, -1 to 1."""

    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def is_certain(self) -> NDArray[np.bool_]:
        """Whether an interval does not contain 0: bool K."""
        return (self.low > 0) | (self.high < 0)


def subtract(first: Shares, second: Shares) -> Differences:
    """Return the differences of two collections, from the intervals of their shares.

    Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27, 2008 (MOVER).
    It assumes that the errors of both are independent. Corrected shares with the same confusion matrix err in the same
    direction, so that their true intervals are narrower.
    """
    difference = second.share - first.share
    below = np.hypot(second.share - second.low, first.high - first.share)
    above = np.hypot(second.high - second.share, first.share - first.low)
    return Differences(difference, np.maximum(difference - below, -1), np.minimum(difference + above, 1))
