"""An output file and the files beside it: which paths are possible, and which files must not be replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from democlass.errors import DemoclassError, OutputError
from democlass.files import is_same_file
from democlass.inputs.item import Item
from democlass.names import to_printable
from democlass.output.column_names import unknown_columns
from democlass.output.formats import FORMATS
from democlass.output.rowlog import is_written
from democlass.results import Prediction
from democlass.tasks import Task

PARTIAL, RECORD, EXPORT = ".partial", ".run.json", ".export"
"""Suffixes of the files beside an output: its row log, its record, and the new output before it is renamed."""

_MAX_NAMES = 200  # characters of a message
_LONGEST_SUFFIX = f"{RECORD}.new"
_USUAL_NAME_MAX = 255
"""Bytes of a file name, on file systems that do not say."""


def companion(path: Path, suffix: str) -> Path:
    """Return the path of a file beside an output."""
    return path.with_name(path.name + suffix)


def refuse_odd_place(path: Path) -> None:
    """Raise OutputError if the path cannot be an output: a folder, in a folder that is missing, too long a name."""
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder: --out needs a file")
    if not os.path.isdir(path.parent):
        raise OutputError(f"the folder {path.parent} does not exist: create it first")
    longest = _USUAL_NAME_MAX
    with suppress(OSError, ValueError):
        longest = os.pathconf(path.parent, "PC_NAME_MAX")
    if len(os.fsencode(path.name + _LONGEST_SUFFIX)) > longest:
        raise OutputError(
            f"the file name {path.name} is too long: files beside it get longer names, such as FILE{_LONGEST_SUFFIX}; "
            f"use at most {longest - len(_LONGEST_SUFFIX)} bytes for --out"
        )
    for suffix in (PARTIAL, RECORD, EXPORT):
        if os.path.isdir(beside := companion(path, suffix)):
            raise OutputError(f"{beside} is a folder, but democlass needs a file of that name: use another --out")


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[str | os.PathLike[str]], what: str) -> None:
    """Raise OutputError if an output is the same file as an input, under any name or link. `what` names the inputs."""
    for path in inputs:
        for output in outputs:
            if is_same_file(path, output):
                raise OutputError(f"{output} is one of the {what}: use another file for the output")


def checked(items: Iterable[Item], outputs: Sequence[Path]) -> Iterator[Item]:
    """Yield the items. Raises OutputError at an item that is one of the files `outputs`, which would be replaced."""
    for item in items:
        if isinstance(item.source, (str, os.PathLike)):
            refuse_inputs(outputs, [item.source], "images")
        yield item


def read_rows(path: Path, format_name: str, tasks: Sequence[Task]) -> Iterator[Prediction]:
    """Yield the predictions in a finished output. Raises OutputError if the file was changed or damaged.

    Also if it has columns of something else, which would be lost when it is replaced.
    """
    number = 0
    try:
        with path.open("rb") as stream:
            if added := unknown_columns(stream, format_name, tasks):
                names = ", ".join(map(to_printable, added))[:_MAX_NAMES]
                raise OutputError(
                    f"{path} has columns that democlass did not write: {names}. They would be lost: move it away, "
                    "or remove them"
                )
            for row in FORMATS[format_name].read(stream, tasks):
                if not is_written(row):
                    raise ValueError("a row without a file name")
                yield row
                number += 1
    except DemoclassError:
        raise
    except OSError as error:
        raise OutputError(f"can't read {path}: {error.strerror or error}") from None
    except Exception:  # csv, json and pyarrow raise exceptions of their own
        raise OutputError(
            f"{path} was changed or damaged after row {number}. Restore a copy of it, or --overwrite starts again"
        ) from None
