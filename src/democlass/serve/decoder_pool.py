"""Decodes images in parallel, in child processes, and keeps slow images from delaying the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from democlass.images.isolation import Cancellation

Result = TypeVar("Result")

_SLOW_AFTER = 1.0
"""Seconds of decoding after which an image counts as slow."""


class DecoderPool:
    """Decodes up to `size` images at once, and up to `size` slow images in addition.

    Each image is decoded by a function that uses a child process and raises CancelledError when its cancellation is
    triggered.
    """

    def __init__(self, size: int) -> None:
        self._size, self._max_running = size, 2 * size
        self._threads = ThreadPoolExecutor(self._max_running, thread_name_prefix="decoder")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._started_at: dict[asyncio.Future[None], float] = {}

    async def decode(self, content: bytes, read: Callable[[bytes, Cancellation], Result]) -> Result:
        """Return `read` of an encoded image. Raises ImageError.

        If this coroutine is cancelled, the decoding process is killed.
        """
        loop = asyncio.get_running_loop()
        slot: asyncio.Future[None] = loop.create_future()
        cancellation = Cancellation()
        self._waiting.append(slot)
        self._start_waiting()
        try:
            await slot
            loop.call_later(_SLOW_AFTER, self._start_waiting)
            return await loop.run_in_executor(self._threads, read, content, cancellation)
        finally:
            cancellation.cancel()
            slot.cancel()
            self._started_at.pop(slot, None)
            self._start_waiting()

    def new_request_limit(self) -> asyncio.Semaphore:
        """Return a semaphore for the images of one request, so that they never use all decoders."""
        return asyncio.Semaphore(self._size)

    def is_stuck(self) -> bool:
        """Tell whether every decoder is busy with a slow image."""
        return len(self._started_at) == self._max_running and self._count_fast() == 0

    def close(self) -> None:
        """End the threads. Everything that is being decoded must have been cancelled before."""
        self._threads.shutdown(cancel_futures=True)

    def _start_waiting(self) -> None:
        """Start decoding waiting images while there are free slots."""
        while self._waiting and len(self._started_at) < self._max_running and self._count_fast() < self._size:
            slot = self._waiting.popleft()
            if not slot.done():
                self._started_at[slot] = time.monotonic()
                slot.set_result(None)

    def _count_fast(self) -> int:
        """Return the number of images being decoded that are not slow yet."""
        slow_since = time.monotonic() - _SLOW_AFTER
        return sum(started > slow_since for started in self._started_at.values())
