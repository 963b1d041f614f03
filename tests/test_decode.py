"""Decoding an image: the types of input, limits, and damaged or hostile input."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from decoding import encoded, reason
from democlass.errors import ImageError
from democlass.images.decode import read
from democlass.images.geometry import apply_geometry
from democlass.tasks import Geometry


def test_arrays_and_pil_images_are_accepted(portrait: Image.Image) -> None:
    pixels = np.asarray(portrait)
    for source in (portrait, pixels, encoded(portrait)):
        assert np.array_equal(np.asarray(read(source)), pixels)


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_arrays_of_another_shape_or_dtype_are_an_error(array: np.ndarray[Any, Any]) -> None:
    assert reason(array) == "not an image"


@pytest.mark.parametrize("source", [None, 3, [1], io.BytesIO()])
def test_other_types_of_input_raise_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError, match="an image must be a path"):
        read(source)


def test_an_array_without_pixels_is_an_error() -> None:
    assert reason(np.zeros((0, 4, 3), np.uint8)) == "damaged image"


def test_an_image_above_the_pixel_limit_is_not_decoded() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    assert reason(bomb, max_pixels=10_000_000) == "too many pixels"
    assert read(encoded(Image.new("L", (100, 100))), max_pixels=10_000).size == (100, 100)


def test_the_error_for_too_many_pixels_names_what_raises_the_limit() -> None:
    image = Image.new("L", (30, 20))
    for source in (image, np.zeros((20, 30, 3), np.uint8)):
        with pytest.raises(ImageError, match="30x20 is over 500; max_pixels=600 reads it"):
            read(source, max_pixels=500)
    with pytest.raises(ImageError, match="30x20 is over 500; --max-pixels 600 reads it"):
        read(encoded(image), max_pixels=500)


def test_bytes_that_are_not_an_image_are_an_error() -> None:
    assert reason(b"") == "empty file"
    assert reason(b"hello, world, this is text") == "not an image"
    assert reason(encoded(Image.new("RGB", (8, 8)), "EPS")) == "not an image"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_an_error(format_: str, portrait: Image.Image) -> None:
    data = encoded(portrait, format_)
    assert reason(data[: len(data) // 2]) in ("truncated", "damaged image", "not an image", "unreadable TIFF")


def test_the_error_for_a_truncated_jpeg(portrait: Image.Image) -> None:
    assert reason(encoded(portrait, "JPEG")[:5000]) == "truncated"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "not a regular file"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "not a regular file"),
        (lambda path: path.symlink_to(path), "a link in a circle"),
        (lambda path: path.symlink_to("nowhere"), "a broken link"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.touch(), "empty file"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed")
def test_folders_pipes_and_broken_links_are_an_error_at_once(
    make: Callable[[Path], object], expected: str, tmp_path: Path
) -> None:
    make(tmp_path / "x.jpg")
    assert reason(tmp_path / "x.jpg") == expected


def test_a_file_without_read_permission_is_an_error(
    tmp_path: Path, portrait: Image.Image, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    portrait.save(tmp_path / "x.jpg")
    with unprivileged():
        assert read("x.jpg").size == portrait.size
    (tmp_path / "x.jpg").chmod(0)
    with unprivileged():
        assert reason("x.jpg") == "no permission"


SEEDS = [encoded(Image.linear_gradient("L").resize((40, 30)).convert("RGB"), kind) for kind in
         ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000")]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=6)), max_size=6), st.data())
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_pixels_or_an_image_error(
    seed: bytes, damage: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    mutated = bytearray(seed)
    for position, replacement in damage:
        start = position % len(mutated)
        mutated[start : start + len(replacement)] = replacement
    end = data.draw(st.integers(0, len(mutated)))
    try:
        pixels = apply_geometry(read(bytes(mutated[: max(end, 1)]), max_pixels=4_000_000), Geometry.SQUASH)
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.shape == (224, 224, 3) and pixels.dtype == np.uint8


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_are_an_image_error(content: bytes) -> None:
    with pytest.raises(ImageError):
        read(content)


@pytest.mark.parametrize("head", [b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"\0\0\0\x20ftypavif", b"\0\0\0\x20ftypheic"])
def test_a_huge_file_of_a_format_that_is_read_at_once_is_refused(tmp_path: Path, head: bytes) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.write(head)
        file.truncate(2**40)
    with pytest.raises(ImageError, match=r"too many bytes: 1099511627776"):
        read(tmp_path / "huge")
