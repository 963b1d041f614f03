"""Predictions beside the labels that people gave: the table that all figures are taken from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.errors import UsageError
from democlass.inputs.labels import LabelSet, same_image
from democlass.results import Prediction
from democlass.tasks import Task


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


@dataclass(frozen=True)
class Matched:
    """The prediction of each example of a label set, in its order, None where there is none.

    `unused` counts, by reason, the predictions that belong to no example.
    """

    predictions: Sequence[Prediction | None]
    unused: Counter[str]


def match(label_set: LabelSet, predictions: Iterable[Prediction]) -> Matched:
    """Find the prediction of each example, by path. Of several for one image the first that is no error is used."""
    places = {same_image(example.path): place for place, example in enumerate(label_set.examples)}
    found: list[Prediction | None] = [None] * len(label_set.examples)
    unused: Counter[str] = Counter()
    for prediction in predictions:
        place = None if prediction.path is None else places.get(same_image(prediction.path))
        if place is None:
            unused["of images that have no labels"] += 1
            continue
        before = found[place]
        if before is not None:
            unused["of images that have another prediction"] += 1
        if before is None or (before.error is not None and prediction.error is None):
            found[place] = prediction
    return Matched(found, unused)


def judge(label_set: LabelSet, matched: Matched, tasks: Sequence[Task]) -> dict[str, Judged]:
    """Put predictions beside a label set; tasks of which no image has both are left out.

    Images that lack one or the other are counted by reason. Raises UsageError where nothing is left.
    """
    found = {task.name: _judge(label_set, matched, task, tasks) for task in tasks}
    kept = {name: judged for name, judged in found.items() if len(judged.true)}
    if not kept:
        reasons = [f"{task.name}: {count:,} {reason}" for task in tasks
                   for reason, count in found[task.name].lacking.items()]  # fmt: skip
        reasons += [f"{count:,} rows: {reason}" for reason, count in label_set.lacking.items()]
        reasons += [f"{count:,} predictions {reason}" for reason, count in matched.unused.items()]
        hint = "; relative names in results are relative to the current folder" if matched.unused else ""
        raise UsageError(f"no image of {label_set.file} has both a label and a prediction ({_few(reasons)}){hint}")
    return kept


def _judge(label_set: LabelSet, matched: Matched, task: Task, tasks: Sequence[Task]) -> Judged:
    lacking: Counter[str] = Counter()
    probabilities, true, groups = [], [], []
    for example, prediction in zip(label_set.examples, matched.predictions, strict=True):
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


def _few(reasons: Sequence[str]) -> str:
    if len(reasons) > 6:
        return ", ".join([*reasons[:6], f"{len(reasons) - 6} more reasons"])
    return ", ".join(reasons) or "it has no rows"
