"""Standard errors of contrasts between strategies, and which of them decides for a kind of learner.

The difference is ``d``, the mean over R repeats of F folds of the score of a minus that of b.

corrected_t
    ``se**2 = (1/J + n_test/n_train) * s**2`` with J - 1 degrees of freedom, J = R F; ``s**2`` is the sample variance of
    the J differences (Nadeau and Bengio 2003). It decides wherever nothing else is stated below.
row_level
    ``se**2 = rows * W + repeats * B / R`` with P - 1 degrees of freedom. W is the jackknife variance of ``d`` over the
    test rows (:func:`imblab.stats.standard_errors.row_covariance`), B the sample variance of the R means over folds, P
    the number of rows of the rarer class. ``rows`` and ``repeats`` come from the simulation in
    ``experiments/test_size``.

An estimator decides for a kind of learner and a measure only if its simulated size and coverage keep the bounds of
docs/statistics.md, which prints them, and only for designs like those that were simulated; of those that do, the most
powerful decides.

The change of a score without one row (delete-one jackknife) is computed for all rows of a fold at once. Averaged over
repeats, the changes of a row give the part of the variance of a mean over folds that comes from the rows that happened
to be in the sample.

References
----------
Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52, 239-281.
Efron and Stein (1981), The jackknife estimate of variance, Annals of Statistics 9, 586-596.
LeDell, Petersen and van der Laan (2015), Computationally efficient confidence intervals for cross-validated area under
the ROC curve estimates, Electronic Journal of Statistics 9, 1583-1607.
Bayle, Bayle, Janson and Mackey (2020), Cross-validation confidence intervals for test error, NeurIPS 33.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from imblab.stats import counts
from imblab.stats.counts import class_mcc, confusion_matrices, macro_precision, macro_recall
from imblab.stats.probabilities import brier_losses, scores_per_class

CORRECTED_T, ROW_LEVEL = "corrected_t", "row_level"
#: What was simulated: the outer folds of a repeat, the fewest repeats of several, the fewest rows of the rarer class.
SIMULATED_FOLDS, MIN_SEVERAL_REPEATS, MIN_RARER_ROWS = 5, 3, 20
#: ``f(y, values, called)`` gives the change of the score without each row.
RowChanges = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class RowLevelRule:
    """Weights of the two variances of a row-level standard error."""

    rows: float  # weight of the variance over test rows
    repeats: float = 0.0  # weight of the variance between repeats; unused with one repeat


#: By kind of learner and dotted path of the measure's function: the rules for one repeat and for several, None for the
#: corrected t, which kinds and measures that are missing have too.
RowLevelRules = Mapping[tuple[str, str], tuple[RowLevelRule | None, RowLevelRule | None]]
_WITHOUT_FORESTS: RowLevelRules = {
    ("decision_tree", "imblab.core.measures.mcc"): (RowLevelRule(1.5), RowLevelRule(1.5, 1)),
    ("decision_tree", "imblab.core.measures.average_precision"): (RowLevelRule(1.25), RowLevelRule(1.5, 0.5)),
    ("decision_tree", "imblab.core.measures.roc_auc"): (RowLevelRule(1.25), RowLevelRule(1.25, 1)),
    ("knn", "imblab.core.measures.mcc"): (RowLevelRule(1.5), RowLevelRule(1.5, 1)),
    ("knn", "imblab.core.measures.average_precision"): (RowLevelRule(1.25), RowLevelRule(1.5, 0.5)),
    ("knn", "imblab.core.measures.roc_auc"): (RowLevelRule(1.5), RowLevelRule(2)),
    ("lightgbm", "imblab.core.measures.brier"): (None, RowLevelRule(2.5, 2)),
    ("lightgbm", "imblab.core.measures.mcc"): (RowLevelRule(2), RowLevelRule(1.5, 1)),
    ("lightgbm", "imblab.core.measures.average_precision"): (RowLevelRule(1.25), RowLevelRule(1.5)),
    ("lightgbm", "imblab.core.measures.roc_auc"): (RowLevelRule(2), RowLevelRule(2, 2)),
    ("logistic", "imblab.core.measures.mcc"): (RowLevelRule(3), RowLevelRule(1.25, 1)),
    ("logistic", "imblab.core.measures.average_precision"): (RowLevelRule(1.25), RowLevelRule(1.25)),
    ("logistic", "imblab.core.measures.roc_auc"): (RowLevelRule(2), RowLevelRule(2)),
}
_RANDOM_FORESTS: RowLevelRules = {
    ("random_forest", "imblab.core.measures.mcc"): (RowLevelRule(1.5), RowLevelRule(1.25, 1)),
    ("random_forest", "imblab.core.measures.average_precision"): (RowLevelRule(1.25), RowLevelRule(1.25, 0.5)),
    ("random_forest", "imblab.core.measures.roc_auc"): (RowLevelRule(2), RowLevelRule(2)),
}
#: By version. Studies rest on the version that they recorded: new rules are a new version, and none is ever changed.
ROW_LEVEL_RULES: Mapping[int, RowLevelRules] = {1: {}, 2: _WITHOUT_FORESTS, 3: {**_WITHOUT_FORESTS, **_RANDOM_FORESTS}}
#: The newest version, recorded with the claims of a study before its first evaluation.
TABLE_VERSION = max(ROW_LEVEL_RULES)


def row_level_rule(version: int, kind: str, function: str, n_repeats: int) -> RowLevelRule | None:
    """Return the row-level rule that decides for a kind of learner and a measure; None where the corrected t does.

    It does in versions that are not in :data:`ROW_LEVEL_RULES`: those of a newer imblab, and 0, the mark of a
    record without one.

    Examples
    --------
    >>> row_level_rule(1, "a kind that was not simulated", "imblab.core.measures.mcc", 5) is None
    True
    """
    rules = ROW_LEVEL_RULES.get(version, {}).get((kind, function))
    return rules[n_repeats > 1] if rules else None


def is_simulated(n_folds: int, n_repeats: int, n_rarer: int) -> bool:
    """Whether a design is like those that were simulated; a rule decides for no other.

    ``n_folds`` are the outer folds of a repeat, ``n_rarer`` the rows of the rarer class in the table.

    Examples
    --------
    >>> is_simulated(5, 1, 20), is_simulated(5, 2, 20), is_simulated(10, 1, 20), is_simulated(5, 3, 19)
    (True, False, False, False)
    """
    has_repeats = n_repeats == 1 or n_repeats >= MIN_SEVERAL_REPEATS
    return n_folds == SIMULATED_FOLDS and has_repeats and n_rarer >= MIN_RARER_ROWS


def row_level_errors(differences: np.ndarray, row_variances: np.ndarray, rule: RowLevelRule) -> np.ndarray:
    """Row-level standard errors of mean differences, of shape (n_contrasts,).

    ``differences`` have the shape (n_contrasts, n_repeats, n_folds); ``row_variances`` are those of each mean
    difference over the test rows.

    Examples
    --------
    >>> differences = np.array([[[0.1, 0.3], [0.3, 0.5]]])
    >>> row_level_errors(differences, np.array([0.01]), RowLevelRule(rows=1.0, repeats=1.0)).round(4).tolist()
    [0.1414]
    """
    means = differences.mean(axis=2)
    n_repeats = means.shape[1]
    between = means.var(axis=1, ddof=1) / n_repeats if n_repeats > 1 else np.zeros(len(means))
    return np.asarray(np.sqrt(rule.rows * np.maximum(row_variances, 0.0) + rule.repeats * between))


def count_changes(function: Callable[..., np.ndarray], y: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Change of ``f(tn, fp, fn, tp)`` without each row: the score of all rows minus the score without the row.

    Examples
    --------
    >>> y = np.array([0, 0, 1, 1])
    >>> count_changes(counts.recall, y, np.array([False, True, True, False]))
    array([ 0. ,  0. ,  0.5, -0.5])
    """
    cell = 2 * (np.asarray(y) == 1) + np.asarray(called, dtype=bool)  # in the order tn, fp, fn, tp
    table = np.bincount(cell, minlength=4).astype(np.float64)
    without = function(*np.maximum(table - np.eye(4), 0.0).T)
    return np.asarray((function(*table) - without)[cell])


def _matrix_changes(
    function: Callable[[np.ndarray], np.ndarray], y: np.ndarray, decided: np.ndarray, n_classes: int
) -> np.ndarray:
    """Change of a function of the confusion matrix of several classes without each row.

    The score of all rows minus the score without the row; NaN where one of them is undefined. ``function`` maps
    matrices of shape (..., n_classes, n_classes) to their leading shape.
    """
    matrix = confusion_matrices(y, decided, n_classes)
    cells, cell = np.unique(np.asarray(y, dtype=np.int64) * n_classes + decided, return_inverse=True)
    without = np.repeat(matrix[None], len(cells), axis=0)
    without[np.arange(len(cells)), cells // n_classes, cells % n_classes] -= 1
    return np.asarray((function(matrix) - function(without))[cell])


def _macro_changes(
    changes: Callable[[np.ndarray, np.ndarray], np.ndarray], y: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Change of a macro measure of a ranking without each row: the mean over classes, each class against the rest.

    ``changes`` is one for labels 0 and 1, such as :func:`average_precision_changes`; NaN where it is undefined for one
    class.
    """
    return np.asarray(np.mean(scores_per_class(y, values, changes), axis=0))


def average_precision_changes(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Change of the average precision without each row; see :func:`imblab.stats.curves.average_precision`.

    Ties count as one threshold. NaN where a single positive row leaves the score without it undefined.

    Examples
    --------
    >>> average_precision_changes(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1])).round(3).tolist()
    [0.333, -0.167, -0.167]
    """
    order = np.argsort(-values, kind="stable")
    ranked, label = values[order], (np.asarray(y)[order] == 1).astype(np.float64)
    is_last = np.append(ranked[1:] != ranked[:-1], True)  # of a group of equal values
    group = np.cumsum(is_last) - is_last
    tp, n = np.cumsum(label)[is_last], np.flatnonzero(is_last) + 1.0
    positives = np.bincount(group, weights=label, minlength=len(n))
    total = tp[-1]
    if total < 2:
        return np.full(len(label), np.nan)
    terms = positives * tp / n
    above, fewer = np.cumsum(terms) - terms, np.maximum(n - 1, 1)
    # Without a positive row, its own group and those below it have one positive and one row fewer.
    positive_row = (above + _sum_from(positives * (tp - 1) / fewer) - np.maximum(tp - 1, 0) / fewer) / (total - 1)
    negative_row = (above + _sum_from(positives * tp / fewer)) / total
    changes = np.empty(len(label))
    changes[order] = terms.sum() / total - np.where(label == 1, positive_row[group], negative_row[group])
    return changes


def roc_auc_changes(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Change of the area under the ROC curve without each row, from placement values; ties count half.

    NaN for the single row of its class: the area without it is undefined.

    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837-845.

    Examples
    --------
    >>> roc_auc_changes(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.1, 0.3])).tolist()
    [0.5, 0.0, -0.5, 0.0]
    """
    positive = np.asarray(y) == 1
    placement = np.empty(len(values))
    for mask, sign in ((positive, 1.0), (~positive, -1.0)):
        others = np.sort(sign * values[~mask])
        low, high = (np.searchsorted(others, sign * values[mask], side=side) for side in ("left", "right"))
        placement[mask] = (low + high) / (2 * len(others))
    n_rows = np.where(positive, positive.sum(), (~positive).sum()).astype(np.float64)
    n_rows[n_rows == 1] = np.nan
    return np.asarray((placement - placement[positive].mean()) / (n_rows - 1))


def mean_changes(losses: np.ndarray) -> np.ndarray:
    """Change of a mean over rows without each of them.

    Examples
    --------
    >>> mean_changes(np.array([0.0, 0.0, 3.0])).tolist()
    [-0.5, -0.5, 1.0]
    """
    return np.asarray((losses - losses.mean()) / (len(losses) - 1))


def row_covariance(changes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Covariance of the mean scores of several strategies that comes from the test rows.

    The delete-one jackknife within classes, of at least two rows each: folds are stratified, so that the number of rows
    of each class is fixed. ``changes`` of shape (n_strategies, n_rows) are those of the mean over folds and repeats
    without each row of the table. The variance of a contrast a - b is ``c[a, a] + c[b, b] - 2 c[a, b]``.

    Examples
    --------
    >>> y = np.array([0, 1, 0, 1])
    >>> row_covariance(np.array([[0.1, 0.2, -0.1, -0.2], [0.1, 0.0, -0.1, 0.0]]), y).round(3).tolist()
    [[0.05, 0.01], [0.01, 0.01]]
    """
    covariance = np.zeros((len(changes), len(changes)))
    for label in np.unique(y):
        part = changes[:, np.asarray(y) == label]
        centred = part - part.mean(axis=1, keepdims=True)
        covariance += (part.shape[1] - 1) / part.shape[1] * (centred @ centred.T)
    return covariance


def _sum_from(values: np.ndarray) -> np.ndarray:
    """Sum of each value and all after it."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


#: By the dotted path of a measure's function: those whose standard errors were simulated (docs/statistics.md).
ROW_CHANGES: Mapping[str, RowChanges] = {
    "imblab.core.measures.mcc": lambda y, values, called: count_changes(counts.mcc, y, called),
    "imblab.core.measures.average_precision": lambda y, values, called: average_precision_changes(y, values),
    "imblab.core.measures.roc_auc": lambda y, values, called: roc_auc_changes(y, values),
    "imblab.core.measures.brier": lambda y, values, called: mean_changes((values - y) ** 2),
}

#: The same for more than two classes: ``f(y, values, decided)`` with values of shape (n_rows, n_classes) and decided
#: classes. Shown next to the corrected t, which decides there.
CLASS_ROW_CHANGES: Mapping[str, RowChanges] = {
    "imblab.core.measures.mcc": lambda y, values, decided: _matrix_changes(class_mcc, y, decided, values.shape[1]),
    "imblab.core.measures.recall": lambda y, values, decided: _matrix_changes(
        macro_recall, y, decided, values.shape[1]
    ),
    "imblab.core.measures.precision": lambda y, values, decided: _matrix_changes(
        macro_precision, y, decided, values.shape[1]
    ),
    "imblab.core.measures.average_precision": lambda y, values, decided: _macro_changes(
        average_precision_changes, y, values
    ),
    "imblab.core.measures.roc_auc": lambda y, values, decided: _macro_changes(roc_auc_changes, y, values),
    "imblab.core.measures.brier": lambda y, values, decided: mean_changes(brier_losses(y, values)),
}
