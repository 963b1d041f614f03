"""Fingerprints of labelled data: they tell whether saved work was computed from the same data."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from democlass.inputs.labels import Example
from democlass.tasks import Task


class FileStat(NamedTuple):
    """The identity of a file (`device`, `inode`), its size in bytes, and its modification time in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int


def stat_files(examples: Iterable[Example]) -> list[FileStat | None]:
    """Return the FileStat of each example's file, None if it is missing or not a regular file."""
    return [_stat_file(example.path) for example in examples]


def labels_fingerprint(examples: Sequence[Example], task: Task) -> str:
    """Return a SHA-256 of the images' names and labels, in order. Moving the whole folder does not change it."""
    labels = (example.labels[task.name] for example in examples)
    return _fingerprint(zip(_relative_names(examples), labels, strict=True))


def files_fingerprint(examples: Sequence[Example], stats: Sequence[FileStat | None]) -> str:
    """Return a SHA-256 of the images' names, sizes and modification times, in order."""
    entries = ((each.size, each.modified) if each else None for each in stats)
    return _fingerprint(zip(_relative_names(examples), entries, strict=True))


def list_sizes_and_times(examples: Iterable[Example]) -> list[list[int]]:
    """Return `[bytes, modification time in nanoseconds]` of each example's file, an empty list if it is missing.

    A saved list tells later which files have changed: see `find_changed`.
    """
    return [[each.size, each.modified] if each else [] for each in stat_files(examples)]


def find_changed(before: object, now: Sequence[Sequence[int]], ignored: Container[int] = ()) -> list[int]:
    """Return the indices of the files that changed between two results of `list_sizes_and_times`.

    Copying a folder gives all files new times. So if the times of all files differ, only their sizes count. Files
    with an index in `ignored` do not count. `before` comes from a file; if it is no such list for as many files, all
    changed.
    """
    indices = [index for index in range(len(now)) if index not in ignored]
    if not (isinstance(before, list) and len(before) == len(now) and all(isinstance(each, list) for each in before)):
        return indices
    changed = [index for index in indices if before[index] != now[index]]
    if changed != indices:
        return changed
    return [index for index in indices if before[index][:1] != now[index][:1]]


def _stat_file(path: str) -> FileStat | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a NUL character
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _relative_names(examples: Sequence[Example]) -> list[str]:
    """Return the paths relative to the common parent folder of all examples."""
    folders = {os.path.dirname(example.path) for example in examples}
    try:
        common = os.path.commonpath(folders)
        relative = {folder: os.path.relpath(folder or os.curdir, common or os.curdir) for folder in folders}
    except ValueError:  # absolute and relative paths have no common parent
        relative = {folder: folder for folder in folders}
    paths = [example.path for example in examples]
    return [os.path.join(relative[os.path.dirname(path)], os.path.basename(path)) for path in paths]


def _fingerprint(entries: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps(entry).encode() + b"\n")
    return digest.hexdigest()
