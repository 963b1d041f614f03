"""Read results in pieces: tables of at most some ten thousand rows, so that files may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from democlass.errors import UsageError
from democlass.flat import to_rows
from democlass.output.formats import FORMATS, format_of, require
from democlass.results import OK
from democlass.tasks import UNCERTAIN, Task

ROWS = 50_000
"""Rows of a piece."""

_BOX_COLUMN = "face"


def read_pieces(file: Path, tasks: Sequence[Task]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file of results, in order.

    The columns are `path`, `status`, `face` (float64, NaN for a row without one), the label of each task (text, empty
    if there is none), and the probabilities `TASK_LABEL` (float64). Raises UsageError if the file can't be read or does
    not hold results, MissingExtraError if a package is missing.
    """
    format_ = require(format_of(file))
    read = {"csv": _read_csv, "parquet": _read_parquet}.get(format_.name, _read_documents)
    number = 0
    try:
        for piece in read(file, tasks):
            number += len(piece)
            yield _checked(piece, tasks)
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or error}") from None
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    except Exception as error:  # csv, json, pandas and pyarrow raise exceptions of their own
        raise UsageError(f"{file} does not hold results of classify batch, after row {number:,}: {error}") from None


def probability_columns(task: Task) -> list[str]:
    """Return the names of the columns of a task's probabilities, in the order of its labels."""
    return [f"{task.name}_{label}" for label in task.labels]


def _columns(tasks: Sequence[Task]) -> list[str]:
    return ["path", "status", *(name for task in tasks for name in (task.name, *probability_columns(task)))]


def _read_csv(file: Path, tasks: Sequence[Task]) -> Iterator[pd.DataFrame]:
    wanted = {*_columns(tasks), _BOX_COLUMN}
    texts = ("path", "status", *(task.name for task in tasks))
    numbers = [name for name in wanted if name not in texts]
    types = dict.fromkeys(texts, "str") | dict.fromkeys(numbers, "float64")
    with pd.read_csv(
        file,
        usecols=lambda name: name in wanted,
        dtype=types,
        keep_default_na=False,
        na_values=dict.fromkeys(numbers, ""),
        chunksize=ROWS,
        encoding_errors="strict",
    ) as pieces:
        yield from pieces


def _read_parquet(file: Path, tasks: Sequence[Task]) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet

    # By default pyarrow keeps what it has read until the file is closed.
    with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as table:
        names = [name for name in (*_columns(tasks), _BOX_COLUMN) if name in table.schema_arrow.names]
        for batch in table.iter_batches(ROWS, columns=names, use_threads=False):
            yield batch.to_pandas()


def _read_documents(file: Path, tasks: Sequence[Task]) -> Iterator[pd.DataFrame]:
    with file.open("rb") as stream:
        predictions = FORMATS[format_of(file).name].read(stream, tasks)
        rows = (row for prediction in predictions for row in to_rows(prediction))
        while piece := list(islice(rows, ROWS)):
            yield pd.DataFrame(piece, columns=[*_columns(tasks), _BOX_COLUMN])


def _checked(piece: pd.DataFrame, tasks: Sequence[Task]) -> pd.DataFrame:
    """Return the piece with all columns. Raises UsageError if one is missing or has impossible values."""
    if missing := [name for name in _columns(tasks) if name not in piece.columns]:
        raise UsageError(f"it lacks columns of results: {', '.join(missing[:5])}")
    if _BOX_COLUMN not in piece.columns:
        piece[_BOX_COLUMN] = np.nan
    for task in tasks:
        piece[task.name] = piece[task.name].astype(object).fillna("")
        if unknown := set(piece[task.name]) - {*task.labels, UNCERTAIN, ""}:
            raise UsageError(f"unknown label of {task.title}: {min(map(str, unknown))!r}")
        values = piece.loc[piece["status"] == OK, probability_columns(task)].to_numpy(np.float64)
        if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()):
            raise UsageError(f"a face has no probabilities of {task.title}, or they are not 0 to 1")
    return piece
