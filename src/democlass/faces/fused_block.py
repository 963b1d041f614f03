"""FusedBlock: a block of MobileNetV2 on the CPU, with fused convolutions, computed in groups of channels.

Between its first and last convolution, a block has up to six times as many channels. For a large image these fit into
no cache, and from 32 MB the allocator gets their memory from the system again and again. In groups, an image with a
longest side of 960 pixels takes a quarter less time in float32.
"""

from __future__ import annotations

import torch
from torch import nn

from democlass.networks.fused_convolution import FusedConvolution

GROUP_BYTES = 8_000_000
"""Groups have at most this size between the convolutions, if their number of channels is then large enough."""

_CHANNELS = 16
"""Groups have a multiple of this number of channels, as many as a vector of the CPU has."""


class FusedBlock(nn.Module):
    """Computes the same as three convolutions and ReLUs, and the addition of the input if `is_residual`.

    `expand` and `project` are convolutions of single pixels, `depthwise` of single channels. `input_shape` is the usual
    shape N x C x H x W of the input. Raises RuntimeError if the CPU does not support the number format.
    """

    def __init__(
        self,
        expand: nn.Conv2d,
        depthwise: nn.Conv2d,
        project: nn.Conv2d,
        input_shape: torch.Size,
        *,
        is_residual: bool,
        groups: int,
    ) -> None:
        super().__init__()
        self.is_residual = is_residual
        self.groups: list[tuple[FusedConvolution, FusedConvolution, FusedConvolution]] = []
        images, _, height, width = input_shape
        strides = depthwise.stride
        channels = expand.out_channels // groups
        for first in range(0, expand.out_channels, channels):
            part = slice(first, first + channels)
            inner = torch.Size((images, channels, height, width))
            outer = torch.Size((images, channels, -(-height // strides[0]), -(-width // strides[1])))
            self.groups.append(
                (
                    FusedConvolution(_part(expand, outputs=part), input_shape),
                    FusedConvolution(_part(depthwise, outputs=part), inner),
                    FusedConvolution(_part(project, inputs=part, has_bias=first == 0), outer),
                )
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output. `x` is not changed."""
        y: torch.Tensor | None = None
        for expand, depthwise, project in self.groups:
            y = project(depthwise(expand(x)), y, relu=False)
        assert y is not None
        return y.add_(x) if self.is_residual else y


def count_groups(channels: int, input_shape: torch.Size, dtype: torch.dtype) -> int:
    """Return the number of groups for a block with so many channels between its convolutions. 1 needs no FusedBlock."""
    images, _, height, width = input_shape
    size = images * channels * height * width * dtype.itemsize
    most = channels // _CHANNELS
    enough = (groups for groups in range(1, most + 1) if most % groups == 0 and size <= groups * GROUP_BYTES)
    return next(enough, max(1, most))


def _part(
    layer: nn.Conv2d, *, outputs: slice = slice(None), inputs: slice = slice(None), has_bias: bool = True
) -> nn.Conv2d:
    """Return a convolution with some of a layer's channels. A layer of single channels has groups of `outputs`."""
    weight = layer.weight.detach()[outputs, inputs].clone(memory_format=torch.channels_last)
    part = nn.Conv2d(1, 1, layer.kernel_size, layer.stride, layer.padding, bias=False)  # type: ignore[arg-type]
    part.groups = 1 if layer.groups == 1 else len(weight)
    part.weight = nn.Parameter(weight, requires_grad=False)
    if has_bias:
        assert layer.bias is not None
        part.bias = nn.Parameter(layer.bias.detach()[outputs].clone(), requires_grad=False)
    return part
