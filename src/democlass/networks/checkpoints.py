"""Checkpoints: read, checked and described. They are data: nothing in a file is unpickled or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401 (networks are built on the meta device, where torchvision can't be imported)
from torch import nn

from democlass.errors import CheckpointError, UsageError
from democlass.networks.cards import CardError, plain_card
from democlass.networks.checkpoint_files import Contents, describe_unusable, read, shorten
from democlass.networks.locations import Location
from democlass.tasks import Task, label_key

_Shapes = Mapping[str, tuple[int, ...]]

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Outside this range, probabilities are either 0 and 1, or all equal."""


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """A checkpoint that was read from a file.

    `state` maps parameter names to tensors, floating point ones in float32. `sha256` is the hash of the file's bytes,
    in hex. `labels` are the task's labels in the order of the network's outputs; `labels_named` is False if this order
    was assumed. Logits are divided by `temperature` before the softmax. `card` is the model card, in JSON values.
    `warnings` are for the user.
    """

    location: Location
    state: Mapping[str, torch.Tensor] = field(compare=False)
    sha256: str
    labels: tuple[str, ...]
    labels_named: bool = True
    temperature: float = 1.0
    card: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line: the file, the start of its hash, the labels and the temperature."""
        return (
            f"Checkpoint({str(self.location.path)!r}, sha256={self.sha256[:12]}…, labels={','.join(self.labels)}, "
            f"temperature={self.temperature:g})"
        )

    def build(self, task: Task) -> nn.Module:
        """Return the task's network with these weights, in evaluation mode. Raises CheckpointError."""
        with torch.device("meta"):  # saves the time and memory of random weights
            network = task.network(len(task.labels))
        _check_fits(self, task, network)
        network.load_state_dict(dict(self.state), strict=True, assign=True)
        return network.eval().requires_grad_(False)


def load(location: Location, task: Task, *, labels: Sequence[str] | None = None) -> Checkpoint:
    """Read a checkpoint and determine the order of its labels.

    The order is that of `labels` if given, else that in the file, else the task's. Raises CheckpointError, and
    UsageError if `labels` are wrong.
    """
    checkpoint = _read_checkpoint(location, task)
    if labels is None:
        if checkpoint.labels_named:
            return checkpoint
        return _add_warning(
            checkpoint,
            f"{location.path} has no labels: the order {','.join(task.labels)} is assumed; "
            f"if its outputs have another order, give the {task.name} labels in that order",
        )
    given = match_labels(labels, task)
    if given is None:
        raise UsageError(f"{task.name} labels {shorten(labels)}: {task.title} needs {_expected_labels(task)}")
    relabelled = replace(checkpoint, labels=given, labels_named=True)
    if not checkpoint.labels_named or given == checkpoint.labels:
        return relabelled
    return _add_warning(
        relabelled,
        f"the given {task.name} labels differ from those in {location.path}, which are {','.join(checkpoint.labels)}",
    )


def _add_warning(checkpoint: Checkpoint, warning: str) -> Checkpoint:
    return replace(checkpoint, warnings=(*checkpoint.warnings, warning))


def _read_checkpoint(location: Location, task: Task) -> Checkpoint:
    path, contents = location.path, read(location.path)
    named_labels = contents.metadata.get("labels")
    labels = task.labels if named_labels is None else match_labels(named_labels, task)
    if labels is None:
        raise CheckpointError(
            f"{path} has the labels {shorten(named_labels)}; {task.title} needs {_expected_labels(task)}"
        )
    card, warnings = _read_card(contents, path)
    if not contents.has_checksums:
        warnings += (
            f"{path} has the format of torch before 1.6, which has no checksums, so damage can't be detected: "
            "save it again with torch.save",
        )
    return Checkpoint(
        location,
        contents.state,
        contents.sha256,
        labels,
        named_labels is not None,
        _read_temperature(contents.metadata.get("temperature", 1.0), path),
        card,
        warnings,
    )


def _read_card(contents: Contents, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the card, empty if there is none that can be used, and warnings."""
    card = contents.metadata.get("card")
    if not isinstance(card, Mapping):
        return {}, ()
    try:
        return plain_card(card), ()
    except CardError as error:
        return {}, (f"the card of {path} is ignored: it is {error}",)


def _read_temperature(value: Any, path: Path) -> float:
    """Return a temperature from a number, a text (safetensors have only text) or a tensor of one value.

    Raises CheckpointError.
    """
    number = float("nan")
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    elif isinstance(value, torch.Tensor):
        tensor = torch.Tensor.detach(value)
        if describe_unusable(tensor) is None and tensor.numel() == 1:
            number = float(tensor)
    if not MIN_TEMPERATURE <= number <= MAX_TEMPERATURE:
        raise CheckpointError(
            f"{path} has a temperature of {shorten(value)}: it must be a number "
            f"from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
        )
    return number


def match_labels(names: Any, task: Task) -> tuple[str, ...] | None:
    """Return the task's spelling of each name, in the given order, or None if they are not the task's labels.

    Case, spaces, hyphens and underscores do not matter.
    """
    known = {label_key(label): label for label in task.labels}
    given = names if isinstance(names, (list, tuple)) and len(names) == len(known) else ()
    labels = tuple(known.get(label_key(name), "") if isinstance(name, str) else "" for name in given)
    return labels if sorted(labels) == sorted(task.labels) else None


def _expected_labels(task: Task) -> str:
    return f"each of {','.join(task.labels)} once, in the order of the network's outputs"


def _check_fits(checkpoint: Checkpoint, task: Task, network: nn.Module) -> None:
    """Raise CheckpointError unless the names, shapes and kinds of all tensors are those of the network."""
    path, needed = checkpoint.location.path, network.state_dict()
    expected = {name: tuple(value.shape) for name, value in needed.items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.state.items()}
    if outputs := _find_wrong_output_count(expected, found):
        raise CheckpointError(
            f"{path} has {outputs} outputs; {task.title} needs {len(task.labels)}: {','.join(task.labels)}"
        )
    for name in [*expected, *found]:
        where = f"{path} does not fit the network for {task.title} ({type(network).__name__}): {shorten(name)}"
        if expected.get(name) != found.get(name):
            found_shape, expected_shape = found.get(name, "missing"), expected.get(name, "no such entry")
            raise CheckpointError(f"{where} is {shorten(str(found_shape))}, expected {expected_shape}")
        if needed[name].is_floating_point() and not checkpoint.state[name].is_floating_point():
            raise CheckpointError(f"{where} has integers, expected floating point numbers")


def _find_wrong_output_count(expected: _Shapes, found: _Shapes) -> int | None:
    """Return the number of outputs in the file if it is wrong and nothing else differs, otherwise None."""
    head = list(expected)[-1].rpartition(".")[0] + "."
    last = [name for name in expected if name.startswith(head)]
    same_but_outputs = expected.keys() == found.keys() and all(
        found[name] and found[name][1:] == expected[name][1:] if name in last else found[name] == expected[name]
        for name in expected
    )
    counts = {found[name][0] for name in last} if same_but_outputs else set()
    return next(iter(counts)) if len(counts) == 1 and found != expected else None
