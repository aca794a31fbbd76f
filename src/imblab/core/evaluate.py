"""The kernel: evaluate one cell. tune -> fit -> choose threshold -> refit on train -> score on test.

The kernel fits nothing itself: it calls ``predict(request)``, which may fit or look the prediction up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.core import decisions, design, estimator_specs, fitting, measures, own_code, search, task_decisions
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.sampling import sampler_for_columns
from imblab.core.splits import InnerFolds, RowPair, repeat_seed
from imblab.errors import FitFailed
from imblab.result import NO_CANDIDATE, Evaluation, Trial
from imblab.stats.counts import LabelledValues
from imblab.study import DECISION_VALUE, PROBABILITY, Cell, Dataset, Measure, Scalar, Study, Threshold, fingerprint

Predict = Callable[[FitRequest], Prediction]
#: How a trial names the fit that failed, and how an evaluation says that it was the refit.
FAILED_FOLD = "inner fold {}: {}"
FAILED_REFIT = "the refit of the winner failed: {}"


@dataclass(frozen=True, slots=True)
class Task:
    """A cell with everything that its evaluation reads."""

    cell: Cell  # the element of the design that is evaluated
    study: Study  # the study that the cell belongs to
    dataset: Dataset  # all rows of the table of the cell
    pairs: Sequence[RowPair]  # inner (fit, validate) rows
    predict: Predict  # returns the prediction of a fit request, or raises FitFailed
    #: The requests made so far, by sampler, params, seed and rows: they are listed first and asked for again later.
    #: Tasks of one learner and table may share it.
    requests: dict[tuple[Any, ...], FitRequest] = field(default_factory=dict, repr=False)
    fingerprints: tuple[tuple[str, str], ...] = field(init=False, repr=False)  # of the rows of each pair
    sampler: Mapping[str, Any] | None = field(init=False)  # in the form that suits the columns of the table
    axes: Mapping[str, Any] = field(init=False)  # the searched parameters; empty without a search
    #: how predictions are calibrated, decided and scored, for the number of classes of the table
    decisions: task_decisions.ClassDecisions = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cell = self.cell
        folds = self.pairs if isinstance(self.pairs, InnerFolds) else InnerFolds(self.pairs)
        object.__setattr__(self, "fingerprints", folds.fingerprints)
        sampler = sampler_for_columns(cell.strategy.sampler, self.dataset)
        object.__setattr__(self, "sampler", None if sampler is None else estimator_specs.as_spec(sampler))
        axes = search.searched_axes(cell.strategy, cell.learner, self.study.tuning.tune_learner)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "decisions", task_decisions.decisions_between(self.dataset.classes))

    @property
    def seed(self) -> int:
        """Random state of the repeat."""
        return repeat_seed(self.study.seed, self.cell.split.repeat)

    @property
    def primary(self) -> Measure:
        """The measure that is tuned and judged."""
        return self.study.primary_measure

    @property
    def inapplicable_reason(self) -> str | None:
        """Why the cell cannot be evaluated with any value of its knobs; None if it can."""
        strategy, learner = self.cell.strategy, self.cell.learner
        return design.cell_inapplicable_reason(
            strategy, learner, self.dataset, self.primary
        ) or self.decisions.inapplicable_reason(strategy, learner, self.dataset.y[self.cell.split.train])

    def tuned_learner(self, params: Mapping[str, Scalar]) -> Mapping[str, Any]:
        """Return the specification of the learner with its tuned parameters."""
        return fitting.with_tuned_params(self.cell.learner.make, params)

    def scale(self, params: Mapping[str, Scalar]) -> str:
        """Return whether calibrated predictions are probabilities or decision values."""
        is_calibrated = decisions.is_learned(self.cell.strategy.calibration)
        if is_calibrated or estimator_specs.gives_probabilities(self.tuned_learner(params)):
            return PROBABILITY
        return DECISION_VALUE

    def threshold_scale(self, params: Mapping[str, Scalar]) -> str:
        """Return whether the threshold is compared with probabilities or decision values."""
        return self.scale(params) if self.decisions.uses_observed_values(*threshold_rule(self)) else PROBABILITY

    def compared(self, params: Mapping[str, Scalar], values: np.ndarray) -> np.ndarray:
        """Convert values to the scale of the threshold: a decision value d to ``1 / (1 + exp(-d))``."""
        return values if self.scale(params) == self.threshold_scale(params) else np.asarray(expit(values))

    def request(self, params: Mapping[str, Scalar], fit: np.ndarray, rows: np.ndarray) -> FitRequest:
        """Return the request to fit some rows and to predict others."""
        known = (f for pair, f in zip(self.pairs, self.fingerprints, strict=True) if pair[0] is fit and pair[1] is rows)
        fingerprints = next(known, None) or (fingerprint(fit), fingerprint(rows))
        sampler, make = "" if self.sampler is None else estimator_specs.spec_text(self.sampler), self.cell.learner.make
        # 1 and 1.0 are different values of an address.
        key = (sampler, repr([*params.items()]), self.seed, *fingerprints)
        if key not in self.requests:
            self.requests[key] = fitting.fit_request(
                self.dataset, make, self.sampler, params, self.seed, fit, rows, fingerprints
            )
        return self.requests[key]

    def predict_rows(self, params: Mapping[str, Scalar], fit: np.ndarray, rows: np.ndarray) -> Prediction:
        """Return the prediction of some rows after a fit on others."""
        return self.predict(self.request(params, fit, rows))


@dataclass(slots=True)
class _Outcome:
    """Everything an evaluation records beyond its coordinates."""

    status: str = "ok"
    error: str | None = None
    trials: tuple[Trial, ...] = ()
    winner: Trial | None = None
    prediction: Prediction | None = None
    notes: list[str] = field(default_factory=list)


def evaluate_cell(task: Task) -> Evaluation:
    """Evaluate one cell; a failed fit raises nothing: the status is ``failed`` then, or ``inapplicable``."""
    begin = time.perf_counter()
    seen: dict[str, Prediction | None] = {}  # a repeated request is looked up once

    def predict(request: FitRequest) -> Prediction:
        prediction = seen.setdefault(request.address, None)
        if prediction is None:
            prediction = seen[request.address] = task.predict(request)
        return prediction

    outcome = _find_outcome(replace(task, predict=predict))
    return _make_evaluation(task, outcome, len(seen), time.perf_counter() - begin)


def _find_outcome(task: Task) -> _Outcome:
    if reason := task.inapplicable_reason:
        return _Outcome("inapplicable", reason)
    trials = tune(task)
    winner = best_candidate(task, trials)
    if winner is None:
        return _Outcome(*reason_without_winner(trials), trials=trials)
    split = task.cell.split
    try:
        prediction = calibrate_prediction(
            task, winner.params, task.predict_rows(winner.params, split.train, split.test)
        )
    except FitFailed as error:
        return _Outcome("failed", FAILED_REFIT.format(error), trials, winner)
    return _Outcome("ok", None, trials, winner, prediction, _collect_notes(task, winner, prediction))


def tune(task: Task) -> tuple[Trial, ...]:
    """Judge every candidate on the inner folds; reads training rows only.

    A single trial without a value if nothing is searched and the threshold is a number: that needs no fit.
    """
    judged: list[Trial] = []

    def judge(params: Mapping[str, Scalar]) -> Trial:
        judged.append(_judge_candidate(task, params, _value_to_reach(task, judged)))
        return judged[-1]

    return _search_trials(task, judge)


def list_candidates(task: Task) -> tuple[Trial, ...]:
    """List the candidates that :func:`tune` will judge, without a fit; inapplicable ones with their reason.

    Empty if a candidate depends on the values of those before it.
    """
    if task.axes and task.study.tuning.search_method.is_adaptive:
        return ()
    return _search_trials(task, lambda params: Trial(params, 0.0, None))


def best_candidate(task: Task, trials: Sequence[Trial]) -> Trial | None:
    """Return the winner of a search, or the single candidate of a strategy that searches nothing."""
    best = search.best_trial(trials, task.primary.greater_is_better)
    single = trials[0] if len(trials) == 1 and trials[0].status == "ok" else None
    return best or single


def inner_requests(
    task: Task, fit_fingerprints: Container[str] | None = None, trials: Sequence[Trial] | None = None
) -> list[FitRequest]:
    """List the requests that :func:`tune` will make, fold by fold, as far as they are known before anything is fitted.

    ``fit_fingerprints`` restricts the list to some fit rows; ``trials`` are those of :func:`list_candidates`, if known.
    """
    is_wanted = [fit_fingerprints is None or key in fit_fingerprints for key, _ in task.fingerprints]
    pairs = [pair for pair, wanted in zip(task.pairs, is_wanted, strict=True) if wanted]
    if not pairs or task.inapplicable_reason or not _needs_inner_folds(task):
        return []
    params = [trial.params for trial in (list_candidates(task) if trials is None else trials) if trial.status == "ok"]
    return [task.request(p, fit, validate) for fit, validate in pairs for p in params]


def _search_trials(task: Task, judge: search.Judge) -> tuple[Trial, ...]:
    """Run a search in which only applicable candidates are judged."""
    parts = design.fitted_parts(task.dataset, task.cell.split, task.pairs)

    def judge_applicable(params: Mapping[str, Scalar]) -> Trial:
        reason = design.candidate_inapplicable_reason(params, task.sampler, parts) or _lost_probabilities_reason(
            task, params
        )
        return Trial(params, None, None, "inapplicable", reason) if reason else judge(params)

    fixed, better = task.cell.strategy.fixed_knobs, task.primary.greater_is_better
    return search.run_search(task.axes, fixed, task.study.tuning, task.seed, better, judge_applicable)


def _lost_probabilities_reason(task: Task, params: Mapping[str, Scalar]) -> str | None:
    """Why a learner that loses its probabilities by a tuned parameter is not a candidate."""
    if not search.learner_params(params) or task.scale(params) == PROBABILITY:
        return None
    needs = {
        f"primary {task.primary.name!r}": task.primary.needs == "probability",
        f"the threshold of {task.cell.strategy.name!r}": decisions.needs_probability(task.cell.strategy.threshold),
        "the prior correction": decisions.corrects_prior(task.cell.strategy.calibration),
    }
    what = next((name for name, needed in needs.items() if needed), None)
    return f"{what} needs probabilities and the learner gives decision values only" if what else None


def calibrate_prediction(task: Task, params: Mapping[str, Scalar], prediction: Prediction) -> Prediction:
    """Apply the calibration of the strategy to a prediction after a fit on the outer training rows.

    A calibration that is learned asks for the inner validation predictions of the winner's ``params``. The prediction
    is returned as it is if the strategy calibrates nothing. Raises FitFailed if an inner fit fails.
    """
    kind = task.cell.strategy.calibration
    if decisions.corrects_prior(kind):
        return replace(prediction, values=_correct_prior(task, params, task.cell.split.train, prediction))
    if not decisions.is_learned(kind):
        return prediction
    fitted_map = task.decisions.fit_map(kind, [_validation_fold(task, params, *pair) for pair in task.pairs], task.seed)
    scores = decisions.scores_for_map(prediction.values, task.tuned_learner(params))
    return replace(prediction, values=decisions.apply_map(fitted_map, kind, scores), is_probability=True)


def validation_predictions(task: Task, params: Mapping[str, Scalar]) -> list[LabelledValues]:
    """Return labels and calibrated predictions of the inner validation rows of a candidate, fold by fold.

    The predictions are on the scale of :meth:`Task.scale`. Raises FitFailed if an inner fit fails.
    """
    folds = [_validation_fold(task, params, *pair) for pair in task.pairs]
    return _cross_fit(task, folds)


def candidate_scores(task: Task, trial: Trial) -> dict[str, float]:
    """Score a candidate on the inner folds: ``mcc``, ``pr_auc`` and ``recall``. Raises FitFailed if a fit fails."""
    folds = validation_predictions(task, trial.params)
    compared = _on_threshold_scale(task, trial.params, folds)
    return task.decisions.score_folds(threshold_rule(task)[0], trial.threshold, folds, compared)


def _cross_fit(task: Task, folds: Sequence[LabelledValues]) -> list[LabelledValues]:
    return decisions.cross_fit(task.cell.strategy.calibration, folds, task.seed, task.decisions.fit_map)


def _validation_fold(task: Task, params: Mapping[str, Scalar], fit: np.ndarray, validate: np.ndarray) -> LabelledValues:
    """Return labels of an inner fold, and predictions or the scores that a calibration map reads."""
    kind, prediction = task.cell.strategy.calibration, task.predict_rows(params, fit, validate)
    values = prediction.values
    if decisions.corrects_prior(kind):
        values = _correct_prior(task, params, fit, prediction)
    if decisions.is_learned(kind):
        values = decisions.scores_for_map(values, task.tuned_learner(params))
    return task.dataset.y[validate], values


def _correct_prior(task: Task, params: Mapping[str, Scalar], fit: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Correct a prediction for the class shares that its own fit received."""
    return task.decisions.correct_fit(prediction.values, task.dataset.y[fit], prediction.reached, params.get("weight"))


def _needs_inner_folds(task: Task) -> bool:
    """Whether a candidate, a threshold or a calibration is chosen on the inner folds."""
    return bool(task.axes) or _fixed_choice(task) is None or decisions.is_learned(task.cell.strategy.calibration)


def _value_to_reach(task: Task, judged: Sequence[Trial]) -> float | None:
    """Return the best value so far, which the next candidate must be able to reach; None without pruning."""
    measure = task.primary
    is_learned = decisions.is_learned(task.cell.strategy.calibration)  # no fold is known before all are
    if not task.study.tuning.prune or is_learned or not measures.is_monotone(measure):
        return None
    best = search.best_trial(judged, measure.greater_is_better)
    return best.value if best else None


def _judge_candidate(task: Task, params: Mapping[str, Scalar], value_to_reach: float | None) -> Trial:
    fixed = _fixed_choice(task)
    if fixed is not None and not _needs_inner_folds(task):
        return Trial(params, None, fixed.threshold)
    folds: list[LabelledValues] = []
    for i, (fit, validate) in enumerate(task.pairs):
        lowest = None if value_to_reach is None or not folds else value_to_reach - search.TIE_TOLERANCE
        if lowest is not None and _best_reachable_value(task, params, folds) < lowest:
            return Trial(params, None, None, "pruned", f"cannot reach {value_to_reach:.6g} after {i} inner folds")
        try:
            folds.append(_validation_fold(task, params, fit, validate))
        except FitFailed as error:
            return Trial(params, None, None, "failed", FAILED_FOLD.format(i, error))
    try:
        folds = _cross_fit(task, folds)
        return value_candidate(task, params, folds)
    except (FitFailed, measures.MeasureFailed) as error:
        return Trial(params, None, None, "failed", f"on the inner folds, {error}")


def value_candidate(task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues]) -> Trial:
    """Choose the threshold of a candidate and compute its value from predictions of the inner validation rows."""
    rule, grid = threshold_rule(task)
    measure, amount = threshold_measure(task.study), task.dataset.amount
    amounts = [] if amount is None else [amount[validate] for _, validate in task.pairs]
    choice = task.decisions.choose_threshold(rule, _on_threshold_scale(task, params, folds), grid, measure, amounts)
    if choice is None and rule == "tuned":
        reason = f"{measure.name} is undefined on the inner folds at every threshold"
        return Trial(params, None, None, "failed", reason)
    if choice is None:
        reason = f"no threshold meets {decisions.describe_rule(rule)} on the inner folds"
        return Trial(params, None, None, "inapplicable", reason)
    value = choice.value if measures.is_counted(task.primary) else _mean_over_folds(task, folds)
    if value is None and (task.axes or _fixed_choice(task) is None):
        return Trial(params, None, choice.threshold, "failed", f"{task.primary.name} is undefined on the inner folds")
    return Trial(params, value, choice.threshold, fold_thresholds=choice.fold_thresholds, at_edge=choice.at_edge)


def _on_threshold_scale(
    task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues]
) -> Sequence[LabelledValues]:
    """Convert folds to the scale of the threshold; ranking measures read them unconverted."""
    return [(y, task.compared(params, values)) for y, values in folds]


def _best_reachable_value(task: Task, params: Mapping[str, Scalar], folds: Sequence[LabelledValues]) -> float:
    """Return the best value a candidate can still have: every row of the remaining folds classified correctly."""
    remaining = np.concatenate([task.dataset.y[validate] for _, validate in task.pairs[len(folds) :]])
    compared = _on_threshold_scale(task, params, folds)
    return task.decisions.best_reachable_value(threshold_rule(task)[0], compared, remaining, task.primary)


def threshold_rule(task: Task) -> tuple[Threshold, tuple[float, ...] | str]:
    """Return the threshold rule of the strategy and the thresholds it may choose from."""
    grid = search.threshold_grid(task.cell.strategy)
    if grid is not None:
        return "tuned", grid
    return task.decisions.resolve_rule(task.cell.strategy.threshold), task.study.protocol.thresholds


def _fixed_choice(task: Task) -> decisions.ThresholdChoice | None:
    """Return the choice of a threshold that is known before any fit."""
    return task.decisions.fixed_choice(threshold_rule(task)[0])


def threshold_measure(study: Study) -> Measure:
    """Return the measure that thresholds are tuned for: the primary one if it is computed from counts."""
    if measures.is_counted(study.primary_measure):
        return study.primary_measure
    return next(m for m in study.measures if m.name == study.protocol.threshold_measure)


def _mean_over_folds(task: Task, folds: Sequence[LabelledValues]) -> float | None:
    function = task.decisions.function_of(task.primary)
    mean = float(np.mean([function(y, values) for y, values in folds]))
    return mean if np.isfinite(mean) else None


def reason_without_winner(trials: Sequence[Trial]) -> tuple[str, str]:
    """Return status and reason of a cell without a winner."""
    failed = [t for t in trials if t.status == "failed"]
    if failed:
        return "failed", f"no candidate has a value; {len(failed)} failed, the first in {failed[0].reason}"
    reasons = dict.fromkeys(t.reason for t in trials if t.reason)
    return "inapplicable", NO_CANDIDATE + "; ".join(list(reasons)[:3])


def _collect_notes(task: Task, winner: Trial, prediction: Prediction) -> list[str]:
    notes = list(prediction.notes)
    if winner.at_edge:
        notes.append(task.decisions.describe_edge(winner.threshold, threshold_rule(task)[1]))
    if note := decisions.approximation_note(task.cell.strategy):
        notes.append(note)
    if not prediction.is_probability:
        notes.append(f"learner {task.cell.learner.name!r} gives decision values, not probabilities")
    if task.threshold_scale(winner.params) == DECISION_VALUE:
        notes.append("its thresholds are decision values")
    return notes


def _make_evaluation(task: Task, outcome: _Outcome, fits: int, seconds: float) -> Evaluation:
    cell, winner, y = task.cell, outcome.winner, task.dataset.y[task.cell.split.test]
    amount = None if task.dataset.amount is None else task.dataset.amount[cell.split.test]
    scored: dict[str, Any] = {"scores": {m.name: None for m in task.study.measures}, "counts": {}}
    if outcome.prediction is not None and winner is not None:
        values, threshold, rule = outcome.prediction.values, winner.threshold, threshold_rule(task)[0]
        compared, is_probability = task.compared(winner.params, values), task.scale(winner.params) == PROBABILITY
        of_study = task.study.measures
        try:
            scored |= task.decisions.score(of_study, rule, threshold, y, values, compared, is_probability, amount)
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
        seconds=seconds,
        status=outcome.status,
        error=outcome.error,
        fingerprint=design.cell_address(cell, task.study, task.dataset),
        data_fingerprint=task.dataset.fingerprint,
        split_fingerprint=cell.split.fingerprint,
        value=winner.value if winner else None,
        n_train=len(cell.split.train),
        n_test=len(y),
        reached=dict(outcome.prediction.reached) if outcome.prediction else {},
        fits=fits,
        notes=tuple(outcome.notes),
        trials=tuple(outcome.trials),
        code=own_code.code_names(*design.specs_and_functions(cell, task.study)),
        scale=task.threshold_scale(winner.params) if winner else PROBABILITY,
        **scored,
    )
