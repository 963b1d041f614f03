"""The messages between a process and its decoding workers: a kind, a length, and content of that length.

A request names an image: a file name or an encoded image. The response is its pixels, or an error. Or the image is
opened as a photo: the response is its preview, and the next requests cut regions from it. Nothing is unpickled,
because a worker has read hostile files.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

NAME, CONTENT = b"N", b"C"
OPEN_NAME, OPEN_CONTENT, CUT, DRAW = b"n", b"c", b"x", b"d"
"""Requests to open a photo, and then to cut regions from it (a list of boxes in JSON, null for the whole image) or to
draw pictures of it (`Pictures` in JSON).
"""
READY, PIXELS, PREVIEW, FILES, ERROR = b"R", b"P", b"V", b"F", b"E"

_HEADER = struct.Struct("<cQ")
_MAX_WAIT = 1.0
"""Maximum seconds of one wait."""


class TimeLimit:
    """A limit on the seconds spent waiting. Time in which this process is stopped (Ctrl-Z) does not count."""

    def __init__(self, seconds: float) -> None:
        self.remaining = seconds

    def wait(self, connection: socket.socket, action: Callable[[], int]) -> int:
        """Call an action that waits for the connection, and return its result. Raises TimeoutError."""
        while self.remaining > 0:
            wait = min(_MAX_WAIT, self.remaining)
            connection.settimeout(wait)
            start = time.monotonic()
            try:
                return action()
            except TimeoutError:
                pass
            finally:
                self.remaining -= min(time.monotonic() - start, wait)
        raise TimeoutError


def send(connection: socket.socket, kind: bytes, content: bytes, limit: TimeLimit | None = None) -> None:
    """Send one message. Raises EOFError if the other process is gone, and TimeoutError."""
    for part in (_HEADER.pack(kind, len(content)), content):
        rest = memoryview(part)
        while rest:
            rest = rest[_call(connection, lambda rest=rest: connection.send(rest), limit) :]  # type: ignore[misc]


def receive(connection: socket.socket, max_size: int, limit: TimeLimit | None = None) -> tuple[bytes, bytearray]:
    """Return the kind and content of the next message.

    Raises EOFError if the other process is gone, TimeoutError, and ValueError if the content has more than `max_size`
    bytes.
    """
    kind, size = _HEADER.unpack(_receive_bytes(connection, _HEADER.size, limit))
    if size > max_size:
        raise ValueError(f"a message of {size} bytes")
    return kind, _receive_bytes(connection, size, limit)


def _receive_bytes(connection: socket.socket, size: int, limit: TimeLimit | None) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        count = _call(connection, lambda rest=rest: connection.recv_into(rest), limit)  # type: ignore[misc]
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return content


def _call(connection: socket.socket, action: Callable[[], int], limit: TimeLimit | None) -> int:
    try:
        return action() if limit is None else limit.wait(connection, action)
    except TimeoutError:
        raise
    except OSError:  # reset, or shut down by another thread
        raise EOFError from None
