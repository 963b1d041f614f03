"""The public Python names, and the promises of the documents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import democlass
from conftest import REPOSITORY, environment
from democlass import errors
from democlass.cli.group import load_command
from democlass.cli.routing import COMMANDS

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TEXT = "\n".join(file.read_text() for file in DOCUMENTS)
STATE_LIMITS = ["README.md", "MODEL_CARD.md"]


def test_the_public_names_are_those_listed() -> None:
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


def test_the_repr_of_a_prediction_is_short() -> None:
    outcome = democlass.Outcome("Male", {"Female": 0.125, "Male": 0.875})
    assert repr(democlass.Prediction("a\nb.jpg", {"gender": outcome})) == r"Prediction('a\nb.jpg', gender=Male 0.88)"
    failed = democlass.Prediction(None, error="empty file: it has no bytes")
    assert repr(failed) == "Prediction(None, error='empty file: it has no bytes')"


def test_importing_the_package_loads_no_heavy_module() -> None:
    code = "import sys, democlass; print(*{'torch', 'pandas', 'PIL', 'typer'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], env=environment()) == b"\n"


def test_the_version_is_that_of_the_package() -> None:
    assert f'version = "{democlass.__version__}"' in (REPOSITORY / "pyproject.toml").read_text()
    assert f"## {democlass.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_tree_of_exceptions_is_complete() -> None:
    listed = set(re.findall(r"\w+Error", errors.__doc__ or ""))
    assert listed == {name for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_has_a_help_line(name: str) -> None:
    for parameter in load_command(name).params:
        if parameter.name not in ("help", "version") and parameter.param_type_name == "option":
            assert f"`{parameter.opts[0]}" in TEXT, parameter.opts[0]
            assert parameter.help


@pytest.mark.parametrize("file", STATE_LIMITS)
def test_the_documents_say_what_the_program_is_not_for(file: str) -> None:
    text = " ".join((REPOSITORY / file).read_text().split())
    for phrase in ("perceived", "identification", "surveillance", "Art. 5(1)(g)", "decisions about one person"):
        assert phrase in text, phrase


def test_every_exit_code_is_documented() -> None:
    for code in (0, 1, 2, 3, 130, 141, 143):
        assert re.search(rf"^\| {code} \|", TEXT, re.MULTILINE)


def test_checkpoints_are_never_unpickled() -> None:
    for file in Path(democlass.__file__).parent.rglob("*.py"):
        for call in re.findall(r"torch\.load\(.*", file.read_text()):
            assert "weights_only=True" in call
