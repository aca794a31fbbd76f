"""Confusion matrices of several classes, the measures that are functions of them, and costs of wrong calls.

Matrices have shape (..., n_classes, n_classes): the true class is the row and the decided class the column, as in
scikit-learn. Every measure gives float64 of the leading shape, so that all thresholds are scored in one call. Undefined
values are NaN, never 0; the two exceptions are :func:`class_mcc` and :func:`macro_precision`. A macro measure is the
mean over all classes, NaN if it is undefined for one of them, never a mean over the rest.

A measure of two classes, ``f(tn, fp, fn, tp)``, holds for each class against the rest: ``f(*class_counts(matrices))``.
Macro recall and balanced accuracy of several classes are one number.

References
----------
Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient, Computational Biology and
Chemistry 28, 367-374: R_K.
Jurman, Riccadonna and Furlanello (2012), A comparison of MCC and CEN error measures in multi-class prediction, PLoS ONE
7, e41882.
Sokolova and Lapalme (2009), A systematic analysis of performance measures for classification tasks, Information
Processing and Management 45, 427-437: macro measures.
Opitz and Burst (2019), Macro F1 and macro F1, arXiv:1911.03347: the mean of F over classes is the one to report.
Sun, Kamel and Wang (2006), Boosting for learning multiple classes with imbalanced class distribution, ICDM, 592-602:
geometric mean of recalls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from imblab.stats.counts import ConfusionCounts, precision, ratio, recall

#: Costs in rows by true class, each with one number per decided class.
ClassCosts = Sequence[Sequence[float]]


def confusion_matrices(y: np.ndarray, decided: np.ndarray, n_classes: int) -> np.ndarray:
    """Count the rows of every true and decided class.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        True classes, 0 .. n_classes - 1.
    decided : ndarray of shape (..., n_rows)
        Decided classes: one row of them per matrix.
    n_classes : int
        Number of classes, those without a row included.

    Returns
    -------
    ndarray of shape (..., n_classes, n_classes), int64

    Examples
    --------
    >>> confusion_matrices(np.array([0, 1, 2]), np.array([[0, 1, 1], [2, 2, 2]]), 3).tolist()
    [[[1, 0, 0], [0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1], [0, 0, 1]]]
    """
    decided = np.asarray(decided)
    lead, size = decided.shape[:-1], n_classes * n_classes
    cells = np.asarray(y, dtype=np.int64) * n_classes + decided
    n_matrices = int(np.prod(lead, dtype=np.int64))
    offsets = size * np.arange(n_matrices).reshape(*lead, 1)
    counted = np.bincount((cells + offsets).ravel(), minlength=n_matrices * size)
    return np.asarray(counted.reshape(*lead, n_classes, n_classes))


def class_counts(matrices: np.ndarray) -> ConfusionCounts:
    """Confusion counts of each class against the rest.

    Parameters
    ----------
    matrices : ndarray of shape (..., n_classes, n_classes)
        Confusion matrices.

    Returns
    -------
    ConfusionCounts
        Arrays of shape (..., n_classes).

    Examples
    --------
    >>> [c.tolist() for c in class_counts(np.array([[5, 1, 0], [0, 2, 1], [0, 0, 3]]))]
    [[6, 8, 8], [0, 1, 1], [1, 1, 0], [5, 2, 3]]
    """
    matrices = np.asarray(matrices)
    tp = np.diagonal(matrices, axis1=-2, axis2=-1)
    fn, fp = matrices.sum(axis=-1) - tp, matrices.sum(axis=-2) - tp
    return ConfusionCounts(matrices.sum(axis=(-2, -1))[..., None] - tp - fn - fp, fp, fn, tp)


def macro_of_counts(matrices: np.ndarray, function: Callable[..., Any]) -> np.ndarray:
    """Mean over classes of a measure of two classes, each class against the rest; NaN if it is for one class.

    Parameters
    ----------
    matrices : ndarray of shape (..., n_classes, n_classes)
        Confusion matrices.
    function : callable
        ``f(tn, fp, fn, tp)`` on arrays of one shape.

    Returns
    -------
    ndarray of the leading shape, float64

    Examples
    --------
    >>> macro_of_counts(np.array([[5, 0, 0], [1, 1, 0], [0, 1, 1]]), recall).round(4).item()
    0.6667
    """
    return np.asarray(np.mean(function(*class_counts(matrices)), axis=-1))


def class_mcc(matrices: np.ndarray) -> np.ndarray:
    """Gorodkin's R_K, the Matthews correlation of K classes, in [-1, 1]; 0 where it is undefined.

    ``(c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))`` with s rows, c of them decided correctly,
    t_k of the class k and p_k decided to be of it. It is undefined where all rows are of one class, or are decided to
    be. Two classes have the value of :func:`imblab.stats.counts.mcc`, to the last bit below 67 million rows.

    Parameters
    ----------
    matrices : ndarray of shape (..., n_classes, n_classes)
        Confusion matrices.

    Returns
    -------
    ndarray of the leading shape, float64

    Examples
    --------
    >>> class_mcc(np.array([[5, 0, 0], [0, 3, 0], [0, 0, 1]])).item(), class_mcc(np.array([[5, 0], [3, 0]])).item()
    (1.0, 0.0)
    """
    matrices = np.asarray(matrices)
    # Whole numbers, because the numerator is a small difference of large products.
    matrices = matrices.astype(np.int64 if np.issubdtype(matrices.dtype, np.integer) else np.float64)
    true, decided = matrices.sum(axis=-1), matrices.sum(axis=-2)
    total = true.sum(axis=-1, keepdims=True)
    correct = np.trace(matrices, axis1=-2, axis2=-1)
    covariance = correct * total[..., 0] - np.sum(true * decided, axis=-1)
    of_true, of_decided = (np.sum(part * (total - part), axis=-1) for part in (true, decided))
    # One root, because only sqrt(a * a) is exactly a; in floats, because the product of four counts overflows int64.
    correlation = ratio(covariance, np.sqrt(np.asarray(of_true, dtype=np.float64) * of_decided))
    return np.where(np.isnan(correlation), 0.0, correlation)


def macro_precision(matrices: np.ndarray) -> np.ndarray:
    """Mean precision of the classes; a class that is never decided counts 0, although its own precision is undefined.

    Parameters
    ----------
    matrices : ndarray of shape (..., n_classes, n_classes)
        Confusion matrices.

    Returns
    -------
    ndarray of the leading shape, float64
        In [0, 1].

    Examples
    --------
    >>> never = np.array([[4, 0], [1, 0]])
    >>> macro_precision(never).item(), precision(*class_counts(never)).tolist()
    (0.4, [0.8, nan])
    """
    values = precision(*class_counts(matrices))
    return np.asarray(np.mean(np.where(np.isnan(values), 0.0, values), axis=-1))


def macro_recall(matrices: np.ndarray) -> np.ndarray:
    """Mean recall of the classes: balanced accuracy; undefined where a class is absent."""
    return macro_of_counts(matrices, recall)


def class_recall_min(matrices: np.ndarray) -> np.ndarray:
    """Recall of the class with the lowest one; undefined where a class is absent.

    Examples
    --------
    >>> class_recall_min(np.array([[9, 1, 0], [1, 3, 0], [0, 1, 1]])).item()
    0.5
    """
    return np.asarray(np.min(recall(*class_counts(matrices)), axis=-1))


def recall_g_mean(matrices: np.ndarray) -> np.ndarray:
    """Geometric mean of the recalls of all classes; undefined where a class is absent."""
    recalls = recall(*class_counts(matrices))
    products = np.prod(recalls, axis=-1, keepdims=True)  # an array also for one matrix: numbers may round otherwise
    return np.asarray((products ** (1 / recalls.shape[-1]))[..., 0])


def class_accuracy(matrices: np.ndarray) -> np.ndarray:
    """Share of correct decisions; uninformative under imbalance, reported next to :func:`largest_class_share` only."""
    return ratio(np.trace(matrices, axis1=-2, axis2=-1), np.sum(matrices, axis=(-2, -1)))


def largest_class_share(matrices: np.ndarray) -> np.ndarray:
    """Accuracy of always deciding for the most frequent class of these rows."""
    return ratio(np.max(np.sum(matrices, axis=-1), axis=-1), np.sum(matrices, axis=(-2, -1)))


def invalid_class_costs_reason(costs: object, n_classes: int | None = None) -> str | None:
    """Return why a value is not a cost matrix of several classes, or None.

    Parameters
    ----------
    costs : object
        The value to check.
    n_classes : int or None, default=None
        Number of classes; None where it is not known yet.

    Examples
    --------
    >>> invalid_class_costs_reason([[0, 1], [5, 0]]) is None
    True
    >>> invalid_class_costs_reason([[0, 1], [5, 0]], 3)
    'a cost matrix of 3 classes is a list of 3 rows by true class, of 3 costs each by decided class'
    """
    rows = costs.tolist() if isinstance(costs, np.ndarray) else costs
    size = n_classes or (len(rows) if isinstance(rows, (list, tuple)) else 0)
    if size < 2 or not all(isinstance(part, (list, tuple)) and len(part) == size for part in (rows, *_listed(rows))):
        count = f"{n_classes}" if n_classes else "n"
        return (
            f"a cost matrix of {count} classes is a list of {count} rows by true class, of {count} costs each by "
            "decided class"
        )
    numbers = [cost for row in _listed(rows) for cost in row]
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) and isfinite(c) for c in numbers):
        return "a cost must be a finite number"
    table = np.array(rows, dtype=np.float64)
    extra = table - np.diagonal(table)[:, None]
    if extra.min() < 0 or extra.max() == 0:
        return "a wrong decision must cost at least as much as the correct one of the same row, and one of them more"
    return None


def _listed(rows: object) -> list[Any]:
    return list(rows) if isinstance(rows, (list, tuple)) else []


def _total_class_cost(matrices: np.ndarray, costs: ClassCosts) -> np.ndarray:
    """The summed cost of confusion matrices; ``costs[i][j]`` is the cost of deciding for class j where i is true."""
    return np.asarray(np.sum(matrices * np.asarray(costs, dtype=np.float64), axis=(-2, -1)))


def expected_class_cost(matrices: np.ndarray, costs: ClassCosts) -> np.ndarray:
    """Mean cost per row; lower is better; NaN without rows.

    Parameters
    ----------
    matrices : ndarray of shape (..., n_classes, n_classes)
        Confusion matrices.
    costs : sequence of n_classes rows of n_classes numbers
        ``costs[i][j]`` is the cost of deciding for class j where i is true.

    Returns
    -------
    ndarray of the leading shape, float64

    Raises
    ------
    ValueError
        If ``costs`` is not a cost matrix of so many classes.

    Examples
    --------
    >>> expected_class_cost(np.array([[90, 3], [2, 5]]), [[0, 1], [10, 0]]).item()
    0.23
    """
    if reason := invalid_class_costs_reason(costs, np.shape(matrices)[-1]):
        raise ValueError(f"costs is {costs!r}; {reason}")
    return ratio(_total_class_cost(matrices, costs), np.sum(matrices, axis=(-2, -1)))
