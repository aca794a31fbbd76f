"""Arrays of scores: one per data set and learner, folds in order, nothing imputed, nothing compared across splits."""

from dataclasses import replace

import numpy as np
import pytest

from imblab.analysis import paired
from imblab.analysis.results import score_arrays, sort_evaluations
from imblab.errors import StudyError
from imblab.result import Evaluation
from imblab.stats.paired_tests import corrected_t
from imblab.study import Learner, Measure, Protocol, Strategy, Study

STUDY = Study(
    "demo", 0, {"toy": {}, "zoo": {}}, (Learner("logistic", {}), Learner("knn", {})),
    (Strategy("none"), Strategy("smote")), (Measure("mcc", "m", "label"),), Protocol(outer_folds=3),
)  # fmt: skip


def row(strategy="none", fold=0, score=0.5, dataset="toy", learner="logistic", repeat=0, **more):
    facts = {"scores": {"mcc": score}, "counts": {}, "split_fingerprint": str(fold), "params": {}, "threshold": 0.5}
    facts |= {"seconds": 1.0, "status": "ok", "error": None, "fingerprint": "f", "n_train": 400, "n_test": 100, **more}
    return Evaluation(dataset=dataset, learner=learner, strategy=strategy, repeat=repeat, fold=fold, **facts)


def only_family(rows, folds):
    (scores,) = score_arrays(replace(STUDY, protocol=Protocol(outer_folds=folds)), rows).values()
    return scores


def test_arrays_hold_every_fold_of_the_design_in_the_order_of_the_study():
    rows = [row("smote", 1, 0.7), row("none", 2, 0.2), row("none", 0, None), row("smote", 0, 0.9, status="failed")]
    scores = score_arrays(STUDY, [*rows, row("none", 0, dataset="zoo", learner="knn")])
    assert list(scores) == [("toy", "logistic"), ("zoo", "knn")]
    toy = scores["toy", "logistic"]
    assert (toy.strategies, toy.folds) == (("none", "smote"), ((0, 0), (0, 1), (0, 2)))
    np.testing.assert_array_equal(toy.values["mcc"], [[np.nan, np.nan, 0.2], [np.nan, 0.7, np.nan]])
    np.testing.assert_array_equal(toy.n_train, [[400, np.nan, 400], [400, 400, np.nan]])
    assert toy.evaluations == ((rows[2], None, rows[1]), (rows[3], rows[0], None))


def test_evaluations_are_sorted_as_the_study_declares_them_and_unknown_names_follow():
    rows = [row(s, f, dataset=d) for d in ("zoo", "a", "toy") for s in ("smote", "x", "none") for f in (1, 0)]
    places = [(e.dataset, e.strategy, e.fold) for e in sort_evaluations(STUDY, rows)]
    assert places == [(d, s, f) for d in ("toy", "zoo", "a") for s in ("none", "smote", "x") for f in (0, 1)]


def test_results_on_different_folds_refuse_to_be_compared(snapshot):
    rows = [row(s, f, learner=learner) for learner in ("logistic", "knn") for s in ("none", "smote") for f in range(3)]
    score_arrays(STUDY, rows)
    rows[-1] = replace(rows[-1], split_fingerprint="other")
    with pytest.raises(StudyError) as error:
        score_arrays(STUDY, rows)
    assert str(error.value) == snapshot
    # Another data set has folds of its own.
    score_arrays(STUDY, [row(fold=0), row(fold=0, dataset="other", split_fingerprint="x")])


def test_one_cell_has_one_answer(snapshot):
    with pytest.raises(StudyError) as error:
        score_arrays(STUDY, [row(), row(score=0.6)])
    assert str(error.value) == snapshot


def test_pairs_are_matched_by_fold_not_by_position():
    rows = [row("a", f, f / 10) for f in (2, 0, 1)] + [row("b", f, f / 100) for f in (1, 2, 0)]
    scores = only_family(rows, folds=3)
    estimate = paired.estimate_family(scores, [("a", "b")], STUDY)["a", "b"]
    assert estimate == corrected_t([0.0 - 0.0, 0.1 - 0.01, 0.2 - 0.02], 400, scores.n_test[0])
    assert scores.n_train.tolist() == [[400] * 3] * 2


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row("b", 0)], "'b' has no MCC in 1 of 2 folds: 1 missing"),
        ([], "'b' has no MCC in 2 of 2 folds: 2 missing"),
        ([row("b", 0, status="failed"), row("b", 1)], "'b' has no MCC in 1 of 2 folds: 1 failed"),
        ([row("b", 0, None), row("b", 1, status="inapplicable")],
         "'b' has no MCC in 2 of 2 folds: 1 undefined, 1 inapplicable"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_and_never_filled_in(rows, reason):
    scores = only_family([row("a", 0), row("a", 1), *rows], folds=2)
    estimate = paired.estimate_family(scores, [("a", "b")], STUDY)["a", "b"]
    assert estimate.reason == reason
    assert np.isnan([estimate.mean, estimate.low, estimate.p]).all()
