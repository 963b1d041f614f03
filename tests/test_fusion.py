"""Fused networks answer as plain ones do, to the last bit where float32 allows it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from democlass.checkpoints import load
from democlass.fusion import fuse, fusible
from democlass.locations import locate
from democlass.tasks import TASKS, Task
from democlass.tuning import fold_batch_norms

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))

here = pytest.mark.skipif(not fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float32), reason="no oneDNN here")


def folded(task: Task, dtype: torch.dtype) -> nn.Module:
    network = load(locate(task), task).build(task)
    fold_batch_norms(network)
    return network.to(dtype).to(memory_format=torch.channels_last)


@here
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_logits_are_the_same(task: Task, dtype: torch.dtype, far: float) -> None:
    plain = folded(task, dtype)
    fused = fuse(copy.deepcopy(plain), IMAGES.shape)
    images = IMAGES.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), plain(images), atol=far, rtol=0)


@here
def test_threads_and_batch_sizes_change_nothing_but_rounding() -> None:
    fused = fuse(folded(TASKS[0], torch.float32), IMAGES.shape)
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        several, lone = fused(images), fused(images[:1])
        torch.set_num_threads(1)
        alone = fused(images)
    torch.set_num_threads(threads)
    assert torch.equal(several, alone)
    torch.testing.assert_close(lone, several[:1], atol=1e-5, rtol=0)


def test_only_folded_resnets_in_formats_that_onednn_has_are_fused() -> None:
    assert not fusible(resnet18(), CPU, torch.float32)
    assert not fusible(nn.Sequential(), CPU, torch.float32)
    assert not fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float16)
    assert not fusible(resnet18(norm_layer=nn.Identity), torch.device("meta"), torch.float32)
