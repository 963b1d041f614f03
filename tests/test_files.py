"""Files on disk: atomic replacement, owner and mode, pipes and devices."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.files import (
    atomic_write,
    copy_owner_and_mode,
    is_pipe_or_device,
    is_same_file,
    open_pipe_or_device,
    replace_file,
)

OTHER_USER, OTHER_GROUP = 12345, 23456
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_replaced_file_keeps_its_mode_and_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"1")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o640
    (tmp_path / "new").chmod(0o600)
    replace_file(tmp_path / "new", b"2")
    assert mode_of(tmp_path / "new") == 0o600 and (tmp_path / "new").read_bytes() == b"2"
    assert os.listdir(tmp_path) == ["new"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("suffix", [".new", ".export"])
def test_failed_atomic_write_keeps_the_old_file_and_deletes_the_temporary_file(
    error: BaseException, suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(tmp_path / "file", suffix=suffix) as file:
        file.write(b"ne")
        assert sorted(os.listdir(tmp_path)) == ["file", f"file{suffix}"]
        raise error
    assert (tmp_path / "file").read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_atomic_write_replaces_the_file_only_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_temporary_file_that_cannot_be_opened_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file.new").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file.new"]


def test_new_file_gets_the_mode_of_like_and_existing_file_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    (tmp_path / "model").chmod(0o604)
    for mode in (0o604, 0o640):
        with atomic_write(tmp_path / "file", like=(tmp_path / "model").stat()) as file:
            file.write(b"new")
        assert mode_of(tmp_path / "file") == mode
        (tmp_path / "file").chmod(0o640)


@root_only
def test_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    replace_file(tmp_path / "r", b"1")
    os.chown(tmp_path / "r", OTHER_USER, OTHER_GROUP)
    replace_file(tmp_path / "r", b"2")
    status = (tmp_path / "r").stat()
    assert (status.st_uid, status.st_gid) == (OTHER_USER, OTHER_GROUP)


@root_only
def test_other_group_gets_no_permissions_of_the_original_group(
    tmp_path: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).touch()
    (tmp_path / "before").chmod(0o660)
    os.chown(tmp_path / "before", OTHER_USER, OTHER_GROUP)
    os.chown(tmp_path / "after", 65534, 65534)
    before = (tmp_path / "before").stat()
    with (tmp_path / "after").open("wb") as file, unprivileged():
        copy_owner_and_mode(before, file.fileno())
    assert mode_of(tmp_path / "after") == 0o600


def test_pipes_and_devices_are_recognised(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").touch()
    assert all(map(is_pipe_or_device, [tmp_path / "pipe", tmp_path / "link", Path("/dev/null")]))
    assert not any(map(is_pipe_or_device, [tmp_path / "file", tmp_path, tmp_path / "none", tmp_path / ("x" * 300)]))


def test_pipe_with_a_reader_accepts_more_than_its_buffer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with open_pipe_or_device(tmp_path / "pipe", lambda _: None) as stream:
        stream.write(b"x" * 300_000)
    reader.join()
    assert received == [b"x" * 300_000]


def test_waiting_for_the_reader_of_a_pipe_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))

    def notify(line: str) -> None:
        received.append(line.encode())
        reader.start()

    with open_pipe_or_device(tmp_path / "pipe", notify) as stream:
        stream.write(b"row")
    reader.join()
    assert received == [f"waiting for a reader of the pipe {tmp_path / 'pipe'}".encode(), b"row"]


def test_path_that_cannot_be_opened_raises_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"can't write .*none: No such file"):
        open_pipe_or_device(tmp_path / "none", lambda _: None)


def test_links_lead_to_the_same_file(tmp_path: Path) -> None:
    for name in ("file", "copy"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "symlink").symlink_to("file")
    os.link(tmp_path / "file", tmp_path / "hard link")
    for name in ("file", "symlink", "hard link", "../" + tmp_path.name + "/file"):
        assert is_same_file(tmp_path / "file", tmp_path / name)
    assert not is_same_file(tmp_path / "file", tmp_path / "copy")


def test_missing_files_are_the_same_if_they_have_the_same_path(tmp_path: Path) -> None:
    (tmp_path / "symlink").symlink_to("missing")
    (tmp_path / "file").touch()
    assert is_same_file(tmp_path / "missing", str(tmp_path / "symlink"))
    assert not is_same_file(tmp_path / "missing", tmp_path / "file")
    assert not is_same_file(tmp_path / "file", tmp_path / "symlink")
    assert not is_same_file(tmp_path / "file", "a name with a NUL \0 character")
