"""The end of decoding processes: by cancellation, by closing, or with their parent."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from children import BOTH, CHILD, FAILING_CHILD
from conftest import REPOSITORY
from democlass.errors import CancelledError
from democlass.images.isolation import Cancellation, Isolated
from democlass.images.loader import load
from democlass.inputs.item import Item
from hostile import endless_jpeg
from processes import is_running, seconds_used, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def failing() -> Iterator[Isolated]:
    """Decodes in child processes that fail for some file names."""
    with closing(Isolated(BOTH, command=FAILING_CHILD, timeout=60)) as decode:
        yield decode


@pytest.fixture
def stuck(photos: Path) -> Path:
    """A file that the children of `failing` never finish."""
    (photos / "stuck.jpg").touch()
    return photos / "stuck.jpg"


def test_cancellation_ends_only_its_own_calls(failing: Isolated, stuck: Path, photos: Path) -> None:
    ours, other = Cancellation(), Cancellation()
    ended: list[str] = []

    def wait(name: str, cancellation: Cancellation) -> None:
        with pytest.raises(CancelledError):
            failing(stuck, cancellation)
        ended.append(name)

    calls = [("ours", ours), ("ours", ours), ("other", other)]
    threads = [threading.Thread(target=wait, args=call) for call in calls]
    for thread in threads:
        thread.start()
    wait_until(lambda: stuck.read_bytes() == b"!!!")
    ours.cancel()
    for thread in threads[:2]:
        thread.join()
    assert ended == ["ours", "ours"] and len(failing.pids) == 1
    with pytest.raises(CancelledError):  # a later call
        failing(photos / "a.jpg", ours)
    assert failing(photos / "a.jpg", Cancellation())
    other.cancel()
    threads[2].join()


def test_close_ends_all_calls_and_children(failing: Isolated, stuck: Path, photos: Path) -> None:
    def wait() -> None:
        with pytest.raises(CancelledError):
            list(load(map(Item.of, [stuck] * 6), failing, workers=2, ahead=3))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: stuck.read_bytes() == b"!!")
    children = failing.pids
    failing.close()
    assert len(children) == 2 and not any(map(is_running, children))
    waiting.join()
    for late in (lambda: failing(photos / "a.jpg"), lambda: failing.start(1)):
        with pytest.raises(CancelledError):
            late()
    assert failing.pids == []


def test_closed_loader_does_not_wait_for_its_decoders(failing: Isolated, stuck: Path, photos: Path) -> None:
    cancellation = Cancellation()
    stream = load(
        map(Item.of, [photos / "a.jpg", *[stuck] * 6]),
        lambda source: failing(source, cancellation),
        workers=2,
        ahead=3,
        cancel=cancellation.cancel,
    )
    next(stream)
    wait_until(lambda: stuck.read_bytes() == b"!!")
    stream.close()
    assert failing.pids == []


PARENT = f"""
import os, sys, threading
sys.path[:0] = [{str(REPOSITORY / "src")!r}]
from democlass.images.isolation import Cancellation, Decoding, Isolated
from democlass.images.loader import load
from democlass.inputs.item import Item
from democlass.tasks import Geometry
decode = Isolated(Decoding((Geometry.SQUASH,)), command=[sys.executable, "-c", {CHILD!r}])
def report(*words): print(*words, flush=True)
"""


def start_parent(code: str, *words: object) -> subprocess.Popen[bytes]:
    """Start a program that decodes in children. Its first line of output has their process ids."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT + code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def pids_of_children(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("name", ["stuck.jpg", "locked.jpg", "endless.jpg"])
def test_children_end_when_their_parent_is_killed(name: str, photos: Path) -> None:
    file = photos / name
    if name == "endless.jpg":
        endless_jpeg(file)
    file.touch()
    size = file.stat().st_size
    code = """
decode(sys.argv[1])
threading.Thread(target=decode, args=(sys.argv[2],)).start()
report(*decode.pids)
threading.Event().wait()
"""
    with start_parent(code, photos / "a.jpg", file) as parent:
        (child,) = pids_of_children(parent)
        before = seconds_used(child)
        wait_until(lambda: file.stat().st_size > size or seconds_used(child) > before + 0.3)
        parent.kill()
    wait_until(lambda: not is_running(child))


def test_program_that_ends_during_a_run_does_not_wait_for_it(stuck: Path, photos: Path) -> None:
    code = """
cancellation = Cancellation()
items = map(Item.of, [sys.argv[1], *[sys.argv[2]] * 9])
stream = load(items, lambda name: decode(name, cancellation), workers=2, ahead=9)
next(stream)
report(*decode.pids)
while os.path.getsize(sys.argv[2]) < 2: pass
raise ValueError("an error of the program")
"""
    with start_parent(code, photos / "a.jpg", stuck) as parent:
        children = pids_of_children(parent)
        _, errors = parent.communicate(timeout=50)  # the time limit for decoding is 60 s
    assert parent.returncode == 1 and b"ValueError: an error of the program" in errors
    wait_until(lambda: not any(map(is_running, children)))


def test_forked_process_has_its_own_children(photos: Path) -> None:
    code = """
before = decode(sys.argv[1])[0][Geometry.SQUASH]
ours = decode.pids
if os.fork() == 0:
    assert (decode(sys.argv[1])[0][Geometry.SQUASH] == before).all()
    report(*ours, *decode.pids)
    sys.exit()
assert os.wait()[1] == 0
assert (decode(sys.argv[1])[0][Geometry.SQUASH] == before).all() and decode.pids == ours
"""
    with start_parent(code, photos / "a.jpg") as parent:
        one, other = pids_of_children(parent)
        _, errors = parent.communicate(timeout=60)
    assert parent.returncode == 0, errors.decode()
    assert one != other
    wait_until(lambda: not is_running(one) and not is_running(other))
