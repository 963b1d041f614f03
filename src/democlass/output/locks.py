"""Files that one process at a time may write."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from democlass.errors import OutputError

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def open_locked(path: Path, warn: Callable[[str], None]) -> int:
    """Open a file for appending and reading, create it if needed, and lock it; return its descriptor.

    The lock ends with the process or the descriptor. If the file system has no locks (some mounts of Lustre, FUSE and
    NFS), `warn` is called with a message. Raises OutputError if another process holds the lock, if the file is not a
    regular file, or if it can't be written.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # do not wait for the reader of a pipe
    while True:
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise OutputError(f"can't write {path}: {error.strerror or error}") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OutputError(f"{path} is not a regular file: move it away, or use another --out")
            _lock(descriptor, path, warn)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the run that held the lock has just finished and deleted the file


def _lock(descriptor: int, path: Path, warn: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise OutputError(f"another run is writing {path}: wait until it ends, or use another --out") from None
        warn(
            f"no lock on {path}: this file system has no locks ({error.strerror}); make sure that no other run writes "
            "the same --out"
        )


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file is still the file at that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
