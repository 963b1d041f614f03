"""Faces as bytes between a process and its decoding workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from democlass.images.decode import Pixels
from democlass.images.face_pixels import max_size, pack_faces, unpack_faces
from democlass.tasks import SIDE, Geometry

BOTH = (Geometry.CENTRE_CROP, Geometry.SQUASH)


def frame(value: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def face(*values: int) -> Pixels:
    """Return a face with a frame for each value; a single frame serves both geometries."""
    frames = [frame(value) for value in values]
    return {geometry: frames[i % len(frames)] for i, geometry in enumerate(BOTH)}


@pytest.mark.parametrize("faces", [[face(1)], [face(1, 2)], [face(1), face(2, 3), face(4, 5), face(6)]])
def test_faces_are_read_back_in_order(faces: list[Pixels]) -> None:
    read = unpack_faces(pack_faces(faces), BOTH)
    assert len(read) == len(faces)
    for one, other in zip(read, faces, strict=True):
        assert list(one) == list(other)
        assert all(np.array_equal(one[geometry], other[geometry]) for geometry in BOTH)


def test_a_frame_that_both_geometries_share_is_sent_once() -> None:
    assert len(pack_faces([face(1)])) < len(pack_faces([face(1, 2)])) == max_size(BOTH)


@given(st.binary(max_size=64))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_faces(content, BOTH)


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"x"])
def test_a_wrong_length_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError):
        unpack_faces(change(pack_faces([face(1, 2)])), BOTH)
