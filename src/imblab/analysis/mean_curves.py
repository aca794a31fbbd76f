"""Curves of many folds as one: the mean and the range at every place, from the counts at distinct cuts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The counts of one outer test part at its cuts, from the highest cut down.

    Attributes
    ----------
    thresholds, fp, tp : ndarray of shape (n_cuts,)
        A row is called positive iff p >= threshold.
    negatives, positives : float
    """

    thresholds: np.ndarray
    fp: np.ndarray
    tp: np.ndarray
    negatives: float
    positives: float


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve over folds.

    Attributes
    ----------
    x, mean, low, high : ndarray of shape (n_places,)
        ``low`` and ``high`` are the lowest and the highest fold; NaN where no fold has a value.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def fold(thresholds: Any, fp: Any, tp: Any, negatives: float, positives: float) -> Fold:
    """Cuts in any order as a :class:`Fold`.

    Examples
    --------
    >>> fold([0.2, 0.9], [1, 0], [1, 1], 2, 1).thresholds.tolist()
    [0.9, 0.2]
    """
    t, f, p = (np.asarray(v, dtype=float) for v in (thresholds, fp, tp))
    order = np.argsort(-t, kind="stable")
    return Fold(t[order], f[order], p[order], float(negatives), float(positives))


def precision_recall(folds: Sequence[Fold], recalls: np.ndarray) -> Band:
    """Precision at the highest cut that reaches a recall, vertically averaged over folds (Fawcett 2006, section 8).

    Nothing is interpolated: between two reachable points a straight line would promise a precision that no cut has
    (Davis and Goadrich 2006).

    Parameters
    ----------
    folds : sequence of Fold
        With a positive each.
    recalls : ndarray
        In (0, 1].

    Returns
    -------
    Band

    Examples
    --------
    >>> precision_recall([fold([0.9, 0.5], [1, 1], [1, 2], 5, 2)], np.array([0.5, 1.0])).mean.round(3).tolist()
    [0.5, 0.667]
    """
    return _over(recalls, [_precision_at(f, recalls) for f in folds])


def roc(folds: Sequence[Fold], rates: np.ndarray) -> Band:
    """True positive rate at a false positive rate, vertically averaged over folds (Fawcett 2006, algorithm 4).

    Between two points of a fold lies the straight line that random choice among tied rows would reach; where the curve
    rises at one rate, its highest point there counts.

    Parameters
    ----------
    folds : sequence of Fold
        With a row of each class.
    rates : ndarray
        In [0, 1].

    Returns
    -------
    Band

    Examples
    --------
    >>> roc([fold([0.9, 0.5, 0.4], [0, 4, 4], [1, 1, 2], 4, 2)], np.array([0.0, 0.99, 1.0])).mean.tolist()
    [0.5, 0.5, 1.0]
    """
    return _over(rates, [_sensitivity_at(f, rates) for f in folds])


def against_threshold(folds: Sequence[Fold], thresholds: np.ndarray, function: Callable[..., Any]) -> Band:
    """A measure of counts at every threshold.

    Parameters
    ----------
    folds : sequence of Fold
    thresholds : ndarray
    function : callable
        ``f(tn, fp, fn, tp)`` on arrays. Folds where it is undefined are left out of the mean there.

    Returns
    -------
    Band
    """
    return _over(thresholds, [np.asarray(function(*counts(f, thresholds)), dtype=float) for f in folds])


def counts(f: Fold, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``tn, fp, fn, tp`` at thresholds: those of the lowest cut that is not below.

    Examples
    --------
    >>> [c.tolist() for c in counts(fold([0.9, 0.5], [0, 1], [1, 2], 5, 2), np.array([0.6, 0.95]))]
    [[5.0, 5.0], [0.0, 0.0], [1.0, 2.0], [1.0, 0.0]]
    """
    reached = np.searchsorted(-f.thresholds, -np.asarray(thresholds, dtype=float), side="right")
    fp, tp = np.append(0.0, f.fp)[reached], np.append(0.0, f.tp)[reached]
    return f.negatives - fp, fp, f.positives - tp, tp


def _precision_at(f: Fold, recalls: np.ndarray) -> np.ndarray:
    # A recall is a whole number of positives; rounding must not ask for one more.
    wanted = np.ceil(recalls * f.positives - 1e-9)
    at = np.minimum(np.searchsorted(f.tp, wanted), len(f.tp) - 1)
    return np.asarray(np.where(f.tp[at] >= wanted, f.tp[at] / (f.tp[at] + f.fp[at]), np.nan))


def _sensitivity_at(f: Fold, rates: np.ndarray) -> np.ndarray:
    x, y = np.append(0.0, f.fp) / f.negatives, np.append(0.0, f.tp) / f.positives
    # Both ends of a rise at one rate are points of the curve: before it the lower one counts, at it the higher one.
    return np.asarray(np.interp(rates, x, y))


def _over(x: np.ndarray, values: Sequence[np.ndarray]) -> Band:
    table = np.asarray(values, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place without any value is NaN, as said
        return Band(x, np.nanmean(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0))
