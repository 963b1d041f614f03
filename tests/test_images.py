"""From an input to pixels: what is turned, scaled and bounded; and what becomes of hostile bytes."""

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

from democlass.errors import ImageError
from democlass.geometry import cut
from democlass.images import read
from democlass.tasks import Geometry


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def reason(source: Any, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        cut(read(source, **options), Geometry.CENTRE_CROP, **options)
    assert "\n" not in str(caught.value) and ": " in str(caught.value)
    return caught.value.reason


def test_a_large_jpeg_comes_smaller_where_speed_goes_first(portrait: Image.Image) -> None:
    data = encoded(portrait.resize((2000, 1800)), "JPEG")
    assert (read(data).size, read(data, fast=True).size) == ((2000, 1800), (500, 450))
    near, exact = (cut(read(data, fast=way), Geometry.SQUASH).astype(int) for way in (True, False))
    assert np.abs(near - exact).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, format_: str) -> None:
    upright = Image.new("RGB", (16, 24), "black")
    upright.paste("white", (0, 0, 8, 8))  # a corner and an aspect that tell all eight apart
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality: dict[str, Any] = {"lossless": True} if format_ == "WEBP" else {"quality": 100}
    turned = np.asarray(read(encoded(stored, format_, exif=exif, **quality))).astype(int)
    assert np.abs(turned - np.asarray(upright).astype(int)).max() < 40


def test_exif_can_be_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (16, 24)), "JPEG", exif=exif)
    assert (read(data).size, read(data, ignore_exif=True).size) == ((24, 16), (16, 24))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_cannot_be_read_turns_nothing() -> None:
    data = encoded(Image.new("RGB", (16, 24)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 40)
    assert read(data).size == (16, 24)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    assert np.asarray(read(encoded(Image.fromarray(values))))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_arrays_and_pil_images_are_read_too(portrait: Image.Image) -> None:
    pixels = np.asarray(portrait)
    for source in (portrait, pixels, encoded(portrait)):
        assert np.array_equal(np.asarray(read(source)), pixels)


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_arrays_of_another_kind_are_refused(array: np.ndarray[Any, Any]) -> None:
    assert reason(array) == "not an image"


@pytest.mark.parametrize("source", [None, 3, [1], io.BytesIO()])
def test_what_is_no_input_is_the_callers_mistake(source: Any) -> None:
    with pytest.raises(TypeError, match="an input is a path"):
        read(source)


def test_an_array_without_pixels_is_refused() -> None:
    assert reason(np.zeros((0, 4, 3), np.uint8)) == "damaged image"


def test_more_pixels_than_allowed_are_never_decoded() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    assert reason(bomb, max_pixels=10_000_000) == "too many pixels"
    assert read(encoded(Image.new("L", (100, 100))), max_pixels=10_000).size == (100, 100)


def test_bytes_that_are_no_image() -> None:
    assert reason(b"") == "empty file"
    assert reason(b"hello, world, this is text") == "not an image"
    assert reason(encoded(Image.new("RGB", (8, 8)), "EPS")) == "not an image"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_an_error(format_: str, portrait: Image.Image) -> None:
    data = encoded(portrait, format_)
    assert reason(data[: len(data) // 2]) in ("truncated", "damaged image", "not an image")


def test_a_truncated_jpeg_is_called_so(portrait: Image.Image) -> None:
    assert reason(encoded(portrait, "JPEG")[:5000]) == "truncated"


def test_heic_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'democlass\[heic\]'"):
        read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)


def test_heic_is_read_where_the_package_is_installed(portrait: Image.Image) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    decoded = np.asarray(read(encoded(portrait, "HEIF"))).astype(int)
    assert np.abs(decoded - np.asarray(portrait).astype(int)).mean() < 8


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
def test_what_is_no_file_is_never_waited_for(make: Callable[[Path], object], expected: str, tmp_path: Path) -> None:
    make(tmp_path / "x.jpg")
    assert reason(tmp_path / "x.jpg") == expected


def test_a_file_that_may_not_be_read(
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
def test_damaged_bytes_give_pixels_or_an_image_error_and_nothing_else(
    seed: bytes, damage: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    mutated = bytearray(seed)
    for place, replacement in damage:
        start = place % len(mutated)
        mutated[start : start + len(replacement)] = replacement
    end = data.draw(st.integers(0, len(mutated)))
    try:
        pixels = cut(read(bytes(mutated[: max(end, 1)]), max_pixels=4_000_000), Geometry.SQUASH)
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
