"""A small ResNet for tests."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

_NARROWING = 8


class NarrowResNet(ResNet):  # type: ignore[misc]
    """A ResNet18 with an eighth of the channels."""

    def __init__(self, outputs: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(self.inplanes, outputs)

    def _make_layer(self, block: Any, planes: int, *settings: Any, **more: Any) -> nn.Module:
        layer: nn.Module = super()._make_layer(block, planes // _NARROWING, *settings, **more)
        return layer
