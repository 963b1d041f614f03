"""Fused networks answer as plain ones do, to the last bit where float32 allows it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from conftest import environment
from democlass.networks import fusion
from democlass.networks.checkpoints import load
from democlass.networks.fusion import fuse, fuse_if_correct, is_fusible
from democlass.networks.locations import locate
from democlass.networks.tuning import fold_batch_norms
from democlass.tasks import TASKS, Task

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))

here = pytest.mark.skipif(not is_fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float32), reason="no oneDNN here")


def folded(task: Task, dtype: torch.dtype) -> nn.Module:
    network = load(locate(task), task).build(task)
    fold_batch_norms(network)
    return network.to(dtype).to(memory_format=torch.channels_last)


@here
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 1e-4), (torch.bfloat16, 0.5)])
def test_logits_are_the_same(task: Task, dtype: torch.dtype, far: float) -> None:
    plain = folded(task, dtype)
    fused = fuse(plain, IMAGES.shape)
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


@here
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_that_works_when_fused_is_fused_and_threads_stay_as_they_were(dtype: torch.dtype) -> None:
    threads = torch.get_num_threads()
    assert isinstance(fuse_if_correct(folded(TASKS[0], dtype), IMAGES.shape), nn.Sequential)
    assert torch.get_num_threads() == threads


class Wrong(fusion._Convolution):
    """A convolution that answers a little wrongly, as one with a defect would."""

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        return super().forward(x, add, relu) * 1.2


class Failing(fusion._Convolution):
    """A convolution that this processor has no instructions for."""

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None, relu: bool = True) -> torch.Tensor:
        raise RuntimeError("could not create a primitive")


@here
@pytest.mark.parametrize("kind", [Wrong, Failing])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_that_answers_otherwise_when_fused_or_fails_is_not(
    dtype: torch.dtype, kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = folded(TASKS[0], dtype)
    monkeypatch.setattr(fusion, "_Convolution", kind)
    assert fuse_if_correct(plain, IMAGES.shape) is None
    with torch.inference_mode():
        assert plain(IMAGES[:1].to(dtype)).isfinite().all()


@here
def test_a_processor_without_instructions_for_bfloat16_answers_with_plain_networks_and_says_so() -> None:
    code = (
        "import warnings, torch\n"
        "from democlass.classifier import Classifier\n"
        "from democlass.tasks import TASKS\n"
        "from democlass.networks.tuning import has_native_support\n"
        "assert not has_native_support(torch.device('cpu'), torch.bfloat16)\n"
        "def answer(precision):\n"
        "    with warnings.catch_warnings(record=True) as warned:\n"
        "        warnings.simplefilter('always')\n"
        "        one = Classifier.load(device='cpu', precision=precision, batch_size=1, tasks=TASKS[:1])\n"
        "    batch = one.networks.new_batch()\n"
        "    return one.networks.predict(batch)['gender'], [str(each.message) for each in warned]\n"
        "(exact, silent), (near, warned) = answer('float32'), answer('bfloat16')\n"
        "assert not silent and torch.allclose(exact, near, atol=0.05), (silent, exact, near)\n"
        "print(*warned, sep='\\n')\n"
    )
    limited = environment(ONEDNN_MAX_CPU_ISA="AVX2")
    answer = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, timeout=120)
    assert answer.returncode == 0, answer.stderr.decode()
    not_fused, not_native = answer.stdout.decode().splitlines()
    assert "fused networks do not work" in not_fused and "no instructions for bfloat16" in not_native


def test_only_folded_resnets_in_formats_that_onednn_has_are_fused() -> None:
    assert not is_fusible(resnet18(), CPU, torch.float32)
    assert not is_fusible(nn.Sequential(), CPU, torch.float32)
    assert not is_fusible(resnet18(norm_layer=nn.Identity), CPU, torch.float16)
    assert not is_fusible(resnet18(norm_layer=nn.Identity), torch.device("meta"), torch.float32)
