"""Output files of `classify evaluate`: checked before the run; inputs and existing files are never lost."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from democlass.errors import CheckpointError, OutputError, UsageError, WriteError
from democlass.evaluate.cards import check_cards
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.reports import Reports
from democlass.inputs.labels import read_labels

pytestmark = pytest.mark.slow

Unprivileged = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def evaluation(evaluation_inputs: list[tuple[str, Path]]) -> dict[str, Any]:
    return evaluate(read_labels(Path("labels.csv")), Path("results.csv"))


def reports_for(options: dict[str, str]) -> Reports:
    paths: dict[str, Any] = {option: Path(name) for option, name in options.items()}
    return Reports(**paths)


@pytest.mark.parametrize(
    "name", ["labels.csv", "./labels.csv", "sub/../labels.csv", "link", "hard", "labels", "folder/x"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_never_replace_an_input(
    name: str, overwrite: bool, evaluation_inputs: list[tuple[str, Path]], tmp_path: Path
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
            reports_for({option: name}).check(evaluation_inputs, overwrite=overwrite)


def test_charts_never_replace_an_input(evaluation_inputs: list[tuple[str, Path]]) -> None:
    Path("card").mkdir()
    Path("card/race-groups.svg").symlink_to("../results.csv")
    with pytest.raises(
        OutputError, match=r"--markdown card/race-groups.svg would replace results.csv, the predictions"
    ):
        Reports(markdown=Path("card.md")).check(evaluation_inputs, overwrite=True)


def test_outputs_never_replace_an_image(evaluation_inputs: list[tuple[str, Path]]) -> None:
    Path("a.jpg").write_bytes(b"pixels")
    Path("out").symlink_to("a.jpg")
    reports = Reports(out=Path("out"))
    reports.check(evaluation_inputs, overwrite=True)
    with pytest.raises(OutputError, match=r"--out out would replace .*a.jpg, an image of the labels file"):
        reports.check_images(example.path for example in read_labels(Path("labels.csv")).examples)
    Reports(html=Path("other.html")).check_images(["a.jpg", "gone.jpg"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"out": "there"}, "^there exists: --overwrite replaces it"), ({"html": "left"}, "^left.new exists: --overwrite"),
     ({"markdown": "card.md"}, "^card/gender-groups.svg exists: --overwrite"),
     ({"out": "link"}, "^link exists: --overwrite")],
)  # fmt: skip
def test_existing_files_are_replaced_only_with_overwrite(
    options: dict[str, str], message: str, evaluation_inputs: Any
) -> None:
    for name in ("there", "left.new", "card/gender-groups.svg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    Path("link").symlink_to("there")
    with pytest.raises(OutputError, match=message):
        reports_for(options).check(evaluation_inputs, overwrite=False)
    reports_for(options).check(evaluation_inputs, overwrite=True)
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
    options: dict[str, str], message: str, evaluation_inputs: list[tuple[str, Path]]
) -> None:
    Path("folder").mkdir()
    Path("labels").write_text("")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("x.json")
    before = sorted(Path().rglob("*"))
    with pytest.raises(UsageError, match=message):
        reports_for(options).check(evaluation_inputs, overwrite=True)
    assert sorted(Path().rglob("*")) == before


def test_missing_permissions_are_reported_before_the_run(
    unprivileged: Unprivileged, evaluation_inputs: list[tuple[str, Path]], tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open/protected").write_text("")
    (tmp_path / "open/protected").chmod(0o444)
    with unprivileged():
        for options in ({"out": "locked/x"}, {"markdown": "locked/x.md"}, {"html": "open/protected"}, {"out": "x"}):
            with pytest.raises(OutputError, match=r"Permission denied|write-protected"):
                reports_for(options).check(evaluation_inputs, overwrite=True)
        Reports(out=Path("open/x"), markdown=Path("open/y.md")).check(evaluation_inputs, overwrite=False)


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
