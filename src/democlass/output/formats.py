"""Writers: one small class a format, chosen from a table by name or by file suffix; and the readers that undo them.

Every writer takes a binary stream, hands each row to it in one call, and never holds more than a few rows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from democlass.errors import MissingExtraError, UsageError
from democlass.names import escape_in_json, to_printable
from democlass.results import DECIMALS, Prediction, columns, from_document, from_row, to_document, to_row
from democlass.tasks import TASKS, Task

_ROWS_AT_ONCE = 4096
"""Rows of a Parquet file that are read at once."""


@dataclass(frozen=True)
class WriterOptions:
    """What a writer must know of all rows before the first.

    `path_bytes`: flat rows have a column for the raw bytes of names. `terminal`: a person's terminal reads the stream,
    so no name may act on it.
    """

    tasks: Sequence[Task] = TASKS
    path_bytes: bool = False
    terminal: bool = False


class Writer(Protocol):
    """Writes predictions to a stream; `close` completes the format and leaves the stream open."""

    def write(self, prediction: Prediction) -> None:
        """Write one row."""

    def close(self) -> None:
        """Write what the format needs at its end."""


class JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, stream: BinaryIO, shape: WriterOptions) -> None:
        self._stream = stream

    def write(self, prediction: Prediction) -> None:
        """Write one line."""
        self._stream.write(json_line(to_document(prediction)) + b"\n")

    def close(self) -> None:
        """Do nothing: every line stands alone."""


class JsonWriter:
    """One JSON array, one row a line."""

    def __init__(self, stream: BinaryIO, shape: WriterOptions) -> None:
        self._stream = stream
        self._before = b"[\n"

    def write(self, prediction: Prediction) -> None:
        """Write one element."""
        self._stream.write(self._before + json_line(to_document(prediction)))
        self._before = b",\n"

    def close(self) -> None:
        """Close the array."""
        self._stream.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")


class CsvWriter:
    """RFC 4180 with a header, lines ending in a line feed."""

    def __init__(self, stream: BinaryIO, shape: WriterOptions) -> None:
        self._stream = stream
        self._columns = columns(shape.tasks, path_bytes=shape.path_bytes)
        self._clean = to_printable if shape.terminal else str
        stream.write(csv_line(self._columns))

    def write(self, prediction: Prediction) -> None:
        """Write one line (of several, where a name holds line feeds)."""
        row = to_row(prediction)
        self._stream.write(csv_line([self._cell(row.get(name)) for name in self._columns]))

    def close(self) -> None:
        """Do nothing: every line stands alone."""

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        return f"{value:.{DECIMALS}f}" if isinstance(value, float) else self._clean(value)


class ParquetWriter:
    """Apache Parquet: text columns, and float32 for every probability."""

    _ROWS_A_GROUP = 10_000

    def __init__(self, stream: BinaryIO, shape: WriterOptions) -> None:
        pa, parquet = _pyarrow()
        names = columns(shape.tasks, path_bytes=shape.path_bytes)
        text = {"path", "status", "error", "path_bytes", *(task.name for task in shape.tasks)}
        self._schema = pa.schema([(name, pa.string() if name in text else pa.float32()) for name in names])
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._table = pa.Table
        self._rows: list[dict[str, Any]] = []

    def write(self, prediction: Prediction) -> None:
        """Take one row; a group of them is written at a time."""
        self._rows.append(to_row(prediction))
        if len(self._rows) == self._ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last rows and the footer, without which the file can't be read."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()


def read_json_lines(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the rows of `JsonLinesWriter`."""
    return (from_document(json.loads(line), tasks) for line in stream)


def read_json(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the rows of `JsonWriter`, line by line so that memory stays flat."""
    lines = (line.rstrip(b",\r\n") for line in stream)
    return (from_document(json.loads(line), tasks) for line in lines if line not in (b"[", b"]", b"[]", b""))


def read_csv(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the rows of `CsvWriter`. Raises ValueError where the header or a cell is missing."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        lines = csv.reader(text, strict=True)
        header = next(lines, [])
        if header[:1] != ["path"]:
            raise ValueError("no header")
        for cells in lines:
            yield from_row(dict(zip(header, cells, strict=True)), tasks)
    finally:
        text.detach()  # the stream is the caller's to close


def read_parquet(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the rows of `ParquetWriter`."""
    _, parquet = _pyarrow()
    for batch in parquet.ParquetFile(stream).iter_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield from_row(row, tasks)


@dataclass(frozen=True)
class Format:
    """A way to write results: its name on the command line, the suffixes that stand for it, writer and reader."""

    name: str
    suffixes: tuple[str, ...]
    writer: Callable[[BinaryIO, WriterOptions], Writer]
    read: Callable[[BinaryIO, Sequence[Task]], Iterator[Prediction]]
    flat: bool
    text: bool = True


FORMATS = {
    known.name: known
    for known in (
        Format("csv", (".csv",), CsvWriter, read_csv, flat=True),
        Format("json", (".json",), JsonWriter, read_json, flat=False),
        Format("jsonl", (".jsonl", ".ndjson"), JsonLinesWriter, read_json_lines, flat=False),
        Format("parquet", (".parquet", ".pq"), ParquetWriter, read_parquet, flat=True, text=False),
    )
}


def format_of(path: Path) -> Format:
    """Return the format that a file's suffix stands for. Raises UsageError."""
    for known in FORMATS.values():
        if path.suffix.lower() in known.suffixes:
            return known
    suffixes = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
    raise UsageError(
        f"{to_printable(str(path))}: no format has the suffix {path.suffix!r}; use {suffixes}, or give --format"
    )


def require(format_: Format) -> Format:
    """Return the format, once what it needs is known to be installed. Raises MissingExtraError."""
    if format_.name == "parquet":
        _pyarrow()
    return format_


class _Echo:
    """Hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


_encode = json.JSONEncoder(ensure_ascii=False).encode
_write_cells = csv.writer(_Echo(), lineterminator="\r\n").writerow  # so that a bare \r in a name is quoted as well


def json_line(document: dict[str, Any]) -> bytes:
    """Return JSON in UTF-8 on one line, in which nothing acts on a terminal."""
    return escape_in_json(_encode(document)).encode()


def csv_line(cells: Sequence[str]) -> bytes:
    """Return one row of CSV in UTF-8, ended by a line feed."""
    line: str = _write_cells(cells)
    return (line[:-2] + "\n").encode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("parquet", "parquet") from None
    return pyarrow, pyarrow.parquet
