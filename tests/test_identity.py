"""Two names mean the same file where they lead to one entry of one folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from democlass.inputs.identity import current_folder, file_key


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: `d/a.jpg`, `d/sub`, and `elsewhere/far`, which `far` is a link to."""
    for name in ("d/sub", "elsewhere/far"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "d" / "a.jpg").touch()
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "far").symlink_to("elsewhere/far")
    (tmp_path / "d" / "alias.jpg").symlink_to("a.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SAME = ["./d/a.jpg", "d//a.jpg", "d/../d/a.jpg", "d/sub/../a.jpg", "link/a.jpg", "far/../../d/a.jpg"]


@pytest.mark.parametrize("name", SAME)
def test_other_spellings_are_the_same_file(name: str, tree: Path) -> None:
    assert os.path.samefile(name, "d/a.jpg")
    assert file_key(name, str(tree)) == file_key("d/a.jpg", str(tree)) == file_key(str(tree / "d/a.jpg"), "/")


@pytest.mark.parametrize("name", ["d/b.jpg", "a.jpg", "d/alias.jpg", "d/a.jpg ", "d/A.jpg", "far/../d/a.jpg"])
def test_other_entries_are_other_files(name: str, tree: Path) -> None:
    assert file_key(name, str(tree)) != file_key("d/a.jpg", str(tree))


def test_a_relative_name_depends_on_the_folder(tree: Path) -> None:
    assert file_key("a.jpg", str(tree / "d")) == file_key("d/a.jpg", str(tree))
    assert file_key("a.jpg", str(tree / "d")) != file_key("a.jpg", str(tree))


@pytest.mark.parametrize("name", ["gone/away.jpg", "d/", "..", "x" * 5000 + "/a.jpg", "a\0b", os.fsdecode(b"\xff.jpg")])
def test_any_text_has_a_key(name: str, tree: Path) -> None:
    assert file_key(name, str(tree)) == file_key(name, str(tree))


def test_a_folder_that_was_deleted_has_a_name_too(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "gone").mkdir()
    monkeypatch.chdir(tree / "gone")
    (tree / "gone").rmdir()
    assert current_folder().startswith("/")
