"""Decisions between several classes: one threshold per class, the thresholds of the best measure, least expected cost.

A row is decided to be of the class with the largest ``m_c p_c``, where ``m_c = (1 - t_c) / t_c`` and t_c in (0, 1) is
the threshold of class c; ties go to the rarer class, which has the higher number. Lowering the threshold of a class
gives it rows of all others. With .5 everywhere it is the class of the largest probability.

The best thresholds are searched by coordinate ascent: one class after the other is set to the best value of a grid, the
others kept, until a round improves nothing. This finds a local optimum, but for moves between ties in the last round;
the order of the classes is fixed, so that the result does not depend on the order of rows. A threshold moves a row
into its class at most once, so that one sorted search per row and one cumulative sum count all values of the grid.

References
----------
Lachiche and Flach (2003), Improving accuracy and cost of two-class and multi-class probabilistic classifiers using ROC
curves, ICML, 416-423: one weight per class, found class by class.
Bourke, Deng, Scott, Schapire and Vinodchandran (2008), On reoptimizing multi-class classifiers, Machine Learning 71,
219-242: finding the best weights for a cost matrix is NP-complete, so that a local search has to do.
O'Brien, Gupta and Gray (2008), Cost-sensitive multi-class classification from probability estimates, ICML, 712-719.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978: the decision of least expected cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblab.stats.confusion import ClassCosts, class_counts, confusion_matrices
from imblab.stats.counts import VALUE_TOLERANCE, LabelledValues, best_threshold_index

#: A measure of confusion matrices of shape (..., n_classes, n_classes), which gives their leading shape.
MatrixMeasure = Callable[[np.ndarray], np.ndarray]

MAX_ASCENT_ROUNDS = 10
START_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class ClassBound:
    """The smallest recall or precision of one class that is accepted."""

    #: ``f(tn, fp, fn, tp)``: :func:`imblab.stats.counts.recall` or :func:`imblab.stats.counts.precision`
    function: Callable[..., Any]
    class_index: int  # the class, which is taken against the rest
    value: float  # in (0, 1]

    def is_met(self, matrices: np.ndarray) -> np.ndarray:
        """Whether confusion matrices reach the value, of their leading shape; not where the function is undefined.

        Examples
        --------
        >>> from imblab.stats.counts import recall
        >>> ClassBound(recall, 1, 0.5).is_met(np.array([[[3, 0], [1, 1]], [[3, 0], [2, 0]]])).tolist()
        [True, False]
        """
        return np.asarray(self.function(*class_counts(matrices))[..., self.class_index] >= self.value)


@dataclass(frozen=True, slots=True)
class ClassThresholdChoice:
    """Thresholds of all classes and their value on the rows they were chosen on."""

    thresholds: tuple[float, ...]  # by class
    value: float  # the measure at these thresholds
    n_rounds: int  # of the search, the last one without an improvement included
    at_edge: tuple[int, ...] = ()  # classes whose threshold is the first or last value of the grid


def _class_multipliers(thresholds: Any) -> np.ndarray:
    """Factors ``(1 - t) / t`` of the probabilities, in the shape of the thresholds.

    ValueError if a threshold does not lie in (0, 1), or so near 0 that its factor is not a finite number.
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        factors = (1 - thresholds) / thresholds
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise ValueError(
            f"thresholds is {thresholds.tolist()!r}; a threshold of a class must lie in (0, 1). Use for example 0.5"
        )
    return np.asarray(factors)


def repeat_threshold(threshold: float, n_classes: int) -> tuple[float, ...]:
    """Thresholds of all classes from one number: all but the most frequent class have it, which keeps .5.

    Examples
    --------
    >>> repeat_threshold(0.2, 3)
    (0.5, 0.2, 0.2)
    """
    return (START_THRESHOLD, *(float(threshold),) * (n_classes - 1))


def decide_by_thresholds(values: np.ndarray, thresholds: Any) -> np.ndarray:
    """Decide each row for the class with the largest ``(1 - t_c) / t_c`` times its value; ties to the highest class.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_classes)
        Predicted probabilities, or logistic functions of decision values; at least 0.
    thresholds : array-like of shape (..., n_classes)
        In (0, 1).

    Returns
    -------
    ndarray of shape (..., n_rows), int64

    Examples
    --------
    >>> proba = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3]])
    >>> decide_by_thresholds(proba, [[0.5, 0.5, 0.5], [0.5, 0.4, 0.25]]).tolist()
    [[0, 0], [2, 2]]
    """
    return _last_argmax(values * _class_multipliers(thresholds)[..., None, :])


def decide_by_costs(proba: np.ndarray, costs: ClassCosts) -> np.ndarray:
    """Decide each row for the class j of least expected cost ``sum_i p_i costs[i][j]``; ties to the highest class.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
        Predicted probabilities.
    costs : sequence of n_classes rows of n_classes numbers
        ``costs[i][j]`` is the cost of deciding for class j where i is true.

    Returns
    -------
    ndarray of shape (n_rows,), int64

    Examples
    --------
    >>> decide_by_costs(np.array([[0.8, 0.1, 0.1], [0.95, 0.05, 0.0]]), [[0, 1, 1], [10, 0, 1], [10, 1, 0]]).tolist()
    [2, 0]
    """
    table = np.asarray(costs, dtype=np.float64)
    risks = np.zeros((len(proba), table.shape[1]))
    for true in range(len(table)):  # class by class: a matrix product may round a row by its place
        risks += proba[:, true, None] * table[true]
    return _last_argmax(-risks)


def _sweep_class_threshold(
    y: np.ndarray, values: np.ndarray, thresholds: Any, class_index: int, grid: np.ndarray
) -> np.ndarray:
    """Confusion matrices with the threshold of one class at every value of a grid, and the others as they are.

    Those of the decisions of :func:`decide_by_thresholds`, for the cost of one. Thresholds lie in (0, 1), that of the
    swept class is not read; the grid is ascending. The shape is (n_values, n_classes, n_classes).
    """
    n_classes, n_values = values.shape[1], len(grid)
    weighted = values * _class_multipliers(thresholds)
    weighted[:, class_index] = -1.0
    other = _last_argmax(weighted)
    n_won = _count_won(values[:, class_index], weighted[np.arange(len(y)), other], class_index > other, grid)
    cells = (n_won * n_classes + np.asarray(y, dtype=np.int64)) * n_classes + other
    counted = np.bincount(cells, minlength=(n_values + 1) * n_classes * n_classes)
    # A row that the class wins at its first values only is decided for the other class from there on.
    lost = np.cumsum(counted.reshape(n_values + 1, n_classes, n_classes), axis=0)
    matrices = lost[:n_values]
    matrices[:, :, class_index] = lost[n_values].sum(axis=1) - matrices.sum(axis=2)
    return matrices


def choose_class_thresholds(
    folds: Sequence[LabelledValues],
    grid: Sequence[float],
    measure: MatrixMeasure,
    greater_is_better: bool = True,
    bound: ClassBound | None = None,
) -> ClassThresholdChoice | None:
    """Choose a threshold for every class by coordinate ascent on confusion matrices summed over folds.

    From .5 everywhere, the classes 0 .. n_classes - 1 in this order are set to the best value of the grid, until a
    round improves the measure by no more than 1e-12, ten rounds at most. Class 0 is set too, so that all others can
    move together. It is a local optimum unless the last round moved a threshold between tied values.

    Parameters
    ----------
    folds : sequence of (y, values)
        True classes, and predicted probabilities or logistic functions of decision values of shape
        (n_rows, n_classes), at least 0.
    grid : sequence of float
        In (0, 1), with 0.5 among them.
    measure : callable
        A measure of confusion matrices, such as :func:`imblab.stats.confusion.class_mcc`.
    greater_is_better : bool, default=True
        Direction of the measure.
    bound : ClassBound or None, default=None
        What every step must meet; a threshold stays where no value of the grid does.

    Returns
    -------
    ClassThresholdChoice or None
        None where the bound is not met at the end, or the measure is undefined there.

    Raises
    ------
    ValueError
        If the grid does not hold 0.5, or a value outside (0, 1).

    Notes
    -----
    Values within 1e-12 of the best are tied; ties go to the threshold nearest 0.5, then to the lower one. Where the
    measure is undefined or the bound is not met, any other state is an improvement.

    Examples
    --------
    >>> from imblab.stats.confusion import macro_recall
    >>> y, proba = np.array([0, 0, 1, 2]), np.array([[0.9, 0.1, 0], [0.6, 0.2, 0.2], [0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
    >>> choice = choose_class_thresholds([(y, proba)], [0.1, 0.3, 0.4, 0.5, 0.6], macro_recall)
    >>> choice.thresholds, choice.value
    ((0.5, 0.3, 0.3), 1.0)
    """
    ascending = np.unique(np.asarray(grid, dtype=np.float64))
    if START_THRESHOLD not in ascending:
        raise ValueError(f"grid holds {len(ascending)} thresholds without 0.5; the search starts there. Add 0.5 to it")
    y, values = (np.concatenate(part) for part in zip(*folds, strict=True))
    thresholds = np.full(values.shape[1], START_THRESHOLD)

    def objective(matrices: np.ndarray) -> np.ndarray:
        scores = np.asarray(measure(matrices), dtype=np.float64)
        scores = scores if greater_is_better else -scores
        return scores if bound is None else np.where(bound.is_met(matrices), scores, np.nan)

    best = np.fmax(objective(_matrix_at(y, values, thresholds)), -np.inf)
    n_rounds = 0
    has_improved = True
    while has_improved and n_rounds < MAX_ASCENT_ROUNDS:
        before = best
        for c in range(len(thresholds)):
            scores = objective(_sweep_class_threshold(y, values, thresholds, c, ascending))
            index = best_threshold_index(scores, ascending)
            if index is not None:
                thresholds[c], best = ascending[index], scores[index]
        n_rounds += 1
        has_improved = best > -np.inf and best - before > VALUE_TOLERANCE
    if best == -np.inf:
        return None
    value = float(measure(_matrix_at(y, values, thresholds)))
    at_edge = np.flatnonzero(np.isin(thresholds, ascending[[0, -1]])) if len(ascending) > 1 else ()
    return ClassThresholdChoice(tuple(thresholds.tolist()), value, n_rounds, tuple(int(c) for c in at_edge))


def _matrix_at(y: np.ndarray, values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return confusion_matrices(y, decide_by_thresholds(values, thresholds), values.shape[1])


def _last_argmax(values: np.ndarray) -> np.ndarray:
    """Position of the largest value along the last axis, the last one of equals."""
    return np.asarray(values.shape[-1] - 1 - np.argmax(values[..., ::-1], axis=-1))


def _count_won(own: np.ndarray, rival: np.ndarray, wins_ties: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """At how many of the first values of a grid the class of ``own`` beats the best other class of each row.

    Its factor falls along the grid, and so does its product with ``own``, in floats too. A division finds the number
    but for rounding; the comparisons of the decision itself then correct it.
    """
    factors, n_values = _class_multipliers(grid), len(grid)

    def is_won(at: np.ndarray) -> np.ndarray:
        product = own * factors[at]
        return np.asarray((product > rival) | (wins_ties & (product == rival)))

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        n_won = np.searchsorted(-factors, -(rival / own), side="right")
    n_won = np.where(own > 0, n_won, n_values * (wins_ties & (rival == 0)))
    while True:
        gains = (n_won < n_values) & is_won(np.minimum(n_won, n_values - 1))
        loses = (n_won > 0) & ~is_won(np.maximum(n_won - 1, 0))
        if not (gains | loses).any():
            return np.asarray(n_won)
        n_won = n_won + gains - loses
