"""What to classify: files, folders, patterns, and names on standard input. Sorted, lazy, safe from loops."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from democlass.errors import UsageError
from democlass.inputs.folders import FolderSearch
from democlass.inputs.folders import Walk as Walk
from democlass.inputs.patterns import expand, is_pattern

STANDARD_INPUT = "-"
_BLOCK = 2**16


def find(
    sources: Iterable[str],
    walk: Walk,
    skipped: Counter[str],
    *,
    warn: Callable[[str], None] = lambda _: None,
    read_stdin: Callable[[], Iterable[str]] | None = None,
) -> Iterator[str]:
    """Yield the name of every image, source by source, each folder in the order of `LC_ALL=C sort`.

    What was named is always yielded, whatever it is, as often as it was named; what a folder holds besides images is
    counted in `skipped`, by reason. Over all sources every folder is searched once, however many names or links lead
    to it. A folder that can't be listed is yielded: it becomes an error row, and what is in it is not lost without a
    word. So does a pattern that matches nothing, of which `warn` is told too. `read_stdin`, if it is given, is called
    for the names that the source `-` stands for.
    """
    folders = FolderSearch(walk, skipped)
    for source in sources:
        if source == STANDARD_INPUT and read_stdin is not None:
            yield from read_stdin()
        elif is_pattern(source):
            found = False
            for name in expand(source):
                found = True
                yield from _named(name, folders)
            if not found:
                warn(f"{source} matches nothing")
                yield source
        else:
            yield from _named(source, folders)


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


def _named(name: str, folders: FolderSearch) -> Iterator[str]:
    return folders.search(name) if os.path.isdir(name) else iter([name])
