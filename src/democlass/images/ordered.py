"""Run work ahead in threads and yield its results in order. The loader and the classifier use it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    workers: int,
    ahead: int,
    begin: Callable[[], object] = lambda: None,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, in order. An exception of `work` is raised when its item's turn comes.

    Items are read in the caller's thread, at most `ahead` items after the yielded one. Each thread first calls `begin`.
    With 0 workers, `work` runs in the caller's thread. If this generator ends before its last item, because of an
    exception or because it is closed, it calls `cancel` and then waits for the threads.
    """
    if workers == 0:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix=work.__name__, initializer=begin) as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cancel()
            raise
