"""Ctrl-C and SIGTERM end a run between two rows, with the exit codes that shells expect."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


class Interrupted(BaseException):
    """A signal asked the run to end. No Exception, so that nothing but the way out takes notice."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def handle_signals() -> None:
    """Let SIGINT and SIGTERM raise Interrupted, once: a second one ends the process there and then."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a background job of a plain shell
            signal.signal(number, _raise)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)
