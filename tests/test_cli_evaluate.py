"""`classify evaluate`: outputs that never cost an input or a file, and ends that say what happened."""

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

from conftest import EXAMPLES, REPOSITORY, Run, command, environment, in_terminal
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
def found(inputs: list[tuple[str, Path]]) -> dict[str, Any]:
    return evaluate(read_labels(Path("labels.csv")), Path("results.csv"))


def asked(options: dict[str, str]) -> Reports:
    paths: dict[str, Any] = {option: Path(name) for option, name in options.items()}
    return Reports(**paths)


@pytest.mark.parametrize(
    "name", ["labels.csv", "./labels.csv", "sub/../labels.csv", "link", "hard", "labels", "folder/x"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_output_is_an_input(name: str, overwrite: bool, inputs: list[tuple[str, Path]], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("labels.csv")
    (tmp_path / "folder").symlink_to(".")
    os.link("labels.csv", "hard")
    os.link("labels.csv", "x")
    os.link("labels.csv", "labels.new")  # what is written first
    for option in ("out", "html"):
        with pytest.raises(
            OutputError, match=rf"--{option} .* would replace labels.csv, the labels file: give another"
        ):
            asked({option: name}).check(inputs, overwrite=overwrite)


def test_no_picture_is_an_input(inputs: list[tuple[str, Path]]) -> None:
    Path("card").mkdir()
    Path("card/race-groups.svg").symlink_to("../results.csv")
    with pytest.raises(
        OutputError, match=r"--markdown card/race-groups.svg would replace results.csv, the predictions"
    ):
        Reports(markdown=Path("card.md")).check(inputs, overwrite=True)


def test_no_output_is_an_image(inputs: list[tuple[str, Path]]) -> None:
    Path("a.jpg").write_bytes(b"pixels")
    Path("out").symlink_to("a.jpg")
    reports = Reports(out=Path("out"))
    reports.check(inputs, overwrite=True)
    with pytest.raises(OutputError, match=r"--out out would replace .*a.jpg, an image of the labels file"):
        reports.refuse_images(example.path for example in read_labels(Path("labels.csv")).examples)
    Reports(html=Path("other.html")).refuse_images(["a.jpg", "gone.jpg"])


@pytest.mark.parametrize(
    ("options", "said"),
    [({"out": "there"}, "^there exists: --overwrite replaces it"), ({"html": "left"}, "^left.new exists: --overwrite"),
     ({"markdown": "card.md"}, "^card/gender-groups.svg exists: --overwrite"),
     ({"out": "link"}, "^link exists: --overwrite")],
)  # fmt: skip
def test_what_is_there_is_replaced_only_when_asked(options: dict[str, str], said: str, inputs: Any) -> None:
    for name in ("there", "left.new", "card/gender-groups.svg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    Path("link").symlink_to("there")
    with pytest.raises(OutputError, match=said):
        asked(options).check(inputs, overwrite=False)
    asked(options).check(inputs, overwrite=True)
    assert Path("there").read_text() == Path("card/gender-groups.svg").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"out": "folder"}, "folder is a folder: give --out a file in it"), ({"html": ""}, ". is a folder"),
     ({"out": "none/x.json"}, "there is no folder .*none; make it first"),
     ({"out": "labels.csv/x"}, "Not a directory"), ({"html": "loop"}, "symbolic link"),
     ({"html": "x" * 252}, "File name too long"), ({"out": "/proc/x.json"}, "can't write /proc/x.json"),
     ({"out": "x.json", "html": "./x.json"}, "--out x.json and --html x.json need the same file"),
     ({"out": "x", "html": "x.new"}, "--out x and --html x.new need the same file"),
     ({"out": "x.json", "html": "dangling"}, "need the same file"),
     ({"out": "card", "markdown": "card.md"}, "card is wanted as a file and as a folder"),
     ({"out": "card/race-coverage.svg", "markdown": "card.md"}, "need the same file"),
     ({"markdown": "labels.md"}, "Not a directory"), ({"markdown": "card"}, "must end in .md"),
     ({"markdown": "folder.md/card.md"}, "there is no folder")],
)  # fmt: skip
def test_places_that_can_not_be_written_are_told_before_the_run(
    options: dict[str, str], said: str, inputs: list[tuple[str, Path]]
) -> None:
    Path("folder").mkdir()
    Path("labels").write_text("")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("x.json")
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError, match=said):
        asked(options).check(inputs, overwrite=True)
    assert sorted(Path().rglob("*")) == before


def test_rights_that_lack_are_told_before_the_run(
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
                asked(options).check(inputs, overwrite=True)
        Reports(out=Path("open/x"), markdown=Path("open/y.md")).check(inputs, overwrite=False)


def test_files_are_replaced_in_one_step_and_links_are_written_through(found: dict[str, Any]) -> None:
    Path("old.json").write_text("old")
    os.link("old.json", "kept")
    Path("link").symlink_to("old.json")
    reports = Reports(out=Path("link"), markdown=Path("card.md"))
    reports.check([], overwrite=True)
    reports.write(found)
    assert Path("kept").read_text() == "old" and Path("link").is_symlink()
    assert json.loads(Path("old.json").read_text())["tasks"].keys() == {"gender"}
    assert len(list(Path("card").iterdir())) == 4 and not list(Path().rglob("*.new"))


def test_a_place_that_fails_costs_neither_what_is_there_nor_the_others(found: dict[str, Any]) -> None:
    for name in ("sub", "other"):
        Path(name).mkdir()
        Path(name, "x").write_text("old")
    reports = Reports(out=Path("sub/x"), html=Path("x.html"))
    reports.check([], overwrite=True)
    Path("sub").rename("gone")
    with pytest.raises(WriteError, match=r"can't write sub/x: No such file"):
        reports.write(found)
    assert Path("gone/x").read_text() == "old" and Path("x.html").exists()
    with pytest.raises(WriteError, match=os.strerror(errno.ENOSPC)):
        Reports(out=Path("/dev/full")).write(found)
    reports = Reports(out=Path("/dev/null"))
    reports.check([], overwrite=False)
    reports.write(found)


def test_checkpoints_that_can_have_no_card_are_told_before_the_run(unprivileged: Unprivileged, tmp_path: Path) -> None:
    state = {"fc.weight": torch.zeros(2, 3)}
    torch.save(state, tmp_path / "bare.pth")
    save_file(state, tmp_path / "x.safetensors")
    torch.save({"model_state_dict": state}, tmp_path / "whole.pth")
    check_cards({"gender": tmp_path / "whole.pth"})
    for name in ("bare.pth", "x.safetensors"):
        with pytest.raises(CheckpointError, match="can have no card"):
            check_cards({"gender": tmp_path / name})
    with unprivileged(), pytest.raises(OutputError, match=r"whole.pth \(--card\): it is write-protected"):
        check_cards({"gender": tmp_path / "whole.pth"})


def test_the_command_classifies_and_judges(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,gender,race\nastronaut.png,Female,White\ngrace_hopper.jpg,Female,Martian\n"
    )
    words = ["evaluate", "labels.csv", "--root", str(EXAMPLES), "--out", "found.json", "--html", "found.html",
             "--markdown", "found.md"]  # fmt: skip
    done = classify(*words)
    assert done.returncode == 0, done.stderr.decode()
    assert b"1 rows: race 'Martian' is no label of ours" in done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["tasks"]["gender"]["n"] == 2 and found["tasks"]["race"]["n"] == 1
    assert len(found["checkpoints"]["race"]["sha256"]) == 64
    assert (tmp_path / "found.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "found.md").exists() and (tmp_path / "found").is_dir()
    again = classify(*words)
    assert again.returncode == 2 and again.stderr == b"classify: found.json exists: --overwrite replaces it\n"
    lost = classify("evaluate", "labels.csv", "--root", str(EXAMPLES), "--html", "labels.csv", "--overwrite")
    assert lost.returncode == 2 and b"would replace labels.csv, the labels file" in lost.stderr
    assert (tmp_path / "labels.csv").read_text().startswith("file,gender,race")


def test_results_that_are_there_need_no_second_run(inputs: Any, tmp_path: Path) -> None:
    shown = in_terminal("evaluate", "labels.csv", "--predictions", "results.csv", cwd=tmp_path)
    assert "perceived gender: 100.0% (20.7% to 100.0%) of 1 images right" in shown
    assert "by gender" in shown and "over the 1 of 2 labels that the data has" in shown


def test_ends_of_standard_output(inputs: Any, tmp_path: Path) -> None:
    words = command("evaluate", "labels.csv", "--predictions", "results.csv", "--out")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone, open("/dev/full", "wb") as full:
        ends = [
            subprocess.Popen([*words, name], stdout=out, stderr=subprocess.PIPE, cwd=tmp_path, env=environment())
            for name, out in (("gone.json", gone), ("full.json", full))
        ]
    told = [process.communicate(timeout=300)[1] for process in ends]
    assert [process.returncode for process in ends] == [141, 1]
    assert told == [b"", b"classify: can't write to standard output: No space left on device\n"]
    assert Path("gone.json").exists() and Path("full.json").exists()


def test_labels_are_no_predictions(classify: Run, inputs: Any) -> None:
    done = classify("evaluate", "results.csv", "--predictions", "./results.csv")
    assert done.returncode == 2 and b"given as labels and as predictions" in done.stderr


def test_figures_go_on_the_cards_of_the_checkpoints_judged(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender,race\nastronaut.png,Female,White\n")
    (tmp_path / "store").mkdir()
    for name in ("model_checkpoint.pth", "best_model.pth"):
        shutil.copy(REPOSITORY / "weights" / name, tmp_path / "store")
        (tmp_path / name).symlink_to(f"store/{name}")
    done = classify("evaluate", "labels.csv", "--root", str(EXAMPLES), "--weights", ".", "--card", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "best_model.pth").is_symlink()
    card = load(Location(tmp_path / "store/best_model.pth"), TASKS[1]).card["evaluation"]
    assert card["data"] == "labels.csv" and card["accuracy"]["n"] == 1
    refused = classify("evaluate", "labels.csv", "--predictions", "x.csv", "--card")
    assert refused.returncode == 2 and b"leave --predictions out" in refused.stderr


def test_labels_that_contradict_their_probabilities_are_refused(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,gender\na.jpg,Male\n")
    races = ",".join(["0.5", "0.1", "0.1", "0.1", "0.1", "0.1"])
    names = ["Asian", "Black", "Indian", "Latino_Hispanic", "Middle_Eastern", "White"]
    columns = ["path", "status", "error", "gender", "gender_Male", "gender_Female", *(f"race_{name}" for name in names)]
    for label, code in (("Male", 0), ("uncertain", 0), ("Female", 2), ("Dog", 2)):
        text = f"{','.join([*columns, 'race'])}\na.jpg,ok,,{label},0.9,0.1,{races},Asian\n"
        (tmp_path / "results.csv").write_text(text)
        done = classify("evaluate", "labels.csv", "--predictions", "results.csv")
        assert done.returncode == code, done.stderr.decode()
        assert (b"is not its most probable one" in done.stderr) == (code == 2)
