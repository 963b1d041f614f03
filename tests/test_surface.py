"""The public surface, and what the documents promise of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import democlass
from conftest import REPOSITORY, Run, environment
from democlass import errors
from democlass.cli import COMMANDS, DEFAULT, command

WHERE_PEOPLE_READ = ["README.md", "MODEL_CARD.md"]


def test_the_public_surface_is_what_is_listed() -> None:
    assert democlass.__all__ == [
        *(
            "CancelledError",
            "CheckpointError",
            "Classifier",
            "DemoclassError",
            "DeviceError",
            "ImageError",
            "MissingExtraError",
        ),
        *("Outcome", "OutputError", "Prediction", "UsageError", "WriteError", "to_frame", "__version__"),
    ]
    assert all(getattr(democlass, name) for name in democlass.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        democlass.nonsense  # noqa: B018


def test_every_exception_can_be_imported_from_the_package() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert name in democlass.__all__ and getattr(democlass, name) is kind


def test_a_predictions_repr_is_short() -> None:
    sure = democlass.Outcome("Male", {"Female": 0.125, "Male": 0.875})
    assert repr(democlass.Prediction("a\nb.jpg", {"gender": sure})) == r"Prediction('a\nb.jpg', gender=Male 0.88)"
    failed = democlass.Prediction(None, error="empty file: it has no bytes")
    assert repr(failed) == "Prediction(None, error='empty file: it has no bytes')"


def test_importing_the_package_is_light() -> None:
    code = "import sys, democlass; print(*{'torch', 'pandas', 'PIL', 'typer'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], env=environment()) == b"\n"


def test_every_exception_stands_in_the_drawn_tree() -> None:
    drawn = set(re.findall(r"\w+Error", errors.__doc__ or ""))
    assert drawn == {name for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help_and_says_perceived(name: str, classify: Run) -> None:
    said = " ".join(classify(name, "--help").stdout.decode().split())
    assert f"{name} [OPTIONS]" in said
    assert "perceived" in said or name == "weights"


@pytest.mark.parametrize("name", [DEFAULT, *COMMANDS])
def test_h_is_help(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        command(name).main(["-h"], prog_name=name)
    assert ended.value.code == 0
    assert all("-h" not in parameter.opts for parameter in command(name).params)


@pytest.mark.parametrize("file", WHERE_PEOPLE_READ)
def test_what_it_is_not_for_is_said(file: str) -> None:
    text = " ".join((REPOSITORY / file).read_text().split())
    for said in ("perceived", "identification", "surveillance", "Art. 5(1)(g)", "decisions about one person"):
        assert said in text, said


def test_checkpoints_are_never_unpickled() -> None:
    for file in Path(democlass.__file__).parent.rglob("*.py"):
        for call in re.findall(r"torch\.load\(.*", file.read_text()):
            assert "weights_only=True" in call
