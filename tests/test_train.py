"""Training from beginning to end: the checkpoint, the state file, divergence, and options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from democlass.cli.train import DataOptions, RunOptions
from democlass.errors import DemoclassError, OutputError, UsageError
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train.run import train
from democlass.train.saving import load_tensors
from training import (
    GENDER,
    StoppedError,
    load_weights,
    make_job,
    one_thread,  # noqa: F401 (an autouse fixture)
    run_tiny,
    stop_at,
    train_args,
)

pytestmark = pytest.mark.slow


def test_training_writes_a_checkpoint_with_a_card(faces: Path) -> None:
    args = train_args(faces, "new.pth", "--float16", "--stages", "64:5:0.05-0.01")
    done = run_tiny(*args, variables={"NETWORK": "narrow"})
    assert done.returncode == 0, done.stderr
    assert "validation  accuracy " in done.stderr
    checkpoint = load(Location(faces / "new.pth", "test"), GENDER)
    assert checkpoint.labels == GENDER.labels and checkpoint.labels_named and checkpoint.temperature > 0
    card = checkpoint.card
    assert card["choose"]["n"] == 16 and np.sum(card["choose"]["confusion"]) == 16
    assert float(card["choose"]["accuracy"]) > 0.9
    assert card["command"].startswith(
        "classify train gender labels.csv --validation validation.csv --out new.pth --init none"
    )
    assert card["recipe"]["batch"] == 8
    assert load_weights(faces / "new.pth")["conv1.weight"].dtype == torch.float16
    assert load_weights(faces / "new.pth")["bn1.running_var"].dtype == torch.float32
    assert [path.name for path in faces.glob("new.pth*")] == ["new.pth"]


def test_a_state_of_another_training_is_not_resumed(faces: Path) -> None:
    job = make_job(faces, "new.pth", save_minutes=0.0)
    with pytest.raises(StoppedError):
        train(job, stop_at(3))
    with pytest.raises(OutputError, match=r"belongs to another training \(batch: 8 before, 4 now\)"):
        train(replace(job, recipe=replace(job.recipe, batch=4), resume=True))
    other_validation = replace(job.validation, examples=job.validation.examples[:10])
    with pytest.raises(OutputError, match=r"belongs to another training \(validation: \w+… before, \w+… now\)"):
        train(replace(job, validation=other_validation, resume=True))


def test_the_keys_of_the_state_file_are_those_of_earlier_versions(faces: Path) -> None:
    with pytest.raises(StoppedError):
        train(make_job(faces, "new.pth"), stop_at(1))
    state = load_tensors(faces / "new.pth.state")
    model = {"network", "average", "optimizer", "best", "best_score", "guess"}
    assert set(state) == {"version", "made_by", "step", "history", "faults", "choose_faults", "processes", *model}
    assert {"labels", "choose", "teacher", "batch"} <= state["made_by"].keys()


def test_a_state_file_of_another_version_is_refused(faces: Path) -> None:
    torch.save({"made_by": {}, "step": 1}, faces / "new.pth.state")
    with pytest.raises(OutputError, match="written by another version of democlass"):
        train(make_job(faces, "new.pth", resume=True))
    (faces / "new.pth.state").write_bytes(b"nonsense")
    with pytest.raises(OutputError, match="not the state of a training"):
        train(make_job(faces, "new.pth", resume=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_invalid_save_interval_is_refused(faces: Path, value: float) -> None:
    with pytest.raises(UsageError, match="--save-every"):
        make_job(faces, "new.pth", save_minutes=value).check()


def test_an_option_out_of_range_is_a_usage_error(faces: Path) -> None:
    done = run_tiny(*train_args(faces, "new.pth"), "--seed", "-1")
    assert done.returncode == 2 and "--seed" in done.stderr and "Traceback" not in done.stderr


def test_feature_weight_needs_a_teacher(faces: Path) -> None:
    with pytest.raises(UsageError, match="give --teacher too"):
        make_job(faces, "new.pth", feature_weight=1.0).check()


def test_choose_is_the_old_name_of_validation() -> None:
    file = Path("validation.csv")
    assert DataOptions(choose=file).validation_file() == DataOptions(validation=file).validation_file() == file
    with pytest.raises(UsageError, match="give only one"):
        DataOptions(validation=file, choose=file).validation_file()
    with pytest.raises(UsageError, match="missing option --validation"):
        DataOptions().validation_file()


def test_resume_and_overwrite_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="give only one"):
        RunOptions(resume=True, overwrite=True).check()


class DivergingNetwork(torch.nn.Module):
    """A network whose logits are infinite after two training steps."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(3, outputs)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits * (float("inf") if self.steps > 2 else 1.0)


def test_a_loss_that_is_not_finite_ends_the_training_without_saving(faces: Path) -> None:
    job = make_job(faces, "new.pth", task=replace(GENDER, network=DivergingNetwork), save_minutes=60.0)
    messages: list[str] = []
    with pytest.raises(DemoclassError, match="the loss is not finite after step 3: start again with lower learning"):
        train(job, notify=messages.append)
    assert not messages and not list(faces.glob("new.pth*"))
