"""The trainer: steps, the moving average, the state that is saved, the network that did best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from democlass.errors import DemoclassError
from democlass.inputs.labels import Example
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.feed import Feed
from democlass.train.judge import Verdict, logits_of, targets_of
from democlass.train.lesson import Lesson, Pupil
from democlass.train.reader import Reader
from democlass.train.recipe import Recipe
from democlass.train.signals import deferred
from democlass.train.state import State
from democlass.train.teacher import Teaching
from democlass.train.together import Share, joined
from democlass.train.views import normalised, recoloured

_LEAST_OF_A_PASS = 0.5  # a judgement is made at the end of each stage, and of each pass that leaves as much to do


@dataclass(frozen=True)
class Progress:
    """Where a training is: steps done and in all, the image size, the loss (a moving mean), and what was judged."""

    step: int
    steps: int
    size: int
    loss: float
    judged: dict[str, Any] | None = None


class Trainer:
    """Trains one network by a recipe. `run` goes on from wherever the state stands.

    `is_consistent` is False inside a step, and after one that failed: there is then nothing that may be saved.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        recipe: Recipe,
        feed: Feed,
        choose: Sequence[Example],
        read: Reader,
        *,
        device: torch.device,
        share: Share,
        teaching: Teaching | None = None,
        compiled: bool = False,
    ) -> None:
        self.task, self.recipe, self.feed, self.choose = task, recipe, feed, choose
        self._device, self._share, self._read = device, share, read
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=moving(recipe.average), use_buffers=True)
        self._lesson = Lesson(recipe, feed.frequencies, teaching, device)
        self._pupil = self._lesson.pupil(self.network)
        self._optimizer = torch.optim.SGD(
            _decayed_apart(self._pupil, recipe.decay), lr=0.0, momentum=recipe.momentum, nesterov=True
        )
        if compiled:
            self._pupil.compile()
        self._learner = joined(self._pupil, share, device)
        self.sizes, self.rates, self._judgements = _schedule(recipe, feed.steps_a_pass)
        self.step, self.loss = 0, math.nan
        self.best: dict[str, Any] | None = None
        self.best_score = -1.0
        self.history: list[dict[str, Any]] = []
        self.is_consistent = True

    def run(self, keep: Callable[[], object], every: float, watch: Callable[[Progress], object]) -> None:
        """Train to the end of the recipe; `keep` is called whenever `every` seconds have gone by.

        Signals wait for the end of a step. Several processes end after the same step. Raises DemoclassError where the
        loss is no number, UsageError where an image can't be read any more.
        """
        saved = time.monotonic()
        together: AbstractContextManager[list[int]] = deferred() if self._share.world > 1 else nullcontext([])
        with together as waiting:
            if self.step and not (self.history and self.history[-1]["step"] == self.step):
                self._judge_if_due(watch)  # the last run was interrupted before it came to this
            with closing(self.feed.batches(self.sizes, self.step)) as batches:
                for batch in batches:
                    with deferred() as now_waiting:
                        must_end = self._do_step(batch, waiting, now_waiting)
                    if not self._judge_if_due(watch):
                        watch(self._progress())
                    if must_end:
                        raise DemoclassError("another process of this training was told to end")
                    if self._share.rank == 0 and time.monotonic() - saved >= every:
                        keep()
                        saved = time.monotonic()

    def state(self, made_by: dict[str, Any]) -> State:
        """Return the whole state."""
        return State(
            made_by,
            self.step,
            self.network.state_dict(),
            self.average.state_dict(),
            self._optimizer.state_dict(),
            self.best,
            self.best_score,
            self.history,
            self._pupil.guess.state_dict() if isinstance(self._pupil, Pupil) else {},
            processes=self._share.world,
        )

    def restore(self, state: State) -> None:
        """Go on where a saved state stood."""
        self.network.load_state_dict(state.network)
        if isinstance(self._pupil, Pupil):
            self._pupil.guess.load_state_dict(state.guess)
        self.average.load_state_dict(state.average)
        self._optimizer.load_state_dict(state.optimizer)
        self.step, self.best, self.best_score, self.history = state.step, state.best, state.best_score, state.history

    def _do_step(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], *waiting: list[int]) -> bool:
        """Do one step; return whether signals are `waiting`, in any process."""
        self.is_consistent = False
        loss = self._learn(*batch)
        broken, must_end = self._share.any(not math.isfinite(loss), any(waiting))
        if broken:
            raise DemoclassError(
                f"the loss is no number after step {self.step + 1:,}: begin again with lower rates in --stages"
            )
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        self.step += 1
        self.is_consistent = True
        return must_end

    def _learn(self, pixels: torch.Tensor, targets: torch.Tensor, places: torch.Tensor) -> float:
        """Learn from a batch and return the loss."""
        device = self._device
        self._learner.train()
        for settings in self._optimizer.param_groups:
            settings["lr"] = self.rates[self.step]
        views = recoloured(normalised(pixels.to(device)), seed=self._colour_seed())
        with torch.autocast(device.type, torch.bfloat16, enabled=has_native_support(device, torch.bfloat16)):
            answer = self._learner(views.contiguous(memory_format=torch.channels_last))
        loss = self._lesson.loss(answer, targets, places)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def _colour_seed(self) -> int:
        return (self.recipe.seed * 1_000_003 + self.step) * self._share.world + self._share.rank

    def _progress(self, judged: dict[str, Any] | None = None) -> Progress:
        return Progress(self.step, len(self.sizes), self.sizes[self.step - 1], self.loss, judged)

    def _judge_if_due(self, watch: Callable[[Progress], object]) -> bool:
        """Judge the moving average after the steps where that is due, in the first process; tell whether it was."""
        if self.step not in self._judgements:
            return False
        if self._share.rank == 0:
            watch(self._progress(self._judge()))
        self._share.wait()
        return True

    def _judge(self) -> dict[str, Any]:
        """Judge the moving average on the choose data, and keep it if none was better."""
        logits = logits_of(self.average.module, self.choose, self._device, self._read)
        if not logits.isfinite().all():
            raise DemoclassError(
                f"the answers are no numbers after step {self.step:,}: begin again with lower rates in --stages"
            )
        verdict = Verdict.of(self.task, logits, targets_of(self.choose, self.task))
        figures = {"step": self.step, "size": self.sizes[self.step - 1], **verdict.figures()}
        with deferred():
            if verdict.score > self.best_score:
                self.best_score = verdict.score
                self.best = {name: value.cpu().clone() for name, value in self.average.module.state_dict().items()}
            self.history.append({name: figures[name] for name in ("step", "size", "accuracy", "macro_recall")})
        return figures


def moving(decay: float) -> Callable[..., None]:
    """Return how a moving average takes in the next weights: at first faster, so that it soon forgets the start.

    The decay after n steps is min(decay, (1 + n) / (10 + n)), as TensorFlow's ExponentialMovingAverage has it: a run
    of a thousand steps at .999 would otherwise still be 37 % the network that it began with.
    """

    def take_in(averaged: Any, current: Any, steps: torch.Tensor) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(now)(averaged, current, steps)  # type: ignore[no-untyped-call]

    return take_in


def _decayed_apart(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay is for kernels; batch norms and biases have none."""
    kernels = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _schedule(recipe: Recipe, steps_a_pass: int) -> tuple[list[int], list[float], set[int]]:
    """Return each step's image size and learning rate, and after how many steps the network is judged."""
    sizes: list[int] = []
    rates: list[float] = []
    judgements = set()
    for stage in recipe.stages:
        steps, begun = max(1, round(stage.passes * steps_a_pass)), len(sizes)
        sizes += [stage.size] * steps
        for step in range(steps):
            share = (1 + math.cos(math.pi * step / steps)) / 2
            rates.append(stage.last_rate + (stage.rate - stage.last_rate) * share)
        judgements |= {begun + number * steps_a_pass for number in range(1, int(stage.passes - _LEAST_OF_A_PASS) + 1)}
        judgements.add(len(sizes))
    return sizes, rates, judgements
