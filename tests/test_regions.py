"""Regions cut from an image: place, rotation, and pixels outside the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from democlass.boxes import Box
from democlass.images.regions import cut_region


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def gradient(width: int, height: int) -> Image.Image:
    """Return an image whose red grows to the right and whose green grows downwards, by 1 each pixel."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x, y, 0 * x], 2).astype(np.uint8))


def test_a_region_at_whole_pixels_is_copied_exactly() -> None:
    image = noise(60, 40)
    assert np.array_equal(np.asarray(cut_region(image, Box(7, 5, 20, 30))), np.asarray(image)[5:35, 7:27])


@pytest.mark.parametrize(("rotation", "turns"), [(90.0, 1), (180.0, 2), (-90.0, 3)])
def test_a_rotated_region_is_turned_upright(rotation: float, turns: int) -> None:
    image = noise(60, 40)
    upright = np.asarray(image)[5:35, 12:42]
    # A face turned clockwise is turned back counterclockwise, which is the direction of rot90.
    cut = np.asarray(cut_region(image, Box(12, 5, 30, 30, rotation)), dtype=int)
    assert np.abs(cut - np.rot90(upright, turns)).max() <= 1  # the sine of 180 degrees is not quite 0


def test_a_region_between_pixels_is_interpolated() -> None:
    cut = np.asarray(cut_region(gradient(60, 40), Box(10.5, 5, 20, 20)), dtype=int)
    assert set(np.diff(cut[:, :, 0], axis=1).ravel()) == {1}
    assert cut[0, 0, 1] == 5


def test_a_small_rotation_follows_the_direction_of_the_face() -> None:
    cut = np.asarray(cut_region(gradient(200, 200), Box(50, 50, 100, 100, 10)), dtype=int)
    assert np.allclose(cut[50, 50, :2], (100, 100), atol=1)  # the centre stays
    assert cut[50, 99, 1] - cut[50, 0, 1] == pytest.approx(99 * np.sin(np.radians(10)), abs=2)


def test_outside_the_image_its_edge_is_repeated() -> None:
    image = noise(30, 30)
    cut = np.asarray(cut_region(image, Box(-10, -10, 20, 20)))
    assert np.array_equal(cut[10:, 10:], np.asarray(image)[:10, :10])
    assert (cut[:10, :10] == np.asarray(image)[0, 0]).all()


@pytest.mark.parametrize(
    "box", [Box(-500, 3, 20, 20), Box(900, 900, 20, 20, 45), Box(5, 5, 0.01, 0.01), Box(5, 5, 1, 1, 3)]
)
def test_regions_far_outside_or_tiny_have_at_least_one_pixel(box: Box) -> None:
    assert min(cut_region(noise(30, 30), box).size) >= 1


numbers = st.floats(-300, 300)


@settings(deadline=None)
@given(numbers, numbers, st.floats(0.01, 200), st.floats(0.01, 200), st.floats(-180, 180))
def test_every_region_can_be_cut_and_invents_no_colours(
    x: float, y: float, width: float, height: float, rotation: float
) -> None:
    cut = cut_region(Image.new("RGB", (40, 30), (10, 20, 30)), Box(x, y, width, height, rotation))
    assert cut.size == (max(1, round(width)), max(1, round(height)))
    assert cut.getcolors() == [(cut.width * cut.height, (10, 20, 30))]
