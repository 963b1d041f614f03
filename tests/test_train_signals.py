"""Ctrl-C and SIGTERM during a training: finished steps are saved, a message says so, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from conftest import TinyNetwork, environment
from democlass.train.run import train
from democlass.train.saving import load_tensors
from democlass.train.signals import defer_signals
from fork_server import ForkServer
from training import (
    MANY_STEPS,
    StoppedError,
    have_same_weights,
    make_endless_jpeg,
    make_job,
    one_thread,  # noqa: F401 (an autouse fixture)
    stop_at,
    train_args,
)

pytestmark = pytest.mark.slow


def are_equal(one: Any, other: Any) -> bool:
    """Compare tensors, and containers of tensors."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return bool(one.keys() == other.keys() and all(are_equal(one[name], other[name]) for name in one))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(are_equal, one, other))
    return bool(one == other)


def processes_of(group: int) -> list[str]:
    """Return the processes of a process group that are not zombies."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = file.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(number) == group and state != "Z":
            found.append(file.parent.name)
    return found


def assert_all_end(group: int) -> None:
    deadline = time.monotonic() + 30
    while processes_of(group):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.01)


def raise_interrupt(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_resuming_after_a_kill_reproduces_the_same_weights(faces: Path, server: ForkServer) -> None:
    whole = make_job(faces, "whole.pth", epochs=8)
    train(whole)
    args = train_args(faces, "killed.pth", "--stages", "32:8:0.05-0.01", "--save-every", "0", "--quiet")
    state = faces / "killed.pth.state"
    process = server.start_logged(*args, log=faces / "log")
    deadline = time.monotonic() + 120
    while not state.exists():
        assert time.monotonic() < deadline, process.output
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training ended before it was killed"
    messages: list[str] = []
    train(replace(whole, out=faces / "killed.pth", resume=True), log=messages.append)
    assert any(text.startswith("resuming at step") for text in messages)
    assert have_same_weights(faces / "whole.pth", faces / "killed.pth")


def test_a_signal_saves_the_finished_steps(faces: Path, server: ForkServer) -> None:
    process = server.start_logged(*train_args(faces, "new.pth", *MANY_STEPS), log=faces / "log")
    process.wait_for_line("step 5, 32 px")
    assert not (faces / "new.pth.state").exists()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    assert_all_end(process.pid)
    assert not (faces / "new.pth.lock").exists()

    state = load_tensors(faces / "new.pth.state")
    step = state["step"]
    assert process.output.splitlines()[-1] == (
        f"interrupted: {faces / 'new.pth'}.state is saved at step {step:,} of 5,000; --resume continues from it"
    )
    with pytest.raises(StoppedError):
        train(make_job(faces, "same.pth", epochs=1000, save_minutes=1000.0), stop_at(step))
    other = load_tensors(faces / "same.pth.state")
    assert all(are_equal(state[name], other[name]) for name in ("network", "average", "optimizer"))


class InterruptedNetwork(TinyNetwork):
    """A network that sends SIGINT to its process during the third training step."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.training and self.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # Python handles signals between its instructions
        return super().forward(x)


def test_a_signal_during_a_step_is_handled_after_the_step(faces: Path) -> None:
    whole = make_job(faces, "whole.pth")
    train(whole)
    job = replace(whole, out=faces / "new.pth", save_minutes=60.0)
    messages: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(replace(job, task=replace(job.task, network=InterruptedNetwork)), notify=messages.append)
    assert messages == [f"interrupted: {faces / 'new.pth'}.state is saved at step 3 of 10; --resume continues from it"]
    train(replace(job, resume=True))
    assert have_same_weights(faces / "new.pth", faces / "whole.pth")


def test_a_signal_before_the_first_step_saves_nothing(faces: Path, server: ForkServer) -> None:
    (faces / "labels.csv").unlink()
    os.mkfifo(faces / "labels.csv")
    process = server.start_logged(*train_args(faces, "new.pth"), log=faces / "log")
    with (faces / "labels.csv").open("w"):  # blocks until the process opens the pipe
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert process.output == "interrupted before the first step: nothing to save\n"


def test_a_slow_image_does_not_delay_an_interruption(faces: Path, server: ForkServer) -> None:
    make_endless_jpeg(faces / "labels3.png")
    process = server.start_logged(*train_args(faces, "new.pth"), log=faces / "log")
    process.wait_for_line("reading all 56 images")
    while len(processes_of(process.pid)) < 2:  # until there is a decoder
        time.sleep(0.01)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.output.splitlines()[1:] == ["interrupted before the first step: nothing to save"]
    assert_all_end(process.pid)


def test_an_interrupted_validation_is_repeated_when_resuming(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(make_job(faces, "whole.pth"))
    monkeypatch.setattr("democlass.train.validation.compute_logits", raise_interrupt)
    messages: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(make_job(faces, "new.pth", save_minutes=60.0), notify=messages.append)
    assert messages == [f"interrupted: {faces / 'new.pth'}.state is saved at step 5 of 10; --resume continues from it"]
    monkeypatch.undo()
    train(make_job(faces, "new.pth", resume=True))
    assert have_same_weights(faces / "new.pth", faces / "whole.pth")


def test_interrupting_before_the_first_step_keeps_an_earlier_state(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoppedError):
        train(make_job(faces, "new.pth"), stop_at(3))
    state = (faces / "new.pth.state").read_bytes()
    monkeypatch.setattr("democlass.train.session.initialise_network", raise_interrupt)
    messages: list[str] = []
    for write_mode in ("resume", "overwrite"):
        with pytest.raises(KeyboardInterrupt):
            train(make_job(faces, "new.pth", **{write_mode: True}), notify=messages.append)
    assert messages == [
        f"interrupted: {faces / 'new.pth'}.state is unchanged; --resume continues from it",
        "interrupted before the first step: nothing to save",
    ]
    assert (faces / "new.pth.state").read_bytes() == state


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import sys, time; from democlass.cli.interrupt import handle_signals\n"
        "from democlass.train.signals import defer_signals\n"
        "handle_signals()\n"
        "with defer_signals() as pending:\n"
        "    print('ready', flush=True)\n"
        "    while not pending: time.sleep(0.01)\n"
        "    print('pending', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "pending\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    process.stdout.close()


def test_a_deferred_signal_is_handled_after_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with defer_signals() as pending:
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 30
            while not pending and time.monotonic() < deadline:
                time.sleep(0.001)
            done.append("block")
        done.append("after the block")
    assert done == ["block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
