"""`--out` and sources: which images are found, what resuming adds, and what is refused before any work."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from conftest import Run, command, environment

pytestmark = pytest.mark.slow


def names_in(out: Path) -> list[str]:
    with out.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_resuming_finds_the_same_images_under_other_names(classify_tiny: Run, photos: Path, tmp_path: Path) -> None:
    first = classify_tiny("batch", "photos/**/*.jpg", "photos/*.gif", "--out", "r.csv", "--quiet")
    assert first.returncode == 3  # a pattern that matches nothing gets an error row
    assert first.stderr == b"warning: no file matches photos/*.gif\n"
    rows = ["photos/a.jpg", "photos/b.jpg", "photos/d.jpg", "photos/within/f.jpg", "photos/*.gif"]
    assert names_in(tmp_path / "r.csv") == rows
    (tmp_path / "r.csv").chmod(0o600)
    sources = ["./photos//", tmp_path / "photos" / "within", "photos"]
    second = classify_tiny("batch", *sources, "--out", "r.csv", "--resume", "--quiet")
    assert (second.returncode, second.stderr) == (3, b"")
    assert names_in(tmp_path / "r.csv") == [*rows, "./photos//c.png", "./photos//e.webp"]
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == 0o600
    runs = json.loads((tmp_path / "r.csv.run.json").read_text())["runs"]
    assert runs[0]["sources"] == ["photos/**/*.jpg", "photos/*.gif"]
    assert runs[1]["command"] == ["classify", "batch", *map(str, sources), "--out", "r.csv", "--resume", "--quiet"]
    assert [each["rows_before"] for each in runs] == [0, 5]


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_run_waits_for_the_reader_of_a_pipe_until_ctrl_c(options: list[str], photos: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = command("batch", "photos", "--out", "pipe", *options)
    with subprocess.Popen(words, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"waiting for ")
        time.sleep(0.2)  # until it is in the system call that waits
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == b"interrupted\n"


def test_a_name_too_long_for_the_files_next_to_it_is_refused(classify_tiny: Run, photos: Path, tmp_path: Path) -> None:
    before = set(os.listdir(tmp_path))
    result = classify_tiny("batch", "photos", "--out", "x" * 243 + ".csv", "--weights", "none")
    assert result.returncode == 2 and b"242 bytes" in result.stderr and result.stderr.count(b"\n") == 1
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("record", ["", "[]", '{"state": "running"}', '{"record_format": 9}'])
def test_a_damaged_record_is_refused_in_one_line(record: str, classify_tiny: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv.run.json").write_text(record)
    result = classify_tiny("batch", "photos", "--out", "r.csv", "--resume", "--weights", "none")
    assert result.returncode == 2 and b"--overwrite" in result.stderr
    assert result.stderr.count(b"\n") == 1 and b"__init__" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["photos/a.jpg", "--out", "photos/a.jpg"],
        ["link.jpg", "--out", "photos/a.jpg"],
        ["photos", "--out", "photos/a.jpg"],
        ["photos", "--out", "link.csv"],
        ["photos", "--out", "new.csv", "--errors", "photos/a.jpg"],
        ["photos", "--out", "new.csv", "--errors", "link.csv"],
        ["photos/b.jpg", "-", "--out", "photos/a.jpg"],
        ["-", "--errors", "link.csv"],
    ],
)
def test_an_image_is_never_replaced_by_an_output(
    words: list[str], classify_tiny: Run, photos: Path, tmp_path: Path
) -> None:
    before = (photos / "a.jpg").read_bytes()
    (tmp_path / "link.jpg").symlink_to(photos / "a.jpg")
    (tmp_path / "link.csv").symlink_to(photos / "a.jpg")
    refused = classify_tiny("batch", *words, "--format", "csv", "--overwrite", input=b"photos/c.png\nphotos/a.jpg\n")
    assert refused.returncode == 2 and b" is one of the images" in refused.stderr, refused.stderr
    assert (photos / "a.jpg").read_bytes() == before


@pytest.mark.parametrize("option", ["--out", "--errors"])
def test_a_checkpoint_of_the_run_is_never_replaced(
    option: str, classify_tiny: Run, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "race.pth").write_bytes(b"a checkpoint")
    words = ["--race-checkpoint", "race.pth", option, "race.pth", "--format", "csv", "--overwrite"]
    refused = classify_tiny("batch", "photos", *words)
    assert refused.returncode == 2 and b"race.pth is one of the checkpoints" in refused.stderr, refused.stderr
    assert (tmp_path / "race.pth").read_bytes() == b"a checkpoint"
