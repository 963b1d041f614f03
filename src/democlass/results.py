"""Predictions: the record that every part of the program passes on, and how it is written, nested or flat.

A `Prediction` is one input. It holds a `Face` for each face that was classified, and a `Face` holds an `Outcome` for
each task. Without face detection the whole image is the only face.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from democlass.names import decode_name, encode_name
from democlass.tasks import TASKS, UNCERTAIN, Task

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
"""Digits after the decimal point of every probability in text formats."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one network predicts for one face: the chosen label, and the probability of every label (0 to 1)."""

    label: str
    probabilities: Mapping[str, float]

    @classmethod
    def choose(cls, probabilities: Mapping[str, float], min_confidence: float = 0.0) -> Outcome:
        """Choose the most probable label, or `uncertain` if its probability is below `min_confidence`."""
        label = max(probabilities, key=probabilities.__getitem__)
        return cls(label if probabilities[label] >= min_confidence else UNCERTAIN, probabilities)

    @property
    def confidence(self) -> float:
        """The probability of the chosen label. For `uncertain`: of the most probable label."""
        return max(self.probabilities.values())


@dataclass(frozen=True, slots=True)
class Face:
    """One face and its outcomes, by task name. `box` is None if the whole image was taken as the face.

    `box` is left, top, width and height, in pixels of the upright image. `score` is the detector's, 0 to 1.
    """

    outcomes: Mapping[str, Outcome]
    box: tuple[float, float, float, float] | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input and its result: the faces, in order, or an error.

    `path` is the name as given, or None for an image without a name.
    """

    path: str | None
    faces: tuple[Face, ...] = ()
    error: str | None = None

    @classmethod
    def of_image(cls, path: str | None, outcomes: Mapping[str, Outcome]) -> Prediction:
        """Return the prediction for an image that was classified as a whole."""
        return cls(path, (Face(outcomes),))

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcomes of the only face, by task name; empty without a face.

        Raises ValueError if there are several faces: read `faces`.
        """
        if len(self.faces) > 1:
            raise ValueError(f"{self.path} has {len(self.faces)} faces: read the outcomes of each from `faces`")
        return self.faces[0].outcomes if self.faces else {}

    def __repr__(self) -> str:
        """Return one line: the name, and the label and confidence of each task for each face, or the error."""
        parts = [repr(self.path)]
        for face in self.faces:
            parts += [f"{name}={outcome.label} {outcome.confidence:.2f}" for name, outcome in face.outcomes.items()]
        if self.error is not None:
            parts.append(f"error={self.error!r}")
        return f"Prediction({', '.join(parts)})"

    @property
    def status(self) -> str:
        """`ok` or `error`."""
        return "ok" if self.error is None else "error"

    @property
    def reason(self) -> str | None:
        """The first words of the error, by which errors are counted; None without an error."""
        return None if self.error is None else self.error.partition(":")[0]


def to_document(prediction: Prediction, *, labels: bool = True, decimals: int | None = DECIMALS) -> dict[str, Any]:
    """Return a prediction as nested values, for JSON.

    Each task has its chosen label, unless `labels` is false, and the probability of every label, rounded to
    `decimals` digits (None: not rounded). Several faces, or a face with a box, are a list `faces`; a whole image has
    its tasks at the top level.
    """
    path, raw = _written_path(prediction)
    document: dict[str, Any] = {"path": path, "status": prediction.status}
    if prediction.error is not None:
        document["error"] = prediction.error
    if _is_whole_image(prediction):
        document |= _outcomes_document(prediction.outcomes, labels, decimals)
    elif prediction.error is None:
        document["faces"] = [_face_document(face, labels, decimals) for face in prediction.faces]
    if raw is not None:
        document["path_bytes"] = raw
    return document


def from_document(document: Mapping[str, Any], tasks: Sequence[Task] = TASKS) -> Prediction:
    """Return the prediction that `to_document` wrote, with the digits that it wrote.

    Version 0.1.0 wrote no labels unless some could be `uncertain`; then the label is the most probable one. Raises
    KeyError, TypeError or ValueError if the document is not a prediction.
    """
    path, error = _original_path(document), _error(document)
    if error is not None:
        return Prediction(path, error=error)
    if "faces" not in document:
        return Prediction.of_image(path, _outcomes_from_document(document, tasks))
    return Prediction(path, tuple(_face_from_document(each, tasks) for each in document["faces"]))


def columns(tasks: Sequence[Task] = TASKS, *, path_bytes: bool = False) -> list[str]:
    """Return the columns of flat rows, in order: labels and confidences first, then every probability."""
    chosen = [name for task in tasks for name in (task.name, f"{task.name}_confidence")]
    probabilities = [f"{task.name}_{label}" for task in tasks for label in task.labels]
    return ["path", "status", "error", *chosen, *probabilities, *(["path_bytes"] if path_bytes else [])]


def to_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """Return a prediction as flat rows, by column name: one row for each face, one row for an input without a face.

    A column that does not apply is missing from the row.
    """
    path, raw = _written_path(prediction)
    start: dict[str, Any] = {"path": path, "status": prediction.status}
    if prediction.error is not None:
        start["error"] = prediction.error
    end = {} if raw is None else {"path_bytes": raw}
    return [start | _outcomes_row(face.outcomes) | end for face in prediction.faces] or [start | end]


def from_row(row: Mapping[str, Any], tasks: Sequence[Task] = TASKS) -> Prediction:
    """Return the prediction of a flat row of a whole image, with the digits that were written.

    Raises KeyError, TypeError or ValueError if the row is not a prediction.
    """
    path, error = _original_path(row), _error(row)
    if error is not None:
        return Prediction(path, error=error)
    outcomes = {}
    for task in tasks:
        probabilities = {label: float(row[f"{task.name}_{label}"]) for label in task.labels}
        outcomes[task.name] = _outcome(probabilities, row.get(task.name))
    return Prediction.of_image(path, outcomes)


def to_frame(predictions: Iterable[Prediction], tasks: Sequence[Task] = TASKS) -> pd.DataFrame:
    """Return a pandas DataFrame of flat rows, one for each face, with the columns of `columns`."""
    import pandas as pd

    rows = [row for prediction in predictions for row in to_rows(prediction)]
    return pd.DataFrame(rows, columns=columns(tasks, path_bytes=any("path_bytes" in row for row in rows)))


def needs_path_bytes(names: Iterable[str]) -> bool:
    """Return whether some name is not valid UTF-8, so that flat rows need the column `path_bytes`."""
    return any(encode_name(name)[1] is not None for name in names)


def _is_whole_image(prediction: Prediction) -> bool:
    return len(prediction.faces) == 1 and prediction.faces[0].box is None


def _face_document(face: Face, labels: bool, decimals: int | None) -> dict[str, Any]:
    place = {"box": None if face.box is None else list(face.box), "score": face.score}
    return place | _outcomes_document(face.outcomes, labels, decimals)


def _face_from_document(document: Mapping[str, Any], tasks: Sequence[Task]) -> Face:
    box = None
    if document["box"] is not None:
        left, top, width, height = map(float, document["box"])
        box = (left, top, width, height)
    score = None if document["score"] is None else float(document["score"])
    return Face(_outcomes_from_document(document, tasks), box, score)


def _outcomes_document(outcomes: Mapping[str, Outcome], labels: bool, decimals: int | None) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, outcome in outcomes.items():
        if labels:
            document[name] = outcome.label
        document[f"{name}_probabilities"] = {
            label: p if decimals is None else round(p, decimals) for label, p in outcome.probabilities.items()
        }
    return document


def _outcomes_from_document(document: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Outcome]:
    outcomes = {}
    for task in tasks:
        written = document[f"{task.name}_probabilities"]
        probabilities = {label: float(written[label]) for label in task.labels}
        outcomes[task.name] = _outcome(probabilities, document.get(task.name))
    return outcomes


def _outcomes_row(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, outcome in outcomes.items():
        row[name] = outcome.label
        row[f"{name}_confidence"] = outcome.confidence
        row.update((f"{name}_{label}", p) for label, p in outcome.probabilities.items())
    return row


def _outcome(probabilities: Mapping[str, float], label: Any) -> Outcome:
    """Return the outcome with the label that was written, or with the most probable one if none was."""
    return Outcome(str(label), probabilities) if label else Outcome.choose(probabilities)


def _written_path(prediction: Prediction) -> tuple[str | None, str | None]:
    return (None, None) if prediction.path is None else encode_name(prediction.path)


def _original_path(row: Mapping[str, Any]) -> str:
    return decode_name(row["path"], row.get("path_bytes") or None)


def _error(row: Mapping[str, Any]) -> str | None:
    if row["status"] not in ("ok", "error"):
        raise ValueError(f"a status of {row['status']!r}")
    return None if row["status"] == "ok" else str(row["error"])
