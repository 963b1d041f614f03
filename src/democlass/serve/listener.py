"""The listener: accepts connections up to a limit, and goes on where file descriptors run out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from democlass.serve.connection import Connection

_AT_ONCE = 16
"""Connections that are accepted before others have their turn."""

_PAUSE = 0.5
"""Seconds until the next attempt where the system has no file descriptor left."""

_CHECK = 0.1
"""Seconds between two checks of all connections."""

_SILENCE = 30.0
"""Seconds between two lines of the log about too few connections or descriptors."""


class Listener:
    """Accepts what comes to a socket, at most `limit` connections at once.

    `make` returns the protocol of a new connection, which it is to refuse where it is told so. Where the limit is
    reached, the connection that has waited longest for a request makes room.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[bool], Connection],
        connections: Iterable[Connection],
        limit: int,
        log: Callable[[str], object],
    ) -> None:
        self._socket, self._make, self._connections, self._limit, self._log = listening, make, connections, limit, log
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._checking = self._loop.create_task(self._check())
        self._resuming: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept no more. Open connections stay, and are checked no more once `stop` is called."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def stop(self) -> None:
        """End the checks."""
        self._checking.cancel()

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            is_full = len(self._live()) + len(self._opening) >= self._limit
            if is_full and self._opening:  # wait until these can make room
                return
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor, or no memory: asyncio would complain thousands of times a second
                self._complain(f"no connection can be accepted: {error.strerror}")
                self._make_room(_AT_ONCE)
                self._loop.remove_reader(self._socket.fileno())
                self._resuming = self._loop.call_later(_PAUSE, self._resume)
                return
            client.setblocking(False)
            is_refused = is_full and not self._make_room(1)
            if is_refused:
                self._complain(f"{self._limit} connections are open: more are refused")
            opening = self._loop.create_task(self._open(client, is_refused))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket, is_refused: bool) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(is_refused), client)
        except OSError:  # it is gone already
            client.close()

    def _make_room(self, count: int) -> bool:
        """Close the connections that matter least, up to so many, and tell whether there were any.

        First go those that are being closed, then those without a request, then those whose client does not read.
        """
        ranked = [
            (0 if each.transport.is_closing() else 1 if each.is_waiting() else 2, each.waiting_since, number, each)
            for number, each in enumerate(self._live())
            if each.transport.is_closing() or each.is_waiting() or each.transport.is_blocked()
        ]
        chosen = sorted(ranked)[:count]
        for *_, connection in chosen:
            connection.transport.abort()
        return bool(chosen)

    def _live(self) -> list[Connection]:
        return [each for each in self._connections if not each.transport.is_aborted]

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK)
            now = self._loop.time()
            for connection in [*self._connections]:
                connection.check(now)

    def _complain(self, text: str) -> None:
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + _SILENCE
            self._log(text)
