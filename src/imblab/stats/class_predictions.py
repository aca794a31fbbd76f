"""Several classes: ranking measures, scoring rules, prior correction, calibration maps; weights by class counts.

``y`` holds classes 0 .. n_classes - 1, of shape (n_rows,); ``proba`` and ``values`` have one column per class. Rows of
``proba`` need not sum to exactly 1; nothing is renormalised unless this is said. A ranking measure takes each class
against the rest: the indicator of the class with its own column. Undefined values are NaN.

References
----------
Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1-3: the sum over
classes.
Provost and Domingos (2003), Tree induction for probability-based ranking, Machine Learning 52, 199-215: one ROC curve
per class, each against the rest.
Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD, 694-699:
one map per class, normalised.
Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities, Neural
Computation 14, 21-41.
King and Zeng (2001), Logistic regression in rare events data, Political Analysis 9, 137-163: balanced weights.
Mahajan et al. (2018), Exploring the limits of weakly supervised pretraining, ECCV: square roots of inverse counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from imblab.stats.probabilities import CalibrationMap

#: Lowest and highest value with more than two classes of the measures that have others then, by their functions.
CLASS_RANGES: dict[str, tuple[float, float]] = {
    "imblab.core.measures.brier": (0, 2),
    "imblab.core.measures.accuracy_baseline": (0, 1),
}


def scores_per_class(y: np.ndarray, values: np.ndarray, function: Callable[..., Any]) -> np.ndarray:
    """Compute a measure of two classes for each class against the rest.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        True classes.
    values : ndarray of shape (n_rows, n_classes)
        Predicted probabilities or decision values.
    function : callable
        ``f(y, values)`` with labels 0 and 1, such as :func:`imblab.stats.curves.average_precision`.

    Returns
    -------
    ndarray of shape (n_classes,), float64

    Examples
    --------
    >>> from imblab.stats.curves import roc_auc
    >>> scores_per_class(np.array([0, 1, 2]), np.array([[0.6, 0.2, 0.2], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]]), roc_auc)
    array([1. , 0.5, 0.5])
    """
    return np.array([function((y == c).astype(np.int64), values[:, c]) for c in range(values.shape[1])], dtype=float)


def macro_of_columns(y: np.ndarray, values: np.ndarray, function: Callable[..., Any]) -> float:
    """Mean over classes of a measure of two classes; NaN if it is for one class; see :func:`scores_per_class`."""
    return float(np.mean(scores_per_class(y, values, function)))


def class_brier(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean over rows of the squared differences of probability and outcome, summed over classes; lower is better.

    In [0, 2] for probabilities that sum to 1. With two classes it is twice :func:`imblab.stats.probabilities.brier`.

    Examples
    --------
    >>> class_brier(np.array([0, 1]), np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))
    0.25
    """
    return float(np.mean(brier_losses(y, proba)))


def brier_losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Squared differences of probability and outcome, summed over classes, of shape (n_rows,)."""
    return np.asarray(np.sum((proba - np.eye(proba.shape[1])[y]) ** 2, axis=1))


def class_log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, clipped by the machine epsilon as in scikit-learn.

    Examples
    --------
    >>> round(class_log_loss(np.array([0, 1]), np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])), 6)
    0.346574
    """
    return float(np.mean(_log_losses(y, proba)))


def _log_losses(y: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of the true class, clipped by the machine epsilon, of shape (n_rows,)."""
    eps = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(proba[np.arange(len(y)), y], eps, 1 - eps)))


def received_class_shares(counts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The shares of the classes among the rows that a learner received, weights included.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Numbers of rows after sampling.
    weights : ndarray of shape (n_classes,) or None, default=None
        See :func:`power_weights`.

    Returns
    -------
    ndarray of shape (n_classes,), float64
        They sum to 1.

    Examples
    --------
    >>> received_class_shares(np.array([6, 3, 1])), received_class_shares(np.array([6, 2]), np.array([1.0, 3.0]))
    (array([0.6, 0.3, 0.1]), array([0.5, 0.5]))
    """
    weighted = np.asarray(counts, dtype=np.float64) * (1.0 if weights is None else weights)
    return np.asarray(weighted / weighted.sum())


def correct_class_priors(proba: np.ndarray, shares: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Correct probabilities for the class shares of the data, where the learner was fitted with other ones.

    ``p_c = a_c q_c / sum_k a_k q_k`` with ``a_c = shares_c / received_c`` (Saerens et al. 2002, equation 4). Two
    classes have the values of :func:`imblab.stats.probabilities.correct_prior`, but for rounding.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Probabilities q of the learner, in [0, 1].
    shares : ndarray of shape (n_classes,)
        Shares of the classes among the rows before sampling and weighting, in (0, 1).
    received : ndarray of shape (n_classes,)
        Shares that the learner received, in (0, 1); see :func:`received_class_shares`.

    Returns
    -------
    ndarray of shape (n_rows, n_classes), float64
        Rows sum to 1; unchanged to the last bit where nothing was shifted.

    Examples
    --------
    >>> shares, received = np.array([0.9, 0.09, 0.01]), np.full(3, 1 / 3)
    >>> correct_class_priors(np.full((1, 3), 1 / 3), shares, received).round(12)
    array([[0.9 , 0.09, 0.01]])
    """
    if np.array_equal(shares, received):
        return proba
    return _normalise_rows(proba * (np.asarray(shares, dtype=np.float64) / received))


def _normalise_rows(values: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; a row that sums to 0 becomes ``1 / n_classes`` everywhere."""
    totals = values.sum(axis=1, keepdims=True)
    uniform = np.full(values.shape, 1 / values.shape[1])
    return np.asarray(np.divide(values, totals, out=uniform, where=totals != 0))


def fit_one_against_rest(
    fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]], scores: np.ndarray, y: np.ndarray
) -> CalibrationMap:
    """Fit one calibration map per class, each class against the rest; their probabilities are normalised.

    Parameters
    ----------
    fit : callable
        ``fit(scores, y)`` for two classes, such as :func:`imblab.stats.probabilities.fit_sigmoid`.
    scores : ndarray of shape (n_rows, n_classes)
        What each map reads: a column per class.
    y : ndarray of shape (n_rows,)
        True classes.

    Returns
    -------
    CalibrationMap
        From scores to probabilities, both of shape (n_rows, n_classes); see :func:`_normalise_rows`.

    Examples
    --------
    >>> from imblab.stats.probabilities import fit_isotonic
    >>> scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    >>> fit_one_against_rest(fit_isotonic, scores, np.array([0, 1, 2]))(np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.1]]))
    array([[1.        , 0.        , 0.        ],
           [0.33333333, 0.33333333, 0.33333333]])
    """
    maps = tuple(fit(scores[:, c], (y == c).astype(np.int64)) for c in range(scores.shape[1]))
    return partial(_map_columns, maps=maps)


def _map_columns(scores: np.ndarray, *, maps: Sequence[Callable[[np.ndarray], np.ndarray]]) -> np.ndarray:
    return _normalise_rows(np.column_stack([learned(scores[:, c]) for c, learned in enumerate(maps)]))


def power_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Return the weight of a row of every class: its count to the power ``-power``, with mean 1 over all rows.

    ``w_c = n n_c^-a / sum_d n_d^(1 - a)`` for n rows, n_c of them in class c, and the power a. With a = 0 every row
    weighs 1, with a = 1 every class has the same total (scikit-learn's ``balanced``), a = .5 lies between, and beyond 1
    rare classes outweigh frequent ones.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,)
        Rows of each class, at least 1.
    power : float
        At least 0. Where it is so large that a weight is smaller than the smallest float, that weight is 0.

    Returns
    -------
    ndarray of shape (n_classes,), float64
        In the order of the counts.

    Examples
    --------
    >>> power_weights(np.array([90, 10]), 1.0).tolist()
    [0.5555555555555556, 5.0]
    >>> power_weights(np.array([90, 10]), 0.5).round(3).tolist()
    [0.833, 2.5]
    """
    rows = np.asarray(counts, dtype=np.float64)
    # Relative to the rarest class no weight overflows, however large the power.
    relative = (rows.min() / rows) ** power
    return np.asarray(relative * (rows.sum() / (rows @ relative)))


def relative_weight(negatives: float, positives: float, power: float) -> float:
    """Return the weight of a positive relative to a negative row; see :func:`power_weights`.

    Examples
    --------
    >>> relative_weight(90, 10, 0.5), relative_weight(90, 10, 1)
    (3.0, 9.0)
    """
    return float((negatives / positives) ** power)
