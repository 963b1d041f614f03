"""The files of a training: found unwritable before any work, replaced whole, kept when the disk is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import environment
from democlass.errors import OutputError, WriteError
from democlass.networks.checkpoint_files import save
from democlass.train.places import Places
from democlass.train.run import train
from democlass.train.saving import load_tensors, save_tensors
from training import EnoughError, make_faces, order, run_tiny, same, stop, words

KIBIBYTE = 2**10


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return make_faces(tmp_path)


def check(out: Path, inputs: dict[str, Path | None] | None = None, **write_mode: bool) -> None:
    Places.of(out).check(inputs or {}, **{"resume": False, "overwrite": False, **write_mode})


def test_an_out_that_can_not_be_written_is_found_before_labels_are_read(tmp_path: Path) -> None:
    done = run_tiny(
        *("train", "gender", "no-labels.csv", "--choose", "no-choose.csv", "--out", "no-folder/new.pth"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr == "training.py: there is no folder no-folder: make it first\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "folder is a folder"),
        ("none/new.pth", "there is no folder"),
        ("pipe", "no regular file"),
        ("x" * 250, "too long"),
        ("y" * 300, "too long"),
        ("file/new.pth", "there is no folder"),
    ],
)
def test_odd_places_for_out(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=reason):
        check(tmp_path / name, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_out_without_the_right_to_write(
    tmp_path: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name, rights, file in (("closed", 0o555, 0o666), ("open", 0o777, 0o444)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "there.pth").touch()
        (tmp_path / name / "there.pth").chmod(file)
        (tmp_path / name).chmod(rights)
    with unprivileged():
        for path in ("closed/new.pth", "closed/there.pth", "open/there.pth"):
            with pytest.raises(OutputError, match=f"can.t write {path}: Permission denied"):
                check(Path(path), overwrite=True)
        check(Path("open/new.pth"))
    assert os.listdir("open") == ["there.pth"]


@pytest.mark.parametrize("suffix", ["", ".state", ".teacher", ".skipped.csv"])
def test_no_input_is_replaced(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"new.pth{suffix}"
    file.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(OutputError, match="--teacher names"):
        check(tmp_path / "new.pth", {"--teacher": tmp_path / "link"}, overwrite=True)
    check(tmp_path / "new.pth", {"--teacher": tmp_path / "other.pth"}, overwrite=True)


@pytest.mark.parametrize("suffix", ["", ".state", ".skipped.csv"])
def test_nothing_is_overwritten_unasked(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"new.pth{suffix}").write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite begins again"):
        check(tmp_path / "new.pth")
    check(tmp_path / "new.pth", overwrite=True)
    assert (tmp_path / f"new.pth{suffix}").read_bytes() == b"mine"


def test_what_is_not_there_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing to resume"):
        check(tmp_path / "new.pth", resume=True)


def test_a_link_is_followed(faces: Path) -> None:
    (faces / "there").mkdir()
    (faces / "link.pth").symlink_to("there/new.pth")
    with pytest.raises(EnoughError):
        train(order(faces, "link.pth"), stop)
    assert os.listdir(faces / "there") == ["new.pth.state"]
    train(order(faces, "link.pth", resume=True))
    assert os.listdir(faces / "there") == ["new.pth"] and (faces / "link.pth").is_symlink()


def test_a_disk_without_room_is_found_before_the_first_step(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = type("", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(OutputError, match=r"has room for 0 MB, and the state of the training needs"):
        train(order(faces, "new.pth"))


def limited(size: int) -> Callable[[], None]:
    """Return what limits the size of files in a process: to it, the disk is full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_at_the_last_save_costs_no_step(faces: Path) -> None:
    begun = order(faces, "new.pth", passes=12)
    train(replace(begun, out=faces / "whole.pth"))
    with pytest.raises(EnoughError):
        train(begun, stop)
    state = (faces / "new.pth.state").read_bytes()
    asked = words(faces, "new.pth", "--resume", "--quiet")
    done = run_tiny(*asked, preexec_fn=limited(KIBIBYTE))
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert f"can't write {faces / 'new.pth'}: File too large. " in line
    assert f"{faces / 'new.pth'}.state is saved at step 3 of 60; --resume goes on from there" in line
    assert "Traceback" not in done.stderr
    assert (faces / "new.pth.state").read_bytes() == state
    assert sorted(path.name for path in faces.glob("new.pth*")) == ["new.pth.state"]
    train(replace(begun, resume=True))
    assert same(faces / "new.pth", faces / "whole.pth")


def test_the_last_step_is_saved_before_the_checkpoint_is_written(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise WriteError("can't write it: the disk is full")

    monkeypatch.setattr("democlass.train.session.save", full)
    with pytest.raises(WriteError, match="is saved at step 10 of 10"):
        train(order(faces, "new.pth", minutes=60.0))
    monkeypatch.undo()
    steps: list[object] = []
    train(order(faces, "new.pth", resume=True), steps.append)
    assert not steps and (faces / "new.pth").exists()


def test_a_failed_save_leaves_the_file_before(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {"a": torch.zeros(3)})
    code = (
        "import torch; from pathlib import Path; from democlass.errors import WriteError\n"
        "from democlass.train.saving import save_tensors\n"
        "from democlass.networks.checkpoint_files import save\n"
        "big = {'a': torch.zeros(100_000)}\n"
        "for write in (lambda: save_tensors(Path('file'), big),\n"
        "              lambda: save(Path('file'), big, labels=[], temperature=1, card={})):\n"
        "    try: write()\n"
        "    except WriteError as error: print(error)\n"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), preexec_fn=limited(KIBIBYTE), text=True
    )
    assert said == "can't write file: File too large\n" * 2
    assert load_tensors(tmp_path / "file")["a"].equal(torch.zeros(3)) and os.listdir(tmp_path) == ["file"]


def test_what_is_saved_is_on_the_disk_before_the_state_is_deleted(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str]] = []

    def name(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    def recorded(kind: str, function: Callable[..., Any], named: Callable[[Any], str]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **more: Any) -> Any:
            done.append((kind, named(first)))
            return function(first, *rest, **more)

        return call

    monkeypatch.setattr(os, "fsync", recorded("sync", os.fsync, name))
    monkeypatch.setattr(Path, "replace", recorded("rename", Path.replace, lambda path: path.name))
    monkeypatch.setattr(Path, "unlink", recorded("delete", Path.unlink, lambda path: path.name))
    train(order(faces, "new.pth", minutes=60.0))
    folder = faces.name
    assert done[-7:] == [
        ("sync", "new.pth.state.new"),
        ("rename", "new.pth.state.new"),
        ("sync", folder),
        ("sync", "new.pth.new"),
        ("rename", "new.pth.new"),
        ("sync", folder),
        ("delete", "new.pth.state"),
    ]


def test_a_damaged_file_of_tensors_is_not_read(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {"a": torch.zeros(1000)})
    content = bytearray((tmp_path / "file").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        load_tensors(tmp_path / "file")


def test_a_checkpoint_is_written_by_way_of_the_disk(tmp_path: Path) -> None:
    save(tmp_path / "new.pth", {"a": torch.zeros(2, 2)}, labels=["x"], temperature=1.0, card={})
    assert os.listdir(tmp_path) == ["new.pth"]
