"""Power of the families of a study before its fits."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from imblab import compose
from imblab.analysis import claims
from imblab.analysis.claims import FoldSizes, _observed_spread, plan_power
from imblab.stats.paired_tests import PLANNED_SPREADS, equivalence_factor

SIZES = FoldSizes(1, 5, 0.25, 10.0)


def question(*words):
    strategies = "strategy=[none,threshold,smote,smote_threshold]"
    return compose("name=x", "dataset=[ecoli3]", "learner=[logistic]", strategies, *words)


def families(study, sizes=SIZES, applicable=None, scores=None):
    names = study.strategy_names if applicable is None else applicable
    return {f.family: f for f in plan_power(study, ("ecoli3", "logistic"), sizes, names, scores)}


def test_without_evaluations_the_spread_is_the_planned_one():
    found = families(question())
    planned = PLANNED_SPREADS["imblab.core.measures.mcc", "primary"]
    spread = found["primary"].spread
    assert (spread.center, spread.low, spread.high, spread.folds) == pytest.approx(
        (planned.center / math.sqrt(10), planned.low / math.sqrt(10), planned.high / math.sqrt(10), 0)
    )
    assert found["primary"].detectable / found["primary"].detectable_low == pytest.approx(planned.center / planned.low)
    assert (found["primary"].contrasts, found["secondary"].contrasts) == (1, 3)


def test_the_detectable_difference_is_found_with_80_percent_power():
    """By simulation: a true difference of that size, at the level of the first step of Holm over three contrasts."""
    family, rng, n = families(question())["secondary"], np.random.default_rng(3), 200_000
    se = family.spread.center * math.sqrt(1 / 5 + 0.25)
    means = family.detectable + se * rng.standard_normal(n)
    estimated = se * np.sqrt(rng.chisquare(4, n) / 4)
    found = np.abs(means / estimated) > stats.t.ppf(1 - 0.05 / 3 / 2, 4)
    assert found.mean() == pytest.approx(0.8, abs=0.005)


def test_what_is_not_applicable_is_in_no_family():
    found = families(question(), applicable=("none", "threshold", "smote"))
    assert set(found) == {"secondary"}
    assert found["secondary"].contrasts == 2


@pytest.mark.sampled(4)
@pytest.mark.parametrize("region", [0.01, 0.03, 0.05, 0.12, 0.2, 0.4])
def test_each_way_to_equivalence_is_the_first_that_suffices(region):
    study = question(f"claims.rope.mcc={region}", "claims.secondary=[]")
    family = families(study)["primary"]
    sd = family.spread.center
    assert family.is_reached is (equivalence_factor(5, 0.25) * sd <= region)
    assert family.is_reached is (family.positives_needed is None)
    if (n := family.repeats_needed) is not None:
        assert equivalence_factor(5 * n, 0.25) * sd <= region < equivalence_factor(5 * (n - 1), 0.25) * sd
    elif not family.is_reached:
        assert equivalence_factor(5 * claims.MAX_REPEATS, 0.25) * sd > region
    if (n := family.folds_needed) is not None:
        assert equivalence_factor(n, 1 / (n - 1)) * sd * math.sqrt(n / 5) <= region
    if (n := family.positives_needed) is not None:
        more = families(study, replace(SIZES, positives=n / 5))["primary"]
        assert more.is_reached
        assert not families(study, replace(SIZES, positives=(n - 2) / 5))["primary"].is_reached


def test_evaluations_on_record_give_the_spread():
    rng = np.random.default_rng(0)
    scores = {name: {(0, f): rng.normal() for f in range(5)} for name in ("threshold", "smote_threshold")}
    family = families(question(), scores=scores)["primary"]
    differences = [scores["smote_threshold"][0, f] - scores["threshold"][0, f] for f in range(5)]
    assert family.spread.center == pytest.approx(np.std(differences, ddof=1))
    low, high = (math.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.95, 0.05))
    assert (family.spread.low, family.spread.high) == pytest.approx(
        (family.spread.center * low, family.spread.center * high)
    )
    assert families(question(), scores=scores)["secondary"].spread.folds == 0


def test_equal_or_too_few_scores_give_no_spread():
    equal = {name: {(0, f): 0.5 for f in range(5)} for name in "ab"}
    few = {name: {(0, f): float(f * i) for f in range(4)} for i, name in enumerate("ab")}
    assert _observed_spread(equal, [("a", "b")]) is None
    assert _observed_spread(few, [("a", "b")]) is None


def test_a_measure_without_a_planned_spread_has_factors_only():
    family = families(question("measures=[mcc,recall]", "primary=recall"))["secondary"]
    assert family.spread is None
    assert family.detectable is None
    assert family.detectable_sd > family.equivalence_sd * 0.5 > 0


@pytest.mark.parametrize("sizes", [replace(SIZES, is_timed=True), replace(SIZES, per_repeat=1)])
def test_where_there_is_no_test_the_reason_is_named(sizes):
    family = families(question(), sizes)["primary"]
    assert family.reason.startswith("no test, since")
    assert family.detectable is None
