"""Progress of a training: steps, loss, time left, and what each judgement found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from democlass.cli import console
from democlass.cli.bar import Bar, time_left
from democlass.names import to_printable

if TYPE_CHECKING:
    from democlass.train.trainer import Progress


class Steps(Bar):
    """Counts the steps of a training, which may have begun in another run."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__(unit="step", shown=shown)
        self._first: tuple[int, float] | None = None

    def advance(self, progress: Progress) -> None:
        """Count one more step."""
        self._first = self._first or (progress.step, time.monotonic())
        self._draw(progress.steps, done=progress.step - 1)
        self._count(lambda: self._line(progress), px=progress.size, loss=f"{progress.loss:.3f}")
        if progress.judged is not None:
            figures = progress.judged
            self._say(f"step {progress.step:,}, {progress.size} px: accuracy {figures['accuracy']:.1%}, "
                      f"macro recall {figures['macro_recall']:.1%} on {figures['n']:,} images")  # fmt: skip

    def tell(self, text: str) -> None:
        """Write a line, also where no progress is shown; above the bar where there is one."""
        if self._drawn is None:
            console.complain(text)
        else:
            self._say(to_printable(text))

    def note(self, text: str) -> None:
        """Write a line where progress is shown."""
        self._say(to_printable(text))

    def _line(self, progress: Progress) -> str:
        assert self._first is not None
        step, began = self._first
        a_step = (time.monotonic() - began) / max(1, progress.step - step)
        left = time_left((progress.steps - progress.step) * a_step)
        return (
            f"step {progress.step:,} of {progress.steps:,}, {progress.size} px, loss {progress.loss:.3f}, "
            f"{a_step:.2f} s a step, {left} at this size"
        )
