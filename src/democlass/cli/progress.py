"""Progress of a run: count, rate, time left; and the closing summary."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from democlass.cli import console
from democlass.cli.bar import Bar, time_left
from democlass.cli.counts import count_table

if TYPE_CHECKING:
    from democlass.output.tally import Tally
    from democlass.results import Prediction


class Progress(Bar):
    """Counts the rows of a run; `total` is None where nobody knows how many there will be."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        super().__init__(unit="img", shown=shown)
        self._total = total
        self._started = time.monotonic()
        self._rows = 0
        self._draw(total)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    def advance(self, _: Prediction) -> None:
        """Count one more row."""
        self._rows += 1
        self._count(self._line)

    def _line(self) -> str:
        rate = self._rows / self.seconds
        if self._total is None:
            return f"{self._rows:,} images, {rate:.1f} images/s"
        left = time_left((self._total - self._rows) / rate)
        return f"{self._rows:,} of {self._total:,} images, {rate:.1f} images/s, {left}"


def summarise(
    tally: Tally, whole: Tally, skipped: Counter[str], seconds: float, out: Path | None, errors: Path | None = None
) -> None:
    """Say what came of a run: classified, unreadable by reason, skipped, images/s, labels, and where its files are.

    `whole` counts all rows of the output, which a resumed run shares with those before it; so do the labels.
    """
    rate = tally.rows / seconds if seconds else 0.0
    console.complain(f"classified  {tally.classified:,} images in {_duration(seconds)}, {rate:.1f} images/s")
    _list("unreadable", tally.unreadable)
    _list("skipped", skipped)
    if whole.rows != tally.rows:
        console.complain(f"in all      {whole.rows:,} rows, of which {whole.classified:,} are classified")
        _list("unreadable", whole.unreadable)
    if whole.classified:
        for line in ("", *count_table(whole.labels), ""):
            console.complain(line)
    if out is not None:
        console.complain(f"rows        {out}")
        console.complain(f"record      {out}.run.json")
    if errors is not None:
        console.complain(f"errors      {errors}")


def _list(heading: str, counts: Counter[str]) -> None:
    if counts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        console.complain(f"{heading:<11} {counts.total():,}: {reasons}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
