"""`classify weights`: which checkpoints are in use, and why."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from conftest import REPOSITORY, Run, in_terminal

WEIGHTS = REPOSITORY / "weights"


def test_the_built_in_ones(classify: Run) -> None:
    answer = json.loads(classify("weights", "--format", "json").stdout)
    assert list(answer) == ["gender", "race"]
    assert answer["gender"]["why"] == "built in" and answer["gender"]["labels"] == ["Female", "Male"]
    for task, file in (("gender", "model_checkpoint.pth"), ("race", "best_model.pth")):
        assert answer[task]["sha256"] == hashlib.sha256((WEIGHTS / file).read_bytes()).hexdigest()


def test_why_each_is_in_use(classify: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(WEIGHTS)
    answer = json.loads(
        classify(
            "weights",
            "-f",
            "json",
            "--gender-checkpoint",
            "mine/model_checkpoint.pth",
            env={"DEMOCLASS_WEIGHTS": "mine"},
        ).stdout
    )
    assert answer["gender"]["why"] == "option --gender-checkpoint"
    assert answer["race"]["why"] == "environment DEMOCLASS_WEIGHTS"
    assert answer["race"]["path"] == "mine/best_model.pth"


def test_a_person_reads_perceived(classify: Run) -> None:
    said = classify("weights").stdout.decode()
    assert "perceived gender" in said and "perceived race" in said and "Latino_Hispanic" in said


def test_a_card_is_an_outline_that_fits_a_narrow_terminal(tmp_path: Path) -> None:
    said = in_terminal("weights", cwd=tmp_path, width=80)
    assert re.search(r"^ {4}groups *\r?$", said, re.MULTILINE)
    assert re.search(r"^ {4}step \d+, size \d+, accuracy 0\.\d+", said, re.MULTILINE)
    assert re.search(r"^ {10}Black: \d\d\.\d%", said, re.MULTILINE)


def test_a_checkpoint_that_does_not_fit_is_refused(classify: Run) -> None:
    result = classify("weights", "--gender-checkpoint", WEIGHTS / "best_model.pth")
    assert (
        result.returncode == 1
        and b"takes each of Female,Male once" in result.stderr
        and result.stderr.count(b"\n") == 1
    )
