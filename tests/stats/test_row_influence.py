"""The change of a score without each row is that of scikit-learn's function on the other rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, matthews_corrcoef, roc_auc_score

from imblab.stats import row_influence

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


@pytest.mark.parametrize("path", WITNESSES)
@given(fold=folds())
def test_changes_are_those_of_leaving_each_row_out(path, fold):
    rows = np.arange(len(fold[0]))
    witness = WITNESSES[path]
    expected = [witness(*fold) - witness(*(each[rows != row] for each in fold)) for row in rows]
    np.testing.assert_allclose(row_influence.ROW_CHANGES[path](*fold), expected, atol=1e-12)
    assert set(WITNESSES) == set(row_influence.ROW_CHANGES)


def test_a_single_positive_row_leaves_ranking_measures_undefined():
    y, values = np.array([0, 0, 1]), np.array([0.1, 0.4, 0.3])
    assert np.isnan(row_influence.average_precision_changes(y, values)).all()
    assert np.isnan(row_influence.roc_auc_changes(y, values)).tolist() == [False, False, True]


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
    np.testing.assert_allclose(row_influence.row_covariance(changes, y), expected, atol=1e-12)
