"""A training in this process: data, teacher, steps, temperature, checkpoint; and its state, saved on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from democlass.errors import WriteError
from democlass.networks.checkpoint_files import save
from democlass.train.calibrate import fit_temperature
from democlass.train.data import Labelled, check_data, list_skipped, read_data
from democlass.train.feed import Feed, check_batch
from democlass.train.judge import Verdict, logits_of, targets_of
from democlass.train.order import Order, described
from democlass.train.reader import Reader
from democlass.train.signals import deferred
from democlass.train.start import start
from democlass.train.state import State
from democlass.train.teacher import Teacher, Teaching
from democlass.train.together import Share
from democlass.train.trainer import Progress, Trainer

_COPIES = 4  # of the weights in a state: the network, its average, the best one, the momentum


def _ignore(_: object) -> None:
    pass


class Session:
    """One process's part of an order: `prepare`, `run` and `finish`; `rescue` where an exception ends it before."""

    def __init__(self, order: Order, share: Share, device: torch.device, read: Reader) -> None:
        self.say: Callable[[str], object] = _ignore
        self.note: Callable[[str], object] = _ignore
        self.watch: Callable[[Progress], object] = _ignore
        self._order, self._share, self._device, self._read = order, share, device, read
        self._places = order.places
        self._trainer: Trainer | None = None
        self._saved_step = 0
        self._is_finished = False

    def prepare(self) -> None:
        """Check and read the data, ask the teacher, build the network or restore it.

        Raises UsageError, OutputError, CheckpointError, WriteError.
        """
        order, share = self._order, self._share
        task, recipe = order.task, order.recipe
        check_batch(order.label_set.of(task), recipe.batch, share)
        teacher = None if order.teacher is None else Teacher(order.teacher, task, self._warn)
        self._made_by = order.made_by(None if teacher is None else teacher.sha256)
        state = State.load(self._places.state, self._made_by) if order.resume else None
        if state is None:
            check_data(order.label_set, order.choose, task, self._warn)
        torch.manual_seed(recipe.seed)  # what does not come from a checkpoint begins at random
        network = start(task, order.network, "none" if state else order.init)
        self._require_room(network)
        self._train_data, self._choose_data = self._data(state)
        feed = Feed(self._train_data.readable, task, recipe.batch, recipe.seed, share, self._read)
        taught = None if teacher is None else self._ask(teacher)
        trainer = Trainer(
            network,
            task,
            recipe,
            feed,
            self._choose_data.readable,
            self._read,
            device=self._device,
            share=share,
            teaching=taught,
            compiled=order.compiled,
        )
        if state is not None:
            trainer.restore(state)
            self._trainer, self._saved_step = trainer, trainer.step
            if state.processes != share.world:
                self._warn(f"begun with {state.processes} processes, continued with {share.world}: numbers will differ")
            self.note(f"going on at step {trainer.step:,} of {len(trainer.sizes):,}")
        elif share.rank == 0:
            self._places.state.unlink(missing_ok=True)
            list_skipped(self._places.skipped, (self._train_data, self._choose_data))
        self._trainer = trainer

    def run(self) -> None:
        """Do the steps that are left."""
        assert self._trainer is not None
        self._trainer.run(self._save, self._order.minutes * 60, self.watch)

    def finish(self) -> dict[str, Any]:
        """Fit the temperature, write the checkpoint, and delete the state; return the figures.

        Only the first process does, and has figures. Raises WriteError.
        """
        if self._share.rank:
            return {}
        order, trainer = self._order, self._trainer
        assert trainer is not None and trainer.best is not None
        if self._saved_step < trainer.step:
            self._try_to_save()
        best: nn.Module = trainer.average.module
        best.load_state_dict(trainer.best)
        targets = targets_of(trainer.choose, order.task)
        logits = logits_of(best, trainer.choose, self._device, self._read)
        figures = Verdict.of(order.task, logits, targets).figures()
        temperature = round(fit_temperature(logits, targets), 4)
        with deferred():
            try:
                save(
                    self._places.out,
                    best.state_dict(),
                    labels=order.task.labels,
                    temperature=temperature,
                    card=self._card(figures),
                    float16=order.float16,
                )
            except WriteError as error:
                raise self._with_advice(error) from None
            self._is_finished = True
            self._places.state.unlink(missing_ok=True)
            if order.teacher is not None:
                self._places.teaching.unlink(missing_ok=True)
        return {**figures, "temperature": temperature}

    def rescue(self, error: BaseException) -> None:
        """Save the steps that are done, and say so; where the error is an interruption, always say what is saved."""
        if self._share.rank or self._is_finished or isinstance(error, WriteError):
            return
        interrupted = not isinstance(error, Exception)
        trainer = self._trainer
        is_new = trainer is not None and trainer.is_consistent and trainer.step > self._saved_step
        if is_new and not self._try_to_save():
            return
        if is_new or (interrupted and self._saved_step):
            self.say(f"{'interrupted: ' if interrupted else ''}{self._resumable()}")
        elif interrupted:
            self.say(self._places.unsaved(resume=self._order.resume))

    def _data(self, state: State | None) -> tuple[Labelled, Labelled]:
        """Return the images to train on and to choose by; at the beginning each is read once."""
        order = self._order
        sets = (order.label_set, order.choose)
        if state is not None:
            faults = (state.faults, state.choose_faults)
            one, two = (Labelled(t.file, t.of(order.task), f) for t, f in zip(sets, faults, strict=True))
            return one, two
        count = sum(len(label_set.of(order.task)) for label_set in sets)
        self.note(f"reading {count:,} images once, to find those that can't be read")
        one, two = (
            read_data(label_set, order.task, self._read, skip=order.skip_unreadable, warn=self._warn)
            for label_set in sets
        )
        return one, two

    def _ask(self, teacher: Teacher) -> Teaching:
        return teacher.teach(
            self._train_data.readable,
            self._device,
            self._share,
            self._read,
            self._places,
            note=self.note,
            overwrite=self._order.overwrite,
        )

    def _warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    def _require_room(self, network: nn.Module) -> None:
        """Raise OutputError where the disk has no room for a state beside the one before."""
        weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        there = self._places.state.stat().st_size if self._order.resume else 0
        self._places.require_room(2 * _COPIES * weights - there, "the state of the training")

    def _save(self) -> None:
        """Save the state. Raises WriteError; the state before is then kept."""
        assert self._trainer is not None
        faults, choose_faults = dict(self._train_data.faults), dict(self._choose_data.faults)
        with deferred():
            try:
                state = self._trainer.state(self._made_by)
                replace(state, faults=faults, choose_faults=choose_faults).save(self._places.state)
            except WriteError as error:
                raise self._with_advice(error) from None
            self._saved_step = self._trainer.step

    def _try_to_save(self) -> bool:
        try:
            self._save()
        except WriteError as error:
            self._warn(str(error))
            return False
        return True

    def _with_advice(self, error: WriteError) -> WriteError:
        return WriteError(f"{error}. {self._resumable()}")

    def _resumable(self) -> str:
        assert self._trainer is not None
        if not self._saved_step:
            return "No step is saved"
        steps = f"step {self._saved_step:,} of {len(self._trainer.sizes):,}"
        return f"{self._places.state} is saved at {steps}; --resume goes on from there"

    def _card(self, figures: dict[str, Any]) -> dict[str, Any]:
        order, trainer = self._order, self._trainer
        assert trainer is not None
        skipped = len(self._train_data.faults) + len(self._choose_data.faults)
        return {
            "task": order.task.title,
            "data": f"{order.label_set.file.name}: {len(trainer.feed.examples):,} images",
            "chosen on": f"{order.choose.file.name}: {figures['n']:,} images",
            **({"left out": f"{skipped:,} images that can't be read"} if skipped else {}),
            "date": datetime.now(timezone.utc).date().isoformat(),
            "command": order.command,
            "recipe": described(order.recipe),
            "versions": {"democlass": version("democlass"), "torch": str(torch.__version__)},
            "history": trainer.history,
            "choose": figures,
        }
