"""Curves from counts at cuts equal those of scikit-learn on the rows themselves."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics

from imblab.stats import counts, curves


def drawn(seed, n=120, share=0.2, digits=2):
    """Labels and probabilities with ties."""
    random = np.random.default_rng(seed)
    y = (random.random(n) < share).astype(int)
    y[:2] = (0, 1)
    return y, np.round(np.clip(random.normal(0.3 + 0.2 * y, 0.2), 0, 1), digits)


def as_fold(y, p):
    return curves.FoldCounts.from_predictions(y, p)


@settings(max_examples=40)
@given(st.integers(0, 500))
def test_counts_at_hundredths_are_exact(seed):
    y, p = drawn(seed, digits=4)
    cuts = np.arange(1, 100) / 100
    found = np.stack(tuple(as_fold(y, p).at(cuts)), axis=1)
    want = [
        [
            np.sum((y == 0) & (p < c)),
            np.sum((y == 0) & (p >= c)),
            np.sum((y == 1) & (p < c)),
            np.sum((y == 1) & (p >= c)),
        ]
        for c in cuts
    ]
    assert (found == np.array(want)).all()


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 500), st.sampled_from([2, 6]))
def test_roc_is_that_of_scikit_learn(seed, digits):
    y, p = drawn(seed, digits=digits)
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    grid = np.linspace(0, 1, 20_001)
    found = curves.mean_roc([as_fold(y, p)], grid).mean
    assert found == pytest.approx(np.interp(grid, fpr, tpr))
    # Few cuts are kept; the area between them must be that of all.
    assert np.trapezoid(found, grid) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 500))
def test_precision_at_a_recall_is_that_of_the_highest_cut_that_reaches_it(seed):
    y, p = drawn(seed)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    grid = np.linspace(0.05, 1, 20)
    want = [precision[:-1][recall[:-1] >= r - 1e-12][-1] for r in grid]
    assert curves.mean_precision_recall([as_fold(y, p)], grid).mean == pytest.approx(want)


def test_a_band_holds_the_middle_half_of_its_folds():
    folds = [as_fold(*drawn(seed)) for seed in range(5)]
    grid = np.arange(1, 100) / 100
    alone = np.array(
        [curves.mean_over_thresholds([f], grid, lambda tn, fp, fn, tp: tp / (tp + fn)).mean for f in folds]
    )
    band = curves.mean_over_thresholds(folds, grid, lambda tn, fp, fn, tp: tp / (tp + fn))
    assert band.mean == pytest.approx(alone.mean(axis=0))
    assert band.low == pytest.approx(np.sort(alone, axis=0)[1])
    assert band.high == pytest.approx(np.sort(alone, axis=0)[3])


def test_where_no_fold_has_a_value_there_is_none():
    fold = as_fold(np.array([0, 1]), np.array([0.1, 0.2]))
    found = curves.mean_over_thresholds(
        [fold], np.array([0.15, 0.9]), lambda tn, fp, fn, tp: tp / np.where(tp > 0, tp, np.nan)
    )
    assert found.mean[0] == 1
    assert np.isnan(found.mean[1])


def by_enumeration(p, positives):
    """The mean over every way to deal the labels."""
    n, found = len(p), []
    for chosen in combinations(range(n), positives):
        y = np.zeros(n, dtype=int)
        y[list(chosen)] = 1
        found.append(metrics.average_precision_score(y, p))
    return np.mean(found)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_the_mean_over_all_labelings_ties_included(levels, data):
    positives = data.draw(st.integers(1, len(levels)))
    p = np.array(levels) / 4
    assert curves.expected_average_precision(p, positives) == pytest.approx(by_enumeration(p, positives), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 1), (9, 3), (600, 30), (200, 200)])
def test_without_ties_it_is_the_published_sum(n, m):
    """Bestgen (2015): the i-th of n ranks holds a relevant row with probability m/n, with (i-1)(m-1)/(n-1) above it."""
    expected = sum((1 + (i - 1) * (m - 1) / (n - 1)) / i for i in range(1, n + 1)) / n
    assert curves.expected_average_precision(np.arange(n), m) == pytest.approx(expected, rel=1e-12)
    assert curves.expected_average_precision(np.arange(n), m) >= m / n


@pytest.mark.sampled(1)
@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_a_thousand_permutations_agree(decimals):
    rng = np.random.default_rng(decimals)
    p = np.round(rng.beta(1, 6, 300), decimals)
    y = (np.arange(300) < 12).astype(int)
    found = [metrics.average_precision_score(rng.permutation(y), p) for _ in range(1000)]
    error = np.std(found) / np.sqrt(len(found))
    assert curves.expected_average_precision(p, 12) == pytest.approx(np.mean(found), abs=4 * error)


def test_one_value_for_all_is_the_prevalence():
    assert curves.expected_average_precision(np.full(40, 0.3), 7) == pytest.approx(7 / 40, rel=1e-12)


@pytest.mark.parametrize(("rows", "positives"), [(5, 0), (0, 0), (3, 4)])
def test_without_positives_there_is_no_chance(rows, positives):
    assert np.isnan(curves.expected_average_precision(np.zeros(rows), positives))


def test_a_single_row():
    assert curves.expected_average_precision(np.zeros(1), 1) == 1.0


@settings(max_examples=40)
@given(st.integers(0, 500))
def test_net_benefit_is_that_of_counting_the_rows(seed):
    y, p = drawn(seed, digits=4)
    cuts = np.arange(1, 100) / 100
    found = curves.mean_net_benefit([as_fold(y, p)], cuts).mean
    want = [np.mean((p >= t) & (y == 1)) - np.mean((p >= t) & (y == 0)) * t / (1 - t) for t in cuts]
    assert found == pytest.approx(want)


@settings(max_examples=40)
@given(st.integers(0, 500))
def test_net_benefit_is_the_prevalence_less_the_cost_of_what_a_threshold_weighs(seed):
    """A missed positive costs 1, a false alarm t / (1 - t) (Elkan 2001, equation 2)."""
    y, p = drawn(seed)
    for t in (0.1, 0.25, 0.5, 0.9):
        at = as_fold(y, p).at(t)
        cost = counts.total_cost({"fn": 1, "fp": t / (1 - t)}, *at)
        assert curves._net_benefit(at, t) == pytest.approx(y.mean() - cost / len(y))


def test_net_benefit_of_a_perfect_ranking_and_of_calling_all():
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0])
    cuts = np.arange(1, 100) / 100
    fold = as_fold(y, y.astype(float))
    assert curves.mean_net_benefit([fold], cuts).mean == pytest.approx(np.full(99, 0.25))
    assert curves.mean_net_benefit([as_fold(y, np.ones(8))], cuts).mean == pytest.approx(
        curves.net_benefit_of_all([fold], cuts)
    )
    assert curves.net_benefit_of_all([fold], np.array([0.25])) == pytest.approx([0.0])


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 500), st.sampled_from([1, 2, 6]))
def test_gain_is_the_expected_share_of_positives_among_the_first_rows(seed, digits):
    y, p = drawn(seed, digits=digits)
    shares = np.linspace(0.01, 1, 37)
    want = []
    for share in shares:
        room, hits = share * len(y), 0.0
        for value in np.unique(p)[::-1]:  # rows that tie are taken in part
            part = np.clip(room / np.sum(p == value), 0, 1)
            hits += part * np.sum(y[p == value])
            room -= part * np.sum(p == value)
        want.append(hits / y.sum())
    assert curves.mean_gain([as_fold(y, p)], shares).mean == pytest.approx(want)
    assert curves.recall_at(y, p, 0.1) == pytest.approx(curves.mean_gain([as_fold(y, p)], np.array([0.1])).mean[0])


def test_the_gain_of_a_random_order_is_the_share():
    fold = as_fold(np.array([0, 1, 0, 0]), np.full(4, 0.5))
    shares = np.linspace(0, 1, 9)
    assert curves.mean_gain([fold], shares).mean == pytest.approx(shares)
