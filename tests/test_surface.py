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

STATE_LIMITS = ["README.md", "MODEL_CARD.md"]
PUBLIC_NAMES = [
    "CancelledError",
    "CheckpointError",
    "Classifier",
    "DemoclassError",
    "DeviceError",
    "Face",
    "ImageError",
    "MissingExtraError",
    "Outcome",
    "OutputError",
    "Prediction",
    "UsageError",
    "WriteError",
    "to_frame",
    "__version__",
]


def test_the_public_names_are_those_listed() -> None:
    assert democlass.__all__ == PUBLIC_NAMES
    assert all(getattr(democlass, name) for name in democlass.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        democlass.nonsense  # noqa: B018


def test_every_exception_can_be_imported_from_the_package() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert name in democlass.__all__ and getattr(democlass, name) is kind


def test_the_repr_of_a_prediction_is_short() -> None:
    outcome = democlass.Outcome("Male", {"Female": 0.125, "Male": 0.875})
    prediction = democlass.Prediction.of_image("a\nb.jpg", {"gender": outcome})
    assert repr(prediction) == r"Prediction('a\nb.jpg', gender=Male 0.88)"
    failed = democlass.Prediction(None, error="empty file: it has no bytes")
    assert repr(failed) == "Prediction(None, error='empty file: it has no bytes')"


def test_importing_the_package_loads_no_heavy_module() -> None:
    code = "import sys, democlass; print(*{'torch', 'pandas', 'PIL', 'typer'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], env=environment()) == b"\n"


def test_the_tree_of_exceptions_is_complete() -> None:
    listed = set(re.findall(r"\w+Error", errors.__doc__ or ""))
    assert listed == {name for name, kind in vars(errors).items() if isinstance(kind, type) and name.endswith("Error")}


@pytest.mark.parametrize("file", STATE_LIMITS)
def test_the_documents_say_what_the_program_is_not_for(file: str) -> None:
    text = " ".join((REPOSITORY / file).read_text().split())
    for phrase in ("perceived", "identification", "surveillance", "Art. 5(1)(g)", "decisions about one person"):
        assert phrase in text, phrase


def test_checkpoints_are_never_unpickled() -> None:
    for file in Path(democlass.__file__).parent.rglob("*.py"):
        for call in re.findall(r"torch\.load\(.*", file.read_text()):
            assert "weights_only=True" in call
