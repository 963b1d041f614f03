"""The tally of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from democlass.results import Prediction


class Tally:
    """Counts rows: classified, in all and by their labels; and unreadable, by reason.

    `labels` is by the labels chosen for an image, one for each task, in the order of its outcomes.
    """

    def __init__(self) -> None:
        self.classified = 0
        self.labels: Counter[tuple[str, ...]] = Counter()
        self.unreadable: Counter[str] = Counter()

    def add(self, prediction: Prediction) -> None:
        """Count one row."""
        if prediction.reason is None:
            self.classified += 1
            self.labels[tuple(outcome.label for outcome in prediction.outcomes.values())] += 1
        else:
            self.unreadable[prediction.reason] += 1

    @property
    def rows(self) -> int:
        """All rows counted."""
        return self.classified + self.unreadable.total()

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        unreadable = dict(self.unreadable.most_common())
        return {
            "rows": self.rows,
            "classified": self.classified,
            "unreadable": unreadable,
        }
