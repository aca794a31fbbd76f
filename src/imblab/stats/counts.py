"""Confusion counts, and the measures that are made of them.

Every measure is a function ``f(tn, fp, fn, tp)`` of counts of any one shape and gives float64 of that shape, so that
all thresholds are scored at once. Undefined is NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Counts:
    """A confusion matrix, or arrays of one shape that hold many."""

    tn: Any
    fp: Any
    fn: Any
    tp: Any

    def __add__(self, other: Counts) -> Counts:
        """The summed counts of two sets of rows."""
        return Counts(self.tn + other.tn, self.fp + other.fp, self.fn + other.fn, self.tp + other.tp)


def counts_at(y: np.ndarray, p: np.ndarray, thresholds: Any) -> Counts:
    """Confusion counts at every threshold: a row is called positive iff p >= threshold.

    ``thresholds`` may have any shape and order; the counts are whole numbers of that shape.

    Examples
    --------
    >>> counts_at(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.5).tp.item()
    2
    """
    positive = np.asarray(y) == 1
    if np.ndim(thresholds) == 0:  # no sorting for a single cut
        called = p >= thresholds
        rows, flagged, right = len(p), np.count_nonzero(called), np.count_nonzero(called & positive)
        caught, wrong = np.count_nonzero(positive) - right, flagged - right
        return Counts(*(np.asarray(n) for n in (rows - flagged - caught, wrong, caught, right)))
    positives, negatives = np.sort(p[positive]), np.sort(p[~positive])
    cuts = np.asarray(thresholds, dtype=np.float64)
    fn, tn = np.searchsorted(positives, cuts), np.searchsorted(negatives, cuts)
    return Counts(tn, len(negatives) - tn, fn, len(positives) - fn)


def ratio(above: Any, below: Any) -> np.ndarray:
    """Division that gives NaN over an empty denominator."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    out = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below != 0))


def mcc(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Matthews (1975) correlation coefficient; 0 where a row or column of the confusion matrix is empty.

    ``(tp tn - fp fn) / sqrt((tp + fp) (tn + fn) (tp + fn) (tn + fp))``

    Examples
    --------
    >>> mcc(90, 0, 0, 10).item()
    1.0
    """
    tn, fp, fn, tp = (np.asarray(c, dtype=np.float64) for c in (tn, fp, fn, tp))
    # Floats, because the product of four counts leaves int64; one root, because only sqrt(a * a) is exactly a.
    scale = np.sqrt(((tp + fp) * (tn + fn)) * ((tp + fn) * (tn + fp)))
    found = ratio(tp * tn - fp * fn, scale)
    found[np.isnan(found)] = 0.0
    return found


def recall(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the positives that are called positive; undefined without positives."""
    return ratio(tp, np.add(tp, fn))


def precision(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the called positives that are positive; undefined where nothing is called positive."""
    return ratio(tp, np.add(tp, fp))


def specificity(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the negatives that are called negative; undefined without negatives."""
    return ratio(tn, np.add(tn, fp))


def precision_at_prevalence(tn: Any, fp: Any, fn: Any, tp: Any, prevalence: float) -> np.ndarray:
    """Precision where another share of the rows is positive than in this sample.

    ``r pi / (r pi + f (1 - pi))`` with recall r, false positive rate f and prevalence pi, by Bayes' theorem: right as
    long as nothing but the prevalence differs (Elkan 2001, IJCAI, 973-978). Undefined where a class is absent or
    nothing is called positive. ``prevalence`` lies inside (0, 1).

    Examples
    --------
    >>> precision_at_prevalence(90, 10, 0, 10, 0.01).round(4).item()
    0.0917
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence is {prevalence!r}, and a prevalence lies inside (0, 1)")
    caught, alarmed = recall(tn, fp, fn, tp) * prevalence, (1 - specificity(tn, fp, fn, tp)) * (1 - prevalence)
    return ratio(caught, caught + alarmed)


def f_beta(tn: Any, fp: Any, fn: Any, tp: Any, beta: float = 1.0) -> np.ndarray:
    """Weighted harmonic mean of precision and recall (van Rijsbergen 1979); undefined where tp, fp and fn are all 0."""
    weighted = (1 + beta**2) * np.asarray(tp, dtype=np.float64)
    return ratio(weighted, weighted + beta**2 * np.asarray(fn, dtype=np.float64) + fp)


def g_mean(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Geometric mean of recall and specificity (Kubat and Matwin 1997); undefined where a class is absent."""
    return np.asarray(np.sqrt(recall(tn, fp, fn, tp) * specificity(tn, fp, fn, tp)))


def balanced_accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Mean of recall and specificity (Brodersen et al. 2010); undefined where a class is absent."""
    return np.asarray((recall(tn, fp, fn, tp) + specificity(tn, fp, fn, tp)) / 2)


def accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of right calls; means little under imbalance and is shown beside its baseline only."""
    return ratio(np.add(tp, tn), np.add(tp, tn) + np.add(fp, fn))


def accuracy_baseline(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Accuracy of always calling the majority of these rows."""
    positives, negatives = np.add(tp, fn), np.add(tn, fp)
    return ratio(np.maximum(positives, negatives), positives + negatives)
