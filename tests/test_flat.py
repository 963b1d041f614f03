"""Predictions as flat rows and data frames: what is written, and that it can be read back."""

from __future__ import annotations

import math
import os
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.flat import RowError, columns, from_rows, needs_path_bytes, to_frame, to_rows
from democlass.results import Prediction
from predicting import ERROR, GROUP, LEFT, NO_FACE, ONLY_SMALL, PHOTOS, RIGHT, WHOLE, photos, whole_images

FACE_COLUMNS = ["face", "x", "y", "width", "height", "rotation", "detection_score"]


def rows_of(*predictions: Prediction) -> list[dict[str, Any]]:
    return [row for prediction in predictions for row in to_rows(prediction)]


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
    (row,) = to_rows(WHOLE)
    assert (row["race"], row["race_confidence"], row["race_White"]) == ("Indian", 0.70, 0.02)
    assert to_rows(ERROR) == [{"path": "b.jpg", "status": "error", "error": "truncated: copy it again"}]


def test_the_columns_of_faces_follow_the_path() -> None:
    assert columns(faces=True, path_bytes=True) == ["path", *FACE_COLUMNS, *columns()[1:], "path_bytes"]


def test_there_is_one_row_for_each_face() -> None:
    left, small, right = to_rows(GROUP)
    assert [left[name] for name in FACE_COLUMNS] == [0, -1.0, 2.5, 30.0, 40.0, 5.0, 0.75]
    assert [each["path"] for each in (left, small, right)] == ["group.jpg"] * 3
    assert [(each["face"], each["status"]) for each in (left, small, right)] == [(0, "ok"), (1, "too_small"), (2, "ok")]
    assert left["race"] == right["race"] == "Indian" and "race" not in small


def test_an_image_without_a_face_has_one_row() -> None:
    assert to_rows(NO_FACE) == [{"path": "landscape.jpg", "status": "no_face"}]


def test_a_row_has_only_columns_of_the_table() -> None:
    for row in rows_of(*PHOTOS):
        assert row.keys() <= set(columns(faces=True))
    for row in rows_of(WHOLE, ERROR):
        assert row.keys() <= set(columns())


@settings(deadline=None)
@given(st.lists(photos, max_size=6) | st.lists(whole_images, max_size=6))
def test_rows_can_be_read_back_also_of_inputs_with_one_path_next_to_each_other(predictions: list[Prediction]) -> None:
    assert list(from_rows(rows_of(*predictions))) == predictions


@pytest.mark.parametrize("twice", [GROUP, ONLY_SMALL, NO_FACE, WHOLE, ERROR])
def test_an_input_named_twice_in_a_row_stays_two_predictions(twice: Prediction) -> None:
    assert list(from_rows(rows_of(twice, twice))) == [twice, twice]


def test_names_that_look_equal_stay_apart() -> None:
    raw, text = (Prediction(name, (LEFT, RIGHT)) for name in (os.fsdecode(b"\xff.jpg"), "\\xff.jpg"))
    assert to_rows(raw)[0]["path"] == to_rows(text)[0]["path"]
    assert list(from_rows(rows_of(raw, text, raw))) == [raw, text, raw]
    with pytest.raises(RowError, match="row 2: face 1 is not in its place"):
        list(from_rows([to_rows(raw)[0], to_rows(text)[1]]))


@pytest.mark.parametrize("write", [float, str, lambda number: str(float(number))], ids=["float", "text", "1.0"])
def test_numbers_of_faces_that_pandas_wrote_are_read(write: Any) -> None:
    rows = [
        {**row, "face": write(row["face"])} if "face" in row else {**row, "face": math.nan} for row in rows_of(*PHOTOS)
    ]
    assert list(from_rows(rows)) == list(PHOTOS)


def changed(index: int, **cells: Any) -> list[dict[str, Any]]:
    rows = rows_of(NO_FACE, GROUP, ERROR)
    rows[index] = rows[index] | cells
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(0, status="fine"), "row 1: a status of 'fine' in a row without a face"),
        (changed(0, status="too_small"), "row 1: a status of 'too_small' in a row without a face"),
        (changed(2, status="error"), "row 3: a status of 'error' in the row of a face"),
        (changed(2, status="no_face"), "row 3: a status of 'no_face' in the row of a face"),
        (changed(2, face=""), "row 3: a status of 'too_small' in a row without a face"),
        (changed(2, face=2), "row 3: face 2 is not in its place: keep all rows of an image together, from face 0"),
        (changed(1, face=1), "row 2: face 1 is not in its place"),
        (changed(2, path="other.jpg"), "row 3: face 1 is not in its place"),
        (changed(1, face="x"), "row 2: 'x' is not the number of a face"),
        (changed(1, face=-1), "row 2: -1 is not the number of a face"),
        (changed(1, face="0.5"), "row 2: '0.5' is not the number of a face"),
        (changed(1, face="inf"), "row 2: 'inf' is not the number of a face"),
        (changed(3, width=""), "row 4: width is missing"),
        (changed(3, detection_score=None), "row 4: detection_score is missing"),
        (changed(4, path_bytes="xyz"), "row 5: non-hexadecimal number"),
    ],
    ids=range(15),
)
def test_a_row_that_is_no_prediction_is_refused_with_its_number(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RowError) as refused:
        list(from_rows(rows))
    assert str(refused.value).startswith(message)


def test_the_predictions_before_a_wrong_row_are_read() -> None:
    read = from_rows(changed(4, status="fine"))
    assert [next(read), next(read)] == [NO_FACE, GROUP]
    with pytest.raises(RowError, match="row 5: "):
        next(read)


def test_a_frame_has_one_row_for_each_prediction_and_all_columns() -> None:
    frame = to_frame([WHOLE, ERROR])
    assert list(frame.columns) == columns()
    assert list(frame["path"]) == ["a.jpg", "b.jpg"]
    assert frame["race_Indian"][0] == 0.70 and math.isnan(frame["race_Indian"][1])


def test_a_frame_has_a_row_for_each_face_with_integer_numbers() -> None:
    frame = to_frame(PHOTOS)
    assert list(frame.columns) == columns(faces=True)
    assert frame["face"].dtype == "Int64" and frame["face"].isna().tolist() == [False] * 4 + [True] * 2
    assert frame["face"].dropna().tolist() == [0, 1, 2, 0]
    assert list(frame["status"]) == ["ok", "too_small", "ok", "too_small", "no_face", "error"]
    assert frame["width"].dtype == float
    assert "face" in to_frame([NO_FACE]) and "face" not in to_frame([]) and "face" not in to_frame([ERROR])


@pytest.mark.parametrize("predictions", [[1], "a.jpg", [WHOLE, {"path": "a.jpg"}]])
def test_a_frame_of_anything_but_predictions_is_refused(predictions: Any) -> None:
    with pytest.raises(TypeError, match="to_frame takes predictions, not"):
        to_frame(predictions)


def test_a_frame_has_path_bytes_if_a_name_is_not_utf_8() -> None:
    frame = to_frame([WHOLE, Prediction(os.fsdecode(b"\xff.jpg"), error="x: y")])
    assert list(frame["path"]) == ["a.jpg", "\\xff.jpg"]
    assert frame["path_bytes"][1] == b"\xff.jpg".hex()
    assert needs_path_bytes(["a", os.fsdecode(b"\xff")]) and not needs_path_bytes(["a", "é"])


def test_a_frame_written_by_pandas_can_be_read_back(tmp_path: Any) -> None:
    file = tmp_path / "r.csv"
    to_frame(PHOTOS).to_csv(file, index=False)
    table = pd.read_csv(file, keep_default_na=False, dtype=str)
    assert list(from_rows(table.to_dict("records"))) == list(PHOTOS)  # type: ignore[arg-type]
