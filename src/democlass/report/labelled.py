"""Labelled samples: people's labels for some faces of a collection, and the estimates that use them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from democlass.errors import UsageError
from democlass.inputs.label_mapping import LabelMapping
from democlass.report.composition import Photos, Question, questions
from democlass.report.estimates import Shares
from democlass.report.powered import Stratum, powered
from democlass.report.sampling import MIN_IN_STRATUM, STRATUM, Key, keys_of, strata_of, tasks_of
from democlass.results import OK
from democlass.tasks import Task


@dataclass(frozen=True)
class LabelledFace:
    """The stratum of a labelled face, and the index of its label by task; no label where people could not tell."""

    stratum: str
    labels: Mapping[str, int]


def read_labelled(file: Path, tasks: Sequence[Task]) -> dict[Key, LabelledFace]:
    """Return the labelled faces of a CSV of `classify sample` in which people have filled in the labels.

    A cell without a known label, such as "can't tell", is no label. Raises UsageError if the file is not such a CSV.
    """
    faces: dict[Key, LabelledFace] = {}
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for row in csv.DictReader(stream, strict=True):
                face = LabelledFace(row[STRATUM], dict(_labels(row, tasks)))
                faces[Key(row["path"], int(row["face"] or -1))] = face
    except OSError as error:
        raise UsageError(f"can't read --labelled {file}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error):
        raise UsageError(f"--labelled {file} is not a filled-in sample of classify sample") from None
    if not any(each.labels for each in faces.values()):
        raise UsageError(
            f"--labelled {file} has no labels: fill in the columns {', '.join(task.name for task in tasks)}"
        )
    return faces


def _labels(row: Mapping[str, str], tasks: Sequence[Task]) -> Iterator[tuple[str, int]]:
    for task in tasks:
        label = LabelMapping().find_label(row[task.name], task)
        if label is not None:
            yield task.name, task.labels.index(label)


@dataclass
class _StratumSums:
    """Sums of the probabilities of a stratum's faces, float64 K each, and their number."""

    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    faces: int = 0


@dataclass
class LabelledSample:
    """Collects what the estimates with labels need while the results are read.

    `faces` are the labelled faces. Their strata are the combinations of the predicted labels of `stratified_by`.
    """

    faces: Mapping[Key, LabelledFace]
    tasks: Sequence[Task]
    found: dict[Key, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    _sums: dict[str, dict[str, _StratumSums]] = field(default_factory=dict)

    @property
    def stratified_by(self) -> list[Task]:
        """The tasks whose predicted labels form the strata. Raises UsageError if the sample does not say."""
        stratum = next(iter(self.faces.values())).stratum
        try:
            return tasks_of(stratum, self.tasks)
        except StopIteration:
            raise UsageError(f"--labelled has an unknown stratum: {stratum!r}") from None

    def add(self, piece: pd.DataFrame, photos: Photos) -> None:
        """Add the rows of a piece of results, which `photos` was made from."""
        faces = piece[piece["status"] == OK]
        strata = np.array(strata_of(faces, self.stratified_by), object)
        candidates = np.flatnonzero(faces["path"].isin({key.path for key in self.faces}))
        keys = dict(zip(candidates.tolist(), keys_of(faces.iloc[candidates]), strict=True))
        labelled = [index for index, key in keys.items() if key in self.faces]
        for question in questions(self.tasks):
            probabilities = photos.values[question.name][1]
            for stratum in np.unique(strata) if len(strata) else ():
                part = probabilities[strata == stratum]
                sums = self._sums.setdefault(question.name, {})
                size = part.shape[1]
                each = sums.setdefault(str(stratum), _StratumSums(np.zeros(size), np.zeros(size)))
                each.total += part.sum(0)
                each.squares += (part**2).sum(0)
                each.faces += len(part)
            for index in labelled:
                self.found.setdefault(keys[index], {})[question.name] = probabilities[index]

    def check(self) -> None:
        """Raise UsageError if a labelled face is not in the results."""
        if missing := next((key for key in self.faces if key not in self.found), None):
            raise UsageError(f"--labelled names a face that the results lack: {missing.path}, face {missing.face}")

    def estimate(self, question: Question) -> Shares | None:
        """Return the shares with labels, or None if fewer than MIN_IN_STRATUM faces have a label for the question."""
        labelled: dict[str, list[tuple[NDArray[np.float64], int]]] = {}
        sizes = [len(task.labels) for task in question.tasks]
        for key, face in self.faces.items():
            if all(task.name in face.labels for task in question.tasks):
                cell = int(np.ravel_multi_index([face.labels[task.name] for task in question.tasks], sizes))
                labelled.setdefault(face.stratum, []).append((self.found[key][question.name], cell))
        strata = self._pooled(self._sums.get(question.name, {}), labelled)
        if any(len(found) < MIN_IN_STRATUM for _, found in strata):
            return None
        return powered([_make_stratum(sums, found) for sums, found in strata])

    def _pooled(
        self, sums: Mapping[str, _StratumSums], labelled: Mapping[str, list[tuple[NDArray[np.float64], int]]]
    ) -> list[tuple[_StratumSums, list[tuple[NDArray[np.float64], int]]]]:
        """Return the strata with their labelled faces; those with too few of them are one stratum together.

        If that has too few labelled faces too, the largest other stratum is added to it.
        """
        enough = [name for name in sums if len(labelled.get(name, ())) >= MIN_IN_STRATUM]
        few = [name for name in sums if name not in enough]
        if few and sum(len(labelled.get(name, ())) for name in few) < MIN_IN_STRATUM and enough:
            largest = max(enough, key=lambda name: sums[name].faces)
            enough.remove(largest)
            few.append(largest)
        strata = [(sums[name], labelled[name]) for name in enough]
        if few:
            parts = [sums[name] for name in few]
            together = _StratumSums(
                np.sum([each.total for each in parts], 0),
                np.sum([each.squares for each in parts], 0),
                sum(each.faces for each in parts),
            )
            strata.append((together, [each for name in few for each in labelled.get(name, ())]))
        return strata


def _make_stratum(sums: _StratumSums, found: Sequence[tuple[NDArray[np.float64], int]]) -> Stratum:
    mean = sums.total / sums.faces
    variance = np.maximum(sums.squares / sums.faces - mean**2, 0.0)
    labels = np.eye(len(mean))[[cell for _, cell in found]]
    return Stratum(mean, variance, sums.faces, np.array([probabilities for probabilities, _ in found]), labels)
