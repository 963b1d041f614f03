"""Checkpoints are found: built in, in a folder, or named one by one; from a wheel, an editable install, a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from conftest import REPOSITORY
from democlass.errors import CheckpointError
from democlass.networks.locations import Location, built_in_folder, locate
from democlass.tasks import TASKS

GENDER, RACE = TASKS


def test_built_in_checkpoints_are_there() -> None:
    for task in TASKS:
        assert locate(task) == Location(built_in_folder() / task.checkpoint, "built in")


def test_a_folder_takes_the_place_of_the_built_in_one_and_a_file_of_both(tmp_path: Path) -> None:
    for name in (GENDER.checkpoint, RACE.checkpoint, "mine.pth"):
        (tmp_path / name).touch()
    folder, file = Location(tmp_path, "option --weights"), Location(tmp_path / "mine.pth", "option --gender-checkpoint")
    assert locate(GENDER, folder=folder) == Location(tmp_path / "model_checkpoint.pth", "option --weights")
    assert locate(GENDER, folder=folder, file=file) == file


def test_a_missing_checkpoint_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"perceived race.*\(option --weights\): give a race checkpoint.*best_model\.pth"
    ):
        locate(RACE, folder=Location(tmp_path, "option --weights"))


def found_by(python: Path | str, cwd: Path, **env: str) -> dict[str, dict[str, str]]:
    """Ask a Python which checkpoints it would use."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [python, "-m", "democlass", "weights", "--format", "json"], cwd=cwd, env={**clean, **env}, capture_output=True
    )
    assert answer.returncode == 0, answer.stderr.decode()
    found: dict[str, dict[str, str]] = json.loads(answer.stdout)
    return found


@pytest.fixture
def empty_venv(tmp_path: Path) -> Path:
    """A new virtual environment in which nothing is installed; it borrows the dependencies of this one, which are
    gigabytes, but neither this one's democlass nor its .pth files."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin" / "python"


def pip(python: Path, *words: str | Path) -> None:
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    result = subprocess.run([python, "-m", "pip", "install", *options, *words], capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_a_wheel_carries_its_weights(empty_venv: Path, tmp_path: Path) -> None:
    pip(empty_venv, REPOSITORY)
    found = found_by(empty_venv, tmp_path)
    assert {task: answer["why"] for task, answer in found.items()} == {"gender": "built in", "race": "built in"}
    assert all(Path(answer["path"]).is_relative_to(tmp_path / "venv") for answer in found.values())


def test_an_editable_install_finds_the_checkouts_weights(empty_venv: Path, tmp_path: Path) -> None:
    pip(empty_venv, "--editable", REPOSITORY)
    found = found_by(empty_venv, tmp_path)
    assert Path(found["race"]["path"]).samefile(REPOSITORY / "weights" / "best_model.pth")


def test_a_bare_checkout_finds_its_weights(tmp_path: Path) -> None:
    found = found_by(sys.executable, tmp_path, PYTHONPATH=str(REPOSITORY / "src"))
    assert Path(found["gender"]["path"]).samefile(REPOSITORY / "weights" / "model_checkpoint.pth")
