"""The loader: decodes images ahead of the networks. Errors are values in its stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence

from democlass.errors import ImageError
from democlass.images.decode import Pixels
from democlass.images.ordered import ordered
from democlass.inputs.item import Item, Source

Loaded = tuple[Item, "Sequence[Pixels] | ImageError"]
"""An item with the pixels of each of its faces, or with the error of reading it."""

_MAX_WORKERS = 8


def default_workers() -> int:
    """Return the number of processors that this process may use, at most 8."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MAX_WORKERS,
    )


def load(
    items: Iterable[Item],
    decode: Callable[[Source], Sequence[Pixels]],
    *,
    workers: int,
    ahead: int,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[Loaded, None, None]:
    """Yield each item with the pixels of its faces, or with the ImageError of reading it, in the order of `items`.

    At most `ahead` items after the yielded one are decoded in advance, by `workers` threads; with 0 workers, in the
    caller's thread. If this generator ends before its last item, it calls `cancel`, which must end running calls of
    `decode`.
    """

    def decode_item(item: Item) -> Loaded:
        try:
            return item, decode(item.source)
        except ImageError as error:
            return item, error

    return ordered(items, decode_item, workers=workers, ahead=ahead, cancel=cancel)
