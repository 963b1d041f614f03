"""Classifier: the types of input, laziness and order, reproducible probabilities, and options."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import TinyNetwork
from democlass import Classifier, Prediction, UsageError
from democlass.inputs.item import Source
from democlass.networks.networks import fastest_precision
from democlass.settings import Precision

pytestmark = pytest.mark.slow


def probabilities(predictions: list[Prediction]) -> list[list[float]]:
    return [[p for outcome in each.outcomes.values() for p in outcome.probabilities.values()] for each in predictions]


def test_paths_bytes_pil_images_and_arrays_are_accepted(tiny: Callable[..., Classifier], photos: Path) -> None:
    path = photos / "c.png"
    image = Image.open(path)
    inputs: list[Source] = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    predictions = list(tiny(batch_size=2).classify(inputs))
    assert [each.path for each in predictions] == [str(path), str(path), None, None, None]
    assert len({tuple(row) for row in probabilities(predictions)}) == 1


def test_every_input_has_a_prediction_in_order(tiny: Callable[..., Classifier], photos: Path) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("this is text, not an image")
    inputs = ["empty.jpg", "a.jpg", "none.jpg", "text.jpg", "b.jpg", "c.png", "empty.jpg"]
    names = [str(photos / name) for name in inputs]
    predictions = list(tiny(batch_size=2).classify(names))
    assert [each.path for each in predictions] == names
    assert [each.reason for each in predictions] == [
        "empty file", None, "no such file", "not an image", None, None, "empty file"
    ]  # fmt: skip


def test_an_endless_stream_of_unreadable_inputs_yields_errors_at_once(tiny: Callable[..., Classifier]) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "none.jpg"

    stream = tiny(batch_size=4).classify(endless())
    assert all(next(stream).reason == "no such file" for _ in range(1000))


def test_inputs_are_read_lazily(tiny: Callable[..., Classifier], photos: Path) -> None:
    read = 0

    def inputs() -> Iterator[Path]:
        nonlocal read
        while True:
            read += 1
            yield photos / "a.jpg"

    classifier = tiny(batch_size=4, workers=2)
    next(classifier.classify(inputs()))
    streams = classifier.networks.streams
    assert read <= 4 * (streams + 1) + 4 * streams + 2 + 1


@pytest.mark.parametrize("single", ["a.jpg", b"bytes", Path("a.jpg"), np.zeros((2, 2, 3), np.uint8)])
def test_a_single_input_instead_of_a_list_is_refused(single: object, tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(TypeError, match="into a list"):
        next(tiny().classify(single))  # type: ignore[arg-type]


class SourceError(Exception):
    """Raised by inputs."""


@pytest.mark.parametrize(("workers", "failing_at"), [(0, 0), (0, 6), (2, 0), (2, 3), (2, 6), (2, 29)])
def test_an_exception_of_the_inputs_is_raised_after_the_predictions_of_the_images_before_it(
    workers: int, failing_at: int, tiny: Callable[..., Classifier], photos: Path
) -> None:
    def inputs() -> Iterator[Path]:
        for _ in range(failing_at):
            yield photos / "a.jpg"
        raise SourceError

    stream = tiny(batch_size=4, workers=workers).classify(inputs())
    assert [next(stream).error for _ in range(failing_at)] == [None] * failing_at
    with pytest.raises(SourceError):
        next(stream)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interruption_of_the_inputs_is_raised_at_once(
    workers: int, tiny: Callable[..., Classifier], photos: Path
) -> None:
    def inputs() -> Iterator[Path]:
        yield photos / "a.jpg"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(tiny(batch_size=4, workers=workers).classify(inputs()))


@pytest.mark.parametrize("chunk", ["abc", [1], ["a.jpg"], [b"bytes"]])
def test_predict_refuses_anything_but_decoded_images(chunk: Any, tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(TypeError, match="see classify for others"):
        tiny().predict(chunk)


def test_probabilities_do_not_depend_on_the_first_image_of_a_run(classifier: Classifier, photos: Path) -> None:
    names = sorted(photos.glob("*.*")) * 3
    expected = probabilities(list(classifier.classify(names)))
    assert probabilities(list(classifier.classify(names[5:]))) == expected[5:]


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 1), (8, 0), (16, 4)])
def test_probabilities_agree_for_all_batch_sizes_and_numbers_of_workers(
    batch_size: int, workers: int, classifier: Classifier, photos: Path
) -> None:
    names = sorted(photos.rglob("*.*"))
    other = Classifier.load(device="cpu", batch_size=batch_size, workers=workers)
    for one, two in zip(
        probabilities(list(classifier.classify(names))), probabilities(list(other.classify(names))), strict=True
    ):
        assert one == pytest.approx(two, abs=1e-5)


def test_the_temperature_of_a_checkpoint_divides_its_logits(
    classifier: Classifier, photos: Path, tmp_path: Path
) -> None:
    from democlass.networks.locations import built_in_folder

    content = torch.load(built_in_folder() / "model_checkpoint.pth", weights_only=True)
    torch.save({**content, "temperature": 4.0}, tmp_path / "temperature.pth")
    scaled = Classifier.load(device="cpu", checkpoints={"gender": tmp_path / "temperature.pth"})
    (before,), (after,) = classifier.classify([photos / "a.jpg"]), scaled.classify([photos / "a.jpg"])
    log_odds = [np.log(each.outcomes["gender"].probabilities["Female"] / each.outcomes["gender"].probabilities["Male"])
            for each in (before, after)]  # fmt: skip
    assert log_odds[0] * content["temperature"] == pytest.approx(4 * log_odds[1], rel=1e-3)
    assert before.outcomes["race"] == after.outcomes["race"]


def test_ignore_exif_and_max_pixels(tiny: Callable[..., Classifier]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (300, 200), "black")
    image.paste("white", (0, 0, 50, 200))
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif)
    upright, stored = (
        probabilities(list(tiny(ignore_exif=ignored).classify([stream.getvalue()]))) for ignored in (False, True)
    )
    assert upright != stored
    (too_large,) = tiny(max_pixels=50_000).classify([stream.getvalue()])
    assert too_large.reason == "too many pixels"


def test_labels_below_the_minimum_confidence_are_uncertain(tiny: Callable[..., Classifier], photos: Path) -> None:
    (prediction,) = tiny(min_confidence=1.0).classify([photos / "a.jpg"])
    assert {outcome.label for outcome in prediction.outcomes.values()} == {"uncertain"}
    assert sum(prediction.outcomes["race"].probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_fast_uses_the_fastest_precision_of_the_device_unless_one_is_given(tiny: Callable[..., Classifier]) -> None:
    fastest = fastest_precision(torch.device("cpu"))
    assert tiny().settings.precision is Precision.FLOAT32
    assert tiny(fast=True).settings.precision is fastest
    assert tiny(fast=True, precision="float32").settings.precision is Precision.FLOAT32


def test_fast_changes_probabilities_only_slightly(classifier: Classifier, photos: Path) -> None:
    names = sorted(photos.rglob("*.*"))
    fast = Classifier.load(device="cpu", fast=True)
    for one, two in zip(
        probabilities(list(classifier.classify(names))), probabilities(list(fast.classify(names))), strict=True
    ):
        assert one == pytest.approx(two, abs=0.05)


class NanNetwork(TinyNetwork):
    """A network whose logits are NaN. In half precision, real networks can overflow to NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float("nan")


def test_nan_in_the_output_of_a_network_is_an_error(tiny: Callable[..., Classifier], photos: Path) -> None:
    (prediction,) = tiny(NanNetwork).classify([photos / "a.jpg"])
    assert prediction.reason == "no answer" and not prediction.outcomes


def test_an_unknown_precision_is_refused(tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(UsageError, match="float32, bfloat16, float16"):
        tiny(precision="int4")


def test_a_batch_size_of_0_is_refused(tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        tiny(batch_size=0)
