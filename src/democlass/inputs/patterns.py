"""Patterns that the shell did not expand: `scans/*.tif`, `data/**/*.jpg`. The one place that knows what they mean.

`*`, `?` and `[abc]` match within a name, but no dot at its beginning; `**` as a whole part matches any number of
folders. A part that is a name as it stands is that name, whatever characters it has.
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
    """Tell whether a source is a pattern: it has a pattern's characters, and nothing has it for a name."""
    return has_magic(source) and not os.path.lexists(source)


def is_there(source: str) -> bool:
    """Tell whether a source is a file or a folder, or a pattern that matches one."""
    return os.path.lexists(source) or (has_magic(source) and next(_matches(source), None) is not None)


def expand(pattern: str) -> Iterator[str]:
    """Yield what a pattern matches, each name once, in the order of `LC_ALL=C sort`.

    A `**` at the end matches the folder and every folder in it. A folder that can't be listed is yielded itself, so
    that it becomes an error row.
    """
    last = None
    for name in sorted(map(os.fsencode, _matches(pattern))):
        if name != last:
            yield os.fsdecode(name)
        last = name


def _matches(pattern: str) -> Iterator[str]:
    parts = [part for part in pattern.split("/") if part]
    ending = "/" if pattern.endswith("/") else ""
    reached = [("/" if pattern.startswith("/") else "", 0)]  # a path, and how many parts led to it
    while reached:
        path, count = reached.pop()
        part, is_last = parts[count], count + 1 == len(parts)
        try:
            if part == _ANY_FOLDERS:
                names = _folders_from(path)
            else:
                names = _named(path, part, only_folders=not is_last or ending != "")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield path or "."
            continue
        if is_last:
            yield from ((name or ".") + ending for name in names)
        else:
            reached += [(name, count + 1) for name in names]


def _named(base: str, part: str, *, only_folders: bool) -> list[str]:
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


def _folders_from(top: str) -> list[str]:
    """Return a folder and all folders below it that are not hidden, each once, whatever links lead to it."""
    found = []
    seen: set[tuple[int, int]] = set()
    reached = [top] if os.path.isdir(top or ".") else []
    while reached:
        folder = reached.pop()
        inner: list[str] = []
        with suppress(OSError):  # what can't be listed is still a folder
            status = os.stat(folder or ".")
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder or ".") as entries:
                inner = [entry.name for entry in entries if not entry.name.startswith(".") and is_folder(entry)]
        found.append(folder)
        reached += [os.path.join(folder, name) for name in sorted(inner, key=os.fsencode, reverse=True)]
    return found
