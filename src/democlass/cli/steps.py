"""The progress of a training: steps, loss, time left, and the result of each validation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from democlass.cli import console
from democlass.cli.bar import Bar, time_left
from democlass.names import to_printable

if TYPE_CHECKING:
    from democlass.train.trainer import Progress


class StepProgress(Bar):
    """Counts the steps of a training. A resumed training does not start at step 1."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__(unit="step", shown=shown)
        self._first: tuple[int, float] | None = None

    def advance(self, progress: Progress) -> None:
        """Count one more step, and write the result of a validation."""
        self._first = self._first or (progress.step, time.monotonic())
        self._draw(progress.steps, done=progress.step - 1)
        self._count(lambda: self._line(progress), px=progress.size, loss=f"{progress.loss:.3f}")
        for task, metrics in (progress.validation or {}).items():
            self._write_line(
                f"step {progress.step:,}, {progress.size} px: {task} accuracy {metrics['accuracy']:.1%}, "
                f"macro recall {metrics['macro_recall']:.1%} on {metrics['n']:,} images"
            )

    def notify(self, text: str) -> None:
        """Write a line, even if progress is not shown. It appears above the bar if there is one."""
        if self._drawn is None:
            console.write_line(text)
        else:
            self._write_line(to_printable(text))

    def log(self, text: str) -> None:
        """Write a line if progress is shown."""
        self._write_line(to_printable(text))

    def _line(self, progress: Progress) -> str:
        assert self._first is not None
        first_step, start = self._first
        seconds_per_step = (time.monotonic() - start) / max(1, progress.step - first_step)
        left = time_left((progress.steps - progress.step) * seconds_per_step)
        return (
            f"step {progress.step:,} of {progress.steps:,}, {progress.size} px, loss {progress.loss:.3f}, "
            f"{seconds_per_step:.2f} s per step, {left} at this size"
        )
