"""Photo: a decoded image from which faces are cut, in this process or in a decoding process."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from democlass.boxes import Box
from democlass.images.decode import Pixels
from democlass.images.drawing import Pictures, draw
from democlass.images.geometry import apply_geometries
from democlass.images.regions import cut_region
from democlass.tasks import Geometry

Size = tuple[int, int]
"""Width and height in pixels."""

_HEADER = struct.Struct("<IIII")


class Photo(Protocol):
    """A decoded image: what the detector needs to see of it, and its regions at full size."""

    @property
    def size(self) -> Size:
        """The size of the upright image."""

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The upright image, reduced: RGB H x W x 3."""

    def cut(self, boxes: Sequence[Box | None]) -> list[Pixels]:
        """Return the pixels of each region for the networks, from the image at full size; None is the whole image.

        Raises ImageError.
        """

    def draw(self, pictures: Pictures) -> list[bytes]:
        """Return encoded pictures of the photo at full size."""


class LocalPhoto:
    """A photo in this process. The longest side of its preview has at most `preview_side` pixels."""

    def __init__(
        self, image: Image.Image, geometries: Sequence[Geometry], *, preview_side: int, max_pixels: int
    ) -> None:
        self.image = image
        self._geometries = tuple(geometries)
        self._preview_side = preview_side
        self._max_pixels = max_pixels

    @property
    def size(self) -> Size:
        """The size of the upright image."""
        return self.image.size

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The upright image, reduced if it is larger: RGB H x W x 3."""
        scale = self._preview_side / max(self.image.size)
        if scale >= 1:
            return np.asarray(self.image)
        width, height = (max(1, round(side * scale)) for side in self.image.size)
        return np.asarray(self.image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))

    def cut(self, boxes: Sequence[Box | None]) -> list[Pixels]:
        """Return the pixels of each region for the networks; None is the whole image. Raises ImageError."""
        images = (self.image if box is None else cut_region(self.image, box) for box in boxes)
        return [apply_geometries(image, self._geometries, max_pixels=self._max_pixels) for image in images]

    def draw(self, pictures: Pictures) -> list[bytes]:
        """Return encoded pictures of the photo at full size."""
        return draw(self.image, pictures)


def pack_preview(photo: Photo) -> bytes:
    """Return the size and the preview of a photo as bytes, for the messages of a decoding process."""
    preview = photo.preview
    height, width, _ = preview.shape
    return _HEADER.pack(*photo.size, width, height) + preview.tobytes()


def unpack_preview(content: bytes | bytearray) -> tuple[Size, NDArray[np.uint8]]:
    """Return the size and the preview that `pack_preview` wrote. Raises ValueError for other content."""
    try:
        *size, width, height = _HEADER.unpack_from(content)
    except struct.error as error:
        raise ValueError(str(error)) from None
    preview = np.frombuffer(content, np.uint8, offset=_HEADER.size)
    if 0 in (*size, width, height) or preview.size != height * width * 3:
        raise ValueError("the wrong number of bytes")
    return (size[0], size[1]), preview.reshape(height, width, 3)


def max_preview_size(preview_side: int) -> int:
    """Return the largest number of bytes that `pack_preview` returns for previews of that side."""
    return _HEADER.size + preview_side**2 * 3
