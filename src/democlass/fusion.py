"""Fusion: on a processor, a ResNet whose ReLUs and additions happen inside its convolutions.

oneDNN has such convolutions, and lays their weights out once instead of at every call. torch.compile comes to the same
for these networks; this takes no compiler and no minute's wait. docs/performance.md has what it brings.
"""

from __future__ import annotations

import platform

import torch
from torch import nn
from torch.func import functional_call
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

_DTYPES = (torch.float32, torch.bfloat16)
_OPERATIONS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def fusible(network: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether `fuse` can take a network: torchvision's ResNet, batch norms folded, where oneDNN serves it."""
    return (
        isinstance(network, ResNet)
        and not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        and all(type(block) in (BasicBlock, Bottleneck) for block in _blocks(network))
        and device.type == "cpu"
        and dtype in _DTYPES
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    )


def fuse(network: ResNet, batch: torch.Size) -> nn.Module:
    """Return a network that answers as `network` does; it owns the weights from then on, which `network` loses.

    `batch` is the shape N x 3 x H x W of what it will be given; other sizes are answered too, perhaps more slowly.
    """
    shapes = _input_shapes(network, batch)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, _Convolution(layer, shapes[name]))
    return nn.Sequential(
        _Stem(network),
        *(_Block(block) for block in _blocks(network)),
        network.avgpool,
        nn.Flatten(1),
        network.fc,
    )


class _Convolution(nn.Module):
    """A convolution whose weights lie as oneDNN wants them; it may add another tensor, then apply ReLU."""

    def __init__(self, layer: nn.Conv2d, shape: torch.Size) -> None:
        super().__init__()
        self.bias = layer.bias
        self.geometry = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(layer.weight.detach(), *self.geometry, list(shape))

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        """Return convolution, sum, ReLU; the result takes the place of `add`."""
        operations, layer = torch.ops.mkldnn, (self.weight, self.bias, *self.geometry)
        answer: torch.Tensor
        if add is None:
            answer = operations._convolution_pointwise(x, *layer, "relu" if relu else "none", [], "")
        else:
            answer = operations._convolution_pointwise_(add, x, *layer, "add", 1.0, "relu", [], "")
        return answer


class _Stem(nn.Module):
    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.conv, self.pool = network.conv1, network.maxpool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.pool(self.conv(x))
        return answer


class _Block(nn.Module):
    """A residual block: ReLU after every convolution, after the last one on the sum with the block's input."""

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        *first, self.last = (layer for name, layer in block.named_children() if name.startswith("conv"))
        self.first = nn.ModuleList(first)
        self.downsample = block.downsample[0] if block.downsample is not None else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = x
        for layer in self.first:
            inner = layer(inner)
        answer: torch.Tensor = self.last(inner, x if self.downsample is None else self.downsample(x, relu=False))
        return answer


def _blocks(network: ResNet) -> list[nn.Module]:
    return [block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage]


def _input_shapes(network: nn.Module, batch: torch.Size) -> dict[str, torch.Size]:
    """Return the shape that each convolution is given, found by a pass that computes nothing."""
    shapes = {}
    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):

            def note(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name) -> None:
                shapes[name] = inputs[0].shape

            hooks.append(layer.register_forward_pre_hook(note))
    weights = {name: value.to("meta") for name, value in network.state_dict().items()}
    functional_call(network, weights, torch.empty(batch, device="meta", dtype=weights["fc.bias"].dtype))
    for hook in hooks:
        hook.remove()
    return shapes
