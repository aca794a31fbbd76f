"""Maps from the scores of a classifier to probabilities: prior correction, sigmoid, isotonic.

References
----------
Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers, 61-74.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978.
Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD, 694-699.
Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 21-41.
Dal Pozzolo, Caelen, Johnson and Bontempi (2015), Calibrating probability with undersampling for unbalanced
classification, IEEE SSCI, 159-166.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

#: A learned way from scores to probabilities; its keywords are what was learned.
Map = partial[np.ndarray]

_STEPS = 100
_STILL = 1e-13


def corrected(q: np.ndarray, share: float, received: float) -> np.ndarray:
    """Probabilities for the positive share of the data, from those of a learner that received another one.

    ``p = a q / (a q + b (1 - q))`` with ``a = share / received`` and ``b = (1 - share) / (1 - received)`` (Elkan 2001,
    theorem 2; Saerens et al. 2002, equation 4). Never reverses two rows.

    Parameters
    ----------
    q : ndarray
        In [0, 1].
    share, received : float
        Positive share of the fit part, and the weighted one that the learner received; both in (0, 1).

    Returns
    -------
    ndarray

    Examples
    --------
    >>> corrected(np.array([0.0, 0.5, 1.0]), 0.01, 0.5)
    array([0.  , 0.01, 1.  ])
    """
    if share == received:  # nothing to undo, not even the last bit
        return q
    odds = (1 - share) * received / (share * (1 - received))
    # Through the odds against, every step is monotone in floats too, which the quotient above is not.
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(1 / (1 + odds * ((1 - q) / q)))


def received_share(reached: Mapping[str, Any], weight: float | str | None) -> float:
    """The weighted positive share of the rows that a learner received.

    Parameters
    ----------
    reached : mapping
        ``negative`` and ``positive`` rows.
    weight : float, "balanced" or None
        Of a positive relative to a negative row.

    Returns
    -------
    float

    Examples
    --------
    >>> received_share({"negative": 90, "positive": 10}, 9.0)
    0.5
    """
    if weight == "balanced":  # scikit-learn's formula gives both classes the same total
        return 0.5
    positive = reached["positive"] * float(1 if weight is None else weight)
    return float(positive / (positive + reached["negative"]))


def sigmoid(score: np.ndarray, y: np.ndarray) -> Map:
    """Learn ``p = 1 / (1 + exp(-(a score + b)))`` by maximum likelihood on Platt's softened targets.

    The targets ``(n_1 + 1) / (n_1 + 2)`` of positives and ``1 / (n_0 + 2)`` of negatives keep a finite solution where
    the classes are separated (Platt 1999). Newton steps to the optimum, as Lin, Lin and Weng (2007), Machine Learning
    68, 267-276, where scikit-learn stops at a gradient of 1e-6.

    Parameters
    ----------
    score : ndarray of shape (n_rows,)
        Finite. A constant score gives the mean target.
    y : ndarray of shape (n_rows,)

    Returns
    -------
    callable

    Examples
    --------
    >>> sigmoid(np.array([-1.0, 1.0]), np.array([0, 1]))(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
    [0.333, 0.5, 0.667]
    """
    positives = int(np.sum(y))
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    centre, width = _moments(score)
    slope, level = _likeliest((score - centre) / width, target)
    return partial(_logistic, slope=float(slope), level=float(level), centre=centre, width=width)


def _moments(score: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation; 1 in place of 0. Squares that leave the range of floats are taken of shares."""
    with np.errstate(over="ignore", invalid="ignore"):
        centre, width = float(np.mean(score)), float(np.std(score))
    if not np.isfinite(width) or (width == 0 and score.min() < score.max()):
        largest = float(np.max(np.abs(score)))
        shares = score / largest
        centre, width = largest * float(np.mean(shares)), largest * float(np.std(shares))
    return centre, width or 1.0


def _logistic(s: np.ndarray, *, slope: float, level: float, centre: float, width: float) -> np.ndarray:
    return np.asarray(expit(slope * ((s - centre) / width) + level))


def _likeliest(x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Slope and level of the logistic curve with the least cross-entropy to targets in (0, 1)."""
    design = np.column_stack([x, np.ones_like(x)])

    def loss(theta: np.ndarray) -> float:
        z = design @ theta
        return float(np.sum(np.logaddexp(0, z) - target * z))

    theta = np.array([0.0, logit(np.mean(target))])
    for _ in range(_STEPS):
        p = expit(design @ theta)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        # Least squares, since a constant score leaves the slope open: it stays 0.
        step = np.linalg.lstsq(hessian, design.T @ (p - target), rcond=None)[0]
        before = loss(theta)
        while loss(theta - step) > before * (1 + _STILL) and np.max(np.abs(step)) > _STILL:
            step = step / 2
        theta = theta - step
        if np.max(np.abs(step)) <= _STILL * max(1.0, np.max(np.abs(theta))):
            break
    return theta


def isotonic(score: np.ndarray, y: np.ndarray) -> Map:
    """Learn the rising step function of least squares, linear between its steps (Zadrozny and Elkan 2002).

    scikit-learn's ``IsotonicRegression``; scores beyond those seen get the value at the nearest end. Rows may tie.

    Examples
    --------
    >>> isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))(np.array([0.0, 0.25, 0.9])).tolist()
    [0.0, 0.5, 1.0]
    """
    learned = IsotonicRegression(out_of_bounds="clip").fit(score, y)
    return partial(_rising, learned=learned)


def _rising(s: np.ndarray, *, learned: IsotonicRegression) -> np.ndarray:
    return np.asarray(learned.predict(s), dtype=np.float64)
