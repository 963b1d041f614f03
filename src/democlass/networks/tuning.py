"""Make a network faster without changing its outputs: fold batch norms, and find native number formats."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place. Both are linear in evaluation mode.

    A batch norm belongs to the convolution that is registered directly before it. This holds for networks that
    register their layers in the order in which they run them, such as torchvision's ResNets.
    """
    for (name, layer), (next_name, next_layer) in pairwise(list(network.named_children())):
        if isinstance(layer, nn.Conv2d) and isinstance(next_layer, nn.BatchNorm2d):
            setattr(network, name, fuse_conv_bn_eval(layer, next_layer))
            setattr(network, next_name, nn.Identity())
    for child in network.children():
        fold_batch_norms(child)


def has_native_support(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether a device has instructions for a number format. Without them, the format is emulated slowly."""
    if dtype is torch.float32:
        return True
    if device.type == "cuda":
        return dtype is torch.float16 or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and dtype is torch.bfloat16:
        return _cpu_has_bfloat16()
    return False


def _cpu_has_bfloat16() -> bool:
    # torch 2.6 to 2.14 has no public function for this, so the private ones are used if they exist. The first two
    # detect the CPU; the last one says whether oneDNN may use the instructions (ONEDNN_MAX_CPU_ISA limits that).
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    is_supported = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    is_allowed = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    return is_supported and bool(is_allowed())
