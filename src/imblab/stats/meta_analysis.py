"""Random-effects meta-analysis: the mean of effects that differ between units, each known with a standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from imblab.stats.paired_tests import DIFFERENCE_TOLERANCE, Estimate

#: A unit whose standard error is at most this has no visible variance.
MIN_STANDARD_ERROR = 1e-6
#: Steps of Newton's method; it converges quadratically, a few are enough.
_MAX_STEPS = 100


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
    """Estimate the mean effect over units by a random-effects model.

    The variance between units, tau squared, solves ``sum(w (y - m)**2) = K - 1`` with ``w = 1 / (se**2 + tau**2)`` and
    m the weighted mean, or is 0 where the sum is smaller already (Paule and Mandel 1982). The variance of m is
    ``q / sum(w)`` with ``q = max(1, sum(w (y - m)**2) / (K - 1))`` (Knapp and Hartung 2003, never below the usual one),
    its distribution Student's t with K - 1 degrees of freedom. A further unit has the variance ``tau**2`` more (Higgins
    et al. 2009, here with K - 1 degrees of freedom as well).

    Parameters
    ----------
    effects, standard_errors : array-like of shape (K,)
        One per unit. A unit without visible variance (at most :data:`MIN_STANDARD_ERROR`) takes the median of the
        others' standard errors: with its own it would have all the weight.
    alpha : float, default=0.05
        The intervals cover 1 - alpha.

    Returns
    -------
    _MeanEffect
        All NaN for fewer than two units, if any value is missing, and if fewer than two units have visible variance.
        Effects that are all 0 within 1e-12, with
        standard errors of 0, are an identity: everything is 0 and p is 1, as over the folds of one data set.

    References
    ----------
    Paule and Mandel (1982), Consensus values and weighting factors, Journal of Research of the National Bureau of
    Standards 87, 377-385.
    DerSimonian and Kacker (2007), Random-effects model for meta-analysis of clinical trials: an update, Contemporary
    Clinical Trials 28, 105-114, for the iteration.
    Knapp and Hartung (2003), Improved tests for a random effects meta-regression with a single covariate, Statistics in
    Medicine 22, 2693-2710.
    Higgins, Thompson and Spiegelhalter (2009), A re-evaluation of random-effects meta-analysis, Journal of the Royal
    Statistical Society A 172, 137-159.

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
    """Mean of effects with equal weights, Student's t with K - 1 degrees of freedom.

    It does not ask how well each effect is known, so that no unit decides alone.

    Parameters
    ----------
    effects : array-like of shape (K,)
        One per unit, at least two.
    alpha : float, default=0.05
        The interval covers 1 - alpha.

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
