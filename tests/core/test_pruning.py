"""Dropping candidates that cannot win: nothing that is chosen changes."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from imblab.core import decisions, design, measures, splits
from imblab.edges import config, runner
from imblab.study import Choice, Dataset, Interval, Learner, Measure, Protocol, Strategy, Study, Tuning

MEASURES = config.compose_request(["name=x", "dataset=[ecoli3]"]).study.measures
MEASURES += (Measure("recall_min", "imblab.core.measures.recall_min", "label"),)
COUNTED = [m for m in MEASURES if measures.is_monotone(m)]
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression", "max_iter": 2000})
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
KS = Choice((3, 5))


def toy(seed):
    rng = np.random.default_rng(seed)
    y = np.zeros(360, dtype=np.int64)
    y[rng.permutation(360)[:60]] = 1
    X = pd.DataFrame({"a": rng.normal(size=360) + 1.5 * y, "b": rng.normal(size=360)})
    return Dataset("toy", X, y, ("no", "yes"), fingerprint=f"toy-{seed}")


def test_the_measures_that_may_be_bounded_are_those_of_counts():
    assert {m.name for m in COUNTED} == {
        *("mcc", "recall", "precision", "f1", "f2", "specificity", "g_mean", "balanced_accuracy", "accuracy"),
        "recall_min",
    }


@pytest.mark.parametrize("measure", COUNTED, ids=lambda m: m.name)
def test_putting_a_wrong_call_right_never_lowers_it(measure):
    """Over every confusion matrix of at most eight rows a class, the whole of one class present or absent."""
    function = measures.function_of(measure)
    for positives, negatives in product(range(9), repeat=2):
        tp, tn = np.meshgrid(np.arange(positives + 1), np.arange(negatives + 1), indexing="ij")
        value = function(tn, negatives - tn, positives - tp, tp)
        for axis in (0, 1):
            step = np.diff(value, axis=axis)
            assert (step[~np.isnan(step)] >= -1e-12).all()


@settings(max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(["mcc", "f1", "balanced_accuracy", "recall", "recall_min"]),
    rule=st.sampled_from([0.5, "tuned", {"alert_rate": 0.2}, {"min_recall": 0.5}, {"cost": {"fn": 5, "fp": 1}}]),
    grid=st.sampled_from([tuple(i / 10 for i in range(1, 10)), "observed"]),
)
def test_the_ceiling_is_never_below_what_the_candidate_reaches(seed, name, rule, grid):
    rng = np.random.default_rng(seed)
    folds = []
    for _ in range(3):
        y = (rng.random(30) < 0.3).astype(np.int64)
        y[:2] = [0, 1]
        folds.append((y, np.round(np.clip(rng.normal(0.3 + 0.3 * y, 0.2), 0, 1), 2)))
    measure = measures.function_of(next(m for m in MEASURES if m.name == name))
    cut = decisions.choose_threshold(rule, folds, grid, measure)
    for known in (1, 2):
        rest = np.concatenate([y for y, _ in folds[known:]])
        ceiling = decisions.best_reachable_value(rule, folds[:known], int(rest.sum()), int((1 - rest).sum()), measure)
        if cut is not None and cut.value is not None:
            assert ceiling >= cut.value - 1e-12


def answered(question, data):
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    rows = []
    tally = runner.run(
        {"toy": data},
        runner.make_bundles(question, plans, design.expand_cells(question, plans)),
        runner.Engine(1),
        [rows.append],
    )
    return rows, tally


def chosen(rows):
    return {r.key: (dict(r.params), r.threshold, r.value, dict(r.scores)) for r in rows}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("method", ["grid", "random", "qmc"])
@pytest.mark.parametrize("primary", ["mcc", "recall", "pr_auc"])
def test_pruning_changes_no_choice_threshold_value_or_score(method, primary):
    ratios = Choice((0.25, 0.5, 0.75, 1.0)) if method == "grid" else Interval(0.25, 1.0)
    weights = Choice((0.02, 1, 3, 10, 100))
    strategies = (
        Strategy("weights", space={"weight": weights}),
        Strategy("weights_tuned", threshold="tuned", space={"weight": weights}),
        Strategy("smote", SMOTE, space={"ratio": ratios, "k": KS}),
        Strategy("smote_tuned", SMOTE, threshold="tuned", space={"ratio": ratios, "k": KS}),
    )
    protocol = Protocol(outer_folds=3, inner_folds=4)
    question = Study("toy", 0, {}, (LOGISTIC,), strategies, MEASURES, protocol, primary)
    question = replace(question, tuning=Tuning(method, None if method == "grid" else 8))
    pruned = 0
    for seed in range(2):
        whole, all_fits = answered(question, toy(seed))
        quick, fewer = answered(replace(question, tuning=replace(question.tuning, prune=True)), toy(seed))
        assert chosen(whole) == chosen(quick)
        dropped = [t for r in quick for t in r.trials if t.status == "pruned"]
        assert all(t.value is None and "cannot reach" in t.reason for t in dropped)
        assert fewer.fitted <= all_fits.fitted
        pruned += len(dropped)
    assert pruned == 0 if primary == "pr_auc" else pruned >= 0
    assert pruned > 0 or primary != "mcc"
