"""All networks over each batch: digits that depend on nothing but the image, on whatever device there is."""

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


def random_batch(classifier: Classifier, seed: int, size: int | None = None) -> dict[object, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (size or classifier.networks.batch_size, 224, 224, 3)
    return {
        geometry: torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        for geometry in classifier.networks.geometries
    }


def test_an_image_has_the_same_bits_whatever_its_place_and_neighbours(classifier: Classifier) -> None:
    networks = classifier.networks
    batch, others = random_batch(classifier, 0), random_batch(classifier, 1)
    before = networks.predict(batch)  # type: ignore[arg-type]
    for place in (0, 3, networks.batch_size - 1):
        moved = {geometry: pixels.clone() for geometry, pixels in others.items()}
        for geometry, pixels in moved.items():
            pixels[place] = batch[geometry][2]
        after = networks.predict(moved)  # type: ignore[arg-type]
        for task in before:
            assert torch.equal(before[task][2], after[task][place])


@pytest.mark.parametrize("size", [1, 3])
def test_a_short_batch_that_is_not_padded_has_the_same_answers_but_for_rounding(
    size: int, classifier: Classifier
) -> None:
    batch = random_batch(classifier, 0, size)
    padded, short = (classifier.networks.predict(batch, padded=how) for how in (True, False))  # type: ignore[arg-type]
    for task, probabilities in padded.items():
        assert short[task].shape == probabilities.shape
        assert torch.allclose(short[task], probabilities, rtol=0, atol=1e-5)


def test_streams_give_the_same_bits_and_leave_the_threads_as_they_were(classifier: Classifier, photos: Path) -> None:
    threads = torch.get_num_threads()
    names = sorted(photos.rglob("*.*")) * 3
    several = [each.outcomes for each in classifier.classify(names)]
    alone = Classifier.load(device="cpu", workers=0)
    assert several == [each.outcomes for each in alone.classify(names)]
    assert torch.get_num_threads() == threads


def test_probabilities_are_float32_and_sum_to_one(classifier: Classifier) -> None:
    for answer in classifier.networks.predict(random_batch(classifier, 2)).values():  # type: ignore[arg-type]
        assert answer.dtype == torch.float32
        torch.testing.assert_close(answer.sum(1), torch.ones(len(answer)))


@pytest.mark.filterwarnings("ignore:the gender labels given contradict")
def test_labels_in_another_order_answer_to_the_right_name(tiny: Callable[..., Classifier]) -> None:
    usual, turned = tiny(), tiny(labels={"gender": ["Male", "Female"]})
    batch = random_batch(usual, 3)
    one, other = (each.networks.predict(batch)["gender"] for each in (usual, turned))  # type: ignore[arg-type]
    assert torch.equal(one, other.flip(1)) and not torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:this processor has no instructions")
@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_lower_precision_is_near(precision: Precision, classifier: Classifier) -> None:
    low = Classifier.load(device="cpu", precision=precision)
    batch = random_batch(classifier, 4)
    exact, near = classifier.networks.predict(batch), low.networks.predict(batch)  # type: ignore[arg-type]
    for task in exact:
        assert near[task].dtype == torch.float32
        assert not torch.equal(exact[task], near[task])
        torch.testing.assert_close(exact[task], near[task], atol=0.1, rtol=0)


class SmallMemory(TinyNetwork):
    """A network on a device that holds three images at most."""

    most = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError
        return super().forward(x)


class SmallProcessorMemory(SmallMemory):
    """The same on a processor, whose allocator says so in another way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            torch.empty(2**50)
        return TinyNetwork.forward(self, x)


class NoMemory(SmallMemory):
    most = 0


class Broken(TinyNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("a defect")


@pytest.mark.parametrize("network", [SmallMemory, SmallProcessorMemory])
def test_out_of_memory_halves_the_batch_with_one_warning_and_the_same_answers(
    network: type[TinyNetwork], tiny: Callable[..., Classifier]
) -> None:
    roomy, tight = tiny(batch_size=11), tiny(network, batch_size=11)
    batch = random_batch(roomy, 5)
    with pytest.warns(UserWarning, match="out of memory with batches of 11") as warned:
        answers = tight.networks.predict(batch)  # type: ignore[arg-type]
        tight.networks.predict(batch)  # type: ignore[arg-type]
    assert len(warned) == 1
    for task, expected in roomy.networks.predict(batch).items():  # type: ignore[arg-type]
        torch.testing.assert_close(answers[task], expected)


@pytest.mark.filterwarnings("ignore:cpu is out of memory")
def test_memory_for_not_even_one_image_ends_the_run(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(NoMemory, batch_size=2)
    with pytest.raises(DemoclassError, match="too little memory"):
        classifier.networks.predict(random_batch(classifier, 6))  # type: ignore[arg-type]


def test_other_failures_are_not_taken_for_a_lack_of_memory(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(Broken, batch_size=2)
    with pytest.raises(RuntimeError, match="a defect"):
        classifier.networks.predict(random_batch(classifier, 6))  # type: ignore[arg-type]


class Watch(TorchFunctionMode):
    """Notes which tensors are moved without waiting for the copy."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[bool] = []

    def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.Tensor.to and "non_blocking" in (kwargs or {}):
            self.waits.append(not kwargs["non_blocking"])
        return function(*args, **(kwargs or {}))


def test_every_device_but_cuda_waits_for_its_copies(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(batch_size=2)
    with Watch() as watch:
        classifier.networks.predict(random_batch(classifier, 8))  # type: ignore[arg-type]
    assert watch.waits == [True, True]


def test_auto_takes_no_mps_even_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cpu")
    assert pick_device("mps") == torch.device("mps")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="an mps device is here")
def test_an_mps_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="device mps: there is none here"):
        pick_device("mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "", "xpu", "auto:1", "cpu\n"])
def test_devices_that_are_none(name: str) -> None:
    with pytest.raises(DeviceError, match="auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_gpu_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceError, match="GPUs here; the device cpu always works"):
        pick_device(name)
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
@pytest.mark.parametrize("precision", list(Precision))
def test_a_gpu_answers_as_the_processor_does(precision: Precision, classifier: Classifier) -> None:
    gpu = Classifier.load(device="cuda", precision=precision, batch_size=classifier.networks.batch_size)
    batch = gpu.networks.new_batch()
    for geometry, pixels in random_batch(classifier, 7).items():
        batch[geometry].copy_(pixels)  # type: ignore[index]
    exact, near = classifier.networks.predict(batch), gpu.networks.predict(batch)
    for task in exact:
        torch.testing.assert_close(
            exact[task], near[task], atol=1e-4 if precision is Precision.FLOAT32 else 0.1, rtol=0
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_pinned_batch_that_is_filled_again_at_once_changes_no_answer() -> None:
    gpu = Classifier.load(device="cuda", batch_size=64)
    found, expected = [], []
    for seed in range(20):
        pixels = random_batch(gpu, seed)
        batch = gpu.networks.new_batch()  # memory of the one before, which has been freed
        for geometry, image in pixels.items():
            batch[geometry].copy_(image)  # type: ignore[index]
        found.append(gpu.networks.predict(batch))
        for slots in batch.values():
            slots.zero_()
        expected.append(gpu.networks.predict(pixels))  # type: ignore[arg-type]
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(one[task], other[task]) for task in one)


def test_its_repr_is_short(tiny: Callable[..., Classifier]) -> None:
    classifier = tiny(batch_size=4, workers=2)
    inner = "Networks(gender, race; device=cpu, precision=float32, batch_size=4)"
    assert repr(classifier.networks) == inner
    assert repr(classifier) == f"Classifier({inner}, workers=2)"
