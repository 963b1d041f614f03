"""The figures: accuracy for everyone and for each group, with intervals; confusion; calibration; coverage.

Formulas are the libraries': scikit-learn, fairlearn, statsmodels, torchmetrics.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from fairlearn.metrics import MetricFrame, count
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, recall_score
from statsmodels.stats.proportion import proportion_confint
from torchmetrics.functional.classification import multiclass_calibration_error

from democlass.evaluate.judged import Judged

BINS = 15
"""Equal bins of confidence in the calibration error and the reliability diagram."""

_THRESHOLDS = np.arange(0.0, 1.0, 0.02)
_CONFIDENCE = 0.95


def figures(judged: Judged) -> dict[str, Any]:
    """Return all figures of a task as plain values; shares come as `{"share", "low", "high", "n"}`, Wilson's 95 %."""
    labels = judged.task.labels
    every = range(len(labels))
    # Macro means are over the labels that the data has: an absent label has no recall, which is not a recall of 0.
    present = np.unique(judged.true).tolist()
    macro: dict[str, Any] = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "title": judged.task.title,
        "labels": list(labels),
        "labels_present": [labels[place] for place in present],
        "n": len(judged.true),
        "lacking": dict(judged.lacking),
        "accuracy": share(int(judged.right.sum()), len(judged.true)),
        "macro_f1": float(f1_score(judged.true, judged.chosen, **macro)),
        "macro_recall": float(recall_score(judged.true, judged.chosen, **macro)),
        "confusion": confusion_matrix(judged.true, judged.chosen, labels=every).tolist(),
        "groups": _groups(judged),
        "calibration": _calibration(judged),
        "coverage": _coverage(judged),
    }


def share(part: int, whole: int) -> dict[str, float]:
    """Return a share with Wilson's 95 % interval."""
    low, high = proportion_confint(part, whole, alpha=1 - _CONFIDENCE, method="wilson")
    return {"share": part / whole, "low": float(low), "high": float(high), "n": whole}


def _groups(judged: Judged) -> dict[str, Any]:
    """Return the accuracy by each task's true labels and by every two of them, the worst cell and the largest gap."""
    names = list(judged.groups.columns)
    found = {}
    for columns in [[name] for name in names] + [list(pair) for pair in combinations(names, 2)]:
        known = judged.groups[columns].notna().all(axis=1).to_numpy()
        if not known.any():
            continue
        frame = MetricFrame(
            metrics={"accuracy": accuracy_score, "n": count},
            y_true=judged.true[known],
            y_pred=judged.chosen[known],
            sensitive_features=judged.groups.loc[known, columns].astype(str),
        )
        cells = {
            _name(cell): share(round(row["accuracy"] * row["n"]), int(row["n"]))
            for cell, row in frame.by_group.dropna().iterrows()
        }
        worst, best = (pick(cells, key=lambda cell: cells[cell]["share"]) for pick in (min, max))
        found[" x ".join(columns)] = {
            "cells": cells,
            "worst": worst,
            "best": best,
            "gap": float(frame.difference()["accuracy"]),
        }
    return found


def _name(cell: Any) -> str:
    return " ".join(cell) if isinstance(cell, tuple) else str(cell)


def _calibration(judged: Judged) -> dict[str, Any]:
    labels = len(judged.task.labels)
    probabilities, true = torch.from_numpy(judged.probabilities), torch.from_numpy(judged.true)
    # Written probabilities have six decimals, so that their sum is 1 only nearly.
    whole = judged.probabilities / judged.probabilities.sum(1, keepdims=True)
    return {
        "ece": float(multiclass_calibration_error(probabilities.float(), true, labels, n_bins=BINS, norm="l1")),
        "nll": float(log_loss(judged.true, whole, labels=range(labels))),
        # Brier, "Verification of forecasts expressed in terms of probability", 1950: 0 is best, 2 worst.
        "brier": float(((judged.probabilities - np.eye(labels)[judged.true]) ** 2).sum(1).mean()),
        "bins": _bins(judged),
    }


def _bins(judged: Judged) -> list[dict[str, float]]:
    confidence = judged.probabilities.max(1)
    bins = pd.cut(pd.Series(confidence), list(np.linspace(0, 1, BINS + 1)), include_lowest=True)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "right": judged.right})
    return [
        {"confidence": float(rows["confidence"].mean()), **share(int(rows["right"].sum()), len(rows))}
        for _, rows in table.groupby("bin", observed=True)
    ]


def _coverage(judged: Judged) -> list[dict[str, float]]:
    """Return, for rising --min-confidence, how many images keep a label and how many of those are right."""
    confidence = judged.probabilities.max(1)
    found = []
    for least in _THRESHOLDS:
        kept = confidence >= least
        if kept.any():
            found.append(
                {
                    "min_confidence": round(float(least), 2),
                    "coverage": float(kept.mean()),
                    "accuracy": float(judged.right[kept].mean()),
                }
            )
    return found
