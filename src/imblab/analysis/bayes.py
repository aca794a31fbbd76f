"""The Bayesian correlated t-test: shown beside a verdict, never deciding it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtr

from imblab.analysis.intervals import Estimate


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
    corrected standard error ``sqrt((1/J + n_test/n_train) * s**2)`` of :func:`imblab.analysis.intervals.corrected_t`.

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
    >>> from imblab.analysis.intervals import corrected_t
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
