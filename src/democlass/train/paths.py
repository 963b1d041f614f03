"""The files of a training: their paths, and checks that they can be written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from democlass.errors import OutputError
from democlass.files import TEMPORARY_SUFFIX, file_identity, is_same_file
from democlass.output.file_sink import refuse_odd_place
from democlass.output.locks import open_locked

NOTHING_SAVED = "interrupted before the first step: nothing to save"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class TrainPaths:
    """The path of the checkpoint (`out`), and of the files beside it: state, teacher outputs, skipped images, lock.

    If `--out` is a symlink, `out` is its target and the other files are beside the target. `more_tasks` are the names
    of the other tasks that get a checkpoint.
    """

    out: Path
    more_tasks: tuple[str, ...] = ()

    @classmethod
    def resolve(cls, out: Path, more_tasks: tuple[str, ...] = ()) -> TrainPaths:
        """Return the paths for an `--out` value. A symlink is followed."""
        return cls(Path(os.path.realpath(out)) if os.path.islink(out) else out, more_tasks)

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The checkpoint of the main task, then those of `more_tasks`: of FILE.pth and gender, FILE.gender.pth."""
        return self.out, *(self.out.with_name(f"{self.out.stem}.{name}{self.out.suffix}") for name in self.more_tasks)

    @property
    def state(self) -> Path:
        """The state of the training, needed to resume. Deleted when the training is finished."""
        return self._beside("state")

    @property
    def teacher_outputs(self) -> Path:
        """The teacher's outputs for the training images. Deleted when the training is finished."""
        return self._beside("teacher")

    @property
    def skipped(self) -> Path:
        """The list of images that could not be read. It is kept."""
        return self._beside("skipped.csv")

    @property
    def lock_file(self) -> Path:
        """A file that is locked while a training runs, and then deleted."""
        return self._beside("lock")

    def check(self, inputs: Iterable[tuple[str, Path]], *, resume: bool, overwrite: bool) -> None:
        """Check that all files can be written, without changing any of them.

        `inputs` are the files that the training reads, with the options that name them: none may be replaced. Raises
        OutputError.
        """
        with _as_output_error(self.out):
            refuse_odd_place(self.out)
            self._refuse_inputs(inputs)
            if resume:
                if not self.state.exists():
                    raise OutputError(f"nothing to resume: {self.state} does not exist")
            elif not overwrite and (existing := next(filter(os.path.lexists, self._unasked_files()), None)):
                raise OutputError(f"{existing} exists: use --resume to continue or --overwrite to start again")
        for path in self._all_files() if _is_writing_process() else ():
            with _as_output_error(path):
                _check_writable(path)

    def check_images(self, images: Iterable[str]) -> None:
        """Raise OutputError if the training would replace one of these images."""
        replaced = {identity: file for file in self._replaced_files() if (identity := file_identity(file)) is not None}
        for image in images if replaced else ():
            if (file := replaced.get(file_identity(image) or (-1, -1))) is not None:
                raise OutputError(f"--out {self.out.name} would replace {file}, which is an image: use another --out")

    @contextmanager
    def lock(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock of this checkpoint during the block.

        `warn` gets a message if the file system has no locks. Raises OutputError if another training holds the lock, or
        if there is another file in its place.
        """
        descriptor = open_locked(self.lock_file, warn)
        try:
            if os.fstat(descriptor).st_size:  # lock files are empty
                raise OutputError(f"{self.lock_file} is not a lock file: move it or use another --out")
            try:
                yield
            finally:
                self.lock_file.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def require_disk_space(self, needed: int, content: str) -> None:
        """Raise OutputError if the disk has less than `needed` bytes free. The message names the `content`."""
        free = shutil.disk_usage(self.out.parent).free
        if free < needed:
            raise OutputError(
                f"{self.out.parent} has {free / _MEGABYTE:,.0f} MB free, but {content} needs up to "
                f"{needed / _MEGABYTE:,.0f} MB: free some space or use another --out"
            )

    def interruption_message(self, *, resume: bool) -> str:
        """Return the message for a training that is interrupted before its first step."""
        return f"interrupted: {self.state} is unchanged; --resume continues from it" if resume else NOTHING_SAVED

    def _beside(self, suffix: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{suffix}")

    def _kept_files(self) -> tuple[Path, ...]:
        return *self.checkpoints, self.state, self.skipped

    def _unasked_files(self) -> tuple[Path, ...]:
        """The files that are only replaced if the user asks for it: also the temporary ones, which may be others'."""
        return *self._kept_files(), *map(_temporary, (*self._kept_files(), self.teacher_outputs))

    def _replaced_files(self) -> tuple[Path, ...]:
        """Everything that a training writes, with the temporary files."""
        return *self._all_files(), *map(_temporary, self._all_files())

    def _all_files(self) -> tuple[Path, ...]:
        return *self._kept_files(), self.teacher_outputs, self.lock_file

    def _refuse_inputs(self, inputs: Iterable[tuple[str, Path]]) -> None:
        for name, file in inputs:
            for path in self._replaced_files():
                if is_same_file(file, path):
                    raise OutputError(
                        f"--out {self.out.name} would replace {path}, which is the file of {name}: use another --out"
                    )


def named_inputs(labels: Path, validation: Path, teachers: Sequence[Path], init: str) -> list[tuple[str, Path]]:
    """Return the files that a training reads, each with the argument or option that names it."""
    checkpoints = [] if init in ("imagenet", "none") else [("--init", Path(init))]
    return [("LABELS", labels), ("--validation", validation), *(("--teacher", file) for file in teachers), *checkpoints]


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}") from None


def _is_writing_process() -> bool:
    """Return whether this process writes files: the first one that torchrun starts, or the only one."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def _check_writable(path: Path) -> None:
    """Raise OSError or OutputError if a file can't be written or replaced. Changes nothing."""
    new = _temporary(path)  # may exist: a killed process leaves it behind
    for file in (path, new):
        if file.exists():
            if not file.is_file():
                raise OutputError(f"{file} is not a regular file: use another --out")
            file.open("ab").close()
    if not new.exists():
        new.open("xb").close()
        new.unlink()
