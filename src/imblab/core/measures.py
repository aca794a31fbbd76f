"""Numbers that mean something under imbalance, from one pass over the scores.

Three kinds, by what they need: ``label`` measures are functions of confusion counts and work on arrays of any shape, so
that every threshold is scored at once; ``score`` measures read a ranking; ``probability`` measures read values that
claim to be probabilities. Undefined is NaN here and null in a row; never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from scipy.special import xlogy

from imblab.errors import ConfigError
from imblab.records import Measure

#: Where the functions of measures may live.
HOMES = ("imblab.core.measures", "sklearn.metrics")


@dataclass(frozen=True, slots=True)
class Counts:
    """A confusion matrix, or one for each of many thresholds.

    Attributes
    ----------
    tn, fp, fn, tp : ndarray or number
        All of one shape.
    """

    tn: Any
    fp: Any
    fn: Any
    tp: Any

    def __add__(self, other: Counts) -> Counts:
        """The summed counts of two sets of rows."""
        return Counts(self.tn + other.tn, self.fp + other.fp, self.fn + other.fn, self.tp + other.tp)

    def apply(self, function: Callable[..., np.ndarray]) -> np.ndarray:
        """A label measure of the counts."""
        return function(self.tn, self.fp, self.fn, self.tp)


def counts_at(y: np.ndarray, p: np.ndarray, thresholds: Any) -> Counts:
    """Confusion counts at every threshold: a row is called positive iff p >= threshold.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        0 and 1.
    p : ndarray of shape (n_rows,)
    thresholds : array-like of any shape
        In any order.

    Returns
    -------
    Counts
        Integer arrays of the shape of ``thresholds``.

    Examples
    --------
    >>> counts_at(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.5).tp.item()
    2
    """
    order = np.argsort(p, kind="stable")
    below = np.searchsorted(p[order], np.asarray(thresholds, dtype=np.float64), side="left")
    positives_below = np.concatenate([[0], np.cumsum(y[order])])[below]
    positives = int(y.sum())
    tn = below - positives_below
    return Counts(tn, len(y) - positives - tn, positives_below, positives - positives_below)


def _ratio(above: Any, below: Any) -> np.ndarray:
    """Division that gives NaN over an empty denominator."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def mcc(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Matthews correlation coefficient; 0 where a row or column of the confusion matrix is empty.

    .. math:: (tp\\,tn - fp\\,fn) / \\sqrt{(tp + fp)(tp + fn)(tn + fp)(tn + fn)}

    References
    ----------
    Matthews (1975), Biochimica et Biophysica Acta 405, 442-451.

    Examples
    --------
    >>> mcc(90, 0, 0, 10).item()
    1.0
    """
    tn, fp, fn, tp = (np.asarray(c, dtype=np.float64) for c in (tn, fp, fn, tp))
    # Two roots, not one of a product of four: 10^6 rows would leave the exact integers.
    scale = np.sqrt((tp + fp) * (tn + fn)) * np.sqrt((tp + fn) * (tn + fp))
    return np.nan_to_num(_ratio(tp * tn - fp * fn, scale), nan=0.0)


def recall(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the positives that are called positive; undefined without positives."""
    return _ratio(tp, np.add(tp, fn))


def precision(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the called positives that are positive; undefined where nothing is called positive."""
    return _ratio(tp, np.add(tp, fp))


def specificity(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the negatives that are called negative; undefined without negatives."""
    return _ratio(tn, np.add(tn, fp))


def f_beta(tn: Any, fp: Any, fn: Any, tp: Any, beta: float = 1.0) -> np.ndarray:
    """Weighted harmonic mean of precision and recall; undefined where tp, fp and fn are all 0.

    .. math:: (1 + \\beta^2) tp / ((1 + \\beta^2) tp + \\beta^2 fn + fp)

    References
    ----------
    van Rijsbergen (1979), Information Retrieval.
    """
    weighted = (1 + beta**2) * np.asarray(tp, dtype=np.float64)
    return _ratio(weighted, weighted + beta**2 * np.asarray(fn, dtype=np.float64) + fp)


def g_mean(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Geometric mean of recall and specificity (Kubat and Matwin 1997); undefined where a class is absent."""
    return np.asarray(np.sqrt(recall(tn, fp, fn, tp) * specificity(tn, fp, fn, tp)))


def balanced_accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Mean of recall and specificity (Brodersen et al. 2010); undefined where a class is absent."""
    return (recall(tn, fp, fn, tp) + specificity(tn, fp, fn, tp)) / 2


def accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of right calls; means little under imbalance and is shown beside its baseline only."""
    return _ratio(np.add(tp, tn), np.add(tp, tn) + np.add(fp, fn))


def accuracy_baseline(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Accuracy of always calling the majority of these rows."""
    positives, negatives = np.add(tp, fn), np.add(tn, fp)
    return _ratio(np.maximum(positives, negatives), positives + negatives)


def _steps(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives when the rows are called from the highest score down, one step a distinct score."""
    order = np.argsort(-p, kind="stable")
    last = np.append(np.nonzero(np.diff(p[order]))[0], len(p) - 1)
    tp = np.cumsum(y[order])[last]
    return tp, last + 1 - tp


def average_precision(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps, without interpolation; undefined without positives.

    .. math:: \\sum_n (R_n - R_{n-1}) P_n

    References
    ----------
    scikit-learn's ``average_precision_score``; Davis and Goadrich (2006) on why not to interpolate linearly.

    Examples
    --------
    >>> average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).__round__(4)
    0.8333
    """
    tp, fp = _steps(y, p)
    if tp[-1] == 0:
        return float("nan")
    return float(np.sum(np.diff(tp / tp[-1], prepend=0.0) * (tp / (tp + fp))))


def roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counted half; undefined where a class is absent.

    References
    ----------
    Hanley and McNeil (1982), Radiology 143, 29-36.
    """
    tp, fp = _steps(y, p)
    if tp[-1] == 0 or fp[-1] == 0:
        return float("nan")
    x, height = np.append(0.0, fp / fp[-1]), np.append(0.0, tp / tp[-1])
    return float(np.sum(np.diff(x) * (height[1:] + height[:-1]) / 2))


def _caught(y: np.ndarray, p: np.ndarray, share: float) -> tuple[float, float]:
    """Expected true positives among the ``share * n`` highest scores, and that number of rows."""
    tp, fp = _steps(y, p)
    budget = share * len(y)
    return float(np.interp(budget, np.append(0, tp + fp), np.append(0, tp))), budget


def recall_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Recall of an alert desk that looks at the top share of the rows; undefined without positives.

    The desk takes ``share * n`` rows from the highest score down: a real number, not rounded, so that the last row
    may be taken in part. Tied rows are taken in random order and the expectation is reported: linear between the
    distinct scores.

    Parameters
    ----------
    y, p : ndarray of shape (n_rows,)
    share : float
        In (0, 1].

    Returns
    -------
    float

    Examples
    --------
    >>> recall_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1]), 0.5)
    0.6666666666666666
    """
    caught, _ = _caught(y, p, share)
    return caught / y.sum() if y.any() else float("nan")


def precision_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Precision of an alert desk that looks at the top share of the rows; ties as in :func:`recall_at`."""
    caught, budget = _caught(y, p, share)
    return caught / budget if y.any() else float("nan")


def recall_at_precision(y: np.ndarray, p: np.ndarray, level: float) -> float:
    """The largest recall among the cuts at distinct scores whose precision reaches a level; 0 where none does.

    Examples
    --------
    >>> recall_at_precision(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.9]), 0.9)
    0.5
    """
    tp, fp = _steps(y, p)
    if tp[-1] == 0:
        return float("nan")
    return float(np.max(tp / tp[-1], where=tp >= level * (tp + fp), initial=0.0))


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared distance of probability and outcome (Brier 1950); lower is better."""
    return float(np.mean((p - y) ** 2))


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log-likelihood, probabilities clipped by the machine epsilon as scikit-learn does."""
    eps = np.finfo(np.float64).eps
    q = np.clip(p, eps, 1 - eps)
    return float(-np.mean(xlogy(y, q) + xlogy(1 - y, 1 - q)))


def function_of(measure: Measure, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """The function of a measure with its parameters bound.

    Parameters
    ----------
    measure : Measure
    allow : sequence of str, default=()
        Further modules that functions may come from.

    Returns
    -------
    callable

    Raises
    ------
    ConfigError
        If the path lies outside the allowed modules or does not exist.

    Examples
    --------
    >>> function_of(Measure("f2", "imblab.core.measures.f_beta", "label", parameters={"beta": 2}))(0, 0, 1, 1).item()
    0.5555555555555556
    """
    module, _, name = measure.function.rpartition(".")
    homes = (*HOMES, *allow)
    if module not in homes:
        raise ConfigError(
            f"measure {measure.name!r} has the function {measure.function!r}, which lies outside {', '.join(homes)}; "
            "functions of measures come from known modules only. Name one of theirs."
        )
    found = getattr(import_module(module), name, None)
    if not callable(found):
        raise ConfigError(
            f"measure {measure.name!r} has the function {measure.function!r}, which does not exist in {module!r}; a "
            "measure needs a function. Correct the path."
        )
    return partial(found, **measure.parameters) if measure.parameters else found


def is_counted(measure: Measure) -> bool:
    """Whether a measure is made of confusion counts, and so depends on the threshold."""
    return measure.needs == "label"


def score(
    measures: Sequence[Measure], y: np.ndarray, p: np.ndarray, threshold: float, probability: bool
) -> tuple[dict[str, float | None], Counts]:
    """Every measure of one set of predictions.

    Parameters
    ----------
    measures : sequence of Measure
    y, p : ndarray of shape (n_rows,)
    threshold : float
    probability : bool
        Whether ``p`` claims to be a probability; measures that need one are None otherwise.

    Returns
    -------
    scores : dict of str to float or None
    counts : Counts
    """
    counts = counts_at(y, p, threshold)
    scores: dict[str, float | None] = {}
    for measure in measures:
        if measure.needs == "probability" and not probability:
            scores[measure.name] = None
            continue
        function = function_of(measure)
        value = float(counts.apply(function) if is_counted(measure) else function(y, p))
        scores[measure.name] = value if np.isfinite(value) else None
    return scores, counts
