"""What every strategy of conf/strategy promises: the rows a learner receives are those of plain imbalanced-learn."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import ADASYN, SMOTE, SMOTEN, SMOTENC, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.under_sampling import NearMiss, RandomUnderSampler
from sklearn import dummy
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import imblab
from imblab.core import design, fitting, sampling, splits
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.edges import config
from imblab.errors import ConfigError
from imblab.study import Choice, Dataset, Learner, Measure

FILES = sorted((Path(__file__).parents[2] / "conf" / "strategy").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
every = pytest.mark.parametrize("name", NAMES)

#: How often a row of the other class is repeated, dropped or invented, in plain imbalanced-learn.
PLAIN = {
    "random_over": lambda r, k, s: RandomOverSampler(sampling_strategy=r, random_state=s),
    "random_under": lambda r, k, s: RandomUnderSampler(sampling_strategy=r, random_state=s),
    "smote": lambda r, k, s: SMOTE(sampling_strategy=r, k_neighbors=k, random_state=s),
    "borderline_smote": lambda r, k, s: BorderlineSMOTE(sampling_strategy=r, k_neighbors=k, random_state=s),
    "svm_smote": lambda r, k, s: SVMSMOTE(sampling_strategy=r, k_neighbors=k, random_state=s),
    "adasyn": lambda r, k, s: ADASYN(sampling_strategy=r, n_neighbors=k, random_state=s),
    "near_miss": lambda r, k, s: NearMiss(sampling_strategy=r, n_neighbors=k),
    "smote_tomek": lambda r, k, s: SMOTETomek(
        sampling_strategy=r, smote=SMOTE(sampling_strategy=r, k_neighbors=k, random_state=s), random_state=s
    ),
    "smote_enn": lambda r, k, s: SMOTEENN(
        sampling_strategy=r, smote=SMOTE(sampling_strategy=r, k_neighbors=k, random_state=s), random_state=s
    ),
}
PLAIN |= {name: PLAIN["smote"] for name in ("smote_threshold", "smote_weight_threshold", "smote_prior")}
#: Their forms for tables with some and with only categorical columns; all others have none.
SMOTES = ("smote", "smote_threshold", "smote_weight_threshold", "smote_prior")
RANDOM = ("random_over", "random_under")
WITHOUT_SAMPLER = ("none", "class_weight", "threshold", "weight_threshold", "isotonic_threshold")
#: What a prior correction is worth after a sampler: copies, rows between rows, rows chosen by their place.
UNDONE = dict.fromkeys(SMOTES, "approximate") | dict.fromkeys(RANDOM, "exact")
UNDONE |= dict.fromkeys(("borderline_smote", "svm_smote", "adasyn"), "approximate")
UNDONE |= dict.fromkeys(("smote_tomek", "smote_enn", "near_miss"), "inapplicable")

FIT, ROWS = np.arange(128), np.arange(128, 160)


@cache
def strategy(name):
    return imblab.compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", f"strategy=[{name}]").strategies[0]


@cache
def table(kind):
    """128 fit rows, 26 of them positive, and 32 more.

    Numbers are multiples of 1/1024 and means are over 128 rows: standardising them is exact in any order of summation,
    so that rows may be compared bit for bit.
    """
    rng = np.random.default_rng(1)
    y = np.tile(np.repeat([0, 1], [26, 6]), 5)
    y[:4] = [0, 1, 1, 0]
    numbers = {name: np.round((rng.normal(size=160) + y) * 1024) / 1024 for name in "ab"}
    numbers["b"][[3, 40, 77, 130]] = np.nan
    words = {"color": rng.choice(["blue", "green", "red", None], 160), "size": rng.choice(["big", "mid", "tiny"], 160)}
    words = {name: pd.Categorical(found, sorted(set(found) - {None})) for name, found in words.items()}
    X = {
        "numeric": {"a": numbers["a"], "b": numbers["b"]},
        "mixed": {"color": words["color"], "a": numbers["a"], "size": words["size"], "b": numbers["b"]},
        "categorical": words,
    }[kind]
    categorical = tuple(column for column in X if column in words)
    return Dataset(kind, pd.DataFrame(X), y, ("no", "yes"), categorical, fingerprint=kind)


def plain_matrix(data, fit):
    """Imputed and standardised numbers, then codes of imputed categories: written without a line of imblab."""
    part = data.X.iloc[fit]
    numeric = [column for column in part if column not in data.categorical]
    blocks = []
    if numeric:
        numbers = SimpleImputer(strategy="median").fit_transform(np.ascontiguousarray(part[numeric]))
        blocks.append(StandardScaler().fit_transform(numbers))
    if data.categorical:
        orders = {name: {word: i for i, word in enumerate(sorted(data.X[name].dropna().unique()))} for name in part}
        codes = np.column_stack([part[name].map(orders[name]).astype(float) for name in data.categorical])
        blocks.append(SimpleImputer(strategy="most_frequent").fit_transform(codes))
    return np.hstack(blocks), len(numeric)


def plain_rows(sampler, data, fit=FIT):
    """What a learner must receive: resampled codes, then one-hot columns for the levels of real rows."""
    X, numeric = plain_matrix(data, fit)
    resampled, y = sampler.fit_resample(X, data.y[fit])
    if not data.categorical:
        return resampled, y
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(X[:, numeric:])
    return np.hstack([resampled[:, :numeric], hot.transform(resampled[:, numeric:])]), y


class Recorder(BaseEstimator):
    """A learner that keeps what it receives and learns nothing."""

    received: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        # Copies: SMOTE writes the next rows where these lie.
        Recorder.received.append((X.copy(), y.copy(), sample_weight))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


RECORDER = Learner("recorder", {"_target_": "sklearn.dummy.StrategiesRecorder"})


@pytest.fixture
def recorder(monkeypatch):
    """It lives in an allowed package for the time of a test."""
    monkeypatch.setattr(dummy, "StrategiesRecorder", Recorder, raising=False)
    Recorder.received.clear()
    return RECORDER


def received(learner, sampler, data, params, seed):
    """The rows that a learner receives in one fit, and what the prediction says of them."""
    make = sampling.sampler_for_columns(sampler, data)
    request = fitting.fit_request(data, learner.make, make, params, seed, FIT, ROWS)
    found = fit_predict(request, PreparedRows(data, FIT))
    return *Recorder.received[-1], found.reached


def knobs_of(name, ratio, k):
    """The knobs that a sampler has."""
    return {"ratio": ratio} if name in RANDOM else {"ratio": ratio, "k": k}


# ----------------------------------------------------------------------------------------------------------- the file


def test_the_strategies_that_are_asked_for_are_there():
    asked = {
        *("none", "random_over", "random_under", "smote", "borderline_smote", "svm_smote", "adasyn", "smote_tomek"),
        *("smote_enn", "near_miss", "class_weight", "threshold"),
        *("smote_threshold", "weight_threshold", "smote_weight_threshold", "smote_prior", "isotonic_threshold"),
    }
    assert set(NAMES) == asked
    assert set(PLAIN) | set(WITHOUT_SAMPLER) == asked


@pytest.mark.sampled(9)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_the_one_strategy_of_its_name_and_states_every_knob(path):
    ((name, raw),) = yaml.safe_load(path.read_text(encoding="utf-8")).items()
    assert name == path.stem == strategy(name).name
    keys = [key for key in raw if key != "prior_correction"]
    assert keys == ["label", "sampler", "ratio", "k", "weight", "calibration", "threshold", "space"]
    assert raw.get("prior_correction") == UNDONE.get(name)
    assert set(strategy(name).space) == set(raw["space"])
    fixed = {knob for knob in ("ratio", "k", "weight") if raw[knob] is not None}
    assert not fixed & set(raw["space"]), "a knob is fixed or searched"


@pytest.mark.sampled(10)
@every
def test_its_knobs_are_those_of_its_name(name):
    found = strategy(name)
    knobs = {knob for knob in ("ratio", "k", "weight") if getattr(found, knob) is not None} | set(found.space)
    expected = set(knobs_of(name, 0, 0)) if name in PLAIN else set()
    assert knobs == expected | ({"weight"} if "weight" in name else set())
    assert (found.sampler is not None) == (name in PLAIN)
    assert found.threshold == ("tuned" if name.endswith("threshold") else 0.5)
    assert found.calibration == next((kind for kind in ("prior", "isotonic") if kind in name), "none")
    assert found.prior_correction == UNDONE.get(name)


# ----------------------------------------------------------------------------------------- the rows a learner receives


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("ratio", "k", "seed"), [(0.5, 5, 0), (1.0, 3, 7), (0.4, 4, 1)])
def test_the_rows_are_those_of_plain_imbalanced_learn_bit_for_bit(recorder, name, ratio, k, seed):
    data = table("numeric")
    X, y, weights, reached = received(recorder, strategy(name).sampler, data, knobs_of(name, ratio, k), seed)
    expected_X, expected_y = plain_rows(PLAIN[name](ratio, k, seed), data)
    np.testing.assert_array_equal(y, expected_y)
    assert np.ascontiguousarray(X).tobytes() == np.ascontiguousarray(expected_X).tobytes()
    assert weights is None
    assert X.tobytes() != plain_matrix(data, FIT)[0].tobytes()
    kind = type(PLAIN[name](ratio, k, seed)).__name__
    assert reached == {"sampler": kind, "negative": int((y == 0).sum()), "positive": int((y == 1).sum())}


@pytest.mark.parametrize("name", PLAIN)
def test_every_knob_changes_the_rows(recorder, name):
    """Else the comparison above could not tell a knob that is not passed on."""
    data, sampler = table("numeric"), strategy(name).sampler

    def rows(ratio=0.5, k=5, seed=0):
        return received(recorder, sampler, data, knobs_of(name, ratio, k), seed)[0].tobytes()

    assert rows(ratio=1.0) != rows()
    assert (rows(k=2) != rows()) is (name not in RANDOM)
    assert (rows(seed=1) != rows()) is (name != "near_miss")


@pytest.mark.parametrize("name", PLAIN)
def test_the_rare_class_is_what_is_sampled_even_where_it_is_not_the_positive_one(recorder, name):
    data = replace(table("numeric"), y=1 - table("numeric").y)
    X, y, _, _ = received(recorder, strategy(name).sampler, data, knobs_of(name, 0.6, 4), 2)
    expected_X, expected_y = plain_rows(PLAIN[name](0.6, 4, 2), data)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(X, expected_X)


@pytest.mark.parametrize("name", sorted(SMOTES))
@pytest.mark.parametrize(("ratio", "k", "seed"), [(0.5, 5, 0), (1.0, 3, 7)])
def test_smote_takes_the_form_that_suits_the_columns(recorder, name, ratio, k, seed):
    knobs = {"sampling_strategy": ratio, "k_neighbors": k, "random_state": seed}
    forms = {"mixed": SMOTENC(categorical_features=[2, 3], **knobs), "categorical": SMOTEN(**knobs)}
    for kind, sampler in forms.items():
        data = table(kind)
        X, y, _, reached = received(recorder, strategy(name).sampler, data, {"ratio": ratio, "k": k}, seed)
        expected_X, expected_y = plain_rows(sampler, data)
        np.testing.assert_array_equal(y, expected_y)
        np.testing.assert_array_equal(X, expected_X)
        assert reached["sampler"] == type(sampler).__name__
        words = X[:, 2:] if kind == "mixed" else X
        assert set(np.unique(words)) == {0.0, 1.0}, "a synthetic row has whole categories"
        np.testing.assert_array_equal(words.sum(axis=1), 2)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("kind", ["mixed", "categorical"])
def test_random_sampling_reads_any_columns(recorder, name, kind):
    data = table(kind)
    X, y, _, reached = received(recorder, strategy(name).sampler, data, {"ratio": 0.6}, 4)
    expected_X, expected_y = plain_rows(PLAIN[name](0.6, None, 4), data)
    np.testing.assert_array_equal(X, expected_X)
    np.testing.assert_array_equal(y, expected_y)
    assert (reached["negative"], reached["positive"]) == ((y == 0).sum(), (y == 1).sum())


@pytest.mark.parametrize("name", ["class_weight", "weight_threshold", "smote_weight_threshold"])
@pytest.mark.parametrize("weight", [1, 7.5, "balanced"])
def test_weights_are_those_of_the_rows_after_resampling(recorder, name, weight):
    knobs = {"weight": weight} | ({"ratio": 0.5, "k": 5} if name in PLAIN else {})
    X, y, weights, _ = received(recorder, strategy(name).sampler, table("numeric"), knobs, 0)
    n, positive = len(y), int(y.sum())
    one, other = (weight, 1) if weight != "balanced" else (n / (2 * positive), n / (2 * (n - positive)))
    np.testing.assert_allclose(weights, np.where(y == 1, one, other), rtol=1e-15)
    assert len(X) == n == (128 if name == "weight_threshold" or name == "class_weight" else len(weights))


@pytest.mark.parametrize("name", ["none", "threshold"])
def test_without_a_knob_the_real_rows_come_without_weights(recorder, name):
    for kind in ("numeric", "mixed", "categorical"):
        X, y, weights, reached = received(recorder, strategy(name).sampler, table(kind), {}, 0)
        assert weights is None
        np.testing.assert_array_equal(y, table(kind).y[FIT])
        assert len(X) == len(FIT)
        assert reached == {"negative": int((y == 0).sum()), "positive": int(y.sum())}


def tied(kind):
    """Values on a coarse grid: many rows are equally near, and some are the same."""
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], [180, 60])[rng.permutation(240)]
    X = pd.DataFrame({name: np.round((rng.normal(size=240) + y) * 4) / 4 for name in "ab"})
    words = pd.DataFrame({name: pd.Categorical(rng.choice(list("uvw"), 240), list("uvw")) for name in "cde"})
    X = {"numeric": X, "mixed": X.join(words), "categorical": words}[kind]
    return Dataset("tied", X, y, ("no", "yes"), tuple(c for c in X if c in words), fingerprint=f"tied-{kind}")


def plain_sampler(name, kind, ratio, k, seed):
    if name not in SMOTES or kind == "numeric":
        return PLAIN[name](ratio, k, seed)
    knobs = {"sampling_strategy": ratio, "k_neighbors": k, "random_state": seed}
    return SMOTEN(**knobs) if kind == "categorical" else SMOTENC(categorical_features=[2, 3, 4], **knobs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["numeric", "mixed", "categorical"])
def test_one_study_of_all_ratios_and_neighbours_gives_every_learner_the_plain_rows(recorder, kind):
    """Whatever the strategies of a split share, no row of theirs may differ from a fresh call."""
    data, names = tied(kind), ("smote_threshold", *RANDOM)
    if kind == "numeric":
        names += ("adasyn", "svm_smote", "smote", "borderline_smote", "smote_tomek", "near_miss", "smote_enn")
    ratios, ks = (1.0, 0.6), (5, 2, 9)
    strategies = []
    for name in names:
        space = {"ratio": Choice(ratios)} | ({} if name in RANDOM else {"k": Choice(ks)})
        strategies.append(replace(strategy(name), ratio=None, k=None, space=space))
    question = imblab.compose("name=x", "dataset=[ecoli3]", "protocol=smoke", "seed=3")
    question = replace(question, datasets={}, learners=(recorder,), strategies=tuple(strategies))
    rows = imblab.evaluate(question, [data])
    assert rows.status.eq("ok").all()

    plan = splits.plan(data, question.protocol, 3)
    inner = [fit for split in plan for fit, _ in splits.inner_pairs(data, question.protocol, 3, split, plan)]
    expected = {}
    for name in names:
        knobs = [(r, k) for r in ratios for k in ((None,) if name in RANDOM else ks)]
        # A learner that learns nothing ties all candidates: the first is refit.
        asked = [(fit, *knob) for fit in inner for knob in knobs] + [(s.train, *knobs[0]) for s in plan]
        for fit, r, k in asked:
            expected[as_bytes(*plain_rows(plain_sampler(name, kind, r, k, 3), data, fit))] = (name, r, k)
    found = {as_bytes(X, y) for X, y, _ in Recorder.received}
    assert sorted({expected[key] for key in expected.keys() - found}) == []
    assert len(found) == len(expected)


def as_bytes(X, y):
    return np.column_stack([X, y]).tobytes()


# ------------------------------------------------------------------------------------------------------- applicability


@every
@pytest.mark.parametrize("kind", ["numeric", "mixed", "categorical"])
def test_what_measures_distances_says_why_it_does_not_apply_to_categories(name, kind):
    mcc = Measure("mcc", "imblab.core.measures.mcc", "label")
    logistic = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"})
    reason = design.cell_inapplicable_reason(strategy(name), logistic, table(kind), mcc)
    if kind == "numeric" or name in (*WITHOUT_SAMPLER, *SMOTES, *RANDOM):
        assert reason is None
    else:
        sampler = type(PLAIN[name](0.5, 5, 0)).__name__
        assert reason == f"{sampler} measures distances and has no form for the categorical columns of {kind!r}"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["numeric", "mixed"])
def test_a_study_of_all_of_them_runs_and_says_what_does_not_apply(kind):
    question = imblab.compose(
        "name=x", "dataset=[ecoli3]", "learner=[decision_tree]", f"strategy=[{','.join(NAMES)}]", "protocol=smoke"
    )
    rows = imblab.evaluate(replace(question, datasets={}), [table(kind)])
    assert len(rows) == 3 * len(NAMES)
    left_out = set(NAMES) - {*WITHOUT_SAMPLER, *SMOTES, *RANDOM} if kind == "mixed" else set()
    left_out |= {"isotonic_threshold"}  # fewer than 50 training positives
    assert set(rows.strategy[rows.status == "inapplicable"]) == left_out
    assert rows.status.isin(["ok", "inapplicable"]).all()
    assert rows.mcc.isna().equals(rows.status == "inapplicable")


@pytest.mark.parametrize("name", ["smote_tomek", "smote_enn"])
@pytest.mark.parametrize("left_out", ["space.ratio", "k"])
def test_a_combination_without_a_knob_takes_imbalanced_learn_s_default(recorder, name, left_out):
    asked = f"strategy.{name}.{left_out}=null"
    found = imblab.compose("name=x", "dataset=[ecoli3]", f"strategy=[{name}]", asked).strategies[0]
    knobs = {"k": 5} if left_out == "space.ratio" else {"ratio": 0.5}
    X, y, _, _ = received(recorder, found.sampler, table("numeric"), knobs, 0)
    sampler = PLAIN[name]("auto", 5, 0) if left_out == "space.ratio" else PLAIN[name](0.5, 5, 0)
    expected_X, expected_y = plain_rows(sampler, table("numeric"))
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(X, expected_X)


# -------------------------------------------------------------------------------------------------- the command line

SET = {"ratio": ("0.45", 0.45), "k": ("4", 4), "weight": ("3.5", 3.5), "threshold": ("0.25", 0.25)}
SEARCHED = {
    "ratio": ("choice(0.45,1)", Choice((0.45, 1))),
    "k": ("range(2,8,3)", Choice((2, 5))),
    "weight": ("choice(balanced,3.5)", Choice(("balanced", 3.5))),
    "threshold": ("range(0.1,0.4,0.1)", Choice((0.1, 0.2, 0.3))),
}


def has(name, knob):
    return knob in ("weight", "threshold") or (name in PLAIN and knob in knobs_of(name, 0, 0))


@cache
def composed(way):
    """One study of all strategies, every knob fixed or searched on the command line."""
    texts, dot = (SET, "") if way == "set" else (SEARCHED, "space.")
    asked = [f"strategy.{name}.{dot}{knob}={texts[knob][0]}" for name in NAMES for knob in SET if has(name, knob)]
    return imblab.compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", f"strategy=[{','.join(NAMES)}]", *asked)


@pytest.mark.sampled(8)
@every
@pytest.mark.parametrize("knob", SET)
def test_every_knob_can_be_set_and_searched_from_the_command_line(name, knob):
    fixed, searched = ({s.name: s for s in composed(way).strategies}[name] for way in ("set", "search"))
    if has(name, knob):
        assert getattr(fixed, knob) == SET[knob][1]
        assert searched.space[knob] == SEARCHED[knob][1]
        assert getattr(searched, knob) == ("tuned" if knob == "threshold" else None)
    else:
        assert getattr(fixed, knob) is None
        assert knob not in searched.space
        rule = "has no sampler" if name not in PLAIN else "a knob stands for a parameter"
        for text in (f"strategy.{name}.{knob}=2", f"strategy.{name}.space.{knob}=choice(2,3)"):
            with pytest.raises(ConfigError, match=rule if knob == "k" else "has no sampler|lies above 0"):
                imblab.compose("name=x", "dataset=[ecoli3]", f"strategy=[{name}]", text)
    assert fixed.space == {}


@pytest.mark.parametrize("way", ["set", "search"])
def test_such_studies_survive_the_round_trip_through_plain_data(way):
    study = composed(way)
    mapping = config.to_mapping(study)
    assert config.parse_study(mapping) == study
    assert config.parse_study(yaml.safe_load(yaml.safe_dump(mapping, sort_keys=False))) == study
