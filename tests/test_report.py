"""The report on a collection: reading results in pieces, counting photos and faces, groups, and the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import TextRun, environment
from democlass.boxes import Box
from democlass.errors import UsageError
from democlass.flat import to_frame
from democlass.networks.cards import confusion_of_card
from democlass.output.formats import FORMATS, WriterOptions
from democlass.report import reading
from democlass.report.composition import photos_of, questions, whole_photos
from democlass.report.confusions import find_checkpoints
from democlass.report.grouping import Grouping, Joined
from democlass.report.report import Report, make_report
from democlass.results import Face, Outcome, Prediction
from democlass.tasks import TASKS

GENDER, RACE = TASKS
MATRICES = {"gender": [[90, 10], [5, 95]], "race": [[70 if i == j else 6 for j in range(6)] for i in range(6)]}


def outcomes(gender: str, race: str) -> dict[str, Outcome]:
    """Return outcomes with a confidence of 0.8 and 0.75."""
    values = ((GENDER, gender, 0.8, 0.2), (RACE, race, 0.75, 0.05))
    return {
        task.name: Outcome.choose({label: high if label == chosen else low for label in task.labels})
        for task, chosen, high, low in values
    }


def face(gender: str, race: str) -> Face:
    return Face(outcomes(gender, race), Box(10, 10, 50, 50, 0), 0.9)


SMALL = Face({}, Box(0, 0, 9, 9, 0), 0.5)
PHOTOS = [
    Prediction("a/1.jpg", (face("Female", "Asian"), face("Female", "Asian"), SMALL)),
    Prediction("a/2.jpg", (SMALL,)),
    Prediction("a/b/3.jpg"),
    Prediction("b/4.jpg", (face("Male", "White"),)),
    Prediction("b/5.jpg", error="truncated: copy it again"),
    Prediction("b/6.jpg", (SMALL, face("Male", "Black"))),
]
CROPS = [
    Prediction.of_image(f"{number}.jpg", outcomes(gender, race))
    for number, (gender, race) in enumerate([("Female", "Asian")] * 3 + [("Male", "Indian")])
]


def write(file: Path, predictions: Iterable[Prediction], *, faces: bool = True, matrices: Any = MATRICES) -> Path:
    """Write results and their record, with confusion matrices of the checkpoints."""
    format_ = next(each for each in FORMATS.values() if file.suffix in each.suffixes)
    with file.open("wb") as stream:
        writer = format_.writer(stream, WriterOptions(faces=faces))
        for prediction in predictions:
            writer.write(prediction)
        writer.close()
    checkpoints = {
        task.name: {
            "sha256": "0" * 64,
            "labels": list(task.labels),
            **({} if matrices is None else {"confusion": {"matrix": matrices[task.name], "data": "val.csv"}}),
        }
        for task in TASKS
    }
    run = {"started": "2026-01-01", "threads": 1, "versions": {}}
    record = {"record_format": 2, "format": format_.name, "checkpoints": checkpoints, "options": {"batch_size": 1}}
    record |= {"runs": [run], "state": "finished", "started": "2026-01-01"}
    Path(f"{file}.run.json").write_text(json.dumps(record))
    return file


def shares(report: Report, question: str, estimate: str) -> dict[str, float]:
    found = report.to_dict()["shares"][question]
    return {label: each[estimate]["share"] for label, each in found.items() if each[estimate]["share"]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json", ".jsonl"])
@pytest.mark.parametrize("rows", [1, 2, 3, 50_000])
def test_every_format_gives_the_same_report_in_pieces_of_any_size(
    tmp_path: Path, suffix: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(reading, "ROWS", rows)
    report = make_report([write(tmp_path / f"r{suffix}", PHOTOS)])
    assert report.whole.images == Counter(ok=3, too_small=1, no_face=1, error=1)
    assert (report.whole.faces, report.whole.too_small) == (4, 3)
    assert shares(report, "gender", "counted") == {"Female": 0.5, "Male": 0.5}
    assert shares(report, "race", "counted") == {"Asian": 0.5, "Black": 0.25, "White": 0.25}
    assert shares(report, "gender x race", "counted") == {
        "Female, Asian": 0.5,
        "Male, Black": 0.25,
        "Male, White": 0.25,
    }


def test_several_files_are_one_collection(tmp_path: Path) -> None:
    files = [write(tmp_path / "one.csv", CROPS[:1], faces=False), write(tmp_path / "two.csv", CROPS[1:], faces=False)]
    assert shares(make_report(files), "gender", "counted") == {"Female": 0.75, "Male": 0.25}


def test_with_the_unit_image_each_photo_counts_the_same(tmp_path: Path) -> None:
    report = make_report([write(tmp_path / "r.csv", PHOTOS)], unit="image")
    assert shares(report, "gender", "counted") == pytest.approx({"Female": 1 / 3, "Male": 2 / 3}, abs=1e-6)
    assert report.to_dict()["shares"]["gender"]["Female"]["counted"]["n"] == 3


def test_mean_probabilities_use_all_probabilities(tmp_path: Path) -> None:
    report = make_report([write(tmp_path / "r.csv", CROPS, faces=False)])
    assert shares(report, "gender", "mean_probability") == {"Female": 0.65, "Male": 0.35}
    joint = shares(report, "gender x race", "mean_probability")
    assert sum(joint.values()) == pytest.approx(1, abs=1e-5)
    assert joint["Female, Asian"] == pytest.approx((3 * 0.8 * 0.75 + 0.2 * 0.05) / 4, abs=1e-5)


def test_corrected_shares_use_the_matrices_in_the_record(tmp_path: Path) -> None:
    crops = [Prediction.of_image(f"{n}.jpg", outcomes("Female" if n < 600 else "Male", "Asian")) for n in range(1000)]
    found = shares(make_report([write(tmp_path / "r.csv", crops, faces=False)]), "gender", "corrected")
    assert found["Female"] == pytest.approx((0.6 - 0.05) / 0.85, abs=1e-3)


def test_uncertain_faces_are_counted_separately(tmp_path: Path) -> None:
    unsure = {name: Outcome.choose(each.probabilities, 0.9) for name, each in outcomes("Male", "White").items()}
    uncertain = [Prediction.of_image(f"{number}.jpg", unsure) for number in range(4)]
    report = make_report([write(tmp_path / "r.csv", [*uncertain, *CROPS], faces=False)])
    assert report.whole.uncertain == Counter({"gender": 4, "race": 4, "gender x race": 4})
    assert report.to_dict()["shares"]["gender"]["Female"]["counted"]["n"] == 4


def test_groups_are_folders_of_a_depth_or_columns_of_a_joined_file(tmp_path: Path) -> None:
    file = write(tmp_path / "r.csv", PHOTOS)
    by_folder = make_report([file], grouping=Grouping(["folder"])).groups
    assert {values[0]: group.images.total() for values, group in by_folder.items()} == {"a": 2, "a/b": 1, "b": 3}
    by_depth = make_report([file], grouping=Grouping(["folder:1"])).groups
    assert {values[0]: group.faces for values, group in by_depth.items()} == {"a": 2, "b": 2}
    (tmp_path / "meta.csv").write_text("image,year\na/1.jpg,1990\nb/4.jpg,2020\n")
    joined = Joined.read(tmp_path / "meta.csv", "image", ["year"])
    by_year = make_report([file], grouping=Grouping(["year", "folder:1"], joined)).groups
    assert {values: group.faces for values, group in by_year.items()} == {
        ("(no value)", "a"): 0,
        ("(no value)", "b"): 1,
        ("1990", "a"): 2,
        ("2020", "b"): 1,
    }


@pytest.mark.parametrize("name", ["year", "folder:0", "folder:x"])
def test_unknown_groups_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--by {name}: use folder"):
        Grouping([name])


def test_too_many_groups_are_refused(tmp_path: Path) -> None:
    crops = [Prediction.of_image(f"{n}/a.jpg", outcomes("Male", "White")) for n in range(1001)]
    with pytest.raises(UsageError, match="more than 1,000 groups"):
        make_report([write(tmp_path / "r.csv", crops, faces=False)], grouping=Grouping(["folder"]))


def test_names_that_look_like_missing_values_are_names(tmp_path: Path) -> None:
    crops = [Prediction.of_image(name, outcomes("Male", "White")) for name in ("NA/nan", "null/NA", "=cmd()/x")]
    groups = make_report([write(tmp_path / "r.csv", crops, faces=False)], grouping=Grouping(["folder"])).groups
    assert list(groups) == [("=cmd()",), ("NA",), ("null",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,gender\na.jpg,Female\n", "lacks columns of results: status"),
        ("", "does not hold results"),
        (b"\xff\xfe\x00", "does not hold results"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "r.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=message):
        make_report([file])


@pytest.mark.parametrize("value", ["1.5", "nan", "x", ""])
def test_values_that_are_no_probabilities_are_refused(tmp_path: Path, value: str) -> None:
    file = write(tmp_path / "r.csv", CROPS, faces=False)
    file.write_text(file.read_text().replace("0.800000", value, 2))
    with pytest.raises(UsageError, match=r"r\.csv"):
        make_report([file])


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "r.csv", CROPS, faces=False)
    file.write_text(file.read_text().replace("ok,,Female", "ok,,Feminine", 1))
    with pytest.raises(UsageError, match="unknown label of perceived gender: 'Feminine'"):
        make_report([file])


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        make_report([tmp_path / "no.csv"])
    with pytest.raises(UsageError, match="suffix"):
        make_report([tmp_path / "a.txt"])


def test_without_matrices_the_reason_is_given(tmp_path: Path) -> None:
    def reason(*files: Path) -> str:
        return find_checkpoints(files, TASKS)["gender"].reason

    good = write(tmp_path / "good.csv", CROPS)
    assert reason(good) == ""
    assert "older version" in reason(write(tmp_path / "old.csv", CROPS, matrices=None))
    for message, matrix in (("no confusion matrix", None), ("without faces", [[0, 0], [1, 1]])):
        assert message in reason(write(tmp_path / "other.csv", CROPS, matrices={**MATRICES, "gender": matrix}))
    record = json.loads(Path(f"{good}.run.json").read_text())
    record["checkpoints"]["gender"]["sha256"] = "1" * 64
    shutil.copy(good, tmp_path / "other.csv")
    Path(tmp_path / "other.csv.run.json").write_text(json.dumps(record))
    assert "different checkpoints" in reason(good, tmp_path / "other.csv")
    Path(tmp_path / "other.csv.run.json").write_text("nonsense")
    assert "no record" in reason(good, tmp_path / "other.csv")
    report = make_report([tmp_path / "other.csv"])
    assert "corrected" not in report.to_dict()["shares"]["gender"]["Female"]
    assert "no record" in report.to_dict()["left_out"]["gender"]["corrected"]


@pytest.mark.parametrize("matrix", [None, [[1, 2]], [[1, -2], [3, 4]], [[1, True], [3, 4]], [[1.5, 2], [3, 4]], "ab"])
def test_a_card_without_a_matrix_of_counts_has_none(matrix: object) -> None:
    assert confusion_of_card({"evaluation": {"confusion": matrix}}, ["a", "b"]) is None
    good = {
        "choose": {"confusion": [[1, 2], [3, 4]]},
        "chosen on": "v.csv: 9 images",
        "evaluation": {"confusion": matrix},
    }
    assert confusion_of_card(good, ["a", "b"]) == {"matrix": [[1, 2], [3, 4]], "data": "v.csv: 9 images"}


def test_pieces_end_between_photos() -> None:
    frame = to_frame([*PHOTOS, *PHOTOS])
    frame["face"] = frame["face"].astype("float64")
    pieces = whole_photos(frame.iloc[start : start + 2] for start in range(0, len(frame), 2))
    joined = list(pieces)
    assert all(not (piece["face"].iloc[0] > 0) for piece in joined)
    assert pd.concat(joined)["path"].tolist() == frame["path"].tolist()


def test_faces_of_one_photo_are_one_photo() -> None:
    frame = to_frame(PHOTOS)
    frame["face"] = frame["face"].astype("float64")
    photos = photos_of(frame, TASKS, by_image=False)
    assert photos.paths.tolist() == [each.path for each in PHOTOS] and photos.photo_of_face.tolist() == [0, 0, 3, 5]
    assert photos.too_small.tolist() == [1, 1, 0, 0, 0, 1]
    assert [question.name for question in questions(TASKS)] == ["gender", "race", "gender x race"]
    assert photos.values["gender x race"][0].sum(1).tolist() == [1, 1, 1, 1]
    assert np.allclose(photos.values["gender x race"][1].sum(1), 1)


def test_the_command_shows_tables_and_writes_json(tmp_path: Path, run_report: TextRun) -> None:
    file = write(tmp_path / "r.csv", PHOTOS)
    done = run_report(file, "--by", "folder:1", "--json", tmp_path / "r.json")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("6 images, 4 classified faces, 1 without a face, 1 with small faces only, 1 not")
    assert "folder:1 b: 3 images" in done.stdout and "Believe the corrected shares" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["shares"]["gender"]["Female"]["counted"]["n"] == 4
    assert [group["by"] for group in document["groups"]] == [{"folder:1": "a"}, {"folder:1": "b"}]
    again = run_report(file, "--json", tmp_path / "r.json")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1) and "--overwrite" in again.stderr
    assert json.loads(run_report(file, "--json", "-").stdout)["unit"] == "face"


def test_the_command_replaces_no_results(tmp_path: Path, run_report: TextRun) -> None:
    file = write(tmp_path / "r.json", PHOTOS)
    before = file.read_bytes()
    done = run_report(file, "--json", file, "--overwrite")
    assert done.returncode == 2 and "is one of the inputs" in done.stderr and file.read_bytes() == before


@pytest.mark.slow
def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "torchvision"):
        (blocked / f"{name}.py").write_text("raise ImportError('not installed')\n")
    code = f"import sys; sys.path.insert(0, {str(blocked)!r}); from democlass.cli import main; main()"
    command = [sys.executable, "-c", code, "report", str(write(tmp_path / "r.csv", PHOTOS))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "4 classified faces" in done.stdout
