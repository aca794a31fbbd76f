"""Costs: plain loops over rows as the witness, and Elkan's threshold against a search of the least expected cost."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imblab.core import decisions, measures
from imblab.errors import ConfigError
from imblab.stats import counts as costs
from imblab.study import Measure

MATRIX = {"fn": 10, "fp": 1.5, "tp": 0.5, "tn": -0.25}
AMOUNTS = {"fn": "amount", "fp": 2, "tp": 1}


def drawn(seed, n=80, ties=False):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    y[:2] = [0, 1]
    p = np.clip(0.3 * y + 0.7 * rng.random(n), 0, 1)
    return y, np.round(p, 1) if ties else p, rng.gamma(2, 50, n).round(2)


def by_row(y, p, amount, cut, matrix):
    """Mean cost of a row in plain Python."""
    paid = []
    for label, score, worth in zip(y.tolist(), p.tolist(), amount.tolist(), strict=True):
        kind = {(0, False): "tn", (0, True): "fp", (1, False): "fn", (1, True): "tp"}[label, score >= cut]
        cost = matrix.get(kind, 0)
        paid.append(worth if cost == "amount" else cost)
    return sum(paid) / len(paid)


# ---------------------------------------------------------------------------------------------------- the measures


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_expected_cost_is_the_mean_over_rows(seed, cut):
    y, p, amount = drawn(seed)
    measure = Measure("c", "imblab.core.costs.expected_cost", "label", False, parameters={"costs": MATRIX})
    found = measures.score_predictions([measure], y, p, cut, True)[0]["c"]
    assert found == pytest.approx(by_row(y, p, amount, cut, MATRIX), abs=1e-12)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_the_cost_of_amounts_is_the_mean_over_rows(seed, cut):
    y, p, amount = drawn(seed)
    measure = Measure("c", "imblab.core.costs.amount_cost", "amount", False, parameters={"costs": AMOUNTS})
    found = measures.score_predictions([measure], y, p, cut, False, amount)[0]["c"]
    assert found == pytest.approx(by_row(y, p, amount, cut, AMOUNTS), rel=1e-12)
    assert measures.score_predictions([measure], y, p, cut, True)[0]["c"] is None, "a table without amounts"


def test_the_cost_of_equal_amounts_is_that_of_a_matrix():
    y, p, _ = drawn(1)
    called = p >= 0.4
    counts = measures.counts_at(y, p, 0.4)
    expected = costs.expected_cost(counts.tn, counts.fp, counts.fn, counts.tp, {**AMOUNTS, "fn": 7})
    assert costs.amount_cost(y, called, np.full(len(y), 7.0), AMOUNTS) == pytest.approx(expected.item(), rel=1e-12)


def test_no_rows_cost_nothing_that_is_known():
    assert np.isnan(costs.expected_cost(0, 0, 0, 0, MATRIX))
    assert np.isnan(costs.amount_cost(np.array([]), np.array([], dtype=bool), np.array([]), AMOUNTS))


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ({"fn": 1}, "needs the keys fn and fp"),
        ({"fn": "amount", "fp": 1}, "must be a finite number"),
        ({"fn": 0, "fp": 0}, "not both 0"),
        (7, "needs the keys fn and fp"),
    ],
)
def test_a_measure_with_no_cost_matrix_is_refused(matrix, said):
    measure = Measure("c", "imblab.core.costs.expected_cost", "label", parameters={"costs": matrix})
    with pytest.raises(ConfigError, match=said):
        measures.function_of(measure)


def test_a_measure_of_amounts_without_amounts_in_its_matrix_is_refused():
    measure = Measure("c", "imblab.core.costs.amount_cost", "amount", parameters={"costs": MATRIX})
    with pytest.raises(ConfigError, match=r"fn must be amount here.*f\(y, called, amount\)"):
        measures.function_of(measure)


# -------------------------------------------------------------------------------------------------- the thresholds


@given(
    fn=st.floats(0.1, 100), fp=st.floats(0.1, 100), tp=st.floats(-5, 0), tn=st.floats(-5, 0), p=st.floats(0.001, 0.999)
)
def test_elkans_threshold_is_where_calling_begins_to_pay(fn, fp, tp, tn, p):
    matrix = {"fn": fn, "fp": fp, "tp": tp, "tn": tn}
    cut = decisions.resolve_rule({"cost_optimal": matrix})
    call, pass_by = p * tp + (1 - p) * fp, p * fn + (1 - p) * tn
    if abs(p - cut) > 1e-9:
        assert (p >= cut) == (call < pass_by)


@pytest.mark.parametrize(
    ("matrix", "cut"),
    [
        ({"fn": 1, "fp": 1}, 0.5),
        ({"fn": 9, "fp": 1}, 0.1),
        ({"fn": 9, "fp": 1, "tp": 0, "tn": 0}, 0.1),
        # Adding a constant to the costs of one class, or a factor to all, moves nothing (Elkan 2001, section 1.2).
        ({"fn": 11, "fp": 1, "tp": 2}, 0.1),
        ({"fn": 18, "fp": 2}, 0.1),
        ({"fn": 9, "fp": 6, "tn": 5}, 0.1),
    ],
)
def test_elkans_threshold_by_hand(matrix, cut):
    assert costs.optimal_threshold(matrix) == pytest.approx(cut, rel=1e-15)


def test_elkans_threshold_is_nearly_the_best_of_many_calibrated_rows():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 4, 200_000)
    y = (rng.random(len(p)) < p).astype(np.int64)
    matrix = {"fn": 6, "fp": 1, "tp": 1}
    cuts = np.linspace(0.01, 0.99, 99)
    counts = measures.counts_at(y, p, cuts)
    paid = costs.expected_cost(counts.tn, counts.fp, counts.fn, counts.tp, matrix)
    assert cuts[paid.argmin()] == pytest.approx(costs.optimal_threshold(matrix), abs=0.02)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("matrix", [AMOUNTS, MATRIX, {"fn": 10, "fp": 1}], ids=["amounts", "matrix", "mistakes"])
def test_the_empirical_rule_pays_least_of_all_observed_cuts(matrix, ties):
    for seed in range(8):
        parts = [drawn(seed * 3 + i, ties=ties) for i in range(3)]
        y, p, amount = (np.concatenate(part) for part in zip(*parts, strict=True))
        folds, amounts = [(y, p) for y, p, _ in parts], [amount for *_, amount in parts]
        found = decisions.choose_threshold({"cost": matrix}, folds, "observed", measures.mcc, amounts=amounts)
        paid = {cut: by_row(y, p, amount, cut, matrix) for cut in np.unique(p).tolist()}
        assert paid[found.threshold] == pytest.approx(min(paid.values()), rel=1e-12)
        for (own_y, own_p, own_amount), cut in zip(parts, found.fold_thresholds, strict=True):
            alone = {c: by_row(own_y, own_p, own_amount, c, matrix) for c in np.unique(own_p).tolist()}
            assert alone[cut] == pytest.approx(min(alone.values()), rel=1e-12)


@given(st.integers(0, 10**6))
def test_missed_amounts_are_those_of_a_loop(seed):
    y, p, amount = drawn(seed, n=30, ties=True)
    cuts = np.array([0.0, 0.3, 0.5, 1.0, np.inf])
    expected = [sum(a for label, q, a in zip(y, p, amount, strict=True) if label and q < cut) for cut in cuts]
    np.testing.assert_allclose(costs.missed_amounts(y, p, amount, cuts), expected, rtol=1e-12)
