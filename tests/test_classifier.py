"""Classifier: several kinds of input, lazily, in order; the same digits always."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import TinyNetwork
from democlass import Classifier, Prediction, UsageError
from democlass.errors import CancelledError
from democlass.images.isolation import Isolated
from democlass.inputs.item import Source
from democlass.networks.networks import fastest_precision
from democlass.settings import Precision
from hostile import endless_jpeg
from processes import is_there

pytestmark = pytest.mark.slow


def flat(predictions: list[Prediction]) -> list[list[float]]:
    return [[p for outcome in each.outcomes.values() for p in outcome.probabilities.values()] for each in predictions]


def test_paths_bytes_pil_images_and_arrays_are_all_taken(tiny: Callable[..., Classifier], photos: Path) -> None:
    path = photos / "c.png"
    image = Image.open(path)
    inputs: list[Source] = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    predictions = list(tiny(batch_size=2).classify(inputs))
    assert [each.path for each in predictions] == [str(path), str(path), None, None, None]
    assert len({tuple(row) for row in flat(predictions)}) == 1


def test_every_input_has_a_prediction_in_order_whatever_it_is(tiny: Callable[..., Classifier], photos: Path) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("not an image, but words")
    inputs = ["empty.jpg", "a.jpg", "none.jpg", "text.jpg", "b.jpg", "c.png", "empty.jpg"]
    names = [str(photos / name) for name in inputs]
    predictions = list(tiny(batch_size=2).classify(names))
    assert [each.path for each in predictions] == names
    assert [each.reason for each in predictions] == [
        "empty file", None, "no such file", "not an image", None, None, "empty file"
    ]  # fmt: skip


def test_nothing_but_errors_is_answered_at_once_and_without_end(tiny: Callable[..., Classifier]) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "none.jpg"

    stream = tiny(batch_size=4).classify(endless())
    assert all(next(stream).reason == "no such file" for _ in range(1000))


def test_it_is_lazy(tiny: Callable[..., Classifier], photos: Path) -> None:
    taken = 0

    def inputs() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield photos / "a.jpg"

    classifier = tiny(batch_size=4, workers=2)
    next(classifier.classify(inputs()))
    streams = classifier.networks.streams
    assert taken <= 4 * (streams + 1) + 4 * streams + 2 + 1


@pytest.mark.parametrize("single", ["a.jpg", b"bytes", Path("a.jpg"), np.zeros((2, 2, 3), np.uint8)])
def test_a_single_input_is_not_taken_for_several(single: object, tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(TypeError, match="into a list"):
        next(tiny().classify(single))  # type: ignore[arg-type]


def test_digits_do_not_depend_on_where_a_run_was_broken_off(classifier: Classifier, photos: Path) -> None:
    names = sorted(photos.glob("*.*")) * 3
    whole = flat(list(classifier.classify(names)))
    assert flat(list(classifier.classify(names[5:]))) == whole[5:]


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 1), (8, 0), (16, 4)])
def test_digits_agree_across_batch_sizes_and_workers(
    batch_size: int, workers: int, classifier: Classifier, photos: Path
) -> None:
    names = sorted(photos.rglob("*.*"))
    other = Classifier.load(device="cpu", batch_size=batch_size, workers=workers)
    for one, two in zip(flat(list(classifier.classify(names))), flat(list(other.classify(names))), strict=True):
        assert one == pytest.approx(two, abs=1e-5)


def test_temperature_softens_probabilities(classifier: Classifier, photos: Path, tmp_path: Path) -> None:
    from democlass.networks.locations import built_in_folder

    content = torch.load(built_in_folder() / "model_checkpoint.pth", weights_only=True)
    torch.save({**content, "temperature": 4.0}, tmp_path / "soft.pth")
    soft = Classifier.load(device="cpu", checkpoints={"gender": tmp_path / "soft.pth"})
    (before,), (after,) = classifier.classify([photos / "a.jpg"]), soft.classify([photos / "a.jpg"])
    odds = [np.log(each.outcomes["gender"].probabilities["Female"] / each.outcomes["gender"].probabilities["Male"])
            for each in (before, after)]  # fmt: skip
    assert odds[0] * content["temperature"] == pytest.approx(4 * odds[1], rel=1e-3)
    assert before.outcomes["race"] == after.outcomes["race"]


def test_exif_and_limits_are_settings(tiny: Callable[..., Classifier]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (300, 200), "black")
    image.paste("white", (0, 0, 50, 200))
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif)
    turned, stored = (flat(list(tiny(ignore_exif=way).classify([stream.getvalue()]))) for way in (False, True))
    assert turned != stored
    (refused,) = tiny(max_pixels=50_000).classify([stream.getvalue()])
    assert refused.reason == "too many pixels"


def test_below_the_least_confidence_labels_read_uncertain(tiny: Callable[..., Classifier], photos: Path) -> None:
    (prediction,) = tiny(min_confidence=1.0).classify([photos / "a.jpg"])
    assert {outcome.label for outcome in prediction.outcomes.values()} == {"uncertain"}
    assert sum(prediction.outcomes["race"].probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_fast_takes_the_precision_that_is_quickest_here_unless_one_is_named(tiny: Callable[..., Classifier]) -> None:
    quickest = fastest_precision(torch.device("cpu"))
    assert tiny().settings.precision is Precision.FLOAT32
    assert tiny(fast=True).settings.precision is quickest
    assert tiny(fast=True, precision="float32").settings.precision is Precision.FLOAT32


def test_fast_answers_nearly_the_same(classifier: Classifier, photos: Path) -> None:
    names = sorted(photos.rglob("*.*"))
    fast = Classifier.load(device="cpu", fast=True)
    for one, two in zip(flat(list(classifier.classify(names))), flat(list(fast.classify(names))), strict=True):
        assert one == pytest.approx(two, abs=0.05)


class Speechless(TinyNetwork):
    """A network whose answers are no numbers, as half precision can make them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float("nan")


def test_answers_that_are_no_numbers_are_errors(tiny: Callable[..., Classifier], photos: Path) -> None:
    (prediction,) = tiny(Speechless).classify([photos / "a.jpg"])
    assert prediction.reason == "no answer" and not prediction.outcomes


def test_a_precision_that_is_none_is_refused(tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(UsageError, match="float32, bfloat16, float16"):
        tiny(precision="int4")


def test_a_batch_of_nothing_is_refused(tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        tiny(batch_size=0)


def pids(classifier: Classifier) -> list[int]:
    assert isinstance(classifier.decode, Isolated)
    return classifier.decode.pids


def test_files_are_decoded_in_other_processes_unless_asked_otherwise(
    classifier: Classifier, tiny: Callable[..., Classifier], photos: Path
) -> None:
    assert pids(classifier)
    endless_jpeg(photos / "endless.jpg")
    with tiny(isolated=True, workers=2, decode_timeout=1) as quick:
        inputs: list[Source] = [photos / "endless.jpg", photos / "a.jpg", (photos / "endless.jpg").read_bytes()]
        assert [each.reason for each in quick.classify(inputs)] == ["timed out", None, "timed out"]


def test_without_workers_there_is_one_child(tiny: Callable[..., Classifier], photos: Path) -> None:
    endless_jpeg(photos / "endless.jpg")
    classifier = tiny(isolated=True, workers=0, decode_timeout=1)
    assert [each.reason for each in classifier.classify([photos / "endless.jpg", photos / "a.jpg"])] == [
        "timed out", None
    ]  # fmt: skip
    assert len(pids(classifier)) == 1


def test_a_run_whose_decoders_are_killed_over_and_over_loses_nothing(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    names = [str(photos / "a.jpg"), str(photos / "c.png")] * 60
    expected = [each.outcomes for each in tiny(batch_size=4).classify(names)]
    answers = []
    classifier = tiny(batch_size=4, workers=2, isolated=True)
    for number, prediction in enumerate(classifier.classify(names)):
        answers.append(prediction.outcomes)
        if number in (20, 60):
            os.kill(pids(classifier)[0], signal.SIGKILL)
    assert answers == expected


def test_children_are_kept_from_run_to_run_and_end_with_the_classifier(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    classifier = tiny(isolated=True, workers=2)
    ready = pids(classifier)
    list(classifier.classify([photos / "a.jpg"] * 20))
    assert len(ready) == 2 and pids(classifier) == ready
    del classifier
    assert not any(map(is_there, ready))


def test_a_run_that_is_broken_off_kills_what_it_decodes_and_the_next_one_works(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    endless_jpeg(photos / "endless.jpg")
    with tiny(isolated=True, workers=2, batch_size=1) as classifier:
        names = [photos / "a.jpg"] * 9
        stream = classifier.classify(names + [photos / "endless.jpg"] * 9)
        next(stream)
        stream.close()  # which would take the time limit
        assert [each.error for each in classifier.classify(names)] == [None] * 9


def test_two_runs_of_one_classifier_do_not_disturb_each_other(tiny: Callable[..., Classifier], photos: Path) -> None:
    names = [str(photos / name) for name in ("a.jpg", "b.jpg", "c.png", "none.jpg")] * 10
    expected = list(tiny(batch_size=4).classify(names))
    with tiny(batch_size=4, workers=2, isolated=True) as classifier:
        one, two, three = (classifier.classify(names) for _ in range(3))
        found = [next(one), next(two), next(three)]
        assert found == [expected[0]] * 3
        one.close()
        assert [next(two) for _ in range(9)] == expected[1:10]
        three.close()
        assert list(two) == expected[10:]


def test_a_classifier_that_is_closed_ends_its_runs_and_begins_no_others(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    endless_jpeg(photos / "endless.jpg")
    classifier = tiny(isolated=True, workers=2, batch_size=1)
    ready = pids(classifier)
    begun = threading.Event()

    def run() -> None:
        names = [photos / "a.jpg"] * 9 + [photos / "endless.jpg"] * 9
        with pytest.raises(CancelledError):
            for _ in classifier.classify(names):
                begun.set()

    with classifier:
        running = threading.Thread(target=run)
        running.start()
        begun.wait()
    running.join()
    assert not any(map(is_there, ready)) and pids(classifier) == []
    classifier.close()
    with pytest.raises(UsageError, match="closed"):
        next(classifier.classify([photos / "a.jpg"]))
