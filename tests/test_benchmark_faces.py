"""benchmarks/faces.py: photos with crops at known places, and which found faces are the pasted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from face_chart import draw_chart
from face_matching import Found, match, recall_table
from face_photos import FACES_PER_PHOTO, PHOTO, SIZES, Pasted, compose, paste
from faces import print_limits, recall_of_large
from PIL import Image, ImageOps

from democlass.boxes import Box
from democlass.inputs.labels import Example
from democlass.results import Face, Prediction

RED, BLUE, GREY = (220, 20, 20), (20, 20, 220), (128, 128, 128)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Red crops: a colour that no background has."""
    path = tmp_path_factory.mktemp("crops") / "red.png"
    Image.new("RGB", (224, 224), RED).save(path)
    return [Example(str(path), {"gender": "Female", "race": "White"})] * (8 * FACES_PER_PHOTO)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, crops: list[Example]) -> list[Pasted]:
    """The crops in eight photos, away from the borders."""
    return compose_in(tmp_path_factory.mktemp("inside") / "photos", crops)


def compose_in(folder: Path, crops: Sequence[Example], *, seed: int = 0, at_border: bool = False) -> list[Pasted]:
    folder.mkdir()
    return list(compose(crops, [], folder, rotations=(0,), seed=seed, at_border=at_border))


def upright(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def is_near(pixel: object, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() < 40)  # type: ignore[call-overload]


def pasted(x: float = 600, y: float = 450, side: int = 100, photo: str = "a.jpg", race: str = "White") -> Pasted:
    return Pasted(Path(photo), Path("crop.jpg"), {"gender": "Male", "race": race}, x, y, side, 0.0)


def face(x: float, y: float, side: float = 100) -> Face:
    return Face({}, Box(x - side / 2, y - side / 2, side, side), 0.9)


def test_a_crop_is_where_the_benchmark_says_in_every_exif_orientation(inside: list[Pasted]) -> None:
    orientations: Counter[int] = Counter()
    for each in inside:
        photo = upright(each.photo)
        assert photo.size == PHOTO
        offset = each.side * 0.4
        for dx, dy in ((0, 0), (offset, 0), (-offset, 0), (0, offset), (0, -offset)):
            assert is_near(photo.getpixel((round(each.x + dx), round(each.y + dy))), RED), (each, dx, dy)
        with Image.open(each.photo) as image:
            orientations[image.getexif()[0x0112]] += 1
    assert orientations == dict.fromkeys(range(1, 9), FACES_PER_PHOTO)


def test_the_patch_alone_has_the_size_of_the_pasted_crop(inside: list[Pasted]) -> None:
    for each in inside:
        with Image.open(each.patch) as patch:
            assert patch.size == (each.side, each.side) and each.side in SIZES


def test_the_same_seed_gives_the_same_photos(tmp_path: Path, crops: list[Example]) -> None:
    first, second, other = (
        compose_in(tmp_path / str(number), crops[: 2 * FACES_PER_PHOTO], seed=seed)
        for number, seed in enumerate((1, 1, 2))
    )
    assert [each.photo.read_bytes() for each in first] == [each.photo.read_bytes() for each in second]
    assert [(each.x, each.side) for each in first] == [(each.x, each.side) for each in second]
    assert [(each.x, each.side) for each in first] != [(each.x, each.side) for each in other]


def test_crops_at_a_border_are_cut_off_there(tmp_path: Path, crops: list[Example], inside: list[Pasted]) -> None:
    for each in compose_in(tmp_path / "photos", crops, at_border=True):
        distance = min(each.x, PHOTO[0] - each.x, each.y, PHOTO[1] - each.y)
        assert 0.3 * each.side <= distance <= 0.45 * each.side
        assert is_near(upright(each.photo).getpixel((round(each.x), round(each.y))), RED)
    assert all(min(each.x, PHOTO[0] - each.x) > each.side / 2 for each in inside)


def test_a_crop_is_turned_clockwise_and_fades_into_the_background() -> None:
    crop = Image.new("RGB", (200, 200), BLUE)
    crop.paste(RED, (0, 0, 100, 200))  # the left half
    photo = Image.new("RGB", (600, 600), GREY)
    paste(photo, crop, 200, 300.0, 300.0, 90.0)
    assert is_near(photo.getpixel((300, 230)), RED) and is_near(photo.getpixel((300, 370)), BLUE)
    assert photo.getpixel((300, 100)) == GREY
    edge = np.asarray(photo, np.int16)[300 - 150 : 300, 300]
    assert np.abs(np.diff(edge, axis=0)).max() < 30, "a hard edge is a frame that a detector could learn to find"


def test_each_pasted_face_takes_the_nearest_found_face_and_the_rest_is_unmatched() -> None:
    near, nearer, elsewhere = face(620, 450), face(605, 450), face(100, 100)
    found, unmatched = match([pasted()], {"a.jpg": Prediction("a.jpg", (near, nearer, elsewhere))})
    assert [each.face for each in found] == [nearer] and unmatched == 2


def test_a_found_face_is_counted_once() -> None:
    found, unmatched = match([pasted(), pasted(x=610)], {"a.jpg": Prediction("a.jpg", (face(605, 450),))})
    assert [each.face is not None for each in found] == [True, False] and unmatched == 0


@pytest.mark.parametrize("other", [face(640, 450), face(600, 490), face(600, 450, 45), face(600, 450, 210)])
def test_a_face_at_another_place_or_of_another_size_is_no_match(other: Face) -> None:
    found, unmatched = match([pasted()], {"a.jpg": Prediction("a.jpg", (other,))})
    assert found[0].face is None and unmatched == 1


def test_faces_of_other_photos_and_unreadable_photos_are_no_match() -> None:
    predictions: dict[str | None, Prediction] = {
        "a.jpg": Prediction("a.jpg", error="damaged"),
        "b.jpg": Prediction("b.jpg", (face(600, 450),)),
    }
    found, unmatched = match([pasted()], predictions)
    assert found[0].face is None and unmatched == 1


def test_recall_is_by_group_and_sizes_are_in_the_order_of_numbers() -> None:
    hit = face(600, 450)
    found = [Found(pasted(side=side), hit if side > 80 else None) for side in (200, 40, 120, 120, 80)]
    table = recall_table(found, lambda each: str(each.pasted.side))
    assert list(table.items()) == [("40", (0.0, 1)), ("80", (0.0, 1)), ("120", (1.0, 2)), ("200", (1.0, 1))]
    assert recall_of_large(found) == pytest.approx(3 / 4)


def figures(
    *, recall: float = 0.99, unmatched: float = 0.0, black: float = 0.98, lost: float = 1.0
) -> dict[str, object]:
    each = {
        "recall by size": {str(size): (recall if size >= 80 else 0.3, 10) for size in SIZES},
        "recall by race": {"Black": (black, 10), "White": (0.99, 10)},
        "unmatched per photo": unmatched,
        "accuracy": {"gender": (90.0, 90.0 - lost, lost)},
    }
    return {"640": each, "960": each}


def test_limits_that_hold_give_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_limits(figures()) == 0
    assert "FAILS" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (figures(recall=0.94), "recall from 80 px"),
        (figures(unmatched=0.06), "other faces per photo"),
        (figures(black=0.93), "gap between perceived races"),
        (figures(lost=1.6), "perceived gender loses"),
    ],
)
def test_a_limit_that_fails_gives_exit_code_1(
    broken: dict[str, object], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_limits(broken) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILS")]
    assert failed and all(text in line for line in failed)


def test_the_picture_names_every_group_and_is_the_same_each_time(tmp_path: Path) -> None:
    recall = {race: {"40": (0.3, 10), "80": (0.9, 10)} for race in ("Black", "White")}
    draw_chart(recall, tmp_path / "1.svg")
    draw_chart(recall, tmp_path / "2.svg")
    drawing = (tmp_path / "1.svg").read_text()
    assert "Black" in drawing and "White" in drawing and "perceived race" in drawing
    assert drawing == (tmp_path / "2.svg").read_text()
