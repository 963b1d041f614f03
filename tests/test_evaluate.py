"""Evaluation: metrics that can be checked by hand, images that are not evaluated are counted, and the reports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from conftest import REPOSITORY
from democlass import __version__
from democlass.errors import UsageError
from democlass.evaluate import charts, tables
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.markdown import CHARTS, render_markdown, render_task
from democlass.evaluate.metrics import share_with_interval
from democlass.evaluate.page import render_page
from democlass.inputs.labels import LabelSet, read_labels
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.output.formats import FORMATS, WriterOptions
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

GENDER, RACE = TASKS
HOSTILE = "<b>&'\"hostile.jpg"


def prediction(path: str, gender: float, race: str = "White") -> Prediction:
    others = dict.fromkeys(RACE.labels, 0.1 / 5)
    return Prediction.of_image(
        path,
        {
            "gender": Outcome.choose({"Female": gender, "Male": 1 - gender}),
            "race": Outcome.choose({**others, race: 0.9}),
        },
    )


def results(folder: Path, predictions: list[Prediction], name: str = "results.csv") -> Path:
    with (folder / name).open("wb") as stream:
        writer = FORMATS[name.rpartition(".")[2]].writer(stream, WriterOptions())
        for each in predictions:
            writer.write(each)
        writer.close()
    return folder / name


def one_label(folder: Path) -> LabelSet:
    (folder / "labels.csv").write_text("path,gender,race\na.jpg,Male,White\n")
    return read_labels(folder / "labels.csv")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ten images labelled Female, of which three are predicted wrongly, and ten labelled Male, of which one is."""
    tmp_path = tmp_path_factory.mktemp("evaluation")
    lines, predictions = ["path,gender,race"], []
    for number in range(20):
        female, race = number < 10, "Black" if number % 2 else "White"
        wrong = number in (1, 3, 5, 11)
        lines.append(f"{number}.jpg,{'Female' if female else 'Male'},{race}")
        predictions.append(prediction(str(tmp_path / f"{number}.jpg"), 0.8 if female != wrong else 0.2))
    lines += [f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",Male,White', "gone.jpg,Male,White", "bare.jpg,,"]
    predictions += [
        Prediction(str(tmp_path / HOSTILE), error="truncated: <i>copy</i> it again"),
        prediction(str(tmp_path / "bare.jpg"), 0.9),
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, predictions))


def test_accuracy_of_all_images_and_of_each_group(evaluation: dict[str, Any]) -> None:
    task = evaluation["tasks"]["gender"]
    assert (task["n"], task["accuracy"]["share"]) == (20, 0.8)
    assert task["confusion"] == [[7, 3], [1, 9]]
    assert task["macro_recall"] == pytest.approx(0.8)
    assert task["macro_f1"] == pytest.approx((14 / 18 + 18 / 22) / 2)
    cells = {name: group["cells"] for name, group in task["groups"].items()}
    assert {name: cell["share"] for name, cell in cells["gender"].items()} == {"Female": 0.7, "Male": 0.9}
    assert {name: (cell["n"], cell["share"]) for name, cell in cells["gender x race"].items()} == {
        "Female Black": (5, 0.4), "Female White": (5, 1.0), "Male Black": (5, 0.8), "Male White": (5, 1.0)
    }  # fmt: skip


def test_the_worst_group_and_the_largest_gap_are_named(evaluation: dict[str, Any]) -> None:
    group = evaluation["tasks"]["gender"]["groups"]["gender x race"]
    assert group["worst"] == "Female Black" and group["gap"] == pytest.approx(0.6)


def test_calibration_and_coverage(evaluation: dict[str, Any]) -> None:
    task = evaluation["tasks"]["gender"]
    assert task["calibration"]["ece"] == pytest.approx(0.0, abs=1e-6)  # 80 % sure, 80 % right
    assert task["calibration"]["brier"] == pytest.approx(0.8 * 0.08 + 0.2 * 1.28)
    assert evaluation["tasks"]["race"]["calibration"]["ece"] == pytest.approx(0.4)
    last = task["coverage"][-1]
    assert last["min_confidence"] == pytest.approx(0.8) and last["coverage"] == 1.0


def test_intervals_are_wilson_intervals() -> None:
    found = share_with_interval(8, 10)  # as in Newcombe, 1998: 0.490 to 0.943
    assert found["low"] == pytest.approx(0.4902, abs=1e-4) and found["high"] == pytest.approx(0.9433, abs=1e-4)


def test_images_that_are_not_evaluated_are_counted(evaluation: dict[str, Any]) -> None:
    assert evaluation["tasks"]["gender"]["lacking"] == {
        "unreadable (truncated)": 1, "without a prediction": 1, "without a label": 1
    }  # fmt: skip
    assert evaluation["lacking"] == {"no label for gender": 1, "no label for race": 1}


def test_macro_means_are_over_the_labels_that_the_data_has(tmp_path: Path) -> None:
    lines, predictions = ["path,gender,race"], []
    for number in range(10):
        black, given = number < 6, "Indian" if number in (0, 6) else "Black" if number < 6 else "White"
        lines.append(f"{number}.jpg,Male,{'Black' if black else 'White'}")
        predictions.append(prediction(str(tmp_path / f"{number}.jpg"), 0.2, given))
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, predictions))
    race, gender = found["tasks"]["race"], found["tasks"]["gender"]
    assert race["labels_present"] == ["Black", "White"] and gender["labels_present"] == ["Male"]
    assert race["macro_recall"] == pytest.approx((5 / 6 + 3 / 4) / 2)
    assert race["macro_f1"] == pytest.approx((10 / 11 + 6 / 7) / 2)
    assert (gender["macro_recall"], gender["macro_f1"]) == (1.0, 1.0)
    assert race["groups"]["race"]["gap"] == pytest.approx(5 / 6 - 3 / 4)
    assert list(race["groups"]["gender x race"]["cells"]) == ["Male Black", "Male White"]
    assert "macro recall 79.2% (over the 2 of 6 labels that the data has)" in tables.format_metrics(race)
    assert [row[0] for row in tables.confusion_rows(race)] == ["Black", "White"]
    assert "Mean over the 2 of 6 labels" in render_page(found)
    drawn = charts.draw_confusion(race)
    assert (drawn.count(">Black</text>"), drawn.count(">Indian</text>")) == (2, 1)  # rows and columns, columns only


def test_groups_of_equal_accuracy_have_no_worst_group(evaluation: dict[str, Any]) -> None:
    alone = {"cells": {"Male": share_with_interval(3, 4)}, "worst": "Male", "best": "Male", "gap": 0.0}
    assert tables.format_gap(alone) == "Only one group: there is no gap" and tables.group_rows(alone)[0][0] == "Male"
    alike = {**alone, "cells": {"Female": share_with_interval(3, 4), "Male": share_with_interval(6, 8)}}
    assert "all groups have the same accuracy" in tables.format_gap(alike)
    assert "(worst)" not in str(tables.group_rows(alike))


def test_predictions_without_labels_are_counted(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\nb.jpg,Male\n")
    several = [
        Prediction(str(tmp_path / "a.jpg"), error="truncated: copy it again"),
        prediction(f"{tmp_path}//./a.jpg", 0.1),
        prediction(str(tmp_path / "a.jpg"), 0.9),
        prediction("stranger.jpg", 0.9),
        prediction(str(tmp_path / "b.jpg"), 0.1),
    ]
    found = evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, several))
    assert found["unused"] == {"of images that have another prediction": 2, "of images that have no labels": 1}
    assert found["tasks"]["gender"]["accuracy"]["share"] == 1.0


def test_without_a_common_image_the_evaluation_fails_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\nother.jpg,Male\n")
    with pytest.raises(UsageError, match=r"1 without a prediction.*; relative paths in results are relative to"):
        evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, [prediction("a.jpg", 0.5)]))


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
     ("5", "row 1: a value is missing"), ("null", "row 1: a value"), ('"x"', "row 1: a value"), ("{}", "it has no st"),
     ("[" * 100_000, "row 1: it is nested too deeply"), ('{"a":' * 100_000, "row 1: it is nested too deeply"),
     ("9" * 10_000, "row 1: a number has too many digits"), ("{", "row 1: it is not valid JSON (line 1, column 2)"),
     ("\0\xff", "it is not valid UTF-8")],
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
     ("path,", "file,", "row 1: the file does not begin with a header whose first column is path"),
     ("path,", "path,gender,", "row 1: there are several columns named 'gender'; remove all but one"),
     ("gender_Male", "gender_Man", "row 1: it has no gender_Male"),
     ("b.jpg", "\udcff", "does not contain results: it is not valid UTF-8")],
    ids=range(9),
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


def test_json_that_is_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"path": "a.jpg"}')
    with pytest.raises(
        UsageError, match=r"row 1: a JSON file of results is an array of rows; .* use the suffix .jsonl"
    ):
        evaluate(one_label(tmp_path), tmp_path / "r.json")


def test_unreadable_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read .*none.csv: No such file"):
        evaluate(one_label(tmp_path), tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"can't read \.: Is a directory"):
        evaluate(one_label(tmp_path), Path("."))
    with pytest.raises(UsageError, match=r"rename the file so that it ends in one of .csv, .json, "):
        evaluate(one_label(tmp_path), results(tmp_path, []).rename(tmp_path / "r.txt"))


def test_the_run_record_describes_the_predictions(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)]).rename(tmp_path / "r.txt")
    made_by = {name: {"path": f"/w/{name}.pth", "sha256": "ab" * 32, "temperature": 1.5} for name in ("gender", "race")}
    record: dict[str, Any] = {"format": "csv", "checkpoints": made_by, "options": {"precision": "bfloat16"},
              "finished": "2031-05-06T07:08:09", "versions": {"democlass": "9.8.7"}}  # fmt: skip
    (tmp_path / "r.txt.run.json").write_text(json.dumps(record))
    found = evaluate(one_label(tmp_path), file)
    assert found["checkpoints"] == made_by
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


def test_the_page_shows_its_origin_and_explains_metrics(evaluation: dict[str, Any]) -> None:
    text = render_page(evaluation)
    assert f"Evaluated on {evaluation['date'][:10]} with democlass {__version__}." in text
    for words in ("Expected calibration error", "Negative log-likelihood", "Brier score 0.320", "prefers-color-scheme"):
        assert words in text
    assert set(re.findall(r"(?:fill|stroke|color): *(#\w+)", text.partition("</style>")[2])) == {"#fdfdfd"}  # on a cell
    assert "Checkpoints: unknown, because there is no run record of the predictions." in text
    assert "1 rows of the labels file: no label for race" in text and "1 unreadable (truncated)" in text


def test_the_page_loads_nothing_and_escapes_names(evaluation: dict[str, Any]) -> None:
    made_by: dict[str, Any] = {"path": HOSTILE, "sha256": HOSTILE, "temperature": 1.0}
    hostile: dict[str, Any] = dict.fromkeys(("labels", "predictions"), HOSTILE) | {
        key: {HOSTILE: 1} for key in ("lacking", "unused")
    }
    hostile |= {"checkpoints": {"gender": made_by}, "classified": dict.fromkeys(evaluation["classified"], HOSTILE)}
    text = render_page(evaluation | hostile)
    assert text.count("<svg") == 2 * 3 + 2 * 3
    assert "<b>&'" not in text and text.count("&lt;b&gt;") == 9 and "Female Black" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    text, _ = render_markdown(evaluation | hostile, HOSTILE)
    assert "<b>" not in text


def test_the_markdown_has_tables_and_charts(evaluation: dict[str, Any]) -> None:
    text, pictures = render_markdown(evaluation | {"labels": f"/home/me/{HOSTILE}"}, "my card")
    assert "| Female (worst) | 10 | 70.0% | 39.7% to 89.2% |" in text and "| Male | 1 | 9 |" in text
    named = re.findall(r"!\[[^]]+\]\(my%20card/([a-z-]+\.svg)\)", text)
    assert named == list(pictures) == [f"{task.name}-{chart}.svg" for task in TASKS for chart in CHARTS]
    assert all(picture.startswith("<svg") for picture in pictures.values())
    assert "<b>" not in text and "/home/me" not in text


def test_the_model_card_agrees_with_the_cards_of_the_built_in_checkpoints() -> None:
    text = (REPOSITORY / "MODEL_CARD.md").read_text()
    for task in TASKS:
        checkpoint = load(Location(REPOSITORY / "weights" / task.checkpoint, "built in"), task)
        assert render_task({"title": task.title, **checkpoint.card["evaluation"]}) in text
        assert f"| {checkpoint.temperature} |" in text
    pictures = re.findall(r"!\[[^]]+\]\((docs/[^)]+)\)", text)
    assert len(pictures) == 2 * 4 and all((REPOSITORY / picture).exists() for picture in pictures)
