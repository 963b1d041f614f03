"""What ends a run from outside, between two rows: Ctrl-C, SIGTERM, a reader that goes away."""

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
"""Seconds that a run has to end in order once it is interrupted."""

_TICK = 1.0
"""Seconds between two looks at whether a signal has been left lying."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the run to end. No Exception, so that nothing but the way out takes notice.

    `exit_code` is what shells expect: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class ReaderGone(Interrupted):
    """The reader of a pipe has what it wanted, as in `classify … | head`."""

    def __init__(self) -> None:
        super().__init__(signal.SIGPIPE)


def handle_signals() -> None:
    """Let SIGINT and SIGTERM raise Interrupted, once: a second one ends the process there and then."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup, or behind a plain shell's &
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)


@contextmanager
def tell(text: str) -> Generator[None]:
    """Write the text to standard error where the block is interrupted; of blocks within each other, the innermost's."""
    _texts.append(text)
    try:
        yield
    except ReaderGone:
        raise
    except Interrupted:
        if _untold.acquire(blocking=False):
            console.complain(text)
        raise
    finally:
        _texts.remove(text)


_texts: list[str] = []
"""What is to be told of an interruption now: the last one."""

_untold = threading.Lock()
"""Taken, and never given back, by whoever tells of the interruption."""


def exit_in_time() -> None:
    """From now on, end this process a few seconds after SIGINT or SIGTERM, whatever holds up the main thread.

    Python runs its signal handlers in the main thread, between two steps of the program: a call that does not return,
    such as one that reads from a dead network disk, holds them up. This is as safe as `kill -9`, after which what is
    written is whole too, but not for a command that has something to save.
    """
    listening, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    threading.Thread(target=_exit_after_signal, args=(listening,), name="interrupt", daemon=True).start()


def exit_at_once(code: int) -> NoReturn:
    """End this process without taking it apart, which takes seconds on a busy machine once torch is loaded."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
    os._exit(code)


def _exit_after_signal(listening: int) -> None:
    number = 0
    while number not in _SIGNALS:
        if select.select([listening], [], [], _TICK)[0]:
            number = os.read(listening, 1)[0]
        elif hasattr(signal, "sigtimedwait") and (left := signal.sigtimedwait(_SIGNALS, 0)):
            # Linux leaves it to the main thread, even where that waits for a disk and takes no signal at all.
            number = left.si_signo
            _thread.interrupt_main(signal.Signals(number))
    text = _texts[-1] if _texts else "interrupted"
    time.sleep(_GRACE)
    with suppress(OSError, ValueError, AttributeError):  # closed, or never there
        stream = sys.stderr.fileno()
        # Not through sys.stderr, which the main thread may hold, nor where it would wait for whoever reads it.
        if select.select([], [stream], [], 0)[1] and _untold.acquire(blocking=False):
            os.write(stream, f"{to_printable(text)}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)
