"""Standardising: bit for bit scikit-learn's scaler, however many columns are looked at together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.preprocessing import StandardScaler

from imblab.core.scaling import Scaling


def check(X, at_once):
    wanted, scaling = StandardScaler().fit(X), Scaling(X, at_once)
    assert scaling.mean.tobytes() == wanted.mean_.tobytes()
    assert scaling.deviation.tobytes() == wanted.scale_.tobytes()
    made = X.copy()
    assert scaling.apply(made) is made
    assert made.tobytes() == wanted.transform(X).tobytes()


@given(
    X=npst.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 7)),
        elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6), st.just(-0.0)),
    ),
    at_once=st.sampled_from([1, 8 * 40 * 3, 2**20]),
)
def test_it_is_the_scaler_of_scikit_learn(X, at_once):
    check(X, at_once)


@pytest.mark.parametrize("width", range(1, 10))
@pytest.mark.parametrize("columns", range(1, 10))
def test_no_block_of_columns_changes_a_bit(width, columns):
    rng = np.random.default_rng(width)
    check(rng.lognormal(size=(1000, columns)) + 1e6, 8 * 1000 * width)


def test_columns_beside_others_are_summed_alike():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(500, 6)) * 1e3
    for first in range(1, 6):
        wanted = StandardScaler().fit(np.ascontiguousarray(whole[:, :first]))
        found = Scaling(whole[:, :first])
        assert found.mean.tobytes() == wanted.mean_.tobytes()
        assert found.deviation.tobytes() == wanted.scale_.tobytes()


def test_nearly_constant_columns_keep_their_unit():
    X = np.full((1000, 2), [0.1, 1e16])
    X[0, 1] += 2.0
    check(X, 2**20)
    assert Scaling(X).deviation.tolist() == [1.0, 1.0]


def test_no_column_is_no_work():
    assert Scaling(np.empty((5, 0))).apply(np.empty((5, 0))).shape == (5, 0)
