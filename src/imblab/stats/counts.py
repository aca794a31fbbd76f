"""Confusion counts and matrices at thresholds, the measures that are functions of them, and costs of wrong calls.

Every measure is a function ``f(tn, fp, fn, tp)`` of counts of any one shape and gives float64 of that shape, so that
all thresholds are scored in one call. Undefined values are NaN, never 0.

A cost matrix is ``{fn: 10, fp: 1, tp: 0, tn: 0}``: the cost of one row of each kind, in any unit; ``tp`` and ``tn`` are
0 where they are left out. ``fn: amount`` means that a missed positive costs the amount of its row. Elkan's names are
``c_01`` for fn, ``c_10`` for fp, ``c_11`` for tp and ``c_00`` for tn.

Matrices of several classes have shape (..., n_classes, n_classes): the true class is the row and the decided class the
column, as in scikit-learn. Every measure gives float64 of the leading shape, so that all thresholds are scored in one
call. Undefined values are NaN, never 0; the two exceptions are :func:`class_mcc` and :func:`macro_precision`. A macro
measure is the mean over all classes, NaN if it is undefined for one of them, never a mean over the rest.

A measure of two classes, ``f(tn, fp, fn, tp)``, holds for each class against the rest: ``f(*class_counts(matrices))``.
Macro recall and balanced accuracy of several classes are one number.

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

#: Labels and predictions of the same rows, both of shape (n_rows,).
LabelledValues = tuple[np.ndarray, np.ndarray]
#: Values of a measure closer than this are tied.
VALUE_TOLERANCE = 1e-12
#: Costs in rows by true class, each with one number per decided class.
ClassCosts = Sequence[Sequence[float]]


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
    """Confusion counts at thresholds of any shape and order: a row is called positive iff its value >= threshold.

    ``y`` is 1 for the positive class; ``values`` are finite probabilities or decision values; both of shape (n_rows,).
    The whole numbers have the shape of ``thresholds``.

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

    The objective is NaN where a threshold may not be chosen; values within 1e-12 of the largest are tied. The
    thresholds ascend. None where every objective is NaN.

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
    """Return why a value is not a cost matrix, or None; ``amounts`` says whether ``fn`` may be ``amount``.

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
    """Summed amount of the positives below every threshold, in the shape of ``thresholds``; the others are per row.

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

    ``p* = (c_10 - c_00) / (c_10 - c_00 + c_01 - c_11)``, in (0, 1) where there is one: see :func:`no_optimum_reason`.

    Examples
    --------
    >>> optimal_threshold({"fn": 9, "fp": 1})
    0.1
    """
    false_alarm, miss = costs["fp"] - costs.get("tn", 0), costs["fn"] - costs.get("tp", 0)
    return float(false_alarm / (false_alarm + miss))


def confusion_matrices(y: np.ndarray, decided: np.ndarray, n_classes: int) -> np.ndarray:
    """Count the rows of every true and decided class: int64 of shape (..., n_classes, n_classes).

    ``y`` of shape (n_rows,) holds classes from 0 on, ``decided`` of shape (..., n_rows) one row of them per matrix.

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
    """Confusion counts of each class against the rest: arrays of shape (..., n_classes).

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
    """Mean over classes of a measure ``f(tn, fp, fn, tp)``, each class against the rest; NaN if it is for one class.

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
    """Return why a value is not a cost matrix of several classes, or None; ``n_classes`` may be unknown.

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


def expected_class_cost(matrices: np.ndarray, costs: ClassCosts) -> np.ndarray:
    """Mean cost per row; lower is better; NaN without rows.

    ``costs[i][j]`` is the cost of deciding for class j where i is true. ValueError if it is not a cost matrix of so
    many classes.

    Examples
    --------
    >>> expected_class_cost(np.array([[90, 3], [2, 5]]), [[0, 1], [10, 0]]).item()
    0.23
    """
    if reason := invalid_class_costs_reason(costs, np.shape(matrices)[-1]):
        raise ValueError(f"costs is {costs!r}; {reason}")
    total = np.sum(matrices * np.asarray(costs, dtype=np.float64), axis=(-2, -1))
    return ratio(total, np.sum(matrices, axis=(-2, -1)))
