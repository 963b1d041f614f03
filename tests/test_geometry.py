"""The two geometries: torchvision's pixels to the bit, whatever the size."""

from __future__ import annotations

import io
import math
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from conftest import EXAMPLES
from democlass.errors import ImageError
from democlass.images import geometry
from democlass.images.decode import prepare
from democlass.images.geometry import apply_geometries, apply_geometry
from democlass.tasks import Geometry

LARGEST = 4000
REFERENCE = {
    Geometry.CENTRE_CROP: transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224)]),
    Geometry.SQUASH: transforms.Resize((224, 224)),
}


def assert_as_torchvision(image: Image.Image) -> None:
    together = prepare(image, list(Geometry))
    for kind in Geometry:
        expected = np.asarray(REFERENCE[kind](image))
        assert np.array_equal(together[kind], expected), (kind, image.size)
        assert np.array_equal(apply_geometry(image, kind), expected), (kind, image.size)


@pytest.fixture(scope="module")
def wall() -> Image.Image:
    """Both example portraits over and over, at several sizes and with a camera's grain: LARGEST x LARGEST."""
    chance = random.Random(0)
    portraits = [Image.open(EXAMPLES / name).convert("RGB") for name in ("astronaut.png", "grace_hopper.jpg")]
    image = Image.new("RGB", (LARGEST, LARGEST))
    for top in range(0, LARGEST, 500):
        for left in range(0, LARGEST, 500):
            side = chance.randint(500, 1500)
            image.paste(chance.choice(portraits).resize((side, side), Image.Resampling.BICUBIC), (left, top))
    grain = np.random.default_rng(0).integers(-6, 7, (LARGEST, LARGEST, 3), dtype=np.int16)
    grain += np.asarray(image)
    return Image.fromarray(np.clip(grain, 0, 255, out=grain).astype(np.uint8))


def random_sizes(count: int) -> list[tuple[int, int]]:
    """Long sides of 8 to LARGEST, aspects of 1:8 to 8:1, both even in the logarithm."""
    chance = random.Random(14)
    sizes = []
    for _ in range(count):
        long = round(math.exp(chance.uniform(math.log(8), math.log(LARGEST))))
        short = max(1, round(long / math.exp(chance.uniform(0, math.log(8)))))
        sizes.append((long, short) if chance.random() < 0.5 else (short, long))
    return sizes


def test_600_random_sizes_to_the_bit(wall: Image.Image) -> None:
    chance = random.Random(2)
    for width, height in random_sizes(600):
        left, top = chance.randint(0, LARGEST - width), chance.randint(0, LARGEST - height)
        assert_as_torchvision(wall.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize(
    "size",
    [(300, 200), (200, 300), (225, 600), (224, 224), (7, 5), (1, 1), (1, 300), (3000, 20), (20, 3000), (223, 500),
     (224, 225), (225, 224), (1920, 1080), (896, 1344), (3000, 2001), (2001, 3000), (4000, 3000), (3000, 4000)],
)  # fmt: skip
def test_chosen_sizes_to_the_bit(size: tuple[int, int], wall: Image.Image) -> None:
    assert_as_torchvision(wall.crop((0, 0, *size)))


@pytest.mark.parametrize("size", [(1000, 1776), (1000, 1777), (500, 776), (500, 777)])
def test_where_the_first_pass_stops_being_shared(size: tuple[int, int], wall: Image.Image) -> None:
    assert_as_torchvision(wall.crop((0, 0, *size)))


def test_an_unknown_pillow_is_left_to_resize_twice(wall: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_PASS_ORDER_KNOWN", False)
    assert_as_torchvision(wall.crop((0, 0, 600, 800)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 60}])
@pytest.mark.parametrize("size", [(2400, 1600), (1500, 2000), (333, 501), (901, 899)])
def test_a_jpeg_file_to_the_bit(size: tuple[int, int], options: dict[str, Any], wall: Image.Image) -> None:
    stream = io.BytesIO()
    wall.crop((100, 100, 100 + size[0], 100 + size[1])).save(stream, "JPEG", **options)
    together = prepare(stream.getvalue(), list(Geometry))
    with Image.open(stream) as image:
        rgb = image.convert("RGB")
    for kind in Geometry:
        assert np.array_equal(together[kind], np.asarray(REFERENCE[kind](rgb)))


def test_a_square_image_is_resized_once_for_both_geometries(portrait: Image.Image) -> None:
    pixels = apply_geometries(portrait, list(Geometry))
    assert pixels[Geometry.CENTRE_CROP] is pixels[Geometry.SQUASH]
    for kind in Geometry:
        assert np.array_equal(pixels[kind], apply_geometry(portrait, kind))


def test_what_a_resize_makes_of_a_narrow_image_is_bounded() -> None:
    with pytest.raises(ImageError, match=r"^too narrow: 1x60000 grows to 224x13440000"):
        apply_geometry(Image.new("RGB", (1, 60_000)), Geometry.CENTRE_CROP)
