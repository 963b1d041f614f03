"""Predictions beside the labels that people gave: the table that all figures are taken from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.errors import UsageError
from democlass.results import Prediction
from democlass.tasks import Task
from democlass.truth import Truth


@dataclass(frozen=True)
class Judged:
    """One task's answers: `probabilities` float64 N x labels in the task's order, `true` and `chosen` int64 N.

    `groups` has, for each of the N images, the true label of every task, None where it has none.
    """

    task: Task
    probabilities: NDArray[np.float64]
    true: NDArray[np.int64]
    groups: pd.DataFrame
    lacking: Counter[str] = field(default_factory=Counter)

    @property
    def chosen(self) -> NDArray[np.int64]:
        """The label with the highest probability."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the chosen label is the true one."""
        return np.equal(self.chosen, self.true)


def judge(truth: Truth, predictions: Iterable[Prediction], tasks: Sequence[Task]) -> dict[str, Judged]:
    """Put predictions beside a truth, by path; tasks of which no image has both are left out.

    Images that lack one or the other are counted by reason. Raises UsageError where nothing is left.
    """
    by_path = {_plain(prediction.path): prediction for prediction in predictions if prediction.path is not None}
    found = {task.name: _judge(truth, by_path, task, tasks) for task in tasks}
    kept = {name: judged for name, judged in found.items() if len(judged.true)}
    if not kept:
        reasons = ", ".join(
            f"{count:,} {reason}" for judged in found.values() for reason, count in judged.lacking.items()
        )
        raise UsageError(f"no image of {truth.file} has both a label and a prediction ({reasons or 'it is empty'})")
    return kept


def _judge(truth: Truth, by_path: Mapping[str, Prediction], task: Task, tasks: Sequence[Task]) -> Judged:
    lacking: Counter[str] = Counter()
    probabilities, true, groups = [], [], []
    for example in truth.examples:
        prediction = by_path.get(_plain(example.path))
        if task.name not in example.labels:
            lacking["without a label"] += 1
        elif prediction is None:
            lacking["without a prediction"] += 1
        elif prediction.error is not None:
            lacking[f"unreadable ({prediction.reason})"] += 1
        else:
            outcome = prediction.outcomes[task.name]
            probabilities.append([outcome.probabilities[label] for label in task.labels])
            true.append(task.labels.index(example.labels[task.name]))
            groups.append([example.labels.get(each.name) for each in tasks])
    return Judged(
        task,
        np.array(probabilities, dtype=np.float64).reshape(-1, len(task.labels)),
        np.array(true, dtype=np.int64),
        pd.DataFrame(groups, columns=[each.name for each in tasks], dtype=object),
        lacking,
    )


def _plain(path: str | os.PathLike[str]) -> str:
    return os.path.normpath(os.path.abspath(path))
