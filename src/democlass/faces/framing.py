"""Framing: from detected faces to the squares that the networks know.

The networks were trained on FairFace's crops, which dlib aligned by landmarks. The square has its centre at the mean of
both eyes and both corners of the mouth, and its side is `_SIDE` times the geometric mean of the box's width and height.
It is turned as these four points are, but less the closer the eyes are: in profiles the points say little about it.
benchmarks/faces.py measures what the squares cost in accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from democlass.boxes import Box
from democlass.errors import ImageError

MAX_FACES = 1_000
"""Faces of an image that are classified. They need memory, and nobody counts more in one image."""

CROP_SHARE = 0.45
"""If the largest square is more than this share of the image's area, the image is a face crop already."""

_SIDE = 1.12
_ALIGNED = np.array([-0.18 - 0.178j, 0.18 - 0.178j, -0.148 + 0.178j, 0.148 + 0.178j])
"""Eyes and corners of the mouth in an aligned square of side 1, from its centre, as x + iy; y points down."""

_PROFILE, _FRONTAL = 0.10, 0.35
"""Distance of the eyes, in sides of the square: from a profile, which is not turned, to a face seen from the front."""

_MAX_TRUST = 0.9
"""Share of the measured rotation of a face seen from the front. A head is turned by some 10 degrees (standard
deviation), the points are wrong by some 3: the expected rotation is 100 / (100 + 9) of the measured one.
"""

_FOUR_POINTS = (0, 1, 3, 4)  # of the five: without the nose
_MAX_SIDE = 4.0
"""The largest plausible square, in longest sides of the image."""


@dataclass(frozen=True, slots=True)
class FramedFace:
    """A face and the region to classify. If `is_whole_image`, the image is a face crop already, and is used unchanged.

    `score` is the detector's, 0 to 1. A face that `is_too_small` is not classified.
    """

    box: Box
    score: float
    is_too_small: bool = False
    is_whole_image: bool = False


def frame_faces(
    found: NDArray[np.float32],
    preview_size: tuple[int, int],
    image_size: tuple[int, int],
    *,
    min_face: int,
    largest: bool = False,
    max_faces: int = MAX_FACES,
) -> list[FramedFace]:
    """Return the faces of an image from left to right, or the largest one.

    `found` is N x 15 as `maps.read_maps` returns it, in pixels of the preview. Sizes are width and height in pixels.
    Faces with a square of less than `min_face` pixels of the image are too small. Rows that can't be a face are
    ignored: with numbers that are not finite, without a size, far larger than the image or outside it. Raises
    ImageError if more than `max_faces` faces are not too small.
    """
    scale_x, scale_y = (image / preview for image, preview in zip(image_size, preview_size, strict=True))
    scale = np.array([scale_x, scale_y, scale_x, scale_y, 1, *[scale_x, scale_y] * 5])
    finite = found[np.isfinite(found).all(axis=1)].astype(np.float64)
    squares = [(frame_face(face), float(face[4])) for face in finite * scale]
    squares = [(box, score) for box, score in squares if _is_plausible(box, image_size)]
    if is_crop((box for box, _ in squares), image_size):
        _, score = max(squares, key=_side)
        return [FramedFace(Box(0.0, 0.0, *map(float, image_size)), score, is_whole_image=True)]
    if largest and squares:
        squares = [max(squares, key=_side)]  # of equal ones, the one with the best score
    faces = [FramedFace(box.rounded(), score, box.width < min_face) for box, score in squares]
    count = sum(not face.is_too_small for face in faces)
    if count > max_faces:
        raise ImageError("too many faces", f"{count} were found, more than {max_faces}; cut the image into parts")
    return sorted(faces, key=lambda face: face.box.centre)


def frame_face(face: Sequence[float] | NDArray[np.float64]) -> Box:
    """Return the square for one detected face: 15 numbers as in `frame_faces`, in pixels of the image."""
    left, top, right, bottom = face[:4]
    points = np.asarray(face[5:], np.float64).reshape(-1, 2)[list(_FOUR_POINTS)]
    complex_points = points[:, 0] + 1j * points[:, 1]
    centre = complex(complex_points.mean())
    side = _SIDE * math.sqrt(max(0.0, right - left) * max(0.0, bottom - top))
    # The rotation that brings the aligned points closest to the found ones, in the sense of least squares.
    measured = math.degrees(float(np.angle((_ALIGNED.conj() * (complex_points - centre)).sum())))
    eyes = abs(complex_points[1] - complex_points[0]) / side if side else 0.0
    rotation = measured * _MAX_TRUST * min(1.0, max(0.0, (eyes - _PROFILE) / (_FRONTAL - _PROFILE)))
    return Box(centre.real - side / 2, centre.imag - side / 2, side, side, rotation)


def is_crop(boxes: Iterable[Box], image_size: tuple[int, int]) -> bool:
    """Return whether an image with these squares is a face crop already. It was measured at 99.8 % of face crops."""
    width, height = image_size
    return any(box.width * box.height > CROP_SHARE * width * height for box in boxes if _is_plausible(box, image_size))


def _side(square: tuple[Box, float]) -> float:
    return square[0].width


def _is_plausible(box: Box, image_size: tuple[int, int]) -> bool:
    """Return whether a square can be a face: of a possible size, and its centre at most one side outside the image."""
    return 0 < box.width <= _MAX_SIDE * max(image_size) and all(
        -box.width <= middle <= length + box.width for middle, length in zip(box.centre, image_size, strict=True)
    )
