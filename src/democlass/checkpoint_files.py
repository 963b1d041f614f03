"""Checkpoint files: read without ever unpickling anything, written whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from democlass.errors import CheckpointError, WriteError

_PARALLEL_PREFIX = "module."
_WRAPPERS = ("model_state_dict", "state_dict")


def read(path: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, Any]]:
    """Return the weights in a file, floating point ones in float32, and what is said beside them.

    Accepted are torch files (a dict with `model_state_dict`, or a bare state_dict) and safetensors, with or without
    the `module.` that nn.DataParallel puts before names. Raises CheckpointError.
    """
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
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
    _replace(path, {**content, "labels": list(labels), "temperature": temperature, "card": dict(card)})


def write_on_card(path: Path, entry: str, said: Any) -> None:
    """Write an entry on the card of a torch checkpoint that has our format, in place.

    Raises CheckpointError, WriteError.
    """
    content = None if _is_safetensors(path) else _read_torch(path)
    if not isinstance(content, Mapping) or "model_state_dict" not in content:
        raise CheckpointError(f"{path} can have no card: only a torch file with model_state_dict has one")
    card = content.get("card")
    _replace(path, {**content, "card": {**(card if isinstance(card, Mapping) else {}), entry: said}})


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        torch.save(dict(content), new)
        os.replace(new, path)
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None


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


def _to_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
