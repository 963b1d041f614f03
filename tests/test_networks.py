"""Inference: probabilities that depend only on the image, on every available device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from conftest import TinyNetwork
from democlass.classifier import Classifier
from democlass.errors import DemoclassError, DeviceError
from democlass.networks.networks import pick_device
from democlass.settings import Precision

pytestmark = pytest.mark.slow


def random_batch(classifier: Classifier, seed: int, size: int | None = None) -> dict[object, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (size or classifier.networks.batch_size, 224, 224, 3)
    return {
        geometry: torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        for geometry in classifier.networks.geometries
    }


def test_result_does_not_depend_on_position_or_other_images(classifier: Classifier) -> None:
    networks = classifier.networks
    batch, others = random_batch(classifier, 0), random_batch(classifier, 1)
    before = networks.predict(batch)  # type: ignore[arg-type]
    for position in (0, networks.batch_size - 1):
        moved = {geometry: pixels.clone() for geometry, pixels in others.items()}
        for geometry, pixels in moved.items():
            pixels[position] = batch[geometry][2]
        after = networks.predict(moved)  # type: ignore[arg-type]
        for task in before:
            assert torch.equal(before[task][2], after[task][position])


@pytest.mark.parametrize("size", [1, 3])
def test_short_batch_without_padding_has_the_same_result_except_rounding(size: int, classifier: Classifier) -> None:
    batch = random_batch(classifier, 0, size)
    padded, short = (classifier.networks.predict(batch, padded=how) for how in (True, False))  # type: ignore[arg-type]
    for task, probabilities in padded.items():
        assert short[task].shape == probabilities.shape
        assert torch.allclose(short[task], probabilities, rtol=0, atol=1e-5)


def test_streams_give_the_same_result_and_restore_the_threads(classifier: Classifier, photos: Path) -> None:
    threads = torch.get_num_threads()
    names = sorted(photos.rglob("*.*")) * 2
    with_streams = [each.outcomes for each in classifier.classify(names)]
    without_streams = Classifier(classifier.networks, classifier.settings, classifier.reader, workers=0)
    assert with_streams == [each.outcomes for each in without_streams.classify(names)]
    assert torch.get_num_threads() == threads


def test_probabilities_are_float32_and_sum_to_one(classifier: Classifier) -> None:
    for probabilities in classifier.networks.predict(random_batch(classifier, 2)).values():  # type: ignore[arg-type]
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities.sum(1), torch.ones(len(probabilities)))


@pytest.mark.filterwarnings("ignore:the given gender labels differ")
def test_labels_in_another_order_get_the_right_probabilities(tiny: Callable[..., Classifier]) -> None:
    usual, reversed_ = tiny(), tiny(labels={"gender": ["Male", "Female"]})
    batch = random_batch(usual, 3)
    one, other = (each.networks.predict(batch)["gender"] for each in (usual, reversed_))  # type: ignore[arg-type]
    assert torch.equal(one, other.flip(1)) and not torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:this CPU has no instructions")
@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_lower_precision_gives_similar_probabilities(precision: Precision, classifier: Classifier) -> None:
    low = Classifier.load(device="cpu", precision=precision, batch_size=2, isolated=False)
    batch = random_batch(classifier, 4, 2)
    exact, near = classifier.networks.predict(batch), low.networks.predict(batch)  # type: ignore[arg-type]
    for task in exact:
        assert near[task].dtype == torch.float32
        assert not torch.equal(exact[task], near[task])
        torch.testing.assert_close(exact[task], near[task], atol=0.1, rtol=0)


class SmallMemory(TinyNetwork):
    """A network on a device with memory for three images."""

    max_images = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.max_images:
            raise torch.OutOfMemoryError
        return super().forward(x)


class SmallCpuMemory(SmallMemory):
    """The same on a CPU, whose allocator raises another exception."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.max_images:
            torch.empty(2**50)
        return TinyNetwork.forward(self, x)


class NoMemory(SmallMemory):
    max_images = 0


class Broken(TinyNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a defect")


@pytest.mark.parametrize("network", [SmallMemory, SmallCpuMemory])
def test_out_of_memory_halves_the_batch_with_one_warning_and_the_same_result(
    network: type[TinyNetwork], tiny: Callable[..., Classifier]
) -> None:
    large, small = tiny(batch_size=11), tiny(network, batch_size=11)
    batch = random_batch(large, 5)
    with pytest.warns(UserWarning, match="out of memory with batches of 11") as warned:
        result = small.networks.predict(batch)  # type: ignore[arg-type]
        small.networks.predict(batch)  # type: ignore[arg-type]
    assert len(warned) == 1
    for task, expected in large.networks.predict(batch).items():  # type: ignore[arg-type]
        torch.testing.assert_close(result[task], expected)


@pytest.mark.filterwarnings("ignore:cpu is out of memory")
def test_too_little_memory_for_one_image_is_an_error(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(NoMemory, batch_size=2)
    with pytest.raises(DemoclassError, match="too little memory"):
        classifier.networks.predict(random_batch(classifier, 6))  # type: ignore[arg-type]


def test_other_errors_are_not_treated_as_out_of_memory(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(Broken, batch_size=2)
    with pytest.raises(RuntimeError, match="a defect"):
        classifier.networks.predict(random_batch(classifier, 6))  # type: ignore[arg-type]


class CopyRecorder(TorchFunctionMode):
    """Records for each copy to a device whether it is blocking."""

    def __init__(self) -> None:
        super().__init__()
        self.is_blocking: list[bool] = []

    def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.Tensor.to and "non_blocking" in (kwargs or {}):
            self.is_blocking.append(not kwargs["non_blocking"])
        return function(*args, **(kwargs or {}))


def test_copies_to_devices_other_than_cuda_are_blocking(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(batch_size=2)
    with CopyRecorder() as recorder:
        classifier.networks.predict(random_batch(classifier, 8))  # type: ignore[arg-type]
    assert recorder.is_blocking == [True, True]


def test_auto_never_selects_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cpu")
    assert pick_device("mps") == torch.device("mps")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without mps")
def test_error_if_mps_is_not_available() -> None:
    with pytest.raises(DeviceError, match="device mps is not available"):
        pick_device("mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "", "xpu", "auto:1", "cpu\n"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="use auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_error_if_the_gpu_is_not_available(name: str) -> None:
    with pytest.raises(DeviceError, match="finds 0 GPUs; the device cpu always works"):
        pick_device(name)
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", list(Precision))
def test_gpu_gives_the_same_result_as_the_cpu(precision: Precision, classifier: Classifier) -> None:
    gpu = Classifier.load(device="cuda", precision=precision, batch_size=classifier.networks.batch_size, isolated=False)
    batch = gpu.networks.new_batch()
    for geometry, pixels in random_batch(classifier, 7).items():
        batch[geometry].copy_(pixels)  # type: ignore[index]
    exact, near = classifier.networks.predict(batch), gpu.networks.predict(batch)
    for task in exact:
        torch.testing.assert_close(
            exact[task], near[task], atol=1e-4 if precision is Precision.FLOAT32 else 0.1, rtol=0
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_reusing_a_pinned_batch_does_not_change_earlier_results() -> None:
    gpu = Classifier.load(device="cuda", batch_size=64, isolated=False)
    found, expected = [], []
    for seed in range(20):
        pixels = random_batch(gpu, seed)
        batch = gpu.networks.new_batch()  # reuses the memory of the previous batch
        for geometry, image in pixels.items():
            batch[geometry].copy_(image)  # type: ignore[index]
        found.append(gpu.networks.predict(batch))
        for slots in batch.values():
            slots.zero_()
        expected.append(gpu.networks.predict(pixels))  # type: ignore[arg-type]
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(one[task], other[task]) for task in one)


def test_repr_is_one_short_line(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(batch_size=4, workers=2)
    inner = "Networks(gender, race; device=cpu, precision=float32, batch_size=4)"
    assert repr(classifier.networks) == inner
    assert repr(classifier) == f"Classifier({inner}, workers=2)"
