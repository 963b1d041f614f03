"""Where an output can be, and the modes of its files."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from democlass.errors import OutputError, WriteError
from democlass.output.formats import FORMATS
from democlass.output.paths import read_rows
from democlass.output.single import FileSink, WriteMode, refuse_odd_place
from democlass.tasks import TASKS
from synthetic import OVERWRITE, RESUME, predict, record, run

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write_mode", [RESUME, OVERWRITE])
def test_an_output_and_its_rows_so_far_keep_the_outputs_mode(write_mode: WriteMode, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    run(out, NAMES[:1])
    out.chmod(0o600)
    run(out, NAMES, write_mode, stop_after=1)
    assert mode_of(tmp_path / "r.csv.partial") == 0o600
    run(out, NAMES, RESUME)
    assert mode_of(out) == 0o600


def test_a_new_output_follows_the_umask_and_an_unfinished_one_its_log(tmp_path: Path) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_output_keeps_its_owner(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    run(out, NAMES[:1])
    os.chown(out, 12345, 23456)
    run(out, NAMES, RESUME)
    assert (out.stat().st_uid, out.stat().st_gid) == (12345, 23456)


def test_the_longest_name_is_written_and_a_longer_one_is_refused_first(tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") - len(".run.json.new")
    run(tmp_path / ("é" * (longest // 2 - 2) + ".csv"), NAMES)
    for length in (longest + 1, 247, 255, 300, 5000):
        with pytest.raises(OutputError, match=f"too long.* use at most {longest} bytes"):
            refuse_odd_place(tmp_path / ("x" * (length - 4) + ".csv"))
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".partial", ".run.json", ".export"])
def test_a_folder_in_the_place_of_a_file_beside_is_refused_first(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"r.csv{suffix}").mkdir()
    with pytest.raises(OutputError, match=f"r.csv{suffix} is a folder"):
        FileSink(tmp_path / "r.csv", FORMATS["csv"], WriteMode())


DAMAGED = {
    "csv": [
        b"",
        b"\0" * 100,
        b"path,status\nsomething,else\n",
        b"{cut}",
        b'{whole}"',
        b"{whole}d.jpg,error\n",
        b"\xff",
    ],
    "json": [b"5", b"[\n5\n]\n", b"{cut}", b"[" * 100_000, b'[{"path": 5, "status": "error", "error": "x"}]'],
    "jsonl": [b"5", b"{cut}", b"{whole}[]\n", b'{whole}{"path": null, "status": "error", "error": "x"}\n'],
    "parquet": [b"", b"{cut}", b"PAR1" * 10],
}


@pytest.mark.parametrize(("suffix", "content"), [(suffix, each) for suffix, all_ in DAMAGED.items() for each in all_])
def test_an_output_changed_by_hand_is_refused_in_one_line_and_left(suffix: str, content: bytes, tmp_path: Path) -> None:
    out = tmp_path / f"r.{suffix}"
    run(out, NAMES)
    whole = out.read_bytes()
    damaged = content.replace(b"{whole}", whole).replace(b"{cut}", whole[:-20])
    out.write_bytes(damaged)
    with pytest.raises(OutputError, match=r"was changed or damaged after row \d") as caught:
        run(out, NAMES, RESUME)
    assert "\n" not in str(caught.value)
    assert out.read_bytes() == damaged
    with pytest.raises(OutputError, match="exists"):
        run(out, NAMES)


def test_a_full_disk_while_rows_are_taken_over_is_told_as_such(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk."""
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


def test_a_record_of_an_unknown_format_of_rows_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    with closing(FileSink(out, FORMATS["csv"], WriteMode())) as output:
        output.begin(record("xlsx"))
        output.write(predict("a.jpg"))
        output.finish(Counter())
    with pytest.raises(OutputError, match="unknown format 'xlsx'"):
        run(out, NAMES, RESUME)
