"""The run: items in, predictions on to the sink, and a tally of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from democlass.classifier import Classifier
from democlass.inputs.item import Item
from democlass.output.sink import Sink
from democlass.output.tally import Tally
from democlass.results import Prediction


def run(
    items: Iterable[Item],
    classifier: Classifier,
    sink: Sink,
    tally: Tally,
    watch: Callable[[Prediction], object] = lambda _: None,
    before_write: Callable[[Prediction], object] = lambda _: None,
) -> None:
    """Classify the items in order and write the prediction of each to the sink, which has begun.

    A prediction is written completely before the next one is classified, so an interruption leaves complete rows.
    It is passed to `before_write` first. After writing, it is added to `tally` and passed to `watch`: both are correct
    however the run ends.
    """
    with closing(classifier.classify(items)) as predictions:
        for prediction in predictions:
            before_write(prediction)
            sink.write(prediction)
            tally.add(prediction)
            watch(prediction)
