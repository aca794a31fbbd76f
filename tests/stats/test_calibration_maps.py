"""Calibration maps: scikit-learn as the witness of what is fitted, laws of the prior correction."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from imblab.stats.probabilities import correct_prior, fit_isotonic, fit_sigmoid, received_share

shares = st.floats(1e-4, 1 - 1e-4)


def drawn(seed, n=300, share=0.2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    y[:2] = [0, 1]
    return y, rng.normal(size=n) + 1.5 * y


# ------------------------------------------------------------------------------------------------------ the prior


@given(st.floats(0, 1), shares, shares)
def test_the_prior_correction_is_the_published_formula(q, share, received):
    a, b = share / received, (1 - share) / (1 - received)
    found = correct_prior(np.array([q]), share, received).item()
    assert found == pytest.approx(a * q / (a * q + b * (1 - q)), rel=1e-9, abs=1e-12)
    assert 0 <= found <= 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), shares, shares)
def test_it_reverses_no_two_rows_and_ties_none_but_by_rounding(values, share, received):
    q = np.sort(np.array(values))
    p = correct_prior(q, share, received)
    assert (np.diff(p) >= 0).all()
    odds = (1 - share) * received / (share * (1 - received))
    # A float near 1 keeps no more than 2**-53 of the odds against it: only rows closer than that may tie.
    apart = (1 / np.maximum(q[:-1], 1e-300) - 1 / np.maximum(q[1:], 1e-300)) * odds > 1e-14 * (
        1 + odds / q[:-1].clip(1e-300)
    )
    assert (np.diff(p)[apart] > 0).all()


@given(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=20), shares, shares)
def test_it_is_undone_by_its_opposite_and_nothing_is_undone_where_nothing_was_done(values, share, received):
    q = np.array(values)
    back = correct_prior(correct_prior(q, share, received), received, share)
    np.testing.assert_allclose(back, q, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(correct_prior(q, share, share), q)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.1, 0.4]))
def test_it_changes_no_rank(seed, share):
    y, s = drawn(seed)
    q = expit(s)
    assert roc_auc_score(y, correct_prior(q, share, 0.5)) == roc_auc_score(y, q)


def test_it_is_bayes_rule_where_probabilities_are_known():
    """Two normal classes: the posterior at one positive share from the posterior at another."""
    x = np.linspace(-4, 5, 50)

    def posterior(share):
        return expit(logit(share) + x - 0.5)  # of N(1, 1) against N(0, 1)

    np.testing.assert_allclose(correct_prior(posterior(0.5), 0.03, 0.5), posterior(0.03), rtol=1e-12)
    np.testing.assert_allclose(correct_prior(posterior(0.2), 0.7, 0.2), posterior(0.7), rtol=1e-12)


def test_random_undersampling_is_undone_as_dal_pozzolo_says():
    """``p = beta p_s / (beta p_s - p_s + 1)`` with beta the share of the negatives that is kept."""
    kept, negatives, positives = 0.25, 800, 100
    q = np.linspace(0, 1, 21)
    received = received_share(int(kept * negatives), positives)
    found = correct_prior(q, positives / (negatives + positives), received)
    np.testing.assert_allclose(found, kept * q / (kept * q - q + 1), rtol=1e-12)


@pytest.mark.parametrize(("weight", "share"), [(None, 0.1), (1, 0.1), (9.0, 0.5), ("balanced", 0.5), (81.0, 0.9)])
def test_the_share_received_counts_weights(weight, share):
    assert received_share(90, 10, weight) == pytest.approx(share, rel=1e-15)


def platt_loss(score, y):
    """The loss that Platt states, and the target he gives every row."""
    positives, negatives = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return lambda ab: np.sum(np.logaddexp(0, ab[0] * score + ab[1]) - target * (ab[0] * score + ab[1]))


@pytest.mark.parametrize("seed", range(4))
def test_sigmoid_is_the_optimum_of_platts_loss(seed):
    y, s = drawn(seed)
    best = minimize(platt_loss(s, y), [0.0, 0.0], method="BFGS", options={"gtol": 1e-9}).x
    grid = np.linspace(-3, 5, 30)
    np.testing.assert_allclose(fit_sigmoid(s, y)(grid), expit(best[0] * grid + best[1]), rtol=0, atol=1e-7)


def test_the_sigmoid_is_no_worse_than_that_of_scikit_learn():
    """Its private function is asked here alone: it is what ``CalibratedClassifierCV`` fits."""
    from sklearn.calibration import _sigmoid_calibration

    for seed in range(6):
        y, s = drawn(seed, n=200, share=0.05)
        a, b = _sigmoid_calibration(s, y)
        found = fit_sigmoid(s, y)
        ours = logit(found(np.array([0.0, 1.0])))
        loss = platt_loss(s, y)
        assert loss([ours[1] - ours[0], ours[0]]) <= loss([-a, -b]) + 1e-12
        np.testing.assert_allclose(found(s), expit(-(a * s + b)), atol=2e-4)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e6, 1e300])
def test_the_sigmoid_knows_no_unit(scale):
    y, s = drawn(5)
    np.testing.assert_allclose(fit_sigmoid(s * scale, y)(s * scale), fit_sigmoid(s, y)(s), rtol=1e-9)


def test_separated_constant_and_reversed_scores_have_a_sigmoid():
    y = np.repeat([0, 1], [30, 10])
    separated = fit_sigmoid(y.astype(float), y)(np.array([0.0, 1.0]))
    np.testing.assert_allclose(separated, [1 / 32, 11 / 12], rtol=1e-9)  # the softened targets themselves
    constant = fit_sigmoid(np.full(40, 0.3), y)(np.array([0.3, 9.0]))
    np.testing.assert_allclose(constant, (30 / 32 + 10 * 11 / 12) / 40, rtol=1e-9)
    falling = fit_sigmoid(-y.astype(float), y)(np.array([-1.0, 0.0]))
    np.testing.assert_allclose(falling, separated[::-1], rtol=1e-9)


def test_isotonic_steps_are_those_of_scikit_learn():
    y, s = drawn(2)
    grid = np.linspace(-6, 8, 40)
    peer = IsotonicRegression(out_of_bounds="clip").fit(s, y)
    np.testing.assert_array_equal(fit_isotonic(s, y)(grid), peer.predict(grid))
