"""Tuned networks answer as the untuned ones do."""

from __future__ import annotations

import copy
import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from conftest import environment
from democlass.networks.checkpoints import load
from democlass.networks.locations import locate
from democlass.networks.tuning import fold_batch_norms, has_native_support
from democlass.tasks import TASKS, Task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_folding_takes_every_batch_norm_away_and_changes_no_answer(task: Task) -> None:
    plain = load(locate(task), task).build(task)
    folded = copy.deepcopy(plain)
    fold_batch_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), plain(images), atol=1e-4, rtol=1e-4)


def test_a_batch_norm_without_a_convolution_before_it_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    before = copy.deepcopy(network)
    fold_batch_norms(network)
    assert [type(layer) for layer in network] == [type(layer) for layer in before]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN's limit is for x86")
def test_bfloat16_is_not_native_where_onednn_may_not_use_it() -> None:
    code = (
        "import torch\n"
        "from democlass.networks.tuning import has_native_support\n"
        "print(has_native_support(torch.device('cpu'), torch.bfloat16))\n"
    )
    limited = environment(ONEDNN_MAX_CPU_ISA="AVX2")
    answer = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, timeout=120)
    assert answer.stdout == b"False\n", answer.stderr.decode()


def test_float32_is_native_everywhere_and_half_precision_not_on_a_processor() -> None:
    cpu = torch.device("cpu")
    assert has_native_support(cpu, torch.float32) and not has_native_support(cpu, torch.float16)
