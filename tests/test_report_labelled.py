"""Labelled samples: drawn from results by stratum, filled in by people, and used for shares of the collection."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conftest import TextRun
from democlass.errors import UsageError
from democlass.report.labelled import read_labelled
from democlass.report.report import make_report
from democlass.report.sampling import Key, SampledFace, draw_sample, format_sample
from democlass.results import Prediction
from democlass.tasks import TASKS, Task
from test_report import PHOTOS, face, outcomes, write

GENDER, RACE = TASKS


def collection(folder: Path, count: int = 400, accuracy: float = 0.8) -> tuple[Path, dict[str, str]]:
    """Write results for `count` crops, 30 % of them Female, and return the file and the true labels by path."""
    rng = np.random.default_rng(0)
    truth = {f"{number}.jpg": "Female" if number < 0.3 * count else "Male" for number in range(count)}
    other = {"Female": "Male", "Male": "Female"}
    crops = [
        Prediction.of_image(path, outcomes(label if rng.random() < accuracy else other[label], "Asian"))
        for path, label in truth.items()
    ]
    return write(folder / "r.csv", crops, faces=False), truth


def fill_in(sample: list[SampledFace], truth: dict[str, str], file: Path) -> Path:
    """Write the sample with the true labels of gender, and without a label of race."""
    rows = list(csv.DictReader(io.StringIO(format_sample(sample).decode())))
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "gender": truth[row["path"]], "race": "can't tell"} for row in rows)
    return file


def test_a_sample_has_faces_of_each_stratum_in_proportion_to_its_size(tmp_path: Path) -> None:
    file, _ = collection(tmp_path)
    sample = draw_sample([file], 40, [GENDER], seed=0)
    counts = Counter(each.stratum for each in sample)
    assert set(counts) == {"gender=Female", "gender=Male"} and abs(len(sample) - 40) <= 1
    assert sum(each.weight for each in sample) == pytest.approx(400)
    assert len({each.key for each in sample}) == len(sample)
    assert draw_sample([file], 40, [GENDER], seed=0) == sample != draw_sample([file], 40, [GENDER], seed=1)


def test_every_face_has_the_same_chance(tmp_path: Path) -> None:
    file, _ = collection(tmp_path, count=20)
    drawn = Counter(each.key for seed in range(300) for each in draw_sample([file], 5, [], seed=seed))
    assert len(drawn) == 20 and min(drawn.values()) > 45 and max(drawn.values()) < 110


def test_a_small_stratum_has_two_faces_and_photos_without_faces_have_none(tmp_path: Path) -> None:
    group = Prediction("group.jpg", tuple(face("Female", "Asian") for _ in range(200)))
    file = write(tmp_path / "r.csv", [group, *PHOTOS])
    sample = draw_sample([file], 20, [GENDER], seed=0)
    assert Counter(each.stratum for each in sample)["gender=Male"] == 2
    assert all(each.key.face >= 0 for each in sample)
    assert {each.key for each in sample if each.stratum == "gender=Male"} == {Key("b/4.jpg", 0), Key("b/6.jpg", 1)}


def test_a_sample_does_not_show_the_predictions_of_a_task_that_does_not_form_strata(tmp_path: Path) -> None:
    file, _ = collection(tmp_path, count=10)
    header, first, *_ = format_sample(draw_sample([file], 5, [], seed=0)).decode().splitlines()
    assert header == "path,face,gender,race,stratum,weight" and first.endswith(",,,,all,2")


@pytest.mark.parametrize("strata", [[], [GENDER], [RACE, GENDER]])
@pytest.mark.parametrize("accuracy", [0.5, 0.8])
def test_labelled_shares_find_the_truth_where_counting_fails(
    tmp_path: Path, strata: list[Task], accuracy: float
) -> None:
    file, truth = collection(tmp_path, count=2000, accuracy=accuracy)
    sample = draw_sample([file], 300, strata, seed=3)
    found = make_report([file], labelled=fill_in(sample, truth, tmp_path / "s.csv")).to_dict()
    female = found["shares"]["gender"]["Female"]
    assert female["labelled"]["low"] <= 0.3 <= female["labelled"]["high"] and female["labelled"]["n"] == len(sample)
    assert female["counted"]["low"] > 0.3
    assert "labelled" not in found["shares"]["race"]["Asian"]
    assert found["left_out"]["race"]["labelled"] == "fewer than two faces have labels"


def test_strata_with_too_few_labels_are_pooled(tmp_path: Path) -> None:
    file, truth = collection(tmp_path, count=1000)
    sample = draw_sample([file], 100, [GENDER], seed=0)
    females = [each for each in sample if each.stratum == "gender=Female"]
    rest = [each for each in sample if each.stratum != "gender=Female"]
    found = make_report([file], labelled=fill_in([*females[:1], *rest], truth, tmp_path / "s.csv")).to_dict()
    assert found["shares"]["gender"]["Female"]["labelled"]["n"] == len(rest) + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,gender\na.jpg,Male\n", "is not a filled-in sample"),
        ("path,face,gender,race,stratum,weight\n0.jpg,x,Male,,all,1\n", "is not a filled-in sample"),
        ("path,face,gender,race,stratum,weight\n0.jpg,,,?,all,1\n", "has no labels"),
        ("path,face,gender,race,stratum,weight\nno.jpg,,Male,,all,1\n", "a face that the results lack: no.jpg"),
        ("path,face,gender,race,stratum,weight\n0.jpg,,Male,,mood=bad,1\n", "unknown stratum"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    file, _ = collection(tmp_path, count=10)
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        make_report([file], labelled=tmp_path / "s.csv")


def test_labels_have_the_spellings_of_labels_files(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("path,face,gender,race,stratum,weight\na.jpg,2,male,East Asian,all,1\n")
    ((key, labelled),) = read_labelled(tmp_path / "s.csv", TASKS).items()
    assert key == Key("a.jpg", 2) and labelled.labels == {"gender": 1, "race": 0}


def test_the_commands_work_together(tmp_path: Path, run_report: TextRun) -> None:
    file, truth = collection(tmp_path, count=300)
    done = run_report(file, "--n", 50, "--stratify", "gender", "--out", tmp_path / "s.csv", command="sample")
    assert done.returncode == 0 and "in 2 strata" in done.stderr
    refused = run_report(file, "--out", tmp_path / "s.csv", command="sample")
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    assert (
        "must be one of" in run_report(file, "--stratify", "mood", "--out", tmp_path / "x.csv", command="sample").stderr
    )
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    sample = [SampledFace(Key(row["path"], -1), row["stratum"], float(row["weight"])) for row in rows]
    done = run_report(file, "--labelled", fill_in(sample, truth, tmp_path / "filled.csv"))
    assert done.returncode == 0 and "Believe the labelled shares" in done.stdout
