"""Scoring rules and calibration statistics of predicted probabilities.

``y`` holds 0 and 1, ``proba`` finite values in [0, 1], both of shape (n_rows,). Undefined statistics are None, never 0.
Calibration statistics are meant for the pooled outer test rows of one repeat: a single fold holds too few positives
(Van Calster et al. 2019).

References
----------
Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1-3.
Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14, 107-114: the logarithmic score.
Cox (1958), Two further applications of a model for binary regression, Biometrika 45, 562-565.
Murphy (1973), Hedging and skill scores for probability forecasts, Journal of Applied Meteorology 12, 215-223.
Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI, 2901-2907.
Nguyen and O'Connor (2015), Posterior calibration and exploratory analysis for natural language processing models,
EMNLP, 1587-1598: bins of equal mass.
Collins, Ogundimu and Altman (2016), Sample size considerations for the external validation of a multivariable
prognostic model, Statistics in Medicine 35, 214-226.
Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics, BMC Medicine 17:230.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from imblab.stats.calibration_maps import fit_logistic

#: The statistics of :func:`calibration_statistics`, in their order.
STATISTICS = (
    *("brier", "brier_skill", "log_loss", "ece", "slope", "intercept"),
    *("observed_expected", "mean_risk_ratio"),
)
#: Rows of the rarer class below which a calibration curve is not informative (Collins et al. 2016).
MIN_CLASS_ROWS = 100
N_BINS = 10
#: Probabilities of 0 and 1 have no logit and are moved inside by this much, as in the R package CalibrationCurves.
LOGIT_MARGIN = 1e-8


def brier(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean squared difference of probability and outcome; lower is better.

    Examples
    --------
    >>> brier(np.array([0, 1]), np.array([0.5, 0.5]))
    0.25
    """
    return float(np.mean((proba - y) ** 2))


def log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean negative log-likelihood, clipped by the machine epsilon as in scikit-learn; lower is better.

    Examples
    --------
    >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    eps = np.finfo(np.float64).eps
    clipped = np.clip(proba, eps, 1 - eps)
    return float(-np.mean(np.log(np.where(y == 1, clipped, 1 - clipped))))


def calibration_statistics(y: np.ndarray, proba: np.ndarray, prevalence: float | np.ndarray) -> dict[str, float | None]:
    """Compute every calibration statistic of one set of predictions.

    Parameters
    ----------
    y, proba : ndarray of shape (n_rows,)
        Labels and predicted probabilities.
    prevalence : float or ndarray of shape (n_rows,)
        Share of positives in the training rows: the reference forecast.

    Returns
    -------
    dict of str to float or None
        By the names of :data:`STATISTICS`. With fewer than 100 rows of either class ``ece``, ``slope`` and
        ``intercept`` are None.

    Examples
    --------
    >>> statistics = calibration_statistics(np.array([0, 0, 0, 1]), np.array([0.25, 0.25, 0.25, 0.25]), 0.25)
    >>> statistics["brier"], statistics["brier_skill"], statistics["observed_expected"], statistics["slope"]
    (0.1875, 0.0, 1.0, None)
    """
    positives, expected = float(np.sum(y)), float(np.sum(proba))
    is_informative = min(positives, len(y) - positives) >= MIN_CLASS_ROWS
    slope, intercept = recalibration(y, proba) if is_informative else (None, None)
    values = (
        *(brier(y, proba), brier_skill(y, proba, prevalence), log_loss(y, proba)),
        *(calibration_error(y, proba) if is_informative else None, slope, intercept),
        *(positives / expected if expected else None, expected / positives if positives else None),
    )
    return dict(zip(STATISTICS, values, strict=True))


def brier_skill(y: np.ndarray, proba: np.ndarray, prevalence: float | np.ndarray) -> float | None:
    """Share of the reference forecast's Brier score that is gained: ``1 - brier / brier_reference``.

    1 is perfect, 0 no better than always predicting the training prevalence, negative values are worse (Murphy 1973).
    None where the reference is perfect.

    Examples
    --------
    >>> brier_skill(np.array([0, 1]), np.array([0.0, 1.0]), 0.5)
    1.0
    """
    reference = brier(y, np.broadcast_to(prevalence, y.shape))
    return 1 - brier(y, proba) / reference if reference else None


def quantile_bins(y: np.ndarray, proba: np.ndarray, n_bins: int = N_BINS) -> list[tuple[int, int, float, int]]:
    """Rows, summed probability and positives by quantile bins of the predicted probability.

    The edges are the percentiles of ``proba``, as in scikit-learn's ``calibration_curve(strategy="quantile")``: rows
    that tie share a bin, independent of their order. Empty bins are left out.

    Parameters
    ----------
    y, proba : ndarray of shape (n_rows,)
        Labels and predicted probabilities.
    n_bins : int, default=10
        Number of bins, empty ones included.

    Returns
    -------
    list of (int, int, float, int)
        Number of the bin from 0, rows, sum of ``proba``, positives.

    Examples
    --------
    >>> quantile_bins(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.75, 1.0]), 2)
    [(0, 2, 0.375, 0), (1, 2, 1.75, 2)]
    """
    edges = np.percentile(proba, np.linspace(0, 100, n_bins + 1))
    index = np.searchsorted(edges[1:-1], proba)
    n_rows = np.bincount(index, minlength=n_bins)
    summed = np.bincount(index, weights=proba, minlength=n_bins)
    positives = np.bincount(index, weights=y, minlength=n_bins)
    return [(i, int(n_rows[i]), float(summed[i]), int(positives[i])) for i in range(n_bins) if n_rows[i]]


def calibration_error(y: np.ndarray, proba: np.ndarray, n_bins: int = N_BINS) -> float:
    """Expected calibration error over bins of equal mass: ``sum_b |positives_b - summed_b| / n``.

    0 is perfect, 1 the worst; biased upwards in small samples (Naeini et al. 2015, Nguyen and O'Connor 2015).

    Examples
    --------
    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), 2)
    0.25
    """
    bins = quantile_bins(y, proba, n_bins)
    return float(sum(abs(positives - summed) for _, _, summed, positives in bins) / len(y))


def recalibration(y: np.ndarray, proba: np.ndarray) -> tuple[float | None, float | None]:
    """Slope and intercept of the recalibration ``logit P(y = 1) = intercept + slope logit proba``.

    Both at once by maximum likelihood (Cox 1958). A slope below 1 means that probabilities are too extreme, above 1
    that they are not extreme enough; with a slope of 1 an intercept below 0 means that they are too high.
    Probabilities of 0 and 1 are moved inside by 1e-8.

    Parameters
    ----------
    y, proba : ndarray of shape (n_rows,)
        Labels and predicted probabilities.

    Returns
    -------
    slope, intercept : float or None
        None without a maximum: one class only, one probability only, or classes that a threshold separates.

    Examples
    --------
    >>> slope, intercept = recalibration(np.array([0, 0, 0, 1, 0, 0, 1, 1]), np.repeat([0.25, 0.75], 4))
    >>> round(slope, 6), round(intercept, 6)
    (0.5, -0.549306)
    """
    x = logit(np.clip(proba, LOGIT_MARGIN, 1 - LOGIT_MARGIN))
    high, low = x[y == 1], x[y == 0]
    if not len(high) or not len(low) or x.min() == x.max() or high.min() >= low.max() or low.min() >= high.max():
        return None, None
    centre, width = float(x.mean()), float(x.std())
    slope, level = fit_logistic((x - centre) / width, y)
    return float(slope / width), float(level - slope / width * centre)
