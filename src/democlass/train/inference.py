"""Inference during a training: the outputs of a network for whole images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from democlass.errors import ImageError, UsageError
from democlass.inputs.labels import Example
from democlass.networks.normalisation import Normaliser
from democlass.networks.tuning import has_native_support
from democlass.train.image_reader import ImageReader

_BATCH_SIZE, _GPU_BATCH_SIZE = 32, 256


@torch.inference_mode()
def compute_logits(
    network: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    reader: ImageReader,
    *,
    average_mirrored: bool = False,
) -> torch.Tensor:
    """Return the network's logits for whole images: float32 N x outputs, on the CPU.

    `average_mirrored` returns the mean of the logits for each image and its mirror image. Computes in bfloat16 if the
    device supports it natively. Raises UsageError if an image can't be read; the reader is then closed, as it is after
    an interruption.
    """
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    normalise = Normaliser(device)

    def read(example: Example) -> NDArray[np.uint8]:
        try:
            return reader(example.path)
        except ImageError as error:
            raise UsageError(f"{example.path} can't be read any more: {error}; restore it") from None

    batch_size = _BATCH_SIZE if device.type == "cpu" else _GPU_BATCH_SIZE
    logits: list[torch.Tensor] = []
    with closing(reader.map(read, examples, ahead=2 * batch_size)) as images:
        while batch := list(islice(images, batch_size)):
            inputs = normalise(torch.from_numpy(np.stack(batch)).to(device))
            logits.append(_forward(network, inputs, average_mirrored))
    return torch.cat(logits)


def _forward(network: nn.Module, inputs: torch.Tensor, average_mirrored: bool) -> torch.Tensor:
    device = inputs.device
    with torch.autocast(device.type, torch.bfloat16, enabled=has_native_support(device, torch.bfloat16)):
        logits: torch.Tensor = network(inputs)
        if average_mirrored:
            logits = (logits + network(inputs.flip(3))) / 2
    return logits.float().cpu()
