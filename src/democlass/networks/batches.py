"""From decoded images to batches, and from batches to predictions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence

import torch

from democlass.errors import ImageError
from democlass.images.decode import Pixels
from democlass.images.loader import Loaded
from democlass.networks.networks import Networks
from democlass.results import Outcome, Prediction
from democlass.tasks import Geometry

_MOST_ERRORS = 8
"""A chunk ends once it has this many times as many inputs as a batch has images: errors do not pile up."""


def cut_into_chunks(loaded: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Cut the stream so that each chunk holds `size` readable images, and the errors that came between them."""
    chunk: list[Loaded] = []
    readable = 0
    for item in loaded:
        chunk.append(item)
        readable += not isinstance(item[1], ImageError)
        if readable == size or readable == 0 or len(chunk) == _MOST_ERRORS * size:
            yield chunk
            chunk, readable = [], 0
    if chunk:
        yield chunk


def predict(networks: Networks, chunk: Sequence[Loaded], min_confidence: float, *, padded: bool) -> list[Prediction]:
    """Return a prediction for each input of a chunk, in order: what the networks say, or the error that came instead.

    At most `networks.batch_size` inputs may be readable. `padded` is explained at `Networks.predict`.
    """
    readable = [pixels for _, pixels in chunk if not isinstance(pixels, ImageError)]
    outcomes = iter(_outcomes(networks, readable, min_confidence, padded))
    predictions = []
    for source, pixels in chunk:
        path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        if isinstance(pixels, ImageError):
            predictions.append(Prediction(path, error=str(pixels)))
        else:
            predictions.append(_prediction(path, next(outcomes)))
    return predictions


def _outcomes(
    networks: Networks, images: Sequence[Pixels], min_confidence: float, padded: bool
) -> list[dict[str, Outcome]]:
    if not images:
        return []
    batch = networks.new_batch()
    for geometry, slots in batch.items():
        _fill(slots, images, geometry)
    part = batch if padded else {geometry: slots[: len(images)] for geometry, slots in batch.items()}
    probabilities = {name: values.tolist() for name, values in networks.predict(part, padded=padded).items()}
    return [
        {
            task.name: Outcome.choose(dict(zip(task.labels, probabilities[task.name][i], strict=True)), min_confidence)
            for task in networks.tasks
        }
        for i in range(len(images))
    ]


def _prediction(path: str | None, outcomes: dict[str, Outcome]) -> Prediction:
    if any(math.isnan(p) for outcome in outcomes.values() for p in outcome.probabilities.values()):
        return Prediction(path, error="no answer: the networks gave no numbers; the precision float32 may help")
    return Prediction(path, outcomes)


def _fill(slots: torch.Tensor, images: Sequence[Pixels], geometry: Geometry) -> None:
    view = slots.numpy()
    for slot, pixels in zip(view, images, strict=False):
        slot[:] = pixels[geometry]
