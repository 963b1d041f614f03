"""`classify weights`: which checkpoints are used, and why."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

from conftest import REPOSITORY, Run, in_terminal
from fork_server import ForkServer

pytestmark = pytest.mark.slow

WEIGHTS = REPOSITORY / "weights"


def test_the_built_in_checkpoints(classify_here: Run) -> None:
    described = json.loads(classify_here("weights", "--format", "json").stdout)
    assert list(described) == ["gender", "race", "face_detector"]
    assert described["gender"]["why"] == "built in" and described["gender"]["labels"] == ["Female", "Male"]
    for task, file in (("gender", "model_checkpoint.pth"), ("race", "best_model.pth")):
        assert described[task]["sha256"] == hashlib.sha256((WEIGHTS / file).read_bytes()).hexdigest()


def test_the_reason_why_each_checkpoint_is_used(classify_here: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(WEIGHTS)
    words = ["weights", "-f", "json", "--gender-checkpoint", "mine/model_checkpoint.pth"]
    described = json.loads(classify_here(*words, env={"DEMOCLASS_WEIGHTS": "mine"}).stdout)
    assert described["gender"]["why"] == "option --gender-checkpoint"
    assert described["race"]["why"] == "environment DEMOCLASS_WEIGHTS"
    assert described["race"]["path"] == "mine/best_model.pth"


def test_the_face_detector_is_described(classify_here: Run) -> None:
    detector = json.loads(classify_here("weights", "--format", "json").stdout)["face_detector"]
    file = WEIGHTS / "centerface.pth"
    assert (detector["why"], Path(detector["path"])) == ("built in", file)
    assert detector["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert detector["sha256"] in (WEIGHTS / "README.md").read_text()
    assert "labels" not in detector and "temperature" not in detector
    section = classify_here("weights").stdout.decode().partition("face detector")[2]
    for line in (r"sha256 +[0-9a-f]{12}…", r"network +CenterFace \(arXiv:1911\.03599\)", "licence +MIT"):
        assert re.search(line, section)
    verbose = classify_here("weights", "--verbose").stdout.decode().partition("face detector")[2]
    assert detector["sha256"] in verbose and "trained_on WIDER FACE" in " ".join(verbose.split())


@pytest.mark.parametrize("width", [80, 50])
def test_the_table_fits_a_screen_of_24_lines_and_nothing_is_cut(width: int, classify_here: Run) -> None:
    words = ["weights", "--weights", "weights"]
    text = classify_here(*words, cwd=REPOSITORY, env={"COLUMNS": str(width)}).stdout.decode()
    lines = text.splitlines()
    assert len(lines) < (24 if width == 80 else 30) and all(len(line) <= width for line in lines)
    unwrapped = " ".join(text.split())
    for phrase in ("perceived gender", "perceived race", "Female, Male", "Latino_Hispanic", "option --weights"):
        assert phrase in unwrapped
    assert len(re.findall(r"sha256 +[0-9a-f]{12}…", text)) == 3
    assert len(re.findall(r"temperature +[\d.]+", text)) == 2
    assert len(re.findall(r"accuracy \d\d\.\d% \(\d\d\.\d% to \d\d\.\d%\) of [\d,]+ images of \S+", unwrapped)) == 2
    assert lines[-1].startswith("--verbose shows the whole card")


def test_verbose_shows_the_whole_card_as_an_outline_on_a_terminal(commands: ForkServer, tmp_path: Path) -> None:
    styled = in_terminal(commands, "weights", "--verbose", cwd=tmp_path, width=80)
    text = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert styled != text
    assert re.search(r"^ {4}groups *\r?$", text, re.MULTILINE)
    assert re.search(r"^ {4}step \d+, size \d+, accuracy 0\.\d+", text, re.MULTILINE)
    assert re.search(r"^ {10}Black: \d\d\.\d%", text, re.MULTILINE)
    assert len(re.findall(r"sha256 +[0-9a-f]{64}", text)) >= 3 and "--verbose" not in text


SHARE = {"share": 0.5, "low": 0.4, "high": 0.6, "n": 10}
ODD_CARD = {
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


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose card has values that a card of ours never has."""
    content = torch.load(WEIGHTS / "model_checkpoint.pth", weights_only=True)
    file = tmp_path_factory.mktemp("odd") / "odd.pth"
    torch.save({**content, "card": ODD_CARD}, file)
    return file


def test_a_card_with_odd_values_is_shown(classify_here: Run, odd: Path) -> None:
    for words in ((), ("--verbose",)):
        result = classify_here("weights", "--gender-checkpoint", odd, *words)
        assert result.returncode == 0 and not result.stderr
        text = result.stdout.decode()
        assert "\x1b" not in text
        assert ("tensor: (Tensor)" in text and "nan: nan" in text and r"line\nbreak \x1b[31m" in text) == bool(words)
        assert ("accuracy     75.0% of unnamed data, after training" in text) == (not words)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not valid JSON")


def test_the_json_is_valid_for_any_card(classify_here: Run, odd: Path) -> None:
    result = classify_here("weights", "--format", "json", "--gender-checkpoint", odd)
    card = json.loads(result.stdout, parse_constant=refuse_constant)["gender"]["card"]
    assert (card["tensor"], card["nan"], card["long"], card["7"]) == ("(Tensor)", "nan", "(int)", {"None": "x"})


def test_a_checkpoint_of_the_other_task_is_refused(classify_here: Run) -> None:
    result = classify_here("weights", "--gender-checkpoint", WEIGHTS / "best_model.pth")
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1
    assert b"best_model.pth" in result.stderr and b"Female,Male" in result.stderr
