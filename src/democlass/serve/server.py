"""The server: uvicorn, with connections of our own, that ends in bounded time."""

from __future__ import annotations

import asyncio
import math
import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from democlass.serve.connection import Connection
from democlass.serve.limits import Limits
from democlass.serve.listener import Listener
from democlass.serve.refusals import Refusal
from democlass.serve.service import Service

_LAST_WORDS = 0.5
"""Seconds for the answers to those whose work was given up."""

_DESCRIPTORS_KEPT, _DESCRIPTORS_OF_A_WORKER = 48, 8


class Server(uvicorn.Server):
    """Serves an app at a socket that listens.

    At its end it accepts no more, finishes what was taken on within `grace` seconds, then gives up the rest and closes
    all connections.
    """

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        service: Service,
        limits: Limits,
        grace: float,
        log: Callable[[str], object],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=math.ceil(limits.idle_timeout),
                timeout_graceful_shutdown=math.ceil(grace + 2 * _LAST_WORDS),
            )
        )
        self._listening, self._service, self._limits, self._grace, self._log = listening, service, limits, grace, log
        self._listener: Listener | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        await super().startup(sockets=[])
        connections: Any = self.server_state.connections
        self._service.metrics.watch_connections(lambda: len(connections))
        self._listener = Listener(self._listening, self._connection, connections, self._limits.connections, self._log)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was taken on, within bounds."""
        assert self._listener is not None
        self._listener.close()
        loop = asyncio.get_running_loop()
        ends = (
            loop.call_later(self._grace, self._service.give_up),
            loop.call_later(self._grace + _LAST_WORDS, self._abort_all),
        )
        await super().shutdown()
        for end in ends:
            end.cancel()
        self._service.give_up()  # also where a second Ctrl-C has skipped the end of the app
        self._listener.stop()

    def _connection(self, is_refused: bool) -> Connection:
        state = self.lifespan.state
        return Connection(self.config, self.server_state, state, self._limits, self._note, is_refused)

    def _note(self, refusal: Refusal) -> None:
        self._service.metrics.errors.labels(refusal.kind).inc()
        self._log(f"no request: {refusal.kind}, {refusal.status_code}")

    def _abort_all(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def affordable_connections(workers: int) -> int:
    """Return how many connections the limit on open files leaves room for, beside so many decoding workers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 2**20
    return soft - _DESCRIPTORS_KEPT - _DESCRIPTORS_OF_A_WORKER * max(1, workers)
