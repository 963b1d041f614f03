"""Predictions as documents: what is written, and that it can be read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from democlass.nested import from_document, to_document
from democlass.results import Face, Outcome, Prediction
from predicting import ERROR, GENDER, GROUP, LEFT, NO_FACE, ONLY_SMALL, OUTCOMES, RACE, WHOLE, photos, whole_images


def test_a_document_is_nested() -> None:
    assert to_document(WHOLE) == {
        "path": "a.jpg",
        "status": "ok",
        "gender": "Female",
        "gender_probabilities": {"Female": 0.92, "Male": 0.08},
        "race": "Indian",
        "race_probabilities": dict(RACE.probabilities),
    }
    assert list(to_document(WHOLE)) == [
        "path",
        "status",
        "gender",
        "gender_probabilities",
        "race",
        "race_probabilities",
    ]
    assert "race" not in to_document(WHOLE, labels=False)
    assert to_document(ERROR) == {"path": "b.jpg", "status": "error", "error": "truncated: copy it again"}


def test_a_document_lists_each_face_with_its_region_and_its_tasks() -> None:
    document = to_document(GROUP)
    assert list(document) == ["path", "status", "faces"]
    left, small, right = document["faces"]
    region = {"x": -1.0, "y": 2.5, "width": 30.0, "height": 40.0, "rotation": 5.0, "detection_score": 0.75}
    tasks = {name: value for name, value in to_document(WHOLE).items() if name not in ("path", "status")}
    assert left == {"face": 0, "status": "ok"} | region | tasks
    assert list(left)[:9] == ["face", "status", *region, "gender"]
    assert list(small) == ["face", "status", *region] and (small["face"], small["status"]) == (1, "too_small")
    assert right["face"] == 2


def test_images_without_a_classified_face_have_a_status_and_no_tasks() -> None:
    assert to_document(NO_FACE) == {"path": "landscape.jpg", "status": "no_face", "faces": []}
    assert to_document(ONLY_SMALL)["status"] == "too_small"


def test_probabilities_and_scores_are_rounded_unless_all_digits_are_asked_for() -> None:
    third = Face({**OUTCOMES, "gender": Outcome("Male", {"Female": 1 / 3, "Male": 2 / 3})}, LEFT.box, 1 / 3)
    (rounded,) = to_document(Prediction("a.jpg", (third,)))["faces"]
    assert (rounded["detection_score"], rounded["gender_probabilities"]["Male"]) == (0.333333, 0.666667)
    (exact,) = to_document(Prediction("a.jpg", (third,)), decimals=None)["faces"]
    assert (exact["detection_score"], exact["gender_probabilities"]["Male"]) == (1 / 3, 2 / 3)


@settings(deadline=None)
@given(whole_images | photos)
def test_documents_can_be_read_back(prediction: Prediction) -> None:
    document = json.loads(json.dumps(to_document(prediction, decimals=None)))
    assert from_document(document) == prediction


def test_rows_of_version_0_1_0_without_labels_get_the_most_probable_ones() -> None:
    assert from_document(to_document(WHOLE, labels=False)) == WHOLE


PROBABILITIES = {
    "gender_probabilities": dict(GENDER.probabilities), "race_probabilities": dict(RACE.probabilities)
}  # fmt: skip
FACE = to_document(GROUP)["faces"][1]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"path": "a", "status": "ok"},
        {"path": "a", "status": "unknown"} | PROBABILITIES,
        {"path": "a", "status": "no_face"} | PROBABILITIES,
        {"path": "a", "status": "too_small"} | PROBABILITIES,
        {"path": "a", "status": "ok", "faces": []},
        {"path": "a", "status": "ok", "faces": [FACE]},
        {"path": "a", "status": "no_face", "faces": [FACE]},
        {"path": "a", "status": "no_face", "faces": None},
        {"path": "a", "status": "no_face", "faces": {"x": 1}},
        {"path": "a", "status": "too_small", "faces": [{**FACE, "status": "error"}]},
        {"path": "a", "status": "too_small", "faces": [{**FACE, "x": "left"}]},
        {"path": "a", "status": "too_small", "faces": [{**FACE, "x": None}]},
        {"path": "a", "status": "too_small", "faces": [{name: FACE[name] for name in FACE if name != "width"}]},
        {"path": "a", "status": "ok", "faces": [{**FACE, "status": "ok"}]},
        {"path": "a", "status": "too_small", "faces": ["a"]},
    ],
    ids=range(16),
)
def test_an_invalid_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_document(document)
