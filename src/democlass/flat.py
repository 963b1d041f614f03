"""Predictions as flat rows, for tables: one row for each face, at least one for each input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from democlass.boxes import Box
from democlass.names import decode_name, encode_name
from democlass.results import ERROR, NO_FACE, OK, TOO_SMALL, Face, Outcome, Prediction
from democlass.tasks import TASKS, Task

if TYPE_CHECKING:
    import pandas as pd

BOX_COLUMNS = ("x", "y", "width", "height", "rotation")
"""The columns of a face's region, in pixels of the upright image and degrees."""

SCORE_COLUMN = "detection_score"
_FACE_COLUMNS = ("face", *BOX_COLUMNS, SCORE_COLUMN)


def columns(tasks: Sequence[Task] = TASKS, *, faces: bool = False, path_bytes: bool = False) -> list[str]:
    """Return the columns of flat rows, in order: labels and confidences first, then every probability.

    With `faces`, the columns of face detection follow the path.
    """
    chosen = [name for task in tasks for name in (task.name, f"{task.name}_confidence")]
    probabilities = [f"{task.name}_{label}" for task in tasks for label in task.labels]
    detection = _FACE_COLUMNS if faces else ()
    return ["path", *detection, "status", "error", *chosen, *probabilities, *(["path_bytes"] if path_bytes else [])]


def to_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """Return a prediction as flat rows, by column name: one row for each face, one row for an input without a face.

    A column that does not apply is missing from the row.
    """
    path, raw = (None, None) if prediction.path is None else encode_name(prediction.path)
    end = {} if raw is None else {"path_bytes": raw}
    if prediction.error is not None:
        return [{"path": path, "status": ERROR, "error": prediction.error} | end]
    rows = [{"path": path} | _face_row(face, number) | end for number, face in enumerate(prediction.faces)]
    return rows or [{"path": path, "status": NO_FACE} | end]


def from_rows(rows: Iterable[Mapping[str, Any]], tasks: Sequence[Task] = TASKS) -> Iterator[Prediction]:
    """Yield the predictions of flat rows, with the digits that were written. The rows of an input follow each other.

    Raises KeyError, TypeError or ValueError if a row is not one that `to_rows` returns.
    """
    path, faces = "", list[Face]()
    for row in rows:
        number = _face_number(row)
        if number and number == len(faces) and decode_name(row["path"], row.get("path_bytes") or None) == path:
            faces.append(_face(row, tasks))
            continue
        if faces:
            yield Prediction(path, tuple(faces))
        path, faces = decode_name(row["path"], row.get("path_bytes") or None), []
        if number is None:
            yield _single(path, row, tasks)
        elif number == 0:
            faces.append(_face(row, tasks))
        else:
            raise ValueError(f"face {number} does not follow face {number - 1} of the same image")
    if faces:
        yield Prediction(path, tuple(faces))


def to_frame(predictions: Iterable[Prediction], tasks: Sequence[Task] = TASKS) -> pd.DataFrame:
    """Return a pandas DataFrame of flat rows, one for each face, with the columns of `columns`.

    Raises TypeError if `predictions` are something else.
    """
    import pandas as pd

    rows = [row for prediction in predictions for row in to_rows(_checked(prediction))]
    has_faces = any("face" in row or row["status"] == NO_FACE for row in rows)
    has_path_bytes = any("path_bytes" in row for row in rows)
    return pd.DataFrame(rows, columns=columns(tasks, faces=has_faces, path_bytes=has_path_bytes))


def _checked(prediction: Prediction) -> Prediction:
    if not isinstance(prediction, Prediction):
        raise TypeError(f"to_frame takes predictions, not {type(prediction).__name__}")
    return prediction


def needs_path_bytes(names: Iterable[str]) -> bool:
    """Return whether some name is not valid UTF-8, so that flat rows need the column `path_bytes`."""
    return any(encode_name(name)[1] is not None for name in names)


def _face_row(face: Face, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if face.box is not None:
        row = {"face": number} | dict(zip(BOX_COLUMNS, face.box, strict=True)) | {SCORE_COLUMN: face.score}
    row["status"] = face.status
    for name, outcome in face.outcomes.items():
        row[name] = outcome.label
        row[f"{name}_confidence"] = outcome.confidence
        row.update((f"{name}_{label}", p) for label, p in outcome.probabilities.items())
    return row


def _face_number(row: Mapping[str, Any]) -> int | None:
    value = row.get("face")
    return None if value is None or value == "" else int(value)


def _single(path: str, row: Mapping[str, Any], tasks: Sequence[Task]) -> Prediction:
    """Return the prediction of a row that is an error, an image without a face, or a whole image."""
    if row["status"] == ERROR:
        return Prediction(path, error=str(row["error"]))
    if row["status"] == NO_FACE:
        return Prediction(path)
    return Prediction(path, (_face(row, tasks),))


def _face(row: Mapping[str, Any], tasks: Sequence[Task]) -> Face:
    if row["status"] not in (OK, TOO_SMALL):
        raise ValueError(f"a status of {row['status']!r}")
    box = score = None
    if _face_number(row) is not None:
        box, score = Box(*(float(row[name]) for name in BOX_COLUMNS)), float(row[SCORE_COLUMN])
    if row["status"] == TOO_SMALL:
        return Face({}, box, score)
    outcomes = {}
    for task in tasks:
        probabilities = {label: float(row[f"{task.name}_{label}"]) for label in task.labels}
        outcomes[task.name] = Outcome.written(probabilities, row.get(task.name))
    return Face(outcomes, box, score)
