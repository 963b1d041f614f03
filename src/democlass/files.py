"""Files on disk: replaced in one step, made durable, with the owner and mode of the file they take the place of."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError

_NOT_OFFERED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system answers that does not offer a call."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that under its name there is always either the old content or the new, even after a crash.

    An existing file's owner and mode are kept. Raises OSError.
    """
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        if path.is_file():
            copy_owner_and_mode(path.stat(), file.fileno())
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names and renames in a folder survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:  # some network file systems can't do it for folders
            raise
    finally:
        os.close(descriptor)


def copy_owner_and_mode(status: os.stat_result, descriptor: int) -> None:
    """Give an open file the owner, group and permissions in `status`, as far as this user may.

    Where the group can't be kept, the file's own group gets no more rights than everybody had.
    """
    mode = stat.S_IMODE(status.st_mode) & 0o777
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid) and not (
        _change_owner(descriptor, status.st_uid, status.st_gid) or _change_owner(descriptor, -1, status.st_gid)
    ):
        mode = mode & ~0o070 | (mode & 0o007) << 3
    try:
        os.fchmod(descriptor, mode)
    except OSError:  # FAT and some network file systems have no permissions
        return


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether two paths lead to one file, also through links.

    Of a file that does not exist, whether both paths resolve to the same one.
    """
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):  # a loop of links, a NUL character
        return False


def is_pipe_or_device(path: Path) -> bool:
    """Tell whether a name leads to a pipe, a socket or a device: somewhere rows can only be streamed to."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_pipe_or_device(path: Path, tell: Callable[[str], None]) -> BinaryIO:
    """Open a pipe or a device for writing.

    A named pipe that nobody reads is waited for, as a shell's `>` does; `tell` is given a line that says so, and a
    signal ends the wait. Raises OutputError.
    """
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(path.stat().st_mode):
                raise
            tell(f"waiting for a reader of the pipe {path}")
            descriptor = os.open(path, flags)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from None
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


class PositionedReader(io.RawIOBase):
    """Reads an open file at a position of its own; closing it leaves the file open."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position and return it, counted from the beginning."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = base[whence] + position
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what fits into the buffer and return how many bytes that was."""
        data = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _change_owner(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError:
        return False
    return True
