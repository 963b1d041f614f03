"""The arguments of `Classifier.load`: a wrong one raises UsageError, with one line that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import save_tiny_weights, tiny_tasks
from democlass import Classifier, UsageError
from democlass.settings import Precision, Settings

WRONG: list[tuple[str, Any]] = [
    ("weights", 7),
    ("weights", ""),
    ("weights", b"folder"),
    ("checkpoints", "mine.pth"),
    ("checkpoints", {"age": "mine.pth"}),
    ("checkpoints", {"gender": 7}),
    ("checkpoints", {"gender": None}),
    ("labels", ["Female", "Male"]),
    ("labels", {"age": ["Young", "Old"]}),
    ("labels", {"gender": "Female,Male"}),
    ("labels", {"gender": [0, 1]}),
    ("labels", {"gender": ["Female", "Female"]}),
    ("device", 0),
    ("device", None),
    ("device", "gpu"),
    ("precision", "int4"),
    ("precision", 16),
    ("precision", torch.float16),
    ("precision", ["float32"]),
    ("decode_timeout", "5"),
    ("decode_timeout", None),
    ("decode_timeout", True),
    ("face_size", 10),
    ("face_size", 4096),
    ("min_face", 0),
    ("faces", 1),
    ("largest", "yes"),
    ("batch_size", "8"),
    ("batch_size", 8.0),
    ("batch_size", float("nan")),
    ("batch_size", True),
    ("batch_size", 0),
    ("batch_size", -1),
    ("batch_size", 10**9),
    ("batch_size", 10**5000),
    ("batch_size", np.int64(-3)),
    ("fast", 1),
    ("fast", "no"),
    ("fast", None),
    ("compile", "no"),
    ("workers", -1),
    ("workers", 2.5),
    ("workers", "2"),
    ("workers", False),
    ("workers", 10**6),
    ("isolated", 1),
    ("ignore_exif", "no"),
    ("max_pixels", -1),
    ("max_pixels", 0),
    ("max_pixels", 1e8),
    ("max_pixels", float("inf")),
    ("max_pixels", None),
    ("max_pixels", True),
    ("min_confidence", -0.1),
    ("min_confidence", 1.1),
    ("min_confidence", float("nan")),
    ("min_confidence", 10**400),
    ("min_confidence", "0.5"),
    ("min_confidence", True),
    ("min_confidence", None),
    ("tasks", ()),
    ("tasks", "gender"),
    ("tasks", None),
    ("tasks", [tiny_tasks()[0], tiny_tasks()[0]]),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_tiny_weights(folder, tiny_tasks())
    return folder


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_argument_raises_one_line_that_names_it(name: str, value: Any, weights: Path) -> None:
    arguments = {"weights": weights, "tasks": tiny_tasks(), "device": "cpu", name: value}
    with pytest.raises(UsageError) as caught:
        Classifier.load(**arguments)
    text = str(caught.value)
    assert name.removesuffix("s") in text
    assert text.isprintable() and len(text) < 300 and "--" not in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", np.int32(3), 3),
        ("max_pixels", np.uint64(10**6), 10**6),
        ("max_pixels", 10**30, 10**30),
        ("min_confidence", np.float32(0.5), 0.5),
        ("min_confidence", 1, 1.0),
        ("precision", "float32", Precision.FLOAT32),
        ("device", torch.device("cpu"), "cpu"),
        ("device", "cpu", "cpu"),
    ],
)
def test_numpy_and_torch_values_are_stored_as_python_types(name: str, value: Any, expected: Any, weights: Path) -> None:
    arguments = {"weights": weights, "tasks": tiny_tasks(), "device": "cpu", name: value}
    setting = getattr(Classifier.load(**arguments).settings, name)
    assert setting == expected and type(setting) is type(expected)


def test_numpy_integer_as_number_of_workers(tiny: Callable[..., Classifier]) -> None:
    workers = tiny(workers=np.int64(2)).workers
    assert workers == 2 and type(workers) is int


def test_paths_are_strings_or_path_objects(weights: Path) -> None:
    tasks = tiny_tasks()
    checkpoints = {"gender": weights / tasks[0].checkpoint}
    for folder in (weights, str(weights)):
        loaded = Classifier.load(weights=folder, checkpoints=checkpoints, tasks=tasks, device="cpu")
        found = loaded.networks.checkpoints
        assert found["race"].location.path == weights / tasks[1].checkpoint
        assert found["gender"].location.origin == "argument checkpoints"


def test_settings_check_their_values() -> None:
    with pytest.raises(UsageError, match="max_pixels must be an integer of 1 or more, not -1"):
        Settings(max_pixels=-1)
