"""Predictions and labels of the same images, which all metrics are computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.errors import UsageError
from democlass.inputs.identity import current_folder, file_key
from democlass.inputs.labels import LabelSet
from democlass.results import NO_FACE, TOO_SMALL, Face, Prediction
from democlass.tasks import Task

_MAX_REASONS = 6
"""Reasons that a message lists."""

_WITHOUT_OUTCOMES = {NO_FACE: "without a face", TOO_SMALL: "whose face is too small"}
"""Why images of these statuses are not evaluated."""


@dataclass(frozen=True)
class LabelledPredictions:
    """The predictions for one task of the N images that have a label for it.

    `probabilities` is float64, N x labels in the task's order; `targets` is int64, N, the indices of the annotators'
    labels. `groups` has a row for each image and a column for each task: the annotators' label, or None. `excluded`
    counts the images that have no label or no prediction, by reason.
    """

    task: Task
    probabilities: NDArray[np.float64]
    targets: NDArray[np.int64]
    groups: pd.DataFrame
    excluded: Counter[str] = field(default_factory=Counter)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The index of the most probable label of each image, int64, N."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The highest probability of each image, float64, N."""
        return np.asarray(self.probabilities.max(1), dtype=np.float64)

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the most probable label is the annotators' label, N."""
        return np.equal(self.predicted, self.targets)


@dataclass(frozen=True)
class MatchedPredictions:
    """The prediction for each example of a label set, in the same order; None for examples without one.

    A prediction has at most one face: the largest that was found. `unused` counts predictions that belong to no
    example, by reason.
    """

    predictions: Sequence[Prediction | None]
    unused: Counter[str]


def match_predictions(label_set: LabelSet, predictions: Iterable[Prediction]) -> MatchedPredictions:
    """Find the prediction for each example, by path.

    If an image has several predictions, the first one that is not an error is used. Relative paths are relative to
    the current folder.
    """
    folder = current_folder()
    indices = {file_key(example.path, folder): index for index, example in enumerate(label_set.examples)}
    matched: list[Prediction | None] = [None] * len(label_set.examples)
    unused: Counter[str] = Counter()
    for prediction in predictions:
        index = None if prediction.path is None else indices.get(file_key(prediction.path, folder))
        if index is None:
            unused["of images that have no labels"] += 1
            continue
        previous = matched[index]
        if previous is not None:
            unused["of images that have another prediction"] += 1
        if previous is None or (previous.error is not None and prediction.error is None):
            matched[index] = keep_largest_face(prediction)
    return MatchedPredictions(matched, unused)


def keep_largest_face(prediction: Prediction) -> Prediction:
    """Return a prediction with only its widest face; of equally wide ones, the first from the left.

    Faces of images with several faces have boxes.
    """
    if len(prediction.faces) < 2:
        return prediction
    return Prediction(prediction.path, (max(prediction.faces, key=_width),))


def has_detection(prediction: Prediction) -> bool:
    """Return whether faces were searched in the image of a prediction. It is unknown, so false, for an error."""
    return prediction.status in _WITHOUT_OUTCOMES or any(face.box is not None for face in prediction.faces)


def join_labels(
    label_set: LabelSet, matched: MatchedPredictions, tasks: Sequence[Task]
) -> dict[str, LabelledPredictions]:
    """Return predictions with labels by task name, without tasks for which no image has both.

    Raises UsageError if that leaves no task.
    """
    by_task = {task.name: _join(label_set, matched, task, tasks) for task in tasks}
    usable = {name: labelled for name, labelled in by_task.items() if len(labelled.targets)}
    if not usable:
        raise UsageError(_nothing_to_evaluate(label_set, matched, by_task))
    return usable


def _join(label_set: LabelSet, matched: MatchedPredictions, task: Task, tasks: Sequence[Task]) -> LabelledPredictions:
    excluded: Counter[str] = Counter()
    probabilities, targets, groups = [], [], []
    for example, prediction in zip(label_set.examples, matched.predictions, strict=True):
        if task.name not in example.labels:
            excluded["without a label"] += 1
        elif prediction is None:
            excluded["without a prediction"] += 1
        elif prediction.error is not None:
            excluded[f"unreadable ({prediction.reason})"] += 1
        elif prediction.status in _WITHOUT_OUTCOMES:
            excluded[_WITHOUT_OUTCOMES[prediction.status]] += 1
        else:
            outcome = prediction.outcomes[task.name]
            probabilities.append([outcome.probabilities[label] for label in task.labels])
            targets.append(task.labels.index(example.labels[task.name]))
            groups.append([example.labels.get(each.name) for each in tasks])
    return LabelledPredictions(
        task,
        np.array(probabilities, dtype=np.float64).reshape(-1, len(task.labels)),
        np.array(targets, dtype=np.int64),
        pd.DataFrame(groups, columns=[each.name for each in tasks], dtype=object),
        excluded,
    )


def _width(face: Face) -> float:
    return 0.0 if face.box is None else face.box.width


def _nothing_to_evaluate(
    label_set: LabelSet, matched: MatchedPredictions, by_task: dict[str, LabelledPredictions]
) -> str:
    """Return the message for a label set of which no image has both a label and a prediction."""
    reasons = [
        f"{name}: {count:,} {reason}" for name, each in by_task.items() for reason, count in each.excluded.items()
    ]
    reasons += [f"{count:,} rows: {reason}" for reason, count in label_set.excluded.items()]
    reasons += [f"{count:,} predictions {reason}" for reason, count in matched.unused.items()]
    listed = ", ".join(reasons[:_MAX_REASONS]) or "it has no rows"
    if len(reasons) > _MAX_REASONS:
        listed += f", {len(reasons) - _MAX_REASONS} more reasons"
    hint = "; relative paths in results are relative to the current folder" if matched.unused else ""
    return f"no image of {label_set.file} has both a label and a prediction ({listed}){hint}"
