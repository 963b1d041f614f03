"""From decoded images to batches of faces, and from batches to predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from democlass.errors import ImageError
from democlass.images.decode import Pixels
from democlass.images.face_crop import FaceCrop, Loaded
from democlass.networks.networks import Networks
from democlass.results import Face, Outcome, Prediction
from democlass.tasks import Geometry

_MAX_ITEMS = 8
"""A chunk has at most this many times as many items as a batch has faces, so that errors do not wait for long."""


def split_into_chunks(loaded: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Split the stream into chunks of items that together have `size` faces, with the errors between them.

    The last item of a chunk may have more faces than are left in the batch: then the chunk has more than `size`.
    """
    chunk: list[Loaded] = []
    faces = 0
    for item in loaded:
        chunk.append(item)
        faces += 0 if isinstance(item[1], ImageError) else sum(crop.pixels is not None for crop in item[1])
        if faces >= size or faces == 0 or len(chunk) == _MAX_ITEMS * size:
            yield chunk
            chunk, faces = [], 0
    if chunk:
        yield chunk


def predict(networks: Networks, chunk: Sequence[Loaded], min_confidence: float, *, padded: bool) -> list[Prediction]:
    """Return a prediction for each item of a chunk, in order: the outcomes of its faces, or its error.

    The faces of all items go through the networks together, in batches of at most `networks.batch_size`. `padded` is
    explained at `Networks.predict`. Raises TypeError if the chunk has anything else.
    """
    if not all(isinstance(each, tuple) and len(each) == 2 for each in chunk):
        raise TypeError("predict takes decoded images, as pairs of an Item and its faces: see classify for others")
    crops = [crop for _, faces in chunk if not isinstance(faces, ImageError) for crop in faces]
    pixels = [crop.pixels for crop in crops if crop.pixels is not None]
    outcomes = iter(_predict_faces(networks, pixels, min_confidence, padded))
    predictions = []
    for item, faces in chunk:
        if isinstance(faces, ImageError):
            predictions.append(Prediction(item.name, error=str(faces)))
        else:
            classified = [(crop, next(outcomes) if crop.pixels is not None else {}) for crop in faces]
            predictions.append(_prediction(item.name, classified))
    return predictions


def _predict_faces(
    networks: Networks, faces: Sequence[Pixels], min_confidence: float, padded: bool
) -> Iterator[dict[str, Outcome]]:
    size = networks.batch_size
    for start in range(0, len(faces), size):
        yield from _predict_batch(networks, faces[start : start + size], min_confidence, padded)


def _predict_batch(
    networks: Networks, faces: Sequence[Pixels], min_confidence: float, padded: bool
) -> list[dict[str, Outcome]]:
    batch = networks.new_batch()
    for geometry, slots in batch.items():
        _fill(slots, faces, geometry)
    part = batch if padded else {geometry: slots[: len(faces)] for geometry, slots in batch.items()}
    probabilities = {name: values.tolist() for name, values in networks.predict(part, padded=padded).items()}
    return [
        {
            task.name: Outcome.choose(dict(zip(task.labels, probabilities[task.name][i], strict=True)), min_confidence)
            for task in networks.tasks
        }
        for i in range(len(faces))
    ]


def _prediction(name: str | None, faces: Sequence[tuple[FaceCrop, Mapping[str, Outcome]]]) -> Prediction:
    if any(_has_nan(outcomes) for _, outcomes in faces):
        return Prediction(name, error="no answer: the networks gave no numbers; the precision float32 may help")
    return Prediction(name, tuple(Face(outcomes, crop.box, crop.score) for crop, outcomes in faces))


def _has_nan(outcomes: Mapping[str, Outcome]) -> bool:
    return any(math.isnan(p) for outcome in outcomes.values() for p in outcome.probabilities.values())


def _fill(slots: torch.Tensor, faces: Sequence[Pixels], geometry: Geometry) -> None:
    view = slots.numpy()
    for slot, pixels in zip(view, faces, strict=False):
        slot[:] = pixels[geometry]
