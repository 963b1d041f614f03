"""The arguments of `Classifier.load` that are not settings: paths, tasks and values for each task."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from democlass.errors import UsageError
from democlass.networks.locations import Location, locate
from democlass.tasks import Task


def locate_all(tasks: Any, weights: Any, checkpoints: Any) -> dict[str, Location]:
    """Return where the checkpoint of each task is: in `checkpoints`, or in the folder `weights`, or built in.

    Raises UsageError if an argument is of a wrong type, CheckpointError if there is no checkpoint.
    """
    _check_tasks(tasks)
    by_task = _parse_by_task("checkpoints", checkpoints, tasks)
    _check_paths(weights, by_task)
    folder = None if weights is None else Location(Path(weights), "argument weights")
    files = {name: Location(Path(file), "argument checkpoints") for name, file in by_task.items()}
    return {task.name: locate(task, file=files.get(task.name), folder=folder) for task in tasks}


def parse_labels(labels: Any, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the labels of each task that has some. Raises UsageError unless each is a list of strings."""
    by_task = _parse_by_task("labels", labels, tasks)
    for task, names in by_task.items():
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"the labels of {task} must be a list of strings, in the order of the network's outputs")
    return by_task


def _check_paths(weights: Any, checkpoints: Mapping[str, Any]) -> None:
    """Raise UsageError unless the folder of checkpoints, if there is one, and all checkpoints are paths."""
    paths = {f"the checkpoint of {task}": file for task, file in checkpoints.items()}
    if weights is not None:
        paths = {"weights": weights, **paths}
    for name, value in paths.items():
        if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str) or not os.fspath(value):
            raise UsageError(f"{name} must be a path: a string that is not empty, or a path object")


def _check_tasks(tasks: Any) -> None:
    """Raise UsageError unless `tasks` is a sequence of at least one task, with different names."""
    if not isinstance(tasks, Sequence) or not tasks or not all(isinstance(task, Task) for task in tasks):
        raise UsageError("tasks must be a list of at least one Task, such as democlass.tasks.TASKS")
    if len({task.name for task in tasks}) < len(tasks):
        raise UsageError("tasks must have different names")


def _parse_by_task(name: str, values: Any, tasks: Sequence[Task]) -> dict[str, Any]:
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
