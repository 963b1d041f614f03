"""Progress of a training on standard error: a bar on a terminal, a plain line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from democlass.cli import console

if TYPE_CHECKING:
    from tqdm import tqdm

    from democlass.train.trainer import Progress

_SECONDS_BETWEEN_LINES = 60.0


class Steps:
    """Shows steps, loss and time left, and what each judgement found."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: tqdm[Any] | None = None
        self._first: tuple[int, float] | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, progress: Progress) -> None:
        """Count one more step."""
        if not self._shown:
            return
        now = time.monotonic()
        self._first = self._first or (progress.step, now)
        if sys.stderr.isatty():
            self._advance_bar(progress)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            console.complain(self._line(progress, now))
        if progress.judged is not None:
            figures = progress.judged
            self._say(f"step {progress.step:,}, {progress.size} px: accuracy {figures['accuracy']:.1%}, "
                      f"macro recall {figures['macro_recall']:.1%} on {figures['n']:,} images")  # fmt: skip

    def _advance_bar(self, progress: Progress) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=progress.steps, initial=progress.step - 1, unit="step", file=sys.stderr, dynamic_ncols=True
            )
        self._bar.set_postfix(px=progress.size, loss=f"{progress.loss:.3f}", refresh=False)
        self._bar.update()

    def _line(self, progress: Progress, now: float) -> str:
        assert self._first is not None
        step, began = self._first
        a_step = (now - began) / max(1, progress.step - step)
        left = (progress.steps - progress.step) * a_step
        return (
            f"step {progress.step:,} of {progress.steps:,}, {progress.size} px, loss {progress.loss:.3f}, "
            f"{a_step:.2f} s a step, {left / 60:.0f} min left at this size"
        )

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            console.complain(text)
