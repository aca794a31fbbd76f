"""What a study will cost, from a few fits that were timed, and which smaller study fits a budget."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imblab.core.forecast import Forecast
from imblab.study import Choice, Scalar, Strategy, Study

#: Bytes of a process that has imported everything and holds no table.
EMPTY_PROCESS = 220 * 2**20
#: Copies of its fit rows that a worker holds at the height of a fit: standardised, resampled, and the learner's own.
COPIES = 3.0
#: Seconds until the first worker answers.
START = 3.0


@dataclass(frozen=True, slots=True)
class Price:
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


def price(found: Iterable[Forecast], timings: Timings) -> Price:
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
    return Price(fits, seconds, tuple(dict.fromkeys(untimed)))


def wall_seconds(seconds: float, n_jobs: int) -> float:
    """Wall time of so many seconds of fitting over some workers, their start included."""
    return seconds if n_jobs == 1 else START + seconds / n_jobs


def peak_bytes(table_bytes: Sequence[int], outer_folds: int, n_jobs: int) -> int:
    """Memory of the whole process tree at its height: the largest table, once, and its fit rows in every worker."""
    largest = max(table_bytes, default=0)
    part = largest * (outer_folds - 1) / outer_folds
    processes = 1 if n_jobs == 1 else n_jobs + 1
    return int(processes * EMPTY_PROCESS + 2 * largest + n_jobs * COPIES * part)


def applicable(study: Study, found: Iterable[Forecast]) -> Study:
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
        strategies=tuple(_usable(s, params[s.name]) for s in study.strategies if s.name in params),
    )


def _usable(strategy: Strategy, candidates: Sequence[Mapping[str, Scalar]]) -> Strategy:
    """A strategy whose listed axes hold values that some applicable candidate has."""
    space = dict(strategy.space)
    for knob, axis in strategy.space.items():
        used = {params[knob] for params in candidates if knob in params}
        if isinstance(axis, Choice) and used:
            space[knob] = Choice(tuple(value for value in axis.values if value in used))
    return replace(strategy, space=space) if space != dict(strategy.space) else strategy


def shrink(study: Study, kept: Collection[str] = ()) -> Iterator[Study]:
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
    while (longest := _longest(study, kept)) is not None:
        study = _thinned(study, *longest)
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


def overrides(study: Study, smaller: Study, on_file: Collection[str] = ()) -> dict[str, str]:
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


def _longest(study: Study, kept: Collection[str] = ()) -> tuple[str, Choice] | None:
    """The longest axis of any strategy; None where every axis has one value."""
    axes = [
        (knob, axis)
        for strategy in study.strategies
        if strategy.name not in kept
        for knob, axis in strategy.space.items()
        if knob != "threshold" and isinstance(axis, Choice) and len(axis.values) > 1
    ]
    return max(axes, key=lambda item: len(item[1].values), default=None)


def _thinned(study: Study, knob: str, axis: Choice) -> Study:
    """Half the values of an axis, its ends among them, in every strategy that has it: those share their fits."""
    n = len(axis.values)
    half = (n + 1) // 2
    thinner = Choice(tuple(axis.values[round(i * (n - 1) / max(half - 1, 1))] for i in range(half)))
    strategies = tuple(
        replace(s, space={**s.space, knob: thinner}) if s.space.get(knob) == axis else s for s in study.strategies
    )
    return replace(study, strategies=strategies)
