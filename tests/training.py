"""What the tests of training share: images that colour tells apart, orders, and the command with tiny networks.

Run as a program it is `classify` with tiny networks in the task table.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import democlass.tasks

QUICK = ["--init", "none", "--stages", "32:12:0.05-0.01", "--batch", "8", "--average", "0.5", "--device", "cpu"]


def _tiny(outputs: int) -> nn.Module:
    from conftest import TinyNetwork

    return TinyNetwork(outputs)


if __name__ == "__main__":
    democlass.tasks.TASKS = tuple(replace(task, network=_tiny) for task in democlass.tasks.TASKS)
    from democlass.cli import main

    main()

from conftest import environment  # noqa: E402 (they import the task table)
from democlass.inputs.labels import read_labels  # noqa: E402
from democlass.networks.checkpoint_files import save  # noqa: E402
from democlass.tasks import TASKS, Task  # noqa: E402
from democlass.train.order import Order  # noqa: E402
from democlass.train.recipe import Recipe, Stage  # noqa: E402
from democlass.train.start import build  # noqa: E402
from democlass.train.trainer import Progress  # noqa: E402

GENDER = TASKS[0]
TINY = replace(GENDER, network=_tiny)


class EnoughError(Exception):
    """Ends a training from within."""


def stop(progress: Progress) -> None:
    if progress.step == 3:
        raise EnoughError


def make_faces(folder: Path) -> Path:
    """Write forty images to train on, sixteen to choose by, red or blue as their labels say, and their labels files."""
    chance = np.random.default_rng(0)
    for name, count in (("labels", 40), ("choose", 16)):
        lines = ["path,gender"]
        for number in range(count):
            pixels = chance.integers(0, 120, (48, 48, 3), dtype=np.uint8)
            pixels[..., 0 if number % 2 else 2] += 120
            Image.fromarray(pixels).save(folder / f"{name}{number}.png")
            lines.append(f"{name}{number}.png,{'Female' if number % 2 else 'Male'}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def without(faces: Path, name: str, *numbers: int) -> None:
    """Write a labels file without some images."""
    lines = (faces / f"{name}.csv").read_text().splitlines(keepends=True)
    (faces / f"{name}.csv").write_text("".join(lines[:1] + [x for n, x in enumerate(lines[1:]) if n not in numbers]))


def order(faces: Path, out: str, **more: Any) -> Order:
    """Return an order with tiny networks; the recipe's values are among `more`."""
    stages = (Stage(32, more.pop("passes", 2), 0.05, 0.01),)
    decided = {name: more.pop(name) for name in Recipe.__dataclass_fields__ if name in more}
    recipe = Recipe(stages, **{"batch": 8, "average": 0.5, **decided})
    label_set, choose = (read_labels(faces / f"{name}.csv") for name in ("labels", "choose"))
    more = {"task": TINY, "init": "none", "device": "cpu", **more}
    return Order(label_set=label_set, choose=choose, recipe=recipe, out=faces / out, **more)


def words(faces: Path, out: str | Path, *more: str) -> list[str]:
    """Return the words of a command that trains."""
    files = [str(faces / "labels.csv"), "--choose", str(faces / "choose.csv")]
    return ["train", "gender", *files, "--out", str(faces / out), *QUICK, *more]


def tiny_command(*asked: str) -> list[str]:
    return [sys.executable, __file__, *asked]


def run_tiny(*asked: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command with tiny networks."""
    return subprocess.run(
        tiny_command(*asked), env=single_threaded(), capture_output=True, text=True, timeout=120, **more
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute the same as a process of `single_threaded`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def single_threaded(**more: str) -> dict[str, str]:
    """Return an environment in which processes compute the same as each other, and leave processors to each other."""
    return environment(OMP_NUM_THREADS="1", **more)


def save_teacher(file: Path, task: Task = GENDER) -> None:
    """Write a checkpoint of an untrained ResNet18, whose answers are as good as any."""
    torch.manual_seed(0)
    save(file, build("resnet18", len(task.labels)).state_dict(), labels=task.labels, temperature=1.0, card={})


def weights(file: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(file, weights_only=True)["model_state_dict"])


def same(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
