"""What images a folder holds: searched to the bottom, sorted, lazy, safe from loops of links and from any depth."""

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
"""In a folder, what is taken for an image by its name (case apart) when no `include` says otherwise."""

NOT_AN_IMAGE_NAME = "not named like an image"
NOT_INCLUDED = "not matched by --include"
NOT_A_FILE = "not a regular file"
HIDDEN = "hidden"
EXCLUDED = "excluded"


@dataclass(frozen=True)
class Walk:
    """How folders are searched.

    `include` and `exclude` are shell patterns, held against the name and against the path below the folder that was
    given (`*` also matches `/`); `include` takes the place of the list of image suffixes.
    """

    recursive: bool = True
    hidden: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def reason_to_skip(self, name: str, below: str, *, is_folder: bool) -> str | None:
        """Return why what has this name, and this path below the folder given, is left out; None if it is not."""
        if not self.hidden and name.startswith("."):
            return HIDDEN
        if _matches(self.exclude, name, below):
            return EXCLUDED
        if is_folder:
            return None
        if self.include:
            return None if _matches(self.include, name, below) else NOT_INCLUDED
        return None if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES else NOT_AN_IMAGE_NAME


class FolderSearch:
    """Searches folders, each once, however many names or links lead to it.

    What a folder holds besides images is counted in `skipped`, by reason.
    """

    def __init__(self, walk: Walk, skipped: Counter[str]) -> None:
        self._walk = walk
        self._skipped = skipped
        self._patterns = bool(walk.include or walk.exclude)
        # By the folder's identity: where it was below the folders given before, if patterns depend on that.
        self._searched: dict[int, tuple[str, ...]] = {}

    def search(self, top: str) -> Iterator[str]:
        """Yield the name of every image in a folder, in the order of `LC_ALL=C sort`.

        A folder that can't be listed is yielded itself: it becomes an error row, and what is in it is not lost
        without a word. A folder that was searched below another one that was given is not searched again, but for
        what the patterns took there and did not take here.
        """
        seen: set[int] = set()  # in this search: then a link leads back
        open_folders = [(top, "", self._list(top, "", seen))]
        while open_folders:
            folder, below, entries = open_folders[-1]
            if entries is None:
                open_folders.pop()
                yield folder
            elif not entries:
                open_folders.pop()
            else:
                name = os.fsdecode(entries.pop())
                if name.endswith("/"):
                    path, inner = os.path.join(folder, name[:-1]), _join(below, name[:-1])
                    open_folders.append((path, inner, self._list(path, inner, seen)))
                else:
                    yield os.path.join(folder, name)

    def _list(self, folder: str, below: str, seen: set[int]) -> list[bytes] | None:
        """Return what is to be taken of a folder, last first, the names of folders with a slash; None if it can't be.

        They are bytes, which take half the memory and sort as the file system's names do: `a.jpg`, then `a/1.jpg`,
        then `a0.jpg`.
        """
        try:
            status = os.stat(folder)
            identity = status.st_dev << 64 | status.st_ino
            before = self._searched.get(identity)
            if before is not None and (identity in seen or not self._patterns):
                return []
            self._searched[identity] = ()
            if self._patterns:
                self._searched[identity] = (*(before or ()), below)
                seen.add(identity)
            with os.scandir(folder) as entries:
                taken = [key for entry in entries if (key := self._take(entry, below, before or ())) is not None]
        except OSError:
            return None
        taken.sort(reverse=True)
        return taken

    def _take(self, entry: os.DirEntry[str], below: str, before: tuple[str, ...]) -> bytes | None:
        """Return an entry's name if it is to be taken, and count it if not; `before` is where the folder was below."""
        folder = is_folder(entry)

        def reason_at(place: str) -> str | None:
            reason = self._walk.reason_to_skip(entry.name, _join(place, entry.name), is_folder=folder)
            return NOT_A_FILE if reason is None and not folder and _is_special(entry) else reason

        reason = reason_at(below)
        reasons_before = [reason_at(place) for place in before]
        if reason is not None:
            if not before:
                self._skipped[reason] += 1
            return None
        if reasons_before and None not in reasons_before:
            self._skipped[reasons_before[0] or ""] -= 1  # it was counted then
            self._skipped += Counter()  # drops what is 0
        if folder:
            return os.fsencode(entry.name + "/") if self._walk.recursive else None
        return None if None in reasons_before else os.fsencode(entry.name)


def _join(below: str, name: str) -> str:
    return f"{below}/{name}" if below else name


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry of a folder is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a pipe, a socket or a device; a broken link is none: it becomes an error row."""
    try:
        return not (entry.is_file() or stat.S_ISREG(entry.stat().st_mode))
    except OSError:
        return False


def _matches(patterns: Iterable[str], name: str, below: str) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(below, pattern) for pattern in patterns)
