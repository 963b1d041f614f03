"""Predictions, and how they are written: as nested documents, flat rows and data frames."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from democlass.boxes import Box
from democlass.flat import columns, from_rows, to_frame, to_rows
from democlass.nested import from_document, to_document
from democlass.results import Face, Outcome, Prediction

GENDER = Outcome.choose({"Female": 0.92, "Male": 0.08})
RACE = Outcome.choose(
    {"Asian": 0.15, "Black": 0.05, "Indian": 0.70, "Latino_Hispanic": 0.05, "Middle_Eastern": 0.03, "White": 0.02}
)
OK = Prediction.of_image("a.jpg", {"gender": GENDER, "race": RACE})
ERROR = Prediction("b.jpg", error="truncated: copy it again")


def test_confidence_is_the_probability_of_the_chosen_label() -> None:
    assert (RACE.label, RACE.confidence) == ("Indian", 0.70)


def test_below_the_minimum_confidence_the_label_is_uncertain_and_the_probabilities_stay() -> None:
    uncertain = Outcome.choose({"Female": 0.55, "Male": 0.45}, min_confidence=0.6)
    assert uncertain == Outcome("uncertain", {"Female": 0.55, "Male": 0.45})
    assert uncertain.confidence == 0.55
    assert Outcome.choose({"Female": 0.6, "Male": 0.4}, min_confidence=0.6).label == "Female"


def test_a_document_is_nested() -> None:
    assert to_document(OK) == {
        "path": "a.jpg",
        "status": "ok",
        "gender": "Female",
        "gender_probabilities": {"Female": 0.92, "Male": 0.08},
        "race": "Indian",
        "race_probabilities": dict(RACE.probabilities),
    }
    assert list(to_document(OK)) == ["path", "status", "gender", "gender_probabilities", "race", "race_probabilities"]
    assert "race" not in to_document(OK, labels=False)
    assert to_document(ERROR) == {"path": "b.jpg", "status": "error", "error": "truncated: copy it again"}


def test_a_row_is_flat() -> None:
    assert columns() == [
        "path",
        "status",
        "error",
        "gender",
        "gender_confidence",
        "race",
        "race_confidence",
        "gender_Female",
        "gender_Male",
        "race_Asian",
        "race_Black",
        "race_Indian",
        "race_Latino_Hispanic",
        "race_Middle_Eastern",
        "race_White",
    ]
    (row,) = to_rows(OK)
    assert (row["race"], row["race_confidence"], row["race_White"]) == ("Indian", 0.70, 0.02)
    assert to_rows(ERROR) == [{"path": "b.jpg", "status": "error", "error": "truncated: copy it again"}]


def test_the_reason_is_the_part_of_the_error_before_the_colon() -> None:
    assert (ERROR.reason, OK.reason) == ("truncated", None)


def predictions() -> st.SearchStrategy[Prediction]:
    def outcome(labels: list[str]) -> st.SearchStrategy[Outcome]:
        values = st.lists(st.floats(0, 1, width=32), min_size=len(labels), max_size=len(labels))
        return values.map(lambda drawn: Outcome.choose(dict(zip(labels, drawn, strict=True)), 0.5))

    outcomes = st.fixed_dictionaries({"gender": outcome(["Female", "Male"]), "race": outcome(list(RACE.probabilities))})
    paths = st.binary(min_size=1).map(os.fsdecode)
    ok = st.builds(Prediction.of_image, paths, outcomes)
    return ok | st.builds(Prediction, paths, st.just(()), st.text(min_size=1))


@given(predictions())
def test_documents_and_rows_can_be_read_back(prediction: Prediction) -> None:
    assert from_document(to_document(prediction, decimals=None)) == prediction
    assert list(from_rows(to_rows(prediction))) == [prediction]


LEFT = Face({"gender": GENDER, "race": RACE}, Box(1.0, 2.5, 30.0, 40.0, 5.0), 0.75)
GROUP = Prediction("group.jpg", (LEFT, Face(LEFT.outcomes, Box(50.0, 2.0, 31.0, 41.0), 0.5)))


@pytest.mark.parametrize("faces", [(), (LEFT,), GROUP.faces])
def test_json_keeps_every_face_with_its_box_and_score(faces: tuple[Face, ...]) -> None:
    prediction = Prediction("group.jpg", faces)
    document = json.loads(json.dumps(to_document(prediction, decimals=None)))
    assert len(document["faces"]) == len(faces)
    assert from_document(document) == prediction


def test_there_is_one_flat_row_for_each_face() -> None:
    assert [row["path"] for row in to_rows(GROUP)] == ["group.jpg", "group.jpg"]
    assert all(row["race"] == "Indian" for row in to_rows(GROUP))
    assert len(to_rows(Prediction("landscape.jpg"))) == 1


def test_outcomes_are_those_of_the_only_face() -> None:
    assert OK.outcomes is OK.faces[0].outcomes
    assert ERROR.outcomes == {}
    with pytest.raises(ValueError, match=r"group.jpg has 2 faces"):
        _ = GROUP.outcomes


def test_rows_of_version_0_1_0_without_labels_get_the_most_probable_ones() -> None:
    assert from_document(to_document(OK, labels=False)) == OK


@pytest.mark.parametrize("document", [{}, {"path": "a", "status": "unknown"}, {"path": "a", "status": "ok"}])
def test_an_invalid_document_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        from_document(document)


def test_a_frame_has_one_row_for_each_prediction_and_all_columns() -> None:
    frame = to_frame([OK, ERROR])
    assert list(frame.columns) == columns()
    assert list(frame["path"]) == ["a.jpg", "b.jpg"]
    assert frame["race_Indian"][0] == 0.70 and math.isnan(frame["race_Indian"][1])


@pytest.mark.parametrize("predictions", [[1], "a.jpg", [OK, {"path": "a.jpg"}]])
def test_a_frame_of_anything_but_predictions_is_refused(predictions: Any) -> None:
    with pytest.raises(TypeError, match="to_frame takes predictions, not"):
        to_frame(predictions)


def test_a_frame_has_path_bytes_if_a_name_is_not_utf_8() -> None:
    frame = to_frame([OK, Prediction(os.fsdecode(b"\xff.jpg"), error="x: y")])
    assert list(frame["path"]) == ["a.jpg", "\\xff.jpg"]
    assert frame["path_bytes"][1] == b"\xff.jpg".hex()
