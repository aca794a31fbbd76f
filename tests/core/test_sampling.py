"""Resampling without doing anything twice: bit for bit what imbalanced-learn does by itself."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.neighbors import KDTree, NearestNeighbors
from sklearn.preprocessing import OneHotEncoder

from imblab.core import estimator_specs, preparation, sampling
from imblab.core.sampling import DenseOneHotEncoder, Resampler, _CachedNearestNeighbors, _NeighborCache
from imblab.study import Dataset

OVER = "imblearn.over_sampling"
UNDER = "imblearn.under_sampling"
SAMPLERS = {
    "smote": {"_target_": f"{OVER}.SMOTE"},
    "borderline1": {"_target_": f"{OVER}.BorderlineSMOTE"},
    "borderline2": {"_target_": f"{OVER}.BorderlineSMOTE", "kind": "borderline-2"},
    "svm_smote": {"_target_": f"{OVER}.SVMSMOTE"},
    "adasyn": {"_target_": f"{OVER}.ADASYN"},
    "random_over": {"_target_": f"{OVER}.RandomOverSampler"},
    "shrunk": {"_target_": f"{OVER}.RandomOverSampler", "shrinkage": 0.3},
    "random_under": {"_target_": f"{UNDER}.RandomUnderSampler"},
    "near_miss": {"_target_": f"{UNDER}.NearMiss"},
    "near_miss_3": {"_target_": f"{UNDER}.NearMiss", "version": 3},
    "cleaning": {"_target_": f"{UNDER}.EditedNearestNeighbours"},
    "smote_tomek": {
        "_target_": "imblearn.combine.SMOTETomek",
        "sampling_strategy": "$ratio",
        "smote": {"_target_": f"{OVER}.SMOTE", "sampling_strategy": "$ratio", "k_neighbors": "$k"},
    },
    "smote_enn": {
        "_target_": "imblearn.combine.SMOTEENN",
        "sampling_strategy": "$ratio",
        "smote": {"_target_": f"{OVER}.SMOTE", "sampling_strategy": "$ratio", "k_neighbors": "$k"},
    },
    "smotenc": {"_target_": f"{OVER}.SMOTENC", "categorical_features": "$categorical"},
    "smoten": {"_target_": f"{OVER}.SMOTEN"},
}
NO_K = ("random_over", "shrunk", "random_under", "cleaning")
NO_RATIO = ("cleaning",)


def table(kind, seed, n=260, rare=40):
    """Rows whose distances are all different, often tie, or are often zero."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:rare]] = 1
    X = rng.normal(size=(n, 4)) + 1.2 * y[:, None]
    if kind == "whole":
        X = np.round(X)
    if kind == "duplicated":
        X = X[rng.integers(0, n // 4, n)]
    return np.ascontiguousarray(X), y


def plainly(make, X, y, knobs, seed, categorical):
    """The sampler built and called as its own documentation says, in a process that shares nothing."""
    given = {name: value for name, value in make.items() if name != "_target_"}
    values = {"$ratio": knobs.get("ratio"), "$k": knobs.get("k"), "$categorical": categorical}
    for name, value in given.items():
        if isinstance(value, dict):
            inner = {a: values.get(b, b) if isinstance(b, str) else b for a, b in value.items() if a != "_target_"}
            given[name] = estimator_specs.resolve_class(value["_target_"])(**inner, random_state=seed)
        elif isinstance(value, str):
            given[name] = values.get(value, value)
    known = estimator_specs.resolve_class(make["_target_"])._get_param_names()
    if "ratio" in knobs and "sampling_strategy" not in given:
        given["sampling_strategy"] = knobs["ratio"]
    if "k" in knobs and "smote" not in given:
        given["k_neighbors" if "k_neighbors" in known else "n_neighbors"] = knobs["k"]
    if "random_state" in known:
        given["random_state"] = seed
    return estimator_specs.resolve_class(make["_target_"])(**given).fit_resample(X, y)


@pytest.mark.sampled(17)
@pytest.mark.parametrize("kind", ["distinct", "whole", "duplicated"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_ratio_and_k_equals_plain_imbalanced_learn(name, kind):
    make = SAMPLERS[name]
    X, y = table(kind, seed=3)
    categorical = []
    if name in ("smotenc", "smoten"):
        X = np.column_stack([X[:, :2] if name == "smotenc" else np.empty((len(y), 0)), np.abs(np.round(X[:, 2:]))])
        X = np.ascontiguousarray(X)
        categorical = list(range(X.shape[1] - 2, X.shape[1]))
    shared = Resampler(X, y, categorical, largest_k=7)
    compared = 0
    for ratio in (0.3, 0.62, 1.0):
        for k in (7, 2, 5):
            knobs = {"ratio": ratio, "k": k}
            knobs = {
                n: v
                for n, v in knobs.items()
                if not (n == "k" and name in NO_K) and not (n == "ratio" and name in NO_RATIO)
            }
            try:
                expected = plainly(make, X, y, knobs, 11, categorical)
            except ValueError:  # NearMiss 3 may find fewer rows than it was asked for
                with pytest.raises(ValueError):
                    shared.resample(make, knobs, 11)
                continue
            if len(np.unique(expected[1])) < len(np.unique(y)):  # ENN deleted a class
                with pytest.raises(sampling.UnusableOutput):
                    shared.resample(make, knobs, 11)
                continue
            found = shared.resample(make, knobs, 11)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
            assert found[0].flags.c_contiguous
            assert found[0].dtype == np.float64
            compared += 1
    assert compared >= 3


@settings(max_examples=60)
@given(
    n=st.integers(6, 60),
    width=st.integers(1, 17),
    levels=st.sampled_from([2, 5, 1000]),
    reach=st.integers(0, 12),
    asked=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    seed=st.integers(0, 5),
)
def test_remembered_neighbours_are_those_of_a_fresh_search(n, width, levels, reach, asked, seed):
    X = np.random.default_rng(seed).integers(0, levels, (n, width)).astype(float)
    memory = _NeighborCache(reach)
    for k in asked:
        distances, indices = memory.query(X, X, k)
        expected = NearestNeighbors(n_neighbors=k).fit(X).kneighbors(X)
        np.testing.assert_array_equal(distances, expected[0])
        np.testing.assert_array_equal(indices, expected[1])


@pytest.mark.parametrize("width", [1, 2, 14, 15, 16, 20])
@pytest.mark.parametrize("n", [8, 9, 30])
def test_a_tree_is_searched_where_scikit_learn_searches_one(n, width):
    X = np.random.default_rng(0).normal(size=(n, width))
    for k in range(1, n):
        chosen = NearestNeighbors(n_neighbors=k).fit(X)._fit_method
        found = getattr(sampling._neighbor_search(X, k, "minkowski"), "__self__", None)
        assert isinstance(found, KDTree) == (chosen == "kd_tree")


def test_one_search_serves_every_smaller_k_where_nothing_ties(monkeypatch):
    X, y = table("distinct", seed=0)
    searches = []
    real = sampling._neighbor_search

    def index(*asked):
        search = real(*asked)
        return lambda *rows: searches.append(1) or search(*rows)

    monkeypatch.setattr(sampling, "_neighbor_search", index)
    shared = Resampler(X, y, [], largest_k=7)
    for ratio in (0.3, 0.6, 1.0):
        for k in (2, 3, 5, 7):
            shared.resample(SAMPLERS["smote"], {"ratio": ratio, "k": k}, 0)
    assert len(searches) == 1


def test_weights_share_a_resampled_table():
    X, y = table("distinct", seed=0)
    shared = Resampler(X, y, [])
    assert (
        shared.resample(SAMPLERS["smote"], {"ratio": 0.5, "k": 3}, 0)[0]
        is shared.resample(SAMPLERS["smote"], {"ratio": 0.5, "k": 3}, 0)[0]
    )


def test_a_remembered_search_survives_cloning_and_answers_like_scikit_learn():
    X, _ = table("distinct", seed=1)
    mine, theirs = clone(_CachedNearestNeighbors(4, _NeighborCache(0))).fit(X), NearestNeighbors(n_neighbors=4).fit(X)
    np.testing.assert_array_equal(mine.kneighbors(X[:9], return_distance=False), theirs.kneighbors(X[:9])[1])
    np.testing.assert_array_equal(mine.kneighbors()[1], theirs.kneighbors()[1])
    assert (mine.kneighbors_graph(X[:9]) != theirs.kneighbors_graph(X[:9])).nnz == 0


def test_the_dense_decoder_decodes_as_its_parent_does():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (50, 3)).astype(float)
    mine, theirs = (
        cls(handle_unknown="ignore", dtype=np.float64).fit(codes) for cls in (DenseOneHotEncoder, OneHotEncoder)
    )
    hot = theirs.transform(codes)
    np.testing.assert_array_equal(mine.inverse_transform(hot), theirs.inverse_transform(hot))
    unknown = theirs.transform(np.array([[9.0, 1.0, 2.0]]))
    assert mine.inverse_transform(unknown).tolist() == theirs.inverse_transform(unknown).tolist()


@pytest.mark.parametrize("knobs", [{"ratio": 0.1, "k": 3}, {"ratio": 0.5, "k": 40}])
def test_what_imbalanced_learn_refuses_is_refused_in_its_words(knobs):
    X, y = table("distinct", seed=0)
    with pytest.raises(ValueError) as mine:
        Resampler(X, y, []).resample(SAMPLERS["smote"], knobs, 0)
    with pytest.raises(ValueError) as theirs:
        plainly(SAMPLERS["smote"], X, y, knobs, 0, [])
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("name", ["smote", "adasyn", "random_over", "random_under"])
def test_a_caller_that_keeps_two_results_keeps_both_unchanged(name):
    make = SAMPLERS[name]
    X, y = table("distinct", seed=3)
    resampler = Resampler(X, y, [], largest_k=5)
    knobs = [{"ratio": ratio, **({} if name in NO_K else {"k": 5})} for ratio in (0.9, 0.7)]
    first = resampler.resample(make, knobs[0], 11)
    before = [part.copy() for part in first]
    second = resampler.resample(make, knobs[1], 12)
    assert len(first[1]) != len(second[1])
    for part, copy in zip(first, before, strict=True):
        np.testing.assert_array_equal(part, copy)
    assert not any(np.shares_memory(a, b) for a, b in zip(first, second, strict=True))
    np.testing.assert_array_equal(X, table("distinct", seed=3)[0])


def test_a_part_of_a_result_that_is_kept_keeps_its_memory_and_unused_memory_serves_again():
    X, y = table("distinct", seed=3)
    resampler = Resampler(X, y, [], largest_k=5)
    kept = resampler.resample(SAMPLERS["smote"], {"ratio": 0.9, "k": 5}, 11)[0][-3:]
    before = kept.copy()
    memory = {resampler.resample(SAMPLERS["smote"], {"ratio": r, "k": 5}, 12)[0].ctypes.data for r in (0.9, 0.8, 0.7)}
    np.testing.assert_array_equal(kept, before)
    assert len(memory) == 1


def test_synthetic_rows_follow_the_prepared_ones_in_their_memory():
    """One copy of the real rows serves every draw, and a caller that keeps one keeps it unchanged."""
    X, y = table("distinct", seed=3)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    data, fit = Dataset("toy", frame, y, ("no", "yes")), np.arange(len(y))
    prepared = preparation.PreparedRows(data, fit, largest_k=5)
    before = prepared.X.copy()
    theirs = {ratio: plainly(SAMPLERS["smote"], before, y, {"ratio": ratio, "k": 5}, 11, []) for ratio in (0.9, 0.7)}
    for ratio, (rows, labels) in theirs.items():
        drawn, new_labels = prepared.resampler.resample(SAMPLERS["smote"], {"ratio": ratio, "k": 5}, 11)
        assert np.shares_memory(drawn, prepared.X)
        np.testing.assert_array_equal(drawn, rows)
        np.testing.assert_array_equal(new_labels, labels)
        del drawn
    kept = prepared.resampler.resample(SAMPLERS["smote"], {"ratio": 0.9, "k": 5}, 11)[0][-3:]
    other, _ = prepared.resampler.resample(SAMPLERS["smote"], {"ratio": 0.7, "k": 5}, 11)
    assert not np.shares_memory(other, kept)
    np.testing.assert_array_equal(kept, theirs[0.9][0][-3:])
    np.testing.assert_array_equal(other, theirs[0.7][0])
    np.testing.assert_array_equal(prepared.X, before)


def test_prepared_rows_have_room_for_synthetic_ones_only_where_neighbours_will_be_searched():
    X, y = table("distinct", seed=3)
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    data, fit = Dataset("toy", frame, y, ("no", "yes")), np.arange(len(y))
    assert preparation.PreparedRows(data, fit).X.base.shape == X.shape
    counts = np.bincount(y)
    assert preparation.PreparedRows(data, fit, largest_k=5).X.base.shape == (2 * counts.max(), X.shape[1])
