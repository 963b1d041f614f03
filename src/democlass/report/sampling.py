"""A stratified random sample of the faces in results, for people to label."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from democlass.errors import UsageError
from democlass.report.reading import read_pieces
from democlass.results import OK
from democlass.tasks import TASKS, Task

STRATUM, WEIGHT = "stratum", "weight"
"""Columns of a sample, beside `path`, `face` and one column for each task, which people fill in."""

MIN_IN_STRATUM = 2
"""Faces of a stratum that are labelled at least, so that their variance can be estimated."""

ALL = "all"
"""The stratum of all faces, if they are not divided."""


class Key(NamedTuple):
    """A face: the path of its image, and its number, -1 without face detection."""

    path: str
    face: int


@dataclass(frozen=True)
class SampledFace:
    """A face of a sample. `weight` is the number of faces of its stratum, divided by those of the sample."""

    key: Key
    stratum: str
    weight: float


def draw_sample(
    files: Sequence[Path], size: int, strata: Sequence[Task], *, seed: int, tasks: Sequence[Task] = TASKS
) -> list[SampledFace]:
    """Return a sample of `size` faces, in random order.

    Strata are the combinations of the predicted labels of some tasks. Each has a number of faces in proportion to its
    size, at least MIN_IN_STRATUM. Reads the results once and holds at most `size` faces of each stratum (algorithm R of
    Vitter, "Random sampling with a reservoir", 1985). Raises UsageError.
    """
    rng = np.random.default_rng(seed)
    reservoirs: dict[str, list[Key]] = {}
    counts: dict[str, int] = {}
    for stratum, key in _faces(files, strata, tasks):
        reservoir = reservoirs.setdefault(stratum, [])
        counts[stratum] = counts.get(stratum, 0) + 1
        if len(reservoir) < size:
            reservoir.append(key)
        elif (place := int(rng.integers(counts[stratum]))) < size:
            reservoir[place] = key
    total = sum(counts.values())
    if not total:
        raise UsageError("the results have no classified face")
    sample = []
    for stratum in sorted(reservoirs):
        wanted = max(MIN_IN_STRATUM, round(size * counts[stratum] / total))
        chosen = rng.permutation(len(reservoirs[stratum]))[:wanted]
        weight = counts[stratum] / len(chosen)
        sample += [SampledFace(reservoirs[stratum][index], stratum, weight) for index in chosen]
    return [sample[index] for index in rng.permutation(len(sample))]


def format_sample(sample: Iterable[SampledFace], tasks: Sequence[Task] = TASKS) -> bytes:
    """Return the CSV of a sample, in UTF-8. The columns of the tasks are empty: people fill them in."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "face", *(task.name for task in tasks), STRATUM, WEIGHT])
    for each in sample:
        face = "" if each.key.face < 0 else each.key.face
        writer.writerow([each.key.path, face, *("" for _ in tasks), each.stratum, f"{each.weight:.6g}"])
    return text.getvalue().encode(errors="surrogateescape")


def strata_of(faces: pd.DataFrame, tasks: Sequence[Task]) -> list[str]:
    """Return the stratum of each face, such as `race=White;gender=Male`, or `all` without tasks."""
    if not tasks:
        return [ALL] * len(faces)
    columns = [(f"{task.name}=" + faces[task.name].astype(str)).tolist() for task in tasks]
    return [";".join(parts) for parts in zip(*columns, strict=True)]


def tasks_of(stratum: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks whose labels are in the name of a stratum. Raises StopIteration if it is no such name."""
    if stratum == ALL:
        return []
    names = [part.partition("=")[0] for part in stratum.split(";")]
    return [next(task for task in tasks if task.name == name) for name in names]


def keys_of(faces: pd.DataFrame) -> list[Key]:
    """Return the key of each face."""
    return [Key(*each) for each in zip(faces["path"], faces["face"].fillna(-1).astype(int), strict=True)]


def _faces(files: Sequence[Path], strata: Sequence[Task], tasks: Sequence[Task]) -> Iterable[tuple[str, Key]]:
    for file in files:
        for piece in read_pieces(file, tasks):
            faces = piece[piece["status"] == OK]
            yield from zip(strata_of(faces, strata), keys_of(faces), strict=True)
