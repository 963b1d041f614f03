"""The state of a training: everything needed to resume it and get the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from democlass.errors import OutputError
from democlass.train.fingerprints import find_changed
from democlass.train.saving import load_tensors, save_tensors

_VERSION = 2
"""Version of the file format. Version 1 (democlass 0.1.0) does not identify its data, so it can't be resumed safely."""

_FILE_KEYS = {
    "fingerprint": "made_by",
    "feature_projection": "guess",
    "validation_faults": "choose_faults",
    "world_size": "processes",
}
"""Keys of the file that differ from the names of the fields."""

_OPTION_NAMES = {"choose": "validation"}
"""Keys of the fingerprint that differ from the names that users know."""

_FILES, _VALIDATION_FILES = "files", "validation_files"
"""Keys of the fingerprint that are compared file by file. States of early versions do not have them."""

_MAX_SHOWN = 12


@dataclass
class TrainState:
    """The state of a training after `step` steps.

    `fingerprint` is what must be the same when resuming. `network`, `average` and `optimizer` are state_dicts; so is
    `feature_projection`, which is empty without a teacher's features. `best` is the average with the best validation
    score so far, `best_score`. `history` lists the validation results. `faults` and `validation_faults` are the errors
    of unreadable images, by their index in the labels files. `world_size` is the number of processes.
    """

    fingerprint: dict[str, Any]
    step: int
    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any] | None
    best_score: float
    history: list[dict[str, Any]]
    feature_projection: dict[str, Any] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    validation_faults: dict[int, str] = field(default_factory=dict)
    world_size: int = 1

    def save(self, path: Path) -> None:
        """Replace an earlier state, completely or not at all. Raises WriteError."""
        content = {_FILE_KEYS.get(name, name): value for name, value in vars(self).items()}
        save_tensors(path, {"version": _VERSION, **content})

    @classmethod
    def load(cls, path: Path, fingerprint: dict[str, Any]) -> TrainState:
        """Load a state. Raises OutputError if it is damaged or belongs to a training with another fingerprint."""
        fields = {key: name for name, key in _FILE_KEYS.items()}
        try:
            content = load_tensors(path)
            version = content.pop("version", 1)
            state = (
                cls(**{fields.get(key, key): value for key, value in content.items()}) if version == _VERSION else None
            )
        except FileNotFoundError:
            raise OutputError(f"nothing to resume: {path} does not exist") from None
        except (TypeError, ValueError):
            raise OutputError(f"{path} is not the state of a training: use --overwrite to start again") from None
        if state is None:
            raise OutputError(
                f"{path} was written by another version of democlass: resume it with that version, or use --overwrite "
                "to start again"
            )
        state._check_fingerprint(path, fingerprint)
        return state

    def _check_fingerprint(self, path: Path, fingerprint: dict[str, Any]) -> None:
        differences = [
            f"{_OPTION_NAMES.get(name, name)}: {_shorten(self.fingerprint.get(name))} before, {_shorten(value)} now"
            for name, value in fingerprint.items()
            if name not in (_FILES, _VALIDATION_FILES) and self.fingerprint.get(name) != value
        ]
        if differences:
            raise OutputError(f"{path} belongs to another training ({'; '.join(differences)})")
        self._check_files(path, fingerprint)

    def _check_files(self, path: Path, fingerprint: dict[str, Any]) -> None:
        """Raise OutputError if images that are used have changed since the training began."""
        counts = {
            what: len(find_changed(self.fingerprint[key], fingerprint[key], faults))
            for key, what, faults in (
                (_FILES, "training", self.faults),
                (_VALIDATION_FILES, "validation", self.validation_faults),
            )
            if key in self.fingerprint
        }
        if changed := [f"{count:,} {what} image{'s'[: count != 1]}" for what, count in counts.items() if count]:
            raise OutputError(
                f"can't resume {path}: {' and '.join(changed)} changed since the training began (size or modification "
                "time). Restore them, or --overwrite starts again"
            )


def _shorten(value: Any) -> Any:
    return f"{value[:_MAX_SHOWN]}…" if isinstance(value, str) and len(value) > _MAX_SHOWN else value
