"""The kernel: one cell in, one row out.

tune -> fit -> choose threshold -> refit on train -> score on test. The kernel fits nothing itself: it asks
``predict(atom)``, and whoever runs it decides whether that means a fit or a look into what is known already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.core import (
    calibration,
    design,
    estimator_specs,
    fitting,
    measures,
    own_code,
    preparation,
    search,
    thresholds,
)
from imblab.core.fitting import FitFailed, FitRequest, Prediction
from imblab.core.sampling import sampler_for_columns
from imblab.core.splits import RowPair, repeat_seed
from imblab.result import Evaluation, Trial
from imblab.stats.counts import LabelledValues
from imblab.study import DECISION_VALUE, PROBABILITY, Axis, Cell, Dataset, Make, Measure, Scalar, Study, Threshold

Predict = Callable[[FitRequest], Prediction]
#: How a trial says which of its fits failed, and a row that this was the refit.
FAILED_FOLD = "inner fold {}: {}"
FAILED_REFIT = "the refit of the winner failed: {}"


@dataclass(frozen=True, slots=True)
class Task:
    """A cell with everything its kernel reads.

    Attributes
    ----------
    cell : Cell
    study : Study
    dataset : Dataset
    pairs : sequence of (ndarray, ndarray)
        Inner (fit, validate) rows.
    predict : callable
        Answers atoms.
    made : dict
        The atoms made so far, by params and rows.
    sampler : mapping or None
        In the form that suits the table.
    axes : mapping of str to Axis
        What is searched; empty where nothing is.
    """

    cell: Cell
    study: Study
    dataset: Dataset
    pairs: Sequence[RowPair]
    predict: Predict
    # They are listed before the rows, and asked for again while those are made.
    made: dict[tuple[Any, ...], FitRequest] = field(default_factory=dict, repr=False)
    sampler: Make | None = field(init=False)
    axes: Mapping[str, Axis] = field(init=False)

    def __post_init__(self) -> None:
        cell = self.cell
        object.__setattr__(self, "sampler", sampler_for_columns(cell.strategy.sampler, self.dataset))
        axes = search.searched_axes(cell.strategy, cell.learner, self.study.tuning.tune_learner)
        object.__setattr__(self, "axes", axes)

    @property
    def seed(self) -> int:
        """The random state of the repeat."""
        return repeat_seed(self.study.seed, self.cell.split.repeat)

    @property
    def primary(self) -> Measure:
        """What is tuned and judged."""
        return measure_named(self.study.measures, self.study.primary)

    @property
    def barrier(self) -> str | None:
        """Why nothing of the cell can be asked, whatever the knobs."""
        strategy, learner = self.cell.strategy, self.cell.learner
        positives = int(self.dataset.y[self.cell.split.train].sum())
        return design.barrier(strategy, learner, self.dataset, self.primary) or calibration.inapplicable_reason(
            strategy, learner, positives
        )

    def scale(self, params: Mapping[str, Scalar]) -> str:
        """What a candidate predicts once it is calibrated: probabilities or decision values."""
        is_calibrated = calibration.is_learned(self.cell.strategy.calibration)
        if is_calibrated or estimator_specs.gives_probabilities(
            fitting.with_tuned_params(self.cell.learner.make, params)
        ):
            return PROBABILITY
        return DECISION_VALUE

    def threshold_scale(self, params: Mapping[str, Scalar]) -> str:
        """What the threshold of a candidate is compared with."""
        return self.scale(params) if thresholds.uses_observed_values(*_threshold_rule(self)) else PROBABILITY

    def compared(self, params: Mapping[str, Scalar], values: np.ndarray) -> np.ndarray:
        """What :meth:`scale` says, on the scale of the threshold: a decision value d as ``1 / (1 + exp(-d))``."""
        return values if self.scale(params) == self.threshold_scale(params) else np.asarray(expit(values))

    def atom(self, params: Mapping[str, Scalar], fit: np.ndarray, rows: np.ndarray) -> FitRequest:
        """The question for the predictions of some rows after a fit on others."""
        key = (*params.items(), id(fit), id(rows))
        if key not in self.made:  # which holds the arrays, so that no other has their identity
            make = self.cell.learner.make
            self.made[key] = fitting.fit_request(self.dataset, make, self.sampler, params, self.seed, fit, rows)
        return self.made[key]

    def ask(self, params: Mapping[str, Scalar], fit: np.ndarray, rows: np.ndarray) -> Prediction:
        """The prediction for some rows after a fit on others."""
        return self.predict(self.atom(params, fit, rows))


@dataclass(slots=True)
class _Outcome:
    """What a row gathers on its way."""

    status: str = "ok"
    error: str | None = None
    trials: tuple[Trial, ...] = ()
    winner: Trial | None = None
    prediction: Prediction | None = None
    notes: list[str] = field(default_factory=list)


def evaluate_cell(task: Task) -> Evaluation:
    """Answer one cell.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Evaluation
        With status ``inapplicable`` or ``failed`` and a reason where there is no answer; never an exception for a fit
        that fails.
    """
    begin = time.perf_counter()
    fits = _CountingPredict(task.predict)
    outcome = _find_outcome(replace(task, predict=fits))
    return _make_evaluation(task, outcome, len(fits.seen), time.perf_counter() - begin)


def measure_named(known: Sequence[Measure], name: str) -> Measure:
    """The measure of that name."""
    return next(m for m in known if m.name == name)


class _CountingPredict:
    """Counts the distinct atoms a row rests on; what a calibration reads again is asked once."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.seen: dict[str, Prediction | None] = {}

    def __call__(self, atom: FitRequest) -> Prediction:
        found = self.seen.setdefault(atom.address, None)
        if found is None:
            found = self.seen[atom.address] = self._predict(atom)
        return found


def _find_outcome(task: Task) -> _Outcome:
    if reason := task.barrier:
        return _Outcome("inapplicable", reason)
    trials = tune(task)
    winner = search.best_trial(trials, task.primary.greater_is_better) or only_candidate(trials)
    if winner is None:
        return _Outcome(*_reason_without_winner(trials), trials=trials)
    split = task.cell.split
    try:
        prediction = calibrate_prediction(task, winner.params, task.ask(winner.params, split.train, split.test))
    except FitFailed as error:
        return _Outcome("failed", FAILED_REFIT.format(error), trials, winner)
    return _Outcome("ok", None, trials, winner, prediction, _collect_notes(task, winner, prediction))


def tune(task: Task) -> tuple[Trial, ...]:
    """Judge every candidate on the inner folds; sees training rows only.

    Parameters
    ----------
    task : Task

    Returns
    -------
    tuple of Trial
        A single trial without a value where nothing is searched and the threshold is a number: that needs no fit.
    """
    known: list[Trial] = []

    def judge(params: Mapping[str, Scalar]) -> Trial:
        known.append(_judge_candidate(task, params, _value_to_reach(task, known)))
        return known[-1]

    return _search_trials(task, judge)


def list_candidates(task: Task) -> tuple[Trial, ...]:
    """The candidates that :func:`tune` will judge, without a fit; inapplicable ones with their reason.

    Parameters
    ----------
    task : Task

    Returns
    -------
    tuple of Trial
        Empty where every candidate depends on the values of those before it.
    """
    if task.axes and task.study.tuning.search_method.is_adaptive:
        return ()
    return _search_trials(task, lambda params: Trial(params, 0.0, None))


def inner_requests(task: Task, among: Container[str] | None = None) -> list[FitRequest]:
    """What :func:`tune` will ask, fold by fold, as far as it is known before anything is fitted.

    Parameters
    ----------
    task : Task
    among : container of str, optional
        Digests of the fit rows that matter; all by default.

    Returns
    -------
    list of FitRequest
    """
    pairs = [pair for pair in task.pairs if among is None or preparation.row_digest(pair[0]) in among]
    if not pairs or task.barrier or not _needs_inner_folds(task):
        return []
    params = [trial.params for trial in list_candidates(task) if trial.status == "ok"]
    return [task.atom(p, fit, validate) for fit, validate in pairs for p in params]


def _search_trials(task: Task, judge: search.Judge) -> tuple[Trial, ...]:
    """The trials of a search in which only what applies is judged."""
    where = design.parts(task.dataset, task.cell.split, task.pairs)

    def judged(params: Mapping[str, Scalar]) -> Trial:
        reason = design.obstacle(params, task.sampler, where) or _no_probability(task, params)
        return Trial(params, None, None, "inapplicable", reason) if reason else judge(params)

    fixed, better = task.cell.strategy.fixed_knobs, task.primary.greater_is_better
    return search.run_search(task.axes, fixed, task.study.tuning, task.seed, better, judged)


def _no_probability(task: Task, params: Mapping[str, Scalar]) -> str | None:
    """Why a learner that loses its probabilities by a tuned parameter is no candidate."""
    if not search.learner_params(params) or task.scale(params) == PROBABILITY:
        return None
    asks = {
        f"primary {task.primary.name!r}": task.primary.needs == "probability",
        f"the threshold of {task.cell.strategy.name!r}": thresholds.needs_probability(task.cell.strategy.threshold),
        "the prior correction": calibration.corrects_prior(task.cell.strategy.calibration),
    }
    what = next((name for name, needed in asks.items() if needed), None)
    return f"{what} needs probabilities and the learner gives decision values only" if what else None


def calibrate_prediction(task: Task, params: Mapping[str, Scalar], prediction: Prediction) -> Prediction:
    """The answer after a fit on the outer training rows, set right by the calibration of the strategy.

    Parameters
    ----------
    task : Task
        Asked for the inner validation predictions where the calibration is learned from them.
    params : mapping
        Flat knobs, of the winner.
    prediction : Prediction
        What ``task.ask(params, split.train, rows)`` gave, for whatever rows.

    Returns
    -------
    Prediction
        The same one where the strategy calibrates nothing.

    Raises
    ------
    FitFailed
    """
    kind = task.cell.strategy.calibration
    if calibration.corrects_prior(kind):
        return replace(prediction, values=_self_calibrated(task, params, task.cell.split.train, prediction))
    if not calibration.is_learned(kind):
        return prediction
    learned = calibration.fit_map(kind, [_validation_fold(task, params, *pair) for pair in task.pairs], task.seed)
    score = calibration.scores_for_map(prediction.values, fitting.with_tuned_params(task.cell.learner.make, params))
    return replace(prediction, values=calibration.apply_map(learned, kind, score), is_probability=True)


def validation_predictions(task: Task, params: Mapping[str, Scalar]) -> list[LabelledValues]:
    """Labels and calibrated predictions of the inner validation rows of a candidate, fold by fold.

    Parameters
    ----------
    task : Task
    params : mapping
        Flat knobs.

    Returns
    -------
    list of (y, values)
        On the scale of :meth:`Task.scale`.

    Raises
    ------
    FitFailed
    """
    folds = [_validation_fold(task, params, *pair) for pair in task.pairs]
    return calibration.cross_fit(task.cell.strategy.calibration, folds, task.seed)


def _validation_fold(task: Task, params: Mapping[str, Scalar], fit: np.ndarray, validate: np.ndarray) -> LabelledValues:
    """Labels of the rows of an inner fold, and their predictions or the scores that a calibration reads."""
    kind, answer = task.cell.strategy.calibration, task.ask(params, fit, validate)
    values = _self_calibrated(task, params, fit, answer) if calibration.corrects_prior(kind) else answer.values
    if calibration.is_learned(kind):
        values = calibration.scores_for_map(values, fitting.with_tuned_params(task.cell.learner.make, params))
    return task.dataset.y[validate], values


def _self_calibrated(task: Task, params: Mapping[str, Scalar], fit: np.ndarray, prediction: Prediction) -> np.ndarray:
    """An answer as the rows of its own fit set it right."""
    weight = params.get("weight")
    assert weight is None or isinstance(weight, (int, float, str))
    return calibration.correct_fit(prediction.values, task.dataset.y[fit], prediction.reached, weight)


def _needs_inner_folds(task: Task) -> bool:
    """Whether the inner folds are asked: for a candidate, a threshold or a calibration."""
    return bool(task.axes) or _fixed_threshold(task) is None or calibration.is_learned(task.cell.strategy.calibration)


def _value_to_reach(task: Task, known: Sequence[Trial]) -> float | None:
    """The best value so far, which the next candidate must be able to reach; None without pruning."""
    measure = task.primary
    learned = calibration.is_learned(task.cell.strategy.calibration)  # no fold is known before all are
    if not task.study.tuning.prune or learned or not measures.is_monotone(measure):
        return None
    found = search.best_trial(known, measure.greater_is_better)
    return found.value if found else None


def _judge_candidate(task: Task, params: Mapping[str, Scalar], bar: float | None) -> Trial:
    if not _needs_inner_folds(task):
        return Trial(params, None, _fixed_threshold(task))
    rule, folds = _threshold_rule(task)[0], list[LabelledValues]()
    for i, (fit, validate) in enumerate(task.pairs):
        if bar is not None and folds and _best_reachable_value(task, params, folds, rule) < bar - search.TIE_TOLERANCE:
            return Trial(params, None, None, "pruned", f"cannot reach {bar:.6g} after {i} inner folds")
        try:
            folds.append(_validation_fold(task, params, fit, validate))
        except FitFailed as error:
            return Trial(params, None, None, "failed", FAILED_FOLD.format(i, error))
    try:
        folds = calibration.cross_fit(task.cell.strategy.calibration, folds, task.seed)
        return _choose_threshold(task, params, folds)
    except (FitFailed, measures.MeasureFailed) as error:
        return Trial(params, None, None, "failed", f"on the inner folds, {error}")


def _choose_threshold(task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues]) -> Trial:
    """The threshold and the value of a candidate."""
    rule, grid = _threshold_rule(task)
    by, amount = _threshold_measure(task), task.dataset.amount
    amounts = [] if amount is None else [amount[validate] for _, validate in task.pairs]
    function, compared = measures.function_of(by, allow=None), _on_threshold_scale(task, params, folds)
    cut = thresholds.choose_threshold(rule, compared, grid, function, by.greater_is_better, amounts)
    if cut is None:
        return Trial(params, None, None, "inapplicable", f"no cut meets {_describe_rule(rule)} on the inner folds")
    value = cut.value if measures.is_counted(task.primary) else _mean_over_folds(task.primary, folds)
    if value is None and (task.axes or _fixed_threshold(task) is None):
        return Trial(params, None, cut.threshold, "failed", f"{task.primary.name} is undefined on the inner folds")
    return Trial(params, value, cut.threshold, fold_thresholds=cut.fold_thresholds, at_edge=cut.at_edge)


def _on_threshold_scale(
    task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues]
) -> Sequence[LabelledValues]:
    """Folds on the scale of the threshold; the ranking measures read them as they are."""
    return [(y, task.compared(params, values)) for y, values in folds]


def _best_reachable_value(
    task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues], rule: Threshold
) -> float:
    """The best value a candidate can still have: every row of the remaining folds called right."""
    rest = np.concatenate([task.dataset.y[validate] for _, validate in task.pairs[len(folds) :]])
    function, known = measures.function_of(task.primary, allow=None), _on_threshold_scale(task, params, folds)
    return thresholds.best_reachable_value(rule, known, int(rest.sum()), int((1 - rest).sum()), function)


def _threshold_rule(task: Task) -> tuple[Threshold, tuple[float, ...] | str]:
    """The threshold rule of the strategy and the cuts it may choose from."""
    own = search.threshold_grid(task.cell.strategy)
    if own is not None:
        return "tuned", own
    return thresholds.resolve_rule(task.cell.strategy.threshold), task.study.protocol.thresholds


def _fixed_threshold(task: Task) -> float | None:
    """The threshold where it is known before any fit."""
    rule = _threshold_rule(task)[0]
    return float(rule) if isinstance(rule, (int, float)) else None


def _threshold_measure(task: Task) -> Measure:
    """The primary where it is made of counts, else the protocol's threshold measure."""
    if measures.is_counted(task.primary):
        return task.primary
    return measure_named(task.study.measures, task.study.protocol.threshold_measure)


def _mean_over_folds(measure: Measure, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    function = measures.function_of(measure, allow=None)
    mean = float(np.mean([function(y, values) for y, values in folds]))
    return mean if np.isfinite(mean) else None


def only_candidate(trials: Sequence[Trial]) -> Trial | None:
    """The single candidate of a strategy that searches nothing."""
    alone = [t for t in trials if t.status == "ok"]
    return alone[0] if len(trials) == 1 and alone else None


def _reason_without_winner(trials: Sequence[Trial]) -> tuple[str, str]:
    """Status and reason of a cell without a winner."""
    failed = [t for t in trials if t.status == "failed"]
    if failed:
        return "failed", f"no candidate has a value; {len(failed)} failed, the first in {failed[0].reason}"
    reasons = dict.fromkeys(t.reason for t in trials if t.reason)
    return "inapplicable", "no candidate applies: " + "; ".join(list(reasons)[:3])


def _collect_notes(task: Task, winner: Trial, prediction: Prediction) -> list[str]:
    notes = list(prediction.notes)
    if winner.at_edge:
        notes.append(f"the threshold {winner.threshold:g} is the first or last it could be")
    if said := calibration.approximation_note(task.cell.strategy):
        notes.append(said)
    if not prediction.is_probability:
        notes.append(f"learner {task.cell.learner.name!r} gives decision values, not probabilities")
    if task.threshold_scale(winner.params) == DECISION_VALUE:
        notes.append("its thresholds are decision values")
    return notes


def _describe_rule(rule: Threshold) -> str:
    return ", ".join(f"{k} {v}" for k, v in rule.items()) if isinstance(rule, Mapping) else str(rule)


def _make_evaluation(task: Task, outcome: _Outcome, fits: int, seconds: float) -> Evaluation:
    cell, winner, y = task.cell, outcome.winner, task.dataset.y[task.cell.split.test]
    amount = None if task.dataset.amount is None else task.dataset.amount[cell.split.test]
    scores: dict[str, float | None] = {m.name: None for m in task.study.measures}
    counts: dict[str, int] = {}
    if outcome.prediction is not None and winner is not None and winner.threshold is not None:
        values = outcome.prediction.values
        compared, is_probability = task.compared(winner.params, values), task.scale(winner.params) == PROBABILITY
        try:
            scores, found = measures.score_predictions(
                task.study.measures, y, values, winner.threshold, is_probability, amount, compared
            )
            counts = {name: int(getattr(found, name)) for name in ("tn", "fp", "fn", "tp")}
        except measures.MeasureFailed as error:
            outcome = _Outcome("failed", str(error), outcome.trials, winner)
    return Evaluation(
        dataset=cell.dataset,
        learner=cell.learner.name,
        strategy=cell.strategy.name,
        repeat=cell.split.repeat,
        fold=cell.split.fold,
        params=dict(winner.params) if winner else {},
        threshold=winner.threshold if winner else None,
        scores=scores,
        counts=counts,
        seconds=seconds,
        status=outcome.status,
        error=outcome.error,
        fingerprint=design.address(cell, task.study, task.dataset),
        data_fingerprint=task.dataset.fingerprint,
        split_fingerprint=cell.split.fingerprint,
        flagged=(counts["tp"] + counts["fp"]) / len(y) if counts else None,
        value=winner.value if winner else None,
        n_train=len(cell.split.train),
        n_test=len(y),
        reached=dict(outcome.prediction.reached) if outcome.prediction else {},
        fits=fits,
        notes=tuple(outcome.notes),
        trials=tuple(outcome.trials),
        code=own_code.part_of_address(*design.written(cell, task.study)),
        scale=task.threshold_scale(winner.params) if winner else PROBABILITY,
    )
