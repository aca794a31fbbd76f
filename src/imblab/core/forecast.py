"""What a study will do, counted before anything runs: candidates, fits, and what does not apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imblab.core import calibration, evaluate, search, spaces
from imblab.core.evaluate import Task
from imblab.core.pipelines import Atom, Prediction
from imblab.core.sharing import Sharing
from imblab.study import Scalar, Strategy, Study

#: What is known of an address: an answer or nothing.
LookUp = Callable[[str], Prediction | None]


class _Unknown(Exception):
    """An answer that takes a fit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate, or a whole cell, that does not apply.

    Attributes
    ----------
    dataset, learner, strategy : str
    repeat, fold : int
    params : mapping or None
        None where the strategy does not apply whatever its knobs.
    reason : str
    """

    dataset: str
    learner: str
    strategy: str
    repeat: int
    fold: int
    params: Mapping[str, Scalar] | None
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work behind cells that share a data set, a learner and their fits.

    Attributes
    ----------
    dataset, learner : str
    fits : mapping of str to (str, Atom or None)
        What will be fitted, by address: for which strategy, and the atom where it is known. An upper bound where
        candidates depend on the values of others, or where the refit of a winner may be one that is made anyway.
    asked : int
        Answers that the cells rest on, each cell by itself.
    known : int
        Of those, what the store holds.
    bound : bool
        Whether ``fits`` is an upper bound.
    refusals : tuple of Refusal
    applicable : mapping of str to tuple of mapping
        The params of the candidates that apply in some fold, by strategy; none are listed where a search draws them.
    """

    dataset: str
    learner: str
    fits: Mapping[str, tuple[str, Atom | None]]
    asked: int
    known: int
    bound: bool
    refusals: tuple[Refusal, ...]
    applicable: Mapping[str, tuple[Mapping[str, Scalar], ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Count:
    """A forecast in the making."""

    sharing: Sharing
    look_up: LookUp
    fits: dict[str, tuple[str, Atom | None]] = field(default_factory=dict)
    asked: int = 0
    known: int = 0
    bound: bool = False
    refusals: list[Refusal] = field(default_factory=list)
    applicable: dict[str, list[Mapping[str, Scalar]]] = field(default_factory=dict)

    def add(self, atom: Atom, strategy: str) -> None:
        """Count one answer that a cell needs."""
        self.asked += 1
        if self.look_up(atom.address) is not None:
            self.known += 1
            return
        fitted = self.sharing.family(atom)[0]
        self.fits.setdefault(fitted.address, (strategy, fitted))


def forecast(tasks: Sequence[Task], sharing: Sharing, look_up: LookUp = lambda _: None) -> Forecast:
    """Count the fits of the cells of one bundle.

    Parameters
    ----------
    tasks : sequence of Task
        At least one; their ``predict`` is not called.
    sharing : Sharing
    look_up : callable, optional
        What is known already; nothing by default.

    Returns
    -------
    Forecast
    """
    count = _Count(sharing, look_up)
    for task in tasks:
        _count(task, count)
    cell = tasks[0].cell
    applicable = {name: tuple(params) for name, params in count.applicable.items()}
    refused = tuple(count.refusals)
    return Forecast(
        cell.dataset, cell.learner.name, count.fits, count.asked, count.known, count.bound, refused, applicable
    )


def _count(task: Task, count: _Count) -> None:
    cell, split = task.cell, task.cell.split
    if reason := task.barrier:
        count.refusals.append(_refusal(task, None, reason))
        return
    trials = evaluate.candidates(task)
    count.refusals += [_refusal(task, t.params, t.reason or "") for t in trials if t.status == "inapplicable"]
    applicable = [t for t in trials if t.status == "ok"]
    if applicable or not trials:
        known = count.applicable.setdefault(cell.strategy.name, [])
        known += [t.params for t in applicable if t.params not in known]
    before = count.asked - count.known
    for atom in evaluate.atoms(task):
        count.add(atom, cell.strategy.name)
    if not trials:
        drawn = (task.study.tuning.n_trials or 0) * len(task.pairs) + 1
        count.fits |= {f"{cell.key} {i}": (cell.strategy.name, None) for i in range(drawn)}
        count.asked, count.bound = count.asked + drawn, True
    elif applicable and (len(applicable) == 1 or count.asked - count.known == before):
        winner = _winner(task, count.look_up)
        if winner is not None:
            count.add(task.atom(winner, split.train, split.test), cell.strategy.name)
    elif applicable:
        count.fits[f"{cell.key} refit"] = (cell.strategy.name, None)
        count.asked, count.bound = count.asked + 1, True


def _winner(task: Task, look_up: LookUp) -> Mapping[str, Scalar] | None:
    """The params of the refit, where they are known: a lone candidate, or every inner answer in the store."""

    def predict(atom: Atom) -> Prediction:
        found = look_up(atom.address)
        if found is None:
            raise _Unknown
        return found

    try:
        trials = evaluate.tune(replace(task, predict=predict))
    except _Unknown:
        lone = [t.params for t in evaluate.candidates(task) if t.status == "ok"]
        return lone[0]
    found = search.best(trials, task.primary.greater_is_better) or evaluate.unsearched(trials)
    return found.params if found else None


def refusals(found: Iterable[Forecast]) -> list[dict[str, Any]]:
    """What does not apply, one entry a cause: how many folds, of which learners."""
    causes: dict[tuple[str, str, str], list[Refusal]] = {}
    for refusal in (r for f in found for r in f.refusals):
        value = ", ".join(f"{k}={v}" for k, v in (refusal.params or {}).items()) or "any value"
        causes.setdefault((refusal.dataset, refusal.strategy, value), []).append(refusal)
    return [
        {
            "dataset": dataset,
            "strategy": strategy,
            "value": value,
            "reason": members[0].reason,
            "folds": len({(m.repeat, m.fold) for m in members}),
            "learners": sorted({m.learner for m in members}),
        }
        for (dataset, strategy, value), members in causes.items()
    ]


def strategy_facts(study: Study) -> Iterator[dict[str, Any]]:
    """The knobs and the number of candidates of every strategy."""
    for strategy in study.strategies:
        shown = {name: axis.text() for name, axis in strategy.space.items()}
        kind = calibration.shown(strategy)
        yield {
            "name": strategy.name,
            "candidates": max(_candidates(study, strategy)),
            "axes": {**shown, **spaces.fixed(strategy), **({"calibration": kind} if kind else {})},
            "weight": shown.get("weight", strategy.weight),
            "threshold": shown.get("threshold", strategy.threshold),
        }


def _candidates(study: Study, strategy: Strategy) -> Iterator[int]:
    for learner in study.learners:
        axes = spaces.axes(strategy, learner, study.tuning.tune_learner)
        drawn = bool(axes) and study.tuning.method != "grid"
        yield (study.tuning.n_trials if drawn else spaces.size(axes)) or 0


def _refusal(task: Task, params: Mapping[str, Scalar] | None, reason: str) -> Refusal:
    cell, split = task.cell, task.cell.split
    return Refusal(cell.dataset, cell.learner.name, cell.strategy.name, split.repeat, split.fold, params, reason)
