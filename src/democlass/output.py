"""The output that nothing is lost of: OUT, its rows so far in `OUT.partial`, its record in `OUT.run.json`.

At the end OUT is made from the row log, forced to disk and renamed into place; then the record says `finished`, and
the log goes. A run that dies at any moment leaves the old OUT or the new one, and rows that resuming goes on from:
those of the log while the record says `running`, else those of OUT.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError
from democlass.record import FINISHED, RunRecord, now, sync_folder
from democlass.results import Prediction, needs_path_bytes
from democlass.rowlog import RowLog, write_error
from democlass.tally import Tally
from democlass.tasks import TASKS, Task
from democlass.writers import FORMATS, Format, Shape


@dataclass(frozen=True)
class Intent:
    """What may be done with an output that is already there; `retry_errors` repeats its error rows."""

    resume: bool = False
    overwrite: bool = False
    retry_errors: bool = False


def refuse_odd_place(path: Path) -> None:
    """Raise OutputError where no file can be: on a folder, or in one that is not there."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give --out a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"there is no folder {path.parent}: make it first")


class Output:
    """OUT and its companions, this process's alone from `__init__` to `close`.

    Raises OutputError where OUT exists and neither resuming nor overwriting was asked for, where another run holds
    it, or where its folder can't be written. `previous` is the record of the run to be resumed, if there is one.
    """

    def __init__(self, path: Path, format_: Format, intent: Intent, tasks: Sequence[Task] = TASKS) -> None:
        self.path = Path(os.path.realpath(path))  # a link is written through, not replaced
        self._record_path = self.path.with_name(self.path.name + ".run.json")
        self._format = format_
        self._intent = intent
        self._tasks = tasks
        self._record: RunRecord | None = None
        self._done: Counter[str] = Counter()
        self._to_repeat: deque[tuple[int, str]] = deque()
        refuse_odd_place(self.path)
        self._log = RowLog(self.path.with_name(self.path.name + ".partial"), tasks)
        try:
            self.previous = self._read_previous()
        except OutputError:
            self.close()
            raise

    def begin(self, record: RunRecord) -> None:
        """Make ready for rows, and take up those that are there. Raises OutputError."""
        if self.previous is None:
            self._log.clear()
        else:
            self.previous.refuse_other(record)
            record = replace(record, started=self.previous.started)
            if self.previous.state == FINISHED:
                self._take_over(self.previous)
            else:
                self._log.cut_torn_row()
            for number, row in enumerate(self._log.rows()):
                self._done[row.path or ""] += 1
                if self._intent.retry_errors and row.error is not None:
                    self._to_repeat.append((number, row.path or ""))
        record.write(self._record_path)
        self._record = record

    def remaining(self, names: Iterable[str]) -> Iterator[str]:
        """Yield what is left to classify: rows to repeat first, then the names that have no row yet."""
        yield from [name for _, name in self._to_repeat]
        done = self._done.copy()
        for name in names:
            if done[name] > 0:
                done[name] -= 1
            else:
                yield name

    def write(self, prediction: Prediction) -> None:
        """Add a row, in the order of `remaining`. Raises WriteError where the disk is full."""
        self._log.append(prediction, self._to_repeat.popleft()[0] if self._to_repeat else None)

    def finish(self, skipped: Counter[str], watch: Callable[[Prediction], object] = lambda _: None) -> Tally:
        """Make OUT of the rows, complete the record, clear away the log; return the tally of all rows.

        `watch` is shown every row, in order. Raises WriteError.
        """
        assert self._record is not None, "begin comes first"
        export = self.path.with_name(self.path.name + ".export")
        try:
            with export.open("wb") as stream:
                tally = self._export(stream, watch)
                stream.flush()
                os.fsync(stream.fileno())
            export.replace(self.path)
            sync_folder(self.path.parent)
            tallies = tally.as_dict() | {"skipped": dict(skipped)}
            replace(self._record, state=FINISHED, finished=now(), tallies=tallies).write(self._record_path)
        except OSError as error:
            raise write_error(self.path, error) from None
        finally:
            export.unlink(missing_ok=True)
        self._log.close(discard=True)
        return tally

    def close(self) -> None:
        """Let go of OUT; what is in the log stays for resuming."""
        self._log.close()

    def _read_previous(self) -> RunRecord | None:
        """Return the record of the run to go on with, or None to begin anew; refuse what would surprise."""
        if self._intent.overwrite:
            return None
        exists, begun = self.path.exists(), not self._log.is_empty
        if not self._intent.resume:
            if exists:
                raise OutputError(f"{self.path} exists: --resume adds to it, --overwrite begins again")
            if begun:
                raise OutputError(
                    f"{self._log.path} is an unfinished run's: --resume goes on, --overwrite begins again"
                )
            return None
        record = RunRecord.read(self._record_path)
        if record is None and (exists or begun):
            raise OutputError(f"no {self._record_path} says what made the rows: --overwrite begins again")
        return None if record is not None and record.state == FINISHED and not exists else record

    def _take_over(self, record: RunRecord) -> None:
        """Put the rows of the finished OUT into the log; until the record says `running`, OUT is the truth."""
        self._log.clear()
        try:
            with self.path.open("rb") as stream:
                for row in FORMATS[record.format].read(stream, self._tasks):
                    self._log.append(row)
        except OutputError:
            raise
        except Exception as error:  # csv, json, pyarrow: each has its own for a file changed by hand
            raise OutputError(f"{self.path} is not as it was written ({error}): --overwrite begins again") from None

    def _export(self, stream: BinaryIO, watch: Callable[[Prediction], object]) -> Tally:
        """Write all rows in the output's format and return their tallies."""
        tally = Tally()
        wide = self._format.flat and needs_path_bytes(row.path or "" for row in self._log.rows())
        writer = self._format.writer(stream, Shape(self._tasks, path_bytes=wide))
        for row in self._log.rows():
            writer.write(row)
            tally.add(row)
            watch(row)
        writer.close()
        return tally
