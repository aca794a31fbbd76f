"""Random effects against statsmodels, and laws of a mean of effects."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from imblab.stats.paired_tests import MIN_STANDARD_ERROR, equivalence_p, mean_effect, unweighted_mean

UNITS = st.lists(
    st.tuples(st.floats(-0.5, 0.5).map(lambda v: round(v, 4)), st.floats(0.002, 0.2)), min_size=2, max_size=15
)


@given(UNITS)
def test_effect_variance_and_interval_are_those_of_statsmodels(units):
    y, se = map(np.array, zip(*units, strict=True))
    found = mean_effect(y, se)
    expected = combine_effects(y, se**2, method_re="iterated", use_t=True, atol=1e-6, maxiter=500)
    assert found.deviation**2 == pytest.approx(max(0.0, expected.tau2), abs=1e-6)
    assert found.estimate.mean == pytest.approx(expected.mean_effect_re, abs=1e-5)
    # Knapp and Hartung's factor, never below 1: statsmodels gives the standard errors with and without it.
    error = max(expected.sd_eff_w_re, expected.sd_eff_w_re_hksj)
    assert found.estimate.se == pytest.approx(error, rel=1e-4)
    law = stats.t(len(units) - 1, found.estimate.mean, found.estimate.se)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(law.interval(0.95))
    assert found.estimate.p == pytest.approx(2 * min(law.cdf(0), law.sf(0)))


@given(UNITS)
def test_the_equation_of_paule_and_mandel_holds(units):
    y, se = map(np.array, zip(*units, strict=True))
    found = mean_effect(y, se)
    weights = 1 / (se**2 + found.deviation**2)
    total = float(weights @ (y - found.estimate.mean) ** 2)
    assert total == pytest.approx(len(units) - 1, rel=1e-6) if found.deviation > 0 else total <= len(units) - 1 + 1e-9


@given(UNITS, st.floats(-1, 1), st.floats(0.1, 10), st.randoms())
def test_the_mean_moves_and_scales_with_the_effects_and_knows_no_order(units, shift, scale, random):
    y, se = map(np.array, zip(*units, strict=True))
    one = mean_effect(y, se)
    other = mean_effect(scale * y + shift, scale * se)
    assert other.estimate.mean == pytest.approx(scale * one.estimate.mean + shift, abs=1e-8)
    assert other.deviation == pytest.approx(scale * one.deviation, abs=1e-6)
    assert other.estimate.se == pytest.approx(scale * one.estimate.se, rel=1e-5)
    shuffled = list(units)
    random.shuffle(shuffled)
    again = mean_effect(*zip(*shuffled, strict=True))
    assert again.estimate.mean == pytest.approx(one.estimate.mean, abs=1e-9)
    assert one.prediction_low <= one.estimate.low <= min(one.estimate.mean, one.estimate.high)
    assert one.prediction_high >= one.estimate.high
    assert min(y) - 1e-12 <= one.estimate.mean <= max(y) + 1e-12


def test_units_that_agree_have_no_variance_between_them():
    found = mean_effect([0.1, 0.1, 0.1], [0.05, 0.02, 0.03])
    assert found.deviation == 0
    assert found.estimate.se == pytest.approx(1 / math.sqrt(sum(1 / s**2 for s in (0.05, 0.02, 0.03))))
    assert (found.prediction_low, found.prediction_high) == (found.estimate.low, found.estimate.high)


def test_a_unit_without_variance_takes_the_median_of_the_others():
    effects = [0.04, -0.01, 0.06, 0.02, 0.05, -0.03, 0.05, 0.0]
    found = mean_effect(effects, [0.05] * 7 + [0.0])
    expected = mean_effect(effects, [0.05] * 8)
    assert found.estimate == expected.estimate
    assert equivalence_p(found.estimate, 0.01) > 0.5
    spread = mean_effect(effects, [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, MIN_STANDARD_ERROR])
    assert spread.estimate == mean_effect(effects, [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.05]).estimate


@pytest.mark.parametrize("errors", [[0.0] * 3, [0.0, 0.0, 0.01]])
def test_fewer_than_two_standard_errors_give_no_effect(errors):
    found = mean_effect([0.1, 0.1, 0.2], errors)
    assert np.isnan([found.estimate.mean, found.estimate.se, found.deviation]).all()
    assert found.estimate.reason == "fewer than two effects have a standard error above 0"


@given(UNITS)
def test_the_unweighted_mean_is_that_of_a_plain_t(units):
    y = np.array([effect for effect, _ in units])
    found = unweighted_mean(y)
    assert found.mean == pytest.approx(y.mean())
    assert found.df == len(y) - 1
    assert found.se == pytest.approx(stats.sem(y), abs=1e-15)


def test_an_identity_has_no_width():
    found = mean_effect([0.0, 1e-17, -1e-17], [0.0] * 3)
    assert found.estimate.identical
    assert (found.estimate.low, found.estimate.high, found.estimate.p) == (0.0, 0.0, 1.0)
    assert (found.deviation, found.prediction_low, found.prediction_high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("units", [[], [(0.1, 0.1)], [(0.1, 0.1), (0.2, math.nan)], [(math.nan, 0.1), (0.2, 0.1)]])
def test_without_standard_errors_there_is_no_effect(units):
    found = mean_effect(*([u[i] for u in units] for i in (0, 1)))
    assert np.isnan([found.estimate.mean, found.estimate.low, found.deviation, found.prediction_high]).all()
    assert found.estimate.reason
