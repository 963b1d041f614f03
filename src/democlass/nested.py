"""Predictions as nested values, for JSON: a document for each input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from democlass.boxes import Box
from democlass.names import decode_name, encode_name
from democlass.results import DECIMALS, ERROR, OK, TOO_SMALL, Face, Outcome, Prediction
from democlass.tasks import TASKS, Task

_DETECTION = ("x", "y", "width", "height", "rotation", "detection_score")


def to_document(prediction: Prediction, *, labels: bool = True, decimals: int | None = DECIMALS) -> dict[str, Any]:
    """Return a prediction as nested values, for JSON.

    Each task has its chosen label, unless `labels` is false, and the probability of every label, rounded to
    `decimals` digits (None: not rounded). A whole image has its tasks at the top level. After face detection there is
    a list `faces`, empty if none was found.
    """
    path, raw = (None, None) if prediction.path is None else encode_name(prediction.path)
    document: dict[str, Any] = {"path": path, "status": prediction.status}
    if prediction.error is not None:
        document["error"] = prediction.error
    elif _is_whole_image(prediction):
        document |= _outcomes_document(prediction.outcomes, labels, decimals)
    else:
        document["faces"] = [
            face_document(face, number, labels=labels, decimals=decimals)
            for number, face in enumerate(prediction.faces)
        ]
    if raw is not None:
        document["path_bytes"] = raw
    return document


def from_document(document: Mapping[str, Any], tasks: Sequence[Task] = TASKS) -> Prediction:
    """Return the prediction that `to_document` wrote, with the digits that it wrote.

    Version 0.1.0 wrote no labels unless some could be `uncertain`; then the label is the most probable one. Raises
    KeyError, TypeError or ValueError if the document is not a prediction.
    """
    path = decode_name(document["path"], document.get("path_bytes") or None)
    status = document["status"]
    if status == ERROR:
        return Prediction(path, error=str(document["error"]))
    if "faces" in document:
        prediction = Prediction(path, tuple(_face_from_document(face, tasks) for face in document["faces"]))
    else:
        prediction = Prediction.of_image(path, _outcomes_from_document(document, tasks))
    if prediction.status != status:
        raise ValueError(f"a status of {status!r}, although it is {prediction.status!r} by its faces")
    return prediction


def face_document(face: Face, number: int, *, labels: bool = True, decimals: int | None = DECIMALS) -> dict[str, Any]:
    """Return a detected face as nested values: its number, status and region, then its tasks as in `to_document`."""
    assert face.box is not None and face.score is not None
    score = face.score if decimals is None else round(face.score, decimals)
    region = dict(zip(_DETECTION, (*face.box, score), strict=True))
    return {"face": number, "status": face.status} | region | _outcomes_document(face.outcomes, labels, decimals)


def _face_from_document(document: Mapping[str, Any], tasks: Sequence[Task]) -> Face:
    if document["status"] not in (OK, TOO_SMALL):
        raise ValueError(f"a face with the status {document['status']!r}")
    *box, score = (float(document[name]) for name in _DETECTION)
    outcomes = _outcomes_from_document(document, tasks) if document["status"] == OK else {}
    return Face(outcomes, Box(*box), score)


def _is_whole_image(prediction: Prediction) -> bool:
    return len(prediction.faces) == 1 and prediction.faces[0].box is None


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
        outcomes[task.name] = Outcome.written(probabilities, document.get(task.name))
    return outcomes
