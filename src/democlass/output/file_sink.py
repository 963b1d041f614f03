"""The sink for one file, which loses no rows: OUT, its rows so far in `OUT.partial`, its record in `OUT.run.json`.

Files change on disk in this order:

1. `OUT.partial`, the row log, is opened and locked. A run that adds to a finished OUT first copies OUT's rows into it.
2. The log is forced to disk, and then the record says `running`: from here on the rows are in the log.
3. Rows are appended to the log, which is forced to disk every few seconds and when the run is interrupted.
4. At the end the log is forced to disk. `OUT.export` is written from it, forced to disk, renamed to OUT, and the
   folder is forced to disk.
5. The record says `finished`: from here on the rows are in OUT. The log is deleted.

The record is replaced atomically: `OUT.run.json.new` is written, forced to disk and renamed. So a run that dies at any
moment leaves the old OUT or the new one, complete, and a record that says where the rows are. A kill loses the row
that was being written, a power cut the rows of the last seconds; resuming classifies those images again.
docs/resuming.md has a table of all moments.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError, WriteError
from democlass.files import atomic_write, copy_owner_and_mode, sync_folder
from democlass.inputs.item import Item
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
    """What may happen to an output that exists. `retry_errors` classifies its error rows again."""

    resume: bool = False
    overwrite: bool = False
    retry_errors: bool = False

    @property
    def may_replace(self) -> bool:
        """Whether files of an earlier run may be replaced."""
        return self.resume or self.overwrite


class FileSink:
    """Writes OUT and the files beside it, which no other process can write from `__init__` to `close`.

    `previous` is the record of the run that is resumed, or None. `finish` calls `watch` with every row of OUT, in
    order. `warn` is called with messages for the user.

    Raises OutputError if OUT exists and `write_mode` allows neither resuming nor overwriting, if another run is
    writing it, or if its folder is not writable.
    """

    def __init__(
        self,
        path: Path,
        format_: Format,
        write_mode: WriteMode,
        tasks: Sequence[Task] = TASKS,
        *,
        warn: Callable[[str], None] = lambda _: None,
        watch: Callable[[Prediction], object] = lambda _: None,
    ) -> None:
        self.path = Path(os.path.realpath(path))  # write to the file that a link leads to
        self._record_path = companion(self.path, RECORD)
        self._format = format_
        self._write_mode = write_mode
        self._tasks = tasks
        self._warn = warn
        self._watch = watch
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
        """Prepare for rows, and read those of the run that is resumed. Raises OutputError, WriteError."""
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
                self._read_existing_rows(self.previous)
                record = self.previous.resumed_by(record, self._rows.count)
            self._log.sync()
            sync_folder(self.path.parent)
            record = replace(record, log_bytes=self._log.size)
            record.write(self._record_path)
        except OSError as error:
            raise write_error(self._record_path, error) from None
        self._record = record

    def remaining(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items to classify: first those of rows to repeat, then those without a row. Call it once."""
        return self._rows.remaining(items)

    def write(self, prediction: Prediction) -> None:
        """Add the rows of a prediction, in the order of `remaining`. Raises WriteError, for example on a full disk."""
        name, number = self._rows.place(prediction)
        self._log.append(prediction if name == prediction.path else replace(prediction, path=name), number)

    def finish(self, skipped: Counter[str]) -> Tally:
        """Write OUT, complete the record, delete the log; return the counts of all rows. Raises WriteError."""
        assert self._record is not None, "begin comes first"
        if self.path.exists() and not self._existed:
            raise WriteError(
                f"{self.path} was created by something else during the run and is not replaced: move it away, then "
                "--resume finishes the run"
            )
        try:
            self._log.sync()
            with atomic_write(self.path, suffix=EXPORT, like=self._log.status()) as stream:
                tally = self._export(stream, has_faces=self._record.has_faces)
            tallies = tally.as_dict() | {"skipped": dict(skipped)}
            runs = self._record.runs if self._rows.has_changed else self._record.runs[:-1] or self._record.runs
            record = replace(self._record, state=FINISHED, finished=now(), tallies=tallies, runs=runs)
            replace(record, log_bytes=None, replaces=None).write(self._record_path)
        except OSError as error:
            if self._log.is_in_place:
                raise write_error(self.path, error) from None
            raise WriteError(
                f"can't write {self.path}: {error.strerror or error}. {self._log.path}, which has the rows, was moved "
                "or deleted during the run"
            ) from None
        self._log.close(discard=True)
        return tally

    def close(self) -> None:
        """Release OUT. The rows in the log stay, for resuming."""
        if self._record is not None and self._log.is_open:
            try:
                self._log.sync()
            except WriteError as error:
                self._warn(str(error))
        self._log.close()

    def _read_previous(self) -> RunRecord | None:
        """Return the record of the run to resume, or None to begin. Raises OutputError if neither is safe."""
        if self._write_mode.overwrite:
            return None
        exists, begun = self.path.exists(), not self._log.is_empty
        if not self._write_mode.resume:
            if exists:
                raise OutputError(f"{self.path} exists: --resume adds to it, --overwrite replaces it")
            if begun:
                raise OutputError(
                    f"{self._log.path} belongs to an unfinished run: --resume continues it, --overwrite starts again"
                )
            return None
        record = RunRecord.read(self._record_path)
        if record is None and (exists or begun):
            raise OutputError(f"can't resume without the record {self._record_path}: --overwrite starts again")
        if record is not None and record.format not in FORMATS:
            raise OutputError(
                f"can't read the record {self._record_path}: unknown format {record.format!r}. Restore a copy of it, "
                "or --overwrite starts again"
            )
        return None if record is not None and record.state == FINISHED and not exists else record

    def _warn_of_changes(self, before: RunInfo, now_: RunInfo) -> None:
        if differences := before.version_differences(now_):
            self._warn(
                f"versions changed since the last run: {', '.join(differences)}; the last digits of new probabilities "
                "may differ"
            )
        folder = before.names_relative_to(self.path)
        if folder != now_.folder and not all(source.startswith("/") for source in now_.sources):
            self._warn(f"paths in existing rows are relative to {folder}, in new rows to {now_.folder}")

    def _read_existing_rows(self, record: RunRecord) -> None:
        """Read the existing rows and copy them to the log if they are in OUT. Raises OutputError, WriteError."""
        self._rows = RowIndex([(run.rows_before, run.names_relative_to(self.path)) for run in record.runs])
        retry = self._write_mode.retry_errors
        if self._rows_are_in_log(record):
            for row in self._log.rows():
                self._rows.add(row, retry_errors=retry)
        else:
            self._log.clear()
            self._log.extend(self._rows.adding(read_rows(self.path, record.format, self._tasks), retry_errors=retry))

    def _rows_are_in_log(self, record: RunRecord) -> bool:
        """Return whether the rows are in the log rather than in OUT. Raises OutputError if that is not certain.

        They are in the log once the record says `running`. If the log has fewer bytes than were on disk then, it was
        lost later. Then OUT has the rows that the run started with, or all rows if it was renamed already. But OUT may
        also be a file that was to be overwritten; size and time of last change identify that one.
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
            f"{self._log.path} has lost the rows of the unfinished run, and {self.path} may or may not have them: "
            f"move {self.path} away, then --resume starts again, or --overwrite replaces it"
        )

    def _identity(self) -> list[int] | None:
        """Return OUT's size in bytes and time of last change in nanoseconds, or None if OUT does not exist."""
        if not self._existed:
            return None
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns]

    def _export(self, stream: BinaryIO, *, has_faces: bool) -> Tally:
        """Write all rows in the output's format and return their counts."""
        tally = Tally(has_detection=has_faces)
        wide = self._format.flat and self._rows.need_path_bytes
        writer = self._format.writer(stream, WriterOptions(self._tasks, faces=has_faces, path_bytes=wide))
        for row in self._log.rows():
            writer.write(row)
            tally.add(row)
            self._watch(row)
        writer.close()
        return tally
