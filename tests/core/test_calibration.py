"""The fourth knob: scikit-learn as the witness of what is learned, laws of the prior correction, and what is asked."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import imblab
from imblab.core import decisions, design, evaluate, splits
from imblab.core.estimator_specs import with_traits
from imblab.core.evaluate import Task
from imblab.core.fitting import Prediction
from imblab.errors import FitFailed
from imblab.stats.probabilities import correct_prior as corrected
from imblab.study import Choice, Dataset, Learner, LearnerTraits, Measure, Protocol, Strategy, Study, Tuning

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"})
BAYES = Learner("bayes", {"_target_": "sklearn.naive_bayes.GaussianNB"})
SVM = with_traits(Learner("svm", {"_target_": "sklearn.svm.SVC"}))
INNER = 3
HUNDREDTHS = [i / 100 for i in range(1, 100)]


def drawn(seed, n=300, share=0.2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    y[:2] = [0, 1]
    return y, rng.normal(size=n) + 1.5 * y


def test_a_weighted_fit_that_is_set_right_comes_near_an_unweighted_one():
    X, y = make_classification(20_000, 5, n_redundant=0, weights=[0.95], random_state=0)
    plain = LogisticRegression(C=np.inf).fit(X, y).predict_proba(X)[:, 1]
    weighted = LogisticRegression(C=np.inf).fit(X, y, sample_weight=np.where(y == 1, 19.0, 1.0)).predict_proba(X)[:, 1]
    counts = {"negative": int((y == 0).sum()), "positive": int(y.sum())}
    right = decisions.correct_fit(weighted, y, counts, 19.0)
    assert abs(weighted.mean() / y.mean() - 1) > 2
    assert abs(right.mean() / y.mean() - 1) < 0.1
    assert np.mean(np.abs(right - plain)) < 0.02


# ------------------------------------------------------------------------------------------------ what is learned


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("learner", [LOGISTIC, BAYES], ids=lambda x: x.name)
def test_what_is_learned_is_that_of_calibrated_classifier_cv(method, learner):
    """With decision values for one learner and probabilities for the other: what scikit-learn reads of them."""
    X, y = make_classification(900, 6, n_informative=3, weights=[0.8], flip_y=0.05, random_state=3)
    fitted = {"logistic": LogisticRegression, "bayes": GaussianNB}[learner.name]().fit(X[:300], y[:300])
    peer = CalibratedClassifierCV(FrozenEstimator(fitted), method=method, cv=2, ensemble=False)
    peer.fit(X[300:600], y[300:600])
    p = fitted.predict_proba(X)[:, 1]
    score = decisions.scores_for_map(p, learner.make)
    found = decisions.fit_map(method, [(y[300:600], score[300:600])])(score[600:])
    # scikit-learn stops where the gradient is 1e-6; steps are the same function.
    np.testing.assert_allclose(found, peer.predict_proba(X[600:])[:, 1], atol=2e-4 if method == "sigmoid" else 1e-9)


def test_cross_fitting_shows_no_fold_its_own_labels():
    folds = [drawn(seed, n=60, share=0.4) for seed in range(3)]
    for kind in ("sigmoid", "isotonic"):
        found = decisions.cross_fit(kind, folds)
        for j, (y, s) in enumerate(folds):
            others = [folds[i] for i in range(3) if i != j]
            expected = decisions.fit_map(kind, others)(s)
            np.testing.assert_array_equal(found[j][1], expected)
            np.testing.assert_array_equal(found[j][0], y)
            turned = [(1 - y, s) if i == j else fold for i, fold in enumerate(folds)]
            np.testing.assert_array_equal(decisions.cross_fit(kind, turned)[j][1], expected)
    assert decisions.cross_fit("none", folds) == folds


def test_the_log_odds_of_certain_rows_are_finite_and_in_order():
    score = decisions.scores_for_map(np.array([0.0, 1e-300, 0.5, 1 - 1e-16, 1.0]), LOGISTIC.make)
    assert np.isfinite(score).all()
    assert (np.diff(score) >= 0).all()
    np.testing.assert_array_equal(decisions.scores_for_map(np.array([0.0, 1.0]), BAYES.make), [0.0, 1.0])


# ---------------------------------------------------------------------------------------------- inside a cell


@cache
def toy(n=360, positives=120):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(0).permutation(n)[:positives]] = 1
    return Dataset("toy", pd.DataFrame({"a": np.arange(float(n))}), y, ("no", "yes"), fingerprint="toy")


@cache
def measures():
    return imblab.compose("name=x", "dataset=[ecoli3]").measures


class Oracle:
    """Answers from the labels and noise, and remembers what it was asked."""

    def __init__(self, calibrated=True, fails=lambda request: False):
        self.calibrated, self.fails, self.asked = calibrated, fails, []

    def __call__(self, request):
        self.asked.append(request)
        if self.fails(request):
            raise FitFailed("ValueError: made up")
        noise = np.random.default_rng(int(request.fit.sum()) % 997).random(len(request.rows))
        p = 0.3 * toy().y[request.rows] + 0.7 * noise * (0.5 + 0.1 * request.knobs.get("k", 0) % 0.5)
        return Prediction(p, self.calibrated, {"negative": 100, "positive": 100}, ())


def task_of(strategy, predict=None, learner=LOGISTIC, primary="mcc", data=None, **tuning):
    data = data or toy()
    asked = Protocol(2, INNER)
    study = Study("toy", 5, {}, (learner,), (strategy,), measures(), asked, primary, Tuning(**tuning))
    plan = splits.plan(data, asked, 5)
    (cell, *_) = design.expand_cells(study, {"toy": plan})
    return Task(cell, study, data, splits.inner_pairs(data, asked, 5, cell.split, plan), predict or Oracle())


def of(kind, threshold=0.5, **knobs):
    return Strategy(kind, threshold=threshold, calibration=kind, **knobs)


def raw(task, params=None):
    """What the learner answers: inner folds and test rows."""
    inner = [task.predict_rows(params or {}, fit, validate).values for fit, validate in task.pairs]
    split = task.cell.split
    return inner, task.predict_rows(params or {}, split.train, split.test).values


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_a_learned_calibration_asks_the_inner_folds_even_at_a_fixed_threshold(kind):
    oracle = Oracle()
    task = task_of(of(kind), oracle)
    row = evaluate.evaluate_cell(task)
    assert (row.status, row.fits, row.threshold) == ("ok", INNER + 1, 0.5)
    assert len(oracle.asked) == INNER + 1
    assert [a.address for a in evaluate.inner_requests(task)] == [a.address for a in oracle.asked[:INNER]]


def test_a_prior_at_a_fixed_threshold_needs_one_fit():
    oracle = Oracle()
    row = evaluate.evaluate_cell(task_of(of("prior"), oracle))
    assert (row.status, row.fits, len(oracle.asked), row.value) == ("ok", 1, 1, None)


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("learner", [LOGISTIC, BAYES], ids=lambda x: x.name)
def test_the_test_rows_are_set_right_by_all_inner_predictions_of_the_winner(kind, learner):
    task = task_of(of(kind, "tuned"), learner=learner)
    row = evaluate.evaluate_cell(task)
    inner, outer = raw(task)
    y = np.concatenate([toy().y[validate] for _, validate in task.pairs])
    score = decisions.scores_for_map(np.concatenate(inner), learner.make)
    p = decisions.fit_map(kind, [(y, score)])(decisions.scores_for_map(outer, learner.make))
    test = toy().y[task.cell.split.test]
    assert row.scores["brier"] == pytest.approx(np.mean((p - test) ** 2), abs=1e-15)
    assert row.counts["tp"] == int(((p >= row.threshold) & (test == 1)).sum())
    folds = evaluate.validation_predictions(task, row.params)
    pooled = np.concatenate([p for _, p in folds])
    assert row.trials[0].threshold == row.threshold
    assert not np.allclose(pooled, np.concatenate(inner))


def test_a_prior_is_undone_fold_by_fold_before_the_threshold_is_chosen():
    task = task_of(of("prior", "tuned", weight=3.0))
    found = evaluate.validation_predictions(task, {"weight": 3.0})
    for (fit, validate), (y, p), q in zip(task.pairs, found, raw(task, {"weight": 3.0})[0], strict=True):
        np.testing.assert_array_equal(y, toy().y[validate])
        np.testing.assert_array_equal(p, corrected(q, toy().y[fit].mean(), 0.75))


def test_strategies_that_differ_in_calibration_alone_share_every_fit():
    addresses = set()
    for kind in decisions.CALIBRATIONS:
        oracle = Oracle()
        evaluate.evaluate_cell(task_of(of(kind, "tuned", sampler=SMOTE, k=3, prior_correction="approximate"), oracle))
        addresses.add(tuple(sorted({request.address for request in oracle.asked})))
    assert len(addresses) == 1


def test_a_prior_changes_no_ranking_measure_of_a_row():
    one, other = (evaluate.evaluate_cell(task_of(of(kind, weight=5.0))) for kind in ("none", "prior"))
    for name in ("pr_auc", "roc_auc", "recall_at_1pct"):
        assert one.scores[name] == other.scores[name]
    assert one.scores["brier"] != other.scores["brier"]


def test_without_a_calibration_the_answer_is_the_same_object():
    task = task_of(Strategy("none"))
    prediction = Prediction(np.array([0.5]), True, {"negative": 1, "positive": 1})
    assert evaluate.calibrate_prediction(task, {}, prediction) is prediction


def test_a_failed_inner_fit_fails_the_row_with_its_fold():
    first = task_of(of("sigmoid")).pairs[0][0]
    row = evaluate.evaluate_cell(
        task_of(of("sigmoid"), Oracle(fails=lambda request: np.array_equal(request.fit, first)))
    )
    assert row.status == "failed"
    assert "inner fold 0: ValueError: made up" in row.error


def test_a_fixed_threshold_stands_where_the_primary_is_undefined_inside():
    """Calibrated answers seldom reach .99: precision without calls has no value, and nothing was chosen by it."""
    row = evaluate.evaluate_cell(task_of(of("sigmoid", 0.999), primary="precision"))
    assert (row.status, row.threshold, row.value) == ("ok", 0.999, None)


def test_scores_become_probabilities_and_say_nothing_of_decision_values():
    row = evaluate.evaluate_cell(task_of(of("sigmoid"), Oracle(calibrated=False), learner=SVM, primary="brier"))
    assert row.status == "ok"
    assert row.scores["brier"] is not None
    assert not [note for note in row.notes if "decision value" in note]
    plain = evaluate.evaluate_cell(task_of(Strategy("none"), Oracle(calibrated=False), learner=SVM))
    assert plain.scores["brier"] is None


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_what_is_learned_from_all_folds_is_not_pruned(kind):
    strategy = of(kind, "tuned", sampler=SMOTE, space={"k": Choice((1, 2, 3, 4))})
    whole, pruned = (evaluate.evaluate_cell(task_of(strategy, prune=prune)) for prune in (False, True))
    assert [t.status for t in pruned.trials] == ["ok"] * 4
    assert replace(whole, seconds=0, fingerprint="") == replace(pruned, seconds=0, fingerprint="")


@pytest.mark.parametrize("kind", ["none", "prior", "sigmoid"])
def test_amounts_reach_the_threshold_and_the_score_of_a_row(kind):
    amount = np.random.default_rng(3).gamma(2, 4, len(toy().y)).round(2)
    data, costs = replace(toy(), amount=amount), {"fn": "amount", "fp": 3, "tp": 1}
    task = task_of(of(kind, {"cost": costs}, weight=2.0), data=data)
    paid = Measure("paid", "imblab.core.costs.amount_cost", "amount", False, parameters={"costs": costs})
    task = replace(task, study=replace(task.study, measures=(*measures(), paid)))
    row = evaluate.evaluate_cell(task)

    def cost(rows, p, cut):
        y, called = data.y[rows], p >= cut
        missed, caught = (y == 1) & ~called, (y == 1) & called
        return amount[rows][missed].sum() + 3 * (called & (y == 0)).sum() + caught.sum()

    rows = np.concatenate([validate for _, validate in task.pairs])
    p = np.concatenate([p for _, p in evaluate.validation_predictions(task, row.params)])
    assert cost(rows, p, row.threshold) == pytest.approx(min(cost(rows, p, cut) for cut in p), rel=1e-12)
    split = task.cell.split
    outer = evaluate.calibrate_prediction(
        task, row.params, task.predict_rows(row.params, split.train, split.test)
    ).values
    expected = cost(split.test, outer, row.threshold) / len(split.test)
    assert row.scores["paid"] == pytest.approx(expected, rel=1e-12)


def test_a_cost_as_primary_is_made_small():
    matrix = {"fn": 7, "fp": 1}
    cheap = Measure("cheap", "imblab.core.costs.expected_cost", "label", False, parameters={"costs": matrix})
    task = task_of(of("sigmoid", "tuned", sampler=SMOTE, space={"k": Choice((1, 2, 3))}))
    task = replace(task, study=replace(task.study, measures=(*measures(), cheap), primary="cheap"))
    row = evaluate.evaluate_cell(task)
    for trial in row.trials:
        y, p = (np.concatenate(part) for part in zip(*evaluate.validation_predictions(task, trial.params), strict=True))
        paid = [(7 * ((p < cut) & (y == 1)).sum() + ((p >= cut) & (y == 0)).sum()) / len(y) for cut in HUNDREDTHS]
        assert trial.value == pytest.approx(min(paid), abs=1e-12)
    assert row.value == min(trial.value for trial in row.trials)


# ------------------------------------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("strategy", "learner", "reason"),
    [
        (of("prior"), replace(LOGISTIC, traits=LearnerTraits(rebalances=True)), "rebalances the classes by itself"),
        (of("prior"), SVM, "needs probabilities and learner 'svm' gives decision values only"),
        (
            of("prior", sampler=SMOTE, k=3, prior_correction="inapplicable"),
            LOGISTIC,
            "SMOTE chooses rows by their features",
        ),
        (of("prior", sampler=SMOTE, k=3), LOGISTIC, "SMOTE chooses rows by their features"),
        (
            Strategy("t", threshold={"cost_optimal": {"fn": 9, "fp": 1}}),
            SVM,
            "the threshold of 't' needs probabilities",
        ),
        (Strategy("t", threshold={"cost": {"fn": "amount", "fp": 1}}), LOGISTIC, "'toy' has no amount column"),
    ],
)
def test_what_cannot_be_set_right_is_inapplicable_and_costs_nothing(strategy, learner, reason):
    oracle = Oracle()
    task = task_of(strategy, oracle, learner=learner)
    row = evaluate.evaluate_cell(task)
    assert row.status == "inapplicable"
    assert reason in row.error
    assert oracle.asked == evaluate.inner_requests(task) == []


def test_isotonic_needs_fifty_training_positives():
    enough, few = (replace(toy(), y=toy(360, n).y) for n in (100, 99))
    assert evaluate.evaluate_cell(task_of(of("isotonic"), data=enough)).status == "ok"
    row = evaluate.evaluate_cell(task_of(of("isotonic"), data=few))
    assert row.status == "inapplicable"
    assert row.error == "calibration isotonic needs 50 training positives, and the outer training part holds 49"


def test_an_approximate_correction_says_so():
    notes = {
        how: evaluate.evaluate_cell(task_of(of("prior", sampler=SMOTE, k=3, prior_correction=how))).notes
        for how in ("approximate", "exact")
    }
    assert notes["exact"] == ()
    assert notes["approximate"] == (
        "the prior correction is approximate: synthetic rows move the distributions of the classes too",
    )


# -------------------------------------------------------------------------------------------------- the address


def address(strategy, learner=LOGISTIC):
    task = task_of(strategy, learner=learner)
    return design.cell_address(task.cell, task.study, task.dataset)


def test_the_calibration_is_part_of_the_address_only_where_there_is_one():
    assert len({address(replace(Strategy("s"), calibration=kind)) for kind in decisions.CALIBRATIONS}) == 4
    assert address(Strategy("s", prior_correction="exact")) == address(Strategy("s"))
    assert address(Strategy("s"), replace(LOGISTIC, traits=LearnerTraits(rebalances=True))) == address(Strategy("s"))
    assert address(of("prior", prior_correction="exact")) != address(of("prior"))
