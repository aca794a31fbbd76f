"""Confusion counts at thresholds, the measures that are functions of them, and costs of wrong calls.

Every measure is a function ``f(tn, fp, fn, tp)`` of counts of any one shape and gives float64 of that shape, so that
all thresholds are scored in one call. Undefined values are NaN, never 0.

A cost matrix is ``{fn: 10, fp: 1, tp: 0, tn: 0}``: the cost of one row of each kind, in any unit; ``tp`` and ``tn`` are
0 where they are left out. ``fn: amount`` means that a missed positive costs the amount of its row. Elkan's names are
``c_01`` for fn, ``c_10`` for fp, ``c_11`` for tp and ``c_00`` for tn.

References
----------
van Rijsbergen (1979), Information Retrieval: F beta.
Matthews (1975), Comparison of the predicted and observed secondary structure of T4 phage lysozyme, Biochimica et
Biophysica Acta 405, 442-451: MCC.
Kubat and Matwin (1997), Addressing the curse of imbalanced training sets, ICML: geometric mean.
Brodersen, Ong, Stephan and Buhmann (2010), The balanced accuracy and its posterior distribution, ICPR.
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978: costs, and precision at another
prevalence.
Bahnsen, Aouada and Ottersten (2014), Example-dependent cost-sensitive logistic regression for credit scoring, ICMLA,
263-269.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

#: Labels and predictions of the same rows, both of shape (n_rows,).
LabelledValues = tuple[np.ndarray, np.ndarray]
#: Values of a measure closer than this are tied.
VALUE_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class ConfusionCounts:
    """Confusion counts of one set of rows, or arrays of one shape that hold many.

    Iterating gives ``tn, fp, fn, tp``, so that ``mcc(*counts)`` scores them; the sum of two is that of their rows.
    """

    #: True negatives, false positives, false negatives and true positives
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


def best_threshold_index(objective: np.ndarray, thresholds: np.ndarray) -> int | None:
    """Position of the threshold with the largest objective; ties go to the one nearest 0.5, then to the lower one.

    Parameters
    ----------
    objective : ndarray of shape (n_thresholds,)
        NaN where a threshold may not be chosen; values within 1e-12 of the largest are tied.
    thresholds : ndarray of shape (n_thresholds,)
        Ascending.

    Returns
    -------
    int or None
        None where every objective is NaN.

    Examples
    --------
    >>> best_threshold_index(np.array([0.3, 0.9, np.nan, 0.9]), np.array([0.1, 0.4, 0.5, 0.7]))
    1
    """
    largest = np.fmax.reduce(objective)
    if np.isnan(largest):
        return None
    tied = np.flatnonzero(largest - objective <= VALUE_TOLERANCE)
    if len(tied) > 1:
        # `tied` ascends and argmin takes the first: the lower of two that are equally near.
        tied = tied[np.argmin(np.round(np.abs(thresholds[tied] - 0.5), 12), keepdims=True)]
    return int(tied[0])


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


def alerts_per_thousand(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Rows that are called positive among 1,000 rows: ``1000 (fp + tp) / n``; NaN without rows.

    Examples
    --------
    >>> alerts_per_thousand(970, 20, 2, 8).item()
    28.0
    """
    called = np.asarray(fp, dtype=np.float64) + tp
    return ratio(1000 * called, called + tn + fn)


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


def recall_min(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Recall of the class with the lower one: the lower of recall and specificity; undefined where a class is absent.

    Examples
    --------
    >>> recall_min(90, 10, 2, 8).item()
    0.8
    """
    return np.asarray(np.minimum(recall(tn, fp, fn, tp), specificity(tn, fp, fn, tp)))


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


REQUIRED_KEYS, OPTIONAL_KEYS = ("fn", "fp"), ("tp", "tn")
#: The value of ``fn`` that stands for the amount of each row.
AMOUNT = "amount"

CostMatrix = Mapping[str, Any]


def invalid_matrix_reason(costs: object, amounts: bool = False) -> str | None:
    """Return why a value is not a cost matrix, or None.

    Parameters
    ----------
    costs : object
        The value to check.
    amounts : bool, default=False
        Whether ``fn`` may be ``amount``.

    Examples
    --------
    >>> invalid_matrix_reason({"fn": 10, "fp": 1}) is None, invalid_matrix_reason({"fn": 10})
    (True, 'a cost matrix needs the keys fn and fp, and may have tp and tn')
    """
    if not isinstance(costs, Mapping) or not {*REQUIRED_KEYS} <= {*costs} <= {*REQUIRED_KEYS, *OPTIONAL_KEYS}:
        return "a cost matrix needs the keys fn and fp, and may have tp and tn"
    numbers = [c for key, c in costs.items() if not (amounts and key == "fn" and reads_amount(costs))]
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) and isfinite(c) for c in numbers):
        return "a cost must be a finite number" + (", and that of fn may be 'amount'" if amounts else "")
    mistakes = [costs[key] for key in REQUIRED_KEYS if costs[key] != AMOUNT]
    if min(mistakes) < 0 or (len(mistakes) == len(REQUIRED_KEYS) and not any(mistakes)):
        return "fn and fp must be at least 0 and not both 0"
    return None


def reads_amount(costs: Any) -> bool:
    """Whether a missed positive costs the amount of its row."""
    return isinstance(costs, Mapping) and costs.get("fn") == AMOUNT


def total_cost(costs: CostMatrix, tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """The summed cost of confusion counts; under ``fn: amount``, ``fn`` is the summed amount of the missed positives.

    Examples
    --------
    >>> total_cost({"fn": 10, "fp": 1}, 90, 3, 2, 5).item()
    23.0
    """
    missed = np.asarray(fn, dtype=np.float64)
    if not reads_amount(costs):
        missed = costs["fn"] * missed
    return np.asarray(
        missed
        + costs["fp"] * np.asarray(fp)
        + costs.get("tp", 0) * np.asarray(tp)
        + costs.get("tn", 0) * np.asarray(tn)
    )


def expected_cost(tn: Any, fp: Any, fn: Any, tp: Any, costs: CostMatrix) -> np.ndarray:
    """Mean cost per row under a cost matrix; lower is better.

    Parameters
    ----------
    tn, fp, fn, tp : int or ndarray
        Confusion counts, of any one shape.
    costs : mapping
        For example ``{fn: 10, fp: 1}``.

    Returns
    -------
    ndarray
        In the shape of the counts; NaN without rows.

    Raises
    ------
    ValueError
        If ``costs`` is not a cost matrix.

    Examples
    --------
    >>> expected_cost(90, 3, 2, 5, {"fn": 10, "fp": 1}).item()
    0.23
    """
    if reason := invalid_matrix_reason(costs):
        raise ValueError(f"costs is {costs!r}; {reason}")
    return ratio(total_cost(costs, tn, fp, fn, tp), np.add(tn, fp) + np.add(fn, tp))


def amount_cost(y: np.ndarray, called: np.ndarray, amount: np.ndarray, costs: CostMatrix) -> float:
    """Mean cost per row where a missed positive costs its own amount (Bahnsen et al. 2014); lower is better.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels, 1 for the positive class.
    called : ndarray of shape (n_rows,), bool
        Which rows are called positive.
    amount : ndarray of shape (n_rows,)
        In the unit of the costs.
    costs : mapping
        For example ``{fn: amount, fp: 1, tp: 1}``.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    ValueError
        If ``costs`` is not a cost matrix with ``fn: amount``.

    Examples
    --------
    >>> y, called = np.array([1, 1, 0, 0]), np.array([True, False, True, False])
    >>> amount_cost(y, called, np.array([80.0, 30.0, 5.0, 7.0]), {"fn": "amount", "fp": 2, "tp": 2})
    8.5
    """
    reason = invalid_matrix_reason(costs, amounts=True)
    if reason or not reads_amount(costs):
        raise ValueError(f"costs is {costs!r}; {reason or 'fn must be amount here'}")
    positive = y == 1
    missed = float(np.sum(amount[positive & ~called]))
    fp, tp = np.count_nonzero(called & ~positive), np.count_nonzero(called & positive)
    tn = np.count_nonzero(~called & ~positive)
    return float(total_cost(costs, tn, fp, missed, tp)) / len(y) if len(y) else float("nan")


def missed_amounts(y: np.ndarray, values: np.ndarray, amount: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Summed amount of the positives below every threshold.

    Parameters
    ----------
    y, values, amount : ndarray of shape (n_rows,)
        Labels, predicted probabilities or decision values, and amounts.
    thresholds : ndarray
        In any shape.

    Returns
    -------
    ndarray
        In the shape of ``thresholds``.

    Examples
    --------
    >>> missed_amounts(np.array([1, 0, 1]), np.array([0.2, 0.1, 0.6]), np.array([5.0, 9.0, 7.0]), np.array([0.2, 0.7]))
    array([ 0., 12.])
    """
    positive = y == 1
    order = np.argsort(values[positive], kind="stable")
    sums = np.append(0.0, np.cumsum(amount[positive][order]))
    return np.asarray(sums[np.searchsorted(values[positive][order], thresholds)])


def no_optimum_reason(costs: CostMatrix) -> str | None:
    """Return why a valid cost matrix has no optimal threshold, or None (Elkan 2001, section 1.1)."""
    if costs["fp"] <= costs.get("tn", 0) or costs["fn"] <= costs.get("tp", 0):
        return "a wrong call must cost more than the correct call of the same row: fp more than tn, fn more than tp"
    return None


def optimal_threshold(costs: CostMatrix) -> float:
    """The threshold of least expected cost for true probabilities (Elkan 2001, equation 2).

    ``p* = (c_10 - c_00) / (c_10 - c_00 + c_01 - c_11)``

    Parameters
    ----------
    costs : mapping
        Of numbers, with fp above tn and fn above tp; see :func:`no_optimum_reason`.

    Returns
    -------
    float
        In (0, 1).

    Examples
    --------
    >>> optimal_threshold({"fn": 9, "fp": 1})
    0.1
    """
    false_alarm, miss = costs["fp"] - costs.get("tn", 0), costs["fn"] - costs.get("tp", 0)
    return float(false_alarm / (false_alarm + miss))
