"""The loader: decodes images ahead of the networks. Errors are values in its stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence

from democlass.errors import ImageError
from democlass.images.face_crop import FaceCrop
from democlass.images.ordered import ordered
from democlass.inputs.item import Item, Source

Loaded = tuple[Item, "Sequence[FaceCrop] | ImageError"]
"""An item with the crops of its faces, or with the error of reading it."""

MAX_CROPS_AHEAD = 2048
"""No further image is decoded while this many faces wait for the networks: about 300 MiB."""

_MAX_WORKERS = 8


def default_workers() -> int:
    """Return the number of processors that this process may use, at most 8."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MAX_WORKERS,
    )


def load(
    items: Iterable[Item],
    read_faces: Callable[[Source], Sequence[FaceCrop]],
    *,
    workers: int,
    ahead: int,
    begin: Callable[[], object] = lambda: None,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[Loaded, None, None]:
    """Yield each item with the crops of its faces, or with the ImageError of reading it, in the order of `items`.

    At most `ahead` items after the yielded one are read in advance, fewer if they have many faces, by `workers`
    threads that each call `begin` first; with 0 workers, in the caller's thread. If this generator ends before its
    last item, it calls `cancel`, which must end running calls of `read_faces`.
    """

    def decode_item(item: Item) -> Loaded:
        try:
            return item, read_faces(item.source)
        except ImageError as error:
            return item, error

    return ordered(items, decode_item, workers=workers, ahead=ahead, is_full=_is_full, begin=begin, cancel=cancel)


def _is_full(waiting: Iterable[Loaded]) -> bool:
    return sum(0 if isinstance(faces, ImageError) else len(faces) for _, faces in waiting) > MAX_CROPS_AHEAD
