"""Classifier and processes: those that decode for it, and those that it can't be used in."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from democlass import Classifier, UsageError
from democlass.errors import CancelledError
from democlass.images.isolation import Isolated
from democlass.inputs.item import Source
from hostile import endless_jpeg
from processes import is_running

pytestmark = pytest.mark.slow


def pids(classifier: Classifier) -> list[int]:
    assert isinstance(classifier.reader.decode, Isolated)
    return classifier.reader.decode.pids


def test_images_are_decoded_in_child_processes_with_a_time_limit(
    classifier: Classifier, tiny: Callable[..., Classifier], photos: Path
) -> None:
    assert pids(classifier)
    endless_jpeg(photos / "endless.jpg")
    with tiny(isolated=True, workers=2, decode_timeout=1) as impatient:
        inputs: list[Source] = [photos / "endless.jpg", photos / "a.jpg", (photos / "endless.jpg").read_bytes()]
        assert [each.reason for each in impatient.classify(inputs)] == ["timed out", None, "timed out"]


def test_with_0_workers_there_is_one_child_process(tiny: Callable[..., Classifier], photos: Path) -> None:
    endless_jpeg(photos / "endless.jpg")
    classifier = tiny(isolated=True, workers=0, decode_timeout=1)
    assert [each.reason for each in classifier.classify([photos / "endless.jpg", photos / "a.jpg"])] == [
        "timed out", None
    ]  # fmt: skip
    assert len(pids(classifier)) == 1


def test_killing_child_processes_during_a_run_loses_no_results(tiny: Callable[..., Classifier], photos: Path) -> None:
    names = [str(photos / "a.jpg"), str(photos / "c.png")] * 60
    expected = [each.outcomes for each in tiny(batch_size=4).classify(names)]
    outcomes = []
    classifier = tiny(batch_size=4, workers=2, isolated=True)
    for number, prediction in enumerate(classifier.classify(names)):
        outcomes.append(prediction.outcomes)
        if number in (20, 60):
            os.kill(pids(classifier)[0], signal.SIGKILL)
    assert outcomes == expected


def test_child_processes_are_shared_by_runs_and_end_with_the_classifier(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    classifier = tiny(isolated=True, workers=2)
    children = pids(classifier)
    list(classifier.classify([photos / "a.jpg"] * 20))
    assert len(children) == 2 and pids(classifier) == children
    del classifier
    assert not any(map(is_running, children))


def test_closing_a_run_stops_its_decoding_and_the_next_run_works(tiny: Callable[..., Classifier], photos: Path) -> None:
    endless_jpeg(photos / "endless.jpg")
    with tiny(isolated=True, workers=2, batch_size=1) as classifier:
        names = [photos / "a.jpg"] * 9
        stream = classifier.classify(names + [photos / "endless.jpg"] * 9)
        next(stream)
        stream.close()  # does not wait until the time limit of the endless image
        assert [each.error for each in classifier.classify(names)] == [None] * 9


def test_runs_of_one_classifier_do_not_affect_each_other(tiny: Callable[..., Classifier], photos: Path) -> None:
    names = [str(photos / name) for name in ("a.jpg", "b.jpg", "c.png", "none.jpg")] * 10
    expected = list(tiny(batch_size=4).classify(names))
    with tiny(batch_size=4, workers=2, isolated=True) as classifier:
        one, two, three = (classifier.classify(names) for _ in range(3))
        first_predictions = [next(one), next(two), next(three)]
        assert first_predictions == [expected[0]] * 3
        one.close()
        assert [next(two) for _ in range(9)] == expected[1:10]
        three.close()
        assert list(two) == expected[10:]


def test_close_ends_running_calls_and_refuses_new_ones(tiny: Callable[..., Classifier], photos: Path) -> None:
    endless_jpeg(photos / "endless.jpg")
    classifier = tiny(isolated=True, workers=2, batch_size=1)
    children = pids(classifier)
    has_started = threading.Event()

    def run() -> None:
        names = [photos / "a.jpg"] * 9 + [photos / "endless.jpg"] * 9
        with pytest.raises(CancelledError):
            for _ in classifier.classify(names):
                has_started.set()

    with classifier:
        thread = threading.Thread(target=run)
        thread.start()
        has_started.wait()
    thread.join()
    assert not any(map(is_running, children)) and pids(classifier) == []
    classifier.close()
    with pytest.raises(UsageError, match="closed"):
        next(classifier.classify([photos / "a.jpg"]))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_to_load_its_own_classifier(tiny: Callable[..., Classifier], photos: Path) -> None:
    classifier = tiny(isolated=True, workers=1)
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            next(classifier.classify([photos / "a.jpg"]))
        except UsageError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as message:
        assert message.read() == "this classifier was loaded in another process: load one in each process"
    assert next(classifier.classify([photos / "a.jpg"])).error is None


def test_a_classifier_is_not_pickled(tiny: Callable[..., Classifier]) -> None:
    with pytest.raises(TypeError, match="load one in each process"):
        pickle.dumps(tiny())
