"""FaceCrop: one face of an image on its way to the networks."""

from __future__ import annotations

from dataclasses import dataclass

from democlass.boxes import Box
from democlass.images.decode import Pixels


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """The pixels of a face, or None if it is too small to classify.

    `box` and `score` are those of the detected face, or None without face detection.
    """

    pixels: Pixels | None
    box: Box | None = None
    score: float | None = None
