"""The batcher: what is asked one by one is answered in batches, by threads of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Answers items by `answer`, which takes up to `size` at once; each of the threads calls `begin` first.

    While several threads are free, each takes one item: nobody waits for company. The last one takes what is there and
    waits at most `wait` seconds for more. What is cancelled before its batch begins costs nothing.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        size: int,
        threads: int,
        wait: float,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self._answer, self._size, self._wait, self._begin = answer, size, wait, begin
        self._asked: SimpleQueue[tuple[Item, Future[Answer]] | None] = SimpleQueue()
        self._gathering, self._counting = Lock(), Lock()
        self._free = 0
        self._threads = [Thread(target=self._work, name="batcher", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> Future[Answer]:
        """Ask for one answer. The future raises what `answer` raised for its batch."""
        future: Future[Answer] = Future()
        self._asked.put((item, future))
        return future

    def close(self, timeout: float | None = None) -> None:
        """Answer all that was asked, then end the threads. Threads that take more than `timeout` seconds are left."""
        end = None if timeout is None else time.monotonic() + timeout
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        self._begin()
        while batch := self._gather():
            self._settle(batch)

    def _settle(self, batch: Sequence[tuple[Item, Future[Answer]]]) -> None:
        try:
            answers = self._answer([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)

    def _gather(self) -> list[tuple[Item, Future[Answer]]]:
        """Return the next batch; none at the end."""
        batch: list[tuple[Item, Future[Answer]]] = []
        until = 0.0
        self._count(+1)
        with self._gathering:
            self._count(-1)
            while len(batch) < (1 if self._free else self._size):
                try:
                    asked = self._asked.get(timeout=max(0.0, until - time.monotonic()) if batch else None)
                except Empty:
                    break
                if asked is None:
                    if batch:
                        self._asked.put(None)  # the end, for when this batch is done
                    break
                if asked[1].set_running_or_notify_cancel():
                    until = until if batch else time.monotonic() + self._wait
                    batch.append(asked)
        return batch

    def _count(self, more: int) -> None:
        """Count the threads that stand in line to gather."""
        with self._counting:
            self._free += more
