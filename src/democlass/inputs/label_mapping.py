"""The names that a labels file uses: which column holds what, and which label of ours each of its labels means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from democlass.errors import UsageError
from democlass.tasks import HELPER_TASKS, TASKS, Task, label_key

PATH = "path"
"""The name of the path column in `--map`."""

_USUAL_COLUMNS = {
    PATH: ("path", "file", "filename", "image", "img"),
    **{task.name: (task.name,) for task in (*TASKS, *HELPER_TASKS)},
}
"""Names that are tried for each column, in this order, if `--map` names none."""

_LABEL_ALIASES = {"race": {"east_asian": "Asian", "southeast_asian": "Asian", "latino": "Latino_Hispanic"}}
"""Labels of well-known data sets, by task. FairFace has seven races; both its Asian ones become Asian."""

_MAX_COLUMNS_LISTED = 20
_MAX_NAME_LENGTH = 60
"""Characters of a name from a file that a message repeats."""


@dataclass(frozen=True)
class LabelMapping:
    """Maps the names in a labels file to ours.

    `columns` maps `path` or a task's name to a column. `labels` maps a task's name to a mapping from a label of the
    file, folded, to our label.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, arguments: Sequence[str], tasks: Sequence[Task] = TASKS) -> LabelMapping:
        """Parse `path=COLUMN`, `race=COLUMN` and `race:THEIRS=OURS` for some tasks. Raises UsageError."""
        columns: dict[str, str] = {}
        labels: dict[str, dict[str, str]] = {}
        for argument in arguments:
            name, theirs, value = _split(argument, tasks)
            if theirs is None:
                _set_once(columns, name, value, argument)
            else:
                _set_once(
                    labels.setdefault(name, {}), label_key(theirs), _our_label(name, value, argument, tasks), argument
                )
        return cls(columns, labels)

    def find_label(self, text: str, task: Task) -> str | None:
        """Return our label for a cell of a labels file, or None if the label is unknown."""
        known = {label_key(label): label for label in task.labels}
        known |= _LABEL_ALIASES.get(task.name, {}) | dict(self.labels.get(task.name, {}))
        return known.get(label_key(text))

    def find_columns(self, columns: Sequence[str], file: str, tasks: Sequence[Task] = TASKS) -> dict[str, int]:
        """Return the index of each column to read: `path` first, then each of `tasks` that has a column.

        `file` names the file in messages. Raises UsageError if there is no column of paths or none of labels, if a
        mapped column is missing, or if several columns have the same name.
        """
        indices = {}
        for name in (PATH, *(task.name for task in tasks)):
            mapped = self.columns.get(name)
            candidates = _USUAL_COLUMNS[name] if mapped is None else (mapped,)
            for candidate in candidates:
                index = _find_column(columns, candidate, file, name, is_mapped=mapped is not None)
                if index is not None:
                    indices[name] = index
                    break
            else:
                if mapped is not None:
                    shown = list_columns(columns)
                    raise UsageError(f"{file} has no column {mapped} (--map {name}={mapped}): its columns are {shown}")
        _check_found(indices, columns, file)
        return indices


def list_columns(columns: Sequence[str]) -> str:
    """Return the names of columns for a message; of many, the first ones."""
    shown = ", ".join(shorten(column) or "(no name)" for column in columns[:_MAX_COLUMNS_LISTED])
    hidden = len(columns) - _MAX_COLUMNS_LISTED
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown


def shorten(text: str) -> str:
    """Return a name from a file for a message, the middle of a long one left out."""
    half = _MAX_NAME_LENGTH // 2
    return text if len(text) <= _MAX_NAME_LENGTH else f"{text[:half]}…{text[-half:]}"


def _split(argument: str, tasks: Sequence[Task]) -> tuple[str, str | None, str]:
    """Return the parts of NAME=VALUE or NAME:THEIRS=VALUE; THEIRS is None for the first form. Raises UsageError."""
    # Names in a file may contain any character. Our labels contain no equals sign.
    is_label = ":" in argument.partition("=")[0]
    left, _, value = argument.rpartition("=") if is_label else argument.partition("=")
    name, _, theirs = left.partition(":")
    is_known = name in [task.name for task in tasks] or (name == PATH and not is_label)
    if not (is_known and value and (theirs or not is_label)):
        forms = ", ".join([f"{PATH}=COLUMN", *(f"{task.name}=COLUMN, {task.name}:THEIRS=OURS" for task in tasks)])
        raise UsageError(f"--map {argument}: use one of {forms}")
    return name, theirs if is_label else None, value


def _our_label(task_name: str, text: str, argument: str, tasks: Sequence[Task]) -> str:
    task = next(each for each in tasks if each.name == task_name)
    for label in task.labels:
        if label_key(label) == label_key(text):
            return label
    raise UsageError(f"--map {argument}: the labels of {task.title} are {', '.join(task.labels)}")


def _set_once(mapping: dict[str, str], key: str, value: str, argument: str) -> None:
    if mapping.setdefault(key, value) != value:
        raise UsageError(f"--map {argument} contradicts another --map, which gives {mapping[key]}")


def _find_column(columns: Sequence[str], name: str, file: str, role: str, *, is_mapped: bool) -> int | None:
    """Return the index of a column, or None. Case, spaces and hyphens in the name do not matter.

    A name that `--map` gives means the column that is spelled exactly so, if there is one. Raises UsageError if
    several columns match.
    """
    found = [index for index, column in enumerate(columns) if label_key(column) == label_key(name)]
    exact = [index for index in found if columns[index] == name.strip()]
    if is_mapped and exact:
        found = exact
    if len(found) > 1:
        has_twins = len({columns[index] for index in found}) < len(found)
        advice = "rename one of them in the file" if has_twins else f"choose one with --map {role}=COLUMN"
        names = list_columns([columns[index] for index in found])
        raise UsageError(f"{file} has several columns for {role}: {names}; {advice}")
    return found[0] if found else None


def _check_found(indices: Mapping[str, int], columns: Sequence[str], file: str) -> None:
    """Raise UsageError if there is no column of paths, or none of labels."""
    lacks_labels = indices.keys() <= {PATH}
    missing = [] if PATH in indices else [f"no column of paths ({', '.join(_USUAL_COLUMNS[PATH])})"]
    missing += [f"no column of labels ({', '.join(task.name for task in TASKS)})"] if lacks_labels else []
    if not missing:
        return
    names = [name for name in (PATH, *(task.name for task in TASKS)) if name not in indices]
    names = [name for name in names if name == PATH or lacks_labels]
    options = " ".join(f"--map {name}=COLUMN" for name in names)
    raise UsageError(f"{file} has {' and '.join(missing)}: its columns are {list_columns(columns)}; use {options}")
