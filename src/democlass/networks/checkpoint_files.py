"""Checkpoint files: read without unpickling, and written atomically."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from democlass.errors import CheckpointError, WriteError
from democlass.files import replace_file
from democlass.names import to_printable
from democlass.networks.checkpoint_formats import (
    FormatError,
    has_checksums,
    is_safetensors,
    parse_safetensors,
    parse_torch,
)

MAX_BYTES = 2**31
"""Maximum size of a file: 2 GiB. The networks have up to 170 MB of weights, and some files add optimizer states."""

_DATA_PARALLEL_PREFIX = "module."
_STATE_DICT_KEYS = ("model_state_dict", "state_dict")
_MAX_SHOWN = 100
"""Maximum number of characters that an error message quotes of a value from a file."""

_FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGER_TYPES = (torch.int64, torch.int32)
"""The types of counters, such as `num_batches_tracked` of a batch norm."""


class Contents(NamedTuple):
    """The contents of a checkpoint file.

    `state` maps parameter names to tensors: dense, on the CPU, float32 or an integer type. `metadata` has the other
    entries, unchecked: `labels`, `temperature`, `card`. `sha256` is the hash of the file's bytes, in hex.
    `has_checksums` is False if the format has no checksums, so that damage can't be detected.
    """

    state: dict[str, torch.Tensor]
    metadata: Mapping[Any, Any]
    sha256: str
    has_checksums: bool


def read(path: Path) -> Contents:
    """Read a file. It is read once, so the SHA-256, the checksums and the weights are of the same bytes.

    Accepts torch files (a dict with `model_state_dict`, or a bare state_dict) and safetensors files, with or without
    the prefix `module.` that nn.DataParallel adds to names. Raises CheckpointError.
    """
    content = _read_bytes(path)
    parsed = _parse(path, content)
    if not isinstance(parsed, Mapping):
        raise CheckpointError(f"{path} is not a checkpoint: it contains a {type(parsed).__name__} instead of weights")
    state = next((parsed[key] for key in _STATE_DICT_KEYS if isinstance(parsed.get(key), Mapping)), None)
    metadata = parsed if state is not None else {}
    weights = _check_weights(path, parsed if state is None else state, len(content))
    checksums = has_checksums(content) or is_safetensors(content)
    return Contents(weights, metadata, hashlib.sha256(content).hexdigest(), checksums)


def save(
    path: Path,
    state: Mapping[str, torch.Tensor],
    *,
    labels: Sequence[str],
    temperature: float,
    card: Mapping[str, Any],
    float16: bool = False,
) -> None:
    """Write a checkpoint in our format, atomically. Raises WriteError.

    With `float16`, kernels are stored in float16. Biases and batch norms keep their type, because the variances of
    batch norms exceed the range of float16.
    """
    weights = {name: value.half() if float16 and value.ndim > 1 else value for name, value in state.items()}
    content = {"model_state_dict": {name: value.cpu().contiguous() for name, value in weights.items()}}
    _replace(path, {**content, "labels": list(labels), "temperature": temperature, "card": dict(card)})


def write_card_entry(path: Path, key: str, value: Any) -> None:
    """Set an entry of the card of a torch checkpoint in our format, and rewrite the file atomically.

    Raises CheckpointError, WriteError.
    """
    content = read_for_card(path)
    card = content.get("card")
    _replace(path, {**content, "card": {**(card if isinstance(card, Mapping) else {}), key: value}})


def read_for_card(path: Path) -> Mapping[str, Any]:
    """Return the content of a checkpoint that can have a card: a torch file in our format. Raises CheckpointError."""
    old_content = _read_bytes(path)
    content = None if is_safetensors(old_content) else _parse(path, old_content)
    if not isinstance(content, Mapping) or "model_state_dict" not in content:
        raise CheckpointError(f"{path} can't have a card: only a torch file with model_state_dict can")
    return content


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()  # torch.save does not raise OSError when the disk is full
    torch.save(dict(content), buffer)
    try:
        replace_file(path, buffer.getvalue())
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is not a checkpoint: there is no such file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise CheckpointError(f"{path} can't be used as a checkpoint: it is larger than {MAX_BYTES:,} bytes")
            return file.read(size)
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}") from None


def _parse(path: Path, content: bytes) -> Any:
    try:
        return parse_safetensors(content) if is_safetensors(content) else parse_torch(content)
    except FormatError as error:
        raise CheckpointError(f"{path} {error}") from None


def _check_weights(path: Path, state: Mapping[Any, Any], file_size: int) -> dict[str, torch.Tensor]:
    """Return the weights, with floating point tensors in float32. `file_size` is in bytes. Raises CheckpointError.

    The tensors' descriptions are checked before any value is read: a file of a few bytes can describe a tensor of any
    size, and tensors without values.
    """
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is not a checkpoint: it has no model_state_dict of tensors")
    weights = {}
    for key, value in state.items():
        name = shorten(key)
        tensor = torch.Tensor.detach(value)  # a new tensor, without attributes that the file may have set
        if not isinstance(key, str):
            raise CheckpointError(f"{path} is not a checkpoint: a tensor has the name {name}, which is not text")
        if (problem := describe_unusable(tensor)) is not None:
            raise CheckpointError(f"{path} can't be used: {name} is {problem}; weights must be dense tensors")
        weights[key.removeprefix(_DATA_PARALLEL_PREFIX)] = tensor
    if len(weights) < len(state):
        raise CheckpointError(
            f"{path} is not a checkpoint: it has a tensor twice, with and without {_DATA_PARALLEL_PREFIX}"
        )
    if sum(tensor.numel() * tensor.element_size() for tensor in weights.values()) > file_size:
        raise CheckpointError(f"{path} can't be used: its tensors are larger than the file; save contiguous tensors")
    weights = {
        name: tensor.resolve_neg().float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }
    if not all(map(_is_finite, weights.values())):
        raise CheckpointError(f"{path} can't be used: some weights are NaN or infinite")
    return weights


def describe_unusable(tensor: torch.Tensor) -> str | None:
    """Return why a tensor can't be used as weights, or None if it can. Reads none of its values."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "a sparse or nested tensor"
    if tensor.is_quantized:
        return "a quantized tensor"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device.type}, without values"
    if tensor.dtype not in (*_FLOAT_TYPES, *_INTEGER_TYPES):
        return f"of the type {str(tensor.dtype).removeprefix('torch.')}"
    return None


def _is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all values are finite. Much faster than torch.isfinite, which creates a mask of every tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))


def shorten(value: Any) -> str:
    """Return a short text on one line for any value from a file."""
    if isinstance(value, str):
        text = to_printable(value)
    elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        text = to_printable(",".join(value[:_MAX_SHOWN]))
    elif isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _MAX_SHOWN):
        text = repr(value)
    else:
        text = f"({type(value).__name__})"
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
