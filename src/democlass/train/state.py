"""The state of a training: all that it needs to go on after a kill -9 and come to the same numbers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from democlass.errors import OutputError, WriteError


@dataclass
class State:
    """`made_by` says what must be the same on resuming; `network`, `average`, `optimizer` are state_dicts.

    `best` is the average that did best so far on the choose data, with its `best_score`; `history` are figures.
    `guess` is the layer that guesses a teacher's features, where there is one.
    """

    made_by: dict[str, Any]
    step: int
    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any] | None
    best_score: float
    history: list[dict[str, Any]]
    guess: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Put it in the place of an earlier state, whole or not at all. Raises WriteError."""
        new = path.with_name(f"{path.name}.new")
        try:
            with new.open("wb") as file:
                torch.save(vars(self), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError as error:
            raise WriteError(f"can't write {path}: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path, made_by: dict[str, Any]) -> State:
        """Read a state. Raises OutputError where it is none, or of another training than `made_by`."""
        try:
            state = cls(**torch.load(path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise OutputError(f"nothing to resume: there is no {path}") from None
        except Exception:  # whatever a damaged file makes the reader raise
            raise OutputError(f"{path} is no state of a training: --overwrite begins again") from None
        other = [name for name in made_by if state.made_by.get(name) != made_by[name]]
        if other:
            told = "; ".join(f"{name}: {state.made_by.get(name)} then, {made_by[name]} now" for name in other)
            raise OutputError(f"{path} is of another training ({told})")
        return state
