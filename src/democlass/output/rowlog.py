"""The row log, `OUT.partial`: one JSON object on each line for each input, appended in one write.

An input can be classified again later: its new line says which row it replaces. Appended lines are forced to disk
every few seconds, and by `sync`.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError, WriteError
from democlass.files import PositionedReader
from democlass.inputs.compact import Replacements
from democlass.nested import from_document, to_document
from democlass.output.formats import json_line
from democlass.output.locks import open_locked
from democlass.results import Prediction
from democlass.tasks import TASKS, Task

SECONDS_BETWEEN_SYNCS = 5.0
"""A power cut loses the rows of about this time."""

_REPLACES = "replaces_row"
_BLOCK = 2**16


class RowLog:
    """A log of rows, locked by this process from `__init__` to `close`.

    Raises OutputError if another process holds the lock or the file is not writable. `warn` is called if the file
    system has no locks.
    """

    def __init__(
        self, path: Path, tasks: Sequence[Task] = TASKS, *, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._tasks = tasks
        self._file = io.FileIO(open_locked(path, warn), "a+")
        self._size = self.status().st_size
        self._last_sync = time.monotonic()

    @property
    def size(self) -> int:
        """Bytes of all complete rows."""
        return self._size

    @property
    def is_empty(self) -> bool:
        """Whether the log has no rows."""
        return self._size == 0

    @property
    def is_open(self) -> bool:
        """Whether `close` was not called yet."""
        return not self._file.closed

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still at its path, so that a later run finds it: not moved, deleted or replaced."""
        with suppress(OSError):
            return os.path.samestat(self.status(), self.path.stat())
        return False

    def status(self) -> os.stat_result:
        """Return the status of the file: owner, mode, size."""
        return os.fstat(self.descriptor)

    @property
    def descriptor(self) -> int:
        """The descriptor of the open file."""
        return self._file.fileno()

    def append(self, prediction: Prediction, replaces: int | None = None) -> None:
        """Add a row. Raises WriteError, for example on a full disk; earlier rows stay complete."""
        self._write(self._line(prediction, replaces))
        if time.monotonic() - self._last_sync >= SECONDS_BETWEEN_SYNCS:
            self.sync()

    def extend(self, predictions: Iterable[Prediction]) -> None:
        """Add many rows. Raises WriteError."""
        block = bytearray()
        for prediction in predictions:
            block += self._line(prediction, None)
            if len(block) >= _BLOCK:
                self._write(bytes(block))
                block.clear()
        self._write(bytes(block))

    def sync(self) -> None:
        """Force the appended rows to disk. Raises WriteError."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise write_error(self.path, error) from None
        self._last_sync = time.monotonic()

    def rows(self) -> Iterator[Prediction]:
        """Yield the rows in order, with replaced rows exchanged for their replacements. Raises OutputError."""
        replacements = self._replacements().sorted_by_row()
        replaced, position = next(replacements, (None, 0))
        with self._reader() as lines, self._reader() as elsewhere:
            number = start = 0
            for line in lines:
                is_row = _REPLACES.encode() not in line or self._parse(line, start)[0] is None
                if is_row and number == replaced:
                    elsewhere.seek(position)
                    yield self._parse(elsewhere.readline(), position)[1]
                    replaced, position = next(replacements, (None, 0))
                elif is_row:
                    yield self._parse(line, start)[1]
                number += is_row
                start += len(line)
        if replaced is not None:
            raise self._damaged(position)

    def cut_torn_end(self) -> None:
        """Remove what follows the last complete row: part of a row after a kill, or NUL bytes after a power cut."""
        with self._reader() as file:
            end = self._size
            while end:
                start = _line_start(file, end)
                if _is_whole(file, start, end):
                    break
                end = start
        self._cut(end)

    def clear(self) -> None:
        """Remove all rows."""
        self._cut(0)

    def close(self, *, discard: bool = False) -> None:
        """Release the file. Delete it first if it is empty or `discard` is true."""
        if self._file.closed:
            return
        if (discard or self.status().st_size == 0) and self.is_in_place:
            with suppress(FileNotFoundError):  # deleted by hand
                self.path.unlink()
        self._file.close()

    def _line(self, prediction: Prediction, replaces: int | None) -> bytes:
        row = to_document(prediction, labels=True, decimals=None)
        if replaces is not None:
            row[_REPLACES] = replaces
        return json_line(row) + b"\n"

    def _write(self, lines: bytes) -> None:
        left = memoryview(lines)
        try:
            while left:  # a disk that becomes full accepts part of a write, and the next write fails
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):  # otherwise resuming removes it
                os.ftruncate(self.descriptor, self._size)
            raise write_error(self.path, error) from None
        self._size += len(lines)

    def _replacements(self) -> Replacements:
        """Find the lines that replace rows. Raises OutputError."""
        found = Replacements()
        start = 0
        with self._reader() as lines:
            for line in lines:
                if _REPLACES.encode() in line and (replaces := self._parse(line, start)[0]) is not None:
                    found.add(replaces, start)
                start += len(line)
        return found

    def _parse(self, line: bytes, start: int) -> tuple[int | None, Prediction]:
        """Return the number of the row that a line replaces, or None, and its row. Raises OutputError."""
        try:
            document = json.loads(line.decode())
            row, replaces = from_document(document, self._tasks), document.get(_REPLACES)
            if not is_written(row) or not (replaces is None or (type(replaces) is int and 0 <= replaces < 2**63)):
                raise ValueError("no row of a run")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            raise self._damaged(start) from None
        return replaces, row

    def _damaged(self, start: int) -> OutputError:
        cut = f"truncate -s {start} {shlex.quote(str(self.path))}"
        return OutputError(
            f"{self.path} has a damaged row at byte {start}: {cut} removes it and all later rows, and --resume then "
            "classifies their images again; --overwrite starts again"
        )

    def _reader(self) -> io.BufferedReader:
        """Return a reader of the file from its beginning, also if the file was deleted since."""
        return io.BufferedReader(PositionedReader(self.descriptor), _BLOCK)

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise write_error(self.path, error) from None
        self._size = size


def is_written(row: Prediction) -> bool:
    """Return whether a row has a file name, as every row of a run has."""
    return isinstance(row.path, str) and "\0" not in row.path


def write_error(path: Path, error: OSError) -> WriteError:
    """Return the error for a file that cannot be written."""
    return WriteError(f"can't write {path}: {error.strerror or error}. Rows so far are kept; --resume continues")


def _line_start(file: BinaryIO, end: int) -> int:
    """Return the start of the line that ends before `end`."""
    before = end - 1
    while before > 0:
        start = max(0, before - _BLOCK)
        file.seek(start)
        newline = file.read(before - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        before = start
    return 0


def _is_whole(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether a line ends with a line feed and has no NUL byte, which JSON never contains."""
    file.seek(end - 1)
    if file.read(1) != b"\n":
        return False
    file.seek(start)
    return all(b"\0" not in file.read(min(_BLOCK, end - at)) for at in range(start, end, _BLOCK))
