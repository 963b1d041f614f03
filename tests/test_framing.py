"""From detected faces to the squares that are classified."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from democlass.boxes import Box
from democlass.errors import ImageError
from democlass.faces.framing import MAX_FACES, frame_face, frame_faces, is_crop

POINTS = [(-0.18, -0.178), (0.18, -0.178), (0.0, 0.05), (-0.148, 0.178), (0.148, 0.178)]
"""Right eye, left eye, nose, right and left corner of the mouth of an upright face of side 1, from its centre."""


def face(x: float, y: float, side: float, *, degrees: float = 0.0, score: float = 0.9) -> NDArray[np.float32]:
    """Return a detected face whose square has its centre at (x, y), this side and rotation."""
    box = side / 1.12
    turn = math.radians(degrees)
    points = [
        (x + side * (px * math.cos(turn) - py * math.sin(turn)), y + side * (px * math.sin(turn) + py * math.cos(turn)))
        for px, py in POINTS
    ]
    edges = [x - box / 2, y - box / 2, x + box / 2, y + box / 2]
    return np.array([*edges, score, *(number for point in points for number in point)], np.float32)


def frame(*faces: NDArray[np.float32], size: tuple[int, int] = (1200, 900), **options: object) -> list[tuple[Box, str]]:
    found = np.stack(faces) if faces else np.zeros((0, 15), np.float32)
    framed = frame_faces(found, size, size, **{"min_face": 32, **options})  # type: ignore[arg-type]
    return [
        (each.box, "too small" if each.is_too_small else "whole" if each.is_whole_image else "face") for each in framed
    ]


@settings(deadline=None)
@given(st.floats(200, 1000), st.floats(200, 700), st.floats(20, 300), st.floats(-179, 179))
def test_the_square_has_the_centre_side_and_rotation_of_the_points(
    x: float, y: float, side: float, degrees: float
) -> None:
    box = frame_face(face(x, y, side, degrees=degrees).astype(np.float64))
    assert box.centre == pytest.approx((x, y), abs=0.01)
    assert (box.width, box.height) == pytest.approx((side, side), abs=0.01)
    assert box.rotation == pytest.approx(0.9 * degrees, abs=0.1)


def test_a_profile_is_turned_less_because_its_points_say_little() -> None:
    turned = face(300, 300, 100, degrees=20).astype(np.float64)
    points = turned[5:].reshape(5, 2)
    rotations = []
    for closeness in (1.0, 0.7, 0.5, 0.2):
        closer = turned.copy()
        closer[5:7] = points[1] + closeness * (points[0] - points[1])
        rotations.append(abs(frame_face(closer).rotation))
    assert rotations == sorted(rotations, reverse=True)
    assert rotations[-1] == 0 < rotations[-2]


def test_faces_are_ordered_from_left_to_right_then_from_the_top() -> None:
    boxes = [box for box, _ in frame(face(600, 200, 80), face(100, 700, 80), face(300, 500, 80))]
    assert [round(box.centre[0]) for box in boxes] == [100, 300, 600]


def test_an_image_without_detections_has_no_faces() -> None:
    assert frame() == []


def test_positions_are_in_pixels_of_the_image() -> None:
    (framed,) = frame_faces(face(100, 60, 40)[None], (320, 240), (1280, 960), min_face=32)
    assert framed.box.centre == pytest.approx((400, 240), abs=0.01)
    assert framed.box.width == pytest.approx(160, abs=0.01)
    assert framed.score == pytest.approx(0.9)


def test_numbers_are_rounded_as_they_are_written() -> None:
    ((box, _),) = frame(face(100.123456, 200, 77.777777, degrees=1.23456))
    assert box == box.rounded()


def test_small_faces_are_marked() -> None:
    kinds = dict.fromkeys(kind for _, kind in frame(face(100, 100, 31), face(300, 100, 33)))
    assert list(kinds) == ["too small", "face"]
    assert [kind for _, kind in frame(face(100, 100, 31), min_face=20)] == ["face"]


def test_largest_keeps_the_largest_face_even_if_it_is_too_small() -> None:
    ((box, _),) = frame(face(100, 100, 50), face(300, 100, 90), face(600, 100, 70), largest=True)
    assert box.width == pytest.approx(90, abs=0.01)
    ((_, kind),) = frame(face(100, 100, 20), face(300, 100, 25), largest=True)
    assert kind == "too small"


def test_an_image_that_is_mostly_face_is_used_whole() -> None:
    size = (300, 260)
    framed = frame_faces(np.stack([face(150, 130, 200), face(40, 40, 40, score=0.99)]), size, size, min_face=32)
    assert [(each.box, each.is_whole_image) for each in framed] == [(Box(0, 0, 300, 260, 0), True)]
    assert framed[0].score == pytest.approx(0.9)  # that of the face that fills the image


def test_a_large_face_in_a_larger_image_is_cut() -> None:
    assert [kind for _, kind in frame(face(150, 130, 170), size=(300, 260))] == ["face"]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", range(15))
def test_detections_with_numbers_that_are_not_finite_are_ignored(index: int, wrong: float) -> None:
    bad = face(600, 450, 80)
    bad[index] = wrong
    assert frame(bad) == []
    assert len(frame(bad, face(100, 100, 80))) == 1


@pytest.mark.parametrize("side", [0, 4801, 1e6, 1e30])
def test_detections_of_impossible_size_are_ignored(side: float) -> None:
    assert frame(face(600, 450, side)) == []


def test_boxes_that_are_inside_out_are_ignored() -> None:
    bad = face(600, 450, 80)
    bad[[0, 2]] = bad[[2, 0]]
    assert frame(bad) == []


@pytest.mark.parametrize(("x", "y"), [(-81, 450), (600, -81), (1281, 450), (600, 981), (1e30, 450)])
def test_detections_outside_the_image_are_ignored(x: float, y: float) -> None:
    assert frame(face(x, y, 80)) == []


@pytest.mark.parametrize(("x", "y"), [(0, 0), (-20, 450), (1200, 900), (600, 930)])
def test_faces_at_a_border_are_found(x: float, y: float) -> None:
    ((box, kind),) = frame(face(x, y, 80))
    assert box.centre == pytest.approx((x, y), abs=0.01)
    assert kind == "face"


def test_detections_that_cannot_be_faces_do_not_make_an_image_a_crop() -> None:
    size = (300, 260)
    assert is_crop([Box(50, 30, 200, 200)], size)
    assert not is_crop([Box(50, 30, 150, 150)], size)
    assert not is_crop([Box(50, 30, 1e6, 1e6), Box(math.nan, 30, 200, 200), Box(0, 0, math.inf, math.inf)], size)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(width=32), min_size=15, max_size=15), max_size=4))
def test_any_numbers_give_faces_with_numbers_that_can_be_written(rows: list[list[float]]) -> None:
    found = np.array(rows, np.float32).reshape(-1, 15)
    for each in frame_faces(found, (640, 480), (1280, 960), min_face=32):
        assert all(map(math.isfinite, (*each.box, each.score)))
        assert 0 < each.box.width <= 4 * 1280


def test_more_faces_than_fit_into_memory_are_an_error() -> None:
    many = [face(x * 40 + 20, y * 40 + 20, 35) for y in range(25) for x in range(41)]
    assert len(many) > MAX_FACES
    with pytest.raises(ImageError, match="too many faces: 1025 were found"):
        frame(*many, size=(4000, 3000))
    assert len(frame(*many, size=(4000, 3000), min_face=36)) == len(many)  # they are only counted
