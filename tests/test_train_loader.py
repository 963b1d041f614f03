"""The data loader: epochs, batches of several processes, augmentation, and the time limit for decoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from democlass.errors import ImageError, UsageError
from democlass.inputs.labels import read_labels
from democlass.networks.normalisation import Normaliser
from democlass.tasks import IMAGENET_MEAN, IMAGENET_STD, SIDE
from democlass.train.data_loader import TrainLoader, check_batch_size
from democlass.train.heads import Heads
from democlass.train.image_reader import ImageReader
from democlass.train.process_group import ProcessGroup
from training import GENDER, make_endless_jpeg, make_faces, one_thread  # noqa: F401 (one_thread is an autouse fixture)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture
def reader() -> Iterator[ImageReader]:
    with ImageReader(GENDER.geometry) as reader:
        yield reader


def test_each_epoch_has_every_image_once_in_its_own_order(faces: Path, reader: ImageReader) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    loader = TrainLoader(examples, Heads((GENDER,)), 8, 0, ProcessGroup(), reader)
    batches = list(loader.batches(10, 0))
    first, second = ([int(i) for batch in half for i in batch.indices] for half in (batches[:5], batches[5:]))
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    batch = next(iter(loader.batches(10, 7)))
    assert torch.equal(batch.pixels, batches[7].pixels) and torch.equal(batch.indices, batches[7].indices)
    labels = [examples[index].labels["gender"] for index in batch.indices]
    assert [GENDER.labels[target] for target in batch.targets[:, 0]] == labels


def test_the_parts_of_two_processes_form_one_batch(faces: Path, reader: ImageReader) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    groups = (ProcessGroup(), ProcessGroup(0, 2), ProcessGroup(1, 2))
    loaders = [TrainLoader(examples, Heads((GENDER,)), 8, 0, group, reader) for group in groups]
    whole, *halves = (next(iter(loader.batches(1, 0))).indices for loader in loaders)
    assert torch.equal(torch.stack(halves, 1).flatten(), whole)


def test_batch_sizes_that_do_not_work_are_refused(faces: Path) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    with pytest.raises(UsageError, match="40 images are fewer than one batch of 64"):
        check_batch_size(examples, 64, ProcessGroup())
    with pytest.raises(UsageError, match="--batch 8 can't be divided among 3 processes"):
        check_batch_size(examples, 8, ProcessGroup(0, 3))


def test_normalisation_is_that_of_torchvision() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    expected = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(transforms.ToTensor()(pixels))
    batch = Normaliser(torch.device("cpu"))(torch.from_numpy(pixels)[None])
    assert torch.allclose(batch[0], expected, atol=1e-6)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_an_image_that_takes_too_long_to_decode_is_unreadable(tmp_path: Path) -> None:
    make_endless_jpeg(tmp_path / "endless.jpg")
    with ImageReader(GENDER.geometry, decode_timeout=0.5) as reader, pytest.raises(ImageError, match="timed out"):
        reader(str(tmp_path / "endless.jpg"))
    with pytest.raises(UsageError):
        ImageReader(GENDER.geometry, decode_timeout=0.0)


def test_images_that_fit_into_the_cache_are_decoded_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (30, 30), (200, 100, 50)).save(tmp_path / f"{name}.png")
    one_image = SIDE * SIDE * 3
    with ImageReader(GENDER.geometry, cache_bytes=one_image) as reader:
        before = reader(str(tmp_path / "a.png"))
        reader(str(tmp_path / "b.png"))
        for name in ("a", "b"):
            (tmp_path / f"{name}.png").unlink()
        assert np.array_equal(reader(str(tmp_path / "a.png")), before)
        with pytest.raises(ImageError):
            reader(str(tmp_path / "b.png"))


def test_some_images_get_jpeg_artefacts(faces: Path, reader: ImageReader) -> None:
    examples = read_labels(faces / "labels.csv").of(GENDER)
    plain, half = (
        next(TrainLoader(examples, Heads((GENDER,)), 40, 0, ProcessGroup(), reader, jpeg=jpeg).batches(1, 0)).pixels
        for jpeg in (0.0, 0.5)
    )
    changed = int((plain != half).flatten(1).any(1).sum())
    assert 8 < changed < 32
