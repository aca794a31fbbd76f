"""Paired tests against the published example, baycomp, scipy's own t, and Holm by brute force."""

import math
import warnings
from dataclasses import replace

import baycomp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from imblab.stats.paired_tests import (
    Estimate,
    benjamini_hochberg,
    corrected_t,
    detectable,
    equivalence_p,
    estimate_contrasts,
    half_width_factor,
    holm,
    posterior,
)

SCORES = st.floats(-1, 1, allow_nan=False).map(lambda v: round(v, 6))
LISTS = st.lists(st.floats(-1, 1).map(lambda v: round(v, 4)), min_size=3, max_size=20)


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


@pytest.mark.parametrize("se", [0.0, 1e-18, 1e-12])
def test_a_row_level_error_of_zero_is_no_identity_where_differences_vary(se):
    differences = np.array([[0.10, 0.11, 0.10, 0.12, 0.11], [0.0] * 5, [0.10, 0.11, 0.10, 0.12, 0.11]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate_contrasts(differences, 80, 20, row_level=(np.array([se, se, 0.01]), 19))
    first = found[0]
    assert not first.identical
    assert first.mean == pytest.approx(0.108)
    assert first.reason == "the differences vary, but their standard error over test rows is 0: no test"
    assert np.isnan([first.low, first.high, first.p, first.se, equivalence_p(first, 0.2)]).all()
    assert found.identical.tolist() == [False, True, False]
    assert found[2].df == 19


def test_a_mean_outside_the_region_is_not_equivalent_however_small_its_standard_error():
    estimate = corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], 80, 20)
    assert equivalence_p(replace(estimate, se=0.0), [0.05, 0.1, 0.2]).tolist() == [1.0, 0.0, 0.0]


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


@pytest.mark.parametrize("n_folds", [1, 2, 5, 24, 130])
def test_many_contrasts_at_once_are_bit_for_bit_those_one_by_one(n_folds):
    rng = np.random.default_rng(n_folds)
    d = rng.normal(0, 0.05, (2, 4, n_folds))
    d[0, 0], d[0, 1], d[0, 2, 0] = 0.0, 0.1, np.nan
    n_train, n_test = rng.integers(50, 90, d.shape), rng.integers(10, 30, d.shape)
    together = estimate_contrasts(d, n_train, n_test)
    narrow, power, within = together.at(0.1), detectable(together, 0.01), posterior(together, 0.01).within
    for i in np.ndindex(2, 4):
        single = corrected_t(d[i], n_train[i], n_test[i])
        assert repr(together[i]) == repr(single)
        assert repr(narrow[i]) == repr(single.at(0.1))
        np.testing.assert_array_equal(power[i], detectable(single, 0.01))
        np.testing.assert_array_equal(within[i], posterior(single, 0.01).within)
        np.testing.assert_array_equal(equivalence_p(together, 0.03)[i], equivalence_p(single, 0.03))


@given(LISTS, st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from([0.01, 0.05, 0.2]))
def test_equivalence_is_two_one_sided_tests_and_the_narrow_interval_inside_the_region(differences, rope, alpha):
    estimate = corrected_t(differences, 80, 20)
    p = float(equivalence_p(estimate, rope))
    assert math.isnan(equivalence_p(estimate, math.nan))
    if estimate.reason or estimate.identical:
        assert math.isnan(p) if estimate.reason else p == 0
        return
    law = stats.t(estimate.df, loc=0, scale=estimate.se)
    assert p == pytest.approx(max(law.sf(estimate.mean + rope), law.cdf(estimate.mean - rope)), rel=1e-9)
    narrow = estimate.at(2 * alpha)
    if abs(p - alpha) > 1e-9:
        assert (p <= alpha) == (-rope <= narrow.low and narrow.high <= rope)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discovery_rates_are_those_of_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12, atol=1e-300)


def test_a_contrast_without_a_test_counts_for_the_false_discovery_rate():
    found = benjamini_hochberg([0.01, math.nan, 0.02])
    np.testing.assert_allclose(found, [0.03, math.nan, 0.03])
    assert benjamini_hochberg([]).size == 0


def test_families_are_adjusted_row_by_row():
    p = np.random.default_rng(0).uniform(size=(3, 5))
    p[1, 2] = np.nan
    np.testing.assert_array_equal(holm(p), [holm(row) for row in p])


@pytest.mark.parametrize(("folds", "repeats"), [(3, 1), (5, 1), (10, 1), (5, 5), (10, 10)])
@pytest.mark.parametrize("rope", [0.001, 0.01, 0.1])
def test_baycomp_has_the_same_probabilities(folds, repeats, rope):
    rng = np.random.default_rng(folds * repeats)
    for shift in (-0.3, 0.0, 0.02, 0.3):
        a, b = rng.normal([[0.5 + shift], [0.5]], 0.1, (2, folds * repeats))
        # baycomp's left is "the first is better": its differences are the second minus the first.
        left, inside, right = baycomp.CorrelatedTTest.probs(b, a, rope=rope, runs=repeats)
        found = posterior(corrected_t(a - b, 100 * (folds - 1), 100), rope)
        assert (found.below, found.within, found.above) == pytest.approx((left, inside, right), abs=1e-12)


@given(LISTS, st.floats(0, 0.5))
def test_probabilities_add_up_and_mirror(values, rope):
    found, mirrored = (posterior(corrected_t(d, 80, 20), rope) for d in (values, [-v for v in values]))
    if math.isnan(found.below):
        assert np.ptp(values) <= 1e-12
        assert values[0] != 0
        return
    assert found.below + found.within + found.above == pytest.approx(1)
    assert min(found.below, found.within, found.above) >= 0
    assert (found.below, found.above) == pytest.approx((mirrored.above, mirrored.below), abs=1e-12)


@given(LISTS)
def test_with_a_region_of_no_width_it_is_the_one_sided_p(values):
    estimate = corrected_t(values, 80, 20)
    if estimate.reason or estimate.identical:
        return
    found = posterior(estimate, 0.0)
    assert min(found.below, found.above) == pytest.approx(estimate.p / 2, rel=1e-9, abs=1e-15)


def test_a_far_tail_is_not_rounded_away():
    found = posterior(Estimate(1.0, 0.9, 1.1, 1e-20, 99, 0.02), 0.01)
    assert found.below == pytest.approx(stats.t.cdf(-0.01, 99, 1.0, 0.02), rel=1e-9)
    assert 0 < found.below < 1e-60


def test_what_has_no_posterior():
    assert posterior(corrected_t(np.zeros(5), 80, 20), 0.01) == posterior(corrected_t(np.zeros(9), 80, 20), 0.0)
    assert posterior(corrected_t(np.zeros(5), 80, 20), 0.01).within == 1
    for estimate, rope in ((corrected_t([0.1, 0.1], 80, 20), 0.01), (corrected_t([0.1, 0.2], 80, 20), math.nan)):
        found = posterior(estimate, rope)
        assert np.isnan([found.below, found.within, found.above]).all()
