"""Fusion: on a processor, a ResNet whose ReLUs and additions happen inside its convolutions.

oneDNN has such convolutions, and lays their weights out once instead of at every call. torch.compile comes to the same
for these networks; this takes no compiler and no minute's wait. docs/performance.md has what it brings.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock, Bottleneck

_CHECKS = {torch.float32: (32, 1e-3), torch.bfloat16: (224, 0.1)}
"""How a fused network is checked, by number format: the side of the image in pixels, and how far logits may be
apart, as a part of the largest. Rounding comes to 1e-6 and 0.02. In bfloat16 a small image takes longer than a large
one, since oneDNN has to lay the weights out again for it.
"""

_OPERATIONS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def fusible(network: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether `fuse` can take a network: torchvision's ResNet, batch norms folded, where oneDNN serves it."""
    return (
        isinstance(network, ResNet)
        and not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        and all(type(block) in (BasicBlock, Bottleneck) for block in _blocks(network))
        and device.type == "cpu"
        and dtype in _CHECKS
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    )


def fuse(network: ResNet, batch: torch.Size) -> nn.Module:
    """Return a network that answers as `network` does, with a copy of its convolutions' weights.

    `batch` is the shape N x 3 x H x W of what it will be given; other sizes are answered too, perhaps more slowly.
    Raises RuntimeError where this processor lacks the instructions for the number format.
    """
    shapes = _input_shapes(network, batch)
    fused = {
        name: _Convolution(layer, shapes[name])
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


def fuse_if_it_works(network: ResNet, batch: torch.Size) -> nn.Module | None:
    """Return the fused network, or None where it fails on this processor or answers otherwise than `network`.

    Both are asked once about one image, on one thread: this takes some ten milliseconds, and threads that wait for each
    other on a busy machine would take far longer.
    """
    dtype = network.fc.bias.dtype
    side, tolerance = _CHECKS[dtype]
    noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    image = noise.to(dtype).contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            fused = fuse(network, batch)
            expected, found = network(image).float(), fused(image).float()
    except RuntimeError:
        return None
    finally:
        torch.set_num_threads(threads)
    far = tolerance * max(1.0, float(expected.abs().max()))
    return fused if torch.allclose(found, expected, rtol=0, atol=far, equal_nan=True) else None


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
    def __init__(self, conv: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool = conv, pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.pool(self.conv(x))
        return answer


class _Block(nn.Module):
    """A residual block: ReLU after every convolution, after the last one on the sum with the block's input."""

    def __init__(self, block: nn.Module, name: str, fused: Mapping[str, nn.Module]) -> None:
        super().__init__()
        *first, self.last = (fused[f"{name}.{own}"] for own, _ in block.named_children() if own.startswith("conv"))
        self.first = nn.ModuleList(first)
        self.downsample = fused.get(f"{name}.downsample.0")

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
