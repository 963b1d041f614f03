"""Reads a labels file, CSV or Parquet, as rows of text cells. Column names are interpreted in label_mapping.py."""

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
    """A table of text cells. `columns` are the names of its columns, without surrounding spaces."""

    columns: Sequence[str]

    def rows(self, indices: Sequence[int]) -> Iterator[Row | None]:
        """Yield the cells of the columns at `indices`; None for a row that has more cells than the header."""


@contextmanager
def open_table(file: Path) -> Iterator[Table]:
    """Open a CSV file (plain or gzip) or a Parquet file. Raises UsageError, also while rows are read.

    CSV is UTF-8, or UTF-16 with a byte order mark. Commas, semicolons, tabs or vertical bars separate its cells. Bytes
    that are not valid UTF-8 become lone surrogates, as in file names.
    """
    try:
        with ExitStack() as stack:
            yield _open(stack, file)
    except csv.Error as error:
        raise UsageError(f"{file} is not a labels file: {error}") from None
    except UnicodeError:
        raise UsageError(f"{file} is not a labels file: it is not valid UTF-16") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UsageError(f"{file} is damaged: its compressed data is incomplete or wrong") from None
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or _first_line(error)}") from None


def _open(stack: ExitStack, file: Path) -> Table:
    stream = stack.enter_context(file.open("rb"))
    head = stream.peek(8192)
    if head.startswith(_PARQUET) or file.suffix.lower() in (".parquet", ".pq"):
        return _ParquetTable(stream, file)
    if head.startswith(_GZIP):
        unzipped = stack.enter_context(gzip.GzipFile(fileobj=stream))
        return _CsvTable(stack, unzipped, unzipped.peek(8192), file)
    return _CsvTable(stack, stream, head, file)


class _CsvTable:
    """CSV as in RFC 4180, with other separators, line ends and encodings."""

    def __init__(self, stack: ExitStack, stream: BinaryIO | gzip.GzipFile, head: bytes, file: Path) -> None:
        self._file = file
        self._line = 0
        lines = self._lines(stack.enter_context(_open_text(stream, head, file)))
        header = next((line for line in lines if line.strip()), "")
        if not header:
            raise UsageError(f"{file} is not a labels file: it is empty")
        delimiter = max(_DELIMITERS, key=lambda each: len(_split(header, each)))  # of equal counts, the first
        # Spaces around the names mean that all cells are padded. Otherwise a space is part of a file's name.
        self._is_padded = any(cell != cell.strip() for cell in _split(header.strip("\r\n"), delimiter))
        records: Iterable[str] = chain([header], lines)
        if self._is_padded:
            after_quotes = re.compile(rf'" +(?={re.escape(delimiter)}|[\r\n]*$)')
            records = (after_quotes.sub('"', line) for line in records)
        self._reader = csv.reader(records, delimiter=delimiter, skipinitialspace=self._is_padded, strict=True)
        self.columns: Sequence[str] = [name.strip() for name in self._next() or ()]

    def rows(self, indices: Sequence[int]) -> Iterator[Row | None]:
        """Yield the cells of the columns at `indices`, empty text for missing cells. Empty lines are skipped."""
        width = len(self.columns)
        while (cells := self._next()) is not None:
            if len(cells) > width and any(cell.strip() for cell in cells[width:]):
                yield None
            elif cells:
                row = tuple(cells[index] if index < len(cells) else "" for index in indices)
                yield tuple(cell.strip() for cell in row) if self._is_padded else row

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise UsageError(f"{self._file} is not a labels file: line {self._line:,}: {error}") from None

    def _lines(self, text: Iterable[str]) -> Iterator[str]:
        for self._line, line in enumerate(text, 1):
            if "\0" in line:
                raise UsageError(f"{self._file} is damaged: line {self._line:,} has a NUL character")
            yield line


class _ParquetTable:
    """Parquet. The columns of a pandas index are read like other columns."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise MissingExtraError("reading Parquet", "parquet") from None
        self._pa, self._file = pa, file
        with self._usage_errors():
            self._table = parquet.ParquetFile(stream)
        self._schema = self._table.schema_arrow
        self.columns: Sequence[str] = [name.strip() for name in self._schema.names]

    def rows(self, indices: Sequence[int]) -> Iterator[Row]:
        """Yield the cells of the columns at `indices` as text; empty text for null."""
        for index in indices:
            if self._pa.types.is_nested(kind := self._schema.field(index).type):
                raise UsageError(f"{self._file}: the column {self.columns[index]} holds {kind}, not text; see --map")
        names = [self._schema.names[index] for index in indices]
        with self._usage_errors():
            for batch in self._table.iter_batches(columns=names):
                cells = [map(_text, batch.column(name).to_pylist()) for name in names]
                yield from zip(*cells, strict=True)

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        try:
            yield
        except (self._pa.ArrowException, OSError, ValueError) as error:
            raise UsageError(f"{self._file} is not a Parquet file, or is damaged: {_first_line(error)}") from None


def _open_text(stream: BinaryIO | gzip.GzipFile, head: bytes, file: Path) -> io.TextIOWrapper:
    is_utf16 = head.startswith(_UTF16)
    if b"\0" in head and not is_utf16:
        raise UsageError(f"{file} is not a labels file: it is not text; use CSV or Parquet")
    encoding, errors = ("utf-16", "strict") if is_utf16 else ("utf-8-sig", "surrogateescape")
    return io.TextIOWrapper(cast(BinaryIO, stream), encoding=encoding, errors=errors, newline="")


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _text(value: Any) -> str:
    if value is None or value != value:  # null, or NaN, which pandas writes for a missing value
        return ""
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, float) and value.is_integer():  # pandas stores integers as floats if some are missing
        return str(int(value))
    return str(value)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
