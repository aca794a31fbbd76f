"""Standard errors of contrasts between strategies, and which of them decides for a kind of learner.

The difference is ``d``, the mean over R repeats of F folds of the score of a minus that of b.

corrected_t
    ``se**2 = (1/J + n_test/n_train) * s**2`` with J - 1 degrees of freedom, J = R F; ``s**2`` is the sample variance of
    the J differences (Nadeau and Bengio 2003). It decides wherever nothing else is stated below.
row_level
    ``se**2 = rows * W + repeats * B / R`` with P - 1 degrees of freedom. W is the jackknife variance of ``d`` over the
    test rows (:func:`imblab.stats.row_influence.row_covariance`), B the sample variance of the R means over folds, P
    the number of rows of the rarer class. ``rows`` and ``repeats`` come from the simulation in
    ``experiments/test_size``.

An estimator decides for a kind of learner and a measure only if its simulated size and coverage keep the bounds of
docs/statistics.md, which prints them, and only for designs like those that were simulated; of those that do, the most
powerful decides.

References
----------
Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52, 239-281.
Efron and Stein (1981), The jackknife estimate of variance, Annals of Statistics 9, 586-596.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CORRECTED_T, ROW_LEVEL = "corrected_t", "row_level"
#: What was simulated: the outer folds of a repeat, the fewest repeats of several, the fewest rows of the rarer class.
SIMULATED_FOLDS, MIN_SEVERAL_REPEATS, MIN_RARER_ROWS = 5, 3, 20


@dataclass(frozen=True, slots=True)
class RowLevelRule:
    """Weights of the two variances of a row-level standard error.

    Attributes
    ----------
    rows : float
        Weight of the variance over test rows.
    repeats : float
        Weight of the variance between repeats; unused with one repeat.
    """

    rows: float
    repeats: float = 0.0


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

    Parameters
    ----------
    n_folds, n_repeats : int
        Outer folds of a repeat, and repeats.
    n_rarer : int
        Rows of the rarer class in the table.

    Examples
    --------
    >>> is_simulated(5, 1, 20), is_simulated(5, 2, 20), is_simulated(10, 1, 20), is_simulated(5, 3, 19)
    (True, False, False, False)
    """
    has_repeats = n_repeats == 1 or n_repeats >= MIN_SEVERAL_REPEATS
    return n_folds == SIMULATED_FOLDS and has_repeats and n_rarer >= MIN_RARER_ROWS


def row_level_errors(differences: np.ndarray, row_variances: np.ndarray, rule: RowLevelRule) -> np.ndarray:
    """Row-level standard errors of mean differences.

    Parameters
    ----------
    differences : ndarray of shape (n_contrasts, n_repeats, n_folds)
        Scores of a minus those of b.
    row_variances : ndarray of shape (n_contrasts,)
        Variance of each mean difference over the test rows.
    rule : RowLevelRule
        Weights of the two variances.

    Returns
    -------
    ndarray of shape (n_contrasts,), float64

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
