"""CenterFace: the network that finds faces.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", arXiv:1911.03599. A MobileNetV2 with
ReLU, without batch norms (they are folded into the convolutions), whose four last resolutions are merged from coarse to
fine. `maps.py` reads the output.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from democlass.faces.fused_block import FusedBlock, count_groups
from democlass.networks.fused_convolution import FusedConvolution, input_shapes

OUTPUT_STRIDE = 4
"""Pixels of the input per cell of the output, in both directions."""

INPUT_MULTIPLE = 32
"""Height and width of the input are multiples of this."""

OUTPUTS = 15
"""Channels of the output: score, height, width, offset y and x, and y and x of five points."""


class _Stage(NamedTuple):
    """Blocks of one width: the expansion inside a block, output channels, the number of blocks, the first stride."""

    expansion: int
    channels: int
    blocks: int
    stride: int


_STAGES = tuple(
    _Stage(*numbers)
    for numbers in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
)
"""Table 2 of Sandler et al., "MobileNetV2", arXiv:1801.04381."""

_STEM_CHANNELS = 32
_MERGED = (24, 32, 96, 320)
"""The stages, by their channels, whose outputs are merged: strides 4, 8, 16 and 32."""

_NECK_CHANNELS = 24


class ConvReLU(nn.Module):
    """A convolution, and ReLU unless `relu` is false. `fused`, if set, computes the same."""

    def __init__(self, conv: nn.Conv2d, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu
        self.fused: FusedConvolution | None = None

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        """Return the convolution of `x`, plus `add`, which is overwritten, after ReLU."""
        if self.fused is not None:
            return self.fused(x, add, self.relu)  # type: ignore[no-any-return]
        y: torch.Tensor = self.conv(x)
        if add is not None:
            y = y.add_(add)
        return y.relu_() if self.relu else y


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, convolve each channel, project; added to its input if the shapes allow it.

    `fused`, if set, computes the same.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvReLU(nn.Conv2d(inputs, hidden, 1)) if expansion > 1 else nn.Identity()
        self.depthwise = ConvReLU(nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden))
        self.project = ConvReLU(nn.Conv2d(hidden, outputs, 1), relu=False)
        self.is_residual = stride == 1 and inputs == outputs
        self.fused: FusedBlock | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output. It may overwrite `x`."""
        if self.fused is not None:
            return self.fused(x)  # type: ignore[no-any-return]
        inner = self.depthwise(self.expand(x))
        output: torch.Tensor = self.project(inner, x if self.is_residual else None)
        return output

    def fuse(self, input_shape: torch.Size) -> None:
        """Compute this block in groups of channels, if it is large for inputs of this shape."""
        if isinstance(self.expand, nn.Identity):
            return
        expand, depthwise, project = self.expand.conv, self.depthwise.conv, self.project.conv
        groups = count_groups(expand.out_channels, input_shape, expand.weight.dtype)
        if groups > 1:
            self.fused = FusedBlock(
                expand, depthwise, project, input_shape, is_residual=self.is_residual, groups=groups
            )


class CenterFace(nn.Module):
    """Maps RGB N x 3 x H x W, values 0 to 255, H and W multiples of 32, to N x 15 x H/4 x W/4.

    The head may have another number format than the other layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvReLU(nn.Conv2d(3, _STEM_CHANNELS, 3, 2, 1))
        channels = (_STEM_CHANNELS, *(stage.channels for stage in _STAGES))
        self.stages = nn.ModuleList(
            _new_stage(inputs, stage) for (inputs, _), stage in zip(pairwise(channels), _STAGES, strict=True)
        )
        self.laterals = nn.ModuleList(ConvReLU(nn.Conv2d(width, _NECK_CHANNELS, 1)) for width in _MERGED)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(_NECK_CHANNELS, _NECK_CHANNELS, 2, 2) for _ in _MERGED[1:])
        self.mix = ConvReLU(nn.Conv2d(_NECK_CHANNELS, _NECK_CHANNELS, 3, 1, 1))
        self.head = ConvReLU(nn.Conv2d(_NECK_CHANNELS, OUTPUTS, 1), relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps."""
        x = self.stem(x)
        merged: list[torch.Tensor] = []
        for stage, numbers in zip(self.stages, _STAGES, strict=True):
            x = stage(x)
            if numbers.channels in _MERGED:
                merged.append(self.laterals[len(merged)](x))
        y = merged.pop()
        for up, finer in zip(self.ups, reversed(merged), strict=True):
            y = up(y).relu_().add_(finer)
        features: torch.Tensor = self.mix(y)
        maps: torch.Tensor = self.head(features.to(self.head.conv.weight.dtype))
        return maps

    def fuse(self, input_shape: torch.Size) -> None:
        """Use fused convolutions, except in the head. `input_shape` is the usual shape of the input.

        Raises RuntimeError if the CPU does not support the number format.
        """
        shapes = input_shapes(self, input_shape, self.stem.conv.weight.dtype)
        fused = []
        for name, layer in list(self.named_modules()):
            if isinstance(layer, InvertedResidual) and f"{name}.expand.conv" in shapes:
                layer.fuse(shapes[f"{name}.expand.conv"])
                fused += [name] if layer.fused is not None else []
            elif isinstance(layer, ConvReLU) and layer is not self.head and name.rpartition(".")[0] not in fused:
                layer.fused = FusedConvolution(layer.conv, shapes[f"{name}.conv"])

    def unfuse(self) -> None:
        """Use the convolutions of PyTorch again."""
        for layer in self.modules():
            if isinstance(layer, (ConvReLU, InvertedResidual)):
                layer.fused = None


def _new_stage(inputs: int, stage: _Stage) -> nn.Sequential:
    channels = (inputs, *(stage.channels for _ in range(stage.blocks)))
    strides = (stage.stride, *(1 for _ in range(stage.blocks - 1)))
    return nn.Sequential(
        *(
            InvertedResidual(before, after, stride=stride, expansion=stage.expansion)
            for (before, after), stride in zip(pairwise(channels), strides, strict=True)
        )
    )
