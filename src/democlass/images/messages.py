"""The messages between a process and its decoding workers: a kind, a length, and so many bytes.

A request is a file name or an encoded image; an answer is pixels or an error. Nothing is ever unpickled: a worker has
read hostile files.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

NAME, CONTENT = b"N", b"C"
READY, PIXELS, ERROR = b"R", b"P", b"E"

_HEAD = struct.Struct("<cQ")
_SLICE = 1.0
"""Seconds of one wait."""


class TimeLimit:
    """Seconds that may be spent waiting. Time during which this process was stopped (Ctrl-Z) is not counted."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def wait(self, connection: socket.socket, action: Callable[[], int]) -> int:
        """Return what an action on the connection returns. Raises TimeoutError when the time is used up."""
        while self.left > 0:
            wait = min(_SLICE, self.left)
            connection.settimeout(wait)
            began = time.monotonic()
            try:
                return action()
            except TimeoutError:
                pass
            finally:
                self.left -= min(time.monotonic() - began, wait)
        raise TimeoutError


def send(connection: socket.socket, kind: bytes, content: bytes, limit: TimeLimit | None = None) -> None:
    """Send one message. Raises EOFError where the other side is gone, TimeoutError."""
    for part in (_HEAD.pack(kind, len(content)), content):
        left = memoryview(part)
        while left:
            left = left[_do(connection, lambda left=left: connection.send(left), limit) :]  # type: ignore[misc]


def receive(connection: socket.socket, most: int, limit: TimeLimit | None = None) -> tuple[bytes, bytearray]:
    """Return kind and content of the next message.

    Raises EOFError where the other side is gone, TimeoutError, and ValueError where the content is longer than `most`.
    """
    kind, length = _HEAD.unpack(_receive(connection, _HEAD.size, limit))
    if length > most:
        raise ValueError(f"a message of {length} bytes")
    return kind, _receive(connection, length, limit)


def _receive(connection: socket.socket, size: int, limit: TimeLimit | None) -> bytearray:
    content = bytearray(size)
    left = memoryview(content)
    while left:
        count = _do(connection, lambda left=left: connection.recv_into(left), limit)  # type: ignore[misc]
        if count == 0:
            raise EOFError
        left = left[count:]
    return content


def _do(connection: socket.socket, action: Callable[[], int], limit: TimeLimit | None) -> int:
    try:
        return action() if limit is None else limit.wait(connection, action)
    except TimeoutError:
        raise
    except OSError:  # reset, or shut down by another thread
        raise EOFError from None
