"""The run record beside a file of results: which checkpoints and which version made the predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from democlass.tasks import Task


def record_path(file: Path) -> Path:
    """Return the path of the run record of a file of results."""
    return Path(f"{file}.run.json")


def read_record(file: Path) -> Mapping[str, Any] | None:
    """Return the run record of a file of results, not validated; None if there is none or it can't be read."""
    try:
        record = json.loads(record_path(file).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def describe_run(record: Mapping[str, Any] | None, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return the checkpoints of a record by task, and `classified`: date, version and precision; None if unknown."""
    run = _mapping(record)
    checkpoints = {task.name: _mapping(_mapping(run.get("checkpoints")).get(task.name)) for task in tasks}
    return {
        "checkpoints": {
            name: {
                "path": _text(checkpoint.get("path")),
                "sha256": _text(checkpoint.get("sha256")),
                "temperature": checkpoint.get("temperature"),
            }
            for name, checkpoint in checkpoints.items()
            if checkpoint
        },
        "classified": {
            "date": _text(run.get("finished")) or _text(run.get("started")),
            "version": " and ".join(_versions(run)) or None,
            "precision": _text(_mapping(run.get("options")).get("precision")),
        },
    }


def describe_detection(options: Any) -> dict[str, int | None]:
    """Return the settings of face detection in the options of a run record: `face_size` and `min_face`, in pixels.

    They are None if unknown.
    """
    return {name: _integer(_mapping(options).get(name)) for name in ("face_size", "min_face")}


def _versions(record: Mapping[str, Any]) -> list[str]:
    """Return the different versions of democlass that made rows. Records of version 0.1.0 have no list of runs."""
    runs = record.get("runs")
    tables = [_mapping(run).get("versions") for run in runs] if isinstance(runs, list) else [record.get("versions")]
    versions = [_text(_mapping(table).get("democlass")) for table in tables]
    return list(dict.fromkeys(version for version in versions if version))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
