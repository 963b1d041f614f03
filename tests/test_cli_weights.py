"""`classify weights`: which checkpoints are in use, and why."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

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


def shown(*words: str, cwd: Path, width: int) -> str:
    """Return the text that the command shows on a terminal, without its styles."""
    return re.sub(r"\x1b\[[0-9;]*m", "", in_terminal("weights", *words, cwd=cwd, width=width))


@pytest.mark.parametrize("width", [80, 50])
def test_both_fit_a_screen_of_24_lines_and_nothing_is_cut(width: int) -> None:
    said = shown("--weights", "weights", cwd=REPOSITORY, width=width)
    lines = said.splitlines()
    assert len(lines) < 24 and all(len(line) <= width for line in lines)
    flat = " ".join(said.split())
    for text in ("perceived gender", "perceived race", "Female, Male", "Latino_Hispanic", "option --weights"):
        assert text in flat
    assert len(re.findall(r"sha256 +[0-9a-f]{12}…", said)) == 2
    assert len(re.findall(r"temperature +[\d.]+", said)) == 2
    assert len(re.findall(r"accuracy \d\d\.\d% \(\d\d\.\d% to \d\d\.\d%\) of [\d,]+ images of \S+", flat)) == 2
    assert lines[-1].startswith("--verbose shows the whole card")


def test_verbose_shows_the_whole_card_as_an_outline_that_fits_a_narrow_terminal(tmp_path: Path) -> None:
    said = shown("--verbose", cwd=tmp_path, width=80)
    assert re.search(r"^ {4}groups *\r?$", said, re.MULTILINE)
    assert re.search(r"^ {4}step \d+, size \d+, accuracy 0\.\d+", said, re.MULTILINE)
    assert re.search(r"^ {10}Black: \d\d\.\d%", said, re.MULTILINE)
    assert len(re.findall(r"sha256 +[0-9a-f]{64}", said)) == 2 and "--verbose" not in said


SHARE = {"share": 0.5, "low": 0.4, "high": 0.6, "n": 10}
ODD = {
    "tensor": torch.zeros(3),
    "nan": float("nan"),
    "long": 10**400,
    "bytes": b"\xff",
    7: {None: "x"},
    "text": "line\nbreak \x1b[31m \ud800",
    "shares": [SHARE | {"share": "much"}, SHARE | {"n": None}, SHARE],
    "evaluation": {"accuracy": SHARE | {"low": [1]}, "data": "val.csv"},
    "choose": {"accuracy": 0.75},
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    content = torch.load(WEIGHTS / "model_checkpoint.pth", weights_only=True)
    torch.save({**content, "card": ODD}, tmp_path / "odd.pth")
    return tmp_path / "odd.pth"


def test_a_card_of_odd_values_is_shown(classify: Run, odd: Path) -> None:
    for words in ((), ("--verbose",)):
        result = classify("weights", "--gender-checkpoint", odd, *words)
        assert result.returncode == 0 and not result.stderr
        said = result.stdout.decode()
        assert "\x1b" not in said
        assert ("tensor: (Tensor)" in said and "nan: nan" in said and r"line\nbreak \x1b[31m" in said) == bool(words)
        assert ("accuracy     75.0% of data that is not named, after training" in said) == (not words)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_json_is_valid_whatever_a_card_holds(classify: Run, odd: Path) -> None:
    result = classify("weights", "--format", "json", "--gender-checkpoint", odd)
    card = json.loads(result.stdout, parse_constant=refuse_constant)["gender"]["card"]
    assert (card["tensor"], card["nan"], card["long"], card["7"]) == ("(Tensor)", "nan", "(int)", {"None": "x"})


def test_a_checkpoint_that_does_not_fit_is_refused(classify: Run) -> None:
    result = classify("weights", "--gender-checkpoint", WEIGHTS / "best_model.pth")
    assert (
        result.returncode == 1
        and b"takes each of Female,Male once" in result.stderr
        and result.stderr.count(b"\n") == 1
    )
