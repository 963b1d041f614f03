"""Metrics that can be checked by hand; what is not evaluated is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from democlass.errors import UsageError
from democlass.evaluate import charts, tables
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.metrics import share_with_interval
from democlass.evaluate.page import render_page
from democlass.inputs.labels import read_labels
from democlass.results import Prediction
from evaluating import make_evaluation, prediction, results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"))


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
    assert task["calibration"]["ece"] == pytest.approx(0.0, abs=1e-6)  # confidence 0.8, accuracy 0.8
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
        is_black, predicted = number < 6, "Indian" if number in (0, 6) else "Black" if number < 6 else "White"
        lines.append(f"{number}.jpg,Male,{'Black' if is_black else 'White'}")
        predictions.append(prediction(str(tmp_path / f"{number}.jpg"), 0.2, predicted))
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


def test_predictions_without_labels_are_counted(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\nb.jpg,Male\n")
    predictions = [
        Prediction(str(tmp_path / "a.jpg"), error="truncated: copy it again"),
        prediction(f"{tmp_path}//./a.jpg", 0.1),
        prediction(str(tmp_path / "a.jpg"), 0.9),
        prediction("unlabelled.jpg", 0.9),
        prediction(str(tmp_path / "b.jpg"), 0.1),
    ]
    found = evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, predictions))
    assert found["unused"] == {"of images that have another prediction": 2, "of images that have no labels": 1}
    assert found["tasks"]["gender"]["accuracy"]["share"] == 1.0


def test_without_a_common_image_the_evaluation_fails_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\nother.jpg,Male\n")
    with pytest.raises(UsageError, match=r"1 without a prediction.*; relative paths in results are relative to"):
        evaluate(read_labels(tmp_path / "labels.csv"), results(tmp_path, [prediction("a.jpg", 0.5)]))
