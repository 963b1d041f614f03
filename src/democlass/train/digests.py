"""Digests of labelled data: what must be the same when a training, or a teacher's answers, are used again."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from democlass.inputs.labels import Example
from democlass.tasks import Task


class FileState(NamedTuple):
    """What a file system says of a file: which it is, its size in bytes, and when it was changed, in ns."""

    device: int
    inode: int
    size: int
    modified: int


def file_states(examples: Iterable[Example]) -> list[FileState | None]:
    """Return the state of each example's file, None where there is no regular file that can be looked up."""
    return [_file_state(example.path) for example in examples]


def labels_digest(examples: Sequence[Example], task: Task) -> str:
    """Return a digest of the images' names and labels, in their order, whatever folder they are all in."""
    labels = (example.labels[task.name] for example in examples)
    return _digest(zip(_relative_names(examples), labels, strict=True))


def files_digest(examples: Sequence[Example], states: Sequence[FileState | None]) -> str:
    """Return a digest of the images' names, sizes and times of change, in their order."""
    marks = ((state.size, state.modified) if state else None for state in states)
    return _digest(zip(_relative_names(examples), marks, strict=True))


def _file_state(path: str) -> FileState | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a NUL character
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _relative_names(examples: Sequence[Example]) -> list[str]:
    """Return the paths below the folder that all examples have in common."""
    folders = {os.path.dirname(example.path) for example in examples}
    try:
        common = os.path.commonpath(folders)
        below = {folder: os.path.relpath(folder or os.curdir, common or os.curdir) for folder in folders}
    except ValueError:  # absolute and relative paths have none
        below = {folder: folder for folder in folders}
    return [os.path.join(below[os.path.dirname(path)], os.path.basename(path)) for path in (e.path for e in examples)]


def _digest(entries: Iterable[object]) -> str:
    found = hashlib.sha256()
    for entry in entries:
        found.update(json.dumps(entry).encode() + b"\n")
    return found.hexdigest()
