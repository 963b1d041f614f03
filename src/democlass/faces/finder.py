"""FaceFinder: from a photo to the crops of its faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from democlass.faces.detector import Detector
from democlass.faces.framing import MAX_FACES, FramedFace, frame_faces
from democlass.images.face_crop import FaceCrop
from democlass.images.photo import Photo
from democlass.settings import Precision, Settings


@dataclass(frozen=True)
class FaceFinder:
    """Finds the faces of photos with a detector. Threads may share it.

    `min_face` is the side in pixels of the smallest face that is classified. With `largest`, only the largest face of
    a photo is returned. More than `max_faces` faces are an error.
    """

    detect: Detector
    min_face: int
    largest: bool = False
    max_faces: int = MAX_FACES

    @classmethod
    def load(
        cls, device: torch.device, precision: Precision, settings: Settings, *, max_faces: int = MAX_FACES
    ) -> FaceFinder:
        """Return a finder with the built-in detector and the settings for faces. Raises CheckpointError."""
        detector = Detector.load(device, precision, settings.face_size)
        return cls(detector, settings.min_face, settings.largest, max_faces)

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
