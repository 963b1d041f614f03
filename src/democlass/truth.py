"""Labels files: what people said of images, read for training and for judging; nothing is left out in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from democlass.errors import UsageError
from democlass.tasks import TASKS, Task, folded

if TYPE_CHECKING:
    import pandas as pd

_PATH = "path"
_PATH_COLUMNS = ("path", "file", "filename", "image", "img")
_KNOWN_AS = {"race": {"east_asian": "Asian", "southeast_asian": "Asian", "latino": "Latino_Hispanic"}}
"""Labels of well-known data sets that are ours by another name: FairFace's seven races are merged to six."""


@dataclass(frozen=True)
class Example:
    """An image and what people said of it: `labels` by task name, in the tasks' own spelling."""

    path: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Truth:
    """All examples of a labels file, in its order, and how many rows lack what, by reason."""

    file: Path
    examples: Sequence[Example]
    lacking: Counter[str] = field(default_factory=Counter)

    def of(self, task: Task) -> list[Example]:
        """Return the examples that have a label for a task. Raises UsageError where none has."""
        found = [example for example in self.examples if task.name in example.labels]
        if not found:
            raise UsageError(f"{self.file} has no label for {task.title}: see --map")
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
            left, equals, right = word.partition("=")
            name, colon, theirs = left.partition(":")
            if not equals or name not in (_PATH, *tasks) or (colon and name == _PATH):
                raise UsageError(f"--map {word}: it is path=COLUMN, race=COLUMN or race:THEIRS=OURS, or gender so")
            if not colon:
                columns[name] = right
            elif right in tasks[name].labels:
                labels.setdefault(name, {})[folded(theirs)] = right
            else:
                raise UsageError(f"--map {word}: {tasks[name].title} has the labels {', '.join(tasks[name].labels)}")
        return cls(columns, labels)


def read_truth(file: Path, *, root: Path | None = None, names: Names | None = None) -> Truth:
    """Read a labels file, CSV or Parquet; paths in it are relative to `root`, or else to its folder.

    FairFace's own files are read as they are. Raises UsageError.
    """
    names = names or Names()
    frame = _read(file)
    path_column = _column(frame, file, _PATH, names, _PATH_COLUMNS)
    columns = {task: _column(frame, file, task.name, names, (task.name,), needed=False) for task in TASKS}
    base = file.parent if root is None else root
    lacking: Counter[str] = Counter()
    examples = []
    for row in frame.to_dict("records"):
        labels = {}
        for task, column in columns.items():
            said = row[column].strip() if column else ""
            label = _label(said, task, names)
            if label:
                labels[task.name] = label
            elif column:
                lacking[f"{task.name} {said!r} is no label of ours" if said else f"no label for {task.name}"] += 1
        if row[path_column]:
            examples.append(Example(str(base / row[path_column]), labels))
        else:
            lacking["no path"] += 1
    return Truth(file, examples, lacking)


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(file) if file.suffix in (".parquet", ".pq") else pd.read_csv(file, dtype=str)
    except ImportError:
        raise UsageError(f"{file}: reading Parquet needs one more package: pip install 'democlass[parquet]'") from None
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{file} is no table of labels: {str(error).splitlines()[0]}") from None
    return frame.astype(object).where(frame.notna(), "").astype(str)


def _column(
    frame: pd.DataFrame, file: Path, name: str, names: Names, usual: Sequence[str], *, needed: bool = True
) -> str:
    asked = names.columns.get(name)
    for column in (asked,) if asked else usual:
        if column in frame.columns:
            return str(column)
    if asked or needed:
        raise UsageError(
            f"{file} has no column {asked or name}: it has {', '.join(map(str, frame.columns))}; see --map {name}="
        )
    return ""


def _label(said: str, task: Task, names: Names) -> str | None:
    known = {folded(label): label for label in task.labels}
    known |= _KNOWN_AS.get(task.name, {}) | dict(names.labels.get(task.name, {}))
    return known.get(folded(said))
