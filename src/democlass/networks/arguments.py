"""Checks of the arguments of `Classifier.load` that are not settings: paths, tasks and values for each task."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from democlass.errors import UsageError
from democlass.tasks import Task


def check_paths(weights: Any, checkpoints: Mapping[str, Any]) -> None:
    """Raise UsageError unless the folder of checkpoints, if there is one, and all checkpoints are paths."""
    paths = {f"the checkpoint of {task}": file for task, file in checkpoints.items()}
    if weights is not None:
        paths = {"weights": weights, **paths}
    for name, value in paths.items():
        if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str) or not os.fspath(value):
            raise UsageError(f"{name} must be a path: a string that is not empty, or a path object")


def check_tasks(tasks: Any) -> None:
    """Raise UsageError unless `tasks` is a sequence of at least one task, with different names."""
    if not isinstance(tasks, Sequence) or not tasks or not all(isinstance(task, Task) for task in tasks):
        raise UsageError("tasks must be a list of at least one Task, such as democlass.tasks.TASKS")
    if len({task.name for task in tasks}) < len(tasks):
        raise UsageError("tasks must have different names")


def parse_by_task(name: str, values: Any, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return a copy of an argument that maps task names to values; None is empty.

    Raises UsageError if it is not a mapping, or has a key that is no task's name.
    """
    if values is None:
        return {}
    known = ", ".join(task.name for task in tasks)
    if not isinstance(values, Mapping):
        raise UsageError(f"{name} must be a dict with some of the keys {known}, not a {type(values).__name__}")
    for key in values:
        if not any(task.name == key for task in tasks):
            raise UsageError(f"{name} has the unknown key {str(key)[:60]!r}: the tasks are {known}")
    return dict(values)


def check_labels(labels: Mapping[str, Any]) -> None:
    """Raise UsageError unless the labels of each task are a list of strings."""
    for task, names in labels.items():
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"the labels of {task} must be a list of strings, in the order of the network's outputs")
