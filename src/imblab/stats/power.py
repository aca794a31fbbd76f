"""Power of a design before its first fit: regions of equivalence, planned spreads, and how certain the figures are.

All figures rest on the corrected t; see :func:`imblab.stats.paired_tests.corrected_t`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from imblab.stats.paired_tests import MAX_NONCENTRAL_DF, POWER

#: Points of the distribution of the estimated spread over which :func:`_equivalence_power` averages.
N_POINTS = 1_000
#: Share of studies whose figures lie in a stated range.
RANGE_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class FoldSpread:
    """Standard deviation of the fold differences of a family.

    The planned ones below are multiplied by the root of the positives, or minority rows, per test fold.
    """

    #: A value and its range. Planned: the median over the families of the committed studies, and their tenth and
    #: ninetieth percentile. Observed: the root mean square over contrasts, and its 90 % interval by the chi
    #: distribution.
    center: float
    low: float
    high: float
    folds: int = 0  # folds it was observed in; 0 for a planned one


#: By dotted path of the measure's function and family of contrasts, from the ledgers in ``experiments/``: the spread of
#: a data set and learner is the root mean square over the contrasts of its family. A test derives the numbers again.
PLANNED_SPREADS: Mapping[tuple[str, str], FoldSpread] = {
    ("imblab.core.measures.mcc", "primary"): FoldSpread(0.25, 0.14, 0.48),
    ("imblab.core.measures.mcc", "secondary"): FoldSpread(0.34, 0.15, 0.48),
    ("imblab.core.measures.average_precision", "primary"): FoldSpread(0.14, 0.05, 0.27),
    ("imblab.core.measures.average_precision", "secondary"): FoldSpread(0.16, 0.08, 0.30),
}
#: The same for more than two classes, from the study ``multiclass``: times the root of the minority rows per test fold,
#: which are those outside the most frequent class.
CLASS_PLANNED_SPREADS: Mapping[tuple[str, str], FoldSpread] = {
    ("imblab.core.measures.mcc", "primary"): FoldSpread(0.25, 0.15, 0.44),
    ("imblab.core.measures.mcc", "secondary"): FoldSpread(0.29, 0.23, 0.47),
    ("imblab.core.measures.average_precision", "primary"): FoldSpread(0.34, 0.08, 0.63),
    ("imblab.core.measures.average_precision", "secondary"): FoldSpread(0.33, 0.10, 0.52),
}


def spread_range(n_folds: int) -> tuple[float, float]:
    """Range of an estimated standard deviation, as multiples of the true one.

    The variance of J independent normal differences, divided by the true one, is chi-square with J - 1 degrees of
    freedom over J - 1. Every figure that is proportional to the estimate has the same range: the detectable
    difference, and the width of an interval. One correlation common to all folds does not change the range; repeats
    use the same rows again, and with them it is wider.

    Parameters
    ----------
    n_folds : int
        J, folds times repeats.

    Returns
    -------
    low, high : float
        The estimate of :data:`RANGE_COVERAGE` of all studies lies between, the others are split evenly; (0, inf) for
        fewer than two folds.

    References
    ----------
    Cochran (1934), The distribution of quadratic forms in a normal system, Proceedings of the Cambridge Philosophical
    Society 30, 178-191.

    Examples
    --------
    >>> [round(limit, 2) for limit in spread_range(5)], [round(limit, 2) for limit in spread_range(25)]
    ([0.42, 1.54], [0.76, 1.23])
    """
    if n_folds < 2:
        return 0.0, math.inf
    tails = (1 + RANGE_COVERAGE) / 2, (1 - RANGE_COVERAGE) / 2  # chdtri takes the upper tail
    low, high = (math.sqrt(float(chdtri(n_folds - 1, tail)) / (n_folds - 1)) for tail in tails)
    return low, high


def _equivalence_power(region: float, df: int, alpha: float = 0.05) -> float:
    """Probability that two one-sided tests show equivalence where the strategies do not differ.

    They do so when ``|mean| + t(1 - alpha, df) se`` is at most the half-width of the region, here in true standard
    errors. With z = mean over its true standard error, normal, and u = se over the true one, the root of a chi-square
    over df, the probability is the mean over u of ``2 Phi(region - t u) - 1``, where that is positive. See Schuirmann
    (1987), A comparison of the two one-sided tests procedure and the power approach, Journal of Pharmacokinetics and
    Biopharmaceutics 15, 657-680.
    """
    critical = _critical_t(df, alpha)
    return float(np.maximum(2 * ndtr(region - critical * _spread_points(df)) - 1, 0.0).mean())


def equivalence_factor(n_folds: int, ratio: float, alpha: float = 0.05) -> float:
    """The smallest region in which a design shows equivalence with 80 % power where the strategies do not differ.

    In standard deviations of the fold differences.

    Parameters
    ----------
    n_folds : int
        Folds times repeats.
    ratio : float
        Test rows over training rows, 1 / (folds - 1) in k-fold cross-validation.
    alpha : float, default=0.05
        Level of each of the two one-sided tests; alpha / m for the first of m contrasts by Holm.

    Returns
    -------
    float
        Half-width of the region; infinite for fewer than two folds.

    Examples
    --------
    >>> [round(equivalence_factor(n_folds, 0.25), 2) for n_folds in (5, 25, 10**6)]
    [2.4, 1.62, 1.46]
    """
    if n_folds < 2:
        return math.inf
    return math.sqrt(1 / n_folds + ratio) * _region_in_errors(n_folds - 1, alpha)


@lru_cache(maxsize=1_000)
def _region_in_errors(df: int, alpha: float) -> float:
    """The region at which :func:`_equivalence_power` is :data:`POWER`."""
    low, high = 0.0, 2 * (_critical_t(df, alpha) + 10)
    while _equivalence_power(high, df, alpha) < POWER:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _equivalence_power(middle, df, alpha) >= POWER else (middle, high)
    return high


@lru_cache(maxsize=100)
def _spread_points(df: int) -> np.ndarray:
    """Equally likely values of an estimated standard deviation over the true one."""
    if df > MAX_NONCENTRAL_DF:
        return np.ones(1)
    return np.asarray(np.sqrt(chdtri(df, (np.arange(N_POINTS) + 0.5) / N_POINTS) / df))


def _critical_t(df: int, alpha: float) -> float:
    return float(stdtrit(df, 1 - alpha)) if df <= MAX_NONCENTRAL_DF else float(ndtri(1 - alpha))
