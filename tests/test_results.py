"""Predictions: outcomes, labels, statuses."""

from __future__ import annotations

import pytest

from democlass.results import Outcome, Prediction
from predicting import ERROR, GROUP, LEFT, NO_FACE, ONLY_SMALL, RACE, SMALL, WHOLE


def test_confidence_is_the_probability_of_the_chosen_label() -> None:
    assert (RACE.label, RACE.confidence) == ("Indian", 0.70)


def test_below_the_minimum_confidence_the_label_is_uncertain_and_the_probabilities_stay() -> None:
    uncertain = Outcome.choose({"Female": 0.55, "Male": 0.45}, min_confidence=0.6)
    assert uncertain == Outcome("uncertain", {"Female": 0.55, "Male": 0.45})
    assert uncertain.confidence == 0.55
    assert Outcome.choose({"Female": 0.6, "Male": 0.4}, min_confidence=0.6).label == "Female"


def test_the_reason_is_the_part_of_the_error_before_the_colon() -> None:
    assert (ERROR.reason, WHOLE.reason, NO_FACE.reason) == ("truncated", None, None)


def test_an_image_is_ok_if_one_of_its_faces_was_classified() -> None:
    statuses = [each.status for each in (WHOLE, GROUP, ONLY_SMALL, NO_FACE, ERROR)]
    assert statuses == ["ok", "ok", "too_small", "no_face", "error"]
    assert [face.status for face in GROUP.faces] == ["ok", "too_small", "ok"]


def test_outcomes_are_those_of_the_only_face() -> None:
    assert WHOLE.outcomes is WHOLE.faces[0].outcomes
    assert ERROR.outcomes == NO_FACE.outcomes == ONLY_SMALL.outcomes == {}
    with pytest.raises(ValueError, match=r"group.jpg has 3 faces: read the outcomes of each from `faces`"):
        _ = GROUP.outcomes


def test_the_text_for_people_is_one_line_with_every_classified_face() -> None:
    assert repr(Prediction("a\n.jpg", (LEFT, SMALL))) == "Prediction('a\\n.jpg', gender=Female 0.92, race=Indian 0.70)"
    assert repr(ONLY_SMALL) == "Prediction('small.jpg', too_small)"
    assert repr(NO_FACE) == "Prediction('landscape.jpg', no_face)"
    assert repr(ERROR) == "Prediction('b.jpg', error='truncated: copy it again')"
