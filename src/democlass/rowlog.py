"""The row log, `OUT.partial`: rows as they come, one JSON object a line, each added in one write.

A row can be repeated later: then a line further down says which row it takes the place of.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError, WriteError
from democlass.results import Prediction, from_document, to_document
from democlass.tasks import TASKS, Task
from democlass.writers import json_line

_REPLACES = "replaces_row"
_BLOCK = 2**16


class RowLog:
    """A file of rows, held by this process alone from `__init__` to `close`.

    Raises OutputError where another process holds it, or where it can't be written.
    """

    def __init__(self, path: Path, tasks: Sequence[Task] = TASKS) -> None:
        self.path = path
        self._tasks = tasks
        self._file = _open_locked(path)
        self._size = os.fstat(self._file.fileno()).st_size

    @property
    def is_empty(self) -> bool:
        """Tell whether it holds no byte."""
        return self._size == 0

    def append(self, prediction: Prediction, replaces: int | None = None) -> None:
        """Add a row. Raises WriteError where the disk is full; the rows before stay whole."""
        row = to_document(prediction, decimals=None)
        if replaces is not None:
            row[_REPLACES] = replaces
        line = json_line(row) + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # the disk ran full within this row; the next write will say so
                self._file.write(line[written:])
        except OSError as error:
            self._cut(self._size)
            raise write_error(self.path, error) from None
        self._size += len(line)

    def rows(self) -> Iterator[Prediction]:
        """Yield the rows in order, repeated ones in the place of those they replace. Raises OutputError."""
        replacements = self._replacements()
        with self.path.open("rb") as lines, self.path.open("rb") as elsewhere:
            number = 0
            for line in lines:
                replaces, row = self._parse(line)
                if replaces is not None:
                    continue
                if number in replacements:
                    elsewhere.seek(replacements[number])
                    _, row = self._parse(elsewhere.readline())
                yield row
                number += 1

    def cut_torn_row(self) -> None:
        """Cut off what follows the last whole row, as a killed process leaves it."""
        with self.path.open("rb") as file:
            end = self._size
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    self._cut(start + newline + 1)
                    return
                end = start
        self._cut(0)

    def clear(self) -> None:
        """Cut off every row."""
        self._cut(0)

    def close(self, *, discard: bool = False) -> None:
        """Let go of the file; one that is empty, or to be discarded, is deleted first."""
        if not self._file.closed:
            if discard or self.is_empty:
                self.path.unlink(missing_ok=True)
            self._file.close()

    def _replacements(self) -> dict[int, int]:
        """Return, by the number of each replaced row, where the last line that replaces it begins."""
        found: dict[int, int] = {}
        position = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if _REPLACES.encode() in line and (replaces := self._parse(line)[0]) is not None:
                    found[replaces] = position
                position += len(line)
        return found

    def _parse(self, line: bytes) -> tuple[int | None, Prediction]:
        """Return a line's row, and the number of the row whose place it takes. Raises OutputError."""
        try:
            row = json.loads(line)
            return row.get(_REPLACES), from_document(row, self._tasks)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise OutputError(f"{self.path} has a row that can't be read: --overwrite begins again") from None

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)
        self._size = size


def write_error(path: Path, error: OSError) -> WriteError:
    """Return what to tell a person whose disk does not take a file."""
    return WriteError(f"can't write {path}: {error.strerror}. What is written stays; --resume goes on from it")


def _open_locked(path: Path) -> BinaryIO:
    """Open a file for this process alone, and make sure that it is still the file of that name."""
    while True:
        try:
            file = open(path, "ab", buffering=0)  # noqa: SIM115 (close() closes it)
        except OSError as error:
            raise OutputError(f"can't write {path}: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass  # the run that held it has just finished and deleted it
        except OSError:
            file.close()
            raise OutputError(f"another run holds {path}: wait until it ends, or give another --out") from None
        file.close()
