"""Composition: counts and sums of a collection, or of a part of it, from which all shares are estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.report.estimates import PhotoSums
from democlass.report.reading import probability_columns
from democlass.results import OK, TOO_SMALL
from democlass.tasks import Task


@dataclass(frozen=True)
class Question:
    """What is counted: the labels of one task, or the combinations of the labels of several."""

    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """The name in results, such as `gender x race`."""
        return " x ".join(task.name for task in self.tasks)

    @property
    def title(self) -> str:
        """The name in text for people."""
        return " x ".join(task.title for task in self.tasks)

    @property
    def labels(self) -> list[str]:
        """The labels, the last task's varying first, such as `Female, Asian`."""
        return [", ".join(labels) for labels in product(*(task.labels for task in self.tasks))]


def questions(tasks: Sequence[Task]) -> list[Question]:
    """Return a question for each task, and one for their combinations."""
    alone = [Question((task,)) for task in tasks]
    return [*alone, Question(tuple(tasks))] if len(tasks) > 1 else alone


@dataclass
class Composition:
    """The counts of images by status, the faces, and for each question the sums over photos.

    `counted` are the sums of faces with each predicted label, `probabilities` those of the probabilities. `uncertain`
    counts the faces without a label, for each question.
    """

    images: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    too_small: int = 0
    uncertain: Counter[str] = field(default_factory=Counter)
    counted: dict[str, PhotoSums] = field(default_factory=dict)
    probabilities: dict[str, PhotoSums] = field(default_factory=dict)

    def add(self, photos: Photos, chosen: NDArray[np.bool_] | None = None) -> None:
        """Add some photos, of these only the `chosen` ones: bool, one for each photo."""
        is_chosen = np.ones(photos.count, bool) if chosen is None else chosen
        self.images.update(Counter(photos.statuses[is_chosen].tolist()))
        self.too_small += int(photos.too_small[is_chosen].sum())
        rows = is_chosen[photos.photo_of_face]
        self.faces += int(rows.sum())
        for name, (counts, probabilities) in photos.values.items():
            for sums, values in ((self.counted, counts), (self.probabilities, probabilities)):
                part = photos.sums(values[rows], photos.photo_of_face[rows])
                sums[name] = sums[name] + part if name in sums else part
            self.uncertain[name] += int((counts[rows].sum(1) == 0).sum())


@dataclass(frozen=True)
class Photos:
    """The photos of a piece.

    `paths` and `statuses` have an entry for each photo, `too_small` the number of its faces that are too small.
    `photo_of_face` is the photo of each classified face, int64. `values` has, by the name of the question, one row for
    each face: float64 faces x labels, first 1 for the predicted label, then the probabilities. `by_image`: each photo
    counts the same, however many faces it has.
    """

    paths: NDArray[np.object_]
    statuses: NDArray[np.object_]
    too_small: NDArray[np.int64]
    photo_of_face: NDArray[np.int64]
    values: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    by_image: bool

    @property
    def count(self) -> int:
        """The number of photos."""
        return len(self.paths)

    def sums(self, values: NDArray[np.float64], photo: NDArray[np.int64]) -> PhotoSums:
        """Return the sums over photos of the values of faces. Faces without any value do not count."""
        has_value = values.sum(1) > 0
        values, photo = values[has_value], photo[has_value]
        numbers, index = np.unique(photo, return_inverse=True)
        faces = np.bincount(index, minlength=len(numbers)).astype(np.float64)
        totals = np.zeros((len(numbers), values.shape[1]))
        np.add.at(totals, index, values)
        if self.by_image and len(faces):
            totals, faces = totals / faces[:, None], np.ones_like(faces)
        return PhotoSums.of(totals, faces)


def photos_of(piece: pd.DataFrame, tasks: Sequence[Task], *, by_image: bool) -> Photos:
    """Return the photos of rows of results; all rows of a photo are there, one after another."""
    starts = _starts(piece)
    photo = np.cumsum(starts) - 1
    statuses = piece["status"].to_numpy(object)
    is_face = statuses == OK
    first = np.flatnonzero(starts)
    photo_status = statuses[first].copy()
    photo_status[np.unique(photo[is_face])] = OK  # the first face of a photo may be too small
    too_small = np.bincount(photo[statuses == TOO_SMALL], minlength=len(first))
    faces = piece[is_face]
    return Photos(
        piece["path"].to_numpy(object)[first],
        photo_status,
        too_small,
        photo[is_face],
        {question.name: _values(faces, question) for question in questions(tasks)},
        by_image,
    )


def whole_photos(pieces: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the same rows in pieces that do not end within a photo."""
    rest: pd.DataFrame | None = None
    for piece in pieces:
        joined = piece if rest is None else pd.concat([rest, piece], ignore_index=True)
        last = int(np.flatnonzero(_starts(joined))[-1]) if len(joined) else 0
        if last:
            yield joined.iloc[:last]
        rest = joined.iloc[last:]
    if rest is not None and len(rest):
        yield rest


def _starts(piece: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether each row is the first of a photo. Only faces after number 0 are not."""
    return ~(piece["face"].to_numpy(np.float64) > 0)


def _values(faces: pd.DataFrame, question: Question) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the predicted labels as 1 and 0, and the probabilities; of several tasks, those of all combinations."""
    chosen = [pd.Index(task.labels).get_indexer(pd.Index(faces[task.name])) for task in question.tasks]
    sizes = [len(task.labels) for task in question.tasks]
    is_known = np.all([indices >= 0 for indices in chosen], 0)
    counts = np.zeros((len(faces), prod(sizes)))
    if is_known.any():
        cells = np.ravel_multi_index([indices[is_known] for indices in chosen], sizes)
        counts[np.flatnonzero(is_known), cells] = 1
    probabilities = np.ones((len(faces), 1))
    for task in question.tasks:
        each = faces[probability_columns(task)].to_numpy(np.float64)
        probabilities = (probabilities[:, :, None] * each[:, None, :]).reshape(
            len(faces), probabilities.shape[1] * len(task.labels)
        )
    return counts, probabilities
