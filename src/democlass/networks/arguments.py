"""The arguments of `Classifier.load` that are no settings: paths, and what is given task by task."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from democlass.errors import UsageError
from democlass.tasks import Task


def check_paths(weights: Any, checkpoints: Mapping[str, Any]) -> None:
    """Raise UsageError where the folder of weights or a task's checkpoint is anything but a path."""
    named = {f"the checkpoint of {task}": file for task, file in checkpoints.items()}
    for name, value in (named if weights is None else {"weights": weights, **named}).items():
        if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str) or not os.fspath(value):
            raise UsageError(f"{name} must be a path: a text that is not empty, or a path object")


def check_tasks(tasks: Any) -> None:
    """Raise UsageError where `tasks` is anything but a sequence of tasks with different names."""
    if not isinstance(tasks, Sequence) or not tasks or not all(isinstance(task, Task) for task in tasks):
        raise UsageError("tasks must be a list of one Task or more, as democlass.tasks.TASKS is")
    if len({task.name for task in tasks}) < len(tasks):
        raise UsageError("tasks must have different names")


def by_task(name: str, values: Any, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what is given for some of the tasks, by their names. Raises UsageError."""
    if values is None:
        return {}
    known = ", ".join(task.name for task in tasks)
    if not isinstance(values, Mapping):
        raise UsageError(f"{name} must be a dict with some of the keys {known}, not a {type(values).__name__}")
    for key in values:
        if not any(task.name == key for task in tasks):
            raise UsageError(f"{name} has the key {str(key)[:60]!r}, which is no task: the tasks are {known}")
    return dict(values)


def check_labels(labels: Mapping[str, Any]) -> None:
    """Raise UsageError where the labels of a task are anything but a list of texts."""
    for task, names in labels.items():
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"the labels of {task} must be a list of texts, in the order of the network's outputs")
