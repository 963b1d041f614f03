"""Decoding in processes of its own: the same answers, and a hostile file costs one row and no more than its time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import REPOSITORY
from democlass.errors import CancelledError, DemoclassError, ImageError, UsageError
from democlass.images.isolation import Cancellation, Decoding, Isolated
from democlass.images.loader import load
from democlass.images.messages import READY, send
from democlass.inputs.item import Item
from democlass.tasks import Geometry
from hostile import endless_jpeg
from processes import eventually, is_there, seconds_used, state_of

BOTH = Decoding(tuple(Geometry))
CHILD = f"""
import ctypes, os, sys, time
sys.path.insert(0, {str(REPOSITORY / "src")!r})
from democlass.images import decode as images
from democlass.images import worker
read = images.read
def strange(source, **options):
    name = os.path.basename(source)
    if name == "crash.jpg":
        os.abort()
    if name in ("stuck.jpg", "locked.jpg"):
        with open(source, "ab") as file:
            file.write(b"!")
        library = ctypes.CDLL if name == "stuck.jpg" else ctypes.PyDLL
        library(None).sleep(600)
    return read(source, **options)
images.read = strange
time.sleep(float(os.environ.get("SLOW_START", 0)))
worker.main(sys.argv[1], float(sys.argv[2]))
"""
STRANGE = [sys.executable, "-c", CHILD]
"""A child in which names stand for files that crash a decoder, and that no decoder ever finishes; `locked.jpg` holds
the interpreter's lock meanwhile. How often these two were begun can be read off their length."""


@pytest.fixture
def isolated() -> Iterator[Isolated]:
    with closing(Isolated(BOTH)) as decode:
        yield decode


@pytest.fixture
def strange() -> Iterator[Isolated]:
    with closing(Isolated(BOTH, command=STRANGE, timeout=60)) as decode:
        yield decode


@pytest.fixture
def stuck(photos: Path) -> Path:
    (photos / "stuck.jpg").touch()
    return photos / "stuck.jpg"


@pytest.mark.parametrize("name", ["a.jpg", "c.png"])
def test_pixels_are_the_same(name: str, isolated: Isolated, photos: Path) -> None:
    (expected,), (face,) = BOTH(photos / name), isolated(photos / name)
    for geometry, pixels in expected.items():
        assert np.array_equal(face[geometry], pixels)


def test_a_square_image_travels_once_and_serves_both_geometries(isolated: Isolated, photos: Path) -> None:
    Image.linear_gradient("L").save(photos / "square.png")
    (answer,) = isolated(photos / "square.png")
    assert np.array_equal(answer[Geometry.SQUASH], answer[Geometry.CENTRE_CROP])
    assert np.array_equal(answer[Geometry.SQUASH], BOTH(photos / "square.png")[0][Geometry.SQUASH])


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
    assert np.array_equal(isolated(content)[0][Geometry.SQUASH], BOTH(content)[0][Geometry.SQUASH])
    assert len(isolated.pids) == 1
    with pytest.raises(ImageError, match="truncated"):
        isolated(content[:5000])


def test_what_is_decoded_already_is_cut_here(isolated: Isolated, portrait: Image.Image) -> None:
    assert np.array_equal(isolated(portrait)[0][Geometry.SQUASH], BOTH(portrait)[0][Geometry.SQUASH])
    assert isolated.pids == []


def test_settings_reach_the_child(photos: Path) -> None:
    decoding = Decoding((Geometry.SQUASH,), max_pixels=10)
    with closing(Isolated(decoding)) as decode, pytest.raises(ImageError, match="too many pixels"):
        decode(photos / "a.jpg")


def test_pillows_own_limit_is_raised_in_the_child_too(tmp_path: Path) -> None:
    Image.new("1", (14_000, 13_000)).save(tmp_path / "large.png")  # Pillow's own limit is 179 million
    with closing(Isolated(Decoding((Geometry.SQUASH,), max_pixels=200_000_000))) as decode:
        assert decode(tmp_path / "large.png")[0][Geometry.SQUASH].shape == (224, 224, 3)


def test_a_child_that_is_killed_while_idle_is_replaced(isolated: Isolated, photos: Path) -> None:
    isolated.start(3)
    before = isolated(photos / "a.jpg")
    killed = isolated.pids
    for child in killed:
        os.kill(child, signal.SIGKILL)
    eventually(lambda: not any(map(is_there, killed)))
    assert np.array_equal(isolated(photos / "a.jpg")[0][Geometry.SQUASH], before[0][Geometry.SQUASH])
    assert not set(isolated.pids) & set(killed)


def test_a_file_that_crashes_the_decoder_is_an_error_and_the_others_are_read(strange: Isolated, photos: Path) -> None:
    (photos / "crash.jpg").touch()
    names = [str(photos / name) for name in ("a.jpg", "crash.jpg", "b.jpg", "crash.jpg", "c.png")]
    answers = [pixels for _, pixels in load(map(Item.of, names), strange, workers=2, ahead=4)]
    reasons = [answer.reason if isinstance(answer, ImageError) else None for answer in answers]
    assert reasons == [None, "the decoder crashed", None, "the decoder crashed", None]


def test_a_file_that_takes_too_long_is_an_error_and_is_not_tried_again(photos: Path, tmp_path: Path) -> None:
    endless_jpeg(photos / "endless.jpg")
    with closing(Isolated(BOTH, timeout=1)) as decode:
        decode(photos / "a.jpg")
        (child,) = decode.pids
        with pytest.raises(ImageError, match=r"^timed out: decoding took more than 1 s"):
            decode(photos / "endless.jpg")
        assert not is_there(child) and decode.pids == []
        assert decode((photos / "a.jpg").read_bytes())
        with pytest.raises(ImageError, match="timed out"):
            decode((photos / "endless.jpg").read_bytes())


def test_what_times_out_is_begun_once(stuck: Path) -> None:
    with closing(Isolated(BOTH, command=STRANGE, timeout=0.2)) as decode, pytest.raises(ImageError, match="timed out"):
        decode(stuck)
    assert stuck.read_bytes() == b"!"


def test_the_start_of_a_child_does_not_count(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW_START", "3")
    with closing(Isolated(BOTH, command=STRANGE, timeout=2.5)) as decode:
        assert decode(photos / "a.jpg")


def test_time_in_which_the_program_is_stopped_does_not_count() -> None:
    """As by Ctrl-Z."""
    code = (
        f"import socket, sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
        "from democlass.images.messages import TimeLimit, receive\n"
        "limit = TimeLimit(1000)\n"
        "print('waiting', flush=True)\n"
        "receive(socket.socket(fileno=0), 0, limit)\n"
        "print(limit.left)"
    )
    here, there = socket.socketpair()
    with (
        here,
        there,
        subprocess.Popen([sys.executable, "-c", code], stdin=there.fileno(), stdout=subprocess.PIPE) as waiting,
    ):
        assert waiting.stdout is not None and waiting.stdout.readline()
        eventually(lambda: state_of(waiting.pid) == "S")
        waiting.send_signal(signal.SIGSTOP)
        time.sleep(3)
        send(here, READY, b"")
        waiting.send_signal(signal.SIGCONT)
        assert float(waiting.stdout.read()) > 1000 - 3


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(UsageError, match="time limit"):
        Isolated(BOTH, timeout=timeout)


def test_a_cancellation_ends_its_own_calls_and_no_others(strange: Isolated, stuck: Path, photos: Path) -> None:
    ours, other = Cancellation(), Cancellation()
    ended: list[str] = []

    def wait(name: str, cancellation: Cancellation) -> None:
        with pytest.raises(CancelledError):
            strange(stuck, cancellation)
        ended.append(name)

    calls = [("ours", ours), ("ours", ours), ("other", other)]
    threads = [threading.Thread(target=wait, args=call) for call in calls]
    for thread in threads:
        thread.start()
    eventually(lambda: stuck.read_bytes() == b"!!!")
    ours.cancel()
    for thread in threads[:2]:
        thread.join()
    assert ended == ["ours", "ours"] and len(strange.pids) == 1
    with pytest.raises(CancelledError):  # what comes later
        strange(photos / "a.jpg", ours)
    assert strange(photos / "a.jpg", Cancellation())
    other.cancel()
    threads[2].join()


def test_closing_ends_all_calls_and_children_at_once(strange: Isolated, stuck: Path, photos: Path) -> None:
    def wait() -> None:
        with pytest.raises(CancelledError):
            list(load([Item.of(stuck)] * 6, strange, workers=2, ahead=3))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: stuck.read_bytes() == b"!!")
    children = strange.pids
    strange.close()
    assert len(children) == 2 and not any(map(is_there, children))
    waiting.join()
    for late in (lambda: strange(photos / "a.jpg"), lambda: strange.start(1)):
        with pytest.raises(CancelledError):
            late()
    assert strange.pids == []


def test_a_loader_that_is_closed_does_not_wait_for_its_decoders(strange: Isolated, stuck: Path, photos: Path) -> None:
    cancellation = Cancellation()
    stream = load(
        map(Item.of, [photos / "a.jpg", *[stuck] * 6]),
        lambda source: strange(source, cancellation),
        workers=2,
        ahead=3,
        cancel=cancellation.cancel,
    )
    next(stream)
    eventually(lambda: stuck.read_bytes() == b"!!")
    stream.close()
    assert strange.pids == []


@pytest.mark.parametrize(
    "said",
    ["b'R' + b'\\xff' * 8", "b'R' + bytes(8) + b'P' + b'\\xff' * 8", "b'R' + bytes(8) + b'E\\2' + bytes(7) + b'xx'"],
)
def test_a_child_that_a_hostile_file_has_taken_over_can_say_what_it_likes(said: str, photos: Path) -> None:
    command = [sys.executable, "-c", f"import os, time; os.write(1, {said}); time.sleep(600)"]
    with (
        closing(Isolated(BOTH, command=command)) as decode,
        pytest.raises(DemoclassError, match=r"decoder crashed|start"),
    ):
        decode(photos / "a.jpg")


def test_children_that_can_not_start_are_not_taken_for_bad_images(photos: Path) -> None:
    for command in ([sys.executable, "-c", "raise SystemExit(1)"], ["/no/such/program"]):
        with closing(Isolated(BOTH, command=command)) as decode, pytest.raises(DemoclassError) as raised:
            decode(photos / "a.jpg")
        assert not isinstance(raised.value, ImageError)


def test_relative_names_are_those_of_the_current_folder(
    isolated: Isolated, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    assert isolated("a.jpg")
    monkeypatch.chdir(photos / "within")
    assert isolated("f.jpg")
    with pytest.raises(ImageError, match="no such file"):
        isolated("a.jpg")


def test_nothing_is_imported_from_the_current_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the working children: a file there that is imported leaves a mark."""
    for name in ("encodings", "json", "os", "PIL", "numpy", "simplejpeg", "sitecustomize", "olefile", "democlass"):
        (photos / f"{name}.py").write_text(f"open({str(photos / 'mark')!r}, 'a').write({name!r})")
    monkeypatch.chdir(photos)
    for path in (":", ".", str(photos)):
        monkeypatch.setenv("PYTHONPATH", path)
        monkeypatch.setenv("PYTHONSTARTUP", "json.py")
        with closing(Isolated(BOTH)) as decode:
            assert decode("a.jpg") and decode("c.png")
    assert not (photos / "mark").exists()


PARENT = f"""
import os, sys, threading
sys.path[:0] = [{str(REPOSITORY / "src")!r}]
from democlass.images.isolation import Cancellation, Decoding, Isolated
from democlass.images.loader import load
from democlass.inputs.item import Item
from democlass.tasks import Geometry
decode = Isolated(Decoding((Geometry.SQUASH,)), command=[sys.executable, "-c", {CHILD!r}])
def say(*words): print(*words, flush=True)
"""


def start_parent(code: str, *words: object) -> subprocess.Popen[bytes]:
    """Run a program that has children, and which says their numbers on the first line."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT + code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def first_line(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("name", ["stuck.jpg", "locked.jpg", "endless.jpg"])
def test_children_end_with_a_parent_that_is_killed_whatever_they_do(name: str, photos: Path) -> None:
    file = photos / name
    if name == "endless.jpg":
        endless_jpeg(file)
    else:
        file.touch()
    whole = file.stat().st_size
    code = """
decode(sys.argv[1])
threading.Thread(target=decode, args=(sys.argv[2],)).start()
say(*decode.pids)
threading.Event().wait()
"""
    with start_parent(code, photos / "a.jpg", file) as parent:
        (child,) = first_line(parent)
        eventually(lambda: file.stat().st_size > whole or seconds_used(child) > 1)
        parent.kill()
    eventually(lambda: not is_there(child))


def test_a_program_that_ends_with_a_run_unfinished_does_not_wait_for_it(stuck: Path, photos: Path) -> None:
    code = """
cancellation = Cancellation()
items = map(Item.of, [sys.argv[1], *[sys.argv[2]] * 9])
stream = load(items, lambda name: decode(name, cancellation), workers=2, ahead=9)
next(stream)
say(*decode.pids)
while os.path.getsize(sys.argv[2]) < 2: pass
raise ValueError("of the program")
"""
    with start_parent(code, photos / "a.jpg", stuck) as parent:
        children = first_line(parent)
        _, said = parent.communicate(timeout=50)  # a timeout would take 60 s
    assert parent.returncode == 1 and b"ValueError: of the program" in said
    eventually(lambda: not any(map(is_there, children)))


def test_a_forked_process_has_children_of_its_own(photos: Path) -> None:
    code = """
before = decode(sys.argv[1])[0][Geometry.SQUASH]
ours = decode.pids
if os.fork() == 0:
    assert (decode(sys.argv[1])[0][Geometry.SQUASH] == before).all()
    say(*ours, *decode.pids)
    sys.exit()
assert os.wait()[1] == 0
assert (decode(sys.argv[1])[0][Geometry.SQUASH] == before).all() and decode.pids == ours
"""
    with start_parent(code, photos / "a.jpg") as parent:
        one, other = first_line(parent)
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == 0, said.decode()
    assert one != other
    eventually(lambda: not is_there(one) and not is_there(other))
