"""Costs of wrong calls: a matrix of four costs, amounts per row, and the optimal threshold.

A cost matrix is ``{fn: 10, fp: 1, tp: 0, tn: 0}``: the cost of one row of each kind, in any unit; ``tp`` and ``tn`` are
0 where they are left out. ``fn: amount`` means that a missed positive costs the amount of its row. Elkan's names are
``c_01`` for fn, ``c_10`` for fp, ``c_11`` for tp and ``c_00`` for tn.

References
----------
Elkan (2001), The foundations of cost-sensitive learning, IJCAI, 973-978.
Bahnsen, Aouada and Ottersten (2014), Example-dependent cost-sensitive logistic regression for credit scoring, ICMLA,
263-269.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from imblab.stats.counts import ratio

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
