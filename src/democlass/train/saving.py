"""Files of tensors, replaced so that a crash at any moment leaves the old file or the new one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from democlass.errors import WriteError
from democlass.files import atomic_write


def save_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Save as torch.save does, in the place of an earlier file, and return once it is on the disk.

    Raises WriteError; the earlier file is then as it was.
    """
    try:
        with atomic_write(path) as file:
            target = _Target(file)
            try:
                torch.save(dict(content), target)  # type: ignore[arg-type]
            except RuntimeError:
                if target.error is None:
                    raise
                raise target.error from None
    except OSError as error:
        raise WriteError(f"can't write {path}: {error.strerror}") from None


def load_tensors(path: Path) -> dict[str, Any]:
    """Return what `save_tensors` saved, on the CPU. Raises FileNotFoundError, and ValueError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load does not look at checksums
                raise ValueError(f"the checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise ValueError(str(error)) from None
    if not isinstance(content, dict):
        raise ValueError("it holds no dict")
    return content


class _Target:
    """A file for torch.save, which hides the OSError of a failed write behind a RuntimeError of its own."""

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
