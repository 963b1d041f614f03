"""Counts of the rows of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from democlass.results import Prediction


class Tally:
    """Counts inputs: classified ones, and unreadable ones by reason.

    `labels` counts faces by their chosen labels, a tuple with one label for each task.
    """

    def __init__(self) -> None:
        self.classified = 0
        self.labels: Counter[tuple[str, ...]] = Counter()
        self.unreadable: Counter[str] = Counter()

    def add(self, prediction: Prediction) -> None:
        """Count one input and its faces."""
        if prediction.reason is None:
            self.classified += 1
            for face in prediction.faces:
                self.labels[tuple(outcome.label for outcome in face.outcomes.values())] += 1
        else:
            self.unreadable[prediction.reason] += 1

    @property
    def rows(self) -> int:
        """The number of inputs."""
        return self.classified + self.unreadable.total()

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as values for JSON."""
        unreadable = dict(self.unreadable.most_common())
        return {
            "rows": self.rows,
            "classified": self.classified,
            "unreadable": unreadable,
        }
