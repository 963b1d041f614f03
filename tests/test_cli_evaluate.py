"""`classify evaluate`: inputs and existing files are never lost, and every failure has a message."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.main import get_command

from conftest import EXAMPLES, REPOSITORY, command, environment, in_terminal
from democlass.cli.evaluate import app
from democlass.errors import CheckpointError, OutputError, UsageError, WriteError
from democlass.evaluate.cards import check_cards
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.reports import Reports
from democlass.inputs.labels import read_labels
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.tasks import TASKS
from test_evaluate import prediction, results

Unprivileged = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Labels and predictions of one image in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\n")
    results(tmp_path, [prediction(str(tmp_path / "a.jpg"), 0.1)])
    return [("the labels file", Path("labels.csv")), ("the predictions", Path("results.csv"))]


@pytest.fixture
def evaluation(inputs: list[tuple[str, Path]]) -> dict[str, Any]:
    return evaluate(read_labels(Path("labels.csv")), Path("results.csv"))


def reports_for(options: dict[str, str]) -> Reports:
    paths: dict[str, Any] = {option: Path(name) for option, name in options.items()}
    return Reports(**paths)


@pytest.mark.parametrize(
    "name", ["labels.csv", "./labels.csv", "sub/../labels.csv", "link", "hard", "labels", "folder/x"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_never_replace_an_input(
    name: str, overwrite: bool, inputs: list[tuple[str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("labels.csv")
    (tmp_path / "folder").symlink_to(".")
    os.link("labels.csv", "hard")
    os.link("labels.csv", "x")
    os.link("labels.csv", "labels.new")  # the temporary file
    for option in ("out", "html"):
        with pytest.raises(
            OutputError, match=rf"--{option} .* would replace labels.csv, the labels file: choose another name"
        ):
            reports_for({option: name}).check(inputs, overwrite=overwrite)


def test_charts_never_replace_an_input(inputs: list[tuple[str, Path]]) -> None:
    Path("card").mkdir()
    Path("card/race-groups.svg").symlink_to("../results.csv")
    with pytest.raises(
        OutputError, match=r"--markdown card/race-groups.svg would replace results.csv, the predictions"
    ):
        Reports(markdown=Path("card.md")).check(inputs, overwrite=True)


def test_outputs_never_replace_an_image(inputs: list[tuple[str, Path]]) -> None:
    Path("a.jpg").write_bytes(b"pixels")
    Path("out").symlink_to("a.jpg")
    reports = Reports(out=Path("out"))
    reports.check(inputs, overwrite=True)
    with pytest.raises(OutputError, match=r"--out out would replace .*a.jpg, an image of the labels file"):
        reports.check_images(example.path for example in read_labels(Path("labels.csv")).examples)
    Reports(html=Path("other.html")).check_images(["a.jpg", "gone.jpg"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"out": "there"}, "^there exists: --overwrite replaces it"), ({"html": "left"}, "^left.new exists: --overwrite"),
     ({"markdown": "card.md"}, "^card/gender-groups.svg exists: --overwrite"),
     ({"out": "link"}, "^link exists: --overwrite")],
)  # fmt: skip
def test_existing_files_are_replaced_only_with_overwrite(options: dict[str, str], message: str, inputs: Any) -> None:
    for name in ("there", "left.new", "card/gender-groups.svg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    Path("link").symlink_to("there")
    with pytest.raises(OutputError, match=message):
        reports_for(options).check(inputs, overwrite=False)
    reports_for(options).check(inputs, overwrite=True)
    assert Path("there").read_text() == Path("card/gender-groups.svg").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"out": "folder"}, "folder is a folder: give --out the name of a file"), ({"html": ""}, ". is a folder"),
     ({"out": "none/x.json"}, "there is no folder .*none; create it first"),
     ({"out": "labels.csv/x"}, "Not a directory"), ({"html": "loop"}, "symbolic link"),
     ({"html": "x" * 252}, "File name too long"), ({"out": "/proc/x.json"}, "can't write /proc/x.json"),
     ({"out": "x.json", "html": "./x.json"}, "--out x.json and --html x.json need the same file"),
     ({"out": "x", "html": "x.new"}, "--out x and --html x.new need the same file"),
     ({"out": "x.json", "html": "dangling"}, "need the same file"),
     ({"out": "card", "markdown": "card.md"}, "card is needed as a file and as a folder"),
     ({"out": "card/race-coverage.svg", "markdown": "card.md"}, "need the same file"),
     ({"markdown": "labels.md"}, "Not a directory"), ({"markdown": "card"}, "end the name in .md"),
     ({"markdown": "folder.md/card.md"}, "there is no folder")],
)  # fmt: skip
def test_unsuitable_outputs_are_refused_before_the_run(
    options: dict[str, str], message: str, inputs: list[tuple[str, Path]]
) -> None:
    Path("folder").mkdir()
    Path("labels").write_text("")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("x.json")
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError, match=message):
        reports_for(options).check(inputs, overwrite=True)
    assert sorted(Path().rglob("*")) == before


def test_missing_permissions_are_reported_before_the_run(
    unprivileged: Unprivileged, inputs: list[tuple[str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open/protected").write_text("")
    (tmp_path / "open/protected").chmod(0o444)
    with unprivileged():
        for options in ({"out": "locked/x"}, {"markdown": "locked/x.md"}, {"html": "open/protected"}, {"out": "x"}):
            with pytest.raises(OutputError, match=r"Permission denied|write-protected"):
                reports_for(options).check(inputs, overwrite=True)
        Reports(out=Path("open/x"), markdown=Path("open/y.md")).check(inputs, overwrite=False)


def test_files_are_replaced_atomically_and_symlinks_are_followed(evaluation: dict[str, Any]) -> None:
    Path("old.json").write_text("old")
    os.link("old.json", "kept")
    Path("link").symlink_to("old.json")
    reports = Reports(out=Path("link"), markdown=Path("card.md"))
    reports.check([], overwrite=True)
    reports.write(evaluation)
    assert Path("kept").read_text() == "old" and Path("link").is_symlink()
    assert json.loads(Path("old.json").read_text())["tasks"].keys() == {"gender"}
    assert len(list(Path("card").iterdir())) == 4 and not list(Path().rglob("*.new"))


def test_if_one_file_can_not_be_written_the_others_are(evaluation: dict[str, Any]) -> None:
    for name in ("sub", "other"):
        Path(name).mkdir()
        Path(name, "x").write_text("old")
    reports = Reports(out=Path("sub/x"), html=Path("x.html"))
    reports.check([], overwrite=True)
    Path("sub").rename("gone")
    with pytest.raises(WriteError, match=r"can't write sub/x: No such file"):
        reports.write(evaluation)
    assert Path("gone/x").read_text() == "old" and Path("x.html").exists()
    with pytest.raises(WriteError, match=os.strerror(errno.ENOSPC)):
        Reports(out=Path("/dev/full")).write(evaluation)
    reports = Reports(out=Path("/dev/null"))
    reports.check([], overwrite=False)
    reports.write(evaluation)


def test_checkpoints_without_room_for_a_card_are_refused_before_the_run(
    unprivileged: Unprivileged, tmp_path: Path
) -> None:
    state = {"fc.weight": torch.zeros(2, 3)}
    torch.save(state, tmp_path / "bare.pth")
    save_file(state, tmp_path / "x.safetensors")
    torch.save({"model_state_dict": state}, tmp_path / "whole.pth")
    check_cards({"gender": tmp_path / "whole.pth"})
    for name in ("bare.pth", "x.safetensors"):
        with pytest.raises(CheckpointError, match="can't have a card"):
            check_cards({"gender": tmp_path / name})
    with unprivileged(), pytest.raises(OutputError, match=r"whole.pth \(--card\): it is write-protected"):
        check_cards({"gender": tmp_path / "whole.pth"})


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


def test_the_command_replaces_neither_reports_nor_labels(inputs: Any) -> None:
    Path("all.json").write_text("mine")
    with pytest.raises(OutputError, match=r"^all\.json exists: --overwrite replaces it"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--out", "all.json")
    with pytest.raises(OutputError, match=r"would replace labels\.csv, the labels file"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--html", "labels.csv", "--overwrite")
    assert Path("labels.csv").read_text().startswith("path,gender") and Path("all.json").read_text() == "mine"


def test_a_terminal_shows_tables(inputs: Any, tmp_path: Path) -> None:
    shown = in_terminal("evaluate", "labels.csv", "--predictions", "results.csv", cwd=tmp_path)
    assert "perceived gender: accuracy 100.0% (95 % interval 20.7% to 100.0%), 1 images" in shown
    assert "by gender" in shown and "over the 1 of 2 labels that the data has" in shown


def test_out_can_be_standard_output(inputs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_in_process("labels.csv", "--predictions", "results.csv", "--out", "-", "--html", "all.html")
    assert json.loads(capsys.readouterr().out)["tasks"]["gender"]["n"] == 1
    assert Path("all.html").exists() and not Path("-").exists()
    for option, message in (("--html", "--html - is not supported"), ("--markdown", "end the name in .md")):
        with pytest.raises(UsageError, match=message):
            evaluate_in_process("labels.csv", "--predictions", "results.csv", option, "-")


def test_a_closed_pipe_and_a_full_disk_do_not_lose_the_reports(inputs: Any, tmp_path: Path) -> None:
    words = command("evaluate", "labels.csv", "--predictions", "results.csv", "--out")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed, open("/dev/full", "wb") as full:
        processes = [
            subprocess.Popen([*words, name], stdout=out, stderr=subprocess.PIPE, cwd=tmp_path, env=environment())
            for name, out in (("closed.json", closed), ("full.json", full))
        ]
    messages = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [141, 1]
    assert messages == [b"", b"classify: can't write to standard output: No space left on device\n"]
    assert Path("closed.json").exists() and Path("full.json").exists()


def test_labels_and_predictions_must_be_different_files(inputs: Any) -> None:
    with pytest.raises(UsageError, match="given both as labels and as predictions"):
        evaluate_in_process("results.csv", "--predictions", "./results.csv")


def test_card_needs_checkpoints(inputs: Any) -> None:
    with pytest.raises(UsageError, match="remove --predictions"):
        evaluate_in_process("labels.csv", "--predictions", "results.csv", "--card")


@pytest.mark.parametrize(
    ("label", "is_accepted"), [("Male", True), ("uncertain", True), ("Female", False), ("Dog", False)]
)
def test_labels_that_contradict_their_probabilities_are_refused(label: str, is_accepted: bool, inputs: Any) -> None:
    races = dict(zip(TASKS[1].labels, ("0.5", *["0.1"] * 5), strict=True))
    row = {"path": "a.jpg", "status": "ok", "error": "", "gender": label, "gender_Male": "0.9", "gender_Female": "0.1",
           **{f"race_{name}": share for name, share in races.items()}, "race": "Asian"}  # fmt: skip
    Path("results.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    if is_accepted:
        evaluate_in_process("labels.csv", "--predictions", "results.csv")
    else:
        with pytest.raises(UsageError, match="is not the most probable one"):
            evaluate_in_process("labels.csv", "--predictions", "results.csv")
