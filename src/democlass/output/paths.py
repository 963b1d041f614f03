"""An output and the files beside it: where it can be, and the rows that it has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from democlass.errors import DemoclassError, OutputError
from democlass.output.formats import FORMATS
from democlass.output.rowlog import is_written
from democlass.results import Prediction
from democlass.tasks import Task

PARTIAL, RECORD, EXPORT = ".partial", ".run.json", ".export"
"""What the names of the files beside an output end in: its row log, its record, and itself before it is renamed."""

_LONGEST = f"{RECORD}.new"
_USUAL_NAME_MAX = 255


def companion(path: Path, suffix: str) -> Path:
    """Return the path of a file beside an output."""
    return path.with_name(path.name + suffix)


def refuse_odd_place(path: Path) -> None:
    """Raise OutputError where no output can be: on a folder, in one that is not there, under too long a name."""
    if os.path.isdir(path):
        raise OutputError(f"{path} is a folder: give --out a file in it")
    if not os.path.isdir(path.parent):
        raise OutputError(f"there is no folder {path.parent}: make it first")
    longest = _USUAL_NAME_MAX
    with suppress(OSError, ValueError):
        longest = os.pathconf(path.parent, "PC_NAME_MAX")
    if len(os.fsencode(path.name + _LONGEST)) > longest:
        raise OutputError(
            f"the file name {path.name} is too long: files beside it get longer names, as FILE{_LONGEST}; "
            f"give --out a name of at most {longest - len(_LONGEST)} bytes"
        )
    for suffix in (PARTIAL, RECORD, EXPORT):
        if os.path.isdir(beside := companion(path, suffix)):
            raise OutputError(f"{beside} is a folder, and a file of that name is needed: give another --out")


def refuse_inputs(outputs: Iterable[Path | None], sources: Iterable[str], found: Iterable[str] = ()) -> None:
    """Raise OutputError where an output that exists is an image of the run: also --overwrite must not replace one.

    `sources` are compared as files, so that links and other spellings are known; of the images `found`, those that
    have an output's name.
    """
    existing = [path for path in outputs if path is not None and path.is_file()]
    if not existing:
        return
    ends = tuple({path.name for path in existing})
    for name in (*sources, *(name for name in found if name.endswith(ends))):
        for path in existing:
            with suppress(OSError, ValueError):
                if os.path.samefile(name, path):
                    raise OutputError(f"{path} is one of the images: give another file for the output")


def read_rows(path: Path, format_name: str, tasks: Sequence[Task]) -> Iterator[Prediction]:
    """Yield the rows of a finished output. Raises OutputError where it is not as a run wrote it."""
    number = 0
    try:
        with path.open("rb") as stream:
            for row in FORMATS[format_name].read(stream, tasks):
                if not is_written(row):
                    raise ValueError("a row without the name of a file")
                yield row
                number += 1
    except DemoclassError:
        raise
    except OSError as error:
        raise OutputError(f"can't read {path}: {error.strerror or error}") from None
    except Exception:  # csv, json, pyarrow: each has its own for a file changed by hand
        raise OutputError(
            f"{path} is not as it was written: after row {number} comes something else. Put back a copy of it, or "
            "--overwrite begins again"
        ) from None
