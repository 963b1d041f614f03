"""Standard streams that are closed, full, without a reader, non-blocking, or not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import EXAMPLES, Run, command, environment
from fork_server import ForkServer

pytestmark = pytest.mark.slow

HOPPER = EXAMPLES / "grace_hopper.jpg"
EVALUATE = ["evaluate", "labels.csv", "--predictions", "results.jsonl"]
FULL = "can't write to standard output: No space left on device"
LIGHT = [["--version"], ["--help"], ["train", "--help"]]
HEAVY = [[str(HOPPER), "-f", "table"], [str(HOPPER), "-f", "parquet"], EVALUATE]


def redirected(redirection: str, words: Sequence[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with redirections of a shell."""
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*words)]
    return subprocess.run(shell, cwd=cwd, env=environment(**more), capture_output=True, timeout=120)


def without_reader(words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a pipe as standard output whose reader has closed it."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            command(*words), cwd=cwd, env=environment(), stdout=writer, stderr=subprocess.PIPE, timeout=120
        )
    finally:
        os.close(writer)


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labels and predictions for `classify evaluate`, which then loads no networks."""
    folder = tmp_path_factory.mktemp("evaluated")
    probabilities = {"gender": {"Female": 0.1, "Male": 0.9}, "race": {"Asian": 0.5, "Black": 0.1, "Indian": 0.1}}
    probabilities["race"] |= {"Latino_Hispanic": 0.1, "Middle_Eastern": 0.1, "White": 0.1}
    row = {"path": "a.jpg", "status": "ok"} | {
        f"{task}_probabilities": values for task, values in probabilities.items()
    }
    (folder / "results.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "labels.csv").write_text("path,gender,race\na.jpg,Male,Asian\n")
    (folder / "a.jpg").touch()
    return folder


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_a_full_disk_is_reported_in_one_line(words: list[str], predictions: Path) -> None:
    result = redirected(">/dev/full", words, predictions)
    assert (result.returncode, result.stderr.decode()) == (1, f"classify: {FULL}\n")


def test_a_full_disk_is_reported_by_a_command_that_reads_checkpoints(commands: ForkServer, predictions: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = commands.start("weights", cwd=predictions, stdout=full, stderr=subprocess.PIPE)
    assert (process.communicate()[1].decode(), process.returncode) == (f"classify: {FULL}\n", 1)


@pytest.mark.parametrize("words", [["--version"], ["--help"], [str(HOPPER)], ["batch", str(HOPPER)]], ids=" ".join)
def test_a_closed_standard_output_is_reported_in_one_line(words: list[str], tmp_path: Path) -> None:
    result = redirected(">&-", words, tmp_path)
    assert result.returncode == 1
    assert result.stderr.decode() == "classify: can't write to standard output: it is not open\n"


def test_a_pipe_that_its_reader_closed_ends_the_command_without_a_message(predictions: Path) -> None:
    result = without_reader(["--help"], predictions)
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize("words", HEAVY, ids=" ".join)
def test_a_pipe_that_its_reader_closed_ends_a_command_with_rows_without_a_message(
    words: list[str], predictions: Path, commands: ForkServer, tiny_weights: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = commands.start(*words, cwd=predictions, tiny=tiny_weights, stdout=closed, stderr=subprocess.PIPE)
    assert (process.communicate()[1], process.returncode) == (b"", 141)


def test_a_closed_standard_input_is_reported_in_one_line(tmp_path: Path) -> None:
    for words in (["-"], ["--stdin-image"]):
        result = redirected("<&-", words, tmp_path)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.decode() == "classify: can't read standard input: it is not open\n"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_the_exit_code_does_not_depend_on_standard_error(redirection: str, tmp_path: Path) -> None:
    assert redirected(redirection, ["--nonsense"], tmp_path).returncode == 2
    assert redirected(redirection, ["batch", "nowhere"], tmp_path).returncode == 2


def test_an_output_file_gets_only_rows_if_all_streams_are_closed(tmp_path: Path) -> None:
    words = ["batch", str(HOPPER), "gone.jpg", "--out", "r.csv", "--errors", "failed.csv"]
    assert redirected("<&- >&- 2>&-", words, tmp_path).returncode == 3
    reason = '"no such file: it is not there, or no longer"'
    header, ok, error = (tmp_path / "r.csv").read_text().splitlines()
    assert header.startswith("path,status") and ok.startswith(f"{HOPPER},ok,,") and error.startswith("gone.jpg,error,")
    assert (tmp_path / "failed.csv").read_text() == f"path,error\ngone.jpg,{reason}\n"
    assert json.loads((tmp_path / "r.csv.run.json").read_text())["state"] == "finished"
    assert sorted(os.listdir(tmp_path)) == ["failed.csv", "r.csv", "r.csv.run.json"]


def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from democlass.cli.stdio import secure_streams\n"
        "secure_streams()\n"
        "with open('opened', 'w') as file:\n"
        "    print(file.fileno(), *map(os.get_inheritable, (0, 1, 2)), file=file)\n"
    )
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    subprocess.run(shell, cwd=tmp_path, env=environment(), check=True)
    assert (tmp_path / "opened").read_text() == "3 True True True\n"


def test_a_non_blocking_standard_input_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    code = (
        "import sys\n"
        "from democlass.cli.stdio import secure_streams\n"
        "from democlass.inputs.stdin import read_names\n"
        "secure_streams()\n"
        "print('ready', flush=True)\n"
        "for name in read_names(sys.stdin.buffer): print(name, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdin=reader, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        os.close(reader)
        assert process.stdout.readline() == b"ready\n"
        for name in (b"a.jpg\n", b"b.jpg\n"):
            time.sleep(0.3)  # by then the stream is empty, but not at its end
            os.write(writer, name)
            assert process.stdout.readline() == name
        os.close(writer)
        assert process.wait(60) == 0


def test_a_non_blocking_standard_output_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = (
        "import sys\n"
        "from democlass.cli.stdio import secure_streams\n"
        "secure_streams()\n"
        "print('ready', file=sys.stderr)\n"
        "sys.stdout.write('x' * 1_000_000)\n"
        "sys.stdout.flush()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        assert process.stderr is not None and process.stderr.readline() == b"ready\n"
        time.sleep(0.2)  # by then the pipe is full
        with os.fdopen(reader, "rb") as pipe:
            assert len(pipe.read()) == 1_000_000
        assert process.wait(60) == 0 and process.stderr.read() == b""


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_help_and_errors_on_streams_that_are_not_utf_8(env: dict[str, str], classify: Run) -> None:
    result = classify("--help", env=env)
    assert result.returncode == 0 and result.stdout.isascii() and result.stderr == b""
    wrong = classify("--nonsense-é", env=env)
    assert wrong.returncode == 2 and wrong.stderr.isascii() and b"no such option" in wrong.stderr
