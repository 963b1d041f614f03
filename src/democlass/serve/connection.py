"""One client's connection: uvicorn's HTTP/1.1 with timeouts. Clients may close their sending side early."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from democlass.serve.errors import ApiError, busy_error
from democlass.serve.limits import MIN_RATE, Limits
from democlass.serve.transport import Transport

_PARSED_AT_ONCE = 2**14
"""Bytes that are parsed at once. h11 checks the size of a header only between two calls."""

_MIN_FRAMING, _FRAMING_SHARE = 2**16, 32
"""The framing of a chunked body may take this many bytes, plus one in `_FRAMING_SHARE` of the bytes received. Parsing a
chunk of one byte costs as much time as parsing one of a thousand."""

_MAX_READ_AHEAD = 2**16
"""Bytes of further requests that are read while a response is pending. Reading is how a disconnect is noticed."""


class Connection(H11Protocol):
    """The protocol of one connection.

    `on_error` is called with each error that occurs before there is a complete request. A connection that
    `is_over_limit` gets one response, 503, and is closed.
    """

    transport: Any

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        limits: Limits,
        on_error: Callable[[ApiError], object],
        is_over_limit: bool = False,
    ) -> None:
        super().__init__(config, state, app_state)
        self._limits, self._on_error, self._is_over_limit = limits, on_error, is_over_limit
        self._has_header_started = False
        self._framing_bytes = self._received_bytes = 0
        self.waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a request."""
        super().connection_made(Transport(transport, self._limits.idle_timeout, MIN_RATE))  # type: ignore[arg-type]
        self._start_waiting()
        if self._is_over_limit:
            self._send_error(busy_error(f"{self._limits.connections} connections are open: try again later"))

    def data_received(self, data: bytes) -> None:
        """Parse received data. Discard it once the connection is closed."""
        for start in range(0, len(data), _PARSED_AT_ONCE):
            if self.transport.is_closing():
                return
            self._parse(data[start : start + _PARSED_AT_ONCE])
        read_ahead = len(self.conn.trailing_data[0])
        if self.flow.read_paused and self._has_pending_response() and read_ahead < _MAX_READ_AHEAD:
            self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open if a complete request waits for its response."""
        if self.transport.is_closing() or not self._has_pending_response():
            return False
        self.transport.has_received_eof = True
        if not self.cycle.response_started:
            self.transport.send_first_byte()
        return True

    def on_response_complete(self) -> None:
        """Wait for the next request, or close if none can follow."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._start_waiting()
            if self.transport.has_received_eof:
                self.transport.close()
        elif self.transport.has_received_eof:  # the next request had already been received
            if self.cycle.more_body:
                self.transport.abort()
            else:
                self.transport.send_first_byte()

    def shutdown(self) -> None:
        """Close as soon as no response is pending."""
        if self.transport.is_closing() or (self.is_waiting() and not self.transport.has_unsent_data()):
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Reject data that is not valid HTTP."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else HTTPStatus.BAD_REQUEST
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            api_error = ApiError(status, "headers too large", "the header of the request has more than 16 KiB")
        else:
            reason = str(error or msg).partition(":")[0]
            api_error = ApiError(status, "bad request", f"the request is not valid HTTP/1.1: {reason}")
        self._on_error(api_error)
        self._send_error(api_error)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def check_timeouts(self, now: float) -> None:
        """Close the connection if a timeout has passed. Must be called several times a second."""
        if self.transport.is_dead():
            self.transport.abort()
        elif self.is_waiting() and now - self.waiting_since > self._limits.idle_timeout:
            if self._has_header_started:
                error = ApiError(HTTPStatus.REQUEST_TIMEOUT, "too slow", "the header of the request did not arrive")
                self._on_error(error)
                self._send_error(error)
            self.transport.close()

    def is_waiting(self) -> bool:
        """Tell whether the connection waits for a request or for the rest of a request's header."""
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)

    def _has_pending_response(self) -> bool:
        """Tell whether a complete request was received and its response is not finished."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _start_waiting(self) -> None:
        self.waiting_since = self.loop.time()
        self._has_header_started = False

    def _parse(self, data: bytes) -> None:
        if self.is_waiting() and not self._has_header_started:
            self._start_waiting()
            self._has_header_started = True
        cycle = self.cycle
        body_size = len(cycle.body) if cycle is not None else 0
        super().data_received(data)
        if self.cycle is not cycle:
            self._framing_bytes = self._received_bytes = 0
        elif cycle is not None and cycle.more_body and not self.transport.is_closing():
            self._received_bytes += len(data)
            self._framing_bytes += len(data) - (len(cycle.body) - body_size)
            if self._framing_bytes > _MIN_FRAMING + self._received_bytes // _FRAMING_SHARE:
                self.send_400_response("the chunks of the body are too small")

    def _send_error(self, error: ApiError) -> None:
        """Send an error response without the app, and close."""
        body = json.dumps(error.to_dict()).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *((name.encode(), value.encode()) for name, value in (error.headers or {}).items()),
        ]
        reason = HTTPStatus(error.status_code).phrase.encode()
        try:
            for event in (
                h11.Response(status_code=error.status_code, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:  # another response has started
            self.transport.abort()
            return
        self.transport.close()
