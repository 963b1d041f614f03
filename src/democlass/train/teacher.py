"""A teacher: a trained network whose answers, not only the true labels, another one learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from democlass.errors import CheckpointError, DemoclassError, OutputError
from democlass.inputs.labels import Example
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.digests import file_states, files_digest
from democlass.train.judge import logits_of
from democlass.train.places import Places
from democlass.train.reader import Reader
from democlass.train.saving import load_tensors, save_tensors
from democlass.train.start import build, which
from democlass.train.together import Share

_VERSION = 2  # of the file of answers


@dataclass(frozen=True)
class Teaching:
    """What a teacher makes of every example: `logits` float32 N x labels, in the task's order.

    `features`, bfloat16 N x width, is what its last layer answers from.
    """

    logits: torch.Tensor
    features: torch.Tensor


class Teacher:
    """A ResNet from a checkpoint, for a task. Raises CheckpointError where it is none, or does not fit."""

    def __init__(self, file: Path, task: Task, warn: Callable[[str], object]) -> None:
        self.file, self._task = file, task
        self._checkpoint = load(Location(file, "option --teacher"), task)
        self._network = _network(self._checkpoint, task)
        for warning in self._checkpoint.warnings:
            warn(warning)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex."""
        return self._checkpoint.sha256

    def teach(
        self,
        examples: Sequence[Example],
        device: torch.device,
        share: Share,
        read: Reader,
        places: Places,
        *,
        note: Callable[[str], object],
        overwrite: bool = False,
    ) -> Teaching:
        """Return what the teacher makes of the examples.

        It is found once, on whole images and their mirror images, by the first process of the group, and kept in a
        file for the others and for when the training is resumed. All processes must call this. Raises OutputError,
        UsageError, WriteError.
        """
        key = self._key(examples, device)
        if share.rank == 0 and _kept(places.teaching, key, replaceable=overwrite) is None:
            note(f"asking the teacher {self.file} about {len(examples):,} images")
            made = self._ask(examples, device, read, places)
            save_tensors(places.teaching, {"key": key, **vars(made)})
        share.wait()
        found = _kept(places.teaching, key)
        if found is None:
            raise DemoclassError(f"{places.teaching} is not there for process {share.rank}: all need the same folder")
        return found

    def _ask(self, examples: Sequence[Example], device: torch.device, read: Reader, places: Places) -> Teaching:
        last = self._network.get_submodule("fc")
        width = int(last.in_features)  # type: ignore[arg-type]
        places.require_room(len(examples) * (2 * width + 4 * len(self._task.labels)), "what the teacher makes of them")
        self._network.set_submodule("fc", nn.Identity())
        features = logits_of(self._network, examples, device, read, mirrored=True)
        order = [self._checkpoint.labels.index(label) for label in self._task.labels]
        with torch.no_grad():
            logits = last.cpu()(features)[:, order] / self._checkpoint.temperature
        return Teaching(logits, features.bfloat16())

    def _key(self, examples: Sequence[Example], device: torch.device) -> dict[str, Any]:
        """Return what the answers depend on: with another key they are not used again."""
        return {
            "version": _VERSION,
            "teacher": self.sha256,
            "labels": list(self._task.labels),
            "geometry": self._task.geometry.name,
            "precision": "bfloat16" if has_native_support(device, torch.bfloat16) else "float32",
            "count": len(examples),
            "files": files_digest(examples, file_states(examples)),
        }


def _network(checkpoint: Checkpoint, task: Task) -> nn.Module:
    file, name = checkpoint.location.path, which(checkpoint.state)
    if name is None:
        raise CheckpointError(f"--teacher {file} is of no ResNet that is known here")
    with torch.device("meta"):  # no random weights, which would change the random numbers that follow
        network = build(name, len(task.labels))
    try:
        network.load_state_dict(dict(checkpoint.state), assign=True)
    except RuntimeError:
        raise CheckpointError(
            f"--teacher {file} does not fit {name} with {len(task.labels)} outputs, as {task.title} needs it"
        ) from None
    return network.eval().requires_grad_(False)


def _kept(file: Path, key: dict[str, Any], *, replaceable: bool = False) -> Teaching | None:
    """Return the answers in a file if they have the key. Raises OutputError where it holds something else."""
    try:
        found = load_tensors(file)
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    if not {"logits", "features"} <= found.keys() and not replaceable:
        raise OutputError(f"{file} does not hold a teacher's answers: move it away, or use --overwrite")
    same = found.get("key") == key
    return Teaching(found["logits"], found["features"]) if same else None
