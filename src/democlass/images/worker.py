"""The worker: a child process that decodes images, one after the other, until its parent ends.

Standard input is a pipe without data. It closes when the parent ends, also if it is killed. Standard output is a socket
for requests and responses. `isolation.py` and `worker_process.py` are the parent's side.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from democlass.errors import ImageError
from democlass.images.messages import (
    CONTENT,
    CUT,
    DRAW,
    ERROR,
    FILES,
    NAME,
    OPEN_CONTENT,
    PIXELS,
    PREVIEW,
    READY,
    receive,
    send,
)

if TYPE_CHECKING:
    from democlass.images.decoding import Decoding
    from democlass.images.photo import Photo
    from democlass.inputs.item import Source

_MAX_REQUEST = 2**40
"""Maximum bytes of a request. It is high because the parent is trusted."""

_GRACE_SECONDS = 10.0
"""Seconds added to the time limit. Normally the parent ends a slow worker first."""


def main(decoding: str, timeout: float) -> None:
    """Answer requests until the parent ends. `decoding` is a `Decoding` in JSON, `timeout` is in seconds."""
    _ignore_group_signals()
    _end_with_parent()
    with socket.socket(fileno=os.dup(1)) as connection:
        os.dup2(2, 1)  # so that nothing else writes into the socket

        from democlass.images.decoding import Decoding  # imports numpy and Pillow, the slowest part of the start

        answers = _Answers(Decoding.from_json(decoding))
        send(connection, READY, b"")
        with suppress(EOFError):
            while True:
                kind, content = receive(connection, _MAX_REQUEST)
                signal.setitimer(signal.ITIMER_REAL, timeout + _GRACE_SECONDS)
                response = answers.to(kind, bytes(content))
                signal.setitimer(signal.ITIMER_REAL, 0)
                send(connection, *response)


class _Answers:
    """Answers requests. Keeps the opened photo until the next image."""

    def __init__(self, decode: Decoding) -> None:
        self._decode = decode
        self._photo: Photo | None = None

    def to(self, kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        """Return the kind and content of the response."""
        try:
            if kind == CUT:
                return self._cut(content)
            return self._draw(content) if kind == DRAW else self._read(kind, content)
        except ImageError as error:
            return ERROR, json.dumps(str(error).split(": ", 1)).encode()

    def _read(self, kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        from democlass.images.face_pixels import pack_faces
        from democlass.images.photo import pack_preview

        self._photo = None  # frees its memory
        source: Source = content if kind in (CONTENT, OPEN_CONTENT) else os.fsdecode(content)
        if kind in (NAME, CONTENT):
            return PIXELS, pack_faces(self._decode(source))
        self._photo = self._decode.open(source)
        return PREVIEW, pack_preview(self._photo)

    def _cut(self, content: bytes) -> tuple[bytes, bytes]:
        from democlass.boxes import Box
        from democlass.images.face_pixels import pack_faces

        assert self._photo is not None, "a photo is opened first"
        boxes = [None if box is None else Box(*box) for box in json.loads(content)]
        return PIXELS, pack_faces(self._photo.cut(boxes))

    def _draw(self, content: bytes) -> tuple[bytes, bytes]:
        from democlass.images.drawing import Pictures
        from democlass.images.file_list import pack_files

        assert self._photo is not None, "a photo is opened first"
        return FILES, pack_files(self._photo.draw(Pictures.from_document(json.loads(content))))


def _ignore_group_signals() -> None:
    """Ignore Ctrl-C and other signals that a terminal or container sends to all processes. The parent handles them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _end_with_parent() -> None:
    """End this process when standard input closes, even if it is busy in C code that never returns.

    Signal handlers and threads in Python need the interpreter's lock, which such code may hold. The default action of a
    signal does not need it. On Linux the kernel sends SIGIO when the pipe closes, which ends the process immediately.
    Other systems ignore SIGIO. There, a thread waits for the pipe to close, and SIGALRM ends a decoder that holds the
    lock soon after its time limit.
    """
    fatal = {signal.SIGIO, signal.SIGALRM}
    for number in fatal:  # they may have been inherited as ignored or blocked
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, fatal)
    with suppress(OSError):
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_exit_with_parent, daemon=True).start()  # also handles a pipe that has closed already


def _exit_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
