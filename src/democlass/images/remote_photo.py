"""RemotePhoto: a photo that a decoding process holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from democlass.boxes import Box
from democlass.images.decode import Pixels
from democlass.images.drawing import Pictures
from democlass.images.face_pixels import max_size, unpack_faces
from democlass.images.file_list import unpack_files
from democlass.images.messages import CUT, DRAW, FILES, PIXELS
from democlass.images.photo import Size, unpack_preview
from democlass.tasks import Geometry

Ask = Callable[[bytes, bytes, bytes, int], "bytes | bytearray"]
"""Sends a request: its kind and content, the kind of response and its maximum number of bytes. Returns the response."""


_MAX_FILES = 2**31
"""Bytes of all pictures of a photo."""


class RemotePhoto:
    """A photo in a decoding process. It can be used until that process gets the next image.

    Raises EOFError, ValueError or TimeoutError if the process fails.
    """

    def __init__(self, ask: Ask, opened: bytes | bytearray, geometries: Sequence[Geometry]) -> None:
        self._ask = ask
        self._geometries = geometries
        self._size, self._preview = unpack_preview(opened)

    @property
    def size(self) -> Size:
        """The size of the upright image."""
        return self._size

    @property
    def preview(self) -> NDArray[np.uint8]:
        """The upright image, reduced: RGB H x W x 3."""
        return self._preview

    def cut(self, boxes: Sequence[Box | None]) -> list[Pixels]:
        """Return the pixels of each region for the networks; None is the whole image. Raises ImageError."""
        if not boxes:
            return []
        response = self._ask(CUT, json.dumps(boxes).encode(), PIXELS, max_size(self._geometries, len(boxes)))
        faces = unpack_faces(response, self._geometries)
        if len(faces) != len(boxes):
            raise ValueError(f"{len(faces)} regions instead of {len(boxes)}")
        return faces

    def draw(self, pictures: Pictures) -> list[bytes]:
        """Return encoded pictures of the photo at full size."""
        return unpack_files(self._ask(DRAW, json.dumps(asdict(pictures)).encode(), FILES, _MAX_FILES))
