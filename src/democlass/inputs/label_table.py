"""Tables of labels as rows of text: CSV in its usual variants, and Parquet. What the columns mean is for labels.py."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from democlass.errors import MissingExtraError, UsageError

_DELIMITERS = ",;\t|"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

Row = tuple[str, ...]


class Table(Protocol):
    """A table whose cells are text. `columns` are the names of its columns, without surrounding spaces."""

    columns: Sequence[str]

    def rows(self, places: Sequence[int]) -> Iterator[Row | None]:
        """Yield the cells of some columns of each row; None for a row that has more cells than there are columns."""


@contextmanager
def open_table(file: Path) -> Iterator[Table]:
    """Open a CSV file (plain or gzip) or a Parquet file. Raises UsageError, also while rows are read.

    CSV is UTF-8, or UTF-16 with a byte order mark; its cells are separated by commas, semicolons, tabs or bars. Bytes
    that are not UTF-8 become lone surrogates, as in file names.
    """
    try:
        with ExitStack() as opened:
            yield _table(opened, file)
    except csv.Error as error:
        raise UsageError(f"{file} is no table of labels: {error}") from None
    except UnicodeError:
        raise UsageError(f"{file} is no table of labels: it is not valid UTF-16") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UsageError(f"{file} is damaged: its compressed data can't be read to the end") from None
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or _first_line(error)}") from None


def _table(opened: ExitStack, file: Path) -> Table:
    stream = opened.enter_context(file.open("rb"))
    head = stream.peek(8192)
    if head.startswith(_PARQUET) or file.suffix.lower() in (".parquet", ".pq"):
        return _ParquetTable(stream, file)
    if head.startswith(_GZIP):
        unpacked = opened.enter_context(gzip.GzipFile(fileobj=stream))
        return _CsvTable(opened, unpacked, unpacked.peek(8192), file)
    return _CsvTable(opened, stream, head, file)


class _CsvTable:
    """CSV as RFC 4180 describes it, and its usual variants."""

    def __init__(self, opened: ExitStack, stream: BinaryIO | gzip.GzipFile, head: bytes, file: Path) -> None:
        self._file = file
        self._line = 0
        encoding = "utf-16" if head.startswith(_UTF16) else "utf-8-sig"
        if b"\0" in head and encoding != "utf-16":
            raise UsageError(f"{file} is no table of labels: it is not text. Labels files are CSV or Parquet")
        errors = "strict" if encoding == "utf-16" else "surrogateescape"
        text = io.TextIOWrapper(cast(BinaryIO, stream), encoding=encoding, errors=errors, newline="")
        opened.enter_context(text)
        lines = self._without_nul(text)
        first = next((line for line in lines if line.strip()), "")
        if not first:
            raise UsageError(f"{file} is no table of labels: it is empty")
        delimiter = max(_DELIMITERS, key=lambda each: len(_cells(first, each)))  # the first one of equals
        # Spaces around the names mean that all cells are padded so; else a space is part of a file's name.
        self._padded = any(cell != cell.strip() for cell in _cells(first.strip("\r\n"), delimiter))
        records: Iterable[str] = chain([first], lines)
        if self._padded:
            after_quotes = re.compile(rf'" +(?={re.escape(delimiter)}|[\r\n]*$)')
            records = (after_quotes.sub('"', line) for line in records)
        self._reader = csv.reader(records, delimiter=delimiter, skipinitialspace=self._padded, strict=True)
        self.columns: Sequence[str] = [name.strip() for name in self._next() or ()]

    def rows(self, places: Sequence[int]) -> Iterator[Row | None]:
        """Yield the cells of some columns of each row, empty ones where a row is short; blank lines are no rows."""
        width = len(self.columns)
        while (cells := self._next()) is not None:
            if len(cells) > width and any(cell.strip() for cell in cells[width:]):
                yield None
            elif cells:
                row = tuple(cells[place] if place < len(cells) else "" for place in places)
                yield tuple(cell.strip() for cell in row) if self._padded else row

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise UsageError(f"{self._file} is no table of labels: line {self._line:,}: {error}") from None

    def _without_nul(self, lines: Iterable[str]) -> Iterator[str]:
        for self._line, line in enumerate(lines, 1):
            if "\0" in line:
                raise UsageError(f"{self._file} is damaged: line {self._line:,} has a NUL character")
            yield line


class _ParquetTable:
    """Parquet; columns of an index that pandas wrote are columns as any other."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise MissingExtraError("reading Parquet", "parquet") from None
        self._pa, self._file = pa, file
        with self._told():
            self._table = parquet.ParquetFile(stream)
        self._schema = self._table.schema_arrow
        self.columns: Sequence[str] = [name.strip() for name in self._schema.names]

    def rows(self, places: Sequence[int]) -> Iterator[Row]:
        """Yield the cells of some columns of each row as text: numbers as they are written, nothing for null."""
        for place in places:
            if self._pa.types.is_nested(kind := self._schema.field(place).type):
                raise UsageError(f"{self._file}: its column {self.columns[place]} holds {kind}, no text; see --map")
        names = [self._schema.names[place] for place in places]
        with self._told():
            for batch in self._table.iter_batches(columns=names):
                cells = [map(_text, batch.column(name).to_pylist()) for name in names]
                yield from zip(*cells, strict=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (self._pa.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{self._file} is no Parquet file, or damaged: {_first_line(error)}") from None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _text(value: Any) -> str:
    if value is None or value != value:  # null, and NaN as pandas writes what is missing
        return ""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, float) and value.is_integer():  # whole numbers beside missing ones
        return str(int(value))
    return str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
