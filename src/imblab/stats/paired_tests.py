"""Paired differences of cross-validated scores: intervals, tests, the power of a design, means over data sets.

The folds share training rows. Functions on many contrasts take differences of shape ``(..., n_folds)`` and test all of
them in one call; a fold that is missing (NaN) leaves its contrast without a test, nothing is imputed. Power is that of
a design before its first fit: regions of equivalence, planned spreads, and how certain the figures are; all rest on the
corrected t. The mean over data sets is that of a random-effects meta-analysis: effects that differ between units, each
known with a standard error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import chdtri, nctdtrinc, ndtr, ndtri, stdtr, stdtrit

from imblab.stats.standard_errors import CORRECTED_T, ROW_LEVEL

#: Differences no larger than this are rounding errors: the two numbers are equal.
DIFFERENCE_TOLERANCE = 1e-12
#: Degrees of freedom above which the noncentral t is taken as normal, since its inverse fails there.
MAX_NONCENTRAL_DF = 100_000
#: Probability with which a design is to find a difference, or to show equivalence.
POWER = 0.8

ArrayLike = Sequence[float] | np.ndarray | float
#: Points of the distribution of the estimated spread over which :func:`_equivalence_power` averages.
N_POINTS = 1_000
#: Share of studies whose figures lie in a stated range.
RANGE_COVERAGE = 0.9
#: A unit whose standard error is at most this has no visible variance.
MIN_STANDARD_ERROR = 1e-6
#: Steps of Newton's method; it converges quadratically, a few are enough.
_MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference with its interval and test."""

    mean: float  # NaN where a fold is missing
    #: ends of the interval; NaN where there is none
    low: float
    high: float
    p: float  # two-sided p-value for a mean difference of 0
    df: int  # degrees of freedom
    se: float  # standard error; see :mod:`imblab.stats.standard_errors`
    reason: str | None = None  # why the interval is missing
    estimator: str = CORRECTED_T  # which standard error it is

    @classmethod
    def untested(cls, mean: float, reason: str | None) -> Estimate:
        """Return a mean, or NaN, without an interval and a test."""
        return cls(mean, math.nan, math.nan, math.nan, 0, math.nan, reason)

    def at(self, alpha: float) -> Estimate:
        """Return the same estimate with an interval that covers 1 - alpha."""
        if math.isnan(self.se):
            return self
        reach = self.se * float(stdtrit(self.df, 1 - alpha / 2))
        return replace(self, low=self.mean - reach, high=self.mean + reach)

    @property
    def identical(self) -> bool:
        """Whether every difference is zero."""
        return self.reason is None and self.se == 0


@dataclass(frozen=True, slots=True, eq=False)
class EstimateArray:
    """The estimates of many contrasts: arrays of one shape with the fields of :class:`Estimate`.

    Indexing with integers gives an :class:`Estimate`.
    """

    #: NaN where nothing was estimated
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    df: np.ndarray  # degrees of freedom
    se: np.ndarray
    reason: np.ndarray  # a text where the interval is missing, else None
    estimator: str = CORRECTED_T  # which standard error all of them have

    def __getitem__(self, index: int | tuple[int, ...]) -> Estimate:
        mean, low, high, p, se = (float(each[index]) for each in (self.mean, self.low, self.high, self.p, self.se))
        return Estimate(mean, low, high, p, int(self.df[index]), se, self.reason[index], self.estimator)

    def at(self, alpha: float) -> EstimateArray:
        """Return the same estimates with intervals that cover 1 - alpha."""
        reach = self.se * stdtrit(self.df, 1 - alpha / 2)
        return replace(self, low=self.mean - reach, high=self.mean + reach)

    @property
    def identical(self) -> np.ndarray:
        """Whether every difference of a contrast is zero."""
        return np.asarray(self.se == 0)


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probabilities that add up to 1: where the true mean difference lies."""

    #: Below minus the half-width of the region of practical equivalence, inside the region, above it. In [0, 1]; NaN
    #: without a posterior.
    below: Any
    within: Any
    above: Any


def estimate_contrasts(
    differences: np.ndarray,
    n_train: ArrayLike,
    n_test: ArrayLike,
    alpha: float = 0.05,
    row_level: tuple[np.ndarray, int] | None = None,
) -> EstimateArray:
    """Corrected resampled t interval and test of every row of paired differences.

    The variance of the mean is ``(1/J + n_test/n_train) * s**2`` with ``s**2`` the sample variance (ddof 1) of the J
    differences. ``n_test/n_train`` is the ratio of the mean counts: 1 / (folds - 1) in any k-fold cross-validation,
    however unequal its folds.

    Parameters
    ----------
    differences : array-like of shape (..., n_folds)
        One contrast in the last axis; ``n_folds`` counts folds times repeats. NaN where a fold is missing.
    n_train, n_test : array-like of shape (..., n_folds) or float
        Numbers of training and test rows; shapes must broadcast against ``differences``.
    alpha : float, default=0.05
        The intervals cover 1 - alpha.
    row_level : tuple of (ndarray, int), optional
        Standard errors of shape ``differences.shape[:-1]`` and degrees of freedom that replace the corrected ones; see
        :mod:`imblab.stats.standard_errors`.

    Returns
    -------
    EstimateArray
        Of shape ``differences.shape[:-1]``. Zero with p = 1 and the interval [0, 0] if all differences are zero.
        Without an interval, and with a reason, if a fold is missing, if there is one fold only, if all differences
        are one other number, or if they vary and the row-level standard error is 0 (within 1e-12).

    See Also
    --------
    corrected_t, holm

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52, equation 9.
    Bouckaert and Frank (2004), Evaluating the replicability of significance tests for comparing learning algorithms,
    PAKDD, for repeated cross-validation.

    Examples
    --------
    >>> scores = np.array([[0.5, 0.6, 0.7], [0.4, 0.5, 0.4], [0.5, 0.6, 0.7]])
    >>> estimates = estimate_contrasts(scores[[0, 0]] - scores[[1, 2]], n_train=80, n_test=40)
    >>> estimates.mean.round(3).tolist(), estimates.p.round(3).tolist()
    ([0.167, 0.0], [0.255, 1.0])
    """
    d = np.ascontiguousarray(differences, dtype=np.float64)
    n_folds = d.shape[-1]
    shape = d.shape[:-1]
    missing = np.count_nonzero(~np.isfinite(d), axis=-1)
    complete = (missing == 0) & (n_folds > 0)
    with np.errstate(invalid="ignore"):
        mean = np.where(complete, d.mean(axis=-1) if n_folds else np.nan, np.nan)
        identical = complete & (np.max(np.abs(d), axis=-1, initial=0.0) <= DIFFERENCE_TOLERANCE)
        varies = complete & ~identical & (n_folds > 1)
        if n_folds > 1:
            varies &= np.ptp(d, axis=-1) > DIFFERENCE_TOLERANCE
    se, n_free, estimator, is_flat = np.full(shape, np.nan), n_folds - 1, CORRECTED_T, np.zeros(shape, dtype=bool)
    if row_level is not None:
        estimator, n_free = ROW_LEVEL, row_level[1]
        is_flat = varies & ~(np.asarray(row_level[0]) > DIFFERENCE_TOLERANCE)
        varies &= ~is_flat
        se = np.where(varies, row_level[0], np.nan)
    elif varies.any():
        deviation = d.std(axis=-1, ddof=1)
        se = np.where(varies, np.sqrt(_inflation(n_folds, n_train, n_test)) * deviation, np.nan)
    df = np.where(varies | identical, n_free, 0)
    p = 2 * stdtr(df, -np.abs(mean / se))
    reach = se * stdtrit(df, 1 - alpha / 2)
    mean, low, high, p, se = (
        np.where(identical, limit, each)
        for limit, each in ((0.0, mean), (0.0, mean - reach), (0.0, mean + reach), (1.0, p), (0.0, se))
    )
    reason = np.full(shape, None, dtype=object)
    for index in zip(*np.nonzero(~(varies | identical)), strict=True):
        reason[index] = (
            "the differences vary, but their standard error over test rows is 0: no test"
            if is_flat[index]
            else _untested_reason(int(missing[index]), n_folds, float(mean[index]))
        )
    return EstimateArray(mean, low, high, p, df, se, reason, estimator)


def corrected_t(
    differences: Sequence[float] | np.ndarray, n_train: ArrayLike, n_test: ArrayLike, alpha: float = 0.05
) -> Estimate:
    """Corrected resampled t interval and test of the differences of one contrast; see :func:`estimate_contrasts`.

    Examples
    --------
    >>> estimate = corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20)
    >>> round(estimate.mean, 3), round(estimate.low, 3), round(estimate.high, 3), round(estimate.p, 3)
    (0.1, -0.032, 0.232, 0.103)
    >>> corrected_t([0.1], n_train=80, n_test=20).reason
    'one fold has no variance to test with'
    """
    return estimate_contrasts(np.asarray(differences, dtype=np.float64)[np.newaxis], n_train, n_test, alpha)[0]


def equivalence_p(estimates: Estimate | EstimateArray, rope: ArrayLike) -> Any:
    """Two one-sided tests of equivalence (Schuirmann 1987): the larger of their p-values.

    At most alpha exactly where the interval at 1 - 2 alpha lies inside the region of practical equivalence, whose
    half-width is ``rope``. With a standard error of 0, 0 for a mean within the region and 1 outside it; NaN without a
    region (a ``rope`` of NaN), or where the estimate has no interval.

    Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach for assessing the
    equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.

    Examples
    --------
    >>> round(float(equivalence_p(corrected_t([0.001, 0.0, -0.001], 80, 40), rope=0.01)), 4)
    0.0041
    """
    mean, se, half_width = (np.asarray(v, dtype=np.float64) for v in (estimates.mean, estimates.se, rope))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.maximum(stdtr(estimates.df, -(half_width + mean) / se), stdtr(estimates.df, (mean - half_width) / se))
    undefined = np.isnan(half_width) | np.isnan(se)
    exact = np.where(np.abs(mean) <= half_width, 0.0, 1.0)
    return np.where(undefined, np.nan, np.where(se == 0, exact, p))[()]


def posterior(estimates: Estimate | EstimateArray, rope: ArrayLike) -> Posterior:
    """Bayesian t-test: probabilities of a difference below, within and above the region of equivalence.

    Under the matching prior the posterior of the mean difference is Student's t, centred at the mean of the
    differences; its scale and its degrees of freedom are those of the estimate. With the corrected standard error it is
    the Bayesian correlated t-test (J - 1 degrees of freedom). It is reported next to a verdict and decides nothing. All
    three are NaN without a region of practical equivalence (a half-width ``rope`` of NaN), or where the estimate has no
    interval; (0, 1, 0) if all differences are zero.

    Corani and Benavoli (2015), A Bayesian approach for comparing cross-validated algorithms on multiple data sets,
    Machine Learning 100, 285-304, equation 11. Benavoli, Corani, Demsar and Zaffalon (2017), Time for a change, Journal
    of Machine Learning Research 18(77).

    Examples
    --------
    >>> probabilities = posterior(corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20), rope=0.01)
    >>> [round(float(p), 3) for p in (probabilities.below, probabilities.within, probabilities.above)]
    [0.041, 0.025, 0.935]
    """
    mean, se, half_width = (np.asarray(v, dtype=np.float64) for v in (estimates.mean, estimates.se, rope))
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.asarray(stdtr(estimates.df, (-half_width - mean) / se))
        above = np.asarray(stdtr(estimates.df, (mean - half_width) / se))
        within = np.maximum(0.0, 1.0 - below - above)
    undefined, identical = np.isnan(half_width) | np.isnan(se), se == 0
    below, within, above = (
        np.where(undefined, np.nan, np.where(identical, limit, each))[()]
        for limit, each in ((0.0, below), (1.0, within), (0.0, above))
    )
    return Posterior(below, within, above)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of the p-values of families.

    Parameters
    ----------
    p_values : array-like of shape (..., n_contrasts)
        One family in the last axis. NaN where a contrast has no test: it stays NaN and counts in the family like a p
        of 1, since the family was fixed before the first evaluation.

    Returns
    -------
    ndarray of shape (..., n_contrasts)
        In the given order, at most 1, never below the given values.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, axis=-1, kind="stable")
    n_contrasts = p.shape[-1]
    steps = (n_contrasts - np.arange(n_contrasts)) * np.take_along_axis(p, order, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0), axis=-1)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values so that rejecting those up to q bounds the expected share of false rejections by q.

    The i-th smallest of m p-values becomes the minimum of ``m p_(j) / j`` over j >= i. The bound holds for independent
    and for positively dependent tests. (scipy's ``false_discovery_control`` gives the same; importing it takes longer
    than reading a study.) NaN stands for a missing test: it stays NaN and counts like a p of 1.

    Benjamini and Hochberg (1995), Controlling the false discovery rate: a practical and powerful approach to multiple
    testing, Journal of the Royal Statistical Society B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled, kind="stable")
    steps = filled[order] * p.size / np.arange(1, p.size + 1)
    q = np.empty_like(p)
    q[order] = np.minimum.accumulate(steps[::-1])[::-1]
    return np.where(np.isnan(p), np.nan, q)


def detectable(estimates: Estimate | EstimateArray, alpha: float = 0.05, power: float = POWER) -> Any:
    """The smallest true difference that the design would have found.

    A difference D is found when ``|mean| / se`` exceeds the critical value ``c = t(1 - alpha/2, df)``. With a true
    difference D the ratio ``mean / se`` follows the noncentral t with df degrees of freedom and noncentrality
    ``D / se``, and D is found with the stated power when that distribution leaves ``1 - power`` below c. So D is the
    noncentrality with ``F(c; df, D / se) = 1 - power``, times the standard error of the estimate; the far tail, below
    ``-c``, is negligible. For more than a few folds ``(c + t(power, df)) * se`` is close to it. It rests on the
    observed variance: it describes the design, not the difference that was observed. ``alpha`` is two-sided; in a
    family of m contrasts alpha / m, which Holm asks of the first, is enough for any p-values of the others. NaN where
    nothing was tested or no difference varied.

    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2.

    Examples
    --------
    >>> round(float(detectable(corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20))), 3)
    0.178
    """
    se, df = np.asarray(estimates.se), np.asarray(estimates.df)
    factors = {int(each): _noncentrality(int(each), alpha, power) for each in np.unique(df) if each > 0}
    factor = np.array([factors.get(int(each), np.nan) for each in df.flat]).reshape(df.shape)
    return np.where(se > 0, factor * se, np.nan)[()]


def detectable_factor(n_folds: int, ratio: float, alpha: float = 0.05) -> float:
    """The smallest true difference that a design finds with 80 % power, in standard deviations of the fold differences.

    ``n_folds`` counts folds times repeats. ``ratio`` is test rows over training rows, 1 / (folds - 1) in k-fold
    cross-validation: however many repeats, the standard error does not fall below its root. ``alpha`` is as for
    :func:`detectable`. Infinite for fewer than two folds.

    Examples
    --------
    >>> [round(detectable_factor(n_folds, 0.25), 2) for n_folds in (5, 25, 10**6)]
    [2.52, 1.57, 1.4]
    """
    if n_folds < 2:
        return math.inf
    return math.sqrt(_inflation(n_folds, 1.0, ratio)) * _noncentrality(n_folds - 1, alpha, POWER)


def half_width_factor(n_folds: int, n_train: ArrayLike, n_test: ArrayLike, alpha: float = 0.05) -> float:
    """Half the width of a corrected interval that covers 1 - alpha, in standard deviations of the differences.

    ``n_folds`` counts folds times repeats; the numbers of rows are as for :func:`corrected_t`. Infinite for fewer than
    two folds.

    Examples
    --------
    >>> round(half_width_factor(5, 80, 20), 2), round(half_width_factor(25, 80, 20), 2)
    (1.86, 1.11)
    """
    if n_folds < 2:
        return math.inf
    return math.sqrt(_inflation(n_folds, n_train, n_test)) * float(stdtrit(n_folds - 1, 1 - alpha / 2))


def _untested_reason(missing: int, n_folds: int, mean: float) -> str:
    if missing or n_folds == 0:
        return f"{missing} of {n_folds} folds are missing"
    if n_folds < 2:
        return "one fold has no variance to test with"
    return f"all {n_folds} differences are {mean:+.3g}: no variance to test with"


def _noncentrality(df: int, alpha: float, power: float) -> float:
    """The difference in standard errors that a two-sided t-test finds with a power; see :func:`detectable`."""
    if df > MAX_NONCENTRAL_DF:
        return float(ndtri(1 - alpha / 2) + ndtri(power))
    return float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - alpha / 2)))


def _inflation(n_folds: int, n_train: ArrayLike, n_test: ArrayLike) -> Any:
    """The variance of the mean over that of one difference."""
    train, test = (np.mean(np.atleast_1d(np.asarray(n, dtype=np.float64)), axis=-1) for n in (n_train, n_test))
    return 1 / n_folds + test / train


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
    """Range of an estimated standard deviation, as multiples of the true one, for J folds times repeats.

    The variance of J independent normal differences, divided by the true one, is chi-square with J - 1 degrees of
    freedom over J - 1. The estimate of :data:`RANGE_COVERAGE` of all studies lies in the range, the others are split
    evenly; it is (0, inf) for fewer than two folds. Every figure that is proportional to the estimate has the same
    range: the detectable difference, and the width of an interval. One correlation common to all folds does not change
    the range; repeats use the same rows again, and with them it is wider.

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
    over df, the probability is the mean over u of ``2 Phi(region - t u) - 1``, where that is positive. See
    :func:`equivalence_p` for the source.
    """
    critical = _critical_t(df, alpha)
    return float(np.maximum(2 * ndtr(region - critical * _spread_points(df)) - 1, 0.0).mean())


def equivalence_factor(n_folds: int, ratio: float, alpha: float = 0.05) -> float:
    """The smallest region in which a design shows equivalence with 80 % power where the strategies do not differ.

    Its half-width in standard deviations of the fold differences; infinite for fewer than two folds. ``n_folds`` and
    ``ratio`` are as for :func:`detectable_factor`; ``alpha`` is the level of each of the two one-sided tests: alpha / m
    for the first of m contrasts by Holm.

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


@dataclass(frozen=True, slots=True)
class _MeanEffect:
    """Mean of the effects of units, and how much they differ."""

    estimate: Estimate  # at 1 - alpha, with standard error and two-sided p; ``df`` is K - 1
    deviation: float  # standard deviation of the true effects between units, tau
    prediction_low: float  # the true effect of a further unit lies between the two, at 1 - alpha
    prediction_high: float


def mean_effect(
    effects: Sequence[float] | np.ndarray, standard_errors: Sequence[float] | np.ndarray, alpha: float = 0.05
) -> _MeanEffect:
    """Estimate the mean effect over K units by a random-effects model.

    The variance between units, tau squared, solves ``sum(w (y - m)**2) = K - 1`` with ``w = 1 / (se**2 + tau**2)`` and
    m the weighted mean, or is 0 where the sum is smaller already (Paule and Mandel 1982). The variance of m is
    ``q / sum(w)`` with ``q = max(1, sum(w (y - m)**2) / (K - 1))`` (Knapp and Hartung 2003, never below the usual one),
    its distribution Student's t with K - 1 degrees of freedom. A further unit has the variance ``tau**2`` more (Higgins
    et al. 2009, here with K - 1 degrees of freedom as well).

    A unit without visible variance (a standard error of at most :data:`MIN_STANDARD_ERROR`) takes the median of the
    others' standard errors: with its own it would have all the weight. All is NaN for fewer than two units, if any
    value is missing, and if fewer than two units have visible variance. Effects that are all 0 within 1e-12, with
    standard errors of 0, are an identity: everything is 0 and p is 1, as over the folds of one data set.

    Paule and Mandel (1982), Consensus values and weighting factors, Journal of Research of the National Bureau of
    Standards 87, 377-385. DerSimonian and Kacker (2007), Random-effects model for meta-analysis of clinical trials: an
    update, Contemporary Clinical Trials 28, 105-114, for the iteration. Knapp and Hartung (2003), Improved tests for a
    random effects meta-regression with a single covariate, Statistics in Medicine 22, 2693-2710. Higgins, Thompson and
    Spiegelhalter (2009), A re-evaluation of random-effects meta-analysis, Journal of the Royal Statistical Society A
    172, 137-159.

    Examples
    --------
    >>> pooled = mean_effect([0.10, 0.02, 0.05, -0.01, 0.08, 0.04], [0.02] * 6)
    >>> [round(v, 3) for v in (pooled.estimate.mean, pooled.estimate.low, pooled.estimate.high, pooled.deviation)]
    [0.047, 0.005, 0.088, 0.034]
    >>> round(pooled.prediction_low, 3), round(pooled.prediction_high, 3)
    (-0.051, 0.145)
    """
    y, se = np.asarray(effects, dtype=np.float64), np.asarray(standard_errors, dtype=np.float64)
    df = y.size - 1
    if df < 1 or not np.isfinite(np.concatenate([y, se])).all():
        return _MeanEffect(Estimate.untested(math.nan, "the effects have no standard errors"), *[math.nan] * 3)
    if np.abs(y).max() <= DIFFERENCE_TOLERANCE and not se.any():
        return _MeanEffect(Estimate(0.0, 0.0, 0.0, 1.0, df, 0.0, estimator="random_effects"), 0.0, 0.0, 0.0)
    is_visible = se > MIN_STANDARD_ERROR
    if is_visible.sum() < 2:
        reason = "fewer than two effects have a standard error above 0"
        return _MeanEffect(Estimate.untested(math.nan, reason), *[math.nan] * 3)
    variances = np.where(is_visible, se, np.median(se[is_visible])) ** 2
    between = _paule_mandel(y, variances)
    weights = 1 / (variances + between)
    mean = float(weights @ y / weights.sum())
    excess = max(1.0, float(weights @ (y - mean) ** 2) / df)
    error = math.sqrt(excess / float(weights.sum()))
    t = float(stdtrit(df, 1 - alpha / 2))
    reach, further = t * error, t * math.sqrt(between + error**2)
    p = 2 * float(stdtr(df, -abs(mean) / error))
    estimate = Estimate(mean, mean - reach, mean + reach, p, df, error, estimator="random_effects")
    return _MeanEffect(estimate, math.sqrt(between), mean - further, mean + further)


def unweighted_mean(effects: Sequence[float] | np.ndarray, alpha: float = 0.05) -> Estimate:
    """Mean of at least two effects with equal weights, Student's t with K - 1 degrees of freedom.

    It does not ask how well each effect is known, so that no unit decides alone.

    Examples
    --------
    >>> estimate = unweighted_mean([0.10, 0.02, 0.05, -0.01, 0.08, 0.04])
    >>> [round(v, 3) for v in (estimate.mean, estimate.low, estimate.high)]
    [0.047, 0.005, 0.088]
    """
    y = np.asarray(effects, dtype=np.float64)
    df, mean, error = y.size - 1, float(y.mean()), float(y.std(ddof=1)) / math.sqrt(y.size)
    p = 2 * float(stdtr(df, -abs(mean) / error)) if error else math.nan
    return Estimate(mean, math.nan, math.nan, p, df, error, estimator="unweighted").at(alpha)


def _paule_mandel(y: np.ndarray, variances: np.ndarray) -> float:
    """Newton's method from 0: the sum is convex and falls with the variance, so the steps approach from below."""
    between = 0.0
    for _ in range(_MAX_STEPS):
        weights = 1 / (variances + between)
        squares = (y - weights @ y / weights.sum()) ** 2
        excess = float(weights @ squares) - (y.size - 1)
        step = excess / float(weights**2 @ squares) if excess > 0 else 0.0
        if step <= 1e-15 * (between + float(variances.min())):
            break
        between += step
    return between
