"""Predictions that are there already: a file of results, checked row by row, and what its record says of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from democlass.errors import DemoclassError, UsageError
from democlass.output.formats import FORMATS, Format, format_of, require
from democlass.results import Prediction
from democlass.tasks import UNCERTAIN, Task

_TOLERANCE = 0.01
"""How far from 1 the probabilities of an image may sum up: room for values that were rounded to two or three digits."""

_ROUNDING = 0.002
"""How far below the highest probability that of the label may be, for the same reason."""


def read_results(file: Path, tasks: Sequence[Task]) -> Iterator[Prediction]:
    """Yield the rows of a file of results. Raises UsageError, which names the row, where one is damaged or foreign."""
    number = 1
    try:
        with file.open("rb") as stream:
            for prediction in require(_format(file)).read(stream, tasks):
                _check(prediction, tasks)
                yield prediction
                number += 1
    except DemoclassError:
        raise
    except OSError as error:
        raise UsageError(f"can't read {file}: {error.strerror or _first_line(error)}") from None
    except Exception as error:  # csv, json and pyarrow have each their own for a damaged or foreign file
        raise UsageError(f"{file} is no file of results, or damaged: row {number:,}: {_said(error)}") from None


def record_path(file: Path) -> Path:
    """Return where the record of a file of results is."""
    return Path(f"{file}.run.json")


def read_record(file: Path) -> Mapping[str, Any] | None:
    """Return what the record beside a file of results says, unchecked; None where there is none that can be read."""
    try:
        said = json.loads(record_path(file).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def described(record: Mapping[str, Any] | None, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what a record says of the checkpoints, by task, and of the run: date, version and precision."""
    made = _object(record)
    checkpoints = {task.name: _object(_object(made.get("checkpoints")).get(task.name)) for task in tasks}
    return {
        "checkpoints": {
            name: {
                "path": _text(said.get("path")),
                "sha256": _text(said.get("sha256")),
                "temperature": said.get("temperature"),
            }
            for name, said in checkpoints.items()
            if said
        },
        "classified": {
            "date": _text(made.get("finished")) or _text(made.get("started")),
            "version": " and ".join(_versions(made)) or None,
            "precision": _text(_object(made.get("options")).get("precision")),
        },
    }


def _versions(record: Mapping[str, Any]) -> list[str]:
    """Return the versions that made the rows, each once; a record has them of each run, or those of one."""
    runs = record.get("runs")
    made_by = [_object(run).get("versions") for run in runs] if isinstance(runs, list) else [record.get("versions")]
    versions = [_text(_object(each).get("democlass")) for each in made_by]
    return list(dict.fromkeys(version for version in versions if version))


def _format(file: Path) -> Format:
    """Return the format of a file: what its record says, or else what its suffix stands for. Raises UsageError."""
    named = (read_record(file) or {}).get("format")
    if isinstance(named, str) and named in FORMATS:
        return FORMATS[named]
    try:
        return format_of(file)
    except UsageError:
        suffixes = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
        raise UsageError(f"{file}: its format is not known; rename it so that it ends in {suffixes}") from None


def _check(prediction: Prediction, tasks: Sequence[Task]) -> None:
    """Raise ValueError where the probabilities of an image can't be any."""
    if not isinstance(prediction.path, str | None):
        raise ValueError("its path is no text")
    if prediction.error is not None:
        return
    for task in tasks:
        values = list(prediction.outcomes[task.name].probabilities.values())
        wrong = next((value for value in values if not 0 <= value <= 1), None)  # NaN too
        if wrong is not None:
            raise ValueError(f"{wrong:g} is no probability of {task.title}: it must be from 0 to 1")
        if abs(sum(values) - 1) > _TOLERANCE:
            raise ValueError(f"the probabilities of {task.title} sum up to {sum(values):.4g}, not to 1")
        outcome = prediction.outcomes[task.name]
        if outcome.label != UNCERTAIN and outcome.probabilities.get(outcome.label, 0) < max(values) - _ROUNDING:
            raise ValueError(f"the label of {task.title} is not its most probable one: columns may be mixed up")


def _said(error: Exception) -> str:
    """Return what to tell a person of an error of the readers, without their internals."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0] if error.args else 'such column'}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, (TypeError, AttributeError)):
        return "values are missing, or of another type"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
