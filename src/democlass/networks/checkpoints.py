"""Checkpoints: read, check and describe them. They are data: nothing in one is ever unpickled or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401 (networks are built from it on the meta device, under which it may not be imported)
from torch import nn

from democlass.errors import CheckpointError, UsageError
from democlass.networks.cards import CardError, plain_card
from democlass.networks.checkpoint_files import Contents, fault, read, shown
from democlass.networks.locations import Location
from democlass.tasks import Task, folded

_Shapes = Mapping[str, tuple[int, ...]]


MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Outside of these, probabilities are 0 and 1, or all the same."""


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """What a file of weights holds.

    `state` maps a parameter's name to its tensor, floating point ones in float32. `sha256` is of the file's bytes, in
    hex. `labels` name the network's outputs in order and are the task's, in some order; `labels_named` is False where
    that order was assumed. Logits are divided by `temperature` before the softmax. `card` is what its maker says of
    it, in values that JSON has. `remarks` are what a user should be warned of.
    """

    location: Location
    state: Mapping[str, torch.Tensor] = field(compare=False)
    sha256: str
    labels: tuple[str, ...]
    labels_named: bool = True
    temperature: float = 1.0
    card: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line: the file, the start of its hash, the labels and the temperature."""
        return (
            f"Checkpoint({str(self.location.path)!r}, sha256={self.sha256[:12]}…, labels={','.join(self.labels)}, "
            f"temperature={self.temperature:g})"
        )

    def build(self, task: Task) -> nn.Module:
        """Return the task's network with these weights, in evaluation mode. Raises CheckpointError."""
        with torch.device("meta"):  # no memory and no time for random weights that are thrown away
            network = task.network(len(task.labels))
        _check_fits(self, task, network)
        network.load_state_dict(dict(self.state), strict=True, assign=True)
        return network.eval().requires_grad_(False)


def load(location: Location, task: Task, *, labels: Sequence[str] | None = None) -> Checkpoint:
    """Read a checkpoint and settle its labels: `labels` win over those in the file, and those over the task's order.

    Raises CheckpointError; UsageError where `labels` are wrong.
    """
    checkpoint = _interpret(location, task)
    if labels is None:
        if checkpoint.labels_named:
            return checkpoint
        return _with_remark(
            checkpoint,
            f"{location.path} does not name its labels: assumed is {','.join(task.labels)}; "
            f"if its outputs are in another order, give the {task.name} labels in that order",
        )
    given = match_labels(labels, task)
    if given is None:
        raise UsageError(f"{task.name} labels {shown(labels)}: {task.title} takes {_needed(task)}")
    settled = replace(checkpoint, labels=given, labels_named=True)
    if not checkpoint.labels_named or given == checkpoint.labels:
        return settled
    return _with_remark(
        settled,
        f"the {task.name} labels given contradict {location.path}, which names its labels "
        f"{','.join(checkpoint.labels)}",
    )


def _with_remark(checkpoint: Checkpoint, remark: str) -> Checkpoint:
    return replace(checkpoint, remarks=(*checkpoint.remarks, remark))


def _interpret(location: Location, task: Task) -> Checkpoint:
    path, contents = location.path, read(location.path)
    stated = contents.said.get("labels")
    labels = task.labels if stated is None else match_labels(stated, task)
    if labels is None:
        raise CheckpointError(f"{path} has the labels {shown(stated)}; {task.title} takes {_needed(task)}")
    card, remarks = _card(contents, path)
    if not contents.checksummed:
        remarks += (
            f"{path} is in the format of torch before 1.6, which has no checksums, so damage to it can't be found: "
            "save it again with torch.save",
        )
    return Checkpoint(
        location,
        contents.state,
        contents.sha256,
        labels,
        stated is not None,
        _temperature(contents.said.get("temperature", 1.0), path),
        card,
        remarks,
    )


def _card(contents: Contents, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    card = contents.said.get("card")
    if not isinstance(card, Mapping):
        return {}, ()
    try:
        return plain_card(card), ()
    except CardError as error:
        return {}, (f"the card of {path} is left out: it is {error}",)


def _temperature(value: Any, path: Path) -> float:
    """Return a temperature given as a number, as text (safetensors have only text) or as a tensor of one value."""
    number = float("nan")
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    elif isinstance(value, torch.Tensor) and fault(plain := torch.Tensor.detach(value)) is None and plain.numel() == 1:
        number = float(plain)
    if not MIN_TEMPERATURE <= number <= MAX_TEMPERATURE:
        raise CheckpointError(
            f"{path} has a temperature of {shown(value)}: it must be a number above 0, "
            f"from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
        )
    return number


def match_labels(names: Any, task: Task) -> tuple[str, ...] | None:
    """Return the task's own spelling of each name, in the order given, or None where they are not its labels.

    Case, spaces and hyphens are forgiven.
    """
    known = {folded(label): label for label in task.labels}
    given = names if isinstance(names, (list, tuple)) and len(names) == len(known) else ()
    labels = tuple(known.get(folded(name), "") if isinstance(name, str) else "" for name in given)
    return labels if sorted(labels) == sorted(task.labels) else None


def _needed(task: Task) -> str:
    return f"each of {','.join(task.labels)} once, in the order of the network's outputs"


def _check_fits(checkpoint: Checkpoint, task: Task, network: nn.Module) -> None:
    path, needed = checkpoint.location.path, network.state_dict()
    expected = {name: tuple(value.shape) for name, value in needed.items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.state.items()}
    if outputs := _outputs_if_that_is_all(expected, found):
        raise CheckpointError(
            f"{path} has {outputs} outputs; {task.title} needs {len(task.labels)}: {','.join(task.labels)}"
        )
    for name in [*expected, *found]:
        where = f"{path} does not fit the network for {task.title} ({type(network).__name__}): {shown(name)}"
        if expected.get(name) != found.get(name):
            has, needs = found.get(name, "missing"), expected.get(name, "no such entry")
            raise CheckpointError(f"{where} is {shown(str(has))}, expected {needs}")
        if needed[name].is_floating_point() and not checkpoint.state[name].is_floating_point():
            raise CheckpointError(f"{where} holds integers, expected floating point numbers")


def _outputs_if_that_is_all(expected: _Shapes, found: _Shapes) -> int | None:
    """Return the number of outputs found where nothing but the last layer's number of outputs differs."""
    head = list(expected)[-1].rpartition(".")[0] + "."
    last = [name for name in expected if name.startswith(head)]
    same_but_outputs = expected.keys() == found.keys() and all(
        found[name] and found[name][1:] == expected[name][1:] if name in last else found[name] == expected[name]
        for name in expected
    )
    counts = {found[name][0] for name in last} if same_but_outputs else set()
    return next(iter(counts)) if len(counts) == 1 and found != expected else None
