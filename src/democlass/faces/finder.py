"""FaceFinder: from a photo to the crops of its faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from democlass.faces.framing import MAX_FACES, FramedFace, frame_faces
from democlass.images.face_crop import FaceCrop
from democlass.images.photo import Photo

Detect = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB uint8 H x W x 3 to the faces in it, float32 N x 15, as `maps.py` describes them."""


@dataclass(frozen=True)
class FaceFinder:
    """Finds the faces of photos with a detector. Threads may share it.

    `min_face` is the side in pixels of the smallest face that is classified. With `largest`, only the largest face of
    a photo is returned. More than `max_faces` faces are an error.
    """

    detect: Detect
    min_face: int
    largest: bool = False
    max_faces: int = MAX_FACES

    def __call__(self, photo: Photo) -> list[FaceCrop]:
        """Return the crops of the faces, from left to right; an empty list if there is no face.

        Raises ImageError, also if there are too many faces.
        """
        preview = photo.preview
        preview_size = preview.shape[1], preview.shape[0]
        faces = frame_faces(
            self.detect(preview),
            preview_size,
            photo.size,
            min_face=self.min_face,
            largest=self.largest,
            max_faces=self.max_faces,
        )
        return _cut(photo, faces)


def _cut(photo: Photo, faces: Sequence[FramedFace]) -> list[FaceCrop]:
    boxes = [None if face.is_whole_image else face.box for face in faces if not face.is_too_small]
    pixels = iter(photo.cut(boxes))
    return [FaceCrop(None if face.is_too_small else next(pixels), face.box, face.score) for face in faces]
