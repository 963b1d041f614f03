"""The face detector on real and artificial images."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from democlass.faces import detector as detector_module
from democlass.faces.centerface import CenterFace
from democlass.faces.detector import Detector, location
from democlass.networks.batcher import Batcher
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
    network.load_state_dict({name: value.float() for name, value in read(location()).state.items()})
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


def test_bfloat16_finds_the_same_face() -> None:
    (face,) = Detector.load(CPU, Precision.BFLOAT16, 640)(pixels())
    (exact,) = Detector.load(CPU, Precision.FLOAT32, 640)(pixels())
    assert face == pytest.approx(exact, abs=2.0)


@pytest.fixture
def batched() -> Iterator[Detector]:
    """Return a detector that batches images as on a GPU, on the CPU."""
    detector = Detector.load(CPU, Precision.FLOAT32, 640)
    detector._batcher = Batcher(detector._run_batch, max_size=detector_module._GPU_BATCH, threads=1, max_wait=0.05)
    with closing(detector):
        yield detector


def test_batches_of_several_images_change_no_digit(batched: Detector, detector: Detector) -> None:
    images = [pixels(), pixels("grace_hopper.jpg"), pixels(size=(300, 400)), np.zeros((20, 640, 3), np.uint8)]
    alone = [batched(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(batched, images))
    assert [len(faces) for faces in alone] == [1, 1, 1, 0]
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    # Only padding differs from a batch of one.
    assert alone[0] == pytest.approx(detector(images[0]), abs=0.5)
