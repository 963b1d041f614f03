"""Pictures of faces: each face alone, and photos with marked or blurred faces."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from democlass.boxes import Box
from democlass.images.drawing import Mark, Pictures, draw
from democlass.images.file_list import pack_files, unpack_files
from democlass.images.regions import cut_region

FACE = Box(60, 40, 80, 80, 10)


def photo() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.info = {"exif": b"Exif\0\0secret", "comment": b"secret", "icc_profile": b"secret"}
    return image


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_crop_is_the_region_that_was_classified_without_loss() -> None:
    (crop, whole) = draw(photo(), Pictures(crops=[FACE, None]))
    assert opened(crop).format == "PNG"
    assert np.array_equal(np.asarray(opened(crop)), np.asarray(cut_region(photo(), FACE)))
    assert np.array_equal(np.asarray(opened(whole)), np.asarray(photo()))


def test_pictures_have_no_metadata() -> None:
    for content in draw(photo(), Pictures(crops=[None, FACE], marks=[Mark(FACE, ["face 0"])])):
        assert b"secret" not in content
        assert not opened(content).getexif()


def test_a_marked_photo_has_its_size_and_differs_only_at_marks() -> None:
    image = Image.new("RGB", (640, 480), (90, 90, 90))
    (content,) = draw(image, Pictures(marks=[Mark(Box(200, 100, 100, 100), ["face 0", "Female 90%"])]))
    marked = np.asarray(opened(content), dtype=int)
    assert marked.shape == (480, 640, 3)
    changed = (np.abs(marked - 90) > 40).any(2)
    assert changed[100, 200:300].mean() > 0.9  # the upper edge of the box
    assert not changed[:90].any()
    assert not changed[120:180, 220:280].any()  # the face itself


def test_a_label_does_not_cover_the_face_below_it() -> None:
    image = Image.new("RGB", (640, 480), (90, 90, 90))
    below = Box(180, 210, 160, 160)
    (content,) = draw(image, Pictures(marks=[Mark(Box(200, 100, 100, 100), ["face 0", "Female 90%"]), Mark(below)]))
    changed = (np.abs(np.asarray(opened(content), dtype=int) - 90) > 40).any(2)
    assert not changed[220:360, 190:330].any()  # the face below
    assert changed[60:95, 200:300].any()  # the label, above


def test_a_photo_without_faces_stays_as_it_is() -> None:
    image = Image.new("RGB", (64, 48), (90, 90, 90))
    (content,) = draw(image, Pictures(marks=[]))
    assert np.asarray(opened(content)).std() < 1


@pytest.mark.parametrize("is_small", [False, True])
def test_blurred_faces_keep_no_detail(is_small: bool) -> None:
    (content,) = draw(photo(), Pictures(marks=[Mark(FACE, [], is_small)], blur=True))
    inside = np.asarray(opened(content))[70:90, 90:110]
    assert inside.std() < np.asarray(photo())[70:90, 90:110].std() / 4
    assert np.asarray(opened(content))[:10, 200:].std() > 40  # other places keep theirs


@pytest.mark.parametrize(
    "box", [Box(-50, -50, 100, 100), Box(280, 180, 90, 90, 45), Box(500, 500, 10, 10), Box(5, 5, 0.2, 0.2)]
)
def test_faces_at_and_beyond_borders_are_drawn(box: Box) -> None:
    crop, marked = draw(photo(), Pictures(crops=[box], marks=[Mark(box, ["face 0", "a\nb"])], blur=True))
    assert opened(marked).size == (300, 200)
    assert min(opened(crop).size) >= 1


def test_pictures_are_read_back_from_json() -> None:
    pictures = Pictures(crops=[FACE, None], marks=[Mark(FACE, ["face 0"]), Mark(Box(1, 2, 3, 4), [], True)], blur=True)
    assert Pictures.from_document(json.loads(json.dumps(asdict(pictures)))) == pictures
    assert Pictures.from_document(json.loads(json.dumps(asdict(Pictures())))) == Pictures([], None, False)


def test_files_are_read_back_from_one_message() -> None:
    files = [b"", b"one", bytes(1000)]
    assert unpack_files(pack_files(files)) == files


@pytest.mark.parametrize("content", [b"\1", pack_files([b"one"])[:-1], pack_files([b"one"]) + b"x"])
def test_other_messages_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_files(content)
