"""The trainer: runs the steps of a recipe, averages the weights, validates, and keeps the best network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from democlass.errors import DemoclassError
from democlass.networks.normalisation import Normaliser
from democlass.networks.tuning import has_native_support
from democlass.train.augmentation import augment
from democlass.train.averaging import make_moving_average
from democlass.train.data_loader import Batch, TrainLoader
from democlass.train.heads import Heads
from democlass.train.objective import Objective, StudentNetwork
from democlass.train.process_group import ProcessGroup, wrap_distributed
from democlass.train.recipe import Recipe
from democlass.train.schedule import Schedule
from democlass.train.signals import defer_signals
from democlass.train.state import TrainState
from democlass.train.teacher import TeacherOutputs
from democlass.train.validation import Validated, Validator, mean_score

_LOSS_DECAY = 0.98  # of the moving average of the loss that is displayed
_SUMMARY = ("accuracy", "macro_recall")


@dataclass(frozen=True)
class Progress:
    """The progress of a training after a step.

    `size` is the image size in pixels, `loss` a moving average. `validation` has the metrics of a validation by the
    name of the task, if there was one after this step.
    """

    step: int
    steps: int
    size: int
    loss: float
    validation: dict[str, Any] | None = None


class Trainer:
    """Trains one network by a recipe. `run` continues after the current `step`.

    `is_consistent` is False during a step and after a failed one: the state must not be saved then.
    """

    def __init__(
        self,
        network: nn.Module,
        heads: Heads,
        recipe: Recipe,
        loader: TrainLoader,
        validator: Validator,
        *,
        device: torch.device,
        group: ProcessGroup,
        teacher: TeacherOutputs | None = None,
        compiled: bool = False,
    ) -> None:
        self.loader, self.validator = loader, validator
        self._recipe, self._device, self._group = recipe, device, group
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=make_moving_average(recipe.average), use_buffers=True)
        self._objective = Objective(recipe, heads, loader.targets, teacher, device)
        self._student = self._objective.wrap(self.network)
        self._optimizer = torch.optim.SGD(
            _group_parameters(self._student, recipe.decay), lr=0.0, momentum=recipe.momentum, nesterov=True
        )
        if compiled:
            self._student.compile()
        self._module = wrap_distributed(self._student, group, device)
        self._normalise = Normaliser(device)
        self.schedule = Schedule.from_recipe(recipe, loader.steps_per_epoch)
        self.step, self.loss = 0, math.nan
        self.best: dict[str, Any] | None = None
        self.best_score = -1.0
        self.history: list[dict[str, Any]] = []
        self.is_consistent = True

    def run(self, save: Callable[[], object], save_seconds: float, on_step: Callable[[Progress], object]) -> None:
        """Train to the end of the recipe. `save` is called whenever `save_seconds` have passed since the last save.

        Signals are handled at the end of a step; several processes end after the same step. Raises DemoclassError if
        the loss is not finite, UsageError if an image can't be read any more.
        """
        last_save = time.monotonic()
        # The other processes must learn of a signal before its handler ends this one: see _run_step.
        defer_all: AbstractContextManager[list[int]] = (
            defer_signals() if self._group.world_size > 1 else nullcontext([])
        )
        with defer_all as pending:
            if self.step and not (self.history and self.history[-1]["step"] == self.step):
                self._validate_if_due(on_step)  # the earlier run was interrupted before or during this validation
            with closing(self.loader.batches(len(self.schedule), self.step)) as batches:
                for batch in batches:
                    with defer_signals() as pending_in_step:
                        must_end = self._run_step(batch, pending, pending_in_step)
                    if not self._validate_if_due(on_step):
                        on_step(self._progress())
                    if must_end:
                        raise DemoclassError("another process of this training was interrupted")
                    if self._group.is_first and time.monotonic() - last_save >= save_seconds:
                        save()
                        last_save = time.monotonic()

    def state(self, fingerprint: dict[str, Any]) -> TrainState:
        """Return the state, without the faults of the data."""
        student = self._student
        return TrainState(
            fingerprint,
            self.step,
            self.network.state_dict(),
            self.average.state_dict(),
            self._optimizer.state_dict(),
            self.best,
            self.best_score,
            self.history,
            student.projection.state_dict() if isinstance(student, StudentNetwork) else {},
            world_size=self._group.world_size,
        )

    def restore(self, state: TrainState) -> None:
        """Continue from a saved state."""
        self.network.load_state_dict(state.network)
        if isinstance(self._student, StudentNetwork):
            self._student.projection.load_state_dict(state.feature_projection)
        self.average.load_state_dict(state.average)
        self._optimizer.load_state_dict(state.optimizer)
        self.step, self.best, self.best_score, self.history = state.step, state.best, state.best_score, state.history

    def _run_step(self, batch: Batch, *pending: list[int]) -> bool:
        """Train on one batch. Return whether any process has pending signals."""
        self.is_consistent = False
        loss = self._train_on(batch)
        is_broken, must_end = self._group.any(not math.isfinite(loss), any(pending))
        if is_broken:
            raise DemoclassError(
                f"the loss is not finite after step {self.step + 1:,}: start again with lower learning rates in "
                "--stages"
            )
        self.loss = loss if math.isnan(self.loss) else _LOSS_DECAY * self.loss + (1 - _LOSS_DECAY) * loss
        self.step += 1
        self.is_consistent = True
        return must_end

    def _train_on(self, batch: Batch) -> float:
        """Update the weights with one batch and return the loss."""
        device = self._device
        self._module.train()
        for settings in self._optimizer.param_groups:
            settings["lr"] = self.schedule.rates[self.step]
        pixels = self._normalise(batch.pixels.to(device))
        size = self.schedule.sizes[self.step]
        images, mix = augment(pixels, size, self._recipe.augmentation, self._augmentation_seed())
        with torch.autocast(device.type, torch.bfloat16, enabled=has_native_support(device, torch.bfloat16)):
            output = self._module(images.contiguous(memory_format=torch.channels_last))
        loss = self._objective.loss(output, batch.targets, batch.indices, mix)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def _augmentation_seed(self) -> int:
        return (self._recipe.seed * 1_000_003 + self.step) * self._group.world_size + self._group.rank

    def _progress(self, validation: dict[str, Any] | None = None) -> Progress:
        return Progress(self.step, len(self.schedule), self.schedule.sizes[self.step - 1], self.loss, validation)

    def _validate_if_due(self, on_step: Callable[[Progress], object]) -> bool:
        """Validate in the first process if this step is followed by a validation. Return whether it is."""
        if self.step not in self.schedule.validations:
            return False
        if self._group.is_first:
            on_step(self._progress(self._validate()))
        self._group.barrier()
        return True

    def _validate(self) -> dict[str, Any]:
        """Validate the moving average and keep it if it has the best score so far. Return the metrics."""
        validated = self.validator.validate(self.average.module)
        if not all(each.logits.isfinite().all() for each in validated.values()):
            raise DemoclassError(
                f"the logits are not finite after step {self.step:,}: start again with lower learning rates in --stages"
            )
        score = mean_score(validated)
        with defer_signals():
            if score > self.best_score:
                self.best_score = score
                self.best = {name: value.cpu().clone() for name, value in self.average.module.state_dict().items()}
            self.history.append({"step": self.step, "size": self.schedule.sizes[self.step - 1], **_summary(validated)})
        return {name: each.result.to_dict() for name, each in validated.items()}


def _summary(validated: dict[str, Validated]) -> dict[str, Any]:
    """Return accuracy and macro recall of each task, by its name."""
    metrics = {name: each.result.to_dict() for name, each in validated.items()}
    return {name: {key: each[key] for key in _SUMMARY} for name, each in metrics.items()}


def _group_parameters(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups for the optimizer. Batch norms and biases get no weight decay."""
    kernels = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
