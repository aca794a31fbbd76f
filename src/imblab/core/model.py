"""Choose a strategy, and fit it and a learner on all rows of a table, as one estimator to export.

One strategy among several is chosen by the values of their inner searches, on the training rows of one split. An
exported model must not hold rows of the table: samplers are cleared, and the learner is searched for classes that store
rows (:mod:`imblab.core.admission`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from imblab.core import decisions, estimator_specs, evaluate, fitting, measures, preparation, search
from imblab.core.admission import row_keeper, visit_pickled
from imblab.core.classes import class_rows
from imblab.core.evaluate import Task
from imblab.core.fitting import Prediction
from imblab.core.preparation import PreparedRows, find_crowded_column
from imblab.core.splits import RowPair
from imblab.core.task_decisions import ClassDecisions
from imblab.errors import DataError, FitFailed, foreign_reason
from imblab.result import ThresholdValue, Trial
from imblab.study import MAX_LEVELS, PROBABILITY, Dataset, Learner, Measure, Scalar, Split, Threshold, fingerprint
from imblab.text import count_noun
from imblab_model import FrozenClassifier, Preparation, digest


def all_rows_split(dataset: Dataset) -> Split:
    """Return all rows as a training part without test rows, in the order of the outer training parts.

    Its fold is -1, so that with ``protocol.inner: shared`` every outer fold of the first repeat is an inner fold.
    """
    rows = np.arange(len(dataset.y)) if dataset.time is None else np.argsort(dataset.time, kind="stable")
    none = np.empty(0, dtype=np.int64)
    return Split(0, -1, rows, none, fingerprint(rows, none))


def choose_params(task: Task) -> tuple[Trial, int]:
    """Choose the knobs and the threshold for all rows, by the same search as in a cell.

    The task is of a cell whose split is :func:`all_rows_split`. Returns the winner and the number of distinct
    candidates that were judged. Raises FitFailed if no candidate applies or none has a value.
    """
    if reason := task.inapplicable_reason:
        raise FitFailed(reason)
    trials = evaluate.tune(task)
    winner = evaluate.best_candidate(task, trials)
    if winner is None:
        reasons = dict.fromkeys(t.reason for t in trials if t.reason)
        raise FitFailed("no candidate has a value: " + "; ".join(list(reasons)[:3]))
    return winner, sum(t.status in ("ok", "failed", "pruned") for t in trials)


def fit_model(
    task: Task, params: Mapping[str, Scalar], threshold: ThresholdValue | None, labels: Sequence[Scalar]
) -> FrozenClassifier:
    """Fit the estimator that predicts as the kernel does after a fit on all rows, bit for bit; every row is checked.

    The task is of a cell whose split is :func:`all_rows_split`; ``params`` are flat knobs, ``labels`` stand by class
    index. The threshold is the value from which a row is called positive; with more than two classes one per class,
    None if costs decide. Samplers are cleared. FitFailed if the fit raises, or the estimator predicts differently from
    the kernel.
    """
    rows, kind = task.cell.split.train, task.cell.strategy.calibration
    if decisions.is_class(kind):
        raise FitFailed(f"calibration {kind!r} is a class of your own, and a model serves without its code")
    if crowded := find_crowded_column(task.dataset, rows):
        raise FitFailed(
            f"column {crowded[0]!r} has {crowded[1]} levels, once those with fewer than {task.dataset.rare} rows are "
            f"one; one-hot columns are made of at most {MAX_LEVELS} levels"
        )
    request, prepared = task.request(params, rows, rows), PreparedRows(task.dataset, rows)
    is_probability = estimator_specs.gives_probabilities(request.learner)
    try:
        with fitting.recorded_warnings():
            learner, y = fitting.fit_learner(request, prepared)
        clear_samplers(learner)
        values = fitting.predict_values(learner, request.learner, prepared.transform(rows), {}, len(labels))
    except BaseException as error:  # any library may raise anything
        raise FitFailed(f"{type(error).__name__}: {foreign_reason(error)}") from error
    parts = {
        "preparation": _preparation(task.dataset, prepared, rows),
        "learner": learner,
        "calibration": _calibration_values(task, params, y),
        "method": "predict_proba" if is_probability else "decision_function",
    }
    rule, _ = evaluate.threshold_rule(task)
    model = task.decisions.build_model(parts, labels, rule, threshold, task.threshold_scale(params))
    reached = fitting.reached_counts(request, y, len(labels))
    expected = evaluate.calibrate_prediction(task, params, Prediction(values, is_probability, reached)).values
    X = task.dataset.X.iloc[rows]
    _check_same_values(model.scores(X), expected)
    decided = task.decisions.decide(rule, threshold, task.compared(params, expected))
    _check_same_values(model.predict(X), np.array(labels)[decided.astype(np.int64)])
    return model


def clear_samplers(estimator: Any) -> None:
    """Remove what every sampler inside an estimator has fitted: samplers take no part in predictions."""
    for sampler in _find_samplers(estimator):
        unfitted = clone(sampler)
        sampler.__dict__.clear()
        sampler.__dict__.update(unfitted.__dict__)


def find_row_keeper(learner: Learner) -> str | None:
    """Find the class in a learner that stores the rows it is fitted on, by a fit of random rows before any search.

    See :func:`imblab.core.admission.row_keeper`. None also if the random rows cannot be fitted: the real model is
    checked later.

    Examples
    --------
    >>> find_row_keeper(Learner("svm", {"_target_": "sklearn.svm.SVC"}))
    'sklearn.svm.SVC'
    """
    X = np.random.default_rng(0).normal(size=(40, 3))
    try:
        fitted = estimator_specs.build_estimator(learner.make, allow=None, seed=0).fit(X, np.arange(40) % 2)
        clear_samplers(fitted)
    except BaseException as error:  # any library may raise anything
        foreign_reason(error)
        return None
    return row_keeper(fitted)


def _find_samplers(estimator: Any) -> list[Any]:
    """Return every sampler inside an estimator, at any depth: pickling visits all of it."""
    samplers: dict[int, Any] = {}

    def note_sampler(item: Any) -> None:
        if not isinstance(item, type) and hasattr(type(item), "_sampling_type"):
            samplers[id(item)] = item

    visit_pickled(estimator, note_sampler)
    return list(samplers.values())


def _preparation(dataset: Dataset, prepared: PreparedRows, rows: np.ndarray) -> Preparation:
    """Make the kernel's preparation of this table for rows with named columns."""
    numeric = [name for name in dataset.X.columns if name not in dataset.categorical]
    categorical = [name for name in dataset.X.columns if name in dataset.categorical]
    imputer = scaler = None
    if numeric:
        numbers = dataset.X[numeric].to_numpy(dtype=np.float64)[rows]
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        scaler = StandardScaler().fit(imputer.transform(numbers))
    levels = [np.unique(prepared.X[:, position]) for position in prepared.categorical]
    rare = None if prepared.rare_levels is None else list(prepared.rare_levels.codes)
    known = []
    for i, name in enumerate(categorical):
        # Rare levels are left out, so that unknown means rare: a level of few rows may identify them.
        has_rare = rare is not None and rare[i] is not None
        codes = enumerate(dataset.X[name].cat.categories)
        known.append({digest(v): float(c) for c, v in codes if not has_rare or c in levels[i]})
    fill = prepared.filled.tolist()
    columns, missing = list(dataset.X.columns), list(dataset.missing)
    return Preparation(columns, categorical, imputer, scaler, known, levels, fill, rare, missing)


def _calibration_values(task: Task, params: Mapping[str, Scalar], received: np.ndarray) -> dict[str, Any] | None:
    """Return the calibration of the strategy as plain values."""
    kind = task.cell.strategy.calibration
    if decisions.corrects_prior(kind):
        values = task.decisions.prior_values(task.dataset.y, received, params.get("weight"))
        return None if values is None else {"kind": kind, **values}
    if not decisions.is_learned(kind):
        return None
    make = fitting.with_tuned_params(task.cell.learner.make, params)
    folds = [
        (task.dataset.y[validate], decisions.scores_for_map(task.predict_rows(params, part, validate).values, make))
        for part, validate in task.pairs
    ]
    learned = task.decisions.map_values(task.decisions.fit_map(kind, folds))
    return {"kind": kind, "log_odds": decisions.reads_log_odds(make), **learned}


def _check_same_values(values: np.ndarray, expected: np.ndarray) -> None:
    """Refuse an estimator that reads the table differently from the kernel."""
    if not np.array_equal(values, expected):
        is_other = (values != expected).reshape(len(values), -1).any(axis=1)
        size = f", by up to {np.abs(values - expected).max():.2g}" if values.dtype.kind == "f" else ""
        raise FitFailed(
            f"the estimator predicts differently from the study in {int(is_other.sum())} of {len(values)} rows{size}; "
            "categories that read alike, such as 1 and '1', are one to it"
        )


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
    if not pairs:
        raise DataError("'cv' gives 0 inner folds; candidates are compared on some. Pass for example cv=3.")
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
