"""Files on disk: atomic and durable replacement, owner and mode, pipes and devices."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from democlass.errors import OutputError

TEMPORARY_SUFFIX = ".new"
"""What `atomic_write` appends to a file's name for its temporary file."""

Identity = tuple[int, int]
"""Device and inode of a file: the same for all its names and links."""

_NOT_SUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""The errors of a file system that does not support a call."""


@contextmanager
def atomic_write(
    path: Path, *, suffix: str = TEMPORARY_SUFFIX, like: os.stat_result | None = None, durable: bool = True
) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an exception.

    At any moment, even after a crash or a power cut, `path` is either the old file or the new one, complete. The
    temporary file is beside `path`, with `suffix` appended to its name. On disk, this happens in this order: the
    temporary file is written and forced to disk, it is renamed to `path`, the folder is forced to disk. If the block or
    one of these steps fails, the temporary file is deleted and `path` stays as it was. Without `durable`, nothing is
    forced to disk, and a power cut may lose the new file.

    The owner and mode of an existing file are kept. A new file gets those of `like`, or the default ones if `like` is
    None. A symbolic link is replaced, not followed: resolve the path first to write through a link.

    Raises OSError.
    """
    temporary = path.with_name(path.name + suffix)
    file = temporary.open("wb")
    try:
        with file:
            status = path.stat() if path.is_file() else like
            if status is not None:
                copy_owner_and_mode(status, file.fileno())
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace the content of a file with `atomic_write`. Raises OSError."""
    with atomic_write(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk, so that new files and renames survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:  # some network file systems do not support it for folders
            raise
    finally:
        os.close(descriptor)


def copy_owner_and_mode(status: os.stat_result, descriptor: int) -> None:
    """Set the owner, group and permissions of an open file to those in `status`, as far as this user may.

    If the group can't be set, the file's own group gets no more permissions than others have.
    """
    mode = stat.S_IMODE(status.st_mode) & 0o777
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid) and not (
        _change_owner(descriptor, status.st_uid, status.st_gid) or _change_owner(descriptor, -1, status.st_gid)
    ):
        mode = mode & ~0o070 | (mode & 0o007) << 3
    with suppress(OSError):  # FAT and some network file systems have no permissions
        os.fchmod(descriptor, mode)


def is_same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether two paths lead to the same file. Symlinks are followed.

    Existing files are compared by device and inode, so that hard links count as the same file. If one is missing, the
    paths are the same only if both resolve to the same path.
    """
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # ValueError: a name with a NUL character
        return _resolve(one) == _resolve(other)


def file_identity(path: str | os.PathLike[str]) -> Identity | None:
    """Return the identity of the file that a path leads to, or None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a NUL character
        return None
    return status.st_dev, status.st_ino


def is_pipe_or_device(path: Path) -> bool:
    """Return whether a path leads to a pipe, a socket or a device, where rows can only be streamed to."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_pipe_or_device(path: Path, notify: Callable[[str], None]) -> BinaryIO:
    """Open a pipe or a device for writing.

    If a named pipe has no reader, this waits for one, as `>` in a shell does. `notify` is called with a line that says
    so. A signal ends the wait. Raises OutputError.
    """
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(path.stat().st_mode):
                raise
            notify(f"waiting for a reader of the pipe {path}")
            descriptor = os.open(path, flags)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from None
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


class PositionedReader(io.RawIOBase):
    """Reads an open file at a position of its own. Closing the reader leaves the file open."""

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
        """Change the position and return it, counted from the start of the file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._descriptor).st_size}
        self._position = base[whence] + position
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to the length of the buffer and return the number of bytes read."""
        data = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _resolve(path: str | os.PathLike[str]) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a name with a NUL character
        return os.fspath(path)


def _change_owner(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError:
        return False
    return True
