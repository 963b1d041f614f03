"""A file that one process at a time may write, and file systems that can't tell."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.output.locks import open_locked


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    said: list[str] = []
    first = open_locked(tmp_path / "log", said.append)
    with pytest.raises(OutputError, match=r"another run is writing .*log: wait until it ends"):
        open_locked(tmp_path / "log", said.append)
    os.close(first)
    os.close(open_locked(tmp_path / "log", said.append))
    assert said == []


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_warned_of_and_written(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Lustre, FUSE and NFS answer, which can't be mounted here."""

    def no_locks(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    said: list[str] = []
    descriptor = open_locked(tmp_path / "log", said.append)
    os.write(descriptor, b"row\n")
    os.close(descriptor)
    assert len(said) == 1 and os.strerror(code) in said[0] and "no other run writes the same --out" in said[0]


@pytest.mark.parametrize("code", [errno.EWOULDBLOCK, errno.EACCES])
def test_what_a_held_lock_is_answered_with(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", held)
    with pytest.raises(OutputError, match="another run"):
        open_locked(tmp_path / "log", lambda _: None)


def test_a_pipe_of_that_name_is_refused_without_waiting_for_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OutputError, match="not a regular file"):
        open_locked(tmp_path / "log", lambda _: None)
    with pytest.raises(OutputError, match=r"can't write .*: Is a directory"):
        open_locked(tmp_path, lambda _: None)
