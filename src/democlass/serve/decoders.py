"""The decoders: as many images are decoded at once as there are processors, and slow ones do not hold up the others."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from democlass.images.decode import Pixels
from democlass.images.isolation import Cancellation

_SLOW = 1.0
"""Seconds of decoding after which an image is slow."""


class Decoders:
    """Decodes `count` images at once, not counting slow ones, of which there may be `count` more.

    `decode` decodes one image in a process of its own, and raises when its cancellation says so.
    """

    def __init__(self, decode: Callable[[bytes, Cancellation], Sequence[Pixels]], count: int) -> None:
        self._decode, self._count, self._limit = decode, count, 2 * count
        self._threads = ThreadPoolExecutor(self._limit, thread_name_prefix="decoder")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running: dict[asyncio.Future[None], float] = {}

    async def decode(self, content: bytes) -> Sequence[Pixels]:
        """Return the pixels of the faces of an encoded image. Raises ImageError.

        Where this is cancelled, the decoding process is killed.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        cancellation = Cancellation()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
            loop.call_later(_SLOW, self._admit)
            return await loop.run_in_executor(self._threads, self._decode, content, cancellation)
        finally:
            cancellation.cancel()
            turn.cancel()
            self._running.pop(turn, None)
            self._admit()

    def turns(self) -> asyncio.Semaphore:
        """Return what one request takes turns by, so that its images leave decoders to those of others."""
        return asyncio.Semaphore(self._count)

    def are_stuck(self) -> bool:
        """Tell whether every decoder is busy with a slow image."""
        return len(self._running) == self._limit and self._quick() == 0

    def close(self) -> None:
        """End the threads; what they decode must have been cancelled."""
        self._threads.shutdown(cancel_futures=True)

    def _admit(self) -> None:
        """Let those begin for whom there is a place."""
        while self._waiting and len(self._running) < self._limit and self._quick() < self._count:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running[turn] = time.monotonic()
                turn.set_result(None)

    def _quick(self) -> int:
        """Return how many images are being decoded that are not slow yet."""
        slow = time.monotonic() - _SLOW
        return sum(began > slow for began in self._running.values())
