"""The transport of a connection: delivers the whole response before it closes, and detects dead clients."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

_LINGER_TIMEOUT = 2.0
"""Seconds for which a client may still send after we have closed our side of the connection. The data is discarded. If
we closed with unread data, the client's system might discard the response."""

_RESPONSE_START = b"HTTP/1.1 "
"""The first bytes of every response."""


class Transport:
    """Wraps the transport of a connection for its protocol. `close` lets the client receive the response first.

    `is_dead` detects clients that have disconnected or do not read.
    """

    def __init__(self, transport: asyncio.Transport, stall_timeout: float, min_rate: float) -> None:
        self._transport, self._stall_timeout, self._min_rate = transport, stall_timeout, min_rate
        self._now = asyncio.get_running_loop().time
        self._written = self._early_bytes = 0
        self._measured_at, self._measured_bytes = self._now(), 0
        self._closed_at: float | None = None
        self.has_received_eof = self.is_aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, or buffer it until it can be sent."""
        if self._closed_at is not None:
            return
        if self._early_bytes and data.startswith(_RESPONSE_START):
            data, self._early_bytes = data[self._early_bytes :], 0
        if not self._transport.get_write_buffer_size():
            self._measured_at, self._measured_bytes = self._now(), self._written
        self._written += len(data)
        self._transport.write(data)

    def send_first_byte(self) -> None:
        """Send the first byte of the response before the response is ready.

        A client that has closed its sending side may wait for the response, or may have disconnected. If it has
        disconnected, its system replies to this byte with an error, which `is_dead` detects.
        """
        if not self._early_bytes:
            self._early_bytes = 1
            self._transport.write(_RESPONSE_START[: self._early_bytes])

    def abort(self) -> None:
        """Close at once. Unsent data is lost."""
        self.is_aborted = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether `close` was called, or the client has closed the connection."""
        return self._closed_at is not None or self._transport.is_closing()

    def close(self) -> None:
        """Send the buffered data, then close when the client closes or after a timeout."""
        if self._closed_at is not None:
            return
        self._closed_at = self._now()
        if self.has_received_eof or self._transport.is_closing():
            self._transport.close()
            return
        try:
            self._transport.resume_reading()  # discard what the client still sends, until it closes
            self._transport.write_eof()
        except OSError:  # the client has disconnected
            self.abort()

    def is_dead(self) -> bool:
        """Tell whether the client has disconnected, does not read, or does not close its side."""
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            return self._is_stalled(unsent)
        if self._closed_at is not None:
            return self._now() - self._closed_at > _LINGER_TIMEOUT
        # After the client's end of file nothing is read from the socket, so asyncio would not notice an error.
        return self.has_received_eof and bool(self._socket_error())

    def has_unsent_data(self) -> bool:
        """Tell whether the client does not read what was sent."""
        return bool(self._transport.get_write_buffer_size())

    def _is_stalled(self, unsent: int) -> bool:
        elapsed = self._now() - self._measured_at
        if elapsed < self._stall_timeout:
            return False
        sent = self._written - unsent
        is_stalled = sent - self._measured_bytes < elapsed * self._min_rate
        self._measured_at, self._measured_bytes = self._now(), sent
        return is_stalled

    def _socket_error(self) -> int:
        connection: socket.socket = self._transport.get_extra_info("socket")
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
