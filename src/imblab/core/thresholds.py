"""Where to cut: one threshold from the inner predictions, without a fit.

Every rule reads confusion counts summed over the inner validation folds (Forman and Scholz 2010 show for F why sums and
not means). A common cut assumes that the fold models share a scale: the best cut of each fold is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from imblab.errors import ConfigError, unknown
from imblab.stats import costs
from imblab.stats.counts import ConfusionCounts, counts_at, precision, recall
from imblab.study import Threshold

Fold = tuple[np.ndarray, np.ndarray]
Function = Callable[..., np.ndarray]
Grid = tuple[float, ...] | str

#: Values closer than this are tied.
TIE = 1e-12
RULES = ("alert_rate", "min_precision", "min_recall", "cost", "cost_optimal")


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold and what it gives on the inner folds.

    Attributes
    ----------
    threshold : float
    value : float or None
        The measure from the summed counts; None where undefined.
    at_edge : bool
        Whether it is the first or last of its candidates.
    fold_thresholds : tuple of float
        The best cut of each fold by itself.
    """

    threshold: float
    value: float | None
    at_edge: bool = False
    fold_thresholds: tuple[float, ...] = ()


def settled(rule: Threshold) -> Threshold:
    """A rule with what is known before any fit: ``{"cost_optimal": ...}`` is Elkan's threshold, a number.

    Examples
    --------
    >>> settled({"cost_optimal": {"fn": 9, "fp": 1}}), settled("tuned")
    (0.1, 'tuned')
    """
    matrix = rule.get("cost_optimal") if isinstance(rule, Mapping) else None
    return costs.optimal_threshold(matrix) if matrix else rule


def needs_probability(rule: Threshold) -> bool:
    """Whether a rule holds for probabilities only."""
    return isinstance(rule, Mapping) and "cost_optimal" in rule


def is_observed(rule: Threshold, grid: Grid) -> bool:
    """Whether a rule chooses among observed predictions, and so is one of the scale that they have.

    Examples
    --------
    >>> is_observed("tuned", (0.5,)), is_observed("tuned", "observed"), is_observed({"alert_rate": 0.1}, (0.5,))
    (False, True, True)
    """
    return isinstance(rule, Mapping) or (rule == "tuned" and isinstance(grid, str))


def needs_amount(rule: Threshold) -> bool:
    """Whether a rule reads the amounts of rows."""
    return isinstance(rule, Mapping) and costs.reads_amount(rule.get("cost"))


def choose(
    rule: Threshold,
    folds: Sequence[Fold],
    grid: Grid,
    measure: Function,
    greater_is_better: bool = True,
    amounts: Sequence[np.ndarray] = (),
) -> Cut | None:
    """Choose a threshold by a rule.

    Parameters
    ----------
    rule : float, "tuned" or mapping
        A number is kept. ``tuned`` maximises the measure over the grid. ``{"alert_rate": q}`` is the largest observed
        score that flags at least the share q; ``{"min_precision": v}`` and ``{"min_recall": v}`` maximise the measure
        among the cuts that meet it; ``{"cost": {"fn": a, "fp": b}}`` has the least summed cost, where ``tp`` and ``tn``
        may cost too and ``"fn": "amount"`` is the amount of the missed row. These four look at the distinct observed
        scores. :func:`settled` turns ``{"cost_optimal": ...}`` into a number.
    folds : sequence of (y, p)
        Labels of the inner validation folds, and what the threshold is compared with: probabilities, or decision
        values where the rule looks at the observed ones.
    grid : tuple of float or "observed"
        The candidates of ``tuned``.
    measure : callable
        A label measure ``f(tn, fp, fn, tp)``.
    greater_is_better : bool, default=True
    amounts : sequence of ndarray, optional
        Of the rows of every fold, where the rule reads them.

    Returns
    -------
    Cut or None
        None where no cut meets the rule, or the measure is undefined at every cut.

    Notes
    -----
    Values within 1e-12 of the best are tied; ties go to the threshold nearest 0.5, on either scale, then to the lower
    one.

    Examples
    --------
    >>> from imblab.stats.counts import mcc
    >>> folds = [(np.array([0, 0, 1]), np.array([0.1, 0.3, 0.4]))]
    >>> choose("tuned", folds, tuple(i / 100 for i in range(1, 100)), mcc).threshold
    0.4
    """
    if isinstance(rule, (int, float)):
        counts = reduce(add, [counts_at(y, p, float(rule)) for y, p in folds])
        return Cut(float(rule), _number(float(_apply(measure, counts))))
    pooled = is_observed(rule, grid)
    cuts = np.unique(np.concatenate([p for _, p in folds]) if pooled else np.asarray(grid, dtype=np.float64))
    table = _table(folds, cuts)
    values = _apply(measure, table)
    if isinstance(rule, Mapping) and needs_amount(rule):
        missed = [costs.missed_amounts(y, p, amount, cuts) for (y, p), amount in zip(folds, amounts, strict=True)]
        wanted = -costs.total(rule["cost"], table.tn, table.fp, np.stack([*missed, np.sum(missed, axis=0)]), table.tp)
    else:
        wanted = _wanted(rule, table, values if greater_is_better else -values)
    index = _best(wanted[-1], cuts)
    if index is None:
        return None
    alone = [_best(_own(row, cuts, p) if pooled else row, cuts) for row, (_, p) in zip(wanted, folds, strict=False)]
    at_edge = len(cuts) > 1 and index in (0, len(cuts) - 1)
    own = tuple(float(cuts[i]) for i in alone if i is not None)
    return Cut(float(cuts[index]), _number(values[-1, index]), at_edge, own)


def ceiling(rule: Threshold, folds: Sequence[Fold], positives: int, negatives: int, measure: Function) -> float:
    """The best value that is still possible when some folds are known and every other row is called right.

    Parameters
    ----------
    rule : float, "tuned" or mapping
    folds : sequence of (y, p)
        The folds that are known.
    positives, negatives : int
        Rows of the folds that are not.
    measure : callable
        A label measure that never falls when a wrong call is put right.

    Returns
    -------
    float
        Infinite where the measure is undefined at some cut.

    Examples
    --------
    >>> from imblab.stats.counts import recall
    >>> ceiling(0.5, [(np.array([0, 1]), np.array([0.1, 0.2]))], 1, 1, recall)
    0.5
    """
    fixed = isinstance(rule, (int, float))
    # Counts change at observed scores only, and above the highest of them nothing is called positive.
    cuts = np.array([rule]) if fixed else np.append(np.unique(np.concatenate([p for _, p in folds])), np.inf)
    known = reduce(add, [counts_at(y, p, cuts) for y, p in folds])
    values = np.asarray(measure(known.tn + negatives, known.fp, known.fn, known.tp + positives), dtype=np.float64)
    return float(np.max(np.where(np.isnan(values), np.inf, values)))


def check(rule: object, where: str) -> None:
    """Refuse a rule that is none.

    Parameters
    ----------
    rule : object
    where : str
        The key it was written under, for the message.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check({"alert_rate": 0.01}, "strategy.desk.threshold")
    """
    if rule == "tuned":
        return
    if isinstance(rule, Mapping):
        _check_mapping(rule, where)
    elif isinstance(rule, bool) or not isinstance(rule, (int, float)) or not 0 <= rule <= 1:
        raise ConfigError(
            f"{where!r} is {rule!r}; a threshold is a number from 0 to 1, 'tuned', or one rule of {', '.join(RULES)}. "
            f"Write for example {where}=tuned."
        )


def _check_mapping(rule: Mapping[str, object], where: str) -> None:
    if len(rule) != 1:
        raise ConfigError(
            f"{where!r} holds {len(rule)} rules ({', '.join(map(str, rule)) or 'none'}); a threshold follows exactly "
            f"one. Keep one of: {', '.join(RULES)}."
        )
    name, value = next(iter(rule.items()))
    if name not in RULES:
        raise ConfigError(unknown("threshold rule", str(name), RULES, f"in {where!r}"))
    if name in ("cost", "cost_optimal"):
        _check_cost(str(name), value, where)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ConfigError(
            f"{where!r} has {name}={value!r}; a share lies above 0 and at most at 1. Write for example "
            f"{where}={{{name}: 0.5}}."
        )


def _check_cost(name: str, value: Any, where: str) -> None:
    empirical = name == "cost"
    said = costs.fault(value, amounts=empirical) or ("" if empirical else costs.unreasonable(value))
    if said:
        raise ConfigError(
            f"{where!r} has {name}={value!r}; {said}. Write for example {where}={{{name}: {{fn: 10, fp: 1}}}}."
        )


def _table(folds: Sequence[Fold], cuts: np.ndarray) -> ConfusionCounts:
    """Counts of shape (n_folds + 1, n_cuts): the folds one by one, and their sum in the last row."""
    parts = [counts_at(y, p, cuts) for y, p in folds]
    parts.append(reduce(add, parts))
    return ConfusionCounts(*(np.stack([getattr(part, name) for part in parts]) for name in ("tn", "fp", "fn", "tp")))


def _apply(measure: Function, table: ConfusionCounts) -> np.ndarray:
    return np.asarray(measure(*table), dtype=np.float64)


def _wanted(rule: Threshold, table: ConfusionCounts, values: np.ndarray) -> np.ndarray:
    """What the rule maximises at every cut; NaN where the cut may not be chosen."""
    if not isinstance(rule, Mapping):
        return values
    name, bound = next(iter(rule.items()))
    if name == "cost":
        return -costs.total(bound, *table)
    if name == "alert_rate":
        flagged = table.tp + table.fp
        # The rank of the score, not the score: two that lie closer than a tie are two scores.
        rank = np.arange(flagged.shape[1], dtype=np.float64)
        return np.asarray(np.where(flagged / (flagged + table.tn + table.fn) >= bound, rank, np.nan))
    met = _apply(precision if name == "min_precision" else recall, table) >= bound
    return np.asarray(np.where(met, values, np.nan))


def _own(wanted: np.ndarray, cuts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """What is wanted of one fold: only its own scores are its candidates."""
    own = np.full(len(cuts), np.nan)
    at = np.searchsorted(cuts, p)
    own[at] = wanted[at]
    return own


def _best(wanted: np.ndarray, cuts: np.ndarray) -> int | None:
    """The cut that is wanted most; ties go to the one nearest 0.5, then to the lower one."""
    most = np.fmax.reduce(wanted)
    if np.isnan(most):
        return None
    tied = np.flatnonzero(most - wanted <= TIE)
    if len(tied) > 1:
        # `tied` ascends and argmin takes the first: the lower of two that are equally near.
        tied = tied[np.argmin(np.round(np.abs(cuts[tied] - 0.5), 12), keepdims=True)]
    return int(tied[0])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
