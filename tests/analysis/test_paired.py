"""The standard error of a contrast: the row-level one where it was simulated and is known for the whole family."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from imblab.analysis import paired
from imblab.analysis.claims import register_claims
from imblab.analysis.results import score_arrays
from imblab.cli import main
from imblab.result import Evaluation
from imblab.stats import standard_errors
from imblab.stats.paired_tests import corrected_t
from imblab.stats.standard_errors import CORRECTED_T, ROW_LEVEL, RowLevelRule
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

MCC = "imblab.core.measures.mcc"
NAMES = ("none", "threshold", "smote")
PAIRS = (("threshold", "none"), ("smote", "none"))
KEY = ("toy", "logistic")


@pytest.fixture(autouse=True)
def _rules(monkeypatch):
    rules = {1: {}, 2: {("linear", MCC): (RowLevelRule(2.0), RowLevelRule(1.5, 0.5))}}
    monkeypatch.setattr(standard_errors, "ROW_LEVEL_RULES", rules)
    monkeypatch.setattr(paired, "TABLE_VERSION", 2)


def study(repeats, kind="linear", function=MCC, folds=5):
    return Study(
        "demo",
        0,
        {"toy": {}},
        (Learner("logistic", {}, kind=kind),),
        tuple(map(Strategy, NAMES)),
        (Measure("mcc", function, "label"),),
        Protocol(outer_folds=folds, repeats=repeats),
        claims=Claims(contrasts=PAIRS),
    )


def scores_of(asked, values, positives=4, negatives=16):
    """Families of scores from an array of shape (strategies, repeats, folds), with so many rows in each fold."""
    facts = {"status": "ok", "error": None, "fingerprint": "f", "seconds": 1.0, "n_train": 80, "n_test": 20}
    evaluations = [
        Evaluation(
            *(*KEY, name, repeat, fold, {}, 0.5, {"mcc": float(values[i, repeat, fold])}),
            counts={"tn": negatives, "fp": 0, "fn": 1, "tp": positives - 1},
            split_fingerprint=f"{repeat}/{fold}",
            **facts,
        )
        for i, name in enumerate(NAMES)
        for repeat in range(values.shape[1])
        for fold in range(values.shape[2])
    ]
    return score_arrays(asked, evaluations)


def covariances(n_folds, seed=0):
    root = np.random.default_rng(seed).normal(size=(3, 3)) / 50
    matrix = root @ root.T
    return matrix, {KEY: {n_folds: {(a, b): matrix[i, j] for i, a in enumerate(NAMES) for j, b in enumerate(NAMES)}}}


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_row_level_error_by_hand(repeats):
    values = np.random.default_rng(1).normal(0.5, 0.1, (3, repeats, 5))
    matrix, known = covariances(5 * repeats)
    asked = study(repeats)
    estimates = paired.estimate_all(scores_of(asked, values), asked, known)[KEY]
    for a, b in ((1, 0), (2, 0), (2, 1)):
        difference, contrast = values[a] - values[b], np.eye(3)[a] - np.eye(3)[b]
        rows = contrast @ matrix @ contrast
        between = difference.mean(axis=1).var(ddof=1) / repeats if repeats > 1 else 0.0
        se = math.sqrt(2.0 * rows if repeats == 1 else 1.5 * rows + 0.5 * between)
        estimate, law = estimates[NAMES[a], NAMES[b]], stats.t(19, difference.mean(), se)
        assert estimate.estimator == ROW_LEVEL
        assert (estimate.mean, estimate.se, estimate.df) == (pytest.approx(difference.mean()), pytest.approx(se), 19)
        assert (estimate.low, estimate.high) == pytest.approx(law.interval(0.95))
        assert estimate.p == pytest.approx(2 * min(law.cdf(0), law.sf(0)))


@pytest.mark.parametrize(
    ("asked", "drop"),
    [
        (study(4), ("smote", "none")),
        (study(4, kind="other"), None),
        (study(4, function="imblab.core.measures.recall"), None),
    ],
    ids=["one covariance is missing", "a kind that was not simulated", "a measure that was not simulated"],
)
def test_the_corrected_t_decides_the_whole_family_elsewhere(asked, drop):
    values = np.random.default_rng(2).normal(0.5, 0.1, (3, 4, 5))
    _, known = covariances(20)
    known[KEY][20].pop(drop, None)
    estimates = paired.estimate_all(scores_of(asked, values), asked, known)[KEY]
    for a, b in PAIRS:
        difference = (values[NAMES.index(a)] - values[NAMES.index(b)]).ravel()
        assert estimates[a, b] == corrected_t(difference, 80, 20)
        assert estimates[a, b].estimator == CORRECTED_T


@pytest.mark.parametrize("n_folds", [15, 25])
def test_covariances_over_other_folds_decide_nothing(n_folds):
    """Repeats were added after the evidence was built, or fewer are asked for than it was built from."""
    values = np.random.default_rng(6).normal(0.5, 0.1, (3, 4, 5))
    asked = study(4)
    estimates = paired.estimate_all(scores_of(asked, values), asked, covariances(n_folds)[1])[KEY]
    assert {each.estimator for each in estimates.values()} == {CORRECTED_T}


@pytest.mark.parametrize(
    ("repeats", "folds", "positives", "expected"),
    [
        (1, 5, 4, ROW_LEVEL),
        (2, 5, 4, CORRECTED_T),
        (3, 5, 4, ROW_LEVEL),
        (1, 3, 7, CORRECTED_T),
        (1, 10, 2, CORRECTED_T),
        (4, 5, 3, CORRECTED_T),
    ],
    ids=["one repeat", "two repeats", "three repeats", "three folds", "ten folds", "15 positive rows"],
)
def test_a_rule_decides_only_where_it_was_simulated(repeats, folds, positives, expected):
    values = np.random.default_rng(4).normal(0.5, 0.1, (3, repeats, folds))
    asked = study(repeats, folds=folds)
    estimates = paired.estimate_all(scores_of(asked, values, positives), asked, covariances(repeats * folds)[1])[KEY]
    assert {each.estimator for each in estimates.values()} == {expected}


def test_degrees_of_freedom_are_those_of_the_rarer_class():
    """The user may name the class of the majority as the positive one."""
    values = np.random.default_rng(5).normal(0.5, 0.1, (3, 1, 5))
    asked, known = study(1), covariances(5)[1]
    estimates = paired.estimate_all(scores_of(asked, values, positives=16, negatives=5), asked, known)[KEY]
    assert {(each.estimator, each.df) for each in estimates.values()} == {(ROW_LEVEL, 24)}
    estimates = paired.estimate_all(scores_of(asked, values, positives=16, negatives=3), asked, known)[KEY]
    assert {each.estimator for each in estimates.values()} == {CORRECTED_T}


def test_a_strategy_in_no_claimed_contrast_does_not_choose_the_standard_error():
    values = np.random.default_rng(7).normal(0.5, 0.1, (3, 4, 5))
    asked = replace(study(4), claims=Claims(contrasts=PAIRS[:1]))
    _, known = covariances(20)
    by_pair = known[KEY][20]
    known[KEY][20] = {pair: value for pair, value in by_pair.items() if "smote" not in pair}
    scores = scores_of(asked, values)
    estimates = paired.estimate_all(scores, asked, known)[KEY]
    assert estimates["threshold", "none"].estimator == ROW_LEVEL
    assert (
        estimates["threshold", "none"]
        == paired.estimate_all(scores, asked, covariances(20)[1])[KEY]["threshold", "none"]
    )
    gain = (values[2] - values[0]).ravel()
    assert estimates["smote", "none"] == corrected_t(gain, 80, 20)
    # What the recommendation asks for rests on the same choice.
    again = paired.estimate_family(scores[KEY], [("smote", "threshold"), ("none", "threshold")], asked, known[KEY])
    assert [each.estimator for each in again.values()] == [CORRECTED_T, ROW_LEVEL]


def test_a_claimed_contrast_without_covariances_takes_them_from_every_standard_error():
    values = np.random.default_rng(8).normal(0.5, 0.1, (3, 4, 5))
    asked, (_, known) = study(4), covariances(20)
    known[KEY][20].pop(("smote", "none"))
    again = paired.estimate_family(scores_of(asked, values)[KEY], [("threshold", "none")], asked, known[KEY])
    assert again["threshold", "none"].estimator == CORRECTED_T


def test_equal_scores_are_identical_whatever_the_rows_say():
    values = np.full((3, 4, 5), 0.5)
    asked = study(4)
    estimates = paired.estimate_all(scores_of(asked, values), asked, covariances(20)[1])[KEY]
    assert all(each.identical and each.p == 1 for each in estimates.values())


@pytest.mark.parametrize(("table", "expected"), [(0, CORRECTED_T), (1, CORRECTED_T), (2, ROW_LEVEL), (3, CORRECTED_T)])
def test_a_recorded_study_keeps_the_rules_of_its_version(table, expected):
    values = np.random.default_rng(3).normal(0.5, 0.1, (3, 4, 5))
    asked = register_claims(study(4))
    record = replace(asked.claims.registered, table=table)
    asked = replace(asked, claims=replace(asked.claims, registered=record))
    estimates = paired.estimate_all(scores_of(asked, values), asked, covariances(20)[1])[KEY]
    assert {each.estimator for each in estimates.values()} == {expected}


def test_the_kind_of_a_learner_is_outside_every_comparison():
    assert Learner("logistic", {}, kind="linear") == replace(Learner("logistic", {}), kind="other")


def test_a_run_rests_on_what_was_recorded_before_its_first_evaluation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rules = {standard_errors.TABLE_VERSION: {("logistic", MCC): (RowLevelRule(2.0), RowLevelRule(2.0))}}
    monkeypatch.setattr(standard_errors, "ROW_LEVEL_RULES", rules)
    protocol = ["protocol=smoke", "protocol.outer_folds=5"]
    asked = ["name=rows", "dataset=[ecoli3]", "learner=[logistic,svm]", "strategy=[none,threshold]", *protocol]
    assert main(["run", *asked, "tracking=none", "runner.n_jobs=1", "--json"]) == 0
    contrasts = json.loads(capsys.readouterr().out)["contrasts"]
    assert [c["estimator"] for c in contrasts] == [ROW_LEVEL, CORRECTED_T]  # support vector machines were not simulated
    assert main(["compare", "rows", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["contrasts"] == contrasts
    record = Path("experiments/rows/study.yaml")
    newest = f"table: {standard_errors.TABLE_VERSION}"
    assert newest in record.read_text()
    record.write_text(record.read_text().replace(newest, "table: 1"))
    assert main(["compare", "rows", "--json"]) == 0
    assert {c["estimator"] for c in json.loads(capsys.readouterr().out)["contrasts"]} == {CORRECTED_T}
