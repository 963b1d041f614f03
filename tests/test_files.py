"""Files on disk: owner and mode are kept, and no pipe is waited for without a word."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.files import copy_owner_and_mode, is_pipe_or_device, is_same_file, open_pipe_or_device, replace_file

SOMEONE, SOME_GROUP = 12345, 23456
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_follows_the_umask(tmp_path: Path) -> None:
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


@root_only
def test_a_file_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    replace_file(tmp_path / "r", b"1")
    os.chown(tmp_path / "r", SOMEONE, SOME_GROUP)
    replace_file(tmp_path / "r", b"2")
    status = (tmp_path / "r").stat()
    assert (status.st_uid, status.st_gid) == (SOMEONE, SOME_GROUP)


@root_only
def test_another_group_gets_no_rights_that_were_given_to_the_first(
    tmp_path: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).touch()
    (tmp_path / "before").chmod(0o660)
    os.chown(tmp_path / "before", SOMEONE, SOME_GROUP)
    os.chown(tmp_path / "after", 65534, 65534)
    before = (tmp_path / "before").stat()
    with (tmp_path / "after").open("wb") as file, unprivileged():
        copy_owner_and_mode(before, file.fileno())
    assert mode_of(tmp_path / "after") == 0o600


def test_what_is_a_pipe_or_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "file").touch()
    assert all(map(is_pipe_or_device, [tmp_path / "pipe", tmp_path / "link", Path("/dev/null")]))
    assert not any(map(is_pipe_or_device, [tmp_path / "file", tmp_path, tmp_path / "none", tmp_path / ("x" * 300)]))


def test_a_pipe_with_a_reader_is_opened_at_once_and_takes_more_than_it_holds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with open_pipe_or_device(tmp_path / "pipe", lambda _: None) as stream:
        stream.write(b"x" * 300_000)
    reader.join()
    assert got == [b"x" * 300_000]


def test_a_pipe_without_a_reader_says_that_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))

    def tell(line: str) -> None:
        got.append(line.encode())
        reader.start()

    with open_pipe_or_device(tmp_path / "pipe", tell) as stream:
        stream.write(b"row")
    reader.join()
    assert got == [f"waiting for a reader of the pipe {tmp_path / 'pipe'}".encode(), b"row"]


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
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
