"""Tuning does not change the outputs of networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from democlass.networks.checkpoints import load
from democlass.networks.locations import locate
from democlass.networks.tuning import fold_batch_norms, has_native_support
from democlass.tasks import TASKS, Task

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_folding_removes_every_batch_norm_and_keeps_the_outputs(task: Task) -> None:
    original = load(locate(task), task).build(task)
    folded = copy.deepcopy(original)
    fold_batch_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), original(images), atol=1e-4, rtol=1e-4)


def test_batch_norm_without_a_convolution_before_it_is_kept() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    before = copy.deepcopy(network)
    fold_batch_norms(network)
    assert [type(layer) for layer in network] == [type(layer) for layer in before]


def test_native_formats_of_a_cpu() -> None:
    """test_fusion.py covers bfloat16, which depends on the CPU."""
    cpu = torch.device("cpu")
    assert has_native_support(cpu, torch.float32) and not has_native_support(cpu, torch.float16)
