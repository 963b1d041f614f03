"""Writes the metrics of an evaluation to the cards of the evaluated checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from democlass.evaluate.outputs import check_writable
from democlass.networks.checkpoint_files import read_for_card, write_card_entry


def check_cards(files: Mapping[str, Path]) -> None:
    """Check checkpoints, by task, before the run.

    Raises OutputError if a file can't be written, and CheckpointError if it can't have a card.
    """
    for path in files.values():
        check_writable(_resolve(path), f"{path} (--card)")
        read_for_card(path)


def write_cards(evaluation: Mapping[str, Any]) -> list[str]:
    """Write each task's metrics to the card of its checkpoint; return those files. Raises WriteError.

    After face detection, `faces` has its settings, because the metrics are of the faces that it found.
    """
    written = []
    heading: dict[str, Any] = {"data": Path(evaluation["labels"]).name}
    if faces := evaluation.get("faces"):
        heading["faces"] = {name: faces[name] for name in ("face_size", "min_face")}
    for name, task in evaluation["tasks"].items():
        path = evaluation["checkpoints"][name]["path"]
        entry = {key: value for key, value in task.items() if key not in ("title", "coverage")}
        entry["calibration"] = {key: entry["calibration"][key] for key in ("ece", "nll", "brier")}
        write_card_entry(_resolve(Path(path)), "evaluation", {**heading, **entry})
        written.append(path)
    return written


def _resolve(path: Path) -> Path:
    """Return the file that a symlink points to: that file is replaced, not the link."""
    return Path(os.path.realpath(path))
