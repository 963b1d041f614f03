"""Two names mean the same file if they lead to the same entry of the same folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from democlass.inputs.identity import current_folder, file_key


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `d/a.jpg`, `d/sub`, and the link `far` to `elsewhere/far`."""
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
def test_other_entries_are_different_files(name: str, tree: Path) -> None:
    assert file_key(name, str(tree)) != file_key("d/a.jpg", str(tree))


def test_relative_name_depends_on_the_folder(tree: Path) -> None:
    assert file_key("a.jpg", str(tree / "d")) == file_key("d/a.jpg", str(tree))
    assert file_key("a.jpg", str(tree / "d")) != file_key("a.jpg", str(tree))


@pytest.mark.parametrize("name", ["gone/away.jpg", "d/", "..", "x" * 5000 + "/a.jpg", "a\0b", os.fsdecode(b"\xff.jpg")])
def test_any_text_has_a_key(name: str, tree: Path) -> None:
    assert file_key(name, str(tree)) == file_key(name, str(tree))


def test_deleted_current_folder_has_a_path(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "gone").mkdir()
    monkeypatch.chdir(tree / "gone")
    (tree / "gone").rmdir()
    assert current_folder().startswith("/")
