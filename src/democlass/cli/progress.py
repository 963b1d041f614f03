"""Progress on standard error: a bar on a terminal, a plain line a minute elsewhere; and the closing summary."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from democlass.cli import console

if TYPE_CHECKING:
    from tqdm import tqdm

    from democlass.results import Prediction
    from democlass.tally import Tally

_SECONDS_BETWEEN_LINES = 60.0
_UNIT = "img"


class Progress:
    """Count, rate and time left of a run; `total` None where nobody knows how many there will be."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._started = self._last_line = time.monotonic()
        self._count = 0
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Progress:
        if self._shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit=_UNIT, file=sys.stderr, dynamic_ncols=True, smoothing=0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    def advance(self, _: Prediction) -> None:
        """Count one more row."""
        self._count += 1
        if self._bar is not None:
            self._bar.update()
        elif self._shown and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            console.complain(self._line())

    def _line(self) -> str:
        rate = self._count / self.seconds
        if self._total is None:
            return f"{self._count:,} images, {rate:.1f} images/s"
        left = (self._total - self._count) / rate
        return f"{self._count:,} of {self._total:,} images, {rate:.1f} images/s, {left / 60:.0f} min left"


def summarise(tally: Tally, whole: Tally, skipped: Counter[str], seconds: float, out: Path | None) -> None:
    """Say what came of a run: classified, unreadable by reason, skipped, images/s, where the rows are.

    `whole` counts all rows of the output, which a resumed run shares with those before it.
    """
    rate = tally.rows / seconds if seconds else 0.0
    console.complain(f"classified  {tally.classified:,} images in {_duration(seconds)}, {rate:.1f} images/s")
    _list("unreadable", tally.unreadable)
    _list("skipped", skipped)
    if whole.rows != tally.rows:
        console.complain(f"in all      {whole.rows:,} rows, of which {whole.classified:,} are classified")
        _list("unreadable", whole.unreadable)
    if out is not None:
        console.complain(f"rows        {out}")
        console.complain(f"record      {out}.run.json")


def _list(heading: str, counts: Counter[str]) -> None:
    if counts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        console.complain(f"{heading:<11} {counts.total():,}: {reasons}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
