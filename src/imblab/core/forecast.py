"""Forecast of a study before anything runs: candidates, fits, cost, and smaller studies that fit a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from imblab.core import evaluate, search
from imblab.core.evaluate import Task
from imblab.core.fitting import FitRequest, FitSharing, Prediction
from imblab.result import Evaluation, Family
from imblab.study import Choice, Learner, Scalar, Strategy, Study

#: Returns the stored prediction for an address, or None.
GetPrediction = Callable[[str], Prediction | None]
#: Bytes of a process that has imported everything and holds no table.
EMPTY_PROCESS_BYTES = 220 * 2**20
#: Copies of its fit rows that a worker holds at the height of a fit: standardised, resampled, and the learner's.
COPIES_PER_WORKER = 3.0
#: Stands for the learner in a reason that several share.
EACH = "each of these learners"
#: Seconds until the first worker is ready.
POOL_START_SECONDS = 3.0


class _NotStored(Exception):
    """Raised for a prediction that needs a fit."""


@dataclass(frozen=True, slots=True)
class Inapplicable:
    """A candidate, or a whole cell, that is not applicable."""

    #: coordinates of the cell
    dataset: str
    learner: str
    strategy: str
    #: outer split of the cell; both count from 0
    repeat: int
    fold: int
    params: Mapping[str, Scalar] | None  # None if the strategy is not applicable with any value of its knobs
    reason: str  # a sentence for the plan and the report


@dataclass(slots=True)
class Forecast:
    """The work behind cells that share a data set, a learner and their fits."""

    #: names that the cells share
    dataset: str
    learner: str
    #: The fits by address: for which strategy, and the request if it is known. An upper bound if candidates depend on
    #: the values of others, or if the refit of a winner may be made anyway.
    fits: dict[str, tuple[str, FitRequest | None]] = field(default_factory=dict)
    predictions: int = 0  # predictions that the cells need, each cell by itself
    stored: int = 0  # of those, the ones in the prediction store
    is_bound: bool = False  # whether ``fits`` is an upper bound
    #: candidates and cells that are left out, with their reasons
    inapplicable: list[Inapplicable] = field(default_factory=list)
    #: the params of the candidates that apply in some fold, by strategy; none are listed if a search draws them
    applicable: dict[str, list[Mapping[str, Scalar]]] = field(default_factory=dict)

    def forget_requests(self) -> None:
        """Drop the requests of the fits, which hold rows; what is counted stays."""
        self.fits = {address: (strategy, None) for address, (strategy, _) in self.fits.items()}


def forecast_fits(tasks: Sequence[Task], sharing: FitSharing, get: GetPrediction = lambda _: None) -> Forecast:
    """Count the fits of the cells of one bundle.

    Parameters
    ----------
    tasks : sequence of Task
        At least one; their ``predict`` is not called.
    sharing : FitSharing
        Which requests share a fit.
    get : callable, optional
        Returns stored predictions; none are stored by default.
    """
    forecast = Forecast(tasks[0].cell.dataset, tasks[0].cell.learner.name)
    for task in tasks:
        _count_task(task, forecast, sharing, get)
    return forecast


def _count_task(task: Task, forecast: Forecast, sharing: FitSharing, get: GetPrediction) -> None:
    cell, strategy = task.cell, task.cell.strategy.name
    if reason := task.inapplicable_reason:
        forecast.inapplicable.append(_inapplicable(task, None, reason))
        return
    trials = evaluate.list_candidates(task)
    forecast.inapplicable += [_inapplicable(task, t.params, t.reason or "") for t in trials if t.status != "ok"]
    params = [t.params for t in trials if t.status == "ok"]
    if params or not trials:
        listed = forecast.applicable.setdefault(strategy, [])
        if listed != params:  # as in the other splits of the bundle
            listed += [p for p in params if p not in listed]
    missing = 0
    for request in evaluate.inner_requests(task, trials=trials):
        missing += _count_request(request, strategy, forecast, sharing, get)
    if not trials:
        n_drawn = (task.study.tuning.n_trials or 0) * len(task.pairs) + 1
        forecast.fits |= {f"{cell.key} {i}": (strategy, None) for i in range(n_drawn)}
        forecast.predictions, forecast.is_bound = forecast.predictions + n_drawn, True
    elif params and (len(params) == 1 or not missing):
        winner = _known_winner(task, params[0], get)
        if winner is not None:
            refit = task.request(winner, cell.split.train, cell.split.test)
            _count_request(refit, strategy, forecast, sharing, get)
    elif params:
        forecast.fits[f"{cell.key} refit"] = (strategy, None)
        forecast.predictions, forecast.is_bound = forecast.predictions + 1, True


def _count_request(
    request: FitRequest, strategy: str, forecast: Forecast, sharing: FitSharing, get: GetPrediction
) -> bool:
    """Count one prediction that a cell needs; returns whether it needs a fit."""
    forecast.predictions += 1
    if get(request.address) is not None:
        forecast.stored += 1
        return False
    fitted = sharing.fit_for(request)[0]
    forecast.fits.setdefault(fitted.address, (strategy, fitted))
    return True


def count_stored(tasks: Sequence[Task]) -> Counter[int]:
    """Count the predictions that the cells of one learner and outer split rest on, by the number of their values.

    Predictions that cells share count once. An upper bound: the winners of several strategies may share a refit.

    Parameters
    ----------
    tasks : sequence of Task
        At least one; their ``predict`` is not called.
    """
    inner: set[str] = set()
    refits: set[str] = set()
    for task in tasks:
        if task.inapplicable_reason is not None:
            continue
        cell, trials = task.cell, evaluate.list_candidates(task)
        params = [trial.params for trial in trials if trial.status == "ok"]
        # The other inner folds ask for as many.
        requests = evaluate.inner_requests(task, {task.fingerprints[0][0]}, trials)
        inner |= {request.address for request in requests}
        if not trials:
            inner |= {f"{cell.key} {i}" for i in range(task.study.tuning.n_trials or 0)}
        if len(params) == 1:
            refits.add(task.request(params[0], cell.split.train, cell.split.test).address)
        elif params or not trials:
            refits.add(cell.key)
    n_classes, counts = len(tasks[0].dataset.classes), Counter[int]()
    parts = [(len(validate), len(inner)) for _, validate in tasks[0].pairs]
    for n_rows, count in (*parts, (len(tasks[0].cell.split.test), len(refits))):
        counts[n_rows * (1 if n_classes == 2 else n_classes)] += count
    return +counts


def _known_winner(task: Task, first: Mapping[str, Scalar], get: GetPrediction) -> Mapping[str, Scalar] | None:
    """Return the params of the refit: chosen from stored predictions, or else the first and only candidate."""

    def predict(request: FitRequest) -> Prediction:
        prediction = get(request.address)
        if prediction is None:
            raise _NotStored
        return prediction

    try:
        trials = evaluate.tune(replace(task, predict=predict))
    except _NotStored:
        return first
    winner = evaluate.best_candidate(task, trials)
    return winner.params if winner else None


def summarize_inapplicable(forecasts: Iterable[Forecast]) -> list[dict[str, Any]]:
    """List what is not applicable, one entry per cause, with the number of folds and the learners.

    The reason of a learner is that of its first fold: those of other folds differ by the numbers of rows.
    """
    causes: dict[tuple[str, str, str, str], list[Inapplicable]] = {}
    reasons: dict[tuple[str, str, str, str], str] = {}
    for item in (item for forecast in forecasts for item in forecast.inapplicable):
        value = ", ".join(f"{k}={v}" for k, v in (item.params or {}).items()) or "any value"
        place, shared = (item.dataset, item.strategy, value), item.reason.replace(f"learner {item.learner!r}", EACH)
        reason = reasons.setdefault((*place, item.learner), shared)
        causes.setdefault((*place, reason), []).append(item)
    return [
        {
            "dataset": dataset,
            "strategy": strategy,
            "value": value,
            "reason": reason if len({m.learner for m in members}) > 1 else members[0].reason,
            "folds": len({(m.repeat, m.fold) for m in members}),
            "learners": sorted({m.learner for m in members}),
        }
        for (dataset, strategy, value, reason), members in causes.items()
    ]


def _inapplicable(task: Task, params: Mapping[str, Scalar] | None, reason: str) -> Inapplicable:
    cell, split = task.cell, task.cell.split
    return Inapplicable(cell.dataset, cell.learner.name, cell.strategy.name, split.repeat, split.fold, params, reason)


def strategy_facts(study: Study) -> Iterator[dict[str, Any]]:
    """Yield the knobs and the number of candidates of every strategy."""
    for strategy in study.strategies:
        axes = {name: axis.text() for name, axis in strategy.space.items()}
        kind = strategy.calibration if strategy.calibration != "none" else None
        yield {
            "name": strategy.name,
            "candidates": max(count_candidates(study, strategy, learner) for learner in study.learners),
            "axes": {**axes, **strategy.fixed_knobs, **({"calibration": kind} if kind else {})},
            "weight": axes.get("weight", strategy.weight),
            "threshold": axes.get("threshold", strategy.threshold),
        }


def is_searched(study: Study, strategy: Strategy, learner: Learner) -> bool:
    """Whether a strategy with a learner has parameters to search."""
    return bool(search.searched_axes(strategy, learner, study.tuning.tune_learner))


def count_candidates(study: Study, strategy: Strategy, learner: Learner) -> int:
    """Return the number of candidates of a strategy with a learner; 0 if it is known while they are drawn only."""
    axes = search.searched_axes(strategy, learner, study.tuning.tune_learner)
    is_drawn = bool(axes) and study.tuning.search_method.is_drawn
    return (study.tuning.n_trials if is_drawn else search.grid_size(axes)) or 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a study."""

    fits: int  # number of fits
    seconds: float  # of fitting, on one core
    untimed: tuple[str, ...]  # learners of which no fit was timed: they are not in ``seconds``


#: Seconds of a fit by data set, learner and strategy.
Timings = Mapping[tuple[str, str, str], float]


def estimate_cost(forecasts: Iterable[Forecast], timings: Timings) -> Cost:
    """Estimate the seconds of fits; a strategy that was not timed costs what its learner costs on average.

    Examples
    --------
    >>> forecast = Forecast("d", "l", {"a": ("none", None), "b": ("smote", None)})
    >>> estimate_cost([forecast], {("d", "l", "none"): 0.5}).seconds
    1.0
    """
    fits, seconds, untimed = 0, 0.0, []
    by_family: dict[Family, dict[str, float]] = {}
    for (dataset, learner, strategy), measured in timings.items():
        by_family.setdefault((dataset, learner), {})[strategy] = measured
    for forecast in forecasts:
        timed = by_family.get((forecast.dataset, forecast.learner), {})
        fits += len(forecast.fits)
        if not timed:
            untimed += [f"{forecast.dataset}/{forecast.learner}"] if forecast.fits else []
            continue
        mean = sum(timed.values()) / len(timed)
        seconds += sum(timed.get(strategy, mean) for strategy, _ in forecast.fits.values())
    return Cost(fits, seconds, tuple(dict.fromkeys(untimed)))


def wall_seconds(seconds: float, n_jobs: int) -> float:
    """Return the wall time of seconds of fitting over workers, with the start of the pool."""
    return seconds if n_jobs == 1 else POOL_START_SECONDS + seconds / n_jobs


class RemainingTime:
    """Estimate of the time that a run still takes, from the seconds of its evaluations by data set and learner.

    An evaluation of a data set and learner that has none yet costs what those of its learner cost per value of their
    tables; one of a learner that has none, what all evaluations cost.

    Parameters
    ----------
    cells : iterable of (str, str)
        Data set and learner of every cell to evaluate.
    sizes : mapping of str to float
        Values of the table of every data set: rows times columns.
    known : iterable of Evaluation, default=()
        Evaluations made before.

    Examples
    --------
    >>> remaining = RemainingTime([("a", "knn")] * 2 + [("b", "knn")], {"a": 10, "b": 20})
    >>> remaining.seconds_left(elapsed=0.0)
    0.0
    """

    def __init__(
        self, cells: Iterable[tuple[str, str]], sizes: Mapping[str, float], known: Iterable[Evaluation] = ()
    ) -> None:
        self._cells, self._sizes, self._done = Counter(cells), sizes, 0.0
        self._seen: dict[tuple[str, str], list[float]] = {}
        for evaluation in known:
            self._seen.setdefault((evaluation.dataset, evaluation.learner), []).append(evaluation.seconds)

    def count(self, evaluation: Evaluation) -> None:
        """Count an evaluation of this run."""
        key = evaluation.dataset, evaluation.learner
        self._cells[key] -= 1
        self._done += evaluation.seconds
        self._seen.setdefault(key, []).append(evaluation.seconds)

    def seconds_left(self, elapsed: float) -> float:
        """Return the seconds left after some that have elapsed; processes at work are seen from what they made."""
        work = sum(n * self._seconds_each(key) for key, n in self._cells.items() if n > 0)
        return elapsed * work / self._done if self._done > 0 else 0.0

    def _seconds_each(self, key: tuple[str, str]) -> float:
        if key in self._seen:
            return sum(self._seen[key]) / len(self._seen[key])
        like = [other for other in self._seen if other[1] == key[1] and other[0] in self._sizes] or list(self._seen)
        values = sum(self._sizes.get(dataset, 1.0) * len(self._seen[dataset, learner]) for dataset, learner in like)
        return self._sizes.get(key[0], 1.0) * sum(sum(self._seen[other]) for other in like) / max(values, 1.0)


def peak_bytes(table_bytes: Sequence[int], train_share: float, n_jobs: int) -> int:
    """Return the peak memory of the process tree: the largest table, and copies of its fit rows in every worker.

    ``train_share`` is the largest share of its rows that a training part has.
    """
    largest = max(table_bytes, default=0)
    fit_rows = largest * train_share
    processes = 1 if n_jobs == 1 else n_jobs + 1
    return int(processes * EMPTY_PROCESS_BYTES + 2 * largest + n_jobs * COPIES_PER_WORKER * fit_rows)


def drop_inapplicable(study: Study, forecasts: Iterable[Forecast]) -> Study:
    """Leave out of a study the strategies, learners and values of axes that are applicable to none of its tables.

    A value that applies in some folds of its tables only goes as well if other values apply in all folds of one:
    chosen as the last of its axis, it would leave folds without the strategy. The study stays as it is if everything
    or nothing is applicable.
    """
    folds: dict[tuple[str, str], list[Mapping[str, Sequence[Mapping[str, Scalar]]]]] = {}
    for forecast in forecasts:
        folds.setdefault((forecast.dataset, forecast.learner), []).append(forecast.applicable)
    learners = {learner for (_, learner), of_learner in folds.items() if any(of_learner)}
    anywhere: dict[str, list[Mapping[str, Scalar]]] = {}
    everywhere: dict[str, list[Mapping[str, Scalar]]] = {}
    for of_learner in folds.values():
        for name in {name for fold in of_learner for name in fold}:
            listed = [params for fold in of_learner for params in fold.get(name, ())]
            in_all = [params for params in listed if all(params in fold.get(name, ()) for fold in of_learner)]
            anywhere.setdefault(name, []).extend(listed)
            everywhere.setdefault(name, []).extend(in_all)
    params = {name: everywhere[name] or listed for name, listed in anywhere.items()}
    if not params:
        return study
    return replace(
        study,
        learners=tuple(learner for learner in study.learners if learner.name in learners),
        strategies=tuple(_keep_applicable_values(s, params[s.name]) for s in study.strategies if s.name in params),
    )


def _keep_applicable_values(strategy: Strategy, candidates: Sequence[Mapping[str, Scalar]]) -> Strategy:
    """Restrict listed axes to the values of applicable candidates."""
    space = dict(strategy.space)
    for knob, axis in strategy.space.items():
        used = {params[knob] for params in candidates if knob in params}
        if isinstance(axis, Choice) and used:
            space[knob] = Choice(tuple(value for value in axis.values if value in used))
    return replace(strategy, space=space) if space != dict(strategy.space) else strategy


def shrink_study(study: Study, kept: Collection[str] = ()) -> Iterator[Study]:
    """Yield ever smaller studies.

    Repeats go first, since they narrow intervals without changing the question; then values of the longest axes, whose
    ends stay; then strategies, the last first, but no baseline and not resampling at a tuned threshold, without which
    it cannot be shown that resampling helps; then outer folds; then learners, the last first.

    Parameters
    ----------
    study : Study
        The study to shrink.
    kept : collection of str, default=()
        Names of strategies and learners that stay; those of declared contrasts do so too.
    """
    # A hold-out of one repeat has no test.
    fewest = 1 if study.protocol.test_size is None else 2
    while study.protocol.repeats > fewest:
        study = replace(study, protocol=replace(study.protocol, repeats=study.protocol.repeats // 2))
        yield study
    while (longest := _longest_axis(study, kept)) is not None:
        study = _thin_axis(study, *longest)
        yield study
    claims = study.claims
    declared = chain(claims.contrasts or (), claims.primary or (), claims.secondary or ())
    stay = {*kept, *chain.from_iterable(declared), _last_treated(study)}
    for strategy in reversed([s for s in study.strategies if _is_treated(s) and s.name not in stay]):
        study = replace(study, strategies=tuple(s for s in study.strategies if s is not strategy))
        yield study
    are_predefined = bool(study.datasets) and all(spec.get("folds") for spec in study.datasets.values())
    if study.protocol.test_size is None and study.protocol.outer_folds > 3 and not are_predefined:
        study = replace(study, protocol=replace(study.protocol, outer_folds=3))
        yield study
    for learner in reversed([item for item in study.learners[1:] if item.name not in kept]):
        study = replace(study, learners=tuple(item for item in study.learners if item is not learner))
        yield study


def shrinking_overrides(study: Study, smaller: Study, on_file: Collection[str] = ()) -> dict[str, str]:
    """Return the overrides, by key, that turn a study into the smaller one.

    ``on_file`` holds the names of strategies and learners in groups; all by default.

    Examples
    --------
    >>> study = Study("s", 0, {}, (), (Strategy("none"), Strategy("smote", space={"k": Choice((3, 5))})), ())
    >>> shrinking_overrides(study, replace(study, strategies=(Strategy("none"),)))
    {'strategy': '[none]'}
    """
    overrides: dict[str, str] = {}
    for name in ("repeats", "outer_folds"):
        if (value := getattr(smaller.protocol, name)) != getattr(study.protocol, name):
            overrides[f"protocol.{name}"] = str(value)
    for group, before, after in (
        ("strategy", study.strategies, smaller.strategies),
        ("learner", study.learners, smaller.learners),
    ):
        names = [item.name for item in after]
        if names != [item.name for item in before]:
            overrides[group] = f"[{','.join(name for name in names if not on_file or name in on_file)}]"
    spaces = {strategy.name: strategy.space for strategy in study.strategies}
    for strategy in smaller.strategies:
        changed = {knob: axis for knob, axis in strategy.space.items() if axis != spaces[strategy.name][knob]}
        overrides |= {f"strategy.{strategy.name}.space.{knob}": axis.text() for knob, axis in changed.items()}
    return overrides


def _is_treated(strategy: Strategy) -> bool:
    return strategy.sampler is not None or bool(strategy.weight) or bool(strategy.space)


def _last_treated(study: Study) -> str | None:
    """Return the strategy that treats imbalance in the smallest study: preferably resampling at a tuned threshold."""
    treated = [strategy for strategy in study.strategies if _is_treated(strategy)]
    tuned = [s for s in treated if s.sampler is not None and not isinstance(s.threshold, float)]
    unweighted = [s for s in tuned if s.weight is None and "weight" not in s.space]
    return next((s.name for s in (*unweighted, *tuned, *treated)), None)


def _longest_axis(study: Study, kept: Collection[str] = ()) -> tuple[str, Choice] | None:
    """Return the longest axis of any strategy; None if every axis has one value."""
    axes = [
        (knob, axis)
        for strategy in study.strategies
        if strategy.name not in kept
        for knob, axis in strategy.space.items()
        if knob != "threshold" and isinstance(axis, Choice) and len(axis.values) > 1
    ]
    return max(axes, key=lambda item: len(item[1].values), default=None)


def _thin_axis(study: Study, knob: str, axis: Choice) -> Study:
    """Halve the values of an axis, but for its ends, in every strategy that has it: those share their fits."""
    n = len(axis.values)
    half = (n + 1) // 2
    thinner = Choice(tuple(axis.values[round(i * (n - 1) / max(half - 1, 1))] for i in range(half)))
    strategies = tuple(
        replace(s, space={**s.space, knob: thinner}) if s.space.get(knob) == axis else s for s in study.strategies
    )
    return replace(study, strategies=strategies)
