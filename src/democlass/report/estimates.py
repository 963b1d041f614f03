"""Shares of labels in a collection, estimated in four ways, each with a 95 % interval.

A network errs, and it errs on some labels more than on others. So the share of a predicted label is biased, and its
usual interval, which knows only of sampling, is too narrow. The estimates differ in what they assume:

- counted: the share of the predicted labels. Assumes that the network does not err.
- mean probability: the mean of the probabilities. Assumes calibrated probabilities.
- corrected: the shares that explain the counts best, given the confusion matrix of the network. Assumes that it errs on
  the collection as on the images of that matrix.
- labelled: prediction-powered inference with a labelled sample of the collection. Assumes nothing about the network.

Faces of one photo resemble each other. All intervals use the variance between photos, as the design effect: the
variance of a share by photos, divided by the variance that as many independent faces would give (Kish, "Survey
sampling", 1965; Rao and Scott, "The analysis of categorical data from complex sample surveys", JASA 76, 1981).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Z = float(norm.ppf(0.975))
"""Standard deviations of a 95 % interval of the normal distribution."""

_MIN_DESIGN_EFFECT = 1.0


@dataclass(frozen=True)
class Shares:
    """The shares of K labels, with the bounds of their 95 % intervals: float64 K each, 0 to 1.

    `n` is the number of faces, or of labelled faces, that they come from.
    """

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: int


@dataclass(frozen=True)
class PhotoSums:
    """Sums over photos of a vector m (K numbers for each photo) and of its number of faces n.

    `total` is the sum of m, float64 K; `faces` that of n; `squares`, `products` and `faces_squared` those of m², m·n
    and n². `photos` is their number.
    """

    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    products: NDArray[np.float64]
    faces: float
    faces_squared: float
    photos: int

    @classmethod
    def of(cls, values: NDArray[np.float64], faces: NDArray[np.float64]) -> PhotoSums:
        """Return the sums of some photos: `values` is float64 photos x K, `faces` float64 photos."""
        return cls(
            values.sum(0),
            (values**2).sum(0),
            (values * faces[:, None]).sum(0),
            float(faces.sum()),
            float((faces**2).sum()),
            len(faces),
        )

    def __add__(self, other: PhotoSums) -> PhotoSums:
        """Return the sums over the photos of both."""
        return PhotoSums(
            self.total + other.total,
            self.squares + other.squares,
            self.products + other.products,
            self.faces + other.faces,
            self.faces_squared + other.faces_squared,
            self.photos + other.photos,
        )

    @property
    def share(self) -> NDArray[np.float64]:
        """The ratio of the sums of m and n: float64 K."""
        return self.total / self.faces

    @property
    def variance(self) -> NDArray[np.float64]:
        """The variance of the ratio between photos, by linearisation: float64 K (Cochran, "Sampling techniques")."""
        share = self.share
        residuals = self.squares - 2 * share * self.products + share**2 * self.faces_squared
        correction = self.photos / max(1, self.photos - 1)
        return np.maximum(residuals, 0.0) * correction / self.faces**2

    def design_effect(self) -> float:
        """Return how many faces of photos tell as much as one independent face, at least 1.

        It is the mean over the labels, weighted by their variance. With few photos it is bounded by the mean number of
        faces of the photo of a face, which it has if all faces of a photo are the same.
        """
        share = self.share
        independent = float((share * (1 - share)).sum()) / self.faces
        largest = self.faces_squared / self.faces
        if independent <= 0:
            return max(_MIN_DESIGN_EFFECT, largest)
        return float(np.clip(self.variance.sum() / independent, _MIN_DESIGN_EFFECT, max(_MIN_DESIGN_EFFECT, largest)))


def counted(sums: PhotoSums) -> Shares:
    """Return the shares of the predicted labels with Wilson's intervals, for the effective number of faces.

    `sums` are those of the number of faces with each label. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22, 1927.
    """
    low, high = wilson(sums.share, sums.faces / sums.design_effect())
    return Shares(sums.share, low, high, round(sums.faces))


def wilson(share: NDArray[np.float64], n: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of Wilson's 95 % intervals of shares of `n` independent faces."""
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def mean_probability(sums: PhotoSums) -> Shares:
    """Return the mean probability of each label with a normal interval; `sums` are those of the probabilities."""
    half = Z * np.sqrt(sums.variance)
    return Shares(sums.share, np.clip(sums.share - half, 0, 1), np.clip(sums.share + half, 0, 1), round(sums.faces))
