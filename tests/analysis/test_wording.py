"""What a design can detect, in words."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imblab.analysis.wording import describe_power
from imblab.stats.paired_tests import detectable_factor
from imblab.study import Learner, Measure, Protocol, Strategy, Study

STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    *(
        Strategy(name, {"_target_": "imblearn.over_sampling.SMOTE"}, threshold=t)
        for name, t in (("smote", 0.5), ("smote_threshold", "tuned"))
    ),
)


def study(repeats=1):
    measures = (Measure("mcc", "m", "label"),)
    return Study("demo", 0, {"toy": {}}, (Learner("logistic", {}),), STRATEGIES, measures, Protocol(repeats=repeats))


def row(detectable=0.3216, folds=5):
    facts = {"a": "smote_threshold", "b": "threshold", "verdict": "inconclusive", "p": 0.2, "folds": folds}
    return {"dataset": "toy", "learner": "logistic", **facts, "mean": 0.05, "detectable": detectable, "rope": 0.01} | {
        "family_size": 4,
        "estimator": "corrected_t",
    }


def test_what_a_design_detects_is_said_with_its_place():
    (said,) = describe_power(pd.DataFrame([row()]), study())
    assert said.startswith(
        "The smallest difference in MCC that this design detects with 80 % power is 0.322 (toy, logistic); smaller "
        "ones cannot be ruled out."
    )
    assert list(describe_power(pd.DataFrame([row(math.nan)]), study())) == []


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
    (said,) = describe_power(pd.DataFrame([row(seen, folds)]), study(repeats))
    promised = [float(v) for v in re.findall(r"\d+\.\d{3}", said)]
    assert words in said
    designs = {1: [5, 25, 10**6], 5: [25, 10**6]}[repeats]
    assert [power(d, J, 0.25, level, rng) for d, J in zip(promised, designs, strict=True)] == pytest.approx(
        [0.8] * len(designs), abs=0.005
    )
    times = re.search(
        r"Detecting ±0\.01, the smallest difference that matters, takes about (\S+) times as many positives, if", said
    )[1]
    assert float(times) == pytest.approx((seen / 0.01) ** 2, rel=0.05)
