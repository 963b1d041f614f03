"""Where labels of faces are written: inside the image, and on no face if possible."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from democlass.images.label_places import Area, Size, place_labels

IMAGE = (1000.0, 800.0)
LABEL = (120.0, 40.0)
CAPTION = (400.0, 20.0)


def place(faces: list[Area], image: Size = IMAGE, label: Size = LABEL) -> list[Area]:
    """The places of a label of the first face and of the caption; the other faces have no label."""
    places, caption = place_labels(image, faces, [[label], *([[]] * (len(faces) - 1))], CAPTION)
    assert places[1:] == [None] * (len(faces) - 1)
    assert places[0] is not None and places[0].version == 0
    return [places[0].area, caption]


def square(left: float, top: float, side: float = 100) -> Area:
    return Area(left, top, left + side, top + side)


FACE = square(400, 300)


def test_a_label_is_below_its_face_at_the_left_if_nothing_is_there() -> None:
    assert place([FACE])[0] == (400, 400, 520, 440)


def test_it_is_above_if_a_face_below_has_the_same_width() -> None:
    assert place([FACE, Area(300, 410, 700, 500)])[0] == (400, 260, 520, 300)


def test_it_moves_along_the_face_before_it_changes_the_side() -> None:
    assert place([FACE, square(480, 410)])[0] == (360, 400, 480, 440)


def test_it_is_beside_a_face_that_has_others_above_and_below() -> None:
    assert place([FACE, Area(200, 190, 700, 290), Area(200, 410, 700, 510)])[0] == (500, 300, 620, 340)


def test_it_covers_its_own_face_rather_than_another_one() -> None:
    ring = [Area(200, 150, 700, 300), Area(200, 400, 700, 550), Area(200, 300, 400, 400), Area(500, 300, 700, 400)]
    (label, _) = place([FACE, *ring], label=(90, 40))
    assert label == (400, 360, 490, 400) and not any(label.overlaps(other) for other in ring)


@pytest.mark.parametrize(
    "face",
    [square(-50, -50), square(950, 750), square(-50, 750), square(950, -50), square(2000, 2000), square(5, 5, 0.2)],
)
def test_labels_of_faces_at_and_beyond_borders_are_inside_the_image(face: Area) -> None:
    for each in place([face]):
        assert 0 <= each.left < each.right <= IMAGE[0] and 0 <= each.top < each.bottom <= IMAGE[1]


def test_a_label_that_is_larger_than_the_image_starts_at_its_corner() -> None:
    assert place([square(10, 10)], image=(50.0, 30.0))[0] == (0, 0, *LABEL)


def test_the_caption_is_at_the_bottom_unless_a_face_is_there() -> None:
    assert place([FACE])[-1] == (0, 780, 400, 800)
    assert place([Area(100, 700, 300, 790)])[-1] == (300, 780, 700, 800)
    assert place([Area(100, 700, 900, 790)])[-1] == (0, 0, 400, 20)


def test_faces_without_a_label_have_no_place() -> None:
    places, _ = place_labels(IMAGE, [FACE, square(0, 0)], [[], [LABEL]], CAPTION)
    assert places[0] is None and places[1] is not None


def test_the_short_version_is_used_where_the_long_one_would_cover_a_face() -> None:
    ring = [Area(200, 150, 700, 295), Area(200, 420, 700, 550), Area(200, 295, 395, 420), Area(505, 295, 700, 420)]
    labels = [[LABEL, (50.0, 20.0)], *([[]] * len(ring))]
    places, _ = place_labels(IMAGE, [FACE, *ring], labels, CAPTION)
    assert places[0] == ((400, 400, 450, 420), 1)


def test_labels_of_a_crowd_cover_neither_faces_nor_each_other() -> None:
    generator = np.random.default_rng(0)
    faces = [
        square(130 * column + generator.uniform(0, 40), 170 * row + generator.uniform(0, 40), 70)
        for row in range(4)
        for column in range(7)
    ]
    places, caption = place_labels(IMAGE, faces, [[(100.0, 36.0)]] * len(faces), CAPTION)
    texts = [caption, *(each.area for each in places if each is not None)]
    assert len(texts) == len(faces) + 1
    assert not any(text.overlaps(face) for text in texts for face in faces)
    assert not any(one.overlaps(other) for one, other in combinations(texts, 2))


def test_a_label_touches_its_face() -> None:
    faces = [square(150 * number, 300) for number in range(6)]
    places, _ = place_labels(IMAGE, faces, [[(180.0, 40.0)]] * 6, CAPTION)
    for face, label in zip(faces, places, strict=True):
        assert label is not None and label.area.grown(1, 1).overlaps(face)
