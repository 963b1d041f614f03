"""The confusion matrices of the networks that made results, as the records beside the results name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from democlass.errors import DemoclassError
from democlass.networks.cards import is_confusion
from democlass.output.paths import RECORD, companion
from democlass.output.record import RunRecord
from democlass.tasks import Task

_MISSING = object()
ADVICE = "measure the network with classify evaluate --card, and classify again"


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of a task that made the results.

    `sha256` is its hash. `confusion[i, j]` counts faces of label i that were predicted as label j, int64 K x K in the
    order of the task's labels, or None; `reason` then says why. `data` names the images of the matrix.
    """

    sha256: str | None
    confusion: NDArray[np.int64] | None
    reason: str = ""
    data: str = ""


def find_checkpoints(files: Sequence[Path], tasks: Sequence[Task]) -> dict[str, Checkpoint]:
    """Return the checkpoint of each task that made all of these results, by the name of the task."""
    records = [_read_record(file) for file in files]
    return {task.name: _common_checkpoint(records, task) for task in tasks}


def _common_checkpoint(records: Sequence[RunRecord | None], task: Task) -> Checkpoint:
    found = [None if record is None else record.checkpoints.get(task.name) for record in records]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or not known:
        return Checkpoint(None, None, "no record (FILE.run.json) beside the results says which checkpoint made them")
    hashes = {str(each.get("sha256")) for each in known}
    if len(hashes) > 1:
        return Checkpoint(None, None, "the results were made with different checkpoints")
    sha256 = hashes.pop()
    confusion = known[0].get("confusion", _MISSING)
    if confusion is _MISSING:
        return Checkpoint(sha256, None, "the record beside the results is of an older version, without the matrices")
    if not (isinstance(confusion, Mapping) and is_confusion(confusion.get("matrix"), len(task.labels))):
        return Checkpoint(sha256, None, f"the checkpoint has no confusion matrix on its card: {ADVICE}")
    labels = list(known[0].get("labels", ()))
    if sorted(labels) != sorted(task.labels):
        return Checkpoint(sha256, None, "the checkpoint has other labels")
    matrix = np.array(confusion["matrix"], np.int64)
    if not (matrix.sum(1) > 0).all():
        return Checkpoint(sha256, None, "the confusion matrix on the card has a label without faces")
    return Checkpoint(sha256, matrix, data=str(confusion.get("data", "")))


def _read_record(file: Path) -> RunRecord | None:
    try:
        return RunRecord.read(companion(file, RECORD))
    except DemoclassError:
        return None
