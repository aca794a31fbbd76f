"""Rank statistics over independent units: every row of a matrix is one unit, every column one strategy.

References
----------
Friedman (1937), The use of ranks to avoid the assumption of normality implicit in the analysis of variance, Journal of
the American Statistical Association 32, 675-701.
Iman and Davenport (1980), Approximations of the critical region of the Friedman statistic, Communications in Statistics
9, 571-595.
Pratt (1959), Remarks on zeros and ties in the Wilcoxon signed rank procedures, Journal of the American Statistical
Association 54, 655-667.
Demsar (2006), Statistical comparisons of classifiers over multiple data sets, Journal of Machine Learning Research 7,
1-30.
Benavoli, Mangili, Corani, Zaffalon and Ruggeri (2014), A Bayesian Wilcoxon signed-rank test based on the Dirichlet
process, International Conference on Machine Learning.
Benavoli, Corani and Mangili (2016), Should we really use post-hoc tests based on mean-ranks?, Journal of Machine
Learning Research 17(5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import chdtrc, fdtrc

from imblab.stats.paired_tests import DIFFERENCE_TOLERANCE, Posterior, holm

#: With fewer units no test is made: five differences of one sign have a two-sided p of .0625.
MIN_UNITS = 6
#: Draws from the posterior of the Bayesian signed-rank test; the probabilities have an error of about .004.
_POSTERIOR_DRAWS = 20_000
#: Weight of the pseudo-unit without a difference in its prior.
_PRIOR_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class FriedmanTest:
    """Test of whether strategies differ at all, over n units and k strategies."""

    #: without correction for ties, as Demsar 2006 prints it; chi-square with ``df`` degrees of freedom
    statistic: float
    p: float
    #: Divided by ``1 - sum(t**3 - t) / (n * (k**3 - k))`` over groups of t tied strategies; as scipy prints it. NaN if
    #: all strategies tie on every unit.
    corrected: float
    corrected_p: float
    #: Iman and Davenport's ``(n - 1) * statistic / (n * (k - 1) - statistic)``, F with ``df`` and ``df_within``
    f: float
    f_p: float
    #: degrees of freedom, k - 1 and (k - 1) (n - 1)
    df: int
    df_within: int


@dataclass(frozen=True, slots=True)
class _WilcoxonTest:
    """Signed-rank test of paired differences."""

    plus: float  # sum of the ranks of positive differences; those of zeros are split evenly
    minus: float
    p: float  # two-sided and exact
    wins: int
    ties: int
    losses: int


def _average_ranks(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ranks from 1 for the smallest; values within 1e-12 of their neighbour share the mean of their ranks."""
    v = np.asarray(values, dtype=np.float64)
    order = np.argsort(v, kind="stable")
    starts = np.r_[True, np.diff(v[order]) > DIFFERENCE_TOLERANCE]
    first = np.flatnonzero(starts)
    last = np.r_[first[1:], v.size]
    ranks = np.empty(v.size)
    ranks[order] = ((first + 1 + last) / 2)[np.cumsum(starts) - 1]
    return ranks


def rank_matrix(scores: np.ndarray, greater_is_better: bool = True) -> np.ndarray:
    """Ranks of k strategies within every unit, 1 for the best, from scores of shape (n_units, k).

    Examples
    --------
    >>> rank_matrix(np.array([[0.9, 0.8, 0.9]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    signed = -np.asarray(scores, dtype=np.float64) if greater_is_better else np.asarray(scores, dtype=np.float64)
    return np.array([_average_ranks(row) for row in signed]).reshape(signed.shape)


def friedman(scores: np.ndarray) -> FriedmanTest:
    """The Friedman test with and without tie correction, and Iman and Davenport's F, of scores of shape (n_units, k).

    With mean ranks R_j the statistic is ``12 n / (k (k + 1)) * (sum(R_j**2) - k (k + 1)**2 / 4)`` (Demsar 2006, section
    3.2.2). The direction of the measure does not matter. F is infinite with p = 0 if all units agree on one order
    without ties.

    Examples
    --------
    >>> test = friedman(np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]]))
    >>> test.statistic, round(test.f, 3)
    (4.5, 3.857)
    """
    ranks = rank_matrix(scores, greater_is_better=False)
    n, k = ranks.shape
    statistic = max(0.0, 12 * n / (k * (k + 1)) * float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()))
    sizes = np.concatenate([np.unique(row, return_counts=True)[1] for row in ranks])
    untied = 1 - float((sizes**3 - sizes).sum()) / (n * (k**3 - k))
    corrected = statistic / untied if untied > DIFFERENCE_TOLERANCE else math.nan
    remainder = n * (k - 1) - statistic
    f = (n - 1) * statistic / remainder if remainder > DIFFERENCE_TOLERANCE * n * k else math.inf
    df, within = k - 1, (k - 1) * (n - 1)
    f_p = 0.0 if math.isinf(f) else float(fdtrc(df, within, f)) if within else math.nan
    p, corrected_p = float(chdtrc(df, statistic)), float(chdtrc(df, corrected))
    return FriedmanTest(statistic, p, corrected, corrected_p, f, f_p, df, within)


def wilcoxon(differences: Sequence[float] | np.ndarray) -> _WilcoxonTest:
    """The exact signed-rank test, with zeros (differences within 1e-12) in the ranking.

    Zeros are ranked with the others and their ranks split evenly between both sums (Demsar 2006, section 3.1.3; scipy's
    ``zsplit``; scipy's default drops them, and with them the evidence that two strategies are alike). The p-value is
    that of all ``2**m`` equally likely signs of the m other differences with the ranks as they are, ties included; what
    zeros add to both sums is the same for all signs, so that Pratt's (1959) treatment has the same p. It is 1 if all
    differences are zero or there are none.

    Examples
    --------
    >>> test = wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, -0.05])
    >>> test.plus, test.minus, test.p
    (20.0, 1.0, 0.0625)
    """
    d = np.asarray(differences, dtype=np.float64)
    zero = np.abs(d) <= DIFFERENCE_TOLERANCE
    ranks = _average_ranks(np.where(zero, 0.0, np.abs(d)))
    halved = float(ranks[zero].sum()) / 2
    positive, negative = (d > 0) & ~zero, (d < 0) & ~zero
    plus, minus = float(ranks[positive].sum()), float(ranks[negative].sum())
    counts = int(positive.sum()), int(zero.sum()), int(negative.sum())
    return _WilcoxonTest(plus + halved, minus + halved, _sign_flip_p(ranks[~zero], plus), *counts)


def signed_rank_posterior(differences: Sequence[float] | np.ndarray, rope: float) -> Posterior:
    """Bayesian signed-rank test: probabilities that the difference lies below, within and above the region.

    A draw gives random weights to the units and to one pseudo-unit without a difference, and weighs the means of all
    pairs of units; the one of the three parts (below, within, above) with most weight wins the draw. The seed is fixed.
    The probabilities, shares of the draws, are reported next to a verdict and decide nothing. All NaN without a region
    of practical equivalence: a half-width ``rope`` of NaN.

    Benavoli et al. (2014), see above; baycomp's ``SignedRankTest``, with the same prior, is its reference.

    Examples
    --------
    >>> shares = signed_rank_posterior([0.05, 0.08, 0.03, 0.07, -0.01, 0.06], rope=0.02)
    >>> shares.above > 0.95, shares.below < 0.01
    (True, True)
    """
    if math.isnan(rope):
        return Posterior(math.nan, math.nan, math.nan)
    d = np.concatenate([[0.0], np.asarray(differences, dtype=np.float64)])
    means = (d[:, np.newaxis] + d) / 2
    above, below = ((sign * means > rope) + 0.5 * (sign * means == rope) for sign in (1, -1))
    prior = np.ones(d.size)
    prior[0] = _PRIOR_WEIGHT
    weights = np.random.default_rng(0).dirichlet(prior, _POSTERIOR_DRAWS)
    left, right = (((weights @ part) * weights).sum(axis=1) for part in (below, above))
    winners = np.argmax(np.column_stack([left, 1 - left - right, right]), axis=1)
    return Posterior(*(np.bincount(winners, minlength=3) / _POSTERIOR_DRAWS).tolist())


def _sign_flip_p(ranks: np.ndarray, plus: float) -> float:
    """Two-sided: twice the smaller tail of the sum of a random half of the ranks."""
    distribution = np.ones(1)
    for step in np.rint(2 * ranks).astype(np.int64):
        distribution = (np.pad(distribution, (0, step)) + np.pad(distribution, (step, 0))) / 2
    at = round(2 * plus)
    return min(1.0, 2 * min(float(distribution[: at + 1].sum()), float(distribution[at:].sum())))


def indistinct_pairs(scores: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Pairs of strategies without a significant difference by Wilcoxon's test, Holm-adjusted over all pairs."""
    k = scores.shape[1]
    pairs = list(combinations(range(k), 2))
    alike = np.eye(k, dtype=bool)
    for (i, j), p in zip(pairs, holm([wilcoxon(scores[:, i] - scores[:, j]).p for i, j in pairs]), strict=True):
        alike[i, j] = alike[j, i] = p > alpha
    return alike


def cliques(alike: np.ndarray) -> list[tuple[int, int]]:
    """The longest runs of neighbours in which every pair is alike: the bars of a critical-difference diagram.

    ``alike`` is that of :func:`indistinct_pairs`, in the order of the mean ranks. Returns the first and last position
    of every run of two or more, none inside another.

    Examples
    --------
    >>> cliques(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool))
    [(0, 1), (1, 2)]
    """
    bars: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 2, first : last + 2].all():
            last += 1
        if last > first and (not bars or last > bars[-1][1]):
            bars.append((first, last))
    return bars
