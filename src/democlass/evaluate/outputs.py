"""Where an evaluation is written: checked before the work starts, each file replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from democlass.errors import OutputError, WriteError
from democlass.files import replace_file

Identity = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A file that an option asks for: `path` as given, `real` with links followed, so that a link is written through.

    A pipe or a device is not `is_file`: it is written to as it is, and there is nothing there to lose. The folder of
    a file `in_own_folder` is made where it is missing.
    """

    option: str
    path: Path
    real: Path
    is_file: bool
    in_own_folder: bool = False

    @classmethod
    def of(cls, option: str, path: Path, *, in_own_folder: bool = False) -> Place:
        """Find out what is there. Raises OutputError where that is a folder, or can't be told."""
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        except OSError as error:
            raise OutputError(f"can't write {path} ({option}): {error.strerror}") from None
        if stat.S_ISDIR(mode):
            raise OutputError(f"{path} is a folder: give {option} a file in it")
        is_file = stat.S_ISREG(mode)
        real = Path(os.path.realpath(path)) if is_file and path.is_symlink() else path
        return cls(option, path, real, is_file, in_own_folder)

    @property
    def temporary(self) -> Path:
        """What `replace_file` writes first."""
        return self.real.with_name(f"{self.real.name}.new")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are replaced."""
        return (self.real, self.temporary) if self.is_file else ()

    def write(self, text: str) -> None:
        """Write the text. Raises WriteError; what was there before is then still there."""
        content = text.encode("utf-8", "backslashreplace")
        try:
            if self.is_file:
                if self.in_own_folder:
                    self.real.parent.mkdir(exist_ok=True)
                replace_file(self.real, content)
            else:
                self.path.write_bytes(content)
        except OSError as error:
            raise WriteError(f"can't write {self.path}: {error.strerror}") from None


def check(places: Sequence[Place], *, overwrite: bool) -> None:
    """Raise OutputError where a place can't be written, is another's, or has a file that may not be replaced."""
    taken: dict[str | Identity, Place] = {}
    for place in places:
        keys: list[str | Identity] = [*map(os.path.realpath, place.files), *_identities(place)]
        for key in keys:
            if taken.setdefault(key, place) is not place:
                other = taken[key]
                raise OutputError(
                    f"{other.option} {other.path} and {place.option} {place.path} need the same file: give two"
                )
    for folder in {os.path.realpath(file.parent) for place in places for file in place.files}:
        if folder in taken:
            raise OutputError(f"{taken[folder].path} is wanted as a file and as a folder: give another")
    for place in places:
        if place.is_file:
            _check_file(place, overwrite=overwrite)


def refuse_inputs(places: Sequence[Place], inputs: Iterable[tuple[str, str | os.PathLike[str]]]) -> None:
    """Raise OutputError where writing would replace an input, by whatever name. Each input comes with what it is."""
    replaced = {identity: place for place in places for identity in _identities(place)}
    for what, path in inputs if replaced else ():
        if (place := replaced.get(_identity(path) or (-1, -1))) is not None:
            raise OutputError(f"{place.option} {place.path} would replace {path}, {what}: give another file")


def is_same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file that is there."""
    return _identity(one) is not None and _identity(one) == _identity(other)


def check_writable(file: Path, said: str) -> None:
    """Raise OutputError where a file that is there can't be replaced; `said` names it to a person."""
    effective = os.access in os.supports_effective_ids
    if not os.access(file, os.W_OK, effective_ids=effective):
        raise OutputError(f"can't write {said}: it is write-protected")
    _try_to_create(file, said)


def _check_file(place: Place, *, overwrite: bool) -> None:
    said = f"{place.path} ({place.option})"
    folder = place.real.parent
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OutputError(f"can't write {said}: {folder} is no folder")
    if (there := next((file for file in place.files if os.path.exists(file)), None)) is not None and not overwrite:
        raise OutputError(f"{place.path if there == place.real else there} exists: --overwrite replaces it")
    if os.path.exists(place.real):
        check_writable(place.real, said)
    elif os.path.isdir(folder) or not place.in_own_folder:
        _try_to_create(place.real, said)
    else:
        _try_to_create(folder, said)


def _try_to_create(file: Path, said: str) -> None:
    """Create what is written first, and delete it again: a folder's rights, its disk and a name's length all count."""
    if not os.path.isdir(file.parent):
        raise OutputError(f"can't write {said}: there is no folder {file.parent}; make it first")
    temporary = file.with_name(f"{file.name}.new")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.unlink()
    except FileExistsError:
        if not os.path.isfile(temporary):
            raise OutputError(f"can't write {said}: {temporary} is in the way; move it") from None
    except OSError as error:
        raise OutputError(f"can't write {said}: {error.strerror}") from None


def _identities(place: Place) -> Iterator[Identity]:
    for file in place.files:
        if (identity := _identity(file)) is not None:
            yield identity


def _identity(path: str | os.PathLike[str]) -> Identity | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
