"""The table for a terminal: it fits any width, cuts no path or label, and escapes file names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import EXAMPLES, Run, in_terminal
from democlass.boxes import Box
from democlass.cli.table import TableWriter
from democlass.output.formats import WriterOptions
from democlass.results import Face, Outcome, Prediction
from democlass.tasks import TASKS
from fork_server import ForkServer
from training import run_tiny

pytestmark = pytest.mark.slow

HOPPER = EXAMPLES / "grace_hopper.jpg"
REASON = "no such file: it is not there, or no longer"

Table = Callable[..., str]


def outcome(label: str, probability: float, task_index: int) -> Outcome:
    others = [each for each in TASKS[task_index].labels if each != label]
    return Outcome(label, {label: probability} | dict.fromkeys(others, (1 - probability) / len(others)))


def prediction(path: str, race: str, probability: float = 0.75) -> Prediction:
    return Prediction.of_image(
        path, {"gender": outcome("Female", probability, 0), "race": outcome(race, probability, 1)}
    )


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Table:
    def write(width: int, *predictions: Prediction, faces: bool = False) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        writer = TableWriter(WriterOptions(faces=faces))
        for each in predictions:
            writer.write(each)
        writer.close()
        return capsys.readouterr().out

    return write


@pytest.mark.parametrize("width", [45, 50, 60, 67, 68, 72, 80, 100, 120, 200])
def test_labels_and_percentages_are_whole_at_any_width(width: int, table: Table) -> None:
    text = table(width, *(prediction("a.jpg", label) for label in (*TASKS[1].labels, "uncertain")))
    assert max(map(len, text.splitlines())) <= width
    for label in (*TASKS[1].labels, "uncertain"):
        assert re.search(rf" {label} +75\.0%", text), label
    assert len(re.findall(r" Female +75\.0%", text)) == 7


@pytest.mark.parametrize("width", [68, 80, 120])
def test_paths_and_reasons_are_whole_at_any_width(width: int, table: Table) -> None:
    path = "photos/" + "long" * 20 + ".jpg"
    narrow = table(45, prediction(path, "White"), Prediction(path, error=REASON)).splitlines()
    assert narrow.count(path) == 2 and narrow[-1].strip() in REASON
    lines = table(width, prediction(path, "White"), Prediction(path, error=REASON)).splitlines()
    column = lines[0].index("perceived")
    assert "".join(line[:column].strip() for line in lines).count(path) == 2
    assert REASON in " ".join(line[column:].strip() for line in lines)
    assert "日本語.jpg" in table(width, prediction("photos/日本語.jpg", "White"))


def test_a_narrow_terminal_gets_one_line_per_task(table: Table) -> None:
    assert table(50, prediction("a.jpg", "Latino_Hispanic"), Prediction("b.jpg", error=REASON)).splitlines() == [
        "a.jpg",
        "  perceived gender  Female            75.0%  ███▊",
        "  perceived race    Latino_Hispanic   75.0%  ███▊",
        "b.jpg",
        f"  {REASON}",
    ]


def face(race: str, x: float, y: float, width: float) -> Face:
    return Face(prediction("", race).outcomes, Box(x, y, width, width, 5.0), 0.9)


SMALL = Face({}, Box(700.25, 30.0, 24.4, 24.4), 0.5)
GROUP = Prediction("group.jpg", (face("White", -12.4, 45.6, 187.3), face("Latino_Hispanic", 4312, 3088, 1187), SMALL))
LANDSCAPE = Prediction("landscape.jpg")


def test_a_wide_terminal_gets_one_line_for_each_face_below_the_path(table: Table) -> None:
    text = table(80, GROUP, LANDSCAPE, Prediction("b.jpg", error=REASON), faces=True)
    assert [line.rstrip() for line in text.splitlines()[3:]] == [
        "group.jpg",
        "  face 0 at -12, 46, 187 px       Female      75.0%    White             75.0%",
        "  face 1 at 4312, 3088, 1187 px   Female      75.0%    Latino_Hispanic   75.0%",
        "  face 2 at 700, 30, 24 px        too small (24 px)",
        "landscape.jpg                     no face found",
        "b.jpg                             no such file: it is not there, or no longer",
    ]


def test_a_narrow_terminal_gets_the_place_of_each_face_and_one_line_per_task(table: Table) -> None:
    text = table(60, GROUP, LANDSCAPE, faces=True)
    assert [line.rstrip() for line in text.splitlines()] == [
        "group.jpg",
        "  face 0 at -12, 46, 187 px",
        "    perceived gender  Female            75.0%  ██████",
        "    perceived race    White             75.0%  ██████",
        "  face 1 at 4312, 3088, 1187 px",
        "    perceived gender  Female            75.0%  ██████",
        "    perceived race    Latino_Hispanic   75.0%  ██████",
        "  face 2 at 700, 30, 24 px",
        "    too small (24 px)",
        "landscape.jpg",
        "  no face found",
    ]


@pytest.mark.parametrize("width", [45, 50, 60, 67, 68, 79, 80, 84, 100, 120, 200])
def test_rows_of_faces_fit_any_width(width: int, table: Table) -> None:
    text = table(width, GROUP, LANDSCAPE, faces=True)
    assert max(map(len, text.splitlines())) <= width
    assert len(re.findall(r" Female +75\.0%", text)) == 2 and " Latino_Hispanic   75.0%" in text
    for whole in ("face 1 at 4312, 3088, 1187 px", "too small (24 px)", "no face found"):
        assert whole in text
    assert text.count("group.jpg") == 1


@pytest.mark.parametrize("width", [50, 80])
def test_the_path_above_faces_is_escaped_and_never_cut(width: int, table: Table) -> None:
    path = "\x1b[2J[bold]" + "long" * 30 + ".jpg"
    lines = table(width, Prediction(path, GROUP.faces), faces=True).splitlines()
    assert path.replace("\x1b", "\\x1b") in lines


@pytest.mark.parametrize(
    ("probability", "percent", "bar"),
    [(1.0, "100.0%", "█████"), (0.99961, "100.0%", "█████"), (0.9994, "99.9%", "████▉"), (0.52, "52.0%", "██▌")],
)
def test_a_bar_is_full_only_if_the_percentage_is_100(probability: float, percent: str, bar: str, table: Table) -> None:
    for line in table(50, prediction("a.jpg", "White", probability)).splitlines()[1:]:
        assert line.endswith(f" {percent}  {bar}")


def test_on_a_terminal_rows_are_a_table_with_escaped_names(
    classify_tiny: Run, commands: ForkServer, tiny_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "[").mkdir()
    for name in ("[bold]x.jpg", "[/foo].jpg", "\x1b[31mred\n\x07.jpg"):
        (tmp_path / name).write_bytes(HOPPER.read_bytes())
    text = in_terminal(commands, ".", "gone.jpg", cwd=tmp_path, tiny=tiny_weights)
    assert "perceived race" in text and "gender" in text
    assert "[bold]x.jpg" in text and "[/foo].jpg" in text and "\\x1b[31mred\\n\\x07.jpg" in text
    assert "\x1b[31mred" not in text and "\x07" not in text
    (row,) = csv.DictReader(io.StringIO(classify_tiny(HOPPER, "--format", "csv").stdout.decode()))
    assert len(re.findall(rf"{row['gender']} +{float(row['gender_confidence']):.1%}", text)) == 3
    assert "no such file" in text


def test_a_narrow_terminal_without_colours_shows_the_whole_path(
    commands: ForkServer, tiny_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / ("long" * 20 + ".jpg")).write_bytes(HOPPER.read_bytes())
    text = in_terminal(commands, ".", cwd=tmp_path, width=50, tiny=tiny_weights, env={"TERM": "dumb"})
    assert text.splitlines()[0] == "./" + "long" * 20 + ".jpg"
    assert "\x1b" not in text


def test_columns_fit_a_terminal_that_shows_only_ascii(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "日本語.jpg").write_bytes(HOPPER.read_bytes())
    variables = {"DEMOCLASS_WEIGHTS": str(tiny_weights), "COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    result = run_tiny("日本語.jpg", "é.jpg", "-f", "table", variables=variables, cwd=tmp_path, encoding="ascii")
    _, _, rule, row, error = result.stdout.splitlines()
    assert rule == "-" * 80
    assert re.match(r"\\u65e5\\u672c\\u8a9e\.jpg +(Female|Male) +\d+\.\d%", row) and len(row) == 80
    assert error.startswith("\\xe9.jpg  ") and result.returncode == 3
