"""The choice of one strategy among several by the values of their inner searches, on the training rows of one split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from imblab.core import evaluate, measures, preparation, search
from imblab.core.classes import class_rows
from imblab.core.evaluate import Task
from imblab.core.splits import RowPair
from imblab.core.task_decisions import ClassDecisions
from imblab.errors import DataError, FitFailed
from imblab.result import ThresholdValue, Trial
from imblab.study import MAX_LEVELS, PROBABILITY, Dataset, Measure, Threshold
from imblab.text import count_noun


@dataclass(frozen=True, slots=True)
class StrategySearch:
    """The inner search of one strategy."""

    task: Task  # the cell of the strategy
    trials: tuple[Trial, ...]  # in the order in which candidates were judged; empty if the strategy is not applicable
    winner: Trial | None  # with its value, also where the strategy searches nothing; None without a usable candidate
    status: str = "ok"  # {"ok", "inapplicable", "failed"}: only ``ok`` searches have a winner
    reason: str = ""  # why there is none

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.task.cell.strategy.name


def search_strategy(task: Task) -> StrategySearch:
    """Search the knobs and the threshold of a strategy as an evaluation does, and value a single candidate too.

    An evaluation needs no value of a strategy that searches nothing and has a fixed threshold; a choice among
    strategies does: it is computed on the same inner folds by the same rule.
    """
    if reason := task.inapplicable_reason:
        return StrategySearch(task, (), None, "inapplicable", reason)
    trials = evaluate.tune(task)
    winner = evaluate.best_candidate(task, trials)
    if winner is not None and winner.value is None:
        trials = (_with_value(task, winner),)
        winner = evaluate.best_candidate(task, trials)
    if winner is None:
        status, reason = evaluate.reason_without_winner(trials)
        return StrategySearch(task, trials, None, status, reason)
    return StrategySearch(task, trials, winner)


def _with_value(task: Task, trial: Trial) -> Trial:
    try:
        return evaluate.value_candidate(task, trial.params, evaluate.validation_predictions(task, trial.params))
    except (FitFailed, measures.MeasureFailed) as error:
        return replace(trial, status="failed", reason=f"on the inner folds, {error}")


def best_search(searches: Sequence[StrategySearch]) -> StrategySearch | None:
    """Return the search whose winner has the best value; ties within 1e-12 go to the first. None without a winner.

    Winners without a value, because the measure is undefined for them, rank last.
    """
    winners = [each for each in searches if each.winner is not None]
    if not winners:
        return None
    trials = [each.winner for each in winners if each.winner is not None]
    best = search.best_trial(trials, winners[0].task.primary.greater_is_better)
    return next((each for each in winners if each.winner is best), winners[0])


@dataclass(frozen=True, slots=True)
class CandidateScorer:
    """Scores predictions by the primary measure, at the threshold of a candidate."""

    decisions: ClassDecisions  # for the number of classes of the table
    measure: Measure  # the primary one
    rule: Threshold  # of the strategy; it says how a threshold of None decides
    threshold: ThresholdValue | None  # of the candidate
    is_probability: bool  # whether predictions are probabilities, and not decision values
    converts: bool  # whether decision values are converted to the scale of the threshold

    @classmethod
    def of(cls, task: Task, trial: Trial) -> CandidateScorer:
        """Make the scorer of a candidate."""
        rule, is_probability = evaluate.threshold_rule(task)[0], task.scale(trial.params) == PROBABILITY
        converts = not is_probability and task.threshold_scale(trial.params) == PROBABILITY
        return cls(task.decisions, task.primary, rule, trial.threshold, is_probability, converts)

    def score(self, y: np.ndarray, values: np.ndarray) -> float:
        """Return the measure of predictions for class indices; NaN where it is undefined."""
        compared = np.asarray(expit(values)) if self.converts else values
        scored = self.decisions.score(
            [self.measure], self.rule, self.threshold, y, values, compared, self.is_probability, None
        )
        value = scored["scores"][self.measure.name]
        return math.nan if value is None else float(value)


def fold_values(task: Task, trial: Trial | None) -> list[float]:
    """Return the primary measure of a candidate on each inner fold, at its threshold; NaN where it has none."""
    if trial is None or trial.status != "ok":
        return [math.nan] * len(task.pairs)
    scorer = CandidateScorer.of(task, trial)
    folds = evaluate.validation_predictions(task, trial.params)
    try:
        return [scorer.score(y, values) for y, values in folds]
    except measures.MeasureFailed:  # a function of the user's may fail on a fold and not on the sum of all
        return [math.nan] * len(folds)


def check_inner_folds(data: Dataset, pairs: Sequence[RowPair], min_fit_rows: int, way_out: str) -> None:
    """Refuse inner folds with too few rows of a class, or with a column of too many levels.

    Every validation part needs a row of each class, every fit part ``min_fit_rows`` of each; of two classes the
    negative one needs a single row. The DataError names everything that is wrong.
    """
    problems = [*_small_parts(data, pairs, min_fit_rows, way_out), *_crowded_columns(data, pairs)]
    if problems:
        raise DataError(*problems)


def _small_parts(data: Dataset, pairs: Sequence[RowPair], min_fit_rows: int, way_out: str) -> Iterable[str]:
    one = np.ones(len(data.classes), dtype=np.int64)
    needed = one * min_fit_rows if len(one) > 2 else np.array([1, min_fit_rows])
    lacking: dict[int, str] = {}
    for i, (fit, validate) in enumerate(pairs):
        for rows, name, least in ((fit, "fit", needed), (validate, "validation", one)):
            counts = class_rows(data, rows)
            for c in np.flatnonzero(counts < least).tolist():
                held = count_noun(int(counts[c]), "row")
                lacking.setdefault(c, f"the {name} part of inner fold {i} holds {held}")
    total = class_rows(data)
    for label, where in lacking.items():
        yield (
            f"class {data.classes[label]!r} has {count_noun(int(total[label]), 'row')} of {len(data.y)}, and {where}; "
            f"every validation part needs a row of each class and every fit part {min_fit_rows}. {way_out}"
        )


def _crowded_columns(data: Dataset, pairs: Sequence[RowPair]) -> Iterable[str]:
    parts = (find for find in (preparation.find_crowded_column(data, fit) for fit, _ in pairs) if find is not None)
    for column, n_levels in dict(parts).items():
        least = preparation.smallest_min_rows(data, column, np.arange(len(data.y)))
        yield (
            f"column {column!r} has {n_levels} levels in a fit part, once those with fewer than {data.rare} rows are "
            f"one; one-hot columns are made of at most {MAX_LEVELS} levels. Pass rare={{'min_rows': {least}}}."
        )
