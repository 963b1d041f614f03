"""Reads the predictions in a file of results, and checks every row."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from democlass.errors import DemoclassError, UsageError
from democlass.evaluate.run_records import read_record
from democlass.flat import RowError
from democlass.nested import from_document
from democlass.output.formats import FORMATS, Format, format_of, require
from democlass.results import Face, Outcome, Prediction
from democlass.tasks import UNCERTAIN, Task

_SUM_TOLERANCE = 0.01
"""How much the sum of an image's probabilities may differ from 1, in files with two or three decimals."""

_LABEL_TOLERANCE = 0.002
"""How much less probable than the most probable label the label of a row may be, in such files."""

_BYTE_ORDER_MARK = "\ufeff"

_MAX_ERROR_LENGTH, _MAX_NAME_LENGTH = 200, 60
"""Characters that a message repeats, of an error and of a name."""


def read_results(file: Path, tasks: Sequence[Task]) -> Iterator[Prediction]:
    """Yield the predictions in a file of results.

    Raises UsageError, with the number of the row, if the file is damaged or does not contain results.
    """
    number = 1  # of the next row
    try:
        with file.open("rb") as stream:
            format_ = require(_find_format(file))
            _check_columns(_read_columns(format_, stream))
            read = partial(_read_json, format_) if format_.name == "json" else format_.read
            for prediction in read(stream, tasks):
                _check_path(prediction)
                for index, face in enumerate(prediction.faces):
                    if index and format_.flat:  # each face has a row
                        number += 1
                    _check_face(face, tasks)
                yield prediction
                number += 1
    except DemoclassError:
        raise
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or _first_line(error)}") from None
    except Exception as error:  # csv, json and pyarrow raise many types for a damaged file
        reason: BaseException = error
        if isinstance(error, RowError) and error.__cause__ is not None:
            number, reason = error.number, error.__cause__
        # CSV is decoded in blocks of many rows, so that the row of a wrong byte is unknown.
        row = "" if isinstance(reason, UnicodeError) else f"row {number:,}: "
        raise UsageError(f"{file} is damaged or does not contain results: {row}{_describe_error(reason)}") from None


def _find_format(file: Path) -> Format:
    """Return the format that the run record or the suffix of a file names. Raises UsageError."""
    name = (read_record(file) or {}).get("format")
    if isinstance(name, str) and name in FORMATS:
        return FORMATS[name]
    try:
        return format_of(file)
    except UsageError:
        suffixes = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
        raise UsageError(f"{file}: unknown format; rename the file so that it ends in one of {suffixes}") from None


def _read_columns(format_: Format, stream: BinaryIO) -> Sequence[str]:
    """Return the columns of a table; none for another format. The stream is then at its start again."""
    names: Sequence[str] = ()
    if format_.name == "csv":
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        names = next(csv.reader(text, strict=True), [])
        text.detach()
        if names and names[0].startswith(_BYTE_ORDER_MARK):
            raise ValueError("a byte order mark, which spreadsheets write: save it as CSV in UTF-8 without that mark")
    elif format_.name == "parquet":
        from pyarrow.parquet import read_schema

        names = read_schema(stream).names
    stream.seek(0)
    return names


def _check_columns(names: Sequence[str]) -> None:
    """Raise ValueError if two columns have the same name: readers would use one of them."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"there are several columns named {name[:_MAX_NAME_LENGTH]!r}; remove all but one")


def _read_json(format_: Format, stream: BinaryIO, tasks: Sequence[Task]) -> Iterator[Prediction]:
    """Read JSON with one row per line, as `classify` writes it, row by row; an array in another layout at once."""
    start = stream.readline(16).strip()
    has_row_per_line = start == b"[" and stream.readline().rstrip(b",\r\n").endswith(b"}")
    stream.seek(0)
    if start.startswith(b"[") and not has_row_per_line:
        yield from (from_document(row, tasks) for row in json.load(stream))
    else:
        yield from format_.read(stream, tasks)


def _check_path(prediction: Prediction) -> None:
    """Raise ValueError if the path is not a file name."""
    if not isinstance(prediction.path, str | None):
        raise ValueError("the path is not text")
    if "\0" in (prediction.path or ""):
        raise ValueError("the path has a NUL character, which no file name has")


def _check_face(face: Face, tasks: Sequence[Task]) -> None:
    """Raise ValueError if a face has no width, or its probabilities are impossible."""
    if face.box is not None and not 0 < face.box.width < math.inf:  # NaN too
        raise ValueError(f"a face is {face.box.width:g} pixels wide: use a number above 0")
    if face.outcomes:
        _check_outcomes(face.outcomes, tasks)


def _check_outcomes(outcomes: Mapping[str, Outcome], tasks: Sequence[Task]) -> None:
    """Raise ValueError if probabilities are impossible or contradict the label."""
    for task in tasks:
        outcome = outcomes[task.name]
        values = list(outcome.probabilities.values())
        invalid = next((value for value in values if not 0 <= value <= 1), None)  # NaN too
        if invalid is not None:
            raise ValueError(f"{invalid:g} is not a probability of {task.title}: use a number from 0 to 1")
        if abs(sum(values) - 1) > _SUM_TOLERANCE:
            raise ValueError(f"the probabilities of {task.title} add up to {sum(values):.4g}, not to 1")
        if outcome.label != UNCERTAIN and outcome.probabilities.get(outcome.label, 0) < max(values) - _LABEL_TOLERANCE:
            raise ValueError(f"the label of {task.title} is not the most probable one: columns may be mixed up")


_PYTHON_MESSAGES = (
    (re.compile(r"could not convert string to float: ''"), "a probability is missing"),
    (re.compile(r"could not convert string to float: (.*)"), r"\1 is not a number"),
    (re.compile(r"zip\(\) argument 2 is shorter.*"), "it has fewer cells than the header"),
    (re.compile(r"zip\(\) argument 2 is longer.*"), "it has more cells than the header"),
    (re.compile(r"Exceeds the limit .*"), "a number has too many digits"),
    (re.compile(r"int too large to convert to float"), "a number has too many digits"),
    (re.compile(r"no header"), "the file does not begin with a header whose first column is path"),
)
"""Messages of Python, which would not help the reader of a file, and ours."""


def _describe_error(error: BaseException) -> str:
    """Return what is wrong with a row, for an exception of the code that reads it."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0] if error.args else 'such column'}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"it is not valid JSON (line {error.lineno:,}, column {error.colno:,})"
    if isinstance(error, UnicodeError):
        return "it is not valid UTF-8"
    if type(error).__module__.startswith("pyarrow"):
        return "it is not a complete Parquet file"
    if isinstance(error, (TypeError, AttributeError, IndexError)):
        return "a value is missing or has the wrong type"
    text = _first_line(error)
    for pattern, message in _PYTHON_MESSAGES:
        if match := pattern.fullmatch(text):
            return match.expand(message)
    return text


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_MAX_ERROR_LENGTH]
