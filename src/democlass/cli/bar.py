"""Progress on standard error: a bar on a terminal, one plain line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from democlass.cli import console

if TYPE_CHECKING:
    from tqdm import tqdm
    from typing_extensions import Self

_SECONDS_BETWEEN_LINES = 60.0


def time_left(seconds: float) -> str:
    """Format a remaining time in the largest unit that fits."""
    if seconds < 1:
        return "almost done"
    if seconds < 60:
        return f"about {seconds:.0f} s left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min left" if hours else f"about {minutes} min left"


class Bar:
    """A progress bar that counts in `unit`. If it is not `shown`, it writes nothing."""

    def __init__(self, *, unit: str, shown: bool) -> None:
        self._unit, self._shown = unit, shown
        self._last_line = time.monotonic()
        self._drawn: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn is not None:
            self._drawn.close()

    def _draw(self, total: int | None, done: int = 0) -> None:
        """Draw the bar if standard error is a terminal. `total` is None if the number is not known."""
        if self._shown and self._drawn is None and sys.stderr.isatty():
            from tqdm import tqdm

            self._drawn = tqdm(
                total=total, initial=done, unit=self._unit, file=sys.stderr, dynamic_ncols=True, smoothing=0.1
            )

    def _count(self, line: Callable[[], str], **figures: object) -> None:
        """Count one more. The bar shows `figures`; without a bar, `line()` is written once per minute."""
        if self._drawn is not None:
            if figures:
                self._drawn.set_postfix(figures, refresh=False)
            self._drawn.update()
        elif self._shown and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            console.write_line(line())

    def _write_line(self, text: str) -> None:
        """Write a line above the bar."""
        if self._drawn is not None:
            self._drawn.write(text, file=sys.stderr)
        elif self._shown:
            console.write_line(text)
