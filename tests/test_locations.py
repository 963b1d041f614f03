"""Checkpoints are found in an installed package, in a checkout, in a folder, or as single files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from conftest import REPOSITORY
from democlass.errors import CheckpointError
from democlass.networks.locations import BUILT_IN, Location, built_in_folder, locate
from democlass.tasks import TASKS

pytestmark = pytest.mark.slow

GENDER, RACE = TASKS


def test_built_in_checkpoints_exist() -> None:
    for task in TASKS:
        assert locate(task) == Location(built_in_folder() / task.checkpoint, "built in")


def test_folder_is_used_before_built_in_and_file_before_folder(tmp_path: Path) -> None:
    for name in (GENDER.checkpoint, RACE.checkpoint, "mine.pth"):
        (tmp_path / name).touch()
    folder, file = Location(tmp_path, "option --weights"), Location(tmp_path / "mine.pth", "option --gender-checkpoint")
    assert locate(GENDER, folder=folder) == Location(tmp_path / "model_checkpoint.pth", "option --weights")
    assert locate(GENDER, folder=folder, file=file) == file


def test_error_for_a_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"perceived race.*\(option --weights\): give a race checkpoint.*best_model\.pth"
    ):
        locate(RACE, folder=Location(tmp_path, "option --weights"))


def test_error_for_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no folder of checkpoints at .*none \(option --weights\)"):
        locate(RACE, folder=Location(tmp_path / "none", "option --weights"))


LOCATE = """
import json
from democlass.networks.locations import locate
from democlass.tasks import TASKS
locations = {task.name: locate(task) for task in TASKS}
print(json.dumps({name: [str(location.path), location.origin] for name, location in locations.items()}))
"""


def locations_of(python: Path | str, cwd: Path, **env: str) -> dict[str, Path]:
    """Return the paths of the checkpoints that a Python interpreter uses by default. They must be built in."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([python, "-c", LOCATE], cwd=cwd, env={**clean, **env}, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    found = json.loads(result.stdout)
    assert all(origin == BUILT_IN for _, origin in found.values())
    return {name: Path(path) for name, (path, _) in found.items()}


@pytest.fixture
def empty_venv(tmp_path: Path) -> Path:
    """A new virtual environment without packages. It uses the dependencies of this environment, which need gigabytes,
    but not its democlass or its .pth files."""
    folder = tmp_path / "venv"
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def pip_install(python: Path, *words: str | Path) -> None:
    """Install with the pip of this environment, which saves the time to install another one."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, *words]
    result = subprocess.run(command, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_wheel_contains_the_weights(empty_venv: Path, tmp_path: Path) -> None:
    pip_install(empty_venv, REPOSITORY)
    found = locations_of(empty_venv, tmp_path)
    assert all(path.is_relative_to(tmp_path / "venv") for path in found.values())


def test_editable_install_uses_the_weights_of_the_checkout(empty_venv: Path, tmp_path: Path) -> None:
    pip_install(empty_venv, "--editable", REPOSITORY)
    found = locations_of(empty_venv, tmp_path)
    assert found["race"].samefile(REPOSITORY / "weights" / "best_model.pth")


def test_checkout_uses_its_own_weights(tmp_path: Path) -> None:
    found = locations_of(sys.executable, tmp_path, PYTHONPATH=str(REPOSITORY / "src"))
    assert found["gender"].samefile(REPOSITORY / "weights" / "model_checkpoint.pth")
