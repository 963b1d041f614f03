"""Sink: where the rows of a run go. The command line writes through one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from democlass.inputs.item import Item
from democlass.output.record import RunRecord
from democlass.output.tally import Tally
from democlass.results import Prediction


class Sink(Protocol):
    """Receives the rows of one run. The methods are called in this order, `close` in every case.

        sink.begin(record)
        for item in sink.remaining(items):
            sink.write(classify(item))
        tally = sink.finish(skipped)
        sink.close()

    All methods except `close` raise WriteError if the output cannot be written.
    """

    def begin(self, record: RunRecord) -> None:
        """Prepare for rows. `record` describes how they are made. Raises OutputError if they cannot be added."""

    def remaining(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items to classify, in the order in which `write` expects their predictions. Call it once."""

    def write(self, prediction: Prediction) -> None:
        """Add the rows of one prediction, all of them or none."""

    def finish(self, skipped: Counter[str]) -> Tally:
        """Complete the output and return the counts of all its rows. `skipped` counts files that are not images."""

    def close(self) -> None:
        """Release the output. If the run did not finish, the rows written so far stay readable."""
