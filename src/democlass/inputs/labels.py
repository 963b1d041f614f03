"""Labels files: what people said of images, read for training and for evaluation; nothing is left out silently."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from democlass.errors import UsageError
from democlass.inputs.label_table import open_table
from democlass.tasks import TASKS, Task, label_key

_PATH = "path"
_PATH_COLUMNS = ("path", "file", "filename", "image", "img")
_KNOWN_AS = {"race": {"east_asian": "Asian", "southeast_asian": "Asian", "latino": "Latino_Hispanic"}}
"""Labels of well-known data sets that are ours by another name: FairFace's seven races are merged to six."""

_NO_LABEL = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""What stands for a missing label, unless --map says otherwise. A path may have any of these names."""

_MOST_SHOWN = 20
"""Columns that a message lists, and unknown labels that are counted each on its own."""
_LONGEST_SHOWN = 60
"""Characters of a name from a file that a message repeats."""


@dataclass(frozen=True, slots=True)
class Example:
    """An image and what people said of it: `labels` by task name, in the tasks' own spelling."""

    path: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class LabelSet:
    """All images of a labels file, in its order, each once; and how many rows lack what, by reason."""

    file: Path
    examples: Sequence[Example]
    lacking: Counter[str] = field(default_factory=Counter)
    columns: Sequence[str] = ()

    def of(self, task: Task) -> list[Example]:
        """Return the examples that have a label for a task. Raises UsageError where none has."""
        found = [example for example in self.examples if task.name in example.labels]
        if not found:
            raise UsageError(
                f"{self.file} has no label for {task.title}: its columns are {_listed(self.columns)}; "
                f"see --map {task.name}=COLUMN"
            )
        return found


@dataclass(frozen=True)
class Names:
    """What columns and labels are called in a file: `columns` by our name, `labels` by task and folded name."""

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Sequence[str]) -> Names:
        """Read `path=COLUMN`, `race=COLUMN` and `race:THEIRS=OURS`. Raises UsageError."""
        columns: dict[str, str] = {}
        labels: dict[str, dict[str, str]] = {}
        tasks = {task.name: task for task in TASKS}
        for word in words:
            # Their labels and columns may hold any character; our labels have no equals sign.
            of_label = ":" in word.partition("=")[0]
            left, equals, right = word.rpartition("=") if of_label else word.partition("=")
            name, _, theirs = left.partition(":")
            known = name in tasks or (name == _PATH and not of_label)
            if not (equals and known and right and (theirs or not of_label)):
                raise UsageError(f"--map {word}: it is path=COLUMN, race=COLUMN or race:THEIRS=OURS, or gender so")
            if not of_label:
                _set_once(columns, name, right, word)
            elif ours := next((label for label in tasks[name].labels if label_key(label) == label_key(right)), None):
                _set_once(labels.setdefault(name, {}), label_key(theirs), ours, word)
            else:
                raise UsageError(f"--map {word}: {tasks[name].title} has the labels {', '.join(tasks[name].labels)}")
        return cls(columns, labels)


def read_labels(file: Path, *, root: Path | None = None, names: Names | None = None) -> LabelSet:
    """Read a labels file, CSV or Parquet; paths in it are relative to `root`, or else to its folder.

    FairFace's own files are read as they are. An image that several rows name, in whatever spelling of its path, is
    one example; labels that contradict each other are not used. Raises UsageError.
    """
    names = names or Names()
    base = str(file.parent if root is None else root)
    with open_table(file) as table:
        places = _places(table.columns, file, names)
        rows = _Rows("" if base == "." else base, list(places)[1:], names)
        for row in table.rows(list(places.values())):
            rows.add(row)
    return LabelSet(file, rows.examples, rows.lacking, tuple(table.columns))


def same_image(path: str | os.PathLike[str]) -> str:
    """Return what all names of an image have in common: its own name in a folder, which links may lead to."""
    name = os.fspath(path)
    if not os.path.isabs(name):
        name = os.path.join(os.getcwd(), name)
    folder, own = os.path.split(name)
    return os.path.realpath(name) if own in ("", ".", "..") else os.path.join(_real_folder(folder), own)


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


class _Rows:
    """Makes examples of rows: a path, then what people said for each task in `tasks`."""

    def __init__(self, base: str, tasks: Sequence[str], names: Names) -> None:
        self.examples: list[Example] = []
        self.lacking: Counter[str] = Counter()
        self._base = base
        self._tasks = [task for task in TASKS if task.name in tasks]
        self._names = names
        self._numbers: dict[str, int] = {}
        self._disputed: dict[int, set[str]] = {}
        self._first_disputed: dict[str, str] = {}
        self._labels = lru_cache(1024)(self._labels_of)  # few combinations, many rows: examples share their labels

    def add(self, row: Sequence[str] | None) -> None:
        """Take a row, None for one that has too many cells."""
        if row is None:
            self.lacking["more cells than columns"] += 1
            return
        labels, reasons = self._labels(tuple(row[1:]))
        for reason, in_short in reasons:
            counted = reason in self.lacking or len(self.lacking) < _MOST_SHOWN
            self.lacking[reason if counted else in_short] += 1
        if not row[0].strip():
            self.lacking["no path"] += 1
        elif "\0" in row[0]:
            self.lacking["a path with a NUL character"] += 1
        else:
            self._add(os.path.join(self._base, row[0]), labels)

    def _add(self, path: str, labels: Mapping[str, str]) -> None:
        number = self._numbers.setdefault(same_image(path), len(self.examples))
        if number == len(self.examples):
            self.examples.append(Example(path, labels))
            return
        first = self.examples[number]
        disputed = self._disputed.setdefault(number, set())
        contradicted = [
            task for task, label in labels.items() if task in disputed or first.labels.get(task, label) != label
        ]
        disputed.update(contradicted)
        used = {task: label for task, label in {**labels, **first.labels}.items() if task not in disputed}
        self.examples[number] = Example(first.path, used)
        for task in contradicted:
            shown = self._first_disputed.setdefault(task, _cut(first.path))
            self.lacking[f"{task} contradicts another row of the same image, neither is used (first: {shown})"] += 1
        if not contradicted:
            self.lacking["an image that another row names: it counts once"] += 1

    def _labels_of(self, said: Sequence[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Return the labels of a row, and what it lacks: the reason, and what to count it as after many others."""
        labels, reasons = {}, []
        for task, text in zip(self._tasks, said, strict=True):
            if label := _label(text, task, self._names):
                labels[task.name] = label
            elif text.strip().casefold() in _NO_LABEL:
                reasons.append((f"no label for {task.name}",) * 2)
            else:
                unknown = f"{task.name} {_cut(text.strip())!r} is no label of ours"
                reasons.append((unknown, f"another {task.name} that is no label of ours"))
        return labels, reasons


def _places(columns: Sequence[str], file: Path, names: Names) -> dict[str, int]:
    """Return where the columns are, of paths first, then of the tasks that have one. Raises UsageError."""
    usual = {_PATH: _PATH_COLUMNS, **{task.name: (task.name,) for task in TASKS}}
    found = {}
    for name, candidates in usual.items():
        asked = names.columns.get(name)
        for candidate in candidates if asked is None else (asked,):
            if (place := _place(columns, candidate, file, name)) is not None:
                found[name] = place
                break
        else:
            if asked is not None:
                raise UsageError(f"{file} has no column {asked} (--map {name}={asked}): it has {_listed(columns)}")
    no_labels = found.keys() <= {_PATH}
    lacks = [] if _PATH in found else [f"no column of paths ({', '.join(_PATH_COLUMNS)})"]
    lacks += [f"no column of labels ({', '.join(task.name for task in TASKS)})"] if no_labels else []
    if lacks:
        maps = [f"--map {name}=COLUMN" for name in usual if name not in found and (name == _PATH or no_labels)]
        raise UsageError(f"{file} has {' and '.join(lacks)}: its columns are {_listed(columns)}; give {' '.join(maps)}")
    return found


def _place(columns: Sequence[str], wanted: str, file: Path, name: str) -> int | None:
    """Return where a column is: the name as it is, or else without regard to case, spaces and hyphens."""
    found = [place for place, column in enumerate(columns) if column == wanted.strip()]
    found = found or [place for place, column in enumerate(columns) if label_key(column) == label_key(wanted)]
    if len(found) > 1:
        same = len({columns[place] for place in found}) < len(found)
        advice = "rename one in the file" if same else f"give --map {name}=COLUMN"
        raise UsageError(f"{file} has several columns {_listed([columns[place] for place in found])}: {advice}")
    return found[0] if found else None


def _set_once(names: dict[str, str], key: str, value: str, word: str) -> None:
    if names.setdefault(key, value) != value:
        raise UsageError(f"--map {word}: another --map says {names[key]}")


def _label(said: str, task: Task, names: Names) -> str | None:
    known = {label_key(label): label for label in task.labels}
    known |= _KNOWN_AS.get(task.name, {}) | dict(names.labels.get(task.name, {}))
    return known.get(label_key(said))


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(_cut(column) or "(no name)" for column in columns[:_MOST_SHOWN])
    return f"{shown} and {len(columns) - _MOST_SHOWN:,} more" if len(columns) > _MOST_SHOWN else shown


def _cut(text: str) -> str:
    half = _LONGEST_SHOWN // 2
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:half]}…{text[-half:]}"
