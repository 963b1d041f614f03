"""The entry of one run in the record: command line without secrets, versions, and the folder of relative names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from democlass.output.run_info import RunInfo, without_secrets


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["classify", "batch", "d", "--out", "r.csv"], ["classify", "batch", "d", "--out", "r.csv"]),
        (["--api-key", "abc", "d"], ["--api-key", "***", "d"]),
        (["--api-key=abc", "--token=", "--exclude=key=1"], ["--api-key=***", "--token=***", "--exclude=key=1"]),
        (["s3://user:pass@host/a.jpg"], ["s3://***@host/a.jpg"]),
        (["https://h/a.jpg?sig=abc#x", "a?b.jpg"], ["https://h/a.jpg?***#x", "a?b.jpg"]),
        (["--map", "path=key", "monkey/"], ["--map", "path=key", "monkey/"]),
    ],
)
def test_secrets_are_masked_and_other_words_are_unchanged(words: list[str], expected: list[str]) -> None:
    assert without_secrets(words) == expected


def test_the_entry_has_the_folder_the_threads_and_the_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunInfo.of(3, ["classify", "batch", "./d"], ["./d"])
    assert (run.folder, run.threads, run.sources) == (str(tmp_path.resolve()), 3, ["./d"])
    assert set(run.versions) == {"democlass", "python", "torch", "torchvision", "pillow", "simplejpeg"}


def test_only_versions_in_both_entries_are_compared() -> None:
    before = RunInfo(versions={"torch": "2.6.0", "python": "3.11.7", "gone": "1"})
    after = replace(before, versions={"torch": "2.7.1", "python": "3.11.7", "new": "1"})
    assert before.version_differences(after) == ["torch 2.6.0 then, 2.7.1 now"]


def test_names_are_relative_to_the_folder_of_the_run_or_to_the_folder_it_was_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path.resolve()
    for name in ("first", "second", "results"):
        (tmp_path / name).mkdir()
    info = RunInfo(folder=str(tmp_path / "first"), out=str(tmp_path / "first" / "r.csv"))
    monkeypatch.chdir(tmp_path / "second")
    assert info.names_relative_to(tmp_path / "first" / "r.csv") == str(tmp_path / "first")
    assert info.names_relative_to(tmp_path / "results" / "r.csv") == str(tmp_path / "first")
    assert info.names_relative_to(tmp_path / "second" / "r.csv") == str(tmp_path / "second")  # copied, then resumed
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first").rename(tmp_path / "moved")
    assert info.names_relative_to(tmp_path / "moved" / "r.csv") == str(tmp_path / "moved")
    assert RunInfo().names_relative_to(tmp_path / "moved" / "r.csv") == str(tmp_path)  # version 0.1.0 did not record it
