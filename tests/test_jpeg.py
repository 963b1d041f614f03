"""The faster decoder: Pillow's pixels, and Pillow's verdict on whatever is not plain."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from democlass import jpeg


def encoded(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def decode(content: bytes, least_side: int | None = None) -> Image.Image | None:
    stream = io.BytesIO(content)
    with Image.open(stream) as header:
        return jpeg.decode(stream, header, least_side)


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (333, 501), (17, 9), (1, 1)])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 10}]
)
def test_pixels_are_pillows(size: tuple[int, int], options: dict[str, Any], portrait: Image.Image) -> None:
    content = encoded(portrait.resize(size), **options)
    decoded = decode(content)
    assert decoded is not None
    assert np.array_equal(np.asarray(decoded.convert("RGB")), np.asarray(Image.open(io.BytesIO(content))))


def test_an_image_keeps_its_pixels_when_the_next_one_is_decoded(portrait: Image.Image) -> None:
    first = decode(encoded(portrait))
    assert first is not None
    before = np.asarray(first).copy()
    assert decode(encoded(Image.new("RGB", portrait.size))) is not None
    assert np.array_equal(np.asarray(first), before)


def test_memory_is_decoded_into_again_once_its_image_is_gone(portrait: Image.Image) -> None:
    first = decode(encoded(portrait))
    memory = jpeg._scratch._kept
    del first
    second = decode(encoded(portrait))
    assert second is not None and jpeg._scratch._kept is memory


def test_grey_is_read_too(portrait: Image.Image) -> None:
    content = encoded(portrait.convert("L"))
    decoded = decode(content)
    assert decoded is not None
    assert np.array_equal(np.asarray(decoded.convert("L")), np.asarray(Image.open(io.BytesIO(content))))


def test_what_is_not_plain_is_left_to_pillow(portrait: Image.Image) -> None:
    assert decode(encoded(portrait.convert("CMYK"))) is None
    assert decode(encoded(portrait)[:9000]) is None
    stream = io.BytesIO()
    portrait.save(stream, "PNG")
    assert decode(stream.getvalue()) is None


@pytest.mark.parametrize(
    ("size", "least", "expected"),
    [((4032, 3024), 448, (1008, 756)), ((3024, 4032), 448, (756, 1008)), ((640, 480), 448, (640, 480)),
     ((300, 200), 448, (300, 200)), ((900, 900), 448, (450, 450)), ((894, 894), 448, (894, 894)),
     ((4031, 3023), 336, (504, 378))],
)  # fmt: skip
def test_sides_are_halved_while_the_shorter_stays_long_enough(
    size: tuple[int, int], least: int, expected: tuple[int, int]
) -> None:
    decoded = decode(encoded(Image.new("RGB", size)), least)
    assert decoded is not None and decoded.size == expected
