"""The output formats: what each one contains, and that it can be read back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import REPOSITORY
from democlass.errors import MissingExtraError, UsageError
from democlass.flat import columns
from democlass.output.formats import FORMATS, WriterOptions, format_of, require
from democlass.results import Outcome, Prediction
from predicting import ERROR, GENDER, GROUP, NAMES, NO_FACE, ONLY_SMALL, OUTCOMES, PHOTOS, RACE, photos
from predicting import WHOLE as OK

FACES = WriterOptions(faces=True)


def write(format_name: str, predictions: list[Prediction], options: WriterOptions = WriterOptions()) -> bytes:
    stream = io.BytesIO()
    writer = FORMATS[format_name].writer(stream, options)
    for prediction in predictions:
        writer.write(prediction)
    writer.close()
    return stream.getvalue()


def test_csv_has_a_header_and_one_row_for_each_image() -> None:
    header, ok, error = write("csv", [OK, ERROR]).decode().splitlines()
    assert header == ",".join(columns())
    assert ok == (
        "a.jpg,ok,,Female,0.920000,Indian,0.700000,0.920000,0.080000,"
        "0.150000,0.050000,0.700000,0.050000,0.030000,0.020000"
    )
    assert error == "b.jpg,error,truncated: copy it again" + "," * 12


def test_json_is_one_array_and_json_lines_has_one_object_per_line() -> None:
    rows = [
        {
            "path": "a.jpg",
            "status": "ok",
            "gender": "Female",
            "gender_probabilities": dict(GENDER.probabilities),
            "race": "Indian",
            "race_probabilities": dict(RACE.probabilities),
        },
        {"path": "b.jpg", "status": "error", "error": "truncated: copy it again"},
    ]
    assert json.loads(write("json", [OK, ERROR])) == rows
    assert [json.loads(line) for line in write("jsonl", [OK, ERROR]).splitlines()] == rows


def test_json_has_the_label_even_if_it_is_uncertain() -> None:
    uncertain = Prediction.of_image("a.jpg", {**OUTCOMES, "gender": Outcome("uncertain", GENDER.probabilities)})
    row = json.loads(write("jsonl", [uncertain]))
    assert (row["gender"], row["race"]) == ("uncertain", "Indian")


def test_the_examples_in_the_documents_match_the_output() -> None:
    ok, error = re.findall(r'^{"path".*$', (REPOSITORY / "docs" / "formats.md").read_text(), re.MULTILINE)
    assert ok in (REPOSITORY / "README.md").read_text()
    assert ok == write("jsonl", [OK]).decode().strip()
    assert json.loads(error).keys() == json.loads(write("jsonl", [ERROR])).keys()


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_without_rows_is_valid(format_name: str) -> None:
    content = write(format_name, [])
    assert list(FORMATS[format_name].read(io.BytesIO(content), WriterOptions().tasks)) == []


def test_text_formats_have_six_decimals() -> None:
    third = Prediction.of_image("a.jpg", {**OUTCOMES, "gender": Outcome("Male", {"Female": 1 / 3, "Male": 2 / 3})})
    assert b"0.333333,0.666667" in write("csv", [third])
    assert b'{"Female": 0.333333, "Male": 0.666667}' in write("jsonl", [third])


def test_parquet_has_typed_columns() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(write("parquet", [OK, ERROR])))
    assert table.column_names == columns()
    assert [str(kind) for kind in table.schema.types] == ["string"] * 4 + ["float", "string"] + ["float"] * 9
    assert table["status"].to_pylist() == ["ok", "error"]
    assert table["race_White"].to_pylist() == [pytest.approx(0.02), None]


@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=40, deadline=None)
@given(names=st.lists(NAMES, max_size=4))
def test_every_name_is_read_back_unchanged(format_name: str, names: list[str]) -> None:
    predictions = [Prediction(name, error="empty file: copy it again") for name in names]
    content = write(format_name, predictions, WriterOptions(path_bytes=True))
    assert list(FORMATS[format_name].read(io.BytesIO(content), WriterOptions().tasks)) == predictions


@pytest.mark.parametrize("format_name", [name for name, known in FORMATS.items() if known.text])
@settings(max_examples=40, deadline=None)
@given(name=NAMES)
def test_text_is_valid_utf_8(format_name: str, name: str) -> None:
    write(format_name, [Prediction.of_image(name, OUTCOMES)], WriterOptions(path_bytes=True)).decode()


def read(format_name: str, content: bytes) -> list[Prediction]:
    return list(FORMATS[format_name].read(io.BytesIO(content), WriterOptions().tasks))


def test_csv_has_a_row_for_each_face_with_short_numbers() -> None:
    header, left, small, right, only_small, no_face, error = write("csv", list(PHOTOS), FACES).decode().splitlines()
    assert header == ",".join(columns(faces=True))
    assert left.startswith("group.jpg,0,-1.0,2.5,30.0,40.0,5.0,0.750000,ok,,Female,0.920000,Indian,")
    assert small == "group.jpg,1,90.25,8.0,20.0,20.0,0.0,0.375000,too_small" + "," * 13
    assert right.startswith("group.jpg,2,50.0,2.0,31.0,41.0,0.0,0.500000,ok,,Female")
    assert only_small == "small.jpg,0,90.25,8.0,20.0,20.0,0.0,0.375000,too_small" + "," * 13
    assert no_face == "landscape.jpg,,,,,,,,no_face" + "," * 13
    assert error == "b.jpg,,,,,,,,error,truncated: copy it again" + "," * 12


def test_json_has_a_list_of_faces() -> None:
    group, small, no_face, error = json.loads(write("json", list(PHOTOS), FACES))
    assert [face["status"] for face in group["faces"]] == ["ok", "too_small", "ok"]
    assert (group["faces"][0]["x"], group["faces"][0]["detection_score"]) == (-1.0, 0.75)
    assert (small["status"], len(small["faces"])) == ("too_small", 1)
    assert no_face == {"path": "landscape.jpg", "status": "no_face", "faces": []}
    assert error == {"path": "b.jpg", "status": "error", "error": "truncated: copy it again"}


def test_parquet_has_typed_columns_of_faces() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(write("parquet", list(PHOTOS), FACES)))
    assert table.column_names == columns(faces=True)
    kinds = [str(kind) for kind in table.schema.types]
    assert kinds == ["string", "int32", *["double"] * 5, "float", *["string"] * 3, "float", "string", *["float"] * 9]
    assert table["face"].to_pylist() == [0, 1, 2, 0, None, None]
    assert table["x"].to_pylist() == [-1.0, 90.25, 50.0, 90.25, None, None]


@pytest.mark.parametrize("empty", [[NO_FACE], [ERROR, ERROR], [NO_FACE, ONLY_SMALL]])
def test_parquet_columns_without_a_value_keep_their_types(empty: list[Prediction]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    content = write("parquet", empty, FACES)
    expected = parquet.read_schema(io.BytesIO(write("parquet", list(PHOTOS), FACES)))
    assert parquet.read_schema(io.BytesIO(content)).equals(expected)
    assert read("parquet", content) == empty


@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(predictions=st.lists(photos, max_size=6))
def test_every_face_is_read_back_unchanged_also_next_to_inputs_with_the_same_path(
    format_name: str, predictions: list[Prediction]
) -> None:
    content = write(format_name, predictions, WriterOptions(faces=True, path_bytes=True))
    assert read(format_name, content) == predictions
    if FORMATS[format_name].text:
        assert write(format_name, read(format_name, content), WriterOptions(faces=True, path_bytes=True)) == content


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("twice", [*PHOTOS, OK], ids=lambda each: str(each.path))
def test_an_input_named_twice_is_read_back_as_two(format_name: str, twice: Prediction) -> None:
    once = read(format_name, write(format_name, [twice], FACES))
    assert len(once) == 1 and once[0].path == twice.path
    assert read(format_name, write(format_name, [twice, twice], FACES)) == once * 2


def test_faces_of_one_image_may_be_in_two_row_groups_of_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("democlass.output.formats._ROWS_AT_ONCE", 2)
    assert (
        read("parquet", write("parquet", [GROUP] * 5, FACES)) == read("parquet", write("parquet", [GROUP], FACES)) * 5
    )


@pytest.mark.parametrize("format_name", [name for name, known in FORMATS.items() if known.text])
def test_the_rows_of_an_image_are_written_in_one_call(format_name: str) -> None:
    calls = list[bytes]()

    class Stream(io.BytesIO):
        def write(self, content: object) -> int:
            calls.append(bytes(content))  # type: ignore[call-overload]
            return len(calls[-1])

    writer = FORMATS[format_name].writer(Stream(), FACES)
    before = len(calls)
    writer.write(GROUP)
    assert len(calls) == before + 1


def test_path_bytes_is_written_only_for_names_that_are_not_utf_8() -> None:
    not_utf_8 = Prediction.of_image(os.fsdecode(b"\xff.jpg"), OUTCOMES)
    plain, raw = (json.loads(line) for line in write("jsonl", [OK, not_utf_8]).splitlines())
    assert "path_bytes" not in plain
    assert (raw["path"], raw["path_bytes"]) == ("\\xff.jpg", b"\xff.jpg".hex())
    rows = list(csv.DictReader(io.StringIO(write("csv", [OK, not_utf_8], WriterOptions(path_bytes=True)).decode())))
    assert [row["path_bytes"] for row in rows] == ["", b"\xff.jpg".hex()]


def test_control_characters_in_names_are_escaped() -> None:
    content = write("csv", [Prediction.of_image("\x1b[2J\r\n\x9b.jpg", OUTCOMES)], WriterOptions(terminal=True))
    assert b"\\x1b[2J\\r\\n\\x9b.jpg,ok" in content
    assert "\x1b" not in write("jsonl", [Prediction.of_image("\x1b[2J\x9b.jpg", OUTCOMES)]).decode()
    assert "\x9b" not in write("json", [Prediction.of_image("\x1b[2J\x9b.jpg", OUTCOMES)]).decode()


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.csv", "csv"), ("a.JSON", "json"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("a.b.parquet", "parquet")],
)
def test_the_suffix_selects_the_format(file: str, name: str) -> None:
    assert format_of(Path(file)).name == name


@pytest.mark.parametrize("file", ["results", "results.txt", "results.xlsx"])
def test_the_error_for_an_unknown_suffix_lists_the_known_ones(file: str) -> None:
    with pytest.raises(UsageError, match=r"\.csv, \.json, \.jsonl.*--format"):
        format_of(Path(file))


def test_the_error_for_a_missing_extra_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'democlass\[parquet\]'"):
        require(FORMATS["parquet"])
