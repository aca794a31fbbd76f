"""The kernel: one cell in, one row out.

tune -> fit -> choose threshold -> refit on train -> score on test. The kernel fits nothing itself: it asks
``predict(atom)``, and whoever runs it decides whether that means a fit or a look into what is known already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from imblab import seeds
from imblab.core import design, measures, pipelines, search, spaces, thresholds
from imblab.core.pipelines import Atom, FitFailed, Prediction
from imblab.core.splits import Pair
from imblab.records import (
    Axis,
    Cell,
    Dataset,
    Evaluation,
    Make,
    Measure,
    Scalar,
    Study,
    Threshold,
    Trial,
)

Predict = Callable[[Atom], Prediction]


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
    """

    cell: Cell
    study: Study
    dataset: Dataset
    pairs: Sequence[Pair]
    predict: Predict

    @property
    def seed(self) -> int:
        """The random state of the repeat."""
        return seeds.of_repeat(self.study.seed, self.cell.split.repeat)

    @property
    def primary(self) -> Measure:
        """What is tuned and judged."""
        return named(self.study.measures, self.study.primary)

    @property
    def sampler(self) -> Make | None:
        """The sampler in the form that suits the table."""
        return pipelines.form(self.cell.strategy.sampler, self.dataset)

    @property
    def axes(self) -> dict[str, Axis]:
        """What is searched; empty where nothing is."""
        return spaces.axes(self.cell.strategy, self.cell.learner, self.study.tuning.tune_learner)

    def atom(self, params: Mapping[str, Scalar], fit: np.ndarray, rows: np.ndarray) -> Atom:
        """The question for the probabilities of some rows after a fit on others."""
        return pipelines.atom_of(self.dataset, self.cell.learner.make, self.sampler, params, self.seed, fit, rows)

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


def evaluate(task: Task) -> Evaluation:
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
    fits = _Counted(task.predict)
    outcome = _answer(Task(task.cell, task.study, task.dataset, task.pairs, fits))
    return _row(task, outcome, len(fits.seen), time.perf_counter() - begin)


def named(known: Sequence[Measure], name: str) -> Measure:
    """The measure of that name."""
    return next(m for m in known if m.name == name)


class _Counted:
    """Counts the distinct atoms a row rests on."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.seen: set[str] = set()

    def __call__(self, atom: Atom) -> Prediction:
        self.seen.add(atom.address)
        return self._predict(atom)


def _answer(task: Task) -> _Outcome:
    reason = design.barrier(task.cell.strategy, task.cell.learner, task.dataset, task.primary)
    if reason:
        return _Outcome("inapplicable", reason)
    trials = tune(task)
    winner = search.best(trials, task.primary.greater_is_better) or unsearched(trials)
    if winner is None:
        return _Outcome(*_defeat(trials), trials=trials)
    split = task.cell.split
    try:
        prediction = task.ask(winner.params, split.train, split.test)
    except FitFailed as error:
        return _Outcome("failed", f"the refit of the winner failed: {error}", trials, winner)
    return _Outcome("ok", None, trials, winner, prediction, _remarks(task, winner, prediction))


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
        known.append(_judged(task, params, _bar(task, known)))
        return known[-1]

    return _searched(task, judge)


def candidates(task: Task) -> tuple[Trial, ...]:
    """The candidates that :func:`tune` will judge, without a fit; inapplicable ones with their reason.

    Parameters
    ----------
    task : Task

    Returns
    -------
    tuple of Trial
        Empty where every candidate depends on the values of those before it.
    """
    if task.axes and task.study.tuning.method == "tpe":
        return ()
    return _searched(task, lambda params: Trial(params, 0.0, None))


def atoms(task: Task) -> list[Atom]:
    """What :func:`tune` will ask, fold by fold, as far as it is known before anything is fitted.

    Parameters
    ----------
    task : Task

    Returns
    -------
    list of Atom
    """
    barred = design.barrier(task.cell.strategy, task.cell.learner, task.dataset, task.primary)
    if barred or not _chooses(task):
        return []
    params = [trial.params for trial in candidates(task) if trial.status == "ok"]
    return [task.atom(p, fit, validate) for fit, validate in task.pairs for p in params]


def _searched(task: Task, judge: search.Judge) -> tuple[Trial, ...]:
    """The trials of a search in which only what applies is judged."""
    where = design.parts(task.dataset, task.cell.split, task.pairs)

    def judged(params: Mapping[str, Scalar]) -> Trial:
        reason = design.obstacle(params, task.sampler, where)
        return Trial(params, None, None, "inapplicable", reason) if reason else judge(params)

    better = task.primary.greater_is_better
    return search.run(task.axes, spaces.fixed(task.cell.strategy), task.study.tuning, task.seed, better, judged)


def _chooses(task: Task) -> bool:
    """Whether anything is chosen on the inner folds: a candidate or a threshold."""
    return bool(task.axes) or not isinstance(_rule(task)[0], (int, float))


def _bar(task: Task, known: Sequence[Trial]) -> float | None:
    """The best value so far, which the next candidate must be able to reach; None without pruning."""
    measure = task.primary
    if not task.study.tuning.prune or not measures.is_monotone(measure):
        return None
    found = search.best(known, measure.greater_is_better)
    return found.value if found else None


def _judged(task: Task, params: Mapping[str, Scalar], bar: float | None) -> Trial:
    rule, grid = _rule(task)
    if not task.axes and isinstance(rule, (int, float)):
        return Trial(params, None, float(rule))
    folds: list[thresholds.Fold] = []
    for i, (fit, validate) in enumerate(task.pairs):
        if bar is not None and folds and _reach(task, folds, rule) < bar - search.TIE:
            return Trial(params, None, None, "pruned", f"cannot reach {bar:.6g} after {i} inner folds")
        try:
            folds.append((task.dataset.y[validate], task.ask(params, fit, validate).p))
        except FitFailed as error:
            return Trial(params, None, None, "failed", f"inner fold {i}: {error}")
    cut = thresholds.choose(rule, folds, grid, measures.function_of(_cut_measure(task)))
    if cut is None:
        return Trial(params, None, None, "inapplicable", f"no cut meets {_said(rule)} on the inner folds")
    value = cut.value if measures.is_counted(task.primary) else _mean_over_folds(task.primary, folds)
    if value is None:
        return Trial(params, None, cut.threshold, "failed", f"{task.primary.name} is undefined on the inner folds")
    return Trial(params, value, cut.threshold, fold_thresholds=cut.fold_thresholds, at_edge=cut.at_edge)


def _reach(task: Task, folds: Sequence[thresholds.Fold], rule: Threshold) -> float:
    """The best value a candidate can still have: every row of the remaining folds called right."""
    rest = np.concatenate([task.dataset.y[validate] for _, validate in task.pairs[len(folds) :]])
    return thresholds.ceiling(rule, folds, int(rest.sum()), int((1 - rest).sum()), measures.function_of(task.primary))


def _rule(task: Task) -> tuple[Threshold, tuple[float, ...] | str]:
    """The threshold rule of the strategy and the cuts it may choose from."""
    own = spaces.cuts(task.cell.strategy)
    if own is not None:
        return "tuned", own
    return task.cell.strategy.threshold, task.study.protocol.thresholds


def _cut_measure(task: Task) -> Measure:
    """The primary where it is made of counts, else the protocol's threshold measure."""
    if measures.is_counted(task.primary):
        return task.primary
    return named(task.study.measures, task.study.protocol.threshold_measure)


def _mean_over_folds(measure: Measure, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    function = measures.function_of(measure)
    mean = float(np.mean([function(y, p) for y, p in folds]))
    return mean if np.isfinite(mean) else None


def unsearched(trials: Sequence[Trial]) -> Trial | None:
    """The single candidate of a strategy that searches nothing."""
    alone = [t for t in trials if t.status == "ok"]
    return alone[0] if len(trials) == 1 and alone else None


def _defeat(trials: Sequence[Trial]) -> tuple[str, str]:
    """Status and reason of a cell without a winner."""
    failed = [t for t in trials if t.status == "failed"]
    if failed:
        return "failed", f"no candidate has a value; {len(failed)} failed, the first in {failed[0].reason}"
    reasons = dict.fromkeys(t.reason for t in trials if t.reason)
    return "inapplicable", "no candidate applies: " + "; ".join(list(reasons)[:3])


def _remarks(task: Task, winner: Trial, prediction: Prediction) -> list[str]:
    notes = list(prediction.notes)
    if winner.at_edge:
        notes.append(f"the threshold {winner.threshold:g} is the first or last it could be")
    if not prediction.calibrated:
        notes.append(f"{task.cell.learner.name!r} gives scores, not probabilities: uncalibrated")
    return notes


def _said(rule: Threshold) -> str:
    return ", ".join(f"{k} {v}" for k, v in rule.items()) if isinstance(rule, Mapping) else str(rule)


def _row(task: Task, outcome: _Outcome, fits: int, seconds: float) -> Evaluation:
    cell, winner, y = task.cell, outcome.winner, task.dataset.y[task.cell.split.test]
    scores: dict[str, float | None] = {m.name: None for m in task.study.measures}
    counts: dict[str, int] = {}
    if outcome.prediction is not None and winner is not None and winner.threshold is not None:
        scores, found = measures.score(
            task.study.measures, y, outcome.prediction.p, winner.threshold, outcome.prediction.calibrated
        )
        counts = {name: int(getattr(found, name)) for name in ("tn", "fp", "fn", "tp")}
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
    )
