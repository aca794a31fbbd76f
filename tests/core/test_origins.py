"""Proof of origin: honest evaluations pass, and every planted leak names its step."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from imblab.core import decisions, evaluate, fitting, origins, preparation, sampling, splits, step_rows
from imblab.core.evaluate import Task
from imblab.core.preparation import PreparedRows, Scaling, feature_arrays
from imblab.edges import config
from imblab.study import Cell, Choice, Dataset, Learner, Protocol, Strategy, Study

SMOTE = {
    "_target_": "imblearn.over_sampling.SMOTE",
    "_mixed_": {"_target_": "imblearn.over_sampling.SMOTENC", "categorical_features": "$categorical"},
}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000})
MEASURES = config.compose_request(["name=x", "dataset=[ecoli3]"]).study.measures
SEARCHED = Strategy("smote", SMOTE, threshold="tuned", space={"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))})


def for_any_column(target):
    return {"_target_": target, "_mixed_": {"_target_": target}}


def table(n=180, positives=36, seed=0, n_classes=2, categories=True):
    """A noisy table with missing values, and with a categorical column of which some levels are rare."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    for label in range(1, n_classes):
        y[rng.permutation(np.flatnonzero(y == 0))[:positives]] = label
    X = pd.DataFrame({"a": rng.normal(size=n) + y, "b": rng.normal(size=n)})
    X.loc[rng.permutation(n)[:20], "b"] = np.nan
    if categories:
        codes = rng.choice(5, size=n, p=[0.5, 0.3, 0.1, 0.06, 0.04])
        X["c"] = pd.Categorical(np.where(rng.random(n) < 0.05, None, np.array(list("vwxyz"))[codes]))
    names = tuple(f"class {i}" for i in range(n_classes))
    return Dataset("toy", X, y, names, ("c",) if categories else (), fingerprint=f"{seed} {n_classes} {categories}")


def task_of(data, strategy=SEARCHED, learner=LOGISTIC, fold=0, **protocol):
    study = Study("toy", 0, {}, (learner,), (strategy,), MEASURES, Protocol(outer_folds=3, inner_folds=2, **protocol))
    plan = splits.plan(data, study.protocol, study.seed)
    pairs = splits.inner_pairs(data, study.protocol, study.seed, plan[fold], plan)
    return Task(Cell("toy", learner, strategy, plan[fold]), study, data, pairs, refuse)


def refuse(request):
    raise AssertionError("the traced evaluation fits by itself")


def trace(data, *args, **options):
    return origins.trace_cell(task_of(data, *args, **options), feature_arrays(data), 5)


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    "strategy",
    [
        Strategy("none"),
        Strategy("threshold", threshold="tuned"),
        Strategy("alerts", threshold={"alert_rate": 0.2}),
        Strategy("weight", weight="balanced", calibration="sigmoid", threshold="tuned"),
        Strategy("isotonic", calibration="isotonic"),
        Strategy("prior", SMOTE, ratio=1.0, k=3, calibration="prior", threshold="tuned", prior_correction="exact"),
        SEARCHED,
        Strategy("over", for_any_column("imblearn.over_sampling.RandomOverSampler"), ratio=0.8),
        Strategy("under", for_any_column("imblearn.under_sampling.RandomUnderSampler"), ratio=0.8),
    ],
    ids=lambda strategy: strategy.name,
)
@pytest.mark.parametrize("rare", [None, 12])
def test_honest_evaluations_pass_with_all_their_steps(strategy, rare):
    data = replace(table(270, 90), rare=rare)
    traced = trace(data, strategy)
    assert traced.evaluation.status == "ok"
    assert traced.intrusions == ()
    steps = {"imputer", "scaler", "most frequent categories", "one-hot encoder", "learner", "synthetic"}
    steps |= {"rare levels"} if rare else set()
    steps |= {"sampler"} if strategy.sampler else set()
    steps |= {"threshold"} if strategy.threshold != 0.5 else set()
    steps |= {"calibration"} if strategy.calibration in ("sigmoid", "isotonic") else set()
    assert set(traced.rows) == steps
    assert traced.fits >= 1


@pytest.mark.parametrize("n_classes", [3, 4])
def test_more_than_two_classes_pass(n_classes):
    traced = trace(table(n_classes=n_classes, n=240))
    assert traced.evaluation.status == "ok"
    assert traced.intrusions == ()
    assert traced.rows["synthetic"] > 0


def test_the_traced_evaluation_is_that_of_the_kernel():
    data = table()
    task = task_of(data)
    honest = evaluate.evaluate_cell(
        replace(task, predict=lambda request: fitting.fit_predict(request, PreparedRows(data, request.fit, 5)))
    )
    traced = origins.trace_cell(task, feature_arrays(data), 5).evaluation
    assert replace(traced, seconds=0.0) == replace(honest, seconds=0.0)


def test_rows_are_counted_over_fits():
    data = table(categories=False)
    traced = trace(data, Strategy("threshold", threshold="tuned"))
    # Two inner fits on half of 120 training rows each, and the refit.
    assert traced.fits == 3
    assert traced.rows["learner"] == traced.rows["scaler"] == 60 + 60 + 120
    assert traced.rows["threshold"] == 120


def test_time_ordered_shared_and_group_folds_pass():
    data, rng = table(n=400, positives=120), np.random.default_rng(1)
    assert trace(replace(data, time=rng.permutation(400).astype(float)), fold=1).intrusions == ()
    assert trace(replace(data, groups=np.arange(400) // 4)).intrusions == ()
    assert trace(data, inner="shared").intrusions == ()


def steps_of(traced):
    return {each.step for each in traced.intrusions}


def test_a_scaler_of_all_rows_is_found_with_its_test_rows(monkeypatch):
    data = table(categories=False)
    everything = feature_arrays(data).numeric
    everything = np.where(np.isnan(everything), 0.0, everything)

    class AllRows(Scaling):
        def __init__(self, X):
            super().__init__(everything.copy())

    monkeypatch.setattr(preparation, "Scaling", AllRows)
    traced = trace(data)
    assert {"scaler", "sampler", "learner"} <= steps_of(traced)
    scaler = next(each for each in traced.intrusions if each.step == "scaler")
    assert f"{len(data.y)} rows entered" in scaler.reason
    # Rows with an imputed value are not recognised.
    test = task_of(data).cell.split.test
    assert scaler.test_rows >= np.isfinite(data.X.b.to_numpy()[test]).sum()


def test_a_scaler_that_hides_its_rows_is_found_by_what_it_gives(monkeypatch):
    data = table(categories=False)
    deviation = data.X.std(ddof=0).to_numpy()

    class Hidden(Scaling):
        def __init__(self, X):
            super().__init__(X)
            self.deviation = deviation

    monkeypatch.setattr(preparation, "Scaling", Hidden)
    assert steps_of(trace(data)) == {"sampler", "learner"}


def test_an_imputer_of_all_rows_is_found(monkeypatch):
    data = table(categories=False)
    everything = feature_arrays(data).numeric

    class AllRows(preparation.SimpleImputer):
        def fit(self, X, y=None):
            return super().fit(everything)

    monkeypatch.setattr(preparation, "SimpleImputer", AllRows)
    assert "scaler" in steps_of(trace(data))


def test_categories_of_all_rows_are_found(monkeypatch):
    data = table()
    columns = iter(())
    real = preparation._most_frequent_code
    monkeypatch.setattr(preparation, "_most_frequent_code", lambda codes: real(codes) + 1 + sum(columns))
    assert "one-hot encoder" in steps_of(trace(data))


def test_a_sampler_that_receives_all_rows_is_found(monkeypatch):
    data = table(categories=False)
    everything = PreparedRows(data, np.arange(len(data.y)))
    real = sampling.Resampler.resample
    monkeypatch.setattr(
        sampling.Resampler, "resample", lambda self, make, knobs, seed: real(everything.resampler, make, knobs, seed)
    )
    traced = trace(data)
    assert steps_of(traced) == {"sampler", "learner"}
    assert max(each.test_rows for each in traced.intrusions) == 0  # they were scaled by other rows


def test_a_sampler_that_hides_its_rows_is_found_by_what_it_gives(monkeypatch):
    data = table(categories=False)
    real = sampling.Resampler._draw_smote

    def draw(self, label, k, seed, new_rows):
        real(self, label, k, seed, new_rows)
        new_rows[0] = 5.0

    monkeypatch.setattr(sampling.Resampler, "_draw_smote", draw)
    assert steps_of(trace(data)) == {"learner"}


def test_a_learner_that_receives_all_rows_is_found(monkeypatch):
    data = table(categories=False)
    everything = PreparedRows(data, np.arange(len(data.y)))
    real = fitting.fit_learner
    monkeypatch.setattr(fitting, "fit_learner", lambda request, prepared: real(request, everything))
    traced = trace(data, Strategy("none"))
    assert steps_of(traced) == {"learner"}
    assert "180 rows entered, and its part has 120" in traced.intrusions[0].reason


def test_test_rows_among_the_fit_rows_are_found(monkeypatch):
    data = table()
    real, test = fitting.fit_request, task_of(table()).cell.split.test

    def request(dataset, learner, sampler, params, seed, fit, rows, fingerprints=None):
        return real(dataset, learner, sampler, params, seed, np.append(fit, test[:7]), rows)

    monkeypatch.setattr(fitting, "fit_request", request)
    traced = trace(data, Strategy("none"))
    assert any(each.step == "fit" and each.test_rows == 7 for each in traced.intrusions)


def test_a_fit_without_a_record_of_its_learner_is_found(monkeypatch):
    monkeypatch.setattr(step_rows, "note_rows", lambda step, X, y=None: None)
    traced = trace(table(), Strategy("none"))
    assert {each.reason for each in traced.intrusions} == {"no rows were recorded"}
    assert "learner" in steps_of(traced)


def test_a_threshold_of_the_test_rows_is_found(monkeypatch):
    data = table(categories=False)
    real = evaluate.value_candidate

    def peek(task, params, folds):
        trial, test = real(task, params, folds), task.cell.split.test
        values = task.predict_rows(params, task.cell.split.train, test).values
        return replace(trial, threshold=float(np.sort(values[task.dataset.y[test] == 1])[0]))

    monkeypatch.setattr(evaluate, "value_candidate", peek)
    assert "threshold" in steps_of(trace(data, Strategy("threshold", threshold="tuned")))


def test_knobs_chosen_on_the_test_rows_are_found(monkeypatch):
    data = table(categories=False)

    def best(task, trials):
        y = task.dataset.y[task.cell.split.test]
        return trials[int(y[0])]

    monkeypatch.setattr(evaluate, "best_candidate", best)
    assert "knobs" in steps_of(trace(data))


def test_a_calibration_of_other_rows_is_found(monkeypatch):
    data = table(categories=False)
    real, strategy = decisions.fit_map, Strategy("sigmoid", calibration="sigmoid")
    y = np.array([0, 1, 0, 1])
    other = [(y, y + np.linspace(0.1, 0.4, 4))]
    monkeypatch.setattr(decisions, "fit_map", lambda kind, folds, seed=0: real(kind, [*folds, *other], seed))
    assert steps_of(trace(data, strategy)) == {"calibration"}
