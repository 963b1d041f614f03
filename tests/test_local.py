"""Images are found in files, folders and patterns, and by names on standard input."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from democlass.inputs.item import Item
from democlass.inputs.local import Walk, find


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, other files and hidden files, inside the current folder."""
    for name in [
        "b.jpg",
        "a.JPEG",
        "a/1.png",
        "a/2.txt",
        "a/deep/3.webp",
        "a0.jpg",
        ".hidden.jpg",
        ".git/x.jpg",
        "z.txt",
    ]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def found(sources: Sequence[str], walk: Walk = Walk(), skipped: Counter[str] | None = None) -> list[str]:
    return names_of(find(sources, walk, Counter() if skipped is None else skipped))


def names_of(items: Iterable[Item]) -> list[str]:
    return [str(item.name) for item in items]


def test_folder_is_searched_recursively_in_the_order_of_sort(tree: Path) -> None:
    names = found(["photos"])
    assert names == ["photos/a.JPEG", "photos/a/1.png", "photos/a/deep/3.webp", "photos/a0.jpg", "photos/b.jpg"]
    ordered = subprocess.run(
        ["sort"], input="\n".join(names).encode(), env={"LC_ALL": "C", **os.environ}, capture_output=True
    )
    assert ordered.stdout.decode().split() == names


def test_skipped_files_are_counted_by_reason(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jpg")
    skipped: Counter[str] = Counter()
    found(["photos"], Walk(), skipped)
    assert skipped == {"not named like an image": 2, "hidden": 2, "not a regular file": 1}


def test_folder_named_like_an_image_is_searched(tree: Path) -> None:
    (tree / "x.jpg").mkdir()
    (tree / "x.jpg" / "in.png").touch()
    assert "photos/x.jpg/in.png" in found(["photos"])
    assert "photos/x.jpg" not in found(["photos"])


@pytest.mark.parametrize(
    ("walk", "expected"),
    [
        (Walk(recursive=False), ["a.JPEG", "a0.jpg", "b.jpg"]),
        (Walk(hidden=True), [".git/x.jpg", ".hidden.jpg", "a.JPEG", "a/1.png", "a/deep/3.webp", "a0.jpg", "b.jpg"]),
        (Walk(include=("*.txt",)), ["a/2.txt", "z.txt"]),
        (Walk(include=("a/*.png", "b*")), ["a/1.png", "b.jpg"]),
        (Walk(exclude=("a",)), ["a.JPEG", "a0.jpg", "b.jpg"]),
        (Walk(exclude=("*.jpg", "a/deep/*")), ["a.JPEG", "a/1.png"]),
    ],
)
def test_search_options(tree: Path, walk: Walk, expected: list[str]) -> None:
    assert found(["photos"], walk) == [f"photos/{name}" for name in expected]


def test_symlinked_folders_are_searched_once(tree: Path) -> None:
    (tree / "a" / "up").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree / "again").symlink_to(tree / "a")
    names = found(["photos"])
    assert len(names) == len({Path(name).resolve() for name in names}) == 5


def test_symlinked_images_and_broken_links_are_yielded(tree: Path) -> None:
    (tree / "link.jpg").symlink_to(tree / "b.jpg")
    (tree / "broken.jpg").symlink_to("nowhere")
    assert {"photos/link.jpg", "photos/broken.jpg"} <= set(found(["photos"]))


def test_every_given_path_is_yielded_in_the_given_order(tree: Path) -> None:
    assert found(["photos/z.txt", "missing.jpg", "/dev/null"]) == ["photos/z.txt", "missing.jpg", "/dev/null"]


def test_folder_that_cannot_be_listed_is_yielded(
    tree: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    (tree / "a").chmod(0)
    with unprivileged():
        names = found(["photos"])
    (tree / "a").chmod(0o755)
    assert "photos/a" in names and "photos/a/1.png" not in names


def test_patterns_are_expanded(tree: Path) -> None:
    assert found(["photos/*.jpg"]) == ["photos/a0.jpg", "photos/b.jpg"]
    assert found(["photos/**/*.webp"]) == ["photos/a/deep/3.webp"]
    assert found(["photos/**"]) == found(["photos"])


def test_pattern_without_matches_is_yielded_with_a_warning(tree: Path) -> None:
    warnings: list[str] = []
    sources = ["photos/*.gif", "photos/z.txt", "none.jpg", "photos/*.jpg"]
    names = names_of(find(sources, Walk(), Counter(), warn=warnings.append))
    assert names == ["photos/*.gif", "photos/z.txt", "none.jpg", "photos/a0.jpg", "photos/b.jpg"]
    assert warnings == ["no file matches photos/*.gif"]


def test_existing_file_named_like_a_pattern_is_not_expanded(tree: Path) -> None:
    (tree / "[b].jpg").touch()
    assert found(["photos/[b].jpg"]) == ["photos/[b].jpg"]


@pytest.mark.parametrize(
    "sources",
    [
        ("photos", "photos"),
        ("photos", "photos/a"),
        ("photos", "./photos/", "photos//"),
        ("photos", "link"),
        ("photos", "photos/a/deep", "photos/**"),
        ("photos", "phot*"),
    ],
)
def test_folder_is_searched_once_for_all_sources(sources: Sequence[str], tree: Path) -> None:
    Path("link").symlink_to("photos")
    skipped: Counter[str] = Counter()
    assert found(sources, Walk(), skipped) == found(["photos"])
    assert skipped == {"not named like an image": 2, "hidden": 2}


def test_subfolder_that_is_given_first_comes_first(tree: Path) -> None:
    assert found(["photos/a", "photos"]) == [
        *("photos/a/1.png", "photos/a/deep/3.webp", "photos/a.JPEG", "photos/a0.jpg", "photos/b.jpg")
    ]


def test_file_is_yielded_each_time_it_is_given(tree: Path) -> None:
    assert found(["photos/b.jpg", "photos/b.jpg"]) == ["photos/b.jpg"] * 2
    assert found(["photos", "photos/b.jpg"]) == [*found(["photos"]), "photos/b.jpg"]


def test_given_subfolder_yields_files_that_patterns_skipped_before(tree: Path) -> None:
    """Patterns match the path relative to the given folder, so they may match other files the second time."""
    skipped: Counter[str] = Counter()
    names = found(["photos", "photos/a"], Walk(exclude=("a/*",)), skipped)
    assert names == ["photos/a.JPEG", "photos/a0.jpg", "photos/b.jpg", "photos/a/1.png", "photos/a/deep/3.webp"]
    assert skipped == {"excluded": 1, "not named like an image": 1, "hidden": 2}
    included = Walk(include=("a/*",))
    assert found(["photos/a", "photos"], included) == found(["photos"], included)
    assert found(["photos", "photos/a", "photos"], included) == found(["photos"], included)


def test_names_on_standard_input_replace_the_dash(tree: Path) -> None:
    items = find(["photos/b.jpg", "-", "photos/b.jpg"], Walk(), Counter(), read_stdin=lambda: map(Item.of, "xy"))
    assert names_of(items) == ["photos/b.jpg", "x", "y", "photos/b.jpg"]
