"""Calibration and threshold rules: from the predictions of the inner folds to probabilities and calls, without a fit.

The functions on predictions are for two classes; :mod:`imblab.core.class_decisions` is for more.

Calibration ``prior`` corrects the predictions of each fit for the positive share that the fit received. ``sigmoid``,
``isotonic`` and the user's own classes are fitted to inner validation predictions: the map of fold j to those of the
other folds, the map of the outer rows to all of them. The formulas are in :mod:`imblab.stats.probabilities`.

Every threshold rule reads confusion counts summed over the inner validation folds (Forman and Scholz 2010 show for F
why sums and not means). A common threshold assumes that the models of the folds share a scale: the best threshold of
each fold is reported next to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
from scipy.special import logit

from imblab.core import estimator_specs, step_rows
from imblab.errors import ConfigError, FitFailed, foreign_reason, unknown
from imblab.stats.counts import (
    ConfusionCounts,
    LabelledValues,
    best_threshold_index,
    counts_at,
    invalid_class_costs_reason,
    invalid_matrix_reason,
    missed_amounts,
    no_optimum_reason,
    optimal_threshold,
    precision,
    reads_amount,
    recall,
    total_cost,
)
from imblab.stats.probabilities import (
    CalibrationMap,
    correct_prior,
    fit_isotonic,
    fit_sigmoid,
    received_share,
    relative_weight,
)
from imblab.study import Learner, Make, Strategy, Threshold
from imblab.text import to_override
from imblab.weights import BALANCED, computed_weight, weight_power
from imblab_model import INSIDE

#: What `Strategy.calibration` may be, in addition to the dotted path of a class; see :func:`is_class`.
CALIBRATIONS = ("none", "prior", "sigmoid", "isotonic")
#: What `Strategy.prior_correction` may be.
CORRECTIONS = ("exact", "approximate", "inapplicable")
#: Positives of the outer training part below which a calibration is not fitted.
MIN_POSITIVES = {"isotonic": 50}

#: Calibrations that are fitted to inner validation predictions.
_FITTED: dict[str, Callable[[np.ndarray, np.ndarray], CalibrationMap]] = {
    "sigmoid": fit_sigmoid,
    "isotonic": fit_isotonic,
}


def is_learned(kind: str) -> bool:
    """Whether a calibration is fitted to inner validation predictions."""
    return kind in _FITTED or is_class(kind)


def is_class(kind: str) -> bool:
    """Whether a calibration is the dotted path of a class with ``fit(scores, y)`` and ``predict(scores)``.

    Examples
    --------
    >>> is_class("mypkg.Platt"), is_class("sigmoid")
    (True, False)
    """
    return "." in kind


def corrects_prior(kind: str) -> bool:
    """Whether a calibration corrects the predictions of each fit for the positive share that the fit received."""
    return kind == "prior"


def correct_fit(
    proba: np.ndarray, y_fit: np.ndarray, reached: Mapping[str, Any], weight: float | str | None
) -> np.ndarray:
    """Correct the probabilities of one fit for the class counts ``reached`` by sampling and for the weight."""
    positives = int(np.sum(y_fit))
    share = received_share(len(y_fit) - positives, positives)
    return correct_prior(proba, share, weighted_share(reached["negative"], reached["positive"], weight))


def weighted_share(negatives: float, positives: float, weight: float | str | None) -> float:
    """Return the positive share of the rows that a learner received, with any weight of a strategy.

    Examples
    --------
    >>> weighted_share(90, 10, "power 0.5"), weighted_share(90, 10, None)
    (0.25, 0.1)
    """
    weight = computed_weight(weight)
    power = weight_power(weight)
    if power is not None and weight != BALANCED:
        weight = relative_weight(negatives, positives, power)
    return received_share(negatives, positives, weight)


def fit_map(kind: str, folds: Sequence[LabelledValues], seed: int = 0) -> CalibrationMap:
    """Fit one map to the labels and scores of several folds.

    ``kind`` is ``sigmoid``, ``isotonic`` or the dotted path of a class; the seed is for a class with a
    ``random_state``. Raises ``FitFailed`` if scores are too large for floats, and for any exception of a class.
    """
    step_rows.note_folds(step_rows.CALIBRATION, folds)
    y, scores = (np.concatenate(part) for part in zip(*folds, strict=True))
    return fit_scores(kind, scores, y, seed)


def fit_scores(kind: str, scores: np.ndarray, y: np.ndarray, seed: int = 0) -> CalibrationMap:
    """Fit one map to scores and labels of shape (n_rows,); see :func:`fit_map`."""
    if is_class(kind):
        return _fit_class(kind, scores, y, seed)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # `apply_map` checks the result
            return _FITTED[kind](scores, y)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise FitFailed(f"calibration {kind!r} cannot be fitted: {error}") from error


def _fit_class(path: str, scores: np.ndarray, y: np.ndarray, seed: int) -> CalibrationMap:
    try:
        estimator = estimator_specs.build_estimator({"_target_": path}, allow=None, seed=seed)
        estimator.fit(scores.copy(), y.copy())
    except BaseException as error:  # a class may raise any exception
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise FitFailed(f"calibration {path!r} cannot be fitted: {reason}") from error
    return partial(_predict_by_class, estimator=estimator, path=path)


def _predict_by_class(scores: np.ndarray, *, estimator: Any, path: str) -> np.ndarray:
    try:
        proba = np.asarray(estimator.predict(scores.copy()), dtype=np.float64)
    except BaseException as error:  # a class may raise any exception
        reason = f"{type(error).__name__}: {foreign_reason(error)}"
        raise FitFailed(f"calibration {path!r} gives no probabilities: {reason}") from error
    outside = np.count_nonzero((proba < 0) | (proba > 1))
    if proba.shape != scores.shape or outside:
        what = f"{outside} outside [0, 1]" if proba.shape == scores.shape else f"the shape {proba.shape}"
        raise FitFailed(
            f"calibration {path!r} gives {what} for {len(scores)} rows; it must give one probability per row"
        )
    return proba


def apply_map(learned: CalibrationMap, kind: str, scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities; raises ``FitFailed`` if one of them is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        proba = learned(scores)
    n_bad = np.count_nonzero(~np.isfinite(proba))
    if n_bad:
        raise FitFailed(
            f"calibration {kind!r} gives {n_bad} of {proba.size} probabilities that are not finite, from decision "
            "values that are too large. Change the learner, or set calibration=none."
        )
    return proba


def cross_fit(
    kind: str,
    folds: Sequence[LabelledValues],
    seed: int = 0,
    fit: Callable[[str, Sequence[LabelledValues], int], CalibrationMap] = fit_map,
) -> list[LabelledValues]:
    """Map the scores of every fold, of at least two, by the map that ``fit`` makes of the others.

    Folds stay as they are where nothing is fitted.
    """
    if not is_learned(kind):
        return list(folds)
    maps = [fit(kind, [*folds[:j], *folds[j + 1 :]], seed) for j in range(len(folds))]
    return [(y, apply_map(learned, kind, scores)) for learned, (y, scores) in zip(maps, folds, strict=True)]


def scores_for_map(values: np.ndarray, make: Make) -> np.ndarray:
    """Return what a map reads: the decision value of a learner that has one, else its probability.

    That is what scikit-learn's ``CalibratedClassifierCV`` reads. ``values`` are probabilities, or decision values of a
    learner without probabilities. Where a learner has both, the decision value is the log-odds of its probability, of
    the nearest float within (0, 1).
    """
    return np.asarray(logit(np.clip(values, *INSIDE))) if reads_log_odds(make) else values


def reads_log_odds(make: Make) -> bool:
    """Whether a calibration of a learner reads the log-odds of its probabilities."""
    return estimator_specs.gives_probabilities(make) and estimator_specs.has_method(make, "decision_function")


def has_probabilities(strategy: Strategy, learner: Learner) -> bool:
    """Whether predictions of a learner under a strategy are probabilities, and not decision values."""
    return is_learned(strategy.calibration) or learner.traits.gives_probabilities


def inapplicable_reason(strategy: Strategy, learner: Learner, positives: int) -> str | None:
    """Return why the calibration of a strategy cannot be made with the positives of an outer training part, or None.

    Examples
    --------
    >>> inapplicable_reason(Strategy("i", calibration="isotonic"), Learner("l", {}), 49)
    'calibration isotonic needs 50 training positives, and the outer training part holds 49'
    """
    kind, needed = strategy.calibration, MIN_POSITIVES.get(strategy.calibration, 0)
    if positives < needed:
        return f"calibration {kind} needs {needed} training positives, and the outer training part holds {positives}"
    return prior_inapplicable_reason(strategy, learner) if corrects_prior(kind) else None


def prior_inapplicable_reason(strategy: Strategy, learner: Learner) -> str | None:
    """Return why the prior correction cannot undo what strategy and learner do to the positive share, or None.

    Examples
    --------
    >>> from imblab.study import LearnerTraits
    >>> forest = Learner("forest", {}, traits=LearnerTraits(rebalances=True))
    >>> prior_inapplicable_reason(Strategy("none"), forest)
    "learner 'forest' rebalances the classes by itself, so that the positive share it learned from is unknown"
    """
    if learner.traits.rebalances:
        return (
            f"learner {learner.name!r} rebalances the classes by itself, so that the positive share it learned from is "
            "unknown"
        )
    if strategy.sampler is not None and strategy.prior_correction in (None, "inapplicable"):
        sampler = strategy.sampler["_target_"].rsplit(".", 1)[-1]
        return f"{sampler} chooses rows by their features, not only by their class, which no prior correction undoes"
    if not learner.traits.gives_probabilities:
        return f"the prior correction needs probabilities and learner {learner.name!r} gives decision values only"
    return None


def address_part(strategy: Strategy, learner: Learner) -> list[str | bool | None]:
    """Return what of the calibration may change an evaluation; empty without a calibration."""
    kind = strategy.calibration
    if corrects_prior(kind):
        return [kind, strategy.prior_correction, learner.traits.rebalances]
    return [kind] if is_learned(kind) else []


def approximation_note(strategy: Strategy) -> str | None:
    """Return the note on the evaluations of a strategy whose prior correction is approximate, or None."""
    if corrects_prior(strategy.calibration) and strategy.prior_correction == "approximate":
        return "the prior correction is approximate: synthetic rows move the distributions of the classes too"
    return None


#: A measure of counts, ``f(tn, fp, fn, tp)``.
CountMeasure = Callable[..., np.ndarray]
#: The candidates of ``tuned``: numbers, or ``observed`` for the distinct values of the inner folds.
ThresholdGrid = tuple[float, ...] | str

#: The rules that name a class, as ``{class: LABEL, value: v}``, where there are more than two.
CLASS_RULES = ("min_precision", "min_recall")
THRESHOLD_RULES = ("alert_rate", "min_precision", "min_recall", "cost", "cost_optimal")


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A threshold and its value on the inner folds."""

    #: on the scale of the predictions; with more than two classes one per class, None for a decision by costs
    threshold: float | tuple[float, ...] | None
    value: float | None  # the measure of the summed counts; None where undefined
    at_edge: bool = False  # whether it is the first or last of its candidates
    fold_thresholds: tuple[float, ...] = ()  # the best threshold of each fold by itself


def resolve_rule(rule: Threshold) -> Threshold:
    """Resolve what needs no prediction: ``{"cost_optimal": ...}`` becomes Elkan's threshold, a number.

    Examples
    --------
    >>> resolve_rule({"cost_optimal": {"fn": 9, "fp": 1}}), resolve_rule("tuned")
    (0.1, 'tuned')
    """
    matrix = rule.get("cost_optimal") if isinstance(rule, Mapping) else None
    return optimal_threshold(matrix) if matrix else rule


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
    return isinstance(rule, Mapping) and reads_amount(rule.get("cost"))


def choose_threshold(
    rule: Threshold,
    folds: Sequence[LabelledValues],
    grid: ThresholdGrid,
    measure: CountMeasure,
    greater_is_better: bool = True,
    amounts: Sequence[np.ndarray] = (),
) -> ThresholdChoice | None:
    """Choose a threshold by a rule from predictions on the inner validation folds.

    A number is kept. ``tuned`` maximises the measure over the grid. ``{"alert_rate": q}`` is the largest observed value
    that calls at least the share q positive; ``{"min_precision": v}`` and ``{"min_recall": v}`` maximise the measure
    among the thresholds that meet it; ``{"cost": {"fn": a, "fp": b}}`` minimises the summed cost, where ``tp`` and
    ``tn`` may cost too and ``"fn": "amount"`` is the amount of the missed row: ``amounts`` holds those of each fold.
    These four look at the distinct observed values, so that predictions may be decision values. :func:`resolve_rule`
    turns ``{"cost_optimal": ...}`` into a number.

    Values within 1e-12 of the best are tied; ties go to the threshold nearest 0.5, on either scale, then to the lower
    one. None where no threshold meets the rule, or the measure is undefined at every threshold.

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
    step_rows.note_folds(step_rows.THRESHOLD, folds)
    is_observed = uses_observed_values(rule, grid)
    candidates = np.unique(np.concatenate([v for _, v in folds]) if is_observed else np.asarray(grid, dtype=np.float64))
    table = _counts_by_fold(folds, candidates)
    scores = np.asarray(measure(*table), dtype=np.float64)
    if isinstance(rule, Mapping) and needs_amount(rule):
        pairs = zip(folds, amounts, strict=True)
        missed = [missed_amounts(y, values, amount, candidates) for (y, values), amount in pairs]
        missed.append(np.sum(missed, axis=0))
        objective = -total_cost(rule["cost"], table.tn, table.fp, np.stack(missed), table.tp)
    else:
        objective = _objective(rule, table, scores if greater_is_better else -scores)
    index = best_threshold_index(objective[-1], candidates)
    if index is None:
        return None
    of_folds = [
        best_threshold_index(_at_observed(row, candidates, values) if is_observed else row, candidates)
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
    reason: str | None
    example: Any
    if _is_for_several_classes(name, value):
        reason, example = _class_rule_reason(name, value), {"class": "LABEL", "value": 0.5}
        example = [[0, 1, 1], [5, 0, 1], [5, 1, 0]] if name == "cost_optimal" else example
    elif name in ("cost", "cost_optimal"):
        reason = invalid_matrix_reason(value, amounts=name == "cost")
        if reason is None and name == "cost_optimal":
            reason = no_optimum_reason(value)
        example = {"fn": 10, "fp": 1}
    else:
        reason, example = None if _is_share(value) else "a share must lie in (0, 1]", 0.5
    if reason:
        way_out = to_override(where, {name: example})
        raise ConfigError(f"{where!r} has {name}={value!r}; {reason}. Write for example {way_out}.")


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1


def _is_for_several_classes(name: str, value: object) -> bool:
    """Whether a rule is written for more than two classes."""
    return isinstance(value, Mapping if name in CLASS_RULES else (list, tuple))


def _class_rule_reason(name: str, value: Any) -> str | None:
    if name == "cost_optimal":
        return invalid_class_costs_reason(value)
    if name not in CLASS_RULES:
        return "it takes no list"
    is_bound = set(value) == {"class", "value"} and isinstance(value["class"], (str, int)) and _is_share(value["value"])
    return None if is_bound else "with more than two classes it has a class and a value in (0, 1]"


def two_class_problem(rule: Threshold) -> str | None:
    """Return why two classes cannot be decided between by a threshold rule, or None.

    Examples
    --------
    >>> two_class_problem({"min_recall": {"class": "fraud", "value": 0.5}})
    'a rule that names a class, or has a matrix of costs, is for more than two classes'
    """
    if isinstance(rule, Mapping) and _is_for_several_classes(*next(iter(rule.items()))):
        return "a rule that names a class, or has a matrix of costs, is for more than two classes"
    return None


def named_class(rule: Threshold, classes: Sequence[str]) -> list[int]:
    """Return the index of the class that a rule names, as the one item of a list; empty where it names none.

    Examples
    --------
    >>> named_class({"min_recall": {"class": "c", "value": 0.5}}, ("a", "b", "c")), named_class(0.5, ("a", "b", "c"))
    ([2], [])
    """
    value = next(iter(rule.values())) if isinstance(rule, Mapping) else None
    label = str(value["class"]) if isinstance(value, Mapping) and "class" in value else None
    return [index for index, known in enumerate(classes) if known == label]


def describe_rule(rule: Threshold) -> str:
    """Write a rule in a few words.

    Examples
    --------
    >>> describe_rule({"min_recall": 0.5}), describe_rule({"min_recall": {"class": "fraud", "value": 0.5}})
    ('min_recall 0.5', "min_recall 0.5 of class 'fraud'")
    """
    if not isinstance(rule, Mapping):
        return str(rule)
    name, value = next(iter(rule.items()))
    is_bound = name in CLASS_RULES and isinstance(value, Mapping)
    return f"{name} {value['value']} of class {str(value['class'])!r}" if is_bound else f"{name} {value}"


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
        return -total_cost(bound, *table)
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


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
