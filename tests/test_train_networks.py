"""The networks of a training: initial weights, the moving average, the loss, validation, and the temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from democlass.errors import CheckpointError
from democlass.train.averaging import make_moving_average
from democlass.train.calibration import fit_temperature
from democlass.train.heads import Heads
from democlass.train.initialisation import build_network, infer_network, initialise_network
from democlass.train.objective import Objective
from democlass.train.recipe import Recipe, Stage
from democlass.train.teacher import TeacherOutputs
from democlass.train.validation import ValidationResult
from narrow_resnet import NarrowResNet
from training import GENDER, one_thread  # noqa: F401 (one_thread is an autouse fixture)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_name_of_a_resnet_is_inferred_from_its_weights(name: str) -> None:
    with torch.device("meta"):
        state_dict = build_network(name, 2).state_dict()
    assert infer_network(state_dict) == name


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """The weights of a ResNet18 with nine outputs."""
    return dict(build_network("resnet18", 9).state_dict())


def test_init_from_a_checkpoint_keeps_all_weights_but_the_last_layer(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"model_state_dict": weights}, tmp_path / "other.pth")
    state = initialise_network(GENDER, 2, None, str(tmp_path / "other.pth")).state_dict()
    assert torch.equal(state["conv1.weight"], weights["conv1.weight"])
    assert state["fc.weight"].shape == (2, 512)
    with pytest.raises(CheckpointError, match="does not fit resnet34"):
        initialise_network(GENDER, 2, "resnet34", str(tmp_path / "other.pth"))


def test_init_from_a_checkpoint_with_another_kind_of_last_layer(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    body = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    torch.save({"model_state_dict": {**body, "fc.0.weight": torch.zeros(3, 512)}}, tmp_path / "other.pth")
    state = initialise_network(GENDER, 2, None, str(tmp_path / "other.pth")).state_dict()
    assert torch.equal(state["conv1.weight"], weights["conv1.weight"]) and state["fc.weight"].shape == (2, 512)


def test_init_imagenet_uses_the_weights_of_torchvision(
    weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchvision.models import ResNet18_Weights

    (tmp_path / "checkpoints").mkdir()
    downloaded = {**weights, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(downloaded, tmp_path / "checkpoints" / Path(ResNet18_Weights.DEFAULT.url).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    state: dict[str, Any] = initialise_network(GENDER, 2, None, "imagenet").state_dict()
    assert torch.equal(state["layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    assert state["fc.weight"].shape == (2, 512)


def test_the_moving_average_of_a_short_training_forgets_the_initial_weights() -> None:
    average, weights = torch.zeros(1), torch.ones(1)
    update = make_moving_average(0.999)
    for steps in range(1, 200):
        update([average], [weights], torch.tensor(steps))
    assert average.item() > 0.99


def test_the_moving_average_of_a_long_training_has_the_full_decay() -> None:
    average = torch.zeros(1)
    make_moving_average(0.999)([average], [torch.ones(1)], torch.tensor(100_000))
    assert average.item() == pytest.approx(0.001)


def test_a_student_learns_to_predict_the_features_of_its_teacher() -> None:
    torch.manual_seed(0)
    recipe = Recipe((Stage(32, 1, 0.1, 0.1),), feature_weight=1.0)
    teacher = TeacherOutputs(torch.zeros(8, 2), torch.rand(8, 16).half())
    objective = Objective(recipe, Heads((GENDER,)), torch.tensor([[0], [1]]), teacher, torch.device("cpu"))
    student = objective.wrap(NarrowResNet(2))
    images, targets, indices = torch.randn(8, 3, 32, 32), torch.arange(8)[:, None] % 2, torch.arange(8)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = objective.loss(student(images), targets, indices)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    centred = teacher.features.float() - teacher.features.float().mean(0)
    assert losses[-1] < losses[0]
    assert torch.nn.functional.cosine_similarity(student(images)[1], centred).mean() > 0.95


def test_labels_without_examples_do_not_count_for_the_macro_recall() -> None:
    result = ValidationResult(("a", "b", "c"), torch.tensor([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    assert result.recalls == {"a": 0.75, "c": 0.5} and result.macro_recall == 0.625


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_logits_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(10_000, 6, generator=generator)
    targets = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * temperature, targets) == pytest.approx(temperature, rel=0.05)
