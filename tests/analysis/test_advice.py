"""Advice: one rule a verdict, nothing that the verdict does not allow."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from imblab.analysis.advice import ON_POINTS, ON_RESAMPLING, advice
from imblab.records import Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
ARMS = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, ratio=0.5, k=5),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5, k=5),
)
ALONE, POINT = ("smote_threshold", "threshold"), ("smote", "none")


def study(repeats=1):
    measures = (Measure("mcc", "m", "label"),)
    return Study("demo", 0, {"toy": {}}, (Learner("logistic", {}),), ARMS, measures, Protocol(repeats=repeats))


def row(pair, verdict, p=0.2, detectable=0.3216, reason=None):
    a, b = pair
    return {"a": a, "b": b, "verdict": verdict, "p": p, "detectable": detectable, "rope": 0.01, "reason": reason}


def told(*rows, repeats=1, across=()):
    return advice(pd.DataFrame(rows), study(repeats), across)


@pytest.mark.parametrize(
    ("verdict", "alone", "point"),
    [
        ("better", "Use smote_threshold: ", "Use smote rather than none; "),
        ("worse", "Use threshold: ", "Stay with none: smote scored worse."),
        ("equivalent", "Use threshold, the simpler arm: ", "Stay with none: "),
        ("identical", "Use threshold, the simpler arm: ", "Stay with none: smote scored the same"),
        ("undetermined", "This design could have found differences in MCC of 0.322 or more", "This design could"),
        ("descriptive", "Folds that follow the time allow no test: prefer threshold", "Folds that follow the time"),
        ("exploratory", "Take this as a hint: declare smote_threshold − threshold", "Take this as a hint: declare"),
    ],
)
def test_every_verdict_has_its_rule(verdict, alone, point):
    assert told(row(ALONE, verdict))[0].startswith(alone)
    assert told(row(POINT, verdict))[0].startswith(point)


def test_no_rule_is_without_a_verdict():
    assert set(ON_POINTS) == set(ON_RESAMPLING)
    assert "resampling" not in "".join(told(row(POINT, v))[0] for v in ("better", "worse", "equivalent"))


def test_what_was_not_shown_never_asks_for_resampling():
    said = told(row(ALONE, "undetermined"))[0]
    assert "prefer threshold, the simpler arm" in said
    assert "cannot rule out smaller ones" in said
    assert said.endswith("More repeats narrow the interval: protocol=repeated_5x5x3. More positives narrow it further.")
    assert told(row(ALONE, "undetermined"), repeats=5)[0].endswith("it takes more positives.")


def test_what_was_not_tested_names_the_reason():
    said = told(row(ALONE, "undetermined", math.nan, math.nan, "'smote_threshold' has no MCC in 1 of 5 folds"))
    assert said[0].startswith("Nothing could be tested ('smote_threshold' has no MCC in 1 of 5 folds).")


def test_tables_that_differ_are_said_to_differ():
    said = told(row(ALONE, "better"), row(ALONE, "worse"))
    assert said == [
        "The answer on smote_threshold against threshold differs from table to table: decide by the row of each."
    ]


def test_strategies_that_came_out_alike_share_a_sentence():
    said = told(row(("smote", "none"), "worse"), row(("smote_threshold", "none"), "worse"))
    assert said == ["Stay with none: smote and smote_threshold scored worse."]


def test_what_holds_over_sources_comes_first_and_does_not_hide_the_tables():
    duel = {**row(ALONE, "better"), "wins": 8, "losses": 1, "sources": 9}
    found = SimpleNamespace(learner="logistic", contrasts=pd.DataFrame([duel, {**duel, "b": "none"}]))
    first, second = told(row(ALONE, "undetermined"), across=[found])
    assert first.startswith("On a new table like these, begin with smote_threshold rather than threshold (logistic)")
    assert "8 of 9 sources" in first
    assert second.startswith("On each table by itself: This design")
    found.contrasts.verdict = "untested"
    assert len(told(row(ALONE, "undetermined"), across=[found])) == 1


def test_the_shape_of_the_study_decides_nothing_else():
    same = replace(study(), name="other", seed=7)
    frame = pd.DataFrame([row(ALONE, "undetermined")])
    assert advice(frame, same) == advice(frame, study())
