"""The worker: a child process that decodes images, one after the other, until its parent is gone.

Standard input is a pipe on which nothing ever comes: it closes when the parent ends, however that happens. Standard
output is a socket, for requests and answers. See `isolation.py` for the parent.
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
from democlass.images.messages import CONTENT, ERROR, PIXELS, READY, receive, send

if TYPE_CHECKING:
    from democlass.images.decoding import Decoding
    from democlass.inputs.item import Source

_MOST_CONTENT = 2**40
"""Bytes of a request; the parent is trusted."""

_MARGIN = 10.0
"""Seconds past the time limit: the parent, if it is there, is the first to end what takes too long."""


def main(decoding: str, timeout: float) -> None:
    """Answer requests until the parent is gone; each by what `decoding`, as JSON, says, within `timeout` seconds."""
    _ignore_signals_to_the_group()
    _end_with_parent()
    with socket.socket(fileno=os.dup(1)) as connection:
        os.dup2(2, 1)  # nothing else may write into the socket

        from democlass.images.decoding import Decoding  # only now: numpy and Pillow take the most of the start-up

        decode = Decoding.from_json(decoding)
        send(connection, READY, b"")
        with suppress(EOFError):
            while True:
                kind, content = receive(connection, _MOST_CONTENT)
                signal.setitimer(signal.ITIMER_REAL, timeout + _MARGIN)
                answer = _answer(decode, bytes(content) if kind == CONTENT else os.fsdecode(bytes(content)))
                signal.setitimer(signal.ITIMER_REAL, 0)
                send(connection, *answer)


def _answer(decode: Decoding, source: Source) -> tuple[bytes, bytes]:
    from democlass.images.face_pixels import pack_faces

    try:
        return PIXELS, pack_faces(decode(source))
    except ImageError as error:
        return ERROR, json.dumps(str(error).split(": ", 1)).encode()


def _ignore_signals_to_the_group() -> None:
    """Leave Ctrl-C and the like, which reach every process of a terminal or a container, to the parent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _end_with_parent() -> None:
    """Have this process end when standard input closes, also while it is busy in C code that never returns.

    Python's own signal handlers and threads need the interpreter's lock, which such code may hold; the default action
    of a signal does not. On Linux the kernel sends SIGIO when the pipe closes, and it ends the process at once.
    Elsewhere SIGIO is ignored: there a thread waits for the end of the pipe, and SIGALRM ends a decode that holds the
    lock, not long after its time limit.
    """
    fatal = {signal.SIGIO, signal.SIGALRM}
    for number in fatal:  # both may have been inherited as ignored or blocked
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, fatal)
    with suppress(OSError):
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_wait_for_the_end, daemon=True).start()  # sees also a pipe that was closed before


def _wait_for_the_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
