"""Predicted probabilities: maps from scores to them, scoring rules and calibration statistics.

A map is a function of an array of scores; its keywords hold what was learned.

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
Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 61-74.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978.
Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD, 694-699.
Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 21-41.
Lin, Lin and Weng (2007), A note on Platt's probabilistic outputs for support vector machines, Machine Learning 68,
267-276.
Dal Pozzolo, Caelen, Johnson and Bontempi (2015), Calibrating probability with undersampling for unbalanced
classification, IEEE SSCI, 159-166.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

CalibrationMap = partial[np.ndarray]

MAX_NEWTON_STEPS = 100
#: Steps and improvements below this, relative to the parameters and the loss, end the fit of a logistic curve.
NEWTON_TOLERANCE = 1e-13


def correct_prior(proba: np.ndarray, share: float, received: float) -> np.ndarray:
    """Correct probabilities for the positive share of the data, where the learner was fitted with another one.

    ``p = a q / (a q + b (1 - q))`` with ``a = share / received`` and ``b = (1 - share) / (1 - received)`` (Elkan 2001,
    theorem 2; Saerens et al. 2002, equation 4). The order of rows is kept.

    Parameters
    ----------
    proba : ndarray
        Probabilities q of the learner, in [0, 1].
    share : float
        Positive share of the rows before sampling and weighting, in (0, 1).
    received : float
        Positive share that the learner received, in (0, 1); see :func:`received_share`.

    Returns
    -------
    ndarray
        Probabilities p, in the shape of ``proba``.

    Examples
    --------
    >>> correct_prior(np.array([0.0, 0.5, 1.0]), 0.01, 0.5)
    array([0.  , 0.01, 1.  ])
    """
    if share == received:  # unchanged to the last bit
        return proba
    odds = (1 - share) * received / (share * (1 - received))
    # Through the odds against, every step is monotone in floats too, which the quotient above is not.
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / (1 + odds * ((1 - proba) / proba)))


def received_share(negatives: float, positives: float, weight: float | str | None = None) -> float:
    """The positive share of the rows that a learner received, weights included.

    Parameters
    ----------
    negatives, positives : float
        Numbers of rows after sampling.
    weight : float, "balanced" or None
        Weight of a positive relative to a negative row; ``balanced`` gives both classes the same total.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> received_share(90, 10, 9.0), received_share(90, 10, "balanced")
    (0.5, 0.5)
    """
    if weight == "balanced":
        return 0.5
    weighted = positives * float(1 if weight is None else weight)
    return float(weighted / (weighted + negatives))


def fit_sigmoid(scores: np.ndarray, y: np.ndarray) -> CalibrationMap:
    """Fit ``p = 1 / (1 + exp(-(a score + b)))`` by maximum likelihood on Platt's softened targets.

    The targets ``(n_1 + 1) / (n_1 + 2)`` of positives and ``1 / (n_0 + 2)`` of negatives keep the solution finite where
    a threshold separates the classes (Platt 1999). Newton steps to the optimum (Lin, Lin and Weng 2007), where
    scikit-learn stops at a gradient of 1e-6.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Finite. A constant score gives the mean target.
    y : ndarray of shape (n_rows,)
        Labels, 1 for the positive class.

    Returns
    -------
    CalibrationMap
        From scores to probabilities.

    Examples
    --------
    >>> fit_sigmoid(np.array([-1.0, 1.0]), np.array([0, 1]))(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
    [0.333, 0.5, 0.667]
    """
    positives = int(np.sum(y))
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    centre, width = _mean_and_deviation(scores)
    slope, level = _fit_logistic((scores - centre) / width, target)
    return partial(_logistic, slope=float(slope), level=float(level), centre=centre, width=width)


def _mean_and_deviation(scores: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, 1 in place of 0; computed on shares of the largest score where squares overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        centre, width = float(np.mean(scores)), float(np.std(scores))
    if not np.isfinite(width) or (width == 0 and scores.min() < scores.max()):
        largest = float(np.max(np.abs(scores)))
        shares = scores / largest
        centre, width = largest * float(np.mean(shares)), largest * float(np.std(shares))
    return centre, width or 1.0


def _logistic(scores: np.ndarray, *, slope: float, level: float, centre: float, width: float) -> np.ndarray:
    return np.asarray(expit(slope * ((scores - centre) / width) + level))


def _fit_logistic(x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Fit the logistic curve ``1 / (1 + exp(-(slope x + level)))`` with the least cross-entropy to targets.

    Damped Newton steps, on standardised ``x``; if it is constant the slope is 0. Targets lie in [0, 1], their mean in
    (0, 1). There is a minimum if all lie in (0, 1), or if they are labels of two classes that no threshold separates.
    """
    design = np.column_stack([x, np.ones_like(x)])

    def loss(theta: np.ndarray) -> float:
        z = design @ theta
        return float(np.sum(np.logaddexp(0, z) - target * z))

    theta = np.array([0.0, logit(np.mean(target))])
    for _ in range(MAX_NEWTON_STEPS):
        p = expit(design @ theta)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        # Least squares, since a constant score leaves the slope open: it stays 0.
        step = np.linalg.lstsq(hessian, design.T @ (p - target), rcond=None)[0]
        before = loss(theta)
        while loss(theta - step) > before * (1 + NEWTON_TOLERANCE) and np.max(np.abs(step)) > NEWTON_TOLERANCE:
            step = step / 2
        theta = theta - step
        if np.max(np.abs(step)) <= NEWTON_TOLERANCE * max(1.0, np.max(np.abs(theta))):
            break
    return theta[0], theta[1]


def fit_isotonic(scores: np.ndarray, y: np.ndarray) -> CalibrationMap:
    """Fit the rising step function of least squares, linear between its steps (Zadrozny and Elkan 2002).

    scikit-learn's ``IsotonicRegression``; scores outside the fitted range get the value at the nearest end.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,)
        Rows may tie.
    y : ndarray of shape (n_rows,)
        Labels, 1 for the positive class.

    Returns
    -------
    CalibrationMap
        From scores to probabilities.

    Examples
    --------
    >>> fit_isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))(np.array([0.0, 0.25, 0.9])).tolist()
    [0.0, 0.5, 1.0]
    """
    return partial(_isotonic, learned=IsotonicRegression(out_of_bounds="clip").fit(scores, y))


def _isotonic(scores: np.ndarray, *, learned: IsotonicRegression) -> np.ndarray:
    return np.asarray(learned.predict(scores), dtype=np.float64)


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
        By the names of :data:`STATISTICS`: ``slope`` and ``intercept`` are estimated together, ``observed_expected`` is
        calibration in the large, positives over summed probability. With fewer than 100 rows of either class
        ``ece``, ``slope`` and ``intercept`` are None.

    Examples
    --------
    >>> statistics = calibration_statistics(np.array([0, 0, 0, 1]), np.array([0.25, 0.25, 0.25, 0.25]), 0.25)
    >>> statistics["brier"], statistics["brier_skill"], statistics["observed_expected"], statistics["slope"]
    (0.1875, 0.0, 1.0, None)
    """
    positives, expected = float(np.sum(y)), float(np.sum(proba))
    is_informative = min(positives, len(y) - positives) >= MIN_CLASS_ROWS
    slope, intercept = _recalibration(y, proba) if is_informative else (None, None)
    values = (
        *(brier(y, proba), brier_skill(y, proba, prevalence), log_loss(y, proba)),
        *(_calibration_error(y, proba) if is_informative else None, slope, intercept),
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


def _calibration_error(y: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error over bins of equal mass: ``sum_b |positives_b - summed_b| / n``.

    0 is perfect, 1 the worst; biased upwards in small samples (Naeini et al. 2015, Nguyen and O'Connor 2015).
    """
    bins = quantile_bins(y, proba)
    return float(sum(abs(positives - summed) for _, _, summed, positives in bins) / len(y))


def _recalibration(y: np.ndarray, proba: np.ndarray) -> tuple[float | None, float | None]:
    """Slope and intercept of the recalibration ``logit P(y = 1) = intercept + slope logit proba``.

    Both at once by maximum likelihood (Cox 1958). A slope below 1 means that probabilities are too extreme, above 1
    that they are not extreme enough; with a slope of 1 an intercept below 0 means that they are too high. With another
    slope it is not calibration in the large, which compares the mean probability with the share of positives.
    Probabilities of 0 and 1 are moved inside by 1e-8. Both are None without a maximum: one class only, one probability
    only, or classes that a threshold separates.
    """
    x = logit(np.clip(proba, LOGIT_MARGIN, 1 - LOGIT_MARGIN))
    high, low = x[y == 1], x[y == 0]
    if not len(high) or not len(low) or x.min() == x.max() or high.min() >= low.max() or low.min() >= high.max():
        return None, None
    centre, width = float(x.mean()), float(x.std())
    slope, level = _fit_logistic((x - centre) / width, y)
    return float(slope / width), float(level - slope / width * centre)
