"""Locked files: one process at a time, and file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.output.locks import open_locked


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    warnings: list[str] = []
    first = open_locked(tmp_path / "log", warnings.append)
    with pytest.raises(OutputError, match=r"another run is writing .*log: wait until it ends"):
        open_locked(tmp_path / "log", warnings.append)
    os.close(first)
    os.close(open_locked(tmp_path / "log", warnings.append))
    assert warnings == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_causes_a_warning(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error codes are those of Lustre, FUSE and NFS, which cannot be mounted in a test."""

    def no_locks(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    warnings: list[str] = []
    descriptor = open_locked(tmp_path / "log", warnings.append)
    os.write(descriptor, b"row\n")
    os.close(descriptor)
    assert len(warnings) == 1
    assert os.strerror(code) in warnings[0] and "no other run writes the same --out" in warnings[0]


@pytest.mark.parametrize("code", [errno.EWOULDBLOCK, errno.EACCES])
def test_both_error_codes_of_a_held_lock_are_recognised(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", held)
    with pytest.raises(OutputError, match="another run"):
        open_locked(tmp_path / "log", lambda _: None)


def test_pipes_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OutputError, match="not a regular file"):
        open_locked(tmp_path / "log", lambda _: None)
    with pytest.raises(OutputError, match=r"can't write .*: Is a directory"):
        open_locked(tmp_path, lambda _: None)
