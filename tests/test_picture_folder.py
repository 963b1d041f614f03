"""The folder of pictures: names stay apart and inside, and nothing else is ever replaced."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from democlass.errors import OutputError, WriteError
from democlass.output.picture_folder import MARKER, PictureFolder


def begin(path: Path, *, sources: tuple[str | Path, ...] = (), may_replace: bool = False) -> PictureFolder:
    return PictureFolder(path, "--annotate", sources=sources, may_replace=may_replace)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/1.jpg", "a/1.jpg.png"),
        ("./b//1.jpg", "b/1.jpg.png"),
        ("/photos/1.jpg", "%root/photos/1.jpg.png"),
        ("../1.jpg", "%up/1.jpg.png"),
        ("%up/1.jpg", "%%up/1.jpg.png"),
        ("a/../../1.jpg", "a/%up/%up/1.jpg.png"),
        ("-", "-.png"),
    ],
)
def test_pictures_lie_as_the_images_do(tmp_path: Path, name: str, expected: str) -> None:
    assert begin(tmp_path).path_of(name, ".png") == tmp_path.resolve() / expected


names = st.lists(st.sampled_from([b"a", b"..", b".", b"%up", b"%root", b"%", b"\xff", b"x" * 255, b"x" * 254 + b"y"]))


@settings(deadline=None)
@given(names.filter(bool), names.filter(bool), st.booleans(), st.booleans())
def test_different_images_have_different_pictures_inside_the_folder(
    one: list[bytes], other: list[bytes], first_absolute: bool, second_absolute: bool
) -> None:
    folder = object.__new__(PictureFolder)
    folder.path = Path("/pictures")
    paths = []
    for parts, absolute in ((one, first_absolute), (other, second_absolute)):
        path = folder.path_of(os.fsdecode(b"/" * absolute + b"/".join(parts)), ".png")
        assert ".." not in path.parts and path.is_relative_to(folder.path) and path != folder.path
        assert all(len(os.fsencode(part)) <= 255 for part in path.parts)
        paths.append(path)
    clean = [[part for part in parts if part != b"."] for parts in (one, other)]
    if all(clean):
        assert (paths[0] == paths[1]) == ((clean[0], first_absolute) == (clean[1], second_absolute))


def test_a_folder_is_made_and_marked(tmp_path: Path) -> None:
    folder = begin(tmp_path / "new" / "pictures")
    folder.write("a/1.jpg", ".faces.jpg", b"picture")
    assert (tmp_path / "new/pictures/a/1.jpg.faces.jpg").read_bytes() == b"picture"
    assert (tmp_path / "new/pictures" / MARKER).is_file()


def test_a_folder_with_other_files_is_refused_even_if_it_may_replace(tmp_path: Path) -> None:
    (tmp_path / "original.jpg").write_bytes(b"original")
    for may_replace in (False, True):
        with pytest.raises(OutputError, match="is not empty: use a new or empty folder"):
            begin(tmp_path, may_replace=may_replace)
    assert [path.name for path in tmp_path.iterdir()] == ["original.jpg"]


def test_its_own_folder_is_continued_only_if_that_was_asked_for(tmp_path: Path) -> None:
    begin(tmp_path).write("1.jpg", ".png", b"old")
    with pytest.raises(OutputError, match="use --resume or --overwrite"):
        begin(tmp_path)
    begin(tmp_path, may_replace=True).write("1.jpg", ".png", b"new")
    assert (tmp_path / "1.jpg.png").read_bytes() == b"new"


@pytest.mark.parametrize("inside", ["pictures", ".", "a/b"])
def test_a_folder_inside_a_source_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="is inside"):
        begin(tmp_path / "link" / inside, sources=(tmp_path,))


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = begin(tmp_path / "pictures")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteError, match="leads out of"):
        folder.write("a/1.jpg", ".png", b"picture")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't write into --annotate"):
        begin(tmp_path / "file" / "pictures")
    folder = begin(tmp_path / "pictures")
    (tmp_path / "pictures" / "a").touch()
    with pytest.raises(WriteError, match="can't write"):
        folder.write("a/1.jpg", ".png", b"picture")


def test_a_folder_that_is_deleted_during_the_run_is_not_made_again(tmp_path: Path) -> None:
    folder = begin(tmp_path / "new" / "pictures")
    folder.write("a.jpg", ".faces.jpg", b"picture")
    shutil.rmtree(tmp_path / "new")
    with pytest.raises(WriteError, match="pictures was moved or deleted during the run"):
        folder.write("b.jpg", ".faces.jpg", b"picture")
    assert os.listdir(tmp_path) == []
