"""Fused networks give the same result as unfused ones."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from conftest import environment
from democlass.networks import fusion
from democlass.networks.checkpoints import load
from democlass.networks.fused_convolution import FusedConvolution
from democlass.networks.fusion import fuse, fuse_if_correct, is_fusible
from democlass.networks.locations import locate
from democlass.networks.tuning import fold_batch_norms
from democlass.tasks import TASKS, Task

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))

needs_onednn = pytest.mark.skipif(
    not is_fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float32), reason="needs oneDNN"
)


@cache
def folded(task: Task, dtype: torch.dtype) -> nn.Module:
    """Return a built-in network without batch norms. The tests share it."""
    network = load(locate(task), task).build(task)
    fold_batch_norms(network)
    return network.to(dtype).to(memory_format=torch.channels_last)


@needs_onednn
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_logits_are_the_same(task: Task, dtype: torch.dtype, tolerance: float) -> None:
    unfused = folded(task, dtype)
    fused = fuse(unfused, IMAGES.shape)
    images = IMAGES.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(fused(images), unfused(images), atol=tolerance, rtol=0)


@needs_onednn
def test_threads_and_batch_sizes_change_only_rounding() -> None:
    fused = fuse(folded(TASKS[0], torch.float32), IMAGES.shape)
    images = IMAGES.contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        expected, single_image = fused(images), fused(images[:1])
        torch.set_num_threads(1)
        single_thread = fused(images)
    torch.set_num_threads(threads)
    assert torch.equal(expected, single_thread)
    torch.testing.assert_close(single_image, expected[:1], atol=1e-5, rtol=0)


@needs_onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_correct_network_is_fused_and_threads_are_restored(dtype: torch.dtype) -> None:
    threads = torch.get_num_threads()
    assert isinstance(fuse_if_correct(folded(TASKS[0], dtype), IMAGES.shape), nn.Sequential)
    assert torch.get_num_threads() == threads


class Wrong(FusedConvolution):
    """A convolution with slightly wrong results, like a defect in oneDNN."""

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        return super().forward(x, add, relu) * 1.2


class Failing(FusedConvolution):
    """A convolution that this CPU has no instructions for."""

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        raise RuntimeError("could not create a primitive")


@needs_onednn
@pytest.mark.parametrize("kind", [Wrong, Failing])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_network_that_is_wrong_or_fails_when_fused_is_not_fused(
    dtype: torch.dtype, kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    unfused = folded(TASKS[0], dtype)
    monkeypatch.setattr(fusion, "FusedConvolution", kind)
    assert fuse_if_correct(unfused, IMAGES.shape) is None
    with torch.inference_mode():
        assert unfused(IMAGES[:1].to(dtype)).isfinite().all()


@needs_onednn
def test_cpu_without_bfloat16_uses_unfused_networks_with_a_warning() -> None:
    """Needs a process of its own, because oneDNN reads the environment variable when it is loaded."""
    code = (
        "import warnings, torch\n"
        "from democlass.classifier import Classifier\n"
        "from democlass.tasks import TASKS\n"
        "from democlass.networks.tuning import has_native_support\n"
        "assert not has_native_support(torch.device('cpu'), torch.bfloat16)\n"
        "def predict(precision):\n"
        "    with warnings.catch_warnings(record=True) as warned:\n"
        "        warnings.simplefilter('always')\n"
        "        options = {'batch_size': 1, 'tasks': TASKS[:1], 'isolated': False}\n"
        "        one = Classifier.load(device='cpu', precision=precision, **options)\n"
        "    batch = one.networks.new_batch()\n"
        "    return one.networks.predict(batch)['gender'], [str(each.message) for each in warned]\n"
        "(exact, no_warnings), (near, warned) = predict('float32'), predict('bfloat16')\n"
        "assert not no_warnings and torch.allclose(exact, near, atol=0.05), (no_warnings, exact, near)\n"
        "print(*warned, sep='\\n')\n"
    )
    limited = environment(ONEDNN_MAX_CPU_ISA="AVX2")
    result = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr.decode()
    not_fused, not_native = result.stdout.decode().splitlines()
    assert "fused networks do not work" in not_fused and "no instructions for bfloat16" in not_native


def test_only_folded_resnets_in_supported_formats_are_fusible() -> None:
    assert not is_fusible(resnet18(), CPU, torch.float32)
    assert not is_fusible(nn.Sequential(), CPU, torch.float32)
    assert not is_fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float16)
    assert not is_fusible(resnet18(norm_layer=nn.Identity), torch.device("meta"), torch.float32)
