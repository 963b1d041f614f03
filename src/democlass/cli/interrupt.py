"""What ends a run from outside, between two rows: Ctrl-C, SIGTERM, a reader that goes away."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


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
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup, or behind a plain shell's &
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)
