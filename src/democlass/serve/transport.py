"""How an answer goes out on a connection, and how the connection is closed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

_LINGER = 2.0
"""Seconds for which a client may still send after its connection was closed from here. What comes is thrown away. Were
the connection closed with bytes unread, the client's system might throw away the answer."""

_START = b"HTTP/1.1 "
"""What every answer begins with."""


class Transport:
    """The transport of a connection, as its protocol sees it. Here `close` lets the client take the answer first.

    It also finds clients that are gone, or that do not read: see `is_abandoned`.
    """

    def __init__(self, transport: asyncio.Transport, stall_timeout: float, min_rate: float) -> None:
        self._transport, self._stall_timeout, self._min_rate = transport, stall_timeout, min_rate
        self._now = asyncio.get_running_loop().time
        self._written = self._sent_early = 0
        self._measured_at, self._measured = self._now(), 0
        self._closed_at: float | None = None
        self.client_finished = self.is_aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or keep until it can be sent."""
        if self._closed_at is not None:
            return
        if self._sent_early and data.startswith(_START):
            data, self._sent_early = data[self._sent_early :], 0
        if not self._transport.get_write_buffer_size():
            self._measured_at, self._measured = self._now(), self._written
        self._written += len(data)
        self._transport.write(data)

    def start_answer(self) -> None:
        """Send the first byte of the answer that will follow.

        A client that has finished sending may be waiting for its answer or may be gone. The system of one that is gone
        answers this byte with an error, which `is_abandoned` finds.
        """
        if not self._sent_early:
            self._sent_early = 1
            self._transport.write(_START[: self._sent_early])

    def abort(self) -> None:
        """Close now; what was not sent is lost."""
        self.is_aborted = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether `close` was called, or the client has closed."""
        return self._closed_at is not None or self._transport.is_closing()

    def close(self) -> None:
        """Finish sending, then close as soon as the client does, or after a moment."""
        if self._closed_at is not None:
            return
        self._closed_at = self._now()
        if self.client_finished or self._transport.is_closing():
            self._transport.close()
            return
        try:
            self._transport.resume_reading()  # whatever comes is thrown away, up to the client's end
            self._transport.write_eof()
        except OSError:  # the client is gone
            self.abort()

    def is_abandoned(self) -> bool:
        """Tell whether nobody is there to close the connection or to read the answer."""
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            return self._is_stalled(unsent)
        if self._closed_at is not None:
            return self._now() - self._closed_at > _LINGER
        # Nothing is read any more after the client's end: an error would not be noticed.
        return self.client_finished and bool(self._socket_error())

    def is_blocked(self) -> bool:
        """Tell whether the client does not take what it is sent."""
        return bool(self._transport.get_write_buffer_size())

    def _is_stalled(self, unsent: int) -> bool:
        elapsed = self._now() - self._measured_at
        if elapsed < self._stall_timeout:
            return False
        taken = self._written - unsent
        is_stalled = taken - self._measured < elapsed * self._min_rate
        self._measured_at, self._measured = self._now(), taken
        return is_stalled

    def _socket_error(self) -> int:
        connection: socket.socket = self._transport.get_extra_info("socket")
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
