"""Comparing: verdicts by the rule, sentences that say no more, and laws that hold whatever the scores."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from imblab.analysis import compare, wording
from imblab.analysis.claims import isolates_resampling
from imblab.analysis.results import score_arrays
from imblab.analysis.summary import summarise
from imblab.result import Evaluation, Trial
from imblab.stats.paired_tests import corrected_t, holm
from imblab.study import Choice, Claims, Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
ARMS = {
    "none": Strategy("none"),
    "threshold": Strategy("threshold", threshold="tuned"),
    "smote": Strategy("smote", SMOTE, ratio=0.5, k=5),
    "smote_threshold": Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5, k=5),
}
WAVE = np.array([0.02, -0.01, 0.015, -0.02, -0.005])


def study(*names, primary="mcc", higher=True, folds=5, repeats=1, timed=False, **claims):
    measures = (Measure(primary, "m", "label", higher), Measure("other", "m", "label"))
    protocol = Protocol(outer_folds=folds, repeats=repeats)
    chosen = tuple(ARMS.get(n, Strategy(n)) for n in names)
    datasets, learners = {"toy": {"time": "day"} if timed else {}}, (Learner("logistic", {}),)
    return Study("demo", 0, datasets, learners, chosen, measures, protocol, primary, claims=Claims(**claims))


def rows(scores, primary="mcc", folds=5, learner="logistic", dataset="toy"):
    made = []
    for name, values in scores.items():
        for i, value in enumerate(values):
            # Equal scores have equal counts.
            counts = {"tn": 0, "fp": 0, "fn": 0, "tp": 0 if value is None else 1 + hash(float(value)) % 97}
            facts = {"scores": {primary: None if value is None else float(value), "other": 0.5}, "counts": counts}
            facts |= {"status": "ok", "error": None, "fingerprint": "f", "split_fingerprint": str(i), "seconds": 2.0}
            made.append(
                Evaluation(dataset, learner, name, i // folds, i % folds, {}, 0.5, **facts, n_train=80, n_test=20)
            )
    return made


def contrasts(asked, evaluations):
    return compare.contrasts(score_arrays(asked, evaluations), asked)


def summary(asked, evaluations):
    return summarise(score_arrays(asked, evaluations), asked)


def judged(scores, asked):
    return contrasts(asked, rows(scores, asked.primary, asked.protocol.outer_folds))


def only(scores, **claims):
    """The one contrast a - b."""
    return judged(scores, study("a", "b", contrasts=(("a", "b"),), **claims)).iloc[0]


def test_numbers_of_a_contrast_are_those_of_the_test_by_hand():
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(0.5, 0.1, 5) for name in ARMS}
    found = judged(scores, study(*ARMS))
    pairs = [("smote_threshold", "threshold"), ("threshold", "none"), ("smote", "none"), ("smote_threshold", "none")]
    assert list(zip(found.a, found.b, strict=True)) == pairs
    p = []
    for (a, b), row in zip(pairs, found.itertuples(), strict=True):
        d = scores[a] - scores[b]
        se = math.sqrt((1 / 5 + 20 / 80) * d.var(ddof=1))
        law = stats.t(4, d.mean(), se)
        assert row.mean == pytest.approx(d.mean(), rel=1e-9)
        assert (row.low, row.high) == pytest.approx(law.interval(0.95), rel=1e-9)
        assert (row.equivalence_low, row.equivalence_high) == pytest.approx(law.interval(0.90), rel=1e-9)
        p.append(2 * stats.t(4).sf(abs(d.mean() / se)))
    np.testing.assert_allclose(found.p, p, rtol=1e-9)
    # One primary contrast, and a family of the three others.
    np.testing.assert_allclose(found.p_holm, [p[0], *holm(p[1:])], rtol=1e-9)
    assert found.family.tolist() == ["primary"] + ["secondary"] * 3
    assert found.family_size.tolist() == [1, 3, 3, 3]
    np.testing.assert_allclose(found.q, stats.false_discovery_control(p), rtol=1e-9)
    assert (found.folds == 5).all()


def test_the_verdicts_in_their_order():
    base = np.linspace(0.3, 0.5, 5)
    assert only({"a": base, "b": base}).verdict == "identical"
    assert only({"a": base + WAVE / 2 + 0.002, "b": base}, rope={"mcc": 0.05}).verdict == "equivalent"
    assert only({"a": base + WAVE + 0.2, "b": base}).verdict == "better"
    assert only({"a": base + WAVE - 0.2, "b": base}).verdict == "worse"
    found = only({"a": base + WAVE, "b": base})
    assert found.verdict == "inconclusive"
    assert found.reason == "Holm-adjusted p 1 > 0.05"
    constant = only({"a": base + 0.1, "b": base})
    assert (constant.verdict, constant.reason) == (
        "inconclusive",
        "all 5 differences are +0.1: no variance to test with",
    )


def test_a_small_sure_difference_is_better_by_less_than_the_region():
    base = np.linspace(0.3, 0.5, 5)
    scores = {"a": base + WAVE / 100 + 0.005, "b": base}
    found = only(scores)
    assert found.p < 0.01
    assert found.verdict == "better"
    assert compare.describe_verdict(found, 0.05) == "better by less than ±0.02"
    assert compare.describe_verdict(only(scores, rope={"mcc": 0.001}), 0.05) == "better"
    bare = only(scores, rope={})
    assert compare.describe_verdict(bare, 0.05) == "better"
    assert np.isnan([bare.rope, bare.p_equivalence, bare.p_equivalence_holm]).all()


def test_equivalence_is_adjusted_within_its_family():
    base = np.linspace(0.3, 0.5, 5)
    scores = {"a": base + WAVE, "b": base + WAVE / 4, "c": base + WAVE[::-1] / 4, "d": base}
    asked = study(*scores, contrasts=(("a", "d"), ("b", "d"), ("c", "d")), rope={"mcc": 0.015})
    found = judged(scores, asked)
    np.testing.assert_allclose(found.p_equivalence_holm, holm(found.p_equivalence))
    assert found.p_equivalence[1] < found.p_equivalence_holm[1] == pytest.approx(3 * found.p_equivalence[1])
    # Alone it is equivalent; among three it is not.
    tight = {"contrasts": (("b", "d"),), "rope": {"mcc": 0.008}}
    assert judged(scores, study(*scores, **tight)).verdict.tolist() == ["equivalent"]
    tight["contrasts"] = (("a", "d"), ("b", "d"), ("c", "d"))
    assert judged(scores, study(*scores, **tight)).verdict[1] == "inconclusive"


def test_what_never_applies_is_in_no_family():
    rng = np.random.default_rng(5)
    scores = {name: rng.normal(0.5, 0.1, 5) for name in ("none", "threshold", "adasyn", "smote")}
    asked = study(*scores)
    made = rows(scores)
    whole = contrasts(asked, made)
    gone = {"status": "inapplicable", "error": "ADASYN has no form for categories", "scores": {}, "counts": {}}
    without = [replace(e, **gone) if e.strategy == "adasyn" else e for e in made]
    found = contrasts(asked, without)
    assert found.verdict[1] == "not applicable"
    assert found.reason[1] == "'adasyn' is not applicable: ADASYN has no form for categories"
    assert np.isnan(found.loc[1, ["p", "p_holm", "q", "p_equivalence_holm"]].astype(float)).all()
    others = [0, 2]
    assert found.family_size[others].tolist() == [2, 2]
    np.testing.assert_allclose(found.p_holm[others], holm(whole.p[others]))
    np.testing.assert_allclose(found.q[others], stats.false_discovery_control(whole.p[others]))
    # One fold that applies, or a rule that no threshold met after fits, leaves it in its family.
    for some in (
        [*without[:10], made[10], *without[11:]],
        [replace(e, fits=3) if e.strategy == "adasyn" else e for e in without],
    ):
        stays = contrasts(asked, some)
        assert stays.verdict[1] == "inconclusive"
        assert stays.family_size.tolist() == [3] * 3
        np.testing.assert_allclose(stays.p_holm[others], holm([*whole.p[others], 1.0])[:2])


def test_equal_scores_without_equal_decisions_are_not_identical():
    base = np.linspace(0.3, 0.5, 5)
    made = rows({"a": base, "b": base})
    asked = study("a", "b", contrasts=(("a", "b"),))
    other = [replace(e, counts={**e.counts, "tn": 5}) if e.key == made[2].key else e for e in made]
    silent = [replace(e, counts={"tn": 90, "fp": 0, "fn": 10, "tp": 0}) for e in made]
    for evaluations, reason in (
        (other, "MCC is equal in every fold, but the confusion counts differ"),
        (silent, "MCC is equal in every fold, since no row is called positive"),
    ):
        found = contrasts(asked, evaluations).iloc[0]
        assert (found.verdict, found.reason, found["mean"]) == ("inconclusive", reason, 0)
        assert math.isnan(found.p)
    # A ranking measure calls no row positive.
    ranking = replace(asked, measures=(Measure("mcc", "m", "score"),))
    assert contrasts(ranking, silent).verdict.tolist() == ["identical"]


def test_what_chance_would_give_counts_what_was_tested():
    found = judged({name: WAVE * i for i, name in enumerate(ARMS)}, study(*ARMS))
    assert compare.expected_by_chance(found, 0.05) == pytest.approx(0.2)
    assert compare.expected_by_chance(found[found.family == "primary"], 0.1) == pytest.approx(0.1)


def test_better_follows_the_direction_of_the_measure():
    base = np.linspace(0.3, 0.5, 5)
    asked = study("a", "b", primary="brier", higher=False, contrasts=(("a", "b"),))
    found = judged({"a": base + WAVE - 0.2, "b": base}, asked).iloc[0]
    assert found["mean"] == pytest.approx(-0.2)
    assert found.verdict == "better"


def test_the_primary_must_be_a_measure_of_the_study(snapshot):
    asked = replace(study("a", "b", contrasts=(("a", "b"),)), primary="mc")
    with pytest.raises(ValueError) as error:
        contrasts(asked, rows({"a": WAVE, "b": WAVE}))
    assert str(error.value) == snapshot


def test_holm_runs_over_one_data_set_and_learner():
    rng = np.random.default_rng(3)
    asked = study("none", "smote", "threshold")
    made = []
    for dataset, learner in product(("toy", "zoo"), ("logistic", "knn")):
        scores = {s.name: rng.normal(0.5, 0.1, 5) for s in asked.strategies}
        made += rows(scores, learner=learner, dataset=dataset)
    found = contrasts(asked, made)
    families = found.groupby(["dataset", "learner"], sort=False)
    assert list(families.groups) == [(d, x) for d in ("toy", "zoo") for x in ("logistic", "knn")]
    for _, family in families:
        np.testing.assert_allclose(family.p_holm, holm(family.p.to_numpy()))


@pytest.mark.parametrize("status", ["failed", "inapplicable"])
def test_a_fold_missing_in_either_arm_leaves_it_inconclusive(status):
    made = rows({"a": WAVE + 0.9, "b": WAVE * 2, "c": WAVE * 3 + 0.1})
    made[7] = replace(made[7], status=status, error="it broke", scores={"mcc": None, "other": None})
    asked = study("a", "b", "c", contrasts=(("a", "b"), ("b", "c"), ("a", "c")))
    found = contrasts(asked, made)
    assert found.verdict.tolist() == ["inconclusive", "inconclusive", "better"]
    assert found.reason.tolist()[:2] == [f"'b' has no MCC in 1 of 5 folds: 1 {status}"] * 2
    assert found[["mean", "low", "high", "p"]].iloc[:2].isna().all(axis=None)


def test_folds_that_nobody_has_answered_yet_are_missing_too():
    found = only({"a": WAVE[:4] + 1, "b": WAVE[:4] * 2})
    assert found.verdict == "inconclusive"
    assert found.reason == "; ".join(f"{arm!r} has no MCC in 1 of 5 folds: 1 missing" for arm in "ab")


def test_time_ordered_studies_are_described_and_not_tested():
    scores = {"a": WAVE + 0.5, "b": WAVE * 3}
    asked = study("a", "b", contrasts=(("a", "b"),))
    found = judged(scores, replace(asked, datasets={"toy": {"time": "day"}})).iloc[0]
    assert found.verdict == "descriptive"
    assert found["mean"] == pytest.approx(0.5)
    assert np.isnan([found.low, found.high, found.p, found.p_holm]).all()
    assert judged(scores, replace(asked, datasets={"zoo": {"time": "day"}})).verdict.tolist() == ["better"]


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=5, max_size=5), st.randoms(), st.booleans())
def test_contrasts_are_antisymmetric_and_know_no_order_of_rows(scores, random, higher):
    values = {name: np.array([s[i] for s in scores]) / 20 for i, name in enumerate("abc")}
    asked = study("a", "b", "c", primary="m", higher=higher, rope={"m": 0.1}, contrasts=(("a", "b"), ("b", "c")))
    turned = replace(asked, claims=replace(asked.claims, contrasts=(("b", "a"), ("c", "b"))))
    made = rows(values, "m")
    shuffled = list(made)
    random.shuffle(shuffled)
    found, back = (contrasts(s, made) for s in (asked, turned))
    pd.testing.assert_frame_equal(found, contrasts(asked, shuffled))
    for ends in (("mean", "mean"), ("low", "high"), ("equivalence_low", "equivalence_high")):
        np.testing.assert_allclose(found[ends[0]], -back[ends[1]], atol=1e-12)
    np.testing.assert_allclose(found.p_holm, back.p_holm, atol=1e-12)
    opposite = {"better": "worse", "worse": "better"}
    assert [opposite.get(v, v) for v in found.verdict] == back.verdict.tolist()


def test_a_summary_by_hand():
    rng = np.random.default_rng(1)
    scores = {name: rng.normal(0.5, 0.1, 10) for name in ARMS}
    asked = study(*ARMS, repeats=2)
    found = summary(asked, rows(scores)).set_index("strategy")
    for name, values in scores.items():
        assert found.loc[name, ["mean", "sd"]].tolist() == pytest.approx([np.mean(values), np.std(values, ddof=1)])
        assert found.loc[name, ["mcc", "mcc_std", "other_std"]].tolist() == pytest.approx(
            [np.mean(values), np.std(values, ddof=1), 0]
        )
        assert found.loc[name, ["folds", "ok", "failed", "inapplicable", "missing"]].tolist() == [10, 10, 0, 0, 0]
        for base in ("none", "threshold"):
            gain = found.loc[name, [f"gain_{base}{end}" for end in ("", "_low", "_high")]].tolist()
            if name == base:
                assert np.isnan(gain).all()
                continue
            expected = corrected_t(values - scores[base], 80, 20)
            assert gain == pytest.approx([expected.mean, expected.low, expected.high])
    assert found.seconds.tolist() == [20.0] * 4
    assert found.remarks.tolist() == [()] * 4


def test_a_summary_without_baselines_says_so():
    found = summary(study("none", "smote"), rows({"smote": WAVE, "none": WAVE})).iloc[1]
    assert found.strategy == "smote"
    assert found.remarks == ("no baseline 'threshold'",)
    assert found.gain_none == 0
    assert math.isnan(found.gain_threshold)


def test_a_summary_keeps_what_went_wrong():
    made = rows({"none": WAVE, "threshold": WAVE, "smote": WAVE})
    gone = {"scores": {"mcc": None, "other": None}, "threshold": None}
    made[10] = replace(made[10], status="failed", error="it broke", **gone)
    made[11] = replace(made[11], status="inapplicable", error="no k fits", **gone)
    made[12] = replace(made[12], scores={"mcc": None, "other": 1.0}, notes=("odd",))
    found = summary(study("none", "threshold", "smote"), made[:-1]).set_index("strategy").loc["smote"]
    assert found[["ok", "failed", "inapplicable", "missing"]].tolist() == [2, 1, 1, 1]
    assert found["mean"] == WAVE[3]
    assert math.isnan(found.gain_none)
    assert found.remarks == (
        "failed in 1 of 4 folds: it broke",
        "inapplicable in 1 of 4 folds: no k fits",
        "no row for 1 of 5 folds",
        "mcc undefined in 1 of 2 folds",
        "odd (1 of 2 folds)",
    )


def test_an_arm_without_any_answer_is_a_row_of_dashes():
    made = [
        replace(r, status="inapplicable", error="no k fits", threshold=None, scores={}) for r in rows({"smote": WAVE})
    ]
    found = summary(study("smote"), made).iloc[0]
    assert np.isnan([found["mean"], found.sd, found.threshold_median]).all()
    assert found.knobs == ""
    assert found.ok == 0


def test_chosen_knobs_and_thresholds_are_told_over_folds():
    trials = (Trial({}, 0.1, 0.5),) * 6
    shared = {"trials": trials, "fits": 19}
    fixed = {"k": 5, "weight": "balanced"}
    ratios, cuts = [0.5, 0.25, 0.5, 1.0, 0.5], [0.2, 0.3, 0.1, 0.4, 0.6]
    made = [
        replace(r, params={"learner.C": r.fold + 1, "ratio": ratios[r.fold], **fixed}, threshold=cuts[r.fold], **shared)
        for r in rows({"smote": WAVE})
    ]
    found = summary(study("smote"), made).iloc[0]
    assert found.knobs == "ratio 0.25-1 (0.5 x3), k 5, weight balanced, learner.C 1-5"
    assert (found.threshold_low, found.threshold_median, found.threshold_high) == (0.1, 0.3, 0.6)
    assert (found.candidates, found.fits) == (6, 95)


def test_candidates_that_were_left_out_are_told():
    refused = [
        Trial({"ratio": q, "k": 5}, None, None, "inapplicable", f"ratio {q} is there already") for q in (0.01, 0.02)
    ]
    broken = Trial({"ratio": 0.5, "k": 5}, None, None, "failed", "inner fold 0: it broke")
    left_out = {0: (*refused, broken), 1: refused[1:], 2: ()}
    made = [replace(r, trials=tuple(left_out.get(r.fold, ()))) for r in rows({"none": WAVE, "threshold": WAVE})]
    found = summary(study("none", "threshold"), made)
    assert found.remarks.iloc[0] == (
        "candidate ratio 0.02, k 5 and 1 more inapplicable in 2 of 5 folds: ratio 0.02 is there already",
        "candidate ratio 0.5, k 5 failed in 1 of 5 folds: inner fold 0: it broke",
    )


def test_time_ordered_gains_have_no_interval():
    found = summary(study("none", "smote", timed=True), rows({"none": WAVE, "smote": WAVE * 2 + 1})).iloc[1]
    assert found.gain_none == pytest.approx(1.0)
    assert math.isnan(found.gain_none_low)
    assert "no interval for the gain over 'none': folds follow the time, which excludes a test" in found.remarks


SENTENCES = {
    "better": {"none": WAVE, "threshold": WAVE * 2, "smote": WAVE * 3 + 0.1, "smote_threshold": WAVE + 0.9},
    "worse": {"none": WAVE, "threshold": WAVE * 2 + 0.5, "smote_threshold": WAVE},
    "equivalent": {"none": WAVE, "threshold": WAVE * 2, "smote_threshold": WAVE * 2.05 + 0.001},
    "identical": {"none": WAVE, "threshold": WAVE * 2, "smote_threshold": WAVE * 2},
    "inconclusive": {"none": WAVE, "threshold": WAVE * 2, "smote_threshold": WAVE[::-1]},
    "missing fold": {"none": WAVE, "threshold": WAVE * 2, "smote_threshold": [*WAVE[:4], None]},
    "operating points": {"none": WAVE, "smote": WAVE[::-1] + 0.9},
    "no baseline": {"smote": WAVE, "smote_threshold": WAVE * 2 + 0.9},
    "no resampling": {"none": WAVE, "threshold": WAVE * 3 + 0.5},
}


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences_say_what_the_evidence_allows(case, snapshot):
    names = SENTENCES[case]
    asked = study(*names, contrasts=(("smote", "smote_threshold"),)) if case == "no baseline" else study(*names)
    said = wording.describe_contrasts(judged(names, asked), asked)
    assert said == snapshot
    assert len(said) == 1
    assert ("resampling helps:" in said[0]) == (case == "better")


def test_a_described_contrast_is_not_called_a_gain(snapshot):
    asked = study("none", "threshold", "smote_threshold", timed=True)
    said = wording.describe_contrasts(judged(SENTENCES["better"], asked), asked)
    assert said == snapshot
    assert "resampling helps" not in said[0]


def test_a_verdict_without_a_reason_has_none():
    scores = {"none": WAVE, "threshold": WAVE * 3 + 0.5, "smote_threshold": [*WAVE[:4], None]}
    found = judged(scores, study(*scores, timed=True))
    assert found.verdict.tolist() == ["inconclusive", "descriptive", "inconclusive"]
    assert found.reason.iloc[1] is None
    assert "nan" not in wording.describe_contrasts(found, study(*scores))[0]


def test_a_study_of_one_strategy_has_nothing_to_judge(snapshot):
    asked = study("none")
    assert wording.describe_contrasts(judged({"none": WAVE}, asked), asked) == snapshot


def test_only_an_equal_moving_threshold_isolates_resampling():
    swept = {"threshold": Choice((0.1, 0.2))}
    more = (
        Strategy("weight_threshold", weight="balanced", threshold="tuned"),
        Strategy("smote_swept", SMOTE, space=swept),
        Strategy("swept", space=swept),
    )
    asked = replace(study(*ARMS), strategies=(*ARMS.values(), *more))
    names = [s.name for s in asked.strategies]
    isolating = {pair for pair in product(names, names) if isolates_resampling(asked, *pair)}
    assert isolating == {("smote_threshold", "threshold"), ("smote_swept", "swept")}
    assert not isolates_resampling(asked, "smote_threshold", "unknown")
