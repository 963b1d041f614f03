"""Decoding in child processes: same results as in this process, and a hostile file causes only one error row."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from children import BOTH, FAILING_CHILD
from conftest import REPOSITORY
from democlass.errors import DemoclassError, ImageError, UsageError
from democlass.images.isolation import Decoding, Isolated
from democlass.images.loader import load
from democlass.images.messages import READY, send
from democlass.inputs.item import Item
from democlass.tasks import Geometry
from hostile import endless_jpeg
from processes import is_running, state_of, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    """Decodes in child processes, which the tests share."""
    with closing(Isolated(BOTH)) as decode:
        yield decode


@pytest.fixture(scope="module")
def shared_photos(portrait: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "within").mkdir()
    for number, name in enumerate(["a.jpg", "b.jpg", "c.png", "within/f.jpg"]):
        portrait.crop((0, 40 * number, 300, 40 * number + 250)).save(folder / name)
    return folder


@pytest.fixture
def photos(shared_photos: Path, tmp_path: Path) -> Path:
    """A folder of small photos that a test may change."""
    return Path(shutil.copytree(shared_photos, tmp_path / "photos"))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real JPEG that takes minutes to decode."""
    path = tmp_path_factory.mktemp("endless") / "endless.jpg"
    endless_jpeg(path)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "c.png"])
def test_pixels_are_the_same(name: str, isolated: Isolated, shared_photos: Path) -> None:
    (expected,), (face,) = BOTH(shared_photos / name), isolated(shared_photos / name)
    for geometry, pixels in expected.items():
        assert np.array_equal(face[geometry], pixels)


def test_square_image_has_the_same_pixels_for_both_geometries(isolated: Isolated, photos: Path) -> None:
    Image.linear_gradient("L").save(photos / "square.png")
    (pixels,) = isolated(photos / "square.png")
    assert np.array_equal(pixels[Geometry.SQUASH], pixels[Geometry.CENTRE_CROP])
    assert np.array_equal(pixels[Geometry.SQUASH], BOTH(photos / "square.png")[0][Geometry.SQUASH])


def test_errors_are_the_same(isolated: Isolated, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for name in (tmp_path / "empty.jpg", tmp_path / "none.jpg", os.fsdecode(b"/no/caf\xe9: \n.jpg")):
        with pytest.raises(ImageError) as here:
            BOTH(name)
        with pytest.raises(ImageError) as there:
            isolated(name)
        assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)


def test_encoded_image_is_decoded_in_a_child(isolated: Isolated, shared_photos: Path) -> None:
    content = (shared_photos / "a.jpg").read_bytes()
    assert np.array_equal(isolated(content)[0][Geometry.SQUASH], BOTH(content)[0][Geometry.SQUASH])
    assert len(isolated.pids) == 1
    with pytest.raises(ImageError, match="truncated"):
        isolated(content[:5000])


def test_decoded_image_needs_no_child(portrait: Image.Image) -> None:
    with closing(Isolated(BOTH)) as decode:
        assert np.array_equal(decode(portrait)[0][Geometry.SQUASH], BOTH(portrait)[0][Geometry.SQUASH])
        assert decode.pids == []


def test_pixel_limit_applies_in_the_child(tmp_path: Path) -> None:
    Image.new("1", (14_000, 13_000)).save(tmp_path / "large.png")  # above Pillow's own limit of 179 million
    Image.new("1", (20_000, 10_001)).save(tmp_path / "larger.png")
    with closing(Isolated(Decoding((Geometry.SQUASH,), max_pixels=200_000_000))) as decode:
        assert decode(tmp_path / "large.png")[0][Geometry.SQUASH].shape == (224, 224, 3)
        with pytest.raises(ImageError, match="too many pixels"):
            decode(tmp_path / "larger.png")


def test_idle_child_that_is_killed_is_replaced(shared_photos: Path) -> None:
    with closing(Isolated(BOTH)) as decode:
        decode.start(2)
        before = decode(shared_photos / "a.jpg")
        killed = decode.pids
        for child in killed:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, killed)))
        assert np.array_equal(decode(shared_photos / "a.jpg")[0][Geometry.SQUASH], before[0][Geometry.SQUASH])
        assert not set(decode.pids) & set(killed)


def test_file_that_crashes_the_decoder_is_an_error_and_others_are_decoded(photos: Path) -> None:
    (photos / "crash.jpg").touch()
    names = [str(photos / name) for name in ("a.jpg", "crash.jpg", "b.jpg", "crash.jpg", "c.png")]
    with closing(Isolated(BOTH, command=FAILING_CHILD)) as decode:
        results = [pixels for _, pixels in load(map(Item.of, names), decode, workers=2, ahead=4)]
    reasons = [result.reason if isinstance(result, ImageError) else None for result in results]
    assert reasons == [None, "the decoder crashed", None, "the decoder crashed", None]


def test_file_that_takes_too_long_is_an_error(endless: Path, shared_photos: Path) -> None:
    with closing(Isolated(BOTH, timeout=0.5)) as decode:
        decode(shared_photos / "a.jpg")
        (child,) = decode.pids
        with pytest.raises(ImageError, match=r"^timed out: decoding took more than 0\.5 s"):
            decode(endless)
        assert not is_running(child) and decode.pids == []
        assert decode((shared_photos / "a.jpg").read_bytes())
        with pytest.raises(ImageError, match="timed out"):
            decode(endless.read_bytes())


def test_file_that_timed_out_is_not_tried_again(tmp_path: Path) -> None:
    stuck = tmp_path / "stuck.jpg"
    stuck.touch()
    with (
        closing(Isolated(BOTH, command=FAILING_CHILD, timeout=0.2)) as decode,
        pytest.raises(ImageError, match="timed out"),
    ):
        decode(stuck)
    assert stuck.read_bytes() == b"!"


def test_time_limit_does_not_include_the_start_of_a_child(shared_photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOW_START", "1.1")
    with closing(Isolated(BOTH, command=FAILING_CHILD, timeout=1)) as decode:
        assert decode(shared_photos / "a.jpg")


def test_time_limit_does_not_include_time_in_which_the_program_is_stopped() -> None:
    """Ctrl-Z stops a program."""
    code = (
        f"import socket, sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r})\n"
        "from democlass.images import messages\n"
        "messages._MAX_WAIT = 0.1\n"
        "limit = messages.TimeLimit(1000)\n"
        "print('waiting', flush=True)\n"
        "messages.receive(socket.socket(fileno=0), 0, limit)\n"
        "print(limit.remaining)"
    )
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen([sys.executable, "-c", code], stdin=theirs.fileno(), stdout=subprocess.PIPE) as waiting,
    ):
        assert waiting.stdout is not None and waiting.stdout.readline()
        wait_until(lambda: state_of(waiting.pid) == "S")
        waiting.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        send(ours, READY, b"")
        waiting.send_signal(signal.SIGCONT)
        assert float(waiting.stdout.read()) > 1000 - 1.5


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_invalid_time_limit_is_refused(timeout: float) -> None:
    with pytest.raises(UsageError, match="time limit"):
        Isolated(BOTH, timeout=timeout)


@pytest.mark.parametrize(
    "output",
    ["b'R' + b'\\xff' * 8", "b'R' + bytes(8) + b'P' + b'\\xff' * 8", "b'R' + bytes(8) + b'E\\2' + bytes(7) + b'xx'"],
)
def test_invalid_responses_of_a_child_are_errors(output: str, shared_photos: Path) -> None:
    command = [sys.executable, "-c", f"import os, time; os.write(1, {output}); time.sleep(600)"]
    with (
        closing(Isolated(BOTH, command=command)) as decode,
        pytest.raises(DemoclassError, match=r"decoder crashed|start"),
    ):
        decode(shared_photos / "a.jpg")


def test_error_if_no_child_can_start_is_not_an_image_error(shared_photos: Path) -> None:
    for command in ([sys.executable, "-c", "raise SystemExit(1)"], ["/no/such/program"]):
        with closing(Isolated(BOTH, command=command)) as decode, pytest.raises(DemoclassError) as raised:
            decode(shared_photos / "a.jpg")
        assert not isinstance(raised.value, ImageError)


def test_relative_names_are_relative_to_the_current_folder(
    isolated: Isolated, shared_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_photos)
    assert isolated("a.jpg")
    monkeypatch.chdir(shared_photos / "within")
    assert isolated("f.jpg")
    with pytest.raises(ImageError, match="no such file"):
        isolated("a.jpg")


def test_nothing_is_imported_from_the_current_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file in the folder creates the file `mark` when it is imported by a child."""
    for name in ("encodings", "json", "os", "PIL", "numpy", "simplejpeg", "sitecustomize", "olefile", "democlass"):
        (photos / f"{name}.py").write_text(f"open({str(photos / 'mark')!r}, 'a').write({name!r})")
    monkeypatch.chdir(photos)
    for path in (":", ".", str(photos)):
        monkeypatch.setenv("PYTHONPATH", path)
        monkeypatch.setenv("PYTHONSTARTUP", "json.py")
        with closing(Isolated(BOTH)) as decode:
            assert decode("a.jpg") and decode("c.png")
    assert not (photos / "mark").exists()
