"""The kernel: what is asked, what is chosen and what a row says, with predictions that are made up."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, matthews_corrcoef

import imblab
from imblab.core import design, evaluate, splits
from imblab.core.estimator_specs import with_traits
from imblab.core.evaluate import Task
from imblab.core.fitting import Prediction
from imblab.errors import FitFailed
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study, Tuning

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"})
SVM = with_traits(Learner("svm", {"_target_": "sklearn.svm.SVC"}))
KNN = with_traits(Learner("knn", {"_target_": "sklearn.neighbors.KNeighborsClassifier"}))
INNER = 3


@cache
def measures():
    return imblab.compose("name=x", "dataset=[ecoli3]").measures


@cache
def toy(n=120, positives=40):
    y = np.zeros(n, dtype=np.int64)
    y[np.random.default_rng(0).permutation(n)[:positives]] = 1
    return Dataset("toy", pd.DataFrame({"a": np.arange(float(n))}), y, ("no", "yes"), fingerprint="toy")


def task_of(strategy, predict, learner=LOGISTIC, primary="mcc", tuning=None, **protocol):
    asked = Protocol(2, INNER, **protocol)
    study = Study("toy", 5, {}, (learner,), (strategy,), measures(), asked, primary, tuning or Tuning())
    plan = splits.plan(toy(), asked, 5)
    (cell, *_) = design.expand_cells(study, {"toy": plan})
    return Task(cell, study, toy(), splits.inner_pairs(toy(), asked, 5, cell.split, plan), predict)


class Oracle:
    """Answers requests from a rule and remembers what it was asked; ``skill`` of a candidate is from 0 to 1."""

    def __init__(self, skill=lambda request: 0.5, calibrated=True, fails=lambda request: False):
        self.skill, self.calibrated, self.fails = skill, calibrated, fails
        self.asked = []

    def __call__(self, request):
        self.asked.append(request)
        if self.fails(request):
            raise FitFailed("ValueError: made up")
        noise = np.random.default_rng(int(request.fit.sum()) % 997).random(len(request.rows))
        p = self.skill(request) * toy().y[request.rows] * 0.6 + 0.4 * noise
        return Prediction(p, self.calibrated, {"negative": 1, "positive": 2}, ())

    def refits(self, task):
        return [request for request in self.asked if np.array_equal(request.fit, task.cell.split.train)]


def answered(strategy, oracle=None, **how):
    oracle = oracle or Oracle()
    task = task_of(strategy, oracle, **how)
    return evaluate.evaluate_cell(task), oracle, task


def searched(threshold=0.5, **axes):
    return Strategy("smote", SMOTE, threshold=threshold, space={name: Choice(values) for name, values in axes.items()})


# ------------------------------------------------------------------------------------------------------- what is asked


def test_a_number_as_threshold_and_nothing_to_search_needs_one_fit():
    row, oracle, task = answered(Strategy("none"))
    (request,) = oracle.asked
    np.testing.assert_array_equal(request.fit, task.cell.split.train)
    np.testing.assert_array_equal(request.rows, task.cell.split.test)
    assert request.seed == 5
    assert (row.fits, row.threshold, row.value, row.params, len(row.trials)) == (1, 0.5, None, {}, 1)


@pytest.mark.parametrize("threshold", ["tuned", {"min_recall": 0.5}, 0.5])
def test_nothing_but_the_training_rows_is_asked_before_the_refit(threshold):
    row, oracle, task = answered(searched(threshold, ratio=(0.7, 1.0), k=(3, 5)))
    train, test = set(task.cell.split.train), set(task.cell.split.test)
    *inner, last = oracle.asked
    assert len(inner) == 4 * INNER
    for request in inner:
        assert set(request.fit) | set(request.rows) <= train
        assert not set(request.fit) & set(request.rows)
    assert (set(last.fit), set(last.rows)) == (train, test)
    assert last.knobs == {"ratio": row.params["ratio"], "k": row.params["k"]}
    assert row.fits == 4 * INNER + 1
    assert [dict(t.params) for t in row.trials] == [{"ratio": r, "k": k} for r in (0.7, 1.0) for k in (3, 5)]


def test_seeds_are_those_of_the_repeat_and_of_nothing_else():
    for strategy in (Strategy("none"), searched("tuned", k=(3, 5)), Strategy("w", weight=3.0, threshold="tuned")):
        task = task_of(strategy, Oracle())
        later = replace(task, cell=replace(task.cell, split=replace(task.cell.split, repeat=4)))
        assert (task.seed, later.seed) == (5, 9)
        evaluate.evaluate_cell(later)
        assert {request.seed for request in later.predict.asked} == {9}


def test_distinct_fits_are_counted_once():
    row, _, _ = answered(searched("tuned", ratio=(0.7, 0.7, 1.0)))
    assert row.fits == 2 * INNER + 1


# -------------------------------------------------------------------------------------------------- what is chosen


def mcc(y, called):
    """As scikit-learn, of labels 0 and 1; it is asked of many cuts."""
    tn, fp, fn, tp = (int(((y == a) & (called == b)).sum()) for a in (0, 1) for b in (False, True))
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / np.sqrt(scale) if scale else 0.0


def inner_predictions(task, oracle, params):
    """Labels and scores of the inner validation rows of one candidate, fold by fold."""
    found = [oracle(task.request(params, fit, validate)).values for fit, validate in task.pairs]
    return [(toy().y[validate], p) for (_, validate), p in zip(task.pairs, found, strict=True)]


SKILL = {3: 0.3, 5: 0.8, 7: 0.5}


@pytest.mark.parametrize("threshold", ["tuned", 0.4])
def test_the_winner_has_the_best_mcc_of_all_inner_rows_taken_together(threshold):
    oracle = Oracle(lambda request: SKILL[request.knobs["k"]])
    row, _, task = answered(searched(threshold, k=(3, 5, 7)), oracle)
    cuts = [i / 100 for i in range(1, 100)] if threshold == "tuned" else [threshold]
    for trial in row.trials:
        y, p = (np.concatenate(part) for part in zip(*inner_predictions(task, oracle, trial.params), strict=True))
        values = [mcc(y, p >= cut) for cut in cuts]
        assert trial.value == pytest.approx(max(values), abs=1e-12)
        best = [cut for cut, value in zip(cuts, values, strict=True) if value >= max(values) - 1e-12]
        assert trial.threshold == min(best, key=lambda cut: (round(abs(cut - 0.5), 12), cut))
    winner = max(row.trials, key=lambda trial: trial.value)
    assert row.params == winner.params == {"k": 5}
    assert (row.value, row.threshold) == (winner.value, winner.threshold)


@pytest.mark.parametrize(("primary", "score"), [("pr_auc", average_precision_score), ("brier", brier_score_loss)])
def test_ranking_measures_and_brier_are_averaged_over_the_folds_and_cut_by_the_threshold_measure(primary, score):
    oracle = Oracle(lambda request: SKILL[request.knobs["k"]])
    row, _, task = answered(searched("tuned", k=(3, 5, 7)), oracle, primary=primary)
    for trial in row.trials:
        parts = inner_predictions(task, oracle, trial.params)
        assert trial.value == pytest.approx(np.mean([score(y, p) for y, p in parts]), abs=1e-12)
        y, p = (np.concatenate(part) for part in zip(*parts, strict=True))
        values = {cut: mcc(y, p >= cut) for cut in (i / 100 for i in range(1, 100))}
        assert values[trial.threshold] == pytest.approx(max(values.values()), abs=1e-12)
    best = (min if primary == "brier" else max)(row.trials, key=lambda trial: trial.value)
    assert row.params == best.params


def test_of_tied_candidates_the_first_in_the_declared_order_wins():
    for order in ((3, 5, 7), (7, 5, 3)):
        row, _, _ = answered(searched("tuned", k=order))
        assert len({trial.value for trial in row.trials}) == 1
        assert row.params == {"k": order[0]}


def test_a_strategy_with_its_own_cuts_chooses_among_them():
    strategy = Strategy("t", threshold="tuned", space={"threshold": Choice((0.05, 0.95))})
    row, _, _ = answered(strategy)
    assert row.threshold in (0.05, 0.95)
    assert any("first or last" in note for note in row.notes)
    assert row.trials[0].at_edge


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_a_candidate_that_fails_in_any_inner_fold_is_out_with_its_reason():
    last = task_of(searched("tuned", k=(3, 5)), Oracle()).pairs[-1][0]
    oracle = Oracle(
        lambda request: SKILL[request.knobs["k"]], fails=lambda a: a.knobs["k"] == 5 and np.array_equal(a.fit, last)
    )
    row, _, _ = answered(searched("tuned", k=(3, 5)), oracle)
    assert [trial.status for trial in row.trials] == ["ok", "failed"]
    assert row.trials[1].reason == f"inner fold {INNER - 1}: ValueError: made up"
    assert (row.trials[1].value, row.status, row.params) == (None, "ok", {"k": 3})


def test_if_all_candidates_fail_the_row_is_failed_and_nothing_is_refit():
    row, oracle, task = answered(searched("tuned", k=(3, 5)), Oracle(fails=lambda request: True))
    assert (row.status, row.params, row.threshold, row.counts) == ("failed", {}, None, {})
    assert "2 failed" in row.error
    assert "made up" in row.error
    assert set(row.scores.values()) == {None}
    assert oracle.refits(task) == []


def test_if_the_refit_of_the_winner_fails_no_runner_up_takes_its_place():
    train = task_of(Strategy("none"), Oracle()).cell.split.train
    oracle = Oracle(lambda request: SKILL[request.knobs["k"]], fails=lambda request: np.array_equal(request.fit, train))
    row, oracle, task = answered(searched("tuned", k=(3, 5)), oracle)
    assert row.status == "failed"
    assert row.error == "the refit of the winner failed: ValueError: made up"
    assert [request.knobs for request in oracle.refits(task)] == [{"k": 5}]
    assert row.params == {"k": 5}
    assert set(row.scores.values()) == {None}
    assert len(row.trials) == 2


def test_inapplicable_candidates_are_left_out_and_never_fitted():
    row, oracle, _ = answered(searched("tuned", ratio=(0.1, 0.8), k=(3, 50)))
    assert [trial.status for trial in row.trials] == ["inapplicable", "inapplicable", "ok", "inapplicable"]
    assert all(trial.reason for trial in row.trials if trial.status == "inapplicable")
    assert {(request.knobs["ratio"], request.knobs["k"]) for request in oracle.asked} == {(0.8, 3)}
    assert row.params == {"ratio": 0.8, "k": 3}


@pytest.mark.parametrize(
    ("strategy", "how", "reason"),
    [
        (searched(ratio=(0.1, 0.2)), {}, "no candidate applies: ratio=0.1 is"),
        (Strategy("smote", SMOTE, ratio=0.1), {}, "no candidate applies: ratio=0.1 is"),
        (Strategy("w", weight=2.0), {"learner": KNN}, "takes no sample_weight"),
        (Strategy("none"), {"learner": SVM, "primary": "brier"}, "gives decision values only"),
    ],
)
def test_a_cell_without_a_candidate_is_inapplicable_and_costs_nothing(strategy, how, reason):
    row, oracle, _ = answered(strategy, **how)
    assert row.status == "inapplicable"
    assert reason in row.error
    assert oracle.asked == []
    assert (row.fits, row.counts, row.params) == (0, {}, {})
    assert set(row.scores.values()) == {None}


def test_a_rule_that_no_cut_meets_is_inapplicable():
    row, oracle, task = answered(Strategy("t", threshold={"min_precision": 1.0}), Oracle(lambda request: -0.9))
    assert row.status == "inapplicable"
    assert "no threshold meets min_precision 1.0" in row.error
    assert oracle.refits(task) == []


def test_a_measure_that_is_undefined_at_every_threshold_is_a_failure():
    strategy = Strategy("t", space={"threshold": Choice((0.8, 0.9))})
    row, oracle, task = answered(strategy, Oracle(lambda request: -0.9), primary="precision")
    assert row.status == "failed"
    assert row.error.endswith("precision is undefined on the inner folds at every threshold")
    assert oracle.refits(task) == []


# --------------------------------------------------------------------------------------------------- what a row says


def test_a_row_names_its_cell_its_rows_and_its_scores():
    row, _, task = answered(searched("tuned", k=(3, 5)), Oracle(lambda request: SKILL[request.knobs["k"]]))
    split, y = task.cell.split, toy().y
    assert row.key == task.cell.key == "toy/logistic/smote/0/0"
    assert row.fingerprint == design.cell_address(task.cell, task.study, toy())
    assert (row.data_fingerprint, row.split_fingerprint) == ("toy", split.fingerprint)
    assert (row.n_train, row.n_test) == (len(split.train), len(split.test))
    assert row.reached == {"negative": 1, "positive": 2}
    p = Oracle(lambda request: SKILL[request.knobs["k"]])(task.request(row.params, split.train, split.test)).values
    called = p >= row.threshold
    counts = {"tn": (~called & (y[split.test] == 0)).sum(), "fp": (called & (y[split.test] == 0)).sum()}
    counts |= {"fn": (~called & (y[split.test] == 1)).sum(), "tp": (called & (y[split.test] == 1)).sum()}
    assert row.counts == counts
    assert row.flagged == called.mean()
    assert row.scores["mcc"] == pytest.approx(matthews_corrcoef(y[split.test], called), abs=1e-12)
    assert row.scores["brier"] == pytest.approx(brier_score_loss(y[split.test], p), abs=1e-12)
    assert set(row.scores) == {measure.name for measure in measures()}
    assert row.seconds > 0


def test_scores_that_claim_no_probability_have_no_brier_and_say_so():
    row, _, _ = answered(Strategy("none"), Oracle(calibrated=False), learner=SVM)
    assert row.scores["brier"] is row.scores["log_loss"] is None
    assert row.scores["pr_auc"] is not None
    assert "learner 'svm' gives decision values, not probabilities" in row.notes


@pytest.mark.parametrize("method", ["random", "qmc", "tpe"])
def test_a_drawn_search_judges_as_many_candidates_as_it_has_trials(method):
    oracle = Oracle(lambda request: SKILL[request.knobs["k"]])
    row, _, _ = answered(searched("tuned", k=(3, 5, 7)), oracle, tuning=Tuning(method, 12))
    assert len(row.trials) == 12
    assert row.params == {"k": 5}
    assert row.fits == INNER * len({trial.params["k"] for trial in row.trials}) + 1


@pytest.mark.sampled(7)
@pytest.mark.parametrize("primary", ["mcc", "f1", "recall", "pr_auc", "brier"])
@pytest.mark.parametrize("threshold", ["tuned", 0.5])
def test_pruning_spares_fits_and_changes_no_choice(threshold, primary):
    """Twelve candidates from good to poor, in many orders: whoever could win is judged to the end."""
    spared = 0
    for seed in range(6):
        skills = dict(enumerate(np.random.default_rng(seed).uniform(-0.5, 1, 12), start=1))
        strategy = searched(threshold, k=tuple(skills))
        whole, full = (
            answered(strategy, Oracle(lambda a, s=skills: s[a.knobs["k"]]), primary=primary, tuning=Tuning(prune=prune))
            for prune in (False, True)
        )
        (one, all_asked, _), (other, asked, _) = whole, full
        assert (one.params, one.threshold, one.value) == (other.params, other.threshold, other.value)
        assert (one.scores, one.counts) == (other.scores, other.counts)
        for judged, perhaps in zip(one.trials, other.trials, strict=True):
            assert perhaps.status in ("ok", "pruned")
            if perhaps.status == "ok":
                assert perhaps == judged
            else:
                assert (perhaps.value, perhaps.params) == (None, judged.params)
                assert "cannot reach" in perhaps.reason
        assert all(trial.status == "ok" for trial in one.trials)
        spared += len(all_asked.asked) - len(asked.asked)
    # A tuned recall is 1 at the lowest cut: every candidate may still tie.
    can_fall = primary in ("mcc", "f1") or (primary == "recall" and threshold != "tuned")
    assert (spared > 0) is can_fall
