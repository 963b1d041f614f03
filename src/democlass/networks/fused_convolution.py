"""FusedConvolution: a convolution on the CPU that adds another tensor and applies ReLU itself.

oneDNN has such convolutions, and stores their weights in its own layout once instead of at every call.
"""

from __future__ import annotations

import platform

import torch
from torch import nn
from torch.func import functional_call

_OPERATIONS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def is_available(device: torch.device) -> bool:
    """Return whether a device has fused convolutions: an x86 CPU, and a PyTorch with oneDNN."""
    return (
        device.type == "cpu"
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    )


class FusedConvolution(nn.Module):
    """A convolution with weights in oneDNN's layout. It can add another tensor and then apply ReLU.

    `input_shape` is the usual shape N x C x H x W of its input. Other shapes work too, but may be slower. Raises
    RuntimeError if the CPU does not support the number format.
    """

    def __init__(self, layer: nn.Conv2d, input_shape: torch.Size) -> None:
        super().__init__()
        self.bias = layer.bias
        self.arguments = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            layer.weight.detach(), *self.arguments, list(input_shape)
        )

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        """Return the result of convolution, sum and ReLU. It is written into the memory of `add`."""
        operations, layer = torch.ops.mkldnn, (self.weight, self.bias, *self.arguments)
        output: torch.Tensor
        if add is None:
            output = operations._convolution_pointwise(x, *layer, "relu" if relu else "none", [], "")
        else:
            unary = "relu" if relu else None
            output = operations._convolution_pointwise_(add, x, *layer, "add", 1.0, unary, [], "")
        return output


def input_shapes(network: nn.Module, input_shape: torch.Size, dtype: torch.dtype) -> dict[str, torch.Size]:
    """Return the input shape of each convolution, by name, found by a pass on the meta device, without computing."""
    shapes = {}
    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):

            def record_shape(_: nn.Module, inputs: tuple[torch.Tensor], name: str = name) -> None:
                shapes[name] = inputs[0].shape

            hooks.append(layer.register_forward_pre_hook(record_shape))
    weights = {name: value.to("meta") for name, value in network.state_dict().items()}
    functional_call(network, weights, torch.empty(input_shape, device="meta", dtype=dtype))
    for hook in hooks:
        hook.remove()
    return shapes
