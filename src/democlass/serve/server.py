"""The server: uvicorn with our own connections and listener, and with a bounded shutdown."""

from __future__ import annotations

import asyncio
import math
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from democlass.serve.connection import Connection
from democlass.serve.errors import ApiError
from democlass.serve.limits import Limits
from democlass.serve.listener import Listener
from democlass.serve.service import Service

_ERROR_RESPONSE_TIME = 0.5
"""Seconds for sending error responses to the requests that were cancelled at shutdown."""

_POLL_TIME = 0.02
"""Seconds between two checks whether all requests have their response."""

_APP_SHUTDOWN_TIME = 1.0
"""Seconds that the app may take to end after a second Ctrl-C."""

_RESERVED_DESCRIPTORS, _DESCRIPTORS_PER_WORKER = 48, 8


class Server(uvicorn.Server):
    """Serves an app at a listening socket.

    At shutdown it accepts no more connections, finishes requests in progress for up to `grace` seconds, then cancels
    the others and closes all connections.
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
                timeout_graceful_shutdown=math.ceil(grace + 2 * _ERROR_RESPONSE_TIME),
            )
        )
        self._listening, self._service, self._limits, self._grace, self._log = listening, service, limits, grace, log
        self._listener: Listener | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then accept connections."""
        await super().startup(sockets=[])
        connections: Any = self.server_state.connections
        self._service.metrics.set_connections_source(lambda: len(connections))
        self._listener = Listener(
            self._listening, self._create_connection, connections, self._limits.connections, self._log
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress, within the time limit."""
        assert self._listener is not None
        self._listener.close()
        loop = asyncio.get_running_loop()
        timers = (
            loop.call_later(self._grace, self._service.cancel_pending),
            loop.call_later(self._grace + _ERROR_RESPONSE_TIME, self._abort_connections),
        )
        await super().shutdown()
        for timer in timers:
            timer.cancel()
        if self.force_exit:  # a second Ctrl-C, for which uvicorn does not wait at all
            await self._stop_at_once()
        self._listener.stop()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal arrives. Then raise the signal again, after the event loop has ended.

        uvicorn raises it inside the loop, which would abort requests and log tracebacks.
        """
        with self.capture_signals():
            asyncio.run(self._serve(sockets))

    async def _stop_at_once(self) -> None:
        """Respond to all requests in progress that the service is stopping, then end the app."""
        self._service.cancel_pending()
        deadline = asyncio.get_running_loop().time() + _ERROR_RESPONSE_TIME
        while self.server_state.tasks and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_TIME)
        self._abort_connections()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.lifespan.shutdown(), _APP_SHUTDOWN_TIME)

    def _create_connection(self, is_over_limit: bool) -> Connection:
        state = self.lifespan.state
        return Connection(self.config, self.server_state, state, self._limits, self._record_error, is_over_limit)

    def _record_error(self, error: ApiError) -> None:
        """Count and log an error that occurred before there was a complete request."""
        self._service.metrics.errors.labels(error.kind).inc()
        self._log(f"no request: {error.kind}, {error.status_code}")

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def max_connections(workers: int) -> int:
    """Return how many connections the limit on open files allows, after the files of the decoding workers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 2**20
    return soft - _RESERVED_DESCRIPTORS - _DESCRIPTORS_PER_WORKER * max(1, workers)
