"""A connection: uvicorn's HTTP/1.1, with time limits, and with answers to clients that have finished sending."""

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

from democlass.serve.limits import MIN_RATE, Limits
from democlass.serve.refusals import Refusal, busy
from democlass.serve.transport import Transport

_SLICE = 2**14
"""Bytes that are parsed at once. h11 checks the size of a header only between two of them."""

_FRAMING, _FRAMING_SHARE = 2**16, 32
"""Bytes that the framing of a chunked body may take, and the share of the whole that it may take beyond: parsing a
chunk costs as much time as it has one byte or a thousand."""

_PIPELINED = 2**16
"""Bytes of further requests that are read ahead. Reading on is how a client's end is noticed."""


class Connection(H11Protocol):
    """One client's connection.

    `noted` is called with what is refused before it is a request. A connection that `is_refused` is answered 503, once
    and at once.
    """

    transport: Any

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        limits: Limits,
        noted: Callable[[Refusal], object],
        is_refused: bool = False,
    ) -> None:
        super().__init__(config, state, app_state)
        self._limits, self._noted, self._is_refused = limits, noted, is_refused
        self._header_began = False
        self._framing = self._received = 0
        self.waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(Transport(transport, self._limits.idle_timeout, MIN_RATE))  # type: ignore[arg-type]
        self._wait()
        if self._is_refused:
            self._refuse(busy(f"{self._limits.connections} connections are open: try again in a moment"))

    def data_received(self, data: bytes) -> None:
        """Parse what has come; throw it away once the connection is closed."""
        for start in range(0, len(data), _SLICE):
            if self.transport.is_closing():
                return
            self._parse(data[start : start + _SLICE])
        if self.flow.read_paused and self._owes_an_answer() and len(self.conn.trailing_data[0]) < _PIPELINED:
            self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection where a whole request waits for its answer."""
        if self.transport.is_closing() or not self._owes_an_answer():
            return False
        self.transport.client_finished = True
        if not self.cycle.response_started:
            self.transport.start_answer()
        return True

    def on_response_complete(self) -> None:
        """Wait for the next request, or close where there can be none."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._wait()
            if self.transport.client_finished:
                self.transport.close()
        elif self.transport.client_finished:  # the next one had been sent already
            if self.cycle.more_body:
                self.transport.abort()
            else:
                self.transport.start_answer()

    def shutdown(self) -> None:
        """Close as soon as there is no answer to finish."""
        if self.transport.is_closing() or (self.is_waiting() and not self.transport.is_blocked()):
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else HTTPStatus.BAD_REQUEST
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            refusal = Refusal(status, "headers too large", "the header of a request may have 16 KiB")
        else:
            reason = str(error or msg).partition(":")[0]
            refusal = Refusal(status, "bad request", f"this is not a request in HTTP/1.1: {reason}")
        self._noted(refusal)
        self._refuse(refusal)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def check(self, now: float) -> None:
        """Close what has waited for too long. To be called several times a second."""
        if self.transport.is_abandoned():
            self.transport.abort()
        elif self.is_waiting() and now - self.waiting_since > self._limits.idle_timeout:
            if self._header_began:
                refusal = Refusal(HTTPStatus.REQUEST_TIMEOUT, "too slow", "the header of the request did not come")
                self._noted(refusal)
                self._refuse(refusal)
            self.transport.close()

    def is_waiting(self) -> bool:
        """Tell whether the connection has no request, or not the whole header of one."""
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)

    def _owes_an_answer(self) -> bool:
        """Tell whether a whole request has come and its answer is not finished."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _wait(self) -> None:
        self.waiting_since = self.loop.time()
        self._header_began = False

    def _parse(self, data: bytes) -> None:
        if self.is_waiting() and not self._header_began:
            self._wait()
            self._header_began = True
        cycle = self.cycle
        before = len(cycle.body) if cycle is not None else 0
        super().data_received(data)
        if self.cycle is not cycle:
            before = self._framing = self._received = 0
        elif cycle is not None and cycle.more_body and not self.transport.is_closing():
            self._received += len(data)
            self._framing += len(data) - (len(cycle.body) - before)
            if self._framing > _FRAMING + self._received // _FRAMING_SHARE:
                self.send_400_response("the chunks of the body are too small")

    def _refuse(self, refusal: Refusal) -> None:
        """Answer outside of the app, and close."""
        body = json.dumps({"detail": refusal.detail, "kind": refusal.kind}).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *((name.encode(), value.encode()) for name, value in (refusal.headers or {}).items()),
        ]
        reason = HTTPStatus(refusal.status_code).phrase.encode()
        try:
            for event in (
                h11.Response(status_code=refusal.status_code, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:  # another answer has begun
            self.transport.abort()
            return
        self.transport.close()
