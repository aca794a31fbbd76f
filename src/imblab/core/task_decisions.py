"""The decisions that the kernel asks for, by the number of classes of a table, and which of them a table refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from imblab.core import class_decisions, decisions, measures, search
from imblab.core.class_decisions import SeveralClassDecisions
from imblab.core.decisions import ThresholdChoice, ThresholdGrid
from imblab.errors import ConfigError
from imblab.stats.counts import LabelledValues, counts_at, mcc, recall
from imblab.stats.curves import average_precision
from imblab.stats.probabilities import CalibrationMap
from imblab.stats.standard_errors import ROW_CHANGES, RowChanges
from imblab.study import Dataset, Learner, Measure, Scalar, Strategy, Study, Threshold
from imblab.text import to_override, to_shell
from imblab_model import FrozenClassifier, ThresholdClassifier


@dataclass(frozen=True, slots=True)
class TwoClassDecisions:
    """Calibrate, decide by one threshold which rows are positive, and score, by :mod:`imblab.core.decisions`.

    Labels and predictions of a fold are a pair ``(y, values)`` of shape (n_rows,).
    """

    resolve_rule = staticmethod(decisions.resolve_rule)
    uses_observed_values = staticmethod(decisions.uses_observed_values)
    correct_fit = staticmethod(decisions.correct_fit)

    def function_of(self, measure: Measure) -> Callable[..., Any]:
        """Return the function of a measure as it is."""
        return measures.function_of(measure, allow=None)

    def fixed_choice(self, rule: Threshold) -> ThresholdChoice | None:
        """Return the threshold of a rule that is a number."""
        return ThresholdChoice(float(rule), None) if isinstance(rule, (int, float)) else None

    def choose_threshold(
        self,
        rule: Threshold,
        folds: Sequence[LabelledValues],
        grid: ThresholdGrid,
        measure: Measure,
        amounts: Sequence[np.ndarray] = (),
    ) -> ThresholdChoice | None:
        """Choose the threshold by a rule; see :func:`imblab.core.decisions.choose_threshold`."""
        function, is_better = self.function_of(measure), measure.greater_is_better
        return decisions.choose_threshold(rule, folds, grid, function, is_better, amounts)

    def best_reachable_value(
        self, rule: Threshold, folds: Sequence[LabelledValues], remaining: np.ndarray, measure: Measure
    ) -> float:
        """Return the value with all remaining rows called correctly."""
        positives = int(remaining.sum())
        function = self.function_of(measure)
        return decisions.best_reachable_value(rule, folds, positives, len(remaining) - positives, function)

    def fit_map(self, kind: str, folds: Sequence[LabelledValues], seed: int = 0) -> CalibrationMap:
        """Fit one map; see :func:`imblab.core.decisions.fit_map`."""
        return decisions.fit_map(kind, folds, seed)

    def inapplicable_reason(self, strategy: Strategy, learner: Learner, y_train: np.ndarray) -> str | None:
        """Return why a calibration cannot be made with the positives of an outer training part, or None."""
        return decisions.inapplicable_reason(strategy, learner, int(y_train.sum()))

    @property
    def row_changes(self) -> Mapping[str, RowChanges]:
        """Measures whose standard errors were simulated."""
        return ROW_CHANGES

    def decide(self, rule: Threshold, threshold: Any, compared: np.ndarray) -> np.ndarray:
        """Call the rows positive that reach the threshold."""
        return np.asarray(compared >= threshold)

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
        """Score the predictions of test rows: the fields ``scores``, ``counts`` and ``flagged``."""
        scores, confusion = measures.score_predictions(of_study, y, values, threshold, is_probability, amount, compared)
        counts = {name: int(getattr(confusion, name)) for name in ("tn", "fp", "fn", "tp")}
        return {"scores": scores, "counts": counts, "flagged": (counts["tp"] + counts["fp"]) / len(y)}

    def score_folds(
        self, rule: Threshold, threshold: Any, folds: Sequence[LabelledValues], compared: Sequence[LabelledValues]
    ) -> dict[str, float]:
        """Compute ``mcc`` and ``recall`` of counts summed over folds, and the mean ``pr_auc`` of the folds.

        ``compared`` are the folds on the scale of the threshold.
        """
        total = reduce(add, [counts_at(y, values, threshold) for y, values in compared])
        areas = [average_precision(y, values) for y, values in folds]
        return {"mcc": float(mcc(*total)), "pr_auc": float(np.mean(areas)), "recall": float(recall(*total))}

    def prior_values(
        self, y_fit: np.ndarray, y_received: np.ndarray, weight: float | str | None
    ) -> dict[str, Any] | None:
        """Return the factor of the odds against the positive class."""
        share, positives = float(y_fit.mean()), int(y_received.sum())
        given = decisions.weighted_share(len(y_received) - positives, positives, weight)
        odds = (1 - share) * given / (share * (1 - given))
        return None if share == given else {"odds": odds}

    def map_values(self, fitted: CalibrationMap) -> dict[str, Any]:
        """Return the values of one map."""
        return dict(fitted.keywords)

    def build_model(
        self, parts: Mapping[str, Any], labels: Sequence[Scalar], rule: Threshold, threshold: Any, scale: str
    ) -> FrozenClassifier:
        """Build the estimator to export from its fitted parts and the labels by class index.

        ``parts`` are ``preparation``, ``learner``, ``calibration`` and ``method``, ``scale`` is that of the threshold.
        """
        negative, positive = labels
        return ThresholdClassifier(
            **parts, threshold=float(threshold), negative=negative, positive=positive, scale=scale
        )

    def describe_edge(self, threshold: Any, grid: ThresholdGrid) -> str:
        """Say that the threshold is at the edge."""
        return f"the threshold {threshold:g} is the first or last it could be"


#: How the predictions of a table are calibrated, decided and scored: both have the same methods.
ClassDecisions = TwoClassDecisions | SeveralClassDecisions


def decisions_between(classes: Sequence[str]) -> ClassDecisions:
    """Return the decisions for the number of classes of a table.

    Examples
    --------
    >>> decisions_between(("no", "yes")), decisions_between(("a", "b", "c"))
    (TwoClassDecisions(), SeveralClassDecisions(classes=('a', 'b', 'c')))
    """
    return TwoClassDecisions() if len(classes) == 2 else SeveralClassDecisions(tuple(classes))


def decision_problems(study: Study, dataset: Dataset) -> Iterator[ConfigError]:
    """Yield an error for every threshold rule and tuned measure that is not for the number of classes of a table.

    Examples
    --------
    >>> import pandas as pd
    >>> table = Dataset("yeast", pd.DataFrame(), np.zeros(0), ("cyt", "nuc", "erl"))
    >>> mcc = Measure("mcc", "imblab.core.measures.mcc", "label")
    >>> study = Study("s", 0, {}, (), (Strategy("desk", threshold={"alert_rate": 0.1}),), (mcc,))
    >>> print(next(decision_problems(study, table)))
    strategy 'desk' has the threshold {'alert_rate': 0.1}, and data set 'yeast' has 3 classes; alert_rate is for two \
classes. Write for example strategy.desk.threshold=tuned.
    """
    n_classes = len(dataset.classes)
    for strategy in study.strategies:
        listed = search.threshold_grid(strategy)
        grid = study.protocol.thresholds if listed is None else listed
        if n_classes == 2:
            reason = decisions.two_class_problem(strategy.threshold)
        else:
            reason = class_decisions.rule_problem(strategy.threshold, grid, dataset.classes)
        if reason:
            place = f"strategy.{strategy.name}.threshold"
            overrides = {place: class_decisions.similar_rule(strategy.threshold, dataset.classes)}
            way_out = to_override(place, overrides[place])
            if strategy.threshold == "tuned":
                key = f"strategy.{strategy.name}.space.threshold" if listed else "protocol.thresholds"
                way_out, overrides = to_shell([f"{key}=range(0.01,1,0.01)"]), {}
            yield ConfigError(
                f"strategy {strategy.name!r} has the threshold {strategy.threshold!r}, and data set {dataset.name!r} "
                f"has {n_classes} classes; {reason}. Write for example {way_out}.",
                overrides=overrides,
            )
    yield from _measure_problems(study, dataset) if n_classes > 2 else _cost_problems(study, dataset)


def _cost_problems(study: Study, dataset: Dataset) -> Iterator[ConfigError]:
    """Yield an error for every measure that costs pairs of classes, for a table of two classes."""
    for measure in filter(measures.has_class_costs, study.measures):
        costs = to_override(f"measures.{measure.name}.parameters.costs", {"fn": 10, "fp": 1})
        yield ConfigError(
            f"measure {measure.name!r} has a matrix of costs, and data set {dataset.name!r} has 2 classes; with two "
            f"classes the costs of fn, fp, tp and tn are named. Write for example {costs}."
        )


def _measure_problems(study: Study, dataset: Dataset) -> Iterator[ConfigError]:
    """Yield an error for the primary or the threshold measure if it has no form for more than two classes.

    So is one for a matrix of costs that is of another number of classes, in any measure.
    """
    n_classes = len(dataset.classes)
    tuned = [("primary", study.primary_measure)]
    if not measures.is_counted(study.primary_measure):
        named = study.protocol.threshold_measure
        tuned += [("protocol.threshold_measure", m) for m in study.measures if m.name == named]
    for key, measure in tuned:
        if reason := measures.two_classes_only_reason(measure, n_classes):
            yield ConfigError(
                f"{key!r} is {measure.name!r}, and data set {dataset.name!r} has {n_classes} classes; the measure "
                f"cannot be tuned there, because {reason}. {_similar_measure(key, measure, n_classes)}"
            )
    for measure in study.measures:
        reason = measures.two_classes_only_reason(measure, n_classes) if measures.has_class_costs(measure) else None
        if reason and measure not in dict(tuned).values():
            yield ConfigError(
                f"measure {measure.name!r} has a matrix of costs, and data set {dataset.name!r} has {n_classes} "
                f"classes; {reason}. {_similar_measure('', measure, n_classes)}"
            )


def _similar_measure(key: str, measure: Measure, n_classes: int) -> str:
    """Propose a matrix of costs, or else another measure for a key."""
    costs = class_decisions.similar_costs(n_classes) if measures.reads_class_costs(measure) else None
    if costs is not None:
        return f"Write for example {to_override(f'measures.{measure.name}.parameters.costs', costs)}."
    return f"Write for example {to_override(key, 'mcc')}." if key else "Correct the matrix."
