"""The figures in the README of a committed study are those of its files."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imblab import compose
from imblab.analysis.evidence import confusion_table
from imblab.commands.results import read_evidence, read_facts, read_result
from imblab.edges import config, ledger
from imblab.edges.report.data import EvidenceIndex
from imblab.stats import counts as confusion

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def classes():
    return read("multiclass")


def test_multiclass_states_its_verdicts(classes):
    text, result = classes
    rows = result.contrasts.set_index(["a", "b", "dataset", "learner"])

    def mean(a, b, dataset, verdict, learner="logistic"):
        row = rows.loc[(a, b, dataset, learner)]
        assert row.verdict == verdict
        return short(row["mean"])

    worst = [mean("smote_1", "none", name, "worse") for name in ("yeast", "page_blocks")]
    assert f"on yeast ({worst[0]} in MCC) and page_blocks ({worst[1]})" in text
    mild = [mean("smote_1", "smote_0.25", name, "worse") for name in ("yeast", "page_blocks")]
    assert f"the mild ratio .25 ({mild[0]} and {mild[1]})" in text
    assert f"not seen on ecoli ({mean('smote_1', 'none', 'ecoli', 'inconclusive')})" in text
    trees = rows.loc[("smote_1", "none")].xs("decision_tree", level="learner")
    assert set(trees.verdict) == {"inconclusive"}
    assert f"with decision trees ({span(trees['mean'])}, *inconclusive*)" in text
    primary = rows.loc[("smote_threshold", "threshold")]
    assert verdicts(primary) == {"inconclusive": 5, "equivalent": 1}
    assert primary.loc[("page_blocks", "logistic")].verdict == "equivalent"
    assert f"no resampling by {span(primary['mean'])} (*equivalent*" in text
    gain = result.summary.set_index(["dataset", "learner", "strategy"]).gain_none[
        "page_blocks", "logistic", "threshold"
    ]
    assert f"gains {short(gain)} on page_blocks" in text


def test_multiclass_states_recall_precision_and_crossed_borders(classes):
    text, result = classes
    labels = read_facts(EXPERIMENTS / "multiclass")["tables"]

    def by_class(dataset, strategy, measure, label):
        scores = result.scores[dataset, "logistic"]
        number = labels[dataset]["classes"].index(label)
        rows = scores.evaluations[scores.strategies.index(strategy)]
        values = [row.class_scores[measure][number] for row in rows]
        return short(np.mean([value for value in values if value is not None]), 2, sign=False)

    recall = [by_class("yeast", name, "recall", "VAC") for name in ("none", "smote_1")]
    precision = by_class("yeast", "smote_1", "precision", "VAC")
    assert f"recall of VAC rises from {recall[0]} to {recall[1]} at a precision of {precision}" in text
    frequent = [by_class("yeast", name, "recall", "CYT") for name in ("none", "smote_1")]
    assert labels["yeast"]["classes"][0] == "CYT"
    assert f"falls from {frequent[0]} to {frequent[1]}" in text
    rare = [by_class("page_blocks", name, "precision", "5") for name in ("none", "smote_1")]
    assert f"the precision of class 5 falls from {rare[0]} to {rare[1]}" in text
    frame = read_evidence(EXPERIMENTS / "multiclass")
    number = str(labels["yeast"]["classes"].index("VAC"))
    is_vac = (frame.kind == "synthetic") & (frame.dataset == "yeast") & (frame.strategy == "smote_1")
    share = frame[is_vac & (frame.name == number) & (frame.learner == "logistic")].x.mean()
    assert f"synthetic rows of VAC {short(share, 2, sign=False)} lie nearer to a row of another class" in text


SCALES = EXPERIMENTS / "balancing_the_scales"
#: Tables whose published positive class is the majority.
SWAPPED = ("climate_simulation_crashes", "thoracic_surgery")
PUBLISHED = ("none", "class_weight", "threshold", "smote")


@pytest.fixture(scope="module")
def scales():
    return read("balancing_the_scales")


@pytest.fixture(scope="module")
def compared(scales):
    """Means over folds: ours, and those published, of the learners and strategies that both have."""
    _, result = scales
    rows = [
        {"dataset": dataset, "learner": learner, "strategy": name} | {m: v[i].mean() for m, v in scores.values.items()}
        for (dataset, learner), scores in result.scores.items()
        for i, name in enumerate(scores.strategies)
    ]
    published = pd.read_csv(SCALES / "published.csv").replace({"gradient_boosting": "hist_gradient_boosting"})
    both = pd.DataFrame(rows).merge(published, on=["dataset", "learner", "strategy"], suffixes=("", "_published"))
    return both[~both.dataset.isin(SWAPPED)], pd.DataFrame(rows)


@pytest.mark.slow
def test_balancing_the_scales_states_its_verdicts(scales):
    text, result = scales
    over_tables = {each.learner: pick(each.contrasts, "smote_threshold", "threshold").iloc[0] for each in result.across}
    groups = {}
    for learner, row in over_tables.items():
        groups.setdefault(row.verdict, []).append(learner)
    effects = [over_tables[name].effect for name in groups["equivalent"]]
    assert f"with {len(groups['equivalent'])} of {len(over_tables)} learners (effects {span(effects)})" in text
    worse = [short(over_tables[name].effect) for name in groups["worse"]]
    assert f"*worse* with `{'` and `'.join(groups['worse'])}` ({' and '.join(worse)})" in text
    (unclear,) = groups["inconclusive"]
    row = over_tables[unclear]
    interval = f"{short(row.equivalence_low)} to {short(row.equivalence_high)}"
    assert f"*inconclusive* with `{unclear}` ({short(row.effect)}, 90 % interval {interval})" in text
    primary = pick(result.contrasts, "smote_threshold", "threshold")
    counts = verdicts(primary)
    assert f"{counts['better']} of {len(primary)} comparisons are *better*, {counts['worse']} *worse*" in text
    assert (
        f"{counts['equivalent']} *equivalent*, {counts['identical']} *identical* and {counts['inconclusive']}" in text
    )
    assert f"chance alone gives up to {result.study.claims.alpha * len(primary):g} better or worse" in text
    gains = {each.learner: pick(each.contrasts, "threshold", "none").iloc[0] for each in result.across}
    n_better = sum(row.verdict == "better" for row in gains.values())
    assert f"a tuned threshold is *better* with {n_better} of {len(gains)} learners" in text
    most = sorted(gains, key=lambda name: -gains[name].effect)[:3]
    first, second, third = (f"`{name}` ({short(gains[name].effect)})" for name in most)
    assert f"most with {first}, {second} and {third}" in text
    prior = [pick(each.contrasts, "smote_prior", "none").iloc[0].verdict for each in result.across]
    assert f"*worse* than no treatment with {prior.count('worse')} of them" in text


@pytest.mark.slow
def test_balancing_the_scales_has_the_published_scores_next_to_ours(scales, compared):
    text, result = scales
    both, ours = compared
    ours = ours[~ours.dataset.isin(SWAPPED)]
    assert both.dataset.nunique() == 28
    means = both.groupby(["learner", "strategy"])[["f1_published", "f1"]].mean()
    tuned = ours[ours.strategy == "smote_threshold"].groupby("learner").f1.mean()
    for learner in result.study.learners:
        cells = [means.loc[(learner.name, s), column] for column in ("f1_published", "f1") for s in PUBLISHED]
        numbers = " | ".join(short(value, sign=False) for value in (*cells, tuned[learner.name]))
        assert f"| `{learner.name}` | {numbers} |" in text
    overall = both.groupby("strategy")[["f1_published", "f1"]].mean()
    cells = [overall.loc[s, column] for column in ("f1_published", "f1") for s in PUBLISHED]
    assert f"| all | {' | '.join(short(value, sign=False) for value in (*cells, tuned.mean()))} |" in text


@pytest.mark.slow
def test_balancing_the_scales_states_where_both_agree_and_where_not(scales, compared):
    text, _ = scales
    both, _ = compared
    linear = [group.f1.corr(group.f1_published) for _, group in both.groupby("strategy")]
    assert f"correlate at {short(min(linear), 2, sign=False)} to {short(max(linear), 2, sign=False)}" in text
    means = both.groupby(["learner", "strategy"])[["f1_published", "f1"]].mean()
    for column in ("f1_published", "f1"):
        assert means[column].groupby("strategy").mean().idxmax() == "threshold"
        assert means[column].groupby("strategy").mean().idxmin() == "none"
    winners = pd.DataFrame({column: means[column].unstack().idxmax(axis=1) for column in means})
    n_same = int((winners == "threshold").all(axis=1).sum())
    assert f"is the best with {n_same} of {len(winners)} learners in both, SMOTE with `svm` in both" in text
    assert (winners.loc["svm"] == "smote").all()
    overall = both.groupby("strategy")[["f1_published", "f1"]].mean()
    assert round(overall.f1["class_weight"], 2) == round(overall.f1["smote"], 2)
    assert overall.f1_published["class_weight"] < overall.f1_published["smote"] - 0.01
    gains = (means.f1 - means.f1_published).round(2)
    assert [gains[name, "class_weight"] for name in ("random_forest", "svm")] == [0.08, 0.08]
    assert gains["logistic", "smote"] == 0.05
    above = (both.pr_auc_trapezoid - both.pr_auc).groupby(both.learner).mean()
    assert f"it is {short(above.pop('decision_tree'), 2, sign=False)} above the average precision" in text
    assert f"for other learners at most {short(above.abs().max(), 2, sign=False)} away" in text


DEMO = r"(?:--family |models:/quickstart-|quickstart dataset=)(\w+)(?:[/ ](?:learner=)?(\w+))?"


def test_the_pages_name_tables_and_learners_of_the_demo():
    demo = compose("experiment=quickstart")
    docs = EXPERIMENTS.parent / "docs"
    pages = [EXPERIMENTS.parent / "README.md", *sorted(docs.glob("*.md")), *sorted(docs.glob("how-to/*.md"))]
    named = [found for page in pages for found in re.findall(DEMO, page.read_text(encoding="utf-8"))]
    assert len(named) > 4
    assert {dataset for dataset, _ in named} <= set(demo.datasets)
    assert {learner for _, learner in named if learner} <= set(demo.learner_names)


def test_the_readme_asks_another_question_of_the_demo_under_another_name():
    """The same name would be refused after the demo, or take its verdicts away."""
    text = (EXPERIMENTS.parent / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^imblab run experiment=quickstart (.*?)(?:  +#.*)?$", text, re.MULTILINE)
    changed = [words for words in commands if re.search(r"strategy\.|search=|protocol=", words)]
    assert len(changed) == 3
    assert all(words.startswith("name=") for words in changed)


#: How measures are named in the tables of the pages.
COLUMNS = {"accuracy": "accuracy", "recall": "recall", "f1": "F1", "mcc": "MCC", "pr_auc": "PR-AUC", "brier": "Brier"}


def means_over_tables(result, measures):
    """Mean over folds, then over tables, by learner, strategy and measure."""
    rows = [
        {"learner": learner, "strategy": name, "dataset": dataset} | {m: scores.values[m][i].mean() for m in measures}
        for (dataset, learner), scores in result.scores.items()
        for i, name in enumerate(scores.strategies)
    ]
    return pd.DataFrame(rows).groupby(["learner", "strategy"], sort=False)[list(measures)].mean()


def best_on_test_folds(home, learner, strategies):
    """The MCC of each test fold at the threshold i/100, and with the strategy, that are best on that very fold."""
    frame = read_evidence(home)
    table = confusion_table(frame[(frame.learner == learner) & frame.strategy.isin(strategies)])
    scores = table.assign(mcc=confusion.mcc(*(table[name].to_numpy() for name in ("tn", "fp", "fn", "tp"))))
    return scores.groupby(["dataset", "repeat", "fold"]).mcc.max().groupby("dataset").mean()


@pytest.fixture(scope="module")
def measured():
    return read("metrics_and_alternatives")


def test_metrics_and_alternatives_has_a_row_per_strategy(measured):
    text, result = measured
    means = means_over_tables(result, COLUMNS)
    for name in result.study.strategies:
        cells = [means.loc[(each.name, name.name), m] for each in result.study.learners for m in list(COLUMNS)[:5]]
        assert f"| `{name.name}` | {' | '.join(short(value, sign=False) for value in cells)} |" in text


def test_metrics_and_alternatives_states_its_verdicts(measured):
    text, result = measured
    primary = pick(result.contrasts, "smote_threshold", "threshold")
    tally = verdicts(primary)
    assert f"*equivalent* in {tally['equivalent']} of {len(primary)} comparisons and *inconclusive* in the" in text
    assert set(tally) == {"equivalent", "inconclusive"}
    for each in result.across:
        (row,) = pick(each.contrasts, "smote_threshold", "threshold").to_dict("records")
        interval = f"{short(row['equivalence_low'])} to {short(row['equivalence_high'])}"
        assert f"({short(row['effect'])}, 90 % interval {interval}, *{row['verdict']}*)" in text
    defaults = pick(result.contrasts, "smote_1", "weight_balanced")
    assert f"differs from a balanced weight by {span(defaults['mean'])}" in text
    tally = verdicts(defaults)
    assert f"(*equivalent* in {tally['equivalent']} and *worse* in {tally['worse']} of {len(defaults)} comp" in text


def test_metrics_and_alternatives_states_what_each_measure_prefers(measured):
    text, result = measured
    means = means_over_tables(result, [*COLUMNS, "accuracy_baseline"])
    none = means.xs("none", level="strategy")
    linear = means.loc["logistic"]
    assert set(means.groupby("learner").accuracy.idxmax().str[1]) == {"none"}
    recalls = [short(none.recall[name], sign=False) for name in ("logistic", "lightgbm")]
    assert f"it finds {recalls[0]} (logistic regression) and {recalls[1]} (LightGBM) of the positives" in text
    baseline = linear.accuracy_baseline["none"]
    n_below = int((linear.accuracy < baseline).sum())
    assert f"an accuracy of {short(baseline, sign=False)}, which is more than {n_below} of {len(linear)} str" in text
    assert linear.recall.idxmax() == linear.brier.idxmax() == "weight_balanced"
    recall, brier = (short(linear[m]["weight_balanced"], sign=False) for m in ("recall", "brier"))
    least = short(linear.brier["none"], sign=False)
    assert f"({recall}) and has the worst Brier score ({brier}, no treatment {least})" in text
    loss = linear.mcc.max() - linear.mcc["weight_balanced"]
    assert f"an MCC {short(loss, sign=False)} below the best" in text
    tuned = linear.loc[["threshold", "weight_threshold", "smote_threshold"]]
    spread = max(tuned.mcc.max() - tuned.mcc.min(), tuned.f1.max() - tuned.f1.min())
    assert f"within {short(spread, sign=False)} of one another" in text
    ranking = max(np.ptp(group.pr_auc) for _, group in means.groupby("learner"))
    assert f"differs by at most {short(ranking, sign=False)} over all strategies" in text


def test_metrics_and_alternatives_states_what_tuning_on_the_test_fold_would_claim(measured):
    text, result = measured
    means = means_over_tables(result, ["mcc"]).mcc
    home, names = EXPERIMENTS / "metrics_and_alternatives", [s.name for s in result.study.strategies]
    for learner, label in (("logistic", "logistic regression"), ("lightgbm", "LightGBM")):
        claimed = best_on_test_folds(home, learner, ["threshold"]).mean()
        assert f"{short(claimed, sign=False)} in place of {short(means[learner, 'threshold'], sign=False)}" in text
        assert short(means[learner, "smote_threshold"] - means[learner, "threshold"]) in text
        chosen = best_on_test_folds(home, learner, names).mean()
        assert f"{short(chosen, sign=False)} with {label}" in text


#: Four ways to 1:1.
WAYS = ("smote_1", "random_over_1", "random_under_1", "weight_balanced")


@pytest.fixture(scope="module")
def balanced():
    return read("over_balancing")


def risk_ratios(result, name):
    """How many times the prevalence the mean predicted probability is, by learner, data set and strategy."""
    index = EvidenceIndex.from_frame(read_evidence(EXPERIMENTS / name))
    rows = {
        (learner, dataset, name): index.statistics["calibration", (dataset, learner, name)]["mean_risk_ratio"]
        for (dataset, learner), scores in result.scores.items()
        for name, row in zip(scores.strategies, scores.values["brier"], strict=True)
        if not np.isnan(row).any()
    }
    return pd.Series(rows).unstack()


def test_over_balancing_has_a_row_per_strategy(balanced):
    text, result = balanced
    means = means_over_tables(result, ("mcc", "recall", "pr_auc", "brier"))
    ratios = risk_ratios(result, "over_balancing").groupby(level=0).median()
    for name in result.study.strategies:
        cells = []
        for learner in ("logistic", "knn"):
            values = means.loc[(learner, name.name)]
            is_missing = values.isna().any()
            numbers = [*(short(value, sign=False) for value in values), f"{ratios.loc[learner, name.name]:.1f}"]
            cells += ["-"] * len(numbers) if is_missing else numbers
        assert f"| `{name.name}` | {' | '.join(cells)} |" in text


def test_over_balancing_states_its_verdicts(balanced):
    text, result = balanced
    for learner, label in (("logistic", "logistic regression"), ("knn", "kNN")):
        each = next(item for item in result.across if item.learner == learner)
        (row,) = pick(each.contrasts, "smote_1_threshold", "threshold").to_dict("records")
        interval = f"{short(row['equivalence_low'])} to {short(row['equivalence_high'])}"
        assert f"with {label} ({short(row['effect'])}, 90 % interval {interval}, *{row['verdict']}*)" in text
    mild = pick(result.contrasts, "smote_1", "smote_0.25").set_index(["learner", "dataset"])
    assert f"{int((mild['mean'] < 0).sum())} of {len(mild)} comparisons" in text
    worse = mild[mild.verdict == "worse"]["mean"]
    names = {"logistic": "logistic regression", "knn": "kNN"}
    listed = [f"{name} with {names[learner]} ({short(mean)})" for (learner, name), mean in worse.items()]
    assert all(words in text for words in listed)
    assert f"*worse* in {len(worse)}" in text


def test_over_balancing_states_that_the_ratio_matters_and_not_the_way(balanced):
    text, result = balanced
    linear = means_over_tables(result, ("mcc", "brier")).loc["logistic"]
    ways = linear.loc[list(WAYS)]
    assert f"MCC is {span(ways.mcc).replace('+', '')} and the Brier score {span(ways.brier).replace('+', '')}" in text
    assert f"({short(linear.brier['none'], sign=False)} without treatment)" in text
    corrected = [short(linear.brier[name], sign=False) for name in ("smote_1", "smote_1_prior")]
    assert f"lowers the Brier score of SMOTE 1:1 from {corrected[0]} to {corrected[1]}" in text
    tuned = [short(linear.mcc[name], sign=False) for name in ("smote_1", "smote_1_threshold", "threshold")]
    assert f"from {tuned[0]} to {tuned[1]}, where a tuned threshold without resampling has {tuned[2]}" in text
    ratios = risk_ratios(result, "over_balancing").groupby(level=0).median().loc["knn"]
    assert f"mean probability to {ratios['random_over_1']:.1f} times the prevalence, SMOTE to" in text
    assert f"SMOTE to {ratios['smote_1']:.1f} times and random under-sampling to {ratios['random_under_1']:.1f}" in text


#: The three ways to split the same table.
SPLITS = ("random_folds", "whole_days", "in_time_order")


@pytest.fixture(scope="module")
def dependent():
    return read("dependence")


def scores_by_split(result, measure):
    """Means over folds, by learner and strategy, one column per way to split."""
    rows = {
        (learner, name, dataset): scores.values[measure][i].mean()
        for (dataset, learner), scores in result.scores.items()
        for i, name in enumerate(scores.strategies)
    }
    return pd.Series(rows).unstack()[list(SPLITS)]


def test_dependence_has_the_scores_of_three_splits(dependent):
    text, result = dependent
    pr_auc, mcc = (scores_by_split(result, measure) for measure in ("pr_auc", "mcc"))
    for place in pr_auc.index:
        cells = [short(value, sign=False) for table in (pr_auc, mcc) for value in table.loc[place]]
        assert f"| `{place[0]}` | `{place[1]}` | {' | '.join(cells)} |" in text


def test_dependence_states_what_it_does_and_what_treatments_do(dependent):
    text, result = dependent
    pr_auc = scores_by_split(result, "pr_auc")
    first = [short(value, 2, sign=False) for value in pr_auc.loc[("lightgbm", "none")]]
    assert f"PR-AUC of LightGBM without treatment is {first[0]} on random folds, {first[1]} on folds of whole" in text
    assert f"days and {first[2]} in the order of time" in text
    falls = (pr_auc.random_folds - pr_auc.whole_days).loc["lightgbm"]
    assert f"by {short(falls.min(), 2, sign=False)} to {short(falls.max(), 2, sign=False)} with every strategy" in text
    gains = (pr_auc.loc["lightgbm"] - pr_auc.loc[("lightgbm", "none")]).drop("none")
    ends = [short(f(f(gains[name]) for name in SPLITS), 2) for f in (min, max)]
    assert f"a treatment changes it by {ends[0]} to {ends[1]}" in text
    linear = (pr_auc.random_folds - pr_auc.whole_days).loc["logistic"]
    assert f"by {span(linear, 2)} with logistic regression" in text


def test_dependence_states_what_smote_adds_to_a_threshold(dependent):
    text, result = dependent
    primary = pick(result.contrasts, "smote_threshold", "threshold")
    tested = primary[primary.verdict != "descriptive"]
    counts = verdicts(tested)
    assert f"SMOTE changed MCC by {span(tested['mean'])} on the two splits" in text
    assert f"(*worse* in {counts['worse']} of {len(tested)} comparisons, LightGBM on random folds;" in text
    assert tested.loc[tested.verdict == "worse", ["dataset", "learner"]].values.tolist() == [
        ["random_folds", "lightgbm"]
    ]
    assert f"*equivalent* in {counts['equivalent']})" in text
    assert set(primary[primary.verdict == "descriptive"].dataset) == {"in_time_order"}


@pytest.fixture(scope="module")
def leaked():
    text, result = read("leakage")
    audit = json.loads((EXPERIMENTS / "leakage" / "audit.json").read_text(encoding="utf-8"))
    twin = next(finding for finding in audit["findings"] if finding["check"] == "LEAKY twin")
    kinds = {"honest": "honest", "LEAKY_original_rows": "original", "LEAKY_as_reported": "reported"}
    rows = [
        {**{key: row[key] for key in ("dataset", "learner")}, **{kinds[key]: row[key]["pr_auc"] for key in kinds}}
        for row in twin["details"]["LEAKY"]
    ]
    return text, result, audit, pd.DataFrame(rows).set_index(["dataset", "learner"])


def test_leakage_has_the_figures_of_its_audit(leaked):
    text, _, audit, twins = leaked
    assert audit["exit_status"] == 0
    for (dataset, learner), row in twins.iterrows():
        figures = " | ".join(short(value, 2, sign=False) for value in row)
        assert f"| {dataset} | {learner} | {figures} |" in text
    gaps = (twins.reported - twins.honest, twins.reported - twins.original, twins.original - twins.honest)
    assert all(short(gap.mean()) in text for gap in gaps)
    assert f"of {span(twins.reported, 2).replace('+', '')} on the resampled rows" in text
    assert f"it has {span(twins.honest, 2).replace('+', '')} inside the folds" in text
    left = gaps[2].groupby(level="learner").mean()
    assert left.idxmax() == "random_forest"
    assert left.idxmin() == "logistic"
    assert f"random forest {short(left.max(), 2)} on average" in text
    assert f"least ({short(left.min(), 2)})" in text


def test_the_honest_figures_of_leakage_are_those_of_its_ledger(leaked):
    text, result, _, twins = leaked
    scores = pd.DataFrame(
        [
            {"dataset": e.dataset, "learner": e.learner, "strategy": e.strategy, "repeat": e.repeat, **e.scores}
            for e in result.evaluations
        ]
    )
    first = scores[(scores.repeat == 0) & (scores.strategy == "smote_1")].groupby(["dataset", "learner"]).pr_auc.mean()
    np.testing.assert_allclose(first.loc[twins.index], twins.honest, rtol=0, atol=1e-12)
    means = scores.groupby(["strategy", "learner"]).mcc.mean()
    assert f"a mean MCC of {span(means['smote_1']).replace('+', '')} with the four learners" in text
    assert f"without SMOTE {span(means['threshold']).replace('+', '')}." in text
