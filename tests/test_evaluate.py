"""Judging: figures that can be counted by hand, nobody left out in silence, a page that needs nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import REPOSITORY
from democlass import __version__
from democlass.errors import UsageError
from democlass.evaluate import charts, tables
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.figures import share
from democlass.evaluate.markdown import KINDS, render, tables_of
from democlass.evaluate.page import page
from democlass.inputs.labels import LabelSet, read_labels
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.output.formats import FORMATS, WriterOptions
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS

GENDER, RACE = TASKS
CLEVER = "<b>&'\"clever.jpg"


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


@pytest.fixture
def judged(tmp_path: Path) -> dict[str, Any]:
    """Ten people called Female, ten Male; three of the first and one of the second are taken for the other."""
    lines, predictions = ["path,gender,race"], []
    for number in range(20):
        female, race = number < 10, "Black" if number % 2 else "White"
        wrong = number in (1, 3, 5, 11)
        lines.append(f"{number}.jpg,{'Female' if female else 'Male'},{race}")
        predictions.append(prediction(str(tmp_path / f"{number}.jpg"), 0.8 if female != wrong else 0.2))
    lines += [f'"{CLEVER.replace(chr(34), chr(34) * 2)}",Male,White', "gone.jpg,Male,White", "bare.jpg,,"]
    predictions += [
        Prediction(str(tmp_path / CLEVER), error="truncated: <i>copy</i> it again"),
        prediction(str(tmp_path / "bare.jpg"), 0.9),
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, predictions))


def test_accuracy_is_counted_for_everyone_and_for_each_group(judged: dict[str, Any]) -> None:
    task = judged["tasks"]["gender"]
    assert (task["n"], task["accuracy"]["share"]) == (20, 0.8)
    assert task["confusion"] == [[7, 3], [1, 9]]
    assert task["macro_recall"] == pytest.approx(0.8)
    assert task["macro_f1"] == pytest.approx((14 / 18 + 18 / 22) / 2)
    cells = {name: group["cells"] for name, group in task["groups"].items()}
    assert {name: cell["share"] for name, cell in cells["gender"].items()} == {"Female": 0.7, "Male": 0.9}
    assert {name: (cell["n"], cell["share"]) for name, cell in cells["gender x race"].items()} == {
        "Female Black": (5, 0.4), "Female White": (5, 1.0), "Male Black": (5, 0.8), "Male White": (5, 1.0)
    }  # fmt: skip


def test_the_worst_cell_and_the_largest_gap_are_named(judged: dict[str, Any]) -> None:
    group = judged["tasks"]["gender"]["groups"]["gender x race"]
    assert group["worst"] == "Female Black" and group["gap"] == pytest.approx(0.6)


def test_calibration_and_coverage(judged: dict[str, Any]) -> None:
    task = judged["tasks"]["gender"]
    assert task["calibration"]["ece"] == pytest.approx(0.0, abs=1e-6)  # 80 % sure, 80 % right
    assert task["calibration"]["brier"] == pytest.approx(0.8 * 0.08 + 0.2 * 1.28)
    assert judged["tasks"]["race"]["calibration"]["ece"] == pytest.approx(0.4)
    last = task["coverage"][-1]
    assert last["min_confidence"] == pytest.approx(0.8) and last["coverage"] == 1.0


def test_an_interval_is_wilsons() -> None:
    found = share(8, 10)  # Newcombe 1998 prints such: 0.490 to 0.943
    assert found["low"] == pytest.approx(0.4902, abs=1e-4) and found["high"] == pytest.approx(0.9433, abs=1e-4)


def test_who_is_not_judged_is_counted(judged: dict[str, Any]) -> None:
    assert judged["tasks"]["gender"]["lacking"] == {
        "unreadable (truncated)": 1, "without a prediction": 1, "without a label": 1
    }  # fmt: skip
    assert judged["lacking"] == {"no label for gender": 1, "no label for race": 1}


def test_means_over_labels_are_over_those_that_the_data_has(tmp_path: Path) -> None:
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
    assert "macro recall 79.2% (over the 2 of 6 labels that the data has)" in tables.means(race)
    assert [row[0] for row in tables.confusion(race)] == ["Black", "White"]
    assert "Mean over the 2 of 6 labels" in page(found)
    drawn = charts.confusion(race)
    assert (drawn.count(">Black</text>"), drawn.count(">Indian</text>")) == (2, 1)  # rows and columns, columns only


def test_groups_that_are_alike_have_no_worst_one(judged: dict[str, Any]) -> None:
    alone = {"cells": {"Male": share(3, 4)}, "worst": "Male", "best": "Male", "gap": 0.0}
    assert tables.gap(alone) == "Only one group, so that there is no gap" and tables.cells(alone)[0][0] == "Male"
    alike = {**alone, "cells": {"Female": share(3, 4), "Male": share(6, 8)}}
    assert "all groups are alike" in tables.gap(alike)
    assert "(worst)" not in str(tables.cells(alike))


def test_predictions_that_belong_to_no_labels_are_counted(tmp_path: Path) -> None:
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


def test_nothing_to_judge_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\nother.jpg,Male\n")
    with pytest.raises(UsageError, match=r"1 without a prediction.*; relative names in results are relative to"):
        evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, [prediction("a.jpg", 0.5)]))


@pytest.mark.parametrize("name", ["r.csv", "r.json", "r.jsonl", "r.parquet"])
def test_results_of_every_format_are_judged(name: str, tmp_path: Path) -> None:
    rows = [prediction(str(tmp_path / "a.jpg"), 0.3), Prediction("b.jpg", error="truncated: copy it again")]
    found = evaluate(one_label(tmp_path), results(tmp_path, rows, name))
    assert found["tasks"]["gender"]["calibration"]["brier"] == pytest.approx(0.18, abs=1e-6)
    assert found["tasks"]["race"]["accuracy"]["share"] == 1.0
    assert found["checkpoints"] == {} and found["classified"] == {"date": None, "version": None, "precision": None}


def test_results_need_no_columns_of_labels(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)])
    pd.read_csv(file).drop(columns=["gender", "race", "gender_confidence", "race_confidence"]).to_csv(file, index=False)
    assert evaluate(one_label(tmp_path), file)["tasks"]["race"]["accuracy"]["share"] == 1.0


DOCUMENT = (
    '{"path": "a.jpg", "status": "ok", "gender_probabilities": {"Female": %s, "Male": %s}, "race_probabilities": %s}'
)
RACES = json.dumps(dict.fromkeys(RACE.labels, 1 / 6))


@pytest.mark.parametrize(
    ("content", "said"),
    [*((DOCUMENT % (wrong, 0.5, RACES), f"row 1: {shown} is no probability of perceived gender: it must be from 0 to 1")
       for wrong, shown in (("NaN", "nan"), ("Infinity", "inf"), ("-0.1", "-0.1"), ("1.5", "1.5"), ("1e999", "inf"))),
     (DOCUMENT % (0.9, 0.9, RACES), "row 1: the probabilities of perceived gender sum up to 1.8, not to 1"),
     (DOCUMENT % (0, 0, RACES), "row 1: the probabilities of perceived gender sum up to 0, not to 1"),
     (DOCUMENT % (0.5, 0.5, RACES) + "\n" + DOCUMENT % (0.5, "null", RACES), "row 2: values are missing"),
     (DOCUMENT % (0.5, 0.5, "{}"), "row 1: it has no Asian"),
     (DOCUMENT % (0.5, 0.5, "[]"), "row 1: values are missing"),
     ((DOCUMENT % (0.5, 0.5, RACES)).replace('"a.jpg"', "5"), "row 1: its path is no text"),
     ("5", "row 1: values are missing"), ("null", "row 1: values"), ('"x"', "row 1: values"), ("{}", "it has no stat"),
     ("[" * 100_000, "row 1: it is nested too deeply"), ('{"a":' * 100_000, "row 1: it is nested too deeply"),
     ("9" * 10_000, "row 1"), ("{", "row 1: "), ("\0\xff", "row 1: ")],
    ids=range(20),
)  # fmt: skip
def test_damaged_or_foreign_json_is_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=re.escape(said)) as raised:
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
        with pytest.raises(UsageError, match=rf"{name} is no file of results, or damaged: row \d+: .") as raised:
            evaluate(one_label(tmp_path), tmp_path / name)
        assert "\n" not in str(raised.value)


def test_results_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read .*none.csv: No such file"):
        evaluate(one_label(tmp_path), tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"can't read \.: Is a directory"):
        evaluate(one_label(tmp_path), Path("."))
    with pytest.raises(UsageError, match=r"rename it so that it ends in .csv, .json, "):
        evaluate(one_label(tmp_path), results(tmp_path, []).rename(tmp_path / "r.txt"))


def test_a_record_says_what_made_the_predictions(tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)]).rename(tmp_path / "r.txt")
    made_by = {name: {"path": f"/w/{name}.pth", "sha256": "ab" * 32, "temperature": 1.5} for name in ("gender", "race")}
    record: dict[str, Any] = {"format": "csv", "checkpoints": made_by, "options": {"precision": "bfloat16"},
              "finished": "2031-05-06T07:08:09", "versions": {"democlass": "9.8.7"}}  # fmt: skip
    (tmp_path / "r.txt.run.json").write_text(json.dumps(record))
    found = evaluate(one_label(tmp_path), file)
    assert found["checkpoints"] == made_by
    text = page(found)
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
def test_a_damaged_record_says_nothing(record: str, tmp_path: Path) -> None:
    file = results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.3)])
    (tmp_path / "results.csv.run.json").write_text(record)
    found = evaluate(one_label(tmp_path), file)
    assert found["classified"] == {"date": None, "version": None, "precision": None}
    assert "no record beside it says what made it" in tables.made_by(found)[1]


def test_the_page_says_when_and_what_and_explains_its_figures(judged: dict[str, Any]) -> None:
    text = page(judged)
    assert f"Evaluated on {judged['date'][:10]} with democlass {__version__}." in text
    for words in ("Expected calibration error", "Negative log-likelihood", "Brier score 0.320", "prefers-color-scheme"):
        assert words in text
    assert set(re.findall(r"(?:fill|stroke|color): *(#\w+)", text.partition("</style>")[2])) == {"#fdfdfd"}  # on a cell
    assert "Checkpoints: not known, since no record says what made the predictions." in text
    assert "1 rows of the labels file: no label for race" in text and "1 unreadable (truncated)" in text


def test_the_page_needs_nothing_else_and_no_name_is_html(judged: dict[str, Any]) -> None:
    made_by: dict[str, Any] = {"path": CLEVER, "sha256": CLEVER, "temperature": 1.0}
    hostile: dict[str, Any] = dict.fromkeys(("labels", "predictions"), CLEVER) | {
        key: {CLEVER: 1} for key in ("lacking", "unused")
    }
    hostile |= {"checkpoints": {"gender": made_by}, "classified": dict.fromkeys(judged["classified"], CLEVER)}
    text = page(judged | hostile)
    assert text.count("<svg") == 2 * 3 + 2 * 3
    assert "<b>&'" not in text and text.count("&lt;b&gt;") == 9 and "Female Black" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    text, _ = render(judged | hostile, CLEVER)
    assert "<b>" not in text


def test_the_markdown_has_the_tables_and_its_pictures(judged: dict[str, Any]) -> None:
    text, pictures = render(judged | {"labels": f"/home/me/{CLEVER}"}, "my card")
    assert "| Female (worst) | 10 | 70.0% | 39.7% to 89.2% |" in text and "| Male | 1 | 9 |" in text
    named = re.findall(r"!\[[^]]+\]\(my%20card/([a-z-]+\.svg)\)", text)
    assert named == list(pictures) == [f"{task.name}-{kind}.svg" for task in TASKS for kind in KINDS]
    assert all(picture.startswith("<svg") for picture in pictures.values())
    assert "<b>" not in text and "/home/me" not in text


def test_the_model_card_says_what_the_cards_of_the_built_in_checkpoints_say() -> None:
    text = (REPOSITORY / "MODEL_CARD.md").read_text()
    for task in TASKS:
        checkpoint = load(Location(REPOSITORY / "weights" / task.checkpoint, "built in"), task)
        assert tables_of({"title": task.title, **checkpoint.card["evaluation"]}) in text
        assert f"| {checkpoint.temperature} |" in text
    pictures = re.findall(r"!\[[^]]+\]\((docs/[^)]+)\)", text)
    assert len(pictures) == 2 * 4 and all((REPOSITORY / picture).exists() for picture in pictures)
