"""FaceCrop: one face of an image on its way to the networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from democlass.boxes import Box
from democlass.errors import ImageError
from democlass.images.decode import Pixels
from democlass.inputs.item import Item


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """The pixels of a face, or None if it is too small to classify.

    `box` and `score` are those of the detected face, or None without face detection.
    """

    pixels: Pixels | None
    box: Box | None = None
    score: float | None = None


Loaded = tuple[Item, "Sequence[FaceCrop] | ImageError"]
"""An item with the crops of its faces, or with the error of reading it."""

_MAX_WAITING = 2048
"""Faces that wait for the networks, about 300 MiB."""


def are_enough(waiting: Iterable[Loaded]) -> bool:
    """Return whether so many faces wait for the networks that no further image should be read."""
    return sum(0 if isinstance(faces, ImageError) else len(faces) for _, faces in waiting) > _MAX_WAITING
