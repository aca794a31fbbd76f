"""Honesty: what must not be possible is tried, on the real kernel."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from imblab.core import design, splits
from imblab.core.evaluate import Task, evaluate_cell
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.edges import config, runner
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study, Tuning

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000})
TREES = Learner("lightgbm", {"_target_": "lightgbm.LGBMClassifier", "n_estimators": 8, "n_jobs": 1, "verbosity": -1})
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("class_weight", space={"weight": Choice((2, 10))}),
    Strategy("smote", SMOTE, space={"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))}),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space={"ratio": Choice((0.4, 1.0)), "k": Choice((3, 5))}),
)
MEASURES = config.compose_request(["name=x", "dataset=[ecoli3]"]).study.measures


def toy(n=240, positives=48, seed=0, signal=1.5, name="toy"):
    """Two noisy numeric columns whose first column is the row number times a hair: rows can be told apart."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": rng.normal(size=n) + signal * y, "b": rng.normal(size=n)})
    return Dataset(name, X, y, ("no", "yes"), fingerprint=f"{name}-{seed}-{signal}")


def study(learners=(LOGISTIC,), strategies=STRATEGIES, **protocol):
    asked = {"outer_folds": 3, "inner_folds": 2, **protocol}
    return Study("toy", 0, {}, tuple(learners), tuple(strategies), MEASURES, Protocol(**asked))


def answer(question, data, predict=None, on_plan=None):
    """Every row of a study on one table, fits included; ``predict`` may listen or lie."""
    plan = splits.plan(on_plan or data, question.protocol, question.seed)
    rows = []
    for cell in design.expand_cells(question, {data.name: plan}):
        pairs = splits.inner_pairs(on_plan or data, question.protocol, question.seed, cell.split, plan)
        rows.append(evaluate_cell(Task(cell, question, data, pairs, predict or fitting(data))))
    return rows


def fitting(data):
    return lambda request: fit_predict(request, PreparedRows(data, request.fit))


def scores(rows):
    return {row.key: (dict(row.scores), dict(row.params), row.threshold, dict(row.counts)) for row in rows}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("learner", [LOGISTIC, TREES], ids=lambda item: item.name)
def test_permuting_the_labels_of_an_outer_test_fold_changes_no_choice_threshold_or_probability(learner):
    data, question = toy(), study([learner])
    plan = splits.plan(data, question.protocol, question.seed)
    rng = np.random.default_rng(5)
    for split in plan:
        y = data.y.copy()
        y[split.test] = rng.permutation(y[split.test])
        assert (y != data.y).any()
        changed = replace(data, y=y)
        for cell in design.expand_cells(question, {"toy": [split]}):
            # The splits are those of the honest labels: only what is learned and chosen may not move.
            pairs = splits.inner_pairs(data, question.protocol, question.seed, split, plan)
            seen = []
            for table in (data, changed):
                given = {}

                def listen(request, table=table, given=given):
                    answer = fit_predict(request, PreparedRows(table, request.fit))
                    given[request.address] = answer.values.tolist()
                    return answer

                row = evaluate_cell(Task(cell, question, table, pairs, listen))
                seen.append((row.params, row.threshold, row.value, row.trials, given))
            assert seen[0] == seen[1]


class SpySampler(BaseEstimator):
    """Keeps every row it is shown and resamples nothing."""

    _sampling_type = "clean-sampling"
    shown: list = []  # noqa: RUF012

    def fit_resample(self, X, y):
        SpySampler.shown.append(np.array(X))
        return X, y


def test_a_spy_sampler_sees_only_fit_rows(monkeypatch):
    from imblab.core import estimator_specs

    real = estimator_specs.resolve_class
    monkeypatch.setattr(
        estimator_specs,
        "resolve_class",
        lambda path, *a, **k: SpySampler if path == "spy.SpySampler" else real(path, *a, **k),
    )
    data = toy()
    # The column `b` is the row number, scaled in every part: undone below by ranks within the known rows.
    data = replace(data, X=data.X.assign(b=np.arange(float(len(data.y)))))
    spied = Strategy("spy", {"_target_": "spy.SpySampler"}, threshold="tuned")
    question = study(strategies=[spied])
    plan = splits.plan(data, question.protocol, question.seed)
    asked = []

    def listen(request):
        SpySampler.shown.clear()
        prepared = PreparedRows(data, request.fit)
        result = fit_predict(request, prepared)
        raw = SpySampler.shown[0] * prepared._scaling.deviation + prepared._scaling.mean
        ids = np.rint(raw[:, 1]).astype(int)
        asked.append((set(ids), set(request.fit.tolist()), set(request.rows.tolist())))
        return result

    rows = answer(question, data, listen)
    assert [row.status for row in rows] == ["ok"] * 3
    assert len(asked) == 3 * (2 + 1)
    tests = [set(s.test.tolist()) for s in plan]
    for i, (seen, fit, answered) in enumerate(asked):
        assert seen == fit
        assert not seen & answered
        assert not seen & tests[i // 3]


def test_shuffled_labels_score_at_chance():
    rows = []
    for seed in range(6):
        data = toy(seed=seed, signal=0.0, name=f"noise{seed}")
        rows += answer(study(), data)
    frame = pd.DataFrame([{"strategy": r.strategy, **r.scores} for r in rows])
    means = frame.groupby("strategy")[["mcc", "roc_auc", "pr_auc"]].mean()
    # 18 folds of 80 rows: the standard error of each mean is about .03.
    assert means["mcc"].abs().max() < 0.1
    assert (means["roc_auc"] - 0.5).abs().max() < 0.1
    assert (means["pr_auc"] - 48 / 240).max() < 0.12


def test_signal_is_found():
    frame = pd.DataFrame([{"strategy": r.strategy, **r.scores} for r in answer(study(), toy(signal=3.0))])
    assert frame.groupby("strategy").mcc.mean().min() > 0.7


def test_strategies_that_differ_in_the_threshold_only_share_ranking_scores_and_brier():
    by_key = {r.key: r for r in answer(study(), toy())}
    for pair in (("none", "threshold"), ("smote", "smote_threshold")):
        for fold in range(3):
            one, other = (by_key[f"toy/logistic/{name}/0/{fold}"] for name in pair)
            if one.params == other.params:
                for measure in ("pr_auc", "roc_auc", "brier", "log_loss", "recall_at_1pct"):
                    assert one.scores[measure] == other.scores[measure]
    none = [by_key[f"toy/logistic/none/0/{f}"].scores["brier"] for f in range(3)]
    cut = [by_key[f"toy/logistic/threshold/0/{f}"].scores["brier"] for f in range(3)]
    assert none == cut


@pytest.mark.slow
def test_order_of_strategies_and_learners_and_label_coding_change_no_score():
    data = toy()
    there = scores(answer(study([LOGISTIC, TREES]), data))
    back = scores(answer(study([TREES, LOGISTIC], STRATEGIES[::-1]), data))
    coded = scores(answer(study([LOGISTIC, TREES]), replace(data, classes=("0", "1"))))
    assert there == back == coded


def test_n_jobs_and_bundles_change_no_bit_and_share_fits():
    data = toy()
    question = study([LOGISTIC, TREES])
    alone = scores(answer(question, data))
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    work = runner.make_bundles(question, plans, design.expand_cells(question, plans))
    for n_jobs in (1, 2):
        rows = []
        counts = runner.run({"toy": data}, work, runner.Engine(n_jobs), [rows.append])
        assert scores(rows) == alone
        # smote and smote_threshold ask for the same eight inner fits; none and threshold for the same refit.
        assert sum(r.fits for r in rows) - counts.fitted >= 3 * 2 * (8 + 1)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_drawn_searches_are_a_function_of_the_seed(method):
    question = replace(study(), tuning=Tuning(method, 5))
    assert scores(answer(question, toy())) == scores(answer(question, toy()))


def test_time_ordered_studies_never_look_ahead():
    rng = np.random.default_rng(0)
    data = replace(toy(960, 240), time=rng.permutation(960).astype(float))
    question = study(gap=4)
    seen = []

    def listen(request):
        seen.append((data.time[request.fit].max(), data.time[request.rows].min()))
        return fit_predict(request, PreparedRows(data, request.fit))

    assert {r.status for r in answer(question, data, listen)} == {"ok"}
    assert seen
    assert all(last + 4 <= first for last, first in seen)


def test_a_failing_fit_is_a_row_with_its_reason_and_the_study_goes_on():
    broken = Learner("broken", {"_target_": "sklearn.linear_model.LogisticRegression", "C": -1.0})
    rows = answer(study([broken, LOGISTIC]), toy())
    failed = [r for r in rows if r.learner == "broken"]
    assert {r.status for r in failed} == {"failed"}
    assert all("InvalidParameterError" in r.error and all(v is None for v in r.scores.values()) for r in failed)
    assert {r.status for r in rows if r.learner == "logistic"} == {"ok"}


def test_inapplicable_is_a_row_and_never_counted_as_none():
    bound = Strategy("smote", SMOTE, ratio=0.1, k=5)
    some = Strategy("some", SMOTE, space={"ratio": Choice((0.1, 0.8)), "k": Choice((5,))})
    rows = answer(study(strategies=[bound, some]), toy())
    assert {r.status for r in rows if r.strategy == "smote"} == {"inapplicable"}
    assert all("at or below the ratio" in r.error for r in rows if r.strategy == "smote")
    for row in (r for r in rows if r.strategy == "some"):
        assert row.status == "ok"
        assert row.params["ratio"] == 0.8
        assert [t.status for t in row.trials] == ["inapplicable", "ok"]
