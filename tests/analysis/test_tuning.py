"""What tuning saw and chose: means over the same cells only, optimism of like against like."""

import math

import numpy as np
import pandas as pd
import pytest

from imblab.analysis import tuning
from imblab.analysis.table import tidy
from imblab.result import Evaluation, Trial


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


def test_a_candidate_is_averaged_over_the_cells_that_have_it():
    found = tuning.response(ROWS)
    by = {(p["ratio"], p["k"]): (v, c, of, n) for p, v, c, of, n in found.iloc[:, 3:].itertuples(index=False)}
    assert by[0.5, 3] == (pytest.approx(0.5), 2, 2, 1)
    assert by[0.1, 3] == (0.2, 1, 2, 0)


def test_a_curve_leaves_out_what_is_missing_somewhere():
    found = tuning.response(ROWS)
    assert tuning.along(found, "ratio", "k") == {3: ([0.5, 1.0], [0.5, 0.5]), 5: ([0.5], [0.5])}
    assert tuning.along(found, "ratio")[None][0] == [0.5, 1.0]
    assert tuning.along(found, "k", greater_is_better=False)[None] == ([3.0, 5.0], [0.5, 0.5])
    assert tuning.scattered(ROWS, "ratio") == ([0.1, 0.5, 1.0, 0.5, 0.5, 1.0, 0.5], [0.2, 0.4, 0.3, 0.1, 0.6, 0.7, 0.9])


def test_optimism_of_a_measure_of_counts_rests_on_summed_counts():
    def recall(tn, fp, fn, tp):
        return tp / (tp + fn)

    rows = [ROWS[0], row(1, {(0.5, 3): 0.6}, (0.5, 3), counts={"tn": 90, "fp": 0, "fn": 0, "tp": 95})]
    found = tuning.optimism(tidy(rows), "mcc", recall).iloc[0]
    assert found.inner == pytest.approx(0.5)
    assert found.outer == pytest.approx(98 / 100)
    assert found.optimism == pytest.approx(0.5 - 0.98)
    assert tuning.optimism(tidy(rows), "mcc", None).iloc[0].outer == pytest.approx(0.5)


def test_an_arm_that_tuned_nothing_has_no_optimism():
    assert tuning.optimism(tidy([row(0, {(0.5, 3): 0.4}, (0.5, 3), value=None)]), "mcc", None).empty


def test_choices_are_counted():
    found = tuning.chosen(tidy(ROWS)).set_index("knob")
    assert found.loc["ratio", "values"] == ((0.5, 2),)
    assert found.loc["k", "agreement"] == 0.5
    assert list(found.index) == ["ratio", "k"]


def test_what_was_received_counts_weights():
    plain = row(0, {(0.5, 3): 0.4}, (0.5, 3), reached={"negative": 80, "positive": 20})
    balanced = row(1, {(0.5, 3): 0.4}, (0.5, 3), reached={"negative": 80, "positive": 20})
    balanced.params["weight"] = "balanced"
    assert tuning.received([plain, balanced]) == pytest.approx((0.25 + 1) / 2)
    assert math.isnan(tuning.received([]))
    assert isinstance(tuning.response([]), pd.DataFrame)
    assert np.isfinite(tuning.received([plain]))
