"""Two reports side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from democlass.report.composition import Question, questions
from democlass.report.differences import Differences, subtract
from democlass.report.report import CORRECTED, COUNTED, SCHEMA, Report


@dataclass(frozen=True)
class Pair:
    """Two reports; both have the same tasks."""

    first: Report
    second: Report

    @property
    def reasons(self) -> list[str]:
        """Why there are no corrected shares: empty if there are."""
        found = [each.reason for report in (self.first, self.second) for each in report.checkpoints.values()]
        return list(dict.fromkeys(reason for reason in found if reason))

    def differences(self) -> Iterator[tuple[Question, str, Differences]]:
        """Yield the differences for each question that both have faces for, with the name of their best estimate."""
        for question in questions(self.first.tasks):
            both = [report.estimate(report.whole, question) for report in (self.first, self.second)]
            found = [each.shares for each in both if each is not None]
            if len(found) == len(both):
                name = CORRECTED if all(CORRECTED in shares for shares in found) else COUNTED
                yield question, name, subtract(found[0][name], found[1][name])

    def to_dict(self) -> dict[str, Any]:
        """Return both reports and their differences as JSON values."""
        differences = {
            question.name: {
                "estimate": name,
                "labels": {
                    label: {
                        "difference": round(float(each.difference[index]), 6),
                        "low": round(float(each.low[index]), 6),
                        "high": round(float(each.high[index]), 6),
                    }
                    for index, label in enumerate(question.labels)
                },
            }
            for question, name, each in self.differences()
        }
        return {
            "schema": SCHEMA,
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "differences": differences,
        }
