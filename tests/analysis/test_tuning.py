"""What tuning saw and chose: means over the same cells only, optimism of like against like."""

import math

import numpy as np
import pytest

from imblab.analysis import tuning
from imblab.result import Evaluation, Trial
from imblab.study import Choice, Strategy


def row(fold, values, chosen, strategy="smote", **more):
    """A cell whose search gave some values to some ratios."""
    trials = tuple(
        Trial({"ratio": r, "k": k}, v, 0.5, "inapplicable" if v is None else "ok") for (r, k), v in values.items()
    )
    given = {"scores": {"mcc": 0.5}, "counts": {"tn": 90, "fp": 5, "fn": 2, "tp": 3}, "value": values[chosen], **more}
    params = dict(zip(("ratio", "k"), chosen, strict=True))
    facts = {"params": params, "threshold": 0.5, "seconds": 0.1, "status": "ok", "error": None, "fingerprint": "f"}
    return Evaluation("toy", "logistic", strategy, 0, fold, **facts, **given, trials=trials)


ROWS = [
    row(0, {(0.1, 3): 0.2, (0.5, 3): 0.4, (1.0, 3): 0.3, (0.5, 5): 0.1}, (0.5, 3)),
    row(1, {(0.1, 3): None, (0.5, 3): 0.6, (1.0, 3): 0.7, (0.5, 5): 0.9}, (0.5, 5)),
]


def test_a_candidate_is_averaged_over_the_folds_that_have_it():
    by = {(c.params["ratio"], c.params["k"]): (c.value, c.is_complete) for c in tuning.average_candidates(ROWS)}
    assert by[0.5, 3] == (pytest.approx(0.5), True)
    assert by[0.1, 3] == (0.2, False)
    assert tuning.average_candidates([]) == []


def test_a_curve_leaves_out_what_is_missing_somewhere():
    candidates = tuning.average_candidates(ROWS)
    assert tuning.best_along(candidates, "ratio", "k") == {3: ([0.5, 1.0], [0.5, 0.5]), 5: ([0.5], [0.5])}
    assert tuning.best_along(candidates, "ratio")[None][0] == [0.5, 1.0]
    assert tuning.best_along(candidates, "k", greater_is_better=False)[None] == ([3.0, 5.0], [0.5, 0.5])
    assert tuning.scatter(ROWS, "ratio") == ([0.1, 0.5, 1.0, 0.5, 0.5, 1.0, 0.5], [0.2, 0.4, 0.3, 0.1, 0.6, 0.7, 0.9])


def test_optimism_of_a_measure_of_counts_rests_on_summed_counts():
    def recall(matrices):
        return matrices[..., 1, 1] / matrices[..., 1, :].sum(axis=-1)

    rows = [ROWS[0], row(1, {(0.5, 3): 0.6}, (0.5, 3), counts={"tn": 90, "fp": 0, "fn": 0, "tp": 95})]
    optimism = tuning.optimism(rows, "mcc", recall)
    assert optimism.inner == pytest.approx(0.5)
    assert optimism.outer == pytest.approx(98 / 100)
    assert optimism.difference == pytest.approx(0.5 - 0.98)
    assert tuning.optimism(rows, "mcc", None).outer == pytest.approx(0.5)


def test_a_strategy_that_tuned_nothing_has_no_optimism():
    assert tuning.optimism([row(0, {(0.5, 3): 0.4}, (0.5, 3), value=None)], "mcc", None) is None


def test_choices_are_counted():
    ratio, k = tuning.chosen_knobs(ROWS)
    assert (ratio.knob, ratio.values) == ("ratio", ((0.5, 2),))
    assert (k.knob, k.agreement) == ("k", 0.5)


def test_the_received_ratio_counts_weights():
    plain = row(0, {(0.5, 3): 0.4}, (0.5, 3), reached={"negative": 80, "positive": 20})
    balanced = row(1, {(0.5, 3): 0.4}, (0.5, 3), reached={"negative": 80, "positive": 20})
    balanced.params["weight"] = "balanced"
    assert tuning.received_ratio([plain, balanced]) == pytest.approx((0.25 + 1) / 2)
    assert math.isnan(tuning.received_ratio([]))
    assert np.isfinite(tuning.received_ratio([plain]))


def test_a_ladder_of_ratios_is_found_by_its_knobs_alone():
    sampler, other = {"_target_": "x.Sampler"}, {"_target_": "x.Other"}
    strategies = [
        Strategy("z", threshold="tuned"),
        Strategy("a", sampler, ratio=1.0, k=5),
        Strategy("b", sampler, ratio=0.1, k=5),
        Strategy("c", sampler, ratio=0.5, k=3),
        Strategy("d", other, ratio=0.5, k=5),
        Strategy("e", sampler, ratio=0.2, k=5, threshold="tuned"),
        Strategy("f", sampler, ratio=0.4, k=5, threshold="tuned"),
        Strategy("g", sampler, k=5, space={"ratio": Choice((0.1, 0.5))}),
    ]
    found = {tuple(item.by_ratio.items()): item.without for item in tuning.ratio_ladders(strategies)}
    assert found == {((0.1, "b"), (1.0, "a")): "", ((0.2, "e"), (0.4, "f")): "z"}
