"""Output formats: a writer class and a reader for each, in a table by name and file suffix.

A writer writes the rows of each prediction to a binary stream in one call, and holds few rows in memory.
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
from democlass.flat import BOX_COLUMNS, columns, from_rows, to_rows
from democlass.names import escape_in_json, to_printable
from democlass.nested import from_document, to_document
from democlass.results import DECIMALS, Prediction
from democlass.tasks import TASKS, Task

_ROWS_AT_ONCE = 4096
"""Rows of a Parquet file that are read at a time."""


@dataclass(frozen=True)
class WriterOptions:
    """What a writer must know before the first row.

    `faces`: flat rows have the columns of face detection. `path_bytes`: they have a column for the raw bytes of names.
    `terminal`: the stream is a terminal, which must not interpret control characters in names.
    """

    tasks: Sequence[Task] = TASKS
    faces: bool = False
    path_bytes: bool = False
    terminal: bool = False


class Writer(Protocol):
    """Writes predictions to a stream. `close` completes the format and leaves the stream open."""

    def write(self, prediction: Prediction) -> None:
        """Write the rows of one prediction."""

    def close(self) -> None:
        """Write what the format needs at its end."""


class JsonLinesWriter:
    """JSON Lines: one object on each line."""

    def __init__(self, stream: BinaryIO, options: WriterOptions) -> None:
        self._stream = stream

    def write(self, prediction: Prediction) -> None:
        """Write one line."""
        self._stream.write(json_line(to_document(prediction)) + b"\n")

    def close(self) -> None:
        """Do nothing: the format has no end."""


class JsonWriter:
    """One JSON array, with one element on each line."""

    def __init__(self, stream: BinaryIO, options: WriterOptions) -> None:
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
    """CSV as in RFC 4180, with a header and line feeds as line ends."""

    def __init__(self, stream: BinaryIO, options: WriterOptions) -> None:
        self._stream = stream
        self._columns = columns(options.tasks, faces=options.faces, path_bytes=options.path_bytes)
        self._clean = to_printable if options.terminal else str
        stream.write(csv_line(self._columns))

    def write(self, prediction: Prediction) -> None:
        """Write one row for each face."""
        rows = to_rows(prediction)
        self._stream.write(
            b"".join(csv_line([self._cell(name, row.get(name)) for name in self._columns]) for row in rows)
        )

    def close(self) -> None:
        """Do nothing: the format has no end."""

    def _cell(self, column: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, float) and column not in BOX_COLUMNS:
            return f"{value:.{DECIMALS}f}"
        return self._clean(value)


class ParquetWriter:
    """Apache Parquet: strings, and float32 for probabilities."""

    _ROWS_PER_GROUP = 10_000

    def __init__(self, stream: BinaryIO, options: WriterOptions) -> None:
        pa, parquet = _pyarrow()
        names = columns(options.tasks, faces=options.faces, path_bytes=options.path_bytes)
        texts = ("path", "status", "error", "path_bytes", *(task.name for task in options.tasks))
        types = dict.fromkeys(texts, pa.string()) | dict.fromkeys(BOX_COLUMNS, pa.float64()) | {"face": pa.int32()}
        self._schema = pa.schema([(name, types.get(name, pa.float32())) for name in names])
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._table = pa.Table
        self._rows: list[dict[str, Any]] = []

    def write(self, prediction: Prediction) -> None:
        """Collect one row for each face, and write a row group when there are enough."""
        self._rows += to_rows(prediction)
        if len(self._rows) >= self._ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last rows and the footer, without which the file is not readable."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()


def read_json_lines(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the predictions that `JsonLinesWriter` wrote."""
    return (from_document(json.loads(line), tasks) for line in stream)


def read_json(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the predictions that `JsonWriter` wrote, line by line, in constant memory."""
    lines = (line.rstrip(b",\r\n") for line in stream)
    return (from_document(json.loads(line), tasks) for line in lines if line not in (b"[", b"]", b"[]", b""))


def read_csv(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the predictions that `CsvWriter` wrote. Raises ValueError if the header or a cell is missing."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        lines = csv.reader(text, strict=True)
        header = next(lines, [])
        if header[:1] != ["path"]:
            raise ValueError("no header")
        yield from from_rows((dict(zip(header, cells, strict=True)) for cells in lines), tasks)
    finally:
        text.detach()  # the caller closes the stream


def read_parquet(stream: BinaryIO, tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the predictions that `ParquetWriter` wrote."""
    _, parquet = _pyarrow()
    batches = parquet.ParquetFile(stream).iter_batches(_ROWS_AT_ONCE)
    yield from from_rows((row for batch in batches for row in batch.to_pylist()), tasks)


@dataclass(frozen=True)
class Format:
    """An output format: its name on the command line, its file suffixes, writer and reader.

    `flat`: a table of columns, not nested. `text`: a person can read it.
    """

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
    """Return the format of a file by its suffix. Raises UsageError if there is none."""
    for known in FORMATS.values():
        if path.suffix.lower() in known.suffixes:
            return known
    suffixes = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
    raise UsageError(
        f"{to_printable(str(path))}: no output format has the suffix {path.suffix!r}; use {suffixes}, or --format"
    )


def require(format_: Format) -> Format:
    """Return the format if the packages that it needs are installed. Raises MissingExtraError."""
    if format_.name == "parquet":
        _pyarrow()
    return format_


class _Echo:
    """A file that returns what is written to it."""

    def write(self, line: str) -> str:
        return line


_encode = json.JSONEncoder(ensure_ascii=False).encode
_write_cells = csv.writer(_Echo(), lineterminator="\r\n").writerow  # so that a single \r in a name is quoted


def json_line(document: dict[str, Any]) -> bytes:
    """Return JSON in UTF-8 on one line, without characters that control a terminal."""
    return escape_in_json(_encode(document)).encode()


def csv_line(cells: Sequence[str]) -> bytes:
    """Return one CSV row in UTF-8 that ends with a line feed."""
    line: str = _write_cells(cells)
    return (line[:-2] + "\n").encode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("parquet", "parquet") from None
    return pyarrow, pyarrow.parquet
