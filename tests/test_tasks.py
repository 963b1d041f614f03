"""The task table: labels, networks and geometries that users and checkpoints depend on."""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet

from democlass.tasks import TASKS, Geometry, Task


def by_name(name: str) -> Task:
    return next(task for task in TASKS if task.name == name)


def test_labels_and_their_order() -> None:
    assert by_name("gender").labels == ("Female", "Male")
    assert by_name("race").labels == ("Asian", "Black", "Indian", "Latino_Hispanic", "Middle_Eastern", "White")


def test_networks_and_geometries() -> None:
    gender, race = by_name("gender"), by_name("race")
    small, large = gender.network(2), race.network(6)
    assert isinstance(small, ResNet) and isinstance(small.fc, nn.Linear) and small.fc.in_features == 512
    assert isinstance(large, ResNet) and isinstance(large.fc, nn.Linear) and large.fc.in_features == 2048
    assert (gender.geometry, race.geometry) == (Geometry.CENTRE_CROP, Geometry.SQUASH)


def test_titles_say_perceived() -> None:
    assert [task.title for task in TASKS] == ["perceived gender", "perceived race"]
