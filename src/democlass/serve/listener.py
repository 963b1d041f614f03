"""The listener: accepts connections up to a limit, and keeps working when there are no free file descriptors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from democlass.serve.connection import Connection

_ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before other tasks of the event loop run."""

_RETRY_DELAY = 0.5
"""Seconds until the next attempt when the system has no free file descriptor."""

_CHECK_INTERVAL = 0.1
"""Seconds between two checks of all connections for timeouts."""

_LOG_INTERVAL = 30.0
"""Minimum seconds between two log lines about too many connections or too few descriptors."""


class Listener:
    """Accepts connections at a socket, at most `limit` at once.

    `create_connection` returns the protocol of a new connection; its argument tells whether the connection exceeds the
    limit and must be rejected. At the limit, the connection that has waited longest for a request is closed first.
    """

    def __init__(
        self,
        listening: socket.socket,
        create_connection: Callable[[bool], Connection],
        connections: Iterable[Connection],
        limit: int,
        log: Callable[[str], object],
    ) -> None:
        self._socket, self._create_connection, self._connections = listening, create_connection, connections
        self._limit, self._log = limit, log
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._checking = self._loop.create_task(self._check_connections())
        self._retry: asyncio.TimerHandle | None = None
        self._next_log_time = 0.0
        listening.setblocking(False)
        self._start_accepting()

    def close(self) -> None:
        """Accept no more connections. Open ones stay, and are checked for timeouts until `stop`."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def stop(self) -> None:
        """Stop checking the open connections."""
        self._checking.cancel()

    def _start_accepting(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept_waiting)

    def _accept_waiting(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            is_full = len(self._live_connections()) + len(self._opening) >= self._limit
            if is_full and self._opening:  # when these are open, one of them may be closed for the next
                return
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no free descriptor or memory; asyncio would log this thousands of times a second
                self._pause_accepting(error)
                return
            self._open(client, is_over_limit=is_full and not self._close_least_important(1))

    def _pause_accepting(self, error: OSError) -> None:
        self._log_rarely(f"no connection can be accepted: {error.strerror}")
        self._close_least_important(_ACCEPTED_AT_ONCE)
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(_RETRY_DELAY, self._start_accepting)

    def _open(self, client: socket.socket, *, is_over_limit: bool) -> None:
        client.setblocking(False)
        if is_over_limit:
            self._log_rarely(f"{self._limit} connections are open: further ones are rejected")
        opening = self._loop.create_task(self._connect(client, is_over_limit))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _connect(self, client: socket.socket, is_over_limit: bool) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self._create_connection(is_over_limit), client)
        except OSError:  # the client has already disconnected
            client.close()

    def _close_least_important(self, count: int) -> bool:
        """Close up to `count` connections and return whether there were any that could be closed.

        Connections that are closing anyway go first, then those without a request, then those whose client does not
        read.
        """
        ranked = [
            (0 if each.transport.is_closing() else 1 if each.is_waiting() else 2, each.waiting_since, number, each)
            for number, each in enumerate(self._live_connections())
            if each.transport.is_closing() or each.is_waiting() or each.transport.has_unsent_data()
        ]
        closed = sorted(ranked)[:count]
        for *_, connection in closed:
            connection.transport.abort()
        return bool(closed)

    def _live_connections(self) -> list[Connection]:
        return [each for each in self._connections if not each.transport.is_aborted]

    async def _check_connections(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL)
            now = self._loop.time()
            for connection in [*self._connections]:
                connection.check_timeouts(now)

    def _log_rarely(self, text: str) -> None:
        now = self._loop.time()
        if now >= self._next_log_time:
            self._next_log_time = now + _LOG_INTERVAL
            self._log(text)
