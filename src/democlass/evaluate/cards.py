"""Figures on the cards of the checkpoints that were evaluated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from democlass.errors import CheckpointError
from democlass.evaluate.outputs import check_writable
from democlass.networks.checkpoint_files import write_card_entry


def check_cards(files: Mapping[str, Path]) -> None:
    """Raise OutputError or CheckpointError where a checkpoint, by task, can't be written or can have no card."""
    for path in files.values():
        check_writable(_real(path), f"{path} (--card)")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # whatever the reader raises: a file of safetensors, or no checkpoint at all
            content = None
        if not isinstance(content, Mapping) or "model_state_dict" not in content:
            raise CheckpointError(f"{path} can have no card: only a torch file with model_state_dict has one")


def write_cards(evaluation: Mapping[str, Any]) -> list[str]:
    """Write the figures of each task on the card of its checkpoint; return those files. Raises WriteError."""
    written = []
    for name, task in evaluation["tasks"].items():
        path = evaluation["checkpoints"][name]["path"]
        said = {key: value for key, value in task.items() if key not in ("title", "coverage")}
        said["calibration"] = {key: said["calibration"][key] for key in ("ece", "nll", "brier")}
        write_card_entry(_real(Path(path)), "evaluation", {"data": Path(evaluation["labels"]).name, **said})
        written.append(path)
    return written


def _real(path: Path) -> Path:
    """Return the file that a link leads to: the link itself is not replaced."""
    return Path(os.path.realpath(path))
