"""The folds of groups are scikit-learn's, row for row."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from imblab.core import group_folds
from imblab.core.group_folds import assign


def reference(y, groups, folds, state):
    found = np.full(len(y), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pairs = StratifiedGroupKFold(folds, shuffle=True, random_state=state).split(np.zeros(len(y)), y, groups)
        for fold, (_, test) in enumerate(pairs):
            found[test] = fold
    return found


@given(
    seed=st.integers(0, 2**31 - 1),
    rows=st.integers(6, 200),
    distinct=st.integers(1, 60),
    classes=st.integers(2, 12),
    folds=st.integers(2, 12),
    rare=st.floats(0.01, 0.5),
)
def test_the_folds_are_those_of_scikit_learn(seed, rows, distinct, classes, folds, rare):
    random = np.random.default_rng(seed)
    y = np.where(random.random(rows) < rare, random.integers(1, classes, rows), 0)
    groups = random.integers(0, distinct, rows) * 3 - 7
    state = seed % 1000
    try:
        expected = reference(y, groups, folds, state)
    except ValueError:
        with pytest.raises(ValueError):
            assign(y, groups, folds, state)
        return
    np.testing.assert_array_equal(assign(y, groups, folds, state), expected)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ties_fall_as_in_scikit_learn(size):
    """Groups of equal counts: every choice of a fold is a tie that rounding may break."""
    y = np.tile([0] * 7 * size + [1] * size, 30)
    groups = np.arange(len(y)) // size
    for folds in (2, 3, 5, 10):
        np.testing.assert_array_equal(assign(y, groups, folds, 1), reference(y, groups, folds, 1))


def test_an_assignment_is_made_once(monkeypatch):
    y, groups = np.arange(40) % 2, np.arange(40) // 4
    first = assign(y, groups, 4, 77)
    monkeypatch.setattr(group_folds, "_assigned", None)
    assert assign(y, groups, 4, 77) is first
