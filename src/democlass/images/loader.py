"""The loader: decodes images ahead of the networks. Errors are values in its stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from democlass.errors import ImageError
from democlass.images.ordered import ordered
from democlass.inputs.item import Item, Source

Result = TypeVar("Result")

_MAX_WORKERS = 8


def default_workers() -> int:
    """Return the number of processors that this process may use, at most 8."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MAX_WORKERS,
    )


def load(
    items: Iterable[Item],
    read: Callable[[Source], Result],
    *,
    workers: int,
    ahead: int,
    is_full: Callable[[Iterable[tuple[Item, Result | ImageError]]], bool] = lambda _: False,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[tuple[Item, Result | ImageError], None, None]:
    """Yield each item with `read` of its source, or with the ImageError that it raised, in the order of `items`.

    At most `ahead` items after the yielded one are read in advance, and none while `is_full` is true of those that
    wait, by `workers` threads; with 0 workers, in the caller's thread. If this generator ends before its last item,
    it calls `cancel`, which must end running calls of `read`.
    """

    def read_item(item: Item) -> tuple[Item, Result | ImageError]:
        try:
            return item, read(item.source)
        except ImageError as error:
            return item, error

    return ordered(items, read_item, workers=workers, ahead=ahead, is_full=is_full, cancel=cancel)
