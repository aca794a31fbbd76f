"""What a study will do, counted before anything runs: candidates, fits, and what does not apply."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imblab.core import evaluate, search
from imblab.core.evaluate import Task
from imblab.core.fitting import FitRequest, FitSharing, Prediction
from imblab.study import Choice, Scalar, Strategy, Study

#: What is known of an address: an answer or nothing.
GetPrediction = Callable[[str], Prediction | None]


class _NotStored(Exception):
    """An answer that takes a fit."""


@dataclass(frozen=True, slots=True)
class Inapplicable:
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
    fits : mapping of str to (str, FitRequest or None)
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
    fits: Mapping[str, tuple[str, FitRequest | None]]
    asked: int
    known: int
    bound: bool
    refusals: tuple[Inapplicable, ...]
    applicable: Mapping[str, tuple[Mapping[str, Scalar], ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _FitCounter:
    """A forecast in the making."""

    sharing: FitSharing
    look_up: GetPrediction
    fits: dict[str, tuple[str, FitRequest | None]] = field(default_factory=dict)
    asked: int = 0
    known: int = 0
    bound: bool = False
    refusals: list[Inapplicable] = field(default_factory=list)
    applicable: dict[str, list[Mapping[str, Scalar]]] = field(default_factory=dict)

    def add(self, atom: FitRequest, strategy: str) -> None:
        """Count one answer that a cell needs."""
        self.asked += 1
        if self.look_up(atom.address) is not None:
            self.known += 1
            return
        fitted = self.sharing.fit_for(atom)[0]
        self.fits.setdefault(fitted.address, (strategy, fitted))


def forecast_fits(tasks: Sequence[Task], sharing: FitSharing, look_up: GetPrediction = lambda _: None) -> Forecast:
    """Count the fits of the cells of one bundle.

    Parameters
    ----------
    tasks : sequence of Task
        At least one; their ``predict`` is not called.
    sharing : FitSharing
    look_up : callable, optional
        What is known already; nothing by default.

    Returns
    -------
    Forecast
    """
    count = _FitCounter(sharing, look_up)
    for task in tasks:
        _count_task(task, count)
    cell = tasks[0].cell
    applicable = {name: tuple(params) for name, params in count.applicable.items()}
    refused = tuple(count.refusals)
    return Forecast(
        cell.dataset, cell.learner.name, count.fits, count.asked, count.known, count.bound, refused, applicable
    )


def _count_task(task: Task, count: _FitCounter) -> None:
    cell, split = task.cell, task.cell.split
    if reason := task.inapplicable_reason:
        count.refusals.append(_inapplicable(task, None, reason))
        return
    trials = evaluate.list_candidates(task)
    count.refusals += [_inapplicable(task, t.params, t.reason or "") for t in trials if t.status == "inapplicable"]
    applicable = [t for t in trials if t.status == "ok"]
    if applicable or not trials:
        known = count.applicable.setdefault(cell.strategy.name, [])
        known += [t.params for t in applicable if t.params not in known]
    before = count.asked - count.known
    for atom in evaluate.inner_requests(task):
        count.add(atom, cell.strategy.name)
    if not trials:
        drawn = (task.study.tuning.n_trials or 0) * len(task.pairs) + 1
        count.fits |= {f"{cell.key} {i}": (cell.strategy.name, None) for i in range(drawn)}
        count.asked, count.bound = count.asked + drawn, True
    elif applicable and (len(applicable) == 1 or count.asked - count.known == before):
        winner = _known_winner(task, count.look_up)
        if winner is not None:
            count.add(task.request(winner, split.train, split.test), cell.strategy.name)
    elif applicable:
        count.fits[f"{cell.key} refit"] = (cell.strategy.name, None)
        count.asked, count.bound = count.asked + 1, True


def _known_winner(task: Task, look_up: GetPrediction) -> Mapping[str, Scalar] | None:
    """The params of the refit, where they are known: a lone candidate, or every inner answer in the store."""

    def predict(atom: FitRequest) -> Prediction:
        found = look_up(atom.address)
        if found is None:
            raise _NotStored
        return found

    try:
        trials = evaluate.tune(replace(task, predict=predict))
    except _NotStored:
        lone = [t.params for t in evaluate.list_candidates(task) if t.status == "ok"]
        return lone[0]
    found = evaluate.best_candidate(task, trials)
    return found.params if found else None


def summarize_inapplicable(found: Iterable[Forecast]) -> list[dict[str, Any]]:
    """What does not apply, one entry a cause: how many folds, of which learners."""
    causes: dict[tuple[str, str, str], list[Inapplicable]] = {}
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
        kind = strategy.calibration if strategy.calibration != "none" else None
        yield {
            "name": strategy.name,
            "candidates": max(_candidate_counts(study, strategy)),
            "axes": {**shown, **strategy.fixed_knobs, **({"calibration": kind} if kind else {})},
            "weight": shown.get("weight", strategy.weight),
            "threshold": shown.get("threshold", strategy.threshold),
        }


def _candidate_counts(study: Study, strategy: Strategy) -> Iterator[int]:
    for learner in study.learners:
        axes = search.searched_axes(strategy, learner, study.tuning.tune_learner)
        drawn = bool(axes) and study.tuning.search_method.is_drawn
        yield (study.tuning.n_trials if drawn else search.grid_size(axes)) or 0


def _inapplicable(task: Task, params: Mapping[str, Scalar] | None, reason: str) -> Inapplicable:
    cell, split = task.cell, task.cell.split
    return Inapplicable(cell.dataset, cell.learner.name, cell.strategy.name, split.repeat, split.fold, params, reason)


#: Bytes of a process that has imported everything and holds no table.
EMPTY_PROCESS_BYTES = 220 * 2**20
#: Copies of its fit rows that a worker holds at the height of a fit: standardised, resampled, and the learner's own.
COPIES_PER_WORKER = 3.0
#: Seconds until the first worker answers.
POOL_START_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a study takes.

    Attributes
    ----------
    fits : int
    seconds : float
        Of fitting, on one core.
    untimed : tuple of str
        Learners of which no fit was timed: they are not in ``seconds``.
    """

    fits: int
    seconds: float
    untimed: tuple[str, ...]


#: Seconds of a fit by data set, learner and strategy.
Timings = Mapping[tuple[str, str, str], float]


def estimate_cost(found: Iterable[Forecast], timings: Timings) -> Cost:
    """Seconds of the fits of a forecast; strategies that were not timed cost what their learner costs on average.

    Parameters
    ----------
    found : iterable of Forecast
    timings : mapping of (str, str, str) to float

    Returns
    -------
    Price

    Examples
    --------
    >>> one = Forecast("d", "l", {"a": ("none", None), "b": ("smote", None)}, 2, 0, False, ())
    >>> price([one], {("d", "l", "none"): 0.5}).seconds
    1.0
    """
    fits, seconds, untimed = 0, 0.0, []
    for forecast in found:
        own = {s: t for (d, n, s), t in timings.items() if (d, n) == (forecast.dataset, forecast.learner)}
        fits += len(forecast.fits)
        if not own:
            untimed += [f"{forecast.dataset}/{forecast.learner}"] if forecast.fits else []
            continue
        mean = sum(own.values()) / len(own)
        seconds += sum(own.get(strategy, mean) for strategy, _ in forecast.fits.values())
    return Cost(fits, seconds, tuple(dict.fromkeys(untimed)))


def wall_seconds(seconds: float, n_jobs: int) -> float:
    """Wall time of so many seconds of fitting over some workers, their start included."""
    return seconds if n_jobs == 1 else POOL_START_SECONDS + seconds / n_jobs


def peak_bytes(table_bytes: Sequence[int], outer_folds: int, n_jobs: int) -> int:
    """Memory of the whole process tree at its height: the largest table, once, and its fit rows in every worker."""
    largest = max(table_bytes, default=0)
    part = largest * (outer_folds - 1) / outer_folds
    processes = 1 if n_jobs == 1 else n_jobs + 1
    return int(processes * EMPTY_PROCESS_BYTES + 2 * largest + n_jobs * COPIES_PER_WORKER * part)


def drop_inapplicable(study: Study, found: Iterable[Forecast]) -> Study:
    """Leave out of a study what applies on none of its tables: strategies, learners, and values of axes.

    A value that applies in some folds of its tables only goes as well where other values apply in all folds of one:
    chosen as the last of its axis, it would leave folds without the strategy.

    Parameters
    ----------
    study : Study
    found : iterable of Forecast
        Of the whole study.

    Returns
    -------
    Study
        The same one if everything applies somewhere, or nothing does.
    """
    folds: dict[tuple[str, str], list[Mapping[str, tuple[Mapping[str, Scalar], ...]]]] = {}
    for forecast in found:
        folds.setdefault((forecast.dataset, forecast.learner), []).append(forecast.applicable)
    learners = {learner for (_, learner), each in folds.items() if any(each)}
    anywhere: dict[str, list[Mapping[str, Scalar]]] = {}
    everywhere: dict[str, list[Mapping[str, Scalar]]] = {}
    for each in folds.values():
        for name in {name for fold in each for name in fold}:
            listed = [params for fold in each for params in fold.get(name, ())]
            anywhere.setdefault(name, []).extend(listed)
            everywhere.setdefault(name, []).extend(p for p in listed if all(p in fold.get(name, ()) for fold in each))
    params = {name: everywhere[name] or listed for name, listed in anywhere.items()}
    if not params:
        return study
    return replace(
        study,
        learners=tuple(learner for learner in study.learners if learner.name in learners),
        strategies=tuple(_keep_applicable_values(s, params[s.name]) for s in study.strategies if s.name in params),
    )


def _keep_applicable_values(strategy: Strategy, candidates: Sequence[Mapping[str, Scalar]]) -> Strategy:
    """A strategy whose listed axes hold values that some applicable candidate has."""
    space = dict(strategy.space)
    for knob, axis in strategy.space.items():
        used = {params[knob] for params in candidates if knob in params}
        if isinstance(axis, Choice) and used:
            space[knob] = Choice(tuple(value for value in axis.values if value in used))
    return replace(strategy, space=space) if space != dict(strategy.space) else strategy


def shrink_study(study: Study, kept: Collection[str] = ()) -> Iterator[Study]:
    """Make a study ever smaller.

    Repeats go first, since they narrow intervals without changing what is asked; then values of the longest axes, whose
    ends stay; then strategies, the last first, but no baseline and not resampling at a chosen threshold, without which
    nobody can say that resampling helps; then outer folds; then learners, the last first.

    Parameters
    ----------
    study : Study
    kept : collection of str, default=()
        Names of strategies and learners that stay; those of declared contrasts do so too.

    Yields
    ------
    Study
    """
    while study.protocol.repeats > 1:
        study = replace(study, protocol=replace(study.protocol, repeats=study.protocol.repeats // 2))
        yield study
    while (longest := _longest_axis(study, kept)) is not None:
        study = _thin_axis(study, *longest)
        yield study
    stay = {*kept, *(name for pair in study.claims.contrasts or () for name in pair), _last_treated(study)}
    for strategy in reversed([s for s in study.strategies if _is_treated(s) and s.name not in stay]):
        study = replace(study, strategies=tuple(s for s in study.strategies if s is not strategy))
        yield study
    if study.protocol.outer_folds > 3:
        study = replace(study, protocol=replace(study.protocol, outer_folds=3))
        yield study
    for learner in reversed([item for item in study.learners[1:] if item.name not in kept]):
        study = replace(study, learners=tuple(item for item in study.learners if item is not learner))
        yield study


def shrinking_overrides(study: Study, smaller: Study, on_file: Collection[str] = ()) -> dict[str, str]:
    """The overrides that make a study the smaller one, by their keys.

    Parameters
    ----------
    study, smaller : Study
    on_file : collection of str, default=()
        Names of strategies and learners that groups know; all by default.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> one = Study("s", 0, {}, (), (Strategy("none"), Strategy("smote", space={"k": Choice((3, 5))})), ())
    >>> overrides(one, replace(one, strategies=(Strategy("none"),)))
    {'strategy': '[none]'}
    """
    found: dict[str, str] = {}
    for name in ("repeats", "outer_folds"):
        if (value := getattr(smaller.protocol, name)) != getattr(study.protocol, name):
            found[f"protocol.{name}"] = str(value)
    for group, before, after in (
        ("strategy", study.strategies, smaller.strategies),
        ("learner", study.learners, smaller.learners),
    ):
        names = [item.name for item in after]
        if names != [item.name for item in before]:
            found[group] = f"[{','.join(name for name in names if not on_file or name in on_file)}]"
    spaces = {strategy.name: strategy.space for strategy in study.strategies}
    for strategy in smaller.strategies:
        changed = {knob: axis for knob, axis in strategy.space.items() if axis != spaces[strategy.name][knob]}
        found |= {f"strategy.{strategy.name}.space.{knob}": axis.text() for knob, axis in changed.items()}
    return found


def _is_treated(strategy: Strategy) -> bool:
    return strategy.sampler is not None or bool(strategy.weight) or bool(strategy.space)


def _last_treated(study: Study) -> str | None:
    """The strategy that treats imbalance in the smallest study: resampling at a tuned threshold where there is one."""
    treated = [strategy for strategy in study.strategies if _is_treated(strategy)]
    tuned = [s for s in treated if s.sampler is not None and not isinstance(s.threshold, float)]
    alone = [s for s in tuned if s.weight is None and "weight" not in s.space]
    return next((s.name for s in (*alone, *tuned, *treated)), None)


def _longest_axis(study: Study, kept: Collection[str] = ()) -> tuple[str, Choice] | None:
    """The longest axis of any strategy; None where every axis has one value."""
    axes = [
        (knob, axis)
        for strategy in study.strategies
        if strategy.name not in kept
        for knob, axis in strategy.space.items()
        if knob != "threshold" and isinstance(axis, Choice) and len(axis.values) > 1
    ]
    return max(axes, key=lambda item: len(item[1].values), default=None)


def _thin_axis(study: Study, knob: str, axis: Choice) -> Study:
    """Half the values of an axis, its ends among them, in every strategy that has it: those share their fits."""
    n = len(axis.values)
    half = (n + 1) // 2
    thinner = Choice(tuple(axis.values[round(i * (n - 1) / max(half - 1, 1))] for i in range(half)))
    strategies = tuple(
        replace(s, space={**s.space, knob: thinner}) if s.space.get(knob) == axis else s for s in study.strategies
    )
    return replace(study, strategies=strategies)
