"""CropCheck: are the first images of a run tight face crops, as the networks need without face detection?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from threading import Thread

import torch

from democlass.errors import DemoclassError, ImageError
from democlass.faces.detector import Detector
from democlass.faces.framing import frame_face, is_crop
from democlass.images.isolation import Isolated
from democlass.images.photo import Photo
from democlass.inputs.item import Item, Source
from democlass.settings import FACE_SIZE, Precision

IMAGES = 8
"""Images that are checked: the first ones of a run."""

_DECODE_TIMEOUT = 5.0
_MAX_WAIT = 3.0
"""Seconds that the end of a run waits for the check."""


class CropCheck:
    """Checks the first images of a run in a thread and a decoding process of its own, which read them once more.

    `decode` decodes the images of the run. Its processes are not used.
    """

    def __init__(self, decode: Isolated) -> None:
        self._decode = decode.copy(timeout=_DECODE_TIMEOUT)
        self._sources: list[Source] = []
        self._crops = 0
        self._others = 0
        self._is_reported = False
        self._thread = Thread(target=self._run, name="crop check", daemon=True)

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and start the check as soon as there are enough of them."""
        for item in items:
            if len(self._sources) < IMAGES:
                self._sources.append(item.source)
                if len(self._sources) == IMAGES:
                    self._thread.start()
            yield item
        if 0 < len(self._sources) < IMAGES:
            self._thread.start()

    def warning(self, *, wait: bool = False) -> str | None:
        """Return a message for the user, once, if the check has ended and most of its images are not face crops.

        With `wait`, wait for the check.
        """
        if self._thread.ident is None or self._is_reported:
            return None
        if wait:
            self._thread.join(_MAX_WAIT)
        if self._thread.is_alive():
            return None
        self._is_reported = True
        if self._others <= self._crops:
            return None
        checked = self._others + self._crops
        images = "the image is not a tight face crop"
        if checked > 1:
            images = f"{self._others} of the first {checked} images are not tight face crops"
        return f"{images}, which the networks need: --faces finds the faces in photos"

    def close(self) -> None:
        """End the check and its process."""
        self._decode.close()
        if self._thread.ident is not None:
            self._thread.join(_MAX_WAIT)

    def _run(self) -> None:
        with suppress(DemoclassError), closing(self._decode):  # the run itself reports what is wrong
            detector = Detector.load(torch.device("cpu"), Precision.FLOAT32, FACE_SIZE)
            for source in self._sources:
                with suppress(ImageError):
                    self._check(source, detector)

    def _check(self, source: Source, detector: Detector) -> None:
        def judge(photo: Photo) -> bool:
            height, width, _ = photo.preview.shape
            return is_crop((frame_face(face) for face in detector(photo.preview).astype(float)), (width, height))

        is_face_crop = self._decode.with_photo(source, judge)
        self._crops += is_face_crop
        self._others += not is_face_crop
