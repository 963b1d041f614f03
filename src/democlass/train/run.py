"""A training from beginning to end: data, teacher, steps, temperature, checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from democlass.checkpoint_files import save
from democlass.errors import OutputError
from democlass.networks import pick_device
from democlass.tasks import Task
from democlass.train.calibrate import fit_temperature
from democlass.train.feed import Feed
from democlass.train.judge import Verdict, logits_of, targets_of
from democlass.train.recipe import Recipe
from democlass.train.start import start
from democlass.train.state import State
from democlass.train.teacher import teaching
from democlass.train.together import group
from democlass.train.trainer import Progress, Trainer, described
from democlass.truth import Example, Truth

Watch = Callable[[Progress], object]


@dataclass(frozen=True)
class Order:
    """What is to be trained, from what, and where it goes. `network` names another ResNet than the task's."""

    task: Task
    truth: Truth
    choose: Truth
    recipe: Recipe
    out: Path
    init: str = "imagenet"
    network: str | None = None
    teacher: Path | None = None
    device: str = "auto"
    compiled: bool = False
    float16: bool = False
    minutes: float = 5.0
    resume: bool = False
    overwrite: bool = False
    command: str = ""

    @property
    def state(self) -> Path:
        """Where the state of the training is kept meanwhile."""
        return self.out.with_name(f"{self.out.name}.state")

    @property
    def teaching(self) -> Path:
        """Where the teacher's features are kept meanwhile."""
        return self.out.with_name(f"{self.out.name}.teacher")

    def made_by(self) -> dict[str, Any]:
        """Return what must be the same when the training is resumed."""
        return {
            "task": self.task.name,
            "labels": _digest(self.truth.of(self.task), self.task),
            "choose": _digest(self.choose.of(self.task), self.task),
            "network": self.network,
            "teacher": None if self.teacher is None else str(self.teacher),
            **described(self.recipe),
        }

    def check(self) -> None:
        """Raise OutputError where what is there may not be replaced, or resumed."""
        if self.resume:
            return
        if not self.overwrite and (there := next((p for p in (self.out, self.state) if p.exists()), None)):
            raise OutputError(f"{there} is there already: --resume goes on, --overwrite begins again")


def train(order: Order, watch: Watch = lambda _: None, say: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Do an order; return the figures on the choose data that the checkpoint's card holds.

    Raises UsageError, OutputError, CheckpointError, WriteError.
    """
    order.check()
    made_by = order.made_by()
    examples, choose = order.truth.of(order.task), order.choose.of(order.task)
    with group(pick_device(order.device)) as (share, device):
        taught = None
        if order.teacher is not None:
            say(f"asking the teacher {order.teacher} about {len(examples):,} images")
            taught = teaching(order.teacher, order.task, examples, device, order.teaching)
        feed = Feed(examples, order.task, order.recipe.batch, order.recipe.seed, share)
        state = State.load(order.state, made_by) if order.resume else None
        torch.manual_seed(order.recipe.seed)  # what does not come from a checkpoint begins at random
        network = start(order.task, order.network, "none" if state else order.init)
        trainer = Trainer(
            network,
            order.task,
            order.recipe,
            feed,
            choose,
            device=device,
            share=share,
            teaching=taught,
            compiled=order.compiled,
        )
        if state is not None:
            trainer.restore(state)
            say(f"going on at step {trainer.step:,} of {len(trainer.sizes):,}")
        trainer.run(lambda: trainer.save(order.state, made_by), order.minutes * 60, watch)
        return _finish(order, trainer, choose, device) if share.rank == 0 else {}


def _finish(order: Order, trainer: Trainer, choose: Sequence[Example], device: torch.device) -> dict[str, Any]:
    """Fit the temperature, write the checkpoint, and take the state away."""
    best: nn.Module = trainer.average.module
    assert trainer.best is not None
    best.load_state_dict(trainer.best)
    targets = targets_of(choose, order.task)
    logits = logits_of(best, order.task, choose, device)
    figures = Verdict.of(order.task, logits, targets).figures()
    temperature = round(fit_temperature(logits, targets), 4)
    save(
        order.out,
        best.state_dict(),
        labels=order.task.labels,
        temperature=temperature,
        card=_card(order, figures, trainer),
        float16=order.float16,
    )
    for kept in (order.state, order.teaching):
        kept.unlink(missing_ok=True)
    return {**figures, "temperature": temperature}


def _card(order: Order, figures: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    return {
        "task": order.task.title,
        "data": f"{order.truth.file.name}: {len(trainer.feed.examples):,} images",
        "chosen on": f"{order.choose.file.name}: {figures['n']:,} images",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": order.command,
        "recipe": described(order.recipe),
        "versions": {"democlass": version("democlass"), "torch": str(torch.__version__)},
        "history": trainer.history,
        "choose": figures,
    }


def _digest(examples: Sequence[Example], task: Task) -> str:
    lines = "\n".join(f"{Path(example.path).name} {example.labels[task.name]}" for example in examples)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]
