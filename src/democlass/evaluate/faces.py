"""Images whose face is missed by face detection: how many there are, and how many in each group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from scipy.stats import fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep

from democlass.evaluate.matching import MatchedPredictions, has_detection
from democlass.evaluate.metrics import CONFIDENCE_LEVEL, share_with_interval
from democlass.inputs.labels import Example, LabelSet
from democlass.results import ERROR, NO_FACE, TOO_SMALL
from democlass.tasks import Task

Found = tuple[Example, str]
"""A labelled image, and the status of its prediction."""

Cells = dict[str, dict[str, float]]


def count_missed(label_set: LabelSet, matched: MatchedPredictions, tasks: Sequence[Task]) -> dict[str, Any] | None:
    """Return how many images have no face to evaluate, as JSON values; None without face detection.

    Images are counted that have a label and a prediction and are readable. `all` counts all of them; `groups` by the
    labels of each task and of each pair of tasks. Counts are a dict: `n` images, of which `without_face` have no face
    and `too_small` only faces that are too small to classify; `share` of both together, with `low` and `high`, the
    bounds of Wilson's 95 % interval.
    """
    if not any(prediction is not None and has_detection(prediction) for prediction in matched.predictions):
        return None
    found = [
        (example, prediction.status)
        for example, prediction in zip(label_set.examples, matched.predictions, strict=True)
        if prediction is not None and prediction.status != ERROR and example.labels
    ]
    groupings = [[task] for task in tasks] + [list(pair) for pair in combinations(tasks, 2)]
    groups = {" x ".join(task.name for task in grouping): _grouping(found, grouping) for grouping in groupings}
    return {
        "all": _count(status for _, status in found),
        "groups": {name: grouping for name, grouping in groups.items() if grouping["cells"]},
    }


def _grouping(found: Sequence[Found], tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the counts of each group that has images, in the order of the labels, and the significant difference."""
    statuses: dict[tuple[str | None, ...], list[str]] = {}
    for example, status in found:
        statuses.setdefault(tuple(example.labels.get(task.name) for task in tasks), []).append(status)
    cells = {
        " ".join(group): _count(statuses[group])
        for group in product(*(task.labels for task in tasks))
        if group in statuses
    }
    title = " x ".join(task.title for task in tasks)
    return {"title": title, "cells": cells, "significant": find_significant_difference(cells)}


def _count(statuses: Iterable[str]) -> dict[str, float]:
    counts = Counter(statuses)
    without_face, too_small = counts[NO_FACE], counts[TOO_SMALL]
    shares = share_with_interval(without_face + too_small, counts.total())
    return {"without_face": without_face, "too_small": too_small, **shares}


def find_significant_difference(cells: Mapping[str, Mapping[str, float]]) -> dict[str, Any] | None:
    """Return the largest difference between the shares of two groups that is significant; None if there is none.

    `difference` is the share of the group `more` minus that of the group `less`. `low` and `high` are the bounds of its
    interval, Newcombe's, which combines the Wilson intervals of both shares (method 10 of "Interval estimation for the
    difference between independent proportions", Statistics in Medicine 17, 1998). A difference is significant if the
    interval does not contain 0 and Fisher's exact test agrees: for groups of one or two images, the interval is too
    narrow. All `pairs` of groups are compared, and the confidence level of 95 % is that of all of them together
    (Bonferroni's correction): otherwise, of many pairs, some would differ by chance.
    """
    pairs = list(combinations(cells, 2))
    found = []
    for pair in pairs:
        less, more = sorted(pair, key=lambda name: cells[name]["share"])
        interval = _significant_interval(cells[more], cells[less], alpha=(1 - CONFIDENCE_LEVEL) / len(pairs))
        if interval is not None:
            low, high = interval
            difference = cells[more]["share"] - cells[less]["share"]
            found.append({"more": more, "less": less, "difference": difference, "low": low, "high": high})
    if not found:
        return None
    return {**max(found, key=lambda each: each["difference"]), "pairs": len(pairs)}


def _significant_interval(
    more: Mapping[str, float], less: Mapping[str, float], alpha: float
) -> tuple[float, float] | None:
    """Return the interval of a difference; None if the difference is not significant at the level `alpha`."""
    (part, whole), (other_part, other_whole) = ((round(cell["share"] * cell["n"]), cell["n"]) for cell in (more, less))
    low, high = confint_proportions_2indep(
        part, whole, other_part, other_whole, method="newcomb", compare="diff", alpha=alpha
    )
    p_value = fisher_exact([[part, whole - part], [other_part, other_whole - other_part]]).pvalue
    return (float(low), float(high)) if low > 0 and p_value <= alpha else None
