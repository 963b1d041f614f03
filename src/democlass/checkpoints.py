"""Checkpoints: read, check and describe them. They are data: nothing in one is ever unpickled or run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401 (networks are built from it on the meta device, under which it may not be imported)
from torch import nn

from democlass.errors import CheckpointError, UsageError, WriteError
from democlass.locations import Location
from democlass.tasks import Task, folded

_PARALLEL_PREFIX = "module."
_WRAPPERS = ("model_state_dict", "state_dict")

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

    Accepted are torch files (a dict with `model_state_dict`, or a bare state_dict) and safetensors, with or without
    the `module.` that nn.DataParallel puts before names. Raises CheckpointError; UsageError where `labels` are wrong.
    """
    checkpoint = _interpret(_read(location.path), location, task)
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


def read_state(path: Path) -> Mapping[str, torch.Tensor]:
    """Return a checkpoint's weights, floating point ones in float32, whatever its labels. Raises CheckpointError."""
    return _state(_read(path), path)[0]


def save(
    path: Path,
    state: Mapping[str, torch.Tensor],
    *,
    labels: Sequence[str],
    temperature: float,
    card: Mapping[str, Any],
    float16: bool = False,
) -> None:
    """Write a checkpoint in our format, whole or not at all. Raises WriteError.

    `float16` halves the kernels; batch norms, whose variances leave its range, and biases stay as they are.
    """
    kept = {name: value.half() if float16 and value.ndim > 1 else value for name, value in state.items()}
    content = {"model_state_dict": {name: value.cpu().contiguous() for name, value in kept.items()}}
    new = path.with_name(f"{path.name}.new")
    try:
        torch.save({**content, "labels": list(labels), "temperature": temperature, "card": dict(card)}, new)
        os.replace(new, path)
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None


def _read(path: Path) -> Any:
    return _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)


def _is_safetensors(path: Path) -> bool:
    """A torch file begins as a zip archive or a pickle, safetensors with a length of 8 bytes and then JSON."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from None


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            said = file.metadata() or {}
        content: dict[str, Any] = {"model_state_dict": state}
        if (text := said.get("labels")) is not None:
            content["labels"] = json.loads(text) if text.startswith("[") else text.split(",")
    except Exception as error:  # whatever a hostile file makes the reader raise
        raise _no_checkpoint(path, error) from None
    return content | {name: said[name] for name in ("temperature",) if name in said}


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise CheckpointError(
                f"{path} holds Python objects, which are never unpickled: save it again as "
                "torch.save({'model_state_dict': network.state_dict()}, FILE)"
            ) from None
        raise _no_checkpoint(path, error) from None
    except Exception as error:  # whatever a hostile file makes the reader raise
        raise _no_checkpoint(path, error) from None


def _no_checkpoint(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, PermissionError):
        return CheckpointError(f"can't read {path}: {error.strerror}")
    return CheckpointError(f"{path} is no checkpoint: it must be a file of torch.save or safetensors")


def _interpret(content: Any, location: Location, task: Task) -> Checkpoint:
    state, said = _state(content, location.path)
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


def _state(content: Any, path: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, Any]]:
    """Return the weights in a file's content, and what is said beside them."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} is no checkpoint: it holds a {type(content).__name__}, no weights")
    state = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
    said = content if state is not None else {}
    state = content if state is None else state
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no checkpoint: it has no model_state_dict of tensors")
    if not all(value.isfinite().all() for value in state.values()):
        raise CheckpointError(f"{path} holds weights that are no numbers (NaN or infinite)")
    return {str(name).removeprefix(_PARALLEL_PREFIX): _to_float32(value) for name, value in state.items()}, said


def _to_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


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
