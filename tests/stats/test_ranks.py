"""Ranks over units: Demsar's table, scipy and scikit-posthocs as witnesses, exact tests by brute force, laws."""

import math
from itertools import product

import baycomp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from imblab.stats import ranks
from imblab.stats.paired_tests import holm

#: Demsar 2006, *Journal of Machine Learning Research* 7, table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],  # adult (sample)
        [0.599, 0.591, 0.590, 0.569],  # breast cancer
        [0.954, 0.971, 0.968, 0.967],  # breast cancer wisconsin
        [0.628, 0.661, 0.654, 0.657],  # cmc
        [0.882, 0.888, 0.886, 0.898],  # ionosphere
        [0.936, 0.931, 0.916, 0.931],  # iris
        [0.661, 0.668, 0.609, 0.685],  # liver disorders
        [0.583, 0.583, 0.563, 0.625],  # lung cancer
        [0.775, 0.838, 0.866, 0.875],  # lymphography
        [1.000, 1.000, 1.000, 1.000],  # mushroom
        [0.940, 0.962, 0.965, 0.962],  # primary tumor
        [0.619, 0.666, 0.614, 0.669],  # rheum
        # Printed as 0.975 twice with the ranks 2 and 3: the paper ranked what lies behind the print.
        [0.972, 0.981, 0.9751, 0.9749],  # voting
        [0.957, 0.978, 0.946, 0.970],  # wine
    ]
)
laws = settings(max_examples=60)
GRID = st.integers(0, 8).map(lambda i: i / 8)


def matrices(least=2, most=9, columns=(2, 5)):
    shapes = st.tuples(st.integers(least, most), st.integers(*columns))
    return shapes.flatmap(lambda shape: arrays(float, shape, elements=GRID))


def test_table_6_of_demsar_2006():
    mean_ranks = ranks.rank_matrix(DEMSAR).mean(axis=0)
    assert mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    found = ranks.friedman(DEMSAR)
    # The paper computes with mean ranks of three decimals.
    assert found.statistic == pytest.approx(9.28, abs=0.01)
    assert found.f == pytest.approx(3.69, abs=0.01)
    assert (found.df, found.df_within) == (3, 39)
    assert stats.f.ppf(0.95, 3, 39) == pytest.approx(2.85, abs=0.005)
    assert found.f_p < 0.05


@laws
@given(matrices(columns=(3, 5)))
def test_friedman_with_ties_is_that_of_scipy(scores):
    found = ranks.friedman(scores)
    if math.isnan(found.corrected):
        assert (np.ptp(scores, axis=1) == 0).all()
        assert (found.statistic, found.f, found.p) == (0, 0, 1)
        return
    expected = stats.friedmanchisquare(*scores.T)
    assert (found.corrected, found.corrected_p) == pytest.approx(
        (expected.statistic, expected.pvalue), rel=1e-9, abs=1e-12
    )
    assert found.statistic <= found.corrected + 1e-12
    if math.isfinite(found.f):
        assert found.f_p == pytest.approx(stats.f.sf(found.f, found.df, found.df_within), rel=1e-9, abs=1e-12)


def test_without_ties_both_friedman_statistics_are_one():
    found = ranks.friedman(np.random.default_rng(0).random((9, 4)))
    assert found.statistic == pytest.approx(found.corrected, rel=1e-12)


def test_units_that_all_agree_leave_nothing_to_chance():
    found = ranks.friedman(np.tile([0.1, 0.2, 0.3], (7, 1)))
    assert (found.statistic, found.f, found.f_p) == (pytest.approx(14), math.inf, 0)


@laws
@given(matrices(least=1))
def test_ranks_are_those_of_scipy(scores):
    np.testing.assert_array_equal(ranks.rank_matrix(scores), stats.rankdata(-scores, axis=1))
    np.testing.assert_array_equal(ranks.rank_matrix(scores, False), stats.rankdata(scores, axis=1))


def test_rounding_makes_no_rank():
    assert ranks._average_ranks([0.1 + 0.2, 0.3, 0.6 / 2, 0.3 + 1e-9]).tolist() == [2, 2, 2, 4]


def brute_wilcoxon(d):
    """Every sign, one by one."""
    order = stats.rankdata(np.abs(d))
    own = order[d > 0].sum()
    sums = np.array([np.dot(signs, order[d != 0]) for signs in product((0, 1), repeat=(d != 0).sum())])
    return min(1.0, 2 * min((sums <= own + 1e-9).mean(), (sums >= own - 1e-9).mean()))


@laws
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_wilcoxon_is_exact_with_ties_and_zeros(values):
    d = np.array(values) / 4
    assert ranks.wilcoxon(d).p == pytest.approx(brute_wilcoxon(d), rel=1e-12)


@laws
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40, unique=True), st.randoms())
def test_wilcoxon_without_ties_is_that_of_scipy(values, random):
    d = np.array([v * random.choice((-1, 1)) for v in values]) / 64
    expected = stats.wilcoxon(d, method="exact")
    found = ranks.wilcoxon(d)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert min(found.plus, found.minus) == pytest.approx(expected.statistic)


def test_zeros_split_their_ranks_and_are_evidence_of_likeness():
    d = np.array([0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    found = ranks.wilcoxon(d)
    kept = stats.wilcoxon(d, zero_method="zsplit", method="asymptotic").statistic
    assert min(found.plus, found.minus) == pytest.approx(kept)
    assert (found.wins, found.ties, found.losses) == (6, 3, 0)
    assert found.plus + found.minus == 45
    # The default of scipy drops them: the sums are those of six differences.
    assert stats.wilcoxon(d).statistic == 0 < min(found.plus, found.minus)


@laws
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=30), st.randoms())
def test_wilcoxon_mirrors_and_knows_no_order(values, random):
    d = np.array(values) / 8
    found, mirrored = ranks.wilcoxon(d), ranks.wilcoxon(-d)
    assert (found.plus, found.wins, found.ties) == (mirrored.minus, mirrored.losses, mirrored.ties)
    assert found.p == pytest.approx(mirrored.p, rel=1e-12)
    random.shuffle(values)
    assert ranks.wilcoxon(np.array(values) / 8) == found
    assert 0 < found.p <= 1


def test_identical_arms_and_none_at_all():
    assert ranks.wilcoxon(np.zeros(7)).p == 1
    assert ranks.wilcoxon([]) == ranks._WilcoxonTest(0, 0, 1, 0, 0, 0)


@laws
@given(matrices(least=6, most=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_pairs_that_are_told_apart_are_those_of_holm(scores, alpha):
    k = scores.shape[1]
    alike = ranks.indistinct_pairs(scores, alpha)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    p = holm([ranks.wilcoxon(scores[:, i] - scores[:, j]).p for i, j in pairs])
    assert alike.diagonal().all()
    np.testing.assert_array_equal(alike, alike.T)
    for (i, j), value in zip(pairs, p, strict=True):
        assert alike[i, j] == (value > alpha) or value == pytest.approx(alpha)


@laws
@given(matrices(least=6, most=12), st.permutations(range(5)))
def test_relabelling_strategies_relabels_what_is_found(scores, order):
    order = [i for i in order if i < scores.shape[1]]
    moved = scores[:, order]
    np.testing.assert_array_equal(ranks.indistinct_pairs(moved), ranks.indistinct_pairs(scores)[np.ix_(order, order)])
    np.testing.assert_array_equal(ranks.rank_matrix(moved), ranks.rank_matrix(scores)[:, order])
    one, other = ranks.friedman(scores), ranks.friedman(moved[::-1])
    assert (one.statistic, one.f) == pytest.approx((other.statistic, other.f), rel=1e-9, abs=1e-9)


def squares():
    return st.integers(1, 6).flatmap(lambda k: arrays(bool, (k, k))).map(lambda m: m | m.T | np.eye(len(m), dtype=bool))


@laws
@given(squares())
def test_bars_are_the_longest_runs_of_likeness(alike):
    k, found = len(alike), ranks.cliques(alike)
    whole = {(i, j) for i in range(k) for j in range(i + 1, k) if alike[i : j + 1, i : j + 1].all()}
    longest = {(i, j) for i, j in whole if not any((a, b) != (i, j) and a <= i and j <= b for a, b in whole)}
    assert found == sorted(longest)


@pytest.mark.slow
def test_scikit_posthocs_agrees():
    import scikit_posthocs as sp

    scores = pd.DataFrame(DEMSAR, columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"])
    mean_ranks = ranks.rank_matrix(DEMSAR).mean(axis=0)
    expected = scores.rank(axis=1, ascending=False).mean()
    np.testing.assert_allclose(mean_ranks, expected)
    # Its Wilcoxon-Holm, told to keep zeros and to be exact where scipy can be, on scores without ties.
    rng = np.random.default_rng(4)
    free = rng.normal(size=(12, 4)) + np.array([0, 0.1, 1.0, 1.4])
    long = pd.DataFrame(free).melt(var_name="arm", value_name="score")
    theirs = sp.posthoc_wilcoxon(long, val_col="score", group_col="arm", method="exact", p_adjust="holm", sort=True)
    alike = theirs.to_numpy() > 0.05
    np.fill_diagonal(alike, True)
    np.testing.assert_array_equal(ranks.indistinct_pairs(free), alike)
    assert 2 < alike.sum() < 16


@pytest.mark.sampled(5)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rope", [0.0, 0.02])
def test_the_bayesian_signed_rank_test_is_that_of_baycomp(seed, rope):
    d = np.random.default_rng(seed).normal(0.01 * seed, 0.03, 6 + seed)
    found = ranks.signed_rank_posterior(d, rope)
    # baycomp: below is the probability that its first argument is better by more than the region.
    expected = baycomp.SignedRankTest.probs(np.zeros(d.size), d, rope, nsamples=20_000, random_state=1)
    shares = (found.below, found.within, found.above) if rope else (found.below, found.above)
    # Two samples of 20,000: five standard errors of their difference at most.
    assert shares == pytest.approx(expected, abs=5 * math.sqrt(0.5 / 20_000))
    assert sum((found.below, found.within, found.above)) == pytest.approx(1)


def test_without_a_region_or_differences_the_signed_ranks_say_nothing():
    assert math.isnan(ranks.signed_rank_posterior([0.1] * 6, math.nan).within)
    none = ranks.signed_rank_posterior([0.0] * 6, 0.01)
    assert (none.below, none.within, none.above) == (0, 1, 0)


@laws
@given(st.lists(st.floats(-0.2, 0.2).map(lambda v: round(v, 3)), min_size=6, max_size=10), st.integers(0, 10**6))
def test_the_posterior_turns_with_the_differences_and_repeats_itself(d, seed):
    one, other = ranks.signed_rank_posterior(d, 0.01), ranks.signed_rank_posterior(np.negative(d), 0.01)
    assert one == ranks.signed_rank_posterior(d, 0.01)
    # Ties of the largest weight go to the lower part; they have no probability in a continuous draw.
    assert (one.below, one.within, one.above) == pytest.approx((other.above, other.within, other.below), abs=1e-3)
