"""The columns of a finished output, to find those that something else has added."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import BinaryIO

from democlass.flat import columns
from democlass.tasks import Task


def unknown_columns(stream: BinaryIO, format_name: str, tasks: Sequence[Task]) -> list[str]:
    """Return the columns of a file that democlass does not write. The stream is at its start before and after.

    Formats that are not flat have no columns, and a file without a header has none that could be known.
    """
    names: list[str] = []
    if format_name == "csv":
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        names = next(csv.reader(text, strict=True), [])
        text.detach()
    elif format_name == "parquet":
        from pyarrow.parquet import read_schema

        names = read_schema(stream).names
    stream.seek(0)
    known = columns(tasks, faces=True, path_bytes=True)
    return [name for name in names if name not in known] if names[:1] == known[:1] else []
