"""`classify PATH...`: rows, usage errors and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import EXAMPLES, Run, command, environment
from democlass.flat import columns
from fork_server import ForkServer
from processes import children_of, wait_until

pytestmark = pytest.mark.slow

ASTRONAUT, HOPPER = EXAMPLES / "astronaut.png", EXAMPLES / "grace_hopper.jpg"
EMPTY_FILE = "empty file: copy it again from where it came"


def json_lines(output: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_rows_in_a_pipe_are_json_lines(classify_here: Run) -> None:
    result = classify_here(ASTRONAUT, HOPPER, "nothing.jpg")
    first, second, third = json_lines(result.stdout)
    assert list(first) == ["path", "status", "gender", "gender_probabilities", "race", "race_probabilities"]
    for task in ("gender", "race"):
        probabilities = dict(first[f"{task}_probabilities"])  # type: ignore[call-overload]
        assert first[task] == max(probabilities, key=probabilities.__getitem__)
    assert first["path"] == str(ASTRONAUT) and second["path"] == str(HOPPER)
    assert third == {"path": "nothing.jpg", "status": "error", "error": "no such file: it is not there, or no longer"}
    assert result.returncode == 3 and result.stderr.endswith(b"1 of 3 images could not be read\n")


def test_flat_formats_on_standard_output(classify_tiny: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(classify_tiny(HOPPER, "--format", "csv").stdout.decode())))
    assert [list(row) for row in rows] == [columns()]
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(io.BytesIO(classify_tiny(HOPPER, "-f", "parquet").stdout)).num_rows == 1


def test_hostile_names_in_text_formats(classify_tiny: Run, tmp_path: Path) -> None:
    names = [
        b"a\nb.jpg",
        b'quote".jpg',
        b"-dash.jpg",
        "Zoë 😀.jpg".encode(),
        b"\x1b[2J.jpg",
        b"caf\xe9.jpg",
        b"c,d\r.jpg",
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"no image")
    listed = b"".join(name + b"\0" for name in names)
    rows = json_lines(classify_tiny("-", "--null", input=listed).stdout)
    assert [
        bytes.fromhex(str(row["path_bytes"])) if "path_bytes" in row else str(row["path"]).encode() for row in rows
    ] == names
    assert [("path_bytes" in row) for row in rows] == [name == b"caf\xe9.jpg" for name in names]
    table = classify_tiny("-", "--null", "-f", "csv", input=listed).stdout.decode()
    read = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["path"] for row in read] == [str(row["path"]) for row in rows]
    assert [row["path_bytes"] for row in read] == ["", "", "", "", "", b"caf\xe9.jpg".hex(), ""]


def test_names_on_standard_input_are_classified_as_they_arrive() -> None:
    with subprocess.Popen(
        command("-", "--batch-size", "1", "--workers", "0"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(os.fsencode(HOPPER) + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"] == str(HOPPER)
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize("words", [["./batch"], ["batch/"], ["--", "batch"], ["-q", "./batch"], ["paths", "batch"]])
def test_a_path_with_the_name_of_a_command(words: list[str], classify_tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch" / "x.jpg").touch()
    assert [row["error"] for row in json_lines(classify_tiny(*words).stdout)] == [EMPTY_FILE]


def test_a_folder_named_paths_is_classified(classify_tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "paths").mkdir()
    (tmp_path / "paths" / "x.jpg").touch()
    assert [row["path"] for row in json_lines(classify_tiny("paths").stdout)] == ["paths/x.jpg"]


def test_a_usage_error_mentions_a_folder_with_the_name_of_the_command(classify_tiny: Run, tmp_path: Path) -> None:
    assert b"./batch" not in classify_tiny("batch", "none", "--out", "x.csv").stderr
    (tmp_path / "batch").mkdir()
    for words in (["batch"], ["batch", "none", "--out", "x.csv"], ["batch", "--nonsense"]):
        result = classify_tiny(*words)
        assert result.stderr.endswith(
            b"\nclassify: there is a folder batch here: to classify what is in it, write ./batch\n"
        )
        assert result.returncode == 2


def test_options_may_come_before_the_paths(classify_tiny: Run) -> None:
    result = classify_tiny("--format", "csv", "--batch-size", "2", HOPPER)
    assert result.stdout.startswith(b"path,status,error") and result.returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.jpg", "--format", "xml"], "invalid value for '--format'"),
        (["x.jpg", "--device", "cuda:99"], "the device cpu always works"),
        (["x.jpg", "--device", "abacus"], "auto, cpu, cuda"),
        (["x.jpg", "--batch-size", "0"], "--batch-size 0: give auto or a number from 1 to "),
        (["x.jpg", "--min-confidence", "1.5"], "invalid value for '--min-confidence'"),
        (["x.jpg", "--out", "x.txt"], "use .csv, .json"),
        (["x.jpg", "--out", "x.csv", "--format", "table"], "--format"),
        (["x.jpg", "--resume"], "give --out"),
        (["x.jpg", "--overwrite"], "--errors FILE"),
        (["x.jpg", "--out", "x.csv", "--overwrite", "--resume"], "give one of them"),
        (["x.jpg", "--out", "nowhere/x.csv"], "folder nowhere"),
        (["."], "no images in ."),
        ([], "give a PATH"),
        (["x.jpg", "--out", "."], "is a folder"),
    ],
)
def test_a_usage_error_is_one_line_and_the_exit_code_2(words: list[str], message: str, classify_tiny: Run) -> None:
    result = classify_tiny(*words)
    assert result.returncode == 2 and result.stdout == b""
    assert result.stderr.startswith(b"classify: ") and result.stderr.count(b"\n") == 1
    assert message in result.stderr.decode()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--gender-checkpoint", "no checkpoint for perceived gender"),
        ("--race-checkpoint", "no checkpoint for perceived race"),
        ("--weights", "(option --weights)"),
    ],
)
def test_a_missing_checkpoint_ends_the_run_before_the_first_row(option: str, message: str, classify_tiny: Run) -> None:
    result = classify_tiny(HOPPER, option, "none")
    assert result.returncode == 1 and result.stdout == b""
    assert message in result.stderr.decode() and result.stderr.count(b"\n") == 1


def test_pandas_is_not_loaded_to_classify_an_image() -> None:
    code = (
        f"import sys; sys.argv = ['classify', '--quiet', {str(HOPPER)!r}]\n"
        "from democlass.cli import main\n"
        "try: main()\n"
        "finally: print('pandas' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert result.stderr == "False\n" and json.loads(result.stdout)["status"] == "ok"


def test_labels_below_the_minimum_confidence_read_uncertain(classify_here: Run) -> None:
    (row,) = json_lines(classify_here(HOPPER, env={"DEMOCLASS_MIN_CONFIDENCE": "0.65"}).stdout)
    assert (row["gender"], row["race"]) == ("Male", "uncertain")


def test_a_checkpoint_without_labels_causes_one_warning(classify_tiny: Run, tmp_path: Path, tiny_weights: Path) -> None:
    content = torch.load(tiny_weights / "model_checkpoint.pth", weights_only=True)
    torch.save(content["model_state_dict"], tmp_path / "mine.pth")
    result = classify_tiny(HOPPER, "--gender-checkpoint", "mine.pth", "--quiet")
    assert result.returncode == 0
    assert result.stderr.count(b"warning:") == 1 and b"Female,Male" in result.stderr


def test_a_pipe_that_its_reader_closes_ends_the_run_without_a_message(
    tmp_path: Path, commands: ForkServer, tiny_weights: Path
) -> None:
    names = b"".join(f"none{n}.jpg\n".encode() for n in range(200_000))
    (tmp_path / "names").write_bytes(names)
    with (
        (tmp_path / "names").open("rb") as listed,
        commands.start(
            "-", cwd=tmp_path, tiny=tiny_weights, stdin=listed, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["path"] == "none0.jpg"
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_an_output_device_is_written_to_directly(classify_tiny: Run) -> None:
    result = classify_tiny(HOPPER, "--out", "/dev/full")
    assert result.returncode == 1 and b"No space left" in result.stderr and result.stderr.count(b"\n") == 1


def test_ctrl_c_ends_a_run_that_waits_for_names() -> None:
    with subprocess.Popen(command("-"), env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: children_of(process.pid))  # the decoding processes are started before torch is imported
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None and b"Traceback" not in process.stderr.read()
