"""A third task is one more entry in the task table: no command needs another line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import EXAMPLES, REPOSITORY, TinyNetwork, environment, save_tiny_weights, tiny_tasks
from democlass.tasks import Geometry, Task

AGE = Task("age-group", "perceived age", ("Young", "Middle", "Old"), Geometry.SQUASH, TinyNetwork, "age.pth")
TASKS = (*tiny_tasks(), AGE)
PHOTO = EXAMPLES / "grace_hopper.jpg"
SETUP = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from dataclasses import replace
from democlass import tasks

def tiny(outputs):
    from conftest import TinyNetwork  # only now: it imports modules that look at the table
    return TinyNetwork(outputs)

age = tasks.Task({AGE.name!r}, {AGE.title!r}, {AGE.labels!r}, tasks.Geometry.SQUASH, tiny, {AGE.checkpoint!r})
tasks.TASKS = (*(replace(task, network=tiny) for task in tasks.TASKS), age)
from democlass import cli
"""

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def classify(tmp_path: Path) -> Run:
    """Run the command with three tasks, in an empty folder but for their weights."""
    (tmp_path / "weights").mkdir()
    save_tiny_weights(tmp_path / "weights", TASKS)

    def run(*words: str | Path, code: str = "cli.main()", **env: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", SETUP + code, *words],
            cwd=tmp_path,
            env=environment(DEMOCLASS_WEIGHTS="weights", DEMOCLASS_DEVICE="cpu", **env),
            capture_output=True,
            timeout=120,
        )

    return run


def ok(result: subprocess.CompletedProcess[bytes]) -> str:
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def test_batch_has_its_columns(classify: Run, tmp_path: Path) -> None:
    ok(classify("batch", PHOTO, "--out", "r.csv"))
    header, row = (tmp_path / "r.csv").read_text().splitlines()
    assert "age-group,age-group_confidence," in header and header.endswith(
        "age-group_Young,age-group_Middle,age-group_Old"
    )
    assert sum(map(float, row.split(",")[-3:])) == pytest.approx(1, abs=1e-5)


def test_its_option_and_its_environment_say_which_checkpoint_and_labels(classify: Run, tmp_path: Path) -> None:
    content = torch.load(tmp_path / "weights" / "age.pth", weights_only=True)
    torch.save({"model_state_dict": content["model_state_dict"]}, tmp_path / "mine.pth")
    words, labels = ("weights", "-f", "json", "--age-group-checkpoint", "mine.pth"), "Old,Middle,Young"
    result = classify(*words, DEMOCLASS_AGE_GROUP_LABELS=labels)
    found = json.loads(ok(result))
    assert list(found) == ["gender", "race", "age-group"] and not result.stderr
    mine = found["age-group"]
    assert (mine["path"], mine["why"]) == ("mine.pth", "option --age-group-checkpoint")
    assert mine["labels"] == labels.split(",")


def test_a_missing_checkpoint_names_its_option(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "weights" / "age.pth").unlink()
    result = classify(PHOTO)
    assert result.returncode == 1 and b"--age-group-checkpoint FILE" in result.stderr
    assert result.stderr.count(b"\n") == 1


def test_every_command_that_loads_networks_has_its_options(classify: Run) -> None:
    code = (
        "for name in ('classify', 'batch', 'weights', 'evaluate', 'serve'):\n"
        "    found = {each.opts[0]: each for each in cli.command(name).params}\n"
        "    assert 'age.pth (age-group)' in found['--weights'].help, name\n"
        "    for option in ('--age-group-checkpoint', '--age-group-labels'):\n"
        "        assert found[option].envvar == 'DEMOCLASS' + option.upper().replace('-', '_')[1:], name\n"
        "        assert 'age' in found[option].help, name\n"
    )
    ok(classify(code=code))


def test_evaluate_judges_it(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"path,age-group,gender\n{PHOTO},Old,Female\n")
    said = ok(classify("evaluate", "labels.csv", "--out", "e.json"))
    assert "perceived age" in said and "by age-group" in said
    assert json.loads((tmp_path / "e.json").read_text())["tasks"]["age-group"]["n"] == 1
