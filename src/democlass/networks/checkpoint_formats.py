"""The formats of checkpoint files: bytes to a dict, without unpickling anything and with checksums where there are any.

A torch file is a zip archive with a CRC-32 for each member. torch.load does not check them, so they are checked here.
Files that torch wrote before version 1.6 and safetensors files have no checksums.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from typing import Any

import torch

_ZIP = b"PK\x03\x04"
_PIECE = 2**20
_DIRECTORY = 0x10
"""The attribute of a directory: with it torch.load reads nothing, and takes whatever is in memory for the weights."""

_SAFETENSORS_HEADER = 8
"""Bytes of the length that a safetensors file begins with; a JSON object follows."""


class FormatError(Exception):
    """The bytes are no checkpoint; the text completes the sentence "FILE ..."."""


NO_CHECKPOINT = "is no checkpoint: it must be a file of torch.save or safetensors"


def has_checksums(content: bytes) -> bool:
    """Tell whether damage to the bytes is found when they are read."""
    return content.startswith(_ZIP)


def is_safetensors(content: bytes) -> bool:
    """Tell whether the bytes look like safetensors: 8 bytes of length, then JSON."""
    return content[_SAFETENSORS_HEADER : _SAFETENSORS_HEADER + 1] == b"{"


def parse_safetensors(content: bytes) -> dict[str, Any]:
    """Return `model_state_dict`, and `labels` and `temperature` where the metadata has them. Raises FormatError."""
    from safetensors.torch import load

    try:
        parsed: dict[str, Any] = {"model_state_dict": load(content)}
        size = int.from_bytes(content[:_SAFETENSORS_HEADER], "little")
        header = json.loads(content[_SAFETENSORS_HEADER : _SAFETENSORS_HEADER + size])
        metadata = header.get("__metadata__", {})
        if (text := metadata.get("labels")) is not None:
            parsed["labels"] = json.loads(text) if text.startswith("[") else text.split(",")
        if "temperature" in metadata:
            parsed["temperature"] = metadata["temperature"]
    except Exception:  # the reader may raise anything at a hostile file
        raise FormatError(NO_CHECKPOINT) from None
    return parsed


def parse_torch(content: bytes) -> Any:
    """Return what torch.save was given, after the checksums have been checked. Raises FormatError."""
    if content.startswith(_ZIP):
        _check_archive(content)
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise FormatError(
                "holds Python objects, which are never unpickled: save it again as "
                "torch.save({'model_state_dict': network.state_dict()}, FILE)"
            ) from None
        raise FormatError(NO_CHECKPOINT) from None
    except Exception:  # the reader may raise anything at a hostile file
        raise FormatError(NO_CHECKPOINT) from None


def _check_archive(content: bytes) -> None:
    """Read every member, which checks its CRC-32. No more than the file's own size is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(member.filename.endswith("/constants.pkl") for member in members):
                raise FormatError(
                    "is a TorchScript archive: save the weights alone, as "
                    "torch.save({'model_state_dict': network.state_dict()}, FILE)"
                )
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise FormatError("is no checkpoint: its content is compressed, which torch.save does not do")
            if sum(member.file_size for member in members) > len(content):
                raise FormatError("is damaged: it declares more bytes than it has")
            for member in members:
                if member.external_attr & _DIRECTORY:
                    raise zipfile.BadZipFile
                with archive.open(member) as file:
                    while file.read(_PIECE):
                        pass
    except FormatError:
        raise
    except Exception:  # zipfile may raise anything at a hostile file
        raise FormatError(
            "is damaged or incomplete, and no checkpoint that can be used (a checksum of torch.save's zip archive does "
            "not match): copy it again from where it came"
        ) from None
