"""Thresholds: loops over scikit-learn's measures as the witness of every rule, and laws."""

import inspect
import math
import timeit

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk

from imblab.core import decisions, measures
from imblab.core.decisions import ThresholdChoice, choose_threshold
from imblab.errors import ConfigError

GRID = tuple(i / 100 for i in range(1, 100))
COARSE = (0.05, 0.1, 0.3, 0.45, 0.5, 0.55, 0.9)
RULES = (
    "tuned",
    {"alert_rate": 0.07},
    {"alert_rate": 0.5},
    {"alert_rate": 1.0},
    {"min_precision": 0.5},
    {"min_precision": 0.9},
    {"min_recall": 0.7},
    {"min_recall": 1.0},
    {"cost": {"fn": 10, "fp": 1}},
    {"cost": {"fn": 1, "fp": 2.5}},
)


def count(y, p, cut):
    """tn, fp, fn, tp in plain Python."""
    calls = [(label, score >= cut) for label, score in zip(y.tolist(), p.tolist(), strict=True)]
    return [calls.count(pair) for pair in ((0, False), (0, True), (1, False), (1, True))]


def plain_mcc(tn, fp, fn, tp):
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(scale) if scale else 0.0


#: Ours on arrays, and the same in plain Python on four whole numbers.
MEASURES = {
    "mcc": (measures.mcc, plain_mcc),
    "precision": (measures.precision, lambda tn, fp, fn, tp: tp / (tp + fp) if tp + fp else math.nan),
    "f1": (measures.f_beta, lambda tn, fp, fn, tp: 2 * tp / (2 * tp + fp + fn)),
}


def draw(seed, kind, n=60, folds=3):
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(folds):
        y = (rng.random(n) < 0.2).astype(np.int64)
        y[:2] = [0, 1]
        p = np.clip(rng.beta(1, 3, n) + 0.25 * y, 0, 1)
        kinds = {"continuous": p, "tied": np.round(p, 1), "constant": np.full(n, 0.3), "tiny": p * 1e-13}
        parts.append((y, kinds[kind]))
    return parts


# ----------------------------------------------------------------------------------------------------- the witness


def by_loop(rule, folds, grid, measure, sign=1):
    """(cut, value, at edge) by the words of the design, one cut at a time; None where no cut meets the rule."""
    y, p = (np.concatenate(part) for part in zip(*folds, strict=True))
    cuts = sorted(set(p.tolist())) if grid == "observed" or rule != "tuned" else sorted(grid)
    counts = [count(y, p, cut) for cut in cuts]
    values = [measure(*four) for four in counts]
    wanted = [by_rule(rule, four, sign * value) for four, value in zip(counts, values, strict=True)]
    allowed = [w for w in wanted if not math.isnan(w)]
    if not allowed:
        return None
    if isinstance(rule, dict) and "alert_rate" in rule:
        index = max(i for i, w in enumerate(wanted) if not math.isnan(w))
    else:
        tied = [i for i, w in enumerate(wanted) if max(allowed) - w <= 1e-12]
        index = min(tied, key=lambda i: (round(abs(cuts[i] - 0.5), 12), cuts[i]))
    return cuts[index], values[index], len(cuts) > 1 and index in (0, len(cuts) - 1)


def by_rule(rule, four, value):
    if rule == "tuned":
        return value
    tn, fp, fn, tp = four
    ((name, bound),) = rule.items()
    if name == "cost":
        return -float(bound["fn"] * fn + bound["fp"] * fp)
    reached = {
        "alert_rate": (tp + fp) / (tn + fp + fn + tp),
        "min_precision": tp / (tp + fp),
        "min_recall": tp / (tp + fn),
    }
    return value if reached[name] >= bound else math.nan


def assert_is_by_loop(rule, folds, grid, name, sign=1):
    ours, theirs = MEASURES[name]
    with np.errstate(all="raise"):
        found = choose_threshold(rule, folds, grid, ours, sign == 1)
    expected = by_loop(rule, folds, grid, theirs, sign)
    if expected is None:
        assert found is None
        return
    cut, value, at_edge = expected
    assert (found.threshold, found.at_edge) == (cut, at_edge)
    assert found.value == pytest.approx(value, rel=0, abs=1e-12)
    alone = [by_loop(rule, [fold], grid, theirs, sign) for fold in folds]
    assert found.fold_thresholds == tuple(one[0] for one in alone if one is not None)


@pytest.mark.sampled(13)
@pytest.mark.parametrize("kind", ["continuous", "tied", "constant", "tiny"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_is_its_loop(rule, kind):
    for seed in range(4):
        folds = draw(seed, kind)
        for name in MEASURES:
            assert_is_by_loop(rule, folds, COARSE, name)
        assert_is_by_loop(rule, folds, COARSE, "mcc", sign=-1)


@pytest.mark.parametrize("kind", ["continuous", "tied", "constant", "tiny"])
@pytest.mark.parametrize("grid", [GRID, "observed"], ids=["hundredths", "observed"])
def test_tuned_is_its_loop(grid, kind):
    for seed in range(4):
        assert_is_by_loop("tuned", draw(100 + seed, kind, n=40), grid, "mcc")


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2, max_size=12).filter(
            lambda rows: 0 < sum(y for y, _ in rows) < len(rows)
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(RULES),
    st.sampled_from([COARSE, "observed"]),
)
def test_small_tied_folds_are_their_loop(rows, rule, grid):
    folds = [(np.array([y for y, _ in fold]), np.array([s / 8 for _, s in fold])) for fold in rows]
    assert_is_by_loop(rule, folds, grid, "mcc")


# ------------------------------------------------------------------------------------------------------------ pinned


def one(y, p):
    return [(np.array(y), np.array(p, dtype=np.float64))]


@pytest.mark.parametrize("number", [0, 0.3, 0.5, 1, 1.0])
def test_a_number_is_kept_and_valued(number):
    folds = draw(0, "continuous")
    y, p = (np.concatenate(part) for part in zip(*folds, strict=True))
    found = choose_threshold(number, folds, GRID, measures.mcc)
    assert found == ThresholdChoice(
        number, pytest.approx(sk.matthews_corrcoef(y, (p >= number).astype(int)), abs=1e-12)
    )
    assert (found.at_edge, found.fold_thresholds) == (False, ())
    assert isinstance(found.threshold, float)


def test_a_number_whose_value_is_undefined_is_kept_without_one():
    assert choose_threshold(0.99, one([0, 1], [0.1, 0.2]), GRID, measures.precision) == ThresholdChoice(0.99, None)


def test_counts_are_summed_and_values_are_not_averaged():
    # Fold by fold the mean F1 is best at .3; over the summed counts at .6: the folds differ in size.
    small = (np.array([1, 0]), np.array([0.4, 0.1]))
    large = (np.array([1] * 4 + [0] * 10), np.array([0.9] * 4 + [0.4] * 10))
    found = choose_threshold("tuned", [small, large], (0.3, 0.6), measures.f_beta)
    f1 = {
        cut: [sk.f1_score(y, (p >= cut).astype(int), zero_division=0.0) for y, p in (small, large)]
        for cut in (0.3, 0.6)
    }
    assert np.mean(f1[0.3]) > np.mean(f1[0.6])
    assert found.threshold == 0.6
    assert found.value == pytest.approx(8 / 9)
    assert found.fold_thresholds == (0.3, 0.6)


def test_ties_go_to_the_value_nearest_a_half_then_to_the_lower():
    separable = one([0, 0, 1], [0.2, 0.2, 0.81])
    assert choose_threshold("tuned", separable, GRID, measures.mcc).threshold == 0.5
    assert choose_threshold("tuned", one([0, 1], [0.505, 0.995]), GRID, measures.mcc).threshold == 0.51
    assert choose_threshold("tuned", one([0, 1], [0.0, 0.4]), GRID, measures.mcc).threshold == 0.4
    # |0.45 - 0.5| and |0.55 - 0.5| differ in the last bit; both are 5 hundredths away.
    assert choose_threshold("tuned", separable, (0.45, 0.55), measures.mcc).threshold == 0.45
    for i in range(1, 50):
        assert (
            choose_threshold("tuned", one([0, 1], [0.0, 1.0]), (i / 100, 1 - i / 100), measures.mcc).threshold
            == i / 100
        )


def test_the_order_of_a_hundredths_grid_is_that_of_whole_numbers():
    by_distance = sorted(range(1, 100), key=lambda i: (abs(i - 50), i))
    left = list(GRID)
    for i in by_distance:
        found = choose_threshold("tuned", one([0, 1], [0.0, 1.0]), tuple(left), measures.mcc)
        assert found.threshold == i / 100
        left.remove(found.threshold)


def test_values_within_a_hair_are_tied_and_beyond_it_are_not():
    folds = one([0, 1], [0.2, 0.9])
    for gap, expected in ((9e-13, 0.5), (1e-11, 0.8)):
        values = np.array([0.7, 0.7 + gap])

        def nearly(tn, fp, fn, tp, values=values):
            return np.broadcast_to(values, np.shape(tn))

        assert choose_threshold("tuned", folds, (0.5, 0.8), nearly).threshold == expected


def test_undefined_values_never_win():
    folds = one([0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4])
    found = choose_threshold("tuned", folds, (0.25, 0.5, 0.9), measures.precision)
    assert (found.threshold, found.value) == (0.25, 0.5)
    assert choose_threshold("tuned", folds, (0.5, 0.9), measures.precision) is None


def test_a_constraint_that_no_cut_meets_has_no_answer():
    folds = one([1, 0, 0], [0.1, 0.2, 0.3])
    assert choose_threshold({"min_precision": 0.5}, folds, GRID, measures.mcc) is None


def test_folds_where_no_cut_meets_the_rule_are_skipped():
    good = one([0, 1], [0.1, 0.9])
    bad = one([1, 0], [0.2, 0.3])
    found = choose_threshold({"min_precision": 1.0}, good + bad, GRID, measures.mcc)
    assert (found.threshold, found.fold_thresholds) == (0.9, (0.9,))


@pytest.mark.parametrize("share", [i / 100 for i in range(1, 101)])
def test_an_alert_rate_of_whole_rows_flags_exactly_these(share):
    p = np.random.default_rng(0).permutation(100) / 128
    y = (p > 0.6).astype(int)
    cut = choose_threshold({"alert_rate": share}, [(y[:50], p[:50]), (y[50:], p[50:])], GRID, measures.mcc)
    assert np.sum(p >= cut.threshold) == round(share * 100)


def test_scores_closer_than_a_tie_are_still_two_scores():
    folds = one([0, 1, 0, 1], [1e-14, 2e-14, 3e-14, 4e-14])
    assert choose_threshold({"alert_rate": 0.25}, folds, GRID, measures.mcc).threshold == 4e-14
    assert choose_threshold({"alert_rate": 0.5}, folds, GRID, measures.mcc).threshold == 3e-14


def test_a_constant_score_leaves_one_cut_and_no_edge():
    for rule in RULES[1:]:
        found = choose_threshold(rule, one([0, 1, 1], [0.3, 0.3, 0.3]), GRID, measures.mcc)
        assert found is None or (found.threshold, found.at_edge) == (0.3, False)
    assert choose_threshold("tuned", one([0, 1], [0.3, 0.3]), "observed", measures.mcc).threshold == 0.3


def test_the_edge_is_the_lowest_or_highest_however_the_grid_is_written():
    folds = one([0, 1], [0.2, 0.9])
    assert not choose_threshold("tuned", folds, (0.5, 0.1, 0.95), measures.mcc).at_edge
    assert choose_threshold("tuned", folds, (0.1, 0.95, 0.3), measures.mcc) == ThresholdChoice(0.3, 1.0, False, (0.3,))
    assert choose_threshold("tuned", folds, (0.8, 0.95), measures.mcc).at_edge
    assert not choose_threshold("tuned", folds, (0.8,), measures.mcc).at_edge


def test_the_value_of_a_cost_cut_is_the_measure():
    folds = draw(3, "continuous")
    found = choose_threshold({"cost": {"fn": 5, "fp": 1}}, folds, GRID, measures.mcc)
    assert found.value == choose_threshold(found.threshold, folds, GRID, measures.mcc).value


# -------------------------------------------------------------------------------------------------------------- laws


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(RULES), st.sampled_from(["continuous", "tied"]))
def test_the_order_of_rows_folds_and_grid_changes_nothing(seed, rule, kind):
    folds = draw(seed, kind, n=30)
    rng = np.random.default_rng(seed)
    shuffled = []
    for y, p in folds[::-1]:
        order = rng.permutation(len(y))
        shuffled.append((y[order], p[order]))
    one = choose_threshold(rule, folds, COARSE, measures.mcc)
    other = choose_threshold(rule, shuffled, COARSE[::-1], measures.mcc)
    if one is None:
        assert other is None
        return
    assert (one.threshold, one.value, one.at_edge) == (other.threshold, other.value, other.at_edge)
    assert sorted(one.fold_thresholds) == sorted(other.fold_thresholds)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_alert_rate_never_raises_the_threshold(seed, one, other):
    folds = draw(seed, "tied", n=30)
    low, high = (choose_threshold({"alert_rate": q}, folds, GRID, measures.mcc).threshold for q in sorted((one, other)))
    assert low >= high


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 50))
def test_dearer_misses_never_raise_the_threshold_and_only_the_ratio_of_costs_counts(seed, dear):
    folds = draw(seed, "continuous", n=30)
    cheap, dearer, scaled = (
        choose_threshold({"cost": cost}, folds, GRID, measures.mcc).threshold
        for cost in ({"fn": dear, "fp": 7}, {"fn": 2 * dear, "fp": 7}, {"fn": 8 * dear, "fp": 56})
    )
    assert dearer <= cheap == scaled


def test_choosing_among_99_cuts_costs_less_than_a_millisecond():
    folds = draw(0, "continuous", n=300)
    once = min(timeit.repeat(lambda: choose_threshold("tuned", folds, GRID, measures.mcc), number=3, repeat=40)) / 3
    assert once < 1e-3


def test_the_word_for_outer_rows_never_appears():
    assert "test" not in inspect.getsource(decisions).lower()


# ------------------------------------------------------------------------------------------------------------- check


@pytest.mark.parametrize("rule", [0, 0.5, 1, *RULES, {"cost": {"fn": 0, "fp": 1}}], ids=str)
def test_a_well_formed_rule_passes(rule):
    assert decisions.check_rule(rule, "strategy.desk.threshold") is None


@pytest.mark.parametrize(
    "rule",
    [
        "tunned",
        1.5,
        -0.1,
        float("nan"),
        True,
        None,
        [0.1, 0.5],
        {},
        {"alert_rat": 0.01},
        {"alert_rate": 0.01, "min_recall": 0.5},
        {"alert_rate": 0},
        {"alert_rate": 5},
        {"min_precision": "high"},
        {"min_recall": True},
        {"cost": 5},
        {"cost": {"fn": 10}},
        {"cost": {"fn": -1, "fp": 1}},
        {"cost": {"fn": 0, "fp": 0}},
        {"cost": {"fn": "10", "fp": 1}},
        {"cost": {"fn": float("inf"), "fp": 1}},
        {"cost": {"fn": 1, "fp": 1, "hit": 1}},
        {"cost": {"fn": 1, "fp": 1, "tp": "free"}},
        {"cost": {"fn": "much", "fp": 1}},
        {"cost": {"fn": 1, "fp": "amount"}},
        {"cost": {"fn": "amount", "fp": -1}},
        {"cost_optimal": {"fn": "amount", "fp": 1}},
        {"cost_optimal": {"fn": 1, "fp": 1, "tn": 1}},
        {"cost_optimal": {"fn": 1, "fp": 1, "tp": 2}},
        {"cost_optimal": {"fp": 1}},
    ],
    ids=str,
)
def test_a_malformed_rule_is_refused(rule, snapshot):
    with pytest.raises(ConfigError) as error:
        decisions.check_rule(rule, "strategy.desk.threshold")
    assert str(error.value) == snapshot
