"""Delay SIGINT and SIGTERM until a block of code is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_signals() -> Generator[list[int]]:
    """Let the block finish before SIGINT or SIGTERM is handled. A second signal ends the process at once.

    Yields the numbers of the pending signals. After the block, the original handler of the first one is called.
    Signals without a Python handler are not affected. Outside the main thread this does nothing, because Python calls
    signal handlers only in the main thread.
    """
    pending: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler

    def remember(number: int, _: FrameType | None) -> None:
        pending.append(number)
        for each in handlers:
            signal.signal(each, signal.SIG_DFL)

    for number in handlers:
        signal.signal(number, remember)
    try:
        yield pending
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if pending:
            handlers[pending[0]](pending[0], None)
