"""The progress of a run and its summary: time left, and counts of labels."""

from __future__ import annotations

import re
import time
from collections import Counter
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from democlass.cli.bar import time_left
from democlass.cli.counts import count_table
from democlass.cli.progress import Progress, summarise
from democlass.cli.steps import StepProgress
from democlass.output.tally import Tally
from democlass.results import Outcome, Prediction
from democlass.tasks import TASKS, UNCERTAIN, Task
from predicting import ERROR, GROUP, NO_FACE, ONLY_SMALL, PHOTOS

GENDERS, RACES = TASKS[0].labels, TASKS[1].labels


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "almost done"),
        (20, "about 20 s left"),
        (59.4, "about 59 s left"),
        (61, "about 1 min left"),
        (3599, "about 1 h 0 min left"),
        (7500, "about 2 h 5 min left"),
    ],
)
def test_time_left_has_a_suitable_unit(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


def test_no_progress_line_reads_0_minutes() -> None:
    images = Progress(10, shown=False)
    images._rows, images._started = 9, time.monotonic() - 180
    assert images._line().endswith("9 of 10 images, 0.0 images/s, about 20 s left")
    steps = StepProgress(shown=False)
    steps._first = (0, time.monotonic() - 180)
    step = SimpleNamespace(step=9, steps=10, size=64, loss=0.5, validation=None)
    assert steps._line(step).endswith("about 20 s left at this size")  # type: ignore[arg-type]


def tally(*labels: tuple[str, str]) -> Tally:
    result = Tally()
    for pair in labels:
        outcomes = {task.name: Outcome(label, {label: 1.0}) for task, label in zip(TASKS, pair, strict=True)}
        result.add(Prediction.of_image("a.jpg", outcomes))
    result.add(Prediction("b.jpg", error="truncated: copy it again"))
    return result


def test_labels_are_counted_in_pairs() -> None:
    pairs = tally(("Female", "White"), ("Female", "White"), ("Male", "Latino_Hispanic"))
    assert list(count_table(pairs.labels)) == [
        "                 perceived gender",
        "perceived race   Female  Male  total",
        "Asian                 0     0      0",
        "Black                 0     0      0",
        "Indian                0     0      0",
        "Latino_Hispanic       0     1      1",
        "Middle_Eastern        0     0      0",
        "White                 2     0      2",
        "total                 2     1      3",
    ]


def test_uncertain_labels_have_a_row_and_a_column() -> None:
    lines = list(count_table(tally(("Female", UNCERTAIN), (UNCERTAIN, "White")).labels))
    assert lines[1].split() == ["perceived", "race", "Female", "Male", UNCERTAIN, "total"]
    assert lines[-3].split() == ["White", "0", "0", "1", "1"]
    assert lines[-2].split() == [UNCERTAIN, "1", "0", "0", "1"]
    assert lines[-1].split() == ["total", "1", "0", "1", "2"]


def test_the_table_of_many_images_fits_50_columns() -> None:
    certain: dict[tuple[str, ...], int] = dict.fromkeys(product(GENDERS, RACES), 1_000_000)
    uncertain: dict[tuple[str, ...], int] = dict.fromkeys(product((*GENDERS, UNCERTAIN), (*RACES, UNCERTAIN)), 10_000)
    for counts in (certain, uncertain):
        lines = list(count_table(counts))
        assert max(map(len, lines)) <= 50
        assert all(re.search(rf"^{label} +[\d,]+ ", "\n".join(lines), re.MULTILINE) for label in RACES)


def test_a_third_task_gets_its_own_table() -> None:
    third = Task("age", "perceived age", ("young", "old"), TASKS[0].geometry, TASKS[0].network, "age.pth")
    lines = list(count_table({("Male", "White", "old"): 3}, (*TASKS, third)))
    assert "perceived race   Female  Male  total" in lines and "perceived age  Female  Male  total" in lines
    assert "old                 0     3      3" in lines


def test_memory_use_does_not_grow_with_the_number_of_images() -> None:
    assert len(tally(*[("Female", "White")] * 1000).labels) == 1


def test_a_summary_counts_the_labels_of_all_rows(capsys: pytest.CaptureFixture[str]) -> None:
    this_run, all_rows = tally(("Female", "White")), tally(("Female", "White"), ("Male", "Asian"))
    summarise(this_run, all_rows, Counter(), 1.0, Path("r.csv"), Path("failed.csv"))
    text = capsys.readouterr().err
    assert re.search(r"^total +1 +1 +2$", text, re.MULTILINE)
    assert text.endswith("rows        r.csv\nrecord      r.csv.run.json\nerrors      failed.csv\n")


def counted(*predictions: Prediction) -> Tally:
    result = Tally(has_detection=True)
    for prediction in predictions:
        result.add(prediction)
    return result


def test_a_summary_after_face_detection_counts_images_and_faces(capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(*PHOTOS, NO_FACE)
    summarise(found, found, Counter(), 2.0, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:5] == [
        "classified  1 image in 2.0 s, 2.5 images/s",
        "faces       2, and 2 smaller than --min-face",
        "no face     in 2 images",
        "too small   all faces of 1 image",
        "unreadable  1: 1 truncated",
    ]
    assert lines[6] == "labels of 2 classified faces:"
    assert lines[-2].split() == ["total", "2", "0", "2"]


def test_a_summary_of_a_resumed_run_counts_all_images_and_faces(capsys: pytest.CaptureFixture[str]) -> None:
    summarise(counted(ERROR), counted(ERROR, GROUP, ONLY_SMALL), Counter(), 1.0, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["classified  0 images in 1.0 s, 1.0 images/s", "faces       0"]
    assert lines[3:6] == [
        "all images  3, of which 1 is classified",
        "faces       2, and 2 smaller than --min-face",
        "too small   all faces of 1 image",
    ]


def test_a_summary_without_classified_images_has_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    summarise(tally(), tally(), Counter(), 1.0, None)
    assert "perceived" not in capsys.readouterr().err
