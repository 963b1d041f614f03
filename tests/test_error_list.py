"""`--errors FILE`: the list of images that could not be read, written completely or not at all."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from conftest import EXAMPLES, Run, command, environment
from democlass.cli.error_list import ErrorList
from democlass.errors import OutputError, WriteError
from democlass.results import Prediction

pytestmark = pytest.mark.slow

HOPPER = EXAMPLES / "grace_hopper.jpg"
GONE = "no such file: it is not there, or no longer"
BAD = Prediction("b.jpg", error="truncated: copy it again")


def write_list(path: Path, *predictions: Prediction, out: Path | None = None, **mode: bool) -> None:
    with closing(ErrorList(path, out, **{"overwrite": False, "resume": False, **mode})) as errors:
        for each in predictions:
            errors.add(each)
        errors.finish()


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def test_only_errors_are_listed(tmp_path: Path) -> None:
    write_list(tmp_path / "failed.csv", Prediction("a.jpg"), BAD, Prediction('c,"\n.jpg', error="x: y"))
    assert lines(tmp_path / "failed.csv") == [
        ["path", "error"],
        ["b.jpg", "truncated: copy it again"],
        ['c,"\n.jpg', "x: y"],
    ]


def test_without_errors_the_list_has_only_a_header(tmp_path: Path) -> None:
    write_list(tmp_path / "failed.csv")
    assert (tmp_path / "failed.csv").read_text() == "path,error\n"


def test_names_that_are_not_utf_8_add_a_column_with_their_bytes(tmp_path: Path) -> None:
    write_list(tmp_path / "failed.csv", BAD, Prediction(os.fsdecode(b"\xff.jpg"), error="x: y"))
    assert lines(tmp_path / "failed.csv") == [
        ["path", "error", "path_bytes"],
        ["b.jpg", "truncated: copy it again", ""],
        ["\\xff.jpg", "x: y", b"\xff.jpg".hex()],
    ]


def test_no_file_exists_until_the_list_is_finished(tmp_path: Path) -> None:
    with closing(ErrorList(tmp_path / "failed.csv", None, overwrite=False, resume=False)) as errors:
        errors.add(BAD)
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_with_overwrite_or_resume(tmp_path: Path) -> None:
    file = tmp_path / "failed.csv"
    write_list(file, BAD)
    with pytest.raises(OutputError, match="--overwrite"):
        write_list(file)
    file.chmod(0o600)
    write_list(file, resume=True)
    assert file.read_text() == "path,error\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("path,gender\n")
    with pytest.raises(OutputError, match="not a list of errors"):
        write_list(file, resume=True)
    assert file.read_text() == "path,gender\n"
    write_list(file, overwrite=True)
    assert file.read_text() == "path,error\n"


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("failed.csv")
    write_list(tmp_path / "link.csv", BAD)
    assert (tmp_path / "link.csv").is_symlink() and len(lines(tmp_path / "failed.csv")) == 2


@pytest.mark.parametrize("name", ["-", ".", "none/failed.csv", "r.csv", "r.csv.partial", "r.csv.run.json", "./r.csv"])
def test_folders_and_files_of_the_output_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError):
        write_list(Path(name), out=Path("r.csv"), overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_write_permission_is_refused(unprivileged: Callable[[], AbstractContextManager[None]]) -> None:
    Path("closed").mkdir(mode=0o500)
    with unprivileged(), pytest.raises(OutputError, match=r"can't write closed/failed\.csv: Permission"):
        write_list(Path("closed/failed.csv"))


def test_a_device_is_written_to_directly() -> None:
    with pytest.raises(WriteError, match="No space left"):
        write_list(Path("/dev/full"), BAD)


def test_an_existing_file_is_refused_before_any_work(classify_tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "failed.csv").write_text("mine")
    for words in (["gone.jpg"], ["batch", str(HOPPER), "--out", "r.csv"]):
        result = classify_tiny(*words, "--errors", "failed.csv", "--weights", "none")
        assert result.returncode == 2 and b"failed.csv exists" in result.stderr and result.stdout == b""
    assert os.listdir(tmp_path) == ["failed.csv"] and (tmp_path / "failed.csv").read_text() == "mine"


def test_after_a_resume_the_list_has_the_errors_of_all_rows(classify_tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").touch()
    words = ["batch", "bad.jpg", "gone.jpg", HOPPER, "--out", "r.csv", "--errors", "failed.csv"]
    assert classify_tiny(*words).returncode == 3
    first = [["bad.jpg", "empty file: copy it again from where it came"], ["gone.jpg", GONE]]
    assert lines(tmp_path / "failed.csv") == [["path", "error"], *first]
    (tmp_path / "bad.jpg").write_bytes(HOPPER.read_bytes())
    sources = ["bad.jpg", "gone.jpg", "new.jpg"]
    result = classify_tiny("batch", *sources, "--out", "r.csv", "--retry-errors", "--errors", "failed.csv")
    assert result.returncode == 3 and b"errors      failed.csv" in result.stderr
    assert lines(tmp_path / "failed.csv") == [["path", "error"], ["gone.jpg", GONE], ["new.jpg", GONE]]


def test_the_list_can_be_a_pipe_while_rows_go_to_standard_output(tmp_path: Path) -> None:
    words = command("gone.jpg", HOPPER, "--errors", "/dev/fd/3")
    shell = ["sh", "-c", '"$@" 3>&1 >rows | cat', "sh", *words]
    result = subprocess.run(shell, cwd=tmp_path, env=environment(), capture_output=True, timeout=120)
    assert result.stdout.decode() == f'path,error\ngone.jpg,"{GONE}"\n'
    assert (tmp_path / "rows").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("header", ["path,errors_found_by_me,notes", "path,error,notes", "path,error;"])
def test_another_file_is_not_replaced_even_with_resume(tmp_path: Path, header: str) -> None:
    (tmp_path / "mine.csv").write_text(f"{header}\na.jpg,3,precious\n")
    with pytest.raises(OutputError, match="is not a list of errors"):
        write_list(tmp_path / "mine.csv", resume=True)
    assert "precious" in (tmp_path / "mine.csv").read_text()


def test_no_other_file_next_to_the_list_is_touched(tmp_path: Path) -> None:
    (tmp_path / "failed.csv.new").write_text("mine")
    write_list(tmp_path / "failed.csv", BAD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.csv", "failed.csv.new"]
    assert (tmp_path / "failed.csv.new").read_text() == "mine"
