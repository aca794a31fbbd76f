"""Studies of Python objects: tables, classifiers, samplers and splitters as users of scikit-learn have them."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC
from imblearn.under_sampling import RandomUnderSampler, TomekLinks
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score, get_scorer, matthews_corrcoef, roc_auc_score
from sklearn.model_selection import (
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import imblab
from imblab import ImbalanceSearchCV
from imblab.cli import main
from imblab.commands.object_runs import request_of_objects
from imblab.core import splits
from imblab.edges import config
from imblab.edges.config import objects
from imblab.edges.ledger import read_evaluations
from imblab.errors import ConfigError, DataError, ImblabError
from imblab.study import Learner, Measure, Strategy

FEW = {"learners": LogisticRegression(), "strategies": ["none", "threshold"], "measures": ["mcc", "pr_auc", "roc_auc"]}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(240, n_features=5, weights=[0.7], random_state=0)
    return X, y


def question(X, y, **arguments):
    return request_of_objects(X, y, **{**FEW, **arguments})


def make_of(study, name):
    return next(dict(learner.make) for learner in study.learners if learner.name == name)


def strategy_of(study, name):
    return next(strategy for strategy in study.strategies if strategy.name == name)


# Scores


def test_scores_are_those_of_a_plain_loop(table, tmp_path):
    X, y = table
    folds = StratifiedKFold(4, shuffle=True, random_state=7)
    frame = imblab.run(X, y, **FEW | {"strategies": "none"}, cv=folds).to_frame()
    expected = []
    for train, test in folds.split(X, y):
        scaler = StandardScaler().fit(X[train])
        model = LogisticRegression().fit(scaler.transform(X[train]), y[train])
        p = model.predict_proba(scaler.transform(X[test]))[:, 1]
        expected.append(
            (matthews_corrcoef(y[test], p >= 0.5), average_precision_score(y[test], p), roc_auc_score(y[test], p))
        )
    scores = frame.sort_values("fold")[["mcc", "pr_auc", "roc_auc"]].to_numpy()
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_a_file_asked_in_python_and_on_the_command_line_has_the_same_rows(table):
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcde")).assign(
        kind=pd.Categorical(np.where(X[:, 0] > 0, "up", "down")), left=np.where(y == 1, "yes", "no")
    )
    frame.to_parquet("churn.parquet")
    objects = {"learners": LogisticRegression(C=0.5), "strategies": ["none", SMOTE(sampling_strategy=0.5)], "cv": 3}
    imblab.run("churn.parquet", "left", name="first", **objects)
    asked = yaml.safe_load(Path("experiments/first/study.yaml").read_text())
    Path("again.yaml").write_text(yaml.safe_dump({**asked, "name": "second"}))
    assert main(["run", "again.yaml", "tracking=none", "runner.n_jobs=1", "runner.store=false"]) == 0
    with pytest.warns(UserWarning, match="These rows were seen before, in studies 'first' and 'second'"):
        imblab.run(frame, "left", name="third", store_path=None, **objects)

    def rows(name):
        found = read_evaluations(Path("experiments") / name)
        return {e.key.partition("/")[2]: (dict(e.scores), e.threshold, e.data_fingerprint) for e in found}

    assert len(rows("first")) == 6
    assert rows("first") == rows("second") == rows("third")
    parsed = config.parse_study(asked)
    assert [learner.make["C"] for learner in parsed.learners] == [0.5]


def test_the_recorded_study_of_a_frame_asks_the_same_of_its_file(table):
    X, y = table
    imblab.run(X, y, name="memory", cv=StratifiedKFold(3), **FEW)
    asked = yaml.safe_load(Path("experiments/memory/study.yaml").read_text())
    assert (asked["dataset"]["memory"]["kind"], asked["dataset"]["memory"]["n_folds"]) == ("memory", 3)
    folds = np.empty(len(y), dtype=int)
    for fold, (_, test) in enumerate(StratifiedKFold(3).split(X, y)):
        folds[test] = fold
    pd.DataFrame(X, columns=[f"x{i}" for i in range(5)]).assign(y=y, fold=folds).to_parquet("t.parquet")
    asked["dataset"] = {"memory": {"kind": "table", "path": "t.parquet", "target": "y", "folds": "fold"}}
    Path("again.yaml").write_text(yaml.safe_dump({**asked, "name": "file"}))
    assert main(["run", "again.yaml", "tracking=none", "runner.n_jobs=1"]) == 0
    one, other = (read_evaluations(Path("experiments") / name) for name in ("memory", "file"))
    assert {e.key: (dict(e.scores), e.data_fingerprint) for e in one} == {
        e.key: (dict(e.scores), e.data_fingerprint) for e in other
    }


# Tables


def test_arrays_have_named_columns_and_frames_keep_theirs(table):
    X, y = table
    assert question(X, y).tables[0].X.columns.tolist() == ["x0", "x1", "x2", "x3", "x4"]
    assert question(X.tolist(), y.tolist()).tables[0].fingerprint == question(X, y).tables[0].fingerprint
    frame = pd.DataFrame(X).assign(kind=pd.Categorical(["a", "b"] * 120), left=y)
    data = question(frame, "left", groups="0").tables[0]
    assert data.X.columns.tolist() == ["1", "2", "3", "4", "kind"]
    assert data.categorical == ("kind",)
    flagged = question(frame.assign(flag=[True, False] * 120, text=["u", "v", "w"] * 80), "left").tables[0]
    assert flagged.categorical == ("kind", "text")
    assert data.groups is not None


def test_a_frame_of_arrow_is_a_table(table):
    import pyarrow as pa

    X, y = table
    frame = pd.DataFrame(X, columns=list("abcde")).assign(kind=["u", "v", "w"] * 80)
    assert question(pa.table(frame), pa.array(y)).tables[0].fingerprint == question(frame, y).tables[0].fingerprint


def test_a_frame_of_polars_is_a_table(table):
    """Not part of the lock: the test runs where polars is installed."""
    pl = pytest.importorskip("polars", reason="polars is not installed")
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcde")).assign(
        kind=["u", None, "w"] * 80, flag=[True, False] * 120, number=[*range(239), None], left=y
    )
    theirs = pl.from_pandas(frame).with_columns(pl.col("kind").cast(pl.Categorical))
    ours = question(frame, "left").tables[0]
    assert ours.categorical == ("kind",)
    assert question(theirs, "left").tables[0].fingerprint == ours.fingerprint
    assert question(theirs.drop("left"), theirs["left"]).tables[0].fingerprint == ours.fingerprint
    with pytest.raises(DataError, match=r"LazyFrame; .* Pass one of them, such as X\.collect\(\) of a lazy frame\.$"):
        question(theirs.lazy(), "left")
    with pytest.raises(DataError, match=r"is given as polars\.DataFrame; .* or pass it to imblab\.run, which"):
        imblab.dataset(theirs, "left")


def test_a_dataset_is_a_table(table):
    X, y = table
    data = imblab.dataset(pd.DataFrame(X).assign(left=y), "left", name="churn")
    request = question(data, None)
    assert request.tables == (data,)
    with pytest.raises(ConfigError, match="it holds its labels and roles itself"):
        question(data, y)


def test_labels_in_another_order_than_the_rows_are_refused(table):
    X, y = table
    frame, labels = pd.DataFrame(X), pd.Series(y)
    with pytest.raises(DataError, match=r"'y' has the index of X in another order.*y\.loc\[X\.index\]"):
        question(frame, labels.sample(frac=1, random_state=0))
    shuffled = frame.sample(frac=1, random_state=0)
    data = question(shuffled, labels.loc[shuffled.index]).tables[0]
    assert np.array_equal(data.X["0"], shuffled[0])


@pytest.mark.parametrize("convert", [pd.DataFrame.to_numpy, pa.Table.from_pandas])
def test_rows_without_an_index_are_taken_in_their_order(table, convert):
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcde")).assign(y=y).sample(frac=1, random_state=0)
    data = question(convert(frame[list("abcde")].reset_index(drop=True)), frame.y).tables[0]
    assert np.array_equal(data.y, frame.y)
    with pytest.raises(DataError, match="'y' has the index of X in another order"):
        question(frame[list("abcde")], frame.y.sort_index())


def test_masked_cells_are_missing(table):
    X, y = table
    masked = np.ma.masked_where(X > 1, X)
    expected = np.where(X > 1, np.nan, X)
    assert question(masked, y).tables[0].fingerprint == question(expected, y).tables[0].fingerprint
    whole = np.ma.masked_where(X > 1, (X * 9).astype(int))
    assert question(whole, y).tables[0].X.isna().to_numpy().sum() == (X > 1).sum()
    with pytest.raises(DataError, match="without a label"):
        question(X, np.ma.masked_where(np.arange(240) < 3, y))


def test_what_a_dataset_may_say_a_run_may_say_too(table):
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcde")).assign(code=np.arange(240) % 3)
    arguments = {"categorical": "code", "drop": ["e"], "missing": -9, "amount": np.ones(240)}
    data = question(frame, y, **arguments).tables[0]
    assert (data.categorical, data.X.columns.tolist()) == (("code",), ["a", "b", "c", "d", "code"])
    assert data.amount is not None
    three = np.where(X[:, 0] > 0.9, 2, y)
    dropped = question(frame, three, drop_classes=[2], cv=np.int64(3)).tables[0]
    assert len(dropped.y) == (three < 2).sum()
    with pytest.raises(ConfigError, match="is without some rows"):
        question(frame, three, drop_classes=[2], cv=StratifiedKFold(3))


# Members


def test_a_classifier_is_recorded_by_what_differs_from_its_defaults(table):
    forest = RandomForestClassifier(n_estimators=10, n_jobs=4, random_state=0)
    inside = BaggingClassifier(DecisionTreeClassifier(max_depth=np.int64(3)), n_estimators=5)
    chain = make_pipeline(StandardScaler(), LogisticRegression(C=2.0))
    study = question(*table, learners={"forest": forest, "bag": inside, "chain": chain, "named": "svm"}).study
    assert make_of(study, "forest") == {
        "_target_": "sklearn.ensemble.RandomForestClassifier",
        "n_estimators": 10,
        "n_jobs": 1,
    }
    tree = {"_target_": "sklearn.tree.DecisionTreeClassifier", "max_depth": 3}
    assert make_of(study, "bag")["estimator"] == tree
    logistic = {"_target_": "sklearn.linear_model.LogisticRegression", "C": 2.0}
    assert make_of(study, "chain")["steps"][1] == ["logisticregression", logistic]
    assert make_of(study, "named") == {"_target_": "sklearn.svm.SVC"}
    assert [learner.kind for learner in study.learners] == ["random_forest", "", "", ""]
    assert config.parse_study(json.loads(json.dumps(config.to_mapping(study)))) == study


def test_what_an_estimator_learned_before_does_not_count(table):
    X, y = table
    fitted = LogisticRegression().fit(X, 1 - y)
    assert question(X, y, learners=fitted).study == question(X, y).study


def test_another_random_state_is_left_out_and_noted(table):
    X, y = table
    request = question(X, y, learners=DecisionTreeClassifier(random_state=5), random_state=1)
    assert request.study.seed == 1
    assert "random_state=1" in request.notes[0]
    assert not question(X, y, learners=DecisionTreeClassifier(random_state=1), random_state=1).notes
    with pytest.warns(UserWarning, match="is 5 and is left out") as caught:
        imblab.run(X, y, **FEW | {"learners": DecisionTreeClassifier(random_state=5)}, cv=2, inner_cv=2)
    assert caught[0].filename == __file__


def test_a_sampler_is_a_strategy_with_its_ratio_and_k(table):
    samplers = [
        SMOTE(sampling_strategy=0.5, k_neighbors=3),
        ADASYN(),
        RandomUnderSampler(sampling_strategy=0.25, replacement=True),
        TomekLinks(),
        SMOTEENN(sampling_strategy=0.5),
    ]
    study = question(*table, strategies=["threshold", *samplers]).study
    smote = strategy_of(study, "SMOTE")
    assert (smote.ratio, smote.k, smote.threshold) == (0.5, 3, "tuned")
    assert smote.label == "SMOTE 1:2, k 3, tuned threshold"
    assert smote.sampler["_mixed_"]["_target_"].endswith("SMOTENC")
    assert (strategy_of(study, "ADASYN").ratio, strategy_of(study, "ADASYN").k) == (1.0, 5)
    under = strategy_of(study, "RandomUnderSampler")
    assert (under.ratio, under.k, under.sampler["replacement"]) == (0.25, None, True)
    assert strategy_of(study, "TomekLinks").ratio is None
    assert strategy_of(study, "SMOTEENN").sampler["smote"]["k_neighbors"] == "$k"
    assert strategy_of(study, "SMOTEENN").label == "SMOTEENN 1:2, k 5, tuned threshold"
    assert under.label == "RandomUnderSampler 1:4, replacement True, tuned threshold"
    assert all(strategy.calibration == "none" for strategy in study.strategies)


def test_records_and_names_are_members_too(table):
    learner = Learner("mine", {"_target_": "sklearn.svm.LinearSVC"}, label="Mine")
    strategy = Strategy("heavy", weight=3.0, label="Weight 3")
    measure = Measure("f3", "imblab.core.measures.f_beta", "label", parameters={"beta": 3})
    study = question(*table, learners=[learner, "svm"], strategies=["none", strategy], measures=["mcc", measure]).study
    assert study.learner_names == ("mine", "svm")
    assert study.strategies[1] == strategy
    assert [item.label for item in (study.learners[0], study.strategies[1])] == ["Mine", "Weight 3"]
    assert study.measure_names == ("mcc", "f3")


def test_defaults_are_those_of_the_command_line(table):
    study = request_of_objects(*table).study
    typed = imblab.compose("name=table", "dataset=[ecoli3]")
    for part in ("learners", "strategies", "measures", "protocol", "primary", "claims", "tuning"):
        assert getattr(study, part) == getattr(typed, part)
    assert {"none", "threshold"} <= set(study.strategy_names)


def test_measures_have_the_names_of_scorers(table):
    study = question(*table, measures=["average_precision", "matthews_corrcoef", "accuracy"]).study
    assert study.measure_names == ("pr_auc", "mcc", "accuracy", "accuracy_baseline")
    assert study.primary == "mcc"
    ranked = question(*table, measures=["roc_auc"]).study
    assert (ranked.primary, ranked.protocol.threshold_measure, ranked.measure_names) == (
        "roc_auc",
        "mcc",
        ("roc_auc", "mcc"),
    )
    assert question(*table, measures="f1").study.primary == "f1"
    assert question(*table, measures="f1", primary="recall").study.measure_names == ("f1", "recall")


class Majority(ClassifierMixin, BaseEstimator):
    """A classifier of the user's own."""

    def __init__(self, share, power=1.0):
        self.share = share
        self.power = power

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.clip(self.share + 0.1 * np.tanh(X[:, 0]) ** self.power, 0, 1)
        return np.column_stack([1 - p, p])


@pytest.mark.filterwarnings("ignore:.*positives; below 20")
def test_a_class_of_the_user_is_a_learner(packages):
    packages(
        own_learners="""
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Majority(ClassifierMixin, BaseEstimator):
    def __init__(self, share, power=1.0):
        self.share, self.power = share, power

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.clip(self.share + 0.1 * np.tanh(X[:, 0]), 0, 1)
        return np.column_stack([1 - p, p])
"""
    )
    from own_learners import Majority as Importable

    X, y = make_classification(120, weights=[0.8], random_state=0)
    frame = imblab.run(X, y, **FEW | {"learners": Importable(0.4)}, cv=2, inner_cv=2).to_frame()
    assert frame.status.unique().tolist() == ["ok"]
    assert frame.learner.unique().tolist() == ["Majority"]


def test_a_class_of_a_notebook_is_not_kept(table, monkeypatch):
    cls = type("Cell", (Majority,), {"__module__": "__main__", "__init__": Majority.__init__})
    monkeypatch.setattr(sys.modules["__main__"], "Cell", cls, raising=False)
    assert make_of(question(*table, learners=cls(0.3)).study, "Cell") == {"_target_": "__main__.Cell", "share": 0.3}
    with pytest.raises(ConfigError, match=r"'__main__\.Cell', defined in a notebook cell.*leave out name and folder"):
        imblab.run(*table, **FEW | {"learners": cls(0.3)}, name="kept")
    assert not Path("experiments").exists()


def test_a_class_inside_a_function_is_refused(table):
    class Local(Majority):
        pass

    with pytest.raises(ConfigError, match="cannot be imported by that name"):
        question(*table, learners=Local(0.2))


# Folds


def planned(request):
    data = request.tables[0]
    return splits.plan(data, request.study.protocol, request.study.seed)


@pytest.mark.parametrize(
    ("cv", "is_protocol"),
    [
        (StratifiedKFold(4, shuffle=True, random_state=3), True),
        (StratifiedKFold(4, shuffle=True, random_state=4), False),
        (StratifiedKFold(4), False),
        (RepeatedStratifiedKFold(n_splits=3, n_repeats=1, random_state=3), True),
        (StratifiedShuffleSplit(1, test_size=0.25, random_state=3), True),
        (KFold(3, shuffle=True, random_state=0), False),
        (PredefinedSplit(np.arange(240) % 3), False),
        ([(np.arange(120), np.arange(120, 240)), (np.arange(120, 240), np.arange(120))], False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_test_rows_are_those_of_the_splitter(table, cv, is_protocol):
    X, y = table
    request = question(X, y, cv=cv, random_state=3)
    expected = cv if isinstance(cv, list) else list(cv.split(X, y))
    plan = planned(request)
    assert len(plan) == len(expected)
    for split, (train, test) in zip(plan, expected, strict=True):
        assert np.array_equal(split.test, np.sort(test))
        assert np.array_equal(split.train, np.sort(train))
    assert (request.tables[0].folds is None) == is_protocol


def test_group_splitters_keep_the_groups(table):
    X, y = table
    groups = np.arange(240) // 6
    mixed = StratifiedGroupKFold(3, shuffle=True, random_state=3)
    for cv in (mixed, StratifiedGroupKFold(3), LeaveOneGroupOut()):
        given = groups % 4 if isinstance(cv, LeaveOneGroupOut) else groups
        request = question(X, y, cv=cv, groups=given, random_state=3)
        tests = [np.sort(test) for _, test in cv.split(X, y, given)]
        assert all(np.array_equal(split.test, test) for split, test in zip(planned(request), tests, strict=True))
        assert request.tables[0].groups is not None
    assert question(X, y, cv=mixed, groups=groups, random_state=3).tables[0].folds is None


def test_a_time_series_splitter_is_the_protocol_with_a_time(table):
    X, y = table
    request = question(X, y, cv=TimeSeriesSplit(3), time=np.arange(240))
    assert request.study.protocol.outer_folds == 3
    tests = [test for _, test in TimeSeriesSplit(3).split(X)]
    assert all(np.array_equal(np.sort(s.test), t) for s, t in zip(planned(request), tests, strict=True))
    with pytest.raises(ConfigError, match=r"tests 60 rows never.*Write cv=3 and time=\.\.\."):
        question(X, y, cv=TimeSeriesSplit(3))


@pytest.mark.parametrize(
    ("cv", "way_out"),
    [
        (RepeatedStratifiedKFold(n_splits=5, n_repeats=10, random_state=0), "Write cv=5, repeats=10: repeat r is"),
        (StratifiedShuffleSplit(4, random_state=0), "Write cv='holdout' with repeats=10"),
        (PredefinedSplit([-1, 0, 1] * 80), "80 rows never"),
        (StratifiedKFold(500), "cannot split the 240 rows"),
        (object(), "cannot split the 240 rows"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_splitters_are_refused_with_a_way_out(table, cv, way_out):
    with pytest.raises(ConfigError, match="'cv' is") as caught:
        question(*table, cv=cv)
    assert way_out in str(caught.value)


def test_numbers_and_names_of_folds(table):
    study = question(*table, cv=4, inner_cv=2, repeats=3).study
    assert (study.protocol.outer_folds, study.protocol.inner_folds, study.protocol.repeats) == (4, 2, 3)
    assert question(*table, cv="holdout", repeats=10).study.protocol.test_size == 0.3


# Refusals


def test_everything_wrong_is_said_at_once(table):
    X, y = table
    with pytest.raises(DataError) as caught:
        imblab.run(
            X,
            y[:-1],
            learners=["lightbgm", LinearRegression(), HistGradientBoostingClassifier(), SMOTE(), LogisticRegression],
            strategies=["none", "smot", LogisticRegression(), SMOTENC([0]), SMOTE(sampling_strategy={0: 9})],
            measures=["mcc", "f1_weighted", len],
            random_state=0.5,
            cv=1,
            n_jobs=0,
        )
    text = str(caught.value)
    for part in (
        "'n_jobs' is 0",
        "'cv' is 1",
        "'random_state' is 0.5; it is a whole number",
        "'y' has the shape (239,), and X has 240 rows",
        "unknown learner 'lightbgm'. Did you mean 'lightgbm'?",
        "LinearRegression', which is not a classifier",
        "early_stopping",
        "a learner is the name of a learner, a classifier of scikit-learn, or an imblab.Learner. Pass it under",
        "'LogisticRegression' is a class; a study takes objects",
        "unknown strategy 'smot'. Did you mean 'smote'?",
        "Pass it under learners.",
        "the form of SMOTE for categorical columns",
        "sampling_strategy' is {0: 9}; classes are numbered inside",
        "The measure 'f1' is that of the positive class",
        "is of type builtin_function_or_method",
    ):
        assert part in text, text


@pytest.mark.sampled(12)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_jobs": 0}, "'n_jobs' is 0"),
        ({"random_state": -1}, "'random_state' is -1"),
        ({"cv": 1}, "'cv' is 1; it is a whole number, at least 2"),
        ({"cv": "hold_out"}, "unknown protocol 'hold_out' for 'cv'. Did you mean 'holdout'?"),
        ({"repeats": 0}, "'repeats' is 0"),
        ({"cv": KFold(3), "repeats": 2}, "'cv' is a splitter, which says itself how often it splits"),
        ({"name": "a/b"}, "'name' is 'a/b'"),
        ({"primary": "f5"}, "unknown measure 'f5' for 'primary'"),
        ({"groups": "x9"}, "has no column 'x9', which the argument groups names"),
        ({"learners": [LogisticRegression(), LogisticRegression(C=2)]}, "'LogisticRegression' is given more than once"),
        ({"learners": LogisticRegression(class_weight={0: 1, 1: 5})}, "set weight or ratio of an imblab.Strategy"),
        ({"learners": []}, "Choose some with learner=[...] (learners of imblab.run)."),
        ({"strategies": ()}, "Choose some with strategy=[...] (strategies of imblab.run)."),
        ({"cv": 100}, "Set protocol.outer_folds (cv of imblab.run) to at most"),
        ({"cv": StratifiedKFold}, "'cv' is the class StratifiedKFold; a study splits with an object. Write cv=Strat"),
        ({"cv": KFold(3), "folds": np.arange(240) % 3}, "'cv' is a splitter and 'folds' is given"),
        ({"cv": 5, "folds": np.arange(240) % 3}, "'cv' is 5 and 'folds' is given"),
        ({"cv": "5"}, "A number of folds is written cv=5."),
        ({"name": ""}, "'name' is ''; it is the name of a folder"),
        ({"name": 5}, "'name' is 5; it is the name of a folder, a text"),
        ({"folder": 5}, "'folder' is 5; it is a text or a path"),
        ({"tracking_uri": "sqlite:///m.db", "retry_failed": True}, "'retry_failed', 'tracking_uri' given without a na"),
        ({"overwrite": "no", "name": "a"}, "'overwrite' is 'no'; it is True or False"),
        ({"fit_timeout": "3"}, "'fit_timeout' is '3'; it is a number of seconds"),
        ({"data": [1]}, "'data' is given with a table"),
        ({"measures": []}, "Choose some with measures=[...] (measures of imblab.run)."),
        ({"measures": [matthews_corrcoef]}, "Write 'mcc'."),
        ({"measures": [get_scorer("average_precision")]}, "Write 'pr_auc'."),
        ({"primary": roc_auc_score}, "Write for example primary='roc_auc'."),
        ({"primary": ["mcc"]}, "'primary' is \"['mcc']\"; it is the name of a measure"),
        ({"target": "left"}, "'target' is given in addition to 'y'"),
        ({"seed": 1}, "Did you mean 'random_state'?"),
        ({"strategies": Strategy("s", space={"k": [3, 5]})}, "space={'k': imblab.Choice((3, 5))}"),
        ({"leaners": "svm"}, "unknown argument 'leaners' of imblab.run. Did you mean 'learners'?"),
        ({"learners": Strategy("a")}, "Pass it under strategies"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_wrong_argument_is_refused(table, arguments, message):
    with pytest.raises((ConfigError, DataError)) as caught:
        imblab.run(*table, **FEW | arguments)
    assert message in str(caught.value)


def test_members_and_measures_are_refused_at_once(table):
    with pytest.raises(ConfigError) as caught:
        question(*table, primary="q", learners="x", measures="mc")
    for part in ("unknown learner 'x'", "unknown measure 'mc'", "unknown measure 'q' for 'primary'"):
        assert part in str(caught.value)


def test_splitters_that_leave_out_a_class_are_answered_with_cv(table):
    X, y = table
    for cv, n_lacking in ((KFold(5), 4), (LeaveOneOut(), 240)):
        parts = rf"{n_lacking} of its {cv.get_n_splits(X)} test parts lack a class, such as '[01]'"
        with pytest.raises(ConfigError, match=rf"'cv' is .*, and {parts}; .* Write cv=StratifiedKFold\(5\), or cv=5\."):
            question(X, np.sort(y), cv=cv)


def test_folds_are_a_column_of_the_table(table):
    X, y = table
    folds = np.arange(240) % 3
    request = question(X, y, folds=folds)
    assert [len(split.test) for split in planned(request)] == [80] * 3
    assert np.array_equal(request.tables[0].folds, folds)


def test_a_file_is_answered_with_arguments(table):
    X, y = table
    pd.DataFrame(X, columns=list("abcde")).assign(left=y).to_csv("churn.csv", index=False)
    for arguments, way_out in (
        ((), r"Set target='left', or another"),
        (("lef",), r"which the argument target names; .* Set target='left'\."),
    ):
        with pytest.raises((ConfigError, DataError), match=way_out):
            imblab.run("churn.csv", *arguments, **FEW)
    with pytest.raises(DataError, match=r"Correct the argument X\.$"):
        imblab.run("nope.csv", "left", **FEW)
    with pytest.raises(ConfigError, match="'cv' is 1"):
        imblab.run("churn.csv", target="left", cv=1, **FEW)


def test_columns_are_named_by_numbers_too_and_none_is_a_default(table):
    X, y = table
    frame = pd.DataFrame(np.column_stack([y, X]))
    assert question(frame, 0).tables[0].X.columns.tolist() == ["1", "2", "3", "4", "5"]
    few = {**FEW, "strategies": ["none"], "cv": 2, "inner_cv": 2}
    first, second = (imblab.run(frame, 0, random_state=each, n_jobs=None, **few) for each in (None, 0))
    assert first.folds.equals(second.folds)


def test_tables_that_cannot_be_studied_are_refused(table):
    X, y = table
    import scipy.sparse

    for bad, labels, message in (
        (X, np.zeros(240), "has 1 class in 'target'"),
        (X, None, "'y' is not given"),
        (X[:, 0], y, "with the shape (240,)"),
        (scipy.sparse.csr_array(X), y, "Pass X.toarray()"),
        ("none.csv", y, "'y' hold values"),
        (pd.DataFrame(X), "left", "unknown column 'left' for 'y' in X"),
    ):
        with pytest.raises(DataError) as caught:
            question(bad, labels)
        assert message in str(caught.value)


def test_a_study_takes_no_objects(table):
    study = imblab.compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke")
    with pytest.raises(ConfigError, match=r"study 'small' is given with y=, cv=; a study says these itself"):
        imblab.run(study, table[1], cv=3)
    with pytest.raises(ConfigError, match=r"'name' is '\.\./b'"):
        imblab.run(study, name="../b")
    for arguments in ((pd.DataFrame(),), (5,)):
        with pytest.raises(ConfigError, match=r"of type .*Pass tables and objects to imblab\.run"):
            imblab.compose(*arguments)
    with pytest.raises(ConfigError, match=r"'learner' is of type LogisticRegression"):
        imblab.compose("quickstart", learner=[LogisticRegression()])
    for asked in ({"minutes": "3"}, {"minutes": -1}, {"n_jobs": 0}):
        with pytest.raises(ConfigError, match=f"'{next(iter(asked))}' is"):
            imblab.plan(study, **asked)
    Path("churn.csv").write_text("a,left\n")
    with pytest.raises(ConfigError, match=r"'churn\.cvs' is neither a file .* Did you mean 'churn\.csv'\?"):
        imblab.run("churn.cvs", "left")
    for read in (imblab.load, imblab.report):
        with pytest.raises(ConfigError, match="'study' is 5"):
            read(5)
    with pytest.raises(ConfigError, match="'contains_rows' is 'yes'"):
        imblab.export("small", contains_rows="yes")


# Names and keywords


def test_compose_takes_names_and_keywords():
    study = imblab.compose(experiment="quickstart", seed=3, search="tpe", **{"search.n_trials": 5})
    assert study == imblab.compose("experiment=quickstart", "seed=3", "search=tpe", "search.n_trials=5")
    spaced = imblab.compose("quickstart", strategy=["smote"], **{"strategy.smote.space.k": "choice(3,7)"})
    assert spaced.strategies[0].space["k"].values == (3, 7)
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'"):
        imblab.compose("quickstrat")


def test_evaluate_and_run_take_the_name_of_an_experiment(monkeypatch):
    few = {"dataset": ["ecoli3"], "learner": ["logistic"], "strategy": ["none"], "protocol": "smoke"}
    assert imblab.evaluate("quickstart", **few).status.tolist() == ["ok"] * 3
    with pytest.raises(ConfigError, match="stands as it is"):
        imblab.evaluate(imblab.compose("quickstart", **few), seed=3)
    with pytest.raises(ConfigError, match="Did you mean 'quickstart'"):
        imblab.run("quickstrat")


def test_progress_is_shown_where_it_is_asked_for(table, capsys):
    imblab.run(*table, **FEW, cv=2, inner_cv=2, progress=True)
    assert "4/4" in capsys.readouterr().err
    imblab.run(*table, **FEW, cv=2, inner_cv=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_all_cores_are_minus_one(table, monkeypatch):
    from imblab.edges.runner import engine

    monkeypatch.setattr(engine, "available_cores", lambda: 1)
    one = imblab.run(*table, **FEW, cv=2, inner_cv=2)
    every = imblab.run(*table, **FEW, cv=2, inner_cv=2, n_jobs=-1)
    assert one.to_frame().mcc.tolist() == every.to_frame().mcc.tolist()
    monkeypatch.setattr(engine, "available_cores", lambda: 8)
    assert [engine.job_count(n) for n in (-1, -2, 3)] == [8, 7, 3]


@pytest.mark.filterwarnings("ignore:'table' has a test part")
def test_the_blocks_of_the_page_run():
    page = Path(__file__).parents[2] / "docs" / "python.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 4
    assert names["study"].seed == 3
    assert Path("experiments/searched/study.yaml").is_file()


def test_a_class_is_named_by_the_path_that_a_study_lists():
    assert objects.path_of_class(LGBMClassifier, "learner.a") == "lightgbm.LGBMClassifier"


def test_columns_of_an_array_get_names():
    request = request_of_objects(
        [[0.5], [0.2], [0.1]] * 20, [0, 0, 1] * 20, learners="svm", strategies=["none", "threshold"], cv=4
    )
    assert request.study.protocol.outer_folds == 4
    assert request.tables[0].X.columns.tolist() == ["x0"]


@pytest.mark.parametrize(
    ("learner", "way_out"),
    [
        (HistGradientBoostingClassifier(), "Pass HistGradientBoostingClassifier(early_stopping=False)"),
        (SVC(probability=True), "Pass SVC(probability=False)"),
        (LogisticRegressionCV(), "a strategy calibrates by imblab.Strategy(..., calibration='sigmoid')"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_learner_that_splits_its_rows_is_answered_in_the_words_of_python(learner, way_out):
    with pytest.raises(ConfigError) as told:
        request_of_objects([[0.5], [0.2], [0.1]] * 20, [0, 0, 1] * 20, learners=learner)
    assert way_out in str(told.value)
    assert "learner." not in str(told.value)


def test_labels_of_other_rows_are_refused():
    frame = pd.DataFrame({"a": np.arange(60.0)}, index=np.arange(60) + 5)
    labels = pd.Series([0, 0, 1] * 20, index=np.arange(60) + 6)
    for fit in (request_of_objects, ImbalanceSearchCV("logistic", strategies=["none"], cv=3).fit):
        with pytest.raises(ImblabError, match="'y' has the index of other rows than X"):
            fit(frame, labels)
    assert request_of_objects(frame.reset_index(drop=True), labels).tables[0].y.tolist() == [0, 0, 1] * 20


def test_all_columns_that_are_not_there_are_told_at_once():
    roles = {"drop": ["aa"], "categorical": ["bb"], "numeric": ["cc"], "id": "dd", "groups": "ee", "time": "ff"}
    with pytest.raises(DataError) as told:
        request_of_objects(pd.DataFrame({"a": np.arange(60.0), "d": 1.0}), [0, 0, 1] * 20, **roles)
    assert len(told.value.problems) == len(roles)


@pytest.mark.parametrize(
    ("X", "y", "way_out"),
    [
        (pd.Series(np.arange(60.0)), [0, 0, 1] * 20, "X.to_frame()"),
        (np.ones((60, 1)), (i % 3 == 0 for i in range(60)), "list(y)"),
        (np.ones((60, 1)), [b"a", b"a", b"b"] * 20, "Convert them"),
        (None, [0, 0, 1] * 20, "imblab.run(X, y)"),
    ],
    ids=["series", "generator", "bytes", "no table"],
)
def test_what_is_not_a_table_or_its_labels_is_answered_with_what_is(X, y, way_out):
    with pytest.raises(DataError) as told:
        request_of_objects(X, y)
    assert way_out in str(told.value)
