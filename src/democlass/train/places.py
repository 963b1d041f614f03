"""The files of a training: where they are, and whether they can be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from democlass.errors import OutputError
from democlass.output.single import refuse_odd_place

NOTHING_SAVED = "interrupted before the first step: there is nothing to save"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Places:
    """The checkpoint `out`, and what lies beside it: the state, a teacher's answers, the list of skipped images.

    Where `out` is a link, these are beside the file that it leads to.
    """

    out: Path

    @classmethod
    def of(cls, out: Path) -> Places:
        """Return the places for an --out. A link is followed."""
        return cls(Path(os.path.realpath(out)) if os.path.islink(out) else out)

    @property
    def state(self) -> Path:
        """The state of the training, from its first save to its end."""
        return self._beside("state")

    @property
    def teaching(self) -> Path:
        """What a teacher makes of the images, from the first step to the end."""
        return self._beside("teacher")

    @property
    def skipped(self) -> Path:
        """The images that could not be read; it stays."""
        return self._beside("skipped.csv")

    def check(self, inputs: Mapping[str, Path | None], *, resume: bool, overwrite: bool) -> None:
        """Make sure that all can be written, before any work is done; `inputs` are files, by what names them.

        Raises OutputError.
        """
        with _explained(self.out):
            refuse_odd_place(self.out)
            self._refuse_inputs(inputs)
            if resume:
                if not self.state.exists():
                    raise OutputError(f"nothing to resume: there is no {self.state}")
            elif not overwrite and (there := next(filter(os.path.lexists, self._kept()), None)):
                raise OutputError(f"{there} is there already: --resume goes on, --overwrite begins again")
        for path in self._all() if _writes() else ():
            with _explained(path):
                _probe(path)

    def require_room(self, needed: int, what: str) -> None:
        """Raise OutputError where the disk has less room than `needed` bytes."""
        free = shutil.disk_usage(self.out.parent).free
        if free < needed:
            raise OutputError(
                f"{self.out.parent} has room for {free / _MEGABYTE:,.0f} MB, and {what} needs "
                f"{needed / _MEGABYTE:,.0f} MB: make room, or give another --out"
            )

    def unsaved(self, *, resume: bool) -> str:
        """Return what to tell a person who interrupts a training before it has done a step."""
        return f"interrupted: {self.state} is as it was; --resume goes on from it" if resume else NOTHING_SAVED

    def _beside(self, suffix: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{suffix}")

    def _kept(self) -> tuple[Path, ...]:
        return self.out, self.state, self.skipped

    def _all(self) -> tuple[Path, ...]:
        return *self._kept(), self.teaching

    def _refuse_inputs(self, inputs: Mapping[str, Path | None]) -> None:
        for name, file in inputs.items():
            for place in self._all():
                if file is not None and _is_same(file, place):
                    raise OutputError(f"--out {self.out.name} would replace {place}, which {name} names: give another")


def _is_same(file: Path, place: Path) -> bool:
    """Tell whether two paths are of one file, which need not be there."""
    return os.path.realpath(file) == os.path.realpath(place) or (
        os.path.exists(file) and os.path.exists(place) and os.path.samefile(file, place)
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}") from None


def _writes() -> bool:
    """Tell whether this process writes files: the first of those that torchrun starts, or the only one."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _probe(path: Path) -> None:
    """Raise OSError or OutputError where a file can't be written, or replaced. Changes nothing."""
    new = path.with_name(f"{path.name}.new")  # may be there: left behind by a process that was killed
    for file in (path, new):
        if file.exists():
            if not file.is_file():
                raise OutputError(f"{file} is no regular file: give another --out")
            file.open("ab").close()
    if not new.exists():
        new.open("xb").close()
        new.unlink()
