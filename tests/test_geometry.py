"""The two geometries: pixels identical to torchvision's, for all sizes."""

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

pytestmark = pytest.mark.slow

WALL_SIDE = 4000
MAX_RANDOM_SIDE = 4000
REFERENCE = {
    Geometry.CENTRE_CROP: transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224)]),
    Geometry.SQUASH: transforms.Resize((224, 224)),
}


def assert_same_as_torchvision(image: Image.Image) -> None:
    """Compare both geometries with torchvision's transforms, applied together and alone."""
    (together,) = prepare(image, list(Geometry))
    for kind in Geometry:
        expected = np.asarray(REFERENCE[kind](image))
        assert np.array_equal(together[kind], expected), (kind, image.size)
        assert np.array_equal(apply_geometry(image, kind), expected), (kind, image.size)


@pytest.fixture(scope="module")
def wall() -> Image.Image:
    """An image of WALL_SIDE x WALL_SIDE that repeats both example portraits at several sizes, with noise."""
    rng = random.Random(0)
    portraits = [Image.open(EXAMPLES / name).convert("RGB") for name in ("astronaut.png", "grace_hopper.jpg")]
    image = Image.new("RGB", (WALL_SIDE, WALL_SIDE))
    for top in range(0, WALL_SIDE, 500):
        for left in range(0, WALL_SIDE, 500):
            side = rng.randint(500, 1500)
            image.paste(rng.choice(portraits).resize((side, side), Image.Resampling.BICUBIC), (left, top))
    noise = np.random.default_rng(0).integers(-6, 7, (WALL_SIDE, WALL_SIDE, 3), dtype=np.int16)
    noise += np.asarray(image)
    return Image.fromarray(np.clip(noise, 0, 255, out=noise).astype(np.uint8))


def random_sizes(count: int) -> list[tuple[int, int]]:
    """Return sizes with long sides from 8 to MAX_RANDOM_SIDE and aspect ratios from 1:8 to 8:1, log-uniform."""
    rng = random.Random(14)
    sizes = []
    for _ in range(count):
        long = round(math.exp(rng.uniform(math.log(8), math.log(MAX_RANDOM_SIDE))))
        short = max(1, round(long / math.exp(rng.uniform(0, math.log(8)))))
        sizes.append((long, short) if rng.random() < 0.5 else (short, long))
    return sizes


def test_random_sizes(wall: Image.Image) -> None:
    rng = random.Random(2)
    for width, height in random_sizes(300):
        left, top = rng.randint(0, WALL_SIDE - width), rng.randint(0, WALL_SIDE - height)
        assert_same_as_torchvision(wall.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize(
    "size",
    [(300, 200), (200, 300), (225, 600), (224, 224), (7, 5), (1, 1), (1, 300), (3000, 20), (20, 3000), (223, 500),
     (224, 225), (225, 224), (1920, 1080), (896, 1344), (3000, 2001), (2001, 3000), (4000, 3000), (3000, 4000)],
)  # fmt: skip
def test_special_sizes(size: tuple[int, int], wall: Image.Image) -> None:
    assert_same_as_torchvision(wall.crop((0, 0, *size)))


@pytest.mark.parametrize("size", [(1000, 1776), (1000, 1777), (500, 776), (500, 777)])
def test_sizes_at_the_limit_of_sharing_the_first_pass(size: tuple[int, int], wall: Image.Image) -> None:
    assert_same_as_torchvision(wall.crop((0, 0, *size)))


def test_first_pass_is_not_shared_with_an_unknown_pillow(wall: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_IS_PASS_ORDER_KNOWN", False)
    assert_same_as_torchvision(wall.crop((0, 0, 600, 800)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 60}])
@pytest.mark.parametrize("size", [(2400, 1600), (1500, 2000), (333, 501), (901, 899)])
def test_jpeg_files(size: tuple[int, int], options: dict[str, Any], wall: Image.Image) -> None:
    stream = io.BytesIO()
    wall.crop((100, 100, 100 + size[0], 100 + size[1])).save(stream, "JPEG", **options)
    (together,) = prepare(stream.getvalue(), list(Geometry))
    with Image.open(stream) as image:
        rgb = image.convert("RGB")
    for kind in Geometry:
        assert np.array_equal(together[kind], np.asarray(REFERENCE[kind](rgb)))


def test_square_image_is_resized_once_for_both_geometries(portrait: Image.Image) -> None:
    pixels = apply_geometries(portrait, list(Geometry))
    assert pixels[Geometry.CENTRE_CROP] is pixels[Geometry.SQUASH]
    for kind in Geometry:
        assert np.array_equal(pixels[kind], apply_geometry(portrait, kind))


def test_size_of_a_resized_narrow_image_is_limited() -> None:
    with pytest.raises(ImageError, match=r"^too narrow: 1x60000 grows to 224x13440000"):
        apply_geometry(Image.new("RGB", (1, 60_000)), Geometry.CENTRE_CROP)
