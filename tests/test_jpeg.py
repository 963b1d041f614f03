"""The fast JPEG decoder: same pixels as Pillow, and Pillow decodes the images that it does not support."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from democlass.images import jpeg


def encoded(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def decode(content: bytes, min_side: int | None = None) -> Image.Image | None:
    stream = io.BytesIO(content)
    with Image.open(stream) as header:
        return jpeg.decode(stream, header, min_side)


def assert_same_as_pillow(content: bytes) -> None:
    """Assert that the fast decoder supports the image, and that its pixels are Pillow's."""
    decoded = decode(content)
    assert decoded is not None
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(np.asarray(decoded.convert("RGB")), np.asarray(image.convert("RGB")))


SIZES = [(224, 224), (640, 480), (333, 501), (17, 9), (2, 3), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"keep_rgb": True}, {"restart_marker_blocks": 3}, {"optimize": True}, {"quality": 10},
     {"quality": 100, "progressive": True}],
)  # fmt: skip
def test_same_pixels_as_pillow(size: tuple[int, int], options: dict[str, Any], portrait: Image.Image) -> None:
    assert_same_as_pillow(encoded(portrait.resize(size), **options))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
def test_same_pixels_as_pillow_for_all_subsamplings(
    size: tuple[int, int], subsampling: str, portrait: Image.Image
) -> None:
    grey = subsampling == "Gray"
    pixels = np.array(portrait.resize(size).convert("L" if grey else "RGB")).reshape(size[1], size[0], -1)
    colours = "GRAY" if grey else "RGB"
    assert_same_as_pillow(simplejpeg.encode_jpeg(pixels, 80, colours, colorsubsampling=subsampling))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_same_pixels_as_pillow_if_later_scans_are_missing(mode: str, portrait: Image.Image) -> None:
    content = encoded(portrait.convert(mode), progressive=True)
    scans = [match.start() for match in re.finditer(b"\xff\xda\x00", content)]
    assert len(scans) > 3
    for scan in scans[1:]:
        assert_same_as_pillow(content[:scan] + b"\xff\xd9")


@pytest.mark.parametrize("transform", [0, 1, 2])
@pytest.mark.parametrize("keep_rgb", [True, False])
def test_same_pixels_as_pillow_for_all_adobe_colour_transforms(
    transform: int, keep_rgb: bool, portrait: Image.Image
) -> None:
    content = encoded(portrait.resize((90, 60)), keep_rgb=keep_rgb)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64" + bytes(4) + bytes([transform])
    for variant in (content[:2] + adobe + content[2:], content[:2] + adobe + content[20:]):  # with and without JFIF
        ours = decode(variant)
        if ours is not None:
            assert_same_as_pillow(variant)
    assert decode(content[:2] + adobe + content[2:]) is not None


def test_image_keeps_its_pixels_when_the_next_one_is_decoded(portrait: Image.Image) -> None:
    first = decode(encoded(portrait))
    assert first is not None
    before = np.asarray(first).copy()
    assert decode(encoded(Image.new("RGB", portrait.size))) is not None
    assert np.array_equal(np.asarray(first), before)


def test_memory_is_reused_after_its_image_is_deleted(portrait: Image.Image) -> None:
    first = decode(encoded(portrait))
    memory = jpeg._buffer._kept
    del first
    second = decode(encoded(portrait))
    assert second is not None and jpeg._buffer._kept is memory


def test_unsupported_images_are_left_to_pillow(portrait: Image.Image) -> None:
    assert decode(encoded(portrait.convert("CMYK"))) is None
    assert decode(encoded(portrait)[:9000]) is None
    stream = io.BytesIO()
    portrait.save(stream, "PNG")
    assert decode(stream.getvalue()) is None


@pytest.mark.parametrize(
    ("size", "min_side", "expected"),
    [((4032, 3024), 448, (1008, 756)), ((3024, 4032), 448, (756, 1008)), ((640, 480), 448, (640, 480)),
     ((300, 200), 448, (300, 200)), ((900, 900), 448, (450, 450)), ((894, 894), 448, (894, 894)),
     ((4031, 3023), 336, (504, 378))],
)  # fmt: skip
def test_large_images_are_decoded_at_a_reduced_scale(
    size: tuple[int, int], min_side: int, expected: tuple[int, int]
) -> None:
    decoded = decode(encoded(Image.new("RGB", size)), min_side)
    assert decoded is not None and decoded.size == expected
