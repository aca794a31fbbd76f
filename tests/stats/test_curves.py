"""Curves from counts at cuts equal those of scikit-learn on the rows themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from imblab.analysis import evidence
from imblab.stats import curves


def drawn(seed, n=120, share=0.2, digits=2):
    """Labels and probabilities with ties."""
    random = np.random.default_rng(seed)
    y = (random.random(n) < share).astype(int)
    y[:2] = (0, 1)
    return y, np.round(np.clip(random.normal(0.3 + 0.2 * y, 0.2), 0, 1), digits)


def as_fold(y, p):
    x, fp, tp = evidence.cuts(y, p)
    return curves.fold(x, fp, tp, (y == 0).sum(), y.sum())


@settings(max_examples=40)
@given(st.integers(0, 500))
def test_counts_at_hundredths_are_exact(seed):
    y, p = drawn(seed, digits=4)
    cuts = np.arange(1, 100) / 100
    found = np.stack(curves.counts(as_fold(y, p), cuts), axis=1)
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


@settings(max_examples=40)
@given(st.integers(0, 500), st.sampled_from([2, 6]))
def test_roc_is_that_of_scikit_learn(seed, digits):
    y, p = drawn(seed, digits=digits)
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    grid = np.linspace(0, 1, 20_001)
    found = curves.roc([as_fold(y, p)], grid).mean
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
    assert curves.precision_recall([as_fold(y, p)], grid).mean == pytest.approx(want)


def test_a_band_spans_its_folds():
    folds = [as_fold(*drawn(seed)) for seed in range(5)]
    grid = np.arange(1, 100) / 100
    alone = np.array([curves.against_threshold([f], grid, lambda tn, fp, fn, tp: tp / (tp + fn)).mean for f in folds])
    band = curves.against_threshold(folds, grid, lambda tn, fp, fn, tp: tp / (tp + fn))
    assert band.mean == pytest.approx(alone.mean(axis=0))
    assert band.low == pytest.approx(alone.min(axis=0))
    assert band.high == pytest.approx(alone.max(axis=0))


def test_where_no_fold_has_a_value_there_is_none():
    fold = as_fold(np.array([0, 1]), np.array([0.1, 0.2]))
    found = curves.against_threshold(
        [fold], np.array([0.15, 0.9]), lambda tn, fp, fn, tp: tp / np.where(tp > 0, tp, np.nan)
    )
    assert found.mean[0] == 1
    assert np.isnan(found.mean[1])
