"""Make a network quicker without changing what it answers: batch norms folded, channels last, one number format."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place; in evaluation both are linear.

    A batch norm belongs to the convolution registered right before it, which holds for networks that register their
    layers in the order in which they run them, as torchvision's ResNets do.
    """
    for (name, layer), (next_name, following) in pairwise(list(network.named_children())):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(network, name, fuse_conv_bn_eval(layer, following))
            setattr(network, next_name, nn.Identity())
    for child in network.children():
        fold_batch_norms(child)


def computes_natively(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether the device has instructions for a number format, or would only imitate them, slowly."""
    if dtype is torch.float32:
        return True
    if device.type == "cuda":
        return dtype is torch.float16 or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and dtype is torch.bfloat16:
        return _processor_has_bfloat16()
    return False


def _processor_has_bfloat16() -> bool:
    # There is no public function in torch 2.6 to 2.14 that tells; the private ones are asked where they exist. The
    # first two know the processor, the last one what oneDNN may use of it (ONEDNN_MAX_CPU_ISA limits that).
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_it = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    may_use_it = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    return has_it and bool(may_use_it())
