"""The paths that an output can have, the modes and owners of its files, and damaged outputs."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections import Counter
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from democlass.errors import OutputError, WriteError
from democlass.output.file_sink import FileSink, WriteMode, refuse_odd_place
from democlass.output.formats import FORMATS
from democlass.output.paths import read_rows
from democlass.tasks import TASKS
from synthetic import OVERWRITE, RESUME, predict, record, run

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write_mode", [RESUME, OVERWRITE])
def test_an_output_and_its_row_log_keep_the_mode_of_the_output(write_mode: WriteMode, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    run(out, NAMES[:1])
    out.chmod(0o600)
    run(out, NAMES, write_mode, stop_after=1)
    assert mode_of(tmp_path / "r.csv.partial") == 0o600
    run(out, NAMES, RESUME)
    assert mode_of(out) == 0o600


def test_a_new_output_follows_the_umask_and_a_resumed_one_has_the_mode_of_its_log(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        run(tmp_path / "r.csv", NAMES)
        run(tmp_path / "s.csv", NAMES, stop_after=1)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "r.csv") == mode_of(tmp_path / "r.csv.run.json") == 0o640
    (tmp_path / "s.csv.partial").chmod(0o600)
    run(tmp_path / "s.csv", NAMES, RESUME)
    assert mode_of(tmp_path / "s.csv") == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
def test_an_output_keeps_its_owner(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    run(out, NAMES[:1])
    os.chown(out, 12345, 23456)
    run(out, NAMES, RESUME)
    assert (out.stat().st_uid, out.stat().st_gid) == (12345, 23456)


def test_a_name_that_is_too_long_is_refused_before_the_run(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") - len(".run.json.new")
    run(tmp_path / ("é" * (longest // 2 - 2) + ".csv"), NAMES)
    for length in (longest + 1, 247, 255, 300, 5000):
        with pytest.raises(OutputError, match=f"too long.* use at most {longest} bytes"):
            refuse_odd_place(tmp_path / ("x" * (length - 4) + ".csv"))
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".partial", ".run.json", ".export"])
def test_a_folder_with_the_name_of_a_companion_file_is_refused_before_the_run(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"r.csv{suffix}").mkdir()
    with pytest.raises(OutputError, match=f"r.csv{suffix} is a folder"):
        FileSink(tmp_path / "r.csv", FORMATS["csv"], WriteMode())


DAMAGED = {
    "csv": [
        b"",
        b"\0" * 100,
        b"path,status\nsomething,else\n",
        b"{cut}",
        b'{content}"',
        b"{content}d.jpg,error\n",
        b"\xff",
    ],
    "json": [b"5", b"[\n5\n]\n", b"{cut}", b"[" * 100_000, b'[{"path": 5, "status": "error", "error": "x"}]'],
    "jsonl": [b"5", b"{cut}", b"{content}[]\n", b'{content}{"path": null, "status": "error", "error": "x"}\n'],
    "parquet": [b"", b"{cut}", b"PAR1" * 10],
}


@pytest.mark.parametrize(
    ("suffix", "content"), [(suffix, each) for suffix, contents in DAMAGED.items() for each in contents]
)
def test_a_damaged_output_is_refused_in_one_line_and_not_changed(suffix: str, content: bytes, tmp_path: Path) -> None:
    out = tmp_path / f"r.{suffix}"
    run(out, NAMES)
    original = out.read_bytes()
    damaged = content.replace(b"{content}", original).replace(b"{cut}", original[:-20])
    out.write_bytes(damaged)
    with pytest.raises(OutputError, match=r"was changed or damaged after row \d") as caught:
        run(out, NAMES, RESUME)
    assert "\n" not in str(caught.value)
    assert out.read_bytes() == damaged
    with pytest.raises(OutputError, match="exists"):
        run(out, NAMES)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_of_somebody_else_are_not_lost(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"r.{suffix}"
    run(out, NAMES)
    read, write = (pd.read_csv, "to_csv") if suffix == "csv" else (pd.read_parquet, "to_parquet")
    getattr(read(out).assign(notes="mine"), write)(out, index=False)
    with pytest.raises(OutputError, match="columns that democlass did not write: notes"):
        run(out, NAMES, RESUME)
    assert list(read(out)["notes"].unique()) == ["mine"]


def test_a_full_disk_while_existing_rows_are_copied_is_reported(tmp_path: Path) -> None:
    """A file-size limit replaces the full disk."""
    out = tmp_path / "r.csv"
    run(out, NAMES)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"can't write .*r.csv.partial: File too large"):
            run(out, NAMES, RESUME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert len(list(read_rows(out, "csv", TASKS))) == 3


def test_a_record_that_names_an_unknown_output_format_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    with closing(FileSink(out, FORMATS["csv"], WriteMode())) as output:
        output.begin(record("xlsx"))
        output.write(predict("a.jpg"))
        output.finish(Counter())
    with pytest.raises(OutputError, match="unknown format 'xlsx'"):
        run(out, NAMES, RESUME)
