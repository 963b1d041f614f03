"""Interruptions from outside: Ctrl-C, SIGTERM, and a pipe whose reader closed it."""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from democlass.cli import console
from democlass.names import to_printable

_GRACE = 3.0
"""Seconds an interrupted run has to stop by itself."""

_TICK = 1.0
"""Seconds between two checks for a pending signal."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal interrupted the run. It is not an Exception, so that `except Exception` does not catch it.

    `exit_code` is 128 plus the number of the signal, as shells expect.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class ReaderGone(Interrupted):
    """The reader of a pipe closed it, as `head` does in `classify … | head`."""

    def __init__(self) -> None:
        super().__init__(signal.SIGPIPE)


def handle_signals() -> None:
    """Let the first SIGINT or SIGTERM raise Interrupted. A second one ends the process at once."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup, or after & in a script
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)


@contextmanager
def report_interruption(text: str) -> Generator[None]:
    """Write a text to standard error if the block is interrupted. Of nested blocks, only the innermost writes."""
    _texts.append(text)
    try:
        yield
    except ReaderGone:
        raise
    except Interrupted:
        if _report_lock.acquire(blocking=False):
            console.write_line(text)
        raise
    finally:
        _texts.remove(text)


_texts: list[str] = []
"""The texts of the blocks that are running; the last one is written if the run is interrupted."""

_report_lock = threading.Lock()
"""Acquired by the thread that reports the interruption, and never released, so that it is reported once."""


def exit_in_time() -> None:
    """From now on, end this process a few seconds after SIGINT or SIGTERM even if the main thread does not respond.

    Python runs signal handlers in the main thread, between two instructions. A call that does not return, such as a
    read from an unreachable network disk, delays them. Ending the process is as safe as `kill -9`: rows that were
    written are complete. It is not for commands that save something when they are interrupted.
    """
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    threading.Thread(target=_exit_after_signal, args=(receiving,), name="interrupt", daemon=True).start()


def exit_at_once(code: int) -> NoReturn:
    """End this process without the clean-up of the interpreter, which can take seconds once torch is loaded."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # the stream is closed or missing
            stream.flush()
    os._exit(code)


def _exit_after_signal(receiving: int) -> None:
    number = 0
    while number not in _SIGNALS:
        if select.select([receiving], [], [], _TICK)[0]:
            number = os.read(receiving, 1)[0]
        elif hasattr(signal, "sigtimedwait") and (pending := signal.sigtimedwait(_SIGNALS, 0)):
            # Linux may leave a signal to the main thread although it waits for a disk and cannot receive it.
            number = pending.si_signo
            _thread.interrupt_main(signal.Signals(number))
    text = _texts[-1] if _texts else "interrupted"
    time.sleep(_GRACE)
    with suppress(OSError, ValueError, AttributeError):  # the stream is closed or missing
        stream = sys.stderr.fileno()
        # Not through sys.stderr, whose lock the main thread may hold; and only if writing does not block.
        if select.select([], [stream], [], 0)[1] and _report_lock.acquire(blocking=False):
            os.write(stream, f"{to_printable(text)}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)
