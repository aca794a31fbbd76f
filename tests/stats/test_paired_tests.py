"""Intervals: the published example, baycomp, scipy's own t, and Holm by brute force."""

import math

import baycomp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from imblab.stats.paired_tests import Estimate, corrected_t, detectable, half_width_factor, holm

SCORES = st.floats(-1, 1, allow_nan=False).map(lambda v: round(v, 6))


def test_the_published_example_of_scikit_learn():
    """plot_grid_search_stats compares SVMs on moons: corrected t 0.750, uncorrected 2.611."""
    X, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), X, y, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    found = corrected_t(rbf - linear, 90, 10)
    assert found.mean / found.se == pytest.approx(0.750, abs=5e-4)
    assert found.mean / (found.se / math.sqrt(1 + 100 / 9)) == pytest.approx(2.611, abs=5e-4)
    assert found.p / 2 == pytest.approx(0.227, abs=5e-4)
    assert found.df == 99


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (10, 1), (5, 5), (3, 4)])
def test_baycomp_has_the_same_posterior(folds, repeats):
    rng = np.random.default_rng(folds)
    a, b = rng.normal(0.5, 0.1, (2, folds * repeats))
    mean, variance, df = baycomp.CorrelatedTTest.compute_statistics(b, a, repeats)
    found = corrected_t(a - b, 100 * (folds - 1), 100)
    assert (found.mean, found.se**2, found.df) == pytest.approx((mean, variance, df), rel=1e-12)
    low, high = stats.t(df, mean, math.sqrt(variance)).interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


@given(st.lists(SCORES, min_size=2, max_size=30), st.sampled_from([0.01, 0.05, 0.1]))
def test_interval_and_p_are_those_of_scipy(values, alpha):
    d = np.array(values)
    found = corrected_t(d, 75, 25, alpha)
    if found.reason or found.identical:
        assert np.ptp(d) <= 1e-12
        return
    se = math.sqrt((1 / len(d) + 1 / 3) * d.var(ddof=1))
    law = stats.t(len(d) - 1)
    assert found.p == pytest.approx(2 * law.sf(abs(d.mean() / se)), rel=1e-9)
    assert found.high == pytest.approx(d.mean() + law.ppf(1 - alpha / 2) * se, rel=1e-9, abs=1e-12)
    assert (found.p <= alpha) == (found.low > 0 or found.high < 0) or found.p == pytest.approx(alpha)
    assert found.high - found.mean == pytest.approx(
        half_width_factor(len(d), 75, 25, alpha) * d.std(ddof=1), rel=1e-9, abs=1e-12
    )


@given(st.lists(SCORES, min_size=2, max_size=12), st.randoms())
def test_swapping_arms_mirrors_and_the_order_of_folds_is_nothing(values, random):
    found, mirrored = corrected_t(values, 80, 20), corrected_t([-v for v in values], 80, 20)
    shuffled = list(values)
    random.shuffle(shuffled)
    again = corrected_t(shuffled, 80, 20)
    if found.reason:
        assert mirrored.reason
        assert again.reason == found.reason
        return
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx(
        (-found.mean, -found.high, -found.low), abs=1e-12
    )
    assert mirrored.p == pytest.approx(found.p)
    assert (again.mean, again.low, again.high) == pytest.approx((found.mean, found.low, found.high), abs=1e-9)


def test_the_ratio_is_that_of_the_mean_counts():
    d, train, test = [0.1, 0.2, 0.4], [10, 20, 60], [10, 10, 10]
    assert corrected_t(d, train, test) == corrected_t(d, 30, 10)
    five = [len(part) for part in np.array_split(np.arange(103), 5)]
    assert half_width_factor(5, [103 - n for n in five], five) == pytest.approx(half_width_factor(5, 4, 1), rel=1e-12)


def test_identical_arms_differ_by_nothing():
    found = corrected_t(np.zeros(5), 80, 20)
    assert (found.mean, found.low, found.high, found.p, found.se, found.reason) == (0, 0, 0, 1, 0, None)
    assert found.identical
    assert corrected_t([1e-16, -1e-16, 0], 80, 20).identical


@pytest.mark.parametrize(
    ("differences", "mean", "reason"),
    [
        ([0.3 - 0.2, 0.4 - 0.3, 0.9 - 0.8], 0.1, "all 3 differences are +0.1: no variance to test with"),
        ([0.2], 0.2, "one fold has no variance to test with"),
        ([0.1, math.nan, 0.3], math.nan, "1 of 3 folds are missing"),
        ([], math.nan, "0 of 0 folds are missing"),
    ],
)
def test_what_cannot_be_tested_says_why(differences, mean, reason):
    found = corrected_t(differences, 80, 20)
    assert found.reason == reason
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan([found.low, found.high, found.p, found.se]).all()
    assert not found.identical


def test_half_width_of_the_shipped_protocols():
    assert half_width_factor(5, 80, 20) == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(0.2 + 0.25), rel=1e-12)
    assert half_width_factor(25, 80, 20) == pytest.approx(stats.t.ppf(0.975, 24) * math.sqrt(0.04 + 0.25), rel=1e-12)
    assert half_width_factor(1, 80, 20) == math.inf


def brute_holm(p):
    """Reject at level a by the step-down procedure; the adjusted p is the least a that rejects."""
    m, adjusted = len(p), []
    for value in p:
        below = sorted(p)[: sorted(p).index(value) + 1]
        adjusted.append(min(1.0, max((m - i) * q for i, q in enumerate(below))))
    return adjusted


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_brute_force_and_monotone(p):
    found = holm(p)
    np.testing.assert_allclose(found, brute_holm(p), rtol=1e-12)
    assert (found >= np.array(p)).all()
    assert (found <= np.minimum(1, np.array(p) * len(p))).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_an_untested_contrast_counts_in_its_family():
    np.testing.assert_allclose(holm([0.01, math.nan, 0.02]), [0.03, math.nan, 0.04])
    assert holm([]).size == 0


@pytest.mark.parametrize("df", [2, 4, 9, 24, 99])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_detectable_difference_has_its_power_under_the_noncentral_t(df, alpha, power):
    found = detectable(Estimate(0.3, 0.1, 0.5, 0.01, df, 0.02), alpha, power)
    critical = stats.t.ppf(1 - alpha / 2, df)
    assert stats.nct.sf(critical, df, found / 0.02) == pytest.approx(power, abs=1e-5)
    if df > 4:
        assert found / 0.02 == pytest.approx(critical + stats.t.ppf(power, df), rel=0.1)


def test_what_was_not_tested_could_have_detected_nothing_that_is_known():
    assert math.isnan(detectable(corrected_t(np.zeros(5), 80, 20)))
    assert math.isnan(detectable(corrected_t([0.1, 0.1], 80, 20)))
    here, there = (detectable(corrected_t([v, v + 0.1, v + 0.3], 80, 20)) for v in (0.1, 0.4))
    assert here == pytest.approx(there, rel=1e-9)


def test_another_level_is_the_same_estimate():
    d = [0.1, 0.0, 0.2, 0.1, 0.1]
    assert corrected_t(d, 80, 20, 0.05).at(0.1) == corrected_t(d, 80, 20, 0.1)
    assert corrected_t(np.zeros(5), 80, 20).at(0.1) == corrected_t(np.zeros(5), 80, 20)
