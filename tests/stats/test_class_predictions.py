"""Predictions of several classes: scikit-learn as the witness of measures, weights and calibration; laws of priors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn import metrics as sk
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from imblab.stats import curves, probabilities
from imblab.stats.probabilities import power_weights

EXACT = {"rtol": 0, "atol": 1e-12}


@st.composite
def predictions(draw):
    """Every class at least twice, and probabilities of which many tie."""
    n_classes = draw(st.integers(3, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(2 * n_classes, 60))
    y = np.minimum(rng.geometric(0.4, n_rows) - 1, n_classes - 1)
    y[rng.permutation(n_rows)[: 2 * n_classes]] = np.repeat(np.arange(n_classes), 2)
    logits = rng.normal(size=(n_rows, n_classes)) + 2 * np.eye(n_classes)[y]
    if draw(st.booleans()):
        logits = np.round(logits)
    proba = np.exp(logits)
    return y, proba / proba.sum(axis=1, keepdims=True)


# ----------------------------------------------------------------------------------------------------------- measures


@given(predictions())
def test_ranking_measures_are_scikit_learns_macro_and_per_class(sample):
    y, proba = sample
    indicator = np.eye(proba.shape[1])[y]
    pr_auc = probabilities.scores_per_class(y, proba, curves.average_precision)
    np.testing.assert_allclose(pr_auc, sk.average_precision_score(indicator, proba, average=None), **EXACT)
    found = probabilities.macro_of_columns(y, proba, curves.average_precision)
    assert found == pytest.approx(sk.average_precision_score(indicator, proba, average="macro"), abs=1e-12)
    roc_auc = probabilities.scores_per_class(y, proba, curves.roc_auc)
    np.testing.assert_allclose(roc_auc, sk.roc_auc_score(y, proba, multi_class="ovr", average=None), **EXACT)
    found = probabilities.macro_of_columns(y, proba, curves.roc_auc)
    assert found == pytest.approx(sk.roc_auc_score(y, proba, multi_class="ovr"), abs=1e-12)


@given(predictions(), st.integers(0, 1000))
def test_ranking_measures_read_decision_values_of_any_size(sample, seed):
    y, proba = sample
    values = 1e6 * np.log(proba) + np.random.default_rng(seed).normal(size=proba.shape)
    indicator = np.eye(proba.shape[1])[y]
    for function, witness in (
        (curves.average_precision, sk.average_precision_score),
        (curves.roc_auc, sk.roc_auc_score),
    ):
        found = probabilities.macro_of_columns(y, values, function)
        assert found == pytest.approx(witness(indicator, values, average="macro"), abs=1e-12)


@given(predictions())
def test_scoring_rules_are_scikit_learns(sample):
    y, proba = sample
    labels = np.arange(proba.shape[1])
    assert probabilities.class_brier(y, proba) == pytest.approx(sk.brier_score_loss(y, proba, labels=labels), abs=1e-12)
    assert probabilities.class_log_loss(y, proba) == pytest.approx(sk.log_loss(y, proba, labels=labels), abs=1e-12)
    by_class = sum(np.mean((proba[:, c] - (y == c)) ** 2) for c in labels)
    assert probabilities.class_brier(y, proba) == pytest.approx(by_class, abs=1e-12)


def test_the_log_loss_of_a_certain_mistake_is_clipped_as_in_scikit_learn():
    y, proba = np.array([0, 1, 2]), np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    found = probabilities.class_log_loss(y, proba)
    assert found == pytest.approx(sk.log_loss(y, proba, labels=[0, 1, 2]), abs=1e-12)
    assert found > 20


@given(predictions(), st.integers(0, 1000))
def test_the_order_of_classes_and_rows_does_not_matter(sample, seed):
    y, proba = sample
    rng = np.random.default_rng(seed)
    new, rows = rng.permutation(proba.shape[1]), rng.permutation(len(y))
    swapped = np.empty_like(proba)
    swapped[:, new] = proba
    for function in (
        probabilities.class_brier,
        probabilities.class_log_loss,
        lambda y, values: probabilities.macro_of_columns(y, values, curves.average_precision),
        lambda y, values: probabilities.macro_of_columns(y, values, curves.roc_auc),
    ):
        assert function(new[y][rows], swapped[rows]) == pytest.approx(function(y, proba), abs=1e-12)


def test_with_two_classes_brier_is_twice_that_of_the_positive_class(draw_sample):
    y, p = draw_sample(4)
    both = np.column_stack([1 - p, p])
    assert probabilities.class_brier(y, both) == pytest.approx(2 * probabilities.brier(y, p), abs=1e-12)
    assert probabilities.class_log_loss(y, both) == pytest.approx(probabilities.log_loss(y, p), abs=1e-12)


def test_a_ranking_without_a_class_is_null():
    y, proba = np.array([0, 1, 1]), np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]])
    for function in (curves.average_precision, curves.roc_auc):
        assert np.isnan(probabilities.scores_per_class(y, proba, function)).tolist() == [False, False, True]
        assert np.isnan(probabilities.macro_of_columns(y, proba, function))


# ------------------------------------------------------------------------------------------------------------- priors

class_sizes = st.lists(st.integers(1, 10**6), min_size=2, max_size=12).map(np.array)


@given(predictions(), st.integers(0, 1000))
def test_the_prior_correction_is_bayes_rule(sample, seed):
    """Probabilities of known densities: corrected ones are those of the densities under the other shares."""
    _, likelihood = sample
    shares, received = np.random.default_rng(seed).dirichlet(np.full(likelihood.shape[1], 2.0), 2) + 1e-3
    shares, received = shares / shares.sum(), received / received.sum()
    learned = likelihood * received / np.sum(likelihood * received, axis=1, keepdims=True)
    expected = likelihood * shares / np.sum(likelihood * shares, axis=1, keepdims=True)
    found = probabilities.correct_class_priors(learned, shares, received)
    np.testing.assert_allclose(found, expected, **EXACT)
    np.testing.assert_allclose(found.sum(axis=1), 1, **EXACT)
    assert probabilities.correct_class_priors(learned, received, received) is learned


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_prior_correction_of_two_classes_is_theirs(values, share, received):
    q = np.array(values)
    both = probabilities.correct_class_priors(
        np.column_stack([1 - q, q]), np.array([1 - share, share]), np.array([1 - received, received])
    )
    np.testing.assert_allclose(both[:, 1], probabilities.correct_prior(q, share, received), rtol=1e-9, atol=1e-12)


@given(class_sizes, st.sampled_from([0.5, 1, 1.5]))
def test_received_shares_are_weighted_counts(sizes, power):
    np.testing.assert_allclose(probabilities.received_class_shares(sizes), sizes / sizes.sum(), **EXACT)
    weights = power_weights(sizes, power)
    found = probabilities.received_class_shares(sizes, weights)
    np.testing.assert_allclose(found, sizes ** (1.0 - power) / np.sum(sizes ** (1.0 - power)), rtol=1e-12)
    assert found.sum() == pytest.approx(1)


def test_received_shares_of_two_classes_are_theirs():
    found = probabilities.received_class_shares(np.array([90, 10]), np.array([1.0, 9.0]))
    assert found[1] == probabilities.received_share(90, 10, 9.0)


# -------------------------------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize(
    ("method", "fit", "tolerance"),
    [("isotonic", probabilities.fit_isotonic, 1e-12), ("sigmoid", probabilities.fit_sigmoid, 2e-4)],
)
def test_maps_of_one_class_against_the_rest_are_scikit_learns(method, fit, tolerance):
    """The sigmoid of scikit-learn stops before the optimum, so that its witness is a coarse one."""
    rng = np.random.default_rng(3)
    y = rng.choice(4, 600, p=[0.6, 0.25, 0.1, 0.05])
    X = rng.normal(size=(600, 3)) + np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]])[y]
    learner = LogisticRegression().fit(X[:300], y[:300])
    calibrated = CalibratedClassifierCV(FrozenEstimator(learner), method=method, cv=2, ensemble=False)
    calibrated.fit(X[300:], y[300:])
    scores = learner.decision_function(X)
    learned = probabilities.fit_one_against_rest(fit, scores[300:], y[300:])
    np.testing.assert_allclose(learned(scores), calibrated.predict_proba(X), rtol=0, atol=tolerance)


@given(predictions())
def test_mapped_rows_sum_to_one(sample):
    y, proba = sample
    for fit in (probabilities.fit_sigmoid, probabilities.fit_isotonic):
        mapped = probabilities.fit_one_against_rest(fit, proba, y)(proba)
        assert ((mapped >= 0) & (mapped <= 1)).all()
        np.testing.assert_allclose(mapped.sum(axis=1), 1, **EXACT)


def test_a_row_that_every_map_sends_to_zero_has_equal_probabilities():
    found = probabilities._normalise_rows(np.array([[0.0, 0.0, 0.0], [0.0, 0.2, 0.2]]))
    assert found.tolist() == [[1 / 3, 1 / 3, 1 / 3], [0.0, 0.5, 0.5]]
