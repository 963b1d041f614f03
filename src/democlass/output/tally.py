"""Counts of the inputs of a run, and of their faces."""

from __future__ import annotations

from collections import Counter
from typing import Any

from democlass.results import OK, TOO_SMALL, Prediction


class Tally:
    """Counts inputs: classified ones, unreadable ones by reason, and after face detection those without a face.

    `labels` counts classified faces by their chosen labels, a tuple with one label for each task. `small_faces` counts
    the faces that are too small to classify, and `only_small_faces` the inputs that have no others.

    `has_detection` is whether faces are searched. If it is not known, it is true from the first input that shows it.
    """

    def __init__(self, *, has_detection: bool = False) -> None:
        self.classified = 0
        self.labels: Counter[tuple[str, ...]] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.without_face = 0
        self.only_small_faces = 0
        self.small_faces = 0
        self.has_detection = has_detection

    def add(self, prediction: Prediction) -> None:
        """Count one input and its faces."""
        if prediction.reason is not None:
            self.unreadable[prediction.reason] += 1
            return
        self.without_face += not prediction.faces
        for face in prediction.faces:
            if face.outcomes:
                self.labels[tuple(outcome.label for outcome in face.outcomes.values())] += 1
            else:
                self.small_faces += 1
        self.classified += prediction.status == OK
        self.only_small_faces += prediction.status == TOO_SMALL
        self.has_detection |= not prediction.faces or prediction.faces[0].box is not None

    @property
    def rows(self) -> int:
        """The number of inputs."""
        return self.classified + self.without_face + self.only_small_faces + self.unreadable.total()

    @property
    def faces(self) -> int:
        """The number of classified faces."""
        return self.labels.total()

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as values for JSON; those of faces only after face detection.

        `rows`, `classified`, `no_face`, `too_small` and `unreadable` count inputs; `faces` and `too_small_faces` faces.
        """
        counts: dict[str, Any] = {"rows": self.rows, "classified": self.classified}
        if self.has_detection:
            counts |= {
                "no_face": self.without_face,
                "too_small": self.only_small_faces,
                "faces": self.faces,
                "too_small_faces": self.small_faces,
            }
        return counts | {"unreadable": dict(self.unreadable.most_common())}
