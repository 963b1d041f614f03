"""Targets and pairs: differences from a census, and between two collections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from conftest import TextRun
from democlass.errors import UsageError
from democlass.report.differences import subtract
from democlass.report.estimates import PhotoSums, Shares, counted
from democlass.report.pair import Pair
from democlass.report.report import make_report
from democlass.report.target import compare, read_targets
from democlass.results import Prediction
from democlass.tasks import TASKS
from test_report import CROPS, PHOTOS, outcomes, write


def shares_of(counts: list[int], repeated: int = 1) -> Shares:
    """Return counted shares of photos with equal faces."""
    labels = np.repeat(np.eye(len(counts)), counts, axis=0)
    return counted(PhotoSums.of(repeated * labels, np.full(len(labels), float(repeated))))


def test_the_test_of_many_independent_faces_is_pearsons() -> None:
    comparison = compare(shares_of([4100, 3000, 2900]), np.array([0.4, 0.3, 0.3]))
    expected = chisquare([4100, 3000, 2900], [4000, 3000, 3000])
    assert comparison.chi_square == pytest.approx(expected.statistic, rel=0.01)
    assert comparison.p == pytest.approx(expected.pvalue, rel=0.05)
    assert comparison.difference.tolist() == pytest.approx([0.01, 0.0, -0.01])


def test_equal_faces_of_one_photo_are_no_more_evidence() -> None:
    target = np.array([0.5, 0.5])
    one, ten = (compare(shares_of([130, 100], repeated), target) for repeated in (1, 10))
    assert ten.chi_square == pytest.approx(one.chi_square, rel=0.05) and ten.cramers_v == one.cramers_v


def test_missing_faces_are_those_that_reach_the_target_if_added_alone() -> None:
    comparison = compare(shares_of([75, 25]), np.array([0.5, 0.5]))
    assert comparison.missing.tolist() == [0, 50] and (25 + 50) / (100 + 50) == 0.5


def test_the_effect_size_is_1_for_a_collection_with_one_label() -> None:
    assert compare(shares_of([100, 0]), np.array([0.5, 0.5])).cramers_v == 1.0


def test_uniform_targets_are_those_of_each_question() -> None:
    targets = read_targets("uniform", TASKS)
    assert {name: target.tolist() for name, target in targets.items()} == {
        "gender": [0.5, 0.5],
        "race": pytest.approx([1 / 6] * 6),
        "gender x race": pytest.approx([1 / 12] * 12),
    }


def test_targets_are_read_with_any_spelling_as_shares_or_percentages(tmp_path: Path) -> None:
    races = "asian,10\nBLACK,20\nIndian,10\nLatino Hispanic,10%\nMiddle-Eastern,10\nWhite,40\n"
    (tmp_path / "t.csv").write_text(f"label,share\nmale,0.4\nFemale,0.6\n{races}")
    targets = read_targets(str(tmp_path / "t.csv"), TASKS)
    assert targets["gender"].tolist() == [0.6, 0.4] and targets["race"][5] == 0.4 and "gender x race" not in targets


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("label,share\nMale,0.4\n", "has no share for Female"),
        ("label,share\nMale,0.4\nFemale,0.4\n", "have the sum 0.8, not 1 or 100"),
        ("label,share\nMale,0.5\nFemale,0.5\nPink,1\n", "unknown label 'pink'"),
        ("label,share\nMale,x\n", "must be a CSV"),
        ("label,share\nMale,0.5\nmale,0.5\n", "each label once"),
        ("label,share\nMale,nan\n", "must be a CSV"),
        ("a,b\n1,2\n", "must be a CSV"),
    ],
)
def test_other_targets_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_targets(str(tmp_path / "t.csv"), TASKS)


def test_a_report_compares_the_best_estimate_with_the_target(tmp_path: Path) -> None:
    file = write(tmp_path / "r.csv", PHOTOS)
    found = make_report([file], target="uniform").to_dict()
    assert found["target"]["gender"]["estimate"] == "corrected"
    best = found["shares"]["gender"]["Female"]["corrected"]["share"]
    assert found["target"]["gender"]["labels"]["Female"]["difference"] == pytest.approx(best - 0.5, abs=1e-5)
    assert "target" not in make_report([file]).to_dict()


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), []
    for _ in range(500):
        one, two = (rng.binomial(200, share) for share in (0.1, 0.25))
        found = subtract(shares_of([one, 200 - one]), shares_of([two, 200 - two]))
        hits.append(found.low[0] <= 0.15 <= found.high[0])
    assert 0.92 < np.mean(hits) < 0.98


def test_a_collection_does_not_differ_from_itself() -> None:
    shares = shares_of([30, 70])
    found = subtract(shares, shares)
    assert found.difference.tolist() == [0, 0] and not found.is_certain.any()


def test_a_pair_uses_corrected_shares_only_if_both_have_them(tmp_path: Path) -> None:
    with_matrix = write(tmp_path / "a.csv", CROPS, faces=False)
    without = write(tmp_path / "b.csv", CROPS, faces=False, matrices=None)
    both, one = (Pair(make_report([with_matrix]), make_report([file])) for file in (with_matrix, without))
    assert {name for _, name, _ in both.differences()} == {"corrected"} and both.reasons == []
    assert {name for _, name, _ in one.differences()} == {"counted"} and "older version" in one.reasons[0]


def test_the_commands_show_targets_and_differences(tmp_path: Path, run_report: TextRun) -> None:
    first = write(tmp_path / "a.csv", CROPS * 20, faces=False)
    men = [Prediction.of_image(f"{n}.jpg", outcomes("Male", "Asian")) for n in range(80)]
    second = write(tmp_path / "b.csv", men, faces=False)
    done = run_report(first, second, "--json", tmp_path / "d.json", command="compare")
    assert done.returncode == 0 and done.stderr == "" and "+" in done.stdout and " *" in done.stdout
    female = json.loads((tmp_path / "d.json").read_text())["differences"]["gender"]["labels"]["Female"]
    assert female["difference"] < -0.6 and female["high"] < 0
    done = run_report(first, "--target", "uniform")
    assert "faces missing" in done.stdout and "Cramér's V" in done.stdout
    (tmp_path / "t.csv").write_text("label,share\nMale,1\nFemale,0\n")
    done = run_report(first, "--target", tmp_path / "t.csv", "--json", tmp_path / "t.csv", "--overwrite")
    assert done.returncode == 2 and "would" not in done.stdout and "is one of the inputs" in done.stderr
