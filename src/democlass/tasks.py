"""The task table: the single place that names tasks, labels, networks and geometries.

A third task would be one more entry here; no other module asks which task it has before it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SIDE = 224
"""Height and width, in pixels, of what every network is given."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in 0..1, per channel: what the networks' inputs are normalised with."""


def folded(label: str) -> str:
    """Return what spellings of a label have in common: case, spaces and hyphens are forgiven."""
    return label.strip().casefold().replace(" ", "_").replace("-", "_")


UNCERTAIN = "uncertain"
"""The label of an image whose confidence is below the least that was asked for."""


class Geometry(enum.Enum):
    """How an image of any size becomes SIDE x SIDE pixels; both are bilinear and antialiased."""

    CENTRE_CROP = "short side to 224, then the centre"
    SQUASH = "squashed to 224x224, aspect not kept"


@dataclass(frozen=True)
class Task:
    """One question that is put to every image.

    `network` builds the untrained module for a number of outputs; it maps float32 N x 3 x SIDE x SIDE to logits
    N x outputs. `labels` are in the order in which results are written. `checkpoint` is the file's name inside a
    folder of weights.
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
