"""Nearly identical rows: planted ones are found, and honest tables of many kinds have hardly any."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from imblab.core.table_clues import _near_bound, find_near_rows
from imblab.study import Dataset, Split


def table(X, categorical=(), y=None):
    frame = pd.DataFrame(np.asarray(X, dtype=float), columns=[f"c{i}" for i in range(np.shape(X)[1])])
    for column in categorical:
        frame[f"c{column}"] = frame[f"c{column}"].astype(int).astype(str).astype("category")
    y = np.arange(len(frame)) % 2 if y is None else y
    return Dataset("d", frame, y, ("no", "yes"), tuple(f"c{i}" for i in categorical))


def zero_inflated(rng, n):
    return np.where(rng.random((n, 10)) < 0.7, 0, np.exp(rng.normal(size=(n, 10))))


def clustered(rng, n):
    return rng.normal(size=(n, 5)) + 8 * rng.normal(size=(3, 5))[rng.integers(0, 3, n)]


#: Honest tables: rows are drawn independently.
HONEST = {
    "normal in 1 dimension": lambda rng, n: rng.normal(size=(n, 1)),
    "normal in 2": lambda rng, n: rng.normal(size=(n, 2)),
    "normal in 5": lambda rng, n: rng.normal(size=(n, 5)),
    "normal in 30": lambda rng, n: rng.normal(size=(n, 30)),
    "uniform": lambda rng, n: rng.uniform(size=(n, 4)),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=(n, 5)),
    "skewed": lambda rng, n: np.exp(2 * rng.normal(size=(n, 5))),
    "two factors": lambda rng, n: rng.normal(size=(n, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(n, 8)),
    "clusters": clustered,
    "rounded": lambda rng, n: rng.normal(size=(n, 3)).round(1),
    "whole numbers": lambda rng, n: np.column_stack([rng.normal(size=(n, 1)), rng.integers(0, 5, size=(n, 3))]),
    "flags": lambda rng, n: np.column_stack([rng.normal(size=(n, 3)), rng.random((n, 6)) < 0.3]),
    "many zeros": zero_inflated,
    "missing values": lambda rng, n: np.where(rng.random((n, 4)) < 0.2, np.nan, rng.normal(size=(n, 4))),
}


@pytest.mark.sampled(9)
@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("n", [200, 1000])
def test_honest_tables_have_hardly_any(kind, n):
    """The bound is made for one row in a thousand; one in a hundred is the most over ten tables."""
    shares = [find_near_rows(table(HONEST[kind](np.random.default_rng(s), n))).is_near.any(axis=1) for s in range(10)]
    assert np.concatenate(shares).mean() < 0.01


@pytest.mark.parametrize("n", [200, 1000])
def test_honest_tables_with_categories_have_hardly_any(n):
    shares = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = np.column_stack([rng.normal(size=(n, 2)), rng.integers(0, 5, size=(n, 3))])
        shares.append(find_near_rows(table(X, categorical=(2, 3, 4))).is_near.any(axis=1))
    assert np.concatenate(shares).mean() < 0.01


@pytest.mark.parametrize(("dimension", "noise"), [(2, 1e-4), (4, 0.01), (8, 0.05)])
def test_planted_copies_are_found(dimension, noise):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, dimension))
    X[:60] = X[60:120] + noise * rng.normal(size=(60, dimension))
    is_near = find_near_rows(table(X)).is_near.any(axis=1)
    assert is_near.sum() >= 0.9 * 120
    assert is_near.sum() <= 120 + 6


def test_up_to_nine_copies_of_every_row_are_found():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 6)), 8, axis=0) + 0.01 * rng.normal(size=(480, 6))
    assert find_near_rows(table(X)).is_near.any(axis=1).mean() > 0.9


def test_the_rule_is_the_stated_one():
    """By all distances between standardised rows."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(150, 5))
    X[:10] = X[10:20] + 0.02
    near = find_near_rows(table(X))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    ordered = np.sort(cdist(Z, Z), axis=1)[:, 1:]
    harmonic = sum(1 / i for i in range(10, 20))
    dimension = harmonic / np.mean(np.log(ordered[:, 19] / ordered[:, 9]))
    assert near.dimension == pytest.approx(dimension)
    bound = min(0.2, (0.001 / 19) ** (1 / dimension))
    assert near.bound == pytest.approx(bound)
    expected = ordered[:, 0] < bound * ordered[:, 19]
    assert expected[:20].all()
    assert near.is_near.any(axis=1)[near.point].tolist() == expected.tolist()


def test_the_bound_has_its_stated_probability():
    """P(nearest < f times the 20th) of 19 even distances is .001."""
    for dimension in (1, 2, 3):
        assert 1 - (1 - _near_bound(dimension) ** dimension) ** 19 == pytest.approx(0.001, rel=1e-3)


def test_test_rows_are_compared_with_training_rows_alone():
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[50], X[51] = X[0], X[1] + 1e-6  # an exact copy, and a near one
    X[53] = X[52]  # both in the test part
    near = find_near_rows(table(X))
    split = Split(0, 0, np.arange(50), np.arange(50, 100), "")
    assert np.flatnonzero(near.copied(split)).tolist() == [0]
    assert np.flatnonzero(near.nearly_copied(split)).tolist() == [1]


def test_contradicting_labels_are_rows_with_the_same_features():
    X, y = np.array([[1.0], [1.0], [2.0], [2.0], [3.0]]), np.array([0, 1, 1, 1, 0])
    assert find_near_rows(table(X, y=y)).contradicting(y).tolist() == [True, True, False, False, False]


def test_a_table_that_is_too_small_has_none():
    near = find_near_rows(table(np.arange(20.0)[:, None]))
    assert not near.is_near.any()
    assert not near.searched.any()
    assert np.isnan(near.bound)


def test_of_a_large_table_some_rows_are_searched(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    X[200:] = X[:200] + 1e-6
    monkeypatch.setattr("imblab.core.table_clues.MAX_MEASURED_DISTANCES", 400 * 100)
    near = find_near_rows(table(X))
    assert near.searched.sum() == 100
    assert near.is_near[near.searched].any(axis=1).all()
