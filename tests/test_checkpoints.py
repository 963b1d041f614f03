"""Checkpoints are data: several formats are read; other files are refused with a line that says what to do."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from conftest import tiny_tasks
from democlass.errors import CheckpointError, UsageError
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location, locate
from democlass.tasks import TASKS

GENDER, RACE = tiny_tasks()
STATE = GENDER.network(2).state_dict()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.pth"


def read(file: Path, **options: Any) -> Checkpoint:
    checkpoint = load(Location(file), GENDER, **options)
    checkpoint.build(GENDER)
    return checkpoint


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(file, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save_safetensors(file: Path) -> None:
    save_file(STATE, file, metadata={"labels": "Male,Female", "temperature": "1.5"})


@pytest.mark.parametrize(
    "save",
    [
        lambda file: torch.save({"model_state_dict": STATE, "labels": ["Female", "Male"]}, file),
        lambda file: torch.save({"state_dict": STATE}, file),
        lambda file: torch.save(STATE, file),
        lambda file: torch.save(STATE, file, _use_new_zipfile_serialization=False),
        lambda file: torch.save({"model_state_dict": {f"module.{k}": v for k, v in STATE.items()}}, file),
        lambda file: torch.save({"model_state_dict": {k: v.half() for k, v in STATE.items()}}, file),
        save_safetensors,
    ],
    ids=["ours", "state_dict", "bare", "legacy", "DataParallel", "float16", "safetensors"],
)
def test_accepted_formats(save: Callable[[Path], None], file: Path) -> None:
    save(file)
    weights = dict(read(file).build(GENDER).named_parameters())
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    torch.testing.assert_close(weights["fc.weight"].detach(), STATE["fc.weight"], atol=1e-3, rtol=1e-3)


def test_labels_temperature_and_card_of_torch_files(file: Path) -> None:
    card = {"data": "FairFace", "metrics": {"accuracy": 0.9}}
    torch.save({"model_state_dict": STATE, "labels": ["male", "FEMALE"], "temperature": 1.5, "card": card}, file)
    checkpoint = read(file)
    assert (checkpoint.labels, checkpoint.temperature, checkpoint.card) == (("Male", "Female"), 1.5, card)


def test_labels_and_temperature_of_safetensors(file: Path) -> None:
    save_safetensors(file)
    assert (read(file).labels, read(file).temperature) == (("Male", "Female"), 1.5)


def test_safetensors_with_invalid_labels_are_refused(file: Path) -> None:
    save_file(STATE, file, metadata={"labels": "[broken"})
    assert "not a checkpoint" in refusal(file)


def test_order_of_missing_labels_is_assumed_with_a_warning(file: Path) -> None:
    torch.save(STATE, file)
    checkpoint = read(file)
    assert checkpoint.labels == ("Female", "Male") and not checkpoint.labels_named
    (warning,) = checkpoint.warnings
    assert "Female,Male" in warning and "give the gender labels" in warning


def test_given_labels_are_used(file: Path) -> None:
    torch.save(STATE, file)
    checkpoint = read(file, labels=["Male", "Female"])
    assert (checkpoint.labels, checkpoint.warnings) == (("Male", "Female"), ())


def test_given_labels_that_differ_from_the_checkpoint_are_used_with_a_warning(file: Path) -> None:
    torch.save({"model_state_dict": STATE, "labels": ["Female", "Male"]}, file)
    assert read(file, labels=["female", "male"]).warnings == ()
    checkpoint = read(file, labels=["Male", "Female"])
    assert checkpoint.labels == ("Male", "Female") and "differ from those in" in checkpoint.warnings[0]


def test_spelling_of_labels_does_not_matter(tmp_path: Path) -> None:
    names = ["White", "black", "Middle Eastern", "latino-hispanic", "Indian", "Asian"]
    torch.save({"model_state_dict": RACE.network(6).state_dict(), "labels": names}, tmp_path / "race.pth")
    labels = load(Location(tmp_path / "race.pth"), RACE).labels
    assert labels == ("White", "Black", "Middle_Eastern", "Latino_Hispanic", "Indian", "Asian")


@pytest.mark.parametrize("labels", [["Female"], ["Female", "Female"], ["Female", "Man"], ["Female", "Male", "Other"]])
def test_labels_of_another_task_are_refused(labels: list[str], file: Path) -> None:
    torch.save(STATE, file)
    with pytest.raises(UsageError, match="each of Female,Male once"):
        read(file, labels=labels)
    torch.save({"model_state_dict": STATE, "labels": labels}, file)
    assert "each of Female,Male once" in refusal(file)


def test_error_for_a_wrong_number_of_outputs(file: Path) -> None:
    torch.save({"model_state_dict": GENDER.network(7).state_dict(), "labels": ["Female", "Male"]}, file)
    assert "has 7 outputs; perceived gender needs 2" in refusal(file)


def test_error_for_another_network_names_the_first_wrong_entry(file: Path) -> None:
    torch.save({"model_state_dict": {**STATE, "extra.weight": torch.zeros(1)}}, file)
    assert "extra.weight is (1,), expected no such entry" in refusal(file)
    torch.save({"model_state_dict": {"fc.weight": STATE["fc.weight"]}}, file)
    assert "fc.bias is missing" in refusal(file)


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch owned",)


def test_pickled_objects_are_refused_and_not_run(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": STATE, "extra": Attack()}, file)
    assert "never unpickled" in refusal(file)
    file.write_bytes(pickle.dumps(Attack()))
    refusal(file)
    assert not (tmp_path / "owned").exists()


def test_built_in_checkpoints_have_labels_and_fit_their_networks() -> None:
    for task in TASKS:
        checkpoint = load(locate(task), task)
        assert (checkpoint.labels, checkpoint.warnings) == (task.labels, ())
        checkpoint.build(task)


def test_sha256_is_of_the_loaded_bytes(file: Path) -> None:
    torch.save(STATE, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    checkpoint = read(file)
    torch.save({name: value + 1 for name, value in STATE.items()}, file)
    assert checkpoint.sha256 == digest


def test_repr_is_one_short_line(file: Path) -> None:
    torch.save({"model_state_dict": STATE, "labels": ["Male", "Female"], "card": {"long": "x" * 1000}}, file)
    assert re.fullmatch(
        r"Checkpoint\('[^']*/mine\.pth', sha256=[0-9a-f]{12}…, labels=Male,Female, temperature=1\)", repr(read(file))
    )
