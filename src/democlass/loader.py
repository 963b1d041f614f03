"""The loader: decodes ahead of the networks in threads, keeps the order, hands errors on as values."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from democlass.errors import ImageError
from democlass.images import Input, Pixels

Loaded = tuple[Input, "Pixels | ImageError"]

_MOST_WORKERS = 8


def default_workers() -> int:
    """Return one thread a processor, up to 8: Pillow decodes without holding Python's lock."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MOST_WORKERS,
    )


def load(
    inputs: Iterable[Input], prepare: Callable[[Input], Pixels], *, workers: int, ahead: int
) -> Generator[Loaded, None, None]:
    """Yield each input with its pixels, or with the ImageError that reading it raised, in the order of `inputs`.

    At most `ahead` inputs beyond the one yielded are taken and decoded. `workers` 0 decodes in the caller's thread.
    """

    def attempt(source: Input) -> Loaded:
        try:
            return source, prepare(source)
        except ImageError as error:
            return source, error

    if workers == 0:
        yield from map(attempt, inputs)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        pending: deque[Future[Loaded]] = deque()
        try:
            for source in inputs:
                pending.append(pool.submit(attempt, source))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
