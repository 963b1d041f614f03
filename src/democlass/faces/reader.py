"""FaceReader: from an image to the crops for the networks, with or without face detection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from democlass.faces.finder import FaceFinder
from democlass.images.decode import Pixels
from democlass.images.decoding import Decoding
from democlass.images.face_crop import FaceCrop
from democlass.images.isolation import Cancellation, Isolated
from democlass.images.photo import Photo
from democlass.inputs.item import Source

Result = TypeVar("Result")


class FaceReader:
    """Decodes images with `decode` and returns the crops of their faces.

    With `find`, they are the faces that it finds, possibly none. Without it, the whole image is the only face. Threads
    may share a reader.
    """

    def __init__(self, decode: Decoding | Isolated, find: FaceFinder | None = None) -> None:
        self.decode = decode
        self.find = find

    def __call__(self, source: Source, cancellation: Cancellation | None = None) -> list[FaceCrop]:
        """Return the crops of an image's faces.

        Raises ImageError; with an `Isolated`, also CancelledError and DemoclassError, as it describes.
        """
        if self.find is not None:
            return self.with_photo(source, self.find, cancellation)
        if isinstance(self.decode, Isolated):
            return _whole_images(self.decode(source, cancellation))
        return _whole_images(self.decode(source))

    @property
    def detector_sha256(self) -> str | None:
        """The hash of the face detector's file, in hex, or None without face detection."""
        return None if self.find is None else self.find.detect.sha256

    def with_photo(
        self, source: Source, use: Callable[[Photo], Result], cancellation: Cancellation | None = None
    ) -> Result:
        """Decode an image and return the result of `use`. Raises the same as a call."""
        if isinstance(self.decode, Isolated):
            return self.decode.with_photo(source, use, cancellation)
        return use(self.decode.open(source))

    def start(self, count: int) -> None:
        """Start `count` decoding processes, if images are decoded in processes."""
        if isinstance(self.decode, Isolated):
            self.decode.start(count)

    def close(self) -> None:
        """Kill the decoding processes at once; running and later calls raise CancelledError."""
        if isinstance(self.decode, Isolated):
            self.decode.close()


def _whole_images(faces: Sequence[Pixels]) -> list[FaceCrop]:
    return [FaceCrop(pixels) for pixels in faces]
