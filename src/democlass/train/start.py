"""Where a training starts from: nothing, ImageNet, or a checkpoint; and which ResNet a checkpoint is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from democlass.errors import CheckpointError, UsageError
from democlass.networks.checkpoint_files import read
from democlass.tasks import Task

NETWORKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
_OF_BOTTLENECKS = ("resnet50", "resnet101")
_HEAD = "fc."


def start(task: Task, network: str | None, init: str) -> nn.Module:
    """Return the task's network, or the torchvision ResNet named, with weights to start from.

    `init` is `none` (random weights), `imagenet` (torchvision's, which are downloaded), or a checkpoint's path; outputs
    that do not fit begin at random. Raises CheckpointError, UsageError.
    """
    built = task.network(len(task.labels)) if network is None else build(network, len(task.labels))
    if init == "none":
        return built
    state = _imagenet(built) if init == "imagenet" else read(Path(init))[0]
    fresh = built.state_dict()
    for name in [name for name in state if name.startswith(_HEAD)]:
        if name not in fresh or state[name].shape != fresh[name].shape:
            del state[name]
    state = {name: value for name, value in fresh.items() if name.startswith(_HEAD)} | state
    try:
        built.load_state_dict(state)
    except RuntimeError:
        raise CheckpointError(f"--init {init} does not fit {network or f'the network for {task.title}'}") from None
    return built


def build(name: str, outputs: int) -> nn.Module:
    """Return one of NETWORKS, untrained. Raises UsageError."""
    if name not in NETWORKS:
        raise UsageError(f"--network {name}: it is one of {', '.join(NETWORKS)}")
    network: nn.Module = getattr(models, name)(num_classes=outputs)
    return network


def which(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the ResNet that a state_dict is of, or None."""
    blocks = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)
    )
    bottlenecks = "layer1.0.conv3.weight" in state
    for name, expected in NETWORKS.items():
        if blocks == expected and bottlenecks == (name in _OF_BOTTLENECKS):
            return name
    return None


def _imagenet(network: nn.Module) -> dict[str, torch.Tensor]:
    name = which(network.state_dict())
    if name is None:
        raise UsageError("--init imagenet is there for torchvision's ResNets only; --init none starts at random")
    try:
        state: dict[str, torch.Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(
            check_hash=True, weights_only=True
        )
    except Exception as error:  # whatever a download, or the damaged file of an earlier one, makes torch raise
        raise CheckpointError(
            f"ImageNet weights can't be downloaded ({error}): --init FILE starts from a checkpoint, none at random"
        ) from None
    return state
