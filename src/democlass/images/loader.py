"""The loader: decodes ahead of the networks, hands errors on as values."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable

from democlass.errors import ImageError
from democlass.images.decode import Input, Pixels
from democlass.images.ordered import ordered

Loaded = tuple[Input, "Pixels | ImageError"]

_MOST_WORKERS = 8


def default_workers() -> int:
    """Return one a processor, up to 8."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MOST_WORKERS,
    )


def load(
    inputs: Iterable[Input],
    prepare: Callable[[Input], Pixels],
    *,
    workers: int,
    ahead: int,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[Loaded, None, None]:
    """Yield each input with its pixels, or with the ImageError that reading it raised, in the order of `inputs`.

    At most `ahead` inputs beyond the one yielded are taken and decoded. `workers` 0 decodes in the caller's thread.
    `cancel` must end what `prepare` is doing: it is called when this generator ends before its last item.
    """

    def decode(source: Input) -> Loaded:
        try:
            return source, prepare(source)
        except ImageError as error:
            return source, error

    return ordered(inputs, decode, workers=workers, ahead=ahead, cancel=cancel)
