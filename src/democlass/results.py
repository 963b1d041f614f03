"""Predictions: what every part of the program passes on. `nested.py` and `flat.py` write and read it.

A `Prediction` is one input. It holds a `Face` for each face, and a `Face` holds an `Outcome` for each task. Without
face detection the whole image is the only face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from democlass.boxes import Box
from democlass.tasks import UNCERTAIN

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

    @classmethod
    def written(cls, probabilities: Mapping[str, float], label: Any) -> Outcome:
        """Return an outcome that was read: with the label that was written, or the most probable one if none was."""
        return cls(str(label), probabilities) if label else cls.choose(probabilities)

    @property
    def confidence(self) -> float:
        """The probability of the chosen label. For `uncertain`: of the most probable label."""
        return max(self.probabilities.values())


OK, ERROR, NO_FACE, TOO_SMALL = "ok", "error", "no_face", "too_small"
"""The statuses of predictions and faces."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face and its outcomes, by task name; a face that is too small to classify has none.

    `box` is the region that was classified, or None without face detection. `score` is the detector's, 0 to 1.
    """

    outcomes: Mapping[str, Outcome]
    box: Box | None = None
    score: float | None = None

    @property
    def status(self) -> str:
        """`ok` or `too_small`."""
        return OK if self.outcomes else TOO_SMALL


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input and its result: the faces, in order from left to right, or an error.

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
        """The outcomes of the only face, by task name; empty without a face or if it is too small.

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
        elif self.status != OK:
            parts.append(self.status)
        return f"Prediction({', '.join(parts)})"

    @property
    def status(self) -> str:
        """`ok` if a face was classified; else `too_small`, `no_face` or `error`."""
        if self.error is not None:
            return ERROR
        if not self.faces:
            return NO_FACE
        return OK if any(face.outcomes for face in self.faces) else TOO_SMALL

    @property
    def reason(self) -> str | None:
        """The first words of the error, by which errors are counted; None without an error."""
        return None if self.error is None else self.error.partition(":")[0]
