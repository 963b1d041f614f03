"""Judging: figures that can be counted by hand, nobody left out in silence, a page that needs nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import EXAMPLES, REPOSITORY, Run, in_terminal
from democlass.checkpoints import load
from democlass.errors import UsageError
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.figures import share
from democlass.evaluate.markdown import tables_of, write
from democlass.evaluate.page import page
from democlass.locations import Location
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS
from democlass.truth import read_truth
from democlass.writers import CsvWriter, Shape

GENDER, RACE = TASKS
CLEVER = "<b>&'\"clever.jpg"


def prediction(path: str, gender: float, race: str = "White") -> Prediction:
    others = dict.fromkeys(RACE.labels, 0.1 / 5)
    return Prediction(
        path,
        {
            "gender": Outcome.choose({"Female": gender, "Male": 1 - gender}),
            "race": Outcome.choose({**others, race: 0.9}),
        },
    )


def results(folder: Path, predictions: list[Prediction]) -> Path:
    with (folder / "results.csv").open("wb") as stream:
        writer = CsvWriter(stream, Shape())
        for each in predictions:
            writer.write(each)
        writer.close()
    return folder / "results.csv"


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
    return evaluate(read_truth(tmp_path / "labels.csv"), results(tmp_path, predictions))


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


def test_nothing_to_judge_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\nother.jpg,Male\n")
    with pytest.raises(UsageError, match="1 without a prediction"):
        evaluate(read_truth(tmp_path / "labels.csv"), results(tmp_path, [prediction("a.jpg", 0.5)]))


def test_the_page_needs_nothing_else_and_names_are_no_html(judged: dict[str, Any]) -> None:
    text = page(judged | {"labels": CLEVER})
    assert text.count("<svg") == 2 * 3 + 2 * 3
    assert "<b>&'" not in text and "&lt;b&gt;" in text and "Female Black" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)


def test_the_markdown_has_the_tables_and_its_pictures(judged: dict[str, Any], tmp_path: Path) -> None:
    write(judged, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "| Female (worst) | 10 | 70.0% | 39.7% to 89.2% |" in text and "| Male | 1 | 9 |" in text
    pictures = re.findall(r"!\[[^]]+\]\((card/[a-z-]+\.svg)\)", text)
    assert len(pictures) == 2 * 4
    assert all((tmp_path / picture).read_text().startswith("<svg") for picture in pictures)


def test_the_model_card_says_what_the_cards_of_the_built_in_checkpoints_say() -> None:
    text = (REPOSITORY / "MODEL_CARD.md").read_text()
    for task in TASKS:
        checkpoint = load(Location(REPOSITORY / "weights" / task.checkpoint, "built in"), task)
        assert tables_of({"title": task.title, **checkpoint.card["evaluation"]}) in text
        assert f"| {checkpoint.temperature} |" in text
    pictures = re.findall(r"!\[[^]]+\]\((docs/[^)]+)\)", text)
    assert len(pictures) == 2 * 4 and all((REPOSITORY / picture).exists() for picture in pictures)


def test_the_command_classifies_and_judges(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,gender,race\nastronaut.png,Female,White\ngrace_hopper.jpg,Female,Martian\n"
    )
    done = classify(
        *(
            "evaluate",
            "labels.csv",
            "--root",
            str(EXAMPLES),
            "--out",
            "found.json",
            "--html",
            "found.html",
            "--markdown",
            "found.md",
        ),
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"1 rows: race 'Martian' is no label of ours" in done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["tasks"]["gender"]["n"] == 2 and found["tasks"]["race"]["n"] == 1
    assert len(found["checkpoints"]["race"]["sha256"]) == 64
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "found.md").exists() and (tmp_path / "found").is_dir()


def test_results_that_are_there_need_no_second_run(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\n")
    results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.1)])
    shown = in_terminal("evaluate", "labels.csv", "--predictions", "results.csv", cwd=tmp_path)
    assert "perceived gender: 100.0% (20.7% to 100.0%) of 1 images right" in shown
    assert "by gender" in shown and "Male (worst)" in shown


def test_figures_go_on_the_cards_of_the_checkpoints_judged(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender,race\nastronaut.png,Female,White\n")
    for name in ("model_checkpoint.pth", "best_model.pth"):
        shutil.copy(REPOSITORY / "weights" / name, tmp_path)
    done = classify("evaluate", "labels.csv", "--root", str(EXAMPLES), "--weights", ".", "--card", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    shown = classify("weights", "--weights", ".", "--verbose").stdout.decode()
    assert re.search(r"evaluation *\n +data: labels\.csv", shown) and re.search(r"accuracy: \d.*% .* of 1\b", shown)
    refused = classify("evaluate", "labels.csv", "--predictions", "x.csv", "--card")
    assert refused.returncode == 2 and b"leave --predictions out" in refused.stderr
