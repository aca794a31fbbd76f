"""Rank statistics over independent units: every row of a matrix is one unit, every column one strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import chdtrc, fdtrc

from imblab.stats.paired_tests import TIED, holm

#: With fewer units no test is made: five differences of one sign have a two-sided p of .0625.
LEAST = 6


@dataclass(frozen=True, slots=True)
class Friedman:
    """Whether strategies differ at all, over n units and k strategies.

    Attributes
    ----------
    statistic, p : float
        Without correction for ties, as Demsar 2006 prints it; chi-square with ``df`` degrees of freedom.
    corrected, corrected_p : float
        Divided by ``1 - sum(t**3 - t) / (n * (k**3 - k))`` over groups of t tied strategies; as scipy prints it. NaN if
        all strategies tie on every unit.
    f, f_p : float
        Iman and Davenport's ``(n - 1) * statistic / (n * (k - 1) - statistic)``, F with ``df`` and ``df_within``.
    df, df_within : int
    """

    statistic: float
    p: float
    corrected: float
    corrected_p: float
    f: float
    f_p: float
    df: int
    df_within: int


@dataclass(frozen=True, slots=True)
class Wilcoxon:
    """The signed-rank test of paired differences.

    Attributes
    ----------
    plus, minus : float
        Sums of the ranks of positive and negative differences; those of zeros are split evenly.
    p : float
        Two-sided and exact.
    wins, ties, losses : int
        Positive, zero and negative differences.
    """

    plus: float
    minus: float
    p: float
    wins: int
    ties: int
    losses: int


def ranked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Ranks from 1 for the smallest; values within 1e-12 of their neighbour share the mean of their ranks.

    Parameters
    ----------
    values : array-like of shape (k,)
        Finite.

    Returns
    -------
    ndarray of shape (k,)

    Examples
    --------
    >>> ranked([0.3, 0.1 + 0.2, 0.1]).tolist()
    [2.5, 2.5, 1.0]
    """
    v = np.asarray(values, dtype=np.float64)
    order = np.argsort(v, kind="stable")
    starts = np.r_[True, np.diff(v[order]) > TIED]
    first = np.flatnonzero(starts)
    last = np.r_[first[1:], v.size]
    found = np.empty(v.size)
    found[order] = ((first + 1 + last) / 2)[np.cumsum(starts) - 1]
    return found


def rank_matrix(scores: np.ndarray, greater_is_better: bool = True) -> np.ndarray:
    """Ranks within every unit, 1 for the best.

    Parameters
    ----------
    scores : ndarray of shape (n_units, k)
    greater_is_better : bool, default=True

    Returns
    -------
    ndarray of shape (n_units, k)

    Examples
    --------
    >>> rank_matrix(np.array([[0.9, 0.8, 0.9]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    toward = -np.asarray(scores, dtype=np.float64) if greater_is_better else np.asarray(scores, dtype=np.float64)
    return np.array([ranked(row) for row in toward]).reshape(toward.shape)


def friedman(scores: np.ndarray) -> Friedman:
    """The Friedman test with and without tie correction, and Iman and Davenport's F.

    With mean ranks R_j the statistic is ``12 n / (k (k + 1)) * (sum(R_j**2) - k (k + 1)**2 / 4)``.

    Parameters
    ----------
    scores : ndarray of shape (n_units, k)
        At least one unit and two strategies. The direction of the measure is of no account.

    Returns
    -------
    Friedman
        F is infinite with p = 0 if all units agree on one order without ties.

    References
    ----------
    Friedman 1937; Iman and Davenport 1980; Demsar 2006, *Journal of Machine Learning Research* 7, section 3.2.2.

    Examples
    --------
    >>> found = friedman(np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]]))
    >>> found.statistic, round(found.f, 3)
    (4.5, 3.857)
    """
    ranks = rank_matrix(scores, greater_is_better=False)
    n, k = ranks.shape
    statistic = max(0.0, 12 * n / (k * (k + 1)) * float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum()))
    sizes = np.concatenate([np.unique(row, return_counts=True)[1] for row in ranks])
    untied = 1 - float((sizes**3 - sizes).sum()) / (n * (k**3 - k))
    corrected = statistic / untied if untied > TIED else math.nan
    rest = n * (k - 1) - statistic
    f = (n - 1) * statistic / rest if rest > TIED * n * k else math.inf
    df, within = k - 1, (k - 1) * (n - 1)
    f_p = 0.0 if math.isinf(f) else float(fdtrc(df, within, f)) if within else math.nan
    p, corrected_p = float(chdtrc(df, statistic)), float(chdtrc(df, corrected))
    return Friedman(statistic, p, corrected, corrected_p, f, f_p, df, within)


def wilcoxon(differences: Sequence[float] | np.ndarray) -> Wilcoxon:
    """The exact signed-rank test, with zeros in the ranking.

    Zeros are ranked with the rest and their ranks split evenly between both sums (Demsar 2006, section 3.1.3; scipy
    calls it ``zsplit``; its default drops them, and with them the evidence that two arms are alike). The p-value is
    that of all ``2**m`` equally likely signs of the m other differences with the ranks as they are, ties and all; what
    zeros add to both sums is the same for all signs, so Pratt's 1959 treatment has the same p.

    Parameters
    ----------
    differences : array-like of shape (n_units,)
        Finite; within 1e-12 of zero is zero.

    Returns
    -------
    Wilcoxon
        p = 1 if all differences are zero or there are none.

    Examples
    --------
    >>> found = wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, -0.05])
    >>> found.plus, found.minus, found.p
    (20.0, 1.0, 0.0625)
    """
    d = np.asarray(differences, dtype=np.float64)
    zero = np.abs(d) <= TIED
    ranks = ranked(np.where(zero, 0.0, np.abs(d)))
    halved = float(ranks[zero].sum()) / 2
    plus, minus = float(ranks[(d > 0) & ~zero].sum()), float(ranks[(d < 0) & ~zero].sum())
    counts = int(((d > 0) & ~zero).sum()), int(zero.sum()), int(((d < 0) & ~zero).sum())
    return Wilcoxon(plus + halved, minus + halved, _sign_flip_p(ranks[~zero], plus), *counts)


def nemenyi(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks; here only to reproduce Demsar 2006.

    ``q * sqrt(k (k + 1) / (6 n))`` with q the quantile of the studentised range for k groups and infinitely many
    degrees of freedom, divided by the square root of 2. It depends on strategies that are in neither arm of a
    comparison (Benavoli, Corani and Mangili 2016), hence Wilcoxon-Holm decides here.

    Parameters
    ----------
    k : int
        Strategies, at least 2.
    n : int
        Units, at least 1.
    alpha : float, default=0.05

    Returns
    -------
    float

    Examples
    --------
    >>> round(nemenyi(4, 14), 2)
    1.25
    """
    # Here and not above: scipy.stats takes half a second that no study needs.
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))


def indistinct(scores: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Which pairs of strategies Wilcoxon's test, Holm-adjusted over all pairs, does not tell apart.

    Parameters
    ----------
    scores : ndarray of shape (n_units, k)
    alpha : float, default=0.05

    Returns
    -------
    ndarray of shape (k, k), bool
        Symmetric, True on the diagonal.

    References
    ----------
    Benavoli, Corani and Mangili 2016, *Journal of Machine Learning Research* 17(5).
    """
    k = scores.shape[1]
    pairs = list(combinations(range(k), 2))
    alike = np.eye(k, dtype=bool)
    for (i, j), p in zip(pairs, holm([wilcoxon(scores[:, i] - scores[:, j]).p for i, j in pairs]), strict=True):
        alike[i, j] = alike[j, i] = p > alpha
    return alike


def runs(alike: np.ndarray) -> list[tuple[int, int]]:
    """The longest stretches of neighbours in which every pair is alike: the bars of a critical-difference diagram.

    Parameters
    ----------
    alike : ndarray of shape (k, k), bool
        In the order of the mean ranks.

    Returns
    -------
    list of (int, int)
        First and last of every stretch of two or more, none inside another.

    Examples
    --------
    >>> runs(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool))
    [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 2, first : last + 2].all():
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _sign_flip_p(ranks: np.ndarray, plus: float) -> float:
    """Two-sided: twice the smaller tail of the sum of a random half of the ranks."""
    steps = np.rint(2 * ranks).astype(np.int64)
    law = np.ones(1)
    for step in steps:
        law = (np.pad(law, (0, step)) + np.pad(law, (step, 0))) / 2
    at = round(2 * plus)
    return min(1.0, 2 * min(float(law[: at + 1].sum()), float(law[at:].sum())))
