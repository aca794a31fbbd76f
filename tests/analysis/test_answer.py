"""The answer in words: whole answers as people read them, and their numbers by plain numpy."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imblab.analysis import answer as answers
from imblab.analysis.advice import describe_choice, describe_no_gain, select_strategies
from imblab.analysis.answer_page import answer_lines
from imblab.analysis.claims import missing_primary_reason, register_claims
from imblab.analysis.results import build_result, select_families
from imblab.analysis.text_tables import score_table
from imblab.commands.results import read_evidence, read_result
from imblab.edges import config, ledger
from imblab.edges.report.data import ReportData
from imblab.edges.report.scores import scores_section
from imblab.result import Evaluation
from imblab.study import Choice, Claims, Learner, LearnerTraits, Measure, Protocol, Strategy, Study

ROOT = Path(__file__).parents[2]
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, space={"ratio": Choice((0.1, 0.5))}, k=5),
    Strategy("smote_threshold", SMOTE, threshold="tuned", space={"ratio": Choice((0.1, 0.5))}, k=5),
)
WAVE = np.array([0.02, -0.01, 0.015, -0.02, -0.005])
#: The mean and the spread of smote_threshold - threshold that give a verdict.
EFFECTS = {"better": (0.1, 1), "worse": (-0.1, 1), "equivalent": (0.001, 0.05), "inconclusive": (0.02, 3)}
#: The same for a difference that is shown and lies within the region.
SMALL_EFFECTS = {"a little better": (0.01, 0.1), "a little worse": (-0.01, 0.1)}


def study(*datasets, learners=("logistic",), strategies=STRATEGIES, timed=False, needs="label", **claims):
    tables = {name: {"time": "day"} if timed else {} for name in datasets}
    measures = (Measure("mcc", "m", needs), Measure("recall", "m", "label"), Measure("precision", "m", "label"))
    made = tuple(Learner(name, {}) for name in learners)
    claims = {"rope": {"mcc": 0.02}, **claims}
    return Study("demo", 0, tables, made, strategies, measures, Protocol(), claims=Claims(**claims))


def rows(dataset, verdict="inconclusive", learner="logistic", strategies=STRATEGIES):
    """Five folds of each strategy; smote_threshold differs from threshold so that the verdict follows."""
    mean, spread = {**EFFECTS, **SMALL_EFFECTS}[verdict]
    base = np.linspace(0.3, 0.5, 5)
    values = {"none": base - 0.15, "threshold": base, "smote": base - 0.01 + WAVE, "weight": base - 0.02 - WAVE}
    values["smote_threshold"] = base + mean + spread * WAVE
    values["smote_1"] = base - 0.05 - WAVE
    return [
        Evaluation(
            dataset, learner, s.name, 0, fold, {"ratio": 0.1 if fold else 0.5, "k": 5} if s.sampler else {},
            0.5 if s.threshold == 0.5 else 0.1 + fold / 100,
            {"mcc": float(value), "recall": float(value) + 0.1, "precision": None if fold == 2 else 0.5},
            {"tn": 70, "fp": 5, "fn": 2, "tp": 3}, 1.0, "ok", None, "f",
            split_fingerprint=str(fold), n_train=80, n_test=20,
        )
        for s in strategies
        for fold, value in enumerate(values[s.name])
    ]  # fmt: skip


def shifted(evaluations, by, strategy="smote_threshold"):
    """The same evaluations with other scores of one strategy: no two data sets have the same difference."""
    return [
        replace(e, scores={**e.scores, "mcc": e.scores["mcc"] + (-1) ** ord(e.dataset[0]) * by})
        if e.strategy == strategy
        else e
        for e in evaluations
    ]


def answer(asked, evaluations, parents=None):
    return build_result(asked, evaluations, parents).answer


def only(verdict, **more):
    return answer(study("toy", **more), rows("toy", verdict))


# Whole answers.


@pytest.mark.parametrize("name", ["smote_ratio", "resample_or_not"])
def test_the_committed_studies(name, snapshot):
    home = ROOT / "experiments" / name
    result = read_result(home, config.load_request(home / ledger.STUDY_FILE, loads_data=False).study)
    assert result.answer.to_mapping() == snapshot
    assert result.recommendation.to_mapping()["overall"] == snapshot


def test_a_study_with_every_verdict(snapshot):
    asked = study(*EFFECTS, learners=("logistic", "knn"))
    evaluations = [e for name in EFFECTS for n in asked.learner_names for e in rows(name, name, n)]
    assert answer(asked, evaluations).to_mapping() == snapshot


@pytest.mark.parametrize("name", ["none", "smote"])
def test_what_the_strategy_fixes_is_not_called_chosen(name):
    strategies = [each for each in STRATEGIES if each.name == name]
    lines = answer(study("toy", strategies=strategies), rows("toy", strategies=strategies)).recommendation
    chosen = [line for line in lines if line.startswith("Chosen by the")]
    assert [line.partition(". `")[0] for line in chosen] == (
        ["Chosen by the folds: ratio 0.1 (4 of 5 folds, 0.1 to 0.5)"] if name == "smote" else []
    )


def test_a_threshold_of_costs_and_a_weight_by_formula_are_not_called_chosen():
    costs = Strategy("costs", threshold={"cost_optimal": {"fn": 9, "fp": 1}}, weight="balanced")
    evaluations = [replace(e, strategy="costs", params={"weight": "balanced"}) for e in rows("toy")[:5]]
    assert "Chosen by" not in " ".join(answer(study("toy", strategies=(costs,)), evaluations).recommendation)


def test_where_each_fold_chose_another_threshold_the_middle_one_is_told():
    tuned = STRATEGIES[1:2]
    found = answer(study("toy", strategies=tuned), rows("toy", strategies=tuned)).recommendation
    assert found[-1].startswith("Chosen by the folds: threshold 0.12 (1 of 5 folds, 0.1 to 0.14).")


def test_a_mean_over_some_folds_says_so():
    found = build_result(study("toy", strategies=STRATEGIES[:1]), rows("toy", strategies=STRATEGIES[:1]))
    undefined = "precision is undefined in 1 of 5 folds)."
    assert f"and precision 0.500 (means over 5 folds; {undefined}" in found.answer.recommendation[1]
    assert describe_choice(found.recommendation.overall, found.study).endswith(f"precision 0.500 ({undefined}")
    assert "precision undefined in 1 of 5 folds" in found.summary.remarks.iloc[0]
    asked = study("a", "b", strategies=STRATEGIES[:1])
    text = answer(asked, [e for name in "ab" for e in rows(name, strategies=STRATEGIES[:1])]).recommendation[1]
    assert text.endswith("(means over 2 parent data sets; precision is undefined in 2 of 10 folds).")


def test_what_another_learner_showed_is_not_said_of_the_recommended_one():
    asked = study("toy", learners=("logistic", "knn"))
    noise = (0.35, 0.05, 0.32, 0.04, 0.24)
    unclear = [shifted([e], noise[e.fold])[0] for e in rows("toy")]
    found = answer(asked, [*rows("toy", "better", "knn"), *unclear]).recommendation
    assert "(strategy `smote_threshold`)" in found[0]
    assert "No primary contrast with logistic shows that its resampling helps" in " ".join(found)
    assert " by +0.220 MCC with logistic (inconclusive)." in " ".join(found)


def test_resampling_that_a_secondary_contrast_isolates_is_shown_to_help():
    better = dict(zip(("none", "smote"), ("threshold", "smote_threshold"), strict=True))
    of = {e.strategy: [] for e in rows("toy", "better")}
    for e in rows("toy", "better"):
        of[e.strategy].append(e)
    evaluations = [replace(e, strategy=name) for name, source in better.items() for e in of[source]]
    evaluations += [*of["threshold"], *(replace(e, strategy="smote_threshold") for e in of["threshold"])]
    text = " ".join(answer(study("toy", needs="score"), evaluations).recommendation)
    assert "(strategy `smote`)" in text
    assert "mean scores alone" not in text


def test_a_study_without_baselines(snapshot):
    strategies = (STRATEGIES[2], replace(STRATEGIES[2], name="smote_1", ratio=1.0, space={}))
    asked = study("toy", strategies=strategies, contrasts=(("smote_1", "smote"),))
    assert answer(asked, rows("toy", strategies=strategies)).to_mapping() == snapshot


@pytest.mark.parametrize("rule", [{"alert_rate": 0.05}, {"cost_optimal": {"fn": 10, "fp": 1}}, Choice((0.1, 0.2))])
def test_a_threshold_by_costs_or_alerts_is_a_baseline(rule):
    changed = {"space": {"threshold": rule}} if isinstance(rule, Choice) else {"threshold": rule}
    strategies = (STRATEGIES[0], Strategy("threshold", **changed))
    checks = answer(study("toy", strategies=strategies), rows("toy", strategies=strategies)).checks
    assert not any("no baseline" in text for text in checks)
    fixed = (STRATEGIES[0], Strategy("threshold", threshold=0.2))
    checks = answer(study("toy", strategies=fixed), rows("toy", strategies=fixed)).checks
    assert any("no baseline with a tuned threshold alone" in text for text in checks)


def test_an_incomplete_study(snapshot):
    asked = study("toy", "zoo")
    assert answer(asked, [*rows("toy"), *rows("zoo")[:7]]).to_mapping() == snapshot


# Headlines.


@pytest.mark.parametrize(
    ("verdict", "headline"),
    [
        ("better", "Once the threshold is tuned, SMOTE was shown to help on toy."),
        ("worse", "Once the threshold is tuned, SMOTE was shown to harm on toy."),
        ("equivalent", "Once the threshold is tuned, SMOTE makes no difference that matters (within ±0.02) on toy."),
        ("inconclusive", "Once the threshold is tuned, SMOTE was not shown to help on toy."),
    ],
)
def test_one_data_set_and_one_learner(verdict, headline):
    found = only(verdict)
    assert found.headline == headline
    assert found.primary.verdict.tolist() == [verdict]


def test_counts_come_with_what_chance_would_give():
    asked = study("a", "b", "c", learners=("logistic", "knn"))
    verdicts = {("a", "logistic"): "better", ("a", "knn"): "better", ("b", "knn"): "worse"}
    evaluations = [
        e for d in "abc" for n in asked.learner_names for e in rows(d, verdicts.get((d, n), "inconclusive"), n)
    ]
    found = answer(asked, evaluations)
    assert found.headline == (
        "Once the threshold is tuned, SMOTE was shown to help on 1 and to harm on 1 of 3 data sets (better in 2 and "
        "worse in 1 of 6 comparisons; chance alone gives up to 0.3)."
    )
    assert found.primary["mean"].is_monotonic_increasing


def test_what_does_not_matter_somewhere_is_said():
    asked = study("a", "b")
    found = answer(asked, [*rows("a", "equivalent"), *rows("b")])
    assert found.headline == (
        "Once the threshold is tuned, SMOTE was not shown to help on any of 2 data sets; in 1 of 2 comparisons it "
        "makes no difference that matters (within ±0.02)."
    )


def test_a_difference_within_the_region_is_called_small():
    found = only("a little better")
    assert found.headline == "Once the threshold is tuned, SMOTE was shown to help by less than ±0.02 on toy."
    assert only("a little worse").headline.endswith("SMOTE was shown to harm by less than ±0.02 on toy.")
    found = answer(study("a", "b", "c"), [*rows("a", "a little better"), *rows("b", "better"), *rows("c")])
    assert found.headline == (
        "Once the threshold is tuned, SMOTE was shown to help on 2 of 3 data sets (better in 1 and better by less than "
        "±0.02 in 1 of 3 comparisons; chance alone gives up to 0.15)."
    )
    assert "(better by less than ±0.02)" in " ".join(only("a little better").recommendation)


def test_what_does_not_matter_elsewhere_is_said_next_to_what_was_shown():
    found = answer(study("a", "b", "c"), [*rows("a", "better"), *rows("b", "equivalent"), *rows("c", "equivalent")])
    assert found.headline == (
        "Once the threshold is tuned, SMOTE was shown to help on 1 of 3 data sets (better in 1 of 3 comparisons; "
        "chance alone gives up to 0.15); in 2 of 3 comparisons it makes no difference that matters (within ±0.02)."
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            "equivalent",
            "smote_threshold and threshold are equivalent within ±0.02 (mean smote_threshold - threshold +0",
        ),
        ("worse", "the signed ranks favour threshold over smote_threshold (Holm p 0.031; it won on 6 of 6; mean"),
    ],
)
def test_over_parents_it_says_which_test_showed_it(verdict, words):
    asked = study(*"abcdef")
    found = answer(asked, [e for name in "abcdef" for e in shifted(rows(name, verdict), ord(name) / 1e4)])
    assert any(text.startswith(f"Over 6 parent data sets with logistic, {words}") for text in found.findings)
    assert "Wilcoxon" not in " ".join(found.findings)


def test_more_contrasts_than_can_be_told_are_told_over_parents(monkeypatch):
    monkeypatch.setattr(answers, "MAX_TOLD_CONTRASTS", 5)
    learners = ("logistic", "knn")
    made = [
        row
        for name in "abcdef"
        for learner, verdict in zip(learners, ("equivalent", "worse"), strict=True)
        for row in shifted(rows(name, verdict, learner), ord(name) / 1e4)
    ]
    result = build_result(study(*"abcdef", learners=learners), made)
    effects = [item.contrasts.set_index(["a", "b"]).effect["smote_threshold", "threshold"] for item in result.across]
    numbers = sorted(effects)
    assert result.answer.headline == (
        "Once the threshold is tuned, SMOTE makes no difference that matters (within ±0.02) with logistic and is worse "
        f"with knn, over 6 parent data sets (mean differences in MCC {numbers[0]:+.3f} to {numbers[1]:+.3f})."
    )


@pytest.mark.parametrize(("n", "is_told"), [(6, True), (5, False)])
def test_one_learner_has_its_interval_and_too_few_parents_are_told_one_by_one(monkeypatch, n, is_told):
    monkeypatch.setattr(answers, "MAX_TOLD_CONTRASTS", 4)
    names = "abcdef"[:n]
    made = [e for name in names for e in shifted(rows(name, "worse"), ord(name) / 1e4)]
    headline = answer(study(*names), made).headline
    assert ("is worse with logistic, over 6 parent data sets (mean difference in MCC -0" in headline) is is_told
    assert (", 95 % interval -0" in headline) is is_told
    assert ("was shown to harm on 5 of 5 data sets" in headline) is not is_told


def test_folds_that_follow_the_time_have_no_test():
    found = answer(study("toy", timed=True), rows("toy", "better"))
    assert found.headline == (
        "Once the threshold is tuned, SMOTE changed MCC by +0.100 on toy; no test is possible, because the folds "
        "follow the time."
    )
    assert found.recommendation[0] == "Use SMOTE and a tuned threshold (strategy `smote_threshold`)."


def test_what_is_exploratory_has_no_verdict():
    registered = register_claims(study("toy"))
    changed = replace(registered, claims=replace(registered.claims, alpha=0.1))
    found = answer(changed, rows("toy", "better"))
    assert found.headline == (
        "Exploratory, without a verdict: once the threshold is tuned, SMOTE changed MCC by +0.100 on toy."
    )


def test_what_is_exploratory_rules_nothing_out():
    registered = register_claims(study("a", "b"))
    changed = replace(registered, claims=replace(registered.claims, alpha=0.1))
    found = answer(changed, [*rows("a"), *rows("b")])
    assert "differs from it by +0.020 MCC." in " ".join(found.recommendation)
    assert "rule out" not in " ".join(found.recommendation)
    timed = replace(changed, datasets={"a": {"time": "day"}, "b": {}})
    found = answer(timed, [*rows("a", "better"), *rows("b")])
    assert found.headline == (
        "Once the threshold is tuned, SMOTE changed MCC by +0.020 to +0.100 on 2 data sets; no test is possible on a, "
        "because the folds follow the time; the other comparisons are exploratory, without a verdict."
    )


def test_without_a_primary_contrast():
    found = answer(study("toy", strategies=STRATEGIES[:1] + STRATEGIES[2:3]), rows("toy", strategies=STRATEGIES[::2]))
    assert found.headline == (
        "No primary contrast: whether SMOTE helps cannot be said, because at a fixed threshold, moving the threshold "
        "alone could do the same."
    )
    assert found.primary.empty
    weighted_smote = (Strategy("none"), replace(STRATEGIES[2], threshold="tuned"))
    assert missing_primary_reason(study("toy", strategies=weighted_smote)).startswith("no strategy without a sampler")
    comparable = (replace(STRATEGIES[0], threshold="tuned"), weighted_smote[1])
    undeclared = replace(study("toy", strategies=comparable), claims=Claims(primary=()))
    assert missing_primary_reason(undeclared).startswith("the study declares no contrast")
    weighted = (*STRATEGIES[:2], Strategy("weight", weight="balanced"))
    found = answer(study("toy", strategies=weighted), rows("toy", strategies=weighted))
    assert found.headline == "No primary contrast, since no strategy resamples; of 3 strategies, use a tuned threshold."


def test_what_failed_could_not_be_compared():
    evaluations = [
        replace(e, status="failed", error="no") if e.strategy == "smote_threshold" else e for e in rows("toy")
    ]
    found = answer(study("toy"), evaluations)
    assert found.headline == (
        "Once the threshold is tuned, SMOTE could not be compared with no resampling: 'smote_threshold' cannot be "
        "compared (no MCC in 5 of 5 folds: 5 failed)."
    )
    assert found.missing == (
        "Evaluations without scores, which count as evaluated: 5 failed.",
        "Not among the candidates of the recommendation, since a score is missing somewhere: `smote_threshold`.",
    )


def test_without_an_evaluation():
    found = answer(study("toy"), [])
    assert found.headline == "Study 'demo' has no evaluation yet."
    assert found.recommendation == (
        "So far, while 0 of 20 evaluations are there: No recommendation: no evaluation is there yet.",
    )


def test_several_samplers_are_resampling():
    other = replace(STRATEGIES[3], name="smote_1", sampler={"_target_": "imblearn.over_sampling.ADASYN"})
    strategies = (*STRATEGIES, other)
    asked = study("toy", strategies=strategies, primary=(("smote_threshold", "threshold"), ("smote_1", "threshold")))
    assert "is tuned, resampling was " in answer(asked, rows("toy", strategies=strategies)).headline


@pytest.mark.parametrize(
    ("verdict", "excluded"),
    [("better", "does not rule out a gain by SMOTE above 0.1"), ("worse", "rules out a gain by SMOTE above 0.05")],
)
def test_of_a_single_interval_the_smallest_gain_that_it_rules_out_is_said(verdict, excluded):
    found = answer(study("toy"), rows("toy", verdict))
    assert f"The 95 % interval {excluded}." in " ".join(found.recommendation)


def test_a_loss_turns_the_sides_round():
    asked = study("toy")
    assert answer(asked, rows("toy")).sides == ("favours no SMOTE", "favours SMOTE")
    lower = replace(asked, measures=tuple(replace(m, greater_is_better=False) for m in asked.measures))
    found = answer(lower, rows("toy", "better"))
    assert found.sides == ("favours SMOTE", "favours no SMOTE")
    assert found.headline == "Once the threshold is tuned, SMOTE was shown to harm on toy."


def test_a_learner_that_rebalances_is_a_caution():
    asked = study("toy")
    traits = LearnerTraits(rebalances=True, rebalanced_by=("class_weight=balanced",))
    asked = replace(asked, learners=(Learner("logistic", {}, traits=traits),))
    assert any("weighs or resamples the classes by itself" in text for text in answer(asked, rows("toy")).checks)


def test_no_sentence_has_a_gap():
    for asked, evaluations in (
        (study(*EFFECTS), [e for name in EFFECTS for e in rows(name, name)]),
        (study("toy", timed=True), rows("toy")),
        (study("toy", rope={}), rows("toy")),
    ):
        found = answer(asked, evaluations)
        text = " ".join([found.headline, *found.recommendation, *found.findings, *found.limits, *found.checks])
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b|  |\.\.|\( |``", text), text


# Numbers, by hand.


def equivalence_by_hand(home, mcc, places):
    """P of two one-sided tests within ±.02 for smote_threshold - threshold, by row-level standard errors."""
    known = read_evidence(home)
    known = known[known.kind == "covariance"].set_index(["dataset", "learner", "strategy", "name"]).x
    positives = {"yeast4": 51, "page_blocks0": 559, "abalone19": 32, "wine_red4": 53, "hypothyroid": 151, "ecoli3": 35}
    for dataset, learner in dict.fromkeys(places):
        d = (mcc["smote_threshold"] - mcc["threshold"])[mcc.index.get_level_values("place") == (dataset, learner)]
        by_repeat = d.to_numpy().reshape(5, 5).mean(axis=1)  # folds ascend by repeat
        a, b, between = (
            known[dataset, learner, one, f"mcc:{other}"]
            for one, other in (("smote_threshold",) * 2, ("threshold",) * 2, ("threshold", "smote_threshold"))
        )
        weight = 1.25 if learner == "logistic" else 1.5
        se = math.sqrt(weight * (a + b - 2 * between) + by_repeat.var(ddof=1) / 5)
        t = stats.t(positives[dataset] - 1)
        yield max(t.sf((d.mean() + 0.02) / se), t.cdf((d.mean() - 0.02) / se))


def test_the_numbers_of_the_committed_study_by_hand():
    home = ROOT / "experiments" / "smote_ratio"
    asked = config.load_request(home / ledger.STUDY_FILE, loads_data=False).study
    found = read_result(home, asked).answer
    evaluations = ledger.read_evaluations(home)
    facts = [
        ((e.dataset, e.learner), e.strategy, (e.repeat, e.fold), *map(e.scores.get, ("mcc", "recall")))
        for e in evaluations
    ]
    frame = pd.DataFrame(facts, columns=["place", "strategy", "fold", "mcc", "recall"])
    mcc = frame.pivot(index=["place", "fold"], columns="strategy", values="mcc")
    recall = frame.pivot(index=["place", "fold"], columns="strategy", values="recall")

    def differences(a, b):
        return (mcc[a] - mcc[b]).groupby(level="place", sort=False)

    def said(low, high):
        return f"{low:+.3f} to {high:+.3f}"

    text = " ".join([*found.recommendation, *found.findings])
    d = differences("smote", "none").mean()
    assert f"Compared with doing nothing at a threshold of .5, SMOTE changed MCC by {said(d.min(), d.max())}" in text
    for a, b, words in (
        ("smote_1", "smote", "at a threshold of .5"),
        ("smote_1_threshold", "smote_threshold", "with a tuned threshold"),
    ):
        d = differences(a, b).mean()
        assert f"by {said(d.min(), d.max())} {words}" in text
    lightgbm = [place for place in dict.fromkeys(frame.place) if place[1] == "lightgbm"]
    assert "(strategy `smote_0.6`), with the learner lightgbm" in found.recommendation[0]
    for table, name in ((mcc, "MCC"), (recall, "recall")):
        mean = table["smote_0.6"].groupby(level="place").mean()[lightgbm].mean()
        assert f"{name} {mean:.3f}" in found.recommendation[1]
    p = equivalence_by_hand(home, mcc, frame.place)
    assert (
        f"in {sum(value <= 0.05 for value in p)} of 12 comparisons it makes no difference that matters"
        in found.headline
    )
    assert math.isclose(found.primary["mean"].min(), differences("smote_threshold", "threshold").mean().min())


# Nothing found.


def trivial(mcc, recall, **more):
    """The answer of a study whose strategies all have these scores in every fold."""
    changed = {"mcc": mcc, "recall": recall}
    return build_result(study("toy", **more), [replace(e, scores={**e.scores, **changed}) for e in rows("toy")])


def test_a_study_that_found_no_positive_says_so_and_what_would_help():
    found = trivial(0.0, 0.0)
    assert found.answer.recommendation[0] == (
        "Use the classes as they are, at a threshold of .5 (strategy `none`). It found no positive among the test "
        "rows. No strategy has a mean MCC above 0: none is better than calling every row negative. More positives, "
        "other features or another learner may help."
    )
    family = select_families(found, [("toy", "logistic")]).answer.recommendation[0]
    assert "of 5 folds). It found no positive among the test rows. No strategy" in family
    assert "none is better than calling every row negative" in select_strategies(found, {})[0].reason


def test_positives_found_by_chance_are_no_better_than_none():
    text = trivial(-0.01, 0.2).answer.recommendation[0]
    assert "none is better than calling every row negative. More positives" in text
    assert "found no positive" not in text


def test_a_simpler_strategy_that_found_no_positive_is_not_all_of_them():
    """`none` is within one standard error of a strategy with a better mean."""
    noisy = [0.6, -0.4, 0.5, -0.3, 0.1]
    scores = {"none": [0.0] * 5, "threshold": noisy}
    evaluations = [
        replace(e, scores={**e.scores, "mcc": scores[e.strategy][e.fold], "recall": float(e.strategy != "none")})
        for e in rows("toy", strategies=STRATEGIES[:2])
    ]
    text = answer(study("toy", strategies=STRATEGIES[:2]), evaluations).recommendation[0]
    assert text.endswith(
        "(strategy `none`). It found no positive among the test rows: it is no better than calling every row negative. "
        "More positives, other features or another learner may help."
    )


def test_where_positives_are_found_nothing_is_added():
    assert "negative" not in " ".join(only("inconclusive").recommendation)


def test_with_several_classes_rows_are_called_the_most_frequent_one():
    sentences = describe_no_gain(study("toy"), {"mcc": 0.0, "recall": 1 / 3}, 0.0, has_two_classes=False)
    assert " ".join(sentences) == (
        "No strategy has a mean MCC above 0: none is better than calling every row the most frequent class. More rows "
        "of the rare classes, other features or another learner may help."
    )


def test_a_region_of_zero_asks_for_no_infinite_number_of_positives():
    limits = " ".join(only("inconclusive", rope={"mcc": 0.0}).limits)
    assert "smallest difference in MCC that this design detects" in limits
    assert "inf" not in limits


def test_a_study_of_one_strategy_chose_nothing():
    one = STRATEGIES[:1]
    assert "optimistic" not in " ".join(
        answer(study("toy", strategies=one), rows("toy", strategies=one)).recommendation
    )
    assert "optimistic" in " ".join(only("better").recommendation)


def test_only_a_tuned_threshold_is_called_tuned():
    for threshold, words in (
        (0.3, "with a moved threshold"),
        ("tuned", "with a tuned threshold"),
        (0.5, "at a threshold of .5"),
    ):
        full, half = (
            Strategy(name, SMOTE, threshold=threshold, ratio=r, k=5) for name, r in (("smote_1", 1.0), ("smote", 0.5))
        )
        pair = (STRATEGIES[0], half, full)
        asked = study("toy", strategies=pair, secondary=(("smote_1", "smote"),))
        assert words in " ".join(answer(asked, rows("toy", strategies=pair)).findings)


def test_differences_of_a_loss_are_no_gains():
    asked = study("toy")
    asked = replace(asked, measures=(replace(asked.measures[0], greater_is_better=False), *asked.measures[1:]))
    found = build_result(asked, rows("toy"), None)
    text = "\n".join(answer_lines(found, 80))
    assert "difference to none" in text
    assert "ain" not in text.replace("against", "")
    assert score_table(found.summary, asked)[0][2:] == ["difference to none [95 %]", "to threshold [95 %]"]
    section = scores_section(ReportData(found, None, {}, {}, None, ""))
    assert "Differences to the two baselines have their 95 % interval" in section.lead[0]
    assert ("gain_none", "difference to none") in section.blocks[0].header
