"""The row log: whole rows, one process at a time, repeated rows in the place of the first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.results import Outcome, Prediction
from democlass.rowlog import RowLog
from democlass.tasks import TASKS


def row(name: str, error: str | None = None) -> Prediction:
    if error:
        return Prediction(name, error=error)
    even = {
        task.name: Outcome(task.labels[0], {label: 1 / len(task.labels) for label in task.labels}) for task in TASKS
    }
    return Prediction(name, even)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RowLog]:
    with closing(RowLog(tmp_path / "out.csv.partial")) as log:
        yield log


def test_rows_come_back_with_every_digit(log: RowLog) -> None:
    rows = [row("a"), row("b", "truncated: x"), row("c")]
    for each in rows:
        log.append(each)
    assert list(log.rows()) == rows


def test_a_repeated_row_takes_the_place_of_the_first_and_the_last_one_counts(log: RowLog) -> None:
    for each in (row("a"), row("b", "truncated: x"), row("c")):
        log.append(each)
    log.append(row("b", "truncated: again"), replaces=1)
    log.append(row("d"))
    log.append(row("b"), replaces=1)
    assert list(log.rows()) == [row("a"), row("b"), row("c"), row("d")]


@pytest.mark.parametrize("torn", [b'{"path": "torn', b"x" * 200_000, b""])
def test_what_follows_the_last_whole_row_is_cut_off(torn: bytes, log: RowLog) -> None:
    log.append(row("a"))
    log.close()
    with log.path.open("ab") as file:
        file.write(torn)
    with closing(RowLog(log.path)) as again:
        again.cut_torn_row()
        again.append(row("b"))
        assert list(again.rows()) == [row("a"), row("b")]


def test_a_log_of_nothing_but_a_torn_row_is_empty(log: RowLog) -> None:
    log.close()
    log.path.write_bytes(b"torn")
    with closing(RowLog(log.path)) as again:
        again.cut_torn_row()
        assert again.is_empty and list(again.rows()) == []


def test_a_row_that_cannot_be_read_is_refused(log: RowLog) -> None:
    log.append(row("a"))
    with log.path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(OutputError, match="--overwrite"):
        list(log.rows())


def test_only_one_process_holds_it_and_death_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    hold = f"from democlass.rowlog import RowLog; import pathlib, time; log = RowLog(pathlib.Path({str(path)!r}))"
    code = f"import sys; sys.path[:0] = {sys.path!r}; {hold}; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OutputError, match="another run"):
            RowLog(path)
        other.kill()
    RowLog(path).close()


def test_an_empty_log_leaves_no_file(log: RowLog) -> None:
    log.close()
    assert not log.path.exists()


def test_a_full_disk_keeps_whole_rows(tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the kernel stops the write half-way just so."""
    path = tmp_path / "out.partial"
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import pathlib, resource, signal
from democlass.errors import WriteError
from democlass.results import Prediction
from democlass.rowlog import RowLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = RowLog(pathlib.Path({str(path)!r}))
log.append(Prediction("a", error="x: y"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    log.append(Prediction("b" * 200, error="x: y"))
except WriteError as error:
    print(error)
log.close()
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--resume" in said
    with closing(RowLog(path)) as log:
        assert [each.path for each in log.rows()] == ["a"]


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't write"):
        RowLog(tmp_path / "none" / "out.partial")
