"""Shares with intervals: counted, mean probability, corrected by a confusion matrix, and with a labelled sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from democlass.report.correction import corrected, project_to_simplex, solve
from democlass.report.estimates import PhotoSums, counted, mean_probability
from democlass.report.powered import Stratum, powered

CONFUSION = np.array([[80, 15, 5], [10, 70, 20], [5, 25, 70]])


def single_faces(counts: list[int]) -> PhotoSums:
    """Return the sums of photos with one face each."""
    labels = np.repeat(np.eye(len(counts)), counts, axis=0)
    return PhotoSums.of(labels, np.ones(len(labels)))


def draw(shares: list[float], confusion: NDArray[np.int64], n: int, rng: np.random.Generator) -> PhotoSums:
    """Return the predictions for `n` faces with known shares."""
    rows = confusion / confusion.sum(1, keepdims=True)
    truth = rng.multinomial(n, shares)
    counts = np.sum([rng.multinomial(k, row) for k, row in zip(truth, rows, strict=True)], 0)
    return single_faces(counts.tolist())


def test_counted_shares_of_single_faces_have_wilsons_intervals() -> None:
    shares = counted(single_faces([30, 10, 0]))
    assert shares.share.tolist() == [0.75, 0.25, 0.0] and shares.n == 40
    for index, count in enumerate((30, 10, 0)):
        low, high = proportion_confint(count, 40, method="wilson")
        assert shares.low[index] == pytest.approx(low, abs=1e-3) and shares.high[index] == pytest.approx(high, abs=1e-3)


def test_equal_faces_of_one_photo_count_as_one() -> None:
    ones = single_faces([30, 10])
    values = np.repeat(np.eye(2), [30, 10], axis=0)
    fives = PhotoSums.of(5.0 * values, np.full(40, 5.0))
    assert fives.design_effect() == pytest.approx(5, rel=0.05) and ones.design_effect() == pytest.approx(1, rel=0.05)
    one, five = counted(ones), counted(fives)
    assert five.n == 200
    assert five.low == pytest.approx(one.low, abs=5e-3) and five.high == pytest.approx(one.high, abs=5e-3)


def test_photos_with_the_same_composition_do_not_make_intervals_narrower_than_independent_faces() -> None:
    mixed = PhotoSums.of(np.ones((50, 2)), np.full(50, 2.0))
    assert mixed.design_effect() == 1.0


def test_a_single_photo_says_as_much_as_one_face() -> None:
    shares = counted(PhotoSums.of(np.array([[200.0, 0.0]]), np.array([200.0])))
    assert shares.high[1] > 0.7


def test_the_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(1, 5, 60).astype(float)
    values = rng.dirichlet(np.ones(3), 60) * faces[:, None]
    parts = PhotoSums.of(values[:20], faces[:20]) + PhotoSums.of(values[20:], faces[20:])
    whole = PhotoSums.of(values, faces)
    assert parts.photos == 60 and parts.variance == pytest.approx(whole.variance)


def test_the_interval_of_the_mean_probability_is_that_of_the_bootstrap_over_photos() -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(1, 6, 300).astype(float)
    values = rng.dirichlet((0.4, 0.2, 0.4), 300) * faces[:, None]  # all faces of a photo are the same
    shares = mean_probability(PhotoSums.of(values, faces))
    weights = rng.multinomial(300, np.full(300, 1 / 300), 4000)
    low, high = np.quantile((weights @ values) / (weights @ faces)[:, None], (0.025, 0.975), axis=0)
    assert shares.low == pytest.approx(low, abs=0.005) and shares.high == pytest.approx(high, abs=0.005)


def test_a_perfect_network_needs_no_correction() -> None:
    sums = single_faces([60, 30, 10])
    result = corrected(sums, 100_000 * np.eye(3, dtype=np.int64))
    assert result.shares.share == pytest.approx(sums.share, abs=1e-6) and not result.is_nearly_singular
    assert result.shares.low == pytest.approx(counted(sums).low, abs=0.02)


def test_the_correction_finds_the_true_shares_of_many_faces() -> None:
    sums = draw([0.7, 0.2, 0.1], 1000 * CONFUSION, 400_000, np.random.default_rng(0))
    assert corrected(sums, 1000 * CONFUSION).shares.share == pytest.approx([0.7, 0.2, 0.1], abs=0.01)
    assert np.abs(sums.share - [0.7, 0.2, 0.1]).max() > 0.08


def test_corrected_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng, truth, hits = np.random.default_rng(0), np.array([0.7, 0.2, 0.1]), []
    for _ in range(150):
        known = np.stack([rng.multinomial(100, row / row.sum()) for row in CONFUSION])
        shares = corrected(draw(list(truth), CONFUSION, 1000, rng), known, draws=300).shares
        hits.append((shares.low <= truth) & (truth <= shares.high))
    assert 0.90 < np.mean(hits) < 0.99


def test_less_certain_matrices_have_wider_intervals() -> None:
    sums = single_faces([600, 300, 100])
    few, many = (corrected(sums, factor * CONFUSION).shares for factor in (1, 100))
    assert ((few.high - few.low) > (many.high - many.low)).all()


def test_a_network_that_confuses_two_labels_is_reported_with_wide_intervals() -> None:
    confusion = np.array([[90, 5, 5], [5, 48, 47], [5, 47, 48]])
    result = corrected(single_faces([400, 300, 300]), confusion)
    assert result.is_nearly_singular and (result.shares.high - result.shares.low)[1:].min() > 0.4


def test_a_label_that_few_faces_do_not_have_is_not_excluded() -> None:
    few, many = (corrected(single_faces([count, count, 0]), 100 * CONFUSION).shares for count in (3, 3000))
    assert few.share[2] == 0 and few.high[2] > 0.25 and many.high[2] < 0.02


def test_a_label_without_faces_in_the_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="without faces"):
        corrected(single_faces([1, 1]), np.array([[5, 5], [0, 0]]))


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (4, 5), elements=st.floats(-5, 5)))
def test_the_projection_is_the_nearest_point_of_the_simplex(points: NDArray[np.float64]) -> None:
    projected = project_to_simplex(points)
    assert (projected >= 0).all() and projected.sum(1) == pytest.approx(1)
    others = np.random.default_rng(0).dirichlet(np.ones(5), 100)
    distance = ((points - projected) ** 2).sum(1)
    assert (distance[:, None] <= ((points[:, None] - others) ** 2).sum(2) + 1e-9).all()


def test_solutions_are_not_negative_where_the_inverse_matrix_is() -> None:
    rows = CONFUSION / CONFUSION.sum(1, keepdims=True)
    predicted = np.array([[0.95, 0.04, 0.01]])
    assert (predicted @ np.linalg.inv(rows)).min() < 0
    assert solve(rows[None], predicted)[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


def make_stratum(rng: np.random.Generator, faces: int, labelled: int, accuracy: float) -> Stratum:
    """Return a stratum drawn from a population with 30 % of the first label; predictions have some accuracy."""
    labels = (rng.random(faces) < 0.3).astype(float)
    predicted = np.where(rng.random(faces) < accuracy, labels, 1 - labels)
    both, scores = (np.stack([each, 1 - each], 1) for each in (labels, predicted))
    chosen = rng.choice(faces, labelled, replace=False)
    return Stratum(scores.mean(0), scores.var(0), faces, scores[chosen], both[chosen])


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.99])
def test_powered_intervals_cover_the_truth_whatever_the_network_is(accuracy: float) -> None:
    rng, hits, widths = np.random.default_rng(0), [], []
    for _ in range(300):
        shares = powered([make_stratum(rng, 5000, 200, accuracy)])
        hits.append(shares.low[0] <= 0.3 <= shares.high[0])
        widths.append(shares.high[0] - shares.low[0])
    assert 0.92 <= np.mean(hits) <= 0.985
    labels_alone = 2 * 1.96 * np.sqrt(0.3 * 0.7 / 200)
    assert np.mean(widths) < {0.5: 1.02, 0.8: 0.9, 0.99: 0.4}[accuracy] * labels_alone


def test_strata_are_weighted_by_their_faces() -> None:
    def stratum(share: float, faces: int) -> Stratum:
        labels = np.array([[1.0, 0.0]] * round(10 * share) + [[0.0, 1.0]] * round(10 - 10 * share))
        return Stratum(labels.mean(0), labels.var(0), faces, labels, labels)

    assert powered([stratum(0.2, 900), stratum(0.8, 100)]).share == pytest.approx([0.26, 0.74])


def test_a_rare_label_that_the_sample_lacks_is_not_certain() -> None:
    labels = np.array([[1.0, 0.0]] * 20)
    shares = powered([Stratum(np.array([1.0, 0.0]), np.zeros(2), 1000, labels, labels)])
    assert shares.share.tolist() == [1.0, 0.0] and shares.high[1] > 0.05


def test_a_stratum_with_one_labelled_face_is_refused() -> None:
    one = np.array([[1.0, 0.0]])
    with pytest.raises(ValueError, match="at least two"):
        powered([Stratum(one[0], np.zeros(2), 10, one, one)])
