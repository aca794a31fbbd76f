"""Decisions between more than two classes: calibration, thresholds and scores, as :mod:`imblab.core.decisions` for two.

The thresholds of a strategy are a number, which every class but the most frequent one has, or are chosen on the inner
folds by coordinate ascent. ``{"cost_optimal": matrix}`` decides by the least expected cost, without thresholds. The
rule of a decision and the formulas are in :mod:`imblab.stats.probabilities`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from imblab.core import decisions, measures, step_rows
from imblab.core.decisions import MIN_POSITIVES, ThresholdChoice, ThresholdGrid
from imblab.stats.counts import (
    LabelledValues,
    class_mcc,
    confusion_matrices,
    invalid_class_costs_reason,
    macro_recall,
    precision,
    recall,
)
from imblab.stats.curves import average_precision
from imblab.stats.probabilities import (
    START_THRESHOLD,
    CalibrationMap,
    ClassBound,
    choose_class_thresholds,
    correct_class_priors,
    decide_by_costs,
    decide_by_thresholds,
    fit_one_against_rest,
    macro_of_columns,
    power_weights,
    received_class_shares,
    repeat_threshold,
)
from imblab.stats.standard_errors import CLASS_ROW_CHANGES, RowChanges
from imblab.study import Learner, Measure, Scalar, Strategy, Threshold
from imblab.text import join_words
from imblab.weights import computed_weight, weight_power
from imblab_model import FrozenClassifier, MulticlassThresholdClassifier

#: The functions that bounds of a class are on, by the rule.
BOUND_FUNCTIONS: dict[str, Callable[..., Any]] = {"min_recall": recall, "min_precision": precision}
#: Classes up to which a message holds a matrix of costs.
MAX_LISTED_COSTS = 6


def rule_problem(rule: Threshold, grid: ThresholdGrid, classes: Sequence[str]) -> str | None:
    """Return why more than two classes cannot be decided between by a threshold rule with unresolved costs, or None.

    Examples
    --------
    >>> rule_problem("tuned", (0.25, 0.5), ("a", "b", "c")) is None
    True
    >>> rule_problem({"min_recall": {"class": "d", "value": 0.5}}, (0.5,), ("a", "b", "c"))
    "'d' is not one of the classes 'a', 'b' and 'c'"
    """
    if isinstance(rule, (int, float)):
        return None if 0 < rule < 1 else f"{rule:g} is not above 0 and below 1, as the threshold of a class is"
    name: str
    value: Any
    name, value = next(iter(rule.items())) if isinstance(rule, Mapping) else (rule, None)
    if name == "cost_optimal":
        return invalid_class_costs_reason(value, len(classes))
    if name in BOUND_FUNCTIONS and not isinstance(value, Mapping):
        return f"with more than two classes {name} names the class that it holds for"
    if name in BOUND_FUNCTIONS and str(value["class"]) not in classes:
        return f"{str(value['class'])!r} is not one of the classes {join_words(map(repr, classes))}"
    if name not in ("tuned", *BOUND_FUNCTIONS):
        return f"{name} is for two classes"
    if isinstance(grid, str):
        return f"thresholds that are {grid} are for two classes"
    if START_THRESHOLD not in grid or not 0 < min(grid) <= max(grid) < 1:
        return "thresholds of classes lie above 0 and below 1, and 0.5, where their search starts, is among them"
    return None


def similar_rule(rule: Threshold, classes: Sequence[str]) -> Threshold:
    """Return a rule for these classes, of the same kind as far as there is one.

    Examples
    --------
    >>> similar_rule({"min_recall": 0.7}, ("a", "b", "c"))
    {'min_recall': {'class': 'c', 'value': 0.7}}
    >>> similar_rule({"min_recall": {"class": "c", "value": 0.7}}, ("no", "yes"))
    {'min_recall': 0.7}
    >>> similar_rule({"cost_optimal": {"fn": 5, "fp": 1}}, ("a", "b", "c")), similar_rule({"alert_rate": 0.1}, "abc")
    ({'cost_optimal': [[0, 1, 1], [1, 0, 1], [5, 5, 0]]}, 'tuned')
    """
    name, value = next(iter(rule.items())) if isinstance(rule, Mapping) else (str(rule), None)
    has_two = len(classes) == 2
    if name in BOUND_FUNCTIONS:
        bound = value["value"] if isinstance(value, Mapping) else value
        return {name: bound if has_two else {"class": classes[-1], "value": bound}}
    costs = similar_costs(len(classes)) if name == "cost_optimal" and not has_two else None
    return "tuned" if costs is None else {name: costs}


def similar_costs(n_classes: int) -> list[list[float]] | None:
    """Return a cost matrix of so many classes for a message; None where it would be long."""
    if n_classes > MAX_LISTED_COSTS:
        return None
    return [[0 if i == j else 5 if i == n_classes - 1 else 1 for j in range(n_classes)] for i in range(n_classes)]


@dataclass(frozen=True, slots=True)
class SeveralClassDecisions:
    """Calibrate, decide and score predictions of shape (n_rows, n_classes), by one threshold per class or by costs.

    Its methods are those of :class:`imblab.core.task_decisions.TwoClassDecisions`.
    """

    classes: tuple[str, ...]  # the label of each class

    def function_of(self, measure: Measure) -> Callable[..., Any]:
        """Return the form of a measure for more than two classes."""
        return measures.class_function_of(measure)

    def resolve_rule(self, rule: Threshold) -> Threshold:
        """Return the rule: there is nothing to resolve."""
        return rule

    def fixed_choice(self, rule: Threshold) -> ThresholdChoice | None:
        """Return the thresholds of a number; none, which is a choice too, of a rule that decides by costs."""
        if isinstance(rule, (int, float)):
            return ThresholdChoice(repeat_threshold(rule, len(self.classes)), None)
        return ThresholdChoice(None, None) if decisions.needs_probability(rule) else None

    def uses_observed_values(self, rule: Threshold, grid: ThresholdGrid) -> bool:
        """Return False: thresholds are compared with probabilities, or logistic functions of decision values."""
        return False

    def choose_threshold(
        self,
        rule: Threshold,
        folds: Sequence[LabelledValues],
        grid: ThresholdGrid,
        measure: Measure,
        amounts: Sequence[np.ndarray] = (),
    ) -> ThresholdChoice | None:
        """Choose the thresholds of all classes by a rule; None if none meet it, or the measure is undefined there."""
        function, fixed = self.function_of(measure), self.fixed_choice(rule)
        if fixed is not None:
            matrices = [self._count(rule, fixed.threshold, y, values) for y, values in folds]
            value = float(function(np.sum(matrices, axis=0)))
            return replace(fixed, value=value if math.isfinite(value) else None)
        assert not isinstance(grid, str)
        step_rows.note_folds(step_rows.THRESHOLD, folds)
        best = choose_class_thresholds(folds, grid, function, measure.greater_is_better, self._bound(rule))
        return None if best is None else ThresholdChoice(best.thresholds, best.value, bool(best.at_edge))

    def best_reachable_value(
        self, rule: Threshold, folds: Sequence[LabelledValues], remaining: np.ndarray, measure: Measure
    ) -> float:
        """Return infinity, so that no candidate is dropped before its last fold.

        The value with the remaining rows decided correctly does not bound R_K, which may fall when a wrong decision is
        corrected.
        """
        return math.inf

    def correct_fit(
        self, proba: np.ndarray, y_fit: np.ndarray, reached: Mapping[str, Any], weight: float | str | None
    ) -> np.ndarray:
        """Correct the probabilities of one fit for the class counts ``reached`` by sampling and for the weight."""
        return correct_class_priors(proba, *self._shares(y_fit, np.array(reached["classes"]), weight))

    def fit_map(self, kind: str, folds: Sequence[LabelledValues], seed: int = 0) -> CalibrationMap:
        """Fit one map per class to the labels and scores of several folds, each class against the rest."""
        step_rows.note_folds(step_rows.CALIBRATION, folds)
        y, scores = (np.concatenate(part) for part in zip(*folds, strict=True))
        return fit_one_against_rest(partial(decisions.fit_scores, kind, seed=seed), scores, y)

    def inapplicable_reason(self, strategy: Strategy, learner: Learner, y_train: np.ndarray) -> str | None:
        """Return why the calibration of a strategy cannot be made on an outer training part, or None."""
        counts = np.bincount(y_train, minlength=len(self.classes))
        kind, needed, rarest = strategy.calibration, MIN_POSITIVES.get(strategy.calibration, 0), int(counts.argmin())
        if counts[rarest] < needed:
            return (
                f"calibration {kind} needs {needed} training rows of each class, and the outer training part holds "
                f"{counts[rarest]} of {self.classes[rarest]!r}"
            )
        return decisions.prior_inapplicable_reason(strategy, learner) if decisions.corrects_prior(kind) else None

    @property
    def row_changes(self) -> Mapping[str, RowChanges]:
        """Measures of several classes whose change without each row is known."""
        return CLASS_ROW_CHANGES

    def decide(self, rule: Threshold, threshold: Any, compared: np.ndarray) -> np.ndarray:
        """Decide the class of rows by thresholds, or by the costs of a rule that has none."""
        if threshold is None:
            assert isinstance(rule, Mapping)
            return decide_by_costs(compared, rule["cost_optimal"])
        return decide_by_thresholds(compared, threshold)

    def score(
        self,
        of_study: Sequence[Measure],
        rule: Threshold,
        threshold: Any,
        y: np.ndarray,
        values: np.ndarray,
        compared: np.ndarray,
        is_probability: bool,
        amount: np.ndarray | None,
    ) -> dict[str, Any]:
        """Score the predictions of test rows: the fields ``scores``, ``class_scores`` and ``confusion``."""
        matrix = self._count(rule, threshold, y, compared)
        scores, class_scores = measures.score_class_predictions(of_study, y, values, matrix, is_probability)
        return {"scores": scores, "class_scores": class_scores, "confusion": tuple(map(tuple, matrix.tolist()))}

    def score_folds(
        self, rule: Threshold, threshold: Any, folds: Sequence[LabelledValues], compared: Sequence[LabelledValues]
    ) -> dict[str, float]:
        """Score the predictions of several folds together, at one threshold per class or by costs."""
        total = np.sum([self._count(rule, threshold, y, values) for y, values in compared], axis=0)
        areas = [macro_of_columns(y, values, average_precision) for y, values in folds]
        return {"mcc": float(class_mcc(total)), "pr_auc": float(np.mean(areas)), "recall": float(macro_recall(total))}

    def prior_values(
        self, y_fit: np.ndarray, y_received: np.ndarray, weight: float | str | None
    ) -> dict[str, Any] | None:
        """Return a factor per class."""
        counts = np.bincount(y_received, minlength=len(self.classes))
        shares, received = self._shares(y_fit, counts, weight)
        return None if np.array_equal(shares, received) else {"factors": shares / received}

    def map_values(self, fitted: CalibrationMap) -> dict[str, Any]:
        """Return the values of one map per class."""
        return {"maps": [dict(learned.keywords) for learned in fitted.keywords["maps"]]}

    def build_model(
        self, parts: Mapping[str, Any], labels: Sequence[Scalar], rule: Threshold, threshold: Any, scale: str
    ) -> FrozenClassifier:
        """Build a classifier with one threshold per class, or with costs."""
        costs = rule["cost_optimal"] if threshold is None and isinstance(rule, Mapping) else None
        costs = None if costs is None else [[float(cost) for cost in row] for row in costs]
        thresholds = None if threshold is None else list(threshold)
        return MulticlassThresholdClassifier(**parts, labels=list(labels), thresholds=thresholds, costs=costs)

    def describe_edge(self, threshold: Any, grid: ThresholdGrid) -> str:
        """Say whose thresholds are the first or last they could be."""
        names = [repr(label) for label, t in zip(self.classes, threshold, strict=True) if t in (grid[0], grid[-1])]
        noun, verb = ("threshold", "is") if len(names) == 1 else ("thresholds", "are")
        return f"the {noun} of {join_words(names)} {verb} the first or last it could be"

    def _count(self, rule: Threshold, threshold: Any, y: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """Decide rows and count them by true and decided class."""
        return confusion_matrices(y, self.decide(rule, threshold, compared), len(self.classes))

    def _shares(
        self, y_fit: np.ndarray, counts: np.ndarray, weight: float | str | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the classes among the rows of a fit, and among those that the learner received, as weighted."""
        power = weight_power(computed_weight(weight))
        weights = None if power is None else power_weights(counts, power)
        shares = received_class_shares(np.bincount(y_fit, minlength=len(self.classes)))
        return shares, received_class_shares(counts, weights)

    def _bound(self, rule: Threshold) -> ClassBound | None:
        if not isinstance(rule, Mapping):
            return None
        name, value = next(iter(rule.items()))
        return ClassBound(BOUND_FUNCTIONS[name], self.classes.index(str(value["class"])), value["value"])
