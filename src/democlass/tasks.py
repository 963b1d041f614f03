"""The task table: the only place that names tasks, labels, networks and geometries.

To add a task, add an entry to `TASKS`. No other module depends on a task's name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SIDE = 224
"""Height and width in pixels of the input of every network."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation for each RGB channel, of values from 0 to 1. Network inputs are normalised with them."""


def label_key(label: str) -> str:
    """Return a key that is equal for all spellings of a label: case, spaces, hyphens and underscores do not matter."""
    return label.strip().casefold().replace(" ", "_").replace("-", "_")


UNCERTAIN = "uncertain"
"""The label of an image whose confidence is below the minimum."""


class Geometry(enum.Enum):
    """How an image of any size is resized to SIDE x SIDE pixels. Both ways are bilinear and antialiased."""

    CENTRE_CROP = "short side to 224, then the centre"
    SQUASH = "squashed to 224x224, aspect not kept"


@dataclass(frozen=True)
class Task:
    """One classification task.

    `name` is used in options, columns and keys; `title` in text for people. `labels` are in the order of the output
    columns. `network` builds the untrained module for a number of outputs: it maps float32 N x 3 x SIDE x SIDE to
    logits N x outputs. `checkpoint` is the name of the file in a folder of checkpoints.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    geometry: Geometry
    network: Callable[[int], nn.Module]
    checkpoint: str


def _resnet18(outputs: int) -> nn.Module:
    from torchvision.models import resnet18

    network: nn.Module = resnet18(num_classes=outputs)
    return network


def _resnet50(outputs: int) -> nn.Module:
    from torchvision.models import resnet50

    network: nn.Module = resnet50(num_classes=outputs)
    return network


TASKS: tuple[Task, ...] = (
    Task(
        name="gender",
        title="perceived gender",
        labels=("Female", "Male"),
        geometry=Geometry.CENTRE_CROP,
        network=_resnet18,
        checkpoint="model_checkpoint.pth",
    ),
    Task(
        name="race",
        title="perceived race",
        labels=("Asian", "Black", "Indian", "Latino_Hispanic", "Middle_Eastern", "White"),
        geometry=Geometry.SQUASH,
        network=_resnet50,
        checkpoint="best_model.pth",
    ),
)

HELPER_TASKS: tuple[Task, ...] = (
    Task(
        name="age",
        title="perceived age",
        labels=("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
        geometry=Geometry.SQUASH,
        network=_resnet50,
        checkpoint="age.pth",
    ),
)
"""Tasks that a training may learn beside one of TASKS, because that improves it. Nothing else uses them."""
