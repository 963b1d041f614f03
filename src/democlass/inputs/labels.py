"""Labels files: the labels that annotators gave to images, for training and evaluation.

Every row that is not used is counted, with the reason.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from democlass.errors import UsageError
from democlass.inputs.identity import current_folder, file_key
from democlass.inputs.label_mapping import LabelMapping, list_columns, shorten
from democlass.inputs.label_table import Row, open_table
from democlass.tasks import TASKS, Task

_MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""Cells that mean a missing label, unless `--map` says otherwise. They are ordinary names in the column of paths."""

_MAX_REASONS = 20
"""Different unknown labels that are counted separately."""


@dataclass(frozen=True, slots=True)
class Example:
    """An image and its labels: `labels` maps a task's name to one of the task's labels."""

    path: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class LabelSet:
    """The images of a labels file, in the file's order, each image once.

    `excluded` counts rows, or labels in them, that are not used, by reason. `columns` are the file's columns.
    """

    file: Path
    examples: Sequence[Example]
    excluded: Counter[str] = field(default_factory=Counter)
    columns: Sequence[str] = ()

    def of(self, task: Task) -> list[Example]:
        """Return the examples that have a label for a task. Raises UsageError if there are none."""
        found = [example for example in self.examples if task.name in example.labels]
        if not found:
            raise UsageError(
                f"{self.file} has no label for {task.title}: its columns are {list_columns(self.columns)}; "
                f"see --map {task.name}=COLUMN"
            )
        return found


def read_labels(
    file: Path, *, root: Path | None = None, mapping: LabelMapping | None = None, tasks: Sequence[Task] = TASKS
) -> LabelSet:
    """Read the labels for `tasks` from a labels file, CSV or Parquet.

    Paths in it are relative to `root`; by default to the file's folder. FairFace's own files need no mapping. An
    image that several rows name, with any spelling of its path, becomes one example; if its rows have different
    labels for a task, it has no label for that task. Raises UsageError.
    """
    mapping = mapping or LabelMapping()
    base = str(file.parent if root is None else root)
    with open_table(file) as table:
        indices = mapping.find_columns(table.columns, str(file), tasks)
        found = [task for task in tasks if task.name in indices]
        builder = _ExampleBuilder("" if base == "." else base, found, mapping)
        for row in table.rows(list(indices.values())):
            builder.add(row)
    return LabelSet(file, builder.examples, builder.excluded, tuple(table.columns))


class _ExampleBuilder:
    """Builds examples from rows. A row has the path, then a cell for each of `tasks`."""

    def __init__(self, base: str, tasks: Sequence[Task], mapping: LabelMapping) -> None:
        self.examples: list[Example] = []
        self.excluded: Counter[str] = Counter()
        self._base = base
        self._tasks = tasks
        self._mapping = mapping
        self._folder = current_folder()
        self._numbers: dict[bytes, int] = {}
        self._conflicts: dict[int, set[str]] = {}
        self._first_conflicts: dict[str, str] = {}
        # Many rows have few combinations of labels, so that examples share their dicts.
        self._cached_labels = lru_cache(1024)(self._parse_labels)

    def add(self, row: Row | None) -> None:
        """Add a row; None means a row with too many cells."""
        if row is None:
            self.excluded["more cells than columns"] += 1
            return
        labels, reasons = self._cached_labels(row[1:])
        for reason, group in reasons:
            is_separate = reason in self.excluded or len(self.excluded) < _MAX_REASONS
            self.excluded[reason if is_separate else group] += 1
        if not row[0].strip():
            self.excluded["no path"] += 1
        elif "\0" in row[0]:
            self.excluded["a path with a NUL character"] += 1
        else:
            self._add_example(os.path.join(self._base, row[0]), labels)

    def _add_example(self, path: str, labels: Mapping[str, str]) -> None:
        number = self._numbers.setdefault(file_key(path, self._folder), len(self.examples))
        if number == len(self.examples):
            self.examples.append(Example(path, labels))
        else:
            self._merge(number, labels)

    def _merge(self, number: int, labels: Mapping[str, str]) -> None:
        """Add the labels of another row of an image; remove labels that differ between its rows."""
        first = self.examples[number]
        conflicts = self._conflicts.setdefault(number, set())
        new = [task for task, label in labels.items() if task in conflicts or first.labels.get(task, label) != label]
        conflicts.update(new)
        merged = {task: label for task, label in {**labels, **first.labels}.items() if task not in conflicts}
        self.examples[number] = Example(first.path, merged)
        for task in new:
            shown = self._first_conflicts.setdefault(task, shorten(first.path))
            self.excluded[f"different {task} in another row of the same image; none is used (first: {shown})"] += 1
        if not new:
            self.excluded["duplicate of another row; the image counts once"] += 1

    def _parse_labels(self, cells: Row) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Return the labels of a row and the reasons why others are missing.

        A reason comes with a more general one, which is counted instead once there are many.
        """
        labels, reasons = {}, []
        for task, cell in zip(self._tasks, cells, strict=True):
            if label := self._mapping.find_label(cell, task):
                labels[task.name] = label
            elif cell.strip().casefold() in _MISSING:
                reasons.append((f"no label for {task.name}",) * 2)
            else:
                reasons.append((f"unknown {task.name} {shorten(cell.strip())!r}", f"other unknown {task.name}"))
        return labels, reasons
