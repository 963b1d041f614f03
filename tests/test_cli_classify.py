"""`classify PATH...` as a person and a pipeline meet it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import EXAMPLES, Run, command, environment
from democlass.results import columns

ASTRONAUT, HOPPER = EXAMPLES / "astronaut.png", EXAMPLES / "grace_hopper.jpg"


def json_lines(output: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_in_a_pipe_rows_are_json_lines(classify: Run) -> None:
    result = classify(EXAMPLES, "nothing.jpg")
    first, second, third = json_lines(result.stdout)
    assert list(first) == ["path", "status", "gender", "gender_probabilities", "race", "race_probabilities"]
    for task in ("gender", "race"):
        shares = dict(first[f"{task}_probabilities"])  # type: ignore[call-overload]
        assert first[task] == max(shares, key=shares.__getitem__)
    assert first["path"] == str(ASTRONAUT) and second["path"] == str(HOPPER)
    assert third == {"path": "nothing.jpg", "status": "error", "error": "no such file: it is not there, or no longer"}
    assert result.returncode == 3 and result.stderr == b"1 of 3 images could not be read\n"


def test_every_format_on_standard_output(classify: Run) -> None:
    table = list(csv.DictReader(io.StringIO(classify(HOPPER, "--format", "csv").stdout.decode())))
    assert [list(row) for row in table] == [columns()]
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(io.BytesIO(classify(HOPPER, "-f", "parquet").stdout)).num_rows == 1


def test_hostile_names_in_every_text_format(classify: Run, tmp_path: Path) -> None:
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
    rows = json_lines(classify("-", "--null", input=listed).stdout)
    assert [
        bytes.fromhex(str(row["path_bytes"])) if "path_bytes" in row else str(row["path"]).encode() for row in rows
    ] == names
    assert [("path_bytes" in row) for row in rows] == [name == b"caf\xe9.jpg" for name in names]
    table = classify("-", "--null", "-f", "csv", input=listed).stdout.decode()
    read = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["path"] for row in read] == [str(row["path"]) for row in rows]
    assert [row["path_bytes"] for row in read] == ["", "", "", "", "", b"caf\xe9.jpg".hex(), ""]


def test_names_on_standard_input_are_answered_as_they_come() -> None:
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


@pytest.mark.parametrize("words", [["./batch"], ["batch/"], ["--", "batch"], ["-q", "./batch"]])
def test_a_path_named_like_a_command(words: list[str], classify: Run, tmp_path: Path) -> None:
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch" / "x.jpg").touch()
    assert [row["error"] for row in json_lines(classify(*words).stdout)] == [
        "empty file: copy it again from where it came"
    ]


def test_a_commands_error_points_to_the_folder_of_its_name(classify: Run, tmp_path: Path) -> None:
    assert b"./batch" not in classify("batch", "none", "--out", "x.csv").stderr
    (tmp_path / "batch").mkdir()
    for words in (["batch"], ["batch", "none", "--out", "x.csv"], ["batch", "--nonsense"]):
        result = classify(*words)
        assert b"to classify what is in it, write ./batch" in result.stderr + result.stdout
        assert result.returncode == 2


def test_options_may_come_first(classify: Run) -> None:
    result = classify("--format", "csv", "--batch-size", "2", HOPPER)
    assert result.stdout.startswith(b"path,status,error") and result.returncode == 0
    assert b"Usage: classify batch" in classify("--format", "csv", "batch", "--help").stdout.replace(
        b"__main__.py", b"classify"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nonsense"], "No such option"),
        (["x.jpg", "--format", "xml"], "xml"),
        (["x.jpg", "--device", "cuda:99"], "the device cpu always works"),
        (["x.jpg", "--device", "abacus"], "auto, cpu, cuda"),
        (["x.jpg", "--batch-size", "0"], "--batch-size"),
        (["x.jpg", "--min-confidence", "1.5"], "--min-confidence"),
        (["x.jpg", "--out", "x.txt"], "use .csv, .json"),
        (["x.jpg", "--out", "x.csv", "--format", "table"], "a table is for reading"),
        (["x.jpg", "--resume"], "--out FILE"),
        (["x.jpg", "--overwrite"], "--errors FILE"),
        (["x.jpg", "--out", "x.csv", "--overwrite", "--resume"], "give one"),
        (["x.jpg", "--out", "nowhere/x.csv"], "no folder"),
        (["."], "no images in ."),
        ([], "give a PATH"),
        (["x.jpg", "--out", "."], "is a folder"),
    ],
)
def test_wrong_usage_is_told_in_a_line_and_exits_with_2(words: list[str], said: str, classify: Run) -> None:
    result = classify(*words)
    assert result.returncode == 2 and result.stdout == b""
    assert said in result.stderr.decode() and "Traceback" not in result.stderr.decode()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--gender-checkpoint", "no checkpoint for perceived gender"),
        ("--race-checkpoint", "no checkpoint for perceived race"),
        ("--weights", "no folder of checkpoints at none (option --weights)"),
    ],
)
def test_a_missing_checkpoint_ends_the_run_before_any_row(option: str, said: str, classify: Run) -> None:
    result = classify(HOPPER, option, "none")
    assert result.returncode == 1 and result.stdout == b""
    assert said in result.stderr.decode() and result.stderr.count(b"\n") == 1


def test_help_documents_path_and_is_light() -> None:
    code = (
        "import sys; sys.argv = ['classify', '--help']\n"
        "from democlass.cli import main\n"
        "try: main()\n"
        "finally: print(*{'torch', 'pandas', 'torchvision', 'numpy', 'PIL'} & set(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert result.stderr == "\n"
    assert "PATH" in result.stdout and "names on standard input" in result.stdout
    for said in ("classify batch", "classify weights", "perceived", "identification", "Art. 5(1)(g)"):
        assert said in " ".join(result.stdout.split())


def test_pandas_is_not_loaded_to_classify_an_image(classify: Run) -> None:
    code = (
        f"import sys; sys.argv = ['classify', {str(HOPPER)!r}]\n"
        "from democlass.cli import main\n"
        "try: main()\n"
        "finally: print('pandas' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert result.stderr == "False\n" and json.loads(result.stdout)["status"] == "ok"


def test_the_version(classify: Run) -> None:
    from democlass import __version__

    assert classify("--version").stdout.decode() == f"democlass {__version__}\n"


def test_labels_read_uncertain_below_the_least_confidence(classify: Run) -> None:
    (row,) = json_lines(classify(HOPPER, env={"DEMOCLASS_MIN_CONFIDENCE": "0.65"}).stdout)
    assert (row["gender"], row["race"]) == ("Male", "uncertain")


def test_a_checkpoint_without_labels_gets_one_warning(classify: Run, tmp_path: Path) -> None:
    import torch

    from democlass.networks.locations import built_in_folder

    content = torch.load(built_in_folder() / "model_checkpoint.pth", weights_only=True)
    torch.save(content["model_state_dict"], tmp_path / "mine.pth")
    result = classify(HOPPER, "--gender-checkpoint", "mine.pth")
    assert result.returncode == 0
    assert result.stderr.decode().count("warning:") == 1 and b"the order Female,Male is assumed" in result.stderr


def test_a_reader_that_goes_away_ends_the_run_quietly(tmp_path: Path) -> None:
    names = b"".join(f"none{n}.jpg\n".encode() for n in range(200_000))
    (tmp_path / "names").write_bytes(names)
    with (
        (tmp_path / "names").open("rb") as listed,
        subprocess.Popen(
            command("-"), env=environment(), stdin=listed, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["path"] == "none0.jpg"
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_a_device_is_written_to_as_it_is(classify: Run) -> None:
    result = classify(HOPPER, "--out", "/dev/full")
    assert result.returncode == 1 and b"No space left" in result.stderr and result.stderr.count(b"\n") == 1


def test_interrupting_while_names_are_awaited_ends_at_once() -> None:
    import signal

    with subprocess.Popen(command("-"), env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(4)  # by then it waits for names, or is still loading: both must end
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None and b"Traceback" not in process.stderr.read()
