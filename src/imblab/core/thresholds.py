"""Threshold rules: one threshold from the predictions on the inner folds, without a fit.

Every rule reads confusion counts summed over the inner validation folds (Forman and Scholz 2010 show for F why sums and
not means). A common threshold assumes that the models of the folds share a scale: the best threshold of each fold is
reported next to it.
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
from imblab.stats.counts import ConfusionCounts, LabelledValues, counts_at, precision, recall
from imblab.study import Threshold

#: A measure of counts, ``f(tn, fp, fn, tp)``.
CountMeasure = Callable[..., np.ndarray]
#: The candidates of ``tuned``: numbers, or ``observed`` for the distinct values of the inner folds.
ThresholdGrid = tuple[float, ...] | str

#: Values of a measure closer than this are tied.
VALUE_TOLERANCE = 1e-12
THRESHOLD_RULES = ("alert_rate", "min_precision", "min_recall", "cost", "cost_optimal")


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold and its value on the inner folds.

    Attributes
    ----------
    threshold : float
        On the scale of the predictions.
    value : float or None
        The measure of the summed counts; None where undefined.
    at_edge : bool
        Whether it is the first or last of its candidates.
    fold_thresholds : tuple of float
        The best threshold of each fold by itself.
    """

    threshold: float
    value: float | None
    at_edge: bool = False
    fold_thresholds: tuple[float, ...] = ()


def resolve_rule(rule: Threshold) -> Threshold:
    """Resolve what needs no prediction: ``{"cost_optimal": ...}`` becomes Elkan's threshold, a number.

    Examples
    --------
    >>> resolve_rule({"cost_optimal": {"fn": 9, "fp": 1}}), resolve_rule("tuned")
    (0.1, 'tuned')
    """
    matrix = rule.get("cost_optimal") if isinstance(rule, Mapping) else None
    return costs.optimal_threshold(matrix) if matrix else rule


def needs_probability(rule: Threshold) -> bool:
    """Whether a rule holds for probabilities only."""
    return isinstance(rule, Mapping) and "cost_optimal" in rule


def uses_observed_values(rule: Threshold, grid: ThresholdGrid) -> bool:
    """Whether a rule chooses among observed predictions, so that the threshold is on their scale.

    Examples
    --------
    >>> [uses_observed_values(*rule) for rule in (("tuned", (0.5,)), ("tuned", "observed"), ({"alert_rate": 0.1}, ()))]
    [False, True, True]
    """
    return isinstance(rule, Mapping) or (rule == "tuned" and isinstance(grid, str))


def needs_amount(rule: Threshold) -> bool:
    """Whether a rule reads the amounts of rows."""
    return isinstance(rule, Mapping) and costs.reads_amount(rule.get("cost"))


def choose_threshold(
    rule: Threshold,
    folds: Sequence[LabelledValues],
    grid: ThresholdGrid,
    measure: CountMeasure,
    greater_is_better: bool = True,
    amounts: Sequence[np.ndarray] = (),
) -> ThresholdChoice | None:
    """Choose a threshold by a rule from predictions on the inner validation folds.

    Parameters
    ----------
    rule : float, "tuned" or mapping
        A number is kept. ``tuned`` maximises the measure over the grid. ``{"alert_rate": q}`` is the largest observed
        value that calls at least the share q positive; ``{"min_precision": v}`` and ``{"min_recall": v}`` maximise the
        measure among the thresholds that meet it; ``{"cost": {"fn": a, "fp": b}}`` minimises the summed cost, where
        ``tp`` and ``tn`` may cost too and ``"fn": "amount"`` is the amount of the missed row. These four look at the
        distinct observed values. :func:`resolve_rule` turns ``{"cost_optimal": ...}`` into a number.
    folds : sequence of (y, values)
        Labels, and what the threshold is compared with: probabilities, or decision values where the rule looks at the
        observed ones.
    grid : tuple of float or "observed"
        The candidates of ``tuned``.
    measure : callable
        A measure of counts ``f(tn, fp, fn, tp)``.
    greater_is_better : bool, default=True
        Direction of the measure.
    amounts : sequence of ndarray, optional
        Amounts of the rows of every fold, where the rule reads them.

    Returns
    -------
    ThresholdChoice or None
        None where no threshold meets the rule, or the measure is undefined at every threshold.

    Notes
    -----
    Values within 1e-12 of the best are tied; ties go to the threshold nearest 0.5, on either scale, then to the lower
    one.

    Examples
    --------
    >>> from imblab.stats.counts import mcc
    >>> folds = [(np.array([0, 0, 1]), np.array([0.1, 0.3, 0.4]))]
    >>> choose_threshold("tuned", folds, tuple(i / 100 for i in range(1, 100)), mcc).threshold
    0.4
    """
    if isinstance(rule, (int, float)):
        counts = reduce(add, [counts_at(y, values, float(rule)) for y, values in folds])
        return ThresholdChoice(float(rule), _finite_or_none(float(measure(*counts))))
    is_observed = uses_observed_values(rule, grid)
    candidates = np.unique(np.concatenate([v for _, v in folds]) if is_observed else np.asarray(grid, dtype=np.float64))
    table = _counts_by_fold(folds, candidates)
    scores = np.asarray(measure(*table), dtype=np.float64)
    if isinstance(rule, Mapping) and needs_amount(rule):
        pairs = zip(folds, amounts, strict=True)
        missed = [costs.missed_amounts(y, values, amount, candidates) for (y, values), amount in pairs]
        missed.append(np.sum(missed, axis=0))
        objective = -costs.total_cost(rule["cost"], table.tn, table.fp, np.stack(missed), table.tp)
    else:
        objective = _objective(rule, table, scores if greater_is_better else -scores)
    index = _best_index(objective[-1], candidates)
    if index is None:
        return None
    of_folds = [
        _best_index(_at_observed(row, candidates, values) if is_observed else row, candidates)
        for row, (_, values) in zip(objective, folds, strict=False)
    ]
    at_edge = len(candidates) > 1 and index in (0, len(candidates) - 1)
    fold_thresholds = tuple(float(candidates[i]) for i in of_folds if i is not None)
    return ThresholdChoice(float(candidates[index]), _finite_or_none(scores[-1, index]), at_edge, fold_thresholds)


def best_reachable_value(
    rule: Threshold, folds: Sequence[LabelledValues], positives: int, negatives: int, measure: CountMeasure
) -> float:
    """Return the best value that is still possible when some folds are known and all other rows are called correctly.

    ``folds`` are those that are known, ``positives`` and ``negatives`` the rows of those that are not; the measure must
    never fall when a wrong call is corrected. Infinite where the measure is undefined at some threshold.

    Examples
    --------
    >>> from imblab.stats.counts import recall
    >>> best_reachable_value(0.5, [(np.array([0, 1]), np.array([0.1, 0.2]))], 1, 1, recall)
    0.5
    """
    # Counts change at observed values only, and above the highest of them no row is called positive.
    candidates = (
        np.array([rule])
        if isinstance(rule, (int, float))
        else np.append(np.unique(np.concatenate([values for _, values in folds])), np.inf)
    )
    counts = reduce(add, [counts_at(y, values, candidates) for y, values in folds])
    scores = measure(counts.tn + negatives, counts.fp, counts.fn, counts.tp + positives)
    scores = np.asarray(scores, dtype=np.float64)
    return float(np.max(np.where(np.isnan(scores), np.inf, scores)))


def check_rule(rule: object, where: str) -> None:
    """Raise ``ConfigError`` unless a value is a threshold rule; ``where`` is the key it was written under.

    Examples
    --------
    >>> check_rule({"alert_rate": 0.01}, "strategy.desk.threshold")
    """
    if rule == "tuned":
        return
    if isinstance(rule, Mapping):
        _check_mapping(rule, where)
    elif isinstance(rule, bool) or not isinstance(rule, (int, float)) or not 0 <= rule <= 1:
        raise ConfigError(
            f"{where!r} is {rule!r}; a threshold must be a number from 0 to 1, 'tuned', or one rule of "
            f"{', '.join(THRESHOLD_RULES)}. Write for example {where}=tuned."
        )


def _check_mapping(rule: Mapping[str, Any], where: str) -> None:
    if len(rule) != 1:
        raise ConfigError(
            f"{where!r} holds {len(rule)} rules ({', '.join(map(str, rule)) or 'none'}); a threshold must follow "
            f"exactly one. Keep one of: {', '.join(THRESHOLD_RULES)}."
        )
    name, value = next(iter(rule.items()))
    if name not in THRESHOLD_RULES:
        raise ConfigError(unknown("threshold rule", str(name), THRESHOLD_RULES, f"in {where!r}"))
    if name in ("cost", "cost_optimal"):
        reason = costs.invalid_matrix_reason(value, amounts=name == "cost")
        if reason is None and name == "cost_optimal":
            reason = costs.no_optimum_reason(value)
        example = "{fn: 10, fp: 1}"
    else:
        is_share = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1
        reason, example = None if is_share else "a share must lie in (0, 1]", "0.5"
    if reason:
        raise ConfigError(f"{where!r} has {name}={value!r}; {reason}. Write for example {where}={{{name}: {example}}}.")


def _counts_by_fold(folds: Sequence[LabelledValues], candidates: np.ndarray) -> ConfusionCounts:
    """Counts of shape (n_folds + 1, n_candidates): the folds one by one, and their sum in the last row."""
    parts = [counts_at(y, values, candidates) for y, values in folds]
    parts.append(reduce(add, parts))
    return ConfusionCounts(*map(np.stack, zip(*parts, strict=True)))


def _objective(rule: Threshold, table: ConfusionCounts, scores: np.ndarray) -> np.ndarray:
    """Objective of the rule at every candidate; NaN where the candidate may not be chosen."""
    if not isinstance(rule, Mapping):
        return scores
    name, bound = next(iter(rule.items()))
    if name == "cost":
        return -costs.total_cost(bound, *table)
    if name == "alert_rate":
        called = table.tp + table.fp
        # The rank of the value, not the value: two that lie closer than a tie are two values.
        rank = np.arange(called.shape[1], dtype=np.float64)
        return np.asarray(np.where(called / (called + table.tn + table.fn) >= bound, rank, np.nan))
    bounded = (precision if name == "min_precision" else recall)(*table)
    return np.asarray(np.where(bounded >= bound, scores, np.nan))


def _at_observed(objective: np.ndarray, candidates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The objective of one fold: only its observed values are its candidates."""
    restricted = np.full(len(candidates), np.nan)
    index = np.searchsorted(candidates, values)
    restricted[index] = objective[index]
    return restricted


def _best_index(objective: np.ndarray, candidates: np.ndarray) -> int | None:
    """The candidate with the largest objective; ties go to the one nearest 0.5, then to the lower one."""
    largest = np.fmax.reduce(objective)
    if np.isnan(largest):
        return None
    tied = np.flatnonzero(largest - objective <= VALUE_TOLERANCE)
    if len(tied) > 1:
        # `tied` ascends and argmin takes the first: the lower of two that are equally near.
        tied = tied[np.argmin(np.round(np.abs(candidates[tied] - 0.5), 12), keepdims=True)]
    return int(tied[0])


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
