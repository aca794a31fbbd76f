"""Whether predicted risks are right: calibration statistics of one set of predictions.

``y`` holds 0 and 1, ``p`` finite values in [0, 1], both of shape (n_rows,). Undefined is None, never 0. Whoever calls
pools the outer test rows of one repeat first: a single fold holds too few positives (Van Calster et al. 2019, *BMC
Medicine* 17:230).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

#: What :func:`statistics` gives, in this order.
NAMES = (
    *("brier", "brier_skill", "log_loss", "ece", "slope", "intercept"),
    *("observed_expected", "mean_risk_ratio"),
)
#: Rows of the rarer class below which a calibration curve says nothing (Collins et al. 2016, *Statistics in Medicine*
#: 35, 214-226: 100 events and 100 non-events).
FEWEST = 100
BINS = 10
#: A predicted 0 or 1 has no logit: it is moved this far inside, as the R package CalibrationCurves does.
INSIDE = 1e-8


def statistics(y: np.ndarray, p: np.ndarray, prevalence: float | np.ndarray) -> dict[str, float | None]:
    """Every calibration statistic of one set of predictions.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
    p : ndarray of shape (n_rows,)
    prevalence : float or ndarray of shape (n_rows,)
        Share of positives in the rows that were learned from: the forecast of whoever knows nothing else.

    Returns
    -------
    dict of str to float or None
        ``brier``, ``brier_skill``, ``log_loss``, ``ece``, ``slope``, ``intercept``, ``observed_expected``,
        ``mean_risk_ratio``. With fewer than 100 rows of either class ``ece``, ``slope`` and ``intercept`` are None.

    Examples
    --------
    >>> found = statistics(np.array([0, 0, 0, 1]), np.array([0.25, 0.25, 0.25, 0.25]), 0.25)
    >>> found["brier"], found["brier_skill"], found["observed_expected"], found["slope"]
    (0.1875, 0.0, 1.0, None)
    """
    slope, intercept = recalibration(y, p) if _enough(y) else (None, None)
    return {
        "brier": brier(y, p),
        "brier_skill": brier_skill(y, p, prevalence),
        "log_loss": log_loss(y, p),
        "ece": calibration_error(y, p) if _enough(y) else None,
        "slope": slope,
        "intercept": intercept,
        "observed_expected": _over(float(np.sum(y)), float(np.sum(p))),
        "mean_risk_ratio": _over(float(np.sum(p)), float(np.sum(y))),
    }


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared distance of probability and outcome (Brier 1950); lower is better."""
    return float(np.mean((p - y) ** 2))


def brier_skill(y: np.ndarray, p: np.ndarray, prevalence: float | np.ndarray) -> float | None:
    """Share of the reference forecast's Brier score that is gained: ``1 - brier / brier_reference``.

    1 is perfect, 0 no better than always saying the training prevalence, negative worse (Murphy 1973, *Journal of
    Applied Meteorology* 12, 595-600). None where the reference is perfect.

    Examples
    --------
    >>> brier_skill(np.array([0, 1]), np.array([0.0, 1.0]), 0.5)
    1.0
    """
    gained = _over(brier(y, p), brier(y, np.broadcast_to(prevalence, y.shape)))
    return None if gained is None else 1 - gained


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log-likelihood, clipped by the machine epsilon as scikit-learn's ``log_loss`` (Good 1952).

    Examples
    --------
    >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)
    0.693147
    """
    eps = np.finfo(np.float64).eps
    q = np.clip(p, eps, 1 - eps)
    return float(-np.mean(np.log(np.where(y == 1, q, 1 - q))))


def bins(y: np.ndarray, p: np.ndarray, number: int = BINS) -> list[tuple[int, int, float, int]]:
    """Rows, summed risk and positives by quantile bins of the predicted risk.

    The edges are the percentiles of ``p``, as in scikit-learn's ``calibration_curve(strategy="quantile")``: rows that
    tie share a bin, which the order of the rows does not change. Empty bins are left out.

    Parameters
    ----------
    y, p : ndarray of shape (n_rows,)
    number : int, default=10

    Returns
    -------
    list of (int, int, float, int)
        Number of the bin from 0, rows, sum of ``p``, positives.

    Examples
    --------
    >>> bins(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.75, 1.0]), 2)
    [(0, 2, 0.375, 0), (1, 2, 1.75, 2)]
    """
    edges = np.percentile(p, np.linspace(0, 100, number + 1))
    where = np.searchsorted(edges[1:-1], p)
    rows = np.bincount(where, minlength=number)
    risk = np.bincount(where, weights=p, minlength=number)
    positives = np.bincount(where, weights=y, minlength=number)
    return [(i, int(rows[i]), float(risk[i]), int(positives[i])) for i in range(number) if rows[i]]


def calibration_error(y: np.ndarray, p: np.ndarray, number: int = BINS) -> float:
    """Expected calibration error over bins of equal mass: ``sum n_b / n |positives_b - risk_b| / n_b``.

    Naeini, Cooper and Hauskrecht (2015), AAAI, 2901-2907; equal mass as Nguyen and O'Connor (2015), EMNLP, 1587-1598.
    0 is perfect, 1 the worst; biased upwards in small samples.

    Examples
    --------
    >>> calibration_error(np.array([0, 0, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), 2)
    0.25
    """
    return float(sum(abs(positives - risk) for _, _, risk, positives in bins(y, p, number)) / len(y))


def recalibration(y: np.ndarray, p: np.ndarray) -> tuple[float | None, float | None]:
    """Slope and intercept of the logistic recalibration ``logit P(y = 1) = intercept + slope logit p``.

    By maximum likelihood, both at once (Cox 1958, *Biometrika* 45, 562-565). A slope below 1 says that risks are too
    extreme, above 1 that they are not extreme enough; with a slope of 1 an intercept below 0 says that they are too
    high. Risks of 0 and 1 are moved inside by 1e-8.

    Parameters
    ----------
    y, p : ndarray of shape (n_rows,)

    Returns
    -------
    tuple of (float or None, float or None)
        None where there is no maximum: one class only, one risk only, or classes that the risk separates.

    Examples
    --------
    >>> slope, intercept = recalibration(np.array([0, 0, 0, 1, 0, 0, 1, 1]), np.repeat([0.25, 0.75], 4))
    >>> round(slope, 6), round(intercept, 6)
    (0.5, -0.549306)
    """
    x = logit(np.clip(p, INSIDE, 1 - INSIDE))
    if _separated(y, x):
        return None, None
    center, scale = float(x.mean()), float(x.std())
    X = np.column_stack([np.ones(len(x)), (x - center) / scale])
    found = _maximum(X, y)
    if found is None:
        return None, None
    slope = found[1] / scale
    return float(slope), float(found[0] - slope * center)


def _maximum(X: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Newton's method on the log-likelihood, halving steps that do not climb; None where it does not settle."""
    beta = np.zeros(X.shape[1])
    best = _likelihood(X, y, beta)
    for _ in range(100):
        q = expit(X @ beta)
        information = X.T @ (X * (q * (1 - q))[:, None])
        step = np.linalg.lstsq(information, X.T @ (y - q), rcond=None)[0]
        while _likelihood(X, y, beta + step) < best and np.abs(step).max() > 1e-14:
            step = step / 2
        beta = beta + step
        best = _likelihood(X, y, beta)
        if np.abs(step).max() <= 1e-12:
            return np.asarray(beta)
    return None


def _likelihood(X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
    eta = X @ beta
    return float(np.sum(y * eta - np.logaddexp(0, eta)))


def _separated(y: np.ndarray, x: np.ndarray) -> bool:
    """Whether the likelihood has no maximum: a class is absent, or some cut of ``x`` calls no row wrong."""
    high, low = x[y == 1], x[y == 0]
    if not len(high) or not len(low) or x.min() == x.max():
        return True
    return bool(high.min() >= low.max() or low.min() >= high.max())


def _enough(y: np.ndarray) -> bool:
    positives = int(np.sum(y))
    return min(positives, len(y) - positives) >= FEWEST


def _over(above: float, below: float) -> float | None:
    return above / below if below else None
