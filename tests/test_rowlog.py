"""The row log: only complete rows, one process at a time, and replacements of earlier rows."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from democlass.errors import OutputError
from democlass.output.rowlog import RowLog
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS


def row(name: str, error: str | None = None) -> Prediction:
    if error:
        return Prediction(name, error=error)
    uniform = {
        task.name: Outcome(task.labels[0], {label: 1 / len(task.labels) for label in task.labels}) for task in TASKS
    }
    return Prediction.of_image(name, uniform)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RowLog]:
    with closing(RowLog(tmp_path / "out.csv.partial")) as log:
        yield log


def test_rows_are_read_back_with_all_digits(log: RowLog) -> None:
    rows = [row("a"), row("b", "truncated: x"), row("c")]
    for each in rows:
        log.append(each)
    assert list(log.rows()) == rows


def test_the_last_replacement_of_a_row_is_read_in_its_position(log: RowLog) -> None:
    for each in (row("a"), row("b", "truncated: x"), row("c")):
        log.append(each)
    log.append(row("b", "truncated: again"), replaces=1)
    log.append(row("d"))
    log.append(row("b"), replaces=1)
    assert list(log.rows()) == [row("a"), row("b"), row("c"), row("d")]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"path": "torn',
        b"x" * 200_000,
        b"",
        b"\0",
        b"\0" * 300_000,
        b'{"path": "to' + b"\0" * 5000,
        b"\0" * 70_000 + b"\n",
        b"\0\0\n" * 40_000,
    ],
)
def test_everything_after_the_last_complete_row_is_cut_off(torn: bytes, log: RowLog) -> None:
    log.append(row("a"))
    log.close()
    with log.path.open("ab") as file:
        file.write(torn)
    with closing(RowLog(log.path)) as reopened:
        reopened.cut_torn_end()
        reopened.append(row("b"))
        assert list(reopened.rows()) == [row("a"), row("b")]


def test_a_log_with_only_an_incomplete_row_is_empty(log: RowLog) -> None:
    log.close()
    log.path.write_bytes(b"torn")
    with closing(RowLog(log.path)) as reopened:
        reopened.cut_torn_end()
        assert reopened.is_empty and list(reopened.rows()) == []


DAMAGED = [
    b"nonsense",
    b"\0" * 4096,
    b"[]",
    b"5",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"path": 5, "status": "error", "error": "x"}',
    b'{"path": null, "status": "error", "error": "x"}',
    b'{"path": "a\\u0000b", "status": "error", "error": "x"}',
    b'{"path": "b", "status": "unknown"}',
    b'{"path": "b", "status": "ok"}',
    b'{"path": "b", "status": "ok", "gender_probabilities": 5, "race_probabilities": {}}',
    b'{"path": "b", "path_bytes": "xx", "status": "error", "error": "x"}',
    b'{"path": "b", "status": "error", "error": "x", "replaces_row": "0"}',
    b'{"path": "b", "status": "error", "error": "x", "replaces_row": -1}',
    b'{"path": "b", "status": "error", "error": "x", "replaces_row": 7}',
    b'{"path": "b", "status": "error", "error": "x", "replaces_row": 99999999999999999999}',
]


@pytest.mark.parametrize("line", DAMAGED, ids=[str(number) for number in range(len(DAMAGED))])
def test_the_error_for_a_damaged_row_has_a_command_that_cuts_it_off(line: bytes, log: RowLog) -> None:
    log.append(row("a"))
    start = log.size
    log.append(row("c"))
    log.close()
    content = log.path.read_bytes()
    log.path.write_bytes(content[:start] + line + b"\n" + content[start:])
    with closing(RowLog(log.path)) as reopened:
        reopened.cut_torn_end()
        with pytest.raises(OutputError, match="--overwrite") as caught:
            list(reopened.rows())
        message = str(caught.value)
        assert "\n" not in message and f"truncate -s {start} " in message
        subprocess.run(shlex.split(message.partition(f"{start}: ")[2].partition(" removes")[0]), check=True)
        assert list(reopened.rows()) == [row("a")]


def test_many_rows_are_added_in_one_call(log: RowLog) -> None:
    rows = [row(f"{number}", "truncated: x") for number in range(2000)]
    log.extend(rows)
    log.append(row("last"))
    assert list(log.rows()) == [*rows, row("last")]


def test_a_name_that_contains_the_key_of_replacements_is_a_row(log: RowLog) -> None:
    rows = [row('a"replaces_row": 0.jpg'), row("replaces_row")]
    log.extend(rows)
    assert list(log.rows()) == rows


def test_a_deleted_log_keeps_its_rows_and_does_not_delete_a_new_file_of_that_name(log: RowLog) -> None:
    log.append(row("a"))
    log.path.unlink()
    log.path.write_text("of another run")
    log.append(row("b"))
    assert list(log.rows()) == [row("a"), row("b")]
    log.close(discard=True)
    assert log.path.read_text() == "of another run"


def test_rows_are_flushed_to_disk_every_few_seconds(log: RowLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(log.size)

    monkeypatch.setattr(os, "fsync", record_fsync)
    log.append(row("a"))
    assert synced == []
    monkeypatch.setattr("democlass.output.rowlog.SECONDS_BETWEEN_SYNCS", 0.0)
    log.append(row("b"))
    assert synced == [log.path.stat().st_size]


def test_only_one_process_can_open_a_log_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    open_log = (
        f"from democlass.output.rowlog import RowLog; import pathlib, time; log = RowLog(pathlib.Path({str(path)!r}))"
    )
    code = f"import sys; sys.path[:0] = {sys.path!r}; {open_log}; print(flush=True); time.sleep(60)"
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


def test_a_full_disk_leaves_only_complete_rows(tmp_path: Path) -> None:
    """A file-size limit replaces the full disk: in both cases, the kernel writes only part of the row."""
    path = tmp_path / "out.partial"
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import pathlib, resource, signal
from democlass.errors import WriteError
from democlass.results import Prediction
from democlass.output.rowlog import RowLog
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
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--resume" in output
    with closing(RowLog(path)) as log:
        assert [each.path for each in log.rows()] == ["a"]


def test_a_log_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't write"):
        RowLog(tmp_path / "none" / "out.partial")
