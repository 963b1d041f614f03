"""Where to write the labels of faces in a picture, so that they cover no other face if possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[float, float]
"""Width and height, in pixels."""


class Area(NamedTuple):
    """An upright rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Area) -> bool:
        """Return whether there is a common area; not if they only touch."""
        return max(self.left, other.left) < min(self.right, other.right) and max(self.top, other.top) < min(
            self.bottom, other.bottom
        )

    def grown(self, x: float, y: float) -> Area:
        """Return the area with `x` pixels more on the left and on the right, and `y` more above and below."""
        return Area(self.left - x, self.top - y, self.right + x, self.bottom + y)


class Place(NamedTuple):
    """The place of a text, and which of its versions is written there."""

    area: Area
    version: int


def place_labels(
    image: Size, faces: Sequence[Area], labels: Sequence[Sequence[Size]], caption: Size
) -> tuple[list[Place | None], Area]:
    """Return the place of the label of each face, and that of the caption.

    `labels` has the sizes of each label's versions, the longest one first; a label without versions has no place. The
    caption is at the bottom or the top of the image. A label touches its face: below it if possible, otherwise above
    it or beside it, moved along that side as far as necessary, otherwise on it. All places are inside the image if they
    fit into it.

    Of each label, the longest version is chosen that covers no other face, no other label and not the caption. If there
    is none, the place is chosen that covers as little as possible of other faces, and then of other texts.
    """
    caption_places = list(_caption_places(image, faces, caption))
    caption_place = caption_places[int(np.argmin(_covered(caption_places, faces)))]
    taken = [caption_place]
    places: list[Place | None] = []
    for number, (face, versions) in enumerate(zip(faces, labels, strict=True)):
        others = [other for index, other in enumerate(faces) if index != number]
        place = _place_label(image, face, versions, others, taken)
        places.append(place)
        if place is not None:
            taken.append(place.area)
    return places, caption_place


def _place_label(
    image: Size, face: Area, versions: Sequence[Size], faces: Sequence[Area], texts: Sequence[Area]
) -> Place | None:
    candidates: list[tuple[tuple[float, float], Place]] = []
    for number, label in enumerate(versions):
        reach = face.grown(*label)
        near_faces = [other for other in faces if reach.overlaps(other)]
        near_texts = [other for other in texts if reach.overlaps(other)]
        places = list(_label_places(image, face, label, [*near_faces, *near_texts]))
        on_faces, on_texts = _covered(places, near_faces), _covered(places, near_texts)
        best = np.lexsort((_covered(places, [face]), on_texts, on_faces))[0]  # by the last key first; it is stable
        covered = float(on_faces[best]), float(on_texts[best])
        if not any(covered):
            return Place(places[best], number)
        candidates.append((covered, Place(places[best], number)))
    return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _covered(places: Sequence[Area], areas: Sequence[Area]) -> NDArray[np.float64]:
    """Return how much of the areas each place covers, in pixels: float64, one value for each place."""
    ones, others = np.array(places).reshape(-1, 1, 4), np.array(areas).reshape(1, -1, 4)
    sides = np.minimum(ones[..., 2:], others[..., 2:]) - np.maximum(ones[..., :2], others[..., :2])
    covered: NDArray[np.float64] = sides.clip(0).prod(2).sum(1)
    return covered


def _label_places(image: Size, face: Area, label: Size, obstacles: Sequence[Area]) -> Iterator[Area]:
    """Yield places at the four sides of a face, the preferred ones first, and then on the face.

    If a side has a free position, then its first one, its last one or one next to an obstacle is free.
    """
    width, height = label
    lefts = _positions(face.left, face.left - width, face.right, width, [(each.left, each.right) for each in obstacles])
    tops = _positions(face.top, face.top - height, face.bottom, height, [(each.top, each.bottom) for each in obstacles])
    for top in (face.bottom, face.top - height):
        yield from (_inside(image, left, top, label) for left in lefts)
    for left in (face.right, face.left - width):
        yield from (_inside(image, left, top, label) for top in tops)
    for top in (face.bottom - height, face.top):
        yield from (_inside(image, left, top, label) for left in lefts)


def _caption_places(image: Size, faces: Sequence[Area], caption: Size) -> Iterator[Area]:
    lefts = _positions(0.0, 0.0, image[0], caption[0], [(face.left, face.right) for face in faces])
    for top in (image[1], 0.0):
        yield from (_inside(image, left, top, caption) for left in lefts)


def _positions(
    preferred: float, lowest: float, highest: float, length: float, obstacles: Iterable[tuple[float, float]]
) -> list[float]:
    """Return starts of a line of this length, from `lowest` to `highest`, those near the preferred one first."""
    starts = {lowest, highest, *(position for start, end in obstacles for position in (start - length, end))}
    between = (start for start in starts if lowest <= start <= highest and start != preferred)
    return [preferred, *sorted(between, key=lambda start: (abs(start - preferred), start))]


def _inside(image: Size, left: float, top: float, label: Size) -> Area:
    """Return the place of a label, moved into the image. A label that is larger than the image starts at its edge."""
    left = max(0.0, min(left, image[0] - label[0]))
    top = max(0.0, min(top, image[1] - label[1]))
    return Area(left, top, left + label[0], top + label[1])
