"""Save the state of a training while it runs, and when it fails or is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from democlass.errors import WriteError
from democlass.train.data import LabelledImages
from democlass.train.paths import TrainPaths
from democlass.train.signals import defer_signals
from democlass.train.trainer import Trainer


class StateSaver:
    """Saves the state of one trainer. `saved_step` is the step of the saved state, 0 if there is none."""

    def __init__(
        self,
        trainer: Trainer,
        paths: TrainPaths,
        fingerprint: dict[str, Any],
        train: LabelledImages,
        validation: LabelledImages,
        *,
        saved_step: int = 0,
    ) -> None:
        self.saved_step = saved_step
        self._trainer, self._paths, self._fingerprint = trainer, paths, fingerprint
        self._faults, self._validation_faults = dict(train.faults), dict(validation.faults)

    @property
    def has_new_steps(self) -> bool:
        """Whether the trainer has steps that are not saved yet and may be saved."""
        return self._trainer.is_consistent and self._trainer.step > self.saved_step

    def save(self) -> None:
        """Save the state. Raises WriteError; the earlier state is then kept."""
        with defer_signals():
            try:
                state = self._trainer.state(self._fingerprint)
                state = replace(state, faults=self._faults, validation_faults=self._validation_faults)
                state.save(self._paths.state)
            except WriteError as error:
                raise self.with_advice(error) from None
            self.saved_step = self._trainer.step

    def try_to_save(self, warn: Callable[[str], object]) -> bool:
        """Save the state, or warn if it can't be written. Return whether it is saved."""
        try:
            self.save()
        except WriteError as error:
            warn(str(error))
            return False
        return True

    def with_advice(self, error: WriteError) -> WriteError:
        """Return the error with a sentence that says how to resume."""
        return WriteError(f"{error}. {self.describe()}")

    def describe(self) -> str:
        """Return a sentence that says which step is saved and how to resume."""
        if not self.saved_step:
            return "No step is saved"
        steps = f"step {self.saved_step:,} of {len(self._trainer.schedule):,}"
        return f"{self._paths.state} is saved at {steps}; --resume continues from it"
