"""Items from files, folders and patterns: sorted, lazy, safe from link loops."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from democlass.inputs.folders import FolderSearch
from democlass.inputs.folders import Walk as Walk
from democlass.inputs.item import Item
from democlass.inputs.patterns import expand, is_pattern

STANDARD_INPUT = "-"
"""The source that means: read names from standard input."""


def find(
    sources: Iterable[str],
    walk: Walk,
    skipped: Counter[str],
    *,
    warn: Callable[[str], None] = lambda _: None,
    read_stdin: Callable[[], Iterable[Item]] | None = None,
) -> Iterator[Item]:
    """Yield the items of each source, in the order of the sources; those of a folder in the order of `LC_ALL=C sort`.

    Every path that is named is yielded, each time that it is named, even if the file is missing. Every folder is
    searched once, even if several sources or links lead to it. Files in it that are not images are counted in
    `skipped`, by reason. A folder that cannot be listed is yielded, so that it becomes an error row. A pattern that
    matches nothing is yielded too, and reported to `warn`. `read_stdin`, if given, returns the items for the source
    `-`.
    """
    folders = FolderSearch(walk, skipped)
    for source in sources:
        if source == STANDARD_INPUT and read_stdin is not None:
            yield from read_stdin()
        elif is_pattern(source):
            yield from _find_pattern(source, folders, warn)
        else:
            yield from map(Item.of, _find_path(source, folders))


def _find_pattern(pattern: str, folders: FolderSearch, warn: Callable[[str], None]) -> Iterator[Item]:
    has_matches = False
    for path in expand(pattern):
        has_matches = True
        yield from map(Item.of, _find_path(path, folders))
    if not has_matches:
        warn(f"no file matches {pattern}")
        yield Item.of(pattern)


def _find_path(path: str, folders: FolderSearch) -> Iterator[str]:
    return folders.search(path) if os.path.isdir(path) else iter([path])
