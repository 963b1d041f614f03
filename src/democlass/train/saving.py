"""Files of tensors, replaced atomically: after a crash, either the old or the new file is complete."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from democlass.errors import WriteError
from democlass.files import atomic_write


def save_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file with torch.save, replace an earlier one, and wait until it is on the disk.

    Raises WriteError; the earlier file is then unchanged.
    """
    try:
        with atomic_write(path) as file:
            _write_tensors(content, file)
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None


def load_tensors(path: Path) -> dict[str, Any]:
    """Load a file of `save_tensors` to the CPU. Raises FileNotFoundError, and ValueError if the file is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load does not verify checksums
                raise ValueError(f"the checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file can make zipfile and torch raise almost anything
        raise ValueError(str(error)) from None
    if not isinstance(content, dict):
        raise ValueError("it does not hold a dict")
    return content


def _write_tensors(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Call torch.save, and raise the OSError of a failed write."""
    target = _Target(file)
    try:
        torch.save(dict(content), target)  # type: ignore[arg-type]
    except RuntimeError:
        if target.error is None:
            raise
        raise target.error from None


class _Target:
    """A file that remembers the OSError of a failed write. torch.save replaces it by a RuntimeError."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()
