"""Calibration statistics: scikit-learn and statsmodels compute the same, closed forms and laws hold."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings, strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss as sklearn_log_loss

from imblab.stats import probabilities


def sample(seed, n=2000, tilt=1.4, shift=-0.5, digits=None):
    """Risks that are too extreme or too high, by a known tilt and shift of the log-odds."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2, 1.2, n)
    y = (rng.random(n) < expit(truth)).astype(np.int64)
    p = expit(tilt * truth + shift)
    return y, p if digits is None else np.round(p, digits)


def test_the_example_of_scikit_learns_documentation():
    y, p = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.8, 0.3])
    found = probabilities.calibration_statistics(y, p, 0.5)
    assert found["brier"] == pytest.approx(0.0375, abs=1e-15)
    assert found["brier_skill"] == pytest.approx(1 - 0.0375 / 0.25, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [None, 2, 1])
def test_scikit_learn_computes_the_same(seed, digits):
    y, p = sample(seed, digits=digits)
    found = probabilities.calibration_statistics(y, p, float(y.mean()))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p), rel=1e-13)
    assert found["log_loss"] == pytest.approx(sklearn_log_loss(y, p), rel=1e-13)
    base = brier_score_loss(y, np.full(len(y), y.mean()))
    assert found["brier_skill"] == pytest.approx(1 - brier_score_loss(y, p) / base, rel=1e-12)
    assert found["observed_expected"] == pytest.approx(y.mean() / p.mean(), rel=1e-13)
    assert found["mean_risk_ratio"] == pytest.approx(p.mean() / y.mean(), rel=1e-13)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [None, 2, 1])
def test_bins_are_those_of_the_calibration_curve(seed, digits):
    y, p = sample(seed, digits=digits)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    found = probabilities.quantile_bins(y, p)
    n = np.array([rows for _, rows, _, _ in found])
    assert [positives / rows for _, rows, _, positives in found] == pytest.approx(observed, rel=1e-13)
    assert [risk / rows for _, rows, risk, _ in found] == pytest.approx(predicted, rel=1e-13)
    assert n.sum() == len(y)
    expected = float(np.sum(n * np.abs(observed - predicted)) / len(y))
    assert probabilities._calibration_error(y, p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_intercept_are_the_maximum_of_the_likelihood(seed):
    y, p = sample(seed)
    slope, intercept = probabilities._recalibration(y, p)
    witness = sm.GLM(y, sm.add_constant(logit(p)), family=sm.families.Binomial()).fit(tol=1e-14)
    assert [intercept, slope] == pytest.approx(witness.params, rel=1e-9)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(logit(p)[:, None], y)
    assert [slope, intercept] == pytest.approx([model.coef_.item(), model.intercept_.item()], rel=1e-5)


def test_the_known_tilt_of_a_large_sample_is_found():
    y, p = sample(0, n=400_000, tilt=2.0, shift=-0.5)
    slope, intercept = probabilities._recalibration(y, p)
    # logit p = 2 truth - .5, so that truth = .5 logit p + .25.
    assert slope == pytest.approx(0.5, abs=0.01)
    assert intercept == pytest.approx(0.25, abs=0.03)


COUNTS = st.integers(1, 60)


@settings(max_examples=50)
@given(COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0.01, 0.45), st.floats(0.55, 0.99))
def test_two_risks_have_a_closed_form(low1, low0, high1, high0, low, high):
    """With two distinct risks the model is saturated: each group keeps its observed log-odds."""
    y = np.repeat([1, 0, 1, 0], [low1, low0, high1, high0])
    p = np.repeat([low, high], [low1 + low0, high1 + high0])
    slope, intercept = probabilities._recalibration(y, p)
    expected = (math.log(high1 / high0) - math.log(low1 / low0)) / (logit(high) - logit(low))
    assert slope == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert intercept == pytest.approx(math.log(low1 / low0) - expected * logit(low), rel=1e-6, abs=1e-8)


@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_the_order_of_rows_changes_nothing(seed):
    y, p = sample(seed % 7, n=1200, digits=2)
    order = np.random.default_rng(seed).permutation(len(y))
    before, after = (probabilities.calibration_statistics(a, b, 0.2) for a, b in ((y, p), (y[order], p[order])))
    assert before == pytest.approx(after, rel=1e-9)
    assert [b[:2] + b[3:] for b in probabilities.quantile_bins(y, p)] == [
        b[:2] + b[3:] for b in probabilities.quantile_bins(y[order], p[order])
    ]


@settings(max_examples=50)
@given(st.floats(0.3, 2), st.floats(-2, 2))
def test_a_tilt_of_the_log_odds_is_undone_by_the_slope(tilt, shift):
    y, p = sample(1, n=800, tilt=0.5)
    slope, intercept = probabilities._recalibration(y, p)
    tilted = expit(tilt * logit(p) + shift)
    found = probabilities._recalibration(y, tilted)
    assert found == pytest.approx((slope / tilt, intercept - slope / tilt * shift), rel=1e-6, abs=1e-7)


def test_with_fewer_than_100_of_a_class_a_curve_says_nothing():
    y, p = sample(3, n=3000)
    few = np.concatenate([np.flatnonzero(y == 1)[:99], np.flatnonzero(y == 0)])
    found = probabilities.calibration_statistics(y[few], p[few], 0.1)
    assert [found[name] for name in ("ece", "slope", "intercept")] == [None] * 3
    assert None not in [found[name] for name in ("brier", "brier_skill", "log_loss", "observed_expected")]
    enough = np.concatenate([np.flatnonzero(y == 1)[:100], np.flatnonzero(y == 0)])
    assert None not in probabilities.calibration_statistics(y[enough], p[enough], 0.1).values()
    assert tuple(found) == probabilities.STATISTICS


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),  # separated
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),  # separated the wrong way
        ([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]),  # separated but for a tie at the border
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]),  # one risk
        ([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]),  # one class
    ],
)
def test_without_a_maximum_there_is_no_slope(y, p):
    assert probabilities._recalibration(np.array(y), np.array(p)) == (None, None)


def test_risks_of_zero_and_one_are_moved_inside():
    y, p = sample(4)
    p = np.where(p < 0.02, 0.0, np.where(p > 0.6, 1.0, p))
    inside = np.clip(p, 1e-8, 1 - 1e-8)
    assert probabilities._recalibration(y, p) == pytest.approx(probabilities._recalibration(y, inside), rel=1e-12)
    assert all(math.isfinite(v) for v in probabilities.calibration_statistics(y, p, 0.2).values())


def test_undefined_is_none():
    nothing = probabilities.calibration_statistics(np.zeros(4, dtype=int), np.zeros(4), 0.0)
    assert [nothing[n] for n in ("brier_skill", "observed_expected", "mean_risk_ratio")] == [None] * 3
