"""Collects single inputs from many requests into batches, and processes the batches in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Generic, TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


class Batcher(Generic[Input, Result]):
    """Calls `process` with batches of up to `max_size` inputs, in `threads` threads that each call `initialize` first.

    While other threads are idle, a thread takes a single input and does not wait. The last idle thread takes all inputs
    that are there and waits up to `max_wait` seconds for more. An input that is cancelled before its batch starts is
    never processed.
    """

    def __init__(
        self,
        process: Callable[[Sequence[Input]], Sequence[Result]],
        *,
        max_size: int,
        threads: int,
        max_wait: float,
        initialize: Callable[[], object] = lambda: None,
    ) -> None:
        self._process, self._max_size, self._max_wait, self._initialize = process, max_size, max_wait, initialize
        self._queue: SimpleQueue[tuple[Input, Future[Result]] | None] = SimpleQueue()
        self._collecting, self._count_lock = Lock(), Lock()
        self.idle_threads = 0
        self._threads = [Thread(target=self._run, name="batcher", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Input) -> Future[Result]:
        """Queue one input. The future raises the exception that `process` raised for its batch."""
        future: Future[Result] = Future()
        self._queue.put((item, future))
        return future

    def close(self, timeout: float | None = None) -> None:
        """Process everything in the queue, then end the threads. Does not wait longer than `timeout` seconds.

        One of the threads may call this, for example when it collects garbage; it ends later.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._threads:
            self._queue.put(None)
        for thread in (each for each in self._threads if each is not current_thread()):
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        self._initialize()
        while batch := self._next_batch():
            self._process_batch(batch)

    def _process_batch(self, batch: Sequence[tuple[Input, Future[Result]]]) -> None:
        try:
            results = self._process([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)

    def _next_batch(self) -> list[tuple[Input, Future[Result]]]:
        """Wait for the next batch and return it; an empty list after `close`."""
        batch: list[tuple[Input, Future[Result]]] = []
        deadline = 0.0
        self._change_idle_threads(+1)
        with self._collecting:
            self._change_idle_threads(-1)
            while len(batch) < (1 if self.idle_threads else self._max_size):
                try:
                    entry = self._queue.get(timeout=max(0.0, deadline - time.monotonic()) if batch else None)
                except Empty:
                    break
                if entry is None:
                    if batch:
                        self._queue.put(None)  # end this thread after the batch
                    break
                if entry[1].set_running_or_notify_cancel():
                    deadline = deadline if batch else time.monotonic() + self._max_wait
                    batch.append(entry)
        return batch

    def _change_idle_threads(self, change: int) -> None:
        """Count the threads that wait until they may collect a batch."""
        with self._count_lock:
            self.idle_threads += change
