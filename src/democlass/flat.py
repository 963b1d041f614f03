"""Predictions as flat rows, for tables: one row for each face, at least one for each input."""

from __future__ import annotations

import math
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


class RowError(ValueError):
    """A row that is not one of a prediction. `number` is its position, from 1, and `__cause__` the reason."""

    def __init__(self, number: int, reason: Exception) -> None:
        super().__init__(f"row {number}: {reason}")
        self.number = number


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
    """Yield the predictions of flat rows, with the digits that were written.

    The rows of an input follow each other, and face 0 begins the next input, also one with the same path. Raises
    RowError if a row is not one that `to_rows` returns, or `rows` raises; OSError of `rows` is passed on.
    """
    path, faces, count = "", list[Face](), 0
    try:
        for row in rows:
            name, number = decode_name(row["path"], row.get("path_bytes") or None), _face_number(row)
            if number is None or number == 0:
                if faces:
                    yield Prediction(path, tuple(faces))
                path, faces = name, []
            elif number != len(faces) or name != path:
                raise ValueError(f"face {number} is not in its place: keep all rows of an image together, from face 0")
            if number is None:
                yield _without_box(path, row, tasks)
            else:
                faces.append(_face(row, tasks))
            count += 1
    except OSError:
        raise
    except Exception as error:  # csv and pyarrow raise exceptions of their own
        raise RowError(count + 1, error) from error
    if faces:
        yield Prediction(path, tuple(faces))


def to_frame(predictions: Iterable[Prediction], tasks: Sequence[Task] = TASKS) -> pd.DataFrame:
    """Return a pandas DataFrame of flat rows, one for each face, with the columns of `columns`.

    The column `face` has pandas' type Int64, so that it has integers although it is empty for images without a face.
    Raises TypeError if `predictions` are something else.
    """
    import pandas as pd

    rows = [row for prediction in predictions for row in to_rows(_checked(prediction))]
    has_faces = any("face" in row or row["status"] == NO_FACE for row in rows)
    has_path_bytes = any("path_bytes" in row for row in rows)
    frame = pd.DataFrame(rows, columns=columns(tasks, faces=has_faces, path_bytes=has_path_bytes))
    return frame.astype({"face": "Int64"}) if has_faces else frame


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
    """Return the number of a face, or None. Programs that know no empty integers write it as 1.0 and NaN."""
    value = row.get("face")
    if value is None or value == "" or value != value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number.is_integer() or number < 0:
        raise ValueError(f"{value!r} is not the number of a face")
    return int(number)


def _without_box(path: str, row: Mapping[str, Any], tasks: Sequence[Task]) -> Prediction:
    """Return the prediction of a row that is an error, an image without a face, or a whole image."""
    status = row["status"]
    if status == ERROR:
        return Prediction(path, error=str(row["error"]))
    if status == NO_FACE:
        return Prediction(path)
    if status != OK:
        raise ValueError(f"a status of {status!r} in a row without a face")
    return Prediction.of_image(path, _outcomes(row, tasks))


def _face(row: Mapping[str, Any], tasks: Sequence[Task]) -> Face:
    """Return the face of a row that has one."""
    if row["status"] not in (OK, TOO_SMALL):
        raise ValueError(f"a status of {row['status']!r} in the row of a face")
    box, score = Box(*(_measure(row, name) for name in BOX_COLUMNS)), _measure(row, SCORE_COLUMN)
    return Face(_outcomes(row, tasks) if row["status"] == OK else {}, box, score)


def _measure(row: Mapping[str, Any], name: str) -> float:
    if row[name] is None or row[name] == "":
        raise ValueError(f"{name} is missing")
    return float(row[name])


def _outcomes(row: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Outcome]:
    outcomes = {}
    for task in tasks:
        probabilities = {label: float(row[f"{task.name}_{label}"]) for label in task.labels}
        outcomes[task.name] = Outcome.written(probabilities, row.get(task.name))
    return outcomes
