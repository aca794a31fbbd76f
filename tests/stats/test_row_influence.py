"""The change of a score without each row is that of scikit-learn's function on the other rows."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from imblab.stats import counts, curves, probabilities, standard_errors

WITNESSES = {
    "imblab.core.measures.mcc": lambda y, values, called: matthews_corrcoef(y, called),
    "imblab.core.measures.average_precision": lambda y, values, called: average_precision_score(y, values),
    "imblab.core.measures.roc_auc": lambda y, values, called: roc_auc_score(y, values),
    "imblab.core.measures.brier": lambda y, values, called: brier_score_loss(y, values),
}


@st.composite
def folds(draw):
    n_negative, n_positive = draw(st.integers(2, 12)), draw(st.integers(2, 8))
    y = np.array([0] * n_negative + [1] * n_positive)[draw(st.permutations(range(n_negative + n_positive)))]
    grid = draw(st.sampled_from([2, 5, 1000]))  # many ties, some, none
    values = np.array(draw(st.lists(st.integers(0, grid), min_size=len(y), max_size=len(y)))) / grid
    return y, values, values >= draw(st.floats(0, 1))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("path", WITNESSES)
@given(fold=folds())
def test_changes_are_those_of_leaving_each_row_out(path, fold):
    rows = np.arange(len(fold[0]))
    witness = WITNESSES[path]
    expected = [witness(*fold) - witness(*(each[rows != row] for each in fold)) for row in rows]
    np.testing.assert_allclose(standard_errors.ROW_CHANGES[path](*fold), expected, atol=1e-12)
    assert set(WITNESSES) == set(standard_errors.ROW_CHANGES)


def test_a_single_positive_row_leaves_ranking_measures_undefined():
    y, values = np.array([0, 0, 1]), np.array([0.1, 0.4, 0.3])
    assert np.isnan(standard_errors.average_precision_changes(y, values)).all()
    assert np.isnan(standard_errors.roc_auc_changes(y, values)).tolist() == [False, False, True]


@given(seed=st.integers(0, 2**32 - 1))
def test_the_covariance_of_means_is_that_of_independent_rows(seed):
    """For a mean over rows the jackknife gives the textbook variance s^2 / n of each class, exactly."""
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=(3, 30))
    y = (np.arange(30) < 10).astype(int)
    weight = np.where(y == 1, 10, 20) / 30  # the mean over all rows as a weighted mean of the class means
    changes = np.stack(
        [weight * (each - np.where(y == 1, each[y == 1].mean(), each[y == 0].mean())) for each in losses]
    )
    changes /= np.where(y == 1, 9, 19)
    expected = sum((n / 30) ** 2 * np.cov(losses[:, y == c]) / n for c, n in ((1, 10), (0, 20)))
    np.testing.assert_allclose(standard_errors.row_covariance(changes, y), expected, atol=1e-12)


# ----------------------------------------------------------------------------------------------- more than two classes

CLASS_WITNESSES = {
    "imblab.core.measures.mcc": lambda y, values, decided: matthews_corrcoef(y, decided),
    "imblab.core.measures.recall": lambda y, values, decided: recall_score(y, decided, average="macro"),
    "imblab.core.measures.precision": lambda y, values, decided: precision_score(
        y, decided, average="macro", zero_division=0
    ),
    "imblab.core.measures.average_precision": lambda y, values, decided: average_precision_score(
        np.eye(values.shape[1])[y], values, average="macro"
    ),
    "imblab.core.measures.roc_auc": lambda y, values, decided: roc_auc_score(
        np.eye(values.shape[1])[y], values, average="macro"
    ),
    "imblab.core.measures.brier": lambda y, values, decided: brier_score_loss(
        y, values, labels=np.arange(values.shape[1])
    ),
}


def draw_classes(rng, sizes, steps=None):
    """Classes of these sizes, probabilities (rounded to so many steps, so that rows tie) and decisions."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    logits = rng.normal(size=(len(y), len(sizes))) + 1.5 * np.eye(len(sizes))[y]
    logits = logits if steps is None else np.round(steps * logits) / steps
    values = np.exp(logits)
    values /= values.sum(axis=1, keepdims=True)
    return y, values, values.argmax(axis=1)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("path", CLASS_WITNESSES)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(2, 6), min_size=3, max_size=4),
    steps=st.sampled_from([None, 1]),
)
def test_changes_with_several_classes_are_those_of_leaving_each_row_out(path, seed, sizes, steps):
    sample = draw_classes(np.random.default_rng(seed), sizes, steps)
    rows = np.arange(len(sample[0]))
    witness = CLASS_WITNESSES[path]
    expected = [witness(*sample) - witness(*(each[rows != row] for each in sample)) for row in rows]
    np.testing.assert_allclose(standard_errors.CLASS_ROW_CHANGES[path](*sample), expected, atol=1e-12)
    assert set(CLASS_WITNESSES) == set(standard_errors.CLASS_ROW_CHANGES)


@given(fold=folds())
def test_changes_of_a_matrix_of_two_classes_are_those_of_counts(fold):
    y, _, called = fold
    found = standard_errors._matrix_changes(counts.class_mcc, y, called.astype(int), 2)
    np.testing.assert_allclose(found, standard_errors.count_changes(counts.mcc, y, called), atol=1e-15)


def test_the_single_row_of_a_class_has_no_change_of_a_macro_measure():
    y, decided = np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 0, 2])
    found = standard_errors._matrix_changes(counts.macro_recall, y, decided, 3)
    assert np.isnan(found).tolist() == [False, False, False, False, True]


@pytest.mark.parametrize("path", CLASS_WITNESSES)
def test_the_variance_from_rows_is_that_of_a_bootstrap_within_classes(path):
    """Rows of fixed predictions drawn again, as many of each class; the jackknife is within a tenth of that."""
    rng = np.random.default_rng(1)
    sample = draw_classes(rng, [240, 120, 60])
    y = sample[0]
    changes = standard_errors.CLASS_ROW_CHANGES[path](*sample)
    jackknife = np.sqrt(standard_errors.row_covariance(changes[None], y)[0, 0])
    scores = []
    for _ in range(1000):
        rows = np.concatenate([rng.choice(np.flatnonzero(y == c), np.sum(y == c)) for c in range(3)])
        scores.append(CLASS_SCORES[path](*(each[rows] for each in sample)))
    assert jackknife == pytest.approx(np.std(scores, ddof=1), rel=0.1)


#: The measures themselves, which the tests of their modules compare with scikit-learn.
CLASS_SCORES = {
    "imblab.core.measures.mcc": lambda y, values, decided: matrix_score(counts.class_mcc, y, decided),
    "imblab.core.measures.recall": lambda y, values, decided: matrix_score(counts.macro_recall, y, decided),
    "imblab.core.measures.precision": lambda y, values, decided: matrix_score(counts.macro_precision, y, decided),
    "imblab.core.measures.average_precision": lambda y, values, decided: probabilities.macro_of_columns(
        y, values, curves.average_precision
    ),
    "imblab.core.measures.roc_auc": lambda y, values, decided: probabilities.macro_of_columns(
        y, values, curves.roc_auc
    ),
    "imblab.core.measures.brier": lambda y, values, decided: probabilities.class_brier(y, values),
}


def matrix_score(function, y, decided):
    return float(function(counts.confusion_matrices(y, decided, 3)))
