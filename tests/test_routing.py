"""Which command a command line means, and what a mistyped command leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from democlass.cli.routing import COMMANDS, Route, refuse_mistyped_command, route
from democlass.errors import UsageError


def route_of(*words: str) -> Route:
    return route(words, lambda: {"--device", "-f"})


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_word_that_is_not_an_option_may_name_a_command(command: str) -> None:
    assert route_of(command, "x", "--quiet") == (command, [command, "x", "--quiet"], None)


def test_options_before_a_command_become_options_of_that_command() -> None:
    assert route_of("--device", "cpu", "batch", "x") == ("batch", ["batch", "--device", "cpu", "x"], None)
    assert route_of("--device=cpu", "-q", "batch", "x") == ("batch", ["batch", "--device=cpu", "-q", "x"], None)
    assert route_of("--help", "batch") == ("batch", ["batch", "--help"], None)


def test_the_value_of_an_option_is_not_a_command() -> None:
    assert route_of("-f", "batch", "x") == ("paths", ["paths", "-f", "batch", "x"], "x")
    assert route_of("-f", "batch") == ("paths", ["paths", "-f", "batch"], None)


def test_any_other_word_is_a_path_of_the_default_command() -> None:
    assert route_of("photo.jpg", "batch") == ("paths", ["paths", "photo.jpg", "batch"], "photo.jpg")
    assert route_of("-", "batch") == ("paths", ["paths", "-", "batch"], "-")
    assert route_of() == ("paths", ["paths"], None)


def test_no_word_after_two_dashes_is_a_command() -> None:
    assert route_of("--", "batch") == ("paths", ["paths", "--", "batch"], None)
    assert route_of("-q", "--", "batch") == ("paths", ["paths", "-q", "--", "batch"], None)


def test_options_of_the_group_stay_with_the_group() -> None:
    assert route_of("--help") == (None, ["--help"], None)
    assert route_of("--show-completion", "-h") == (None, ["--show-completion", "-h"], None)
    assert route_of("--version", "-q", "batch") == ("batch", ["--version", "batch", "-q"], None)
    assert route_of("-q", "--help") == ("paths", ["paths", "-q", "--help"], None)


def test_a_file_or_folder_named_paths_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert route_of("paths", "x") == ("paths", ["paths", "x"], None)
    (tmp_path / "paths").mkdir()
    assert route_of("paths", "x") == ("paths", ["paths", "paths", "x"], "paths")


@pytest.mark.parametrize(
    ("word", "command"),
    [("evalute", "evaluate"), ("bacth", "batch"), ("Batch", "batch"), ("trian", "train"), ("weight", "weights")],
)
def test_a_mistyped_command_gets_a_suggestion(
    word: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^no such command '{word}'; did you mean '{command}'\\?$"):
        refuse_mistyped_command(word)
    (tmp_path / word).symlink_to("missing")
    refuse_mistyped_command(word)


@pytest.mark.parametrize(
    "word",
    ["photos", "photo.jpg", "batch/a.jpg", "./evalute", "train2", "weights.png", "*.jpg", "-", "faces", "test", "x"],
)
def test_a_word_unlike_any_command_is_a_path(word: str) -> None:
    refuse_mistyped_command(word)
