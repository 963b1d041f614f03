"""Which of the found faces are the pasted ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from face_photos import Pasted

from democlass.results import Face, Outcome, Prediction

_MAX_DISTANCE = 0.35
"""Distance of the centres, in sides of the pasted crop."""

_MAX_RATIO = 2.0
"""Of the sides, in either direction."""


@dataclass
class Found:
    """A pasted face, the face that was found there or None, and the outcomes of its crop given directly."""

    pasted: Pasted
    face: Face | None = None
    direct: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The outcomes of the found face."""
        return {} if self.face is None else self.face.outcomes


def match(pasted: Sequence[Pasted], predictions: Mapping[str | None, Prediction]) -> tuple[list[Found], int]:
    """Return each pasted face with the found face nearest to it, and the number of found faces that remain."""
    remaining = {path: list(prediction.faces) for path, prediction in predictions.items()}
    found = []
    for each in pasted:
        faces = remaining.get(str(each.photo), [])
        near = [face for face in faces if _is_match(each, face)]
        best = min(near, key=lambda face: _distance(each, face), default=None)
        if best is not None:
            faces.remove(best)
        found.append(Found(each, best))
    return found, sum(map(len, remaining.values()))


def recall_table(found: Sequence[Found], group_of: Callable[[Found], str]) -> dict[str, tuple[float, int]]:
    """Return the share of pasted faces that were found, and their number, by group."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for each in found:
        groups[group_of(each)].append(each.face is not None)
    return {name: (sum(flags) / len(flags), len(flags)) for name, flags in sorted(groups.items(), key=_order)}


def _order(item: tuple[str, object]) -> tuple[int, str]:
    return (int(item[0]) if item[0].isdigit() else 0, item[0])


def _distance(pasted: Pasted, face: Face) -> float:
    assert face.box is not None
    x, y = face.box.centre
    return math.hypot(x - pasted.x, y - pasted.y)


def _is_match(pasted: Pasted, face: Face) -> bool:
    assert face.box is not None
    ratio = face.box.width / pasted.side
    return _distance(pasted, face) < _MAX_DISTANCE * pasted.side and 1 / _MAX_RATIO < ratio < _MAX_RATIO
