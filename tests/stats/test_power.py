"""Power of a design before its first fit: against simulations, statsmodels and the committed ledgers."""

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from imblab.analysis.claims import PRIMARY, SECONDARY, primary_contrasts, secondary_contrasts
from imblab.edges import config, ledger
from imblab.stats.paired_tests import (
    CLASS_PLANNED_SPREADS,
    PLANNED_SPREADS,
    _equivalence_power,
    detectable_factor,
    equivalence_factor,
    spread_range,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("n_folds", [5, 25])
def test_the_detectable_difference_has_the_power_that_statsmodels_gives(n_folds):
    """Without the correction for shared training rows the corrected t is the plain t, which statsmodels knows."""
    effect = detectable_factor(n_folds, 0.0, alpha=0.05 / 3)
    power = TTestPower().power(effect, n_folds, 0.05 / 3, alternative="larger")
    two_sided = TTestPower().power(effect, n_folds, 0.05 / 3, alternative="two-sided")
    assert two_sided == pytest.approx(0.8, abs=1e-4)
    assert power > two_sided


@pytest.mark.parametrize("n_folds", [5, 15, 25])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_region_is_shown_equivalent_in_four_of_five_designs(n_folds, alpha):
    rng, ratio, n_samples = np.random.default_rng(0), 0.25, 200_000
    region = equivalence_factor(n_folds, ratio, alpha)
    se = math.sqrt(1 / n_folds + ratio)
    means = se * rng.standard_normal(n_samples)
    estimated = se * np.sqrt(rng.chisquare(n_folds - 1, n_samples) / (n_folds - 1))
    shown = np.abs(means) + stats.t.ppf(1 - alpha, n_folds - 1) * estimated <= region
    assert shown.mean() == pytest.approx(0.8, abs=0.004)


@given(st.integers(1, 200), st.floats(0.1, 20), st.floats(0.001, 0.2))
def test_power_of_equivalence_rises_with_the_region_and_falls_with_the_level(df, region, alpha):
    power = _equivalence_power(region, df, alpha)
    assert 0 <= power <= _equivalence_power(region * 1.5, df, alpha) <= 1
    assert power <= _equivalence_power(region, df, 1.5 * alpha)


def test_one_fold_shows_nothing():
    assert equivalence_factor(1, 0.25) == math.inf
    assert spread_range(1) == (0.0, math.inf)


@pytest.mark.parametrize("n_folds", [5, 25])
def test_the_range_holds_nine_of_ten_estimated_spreads(n_folds):
    low, high = spread_range(n_folds)
    spreads = np.random.default_rng(1).standard_normal((100_000, n_folds)).std(axis=1, ddof=1)
    assert np.mean(spreads < low) == pytest.approx(0.05, abs=0.003)
    assert np.mean(spreads > high) == pytest.approx(0.05, abs=0.003)


def family_spreads(folder, measure):
    """Spread times the root of the positives per test fold, by family of contrasts, of every data set and learner.

    With more than two classes the rows outside class 0, the most frequent one, take the place of the positives.
    """
    study, found = config.parse_study(ledger.read_study(folder)), {PRIMARY: [], SECONDARY: []}
    cells = defaultdict(lambda: defaultdict(dict))
    positives = defaultdict(list)
    for line in (folder / "ledger.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["status"] == "ok":
            cells[row["dataset"], row["learner"]][row["strategy"]][row["repeat"], row["fold"]] = row["scores"][measure]
            minority = sum(map(sum, row["confusion"][1:])) if "confusion" in row else None
            positives[row["dataset"]].append(minority or row["counts"]["tp"] + row["counts"]["fn"])
    for (dataset, _), scores in cells.items():
        n_folds = max(map(len, scores.values()))
        for family, contrasts in ((PRIMARY, primary_contrasts(study)), (SECONDARY, secondary_contrasts(study))):
            complete = [(a, b) for a, b in contrasts if len(scores[a]) == len(scores[b]) == n_folds]
            variances = [np.var([scores[a][f] - scores[b][f] for f in scores[a]], ddof=1) for a, b in complete]
            if variances := [v for v in variances if v > 1e-12]:
                found[family].append(math.sqrt(np.mean(variances) * np.mean(positives[dataset])))
    return found


@pytest.mark.parametrize(
    ("spreads", "studies"),
    [(PLANNED_SPREADS, ("smote_ratio", "resample_or_not")), (CLASS_PLANNED_SPREADS, ("multiclass",))],
    ids=["two classes", "more classes"],
)
@pytest.mark.parametrize(("measure", "function"), [("mcc", "mcc"), ("pr_auc", "average_precision")])
def test_planned_spreads_are_those_of_the_committed_ledgers(measure, function, spreads, studies):
    """If the studies were asked again, write the numbers of the message to the table and to docs/statistics.md."""
    parts = [family_spreads(EXPERIMENTS / name, measure) for name in studies]
    for family in (PRIMARY, SECONDARY):
        planned = spreads[f"imblab.core.measures.{function}", family]
        derived = np.quantile([value for part in parts for value in part[family]], [0.5, 0.1, 0.9])
        assert derived == pytest.approx([planned.center, planned.low, planned.high], abs=0.03), (measure, family)


def test_the_documentation_states_the_planned_spreads():
    page = (EXPERIMENTS.parent / "docs" / "statistics.md").read_text(encoding="utf-8")
    for spreads, classes in ((PLANNED_SPREADS, ""), (CLASS_PLANNED_SPREADS, ", more than two classes")):
        for name, function in (("MCC", "mcc"), ("PR-AUC", "average_precision")):
            planned = [spreads[f"imblab.core.measures.{function}", family] for family in (PRIMARY, SECONDARY)]
            cells = [f"{p.center:.2f} ({p.low:.2f} to {p.high:.2f})".replace("0.", ".") for p in planned]
            assert f"| {name}{classes} | {cells[0]} | {cells[1]} |" in page
