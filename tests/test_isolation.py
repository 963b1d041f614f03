"""Decoding in processes of its own: the same answers, and a decoder's death costs one row at most."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import REPOSITORY
from democlass.classifier import Classifier
from democlass.errors import CancelledError, ImageError
from democlass.isolation import Decoding, Isolated
from democlass.loader import load
from democlass.tasks import Geometry

BOTH = Decoding(tuple(Geometry))
CHILD = f"""
import os, sys, time
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from democlass import images, worker
read = images.read
def strange(source, **options):
    name = os.path.basename(source)
    if name == "crash.jpg":
        os.abort()
    while name == "stuck.jpg":
        time.sleep(1)
    return read(source, **options)
images.read = strange
worker.main(sys.argv[1], float(sys.argv[2]))
"""
STRANGE = [sys.executable, "-c", CHILD]
"""A child in which two names stand for files that crash a decoder and that no decoder ever finishes."""


@pytest.fixture
def isolated() -> Iterator[Isolated]:
    with closing(Isolated(BOTH)) as decode:
        yield decode


def children() -> list[int]:
    """This process's children, by all of its threads."""
    gc.collect()  # classifiers of earlier tests, and their children with them
    return [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]


@pytest.mark.parametrize("name", ["a.jpg", "c.png"])
def test_pixels_are_the_same(name: str, isolated: Isolated, photos: Path) -> None:
    for geometry, pixels in BOTH(photos / name).items():
        assert np.array_equal(isolated(photos / name)[geometry], pixels)


def test_a_square_image_travels_once_and_serves_both_geometries(isolated: Isolated, photos: Path) -> None:
    Image.linear_gradient("L").save(photos / "square.png")
    answer = isolated(photos / "square.png")
    assert np.array_equal(answer[Geometry.SQUASH], answer[Geometry.CENTRE_CROP])
    assert np.array_equal(answer[Geometry.SQUASH], BOTH(photos / "square.png")[Geometry.SQUASH])


def test_errors_are_the_same(isolated: Isolated, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for name in (tmp_path / "empty.jpg", tmp_path / "none.jpg", os.fsdecode(b"/no/caf\xe9: \n.jpg")):
        with pytest.raises(ImageError) as here:
            BOTH(name)
        with pytest.raises(ImageError) as there:
            isolated(name)
        assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)


def test_an_encoded_image_is_sent_to_a_child_too(isolated: Isolated, photos: Path) -> None:
    content = (photos / "a.jpg").read_bytes()
    assert np.array_equal(isolated(content)[Geometry.SQUASH], BOTH(content)[Geometry.SQUASH])
    assert len(children()) == 1
    with pytest.raises(ImageError, match="truncated"):
        isolated(content[:5000])


def test_what_is_decoded_already_is_cut_here(isolated: Isolated, portrait: Image.Image) -> None:
    assert np.array_equal(isolated(portrait)[Geometry.SQUASH], BOTH(portrait)[Geometry.SQUASH])
    assert children() == []


def test_settings_reach_the_child(photos: Path) -> None:
    decoding = Decoding((Geometry.SQUASH,), max_pixels=10)
    with closing(Isolated(decoding)) as decode, pytest.raises(ImageError, match="too many pixels"):
        decode(photos / "a.jpg")


def test_pillows_own_limit_is_raised_in_the_child_too(tmp_path: Path) -> None:
    Image.new("1", (14_000, 13_000)).save(tmp_path / "large.png")  # Pillow's own limit is 179 million
    with closing(Isolated(Decoding((Geometry.SQUASH,), max_pixels=200_000_000))) as decode:
        assert decode(tmp_path / "large.png")[Geometry.SQUASH].shape == (224, 224, 3)


def test_a_child_that_is_killed_is_replaced_and_its_file_tried_again(isolated: Isolated, photos: Path) -> None:
    before = isolated(photos / "a.jpg")
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert np.array_equal(isolated(photos / "a.jpg")[Geometry.SQUASH], before[Geometry.SQUASH])
    assert children() != [child]


def test_a_file_that_crashes_the_decoder_is_an_error_and_the_others_are_read(photos: Path) -> None:
    (photos / "crash.jpg").write_bytes((photos / "a.jpg").read_bytes())
    names = [str(photos / name) for name in ("a.jpg", "crash.jpg", "b.jpg", "crash.jpg", "c.png")]
    with closing(Isolated(BOTH, command=STRANGE)) as decode:
        answers = [pixels for _, pixels in load(names, decode, workers=2, ahead=4)]
    reasons = [answer.reason if isinstance(answer, ImageError) else None for answer in answers]
    assert reasons == [None, "the decoder crashed", None, "the decoder crashed", None]


def test_a_run_whose_decoders_are_killed_over_and_over_loses_nothing(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    names = [str(photos / "a.jpg"), str(photos / "c.png")] * 60
    expected = [each.outcomes for each in tiny(batch_size=4).classify(names)]
    answers = []
    for number, prediction in enumerate(tiny(batch_size=4, workers=2, isolated=True).classify(names)):
        answers.append(prediction.outcomes)
        if number in (20, 60):
            os.kill(children()[0], signal.SIGKILL)
    assert answers == expected


def test_a_run_that_is_broken_off_leaves_nothing_behind_and_the_next_one_works(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    classifier = tiny(isolated=True, workers=2)
    stream = classifier.classify([str(photos / "a.jpg")] * 50)
    next(stream)
    assert len(children()) == 2
    stream.close()
    assert len(children()) <= 2
    assert all(prediction.error is None for prediction in classifier.classify([photos / "a.jpg"] * 9))


def test_children_are_kept_from_run_to_run_and_end_with_the_classifier(
    tiny: Callable[..., Classifier], photos: Path
) -> None:
    classifier = tiny(isolated=True, workers=2)
    ready = children()
    list(classifier.classify([photos / "a.jpg"] * 20))
    assert len(ready) == 2 and sorted(children()) == sorted(ready)
    del classifier
    assert children() == []


class Stuck(Isolated):
    """Children that never answer, as with a file that a decoder never finishes."""

    def __init__(self) -> None:
        super().__init__(BOTH, command=[sys.executable, "-c", "import time; time.sleep(600)"])


def test_closing_does_not_wait_for_a_decoder_that_never_ends(photos: Path) -> None:
    decode = Stuck()
    stream = load([photos / "a.jpg"] * 6, decode, workers=2, ahead=3)

    def wait() -> None:
        with pytest.raises(CancelledError):
            list(stream)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while len(children()) < 2:
        time.sleep(0.01)
    decode.close()
    waiting.join()
    assert children() == []


def test_children_end_with_a_parent_that_is_killed(photos: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
        "from democlass.isolation import Decoding, Isolated\n"
        "from democlass.tasks import Geometry\n"
        "decode = Isolated(Decoding((Geometry.SQUASH,)))\n"
        f"decode({str(photos / 'a.jpg')!r})\n"
        "print(decode.pids[0], flush=True)\n"
        "import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()
