"""Claims: what was on record before the first row gets a verdict, what was chosen later is exploratory."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imblab.analysis import compare, wording
from imblab.analysis.claims import (
    claimed_contrasts,
    claimed_families,
    declared_contrasts,
    exploratory_reasons,
    primary_contrasts,
    register_claims,
    secondary_contrasts,
)
from imblab.analysis.results import score_arrays
from imblab.result import Evaluation
from imblab.stats.paired_tests import corrected_t, detectable, holm
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

NAMES = ("none", "threshold", "smote", "smote_threshold")
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = {
    "threshold": Strategy("threshold", threshold="tuned"),
    "smote": Strategy("smote", SMOTE),
    "smote_threshold": Strategy("smote_threshold", SMOTE, threshold="tuned"),
}
SCORES = np.random.default_rng(0).normal(0.5, 0.05, (len(NAMES), 5)) + np.array([[0.0], [0.1], [0.3], [0.2]])


def study(*names, **claims):
    measures = (Measure("mcc", "m", "label"), Measure("f1", "m", "label"))
    strategies = tuple(STRATEGIES.get(name, Strategy(name)) for name in names or NAMES)
    return Study("demo", 0, {"toy": {}}, (Learner("logistic", {}),), strategies, measures, claims=Claims(**claims))


def evaluations(scores=SCORES, names=NAMES, repeats=1):
    return [
        Evaluation(
            "toy", "logistic", name, repeat, fold, {}, 0.5, {"mcc": float(own[fold]), "f1": float(own[fold])},
            {"tn": 0, "fp": 0, "fn": 0, "tp": 1 + hash(float(own[fold])) % 97},
            1.0, "ok", None, "f", split_fingerprint=f"{repeat}-{fold}", n_train=80, n_test=20,
        )
        for name, own in zip(names, scores, strict=True)
        for repeat in range(repeats)
        for fold in range(5)
    ]  # fmt: skip


def contrasts_of(asked, *data, **how):
    return compare.contrasts(score_arrays(asked, evaluations(*data, **how)), asked)


def test_what_was_claimed_before_the_first_row_is_judged_as_if_nothing_were_on_record():
    asked = study()
    kept = register_claims(asked)
    assert kept.claims.registered.contrasts == declared_contrasts(asked)
    assert register_claims(kept) is kept
    assert set(exploratory_reasons(kept).values()) == {None}
    assert contrasts_of(asked).equals(contrasts_of(kept))


def test_a_contrast_that_came_later_is_exploratory_and_the_family_stays_what_it_was():
    first = register_claims(study("none", "threshold", "smote"))
    grown = replace(study(), claims=first.claims)
    found = contrasts_of(grown).set_index(["a", "b"])
    late = [("smote_threshold", "threshold"), ("smote_threshold", "none")]
    assert found.loc[late, "verdict"].tolist() == ["exploratory"] * 2
    assert found.loc[late, "reason"].tolist() == ["the contrast was not claimed before the first row"] * 2
    assert found.loc[late, "p_holm"].isna().all()
    assert found.loc[late, ["mean", "low", "high", "p"]].notna().all(axis=None)
    claimed = [("threshold", "none"), ("smote", "none")]
    before = contrasts_of(first, SCORES[:3], NAMES[:3]).set_index(["a", "b"])
    assert found.loc[claimed, before.columns != "q"].equals(before.loc[claimed, before.columns != "q"])


def test_leaving_claims_out_later_makes_no_test_easier():
    kept = register_claims(study())
    only = replace(kept, claims=replace(kept.claims, contrasts=(("threshold", "none"),)))
    narrow, whole = contrasts_of(only), contrasts_of(kept)
    assert len(narrow) == 1
    assert narrow.p_holm[0] == whole.p_holm[whole.a.eq("threshold")].item()
    assert narrow.p_holm[0] == holm(whole.p[1:])[0]
    assert claimed_contrasts(only) == declared_contrasts(kept)


CHANGED = {
    "alpha was 0.05 before the first row": {"alpha": 0.1},
    "the region of mcc was ±0.02 before the first row": {"rope": {"mcc": 0.01}},
    "alpha was 0.05 and the region of mcc was ±0.02 before the first row": {"alpha": 0.1, "rope": {}},
}


@pytest.mark.parametrize("reason", CHANGED)
def test_changed_claims_get_no_verdict_word(reason):
    kept = register_claims(study())
    changed = replace(kept, claims=replace(kept.claims, **CHANGED[reason]))
    found = contrasts_of(changed)
    assert set(found.verdict) == {"exploratory"}
    assert set(found.reason) == {reason}
    said = wording.describe_contrasts(found, changed)[0]
    assert "exploratory" in said
    assert not any(word in said for word in ("better", "worse", "equivalent", "helps", "harms"))


def test_another_primary_more_repeats_and_a_region_that_came_later():
    kept = register_claims(study(rope={"f1": 0.1}))
    other = replace(kept, primary="f1")
    assert set(contrasts_of(other).reason) == {"the primary measure was mcc before the first row"}
    longer = replace(kept, protocol=Protocol(repeats=2))
    found = contrasts_of(longer, repeats=2)
    assert set(found.reason) == {"the number of repeats was 1 before the first row"}
    # Fewer are chosen by their results just as well.
    planned = register_claims(replace(study(rope={"f1": 0.1}), protocol=Protocol(repeats=2)))
    found = contrasts_of(replace(planned, protocol=Protocol(repeats=1)))
    assert set(found.verdict) == {"exploratory"}
    assert set(found.reason) == {"the number of repeats was 2 before the first row"}
    wider = replace(kept, claims=replace(kept.claims, rope={"mcc": 0.01}))
    assert set(exploratory_reasons(wider).values()) == {"the region of mcc was not set before the first row"}
    # A region of a measure that is not judged touches nothing.
    aside = replace(kept, claims=replace(kept.claims, rope={"f1": 0.2}))
    assert set(exploratory_reasons(aside).values()) == {None}


def test_what_follows_the_time_stays_described_and_a_gap_is_still_told():
    kept = register_claims(study())
    changed = replace(kept, claims=replace(kept.claims, alpha=0.1))
    assert set(contrasts_of(replace(changed, datasets={"toy": {"time": "day"}})).verdict) == {"descriptive"}
    gone = [e for e in evaluations() if not (e.strategy == "smote" and e.fold == 3)]
    row = compare.contrasts(score_arrays(changed, gone), changed).set_index("a").loc["smote"]
    assert row.verdict == "exploratory"
    assert row.reason == "alpha was 0.05 before the first row; 'smote' has no MCC in 1 of 5 folds: 1 missing"


def test_the_detectable_difference_by_hand():
    found = contrasts_of(study())
    for row in found.itertuples():
        a, b = (SCORES[NAMES.index(name)] for name in (row.a, row.b))
        assert row.detectable == detectable(corrected_t(a - b, 80, 20), 0.05 / (1 if row.family == "primary" else 3))


@pytest.mark.slow
def test_a_difference_of_the_detectable_size_is_found_in_four_of_five_draws():
    """Against the model behind the formula: independent normal differences, where the correction is exact."""
    rng = np.random.default_rng(3)
    for J in (5, 10, 25):
        draws = rng.normal(size=(4000, J))
        # With a test part that is tiny beside the training part the corrected standard error is the plain one.
        estimates = [corrected_t(d, 1e9, 1) for d in draws]
        stated = np.sqrt(np.mean([detectable(e) ** 2 for e in estimates]))
        found = np.mean([corrected_t(d + stated, 1e9, 1).p <= 0.05 for d in draws])
        assert found == pytest.approx(0.8, abs=0.02)


def pairs_of(*names):
    return tuple((a, "none") for a in names)


def test_the_primary_contrasts_of_the_rule():
    names = ("none", "threshold", "smote", "smote_threshold")
    assert primary_contrasts(study()) == (("smote_threshold", "threshold"),)
    assert secondary_contrasts(study()) == pairs_of("threshold", "smote", "smote_threshold")
    # Without the default pair: every pair that differs in the sampler alone, in the order of the strategies.
    more = [Strategy(name, SMOTE, threshold="tuned") for name in ("adasyn", "enn")]
    other = replace(study(), strategies=(*more, *(STRATEGIES.get(n, Strategy(n)) for n in names[:3])))
    assert primary_contrasts(other) == (("adasyn", "threshold"), ("enn", "threshold"))
    assert secondary_contrasts(other) == pairs_of("adasyn", "enn", "threshold", "smote")
    # A fixed threshold is enough where the primary measure reads none.
    ranking = replace(study("none", "smote"), primary="pr_auc", measures=(Measure("pr_auc", "m", "score"),))
    assert primary_contrasts(ranking) == (("smote", "none"),)
    assert primary_contrasts(study("none", "smote")) == secondary_contrasts(ranking) == ()
    assert secondary_contrasts(study("none", "smote")) == (("smote", "none"),)
    # A pair of the same names that differs in more than the sampler is not primary.
    weighted = replace(STRATEGIES["smote_threshold"], weight=10.0)
    assert primary_contrasts(replace(study(), strategies=(*study().strategies[:3], weighted))) == ()


def test_declared_families_and_the_older_spelling():
    declared = study(primary=(("smote_threshold", "threshold"),), secondary=(("smote", "none"),))
    assert declared_contrasts(declared) == (("smote_threshold", "threshold"), ("smote", "none"))
    older = study(contrasts=(("smote", "none"), ("smote_threshold", "threshold")))
    assert declared_contrasts(older) == (("smote", "none"), ("smote_threshold", "threshold"))
    assert (primary_contrasts(older), secondary_contrasts(older)) == (
        (("smote_threshold", "threshold"),),
        (("smote", "none"),),
    )
    assert primary_contrasts(study(primary=())) == ()


def test_a_record_of_one_family_stays_one_family():
    kept = register_claims(study())
    older = replace(kept.claims.registered, primary_contrasts=None)
    asked = replace(kept, claims=replace(kept.claims, registered=older))
    assert claimed_families(asked) == (declared_contrasts(asked),)
    found, split = contrasts_of(asked), contrasts_of(kept)
    np.testing.assert_allclose(found.p_holm, holm(found.p))
    assert found.family_size.tolist() == [4] * 4
    assert found.family.equals(split.family)
    assert split.family_size.tolist() == [1, 3, 3, 3]


def test_the_family_on_record_decides_whatever_is_declared_later():
    kept = register_claims(study())
    moved = replace(kept.claims, primary=(), secondary=(("smote_threshold", "threshold"), ("smote", "none")))
    found = contrasts_of(replace(kept, claims=moved)).set_index(["a", "b"])
    before = contrasts_of(kept).set_index(["a", "b"])
    for pair in (("smote_threshold", "threshold"), ("smote", "none")):
        assert found.loc[pair, ["p_holm", "family", "family_size"]].equals(
            before.loc[pair, ["p_holm", "family", "family_size"]]
        )


def test_two_families_keep_their_error_rates():
    """Null differences that are normal, where the corrected t is exact: each family errs in at most alpha of them."""
    rng, n_studies, errors = np.random.default_rng(7), 1500, Counter()
    families = {"primary": range(1), "secondary": range(1, 4)}
    for _ in range(n_studies):
        p = [corrected_t(d, 1e9, 1).p for d in rng.normal(size=(4, 6))]
        adjusted = [*holm(p[:1]), *holm(p[1:])]
        errors.update(name for name, members in families.items() if min(adjusted[i] for i in members) <= 0.05)
    # Three standard errors above .05.
    assert all(errors[name] / n_studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n_studies) for name in families)
    # Not by saying nothing.
    assert errors["primary"] / n_studies >= 0.03


SIX = st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=5, max_size=5)


@settings(max_examples=40)
@given(SIX, st.sampled_from([(0.01, 0.05), (0.05, 0.1), (0.001, 0.2)]))
def test_a_larger_alpha_never_takes_a_decision_back(scores, alphas):
    values, names = np.array(scores).T / 20, ("none", "threshold", "smote")
    strict, loose = (contrasts_of(study(*names, alpha=a), values, names) for a in alphas)
    for one, other in zip(strict.itertuples(), loose.itertuples(), strict=True):
        allowed = {"inconclusive": {"inconclusive", "better", "worse", "equivalent"}}
        allowed |= {word: {word} for word in ("better", "worse", "identical")}
        allowed |= {"equivalent": {"equivalent", "better", "worse"}}
        assert other.verdict in allowed[one.verdict]
        assert other.p_holm == pytest.approx(one.p_holm, nan_ok=True)
        if not math.isnan(one.detectable):
            assert other.detectable < one.detectable


@settings(max_examples=30)
@given(SIX, st.permutations(("none", "threshold", "smote")))
def test_renaming_strategies_renames_contrasts_and_changes_nothing_else(scores, order):
    values, names = np.array(scores).T / 20, ("none", "threshold", "smote")
    asked = (("threshold", "none"), ("smote", "none"))
    new = dict(zip(names, order, strict=True))
    renamed = tuple((new[a], new[b]) for a, b in asked)
    one = contrasts_of(study(*names, contrasts=asked), values, names)
    other = contrasts_of(study(*order, contrasts=renamed), values, order)
    numbers = [*compare.NUMBERS, "verdict"]
    assert one[numbers].equals(other[numbers])
    assert list(zip(other.a, other.b, strict=True)) == list(renamed)
