"""Counts of inputs and faces."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.output.tally import Tally
from democlass.results import Prediction
from predicting import ERROR, NO_FACE, ONLY_SMALL, PHOTOS, WHOLE, photos


def tally(*predictions: Prediction, has_detection: bool = False) -> Tally:
    result = Tally(has_detection=has_detection)
    for prediction in predictions:
        result.add(prediction)
    return result


def test_without_face_detection_the_record_is_that_of_version_0_1() -> None:
    written = json.dumps(tally(WHOLE, ERROR, ERROR).as_dict())
    assert written == '{"rows": 3, "classified": 1, "unreadable": {"truncated": 2}}'


def test_inputs_are_counted_by_status_and_faces_by_size() -> None:
    found = tally(*PHOTOS, NO_FACE)
    assert json.dumps(found.as_dict()) == (
        '{"rows": 5, "classified": 1, "no_face": 2, "too_small": 1, "faces": 2, "too_small_faces": 2, '
        '"unreadable": {"truncated": 1}}'
    )
    assert found.labels == Counter({("Female", "Indian"): 2})


def test_with_face_detection_the_record_counts_faces_even_if_there_are_none() -> None:
    assert tally(ERROR, has_detection=True).as_dict()["faces"] == 0
    assert tally(ONLY_SMALL).has_detection and tally(NO_FACE).has_detection
    assert not tally(ERROR).has_detection


@settings(deadline=None)
@given(st.lists(photos))
def test_every_input_has_one_status_and_every_face_is_counted(predictions: list[Prediction]) -> None:
    found = tally(*predictions)
    statuses = Counter(prediction.status for prediction in predictions)
    assert found.rows == len(predictions) == statuses.total()
    assert found.classified == statuses["ok"] and found.without_face == statuses["no_face"]
    assert found.only_small_faces == statuses["too_small"] and found.unreadable.total() == statuses["error"]
    assert found.faces + found.small_faces == sum(len(prediction.faces) for prediction in predictions)
