"""Many data sets: sources are the units, nothing missing is filled in, and verdicts keep to the claims."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from imblab.analysis import across_datasets, paired
from imblab.analysis.claims import register_claims
from imblab.analysis.results import score_arrays
from imblab.analysis.text_tables import across_contrast_table, describe_rank_tests, list_missing_effects
from imblab.analysis.wording import describe_across
from imblab.result import Evaluation
from imblab.stats import ranks
from imblab.stats.paired_tests import equivalence_p, holm, mean_effect
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

NAMES = ("none", "threshold", "smote")
TASKS = tuple(f"t{i}" for i in range(8))
FOLDS = 2
COUNTS = {"tn": 17, "fp": 0, "fn": 1, "tp": 2}


def study(*names, higher=True, learners=("logistic",), **claims):
    strategies = tuple(map(Strategy, names or NAMES))
    made = tuple(Learner(name, {}) for name in learners)
    measures, protocol = (Measure("mcc", "m", "label", higher),), Protocol(outer_folds=FOLDS)
    return Study("demo", 0, {}, made, strategies, measures, protocol, claims=Claims(**claims))


def evaluations(scores, names=NAMES, tasks=TASKS, learner="logistic", missing=()):
    """``scores``: one row a task, one column a strategy; its two folds lie around it."""
    return [
        Evaluation(
            task, learner, name, 0, fold, {}, 0.5, {"mcc": float(scores[i][j]) + (-1) ** fold / 64}, COUNTS, 1.0,
            "failed" if (task, name, fold) in missing else "ok", None, "f", split_fingerprint=f"{task}-{fold}",
            n_train=80, n_test=20,
        )
        for i, task in enumerate(tasks)
        for j, name in enumerate(names)
        for fold in range(FOLDS)
    ]  # fmt: skip


def random_scores(n=8, k=3, seed=0):
    return np.random.default_rng(seed).normal(0.5, 0.1, (n, k)) + np.arange(k) * 0.08


def only(scores, asked=None, source=None, **how):
    asked = asked or study()
    (found,) = across(asked, evaluations(scores, **how), source)
    return found


def across(asked, rows, source=None):
    return across_datasets.compare_over_parents(score_arrays(asked, rows), asked, source or {})


def test_the_numbers_by_hand():
    scores = random_scores()
    found = only(scores)
    expected = stats.rankdata(-scores, axis=1).mean(axis=0)
    by_name = found.rank_table.set_index("strategy")
    assert by_name.mean_rank.to_dict() == pytest.approx(dict(zip(NAMES, expected, strict=True)))
    assert by_name["mean"].to_dict() == pytest.approx(dict(zip(NAMES, scores.mean(axis=0), strict=True)))
    assert found.rank_table.mean_rank.is_monotonic_increasing
    assert found.friedman.statistic == pytest.approx(stats.friedmanchisquare(*scores.T).statistic)
    assert found.parents == TASKS
    p = []
    for row, j in zip(found.contrasts.itertuples(), (1, 2), strict=True):
        d = scores[:, j] - scores[:, 0]
        p.append(stats.wilcoxon(d, method="exact").pvalue)
        assert (row.a, row.b, row.parents) == (NAMES[j], "none", 8)
        assert (row.wins, row.ties, row.losses) == ((d > 0).sum(), 0, (d < 0).sum())
        assert (row.mean, row.median, row.p) == pytest.approx((d.mean(), np.median(d), p[-1]))
    np.testing.assert_allclose(found.contrasts.p_holm, holm(p))


def test_tasks_of_one_table_are_averaged_first_and_count_once():
    scores = random_scores()
    source = {"t1": "parent", "t4": "parent", "t5": "parent"}
    found = only(scores, source=source)
    units = np.vstack([scores[[1, 4, 5]].mean(axis=0), scores[[0, 2, 3, 6, 7]]])
    by_name = found.rank_table.set_index("strategy").mean_rank
    assert by_name.loc[list(NAMES)].tolist() == pytest.approx(stats.rankdata(-units, axis=1).mean(axis=0).tolist())
    assert set(found.parents) == {"t0", "parent", "t2", "t3", "t6", "t7"}
    assert (found.contrasts.parents == 6).all()
    assert found.contrasts.p[0] == pytest.approx(stats.wilcoxon(units[:, 1] - units[:, 0], method="exact").pvalue)
    assert "t1, t4, t5 have one parent data set and count once, as parent" in found.notes


def test_one_source_is_no_comparison_across_sources():
    assert across(study(), evaluations(random_scores()), dict.fromkeys(TASKS, "parent")) == []
    assert across(study(), evaluations(random_scores(1), tasks=("t0",))) == []


@pytest.mark.parametrize("n", [2, 5])
def test_fewer_than_six_sources_are_not_tested_and_it_is_said(n):
    found = only(random_scores(n), tasks=TASKS[:n])
    assert found.friedman is None
    assert found.cliques == ()
    assert found.contrasts[["p", "p_holm"]].isna().all(axis=None)
    assert set(found.contrasts.verdict) == {"untested"}
    said = f"no test over {n} parent data sets: it takes 6, since even 5 differences of one sign have p = 0.062"
    assert said in found.notes
    assert set(found.contrasts.reason) == {said}
    short = said.replace(f" over {n} parent data sets", "")
    assert describe_across(found, study()) == f"across {n} parent data sets, logistic: {short}."
    assert found.rank_table.mean_rank.sum() == pytest.approx(6)


def test_eight_tasks_of_five_tables_are_five_sources():
    found = only(random_scores(), source={"t5": "t0", "t6": "t1", "t7": "t2"})
    assert set(found.contrasts.verdict) == {"untested"}


def test_better_and_worse_follow_the_direction_of_the_measure():
    scores = np.arange(8)[:, None] / 100 + np.array([0.0, 0.1, -0.1])
    for higher, words in ((True, ["better", "worse"]), (False, ["worse", "better"])):
        found = only(scores, study(higher=higher))
        assert found.contrasts.verdict.tolist() == words
        assert found.contrasts.p_holm.tolist() == pytest.approx([2 * 2 / 2**8] * 2)
        won = [8, 0] if higher else [0, 8]
        assert found.contrasts.wins.tolist() == won
        best = "threshold" if higher else "smote"
        assert found.rank_table.strategy[0] == best
        first, second = ("threshold", "none") if words[0] == "better" else ("none", "threshold")
        said = f"the signed ranks favour {first} over {second} (Holm p 0.016; it won on 8 of 8)"
        assert said in describe_across(found, study())


def noisy(scores, spread, tasks=TASKS, seed=0):
    """Evaluations whose fold differences vary, so that every task has a standard error."""
    rng = np.random.default_rng(seed)
    made = evaluations(scores, tasks=tasks)
    noise = {(e.dataset, e.strategy): float(rng.normal(0, spread)) for e in made}
    return [replace(e, scores={"mcc": e.scores["mcc"] + (-1) ** e.fold * noise[e.dataset, e.strategy]}) for e in made]


def test_the_effect_is_that_of_a_random_effects_model_over_parents():
    scores, parents = random_scores(), {"t1": "t0"}
    made = noisy(scores, 0.05)
    (found,) = across(study(), made, parents)
    families = score_arrays(study(), made)
    row, estimates = found.contrasts.iloc[0], paired.estimate_all(families, study())
    d = scores[:, 1] - scores[:, 0]
    se = np.array([estimates[task, "logistic"]["threshold", "none"].se for task in TASKS])
    units, errors = (np.r_[v[:2].mean(), v[2:]] for v in (d, se))
    expected = mean_effect(units, errors)
    assert row.parents == 7
    names = ("effect", "effect_se", "effect_low", "effect_high", "effect_deviation")
    estimate = expected.estimate
    values = (estimate.mean, estimate.se, estimate.low, estimate.high, expected.deviation)
    assert row[list(names)].tolist() == pytest.approx(list(values))
    assert (row.prediction_low, row.prediction_high) == pytest.approx(
        (expected.prediction_low, expected.prediction_high)
    )
    assert row.p_equivalence == pytest.approx(equivalence_p(estimate, 0.02))
    np.testing.assert_allclose(found.contrasts.p_equivalence_holm, holm(found.contrasts.p_equivalence))
    assert row.below + row.within + row.above == pytest.approx(1)


def test_a_small_effect_over_parents_is_equivalent_and_says_its_interval():
    rng = np.random.default_rng(1)
    base = rng.normal(0.5, 0.1, (8, 1))
    scores = base + np.array([0.0, 0.0, 0.3]) + rng.normal(0, 0.002, (8, 3)) * [1, 1, 0]
    (found,) = across(study(), noisy(scores, 0.002))
    assert found.contrasts.verdict.tolist() == ["equivalent", "better"]
    row = found.contrasts.iloc[0]
    said = describe_across(found, study())
    assert "threshold and none are equivalent within ±0.02 (mean threshold - none " in said
    assert f"90 % interval {row.equivalence_low:+.3f} to {row.equivalence_high:+.3f}" in said
    assert "the signed ranks favour smote over none (Holm p 0.016; it won on 8 of 8; mean smote - none +0.3" in said
    assert "chance" not in said
    # Without a region nothing is equivalent.
    (bare,) = across(study(rope={}), noisy(scores, 0.002))
    assert bare.contrasts.verdict.tolist() == ["inconclusive", "better"]
    assert bare.contrasts[["p_equivalence", "within"]].isna().all(axis=None)


@pytest.mark.parametrize("spread", [0.0, 0.002], ids=["an identical parent", "a parent that is known precisely"])
def test_one_parent_without_a_difference_shows_no_equivalence_of_all(spread):
    """With its own standard error it would have all the weight."""
    gains = np.array([0.04, -0.01, 0.06, 0.02, 0.05, -0.03, 0.05, 0.0])
    scores = 0.5 + np.column_stack([np.zeros(8), gains, np.zeros(8)])
    rows = [
        replace(e, scores={"mcc": e.scores["mcc"] + (-1) ** e.fold * (0.04 if e.dataset != "t7" else spread)})
        if e.strategy == "threshold"
        else e
        for e in evaluations(scores)
    ]
    row = across(study(), rows)[0].contrasts.iloc[0]
    assert row.verdict == "inconclusive"
    assert row.p_equivalence > 0.05
    narrow = stats.t(7, gains.mean(), stats.sem(gains)).interval(0.9)
    assert row.equivalence_low <= narrow[0] + 1e-12
    assert row.equivalence_high >= narrow[1] - 1e-12
    assert not -0.02 <= row.equivalence_low <= row.equivalence_high <= 0.02


@pytest.mark.parametrize("other", [{}, {"tn": 16, "fp": 1}], ids=["no row is called positive", "other counts"])
def test_equal_scores_without_equal_decisions_are_not_identical_over_parents(other):
    scores = random_scores(7)
    scores[:, 1] = scores[:, 0]
    empty = {"tn": 17, "fp": 0, "fn": 3, "tp": 0}
    rows = [
        replace(e, counts={**empty, **(other if e.strategy == "threshold" else {})})
        for e in evaluations(scores, tasks=TASKS[:7])
    ]
    row = across(study(), rows)[0].contrasts.iloc[0]
    assert (row.verdict, row.ties) == ("inconclusive", 7)
    assert math.isnan(row.effect)
    # One parent is enough: it has no standard error.
    rows = [e if e.dataset == "t0" else replace(e, counts=COUNTS) for e in rows]
    assert across(study(), rows)[0].contrasts.verdict.iloc[0] == "inconclusive"


def test_a_parent_has_no_standard_error_where_one_of_its_tasks_has_none():
    rows = noisy(random_scores(), 0.05)
    made = [
        replace(
            e, scores={"mcc": next(x for x in rows if x.key == e.key.replace("threshold", "none")).scores["mcc"] + 0.2}
        )
        if (e.dataset, e.strategy) == ("t7", "threshold")
        else e
        for e in rows
    ]
    row = across(study(), made, {"t7": "t0"})[0].contrasts.iloc[0]
    assert row.parents == 7
    assert row.mean == row.mean
    assert np.isnan([row.effect, row.effect_se, row.p_equivalence]).all()
    assert "1 of 7 parent data sets has no standard error (t0: " in row.effect_reason


@pytest.mark.parametrize(("gain", "favoured"), [(0.005, "threshold over none"), (-0.005, "none over threshold")])
def test_a_difference_within_the_region_is_called_small(gain, favoured):
    rng = np.random.default_rng(1)
    scores = rng.normal(0.5, 0.1, (8, 1)) + np.array([0.0, gain, 0.3])
    (found,) = across(study(), noisy(scores, 0.001))
    assert found.contrasts.rope.tolist() == [0.02, 0.02]
    header, rows = across_contrast_table(found, study())
    assert rows[0][header.index("verdict")] == f"{'better' if gain > 0 else 'worse'} by less than ±0.02"
    said = describe_across(found, study())
    assert f"the signed ranks favour {favoured}, by less than ±0.02 (Holm p 0.016; it won on 8 of 8; mean" in said
    assert "smote over none (Holm p" in said


def test_what_applies_to_no_data_set_is_in_no_family():
    gone = {"status": "inapplicable", "error": "no form for categories", "scores": {}}
    made = [replace(e, **gone) if e.strategy == "smote" else e for e in evaluations(random_scores())]
    (found,) = across(study(), made)
    assert found.contrasts.verdict.tolist()[1] == "not applicable"
    assert found.contrasts.p_holm[0] == found.contrasts.p[0]
    assert found.contrasts.family_size[0] == 1


def test_equal_means_of_unequal_folds_are_not_identical():
    scores = random_scores(8)
    scores[:, 1] = scores[:, 0]
    rows = [
        replace(e, scores={"mcc": e.scores["mcc"] + (-1) ** e.fold / 256}) if e.strategy == "threshold" else e
        for e in evaluations(scores)
    ]
    (found,) = across(study(), rows)
    row = found.contrasts.iloc[0]
    assert row.ties == 8
    assert row.effect_low < 0 < row.effect_high
    assert row.verdict in ("equivalent", "inconclusive")


def test_identical_arms_and_what_too_few_sources_can_never_show():
    scores = random_scores(6)
    scores[:, 1] = scores[:, 0]
    found = only(scores, tasks=TASKS[:6])
    assert found.contrasts.verdict.tolist()[0] == "identical"
    assert found.contrasts.ties.tolist()[0] == 6
    # No width is made up for an identity, although units have a least standard error where they differ.
    ends = ["effect", "effect_se", "effect_low", "effect_high", "prediction_low", "prediction_high", "equivalence_high"]
    assert found.contrasts[ends].iloc[0].tolist() == [0.0] * len(ends)
    assert "threshold - none (won 0, tied 6, lost 0, Holm p 1.000) is identical" in describe_across(found, study())
    sure = np.arange(6)[:, None] / 100 + np.array([0.0, 0.1, 0.2])
    found = only(sure, tasks=TASKS[:6])
    assert found.contrasts.verdict.tolist() == ["inconclusive"] * 2
    constant = "t0, t1, t2, t3, t4 and t5: all 2 differences are +0.1: no variance to test with"
    untested = f"equivalence was not tested, since 6 of 6 parent data sets have no standard error ({constant})"
    limit = "6 parent data sets and 2 contrasts cannot reach less than 0.0625"
    assert found.contrasts.reason[0] == f"Holm-adjusted p 0.0625 > 0.05; {limit}; {untested}"


def test_a_missing_effect_is_named_with_the_parents_and_the_reason():
    scores = random_scores(7)
    scores[:, 1] = scores[:, 0]
    silent = {"t1", "t4"}
    rows = [
        replace(e, counts={"tn": 17, "fp": 0, "fn": 3, "tp": 0} if e.dataset in silent else COUNTS)
        for e in evaluations(scores, tasks=TASKS[:7])
    ]
    (found,) = across(study("none", "threshold"), rows)
    missing = (
        "equivalence was not tested, since 2 of 7 parent data sets have no standard error (t1 and t4: MCC is equal in "
        "every fold, since no row is called positive)"
    )
    row = found.contrasts.iloc[0]
    assert (row.verdict, row.reason) == ("inconclusive", f"Holm-adjusted p 1 > 0.05; {missing}")
    assert row.effect_reason == missing
    assert f"(won 0, tied 7, lost 0, Holm p 1.000) is inconclusive; {missing}." in describe_across(found, study())
    assert f"threshold - none: {missing}" in describe_rank_tests(found)


def test_a_contrast_with_an_effect_has_no_reason_against_one():
    rows = noisy(random_scores(), 0.05)
    (found,) = across(study(), rows)
    assert found.contrasts.effect_reason.isna().all()
    assert list_missing_effects(found) == []


def test_a_task_with_a_gap_is_left_out_for_all_arms_and_named():
    scores = random_scores()
    found = only(scores, missing={("t3", "smote", 1)})
    rest = np.delete(scores, 3, axis=0)
    by_name = found.rank_table.set_index("strategy").mean_rank
    assert by_name.loc[list(NAMES)].tolist() == pytest.approx(stats.rankdata(-rest, axis=1).mean(axis=0).tolist())
    assert "t3" not in found.parents
    said = "data set 't3' is left out of the ranks: 'smote' has no MCC in 1 of 2 folds: 1 failed"
    assert said in found.notes
    # A contrast is judged on whatever its own arms have.
    assert found.contrasts.parents.tolist() == [8, 7]


def test_an_arm_without_any_score_does_not_empty_the_ranks():
    missing = {(task, "smote", 0) for task in TASKS}
    found = only(random_scores(), missing=missing)
    assert set(found.rank_table.strategy) == {"none", "threshold"}
    assert "strategy 'smote' is left out of the ranks: it has no complete score on any data set" in found.notes
    assert found.contrasts.parents.tolist() == [8, 0]
    assert found.contrasts.verdict.tolist()[1] == "untested"
    # The family keeps its size.
    assert found.contrasts.p_holm[0] == pytest.approx(min(1, 2 * found.contrasts.p[0]))


def test_an_arm_that_does_not_apply_to_many_tables_leaves_the_ranks_so_that_the_sources_stay():
    missing = {(task, "smote", 0) for task in TASKS[:5]}
    scores = random_scores()
    found = only(scores, missing=missing)
    assert len(found.parents) == 8
    assert found.friedman is not None
    assert set(found.rank_table.strategy) == {"none", "threshold"}
    left = "strategy 'smote' is left out of the ranks: it has no complete score on t0, t1, t2, t3, t4"
    assert left in found.notes
    assert found.contrasts.parents.tolist() == [8, 3]


def test_nothing_complete_gives_no_ranks_and_no_crash():
    missing = {("t0", "none", 0), ("t1", "threshold", 0), ("t2", "smote", 0)}
    found = only(random_scores(3), tasks=TASKS[:3], missing=missing)
    assert found.parents == ()
    assert found.rank_table.mean_rank.isna().all()
    assert len(found.notes) == 4
    gone = {(task, name, 0) for task in TASKS[:3] for name in NAMES}
    assert only(random_scores(3), tasks=TASKS[:3], missing=gone).rank_table.empty


def test_learners_are_compared_each_for_itself():
    scores = random_scores()
    rows = [*evaluations(scores), *evaluations(-scores, learner="knn")]
    one, other = across(study(learners=("logistic", "knn")), rows)
    assert (one.learner, other.learner) == ("logistic", "knn")
    assert one.contrasts.equals(only(scores).contrasts)
    assert other.contrasts["median"].tolist() == pytest.approx((-one.contrasts["median"]).tolist())


def test_what_came_later_is_exploratory_across_sources_too():
    kept = register_claims(study("none", "threshold"))
    grown = replace(study(), claims=kept.claims)
    sure = np.arange(8)[:, None] / 100 + np.array([0.0, 0.1, 0.2])
    found = only(sure, grown).contrasts
    assert found.verdict.tolist() == ["better", "exploratory"]
    assert found.p_holm[0] == found.p[0] == 2 / 2**8
    assert math.isnan(found.p_holm[1])


def test_bars_join_what_is_not_told_apart():
    """Clear steps of two pairs: none and threshold together, smote and both together."""
    rng = np.random.default_rng(2)
    names = ("none", "threshold", "smote", "both")
    scores = rng.normal(0, 0.01, (10, 4)) + np.array([0.0, 0.0, 0.5, 0.5])
    tasks = tuple(f"t{i}" for i in range(10))
    found = only(scores, study(*names), names=names, tasks=tasks)
    assert {frozenset(clique) for clique in found.cliques} == {frozenset(names[:2]), frozenset(names[2:])}


def test_a_pair_that_no_bar_can_join_is_told():
    """a beats b surely and b beats c surely, while a against c is a wild draw: their bar would lie over b."""
    alike = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=bool)
    assert ranks.cliques(alike) == []
    (note,) = across_datasets._unjoined_notes(["a", "b", "c"], alike, [])
    assert note.startswith("no bar joins a and c, although their difference is not significant")


GRIDS = st.lists(st.tuples(*[st.integers(0, 16)] * 3), min_size=6, max_size=9)
laws = settings(max_examples=15)


@laws
@given(GRIDS, st.booleans())
def test_contrasts_across_sources_are_antisymmetric(grid, higher):
    scores, tasks = np.array(grid) / 16, [f"t{i}" for i in range(len(grid))]
    asked = (("threshold", "none"), ("smote", "none"))
    turned = tuple((b, a) for a, b in asked)
    one, other = (only(scores, study(higher=higher, contrasts=c), tasks=tasks).contrasts for c in (asked, turned))
    np.testing.assert_allclose(one["mean"], -other["mean"], atol=1e-12)
    np.testing.assert_allclose(one.p_holm, other.p_holm, rtol=1e-12)
    assert one.wins.tolist() == other.losses.tolist()
    opposite = {"better": "worse", "worse": "better"}
    assert [opposite.get(v, v) for v in one.verdict] == other.verdict.tolist()


@pytest.mark.slow
@laws
@given(GRIDS, st.randoms(), st.permutations(NAMES))
def test_order_of_rows_and_names_change_nothing(grid, random, renamed):
    scores, tasks = np.array(grid) / 16, [f"t{i}" for i in range(len(grid))]
    asked = (("threshold", "none"), ("smote", "none"))
    found = only(scores, study(contrasts=asked), tasks=tasks)
    shuffled = list(range(len(tasks)))
    random.shuffle(shuffled)
    again = only(scores[shuffled], study(contrasts=asked), tasks=[tasks[i] for i in shuffled])
    new = dict(zip(NAMES, renamed, strict=True))
    claims = {"contrasts": tuple((new[a], new[b]) for a, b in asked)}
    other = only(scores, study(*renamed, **claims), tasks=tasks, names=renamed)
    numbers = ["parents", "wins", "ties", "losses", "p", "p_holm", "verdict"]
    for moved in (again, other):
        assert found.contrasts[numbers].equals(moved.contrasts[numbers])
        assert found.rank_table.mean_rank.tolist() == pytest.approx(moved.rank_table.mean_rank.tolist())
        assert found.friedman.f == pytest.approx(moved.friedman.f)


@pytest.mark.slow
@laws
@given(GRIDS)
def test_a_larger_alpha_never_takes_a_decision_back(grid):
    scores, tasks = np.array(grid) / 16, [f"t{i}" for i in range(len(grid))]
    verdicts = [only(scores, study(alpha=a), tasks=tasks).contrasts.verdict.tolist() for a in (0.01, 0.05, 0.2)]
    for strict, loose in pairwise(verdicts):
        assert all(
            s in ("inconclusive", t) or (s == "equivalent" and t in ("better", "worse"))
            for s, t in zip(strict, loose, strict=True)
        )
