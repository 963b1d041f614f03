"""Checkpoint files: read without ever unpickling anything, written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from democlass.errors import CheckpointError, WriteError
from democlass.files import replace_file
from democlass.names import visible
from democlass.networks.checkpoint_formats import (
    FormatError,
    has_checksums,
    is_safetensors,
    parse_safetensors,
    parse_torch,
)

MAX_BYTES = 2**31
"""Largest file that is read: 2 GiB. The networks here have up to 170 MB of weights, and optimizers keep some copies."""

_PARALLEL_PREFIX = "module."
_WRAPPERS = ("model_state_dict", "state_dict")
_MOST_SHOWN = 100
"""Characters of a value from a file that an error message repeats."""

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (torch.int64, torch.int32)
"""What counts are stored as: the batches that a batch norm has seen."""


class Contents(NamedTuple):
    """What a checkpoint file holds.

    `state` maps a parameter's name to its tensor: dense, in the processor's memory, float32 or an integer type.
    `said` is what the file has beside it: `labels`, `temperature`, `card`, unchecked. `sha256` is of the bytes that
    were read, in hex. `checksummed` is False where the format has no checksums, so that damage can't be found.
    """

    state: dict[str, torch.Tensor]
    said: Mapping[Any, Any]
    sha256: str
    checksummed: bool


def read(path: Path) -> Contents:
    """Read a file once; its SHA-256, its checksums and its weights are all of the same bytes.

    Accepted are torch files (a dict with `model_state_dict`, or a bare state_dict) and safetensors, with or without
    the `module.` that nn.DataParallel puts before names. Raises CheckpointError.
    """
    content = _read_bytes(path)
    parsed = _parse(path, content)
    if not isinstance(parsed, Mapping):
        raise CheckpointError(f"{path} is no checkpoint: it holds a {type(parsed).__name__}, no weights")
    state = next((parsed[key] for key in _WRAPPERS if isinstance(parsed.get(key), Mapping)), None)
    said = parsed if state is not None else {}
    weights = _weights(path, parsed if state is None else state, len(content))
    checksummed = has_checksums(content) or is_safetensors(content)
    return Contents(weights, said, hashlib.sha256(content).hexdigest(), checksummed)


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
    found = _read_bytes(path)
    content = None if is_safetensors(found) else _parse(path, found)
    if not isinstance(content, Mapping) or "model_state_dict" not in content:
        raise CheckpointError(f"{path} can have no card: only a torch file with model_state_dict has one")
    card = content.get("card")
    _replace(path, {**content, "card": {**(card if isinstance(card, Mapping) else {}), entry: said}})


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()  # torch.save to a full disk raises no OSError
    torch.save(dict(content), buffer)
    try:
        replace_file(path, buffer.getvalue())
    except OSError as error:
        with suppress(OSError):
            path.with_name(f"{path.name}.new").unlink()
        raise WriteError(f"can't write {path}: {error.strerror}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is no checkpoint: there is no such file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise CheckpointError(f"{path} is no checkpoint here: it is larger than {MAX_BYTES:,} bytes")
            return file.read(size)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from None


def _parse(path: Path, content: bytes) -> Any:
    try:
        return parse_safetensors(content) if is_safetensors(content) else parse_torch(content)
    except FormatError as error:
        raise CheckpointError(f"{path} {error}") from None


def _weights(path: Path, state: Mapping[Any, Any], size: int) -> dict[str, torch.Tensor]:
    """Return the weights, floating point ones in float32.

    The tensors' descriptions are checked before any of their values is touched: a file of a few bytes can describe a
    tensor of any size, and tensors without values. `size` is that of the file, in bytes.
    """
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no checkpoint: it has no model_state_dict of tensors")
    weights = {}
    for key, value in state.items():
        name = shown(key)
        tensor = torch.Tensor.detach(value)  # a new tensor, without attributes that the file may have set
        if not isinstance(key, str):
            raise CheckpointError(f"{path} is no checkpoint: it has the name {name} for a tensor; names are text")
        if (wrong := fault(tensor)) is not None:
            raise CheckpointError(f"{path} can't be used: {name} is {wrong}; weights are dense tensors of numbers")
        weights[key.removeprefix(_PARALLEL_PREFIX)] = tensor
    if len(weights) < len(state):
        raise CheckpointError(f"{path} is no checkpoint: it names a tensor twice, with and without {_PARALLEL_PREFIX}")
    if sum(tensor.numel() * tensor.element_size() for tensor in weights.values()) > size:
        raise CheckpointError(f"{path} can't be used: its tensors are larger than the file; save contiguous tensors")
    weights = {
        name: tensor.resolve_neg().float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }
    if not all(map(_is_finite, weights.values())):
        raise CheckpointError(f"{path} holds weights that are no numbers (NaN or infinite)")
    return weights


def fault(tensor: torch.Tensor) -> str | None:
    """Return what makes a tensor unusable as weights, judged without its values."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "a sparse or nested tensor"
    if tensor.is_quantized:
        return "a quantized tensor"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type}, without values"
    if tensor.dtype not in (*_FLOATS, *_INTEGERS):
        return f"of the type {str(tensor.dtype).removeprefix('torch.')}"
    return None


def _is_finite(tensor: torch.Tensor) -> bool:
    """Tell whether all values are numbers; far quicker than isfinite, which makes a mask of every tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))


def shown(value: Any) -> str:
    """Return a short text on one line for a value that a file holds, whatever it is."""
    if isinstance(value, str):
        text = visible(value)
    elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        text = visible(",".join(value[:_MOST_SHOWN]))
    elif isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _MOST_SHOWN):
        text = repr(value)
    else:
        text = f"({type(value).__name__})"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
