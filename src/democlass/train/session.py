"""A training session in one process: load the data, train, fit the temperature, and write the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from democlass.errors import WriteError
from democlass.networks.checkpoint_files import save
from democlass.tasks import Task
from democlass.train.calibration import fit_temperature
from democlass.train.callbacks import Callbacks
from democlass.train.card import make_card
from democlass.train.data import LabelledImages, read_images, write_skipped
from democlass.train.data_loader import TrainLoader, check_batch_size
from democlass.train.image_reader import ImageReader
from democlass.train.initialisation import initialise_network
from democlass.train.job import TrainJob
from democlass.train.label_checks import check_label_sets
from democlass.train.process_group import ProcessGroup
from democlass.train.saver import StateSaver
from democlass.train.signals import defer_signals
from democlass.train.state import TrainState
from democlass.train.teacher import Teacher, TeacherOutputs
from democlass.train.teacher_outputs import load_or_compute_outputs
from democlass.train.trainer import Trainer
from democlass.train.validation import ValidationResult, Validator

_WEIGHT_COPIES = 4  # in a state: the network, its average, the best average, the momentum


class Session:
    """One process's part of a job: call `prepare`, `run` and `finish`, and `rescue` if one of them raises."""

    def __init__(
        self, job: TrainJob, group: ProcessGroup, device: torch.device, reader: ImageReader, callbacks: Callbacks
    ) -> None:
        self._job, self._group, self._device, self._reader = job, group, device, reader
        self._paths, self._callbacks = job.paths, callbacks
        self._trainer: Trainer | None = None
        self._saver: StateSaver | None = None
        self._is_finished = False

    def prepare(self) -> None:
        """Check and read the data, run the teacher, and build the network or restore it.

        Raises UsageError, OutputError, CheckpointError, WriteError.
        """
        job, warn = self._job, self._callbacks.warn
        check_batch_size(job.labels.of(job.task), job.recipe.batch, self._group)
        teachers = [Teacher(file, job.task, warn) for file in job.teachers]
        fingerprint = job.fingerprint([teacher.sha256 for teacher in teachers])
        state = TrainState.load(self._paths.state, fingerprint) if job.resume else None
        if state is None:
            check_label_sets(job.labels, job.validation, job.heads, warn)
        torch.manual_seed(job.recipe.seed)  # for the weights that are initialised at random
        network = initialise_network(job.task, job.heads.outputs, job.network, "none" if state else job.init)
        self._require_disk_space(network)
        self._train_images, self._validation_images = self._read_images(state)
        trainer = self._build_trainer(network, teachers)
        saver = StateSaver(trainer, self._paths, fingerprint, self._train_images, self._validation_images)
        if state is not None:
            self._restore(trainer, saver, state)
        elif self._group.is_first:
            self._paths.state.unlink(missing_ok=True)
            write_skipped(self._paths.skipped, (self._train_images, self._validation_images))
        self._trainer, self._saver = trainer, saver

    def run(self) -> None:
        """Run the remaining steps."""
        assert self._trainer is not None and self._saver is not None
        self._trainer.run(self._saver.save, self._job.save_minutes * 60, self._callbacks.on_step)

    def finish(self) -> dict[str, Any]:
        """Fit the temperature, write the checkpoint, and delete the state. Return the validation metrics by task.

        Only the first process does this; the others return an empty dict. Raises WriteError.
        """
        if not self._group.is_first:
            return {}
        trainer, saver = self._trainer, self._saver
        assert trainer is not None and trainer.best is not None and saver is not None
        if saver.has_new_steps:
            saver.try_to_save(self._callbacks.warn)
        network: nn.Module = trainer.average.module
        network.load_state_dict(trainer.best)
        validated = trainer.validator.validate(network)
        temperatures = {name: round(fit_temperature(each.logits, each.targets), 4) for name, each in validated.items()}
        with defer_signals():
            try:
                for task, file in zip(self._job.heads.exported, self._paths.checkpoints, strict=True):
                    self._write_checkpoint(file, task, temperatures[task.name], validated[task.name].result)
            except WriteError as error:
                raise saver.with_advice(error) from None
            self._is_finished = True
            self._paths.state.unlink(missing_ok=True)
            if self._job.teachers:
                self._paths.teacher_outputs.unlink(missing_ok=True)
        return {name: {**each.result.to_dict(), "temperature": temperatures[name]} for name, each in validated.items()}

    def rescue(self, error: BaseException) -> None:
        """Save the steps that are done and notify the user. An interruption always says what is saved."""
        if not self._group.is_first or self._is_finished or isinstance(error, WriteError):
            return
        is_interruption = not isinstance(error, Exception)
        saver, callbacks = self._saver, self._callbacks
        has_new_steps = saver is not None and saver.has_new_steps
        if saver is not None and has_new_steps and not saver.try_to_save(callbacks.warn):
            return
        if saver is not None and (has_new_steps or (is_interruption and saver.saved_step)):
            callbacks.notify(f"{'interrupted: ' if is_interruption else ''}{saver.describe()}")
        elif is_interruption:
            callbacks.notify(self._paths.interruption_message(resume=self._job.resume))

    def _read_images(self, state: TrainState | None) -> tuple[LabelledImages, LabelledImages]:
        """Return the training and the validation images. A new training reads each of them once."""
        job = self._job
        sets = (job.labels, job.validation)
        if state is not None:
            faults = (state.faults, state.validation_faults)
            train, validation = (
                LabelledImages(each.file, each.of(job.task), fault) for each, fault in zip(sets, faults, strict=True)
            )
            return train, validation
        count = sum(len(label_set.of(job.task)) for label_set in sets)
        self._callbacks.log(f"reading all {count:,} images once to find unreadable ones")
        train, validation = (
            read_images(each, job.task, self._reader, skip_unreadable=job.skip_unreadable, warn=self._callbacks.warn)
            for each in sets
        )
        return train, validation

    def _build_trainer(self, network: nn.Module, teachers: Sequence[Teacher]) -> Trainer:
        job, recipe = self._job, self._job.recipe
        examples = self._train_images.readable
        return Trainer(
            network,
            job.heads,
            recipe,
            TrainLoader(
                examples,
                job.heads,
                recipe.batch,
                recipe.seed,
                self._group,
                self._reader,
                jpeg=recipe.augmentation.jpeg,
            ),
            Validator(self._validation_images.readable, job.heads, self._device, self._reader),
            device=self._device,
            group=self._group,
            teacher=self._run_teachers(teachers) if teachers else None,
            compiled=job.compiled,
        )

    def _run_teachers(self, teachers: Sequence[Teacher]) -> TeacherOutputs:
        return load_or_compute_outputs(
            teachers,
            self._job.task,
            self._train_images.readable,
            self._device,
            self._group,
            self._reader,
            self._paths,
            log=self._callbacks.log,
            overwrite=self._job.overwrite,
        )

    def _restore(self, trainer: Trainer, saver: StateSaver, state: TrainState) -> None:
        trainer.restore(state)
        saver.saved_step = trainer.step
        if state.world_size != self._group.world_size:
            self._callbacks.warn(
                f"started with {state.world_size} processes, resumed with {self._group.world_size}: "
                "the result will differ"
            )
        self._callbacks.log(f"resuming at step {trainer.step:,} of {len(trainer.schedule):,}")

    def _require_disk_space(self, network: nn.Module) -> None:
        """Raise OutputError if the disk has no space for a new state beside the previous one."""
        size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        existing = self._paths.state.stat().st_size if self._job.resume else 0
        self._paths.require_disk_space(2 * _WEIGHT_COPIES * size - existing, "the state of the training")

    def _write_checkpoint(self, file: Path, task: Task, temperature: float, result: ValidationResult) -> None:
        job, trainer = self._job, self._trainer
        assert trainer is not None and trainer.best is not None
        skipped = len(self._train_images.faults) + len(self._validation_images.faults)
        save(
            file,
            job.heads.state_of(task, trainer.best),
            labels=task.labels,
            temperature=temperature,
            card=make_card(job, task, result, trainer.history, images=len(trainer.loader.examples), skipped=skipped),
            float16=job.float16,
        )
