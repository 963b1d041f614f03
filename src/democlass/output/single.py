"""The output that nothing is lost of: OUT, its rows so far in `OUT.partial`, its record in `OUT.run.json`.

On disk things happen in this order:

1. `OUT.partial`, the row log, is opened and locked. A run that adds to a finished OUT first copies OUT's rows into it.
2. The log is forced to disk, and then the record says `running`: from here on the rows are in the log.
3. Rows are appended to the log, which is forced to disk every few seconds, and when the run is interrupted.
4. At the end the log is forced to disk. `OUT.export` is written from it, forced to disk, renamed to OUT, and the
   folder is forced to disk.
5. The record says `finished`: from here on the rows are in OUT. The log is deleted.

The record is itself replaced in one step: `OUT.run.json.new` is written, forced to disk and renamed. So a run that
dies leaves, whatever the moment: the old OUT or the new one, whole; and a record that says where the rows are. A kill
loses the row that was being written, a power cut the rows of the last seconds; resuming classifies those again.
docs/resuming.md has a table of every moment.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError, WriteError
from democlass.files import copy_owner_and_mode, sync_folder
from democlass.output.formats import FORMATS, Format, WriterOptions
from democlass.output.paths import EXPORT, PARTIAL, RECORD, companion, read_rows
from democlass.output.paths import refuse_odd_place as refuse_odd_place
from democlass.output.record import FINISHED, RunRecord
from democlass.output.row_index import RowIndex
from democlass.output.rowlog import RowLog, write_error
from democlass.output.run_info import RunInfo, now
from democlass.output.tally import Tally
from democlass.results import Prediction
from democlass.tasks import TASKS, Task


@dataclass(frozen=True)
class WriteMode:
    """What may be done with an output that is already there; `retry_errors` repeats its error rows."""

    resume: bool = False
    overwrite: bool = False
    retry_errors: bool = False


class Output:
    """OUT and its companions, this process's alone from `__init__` to `close`.

    Raises OutputError where OUT exists and neither resuming nor overwriting was asked for, where another run holds
    it, or where its folder can't be written. `previous` is the record of the run to be resumed, if there is one.
    `warn` is given lines on what may surprise.
    """

    def __init__(
        self,
        path: Path,
        format_: Format,
        write_mode: WriteMode,
        tasks: Sequence[Task] = TASKS,
        *,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.path = Path(os.path.realpath(path))  # a link is written through, not replaced
        self._record_path = companion(self.path, RECORD)
        self._format = format_
        self._write_mode = write_mode
        self._tasks = tasks
        self._warn = warn
        self._record: RunRecord | None = None
        self._rows = RowIndex()
        self._existed = False
        refuse_odd_place(self.path)
        self._log = RowLog(companion(self.path, PARTIAL), tasks, warn=warn)
        try:
            self.previous = self._read_previous()
        except BaseException:
            self.close()
            raise

    def begin(self, record: RunRecord) -> None:
        """Make ready for rows, and take up those that are there. Raises OutputError, WriteError."""
        run = replace(record.runs[-1], out=str(self.path))
        record = replace(record, runs=[*record.runs[:-1], run])
        if self.previous is not None:
            self.previous.refuse_other(record)
            self._warn_of_changes(self.previous.runs[-1], run)
        self._existed = self.path.exists()
        try:
            if self._existed:
                copy_owner_and_mode(self.path.stat(), self._log.descriptor)
            if self.previous is None:
                self._log.clear()
                record = replace(record, replaces=self._identity())
            else:
                self._take_up_rows(self.previous)
                record = self.previous.resumed_by(record, self._rows.count)
            self._log.sync()
            sync_folder(self.path.parent)
            record = replace(record, log_bytes=self._log.size)
            record.write(self._record_path)
        except OSError as error:
            raise write_error(self._record_path, error) from None
        self._record = record

    def remaining(self, names: Iterable[str]) -> Iterator[str]:
        """Yield what is left to classify: rows to repeat first, then the names that have no row yet. Once."""
        return self._rows.remaining(names)

    def write(self, prediction: Prediction) -> None:
        """Add a row, in the order of `remaining`. Raises WriteError where the disk is full."""
        name, number = self._rows.place(prediction)
        self._log.append(prediction if name == prediction.path else replace(prediction, path=name), number)

    def finish(self, skipped: Counter[str], watch: Callable[[Prediction], object] = lambda _: None) -> Tally:
        """Make OUT of the rows, complete the record, clear away the log; return the tally of all rows.

        `watch` is shown every row, in order. Raises WriteError.
        """
        assert self._record is not None, "begin comes first"
        if self.path.exists() and not self._existed:
            raise WriteError(
                f"{self.path} was not there when the run began, and is left as it is: move it away, then --resume "
                "finishes the run"
            )
        export = companion(self.path, EXPORT)
        try:
            self._log.sync()
            with export.open("wb") as stream:
                status = self.path.stat() if self.path.exists() else self._log.status()
                copy_owner_and_mode(status, stream.fileno())
                tally = self._export(stream, watch)
                stream.flush()
                os.fsync(stream.fileno())
            export.replace(self.path)
            sync_folder(self.path.parent)
            tallies = tally.as_dict() | {"skipped": dict(skipped)}
            runs = self._record.runs if self._rows.has_changed else self._record.runs[:-1] or self._record.runs
            record = replace(self._record, state=FINISHED, finished=now(), tallies=tallies, runs=runs)
            replace(record, log_bytes=None, replaces=None).write(self._record_path)
        except OSError as error:
            raise write_error(self.path, error) from None
        finally:
            with suppress(OSError):
                export.unlink()
        self._log.close(discard=True)
        return tally

    def close(self) -> None:
        """Let go of OUT; what is in the log stays for resuming."""
        if self._record is not None and self._log.is_open:
            try:
                self._log.sync()
            except WriteError as error:
                self._warn(str(error))
        self._log.close()

    def _read_previous(self) -> RunRecord | None:
        """Return the record of the run to go on with, or None to begin anew; refuse what would surprise."""
        if self._write_mode.overwrite:
            return None
        exists, begun = self.path.exists(), not self._log.is_empty
        if not self._write_mode.resume:
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
        if record is not None and record.format not in FORMATS:
            raise OutputError(
                f"can't read the record {self._record_path}: it names a format {record.format!r}. Put back a copy of "
                "it, or --overwrite begins again"
            )
        return None if record is not None and record.state == FINISHED and not exists else record

    def _warn_of_changes(self, before: RunInfo, now_: RunInfo) -> None:
        if differences := before.version_differences(now_):
            self._warn(
                f"other versions than the rows so far: {', '.join(differences)}; probabilities of new rows may differ "
                "in the last digits"
            )
        folder = before.names_relative_to(self.path)
        if folder != now_.folder and not all(source.startswith("/") for source in now_.sources):
            self._warn(f"names in the rows so far are relative to {folder}, in new rows to {now_.folder}")

    def _take_up_rows(self, record: RunRecord) -> None:
        """Read the rows that are there, which afterwards are all in the log. Raises OutputError, WriteError."""
        self._rows = RowIndex([(run.rows_before, run.names_relative_to(self.path)) for run in record.runs])
        retry = self._write_mode.retry_errors
        if self._rows_are_in_log(record):
            for row in self._log.rows():
                self._rows.add(row, retry_errors=retry)
        else:
            self._log.clear()
            self._log.extend(self._rows.adding(read_rows(self.path, record.format, self._tasks), retry_errors=retry))

    def _rows_are_in_log(self, record: RunRecord) -> bool:
        """Tell whether the log has the rows, not OUT. Raises OutputError where that can't be known.

        The log has them once the record says `running`. Where it has fewer bytes than were on disk then, or none, it
        was lost later. OUT then still has the rows that the run took over, or, renamed already, all rows. But it may
        also be a file that was to be overwritten, whose rows are not wanted; that one is known by size and time.
        """
        if record.state == FINISHED:
            return False
        self._log.cut_torn_end()
        is_lost = self._log.size < (record.log_bytes or 0)
        if not self._existed:
            if is_lost:
                self._warn(f"{self._log.path} has lost rows: their images are classified again")
            return True
        if not is_lost and not self._log.is_empty:
            return True
        if record.log_bytes is not None and record.replaces is None:
            return False
        if record.replaces is not None and list(record.replaces) == self._identity():
            return True
        raise OutputError(
            f"{self._log.path} has no rows of the unfinished run, and {self.path} may or may not have them: "
            f"move {self.path} away and give --resume to begin again, or --overwrite to replace it"
        )

    def _identity(self) -> list[int] | None:
        """Return OUT's size in bytes and time of last change in nanoseconds, or None where there is none."""
        if not self._existed:
            return None
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns]

    def _export(self, stream: BinaryIO, watch: Callable[[Prediction], object]) -> Tally:
        """Write all rows in the output's format and return their tallies."""
        tally = Tally()
        wide = self._format.flat and self._rows.need_path_bytes
        writer = self._format.writer(stream, WriterOptions(self._tasks, path_bytes=wide))
        for row in self._log.rows():
            writer.write(row)
            tally.add(row)
            watch(row)
        writer.close()
        return tally
