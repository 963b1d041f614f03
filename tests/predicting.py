"""Predictions for tests of rows and documents: examples, and strategies that draw them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import strategies as st

from democlass.boxes import Box
from democlass.results import Face, Outcome, Prediction
from democlass.tasks import TASKS

GENDER = Outcome.choose({"Female": 0.92, "Male": 0.08})
RACE = Outcome.choose(
    {"Asian": 0.15, "Black": 0.05, "Indian": 0.70, "Latino_Hispanic": 0.05, "Middle_Eastern": 0.03, "White": 0.02}
)
OUTCOMES = {"gender": GENDER, "race": RACE}
WHOLE = Prediction.of_image("a.jpg", OUTCOMES)
ERROR = Prediction("b.jpg", error="truncated: copy it again")

LEFT = Face(OUTCOMES, Box(-1.0, 2.5, 30.0, 40.0, 5.0), 0.75)
RIGHT = Face(OUTCOMES, Box(50.0, 2.0, 31.0, 41.0), 0.5)
SMALL = Face({}, Box(90.25, 8.0, 20.0, 20.0), 0.375)
GROUP = Prediction("group.jpg", (LEFT, SMALL, RIGHT))
ONLY_SMALL = Prediction("small.jpg", (SMALL,))
NO_FACE = Prediction("landscape.jpg")
PHOTOS = (GROUP, ONLY_SMALL, NO_FACE, ERROR)

NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)

_HOSTILE_NAMES = (
    "a.jpg",
    "a,b.jpg",
    'a"b.jpg',
    "a\nb.jpg",
    "a\r\nb.jpg",
    "0",
    "\\xff.jpg",
    os.fsdecode(b"\xff.jpg"),
    "é\u2028.jpg",
    "=1+1",
)


def _outcome(labels: Sequence[str]) -> st.SearchStrategy[Outcome]:
    # Multiples of 2**-6: six decimals and float32 hold them exactly.
    values = st.lists(st.integers(0, 64).map(lambda part: part / 64), min_size=len(labels), max_size=len(labels))
    return values.map(lambda drawn: Outcome.choose(dict(zip(labels, drawn, strict=True)), 0.5))


_OUTCOMES = st.tuples(*(_outcome(task.labels) for task in TASKS)).map(
    lambda drawn: {task.name: outcome for task, outcome in zip(TASKS, drawn, strict=True)}  # in the order of the tasks
)
_PLACE = st.floats(-30_000, 30_000)
_SIDE = st.floats(0.01, 30_000)
_BOXES = st.builds(Box, _PLACE, _PLACE, _SIDE, _SIDE, st.floats(-180, 180)).map(Box.rounded)
_FACES = st.builds(Face, _OUTCOMES | st.just({}), _BOXES, st.integers(0, 64).map(lambda part: part / 64))
_ERRORS = st.text(st.characters(codec="utf-8"), min_size=1)
_FEW_NAMES = st.sampled_from(_HOSTILE_NAMES)

whole_images = st.builds(Prediction.of_image, NAMES, _OUTCOMES) | st.builds(Prediction, NAMES, st.just(()), _ERRORS)
"""Predictions without face detection."""

photos = st.builds(Prediction, _FEW_NAMES, st.lists(_FACES, max_size=4).map(tuple)) | st.builds(
    Prediction, _FEW_NAMES, st.just(()), _ERRORS
)
"""Predictions after face detection: with few names, so that inputs of one name follow each other."""
