"""Signals that wait until a piece of work is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_NUMBERS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Generator[list[int]]:
    """Let the block finish before SIGINT or SIGTERM are handled; a second signal ends the process at once.

    Yields the numbers of the signals that wait, which their handlers get after the block. Where a signal has no
    handler in Python, nothing changes for it. Other threads than the main one are never interrupted by a handler.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield waiting
        return
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
    for number in _NUMBERS:
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler

    def wait(number: int, _: FrameType | None) -> None:
        waiting.append(number)
        for each in handlers:
            signal.signal(each, signal.SIG_DFL)

    for number in handlers:
        signal.signal(number, wait)
    try:
        yield waiting
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if waiting:
            handlers[waiting[0]](waiting[0], None)
