"""Patterns that the shell did not expand."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from conftest import environment
from democlass.inputs.patterns import exists, expand, is_pattern


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [
        *("d/a.jpg", "d/b.JPG", "d/.hidden.jpg", "d/.git/x.jpg", "d/1/2/3/deep.jpg", "d/1/c.jpg", "d/10/c.jpg"),
        *("d/[2020] a/p.jpg", "d/[b].jpg", "d/b.jpg", "e/a.jpg"),
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Python's glob behaves like shells. Intended differences have tests of their own.
@pytest.mark.parametrize(
    "pattern",
    [
        *("d/*.jpg", "d/**/*.jpg", "**/*.jpg", "d/*/c.jpg", "?/a.jpg", "d/1*/c.jpg", "d/**/2/**/*.jpg", "*/**/c.jpg"),
        *("d/.*", "d/.g*/*.jpg", "d/*/", "./d//*.jpg", "{here}/d/**/*.jpg", "d/../e/*", "nowhere/*.jpg", "d/a.jpg/*"),
    ],
)
def test_patterns_match_like_in_a_shell(pattern: str, tree: Path) -> None:
    pattern = pattern.format(here=tree)
    expected = {os.path.normpath(name) for name in glob.glob(pattern, recursive=True)}
    found = list(expand(pattern))
    assert {os.path.normpath(name) for name in found} == expected
    assert len(found) == len(expected) and found == sorted(found, key=os.fsencode)
    assert exists(pattern) == bool(expected)


def test_names_of_existing_files_are_not_patterns(tree: Path) -> None:
    assert is_pattern("d/*.jpg") and is_pattern("d/[a].jpg")
    assert not is_pattern("d/[b].jpg") and not is_pattern("d/a.jpg") and not is_pattern("none.jpg")


def test_part_that_is_an_exact_name_means_that_name(tree: Path) -> None:
    assert list(expand("d/[2020] a/*.jpg")) == ["d/[2020] a/p.jpg"]
    assert list(expand("*/[b].jpg")) == ["d/[b].jpg"]
    (tree / "d" / "[b].jpg").unlink()
    assert list(expand("*/[b].jpg")) == ["d/b.jpg"]


def test_two_stars_at_the_end_match_only_folders(tree: Path) -> None:
    """The folders are then searched for images."""
    assert list(expand("d/**")) == ["d", "d/1", "d/1/2", "d/1/2/3", "d/10", "d/[2020] a"]
    assert "." in list(expand("**"))
    assert list(expand("nowhere/**")) == [] and not exists("nowhere/**")


def test_symlinked_folders_are_visited_once(tree: Path) -> None:
    (tree / "d" / "up").symlink_to(tree)
    (tree / "d" / "self").symlink_to("self")
    (tree / "d" / "broken.jpg").symlink_to("nowhere")
    names = list(expand("d/**/*.jpg"))
    assert len(names) == len({os.path.realpath(name) for name in names}) == 9
    assert "d/broken.jpg" in names


def test_folder_that_cannot_be_listed_is_yielded(
    tree: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (tree / "d" / "1").chmod(0)
    with unprivileged():
        names = list(expand("d/**/*.jpg"))
    (tree / "d" / "1").chmod(0o755)
    assert "d/1" in names and "d/1/c.jpg" not in names and "d/10/c.jpg" in names


def test_folders_nested_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    """The limit is lowered because creating a thousand folders takes seconds. Some paths exceed PATH_MAX."""
    code = """
import os, sys
from collections import Counter
from democlass.inputs.patterns import expand
from democlass.inputs.local import Walk, find
sys.setrecursionlimit(100)
for depth in range(int(sys.argv[1])):
    os.mkdir(sys.argv[2])
    os.chdir(sys.argv[2])
    open("x.jpg", "w").close()
os.chdir(sys.argv[3])
found = (item.name for item in find(["."], Walk(), Counter()))
for names in (found, expand("**/*.jpg")):
    names = list(names)
    print(sum(name.endswith("x.jpg") for name in names), sum(not name.endswith("x.jpg") for name in names))
"""
    for depth, name, min_images, other_rows in ((200, "d", 200, 0), (180, "a-longer-name-of-a-folder", 100, 1)):
        start = tmp_path / name
        start.mkdir()
        words = [sys.executable, "-c", code, str(depth), name, str(start)]
        result = subprocess.run(words, cwd=start, env=environment(), capture_output=True, text=True)
        subprocess.run(["rm", "-rf", start], check=True)  # shutil.rmtree fails at this depth
        assert result.returncode == 0, result.stderr[-1000:]
        found = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
        assert len(found) == 2 and all(images >= min_images and others == other_rows for images, others in found), found
