"""Find the images in folders: recursively, sorted, lazily, at any depth. Loops of symbolic links are no problem."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

IMAGE_SUFFIXES = frozenset(
    [
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".heif",
        ".hif",
        ".ico",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".jpx",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".sgi",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""The suffixes, in lower case, of the files in a folder that are images if there is no `include`."""

# Reasons for skipped files and folders. They are keys in the run record.
NOT_AN_IMAGE_NAME = "not named like an image"
NOT_INCLUDED = "not matched by --include"
NOT_A_FILE = "not a regular file"
HIDDEN = "hidden"
EXCLUDED = "excluded"


@dataclass(frozen=True)
class Walk:
    """How folders are searched.

    `include` and `exclude` are shell patterns. A pattern matches if it matches the name, or the path relative to the
    folder given by the user (`*` also matches `/`). With `include`, suffixes do not matter.
    """

    recursive: bool = True
    hidden: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def reason_to_skip(self, name: str, relative_path: str, *, is_folder: bool) -> str | None:
        """Return why a file or folder is skipped, or None. `relative_path` is relative to the folder of the user."""
        if not self.hidden and name.startswith("."):
            return HIDDEN
        if _matches(self.exclude, name, relative_path):
            return EXCLUDED
        if is_folder:
            return None
        if self.include:
            return None if _matches(self.include, name, relative_path) else NOT_INCLUDED
        return None if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES else NOT_AN_IMAGE_NAME


class FolderSearch:
    """Searches folders. Each folder is searched once, even if several names or symbolic links lead to it.

    Files that are not images are counted in `skipped`, by reason.
    """

    def __init__(self, walk: Walk, skipped: Counter[str]) -> None:
        self._walk = walk
        self._skipped = skipped
        self._has_patterns = bool(walk.include or walk.exclude)
        # The folders searched so far, by device and inode. If there are patterns, each has its paths relative to the
        # folders of the user, because patterns are matched against these.
        self._searched: dict[int, tuple[str, ...]] = {}

    def search(self, top: str) -> Iterator[str]:
        """Yield the name of every image in a folder, in the order of `LC_ALL=C sort`.

        The name of a folder that can't be listed is yielded too: it becomes an error row, so that its images are not
        lost silently. A folder that was searched before, as part of another folder, is not searched again. But files
        that the patterns skipped there, and do not skip here, are yielded.
        """
        visited: set[int] = set()  # the folders visited in this search, to detect loops of links
        open_folders = [(top, "", self._list(top, "", visited))]
        while open_folders:
            folder, relative_path, entries = open_folders[-1]
            if entries is None:
                open_folders.pop()
                yield folder
            elif not entries:
                open_folders.pop()
            else:
                name = os.fsdecode(entries.pop())
                if name.endswith("/"):
                    path, inner = os.path.join(folder, name[:-1]), _join(relative_path, name[:-1])
                    open_folders.append((path, inner, self._list(path, inner, visited)))
                else:
                    yield os.path.join(folder, name)

    def _list(self, folder: str, relative_path: str, visited: set[int]) -> list[bytes] | None:
        """Return the names in a folder that are not skipped, in reverse order, or None if it can't be listed.

        Names of folders end with a slash. The names are bytes, which need half the memory and sort like the names of
        the file system: `a.jpg`, then `a/1.jpg`, then `a0.jpg`.
        """
        try:
            status = os.stat(folder)
            identity = status.st_dev << 64 | status.st_ino
            earlier_paths = self._searched.get(identity)
            if earlier_paths is not None and (identity in visited or not self._has_patterns):
                return []
            self._searched[identity] = ()
            if self._has_patterns:
                self._searched[identity] = (*(earlier_paths or ()), relative_path)
                visited.add(identity)
            with os.scandir(folder) as entries:
                names = [
                    name
                    for entry in entries
                    if (name := self._select(entry, relative_path, earlier_paths or ())) is not None
                ]
        except OSError:
            return None
        names.sort(reverse=True)
        return names

    def _select(self, entry: os.DirEntry[str], relative_path: str, earlier_paths: tuple[str, ...]) -> bytes | None:
        """Return the name of an entry, or None and count it if it is skipped.

        `relative_path` is the path of its folder, `earlier_paths` are its paths in earlier searches.
        """
        folder = is_folder(entry)

        def reason_at(folder_path: str) -> str | None:
            reason = self._walk.reason_to_skip(entry.name, _join(folder_path, entry.name), is_folder=folder)
            return NOT_A_FILE if reason is None and not folder and _is_special(entry) else reason

        reason = reason_at(relative_path)
        earlier_reasons = [reason_at(path) for path in earlier_paths]
        if reason is not None:
            if not earlier_paths:
                self._skipped[reason] += 1
            return None
        if earlier_reasons and None not in earlier_reasons:
            self._skipped[earlier_reasons[0] or ""] -= 1  # the first of the earlier searches counted it
            self._skipped += Counter()  # removes reasons with a count of 0
        if folder:
            return os.fsencode(entry.name + "/") if self._walk.recursive else None
        return None if None in earlier_reasons else os.fsencode(entry.name)


def _join(relative_path: str, name: str) -> str:
    return f"{relative_path}/{name}" if relative_path else name


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry of a folder is a folder or a symbolic link to one."""
    try:
        return entry.is_dir()
    except OSError:  # for example, a link to itself
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a pipe, a socket or a device. A broken link is not: it becomes an error row."""
    try:
        return not (entry.is_file() or stat.S_ISREG(entry.stat().st_mode))
    except OSError:
        return False


def _matches(patterns: Iterable[str], name: str, relative_path: str) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative_path, pattern) for pattern in patterns)
