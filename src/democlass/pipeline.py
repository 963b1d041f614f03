"""The run: names in, predictions on to where they belong, a tally of what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from democlass.classifier import Classifier
from democlass.images.decode import Input
from democlass.output.tally import Tally
from democlass.results import Prediction


def run(
    inputs: Iterable[Input],
    classifier: Classifier,
    write: Callable[[Prediction], None],
    tally: Tally,
    watch: Callable[[Prediction], object] = lambda _: None,
) -> None:
    """Classify every input, in order, and write one row for each.

    A row is written whole before the next begins, so whatever ends the run between two leaves whole rows. `tally`
    counts it only then, and `watch` is shown it last: both are true whenever the run ends.
    """
    with closing(classifier.classify(inputs)) as predictions:
        for prediction in predictions:
            write(prediction)
            tally.add(prediction)
            watch(prediction)
