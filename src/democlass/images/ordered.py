"""Work done ahead in threads, its results in order: what the loader and the classifier both stand on."""

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
    """Yield `work` of each item, in their order; what it raises is raised when its turn comes.

    Items are taken in the caller's thread, at most `ahead` beyond the one yielded. Each of the threads calls `begin`
    first. `workers` 0 works in the caller's thread. Where this ends before the last item, by an exception or because it
    is closed, `cancel` is called; the threads are waited for after that.
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
