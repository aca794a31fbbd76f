"""More than two classes: the rows that a learner receives are those of plain imbalanced-learn with a dictionary."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import ADASYN, SMOTE, SMOTEN, SMOTENC, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, RandomUnderSampler, TomekLinks
from sklearn import dummy
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

import imblab
from imblab.core import fitting, sampling
from imblab.core.preparation import PreparedRows
from imblab.core.sampling import UnusableOutput
from imblab.study import Choice, Dataset

#: Rows of the classes in the 128 fit rows.
COUNTS = (60, 36, 20, 12)
FIT, ROWS = np.arange(128), np.arange(128, 160)
CLASSES = ("cyt", "nuc", "mit", "erl")


def smote(d, k, s):
    return SMOTE(sampling_strategy=d, k_neighbors=k, random_state=s)


#: Plain imbalanced-learn: the dictionary and the seed are also those of the SMOTE inside a combination.
PLAIN = {
    "random_over": lambda d, k, s: RandomOverSampler(sampling_strategy=d, random_state=s),
    "random_under": lambda d, k, s: RandomUnderSampler(sampling_strategy=d, random_state=s),
    "smote": smote,
    "borderline_smote": lambda d, k, s: BorderlineSMOTE(sampling_strategy=d, k_neighbors=k, random_state=s),
    "svm_smote": lambda d, k, s: SVMSMOTE(sampling_strategy=d, k_neighbors=k, random_state=s),
    "adasyn": lambda d, k, s: ADASYN(sampling_strategy=d, n_neighbors=k, random_state=s),
    "near_miss": lambda d, k, s: NearMiss(sampling_strategy=d, n_neighbors=k),
    "smote_tomek": lambda d, k, s: SMOTETomek(sampling_strategy=d, smote=smote(d, k, s), random_state=s),
    "smote_enn": lambda d, k, s: SMOTEENN(sampling_strategy=d, smote=smote(d, k, s), random_state=s),
}
UNDER = ("random_under", "near_miss")
WITHOUT_K = ("random_over", "random_under")


def dictionary(name, ratio, counts=COUNTS):
    """What a ratio asks for, by the sentences of the design."""
    most, fewest = max(counts), min(counts)
    if name in UNDER:
        return {c: int(fewest / ratio) for c, n in enumerate(counts) if n > int(fewest / ratio)}
    first = counts.index(most)
    return {c: n + int(most * ratio - n) for c, n in enumerate(counts) if c != first and int(most * ratio - n) >= 1}


@cache
def table(kind="numeric", tied=False):
    """128 fit rows of four classes, and 32 more; numbers whose standardisation is exact in any order of summation."""
    rng = np.random.default_rng(4)
    y = np.concatenate([rng.permutation(np.repeat(np.arange(4), COUNTS)), np.tile(np.arange(4), 8)])
    step = 4 if tied else 1024
    numbers = {name: np.round((rng.normal(size=160) + 0.6 * y) * step) / step for name in "ab"}
    words = {
        name: pd.Categorical(rng.choice(list(levels), 160), list(levels))
        for name, levels in {"c": "uvw", "d": "xyz"}.items()
    }
    columns = {"numeric": numbers, "mixed": {**numbers, **words}, "categorical": words}[kind]
    categorical = tuple(name for name in columns if name in words)
    return Dataset(kind, pd.DataFrame(columns), y, CLASSES, categorical, fingerprint=f"{kind}{tied}")


def plain_rows(sampler, data, fit=FIT):
    """What a learner must receive, written without a line of imblab."""
    part = data.X.iloc[fit]
    numeric = [name for name in part if name not in data.categorical]
    blocks = [part[[name]].apply(lambda column: column.cat.codes).to_numpy(float) for name in data.categorical]
    if numeric:
        numbers = SimpleImputer(strategy="median").fit_transform(np.ascontiguousarray(part[numeric]))
        blocks = [StandardScaler().fit_transform(numbers), *blocks]
    X, n_numeric = np.ascontiguousarray(np.hstack(blocks)), len(numeric)
    resampled, y = (X, data.y[fit]) if sampler is None else sampler.fit_resample(X, data.y[fit])
    if not data.categorical:
        return resampled, y
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(X[:, n_numeric:])
    return np.hstack([resampled[:, :n_numeric], hot.transform(resampled[:, n_numeric:])]), y


class Recorder(BaseEstimator):
    """A learner that keeps what it receives and learns nothing."""

    received: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        Recorder.received.append((X.copy(), y.copy(), sample_weight))
        return self

    def predict_proba(self, X):
        raise AssertionError("nothing is predicted here")


@pytest.fixture(autouse=True)
def _recorder(monkeypatch):
    monkeypatch.setattr(dummy, "ClassesRecorder", Recorder, raising=False)
    Recorder.received.clear()


@cache
def sampler_of(name):
    return (
        imblab.compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", f"strategy=[{name}]").strategies[0].sampler
    )


def received(sampler, data, params, seed, prepared=None):
    """The rows, labels and weights that a learner receives in one fit, and what is recorded of them."""
    make = sampling.sampler_for_columns(sampler, data)
    request = fitting.fit_request(data, {"_target_": "sklearn.dummy.ClassesRecorder"}, make, params, seed, FIT, ROWS)
    _, y = fitting.fit_learner(request, prepared or PreparedRows(data, FIT))
    return *Recorder.received[-1], fitting.reached_counts(request, y, 4)


def knobs_of(name, ratio, k):
    return {"ratio": ratio} if name in WITHOUT_K else {"ratio": ratio, "k": k}


def assert_rows(found, expected):
    np.testing.assert_array_equal(found[1], expected[1])
    assert np.ascontiguousarray(found[0]).tobytes() == np.ascontiguousarray(expected[0]).tobytes()


def test_every_sampler_of_the_shipped_strategies_is_compared():
    names = [path.stem for path in (Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml")]
    others = [name for name in names if name not in PLAIN and sampler_of(name) is not None]
    assert len(others) == 3
    assert all(sampler_of(name) == sampler_of("smote") for name in others)


@pytest.mark.sampled(20)
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("ratio", "k"), [(0.5, 5), (1.0, 3), (0.35, 4), (0.3, 11)])
@pytest.mark.parametrize("name", PLAIN)
def test_the_rows_are_those_of_plain_imbalanced_learn_bit_for_bit(name, ratio, k, seed):
    data, asked = table(), dictionary(name, ratio)
    assert asked, "the case says nothing"
    try:
        expected = plain_rows(PLAIN[name](asked, k, seed), data)
    except ValueError as error:  # ADASYN makes no row of a class that needs one
        with pytest.raises(ValueError, match=str(error)):
            received(sampler_of(name), data, knobs_of(name, ratio, k), seed)
        assert (name, ratio) == ("adasyn", 0.35)
        return
    if len(np.unique(expected[1])) < 4:  # combinations may lose a class
        with pytest.raises(UnusableOutput, match="rows of class 'erl'"):
            received(sampler_of(name), data, knobs_of(name, ratio, k), seed)
        return
    X, y, weights, reached = received(sampler_of(name), data, knobs_of(name, ratio, k), seed)
    assert_rows((X, y), expected)
    assert weights is None
    kind = type(PLAIN[name](asked, k, seed)).__name__
    assert reached == {"sampler": kind, "classes": tuple(np.bincount(expected[1]))}


@pytest.mark.parametrize("name", ["random_over", "random_under", "smote"])
def test_the_counts_are_those_of_the_dictionary_and_all_other_classes_stay(name):
    for ratio in (0.25, 0.5, 0.65, 1.0):
        asked = dictionary(name, ratio)
        reached = received(sampler_of(name), table(), knobs_of(name, ratio, 3), 0)[3]["classes"]
        assert reached == tuple(asked.get(c, n) for c, n in enumerate(COUNTS))


@pytest.mark.parametrize("kind", ["mixed", "categorical"])
@pytest.mark.parametrize(("ratio", "k", "seed"), [(0.5, 5, 0), (1.0, 3, 7)])
def test_smote_takes_the_form_that_suits_the_columns(kind, ratio, k, seed):
    data = table(kind)
    asked = {"sampling_strategy": dictionary("smote", ratio), "k_neighbors": k, "random_state": seed}
    plain = SMOTENC(categorical_features=[2, 3], **asked) if kind == "mixed" else SMOTEN(**asked)
    X, y, _, reached = received(sampler_of("smote"), data, {"ratio": ratio, "k": k}, seed)
    assert_rows((X, y), plain_rows(plain, data))
    assert reached["sampler"] == type(plain).__name__


@pytest.mark.parametrize("name", WITHOUT_K)
@pytest.mark.parametrize("kind", ["mixed", "categorical"])
def test_random_sampling_reads_any_columns(name, kind):
    data = table(kind)
    found = received(sampler_of(name), data, {"ratio": 0.5}, 4)
    assert_rows(found, plain_rows(PLAIN[name](dictionary(name, 0.5), None, 4), data))


@pytest.mark.filterwarnings("ignore:.* few rows of some classes:UserWarning")
@pytest.mark.parametrize("kind", ["numeric", "mixed"])
def test_a_study_of_all_strategies_runs_and_says_what_does_not_apply(kind):
    names = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml"))
    weighted = [f"strategy.{name}.weight=balanced" for name in names if "weight" in name]
    few = [f"strategy.{name}.k=3" for name in names if (sampler_of(name) or {}) and name not in WITHOUT_K]
    study = imblab.compose(
        *("name=x", "dataset=[ecoli3]", "learner=[decision_tree]", f"strategy=[{','.join(names)}]", "protocol=smoke"),
        *weighted,
        *few,
    )
    rows = imblab.evaluate(replace(study, datasets={}), [table(kind)])
    assert len(rows) == 3 * len(names)
    forms = {"smote", "smote_threshold", "smote_weight_threshold", "smote_prior"}
    left_out = {*PLAIN} - {*WITHOUT_K, *forms} if kind == "mixed" else set()
    left_out |= {"isotonic_threshold"}  # fewer than 50 training rows of a class
    assert set(rows.strategy[rows.status == "inapplicable"]) == left_out
    # Edited nearest neighbours may delete a class; ADASYN may find no neighbours of another class.
    assert set(rows.strategy[rows.status == "failed"]) <= {"smote_enn", "adasyn"}
    assert rows.mcc.notna().equals(rows.status == "ok")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["numeric", "mixed", "categorical"])
def test_what_the_candidates_of_a_part_share_changes_no_row(kind, tied):
    """Neighbour lists, memory and the last result are shared by all strategies, ratios and k of a part."""
    data, names = table(kind, tied), [*WITHOUT_K, "smote"]
    if kind == "numeric":
        names = [name for name in PLAIN if name not in ("svm_smote", "smote_enn")]
    prepared, compared = PreparedRows(data, FIT, largest_k=9), 0
    for ratio in (1.0, 0.5, 0.8):
        for k in (9, 2, 5):
            for name in names:
                asked = dictionary(name, ratio)
                plain = PLAIN[name](asked, k, 3)
                if name == "smote" and kind != "numeric":
                    forms = {"sampling_strategy": asked, "k_neighbors": k, "random_state": 3}
                    plain = SMOTEN(**forms) if kind == "categorical" else SMOTENC(categorical_features=[2, 3], **forms)
                try:
                    expected = plain_rows(plain, data)
                except ValueError as error:  # ADASYN may make no row of a class that needs a few
                    with pytest.raises(ValueError, match=str(error)):
                        received(sampler_of(name), data, knobs_of(name, ratio, k), 3, prepared)
                    continue
                assert_rows(received(sampler_of(name), data, knobs_of(name, ratio, k), 3, prepared), expected)
                compared += 1
    assert compared >= 9 * len(names) - 3


@pytest.mark.parametrize("cls", [TomekLinks, EditedNearestNeighbours])
def test_cleaning_has_no_ratio_and_cleans_as_by_itself(cls):
    make = {"_target_": f"imblearn.under_sampling.{cls.__name__}"}
    try:
        found = received(make, table(), {}, 0)
    except UnusableOutput:
        assert len(np.unique(plain_rows(cls(), table())[1])) < 4
    else:
        assert_rows(found, plain_rows(cls(), table()))


def test_a_further_knob_of_a_combination_reaches_it():
    make = {**sampler_of("smote_tomek"), "tomek": {"_target_": "imblearn.under_sampling.TomekLinks"}}
    asked = dictionary("smote_tomek", 0.5)
    plain = SMOTETomek(sampling_strategy=asked, smote=smote(asked, 3, 1), tomek=TomekLinks(), random_state=1)
    assert_rows(received(make, table(), {"ratio": 0.5, "k": 3}, 1), plain_rows(plain, table()))


def test_without_a_ratio_a_sampler_takes_imbalanced_learn_s_default():
    for make, plain in (
        (sampler_of("smote_enn"), SMOTEENN(smote=SMOTE(k_neighbors=3, random_state=0), random_state=0)),
        (sampler_of("adasyn"), ADASYN(n_neighbors=3, random_state=0)),
    ):
        assert_rows(received(make, table(), {"k": 3}, 0), plain_rows(plain, table()))


@pytest.mark.parametrize("weight", ["balanced", "power 1", "power 0.5", "power 2"])
def test_weights_are_those_of_the_rows_after_resampling(weight):
    _, y, weights, _ = received(sampler_of("smote"), table(), {"ratio": 0.5, "k": 3, "weight": weight}, 0)
    power = 1.0 if weight == "balanced" else float(weight.removeprefix("power "))
    expected = np.bincount(y)[y] ** -power
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-12)
    if power == 1:
        np.testing.assert_array_equal(weights, compute_sample_weight("balanced", y))


def test_without_a_sampler_the_real_rows_come_and_are_counted():
    X, y, weights, reached = received(None, table(), {"weight": "power 0"}, 0)
    assert_rows((X, y), plain_rows(None, table()))
    assert weights is None
    assert reached == {"classes": COUNTS}


def test_a_class_that_a_sampler_loses_is_named():
    """The finding behind the rule: edited nearest neighbours delete a class of six rows."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [200, 40, 6])
    X = np.ascontiguousarray(rng.normal(size=(246, 3)) + 0.2 * y[:, None])
    resampler = sampling.Resampler(X, y, [], classes=("a", "b", "c"))
    with pytest.raises(UnusableOutput, match=r"the sampler left 0 of 40 rows of class 'b'|0 of 6 rows of class 'c'"):
        resampler.resample({"_target_": "imblearn.under_sampling.EditedNearestNeighbours"}, {}, 0)


@pytest.mark.parametrize("ratio", [0.2, 0.1])
def test_a_ratio_that_changes_nothing_is_never_resampled_silently(ratio):
    for name in ("smote", "random_over", "random_under", "smote_tomek"):
        assert dictionary(name, ratio) == {}
        with pytest.raises(UnusableOutput, match="changes no class"):
            received(sampler_of(name), table(), knobs_of(name, ratio, 3), 0)


def test_one_search_of_a_class_serves_every_smaller_k(monkeypatch):
    """Where scikit-learn searches a tree for all of them: of 12 rows it searches none for 6 or more neighbours."""
    searches, real = [], sampling._neighbor_search

    def search_with(*asked):
        search = real(*asked)
        return lambda *rows: searches.append(len(rows[0])) or search(*rows)

    monkeypatch.setattr(sampling, "_neighbor_search", search_with)
    prepared = PreparedRows(table(), FIT, largest_k=5)
    for ratio in Choice((0.35, 0.5, 1.0)).values:
        for k in (2, 3, 5):
            received(sampler_of("smote"), table(), {"ratio": ratio, "k": k}, 0, prepared)
    assert sorted(searches) == [12, 12, 12, 20, 36]
