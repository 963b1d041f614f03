"""Helpers for the tests of training: images that differ by colour, jobs, and the command with tiny networks."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import TinyNetwork, environment
from democlass.inputs.labels import read_labels
from democlass.networks.checkpoint_files import save
from democlass.tasks import TASKS, Task
from democlass.train.initialisation import build_network
from democlass.train.job import TrainJob
from democlass.train.recipe import Recipe, Stage
from democlass.train.trainer import Progress
from narrow_resnet import NarrowResNet

COMMAND = Path(__file__).with_name("training_command.py")
OPTIONS = ["--init", "none", "--stages", "32:12:0.05-0.01", "--batch", "8", "--average", "0.5", "--device", "cpu"]
MANY_STEPS = ["--stages", "32:1000:0.05-0.01", "--save-every", "1000"]
GENDER, RACE = TASKS
TINY = replace(GENDER, network=TinyNetwork)
NARROW = replace(GENDER, network=NarrowResNet)


class StoppedError(Exception):
    """Raised by a callback to stop a training."""


def stop_at(step: int) -> Callable[[Progress], None]:
    """Return an `on_step` callback that raises StoppedError after a step."""

    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise StoppedError

    return on_step


def make_faces(folder: Path) -> Path:
    """Write 40 training and 16 validation images, red or blue by label, and the files labels.csv and validation.csv."""
    rng = np.random.default_rng(0)
    for name, count in (("labels", 40), ("validation", 16)):
        lines = ["path,gender"]
        for number in range(count):
            pixels = rng.integers(0, 120, (48, 48, 3), dtype=np.uint8)
            pixels[..., 0 if number % 2 else 2] += 120
            Image.fromarray(pixels).save(folder / f"{name}{number}.png")
            lines.append(f"{name}{number}.png,{'Female' if number % 2 else 'Male'}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def make_endless_jpeg(file: Path) -> None:
    """Write a JPEG that takes minutes to decode: its last scan is repeated 20,000 times."""
    content = io.BytesIO()
    Image.new("L", (4000, 4000)).save(content, "JPEG", progressive=True)
    last_scan = content.getvalue().rindex(b"\xff\xda")
    file.write_bytes(content.getvalue()[:last_scan] + content.getvalue()[last_scan:-2] * 20_000 + b"\xff\xd9")


def remove_rows(faces: Path, name: str, *numbers: int) -> None:
    """Remove the rows of some images from a labels file."""
    header, *rows = (faces / f"{name}.csv").read_text().splitlines(keepends=True)
    kept = [row for number, row in enumerate(rows) if number not in numbers]
    (faces / f"{name}.csv").write_text("".join([header, *kept]))


def make_job(faces: Path, out: str, *, epochs: float = 2, **fields: Any) -> TrainJob:
    """Return a job with tiny networks. `fields` are fields of TrainJob or of Recipe."""
    recipe_fields = {name: fields.pop(name) for name in Recipe.__dataclass_fields__ if name in fields}
    recipe = Recipe((Stage(32, epochs, 0.05, 0.01),), **{"batch": 8, "average": 0.5, **recipe_fields})
    labels, validation = (read_labels(faces / f"{name}.csv") for name in ("labels", "validation"))
    fields = {"task": TINY, "init": "none", "device": "cpu", **fields}
    return TrainJob(labels=labels, validation=validation, recipe=recipe, out=faces / out, **fields)


def train_args(faces: Path, out: str | Path, *more: str) -> list[str]:
    """Return the arguments of `classify train`."""
    files = [str(faces / "labels.csv"), "--validation", str(faces / "validation.csv")]
    return ["train", "gender", *files, "--out", str(faces / out), *OPTIONS, *more]


def run_tiny(*args: str, variables: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command with tiny networks."""
    env = single_threaded(**(variables or {}))
    return subprocess.run(
        [sys.executable, str(COMMAND), *args], env=env, capture_output=True, text=True, timeout=120, **more
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Make torch use one thread, as the processes of `run_tiny` do: all compute the same numbers.

    Each module of tests that trains imports it. It also saves time: small networks gain nothing from more threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def single_threaded(**more: str) -> dict[str, str]:
    """Return an environment in which torch uses one thread, so that all processes compute the same numbers."""
    return environment(OMP_NUM_THREADS="1", **more)


@lru_cache
def _teacher_weights(outputs: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(build_network("resnet18", outputs).state_dict())


def save_teacher(file: Path, task: Task = GENDER, **more: Any) -> None:
    """Write the checkpoint of an untrained ResNet18. Its predictions are as good for tests as any."""
    fields = {"labels": task.labels, "temperature": 1.0, "card": {}, **more}
    save(file, _teacher_weights(len(task.labels)), **fields)


def copy_labels(faces: Path, folder: str) -> Path:
    """Copy the training images and their labels file into a new folder; return the copied labels file."""
    (faces / folder).mkdir()
    for file in [faces / "labels.csv", *faces.glob("labels*.png")]:
        shutil.copy(file, faces / folder)
    return faces / folder / "labels.csv"


def load_weights(file: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(file, weights_only=True)["model_state_dict"])


def have_same_weights(one: Path, other: Path) -> bool:
    first, second = load_weights(one), load_weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
