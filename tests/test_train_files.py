"""The files of a training: checked before any work, locked, replaced atomically, kept when the disk is full."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from democlass.errors import OutputError, WriteError
from democlass.networks.checkpoint_files import save
from democlass.train.paths import TrainPaths
from democlass.train.run import train
from democlass.train.saving import load_tensors, save_tensors
from processes import file_size_limit
from training import StoppedError, have_same_weights, make_faces, make_job, one_thread, run_tiny, stop_at  # noqa: F401 (one_thread is an autouse fixture)

pytestmark = pytest.mark.slow

KIBIBYTE = 2**10


def check_paths(out: Path, inputs: list[tuple[str, Path]] | None = None, **write_mode: bool) -> None:
    TrainPaths.resolve(out).check(inputs or [], **{"resume": False, "overwrite": False, **write_mode})


def test_an_unwritable_out_is_refused_before_labels_are_read(tmp_path: Path) -> None:
    done = run_tiny(
        *("train", "gender", "no-labels.csv", "--choose", "no-validation.csv", "--out", "no-folder/new.pth"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr == "training_command.py: the folder no-folder does not exist: create it first\n"


def test_an_out_that_is_the_init_checkpoint_is_refused_before_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"mine")
    (tmp_path / "link.pth").symlink_to("mine.pth")
    files = ("no-labels.csv", "--validation", "no-validation.csv", "--out", "mine.pth", "--init", "link.pth")
    done = run_tiny("train", "gender", *files, "--overwrite", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "training_command.py: --out mine.pth would replace mine.pth, which is the file of --init: use another --out\n"
    )
    assert (tmp_path / "mine.pth").read_bytes() == b"mine"


def test_a_job_whose_out_is_its_init_checkpoint_is_refused(faces: Path) -> None:
    (faces / "mine.pth").write_bytes(b"mine")
    with pytest.raises(OutputError, match="which is the file of --init"):
        train(make_job(faces, "mine.pth", init=str(faces / "mine.pth"), overwrite=True))
    assert [path.name for path in faces.glob("mine.pth*")] == ["mine.pth"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "folder is a folder"),
        ("none/new.pth", "does not exist"),
        ("pipe", "not a regular file"),
        ("x" * 250, "too long"),
        ("y" * 300, "too long"),
        ("file/new.pth", "does not exist"),
    ],
)
def test_an_out_that_can_not_be_a_file_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=reason):
        check_paths(tmp_path / name, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_out_without_write_permission_is_refused(
    tmp_path: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    for name, folder_mode, file_mode in (("closed", 0o555, 0o666), ("open", 0o777, 0o444)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "existing.pth").touch()
        (tmp_path / name / "existing.pth").chmod(file_mode)
        (tmp_path / name).chmod(folder_mode)
    with unprivileged():
        for path in ("closed/new.pth", "closed/existing.pth", "open/existing.pth"):
            with pytest.raises(OutputError, match=f"can.t write {path}: Permission denied"):
                check_paths(Path(path), overwrite=True)
        check_paths(Path("open/new.pth"))
    assert os.listdir("open") == ["existing.pth"]


@pytest.mark.parametrize("suffix", ["", ".state", ".teacher", ".skipped.csv", ".lock", ".new", ".state.new"])
def test_no_input_is_replaced(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"new.pth{suffix}"
    file.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(OutputError, match="which is the file of --teacher"):
        check_paths(tmp_path / "new.pth", [("--teacher", tmp_path / "link")], overwrite=True)
    check_paths(tmp_path / "new.pth", [("--teacher", tmp_path / "other.pth")], overwrite=True)


@pytest.mark.parametrize("suffix", ["", ".state", ".skipped.csv", ".new", ".state.new"])
def test_nothing_is_replaced_without_overwrite(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"new.pth{suffix}").write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite to start again"):
        check_paths(tmp_path / "new.pth")
    check_paths(tmp_path / "new.pth", overwrite=True)
    assert (tmp_path / f"new.pth{suffix}").read_bytes() == b"mine"


@pytest.mark.parametrize("out", ["labels3.png", "link.png", "new.pth"])
def test_no_image_is_replaced_even_with_overwrite(out: str, faces: Path) -> None:
    (faces / "link.png").symlink_to("validation3.png")
    (faces / "validation4.png").rename(faces / "new.pth.state")
    (faces / "validation4.png").symlink_to("new.pth.state")
    before = {path: path.read_bytes() for path in faces.iterdir()}
    with pytest.raises(OutputError, match="which is an image: use another --out"):
        train(make_job(faces, out, overwrite=True))
    assert {path: path.read_bytes() for path in faces.iterdir()} == before


def test_resume_needs_a_state(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing to resume"):
        check_paths(tmp_path / "new.pth", resume=True)


def test_two_trainings_can_not_write_the_same_checkpoint(faces: Path) -> None:
    job = make_job(faces, "new.pth")
    with job.paths.lock(print), pytest.raises(OutputError, match=r"another run is writing .*new\.pth\.lock"):
        train(job)
    assert not list(faces.glob("new.pth*"))


def test_another_file_in_place_of_the_lock_is_kept(faces: Path) -> None:
    (faces / "new.pth.lock").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is not a lock file"):
        train(make_job(faces, "new.pth"))
    assert (faces / "new.pth.lock").read_bytes() == b"mine"


def test_a_symlinked_out_is_followed(faces: Path) -> None:
    (faces / "there").mkdir()
    (faces / "link.pth").symlink_to("there/new.pth")
    with pytest.raises(StoppedError):
        train(make_job(faces, "link.pth"), stop_at(3))
    assert os.listdir(faces / "there") == ["new.pth.state"]
    train(make_job(faces, "link.pth", resume=True))
    assert os.listdir(faces / "there") == ["new.pth"] and (faces / "link.pth").is_symlink()


def test_a_full_disk_is_found_before_the_first_step(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"has 0 MB free, but the state of the training needs"):
        train(make_job(faces, "new.pth"))


def test_a_full_disk_at_the_end_loses_no_step(faces: Path) -> None:
    job = make_job(faces, "new.pth")
    train(replace(job, out=faces / "whole.pth"))
    with pytest.raises(StoppedError):
        train(job, stop_at(3))
    state = (faces / "new.pth.state").read_bytes()
    with file_size_limit(KIBIBYTE), pytest.raises(WriteError) as error:
        train(replace(job, resume=True, save_minutes=60.0))
    assert str(error.value) == (
        f"can't write {faces / 'new.pth'}: File too large. "
        f"{faces / 'new.pth'}.state is saved at step 3 of 10; --resume continues from it"
    )
    assert (faces / "new.pth.state").read_bytes() == state
    assert sorted(path.name for path in faces.glob("new.pth*")) == ["new.pth.state"]
    train(replace(job, resume=True))
    assert have_same_weights(faces / "new.pth", faces / "whole.pth")


def test_the_last_step_is_saved_before_the_checkpoint_is_written(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise WriteError("can't write it: the disk is full")

    monkeypatch.setattr("democlass.train.session.save", fail)
    with pytest.raises(WriteError, match="is saved at step 10 of 10"):
        train(make_job(faces, "new.pth", save_minutes=60.0))
    monkeypatch.undo()
    steps: list[object] = []
    train(make_job(faces, "new.pth", resume=True), steps.append)
    assert not steps and (faces / "new.pth").exists()


def test_a_failed_save_leaves_the_earlier_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    save_tensors(file, {"a": torch.zeros(3)})
    large = {"a": torch.zeros(100_000)}
    with file_size_limit(KIBIBYTE):
        with pytest.raises(WriteError, match=r"can't write .*file: File too large"):
            save_tensors(file, large)
        with pytest.raises(WriteError, match=r"can't write .*file: File too large"):
            save(file, large, labels=[], temperature=1, card={})
    assert load_tensors(file)["a"].equal(torch.zeros(3)) and os.listdir(tmp_path) == ["file"]


def test_the_checkpoint_is_on_the_disk_before_the_state_is_deleted(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []

    def descriptor_name(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    def record(kind: str, function: Callable[..., Any], name_of: Callable[[Any], str]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **more: Any) -> Any:
            calls.append((kind, name_of(first)))
            return function(first, *rest, **more)

        return call

    monkeypatch.setattr(os, "fsync", record("sync", os.fsync, descriptor_name))
    monkeypatch.setattr(Path, "replace", record("rename", Path.replace, lambda path: path.name))
    monkeypatch.setattr(Path, "unlink", record("delete", Path.unlink, lambda path: path.name))
    train(make_job(faces, "new.pth", save_minutes=60.0))
    folder = faces.name
    assert calls[-8:] == [
        ("sync", "new.pth.state.new"),
        ("rename", "new.pth.state.new"),
        ("sync", folder),
        ("sync", "new.pth.new"),
        ("rename", "new.pth.new"),
        ("sync", folder),
        ("delete", "new.pth.state"),
        ("delete", "new.pth.lock"),
    ]


def test_a_damaged_file_of_tensors_is_not_loaded(tmp_path: Path) -> None:
    save_tensors(tmp_path / "file", {"a": torch.zeros(1000)})
    content = bytearray((tmp_path / "file").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        load_tensors(tmp_path / "file")


def test_writing_a_checkpoint_leaves_no_other_file(tmp_path: Path) -> None:
    save(tmp_path / "new.pth", {"a": torch.zeros(2, 2)}, labels=["x"], temperature=1.0, card={})
    assert os.listdir(tmp_path) == ["new.pth"]
