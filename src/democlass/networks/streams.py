"""Predict several batches in parallel, if that is faster on the device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, islice

from democlass.images.face_crop import Loaded
from democlass.images.ordered import ordered
from democlass.networks.networks import Networks
from democlass.results import Prediction

Predict = Callable[[list[Loaded]], list[Prediction]]


def in_streams(
    networks: Networks, chunks: Iterator[list[Loaded]], predict: Predict
) -> Generator[list[Prediction], None, None]:
    """Yield `predict` of each chunk, in order, with `networks.streams` chunks at a time.

    A single chunk is predicted in the caller's thread, with all processors.
    """
    streams = networks.streams
    first = list(islice(chunks, 2)) if streams > 1 else []
    if streams == 1 or len(first) < 2:
        yield from map(predict, chain(first, chunks))
        return
    try:
        predictions = ordered(
            chain(first, chunks), predict, workers=streams, ahead=streams, begin=networks.begin_stream
        )
        with closing(predictions):
            yield from predictions
    finally:
        networks.end_streams()
