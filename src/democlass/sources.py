"""What to classify: files, folders, patterns, and names on standard input. Sorted, lazy, safe from loops."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import BinaryIO

from democlass.errors import UsageError

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

STANDARD_INPUT = "-"
_BLOCK = 2**16

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


def find(sources: Iterable[str], walk: Walk, skipped: Counter[str]) -> Iterator[str]:
    """Yield the name of every image, source by source, each folder in the order of `LC_ALL=C sort`.

    What was named is always yielded, whatever it is; what a folder holds besides images is counted in `skipped`, by
    reason. Every folder is searched once, however many links lead to it. A folder that can't be listed is yielded:
    it becomes an error row, and what is in it is not lost without a word.
    """
    seen: set[tuple[int, int]] = set()
    for source in sources:
        if os.path.isdir(source):
            yield from _search(source, "", walk, skipped, seen)
        elif glob.has_magic(source) and not os.path.lexists(source):
            matches = sorted(glob.iglob(source, recursive=True), key=os.fsencode)
            yield from find(matches, walk, skipped) if matches else [source]
        else:
            yield source


def read_names(stream: BinaryIO, *, null: bool = False) -> Iterator[str]:
    """Yield the names that a stream lists, one a line or, with `null`, each ended by a NUL byte. Lazy.

    Raises UsageError where lines hold NUL bytes, which no name does.
    """
    end, decode = (b"\0", os.fsdecode) if null else (b"\n", _line)
    rest = b""
    while block := _read_available(stream):
        if not null and b"\0" in block:
            raise UsageError("standard input has NUL bytes: names that end in them need --null, an image --stdin-image")
        *whole, rest = (rest + block).split(end)
        yield from (decode(name) for name in whole if name)
    if rest:
        yield decode(rest)


def _line(line: bytes) -> str:
    """Return the name on a line; the \r that Windows ends lines with is no part of it, unless a file has that name."""
    name = line.removesuffix(b"\r")
    return os.fsdecode(line if name != line and os.path.lexists(line) else name)


def _read_available(stream: BinaryIO) -> bytes:
    """Read what is there, so that a slow producer's first name is not held back until a block is full."""
    return stream.read1(_BLOCK) if hasattr(stream, "read1") else stream.read(_BLOCK)


def _search(top: str, below: str, walk: Walk, skipped: Counter[str], seen: set[tuple[int, int]]) -> Iterator[str]:
    folder = os.path.join(top, below) if below else top
    try:
        status = os.stat(folder)
        entries = [] if (status.st_dev, status.st_ino) in seen else list(os.scandir(folder))
    except OSError:
        yield folder
        return
    seen.add((status.st_dev, status.st_ino))
    for entry in sorted(entries, key=_order):
        inner = os.path.join(below, entry.name) if below else entry.name
        if not walk.hidden and entry.name.startswith("."):
            skipped[HIDDEN] += 1
        elif _matches(walk.exclude, entry.name, inner):
            skipped[EXCLUDED] += 1
        elif _is_folder(entry):
            if walk.recursive:
                yield from _search(top, inner, walk, skipped, seen)
        elif not _wanted(walk, entry.name, inner):
            skipped[NOT_INCLUDED if walk.include else NOT_AN_IMAGE_NAME] += 1
        elif _is_special(entry):
            skipped[NOT_A_FILE] += 1
        else:
            yield os.path.join(folder, entry.name)


def _order(entry: os.DirEntry[str]) -> bytes:
    """Sort a folder as its contents' paths sort: `a.jpg`, then `a/1.jpg`, then `a0.jpg`."""
    return os.fsencode(entry.name + "/" if _is_folder(entry) else entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a pipe, a socket or a device; a broken link is none: it becomes an error row."""
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _wanted(walk: Walk, name: str, inner: str) -> bool:
    if walk.include:
        return _matches(walk.include, name, inner)
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _matches(patterns: Iterable[str], name: str, inner: str) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(inner, pattern) for pattern in patterns)
