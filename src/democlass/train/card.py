"""The card of a trained checkpoint: data, command, recipe and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import torch

from democlass.tasks import Task
from democlass.train.job import TrainJob
from democlass.train.validation import ValidationResult


def make_card(
    job: TrainJob,
    task: Task,
    result: ValidationResult,
    history: Sequence[dict[str, Any]],
    *,
    images: int,
    skipped: int,
) -> dict[str, Any]:
    """Return the card of a task's checkpoint.

    `images` is the number of training images, `skipped` that of unreadable ones.
    """
    metrics = result.to_dict()
    return {
        "task": task.title,
        "data": f"{job.labels.file.name}: {images:,} images",
        "chosen on": f"{job.validation.file.name}: {metrics['n']:,} images",
        **({"left out": f"{skipped:,} images that can't be read"} if skipped else {}),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": job.command,
        "recipe": job.recipe.to_dict(),
        "versions": {"democlass": version("democlass"), "torch": str(torch.__version__)},
        "history": [{"step": each["step"], "size": each["size"], **each[task.name]} for each in history],
        "choose": metrics,
    }
