"""``ImbalanceSearchCV`` decides as a study does, and works inside the tools of scikit-learn."""

import pickle
import re
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import NearMiss
from scipy.special import expit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import confusion_matrix, matthews_corrcoef
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import imblab
from imblab import ImbalanceSearchCV, Strategy
from imblab.core import splits
from imblab.edges.runner import worker
from imblab.errors import ConfigError, DataError, FitError

STRATEGIES = ["none", "threshold", "class_weight", "smote_threshold"]


@pytest.fixture(autouse=True)
def _one_thread():
    """These fits take some milliseconds: threads would wait for one another."""
    with threadpool_limits(1):
        yield


def numbers(n=300, seed=0, share=0.15):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return rng.normal(size=(n, 4)) + y[:, None] * [0.9, 0.5, 0, 0], y


def table(n=300, classes=("no", "yes"), seed=1):
    """Numbers with gaps, a column of texts, and labels of two or more classes."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(classes), n, p=[0.8, 0.2] if len(classes) == 2 else [0.6, 0.25, 0.15])
    frame = pd.DataFrame({"late": rng.normal(size=n) + y, "early": rng.normal(size=n) * 7 + 3 * y})
    frame.loc[rng.random(n) < 0.1, "late"] = np.nan
    frame["town"] = np.where((y > 0) & (rng.random(n) < 0.4), "b", rng.choice(["a", "c", None], n))
    return frame, np.array(classes)[y]


def study_of(frame, labels, learner, strategies, **roles):
    """Evaluate a hold-out study; returns its rows by strategy, and the training and test rows."""
    data = imblab.dataset(frame.assign(target=labels, **roles), "target", name="toy", **{r: r for r in roles})
    chosen = f"strategy=[{','.join(strategies)}]"
    study = imblab.compose("name=toy", "dataset=[ecoli3]", f"learner=[{learner}]", chosen, "protocol=holdout")
    study = replace(study, datasets={})
    split = splits.plan(data, study.protocol, study.seed)[0]
    rows = imblab.evaluate(study, [data])
    assert (rows.status == "ok").all(), rows.error.tolist()
    return rows.set_index("strategy"), split.train, split.test


def thresholds_of(search):
    threshold = search.best_threshold_
    return tuple(threshold[label] for label in search._labels) if isinstance(threshold, dict) else threshold


@pytest.mark.sampled(1)
@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")], ids=["two", "three"])
@pytest.mark.parametrize("learner", ["logistic", "svm", "decision_tree"])
def test_each_strategy_is_tuned_thresholded_and_scored_as_in_a_study(classes, learner):
    frame, labels = table(classes=classes)
    strategies = ["none", "threshold", "smote_threshold"]
    rows, train, test = study_of(frame, labels, learner, strategies)
    for strategy, row in rows.iterrows():
        search = ImbalanceSearchCV(learner, strategies=[strategy]).fit(frame.iloc[train], labels[train])
        assert search.best_params_ == row.params
        assert thresholds_of(search) == row.threshold
        assert search.score(frame.iloc[test], labels[test]) == row.mcc
        if strategy != "none":  # a study needs no value of a strategy that searches nothing
            assert search.best_score_ == row.value


def test_the_strategy_with_the_best_inner_value_of_the_study_is_chosen():
    frame, labels = table()
    rows, train, test = study_of(frame, labels, "logistic", STRATEGIES)
    search = ImbalanceSearchCV("logistic", strategies=STRATEGIES).fit(frame.iloc[train], labels[train])
    alone = {
        name: ImbalanceSearchCV("logistic", strategies=[name]).fit(frame.iloc[train], labels[train]).best_score_
        for name in STRATEGIES
    }
    assert alone["threshold"] == rows.value["threshold"]
    assert search.best_strategy_ == max(STRATEGIES, key=lambda name: alone[name])
    assert search.best_score_ == max(alone.values())
    row = rows.loc[search.best_strategy_]
    assert (search.best_params_, search.best_threshold_) == (row.params, row.threshold)
    called = search.predict(frame.iloc[test]) == "yes"
    tn, fp, fn, tp = confusion_matrix(labels[test] == "yes", called).ravel()
    assert (tn, fp, fn, tp) == tuple(row[["tn", "fp", "fn", "tp"]])


def test_groups_keep_together_as_in_a_study():
    frame, labels = table()
    groups = np.arange(len(frame)) // 5
    rows, train, test = study_of(frame, labels, "logistic", ["smote_threshold"], groups=groups)
    search = ImbalanceSearchCV("logistic", strategies=["smote_threshold"])
    search.fit(frame.iloc[train], labels[train], groups=groups[train])
    row = rows.loc["smote_threshold"]
    assert (search.best_params_, search.best_threshold_, search.best_score_) == (row.params, row.threshold, row.value)
    assert search.score(frame.iloc[test], labels[test]) == row.mcc


def test_a_ranking_measure_is_maximised_as_in_a_study():
    frame, labels = table()
    data = imblab.dataset(frame.assign(target=labels), "target", name="toy")
    study = imblab.compose(
        "name=toy",
        "dataset=[ecoli3]",
        "learner=[svm]",
        "strategy=[smote_threshold]",
        "protocol=holdout",
        "primary=pr_auc",
    )
    row = imblab.evaluate(replace(study, datasets={}), [data]).iloc[0]
    split = splits.plan(data, study.protocol, study.seed)[0]
    search = ImbalanceSearchCV("svm", strategies=["smote_threshold"], measure="average_precision")
    search.fit(frame.iloc[split.train], labels[split.train])
    assert (search.best_params_, search.best_threshold_, search.best_score_) == (row.params, row.threshold, row.value)
    assert search.score(frame.iloc[split.test], labels[split.test]) == row.pr_auc


def test_a_plain_loop_of_scikit_learn_and_imbalanced_learn_decides_alike():
    X, y = numbers(400)
    new, _ = numbers(200, seed=9)
    grid = np.arange(1, 100) / 100

    def fitted(rows, ratio, k):
        scaler = StandardScaler().fit(X[rows])
        sampler = SMOTE(sampling_strategy=ratio, k_neighbors=k, random_state=3)
        learner = LogisticRegression(C=0.5, random_state=3).fit(
            *sampler.fit_resample(scaler.transform(X[rows]), y[rows])
        )
        return lambda rows: learner.predict_proba(scaler.transform(rows))[:, 1]

    best = (-np.inf,)
    for ratio in (0.5, 1.0):
        for k in (3, 5):
            called, true = [], []
            for fit, validate in StratifiedKFold(3, shuffle=True, random_state=3).split(X, y):
                called.append(fitted(fit, ratio, k)(X[validate])[:, None] >= grid)
                true.append(y[validate])
            called, true = np.vstack(called), np.concatenate(true)
            values = np.array([matthews_corrcoef(true, called[:, i]) for i in range(99)])
            tied = np.flatnonzero(values >= values.max() - 1e-12)
            chosen = min(tied, key=lambda i: (abs(i + 1 - 50), i))
            if values[chosen] > best[0] + 1e-12:
                best = values[chosen], ratio, k, grid[chosen]
    value, ratio, k, threshold = best
    strategy = Strategy(
        "smote",
        {"_target_": "imblearn.over_sampling.SMOTE"},
        threshold="tuned",
        space={"ratio": imblab.Choice((0.5, 1.0)), "k": imblab.Choice((3, 5))},
    )
    search = ImbalanceSearchCV(LogisticRegression(C=0.5), strategies=[strategy], random_state=3).fit(X, y)
    assert search.best_params_ == {"ratio": ratio, "k": k}
    assert search.best_threshold_ == threshold
    assert search.best_score_ == pytest.approx(value, abs=1e-12)
    proba = fitted(np.arange(400), ratio, k)(new)
    assert np.allclose(search.predict_proba(new)[:, 1], proba, rtol=0, atol=1e-12)
    assert np.array_equal(search.predict(new), (proba >= threshold).astype(int))


def test_permuted_labels_score_at_chance_outside():
    X, y = numbers(400)
    y = np.random.default_rng(5).permutation(y)
    search = ImbalanceSearchCV(LogisticRegression(), strategies=STRATEGIES)
    scores = cross_validate(search, X, y, cv=StratifiedKFold(5), return_estimator=True)
    assert abs(scores["test_score"].mean()) < 0.1
    # The inner value is the best of many, which is why it is not a result.
    assert np.mean([each.best_score_ for each in scores["estimator"]]) > 0.1


def test_no_result_depends_on_the_number_of_processes(monkeypatch):
    X, y = numbers()
    search = ImbalanceSearchCV(LogisticRegression(), strategies=STRATEGIES, n_jobs=2)
    monkeypatch.setattr(worker, "_process_count", lambda bundle, n_jobs: 1)
    one = clone(search).fit(X, y)
    monkeypatch.setattr(worker, "_process_count", lambda bundle, n_jobs: 3)
    with joblib.parallel_config(backend="sequential"):  # the parts one after the other, in this process
        check_same(clone(search).fit(X, y), one, X)


def check_same(search, other, X):
    assert (search.best_strategy_, search.best_params_) == (other.best_strategy_, other.best_params_)
    assert np.array_equal(search.cv_results_["value"], other.cv_results_["value"], equal_nan=True)
    assert np.array_equal(search.predict_proba(X), other.predict_proba(X))


def test_threads_search_one_after_the_other():
    X, y = numbers()
    search = ImbalanceSearchCV(LogisticRegression(), strategies=STRATEGIES, n_jobs=2)
    expected = cross_validate(search.set_params(n_jobs=None), X, y, cv=3)["test_score"]
    with joblib.parallel_config(backend="threading"):
        scores = cross_validate(search.set_params(n_jobs=2), X, y, cv=3, n_jobs=2)["test_score"]
    assert np.array_equal(scores, expected)


@pytest.mark.slow  # starts processes that import scikit-learn
def test_processes_and_workers_of_joblib_change_no_result():
    X, y = numbers()
    search = ImbalanceSearchCV(LogisticRegression(), strategies=STRATEGIES)
    check_same(clone(search).set_params(n_jobs=2).fit(X, y), clone(search).fit(X, y), X)
    expected = cross_validate(search, X, y, cv=3)["test_score"]
    for n_jobs in (None, 2):
        nested = cross_validate(search.set_params(n_jobs=n_jobs), X, y, cv=3, n_jobs=2)["test_score"]
        assert np.array_equal(nested, expected)


def test_results_have_the_columns_of_a_grid_search():
    X, y = numbers()
    search = ImbalanceSearchCV(LogisticRegression(), strategies=STRATEGIES).fit(X, y)
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 1 + 1 + 5 + 8
    best = results.iloc[search.best_index_]
    assert (best.strategy, best.value, best.rank_test_score) == (search.best_strategy_, search.best_score_, 1)
    assert best.params == {"strategy": search.best_strategy_, **search.best_params_}
    folds = results[[f"split{i}_test_score" for i in range(search.n_splits_)]]
    assert np.allclose(folds.mean(axis=1), results.mean_test_score, equal_nan=True)
    # MCC of the threshold .5 on each fold, by scikit-learn.
    for i, (fit, validate) in enumerate(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[fit], y[fit])
        assert matthews_corrcoef(y[validate], model.predict(X[validate])) == pytest.approx(folds.iloc[0, i])
    left_out = results[results.status == "inapplicable"]
    assert left_out.value.isna().all()
    assert left_out.reason.str.contains("already there").all()
    assert (left_out.rank_test_score == results.rank_test_score.max()).all()


def test_equal_values_go_to_the_strategy_declared_first():
    X, y = numbers()
    twins = [Strategy("second", threshold="tuned"), Strategy("first", threshold="tuned")]
    assert ImbalanceSearchCV(LogisticRegression(), strategies=twins).fit(X, y).best_strategy_ == "second"


def test_frames_with_categories_gaps_and_other_makers_are_read_as_a_study_reads_them():
    frame, labels = table()
    search = ImbalanceSearchCV(DecisionTreeClassifier(max_depth=4), strategies=["threshold", SMOTE(k_neighbors=3)])
    search.fit(frame, labels)
    assert search.feature_names_in_.tolist() == ["late", "early", "town"]
    assert (search.n_features_in_, search.positive_, search.classes_.tolist()) == (3, "yes", ["no", "yes"])
    assert set(search.cv_results_["status"]) == {"ok"}  # SMOTE has its form for categories
    expected = search.predict_proba(frame)
    assert np.array_equal(search.predict_proba(frame.astype({"town": "category"})), expected)
    assert np.array_equal(search.predict_proba(pa.Table.from_pandas(frame)), expected)
    blank = frame.assign(town=frame.town.fillna(""))
    assert np.array_equal(search.predict_proba(blank), expected)
    unseen = frame.assign(town="elsewhere")
    assert np.isfinite(search.predict_proba(unseen)).all()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert np.array_equal(search.predict_proba(frame.to_numpy()), expected)
    again = ImbalanceSearchCV(DecisionTreeClassifier(max_depth=4), strategies=search.strategies)
    assert np.array_equal(again.fit(blank, labels).predict_proba(frame), expected)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(frame[["early", "late", "town"]])


def test_labels_of_any_type_come_back_as_they_are():
    X, y = numbers()
    for labels in (y == 1, np.where(y == 1, "a", "b"), np.where(y == 1, -1, 7), np.where(y == 1, 1.0, 2.0)):
        search = ImbalanceSearchCV(LogisticRegression(), strategies=["threshold"]).fit(X, labels)
        assert search.predict(X).dtype == labels.dtype
        assert search.positive_ == labels[y == 1][0]
        rare = search.classes_.tolist().index(search.positive_)
        called = search.predict_proba(X)[:, rare] >= search.best_threshold_
        assert np.array_equal(search.predict(X) == search.positive_, called)
    named = ImbalanceSearchCV(LogisticRegression(), strategies=["threshold"], positive="b")
    assert named.fit(X, np.where(y == 1, "a", "b")).positive_ == "b"


def test_a_learner_without_probabilities_has_decision_values():
    X, y = numbers()
    search = ImbalanceSearchCV(RidgeClassifier(), strategies=["threshold"])
    assert not hasattr(search, "predict_proba")
    search.fit(X, y)
    assert not hasattr(search, "predict_proba")
    values = search.decision_function(X)
    assert np.array_equal(search.predict(X), (expit(values) >= search.best_threshold_).astype(int))
    assert not hasattr(ImbalanceSearchCV(LogisticRegression()).fit(X, y), "decision_function")
    calibrated = Strategy("platt", calibration="sigmoid", threshold="tuned")
    assert hasattr(ImbalanceSearchCV(RidgeClassifier(), strategies=[calibrated]).fit(X, y), "predict_proba")


def test_it_works_in_pipelines_clones_pickles_and_set_output():
    frame, y = pd.DataFrame(numbers()[0], columns=list("abcd")), numbers()[1]
    search = ImbalanceSearchCV(LogisticRegression(C=2), strategies=["threshold", RandomOverSampler()])
    pipeline = make_pipeline(StandardScaler(), SelectKBest(k=2), search).set_output(transform="pandas")
    scores = cross_validate(pipeline, frame, y, cv=3, scoring=["matthews_corrcoef", "average_precision"])
    assert scores["test_matthews_corrcoef"].min() > 0
    fitted = pipeline.fit(frame, y)[-1]
    assert fitted.n_features_in_ == 2
    assert set(fitted.feature_names_in_) < set("abcd")
    copy = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(copy.predict_proba(frame), pipeline.predict_proba(frame))
    assert clone(search).set_params(estimator__C=3).get_params()["estimator__C"] == 3
    inner = fitted.best_estimator_
    assert np.array_equal(inner.predict(pipeline[:-1].transform(frame)), pipeline.predict(frame))
    assert len(pickle.dumps(fitted)) < 20_000  # no row of the table


def test_groups_are_routed_to_the_inner_folds():
    X, y = numbers()
    groups = np.arange(len(X)) // 5
    search = ImbalanceSearchCV(LogisticRegression(), strategies=["threshold"], cv=GroupKFold(3))
    with pytest.raises(ValueError, match="groups"):
        search.fit(X, y)
    expected = cross_validate(search, X, y, groups=groups, cv=GroupKFold(3), params={"groups": groups})["test_score"]
    with config_context(enable_metadata_routing=True):
        routed = cross_validate(search, X, y, cv=GroupKFold(3), params={"groups": groups})["test_score"]
        pipeline = make_pipeline(StandardScaler(), search).fit(X, y, groups=groups)
    assert np.array_equal(routed, expected)
    assert pipeline[-1].best_score_ == search.fit(X, y, groups=groups).best_score_
    with pytest.raises(TypeError, match="sample_weight"):
        search.fit(X, y, sample_weight=np.ones(len(y)))


def test_other_searches_and_folds():
    X, y = numbers()
    space = {"weight": imblab.Interval(1, 20, log=True)}
    tuned = ImbalanceSearchCV(
        LogisticRegression(),
        strategies=[Strategy("weight", threshold="tuned", space=space)],
        tuning=imblab.Tuning("tpe", n_trials=5),
        cv=KFold(4, shuffle=True, random_state=1),
        n_jobs=2,
    ).fit(X, y)
    assert (len(tuned.cv_results_["value"]), tuned.n_splits_) == (5, 4)
    assert 1 <= tuned.best_params_["weight"] <= 20
    pairs = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    listed = ImbalanceSearchCV(LogisticRegression(), cv=pairs).fit(X, y)
    counted = ImbalanceSearchCV(LogisticRegression()).fit(X, y)
    assert np.array_equal(listed.cv_results_["value"], counted.cv_results_["value"], equal_nan=True)
    drawn = ImbalanceSearchCV(LogisticRegression(), random_state=np.random.RandomState(3)).fit(X, y)
    assert drawn.best_score_ != counted.best_score_
    unfitted = ImbalanceSearchCV(LogisticRegression(), refit=False)
    assert unfitted.fit(X, y).best_params_ == counted.best_params_
    with pytest.raises(AttributeError, match="refit=True"):
        unfitted.predict(X)
    with pytest.raises(NotFittedError):
        ImbalanceSearchCV(LogisticRegression()).predict(X)


def test_a_sampler_keeps_a_strategy_that_is_a_word():
    X, y = numbers()
    search = ImbalanceSearchCV(LogisticRegression(), strategies=[SMOTE(sampling_strategy="minority"), "threshold"])
    search.fit(X, y)
    even = SMOTE(sampling_strategy="auto")
    other = ImbalanceSearchCV(LogisticRegression(), strategies=[even, "threshold"]).fit(X, y)
    assert set(search.cv_results_["status"]) == {"ok"}
    assert np.array_equal(search.cv_results_["value"], other.cv_results_["value"])


class Fragile(ClassifierMixin, BaseEstimator):
    """Fails on rows that a sampler has added."""

    def fit(self, X, y):
        if y.mean() > 0.3:
            raise RuntimeError("too many positives")
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(2 - X[:, 0]))
        return np.column_stack([1 - p, p])


def test_a_failed_strategy_is_said_and_not_chosen(packages, monkeypatch):
    X, y = numbers()
    monkeypatch.setattr(Fragile, "__module__", "__main__")
    import __main__

    monkeypatch.setattr(__main__, "Fragile", Fragile, raising=False)
    search = ImbalanceSearchCV(Fragile(), strategies=["threshold", "random_over"], n_jobs=2)
    with pytest.warns(FitFailedWarning, match=r"'random_over': 2 of 3 candidates failed.*too many positives"):
        search.fit(X, y)
    assert search.best_strategy_ in ("threshold", "random_over")
    search.set_params(strategies=[RandomOverSampler()])
    with pytest.warns(FitFailedWarning), pytest.raises(FitError, match="too many positives") as error:
        search.fit(X, y)
    assert isinstance(error.value, ValueError)
    assert isinstance(pickle.loads(pickle.dumps(error.value)), ValueError)


@pytest.mark.parametrize("page", ["docs/search_cv.md", "README.md"])
def test_the_blocks_of_the_page_run(page):
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    chosen = [block for block in blocks if "imblab" in block] if page.startswith("docs") else []
    chosen += [block for block in blocks if "ImbalanceSearchCV" in block and block not in chosen]
    names = {"imblab": imblab}
    for block in chosen:
        exec(block, names)
    assert names["search"].get_params()["measure"] == "mcc"
    assert 0 < names["scores"].mean() < 1 if "scores" in names else names["search"].best_score_ > 0


def refusal(kind, X=None, y=None, **arguments):
    rows = numbers() if X is None else (X, y)
    with pytest.raises(kind) as error:
        ImbalanceSearchCV(arguments.pop("estimator", LogisticRegression()), **arguments).fit(*rows)
    assert isinstance(error.value, ValueError)
    return str(error.value)


def test_everything_wrong_with_the_arguments_is_said_at_once():
    text = refusal(ConfigError, estimator=LogisticRegression, strategies=["smot", 3], measure="mc")
    assert "5 problems" not in text
    assert "4 problems" in text
    assert "Did you mean 'smote'?" in text
    assert "Did you mean 'mcc'?" in text
    assert "of type int" in text
    assert "Write LogisticRegression()" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategies": "smote"}, "Write for example strategies=['none', 'threshold']"),
        ({"strategies": []}, "a list with at least one strategy"),
        ({"strategies": [SMOTE(), SMOTE(k_neighbors=3)]}, "strategy 'SMOTE' is given more than once"),
        ({"estimator": HistGradientBoostingClassifier(early_stopping=True)}, "splits the rows"),
        ({"estimator": LogisticRegression(C=-1)}, "'C' parameter"),
        ({"estimator": LogisticRegression(class_weight={0: 1, 1: 5})}, "classes are numbered inside"),
        ({"strategies": [SMOTE(sampling_strategy={0: 300, 1: 200})]}, "classes are numbered inside"),
        ({"estimator": LogisticRegression(C=numbers)}, "LogisticRegression.make.C' is"),
        ({"estimator": SMOTE()}, "Pass it under strategies"),
        ({"measure": "amount_cost"}, "reads the amount of every row"),
        ({"measure": print}, "name of a measure"),
        ({"cv": 1}, "at least 2"),
        ({"cv": 400}, "400"),
        ({"tuning": "tpe"}, "imblab.Tuning"),
        ({"tuning": imblab.Tuning("tpee", 5)}, "unknown search method 'tpee' in imblab.Tuning. Did you mean 'tpe'?"),
        ({"tuning": imblab.Tuning(5)}, "unknown search method '5' in imblab.Tuning"),
        ({"strategies": [Strategy("w", space={"weight": imblab.Interval(1, 5)})]}, "a grid needs listed values"),
        ({"strategies": [NearMiss(n_neighbors=200)]}, "k=200 needs more than 200 minority rows"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_way_out(arguments, words):
    assert words in refusal((ConfigError, DataError, FitError), **arguments)


def test_a_table_that_cannot_be_searched_is_answered_with_the_way_out():
    X, y = numbers()
    assert "has 1 class" in refusal(DataError, X, np.zeros(len(y)))
    assert "Lower cv=3" in refusal(DataError, X, np.arange(len(y)) < 2)
    frame = pd.DataFrame({"a": X[:, 0], "when": pd.date_range("2024", periods=len(y))})
    assert "date column 'when'" in refusal(DataError, frame, y)
    many = pd.DataFrame({"a": X[:, 0], "town": [f"t{i % 150}" for i in range(len(y))]})
    assert "150 levels" in refusal(DataError, many, y)
    ImbalanceSearchCV(LogisticRegression(), strategies=["none"], rare={"min_rows": 3}).fit(many, y)
    search = ImbalanceSearchCV(LogisticRegression(), strategies=["none"]).fit(X, y)
    with pytest.raises(DataError, match="'y' holds 7; the estimator was fitted on the labels 0 and 1"):
        search.score(X, np.where(y == 1, 7, 0))


def test_a_column_may_be_called_self():
    X = pd.DataFrame({"self": ["a", "b", "?"] * 20, "x": np.arange(60.0)})
    y = pd.Series(["no", "yes", "no"] * 20, name="self")
    search = ImbalanceSearchCV(LogisticRegression(), strategies=["none"]).fit(X, y)
    assert search.predict(X).tolist() == y.tolist()
    assert imblab.dataset(X.assign(left=y), "left", missing=["?"]).X.shape == (60, 2)


def test_masked_cells_are_missing():
    X, y = np.random.default_rng(0).normal(size=(120, 2)), np.arange(120) % 4 == 0
    masked, holes = np.ma.masked_where(X > 1, X), np.where(X > 1, np.nan, X)
    search = ImbalanceSearchCV(LogisticRegression(), strategies=["none", "threshold"], cv=2)
    assert np.array_equal(clone(search).fit(masked, y).predict_proba(masked), search.fit(holes, y).predict_proba(holes))


def test_all_that_is_wrong_with_the_arguments_is_told_at_once():
    X, y = make_classification(60, weights=[0.7], random_state=0)
    search = ImbalanceSearchCV("logit", strategies=["smot"], measure="auc", cv=1, rare=3, positive=9, refit="mcc")
    with pytest.raises(ValueError, match="7 problems"):
        search.fit(X, y)
