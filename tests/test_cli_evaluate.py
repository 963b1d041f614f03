"""The command `classify evaluate`: standard output, reports, and messages of failures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

from conftest import EXAMPLES, REPOSITORY, in_terminal
from democlass.cli.evaluate import app
from democlass.errors import OutputError, UsageError
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.tasks import TASKS
from fork_server import ForkServer
from photos import portrait

pytestmark = pytest.mark.slow


def evaluate_in_process(*arguments: str) -> None:
    """Run `classify evaluate` in this process. Raises the errors that would end the process."""
    get_command(app).main(list(arguments), standalone_mode=False)


def test_the_command_classifies_and_writes_all_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("file,gender,race\nastronaut.png,Female,White\ngrace_hopper.jpg,Female,Martian\n")
    Path("store").mkdir()
    for task in TASKS:
        shutil.copy(REPOSITORY / "weights" / task.checkpoint, "store")
        Path(task.checkpoint).symlink_to(f"store/{task.checkpoint}")
    reports = ["--out", "all.json", "--html", "all.html", "--markdown", "all.md", "--card"]
    evaluate_in_process("labels.csv", "--root", str(EXAMPLES), "--weights", ".", "--quiet", *reports)
    shown = capsys.readouterr()
    assert "1 rows: unknown race 'Martian'" in shown.err and "perceived gender: accuracy " in shown.out
    evaluation = json.loads(Path("all.json").read_text())
    assert evaluation["tasks"]["gender"]["n"] == 2 and evaluation["tasks"]["race"]["n"] == 1
    assert len(evaluation["checkpoints"]["race"]["sha256"]) == 64
    assert Path("all.html").read_text().startswith("<!doctype html>")
    assert Path("all.md").exists() and Path("all").is_dir()
    assert Path("best_model.pth").is_symlink()
    card = load(Location(Path("store/best_model.pth")), TASKS[1]).card["evaluation"]
    assert card["data"] == "labels.csv" and card["accuracy"]["n"] == 1


def test_the_command_replaces_neither_reports_nor_labels(evaluation_inputs: Any) -> None:
    Path("all.json").write_text("mine")
    with pytest.raises(OutputError, match=r"^all\.json exists: --overwrite replaces it"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--out", "all.json")
    with pytest.raises(OutputError, match=r"would replace labels\.csv, the labels file"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--html", "labels.csv", "--overwrite")
    assert Path("labels.csv").read_text().startswith("path,gender") and Path("all.json").read_text() == "mine"


def test_a_terminal_shows_tables(evaluation_inputs: Any, commands: ForkServer, tmp_path: Path) -> None:
    shown = in_terminal(commands, "evaluate", "labels.csv", "--predictions", "results.csv", cwd=tmp_path)
    assert "perceived gender: accuracy 100.0% (95 % interval 20.7% to 100.0%), 1 images" in shown
    assert "by gender" in shown and "over the 1 of 2 labels that the data has" in shown


def test_out_can_be_standard_output(evaluation_inputs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_in_process("labels.csv", "--predictions", "results.csv", "--out", "-", "--html", "all.html")
    assert json.loads(capsys.readouterr().out)["tasks"]["gender"]["n"] == 1
    assert Path("all.html").exists() and not Path("-").exists()
    for option, message in (("--html", "--html - is not supported"), ("--markdown", "end the name in .md")):
        with pytest.raises(UsageError, match=message):
            evaluate_in_process("labels.csv", "--predictions", "results.csv", option, "-")


def test_a_closed_pipe_and_a_full_disk_do_not_lose_the_reports(
    evaluation_inputs: Any, commands: ForkServer, tmp_path: Path
) -> None:
    words = ("evaluate", "labels.csv", "--predictions", "results.csv", "--out")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed, open("/dev/full", "wb") as full:
        processes = [
            commands.start(*words, name, stdout=out, stderr=subprocess.PIPE, cwd=tmp_path)
            for name, out in (("closed.json", closed), ("full.json", full))
        ]
    messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [141, 1]
    assert messages == [b"", b"classify: can't write to standard output: No space left on device\n"]
    assert Path("closed.json").exists() and Path("full.json").exists()


def test_labels_and_predictions_must_be_different_files(evaluation_inputs: Any) -> None:
    with pytest.raises(UsageError, match="given both as labels and as predictions"):
        evaluate_in_process("results.csv", "--predictions", "./results.csv")


def test_card_needs_checkpoints(evaluation_inputs: Any) -> None:
    with pytest.raises(UsageError, match="remove --predictions"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--card")


@pytest.mark.parametrize(
    ("label", "is_accepted"), [("Male", True), ("uncertain", True), ("Female", False), ("Dog", False)]
)
def test_labels_that_contradict_their_probabilities_are_refused(
    label: str, is_accepted: bool, evaluation_inputs: Any
) -> None:
    races = dict(zip(TASKS[1].labels, ("0.5", *["0.1"] * 5), strict=True))
    row = {"path": "a.jpg", "status": "ok", "error": "", "gender": label, "gender_Male": "0.9", "gender_Female": "0.1",
           **{f"race_{name}": share for name, share in races.items()}, "race": "Asian"}  # fmt: skip
    Path("results.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    if is_accepted:
        evaluate_in_process("labels.csv", "--predictions", "results.csv")
    else:
        with pytest.raises(UsageError, match="is not the most probable one"):
            evaluate_in_process("labels.csv", "--predictions", "results.csv")


@pytest.fixture
def portraits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of two portraits and of an image without a face, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("astronaut.png", "grace_hopper.jpg"):
        shutil.copy(EXAMPLES / name, ".")
    Image.new("RGB", (600, 400), "grey").save("bare.png")
    rows = ("astronaut.png,Female,White", "grace_hopper.jpg,Female,White", "bare.png,Male,Asian")
    Path("labels.csv").write_text("\n".join(("file,gender,race", *rows)))


def test_faces_of_photos_are_found_and_those_missed_are_counted(
    portraits: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in TASKS:
        shutil.copy(REPOSITORY / "weights" / task.checkpoint, ".")
    arguments = ["labels.csv", "--weights", ".", "--faces", "--face-size", "480", "--quiet", "--card"]
    evaluate_in_process(*arguments, "--out", "all.json", "--html", "all.html", "--markdown", "all.md")
    shown = capsys.readouterr()
    assert "faces: missed in 1 of 3 images" in shown.out and "reduced to 480 pixels" in " ".join(shown.out.split())
    assert "perceived gender: 1 images without a face are not evaluated" in shown.err
    evaluation = json.loads(Path("all.json").read_text())
    assert evaluation["tasks"]["gender"]["accuracy"]["share"] == 1.0 and evaluation["tasks"]["gender"]["n"] == 2
    assert evaluation["faces"]["groups"]["gender"]["cells"]["Male"]["without_face"] == 1
    assert "Missed faces by perceived race" in Path("all.html").read_text()
    assert "| by perceived race | images |" in Path("all.md").read_text()
    card = load(Location(Path("best_model.pth")), TASKS[1]).card["evaluation"]
    assert card["faces"] == {"face_size": 480, "min_face": 32}


def test_results_of_batch_with_faces_are_evaluated_like_the_photos(
    portraits: None, capsys: pytest.CaptureFixture[str], commands: ForkServer, tmp_path: Path
) -> None:
    Image.open("astronaut.png").resize((128, 128)).save("small.png")
    pair = Image.new("RGB", (1200, 600))
    pair.paste(Image.open("grace_hopper.jpg").resize((240, 300)), (0, 0))
    pair.paste(Image.open("astronaut.png"), (600, 0))
    pair.save("pair.png")
    with Path("labels.csv").open("a") as stream:
        stream.write("\nsmall.png,Female,White\npair.png,Female,White\n")
    words = ("batch", tmp_path, "--faces", "--min-face", "45", "--out", "rows.csv", "--quiet")
    assert commands.run(*words, cwd=tmp_path).returncode == 0
    evaluate_in_process("labels.csv", "--faces", "--min-face", "45", "--quiet", "--out", "photos.json")
    evaluate_in_process("labels.csv", "--predictions", "rows.csv", "--out", "rows.json")
    photos, rows = (json.loads(Path(name).read_text()) for name in ("photos.json", "rows.json"))
    assert Path("rows.csv").read_text().count("pair.png") == 2
    assert photos["faces"] == rows["faces"] and photos["faces"]["min_face"] == 45
    assert (photos["faces"]["all"]["without_face"], photos["faces"]["all"]["too_small"]) == (1, 1)
    for task in ("gender", "race"):
        assert photos["tasks"][task]["confusion"] == rows["tasks"][task]["confusion"]


def test_photos_without_faces_option_get_one_suggestion(portraits: None, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_in_process("labels.csv")
    assert capsys.readouterr().err.count("3 of the first 3 images are not tight face crops") == 1
    for options in (["--quiet"], ["--faces"]):
        evaluate_in_process("labels.csv", *options)
        assert "--faces" not in capsys.readouterr().err
    evaluate_in_process("labels.csv", "--out", "all.json")
    assert "--faces finds the faces in photos" in capsys.readouterr().err
    evaluation = json.loads(Path("all.json").read_text())
    assert evaluation["tasks"]["gender"]["n"] == 3  # the suggestion changes nothing


def test_face_crops_get_no_suggestion(portraits: None, capsys: pytest.CaptureFixture[str]) -> None:
    portrait().crop((36, 36, 164, 174)).save("crop.png")
    Path("labels.csv").write_text("path,gender\ncrop.png,Female\n")
    evaluate_in_process("labels.csv")
    assert "--faces" not in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--faces"], ["--face-size", "960"], ["--min-face", "40"]])
def test_existing_predictions_are_not_searched_for_faces(options: list[str], evaluation_inputs: Any) -> None:
    with pytest.raises(UsageError, match=rf"{options[0]} is only for images that are classified now: remove it or"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", *options)


def test_a_default_from_the_environment_does_not_concern_existing_predictions(
    evaluation_inputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOCLASS_FACES", "1")
    evaluate_in_process("labels.csv", "--predictions", "results.csv", "--out", "all.json")
    assert "faces" not in json.loads(Path("all.json").read_text())


def test_options_of_face_detection_need_faces(evaluation_inputs: Any) -> None:
    with pytest.raises(UsageError, match="--min-face: only with --faces"):
        evaluate_in_process("labels.csv", "--min-face", "40")
    assert not any("--largest" in parameter.opts for parameter in get_command(app).params)
