"""Boxes: the regions of faces."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.boxes import Box

NUMBERS = st.floats(-1e6, 1e6)
BOXES = st.builds(Box, NUMBERS, NUMBERS, st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.floats(-180, 180))


@settings(deadline=None)
@given(BOXES)
def test_rounding_changes_less_than_a_hundredth_of_a_pixel_and_only_once(box: Box) -> None:
    rounded = box.rounded()
    assert rounded == pytest.approx(box, abs=0.0051)
    assert rounded.rounded() == rounded


@settings(deadline=None)
@given(BOXES)
def test_rounded_numbers_are_written_with_at_most_two_decimals(box: Box) -> None:
    for number in box.rounded():
        assert len(repr(number).partition(".")[2]) <= 2


def test_a_rounded_box_has_no_negative_zero() -> None:
    assert [math.copysign(1, value) for value in Box(-0.001, -0.0, 10.0, 10.0, -0.004).rounded()] == [1.0] * 5


def test_the_centre_does_not_depend_on_the_rotation() -> None:
    assert Box(10.0, 20.0, 30.0, 40.0).centre == Box(10.0, 20.0, 30.0, 40.0, 45.0).centre == (25.0, 40.0)
