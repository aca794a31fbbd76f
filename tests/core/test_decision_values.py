"""Learners without probabilities: rows are ranked by the decision value itself, never by a copy that ties at 0 or 1."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import imblab
from imblab.analysis import evidence
from imblab.core import decisions, design, estimator_specs, evaluate, measures, model, replay, splits
from imblab.core.evaluate import validation_predictions
from imblab.core.fitting import fit_predict
from imblab.core.preparation import PreparedRows
from imblab.errors import FitFailed
from imblab.result import Evaluation
from imblab.stats.probabilities import fit_sigmoid
from imblab.study import DECISION_VALUE, PROBABILITY, Cell, Choice, Strategy, Tuning

SGD = "{_target_: sklearn.linear_model.SGDClassifier, alpha: 1e-7}"
OBSERVED = {
    "alert_rate": {"alert_rate": 0.05},
    "min_recall": {"min_recall": 0.8},
    "min_precision": {"min_precision": 0.7},
    "cost": {"cost": {"fn": 10, "fp": 1}},
}


@cache
def table():
    X, y = make_classification(3000, 20, n_informative=8, weights=[0.9], flip_y=0.02, class_sep=1.2, random_state=0)
    return X, y.astype(np.int64)


@cache
def dataset():
    X, y = table()
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(20)]).assign(target=np.where(y == 1, "yes", "no"))
    return imblab.dataset(frame, "target", positive="yes", name="made")


@cache
def study(*more):
    return imblab.compose(
        "name=x", "learner=[]", f"+learner.sgd.make={SGD}", "strategy=[none]", "protocol=smoke", *more
    )


def tasks(strategy, *more, learner=None, tuning=None):
    asked = study(*more)
    asked = replace(asked, strategies=(strategy,), tuning=tuning or asked.tuning)
    if learner is not None:
        asked = replace(asked, learners=(estimator_specs.with_traits(replace(asked.learners[0], **learner)),))
    known, data = {}, dataset()

    def predict(request):
        if request.address not in known:
            known[request.address] = fit_predict(request, PreparedRows(data, request.fit))
        return known[request.address]

    plan = splits.plan(data, asked.protocol, asked.seed)
    return list(replay.replay_tasks(asked, data, plan, design.expand_cells(asked, {"made": plan}), predict))


def folds():
    """By scikit-learn alone: labels and decision values of every outer test part."""
    X, y = table()
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
        scale = StandardScaler().fit(X[train])
        fitted = SGDClassifier(alpha=1e-7, random_state=0).fit(scale.transform(X[train]), y[train])
        yield y[test], fitted.decision_function(scale.transform(X[test]))


def test_ranking_measures_are_those_of_scikit_learn_on_the_decision_function():
    rows = [evaluate.evaluate_cell(task) for task in tasks(Strategy("none"))]
    for row, (y, d) in zip(rows, folds(), strict=True):
        assert row.scores["pr_auc"] == pytest.approx(average_precision_score(y, d), abs=1e-12)
        assert row.scores["roc_auc"] == pytest.approx(roc_auc_score(y, d), abs=1e-12)
        assert row.scores["mcc"] == pytest.approx(matthews_corrcoef(y, expit(d) >= 0.5), abs=1e-12)
        assert row.scores["brier"] is row.scores["log_loss"] is None
        assert row.scale == PROBABILITY
        assert "learner 'sgd' gives decision values, not probabilities" in row.notes
        assert np.unique(expit(d)).size < np.unique(d).size  # what a squashed copy would lose
    assert [round(row.scores["pr_auc"], 3) for row in rows] == [0.849, 0.823, 0.785]


def test_a_search_by_a_ranking_measure_reads_decision_values():
    strategy = Strategy("w", space={"weight": Choice((1.0, 5.0))})
    task = tasks(strategy, "primary=pr_auc")[0]
    row = evaluate.evaluate_cell(task)
    for trial in row.trials:
        wanted = [average_precision_score(y, d) for y, d in validation_predictions(task, trial.params)]
        assert trial.value == pytest.approx(np.mean(wanted), abs=1e-12)


def test_a_grid_acts_on_the_logistic():
    task = tasks(Strategy("t", threshold="tuned"))[0]
    row = evaluate.evaluate_cell(task)
    inner = validation_predictions(task, row.params)
    y, d = (np.concatenate(part) for part in zip(*inner, strict=True))
    values = {i / 100: matthews_corrcoef(y, expit(d) >= i / 100) for i in range(1, 100)}
    best = [cut for cut, value in values.items() if value >= max(values.values()) - 1e-12]
    assert row.threshold == min(best, key=lambda cut: (round(abs(cut - 0.5), 12), cut))
    assert (row.scale, row.value) == (PROBABILITY, pytest.approx(max(values.values()), abs=1e-12))
    y, d = next(folds())
    assert row.counts["tp"] + row.counts["fp"] == np.count_nonzero(expit(d) >= row.threshold)


@pytest.mark.parametrize("name", [*OBSERVED, "observed"])
def test_rules_that_look_at_observed_scores_choose_a_decision_value(name):
    more = ("protocol.thresholds=observed",) if name == "observed" else ()
    task = tasks(Strategy("t", threshold=OBSERVED.get(name, "tuned")), *more)[0]
    row = evaluate.evaluate_cell(task)
    d = np.concatenate([values for _, values in validation_predictions(task, row.params)])
    assert row.scale == DECISION_VALUE
    assert row.threshold in d
    assert abs(row.threshold) > 1
    if name == "alert_rate":
        share = [np.mean(d >= cut) for cut in (row.threshold, np.nextafter(row.threshold, np.inf))]
        assert share[0] >= 0.05 > share[1]
    test_y, test_d = next(folds())
    called = test_d >= row.threshold
    assert row.counts["tp"] == np.count_nonzero(called & (test_y == 1))
    assert row.counts["fp"] == np.count_nonzero(called & (test_y == 0))
    assert row.flagged == np.mean(called)
    assert Evaluation.from_json(row.to_json()) == row


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_a_calibration_is_learned_from_decision_values_and_read_by_all_measures(kind):
    task = tasks(Strategy("c", calibration=kind, threshold={"alert_rate": 0.05}))[0]
    row = evaluate.evaluate_cell(task)
    assert row.scale == PROBABILITY
    assert 0 <= row.threshold <= 1
    assert row.scores["brier"] is not None
    # scikit-learn's own map, from the same inner decision values
    raw = tasks(Strategy("none"))[0]
    inner = [(raw.dataset.y[v], raw.predict_rows({}, f, v).values) for f, v in raw.pairs]
    y, d = (np.concatenate(part) for part in zip(*inner, strict=True))

    test_y, test_d = next(folds())
    if kind == "isotonic":
        p = IsotonicRegression(out_of_bounds="clip").fit(d, y).predict(test_d)
    else:
        p = fit_sigmoid(d, y)(test_d)
    assert row.scores["brier"] == pytest.approx(np.mean((p - test_y) ** 2), abs=1e-12)
    assert row.scores["pr_auc"] == pytest.approx(average_precision_score(test_y, p), abs=1e-12)


@pytest.mark.parametrize(("kind", "unit"), [("sigmoid", 1e-300), ("sigmoid", 1e300), ("isotonic", 1e300)])
def test_decision_values_near_the_bounds_of_floats_are_calibrated_as_others(kind, unit):
    """scikit-learn's isotonic regression takes values within 1e-15 for one, so that a small unit loses steps."""
    task = tasks(Strategy("c", calibration=kind))[0]
    known = task.predict

    def predict(request):
        found = known(request)
        return replace(found, values=np.tanh(found.values / 50) * unit)

    one, other = (evaluate.evaluate_cell(replace(task, predict=p)) for p in (predict, lambda a: small(known(a))))
    assert one.status == "ok"
    assert one.scores["pr_auc"] == pytest.approx(other.scores["pr_auc"], abs=1e-6)
    assert one.scores["brier"] == pytest.approx(other.scores["brier"], abs=1e-6)


def small(found):
    return replace(found, values=np.tanh(found.values / 50))


def test_a_calibration_without_a_number_is_a_failed_fit():
    with pytest.raises(FitFailed, match=r"^calibration 'sigmoid' gives 2 of 3 probabilities that are not finite"):
        decisions.apply_map(lambda s: s, "sigmoid", np.array([np.nan, 0.5, np.inf]))


def test_a_parameter_that_takes_the_probabilities_away_makes_a_candidate_inapplicable_or_changes_its_scale():
    learner = {"make": {"_target_": "sklearn.linear_model.SGDClassifier", "loss": "log_loss"}}
    learner |= {"space": {"loss": Choice(("log_loss", "hinge"))}}
    tuning = Tuning("grid", tune_learner=True)
    brier = evaluate.evaluate_cell(tasks(Strategy("none"), "primary=brier", learner=learner, tuning=tuning)[0])
    assert [(trial.status, trial.params["learner.loss"]) for trial in brier.trials] == [
        ("ok", "log_loss"),
        ("inapplicable", "hinge"),
    ]
    assert "needs probabilities and the learner gives decision values only" in brier.trials[1].reason
    rule = Strategy("t", threshold={"alert_rate": 0.05})
    both = evaluate.evaluate_cell(tasks(rule, "primary=pr_auc", learner=learner, tuning=tuning)[0])
    assert both.scale == (DECISION_VALUE if both.params["learner.loss"] == "hinge" else PROBABILITY)
    assert 0 <= both.trials[0].threshold <= 1 < both.trials[1].threshold


def test_rows_of_before_are_not_those_of_now(monkeypatch):
    """A ledger with scores of a squashed copy is not resumed; one of probabilities is."""

    def addresses(learner):
        return [
            design.cell_address(task.cell, task.study, dataset())
            for task in tasks(Strategy("none"), learner=learner, tuning=Tuning("grid", tune_learner=True))
        ]

    makes = [{"_target_": "sklearn.linear_model.SGDClassifier", "loss": loss} for loss in ("hinge", "log_loss")]
    learners = [{"make": make} for make in makes]
    learners.append({"make": makes[1], "space": {"loss": Choice(("log_loss", "hinge"))}})
    now = [addresses(learner) for learner in learners]
    monkeypatch.setattr(design.estimator_specs, "gives_probabilities", lambda make: True)
    assert [a == b for a, b in zip(now, map(addresses, learners), strict=True)] == [False, True, False]


def test_pruning_changes_no_choice():
    rules = {"grid": ("tuned", ()), "observed": ("tuned", ("protocol.thresholds=observed",)), "half": (0.5, ())}
    for rule, more in rules.values():
        strategy = Strategy("w", threshold=rule, space={"weight": Choice((1.0, 3.0, 30.0, 0.1))})
        whole, pruned = (
            evaluate.evaluate_cell(tasks(strategy, *more, tuning=Tuning("grid", prune=prune))[0])
            for prune in (False, True)
        )
        assert (whole.params, whole.threshold, whole.counts) == (pruned.params, pruned.threshold, pruned.counts)


# ------------------------------------------------------------------------------------------------- evidence, export


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([-800.0, -40.0, -1.0, 0.0, 0.3, 37.0, 38.0, 90.0, 1e9])),
        min_size=2,
        max_size=40,
    ).filter(lambda rows: 0 < sum(y for y, _ in rows) < len(rows))
)
def test_curves_rank_by_decision_values_and_their_thresholds_act_on_the_logistic(rows):
    y, d = (np.array(part) for part in zip(*rows, strict=True))
    frame = evidence.build_frame(
        [(("t", "l", "s", 0), [evidence.FoldPredictions(0, y, d, 0.1, is_probability=False)], True)]
    )
    areas = evidence.areas(frame).iloc[0]
    assert areas.pr_auc == pytest.approx(average_precision_score(y, d), abs=1e-12)
    assert areas.roc_auc == pytest.approx(roc_auc_score(y, d), abs=1e-12)
    for found in evidence.confusion_table(frame).itertuples():
        counts = measures.counts_at(y, expit(d), found.threshold)
        assert (found.tp, found.fp) == (counts.tp, counts.fp)
    assert set(frame.kind) == {"cut", "chance"}


@pytest.mark.parametrize("name", ["fixed", "tuned", *OBSERVED])
@pytest.mark.parametrize("is_first", [False, True])
def test_an_exported_model_decides_as_the_evaluation(name, is_first):
    rule = {"fixed": 0.3, "tuned": "tuned", **OBSERVED}[name]
    task = tasks(Strategy("t", threshold=rule))[0]
    whole = Cell("made", task.cell.learner, task.cell.strategy, model.all_rows_split(dataset()))
    task = replace(task, cell=whole, pairs=splits.inner_pairs(dataset(), task.study.protocol, 0, whole.split, ()))
    trial, _ = model.choose_params(task)
    labels = ("yes", "no") if is_first else ("no", "yes")
    made = model.fit_model(task, trial.params, trial.threshold, labels)
    rows, X = task.cell.split.train, dataset().X
    d = task.predict_rows(trial.params, rows, rows).values
    called = task.compared(trial.params, d) >= trial.threshold
    assert made.scale == (DECISION_VALUE if name in OBSERVED else PROBABILITY)
    assert np.array_equal(made.scores(X), d)
    assert np.array_equal(made.predict(X), np.where(called, labels[1], labels[0]))
    assert np.array_equal(made.decision_function(X), -d if is_first else d)
    assert np.array_equal(made.positive_proba(X), expit(d))
