"""The face detector on real and artificial images."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import enumerate as running_threads

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from democlass.errors import CheckpointError, DemoclassError
from democlass.faces import detector as detector_module
from democlass.faces.centerface import CenterFace
from democlass.faces.detector import Detector
from democlass.faces.maps import read_maps
from democlass.networks.checkpoint_files import read
from democlass.settings import Precision

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(CPU, Precision.FLOAT32, 640)


def pixels(name: str = "astronaut.png", size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    image = Image.open(EXAMPLES / name).convert("RGB")
    return np.asarray(image if size is None else image.resize(size))


@pytest.mark.parametrize(("name", "centre"), [("astronaut.png", (224, 118)), ("grace_hopper.jpg", (266, 232))])
def test_it_finds_the_face_of_a_portrait(detector: Detector, name: str, centre: tuple[int, int]) -> None:
    (face,) = detector(pixels(name))
    left, top, right, bottom, score = face[:5]
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(centre, abs=12)
    assert score > 0.8
    right_eye, left_eye, nose, right_mouth, left_mouth = face[5:].reshape(5, 2)
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert right_mouth[0] < left_mouth[0]


@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (31, 33), (640, 1), (100, 640)])
def test_any_shape_without_a_face_has_none(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector(np.full((*shape, 3), 127, np.uint8)).shape == (0, 15)


def test_it_is_exact_with_and_without_fused_convolutions(detector: Detector) -> None:
    network = CenterFace().eval()
    network.load_state_dict({name: value.float() for name, value in read(detector.location).state.items()})
    image = torch.from_numpy(pixels().copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = network(image)[0]
    assert torch.allclose(detector._run_alone(pixels()), expected, atol=1e-3)


def test_threads_and_their_number_change_no_digit(detector: Detector) -> None:
    images = [pixels(), pixels("grace_hopper.jpg"), pixels(size=(300, 400)), pixels(size=(640, 200))] * 3
    expected = [detector(image) for image in images]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(detector, images))
    torch.set_num_threads(threads)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_number_of_threads_of_the_caller_stays(detector: Detector) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    detector(pixels())
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def test_maps_are_read_in_one_thread(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch divides large maps among threads, and the last digits depend on where it does."""
    found = []

    def record(maps: torch.Tensor) -> NDArray[np.float32]:
        found.append(torch.get_num_threads())
        return read_maps(maps)

    monkeypatch.setattr(detector_module, "read_maps", record)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    detector(pixels())
    torch.set_num_threads(threads)
    assert found == [1]


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_other_number_formats_find_the_same_face(detector: Detector, precision: Precision) -> None:
    (face,) = Detector.load(CPU, precision, 640)(pixels())
    (exact,) = detector(pixels())
    assert face == pytest.approx(exact, abs=2.0)


def test_it_says_which_file_it_uses(detector: Detector) -> None:
    assert detector.location.name == "centerface.pth"
    assert detector.sha256 == hashlib.sha256(detector.location.read_bytes()).hexdigest()


def test_a_file_with_other_weights_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model_state_dict": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "centerface.pth")
    monkeypatch.setattr(detector_module, "built_in_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=r"centerface\.pth is not the face detector"):
        Detector.load(CPU, Precision.FLOAT32, 640)


def test_wrong_fused_convolutions_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fuse: Callable[[CenterFace, torch.Size], None] = CenterFace.fuse

    def fuse_wrongly(network: CenterFace, input_shape: torch.Size) -> None:
        fuse(network, input_shape)
        assert network.stem.fused is not None
        network.stem.fused.bias = torch.nn.Parameter(torch.full((network.stem.conv.out_channels,), 100.0))

    def fail(*_: object) -> None:
        raise RuntimeError("not supported")

    monkeypatch.setattr(detector_module, "is_available", lambda _: True)
    for broken in (fuse_wrongly, fail):
        monkeypatch.setattr(CenterFace, "fuse", broken)
        detector = Detector.load(CPU, Precision.FLOAT32, 640)
        assert detector._network.stem.fused is None
        assert len(detector(pixels())) == 1


def test_batches_of_several_images_change_no_digit(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, batches run the code that is meant for GPUs."""
    monkeypatch.setattr(detector_module, "_BATCH_PIXELS", 4 * 640 * 640)
    batched = Detector.load(CPU, Precision.FLOAT32, 640, batched=True)
    images = [pixels(), pixels("grace_hopper.jpg"), pixels(size=(300, 400)), np.zeros((20, 640, 3), np.uint8)]
    alone = [batched(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(batched, images))
    assert [len(faces) for faces in alone] == [1, 1, 1, 0]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    # Only padding differs from a batch of one.
    assert alone[0] == pytest.approx(detector(images[0]), abs=0.5)


def test_the_thread_of_the_batches_ends_before_the_detector_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ran on a GPU and still lives when the interpreter ends would abort the process."""

    def forward(_: CenterFace, images: torch.Tensor) -> torch.Tensor:
        time.sleep(0.5)
        return images

    before = set(running_threads())
    batched = Detector.load(CPU, Precision.FLOAT32, 64, batched=True)
    monkeypatch.setattr(CenterFace, "forward", forward)
    (thread,) = (each for each in set(running_threads()) - before if each.name == "batcher")
    assert batched._batcher is not None
    batched._batcher.submit(np.zeros((64, 64, 3), np.uint8))
    del batched
    gc.collect()
    assert not thread.is_alive()


def test_too_little_memory_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    batched = Detector.load(CPU, Precision.FLOAT32, 64, batched=True)
    monkeypatch.setattr(CenterFace, "forward", forward)
    with pytest.raises(DemoclassError, match="too little memory to find faces: try a smaller face size"):
        batched(np.zeros((64, 64, 3), np.uint8))
