"""Several processes train one network: they share the work, write each file once, and end together."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from democlass.errors import UsageError
from democlass.networks.checkpoints import load
from democlass.networks.locations import Location
from democlass.train.run import train
from democlass.train.saving import load_tensors
from fork_server import ForkServer, LoggedProcess
from training import (  # noqa: F401 (one_thread is an autouse fixture)
    MANY_STEPS,
    TINY,
    make_faces,
    make_job,
    one_thread,
    remove_rows,
    save_teacher,
    single_threaded,
    train_args,
)

pytestmark = pytest.mark.slow


def start_two(server: ForkServer, faces: Path, *args: str) -> list[LoggedProcess]:
    """Start the command as two processes, with the environment of torchrun but without torchrun itself.

    torchrun would end one process when the other one ends. test_search_path.py runs the command under torchrun.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    args = (*train_args(faces, "new.pth"), *args)
    return [
        server.start_logged(*args, log=faces / f"log{rank}", **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(2)
    ]


def test_two_processes_share_the_work_and_one_writes(faces: Path, server: ForkServer) -> None:
    remove_rows(faces, "labels", *range(17, 40))
    save_teacher(faces / "teacher.pth")
    (faces / "labels3.png").write_bytes(b"no image")
    options = ["--stages", "32:3:0.05-0.01", "--teacher", str(faces / "teacher.pth"), "--skip-unreadable"]
    first, second = start_two(server, faces, *options)
    assert [first.wait(), second.wait()] == [0, 0], first.output + second.output
    output = first.output
    assert output.count("running the teacher") == output.count("1 of 17 images") == 1
    assert output.count("step 2, 32 px") == 1 and "step 3, 32 px" not in output  # 16 images are 2 batches
    assert second.output == ""
    card = load(Location(faces / "new.pth", "test"), TINY).card
    assert card["data"] == "labels.csv: 16 images" and len(card["history"]) == 3
    assert sorted(path.name for path in faces.glob("new.pth*")) == ["new.pth", "new.pth.skipped.csv"]


def test_a_signal_to_one_process_ends_both_after_the_same_step(faces: Path, server: ForkServer) -> None:
    first, second = start_two(server, faces, *MANY_STEPS)
    first.wait_for_line("step 5, 32 px")
    second.send_signal(signal.SIGTERM)
    assert [first.wait(), second.wait()] == [1, 143]
    assert "another process of this training was interrupted" in first.output
    assert "new.pth.state is saved at step" in first.output and "is saved" not in second.output
    assert load_tensors(faces / "new.pth.state")["step"] >= 5


def test_a_killed_process_does_not_leave_the_other_one_waiting(faces: Path, server: ForkServer) -> None:
    first, second = start_two(server, faces, *MANY_STEPS)
    first.wait_for_line("step 5, 32 px")
    second.send_signal(signal.SIGKILL)
    assert [first.wait(), second.wait()] == [1, -signal.SIGKILL]
    last_line = first.output.splitlines()[-1]
    assert last_line.endswith("another process of this training ended early: see its error message")
    assert "Traceback" not in first.output


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "many"), ("MASTER_ADDR", None)])
def test_an_incomplete_torchrun_environment_is_refused(
    faces: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    for each in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("WORLD_SIZE", value or "2")
    with pytest.raises(UsageError, match="WORLD_SIZE is"):
        train(make_job(faces, "new.pth"))
