"""How anything long says on standard error where it is: a bar on a terminal, a plain line a minute elsewhere."""

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
    """Say how long something still takes, in the largest unit that fits."""
    if seconds < 1:
        return "almost done"
    if seconds < 60:
        return f"about {seconds:.0f} s left"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min left" if hours else f"about {minutes} min left"


class Bar:
    """What is counted in `unit`; nothing is written unless it is `shown`."""

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
        """Draw the bar if there is a terminal; `total` is None where nobody knows how many there will be."""
        if self._shown and self._drawn is None and sys.stderr.isatty():
            from tqdm import tqdm

            self._drawn = tqdm(
                total=total, initial=done, unit=self._unit, file=sys.stderr, dynamic_ncols=True, smoothing=0.1
            )

    def _count(self, line: Callable[[], str], **figures: object) -> None:
        """Count one more. The figures stand beside the bar; where there is none, the line says it all."""
        if self._drawn is not None:
            if figures:
                self._drawn.set_postfix(figures, refresh=False)
            self._drawn.update()
        elif self._shown and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            console.complain(line())

    def _say(self, text: str) -> None:
        """Write a line above the bar."""
        if self._drawn is not None:
            self._drawn.write(text, file=sys.stderr)
        elif self._shown:
            console.complain(text)
