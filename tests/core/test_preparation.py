"""Standardising: bit for bit scikit-learn's scaler, however many columns are looked at together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as npst
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from imblab import dataset
from imblab.core import preparation, splits
from imblab.core.preparation import PreparedRows, Scaling
from imblab.errors import DataError
from imblab.study import MAX_LEVELS, Protocol


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


def shops(names, rare=None, **columns):
    """A table of one categorical column; every fourth row is positive."""
    left = np.where(np.arange(len(names)) % 4 == 0, "yes", "no")
    frame = pd.DataFrame({"shop": pd.Series(names, dtype=object), "left": left, **columns})
    return dataset(frame, "left", rare=None if rare is None else {"min_rows": rare})


column = st.lists(st.sampled_from([*"abcdefg", "rare", "~"]), min_size=12, max_size=40)


@given(names=column, min_rows=st.integers(2, 6), cut=st.integers(4, 10))
def test_the_columns_are_those_of_scikit_learns_infrequent_categories(names, min_rows, cut):
    """For texts that sort before its name of the group; where all levels are rare, scikit-learn has one column too."""
    data = shops(names, min_rows)
    fit, rows = np.arange(len(names) - cut), np.arange(len(names))
    prepared = PreparedRows(data, fit)
    texts = np.array(names, dtype=object)[:, None]
    encoder = OneHotEncoder(min_frequency=min_rows, handle_unknown="infrequent_if_exist", sparse_output=False)
    expected = encoder.fit(texts[fit]).transform(texts[rows])
    np.testing.assert_array_equal(prepared.transform(rows), expected)
    np.testing.assert_array_equal(prepared.encode(prepared.X), expected[fit])


@given(names=column, seed=st.integers(0, 99))
def test_rows_outside_the_fit_part_change_no_group(names, seed):
    fit = np.arange(len(names) // 2)
    other = names[: len(fit)] + list(np.random.default_rng(seed).permutation(names[len(fit) :]))
    one, two = (PreparedRows(shops(each, 3), fit) for each in (names, other))
    np.testing.assert_array_equal(one.encode(one.X), two.encode(two.X))


def test_missing_values_are_imputed_before_levels_are_counted():
    names = ["a"] * 4 + [None] * 2 + ["b"] * 5 + ["c"] * 3 + [None]
    prepared = PreparedRows(shops(names, 6), np.arange(len(names)))
    # b is the most frequent: with the missing rows it has 8, a and c are rare together.
    assert prepared.encode(prepared.X).sum(axis=0).tolist() == [8, 7]


def test_a_level_that_is_called_rare_stays_itself():
    prepared = PreparedRows(shops(["rare"] * 5 + ["a", "b"] + ["c"] * 5, 3), np.arange(12))
    assert prepared.encode(prepared.X).sum(axis=0).tolist() == [5, 5, 2]
    assert prepared.X[:, 0].max() == 4  # above the codes of the four levels


def test_without_a_rare_level_an_unseen_one_has_no_column():
    prepared = PreparedRows(shops(["a"] * 5 + ["b"] * 5 + ["new"] * 2, 3), np.arange(10))
    assert prepared.transform(np.array([0, 9, 11])).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_the_fingerprint_sees_the_rule_and_only_where_it_is_set():
    names = list("abcd") * 5
    plain = shops(names)
    assert shops(names, 2).fingerprint != plain.fingerprint
    assert shops(names, 2).fingerprint != shops(names, 3).fingerprint
    numbers = {"n": np.arange(20.0)}
    frame = pd.DataFrame({**numbers, "left": ["no", "yes"] * 10})
    assert dataset(frame, "left", rare={"min_rows": 3}).fingerprint == dataset(frame, "left").fingerprint


LIMIT = MAX_LEVELS


def test_the_limit_applies_to_each_fit_part_and_the_way_out_works():
    names = [f"s{i}" for i in range(LIMIT + 5) for _ in range(12)]
    data = shops(names, 4)
    with pytest.raises(DataError, match=r"^data set 'table' has 105 levels in column 'shop' of a fit part") as said:
        splits.plan(data, Protocol(outer_folds=3, inner_folds=2), 0, "mine")
    assert said.value.overrides == {"dataset.mine.rare": {"min_rows": 13}}
    assert splits.plan(replace(data, rare=13), Protocol(outer_folds=3, inner_folds=2), 0)


def test_many_levels_pass_once_the_rare_ones_are_one():
    names = [f"s{i}" for i in range(300)] + ["a"] * 200 + ["b"] * 100
    data = shops(names, 20)
    assert preparation.find_crowded_column(data, np.arange(600)) is None
    assert splits.plan(data, Protocol(outer_folds=3, inner_folds=2), 0)
    assert PreparedRows(data, np.arange(0, 600, 2)).transform(np.arange(600)).shape == (600, 3)


@pytest.mark.parametrize("rare", [20, {"min_rows": 1}, {"min_rows": 2.5}, {"min_rows": True}, {"rows": 3}, {}, "20"])
def test_a_rule_that_is_none_is_refused_with_the_form(rare):
    frame = pd.DataFrame({"shop": list("abab"), "left": ["no", "no", "no", "yes"]})
    with pytest.raises(
        DataError, match=r"for rare; levels with fewer fit rows .* Write for example rare=\{'min_rows': 20\}"
    ):
        dataset(frame, "left", rare=rare)
