"""Confusion counts at thresholds, and the measures that are functions of them.

Every measure is a function ``f(tn, fp, fn, tp)`` of counts of any one shape and gives float64 of that shape, so that
all thresholds are scored in one call. Undefined values are NaN, never 0.

References
----------
van Rijsbergen (1979), Information Retrieval: F beta.
Matthews (1975), Comparison of the predicted and observed secondary structure of T4 phage lysozyme, Biochimica et
Biophysica Acta 405, 442-451: MCC.
Kubat and Matwin (1997), Addressing the curse of imbalanced training sets, ICML: geometric mean.
Brodersen, Ong, Stephan and Buhmann (2010), The balanced accuracy and its posterior distribution, ICPR.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978: precision at another prevalence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Labels and predictions of the same rows, both of shape (n_rows,).
LabelledValues = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class ConfusionCounts:
    """Confusion counts of one set of rows, or arrays of one shape that hold many.

    Iterating gives ``tn, fp, fn, tp``, so that ``mcc(*counts)`` scores them; the sum of two is that of their rows.

    Attributes
    ----------
    tn, fp, fn, tp : int or ndarray
        True negatives, false positives, false negatives and true positives.
    """

    tn: Any
    fp: Any
    fn: Any
    tp: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.tn, self.fp, self.fn, self.tp))

    def __add__(self, other: ConfusionCounts) -> ConfusionCounts:
        return ConfusionCounts(*(a + b for a, b in zip(self, other, strict=True)))


def counts_at(y: np.ndarray, values: np.ndarray, thresholds: Any) -> ConfusionCounts:
    """Confusion counts at every threshold: a row is called positive iff its value >= threshold.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels, 1 for the positive class.
    values : ndarray of shape (n_rows,)
        Predicted probabilities or decision values, finite.
    thresholds : float or ndarray
        In any shape and order.

    Returns
    -------
    ConfusionCounts
        Whole numbers in the shape of ``thresholds``.

    Examples
    --------
    >>> counts_at(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.5).tp.item()
    2
    """
    positive = np.asarray(y) == 1
    if np.ndim(thresholds) == 0:  # no sorting for a single threshold
        called = values >= thresholds
        n_rows, n_called, tp = len(values), np.count_nonzero(called), np.count_nonzero(called & positive)
        fn, fp = np.count_nonzero(positive) - tp, n_called - tp
        return ConfusionCounts(*(np.asarray(n) for n in (n_rows - n_called - fn, fp, fn, tp)))
    positives, negatives = np.sort(values[positive]), np.sort(values[~positive])
    thresholds = np.asarray(thresholds, dtype=np.float64)
    fn, tn = np.searchsorted(positives, thresholds), np.searchsorted(negatives, thresholds)
    return ConfusionCounts(tn, len(negatives) - tn, fn, len(positives) - fn)


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Divide; NaN where the denominator is 0.

    Examples
    --------
    >>> ratio([1, 1], [2, 0])
    array([0.5, nan])
    """
    numerator, denominator = (np.asarray(v, dtype=np.float64) for v in (numerator, denominator))
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=out, where=denominator != 0))


def mcc(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Matthews correlation coefficient, in [-1, 1]; 0 where a row or column of the confusion matrix is empty.

    ``(tp tn - fp fn) / sqrt((tp + fp) (tn + fn) (tp + fn) (tn + fp))``

    Examples
    --------
    >>> mcc(90, 0, 0, 10).item()
    1.0
    """
    tn, fp, fn, tp = (np.asarray(c, dtype=np.float64) for c in (tn, fp, fn, tp))
    # Floats, because the product of four counts overflows int64; one root, because only sqrt(a * a) is exactly a.
    scale = np.sqrt(((tp + fp) * (tn + fn)) * ((tp + fn) * (tn + fp)))
    correlation = ratio(tp * tn - fp * fn, scale)
    correlation[np.isnan(correlation)] = 0.0
    return correlation


def recall(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the positives that are called positive; undefined without positives."""
    return ratio(tp, np.add(tp, fn))


def precision(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the called positives that are positive; undefined where no row is called positive."""
    return ratio(tp, np.add(tp, fp))


def specificity(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the negatives that are called negative; undefined without negatives."""
    return ratio(tn, np.add(tn, fp))


def precision_at_prevalence(tn: Any, fp: Any, fn: Any, tp: Any, prevalence: float) -> np.ndarray:
    """Precision in a population where another share of the rows is positive.

    ``r pi / (r pi + f (1 - pi))`` with recall r, false positive rate f and prevalence pi, by Bayes' theorem: exact if
    only the prevalence differs (Elkan 2001). Undefined where a class is absent or no row is called positive.

    Parameters
    ----------
    tn, fp, fn, tp : int or ndarray
        Confusion counts, of any one shape.
    prevalence : float
        Positive share of that population, in (0, 1).

    Returns
    -------
    ndarray
        In the shape of the counts.

    Examples
    --------
    >>> precision_at_prevalence(90, 10, 0, 10, 0.01).round(4).item()
    0.0917
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence is {prevalence!r}; it must lie in (0, 1)")
    hits = recall(tn, fp, fn, tp) * prevalence
    false_alarms = (1 - specificity(tn, fp, fn, tp)) * (1 - prevalence)
    return ratio(hits, hits + false_alarms)


def f_beta(tn: Any, fp: Any, fn: Any, tp: Any, beta: float = 1.0) -> np.ndarray:
    """Weighted harmonic mean of precision and recall; undefined where tp, fp and fn are all 0.

    Parameters
    ----------
    tn, fp, fn, tp : int or ndarray
        Confusion counts, of any one shape.
    beta : float, default=1.0
        Recall counts ``beta`` times as much as precision.

    Returns
    -------
    ndarray
        In the shape of the counts.
    """
    weighted = (1 + beta**2) * np.asarray(tp, dtype=np.float64)
    return ratio(weighted, weighted + beta**2 * np.asarray(fn, dtype=np.float64) + fp)


def g_mean(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Geometric mean of recall and specificity; undefined where a class is absent."""
    return np.asarray(np.sqrt(recall(tn, fp, fn, tp) * specificity(tn, fp, fn, tp)))


def balanced_accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Mean of recall and specificity; undefined where a class is absent."""
    return np.asarray((recall(tn, fp, fn, tp) + specificity(tn, fp, fn, tp)) / 2)


def accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of correct calls; uninformative under imbalance, reported next to :func:`accuracy_baseline` only."""
    return ratio(np.add(tp, tn), np.add(tp, tn) + np.add(fp, fn))


def accuracy_baseline(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Accuracy of always calling the majority class of these rows."""
    positives, negatives = np.add(tp, fn), np.add(tn, fp)
    return ratio(np.maximum(positives, negatives), positives + negatives)
