"""The formats of checkpoint files: from bytes to a dict, without unpickling, with checksums verified.

A torch file is a zip archive with a CRC-32 for each member. torch.load does not verify them, so this module does.
Files from torch before version 1.6 and safetensors files have no checksums.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from typing import Any

import torch

_ZIP_SIGNATURE = b"PK\x03\x04"
_CHUNK_SIZE = 2**20
_DIRECTORY = 0x10
"""The attribute of a directory. For a member with it torch.load reads nothing and uses uninitialised memory."""

_SAFETENSORS_LENGTH = 8
"""The size in bytes of the header length at the start of a safetensors file. The header, a JSON object, follows."""


class FormatError(Exception):
    """The bytes are not a checkpoint. The message completes the sentence "FILE ..."."""


NOT_A_CHECKPOINT = "is not a checkpoint: it must be a file from torch.save or a safetensors file"


def has_checksums(content: bytes) -> bool:
    """Return whether the format has checksums, so that damage is detected."""
    return content.startswith(_ZIP_SIGNATURE)


def is_safetensors(content: bytes) -> bool:
    """Return whether the bytes look like safetensors: a length of 8 bytes, then JSON."""
    return content[_SAFETENSORS_LENGTH : _SAFETENSORS_LENGTH + 1] == b"{"


def parse_safetensors(content: bytes) -> dict[str, Any]:
    """Return `model_state_dict`, and `labels` and `temperature` if the metadata has them. Raises FormatError."""
    from safetensors.torch import load

    try:
        parsed: dict[str, Any] = {"model_state_dict": load(content)}
        size = int.from_bytes(content[:_SAFETENSORS_LENGTH], "little")
        header = json.loads(content[_SAFETENSORS_LENGTH : _SAFETENSORS_LENGTH + size])
        metadata = header.get("__metadata__", {})
        if (text := metadata.get("labels")) is not None:
            parsed["labels"] = json.loads(text) if text.startswith("[") else text.split(",")
        if "temperature" in metadata:
            parsed["temperature"] = metadata["temperature"]
    except Exception:  # a hostile file can cause any exception
        raise FormatError(NOT_A_CHECKPOINT) from None
    return parsed


def parse_torch(content: bytes) -> Any:
    """Return the object that torch.save saved, after verifying the checksums. Raises FormatError."""
    if content.startswith(_ZIP_SIGNATURE):
        _check_archive(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about unusual pickles, which are then refused below
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise FormatError(
                "contains Python objects, which are never unpickled: save it again with "
                "torch.save({'model_state_dict': network.state_dict()}, FILE)"
            ) from None
        if "Unsupported operand" in str(error) and content.startswith(_ZIP_SIGNATURE):
            raise FormatError(
                "has values beside its weights that are never unpickled, for example integers of more than 255 bytes: "
                "save it again with torch.save({'model_state_dict': network.state_dict()}, FILE)"
            ) from None
        raise FormatError(NOT_A_CHECKPOINT) from None
    except Exception:  # a hostile file can cause any exception
        raise FormatError(NOT_A_CHECKPOINT) from None


def _check_archive(content: bytes) -> None:
    """Read every member, which verifies its CRC-32. Reads no more bytes than the file has."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_members(archive, len(content))
    except FormatError:
        raise
    except Exception:  # a hostile file can cause any exception
        raise FormatError(
            "is damaged or incomplete, or not a checkpoint: a checksum of its zip archive does not match; "
            "copy it again from its source"
        ) from None


def _check_members(archive: zipfile.ZipFile, file_size: int) -> None:
    members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise FormatError(
            "is a TorchScript archive: save only the weights, with "
            "torch.save({'model_state_dict': network.state_dict()}, FILE)"
        )
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise FormatError("is not a checkpoint: its content is compressed, and torch.save does not compress")
    if sum(member.file_size for member in members) > file_size:
        raise FormatError("is damaged: it declares more bytes than it has")
    for member in members:
        if member.external_attr & _DIRECTORY:
            raise zipfile.BadZipFile
        with archive.open(member) as file:
            while file.read(_CHUNK_SIZE):
                pass
