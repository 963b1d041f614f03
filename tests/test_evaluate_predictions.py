"""Reading results: every format, and a message with row and reason for damaged files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from democlass.errors import UsageError
from democlass.evaluate import tables
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.page import render_page
from democlass.results import Prediction
from evaluating import RACE, one_label, prediction, results

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["r.csv", "r.json", "r.jsonl", "r.parquet"])
def test_every_format_of_results_is_read(name: str, tmp_path: Path) -> None:
    rows = [prediction(str(tmp_path / "a.jpg"), 0.3), Prediction("b.jpg", error="truncated: copy it again")]
    found = evaluate(one_label(tmp_path), results(tmp_path, rows, name))
    assert found["tasks"]["gender"]["calibration"]["brier"] == pytest.approx(0.18, abs=1e-6)
    assert found["tasks"]["race"]["accuracy"]["share"] == 1.0
    assert found["checkpoints"] == {} and found["classified"] == {"date": None, "version": None, "precision": None}


def test_results_need_no_label_columns(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)])
    pd.read_csv(file).drop(columns=["gender", "race", "gender_confidence", "race_confidence"]).to_csv(file, index=False)
    assert evaluate(one_label(tmp_path), file)["tasks"]["race"]["accuracy"]["share"] == 1.0


DOCUMENT = (
    '{"path": "a.jpg", "status": "ok", "gender_probabilities": {"Female": %s, "Male": %s}, "race_probabilities": %s}'
)
RACES = json.dumps(dict.fromkeys(RACE.labels, 1 / 6))


@pytest.mark.parametrize(
    ("content", "message"),
    [*((DOCUMENT % (wrong, 0.5, RACES), f"row 1: {shown} is not a probability of perceived gender: use a")
       for wrong, shown in (("NaN", "nan"), ("Infinity", "inf"), ("-0.1", "-0.1"), ("1.5", "1.5"), ("1e999", "inf"))),
     (DOCUMENT % (0.9, 0.9, RACES), "row 1: the probabilities of perceived gender add up to 1.8, not to 1"),
     (DOCUMENT % (0, 0, RACES), "row 1: the probabilities of perceived gender add up to 0, not to 1"),
     (DOCUMENT % (0.5, 0.5, RACES) + "\n" + DOCUMENT % (0.5, "null", RACES), "row 2: a value is missing"),
     (DOCUMENT % (0.5, 0.5, "{}"), "row 1: it has no Asian"),
     (DOCUMENT % (0.5, 0.5, "[]"), "row 1: a value is missing"),
     ((DOCUMENT % (0.5, 0.5, RACES)).replace('"a.jpg"', "5"), "row 1: the path is not text"),
     ("5", "row 1: a value is missing"), ("null", "row 1: a value"), ('"x"', "row 1: a value"), ("{}", "it has no pa"),
     ("[" * 100_000, "row 1: it is nested too deeply"), ('{"a":' * 100_000, "row 1: it is nested too deeply"),
     ("9" * 10_000, "row 1: a number has too many digits"), ("{", "row 1: it is not valid JSON (line 1, column 2)"),
     ("\0\xff", "row 1: it is not valid JSON")],
    ids=range(20),
)  # fmt: skip
def test_damaged_or_foreign_json_is_refused_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        evaluate(one_label(tmp_path), file)
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_damaged_tables_of_results_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    whole = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)] * 50, name).read_bytes()
    texts = [b"path,gender\na.jpg,Male\n", whole.replace(b"0.700000", b""), b'"' + whole, b"x" * 200_000 + whole]
    tails = [
        whole[:-30],
        b"",
        whole[: len(whole) // 2],
        b"PAR1" + whole[4:40] + whole[-8:],
        whole[:300] + b"\0\xff\xfe",
    ]
    for content in tails[:1] + texts if name == "r.csv" else tails:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"{name} is damaged or does not contain results: row \d+: .") as raised:
            evaluate(one_label(tmp_path), tmp_path / name)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("0.300000", "", "row 2: a probability is missing"), ("0.300000", "high", "row 2: 'high' is not a number"),
     (",0.300000", "", "row 2: it has fewer cells than the header"),
     ("0.300000", "0.3,0", "row 2: it has more cells than the header"), (",ok,", ",fine,", "row 2: "),
     ("path,", "\ufeffpath,", "row 1: a byte order mark, which spreadsheets write"),
     ("path,", "file,", "row 1: the file does not begin with a header whose first column is path"),
     ("path,", "path,gender,", "row 1: there are several columns named 'gender'; remove all but one"),
     ("gender_Male", "gender_Man", "row 1: it has no gender_Male"),
     ("b.jpg", "b\0/c.jpg", "row 2: the path has a NUL character"),
     ("b.jpg", "\udcff", "does not contain results: it is not valid UTF-8")],
    ids=range(11),
)  # fmt: skip
def test_damaged_csv_is_refused_with_row_and_reason(old: str, new: str, message: str, tmp_path: Path) -> None:
    file = results(tmp_path, [prediction("a.jpg", 0.4), prediction("b.jpg", 0.3)])
    header, first, second = file.read_text().splitlines()
    lines = [header.replace(old, new, 1), first, second.replace(old, new, 1)]
    file.write_bytes("\n".join([*lines, ""]).encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=re.escape(message)):
        evaluate(one_label(tmp_path), file)


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)], "r.parquet")
    table = parquet.read_table(file)
    parquet.write_table(table.append_column("gender", table.column("gender")), file)
    with pytest.raises(UsageError, match="several columns named 'gender'"):
        evaluate(one_label(tmp_path), file)


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_json_arrays_of_any_layout_are_read(indent: int | None, tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / name), 0.3) for name in ("a.jpg", "b.jpg")], "r.json")
    expected = evaluate(one_label(tmp_path), file)["tasks"]
    file.write_text(json.dumps(json.loads(file.read_text()), indent=indent))
    assert evaluate(one_label(tmp_path), file)["tasks"] == expected


def test_an_empty_json_array_has_no_predictions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no image of .* has both a label and a prediction"):
        evaluate(one_label(tmp_path), results(tmp_path, [], "r.json"))


def test_json_lines_are_read_from_a_file_with_the_suffix_json(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / name), 0.3) for name in ("a.jpg", "b.jpg")], "r.jsonl")
    assert evaluate(one_label(tmp_path), file.rename(tmp_path / "r.json"))["unused"].keys() == {
        "of images that have no labels"
    }


def test_unreadable_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read .*none.csv: No such file"):
        evaluate(one_label(tmp_path), tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"can't read \.: Is a directory"):
        evaluate(one_label(tmp_path), Path("."))
    with pytest.raises(UsageError, match=r"rename the file so that it ends in one of .csv, .json, "):
        evaluate(one_label(tmp_path), results(tmp_path, []).rename(tmp_path / "r.txt"))


def test_the_run_record_describes_the_predictions(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)]).rename(tmp_path / "r.txt")
    checkpoints = {
        name: {"path": f"/w/{name}.pth", "sha256": "ab" * 32, "temperature": 1.5} for name in ("gender", "race")
    }
    record: dict[str, Any] = {"format": "csv", "checkpoints": checkpoints, "options": {"precision": "bfloat16"},
              "finished": "2031-05-06T07:08:09", "versions": {"democlass": "9.8.7"}}  # fmt: skip
    (tmp_path / "r.txt.run.json").write_text(json.dumps(record))
    found = evaluate(one_label(tmp_path), file)
    assert found["checkpoints"] == checkpoints
    text = render_page(found)
    assert "made on 2031-05-06 with democlass 9.8.7 in bfloat16" in text
    assert "/w/race.pth, SHA-256 " + "ab" * 32 in text
    record["runs"] = [{"versions": {"democlass": version}} for version in ("0.1.0", "0.2.0", "0.1.0")]
    (tmp_path / "r.txt.run.json").write_text(json.dumps(record))
    assert evaluate(one_label(tmp_path), file)["classified"]["version"] == "0.1.0 and 0.2.0"


@pytest.mark.parametrize(
    "record",
    ["", "5", "[" * 100_000, '{"checkpoints": 5, "options": [], "versions": {"democlass": 1}}',
     '{"checkpoints": {"gender": 5, "race": {"path": [], "sha256": null}}, "format": {}}'],
    ids=range(5),
)  # fmt: skip
def test_a_damaged_run_record_is_ignored(record: str, tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)])
    (tmp_path / "results.csv.run.json").write_text(record)
    found = evaluate(one_label(tmp_path), file)
    assert found["classified"] == {"date": None, "version": None, "precision": None}
    assert "without a run record" in tables.describe_origin(found)[1]
