"""Curves of many folds as one: the mean and the range at every place, from the counts at distinct cuts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblab.stats.counts import ratio


def _steps(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True positives and called rows from the highest score down, one step a distinct score."""
    if not (p[1:] <= p[:-1]).all():  # `score` has sorted them already
        order = np.argsort(-p, kind="stable")
        y, p = y[order], p[order]
    last = np.append(np.flatnonzero(p[1:] != p[:-1]), len(p) - 1)
    return np.cumsum(y, dtype=np.int64)[last], last + 1


def average_precision(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the precision-recall curve, ``sum (R_n - R_(n-1)) P_n``; undefined without positives.

    scikit-learn's ``average_precision_score``; Davis and Goadrich (2006) on why not to interpolate linearly.

    Examples
    --------
    >>> average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).__round__(4)
    0.8333
    """
    tp, called = _steps(y, p)
    return float(ratio(np.sum(np.diff(tp, prepend=0) * (tp / called)), tp[-1]))


def roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Probability that a positive outranks a negative, ties half (Hanley and McNeil 1982); NaN if a class is absent."""
    tp, called = _steps(y, p)
    fp = called - tp
    area = np.sum(np.diff(fp, prepend=0) * (2 * tp - np.diff(tp, prepend=0)))
    return float(ratio(area, 2 * tp[-1] * fp[-1]))


def _caught(y: np.ndarray, p: np.ndarray, share: float) -> tuple[float, float]:
    """Expected true positives among the ``share * n`` highest scores, and that number of rows."""
    tp, called = _steps(y, p)
    desk = _share("share", share) * len(y)
    return float(np.interp(desk, np.append(0, called), np.append(0, tp))) if tp[-1] else float("nan"), desk


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value!r}, and a share lies above 0 and at most at 1")
    return value


def recall_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Recall of an alert desk that looks at the top share of the rows; undefined without positives.

    The desk takes ``share * n_rows`` rows from the highest score down: a real number, not rounded, so that the last
    row may be taken in part. Where rows tie at its limit their order is random and the expectation is reported
    (McSherry and Najork 2008): the true positives grow linearly between two distinct scores.
    ``share`` lies in (0, 1]; the best value is ``min(1, share * n_rows / n_positives)``.

    Examples
    --------
    >>> recall_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1]), 0.5).__round__(4)
    0.6667
    """
    return float(ratio(_caught(y, p, share)[0], np.sum(y)))


def precision_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Precision of an alert desk that looks at the top share of the rows; rows and ties as in :func:`recall_at`."""
    return float(ratio(*_caught(y, p, share)))


def recall_at_precision(y: np.ndarray, p: np.ndarray, level: float) -> float:
    """The largest recall among the cuts at distinct scores whose precision reaches a level.

    0 where none does; undefined without positives. ``level`` lies in (0, 1].

    Examples
    --------
    >>> recall_at_precision(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.9]), 0.9)
    0.5
    """
    tp, called = _steps(y, p)
    reached = tp / called >= _share("level", level)  # as a quotient: level * called may round above tp
    return float(ratio(np.max(tp, where=reached, initial=0), tp[-1]))


def chance_average_precision(rows: int, positives: int) -> float:
    """Expected average precision of a random order without ties.

    ``(H_n + (m - 1) / (n - 1) (n - H_n)) / n`` with n rows, m positives and the harmonic number ``H_n``: more than the
    prevalence ``m / n``, visibly so in small test parts (Bestgen 2015, *Prague Bulletin of Mathematical Linguistics*
    103, 131-138).

    Parameters
    ----------
    rows, positives : int

    Returns
    -------
    float
        NaN without positives.

    Examples
    --------
    >>> chance_average_precision(2, 1), chance_average_precision(10, 10)
    (0.75, 1.0)
    """
    return chance_average_precision_of(np.arange(rows), positives)


def chance_average_precision_of(p: np.ndarray, positives: int) -> float:
    """Expected average precision of these scores if the labels were dealt at random.

    The mean over all permutations of the labels, ties included: a distinct score with g rows, c rows at or above it,
    adds ``g / c (1 + (c - 1) (m - 1) / (n - 1)) / n``, since a pair of rows holds two positives with probability
    ``m (m - 1) / (n (n - 1))``. Without ties this is Bestgen's (2015) sum; with all scores tied it is the prevalence.

    Parameters
    ----------
    p : ndarray of shape (n_rows,)
    positives : int

    Returns
    -------
    float
        NaN without positives.

    Examples
    --------
    >>> chance_average_precision_of(np.array([0.5, 0.5, 0.5, 0.5]), 1)
    0.25
    """
    n = len(p)
    if not 0 < positives <= n:
        return float("nan")
    tied = np.unique(p, return_counts=True)[1][::-1]
    called = np.cumsum(tied)
    together = (positives - 1) / (n - 1) if n > 1 else 0.0
    return float(np.sum(tied / called * (1 + (called - 1) * together)) / n)


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
