"""Prediction: the one record that every part passes on, and its two written shapes, nested and flat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from democlass.names import decode_name, encode_name
from democlass.tasks import TASKS, UNCERTAIN, Task

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
"""Digits after the point of every probability in a text format."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one network said of one image: the label chosen, and the probability of every label."""

    label: str
    probabilities: Mapping[str, float]

    @classmethod
    def choose(cls, probabilities: Mapping[str, float], min_confidence: float = 0.0) -> Outcome:
        """Choose the most probable label, or `uncertain` where its probability is below `min_confidence`."""
        label = max(probabilities, key=probabilities.__getitem__)
        return cls(label if probabilities[label] >= min_confidence else UNCERTAIN, probabilities)

    @property
    def confidence(self) -> float:
        """The probability of the label chosen (where it reads `uncertain`: of the most probable one)."""
        return max(self.probabilities.values())


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input and what became of it: an outcome for each task, by its name, or an error.

    `path` is the name as given, or None for an image that came without one.
    """

    path: str | None
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    error: str | None = None

    def __repr__(self) -> str:
        """Return one line: the name, and the label and confidence of each task, or the error."""
        said = [f"{name}={outcome.label} {outcome.confidence:.2f}" for name, outcome in self.outcomes.items()]
        if self.error is not None:
            said.append(f"error={self.error!r}")
        return f"Prediction({', '.join([repr(self.path), *said])})"

    @property
    def status(self) -> str:
        """`ok` or `error`."""
        return "ok" if self.error is None else "error"

    @property
    def reason(self) -> str | None:
        """The short cause of an error, by which runs are tallied."""
        return None if self.error is None else self.error.partition(":")[0]


def to_document(prediction: Prediction, *, labels: bool = True, decimals: int | None = DECIMALS) -> dict[str, Any]:
    """Return the nested shape, for JSON.

    For each task the label chosen, unless `labels` is false, then every probability. `decimals` None keeps every digit.
    """
    path, raw = _written_path(prediction)
    document: dict[str, Any] = {"path": path, "status": prediction.status}
    if prediction.error is not None:
        document["error"] = prediction.error
    for name, outcome in prediction.outcomes.items():
        if labels:
            document[name] = outcome.label
        document[f"{name}_probabilities"] = {
            label: p if decimals is None else round(p, decimals) for label, p in outcome.probabilities.items()
        }
    if raw is not None:
        document["path_bytes"] = raw
    return document


def from_document(document: Mapping[str, Any], tasks: Sequence[Task] = TASKS) -> Prediction:
    """Undo `to_document`, as far as its digits go. Raises KeyError, TypeError or ValueError where it is no row.

    Version 0.1.0 wrote no labels unless they could be `uncertain`; then the label is the most probable one.
    """
    error = _error(document)
    outcomes = {}
    if error is None:
        for task in tasks:
            probabilities = {label: float(document[f"{task.name}_probabilities"][label]) for label in task.labels}
            outcome = Outcome.choose(probabilities)
            outcomes[task.name] = Outcome(str(document.get(task.name, outcome.label)), probabilities)
    return Prediction(_original_path(document), outcomes, error)


def columns(tasks: Sequence[Task] = TASKS, *, path_bytes: bool = False) -> list[str]:
    """Return the names of the flat shape, in order: labels and confidences first, then every probability."""
    chosen = [name for task in tasks for name in (task.name, f"{task.name}_confidence")]
    probabilities = [f"{task.name}_{label}" for task in tasks for label in task.labels]
    return ["path", "status", "error", *chosen, *probabilities, *(["path_bytes"] if path_bytes else [])]


def to_row(prediction: Prediction) -> dict[str, Any]:
    """Return the flat shape, by column name; what does not apply is absent."""
    path, raw = _written_path(prediction)
    row: dict[str, Any] = {"path": path, "status": prediction.status}
    if prediction.error is not None:
        row["error"] = prediction.error
    for name, outcome in prediction.outcomes.items():
        row[name] = outcome.label
        row[f"{name}_confidence"] = outcome.confidence
        row.update((f"{name}_{label}", p) for label, p in outcome.probabilities.items())
    if raw is not None:
        row["path_bytes"] = raw
    return row


def from_row(row: Mapping[str, Any], tasks: Sequence[Task] = TASKS) -> Prediction:
    """Undo `to_row`, as far as its digits go. Raises KeyError, TypeError or ValueError where it is no row."""
    error = _error(row)
    outcomes = {}
    if error is None:
        for task in tasks:
            probabilities = {label: float(row[f"{task.name}_{label}"]) for label in task.labels}
            outcome = Outcome.choose(probabilities)
            outcomes[task.name] = Outcome(str(row.get(task.name) or outcome.label), probabilities)
    return Prediction(_original_path(row), outcomes, error)


def to_frame(predictions: Iterable[Prediction], tasks: Sequence[Task] = TASKS) -> pd.DataFrame:
    """Return a pandas DataFrame of the flat shape, one row a prediction."""
    import pandas as pd

    rows = [to_row(prediction) for prediction in predictions]
    return pd.DataFrame(rows, columns=columns(tasks, path_bytes=any("path_bytes" in row for row in rows)))


def needs_path_bytes(names: Iterable[str]) -> bool:
    """Tell whether some name is no valid UTF-8, so that a flat table of them needs its last column."""
    return any(encode_name(name)[1] is not None for name in names)


def _written_path(prediction: Prediction) -> tuple[str | None, str | None]:
    return (None, None) if prediction.path is None else encode_name(prediction.path)


def _original_path(row: Mapping[str, Any]) -> str:
    return decode_name(row["path"], row.get("path_bytes") or None)


def _error(row: Mapping[str, Any]) -> str | None:
    if row["status"] not in ("ok", "error"):
        raise ValueError(f"a status of {row['status']!r}")
    return None if row["status"] == "ok" else str(row["error"])
