"""The Bayesian correlated t-test is that of baycomp, and decides nothing."""

import math

import baycomp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from imblab.stats.paired_tests import Estimate, corrected_t, posterior

SCORES = st.lists(st.floats(-1, 1).map(lambda v: round(v, 4)), min_size=3, max_size=20)


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


@given(SCORES, st.floats(0, 0.5))
def test_probabilities_add_up_and_mirror(values, rope):
    found, mirrored = (posterior(corrected_t(d, 80, 20), rope) for d in (values, [-v for v in values]))
    if math.isnan(found.below):
        assert np.ptp(values) <= 1e-12
        assert values[0] != 0
        return
    assert found.below + found.within + found.above == pytest.approx(1)
    assert min(found.below, found.within, found.above) >= 0
    assert (found.below, found.above) == pytest.approx((mirrored.above, mirrored.below), abs=1e-12)


@given(SCORES)
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
