"""Advice: one rule per verdict, nothing that the verdict does not allow."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imblab.analysis.wording import GENERAL_ADVICE, RESAMPLING_ADVICE, advise
from imblab.stats.paired_tests import detectable_factor
from imblab.study import Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, ratio=0.5, k=5),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5, k=5),
)
#: What is advised where resampling made no demonstrable difference.
INCONCLUSIVE = "Prefer threshold to smote_threshold: it is simpler, and no gain of smote_threshold was demonstrated."
ISOLATING, GENERAL = ("smote_threshold", "threshold"), ("smote", "none")


def study(repeats=1):
    measures = (Measure("mcc", "m", "label"),)
    return Study("demo", 0, {"toy": {}}, (Learner("logistic", {}),), STRATEGIES, measures, Protocol(repeats=repeats))


def row(pair, verdict, p=0.2, detectable=0.3216, reason=None, dataset="toy", learner="logistic", folds=5):
    a, b = pair
    return {
        **{"dataset": dataset, "learner": learner, "a": a, "b": b, "verdict": verdict, "p": p, "folds": folds},
        **{"mean": math.nan if math.isnan(p) else 0.05, "detectable": detectable, "rope": 0.01, "reason": reason},
    }


def advice_on(*rows, repeats=1, across=()):
    return advise(pd.DataFrame(rows), study(repeats), across)


@pytest.mark.parametrize(
    ("verdict", "isolating", "general"),
    [
        ("better", "Use smote_threshold: ", "Use smote rather than none; "),
        ("worse", "Use threshold and drop smote_threshold: ", "Keep none: smote scored worse."),
        ("equivalent", "Use threshold and drop smote_threshold: threshold is simpler", "Keep none: the difference"),
        ("identical", "Use threshold and drop smote_threshold: ", "Keep none: the scores of smote are the same"),
        ("inconclusive", "Prefer threshold to smote_threshold: it is simpler", "Keep none: no gain of smote"),
        ("descriptive", "Prefer threshold, which is simpler, unless smote_threshold", "Keep none unless smote did"),
        ("exploratory", "This is a hint only: declare smote_threshold − threshold", "This is a hint only: declare"),
    ],
)
def test_every_verdict_has_its_rule(verdict, isolating, general):
    assert advice_on(row(ISOLATING, verdict))[0].startswith(isolating)
    assert advice_on(row(GENERAL, verdict))[0].startswith(general)


def test_no_rule_is_without_a_verdict():
    assert set(GENERAL_ADVICE) == set(RESAMPLING_ADVICE)
    assert "resampling" not in "".join(advice_on(row(GENERAL, v))[0] for v in ("better", "worse", "equivalent"))


def test_what_was_not_shown_never_asks_for_resampling():
    todo, reach = advice_on(row(ISOLATING, "inconclusive"))
    assert todo == INCONCLUSIVE
    assert reach.startswith(
        "The smallest difference in MCC that this design detects with 80 % power is 0.322 (toy, logistic); smaller "
        "ones cannot be ruled out."
    )


def power(d, J, ratio, level, rng):
    """The share of designs with normal fold differences of spread 1 that find a mean of d."""
    sd = math.sqrt(1 / J + ratio)
    # The mean of J differences has the variance that the correction takes it to have; their spread is a chi's.
    means = d + sd * rng.standard_normal(200_000)
    spread = np.sqrt(rng.chisquare(J - 1, 200_000) / (J - 1))
    return np.mean(np.abs(means / (sd * spread)) > stats.t.ppf(1 - level / 2, J - 1))


@pytest.mark.parametrize(
    ("repeats", "folds", "words"), [(1, 5, "With 5 repeats it would be"), (5, 25, "Even unlimited repeats")]
)
def test_what_more_repeats_and_positives_would_find_follows_from_what_was_seen(repeats, folds, words):
    """What it promises for five and for unlimited repeats is detected with 80 % power, by simulation."""
    rng, level = np.random.default_rng(0), 0.05 / 4
    seen = detectable_factor(folds, 0.25, level)
    said = advice_on(row(ISOLATING, "inconclusive", detectable=seen, folds=folds), repeats=repeats)[-1]
    promised = [float(v) for v in re.findall(r"\d+\.\d{3}", said)]
    assert words in said
    designs = {1: [5, 25, 10**6], 5: [25, 10**6]}[repeats]
    assert [power(d, J, 0.25, level, rng) for d, J in zip(promised, designs, strict=True)] == pytest.approx(
        [0.8] * len(designs), abs=0.005
    )
    times = re.search(
        r"Detecting ±0\.01, the smallest difference that matters, takes about (\S+) times as many positives", said
    )[1]
    assert float(times) == pytest.approx((seen / 0.01) ** 2, rel=0.05)


def test_what_was_not_tested_names_the_reason():
    said = advice_on(row(ISOLATING, "inconclusive", math.nan, math.nan, "'smote_threshold' has no MCC in 1 of 5 folds"))
    assert len(said) == 1
    assert said[0].startswith("Nothing could be tested: smote_threshold cannot be compared (no MCC in 1 of 5 folds).")


def test_tables_and_learners_that_differ_are_told_apart_what_is_settled_first():
    where = [(d, n) for n in ("logistic", "knn", "tree") for d in ("a", "b")]
    words = ["inconclusive", "better", "inconclusive", "better", "worse", "worse"]
    rows = [row(ISOLATING, w, dataset=d, learner=n) for w, (d, n) in zip(words, where, strict=True)]
    better, worse, rest, reach = advice_on(*rows)
    assert better.startswith("With logistic and knn on b, use smote_threshold: ")
    assert worse.startswith("With tree on all data sets, use threshold and drop smote_threshold: ")
    assert rest == f"Elsewhere, p{INCONCLUSIVE[1:]}"
    assert reach.startswith("The smallest difference in MCC that this design detects")


def test_strategies_that_came_out_alike_share_a_sentence():
    said = advice_on(row(("smote", "none"), "worse"), row(("smote_threshold", "none"), "worse"))
    assert said == ["Keep none: smote and smote_threshold scored worse."]


def test_what_holds_over_parents_comes_first_and_does_not_hide_the_tables():
    contrast = {**row(ISOLATING, "better"), "wins": 8, "losses": 1, "parents": 9}
    found = SimpleNamespace(learner="logistic", contrasts=pd.DataFrame([contrast, {**contrast, "b": "none"}]))
    first, second, _ = advice_on(row(ISOLATING, "inconclusive"), across=[found])
    assert first.startswith("For a new table like these, begin with smote_threshold rather than threshold (logistic)")
    assert "8 of 9 parent data sets" in first
    assert second.startswith("Within each data set, prefer threshold")
    found.contrasts.verdict = "untested"
    assert len(advice_on(row(ISOLATING, "inconclusive"), across=[found])) == 2


def test_the_shape_of_the_study_decides_nothing_else():
    same = replace(study(), name="other", seed=7)
    frame = pd.DataFrame([row(ISOLATING, "inconclusive")])
    assert advise(frame, same) == advise(frame, study())
