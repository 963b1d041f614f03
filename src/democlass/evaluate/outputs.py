"""The output files of an evaluation: checked before the work starts, and replaced atomically."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from democlass.errors import OutputError, WriteError
from democlass.files import TEMPORARY_SUFFIX, Identity, file_identity, replace_file


@dataclass(frozen=True)
class OutputFile:
    """A file to write, and the option that names it.

    `path` is as given; in `real`, a symlink is resolved, so that the file it points to is replaced. A pipe or a device
    has `is_file` False: it is written to directly and never replaced. If `makes_folder`, a missing folder is created.
    """

    option: str
    path: Path
    real: Path
    is_file: bool
    makes_folder: bool = False

    @classmethod
    def of(cls, option: str, path: Path, *, makes_folder: bool = False) -> OutputFile:
        """Return the output for a path. Raises OutputError if the path is a folder or can't be inspected."""
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        except OSError as error:
            raise OutputError(f"can't write {path} ({option}): {error.strerror}") from None
        if stat.S_ISDIR(mode):
            raise OutputError(f"{path} is a folder: give {option} the name of a file")
        is_file = stat.S_ISREG(mode)
        real = Path(os.path.realpath(path)) if is_file and path.is_symlink() else path
        return cls(option, path, real, is_file, makes_folder)

    @property
    def temporary(self) -> Path:
        """The file that `replace_file` writes before it renames it."""
        return _temporary(self.real)

    @property
    def replaced(self) -> tuple[Path, ...]:
        """The files that writing replaces."""
        return (self.real, self.temporary) if self.is_file else ()

    def write(self, text: str) -> None:
        """Write the text. Raises WriteError; an existing file is then unchanged."""
        content = text.encode("utf-8", "backslashreplace")
        try:
            if self.is_file:
                if self.makes_folder:
                    self.real.parent.mkdir(exist_ok=True)
                replace_file(self.real, content)
            else:
                self.path.write_bytes(content)
        except OSError as error:
            raise WriteError(f"can't write {self.path}: {error.strerror}") from None


def check_outputs(outputs: Sequence[OutputFile], *, overwrite: bool) -> None:
    """Raise OutputError if outputs share a file, can't be written, or exist and `overwrite` is false."""
    _check_distinct(outputs)
    for output in outputs:
        if output.is_file:
            _check_file(output, overwrite=overwrite)


def check_inputs_kept(outputs: Sequence[OutputFile], inputs: Iterable[tuple[str, str | os.PathLike[str]]]) -> None:
    """Raise OutputError if an output would replace an input, by any name. Each input comes with a description."""
    replaced = {identity: output for output in outputs for identity in _identities(output)}
    for description, path in inputs if replaced else ():
        if (output := replaced.get(file_identity(path) or (-1, -1))) is not None:
            raise OutputError(f"{output.option} {output.path} would replace {path}, {description}: choose another name")


def check_writable(file: Path, description: str) -> None:
    """Raise OutputError if an existing file can't be replaced."""
    effective = os.access in os.supports_effective_ids
    if not os.access(file, os.W_OK, effective_ids=effective):
        raise OutputError(f"can't write {description}: it is write-protected")
    _check_creatable(file, description)


def _check_distinct(outputs: Sequence[OutputFile]) -> None:
    users: dict[str | Identity, OutputFile] = {}
    for output in outputs:
        keys: list[str | Identity] = [*map(os.path.realpath, output.replaced), *_identities(output)]
        for key in keys:
            if (other := users.setdefault(key, output)) is not output:
                raise OutputError(
                    f"{other.option} {other.path} and {output.option} {output.path} need the same file: "
                    "choose different names"
                )
    for folder in {os.path.realpath(file.parent) for output in outputs for file in output.replaced}:
        if folder in users:
            raise OutputError(f"{users[folder].path} is needed as a file and as a folder: choose different names")


def _check_file(output: OutputFile, *, overwrite: bool) -> None:
    description = f"{output.path} ({output.option})"
    folder = output.real.parent
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OutputError(f"can't write {description}: {folder} is not a folder")
    existing = next((file for file in output.replaced if os.path.exists(file)), None)
    if existing is not None and not overwrite:
        raise OutputError(f"{output.path if existing == output.real else existing} exists: --overwrite replaces it")
    if os.path.exists(output.real):
        check_writable(output.real, description)
    elif os.path.isdir(folder) or not output.makes_folder:
        _check_creatable(output.real, description)
    else:
        _check_creatable(folder, description)


def _check_creatable(file: Path, description: str) -> None:
    """Create and delete the temporary file, because permissions, the disk and the length of the name all matter."""
    if not os.path.isdir(file.parent):
        raise OutputError(f"can't write {description}: there is no folder {file.parent}; create it first")
    temporary = _temporary(file)
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.unlink()
    except FileExistsError:
        if not os.path.isfile(temporary):
            raise OutputError(f"can't write {description}: {temporary} is in the way; move it") from None
    except OSError as error:
        raise OutputError(f"can't write {description}: {error.strerror}") from None


def _temporary(file: Path) -> Path:
    return file.with_name(file.name + TEMPORARY_SUFFIX)


def _identities(output: OutputFile) -> Iterator[Identity]:
    for file in output.replaced:
        if (identity := file_identity(file)) is not None:
            yield identity
