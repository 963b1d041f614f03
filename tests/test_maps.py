"""Faces read from the maps of CenterFace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from democlass.faces.maps import MAX_CANDIDATES, MAX_OVERLAP, MIN_SCORE, read_maps


def empty(height: int = 20, width: int = 30) -> torch.Tensor:
    maps = torch.zeros(15, height, width)
    maps[0] = -10
    return maps


def put(maps: torch.Tensor, row: int, column: int, *, score: float, side: float = 40) -> None:
    """Put a face of `side` pixels with its centre in the middle of a cell. Its points are in the box's centre."""
    maps[0, row, column] = math.log(score / (1 - score))
    maps[1:3, row, column] = math.log(side / 4)
    maps[5:, row, column] = 0.5


def test_a_face_has_its_box_score_and_points_in_pixels() -> None:
    maps = empty()
    put(maps, 5, 10, score=0.9)
    maps[3, 5, 10], maps[4, 5, 10] = 0.25, -0.25  # a quarter of a cell down, and to the left
    maps[5, 5, 10], maps[6, 5, 10] = 0.4, 0.3  # y and x of the first point, as shares of the box
    (face,) = read_maps(maps)
    assert face[:4] == pytest.approx([41 - 20, 23 - 20, 41 + 20, 23 + 20], abs=1e-4)
    assert face[4] == pytest.approx(0.9)
    assert face[5:7] == pytest.approx([21 + 12, 3 + 16], abs=1e-4)
    assert face[7:] == pytest.approx([41, 23] * 4, abs=1e-4)


def test_low_scores_are_no_faces() -> None:
    maps = empty()
    put(maps, 5, 5, score=MIN_SCORE - 0.01)
    assert read_maps(maps).shape == (0, 15)
    put(maps, 5, 5, score=MIN_SCORE + 0.01)
    assert len(read_maps(maps)) == 1


def test_of_overlapping_boxes_the_best_is_kept() -> None:
    maps = empty()
    put(maps, 5, 10, score=0.8)
    put(maps, 5, 11, score=0.9)
    put(maps, 15, 25, score=0.5)
    assert read_maps(maps)[:, 4] == pytest.approx([0.9, 0.5])


def test_numbers_that_are_not_finite_are_no_faces() -> None:
    maps = empty()
    put(maps, 5, 10, score=0.9)
    maps[1, 5, 10] = 1000.0  # exp of it is infinite
    put(maps, 15, 25, score=0.5)
    maps[7, 15, 25] = float("nan")
    assert len(read_maps(maps)) == 0


def test_maps_full_of_faces_are_cut_to_the_best() -> None:
    maps = torch.zeros(15, 200, 200)
    maps[0] = torch.linspace(1, 5, 40_000).reshape(200, 200)
    maps[1:3] = math.log(0.5)  # 2 pixels: none overlaps another
    faces = read_maps(maps)
    assert len(faces) == MAX_CANDIDATES
    assert faces[0, 4] == pytest.approx(1 / (1 + math.exp(-5)))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_two_faces_overlap_more_than_allowed(seed: int) -> None:
    maps = torch.randn(15, 12, 16, generator=torch.Generator().manual_seed(seed))
    faces = read_maps(maps).astype(np.float64)
    assert list(faces[:, 4]) == sorted(faces[:, 4], reverse=True)
    assert np.triu(overlaps(faces[:, :4]), 1).max(initial=0.0) <= MAX_OVERLAP + 1e-4


def overlaps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of the intersection of every two boxes, divided by that of their union."""
    one, other = boxes[:, None], boxes[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    both = sides.clip(0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return np.asarray(both / (areas[:, None] + areas - both))
