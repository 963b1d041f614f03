"""Checkpoints: read, check and describe them. They are data: nothing in one is ever unpickled or run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torchvision  # noqa: F401 (networks are built from it on the meta device, under which it may not be imported)
from torch import nn

from democlass.checkpoint_files import read
from democlass.errors import CheckpointError, UsageError
from democlass.locations import Location
from democlass.tasks import Task, folded

_Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    `state` maps a parameter's name to its tensor, floating point ones in float32. `labels` name the network's
    outputs in order and are the task's, in some order; `labels_named` is False where that order was assumed.
    Logits are divided by `temperature` before the softmax. `card` is what its maker says of it. `remarks` are what a
    user should be warned of.
    """

    location: Location
    state: Mapping[str, torch.Tensor] = field(repr=False)
    labels: tuple[str, ...]
    labels_named: bool = True
    temperature: float = 1.0
    card: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex."""
        return hashlib.sha256(self.location.path.read_bytes()).hexdigest()

    def build(self, task: Task) -> nn.Module:
        """Return the task's network with these weights, in evaluation mode. Raises CheckpointError."""
        with torch.device("meta"):  # no memory and no time for random weights that are thrown away
            network = task.network(len(task.labels))
        _check_shapes(self, task, network)
        network.load_state_dict(dict(self.state), strict=True, assign=True)
        return network.eval().requires_grad_(False)


def load(location: Location, task: Task, *, labels: Sequence[str] | None = None) -> Checkpoint:
    """Read a checkpoint and settle its labels: `labels` win over those in the file, and those over the task's order.

    Raises CheckpointError; UsageError where `labels` are wrong.
    """
    checkpoint = _interpret(location, task)
    option = f"--{task.name}-labels"
    if labels is None:
        if checkpoint.labels_named:
            return checkpoint
        remark = (
            f"{location.path} does not name its labels: assumed is {','.join(task.labels)}; "
            f"if its outputs are in another order, say so with {option}"
        )
        return replace(checkpoint, remarks=(remark,))
    given = match_labels(labels, task)
    if given is None:
        raise UsageError(f"{option} {','.join(labels)}: it takes {_needed(task)}")
    if not checkpoint.labels_named or given == checkpoint.labels:
        return replace(checkpoint, labels=given, labels_named=True)
    remark = f"{option} contradicts {location.path}, which names its labels {','.join(checkpoint.labels)}"
    return replace(checkpoint, labels=given, remarks=(remark,))


def _interpret(location: Location, task: Task) -> Checkpoint:
    state, said = read(location.path)
    named = said.get("labels") is not None
    labels = match_labels(said["labels"], task) if named else task.labels
    if labels is None:
        raise CheckpointError(f"{location.path} has the labels {said['labels']!r}; {task.title} takes {_needed(task)}")
    card = said.get("card")
    return Checkpoint(
        location,
        state,
        labels,
        named,
        _temperature(said.get("temperature", 1.0), location),
        card if isinstance(card, Mapping) else {},
    )


def _temperature(value: Any, location: Location) -> float:
    try:
        temperature = float(value)
    except (TypeError, ValueError):
        temperature = float("nan")
    if not 0 < temperature < float("inf"):
        raise CheckpointError(f"{location.path} has a temperature of {value!r}: it must be above 0")
    return temperature


def match_labels(names: Any, task: Task) -> tuple[str, ...] | None:
    """Return the task's own spelling of each name, in the order given, or None where they are not its labels.

    Case, spaces and hyphens are forgiven.
    """
    known = {folded(label): label for label in task.labels}
    given = names if isinstance(names, (list, tuple)) else ()
    labels = tuple(known.get(folded(str(name)), "") for name in given)
    return labels if sorted(labels) == sorted(task.labels) else None


def _needed(task: Task) -> str:
    return f"each of {','.join(task.labels)} once, in the order of the network's outputs"


def _check_shapes(checkpoint: Checkpoint, task: Task, network: nn.Module) -> None:
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.state.items()}
    if expected == found:
        return
    path, kind = checkpoint.location.path, type(network).__name__
    if outputs := _outputs_if_that_is_all(expected, found):
        raise CheckpointError(
            f"{path} has {outputs} outputs; {task.title} needs {len(task.labels)}: {','.join(task.labels)}"
        )
    odd = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
    raise CheckpointError(
        f"{path} does not fit the network for {task.title} ({kind}): "
        f"{odd} is {found.get(odd, 'missing')}, expected {expected.get(odd, 'no such entry')}"
    )


def _outputs_if_that_is_all(expected: _Shapes, found: _Shapes) -> int | None:
    """Return the number of outputs found where nothing but the last layer's outputs differs."""
    head = list(expected)[-1].rpartition(".")[0] + "."
    odd = [name for name in expected if expected[name] != found.get(name)]
    if expected.keys() == found.keys() and all(
        name.startswith(head) and expected[name][1:] == found[name][1:] for name in odd
    ):
        return found[odd[0]][0]
    return None
