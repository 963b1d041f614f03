"""Several processes train one network: they share the work, write each file once, and end together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from democlass.errors import UsageError
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train.saving import load_tensors
from training import TINY, make_faces, order, save_teacher, single_threaded, tiny_command, words

LONG = ["--stages", "32:1000:0.05-0.01", "--save-every", "1000"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


def begin(*asked: str) -> list[subprocess.Popen[str]]:
    """Start the command as two processes, without torchrun, which would end one when it lost the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            tiny_command(*asked),
            env=single_threaded(RANK=str(rank), LOCAL_RANK=str(rank), **shared),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def wait_for(process: subprocess.Popen[str], start: str) -> None:
    assert process.stderr is not None
    for line in iter(process.stderr.readline, ""):
        if line.startswith(start):
            return
    pytest.fail(f"it ended without saying {start}")


def test_two_processes_share_the_work_and_one_writes(faces: Path) -> None:
    save_teacher(faces / "teacher.pth")
    (faces / "labels3.png").write_bytes(b"no image")
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    asked = words(faces, "new.pth", "--teacher", str(faces / "teacher.pth"), "--skip-unreadable")
    done = subprocess.run(
        [*program, *tiny_command(*asked)], env=single_threaded(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("asking the teacher") == 1
    assert done.stderr.count("1 of 40 images") == 1
    assert done.stderr.count("step 5, 32 px") == 0  # 39 images are 4 batches
    assert done.stderr.count("step 4, 32 px") == 1
    card = load(Location(faces / "new.pth", "test"), TINY).card
    assert card["choose"]["accuracy"] > 0.9 and card["data"] == "labels.csv: 39 images"
    assert sorted(path.name for path in faces.glob("new.pth*")) == ["new.pth", "new.pth.skipped.csv"]


def test_a_signal_to_one_process_ends_both_after_the_same_step(faces: Path) -> None:
    processes = begin(*words(faces, "new.pth", *LONG))
    wait_for(processes[0], "step 5, 32 px")
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 143]
    assert "another process of this training was told to end" in said[0]
    assert "new.pth.state is saved at step" in said[0] and "is saved" not in said[1]
    assert load_tensors(faces / "new.pth.state")["step"] >= 5


def test_a_process_that_dies_does_not_leave_the_other_waiting(faces: Path) -> None:
    processes = begin(*words(faces, "new.pth", *LONG))
    wait_for(processes[0], "step 5, 32 px")
    processes[1].kill()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert processes[0].returncode == 1
    assert said[0].splitlines()[-1].endswith("another process of this training has ended: its message says why")
    assert "Traceback" not in said[0]


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "many"), ("MASTER_ADDR", None)])
def test_an_environment_that_torchrun_did_not_make(
    faces: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    from democlass.train.run import train

    for each in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("WORLD_SIZE", value or "2")
    with pytest.raises(UsageError, match="WORLD_SIZE is"):
        train(order(faces, "new.pth"))
