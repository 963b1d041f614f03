"""The pixels of an image's faces as bytes, for the messages between a process and its decoding workers.

    number of faces    uint16, little-endian
    for each face      number of frames, uint8; then the frames, each RGB uint8 SIDE x SIDE x 3

A face has a frame for each geometry, or one frame for all geometries if they are equal (a square image).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from democlass.images.decode import Pixels
from democlass.tasks import SIDE, Geometry

_FACES = struct.Struct("<H")
_FRAMES = struct.Struct("<B")
_FRAME_SIZE = SIDE * SIDE * 3


def max_size(geometries: Sequence[Geometry], faces: int = 1) -> int:
    """Return the largest number of bytes that `pack_faces` returns for these geometries and number of faces."""
    return _FACES.size + faces * (_FRAMES.size + len(geometries) * _FRAME_SIZE)


def pack_faces(faces: Sequence[Pixels]) -> bytes:
    """Return the faces as bytes. A frame that several geometries of a face share is written once."""
    parts = [_FACES.pack(len(faces))]
    for pixels in faces:
        frames = {id(frame): frame for frame in pixels.values()}
        parts += [_FRAMES.pack(len(frames)), *(frame.tobytes() for frame in frames.values())]
    return b"".join(parts)


def unpack_faces(content: bytes | bytearray, geometries: Sequence[Geometry]) -> list[Pixels]:
    """Return the faces that `pack_faces` wrote, without copying their frames. Raises ValueError for other content."""
    try:
        (count,) = _FACES.unpack_from(content)
        start = _FACES.size
        faces = []
        for _ in range(count):
            (frames,) = _FRAMES.unpack_from(content, start)
            start += _FRAMES.size
            faces.append(_unpack_face(memoryview(content)[start : start + frames * _FRAME_SIZE], frames, geometries))
            start += frames * _FRAME_SIZE
    except struct.error as error:
        raise ValueError(str(error)) from None
    if start != len(content) or not faces:
        raise ValueError("the wrong number of bytes")
    return faces


def _unpack_face(content: memoryview, frames: int, geometries: Sequence[Geometry]) -> Pixels:
    if frames not in (1, len(geometries)):
        raise ValueError(f"{frames} frames for {len(geometries)} geometries")
    pixels = np.frombuffer(content, np.uint8).reshape(frames, SIDE, SIDE, 3)
    return {geometry: pixels[place % frames] for place, geometry in enumerate(geometries)}
