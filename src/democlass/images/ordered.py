"""Run work ahead in threads and yield its results in order. The loader and the classifier use it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
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
    is_full: Callable[[Iterable[Result]], bool] = lambda _: False,
    begin: Callable[[], object] = lambda: None,
    cancel: Callable[[], object] = lambda: None,
) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, in order. An exception of `work` is raised when its item's turn comes.

    Items are read in the caller's thread, at most `ahead` items after the yielded one, and none while `is_full` is true
    of the results that wait to be yielded. Each thread first calls `begin`.
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
                while len(pending) > ahead or (len(pending) > 1 and is_full(_results(pending))):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cancel()
            raise


def until_failure(items: Iterable[Item], failures: list[Exception]) -> Generator[Item, None, None]:
    """Yield the items. If reading them raises an exception, append it to `failures` and end.

    So that what was read before it can be processed first. Interruptions, which are no `Exception`, are raised at once.
    """
    try:
        yield from items
    except Exception as error:
        failures.append(error)


def _results(pending: Iterable[Future[Result]]) -> Iterator[Result]:
    """Yield the results that are there; not those of work that failed, which is raised when its turn comes."""
    for future in pending:
        if future.done() and not future.cancelled() and future.exception() is None:
            yield future.result()
