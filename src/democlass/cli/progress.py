"""Progress of a run (count, rate, time left) and its summary."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from democlass.cli import console
from democlass.cli.bar import Bar, time_left
from democlass.cli.counts import count_table
from democlass.names import to_printable

if TYPE_CHECKING:
    from democlass.output.tally import Tally
    from democlass.results import Prediction


class Progress(Bar):
    """Counts the rows of a run. `total` is None if the number of rows is not known in advance."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        super().__init__(unit="img", shown=shown)
        self._total = total
        self._started = time.monotonic()
        self._rows = 0
        self._draw(total)

    @property
    def seconds(self) -> float:
        """Seconds since the run started."""
        return time.monotonic() - self._started

    def advance(self, _: Prediction) -> None:
        """Count one more row."""
        self._rows += 1
        self._count(self._line)

    def warn(self, text: str) -> None:
        """Write a warning, above the bar if there is one."""
        if self._drawn is None:
            console.warn(text)
        else:
            self._write_line(to_printable(f"warning: {text}"))

    def _line(self) -> str:
        rate = self._rows / self.seconds
        if self._total is None:
            return f"{self._rows:,} images, {rate:.1f} images/s"
        remaining = time_left((self._total - self._rows) / rate)
        return f"{self._rows:,} of {self._total:,} images, {rate:.1f} images/s, {remaining}"


def summarise(
    tally: Tally, all_rows: Tally, skipped: Counter[str], seconds: float, out: Path | None, errors: Path | None = None
) -> None:
    """Write a summary to standard error: numbers of images, reasons, rate, label counts, and output files.

    `tally` counts the images of this run. `all_rows` counts all images of the output, including those of earlier runs
    that this run resumed. Label counts are of all rows.
    """
    has_detection = all_rows.has_detection
    rate = tally.rows / seconds if seconds else 0.0
    console.write_line(f"classified  {_images(tally.classified)} in {_duration(seconds)}, {rate:.1f} images/s")
    if has_detection:
        _list_faces(tally)
    _list("unreadable", tally.unreadable)
    _list("skipped", skipped)
    if all_rows.rows != tally.rows:
        all_ = "all images" if has_detection else "all rows"
        verb = "is" if all_rows.classified == 1 else "are"
        console.write_line(f"{all_:<11} {all_rows.rows:,}, of which {all_rows.classified:,} {verb} classified")
        if has_detection:
            _list_faces(all_rows)
        _list("unreadable", all_rows.unreadable)
    if all_rows.classified:
        heading = [_count_heading(all_rows)] if has_detection else []
        for line in ("", *heading, *count_table(all_rows.labels), ""):
            console.write_line(line)
    if out is not None:
        console.write_line(f"rows        {out}")
        console.write_line(f"record      {out}.run.json")
    if errors is not None:
        console.write_line(f"errors      {errors}")


def _list_faces(tally: Tally) -> None:
    """Write what face detection found."""
    small = f", and {tally.small_faces:,} smaller than --min-face" if tally.small_faces else ""
    console.write_line(f"faces       {tally.faces:,}{small}")
    if tally.without_face:
        console.write_line(f"no face     in {_images(tally.without_face)}")
    if tally.only_small_faces:
        console.write_line(f"too small   all faces of {_images(tally.only_small_faces)}")


def _count_heading(tally: Tally) -> str:
    return "labels of 1 classified face:" if tally.faces == 1 else f"labels of {tally.faces:,} classified faces:"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _list(heading: str, counts: Counter[str]) -> None:
    if counts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        console.write_line(f"{heading:<11} {counts.total():,}: {reasons}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
