"""The state of a training: all that it needs to go on after a kill -9 and come to the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from democlass.errors import OutputError
from democlass.train.saving import load_tensors, save_tensors

_VERSION = 2
"""Of the file. Version 1, of democlass 0.1.0, says too little of the data it was made from, and is not resumed."""


@dataclass
class State:
    """`made_by` says what must be the same on resuming; `network`, `average`, `optimizer` are state_dicts.

    `best` is the average that did best so far on the choose data, with its `best_score`; `history` are figures.
    `guess` is the layer that guesses a teacher's features, where there is one. `faults` and `choose_faults` say what
    is wrong with the images that could not be read, by their place in the labels files. `processes` trained together.
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
    faults: dict[int, str] = field(default_factory=dict)
    choose_faults: dict[int, str] = field(default_factory=dict)
    processes: int = 1

    def save(self, path: Path) -> None:
        """Put it in the place of an earlier state, whole or not at all. Raises WriteError."""
        save_tensors(path, {"version": _VERSION, **vars(self)})

    @classmethod
    def load(cls, path: Path, made_by: dict[str, Any]) -> State:
        """Read a state. Raises OutputError where it is none, or of another training than `made_by`."""
        try:
            content = load_tensors(path)
            version = content.pop("version", 1)
            state = cls(**content) if version == _VERSION else None
        except FileNotFoundError:
            raise OutputError(f"nothing to resume: there is no {path}") from None
        except (TypeError, ValueError):
            raise OutputError(f"{path} is no state of a training: --overwrite begins again") from None
        if state is None:
            raise OutputError(
                f"{path} is of another version of democlass: finish it with that version, or begin again with "
                "--overwrite"
            )
        other = [name for name in made_by if state.made_by.get(name) != made_by[name]]
        if other:
            told = "; ".join(
                f"{name}: {_shown(state.made_by.get(name))} then, {_shown(made_by[name])} now" for name in other
            )
            raise OutputError(f"{path} is of another training ({told})")
        return state


def _shown(value: Any) -> Any:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 12 else value
