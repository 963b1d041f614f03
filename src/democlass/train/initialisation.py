"""Initialisation: build a network with random weights, ImageNet weights, or the weights of a checkpoint."""

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
"""The supported ResNets, with the number of blocks in each of their four stages."""

_BOTTLENECK_NETWORKS = ("resnet50", "resnet101")
_HEAD = "fc."


def initialise_network(task: Task, outputs: int, network: str | None, init: str) -> nn.Module:
    """Return the task's network, or the torchvision ResNet `network`, with a number of outputs and its initial weights.

    `init` is `none` (random weights), `imagenet` (torchvision's weights, which are downloaded) or the path of a
    checkpoint. A last layer that does not fit is initialised at random. Raises CheckpointError, UsageError.
    """
    built = task.network(outputs) if network is None else build_network(network, outputs)
    if init == "none":
        return built
    weights = _load_imagenet_weights(built) if init == "imagenet" else read(Path(init))[0]
    random_weights = built.state_dict()
    for name in [name for name in weights if name.startswith(_HEAD)]:
        if name not in random_weights or weights[name].shape != random_weights[name].shape:
            del weights[name]
    weights = {name: value for name, value in random_weights.items() if name.startswith(_HEAD)} | weights
    try:
        built.load_state_dict(weights)
    except RuntimeError:
        raise CheckpointError(f"--init {init} does not fit {network or f'the network for {task.title}'}") from None
    return built


def build_network(name: str, outputs: int) -> nn.Module:
    """Return one of NETWORKS with random weights. Raises UsageError."""
    if name not in NETWORKS:
        raise UsageError(f"--network {name}: it must be one of {', '.join(NETWORKS)}")
    network: nn.Module = getattr(models, name)(num_classes=outputs)
    return network


def infer_network(state_dict: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the ResNet that a state_dict belongs to, None if it is not one of NETWORKS."""
    blocks = tuple(
        len({name.split(".")[1] for name in state_dict if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)
    )
    has_bottlenecks = "layer1.0.conv3.weight" in state_dict
    for name, expected in NETWORKS.items():
        if blocks == expected and has_bottlenecks == (name in _BOTTLENECK_NETWORKS):
            return name
    return None


def _load_imagenet_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    name = infer_network(network.state_dict())
    if name is None:
        raise UsageError("--init imagenet works only for torchvision's ResNets; --init none starts from random weights")
    try:
        weights: dict[str, torch.Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(
            check_hash=True, weights_only=True
        )
    except Exception as error:  # anything that torch raises for a failed download or a damaged earlier download
        raise CheckpointError(
            f"the ImageNet weights can't be downloaded ({error}): use --init FILE to start from a checkpoint, or "
            "--init none to start from random weights"
        ) from None
    return weights
