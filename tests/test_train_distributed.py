"""Several processes train one network: they share the work, write each file once, and end together."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from democlass.errors import UsageError
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train.run import train
from democlass.train.saving import load_tensors
from training import (  # noqa: F401 (one_thread is an autouse fixture)
    MANY_STEPS,
    TINY,
    make_faces,
    make_job,
    one_thread,
    remove_rows,
    save_teacher,
    start_tiny,
    train_args,
)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


def start_two(*args: str) -> list[subprocess.Popen[str]]:
    """Start the command as two processes, with the environment of torchrun but without torchrun itself.

    torchrun would end one process when the other one ends. test_search_path.py runs the command under torchrun.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [start_tiny(*args, variables={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]


def wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stderr is not None
    for line in iter(process.stderr.readline, ""):
        if line.startswith(start):
            return
    pytest.fail(f"the process ended without a line {start!r}")


def test_two_processes_share_the_work_and_one_writes(faces: Path) -> None:
    remove_rows(faces, "labels", *range(17, 40))
    save_teacher(faces / "teacher.pth")
    (faces / "labels3.png").write_bytes(b"no image")
    teacher = ("--teacher", str(faces / "teacher.pth"))
    processes = start_two(*train_args(faces, "new.pth", *teacher, "--skip-unreadable"))
    first, second = (process.communicate(timeout=120)[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], first + second
    assert first.count("running the teacher") == first.count("1 of 17 images") == 1
    assert first.count("step 2, 32 px") == 1 and "step 3, 32 px" not in first  # 16 images are 2 batches
    assert second == ""
    card = load(Location(faces / "new.pth", "test"), TINY).card
    assert card["data"] == "labels.csv: 16 images" and len(card["history"]) == 12
    assert sorted(path.name for path in faces.glob("new.pth*")) == ["new.pth", "new.pth.skipped.csv"]


def test_a_signal_to_one_process_ends_both_after_the_same_step(faces: Path) -> None:
    processes = start_two(*train_args(faces, "new.pth", *MANY_STEPS))
    wait_for_line(processes[0], "step 5, 32 px")
    processes[1].send_signal(signal.SIGTERM)
    first, second = (process.communicate(timeout=60)[1] for process in processes)
    assert [process.returncode for process in processes] == [1, 143]
    assert "another process of this training was interrupted" in first
    assert "new.pth.state is saved at step" in first and "is saved" not in second
    assert load_tensors(faces / "new.pth.state")["step"] >= 5


def test_a_killed_process_does_not_leave_the_other_one_waiting(faces: Path) -> None:
    processes = start_two(*train_args(faces, "new.pth", *MANY_STEPS))
    wait_for_line(processes[0], "step 5, 32 px")
    processes[1].kill()
    first, _ = (process.communicate(timeout=60)[1] for process in processes)
    assert processes[0].returncode == 1
    assert first.splitlines()[-1].endswith("another process of this training ended early: see its error message")
    assert "Traceback" not in first


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "many"), ("MASTER_ADDR", None)])
def test_an_incomplete_torchrun_environment_is_refused(
    faces: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    for each in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("WORLD_SIZE", value or "2")
    with pytest.raises(UsageError, match="WORLD_SIZE is"):
        train(make_job(faces, "new.pth"))
