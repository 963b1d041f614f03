"""`classify batch SOURCE...`: summary, interruption and resuming."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from conftest import EXAMPLES, Run, in_terminal
from fork_server import ForkedProcess, ForkServer
from hostile import endless_jpeg
from processes import children_of, seconds_used, wait_until

pytestmark = pytest.mark.slow

MANY = 48

Start = Callable[..., ForkedProcess]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, portrait: Image.Image) -> Path:
    """Many photos and one file that is not an image: a run of several seconds."""
    folder = tmp_path_factory.mktemp("collection") / "photos"
    folder.mkdir()
    for number in range(MANY - 1):
        portrait.crop((number, number, 224 + number, 224 + number)).save(folder / f"{number:03}.jpg")
    (folder / "020-bad.jpg").write_bytes(b"not an image")
    return folder


@pytest.fixture(scope="module")
def start(commands: ForkServer, tiny_weights: Path) -> Start:
    """Start a process of the command with tiny networks: `start("batch", "photos", cwd=folder)`."""
    return partial(commands.start, tiny=tiny_weights, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def uninterrupted(collection: Path, start: Start) -> bytes:
    """The output of a run that is not interrupted."""
    start("batch", "photos", "--out", "whole.csv", cwd=collection.parent).communicate()
    return (collection.parent / "whole.csv").read_bytes()


@pytest.fixture(scope="module")
def hanging(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos, two files that decoders never finish, and one photo: with two decoders, both hang."""
    folder = tmp_path_factory.mktemp("hanging") / "photos"
    folder.mkdir()
    for number in range(16):
        shutil.copy(collection / f"{number:03}.jpg", folder)
    for number in range(2):
        endless_jpeg(folder / f"endless-{number}.jpg")
    shutil.copy(collection / "030.jpg", folder / "last.jpg")
    return folder


def rows_in(partial: Path) -> int:
    return partial.read_bytes().count(b"\n") if partial.exists() else 0


def start_and_wait_for_rows(start: Start, collection: Path, out: Path, rows: int) -> ForkedProcess:
    """Start a run that takes seconds, and wait until it has written some rows."""
    process = start("batch", "photos", "--out", out, cwd=collection.parent, variables={"NETWORK": "slow"})
    wait_until(lambda: rows_in(Path(f"{out}.partial")) >= rows or process.poll() is not None)
    return process


def test_a_run_and_its_summary(classify_here: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").touch()
    (photos / "notes.txt").touch()
    result = classify_here("batch", "photos", "--out", "results.csv")
    assert result.returncode == 3 and result.stdout == b""
    messages = result.stderr.decode()
    assert re.search(r"classified\s+6 images in [\d.]+ s, [\d.]+ images/s", messages)
    assert re.search(r"unreadable\s+1: 1 empty file", messages) and re.search(r"skipped\s+1: 1 ", messages)
    assert "results.csv" in messages
    total = re.findall(r"^total +(\d+) +(\d+) +(\d+)$", messages, re.MULTILINE)
    assert [sum(map(int, counts)) for counts in total] == [12] and "perceived race   Female  Male  total" in messages
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows) and len(rows) == 7
    assert sum(
        float(rows[0][name]) for name in rows[0] if name.startswith("race_") and name != "race_confidence"
    ) == pytest.approx(1, abs=1e-5)


def test_with_quiet_there_are_no_messages_and_standard_output_gets_csv(classify_tiny: Run, photos: Path) -> None:
    result = classify_tiny("batch", "photos", "--quiet", "--no-recursive", "--exclude", "a*")
    assert result.stderr == b"" and result.returncode == 0
    assert result.stdout.count(b"\n") == 5


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_resuming_completes_an_interrupted_run(
    number: signal.Signals,
    exit_code: int,
    collection: Path,
    uninterrupted: bytes,
    tmp_path: Path,
    start: Start,
    classify_tiny: Run,
) -> None:
    out = tmp_path / "out.csv"
    with start_and_wait_for_rows(start, collection, out, 8) as process:
        process.send_signal(number)
        _, messages = process.communicate(timeout=30)
    assert process.returncode == exit_code and b"Traceback" not in messages
    assert (b"--resume" in messages) == (number != signal.SIGKILL)
    assert not out.exists()
    kept = (tmp_path / "out.csv.partial").read_bytes()
    assert 8 <= kept.count(b"\n") < MANY
    for line in kept.splitlines(keepends=True):
        assert line.endswith(b"\n") and json.loads(line)["path"]
    resumed = classify_tiny("batch", "photos", "--out", out, "--resume", cwd=collection.parent)
    assert resumed.returncode == 3
    assert re.search(rf"all rows\s+{MANY}, ", resumed.stderr.decode())
    assert re.search(rf"^total .* {MANY - 1}$", resumed.stderr.decode(), re.MULTILINE)
    assert out.read_bytes() == uninterrupted
    classified = int(re.findall(r"classified\s+(\d+)", resumed.stderr.decode())[0])
    assert classified + kept.count(b"\n") in (MANY, MANY - 1)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_whose_decoders_hang_can_be_interrupted_and_resumed(
    number: signal.Signals, exit_code: int, hanging: Path, tmp_path: Path, start: Start, classify_tiny: Run
) -> None:
    out = tmp_path / "out.csv"
    options = ["--workers", "2", "--batch-size", "1"]
    process = start("batch", "photos", "--out", out, *options, "--decode-timeout", "600", cwd=hanging.parent)
    try:
        wait_until(lambda: rows_in(Path(f"{out}.partial")) >= 4)
        wait_until(lambda: min(map(seconds_used, children_of(process.pid))) > 1)
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    finally:
        process.kill()
    last = messages.splitlines()[-1]
    assert process.returncode == exit_code and last.startswith(b"interrupted: ") and b"Traceback" not in messages
    kept = Path(f"{out}.partial").read_bytes().splitlines(keepends=True)
    assert len(kept) >= 4 and all(json.loads(line)["status"] == "ok" for line in kept)
    resumed = classify_tiny(
        "batch", "photos", "--out", out, "--resume", *options, "--decode-timeout", "1", cwd=hanging.parent
    )
    assert resumed.returncode == 3 and b"unreadable  2: 2 timed out" in resumed.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * 16 + ["error"] * 2 + ["ok"]
    assert rows[16]["error"] == "timed out: decoding took more than 1 s; a longer time limit may help"


def test_an_image_whose_decoder_hangs_becomes_an_error_row(hanging: Path, classify_tiny: Run) -> None:
    result = classify_tiny(hanging / "endless-0.jpg", hanging / "000.jpg", "--decode-timeout", "1")
    assert result.returncode == 3
    one, two = map(json.loads, result.stdout.splitlines())
    assert one["error"].startswith("timed out: ") and two["status"] == "ok"


def test_a_run_of_one_image_whose_decoder_hangs_can_be_interrupted(hanging: Path, start: Start) -> None:
    process = start(hanging / "endless-0.jpg", "--decode-timeout", "600", cwd=hanging)
    try:
        wait_until(lambda: any(seconds_used(child) > 1 for child in children_of(process.pid)))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"interrupted\n") and process.returncode == 130
    finally:
        process.kill()


def test_a_second_run_with_the_same_output_is_refused(
    collection: Path, tmp_path: Path, start: Start, classify_tiny: Run
) -> None:
    with start_and_wait_for_rows(start, collection, tmp_path / "out.csv", 1) as first:
        first.send_signal(signal.SIGSTOP)
        for options in ([], ["--resume"], ["--overwrite"]):
            second = classify_tiny("batch", "photos", "--out", tmp_path / "out.csv", *options, cwd=collection.parent)
            assert second.returncode == 2 and b"another run" in second.stderr
        first.kill()
        first.communicate()


def test_on_a_full_disk_the_run_ends_and_its_rows_are_complete(
    collection: Path, tmp_path: Path, uninterrupted: bytes, start: Start, classify_tiny: Run
) -> None:
    """A limit on file sizes makes writes fail as a full disk does."""
    out = tmp_path / "out.csv"
    process = start("batch", "photos", "--out", out, cwd=collection.parent, variables={"NETWORK": "slow"})
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    _, messages = process.communicate()
    assert process.returncode == 1 and b"--resume" in messages and b"Traceback" not in messages
    kept = Path(f"{out}.partial").read_bytes()
    assert kept.endswith(b"\n") and not out.exists()
    assert classify_tiny("batch", "photos", "--out", out, "--resume", cwd=collection.parent).returncode == 3
    assert out.read_bytes() == uninterrupted


def test_resuming_with_other_options_is_refused_and_lists_them(classify_tiny: Run, photos: Path) -> None:
    assert classify_tiny("batch", "photos", "--out", "r.json").returncode == 0
    result = classify_tiny("batch", "photos", "--out", "r.json", "--resume", "--ignore-exif", "--batch-size", "3")
    assert result.returncode == 2
    assert b"batch_size: 8" in result.stderr and b"ignore_exif: False" in result.stderr


def test_an_output_that_exists_is_refused_before_any_work(classify_tiny: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("mine")
    result = classify_tiny("batch", "photos", "--out", "r.csv", "--weights", "none")
    assert result.returncode == 2 and b"exists" in result.stderr
    assert (tmp_path / "r.csv").read_text() == "mine"
    assert not (tmp_path / "r.csv.partial").exists()


def test_sources_that_do_not_exist_are_refused(classify_tiny: Run) -> None:
    result = classify_tiny("batch", "nowhere", "*.gif", "--out", "r.csv")
    assert result.returncode == 2 and b"no such file or folder: nowhere, *.gif" in result.stderr


def test_progress_is_a_bar_on_a_terminal(
    photos: Path, tmp_path: Path, commands: ForkServer, tiny_weights: Path
) -> None:
    output = in_terminal(
        commands, "batch", "photos", "--out", "r.csv", cwd=tmp_path, stream="stderr", tiny=tiny_weights
    )
    assert "6/6" in output and "img" in output


def test_names_on_standard_input_with_an_output_file(classify_tiny: Run, tmp_path: Path) -> None:
    names = b"".join(os.fsencode(EXAMPLES / name) + b"\n" for name in ("astronaut.png", "grace_hopper.jpg"))
    assert classify_tiny("batch", "-", "--out", "r.jsonl", input=names).returncode == 0
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2
