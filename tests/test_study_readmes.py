"""The figures in the README of a committed study are those of its files."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from imblab.commands.results import read_evidence, read_result
from imblab.edges import config, ledger
from imblab.edges.report.data import EvidenceIndex

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
LADDER = ("none", "smote_0.1", "smote_0.2", "smote_0.4", "smote_0.6", "smote_0.8", "smote_1")


def read(name):
    home = EXPERIMENTS / name
    text = " ".join((home / "README.md").read_text(encoding="utf-8").split())
    return text, read_result(home, config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study)


def short(value, digits=3, sign=True):
    """A number as the pages write it: +.006, -.07; without its sign where that says nothing."""
    text = f"{value:{'+' if sign and round(value, digits) else ''}.{digits}f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def span(values, digits=3):
    return f"{short(min(values), digits)} to {short(max(values), digits)}"


def verdicts(rows):
    return rows.verdict.value_counts().to_dict()


def pick(contrasts, a, b):
    return contrasts[(contrasts.a == a) & (contrasts.b == b)]


@pytest.fixture(scope="module")
def ratio():
    return read("smote_ratio")


def test_smote_ratio_states_its_verdicts(ratio):
    text, result = ratio
    primary = pick(result.contrasts, "smote_threshold", "threshold")
    counts = verdicts(primary)
    assert f"*equivalent* in {counts['equivalent']} of {len(primary)} comparisons (page_blocks0" in text
    assert f"*inconclusive* in {counts['inconclusive']} ({span(primary['mean'])})" in text
    tuned = pick(result.contrasts, "smote_1_threshold", "smote_threshold")
    counts = verdicts(tuned)
    assert f"by {span(tuned['mean'])} (*equivalent* in {counts['equivalent']} of {len(tuned)} comparisons" in text
    assert f"*inconclusive* in {counts['inconclusive']}):" in text
    decided = result.contrasts[result.contrasts.verdict != "inconclusive"]
    assert f"{len(decided)} of the {len(result.contrasts)} declared contrasts are decided" in text
    n_better = int(decided.verdict.isin(["better", "worse"]).sum())
    chance = result.study.claims.alpha * len(result.contrasts)
    assert f"at most {chance:.1f} better or worse, and {n_better} are" in text
    assert f"detected a difference of {short(result.contrasts.detectable.median(), 2, sign=False)} in MCC" in text


def test_smote_ratio_states_its_effect_over_parent_data_sets(ratio):
    text, result = ratio
    logistic = next(each for each in result.across if each.learner == "logistic")
    (row,) = pick(logistic.contrasts, "smote_threshold", "threshold").to_dict("records")
    assert row["verdict"] == "equivalent"
    assert f"six parent data sets: {short(row['effect'])}, 90 % interval " in text
    assert f"{short(row['equivalence_low'])} to {short(row['equivalence_high'])}, *equivalent* within ±.02" in text


def test_smote_ratio_states_where_one_to_one_is_worse(ratio):
    text, result = ratio
    rows = pick(result.contrasts, "smote_1", "smote").set_index(["dataset", "learner"])
    worse = rows[rows.verdict == "worse"]["mean"]
    assert set(worse.index) == {("page_blocks0", "logistic"), ("hypothyroid", "logistic"), ("hypothyroid", "lightgbm")}
    assert f"page_blocks0 ({short(worse['page_blocks0', 'logistic'])}) and hypothyroid (" in text
    assert (
        f"({short(worse['hypothyroid', 'logistic'])}; with LightGBM {short(worse['hypothyroid', 'lightgbm'])})" in text
    )
    assert list(rows.index[rows.verdict == "equivalent"]) == [("page_blocks0", "lightgbm")]


def test_smote_ratio_states_peaks_and_probabilities(ratio):
    text, result = ratio
    index = EvidenceIndex.from_frame(read_evidence(EXPERIMENTS / "smote_ratio"))
    peaks, drops, shares, changes = {}, {}, {}, []
    for (dataset, learner), scores in result.scores.items():
        if learner != "logistic":
            continue
        known = [name for name in LADDER if not np.isnan(scores.values["mcc"][scores.strategies.index(name)]).any()]
        rows = {m: {n: scores.values[m][scores.strategies.index(n)].mean() for n in known} for m in scores.values}
        peak = max(rows["mcc"], key=rows["mcc"].get)
        peaks[dataset], drops[dataset] = peak, rows["mcc"][peak] - rows["mcc"]["smote_1"]
        changes.append(rows["pr_auc"]["smote_1"] - rows["pr_auc"]["none"])
        shares[dataset] = index.statistics["calibration", (dataset, learner, "smote_1")]["mean_risk_ratio"]
        recall = [rows["recall"][name] for name in known]
        assert recall == sorted(recall)
    assert drops.pop("abalone19") < 0.01
    peaks.pop("abalone19")
    ratios = [float(name.removeprefix("smote_")) for name in peaks.values()]
    assert (
        f"peaks at ratios of {short(min(ratios), 1, sign=False)} to {short(max(ratios), 1, sign=False)} and ends"
        in text
    )
    ends = " to ".join(short(f(drops.values()), 2, sign=False) for f in (min, max))
    assert f"{ends} below its peak on five of six data sets" in text
    assert f"reaches {min(shares.values()):.1f} to {max(shares.values()):.0f} times" in text
    assert f"({shares['yeast4']:.1f} on yeast4)" in text
    place = "yeast4", "logistic"
    brier = [index.statistics["calibration", (*place, name)]["brier"] for name in ("none", "smote_1")]
    corrected = index.statistics["prior", (*place, "smote_1")]["brier"]
    assert f"from {short(brier[0], sign=False)} to {short(brier[1], sign=False)}; prior correction" in text
    assert f"lowers it to {short(corrected, sign=False)} again" in text
    assert f"PR-AUC changes by {short(min(changes), 2)} to {short(max(changes), 2)}" in text
    assert all(math.isfinite(value) for value in shares.values())


@pytest.fixture(scope="module")
def strategies():
    return read("resample_or_not")


def test_resample_or_not_states_its_verdicts(strategies):
    text, result = strategies
    primary = pick(result.contrasts, "smote_threshold", "threshold")
    counts = verdicts(primary)
    assert (
        f"*equivalent* in {counts['equivalent']} and *inconclusive* in {counts['inconclusive']} of {len(primary)}"
        in text
    )
    assert f"median difference {short(primary['mean'].median())}, from {span(primary['mean'])})" in text
    logistic = next(each for each in result.across if each.learner == "logistic")
    (row,) = pick(logistic.contrasts, "smote_threshold", "threshold").to_dict("records")
    interval = f"{short(row['equivalence_low'])} to {short(row['equivalence_high'])}"
    assert row["verdict"] == "equivalent"
    assert f"with logistic regression ({short(row['effect'])}, 90 % interval {interval})" in text
    assert f"detected a difference of {short(result.contrasts.detectable.median(), 2, sign=False)} in MCC" in text


def test_resample_or_not_states_what_differs_from_no_treatment(strategies):
    text, result = strategies
    rows = result.contrasts[(result.contrasts.b == "none") & (result.contrasts.family == "secondary")]
    counts = verdicts(rows)
    n_tested = len(rows) - counts["not applicable"]
    better, worse = rows[rows.verdict == "better"], rows[rows.verdict == "worse"]
    logistic = better[(better.learner == "logistic") & better.dataset.isin(["abalone19", "wine_red4"])]
    assert f"{len(better)} of {n_tested} comparisons are *better*; {len(logistic)} of them are logistic" in text
    others = better.drop(logistic.index)
    assert (len(others), set(others.a), set(others.dataset)) == (3, {"random_under"}, {"abalone19", "wine_red4"})
    is_sampled = logistic.a.map({s.name: s.sampler is not None for s in result.study.strategies})
    for part, words in ((logistic[~is_sampled], "class weight gains "), (logistic[is_sampled], "samplers ")):
        ends = [short(f(part["mean"]), 2, sign=False) for f in (min, max)]
        assert words + " to ".join(ends) in text
    near_miss = worse[worse.a == "near_miss"]["mean"]
    assert (
        f"in {['', 'one', 'two', 'three', 'four'][len(near_miss)]} comparisons ({short(max(near_miss), 2)} to " in text
    )
    assert f"{short(min(near_miss), 2)})" in text
    trees = verdicts(rows[(rows.a == "threshold") & (rows.learner == "decision_tree")])
    assert trees == {"identical": 6, "equivalent": 2}
    said = f"{counts['equivalent']} comparisons are *equivalent*, {counts['identical']} *identical* and "
    assert f"{said}{counts['not applicable']} not applicable" in text
    chance = result.study.claims.alpha * n_tested
    assert f"at most {chance:.1f} better or worse, and {len(better) + len(worse)} are" in text
