"""What mistakes cost: a matrix of four costs, the amounts of rows, and the threshold that theory says is best.

A cost matrix is ``{fn: 10, fp: 1, tp: 0, tn: 0}``: what one row of each kind costs, in any unit; ``tp`` and ``tn`` may
be left out for 0. ``fn: amount`` says that a missed positive costs the amount of its row. Elkan's names are
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

NEEDED, OPTIONAL = ("fn", "fp"), ("tp", "tn")
#: What stands for the amount of a row.
AMOUNT = "amount"

Costs = Mapping[str, Any]


def fault(costs: object, amounts: bool = False) -> str:
    """Why something is no cost matrix; empty where it is one.

    Parameters
    ----------
    costs : object
    amounts : bool, default=False
        Whether ``fn`` may be ``amount``.

    Returns
    -------
    str

    Examples
    --------
    >>> fault({"fn": 10, "fp": 1}), fault({"fn": 10})
    ('', 'a cost names fn and fp, and perhaps tp and tn')
    """
    keys = set(costs) if isinstance(costs, Mapping) else set()
    if not isinstance(costs, Mapping) or not keys >= set(NEEDED) or keys - {*NEEDED, *OPTIONAL}:
        return "a cost names fn and fp, and perhaps tp and tn"
    numbers = [c for k, c in costs.items() if not (amounts and reads_amount(costs) and k == "fn")]
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) and isfinite(c) for c in numbers):
        return "a cost is a finite number" + (", and that of fn may be 'amount'" if amounts else "")
    mistakes = [c for k, c in costs.items() if k in NEEDED and c != AMOUNT]
    if min(mistakes) < 0 or (len(mistakes) == len(NEEDED) and not any(mistakes)):
        return "fn and fp are at least 0 and not both 0"
    return ""


def reads_amount(costs: Any) -> bool:
    """Whether a missed positive costs the amount of its row."""
    return isinstance(costs, Mapping) and costs.get("fn") == AMOUNT


def total(costs: Costs, tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """The summed cost of confusion counts; under ``fn: amount``, ``fn`` is the summed amount of the missed positives.

    Examples
    --------
    >>> total({"fn": 10, "fp": 1}, 90, 3, 2, 5).item()
    23.0
    """
    missed = np.asarray(fn, dtype=np.float64) if reads_amount(costs) else costs["fn"] * np.asarray(fn, dtype=np.float64)
    return np.asarray(missed + costs["fp"] * np.asarray(fp) + _of(costs, "tp", tp) + _of(costs, "tn", tn))


def _of(costs: Costs, kind: str, rows: Any) -> np.ndarray:
    return np.asarray(costs.get(kind, 0) * np.asarray(rows))


def expected_cost(tn: Any, fp: Any, fn: Any, tp: Any, costs: Costs) -> np.ndarray:
    """Mean cost of a row under a cost matrix; lower is better, undefined without rows.

    Parameters
    ----------
    tn, fp, fn, tp : int or ndarray of any one shape
    costs : mapping

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If ``costs`` is no cost matrix.

    Examples
    --------
    >>> expected_cost(90, 3, 2, 5, {"fn": 10, "fp": 1}).item()
    0.23
    """
    if said := fault(costs):
        raise ValueError(f"costs is {costs!r}, and {said}")
    rows = np.asarray(np.add(tn, fp) + np.add(fn, tp), dtype=np.float64)
    return np.asarray(np.divide(total(costs, tn, fp, fn, tp), rows, out=np.full(rows.shape, np.nan), where=rows != 0))


def amount_cost(y: np.ndarray, called: np.ndarray, amount: np.ndarray, costs: Costs) -> float:
    """Mean cost of a row where a missed positive costs its own amount (Bahnsen et al. 2014); lower is better.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
    called : ndarray of shape (n_rows,), bool
        Which rows are called positive.
    amount : ndarray of shape (n_rows,)
        In the unit of the costs.
    costs : mapping
        ``{fn: amount, fp: 1, tp: 1}``.

    Returns
    -------
    float
        NaN without rows.

    Raises
    ------
    ValueError
        If ``costs`` is no cost matrix with ``fn: amount``.

    Examples
    --------
    >>> y, called = np.array([1, 1, 0, 0]), np.array([True, False, True, False])
    >>> amount_cost(y, called, np.array([80.0, 30.0, 5.0, 7.0]), {"fn": "amount", "fp": 2, "tp": 2})
    8.5
    """
    if (said := fault(costs, amounts=True)) or not reads_amount(costs):
        raise ValueError(f"costs is {costs!r}, and {said or 'fn must be amount here'}")
    positive = y == 1
    missed = float(np.sum(amount[positive & ~called]))
    fp, tp = np.count_nonzero(called & ~positive), np.count_nonzero(called & positive)
    tn = np.count_nonzero(~called & ~positive)
    return float(total(costs, tn, fp, missed, tp)) / len(y) if len(y) else float("nan")


def missed_amounts(y: np.ndarray, p: np.ndarray, amount: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Summed amount of the positives below every cut.

    Parameters
    ----------
    y, p, amount : ndarray of shape (n_rows,)
    cuts : ndarray

    Returns
    -------
    ndarray
        Of the shape of ``cuts``.

    Examples
    --------
    >>> missed_amounts(np.array([1, 0, 1]), np.array([0.2, 0.1, 0.6]), np.array([5.0, 9.0, 7.0]), np.array([0.2, 0.7]))
    array([ 0., 12.])
    """
    positive = y == 1
    order = np.argsort(p[positive], kind="stable")
    sums = np.append(0.0, np.cumsum(amount[positive][order]))
    return np.asarray(sums[np.searchsorted(p[positive][order], cuts)])


def unreasonable(costs: Costs) -> str:
    """Why no threshold is best under a cost matrix; empty where one is (Elkan 2001, section 1.1)."""
    if costs["fp"] <= costs.get("tn", 0) or costs["fn"] <= costs.get("tp", 0):
        return "a mistake costs more than the right call of the same row: fp more than tn, fn more than tp"
    return ""


def optimal_threshold(costs: Costs) -> float:
    """The threshold of least expected cost for true probabilities (Elkan 2001, equation 2).

    ``p* = (c_10 - c_00) / (c_10 - c_00 + c_01 - c_11)``

    Parameters
    ----------
    costs : mapping
        Of numbers, with fp above tn and fn above tp.

    Returns
    -------
    float
        In (0, 1).

    Examples
    --------
    >>> optimal_threshold({"fn": 9, "fp": 1})
    0.1
    """
    alarm, miss = costs["fp"] - costs.get("tn", 0), costs["fn"] - costs.get("tp", 0)
    return float(alarm / (alarm + miss))
