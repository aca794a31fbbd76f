"""One fit: every step beside scikit-learn's own, and what each of them may see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, strategies as st
from sklearn import dummy
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from imblab.core import design, estimator_specs, fitting, sampling, splits
from imblab.core.fitting import (
    FitFailed,
    FitRequest,
    FitSharing,
    _shared_rounds,
    fit_predict,
    fit_predict_many,
    fit_request,
)
from imblab.core.preparation import PreparedRows
from imblab.edges import config, runner
from imblab.study import Choice, Dataset, Protocol, Strategy, Study, Tuning

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
OVER = {"_target_": "imblearn.over_sampling.RandomOverSampler"}
RECORDER = {"_target_": "sklearn.dummy.PipelinesRecorder"}
LOGISTIC = {"_target_": "sklearn.linear_model.LogisticRegression"}


class Recorder(BaseEstimator):
    """A learner and a sampler that keep what they are shown and change nothing."""

    _sampling_type = "clean-sampling"
    shown: dict = {}  # noqa: RUF012

    def __init__(self, answer=0.5):
        self.answer = answer

    def fit_resample(self, X, y):
        Recorder.shown["sampler"] = X, y
        return X, y

    def fit(self, X, y, sample_weight=None):
        Recorder.shown["fit"], Recorder.shown["weights"] = (X, y), sample_weight
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        Recorder.shown["predict"] = X
        return np.column_stack([np.full(len(X), 1 - self.answer), np.full(len(X), self.answer)])


class Decider(BaseEstimator):
    """A learner with decision values only."""

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        return X[:, 0]


@pytest.fixture
def spied(monkeypatch):
    """The spies live in an allowed package for the time of a test."""
    monkeypatch.setattr(dummy, "PipelinesRecorder", Recorder, raising=False)
    monkeypatch.setattr(dummy, "PipelinesDecider", Decider, raising=False)
    for spy in (Recorder, Decider):
        monkeypatch.setattr(spy, "__module__", "sklearn.dummy")
    Recorder.shown.clear()
    return Recorder.shown


def dataset(X, y=None, n=None):
    X = pd.DataFrame(X)
    y = np.arange(len(X)) % 3 // 2 if y is None else np.asarray(y)
    words = tuple(c for c in X if isinstance(X[c].dtype, pd.CategoricalDtype))
    return Dataset("toy", X, y.astype(np.int64), ("no", "yes"), words, fingerprint="toy")


def words(values, levels=None):
    return pd.Categorical(values, sorted({v for v in values if v is not None}) if levels is None else levels)


def run(data, fit, rows, learner=None, sampler=None, seed=0, **params):
    fit, rows = np.asarray(fit), np.asarray(rows)
    request = fitting.fit_request(data, learner or RECORDER, sampler, params, seed, fit, rows)
    return fit_predict(request, PreparedRows(data, fit))


# ------------------------------------------------------------------------------------------------------ impute, scale


def numbers(n=18):
    cell = st.one_of(st.just(np.nan), st.integers(-4, 4).map(float), st.floats(-1e3, 1e3, allow_nan=False))
    return st.lists(st.lists(cell, min_size=n, max_size=n), min_size=1, max_size=3)


@given(columns=numbers())
def test_numbers_are_imputed_by_the_median_of_fit_rows_then_standardised(columns):
    X = np.array(columns).T
    fit, rows = np.arange(12), np.arange(12, 18)
    prepared = PreparedRows(dataset({f"c{i}": column for i, column in enumerate(columns)}), fit)
    impute = SimpleImputer(strategy="median", keep_empty_features=True).fit(X[fit])
    scale = StandardScaler().fit(impute.transform(X[fit]))
    for found, part in ((prepared.X, fit), (prepared.transform(rows), rows)):
        expected = scale.transform(impute.transform(X[part]))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(values=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=18, max_size=18))
def test_categories_are_imputed_by_the_most_frequent_of_fit_rows(values):
    data = dataset({"word": words(values, ["a", "b", "c"]), "x": np.arange(18.0)})
    fit, rows = np.arange(12), np.arange(12, 18)
    if not any(values[:12]):
        return  # a column without a value is another test
    raw = np.array(values, dtype=object)[:, None]
    impute = SimpleImputer(strategy="most_frequent", missing_values=None).fit(raw[fit])
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(impute.transform(raw[fit]))
    prepared = PreparedRows(data, fit)
    for found, part in ((prepared.encode(prepared.X), fit), (prepared.transform(rows), rows)):
        np.testing.assert_array_equal(found[:, 1:], hot.transform(impute.transform(raw[part])))


def test_nothing_is_learned_from_the_rows_that_are_answered(spied):
    X = {"a": [1.0, 2.0, 3.0, 4.0, np.nan, 5.0], "word": words(["u", "v", "u", "v", "u", "v"])}
    y = [0, 1, 0, 1, 0, 1]
    run(dataset(X, y), [0, 1, 2, 3], [4, 5])
    before = spied["fit"][0].copy(), spied["predict"].copy()
    X["a"][5], X["word"] = 1e6, words(["u", "v", "u", "v", "u", None], ["u", "v"])
    run(dataset(X, [0, 1, 0, 1, 1, 0]), [0, 1, 2, 3], [4, 5])
    np.testing.assert_array_equal(spied["fit"][0], before[0])
    np.testing.assert_array_equal(spied["predict"][0], before[1][0])
    assert spied["predict"][1, 0] > 1e5


# ----------------------------------------------------------------------------------------------------------- one-hot


def test_numbers_come_first_in_file_order_then_the_sorted_levels_of_each_category(spied):
    data = dataset(
        {
            "size": words(["tiny", "big", "mid", "big"] * 3),
            "z": np.arange(12.0),
            "color": words(["red", "blue"] * 6),
            "a": np.arange(12.0)[::-1] ** 2,
        }
    )
    run(data, range(12), range(12))
    X, _ = spied["fit"]
    expected = [
        *(StandardScaler().fit_transform(data.X[[name]])[:, 0] for name in ("z", "a")),
        *((data.X["size"] == level).to_numpy(float) for level in ("big", "mid", "tiny")),
        *((data.X["color"] == level).to_numpy(float) for level in ("blue", "red")),
    ]
    np.testing.assert_allclose(X, np.column_stack(expected), rtol=1e-12)
    np.testing.assert_array_equal(spied["predict"], X)


def test_a_category_unseen_in_the_fit_rows_becomes_zeros(spied):
    data = dataset({"x": np.arange(9.0), "word": words(["a", "c", "a", "c", "a", "c", "b", "d", "a"])})
    run(data, range(6), [6, 7, 8])
    assert spied["fit"][0].shape == (6, 3), "one column a level of the fit rows, although the table knows four"
    np.testing.assert_array_equal(spied["predict"][:, 1:], [[0, 0], [0, 0], [1, 0]])


@pytest.mark.parametrize("sampler", ["imblearn.over_sampling.SMOTEN", "imblearn.over_sampling.RandomOverSampler"])
def test_levels_are_those_of_real_fit_rows_not_of_resampled_ones(spied, sampler):
    """Under-sampling may lose a level and over-sampling makes none: the columns stay those of the real rows."""
    y = np.repeat([0, 1], [20, 8])
    rare = ["once", *["a", "b"] * 13, "a"]
    data = dataset({"word": words(rare), "other": words(["u", "v"] * 14)}, y)
    run(data, range(28), range(28), sampler={"_target_": sampler}, ratio=0.9)
    assert spied["fit"][0].shape[1] == 5
    assert len(spied["fit"][0]) == 38
    run(data, range(28), range(28), sampler={"_target_": "imblearn.under_sampling.RandomUnderSampler"}, ratio=1.0)
    assert spied["fit"][0].shape == (16, 5)


# --------------------------------------------------------------------------------------------------- columns and types


@pytest.mark.parametrize("kind", ["number", "word"])
def test_a_column_without_a_value_in_the_fit_rows_is_kept_and_named(spied, kind):
    empty = {"number": [np.nan] * 8 + [5.0] * 4, "word": words([None] * 8 + ["a", "b", "a", "b"])}[kind]
    data = dataset({"x": np.arange(12.0), "empty one": empty})
    found = run(data, range(8), range(8, 12))
    X, _ = spied["fit"]
    assert X.shape == (8, 2)
    assert len(np.unique(X[:, 1])) == 1
    assert kind == "word" or (X[:, 1] == 0).all()
    assert spied["predict"].shape == (4, 2)
    assert np.isfinite(spied["predict"]).all()
    assert found.notes == ("column 'empty one' holds no value in a fit part and was filled with 0",)
    assert run(data, range(4, 12), range(4)).notes == ()


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "float32", "float64", "bool", "Int64"])
@pytest.mark.parametrize("sampler", [None, SMOTE, RECORDER])
def test_every_matrix_is_dense_c_ordered_float64(spied, dtype, sampler):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(0, 2 if dtype == "bool" else 9, size=(60, 3)), columns=list("abc")).astype(dtype)
    data = dataset(X, np.repeat([0, 1], [40, 20])[rng.permutation(60)])
    knobs = {"ratio": 0.9, "k": 3} if sampler is SMOTE else {}
    run(data, range(50), range(50, 60), sampler=sampler, **knobs)
    for name in ("fit", "predict", *(["sampler"] if sampler and sampler is not SMOTE else [])):
        found = spied[name] if name == "predict" else spied[name][0]
        assert type(found) is np.ndarray
        assert found.dtype == np.float64
        assert found.flags.c_contiguous
    if sampler is SMOTE:
        new = spied["fit"][0][50:]
        real = {tuple(row) for row in spied["fit"][0][:50]}
        assert len(new)
        assert not all(tuple(row) in real for row in new), "synthetic values are not cut to whole numbers"


@pytest.mark.parametrize("kind", ["numeric", "mixed", "categorical"])
def test_matrices_are_dense_c_ordered_float64_whatever_the_columns(spied, kind):
    X = {"a": np.arange(30.0), "b": np.arange(30.0) ** 2, "u": words(list("xyz") * 10), "v": words(["p", "q"] * 15)}
    picked = {"numeric": ["a", "b"], "mixed": list(X), "categorical": ["u", "v"]}[kind]
    data = dataset({name: X[name] for name in picked})
    run(data, range(20), range(20, 30), sampler=RECORDER)
    for found in (PreparedRows(data, np.arange(20)).X, spied["sampler"][0], spied["fit"][0], spied["predict"]):
        assert type(found) is np.ndarray
        assert found.dtype == np.float64
        assert found.flags.c_contiguous


def test_one_prepared_part_answers_many_atoms_and_is_not_changed_by_them(spied):
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [60, 30])[rng.permutation(90)]
    data = dataset({"a": rng.normal(size=90), "b": rng.normal(size=90)}, y)
    fit, parts = np.arange(60), (np.arange(60, 75), np.arange(75, 90), np.arange(60, 75))
    shared = PreparedRows(data, fit)
    before = shared.X.copy()
    for k, rows in zip((5, 3, 7), parts, strict=True):
        for sampler, knobs in ((SMOTE, {"ratio": 0.9, "k": k}), (OVER, {"ratio": 0.8}), (None, {})):
            request = fitting.fit_request(data, RECORDER, sampler, knobs, 4, fit, rows)
            fit_predict(request, shared)
            together = spied["fit"], spied["predict"]
            fit_predict(request, PreparedRows(data, fit))
            np.testing.assert_array_equal(together[0][0], spied["fit"][0])
            np.testing.assert_array_equal(together[0][1], spied["fit"][1])
            np.testing.assert_array_equal(together[1], spied["predict"])
    np.testing.assert_array_equal(shared.X, before)


# ------------------------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("sampler", [None, OVER, SMOTE])
def test_weights_are_made_of_the_rows_the_learner_receives(spied, sampler):
    rng = np.random.default_rng(0)
    data = dataset({"a": rng.normal(size=40)}, np.repeat([0, 1], [30, 10]))
    knobs = {} if sampler is None else {"ratio": 0.6}
    run(data, range(40), range(40), sampler=sampler, **knobs)
    assert spied["weights"] is None, "without a weight the argument is left out"
    run(data, range(40), range(40), sampler=sampler, weight="balanced", **knobs)
    y = spied["fit"][1]
    assert y.sum() == (10 if sampler is None else 18)
    np.testing.assert_array_equal(spied["weights"], compute_sample_weight("balanced", y))
    for weight in (3, 2.5):
        run(data, range(40), range(40), sampler=sampler, weight=weight, **knobs)
        np.testing.assert_array_equal(spied["weights"], np.where(spied["fit"][1] == 1, weight, 1.0))


def test_a_learner_takes_weights_or_not():
    assert estimator_specs.takes_sample_weight(LOGISTIC)
    assert not estimator_specs.takes_sample_weight({"_target_": "sklearn.neighbors.KNeighborsClassifier"})


# ----------------------------------------------------------------------------------------------------------- the answer


def test_the_answer_is_the_column_of_class_one(spied):
    data = dataset({"a": np.arange(12.0)})
    found = run(data, range(9), [9, 10], {**RECORDER, "answer": 0.8})
    assert found.values.tolist() == [0.8, 0.8]
    assert found.is_probability is True
    assert found.reached == {"negative": 6, "positive": 3}


def test_decision_values_are_kept_as_they_are(spied):
    data = dataset({"a": [0.0, 1.0, 2.0, 3.0, 10.0, -1e9]}, [0, 1, 0, 1, 0, 1])
    found = run(data, range(4), [4, 5], {"_target_": "sklearn.dummy.PipelinesDecider"})
    assert found.values == pytest.approx([(value - 1.5) / np.sqrt(1.25) for value in (10.0, -1e9)])
    assert found.is_probability is False


def test_an_older_store_knows_nothing_of_decision_values_and_all_of_probabilities(monkeypatch):
    """It kept decision values through a logistic, under addresses that must not be asked for again."""
    data, rows = dataset({"a": np.arange(12.0)}), np.arange(6)

    def addresses():
        makes = (LOGISTIC, {"_target_": "sklearn.svm.SVC"}, {**LOGISTIC, "C": 2.0}, {"_target_": "nowhere.Learner"})
        return [fitting.fit_request(data, make, None, {}, 0, rows, rows).address for make in makes]

    now = addresses()
    monkeypatch.setattr(estimator_specs, "gives_probabilities", lambda make: True)  # what stands at the end is left out
    assert [new == old for new, old in zip(now, addresses(), strict=True)] == [True, False, True, True]


def test_a_fit_that_raises_is_one_line_with_its_kind():
    data = dataset({"a": np.arange(12.0)})
    with pytest.raises(FitFailed) as said:
        run(data, range(9), [9], {**LOGISTIC, "C": -1.0})
    assert str(said.value).startswith("InvalidParameterError: The 'C' parameter")
    assert "\n" not in str(said.value)
    with pytest.raises(FitFailed, match=r"ValueError: .*ratio"):
        run(data, range(9), [9], LOGISTIC, OVER, ratio=0.1)
    with pytest.raises(FitFailed, match=r"ValueError: .*n_neighbors"):
        run(data, range(9), [9], LOGISTIC, SMOTE, ratio=0.9, k=8)
    # XGBoost writes the time before its message, which would make two failures of one.
    with pytest.raises(FitFailed, match=r"^XGBoostError: (?!\[).*nonsense"):
        run(data, range(9), [9], {"_target_": "xgboost.XGBClassifier", "booster": "nonsense"})


def test_a_learner_that_was_accepted_excuses_no_sampler_and_no_other_learner():
    data, rows = dataset({"a": np.arange(60.0)}, n=60), np.arange(60)
    logistic = "sklearn.linear_model.LogisticRegression"
    wrong = {"_target_": "imblearn.under_sampling.EditedNearestNeighbours", "kind_sel": "bogus"}
    run(data, rows, rows, {"_target_": logistic})  # its parameters are accepted from here on
    with pytest.raises(FitFailed, match="'kind_sel' parameter of EditedNearestNeighbours"):
        run(data, rows, rows, {"_target_": logistic}, wrong)
    for _ in range(2):
        with pytest.raises(FitFailed, match="'C' parameter of LogisticRegression"):
            run(data, rows, rows, {"_target_": logistic, "C": -1.0})


def test_probabilities_that_are_not_finite_are_a_failed_fit(spied):
    with pytest.raises(FitFailed, match=r"^learner 'Recorder' returned 1 NaN of 1 probabilities;"):
        run(dataset({"a": np.arange(12.0)}), range(9), [9], {**RECORDER, "answer": np.nan})


def test_a_learner_that_did_not_converge_says_so():
    rng = np.random.default_rng(0)
    data = dataset({"a": rng.normal(size=60), "b": rng.normal(size=60)}, rng.integers(0, 2, 60))
    assert run(data, range(50), range(50, 60), {**LOGISTIC, "max_iter": 1}).notes == ("the learner did not converge",)
    assert run(data, range(50), range(50, 60), LOGISTIC).notes == ()


# ---------------------------------------------------------------------------------------------------------- the request


def test_flat_params_go_to_learner_sampler_and_weight():
    data, fit, rows = dataset({"a": np.arange(12.0)}), np.arange(8), np.arange(8, 12)
    params = {"ratio": 0.5, "k": 3, "weight": 2.0, "learner.C": 0.1}
    request = fitting.fit_request(data, {**LOGISTIC, "C": 1.0, "max_iter": 50}, SMOTE, params, 5, fit, rows)
    assert request.learner == {**LOGISTIC, "C": 0.1, "max_iter": 50}
    assert (request.knobs, request.weight, request.seed) == ({"ratio": 0.5, "k": 3}, 2.0, 5)
    assert fitting.fit_request(data, LOGISTIC, None, {}, 0, fit, rows).weight is None


def test_the_address_of_an_atom_is_all_that_decides_its_answer():
    fit, rows = np.arange(8), np.arange(8, 12)
    request = FitRequest("table", fit, rows, LOGISTIC, SMOTE, {"ratio": 0.5}, 2.0, 0)
    assert (
        request.address
        == FitRequest("table", fit.copy(), rows.copy(), dict(LOGISTIC), dict(SMOTE), {"ratio": 0.5}, 2.0, 0).address
    )
    others = [
        {"dataset": "another"},
        {"fit": np.arange(7)},
        {"rows": np.arange(9, 12)},
        {"learner": {**LOGISTIC, "C": 2.0}},
        {"sampler": OVER},
        {"sampler": None},
        {"knobs": {"ratio": 0.6}},
        {"knobs": {"k": 0.5}},
        {"weight": None},
        {"weight": "balanced"},
        {"seed": 1},
    ]
    addresses = [request.address, *(replace(request, **other).address for other in others)]
    assert len(set(addresses)) == len(addresses)


def test_the_one_seed_reaches_learner_and_sampler():
    rng = np.random.default_rng(0)
    data = dataset({"a": rng.normal(size=90), "b": rng.normal(size=90)}, np.repeat([0, 1], [60, 30]))
    forest = {"_target_": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 5}
    tree = {"_target_": "sklearn.tree.DecisionTreeClassifier", "max_features": 2}

    def answers(make, sampler, knobs):
        given = [
            run(data, range(0, 90, 2), range(1, 90, 2), make, sampler, s, **knobs).values.tolist() for s in (0, 0, 1, 2)
        ]
        return given[0] == given[1], given[0] == given[2] == given[3]

    assert answers(forest, None, {}) == (True, False)
    assert answers(LOGISTIC, OVER, {"ratio": 0.9}) == (True, False)
    assert answers(LOGISTIC, None, {}) == (True, True)
    bagged = {"_target_": "sklearn.ensemble.BaggingClassifier", "n_estimators": 2, "estimator": tree}
    assert answers(bagged, None, {}) == (True, False)


# ------------------------------------------------------------------------------------------------------------ the form

FORMS = {**SMOTE, "m": 1, "_mixed_": {"_target_": "imblearn.over_sampling.SMOTENC"}, "_categorical_": {"_target_": "n"}}


def test_a_sampler_takes_the_form_that_suits_the_columns():
    numeric = dataset({"a": np.arange(3.0)})
    mixed = dataset({"a": np.arange(3.0), "u": words(["x", "y", "x"])})
    all_words = dataset({"u": words(["x", "y", "x"])})
    assert sampling.sampler_for_columns(FORMS, numeric) == {**SMOTE, "m": 1}
    assert sampling.sampler_for_columns(FORMS, mixed) == FORMS["_mixed_"]
    assert sampling.sampler_for_columns(FORMS, all_words) == FORMS["_categorical_"]
    for data in (numeric, mixed, all_words):
        assert sampling.sampler_for_columns(None, data) is None
    assert sampling.sampler_for_columns(SMOTE, numeric) == SMOTE
    assert sampling.sampler_for_columns(SMOTE, mixed) is sampling.sampler_for_columns(SMOTE, all_words) is None


def test_an_answer_is_addressed_with_the_versions_it_rests_on():
    from imblab import __version__
    from imblab.core import estimator_specs

    said = estimator_specs.library_versions({"_target_": "lightgbm.LGBMClassifier"})
    assert f"imblab {__version__}" in said
    assert all(f"{name} " in said for name in ("numpy", "scipy", "sklearn", "lightgbm"))


CONF = config.compose_request(["name=x", "dataset=[ecoli3]", "learner=[lightgbm,xgboost,logistic]"]).study
PLAIN_SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}


def toy(n=300, positives=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": rng.normal(size=n) + y, "b": rng.normal(size=n), "c": rng.integers(0, 4, n).astype(float)})
    return Dataset("toy", X, y, ("no", "yes"), fingerprint=f"toy-{seed}")


def learner(name):
    return next(item for item in CONF.learners if item.name == name)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("more", [{}, {"subsample": 0.7, "subsample_freq": 1, "colsample_bytree": 0.6}])
def test_a_booster_with_many_rounds_answers_for_fewer_to_the_bit(name, more):
    if name == "xgboost":
        more = {k: v for k, v in more.items() if k != "subsample_freq"}
    booster = replace(learner(name), space={"n_estimators": Choice((40, 7, 20))}, make={**learner(name).make, **more})
    data = toy()
    fit, rows = np.arange(0, 200), np.arange(200, 300)
    sharing = FitSharing(booster, Tuning(tune_learner=True), [(fit, rows)])
    request = fit_request(
        data, booster.make, PLAIN_SMOTE, {"ratio": 0.5, "k": 3, "learner.n_estimators": 7}, 0, fit, rows
    )
    fitted, asked = sharing.fit_for(request)
    assert fitted.learner["n_estimators"] == 40
    assert [a.learner["n_estimators"] for a, _ in asked] == [7, 40, 20]
    assert asked[0][0].address == request.address
    prepared = PreparedRows(data, fit)
    for (one, _), answer in zip(asked, fit_predict_many(fitted, asked, prepared), strict=True):
        np.testing.assert_array_equal(answer.values, fit_predict(one, prepared).values)


def test_a_refit_is_fitted_as_it_is_asked():
    booster = replace(learner("lightgbm"), space={"n_estimators": Choice((40, 7))})
    data = toy()
    fit, rows = np.arange(0, 200), np.arange(200, 300)
    sharing = FitSharing(booster, Tuning(tune_learner=True), [(fit[:100], fit[100:])])
    request = fit_request(data, booster.make, None, {"learner.n_estimators": 7}, 0, fit, rows)
    assert sharing.fit_for(request) == (request, [(request, {})])


def test_rounds_are_shared_in_grids_of_declared_learners_only():
    booster = replace(learner("lightgbm"), space={"n_estimators": Choice((40, 7))})
    assert _shared_rounds(booster, Tuning(tune_learner=True)) == (40, 7)
    assert _shared_rounds(booster, Tuning()) == ()
    assert _shared_rounds(booster, Tuning("random", 5, tune_learner=True)) == ()
    assert (
        _shared_rounds(replace(learner("logistic"), space={"C": Choice((1.0, 2.0))}), Tuning(tune_learner=True)) == ()
    )


def study(protocol, learners, tuning=None):
    strategies = (
        Strategy("threshold", threshold="tuned"),
        Strategy("smote", PLAIN_SMOTE, threshold="tuned", space={"ratio": Choice((0.5, 1.0)), "k": Choice((3, 5))}),
    )
    measures = CONF.measures
    return Study("toy", 0, {}, tuple(learners), strategies, measures, protocol, tuning=tuning or Tuning())


def answered(question, data):
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    work = runner.make_bundles(question, plans, design.expand_cells(question, plans))
    rows = []
    tally = runner.run({"toy": data}, work, runner.Engine(1), [rows.append])
    return {r.key: (dict(r.scores), dict(r.params), r.threshold, r.value) for r in rows}, tally


def test_shared_inner_folds_take_exactly_half_of_the_inner_fits():
    outer, repeats = 4, 2
    protocol = Protocol(outer_folds=outer, inner="shared", repeats=repeats)
    question = study(protocol, [learner("logistic")])
    rows, tally = answered(question, toy())
    candidates = 1 + 4
    pairs_of_folds = outer * (outer - 1) // 2
    refits = {(key.rsplit("/", 2)[1:][0], key.rsplit("/", 1)[1]) for key in rows}
    assert tally.fitted - repeats * outer * 2 == candidates * pairs_of_folds * repeats
    assert len(refits) == repeats * outer


def test_shared_inner_folds_give_what_fits_for_each_give(monkeypatch):
    protocol = Protocol(outer_folds=3, inner="shared")
    question = study(protocol, [learner("logistic"), learner("lightgbm")])
    shared, few = answered(question, toy())
    monkeypatch.setattr(FitSharing, "fit_for", lambda self, request: (request, [(request, {})]))
    alone, many = answered(question, toy())
    assert shared == alone
    assert few.fitted < many.fitted


def test_tuned_rounds_are_one_fit_a_candidate_and_change_no_row(monkeypatch):
    space = {"n_estimators": Choice((5, 10, 20)), "num_leaves": Choice((4, 8))}
    # So few rows a leaf that every round grows a tree: a booster that stops early is asked for each number by itself.
    booster = replace(learner("lightgbm"), space=space, make={**learner("lightgbm").make, "min_child_samples": 2})
    question = study(Protocol(outer_folds=3, inner_folds=2), [booster], Tuning(tune_learner=True))
    shared, few = answered(question, toy())
    monkeypatch.setattr(FitSharing, "fit_for", lambda self, request: (request, [(request, {})]))
    alone, many = answered(question, toy())
    assert shared == alone
    inner = 3 * 2 * (1 + 4) * 2
    assert few.fitted - inner <= 6
    assert many.fitted - 3 * inner <= 6


def test_the_files_of_the_boosters_declare_how_they_are_asked():
    declared = {
        path.stem: raw[path.stem]["staged"]
        for path in (config.compose_request.__globals__["shipped_groups"]() / "learner").glob("*.yaml")
        if "staged" in (raw := yaml.safe_load(path.read_text()))[path.stem]
    }
    assert set(declared) == {"lightgbm", "xgboost"}
    assert declared["lightgbm"]["argument"] == "num_iteration"
