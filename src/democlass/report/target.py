"""Comparison of a collection with target shares, such as those of a census."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from democlass.errors import UsageError
from democlass.report.composition import Question, questions
from democlass.report.estimates import Shares, Z
from democlass.tasks import Task, label_key

UNIFORM = "uniform"
_TOLERANCE = 0.005


@dataclass(frozen=True)
class Comparison:
    """The difference of K shares from their targets.

    `target` and `difference` (share - target) are float64 K; `missing` (int64 K) is how many faces or images of each
    label have to be added so that it has its target share, if nothing else is added. `chi_square` has K - 1 degrees of
    freedom and the probability `p`; `cramers_v` is its effect size, 0 for none to 1.
    """

    target: NDArray[np.float64]
    difference: NDArray[np.float64]
    missing: NDArray[np.int64]
    chi_square: float
    p: float
    cramers_v: float


def compare(shares: Shares, target: NDArray[np.float64]) -> Comparison:
    """Compare shares with targets, float64 K with the sum 1; a target of 0 is only allowed for a share of 0.

    Pearson's chi-square for the effective number of faces, which is that of a simple random sample with the same
    variances as the intervals (Rao and Scott, JASA 76, 1981). Effect size: Cramér, "Mathematical methods of
    statistics", 1946.
    """
    share = shares.share
    variance = ((shares.high - shares.low) / (2 * Z)) ** 2
    effective = float((share * (1 - share)).sum() / variance.sum()) if variance.sum() > 0 else float(shares.n)
    is_wanted = target > 0
    distance = float(((share - target)[is_wanted] ** 2 / target[is_wanted]).sum())
    freedom = max(1, int(is_wanted.sum()) - 1)
    chi_square = effective * distance
    short = np.where(target < 1, (target - share) * shares.n / np.maximum(1 - target, 1e-12), 0)
    return Comparison(
        target,
        share - target,
        np.ceil(np.maximum(short, 0) - 1e-9).astype(np.int64),
        chi_square,
        float(chi2.sf(chi_square, freedom)),
        min(1.0, sqrt(distance / freedom)),
    )


def read_targets(source: str, tasks: Sequence[Task]) -> dict[str, NDArray[np.float64]]:
    """Return target shares by the name of the question: `uniform`, or a CSV with the columns `label` and `share`.

    The labels of the file are those of one task, or combinations such as `Female, Asian`; it may have the labels of
    several tasks. The shares of a task have the sum 1 or 100. Raises UsageError.
    """
    known = questions(tasks)
    if source == UNIFORM:
        return {each.name: np.full(len(each.labels), 1 / len(each.labels)) for each in known}
    values = _read_values(Path(source))
    targets = {}
    for question in known:
        keys = [_key(label) for label in question.labels]
        if any(key in values for key in keys):
            targets[question.name] = _shares_of(question, keys, values, source)
            values = {key: value for key, value in values.items() if key not in keys}
    if values:
        raise UsageError(f"--target {source}: unknown label {min(values)!r}")
    return targets


def _shares_of(
    question: Question, keys: Sequence[str], values: Mapping[str, float], source: str
) -> NDArray[np.float64]:
    if missing := next((label for label, key in zip(question.labels, keys, strict=True) if key not in values), None):
        raise UsageError(f"--target {source} has no share for {missing}, but for other labels of {question.title}")
    shares = np.array([values[key] for key in keys])
    total = float(shares.sum())
    if not any(abs(total - whole) <= _TOLERANCE * whole for whole in (1, 100)):
        raise UsageError(f"--target {source}: the shares of {question.title} have the sum {total:g}, not 1 or 100")
    return np.asarray(shares / total)


def _read_values(file: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream, strict=True):
                value = float(row["share"].strip().rstrip("%"))
                if not (isfinite(value) and value >= 0) or _key(row["label"]) in values:
                    raise ValueError
                values[_key(row["label"])] = value
    except OSError as error:
        raise UsageError(f"can't read --target {file}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error):
        raise UsageError(
            f"--target {file} must be a CSV with the columns label and share, each label once, shares of 0 or more"
        ) from None
    return values


def _key(label: str) -> str:
    return ",".join(label_key(part) for part in label.split(","))
