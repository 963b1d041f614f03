"""Metrics of predictions: accuracy of all images and of groups, confusion, calibration, accuracy against coverage.

The formulas come from scikit-learn, fairlearn, statsmodels and torchmetrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from fairlearn.metrics import MetricFrame, count
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, recall_score
from statsmodels.stats.proportion import proportion_confint
from torchmetrics.functional.classification import multiclass_calibration_error

from democlass.evaluate.matching import LabelledPredictions

BINS = 15
"""Equal bins of confidence, for the calibration error and the reliability diagram."""

_THRESHOLDS = np.arange(0.0, 1.0, 0.02)
"""Values of `--min-confidence` for which coverage is computed."""

CONFIDENCE_LEVEL = 0.95
"""Confidence level of all intervals."""


def compute_metrics(labelled: LabelledPredictions) -> dict[str, Any]:
    """Return the metrics of one task as JSON values. A share is a dict as `share_with_interval` returns it."""
    task, targets, predicted = labelled.task, labelled.targets, labelled.predicted
    # A label that no image has is left out of macro means: it has no recall, which differs from a recall of 0.
    present = np.unique(targets).tolist()
    macro: dict[str, Any] = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "title": task.title,
        "labels": list(task.labels),
        "labels_present": [task.labels[index] for index in present],
        "n": len(targets),
        "lacking": dict(labelled.excluded),
        "accuracy": share_with_interval(int(labelled.is_correct.sum()), len(targets)),
        "macro_f1": float(f1_score(targets, predicted, **macro)),
        "macro_recall": float(recall_score(targets, predicted, **macro)),
        "confusion": confusion_matrix(targets, predicted, labels=range(len(task.labels))).tolist(),
        "groups": _accuracy_by_group(labelled),
        "calibration": _calibration(labelled),
        "coverage": _coverage(labelled),
    }


def share_with_interval(part: int, whole: int) -> dict[str, float]:
    """Return `share`, `n` (the whole), and `low` and `high`, the bounds of Wilson's 95 % interval.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    low, high = proportion_confint(part, whole, alpha=1 - CONFIDENCE_LEVEL, method="wilson")
    return {"share": part / whole, "low": float(low), "high": float(high), "n": whole}


def _accuracy_by_group(labelled: LabelledPredictions) -> dict[str, Any]:
    """Return the accuracy by the labels of each task, and of each pair of tasks."""
    names = list(labelled.groups.columns)
    groupings = [[name] for name in names] + [list(pair) for pair in combinations(names, 2)]
    grouped = {" x ".join(columns): _grouping(labelled, columns) for columns in groupings}
    return {name: grouping for name, grouping in grouped.items() if grouping is not None}


def _grouping(labelled: LabelledPredictions, columns: Sequence[str]) -> dict[str, Any] | None:
    """Return the accuracy of each group, the best and the worst group, and the gap; None if no image has a group."""
    has_labels = labelled.groups[list(columns)].notna().all(axis=1).to_numpy()
    if not has_labels.any():
        return None
    frame = MetricFrame(
        metrics={"accuracy": accuracy_score, "n": count},
        y_true=labelled.targets[has_labels],
        y_pred=labelled.predicted[has_labels],
        sensitive_features=labelled.groups.loc[has_labels, list(columns)].astype(str),
    )
    cells = {
        _group_name(group): share_with_interval(round(row["accuracy"] * row["n"]), int(row["n"]))
        for group, row in frame.by_group.dropna().iterrows()
    }
    worst, best = (extreme(cells, key=lambda name: cells[name]["share"]) for extreme in (min, max))
    return {"cells": cells, "worst": worst, "best": best, "gap": float(frame.difference()["accuracy"])}


def _group_name(group: Any) -> str:
    return " ".join(group) if isinstance(group, tuple) else str(group)


def _calibration(labelled: LabelledPredictions) -> dict[str, Any]:
    labels = len(labelled.task.labels)
    probabilities, targets = torch.from_numpy(labelled.probabilities), torch.from_numpy(labelled.targets)
    # Probabilities in files have six decimals, so that their sum is not exactly 1.
    normalised = labelled.probabilities / labelled.probabilities.sum(1, keepdims=True)
    return {
        "ece": float(multiclass_calibration_error(probabilities.float(), targets, labels, n_bins=BINS, norm="l1")),
        "nll": float(log_loss(labelled.targets, normalised, labels=range(labels))),
        # Brier, "Verification of forecasts expressed in terms of probability", 1950: 0 is best, 2 is worst.
        "brier": float(((labelled.probabilities - np.eye(labels)[labelled.targets]) ** 2).sum(1).mean()),
        "bins": _bins(labelled),
    }


def _bins(labelled: LabelledPredictions) -> list[dict[str, float]]:
    """Return the mean confidence and the accuracy of each bin of confidence that has images."""
    confidence = labelled.confidence
    bins = pd.cut(pd.Series(confidence), list(np.linspace(0, 1, BINS + 1)), include_lowest=True)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "is_correct": labelled.is_correct})
    return [
        {
            "confidence": float(rows["confidence"].mean()),
            **share_with_interval(int(rows["is_correct"].sum()), len(rows)),
        }
        for _, rows in table.groupby("bin", observed=True)
    ]


def _coverage(labelled: LabelledPredictions) -> list[dict[str, float]]:
    """Return, for rising `--min-confidence`, the share of images that keep a label, and the accuracy of those."""
    points = []
    for threshold in _THRESHOLDS:
        kept = labelled.confidence >= threshold
        if kept.any():
            points.append(
                {
                    "min_confidence": round(float(threshold), 2),
                    "coverage": float(kept.mean()),
                    "accuracy": float(labelled.is_correct[kept].mean()),
                }
            )
    return points
