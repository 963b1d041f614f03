"""Fusion: ResNets on the CPU with ReLUs and additions inside the convolutions.

torch.compile is equally fast for these networks, but needs a compiler and a minute. docs/performance.md has
measurements.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

from democlass.networks.fused_convolution import FusedConvolution, input_shapes, is_available

_CHECKS = {torch.float32: (32, 1e-3), torch.bfloat16: (224, 0.1)}
"""How a fused network is checked, by number format: the height and width of the test image in pixels, and the maximum
difference between logits, relative to the largest one. Rounding causes 1e-6 and 0.02. In bfloat16, a small image takes
longer than a large one, because oneDNN has to change the layout of the weights for it.
"""


def is_fusible(network: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether `fuse` supports a network: a torchvision ResNet without batch norms, on a CPU with oneDNN."""
    return (
        isinstance(network, ResNet)
        and not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        and all(type(block) in (BasicBlock, Bottleneck) for block in _blocks(network))
        and dtype in _CHECKS
        and is_available(device)
    )


def fuse(network: ResNet, input_shape: torch.Size) -> nn.Module:
    """Return a network with the same outputs as `network`. The weights of its convolutions are copies.

    `input_shape` is the usual shape N x 3 x H x W of the input. Other shapes work too, but may be slower. Raises
    RuntimeError if the CPU does not support the number format.
    """
    shapes = input_shapes(network, input_shape, network.fc.bias.dtype)
    fused = {
        name: FusedConvolution(layer, shapes[name])
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    names = {module: name for name, module in network.named_modules()}
    return nn.Sequential(
        _Stem(fused["conv1"], network.maxpool),
        *(_Block(block, names[block], fused) for block in _blocks(network)),
        network.avgpool,
        nn.Flatten(1),
        network.fc,
    )


def fuse_if_correct(network: ResNet, input_shape: torch.Size) -> nn.Module | None:
    """Return the fused network, or None if it fails on this CPU or its outputs differ from those of `network`.

    Both networks classify one test image, in one thread. This takes some ten milliseconds. With several threads it
    would take far longer on a busy machine, where the threads wait for each other.
    """
    dtype = network.fc.bias.dtype
    side, tolerance = _CHECKS[dtype]
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    image = noise.to(dtype).contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            fused = fuse(network, input_shape)
            expected, found = network(image).float(), fused(image).float()
    except RuntimeError:
        return None
    finally:
        torch.set_num_threads(threads)
    max_difference = tolerance * max(1.0, float(expected.nan_to_num(0.0).abs().max()))  # weights may give NaN
    return fused if torch.allclose(found, expected, rtol=0, atol=max_difference, equal_nan=True) else None


class _Stem(nn.Module):
    """The layers before the first block: a convolution and a pooling layer."""

    def __init__(self, conv: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool = conv, pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.pool(self.conv(x))
        return output


class _Block(nn.Module):
    """A residual block: ReLU follows every convolution; the last one is applied to the sum with the block's input."""

    def __init__(self, block: nn.Module, name: str, fused: Mapping[str, nn.Module]) -> None:
        super().__init__()
        *first, self.last = (fused[f"{name}.{own}"] for own, _ in block.named_children() if own.startswith("conv"))
        self.first = nn.ModuleList(first)
        self.downsample = fused.get(f"{name}.downsample.0")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = x
        for layer in self.first:
            inner = layer(inner)
        output: torch.Tensor = self.last(inner, x if self.downsample is None else self.downsample(x, relu=False))
        return output


def _blocks(network: ResNet) -> list[nn.Module]:
    return [block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage]
