"""Evaluation after face detection: the largest face of each image, and how many images have none, by group."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from democlass.boxes import Box
from democlass.cli.metric_tables import format_tables
from democlass.errors import UsageError
from democlass.evaluate import tables
from democlass.evaluate.evaluation import evaluate
from democlass.evaluate.faces import find_significant_difference
from democlass.evaluate.markdown import render_markdown
from democlass.evaluate.metrics import share_with_interval
from democlass.evaluate.page import render_page
from democlass.inputs.labels import read_labels
from democlass.output.formats import FORMATS, WriterOptions
from democlass.results import Face, Prediction
from evaluating import make_evaluation, one_label, prediction

pytestmark = pytest.mark.slow

FORMAT_NAMES = ["r.csv", "r.json", "r.jsonl", "r.parquet"]


def face(female: float, width: float = 100.0, x: float = 0.0, race: str = "White") -> Face:
    """Return a detected face with these probabilities, in a square."""
    (whole,) = prediction("", female, race).faces
    return Face(whole.outcomes, Box(x, 5.0, width, width, 1.5), 0.9)


def small_face(width: float = 20.0) -> Face:
    """Return a face that is too small to classify."""
    return Face({}, Box(0.0, 0.0, width, width), 0.9)


def face_results(folder: Path, predictions: list[Prediction], name: str = "r.csv") -> Path:
    """Write a file of results of face detection, in the format of its suffix."""
    with (folder / name).open("wb") as stream:
        writer = FORMATS[name.rpartition(".")[2]].writer(stream, WriterOptions(faces=True))
        for each in predictions:
            writer.write(each)
        writer.close()
    return folder / name


def evaluate_faces(
    folder: Path, images: Sequence[tuple[str, str, tuple[Face, ...] | str]], name: str = "r.csv"
) -> dict[str, Any]:
    """Evaluate images, each with its perceived gender, its perceived race, and its faces or its error."""
    lines, predictions = ["path,gender,race"], []
    for number, (gender, race, found) in enumerate(images):
        path = f"{number}.jpg"
        lines.append(f"{path},{gender},{race}")
        full = str(folder / path)
        predictions.append(Prediction(full, error=found) if isinstance(found, str) else Prediction(full, found))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return evaluate(read_labels(folder / "labels.csv"), face_results(folder, predictions, name))


def counts(cell: dict[str, float]) -> tuple[float, ...]:
    return cell["n"], cell["without_face"], cell["too_small"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Thirty images each of three groups of perceived race; 20 faces of one group are missed, 1 of the others."""
    found = (face(0.9),)
    images: list[tuple[str, str, tuple[Face, ...] | str]] = [
        *[("Female", "Black", ())] * 16,
        *[("Male", "Black", (small_face(),))] * 4,
        *[("Female", "Black", found)] * 10,
        *[("Female", "White", found)] * 29,
        ("Male", "White", ()),
        *[("Male", "Middle_Eastern", found)] * 30,
        ("Female", "White", "truncated: copy it again"),
        ("", "", found),
        ("Female", "", ()),
    ]
    return evaluate_faces(tmp_path_factory.mktemp("faces"), images)


@pytest.mark.parametrize("name", FORMAT_NAMES)
@pytest.mark.parametrize(("widths", "expected"), [((50.0, 90.0), 1.0), ((90.0, 50.0), 0.0), ((70.0, 70.0), 0.0)])
def test_the_widest_face_is_evaluated_and_the_first_of_equally_wide_ones(
    widths: tuple[float, float], expected: float, name: str, tmp_path: Path
) -> None:
    wrong, correct = face(0.9, widths[0]), face(0.2, widths[1], x=300.0)
    found = evaluate_faces(tmp_path, [("Male", "White", (wrong, correct, small_face()))], name)
    assert found["tasks"]["gender"]["accuracy"]["share"] == expected and found["tasks"]["gender"]["n"] == 1
    assert found["unused"] == {} and counts(found["faces"]["all"]) == (1, 0, 0)


def test_images_without_a_face_are_excluded_with_the_reason(evaluation: dict[str, Any]) -> None:
    assert evaluation["tasks"]["race"]["lacking"] == {
        "without a face": 17, "whose face is too small": 4, "unreadable (truncated)": 1, "without a label": 2
    }  # fmt: skip
    assert evaluation["tasks"]["gender"]["lacking"]["without a face"] == 18
    assert evaluation["tasks"]["race"]["n"] == 69


def test_missed_faces_are_counted_by_group_and_by_pairs_of_groups(evaluation: dict[str, Any]) -> None:
    faces = evaluation["faces"]
    assert counts(faces["all"]) == (91, 18, 4)  # neither the unreadable image nor the one without labels
    cells = {name: {group: counts(cell) for group, cell in each["cells"].items()}
             for name, each in faces["groups"].items()}  # fmt: skip
    assert cells == {
        "gender": {"Female": (56, 17, 0), "Male": (35, 1, 4)},
        "race": {"Black": (30, 16, 4), "Middle_Eastern": (30, 0, 0), "White": (30, 1, 0)},
        "gender x race": {"Female Black": (26, 16, 0), "Female White": (29, 0, 0), "Male Black": (4, 0, 4),
                          "Male Middle_Eastern": (30, 0, 0), "Male White": (1, 1, 0)},
    }  # fmt: skip
    black = faces["groups"]["race"]["cells"]["Black"]
    assert {key: black[key] for key in ("share", "low", "high", "n")} == share_with_interval(20, 30)


def test_groups_without_labels_are_left_out(tmp_path: Path) -> None:
    found = evaluate_faces(tmp_path, [("Male", "", (face(0.2),)), ("Female", "", ())])
    assert found["faces"]["groups"].keys() == {"gender"} and found["tasks"].keys() == {"gender"}


def test_if_all_faces_are_missed_the_evaluation_fails_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gender: 1 without a face, gender: 1 whose face is too small"):
        evaluate_faces(tmp_path, [("Male", "White", ()), ("Male", "White", (small_face(),))])


def test_the_interval_of_a_difference_is_newcombes() -> None:
    cells = {"a": share_with_interval(48, 80), "b": share_with_interval(56, 70)}
    found = find_significant_difference(cells)
    assert found is not None and (found["more"], found["less"], found["pairs"]) == ("b", "a", 1)
    assert found["difference"] == pytest.approx(0.2)  # in Newcombe, 1998, table II: 0.0524 to 0.3339
    assert (found["low"], found["high"]) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


def test_a_difference_must_hold_for_all_pairs_of_groups_to_be_significant() -> None:
    groups = {"a": share_with_interval(48, 80), "b": share_with_interval(56, 70)}
    more_groups = {name: share_with_interval(49, 70) for name in "cdefg"}
    assert find_significant_difference(groups | more_groups) is None


def test_a_larger_difference_of_few_images_does_not_hide_a_significant_one() -> None:
    cells = {"few": share_with_interval(1, 1), "many": share_with_interval(9, 90), "most": share_with_interval(45, 90)}
    found = find_significant_difference(cells)
    assert found is not None and (found["more"], found["less"]) == ("most", "many")


def test_groups_of_few_images_differ_by_chance() -> None:
    few = {"a": share_with_interval(1, 1), "b": share_with_interval(0, 4)}  # one of five: by chance in 20 %
    assert find_significant_difference(few) is None
    assert find_significant_difference({"only": share_with_interval(1, 2)}) is None
    assert find_significant_difference({}) is None


def test_every_report_shows_missed_faces_by_group(evaluation: dict[str, Any]) -> None:
    markdown, page = render_markdown(evaluation, "card")[0], render_page(evaluation)
    shown = "".join(format_tables(evaluation))
    row = ["Black", "30", "16", "4", "66.7%", "48.8% to 80.8%"]
    assert f"| {' | '.join(row)} |" in markdown
    assert "".join(f"<td>{cell}</td>" for cell in row) in page
    assert re.search(r" +".join(row), shown)
    for text in (markdown, page, shown):
        plain = re.sub(r"\s+", " ", text)
        assert "aces" in plain and "missed in 22 of 91 images (24.2%, 95 % interval" in plain
        assert "18 without a face, 4 with a face that is too small" in plain
        assert "The largest face of each image is evaluated." in plain and "by perceived gender" in plain
        assert re.search(
            r"missed more often for Black \(66.7%\) than for Middle.Eastern \(0.0%\), by 66.7 percent", plain
        )
        assert "adjusted for 3 pairs of groups" in plain and "Male (14.3%)" not in plain
        assert plain.count("No difference between groups is significant") == 1  # by perceived gender


def test_the_text_says_when_no_difference_is_significant(tmp_path: Path) -> None:
    found = evaluate_faces(tmp_path, [("Male", "White", (face(0.2),)), ("Female", "White", ())])
    gender, race = tables.face_groupings(found["faces"])
    assert tables.format_difference(gender) == "No difference between groups is significant"
    assert tables.format_difference(race) == "Only one group: there is no difference"


def test_without_face_detection_reports_do_not_mention_faces(tmp_path: Path) -> None:
    whole = make_evaluation(tmp_path)
    assert "faces" not in whole
    assert "missed" not in render_page(whole) + render_markdown(whole, "card")[0] + "".join(format_tables(whole))


def test_an_image_that_is_a_crop_already_is_evaluated_as_a_whole(tmp_path: Path) -> None:
    whole = Face(face(0.2).outcomes, Box(0.0, 0.0, 300.0, 400.0), 0.8)
    found = evaluate_faces(tmp_path, [("Male", "White", (whole,))])
    assert found["tasks"]["gender"]["n"] == 1 and counts(found["faces"]["all"]) == (1, 0, 0)


def test_the_settings_of_detection_come_from_the_run_record(tmp_path: Path) -> None:
    record = tmp_path / "r.csv.run.json"
    images = [("Male", "White", (face(0.2),))]
    for options, expected in (
        ({"face_size": 960, "min_face": 40}, {"face_size": 960, "min_face": 40}),
        ({"face_size": True, "min_face": "<b>"}, {"face_size": None, "min_face": None}),
        ([], {"face_size": None, "min_face": None}),
    ):
        record.write_text(json.dumps({"options": options}))
        faces = evaluate_faces(tmp_path, images)["faces"]
        assert {name: faces[name] for name in expected} == expected
        assert ("960 pixels" in tables.describe_detection(faces)) == (expected["face_size"] == 960)


@pytest.mark.parametrize("width", ["nan", "inf", "0", "-3"])
def test_a_face_without_a_width_is_refused(width: str, tmp_path: Path) -> None:
    file = face_results(tmp_path, [Prediction("a.jpg", (face(0.2),)), Prediction("b.jpg", (face(0.2, 37.0),))])
    file.write_text(file.read_text().replace("37.0", width, 1))
    with pytest.raises(UsageError, match=rf"row 2: a face is {width} pixels wide: use a number above 0"):
        evaluate(one_label(tmp_path), file)


def test_messages_name_the_row_of_the_damaged_face(tmp_path: Path) -> None:
    images = [Prediction("a.jpg", (face(0.2), face(0.3))), Prediction("b.jpg"), Prediction("c.jpg", (face(0.25),) * 3)]
    for name, place in (("r.csv", ": row 6"), ("r.jsonl", ": row 3")):
        file = face_results(tmp_path, images, name)
        head, _, tail = file.read_text().rpartition("0.25")
        file.write_text(f"{head}7{tail}")
        with pytest.raises(UsageError, match=rf"{place}: 7\d* is not a probability of perceived gender"):
            evaluate(one_label(tmp_path), file)


@pytest.mark.parametrize("number", ["2", "-1", "9" * 30, "x", "1.5"])
def test_faces_in_disorder_are_refused(number: str, tmp_path: Path) -> None:
    file = face_results(tmp_path, [Prediction("a.jpg", (face(0.2), face(0.3)))])
    second = file.read_text().splitlines()[2]
    file.write_text(file.read_text().replace(second, second.replace("a.jpg,1,", f"a.jpg,{number},")))
    with pytest.raises(UsageError, match=r"r.csv is damaged or does not contain results: row 2: .*face"):
        evaluate(one_label(tmp_path), file)
