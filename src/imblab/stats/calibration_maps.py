"""Maps from the scores of a classifier to probabilities: prior correction, sigmoid, isotonic.

A map is a function of an array of scores; its keywords hold what was learned.

References
----------
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
    slope, level = fit_logistic((scores - centre) / width, target)
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


def fit_logistic(x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Fit the logistic curve ``1 / (1 + exp(-(slope x + level)))`` with the least cross-entropy to targets.

    Damped Newton steps. There is a minimum if the targets lie in (0, 1), or if they are labels of two classes that no
    threshold separates.

    Parameters
    ----------
    x : ndarray of shape (n_rows,)
        Standardised. If it is constant the slope is 0.
    target : ndarray of shape (n_rows,)
        In [0, 1], with a mean in (0, 1).

    Returns
    -------
    slope, level : float
        Parameters of the curve.
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
