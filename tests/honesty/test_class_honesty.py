"""Honesty with more than two classes: what must not be possible is tried, on the real kernel, store and workers."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

import imblab
from imblab.commands import results
from imblab.core import design, estimator_specs, splits
from imblab.core.evaluate import Task, evaluate_cell
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.edges import ledger
from imblab.result import Evaluation
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000})
KNN = Learner("knn", {"_target_": "sklearn.neighbors.KNeighborsClassifier"})
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("balanced", weight="balanced", calibration="prior"),
    Strategy("sigmoid", threshold="tuned", calibration="sigmoid"),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space={"ratio": Choice((0.5, 1.0)), "k": Choice((3,))}),
)
MEASURES = imblab.compose("name=x", "dataset=[ecoli3]").measures
PROTOCOL = Protocol(outer_folds=3, inner_folds=2, thresholds=tuple(i / 10 for i in range(1, 10)))


def toy(n=(110, 42, 28), seed=0, signal=1.6, name="toy"):
    """Two noisy numeric columns around one centre per class."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(range(len(n)), n))
    centres = signal * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[: len(n)]
    X = pd.DataFrame(rng.normal(size=(len(y), 2)) + centres[y], columns=["a", "b"])
    return Dataset(name, X, y, tuple("wxyz"[: len(n)]), fingerprint=f"{name}-{seed}-{signal}")


def study(learners=(LOGISTIC,), strategies=STRATEGIES):
    return Study("toy", 0, {}, tuple(learners), tuple(strategies), MEASURES, PROTOCOL)


def tasks(question, data, predict, of_plan=None):
    plan = splits.plan(of_plan or data, question.protocol, question.seed)
    for cell in design.expand_cells(question, {data.name: plan}):
        pairs = splits.inner_pairs(of_plan or data, question.protocol, question.seed, cell.split, plan)
        yield Task(cell, question, data, pairs, predict)


def fitting(data):
    return lambda request: fit_predict(request, PreparedRows(data, request.fit))


def without_seconds(frame):
    return frame.drop(columns="seconds")


@pytest.mark.slow
def test_permuting_the_labels_of_an_outer_test_fold_changes_no_choice_threshold_or_probability():
    data, question = toy(), study()
    rng = np.random.default_rng(5)
    for honest in tasks(question, data, fitting(data)):
        test, y = honest.cell.split.test, data.y.copy()
        y[test] = rng.permutation(y[test])
        seen = []
        for table in (data, replace(data, y=y)):
            given = {}

            def listen(request, table=table, given=given):
                found = fit_predict(request, PreparedRows(table, request.fit))
                given[request.address] = found.values.tolist()
                return found

            row = evaluate_cell(replace(honest, dataset=table, predict=listen, requests={}))
            assert row.status == "ok", row.error
            seen.append((row.params, row.threshold, row.value, row.trials, given))
        assert seen[0] == seen[1]


class SpySampler(BaseEstimator):
    """Keeps every row it is shown and resamples nothing."""

    _sampling_type = "clean-sampling"
    shown: list = []  # noqa: RUF012

    def fit_resample(self, X, y):
        SpySampler.shown.append(np.array(X))
        return X, y


def test_no_test_row_enters_a_sampler(monkeypatch):
    """The column ``b`` is the number of the row, scaled in every part."""
    real = estimator_specs.resolve_class
    monkeypatch.setattr(
        estimator_specs,
        "resolve_class",
        lambda path, *a, **k: SpySampler if path == "spy.SpySampler" else real(path, *a, **k),
    )
    data = toy()
    data = replace(data, X=data.X.assign(b=np.arange(float(len(data.y)))))
    asked = []

    def listen(request):
        SpySampler.shown.clear()
        prepared = PreparedRows(data, request.fit)
        found = fit_predict(request, prepared)
        numbers = SpySampler.shown[0] * prepared._scaling.deviation + prepared._scaling.mean
        asked.append((set(np.rint(numbers[:, 1]).astype(int)), set(request.fit.tolist()), set(request.rows.tolist())))
        return found

    spied = [
        Strategy("spy", {"_target_": "spy.SpySampler"}, threshold="tuned"),
        Strategy("sigmoid", {"_target_": "spy.SpySampler"}, calibration="sigmoid"),
    ]
    for task in tasks(study(strategies=spied), data, listen):
        asked.clear()
        assert evaluate_cell(task).status == "ok"
        assert len(asked) >= 2 + 1
        for seen, fit, predicted in asked:
            assert seen == fit
            assert not seen & predicted
            assert not seen & set(task.cell.split.test.tolist())


@pytest.mark.slow
def test_shuffled_labels_score_at_chance():
    """R_K of 6 tables x 3 folds for each strategy, whose labels say nothing of their rows."""
    by_strategy = {}
    for seed in range(6):
        data = toy(seed=seed, signal=0.0, name=f"noise{seed}")
        for row in map(evaluate_cell, tasks(study(), data, fitting(data))):
            by_strategy.setdefault(row.strategy, []).append(row.scores["mcc"])
    for name, values in by_strategy.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        assert abs(np.mean(values)) < max(3 * error, 0.03), name


def test_rows_are_the_same_by_one_and_two_processes_from_the_store_and_resumed(tmp_path):
    question, data = study([LOGISTIC, KNN]), toy()
    alone = without_seconds(imblab.evaluate(question, [data]))
    assert set(alone.status) == {"ok", "inapplicable"}  # knn takes no weight
    home, kept = tmp_path / "one", tmp_path / "kept.sqlite"
    first = imblab.run(question, folder=home, data=[data], store_path=kept).to_frame()
    pd.testing.assert_frame_equal(without_seconds(first), alone)
    again = imblab.run(question, n_jobs=2, folder=tmp_path / "two", data=[data], store_path=None).to_frame()
    pd.testing.assert_frame_equal(without_seconds(again), alone)
    # Killed after the fourth line: the others are made again, from the store.
    lines = (home / "ledger.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (home / "ledger.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    resumed = imblab.run(question, folder=home, data=[data], store_path=kept).to_frame()
    pd.testing.assert_frame_equal(without_seconds(resumed), alone)
    read = ledger.read_evaluations(home)
    assert all(Evaluation.from_json(row.to_json()) == row for row in read)
    scored = [row for row in read if row.status == "ok"]
    assert all(np.sum(row.confusion) == row.n_test and len(row.threshold) == 3 for row in scored)
    assert {tuple(row.reached["classes"]) for row in scored if row.strategy == "none"} <= {
        tuple(np.bincount(data.y[split.train]).tolist()) for split in splits.plan(data, PROTOCOL, 0)
    }


def test_strategies_that_differ_in_the_threshold_alone_rank_alike():
    data = toy()
    question = study(strategies=[Strategy("a"), Strategy("b", threshold="tuned"), Strategy("c", threshold=0.3)])
    rows = {}
    for row in map(evaluate_cell, tasks(question, data, fitting(data))):
        ranked = [row.scores[name] for name in ("pr_auc", "roc_auc", "brier", "log_loss")]
        rows.setdefault(row.fold, []).append((ranked, row.class_scores["pr_auc"]))
    assert all(len({str(each) for each in of_fold}) == 1 for of_fold in rows.values())


def test_what_is_not_for_so_many_classes_is_refused_before_a_fit():
    question = study(strategies=[Strategy("desk", threshold={"alert_rate": 0.1})])
    with pytest.raises(Exception, match="alert_rate is for two classes"):
        imblab.evaluate(question, [toy()])


def test_of_the_weights_only_numbers_do_not_apply_to_so_many_classes():
    """So that the default strategies can be asked of any table."""
    weights = Choice((2, "balanced", 10, "power 0.5"))
    strategies = [Strategy("none"), Strategy("w", weight=5.0), Strategy("searched", space={"weight": weights})]
    data = toy()
    rows = [evaluate_cell(task) for task in tasks(study(strategies=strategies), data, fitting(data))]
    assert {row.status for row in rows if row.strategy == "w"} == {"inapplicable"}
    assert all(
        "a plain weight is that of a positive row, and there are 3 classes" in row.error for row in rows if row.error
    )
    for row in (row for row in rows if row.strategy == "searched"):
        assert [trial.status for trial in row.trials] == ["inapplicable", "ok", "inapplicable", "ok"]
        assert row.params["weight"] in ("balanced", "power 0.5")


def test_results_of_a_table_in_memory_are_read_back(tmp_path):
    question, data = study(strategies=STRATEGIES[:2]), toy()
    rows = imblab.run(question, folder=tmp_path / "toy", data=[data], store_path=None).to_frame()
    recorded = json.loads(json.dumps(ledger.read_study(tmp_path / "toy")))
    assert recorded["dataset"] == {"toy": {"kind": "memory", "name": "toy", "parent": "toy"}}
    result = results.read_result(tmp_path / "toy", question)
    assert [row.scores["mcc"] for row in result.evaluations] == rows.mcc.tolist()
    assert all(np.shape(row.confusion) == (3, 3) for row in result.evaluations)
