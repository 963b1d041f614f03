"""Shares by prediction-powered inference: many predictions and a labelled sample, without trust in the network.

Angelopoulos, Duchi and Zrnic, "PPI++: efficient prediction-powered inference", 2023. Per stratum h of the collection
with the weight W_h, the share of a label is

    λ · mean of the predictions of the collection + mean of (label - λ · prediction) of the labelled faces,

and its variance is λ² · var(predictions) / N_h + var(label - λ · prediction) / n_h. λ minimises the variance: with a
useless network it becomes 0, and the estimate is that of the labelled sample alone. The collection is a sample too, so
the shares of the strata vary with it: the variance of the strata's estimates, divided by N, is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from democlass.report.estimates import Shares

_UNSEEN = 0.25
"""Faces that are assumed to have a label that no labelled face of a stratum has."""


@dataclass(frozen=True)
class Stratum:
    """A part of the collection. K is the number of labels.

    `mean` and `variance` are those of the predictions for the faces of the stratum, float64 K; `faces` is their number.
    `predictions` (float64 n x K) and `labels` (float64 n x K, 1 for the face's label, else 0) are those of its labelled
    faces.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    faces: int
    predictions: NDArray[np.float64]
    labels: NDArray[np.float64]


def powered(strata: Sequence[Stratum]) -> Shares:
    """Return the shares of the labels in all strata together, weighted by their faces.

    Raises ValueError if a stratum has fewer than two labelled faces.
    """
    if any(len(each.labels) < 2 for each in strata):
        raise ValueError("each stratum needs at least two labelled faces")
    faces = sum(each.faces for each in strata)
    weight = _best_weight(strata, faces)
    stratum_weights = np.array([each.faces / faces for each in strata])[:, None]
    estimates, parts = [], []
    for each, stratum_weight in zip(strata, stratum_weights, strict=True):
        rectified = each.labels - weight * each.predictions
        estimates.append(weight * each.mean + rectified.mean(0))
        parts.append(stratum_weight**2 * (weight**2 * each.variance / each.faces + _variance(rectified, each.labels)))
    share = (stratum_weights * estimates).sum(0)
    between = (stratum_weights * (np.array(estimates) - share) ** 2).sum(0) / faces
    half = _quantile(parts, strata) * np.sqrt(np.sum(parts, 0) + between)
    labelled = sum(len(each.labels) for each in strata)
    return Shares(np.clip(share, 0, 1), np.clip(share - half, 0, 1), np.clip(share + half, 0, 1), labelled)


def _best_weight(strata: Sequence[Stratum], faces: int) -> NDArray[np.float64]:
    """Return λ for each label, 0 to 1: the covariance of labels and predictions divided by a variance."""
    covariance = variance = np.zeros_like(strata[0].mean)
    for each in strata:
        n, weight = len(each.labels), (each.faces / faces) ** 2
        centred = each.predictions - each.predictions.mean(0)
        covariance = covariance + weight * (centred * (each.labels - each.labels.mean(0))).sum(0) / (n - 1) / n
        spread = (centred**2).sum(0) / (n - 1)
        variance = variance + weight * (spread / n + each.variance / each.faces)
    best = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    return np.asarray(np.clip(best, 0, 1))


def _variance(rectified: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance of the mean of n rectified labels.

    If none or all of the labelled faces have a label, its variance is that of a label which a quarter of a face more
    has: a stratum would otherwise look certain.
    """
    n = len(labels)
    is_constant = (labels == labels[0]).all(0)
    share = _UNSEEN / (n + 2 * _UNSEEN)
    floor = np.where(is_constant, share * (1 - share), 0.0)
    return np.asarray(np.maximum(rectified.var(0, ddof=1), floor) / n)


def _quantile(parts: Sequence[NDArray[np.float64]], strata: Sequence[Stratum]) -> NDArray[np.float64]:
    """Return the quantile of Student's t for a 95 % interval, with Satterthwaite's degrees of freedom."""
    total = np.sum(parts, 0)
    below = np.sum([part**2 / (len(each.labels) - 1) for part, each in zip(parts, strata, strict=True)], 0)
    freedom = np.divide(total**2, below, out=np.full_like(total, 1e6), where=below > 0)
    return np.asarray(t.ppf(0.975, np.maximum(freedom, 1.0)))
