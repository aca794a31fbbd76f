"""Intervals and tests for paired scores of cross-validation, whose folds share training rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import nctdtrinc, ndtri, stdtr, stdtrit

#: Differences this close are the same number; what lies between is rounding.
TIED = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean difference with what may be said about it.

    Attributes
    ----------
    mean : float
        NaN where a fold is missing.
    low, high : float
        Ends of the interval; NaN where there is none.
    p : float
        Two-sided, for a mean difference of 0.
    df : int
        Degrees of freedom.
    se : float
        Corrected standard error.
    reason : str or None
        Why there is no interval.
    """

    mean: float
    low: float
    high: float
    p: float
    df: int
    se: float
    reason: str | None = None

    @classmethod
    def untested(cls, mean: float, reason: str | None) -> Estimate:
        """A mean, or NaN, that has no interval and no test."""
        return cls(mean, math.nan, math.nan, math.nan, 0, math.nan, reason)

    def at(self, alpha: float) -> Estimate:
        """The same with an interval that covers 1 - alpha."""
        if math.isnan(self.se):
            return self
        reach = self.se * float(stdtrit(self.df, 1 - alpha / 2))
        return replace(self, low=self.mean - reach, high=self.mean + reach)

    @property
    def identical(self) -> bool:
        """Whether every difference is zero."""
        return self.reason is None and self.se == 0


def corrected_t(
    differences: Sequence[float] | np.ndarray,
    n_train: Sequence[float] | np.ndarray | float,
    n_test: Sequence[float] | np.ndarray | float,
    alpha: float = 0.05,
) -> Estimate:
    """The corrected resampled t interval and test of paired differences.

    The variance of the mean is ``(1/J + n_test/n_train) * s**2`` with ``s**2`` the sample variance (ddof 1) of the J
    differences (Nadeau and Bengio 2003, *Machine Learning* 52, eq. 9; for repeated cross-validation Bouckaert and
    Frank 2004). ``n_test/n_train`` is the ratio of the mean counts: 1 / (folds - 1) in any k-fold cross-validation,
    however unequal its folds.

    Parameters
    ----------
    differences : array-like of shape (folds * repeats,)
        NaN where a fold is missing.
    n_train, n_test : array-like of shape (folds * repeats,) or float
        The real numbers of rows.
    alpha : float, default=0.05
        The interval covers 1 - alpha.

    Returns
    -------
    Estimate
        Zero with p = 1 and the interval [0, 0] if all differences are zero. Without interval, and with a reason, if a
        fold is missing, if there is one fold only, or if all differences are one other number.

    Examples
    --------
    >>> found = corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20)
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), round(found.p, 3)
    (0.1, -0.032, 0.232, 0.103)
    >>> corrected_t([0.1], n_train=80, n_test=20).reason
    'one fold has no variance to test with'
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.size == 0 or not np.isfinite(d).all():
        return Estimate.untested(math.nan, f"{int((~np.isfinite(d)).sum())} of {d.size} folds are missing")
    if np.abs(d).max() <= TIED:
        return Estimate(0.0, 0.0, 0.0, 1.0, d.size - 1, 0.0)
    mean = float(d.mean())
    if d.size < 2:
        return Estimate.untested(mean, "one fold has no variance to test with")
    if np.ptp(d) <= TIED:
        return Estimate.untested(mean, f"all {d.size} differences are {mean:+.3g}: no variance to test with")
    df = d.size - 1
    se = math.sqrt(_inflation(d.size, n_train, n_test)) * float(d.std(ddof=1))
    p = 2 * float(stdtr(df, -abs(mean / se)))
    return Estimate(mean, mean, mean, p, df, se).at(alpha)


def detectable(estimate: Estimate, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that the design would have found.

    A difference D is found when ``|mean| / se`` exceeds the critical value ``c = t(1 - alpha/2, df)``. With a true
    difference D the ratio ``mean / se`` follows the noncentral t with df degrees of freedom and noncentrality
    ``D / se``, and D is found with the wanted power when that law leaves ``1 - power`` below c. So D is the
    noncentrality with ``F(c; df, D / se) = 1 - power``, times the corrected standard error of :func:`corrected_t`
    (Cohen 1988, *Statistical Power Analysis*, ch. 2; the far tail, below ``-c``, adds nothing that shows). For more
    than a few folds ``(c + t(power, df)) * se`` is close to it. It rests on the variance that was seen: it says what
    this design could do, and nothing about the difference it saw.

    Parameters
    ----------
    estimate : Estimate
    alpha : float, default=0.05
        Two-sided. In a family of m contrasts alpha / m, which Holm asks of the first, is enough whatever the rest show.
    power : float, default=0.8

    Returns
    -------
    float
        NaN where nothing was tested or no difference varied.

    Examples
    --------
    >>> round(detectable(corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20)), 3)
    0.178
    """
    if math.isnan(estimate.se) or estimate.se == 0:
        return math.nan
    return _noncentrality(estimate.df, alpha, power) * estimate.se


def detectable_factor(J: int, ratio: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a design would find, in standard deviations of the fold differences.

    Parameters
    ----------
    J : int
        Folds times repeats.
    ratio : float
        Test rows over training rows, 1 / (folds - 1) in k-fold cross-validation: however many repeats, the standard
        error does not fall below its root.
    alpha, power : float
        As for :func:`detectable`.

    Returns
    -------
    float
        Infinite for fewer than two folds.

    Examples
    --------
    >>> [round(detectable_factor(J, 0.25), 2) for J in (5, 25, 10**6)]
    [2.52, 1.57, 1.4]
    """
    if J < 2:
        return math.inf
    return math.sqrt(_inflation(J, 1.0, ratio)) * _noncentrality(J - 1, alpha, power)


def half_width_factor(
    J: int,
    n_train: Sequence[float] | np.ndarray | float,
    n_test: Sequence[float] | np.ndarray | float,
    alpha: float = 0.05,
) -> float:
    """Half the width of a corrected interval, in standard deviations of the differences.

    Parameters
    ----------
    J : int
        Folds times repeats.
    n_train, n_test : array-like or float
        Numbers of rows, as for :func:`corrected_t`.
    alpha : float, default=0.05

    Returns
    -------
    float
        Infinite for fewer than two folds.

    Examples
    --------
    >>> round(half_width_factor(5, 80, 20), 2), round(half_width_factor(25, 80, 20), 2)
    (1.86, 1.11)
    """
    if J < 2:
        return math.inf
    return math.sqrt(_inflation(J, n_train, n_test)) * float(stdtrit(J - 1, 1 - alpha / 2))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of the p-values of one family.

    Parameters
    ----------
    p_values : array-like of shape (n_contrasts,)
        NaN where a contrast has no test: it stays NaN and still counts in the size of the family, which was fixed
        before the first row.

    Returns
    -------
    ndarray of shape (n_contrasts,)
        In the given order, at most 1, never below the given values.

    References
    ----------
    Holm 1979, *Scandinavian Journal of Statistics* 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = (p.size - np.arange(p.size)) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


@dataclass(frozen=True, slots=True)
class Posterior:
    """Where the true mean difference lies, as probabilities that add up to 1.

    Attributes
    ----------
    below, within, above : float
        Below minus the half-width of the region of practical equivalence, inside the region, above it. In [0, 1]; NaN
        where there is no posterior.
    """

    below: float
    within: float
    above: float


def posterior(estimate: Estimate, rope: float) -> Posterior:
    """Probabilities of the mean difference below, within and above the region of practical equivalence.

    Under the matching prior of Corani and Benavoli 2015 (*Machine Learning* 100, eq. 11) the posterior of the mean
    difference is Student's t with ``J - 1`` degrees of freedom, centred at the mean of the J differences, its scale the
    corrected standard error ``sqrt((1/J + n_test/n_train) * s**2)`` of :func:`corrected_t`.

    Parameters
    ----------
    estimate : Estimate
    rope : float
        Half-width of the region, at least 0; NaN for a measure without one.

    Returns
    -------
    Posterior
        All NaN without a region, or where the estimate has no interval; (0, 1, 0) if all differences are zero.

    References
    ----------
    Corani and Benavoli 2015, *Machine Learning* 100, 285-304; Benavoli, Corani, Demsar and Zaffalon 2017, *Journal of
    Machine Learning Research* 18(77).

    Examples
    --------
    >>> found = posterior(corrected_t([0.1, 0.0, 0.2, 0.1, 0.1], n_train=80, n_test=20), rope=0.01)
    >>> round(found.below, 3), round(found.within, 3), round(found.above, 3)
    (0.041, 0.025, 0.935)
    """
    if math.isnan(rope) or math.isnan(estimate.se):
        return Posterior(math.nan, math.nan, math.nan)
    if estimate.identical:
        return Posterior(0.0, 1.0, 0.0)
    below = float(stdtr(estimate.df, (-rope - estimate.mean) / estimate.se))
    above = float(stdtr(estimate.df, (estimate.mean - rope) / estimate.se))
    return Posterior(below, max(0.0, 1.0 - below - above), above)


def _noncentrality(df: float, alpha: float, power: float) -> float:
    """The difference in standard errors that a two-sided t-test finds with a power; see :func:`detectable`."""
    if df > 100_000:  # where the inverse of the noncentral law gives up, it is the normal one
        return float(ndtri(1 - alpha / 2) + ndtri(power))
    return float(nctdtrinc(df, 1 - power, stdtrit(df, 1 - alpha / 2)))


def _inflation(
    J: int, n_train: Sequence[float] | np.ndarray | float, n_test: Sequence[float] | np.ndarray | float
) -> float:
    return 1 / J + float(np.mean(n_test)) / float(np.mean(n_train))
