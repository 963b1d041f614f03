"""Several tasks in one training: labels, losses, validation, and a checkpoint for each task that is classified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from democlass.errors import OutputError, UsageError
from democlass.inputs.labels import Example, read_labels
from democlass.tasks import HELPER_TASKS, TASKS
from democlass.train.heads import MISSING, Heads
from democlass.train.job import TrainJob
from democlass.train.mixing import Mix
from democlass.train.objective import Objective
from democlass.train.recipe import Recipe, Stage
from democlass.train.run import train
from democlass.train.teacher import TeacherOutputs, combine
from training import (  # noqa: F401 (one_thread is an autouse fixture)
    GENDER,
    RACE,
    StoppedError,
    have_same_weights,
    load_weights,
    one_thread,
    run_tiny,
    stop_at,
    train_args,
)

(AGE,) = HELPER_TASKS
HEADS = Heads((RACE, GENDER, AGE))
RECIPE = Recipe((Stage(32, 1, 0.1, 0.1),), smoothing=0.0)


def example(**labels: str) -> Example:
    return Example("a.jpg", labels)


def test_each_task_has_its_part_of_the_outputs() -> None:
    assert HEADS.main is RACE and HEADS.exported == (RACE, GENDER) and HEADS.outputs == 6 + 2 + 9
    parts = HEADS.split(torch.arange(17.0)[None])
    assert {name: part[0].tolist() for name, part in parts.items()} == {
        "race": [0, 1, 2, 3, 4, 5],
        "gender": [6, 7],
        "age": [8, 9, 10, 11, 12, 13, 14, 15, 16],
    }


def test_a_missing_label_has_no_target() -> None:
    targets = HEADS.encode([example(race="Black", age="3-9"), example(race="White", gender="Male")])
    assert targets.tolist() == [[1, MISSING, 1], [5, 1, MISSING]]


def test_a_checkpoint_has_the_last_layer_of_its_task() -> None:
    state = {"fc.weight": torch.arange(17.0)[:, None], "fc.bias": torch.arange(17.0), "conv1.weight": torch.ones(3)}
    alone = HEADS.state_of(GENDER, state)
    assert alone["fc.bias"].tolist() == [6, 7] and alone["fc.weight"].tolist() == [[6], [7]]
    assert alone["conv1.weight"] is state["conv1.weight"]


def objective(heads: Heads, targets: torch.Tensor, teacher: TeacherOutputs | None = None) -> Objective:
    return Objective(RECIPE, heads, targets, teacher, torch.device("cpu"))


def test_the_loss_is_the_sum_of_the_losses_of_the_tasks_without_missing_labels() -> None:
    targets = torch.tensor([[1, MISSING, 1], [5, 1, MISSING]])
    logits = torch.randn(2, 17, generator=torch.Generator().manual_seed(0))
    loss = objective(HEADS, targets).loss(logits, targets, torch.arange(2))
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (
        cross_entropy(logits[:, :6], targets[:, 0])
        + cross_entropy(logits[1:, 6:8], targets[1:, 1])
        + cross_entropy(logits[:1, 8:], targets[:1, 2])
    )
    assert torch.allclose(loss, expected)
    unlabelled = torch.full((2, 3), MISSING)
    assert objective(HEADS, targets).loss(logits, unlabelled, torch.arange(2)) == 0


def test_the_loss_of_mixed_images_is_that_of_mixed_labels() -> None:
    targets, logits = torch.tensor([[0], [1]]), torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    mixed = Mix(torch.tensor([1, 0]), 0.25)
    loss = objective(Heads((GENDER,)), targets).loss(logits, targets, torch.arange(2), mixed)
    soft = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    assert torch.allclose(loss, torch.nn.functional.cross_entropy(logits, soft))


def test_several_teachers_teach_the_mean_of_their_log_probabilities() -> None:
    first, second = (
        TeacherOutputs(torch.tensor([[0.0, each]]), torch.full((1, 4), each, dtype=torch.bfloat16))
        for each in (2.0, 4.0)
    )
    both = combine([first, second])
    expected = (torch.log_softmax(first.logits, 1) + torch.log_softmax(second.logits, 1)) / 2
    assert torch.allclose(both.logits, expected) and torch.equal(both.features, first.features)
    assert combine([first]) is first


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Images whose red, green and blue are their gender, race and age."""
    rng = np.random.default_rng(0)
    for name, count in (("labels", 24), ("validation", 12)):
        lines = ["path,gender,race,age"]
        for number in range(count):
            pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
            pixels += np.uint8(120) * np.array([number % 2, number // 2 % 2, number // 4 % 2], np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{name}{number}.png")
            labels = (GENDER.labels[number % 2], RACE.labels[number // 2 % 2], AGE.labels[number // 4 % 2])
            lines.append(f"{name}{number}.png,{','.join(labels)}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def make_job(faces: Path, out: str, **fields: Any) -> TrainJob:
    labels, validation = (read_labels(faces / f"{name}.csv", tasks=(*TASKS, AGE)) for name in ("labels", "validation"))
    recipe = Recipe((Stage(32, 1, 0.05, 0.01),), batch=12, average=0.5)
    options = {"also": (GENDER, AGE), "init": "none", "network": "resnet18", "device": "cpu", **fields}
    return TrainJob(RACE, labels, validation, recipe, faces / out, **options)


@pytest.mark.slow
def test_each_classified_task_gets_a_checkpoint(faces: Path) -> None:
    metrics = train(make_job(faces, "new.pth"))
    assert list(metrics) == ["race", "gender"]
    assert sorted(each.name for each in faces.glob("*.pth*")) == ["new.gender.pth", "new.pth"]
    race, gender = (load_weights(faces / name) for name in ("new.pth", "new.gender.pth"))
    assert race["fc.weight"].shape == (6, 512) and gender["fc.weight"].shape == (2, 512)
    assert torch.equal(race["conv1.weight"], gender["conv1.weight"])
    card = torch.load(faces / "new.gender.pth", weights_only=True)["card"]
    assert card["task"] == "perceived gender" and card["choose"]["n"] == 12
    assert card["history"][-1].keys() == {"step", "size", "accuracy", "macro_recall"}


@pytest.mark.slow
def test_a_training_of_several_tasks_can_be_resumed(faces: Path) -> None:
    train(make_job(faces, "whole.pth", cache_bytes=2**20))
    with pytest.raises(StoppedError):
        train(make_job(faces, "parts.pth", save_minutes=0.0), stop_at(1))
    with pytest.raises(OutputError, match="belongs to another training"):
        train(make_job(faces, "parts.pth", resume=True, also=(GENDER,)))
    train(make_job(faces, "parts.pth", resume=True))
    for name in ("", ".gender"):
        assert have_same_weights(faces / f"whole{name}.pth", faces / f"parts{name}.pth")


def test_the_checkpoint_of_another_task_is_not_replaced(faces: Path) -> None:
    (faces / "new.gender.pth").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"new.gender.pth exists"):
        train(make_job(faces, "new.pth"))
    assert (faces / "new.gender.pth").read_bytes() == b"mine"


def test_a_task_is_learned_once(faces: Path) -> None:
    with pytest.raises(UsageError, match="--also race: the network learns this task already"):
        make_job(faces, "new.pth", also=(RACE,)).check()


def test_labels_of_helper_tasks_are_read_only_when_asked_for(faces: Path) -> None:
    assert read_labels(faces / "labels.csv").examples[0].labels.keys() == {"gender", "race"}


@pytest.mark.slow
def test_an_unknown_task_is_refused(faces: Path) -> None:
    done = run_tiny(*train_args(faces, "new.pth"), "--also", "mood")
    assert done.returncode == 2 and "--also mood: it must be one of gender, race, age" in done.stderr
    (faces / "no-age.csv").write_text("path,gender\nlabels0.png,Male\nlabels1.png,Female\n")
    labels = [str(faces / "no-age.csv"), "--validation", str(faces / "validation.csv")]
    done = run_tiny("train", "gender", *labels, "--out", str(faces / "new.pth"), "--also", "age", "--batch", "2")
    assert done.returncode == 2 and "has no label for perceived age" in done.stderr
