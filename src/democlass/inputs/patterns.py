"""Patterns that the shell did not expand, such as `scans/*.tif` and `data/**/*.jpg`.

`*`, `?` and `[abc]` match within a name, but do not match a dot at its start. The part `**` matches any number of
folders. A part that is also the exact name of a file or folder means that file or folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from glob import has_magic

from democlass.inputs.folders import is_folder

_ANY_FOLDERS = "**"


def is_pattern(source: str) -> bool:
    """Return whether a source is a pattern: it has pattern characters, and no file or folder has this name."""
    return has_magic(source) and not os.path.lexists(source)


def exists(source: str) -> bool:
    """Return whether a source is a file or folder, or a pattern that matches one."""
    return os.path.lexists(source) or (has_magic(source) and next(_matches(source), None) is not None)


def expand(pattern: str) -> Iterator[str]:
    """Yield the names that a pattern matches, each once, in the order of `LC_ALL=C sort`.

    A `**` at the end matches the folder and all folders in it. The name of a folder that can't be listed is yielded
    too, so that it becomes an error row.
    """
    previous = None
    for name in sorted(map(os.fsencode, _matches(pattern))):
        if name != previous:
            yield os.fsdecode(name)
        previous = name


def _matches(pattern: str) -> Iterator[str]:
    parts = [part for part in pattern.split("/") if part]
    ending = "/" if pattern.endswith("/") else ""
    pending = [("/" if pattern.startswith("/") else "", 0)]  # paths, each with the number of parts it has matched
    while pending:
        path, count = pending.pop()
        part, is_last = parts[count], count + 1 == len(parts)
        try:
            if part == _ANY_FOLDERS:
                names = _find_folders(path)
            else:
                names = _match_names(path, part, only_folders=not is_last or ending != "")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield path or "."
            continue
        if is_last:
            yield from ((name or ".") + ending for name in names)
        else:
            pending += [(name, count + 1) for name in names]


def _match_names(base: str, part: str, *, only_folders: bool) -> list[str]:
    """Return the paths in the folder `base` that one part of a pattern matches."""
    path = os.path.join(base, part)
    if os.path.lexists(path):
        return [path] if os.path.isdir(path) or not only_folders else []
    if not has_magic(part):
        return []
    with os.scandir(base or ".") as entries:
        return [
            os.path.join(base, entry.name)
            for entry in entries
            if fnmatchcase(entry.name, part)
            and (part.startswith(".") or not entry.name.startswith("."))
            and (not only_folders or is_folder(entry))
        ]


def _find_folders(top: str) -> list[str]:
    """Return a folder and all folders in it that are not hidden. Symlinked folders are visited once."""
    found = []
    seen: set[tuple[int, int]] = set()
    pending = [top] if os.path.isdir(top or ".") else []
    while pending:
        folder = pending.pop()
        inner: list[str] = []
        with suppress(OSError):  # a folder that can't be listed still matches
            status = os.stat(folder or ".")
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder or ".") as entries:
                inner = [entry.name for entry in entries if not entry.name.startswith(".") and is_folder(entry)]
        found.append(folder)
        pending += [os.path.join(folder, name) for name in sorted(inner, key=os.fsencode, reverse=True)]
    return found
