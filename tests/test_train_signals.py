"""Ctrl-C and SIGTERM in a training: what is done is saved, and said; nothing is left running."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conftest import TinyNetwork, environment
from democlass.train.run import train
from democlass.train.saving import load_tensors
from democlass.train.signals import deferred
from democlass.train.trainer import Progress
from training import EnoughError, make_faces, one_thread, order, same, single_threaded, stop, tiny_command, words

LONG = ["--stages", "32:1000:0.05-0.01"]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


def begin(*asked: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(tiny_command(*asked), env=single_threaded(), stderr=subprocess.PIPE, text=True, **more)


def equal(one: Any, two: Any) -> bool:
    """Compare tensors, and what holds them."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return bool(one.keys() == two.keys() and all(equal(one[name], two[name]) for name in one))
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(one == two)


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


def test_a_signal_saves_the_steps_that_are_done(faces: Path) -> None:
    process = begin(*words(faces, "new.pth", *LONG, "--save-every", "1000"), start_new_session=True)
    assert process.stderr is not None
    begun = [line for line, _ in zip(iter(process.stderr.readline, ""), range(2), strict=False)]
    assert begun[1].startswith("step 5, 32 px")
    assert not (faces / "new.pth.state").exists()
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert_all_end(process.pid)

    state = load_tensors(faces / "new.pth.state")
    step = state["step"]
    assert said.splitlines()[-1] == (
        f"interrupted: {faces / 'new.pth'}.state is saved at step {step:,} of 5,000; --resume goes on from there"
    )

    def until(progress: Progress) -> None:
        if progress.step == step:
            raise EnoughError

    with one_thread(), pytest.raises(EnoughError):
        train(order(faces, "same.pth", passes=1000, minutes=1000.0), until)
    other = load_tensors(faces / "same.pth.state")
    assert all(equal(state[name], other[name]) for name in ("network", "average", "optimizer"))


class Interrupting(TinyNetwork):
    """A network that a signal reaches while it learns."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.training and self.steps == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # Python handles signals between its instructions
        return super().forward(x)


def test_a_signal_inside_a_step_waits_for_its_end(faces: Path) -> None:
    whole = order(faces, "whole.pth")
    train(whole)
    new = replace(whole, out=faces / "new.pth", minutes=60.0)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(replace(new, task=replace(new.task, network=Interrupting)), say=said.append)
    assert said == [f"interrupted: {faces / 'new.pth'}.state is saved at step 3 of 10; --resume goes on from there"]
    train(replace(new, resume=True))
    assert same(faces / "new.pth", faces / "whole.pth")


def test_a_signal_before_the_first_step_says_that_nothing_is_saved(faces: Path) -> None:
    (faces / "labels.csv").unlink()
    os.mkfifo(faces / "labels.csv")
    process = begin(*words(faces, "new.pth"))
    with (faces / "labels.csv").open("w"):  # waits until it is opened there
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert said == "interrupted before the first step: there is nothing to save\n"


def make_endless(file: Path) -> None:
    """Write a JPEG that takes minutes to decode: its last scan comes thousands of times."""
    content = io.BytesIO()
    Image.new("L", (4000, 4000)).save(content, "JPEG", progressive=True)
    start = content.getvalue().rindex(b"\xff\xda")
    file.write_bytes(content.getvalue()[:start] + content.getvalue()[start:-2] * 20_000 + b"\xff\xd9")


def test_an_image_that_takes_minutes_does_not_hold_up_the_end(faces: Path) -> None:
    make_endless(faces / "labels3.png")
    process = begin(*words(faces, "new.pth"), start_new_session=True)
    assert process.stderr is not None and process.stderr.readline().startswith("reading 56 images")
    while len(processes_of(process.pid)) < 2:  # until there is a decoder
        time.sleep(0.01)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (130, "interrupted before the first step: there is nothing to save\n")
    assert_all_end(process.pid)


def test_an_interruption_inside_a_judgement_comes_to_the_same_numbers(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(order(faces, "whole.pth"))

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("democlass.train.trainer.logits_of", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(order(faces, "new.pth", minutes=60.0), say=said.append)
    assert said == [f"interrupted: {faces / 'new.pth'}.state is saved at step 5 of 10; --resume goes on from there"]
    monkeypatch.undo()
    train(order(faces, "new.pth", resume=True))
    assert same(faces / "new.pth", faces / "whole.pth")


def test_an_interrupted_resumption_keeps_the_state(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnoughError):
        train(order(faces, "new.pth"), stop)
    state = (faces / "new.pth.state").read_bytes()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("democlass.train.session.start", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(order(faces, "new.pth", resume=True), say=said.append)
    assert said == [f"interrupted: {faces / 'new.pth'}.state is as it was; --resume goes on from it"]
    assert (faces / "new.pth.state").read_bytes() == state


def test_a_state_of_an_earlier_training_is_no_saved_step(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnoughError):
        train(order(faces, "new.pth"), stop)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("democlass.train.session.start", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(order(faces, "new.pth", overwrite=True), say=said.append)
    assert said == ["interrupted before the first step: there is nothing to save"]
    assert (faces / "new.pth.state").exists()


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import sys, time; from democlass.cli.interrupt import handle_signals\n"
        "from democlass.train.signals import deferred\n"
        "handle_signals()\n"
        "with deferred() as waiting:\n"
        "    print('ready', flush=True)\n"
        "    while not waiting: time.sleep(0.01)\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    process.stdout.close()


def test_a_deferred_signal_comes_after_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred() as waiting:
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 30
            while not waiting and time.monotonic() < deadline:
                time.sleep(0.001)
            done.append("the block")
        done.append("what follows")
    assert done == ["the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
