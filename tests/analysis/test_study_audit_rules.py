"""Rules of the audit of a study: from numbers to states, at their bounds."""

import math

import numpy as np
import pytest

from imblab.analysis.optimism import (
    ClaimGap,
    claim_gap,
    margin_of,
    optimism_finding,
    overall_gap,
    peeking_finding,
    threshold_grid_of,
)
from imblab.analysis.table_audit_rules import (
    CopySummary,
    copies_of_study_finding,
    groups_of_study_finding,
    shift_finding,
    telling_columns_finding,
)
from imblab.study import Measure

MCC = Measure("mcc", "imblab.core.measures.mcc", "label", range=(-1, 1))
LOSS = Measure("log_loss", "imblab.core.measures.log_loss", "probability", False, (0, None))


def gap(value, se, dataset="d", claimed=0.7):
    return ClaimGap(dataset, "knn", "smote", claimed, claimed - value, value, se, 5)


@pytest.mark.parametrize(
    ("value", "se", "state"),
    [
        (0.2, 0.05, "caution"),
        (0.2, 0.07, "passed"),  # within three errors
        (0.04, 0.001, "passed"),  # within the margin
        (-0.2, 0.01, "passed"),
        (0.2, math.nan, "caution"),  # one fold has no error
        (0.04, math.nan, "passed"),
    ],
)
def test_a_gap_is_a_caution_beyond_margin_and_error(value, se, state):
    assert optimism_finding([gap(value, se)], [], MCC).state == state


def test_a_gap_of_one_fold_is_judged_without_an_error_that_does_not_exist():
    finding = optimism_finding([gap(0.2, math.nan)], [], MCC)
    assert "is above 0.050, most d/knn/smote" in finding.meaning
    assert "standard error" not in finding.meaning
    assert "above 0.050 and 3 standard errors" in optimism_finding([gap(0.2, 0.05)], [], MCC).meaning


def test_the_mean_over_data_sets_has_its_own_error():
    gaps = [gap(value, 0.5, name) for name, value in zip("abcd", (0.2, 0.21, 0.19, 0.2), strict=True)]
    assert not any(each.exceeds(0.05) for each in gaps)
    (overall,) = overall_gap(gaps)
    assert overall.gap == pytest.approx(0.2)
    assert overall.se == pytest.approx(np.std([0.2, 0.21, 0.19, 0.2], ddof=1) / 2)
    finding = optimism_finding(gaps, [], MCC)
    assert finding.state == "caution"
    assert "Over the data sets the gap is +0.200" in finding.meaning


def test_the_best_of_all_strategies_is_information():
    finding = optimism_finding([gap(0.01, 0.01)], [gap(0.3, 0.01)], MCC)
    assert finding.state == "passed"
    assert "would claim 0.700 in place of 0.400" in finding.meaning


def test_of_a_loss_less_is_better_and_no_margin_is_known():
    rows = np.array([80.0, 80.0]), np.array([20.0, 20.0])
    found = claim_gap(("d", "l", "s"), np.array([0.1, 0.2]), np.array([0.3, 0.5]), rows, -1)
    assert found.gap == pytest.approx(0.25)
    assert margin_of(LOSS) == math.inf
    assert optimism_finding([found], [], LOSS).state == "passed"


def test_folds_without_both_scores_are_left_out():
    rows = np.full(3, 80.0), np.full(3, 20.0)
    found = claim_gap(("d", "l", "s"), np.array([0.6, np.nan, 0.8]), np.array([0.4, 0.4, 0.4]), rows, 1)
    assert (found.folds, found.claimed, found.nested) == (2, pytest.approx(0.7), pytest.approx(0.4))


def test_grids_of_thresholds():
    assert threshold_grid_of((0.1, 0.2)) == (0.1, 0.2)
    assert len(threshold_grid_of((0.1, 0.123))) == 99
    assert len(threshold_grid_of("observed")) == 99
    text = peeking_finding([gap(0.1, 0.02)], MCC, ["yeast"]).meaning
    assert text.endswith("Left out: yeast, which has more than two classes and as many thresholds.")


def copies(n, lift=math.nan, se=math.nan, **fields):
    return CopySummary("d", 1000, n, rows=1000, score=0.5, score_without=0.5 - lift, lift=lift, se=se, **fields)


@pytest.mark.parametrize(
    ("table", "state"),
    [
        (copies(0), "passed"),
        (copies(19), "passed"),
        (copies(20), "caution"),
        (copies(300, 0.2, 0.05), "failed"),
        (copies(300, 0.2, 0.07), "caution"),
        (copies(300, 0.04, 0.001), "caution"),
        (copies(5, 0.2, 0.05), "failed"),  # few rows, but those of a rare class
        (copies(0, contradicting=19), "passed"),
        (copies(0, contradicting=20), "caution"),
        (copies(300, class_is_copied=True, reason="None is left."), "failed"),
    ],
)
def test_copies_fail_where_they_raise_the_score(table, state):
    assert copies_of_study_finding("duplicates", [copies(0), table]).state == state
    assert copies_of_study_finding("near-duplicates", [table, copies(0)]).state == state


def test_copies_raise_no_score_without_a_margin():
    assert copies_of_study_finding("duplicates", [copies(300, 0.2, 0.05)], math.inf).state == "caution"


def test_groups():
    assert groups_of_study_finding({"a": 0}, ["b"]).meaning.endswith("b: no groups are named.")
    finding = groups_of_study_finding({"a": 0, "c": 2}, [])
    assert (finding.state, finding.value) == ("failed", 2)
    assert finding.meaning.startswith("2 groups of c had rows in the training and the test part")


@pytest.mark.parametrize(
    ("kind", "auc", "state"),
    [
        ("function", None, "failed"),
        ("missing", 1.0, "failed"),
        ("missing", 0.995, "caution"),
        ("ranking", 1.0, "caution"),  # an easy table, or a leak: only its owner can say
        ("row numbers", None, "caution"),
        ("dates", None, "caution"),
    ],
)
def test_columns(kind, auc, state):
    clue = {"column": "c", "kind": kind, "label": "yes", "auc": auc}
    finding = telling_columns_finding({"d": [clue], "e": []}, 12)
    assert (finding.state, finding.value) == (state, 1)
    assert "d: 'c' " in finding.meaning


@pytest.mark.parametrize(
    ("accuracy", "p", "state"),
    [(0.8, 1e-9, "caution"), (0.54, 1e-9, "passed"), (0.8, 0.006, "passed"), (0.8, 0.004, "caution")],
)
def test_a_shift_is_a_caution_beyond_margin_and_level(accuracy, p, state):
    window = {"dataset": "d", "repeat": 0, "fold": 0, "rows": 200, "rarest_in_train": 0.1, "rarest_in_test": 0.2}
    windows = [{**window, "accuracy": 0.5, "p": 0.5}, {**window, "fold": 1, "accuracy": accuracy, "p": p}]
    finding = shift_finding(windows, ["e"])  # Holm doubles the smaller p
    assert (finding.state, finding.value) == (state, accuracy)
    assert finding.meaning.endswith("No time column: e.")


def test_time_ordered_parts_that_are_too_small():
    finding = shift_finding([], [], ["d"])
    assert (finding.state, finding.way_out) == ("not made", "")
