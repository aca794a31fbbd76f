"""What a study will cost, from a few fits that were timed, and which smaller study fits a budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imblab.core.forecast import Forecast
from imblab.records import Choice, Study

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


def shrink(study: Study) -> Iterator[tuple[tuple[str, ...], Study]]:
    """Ever smaller studies, each with the overrides that lead to it from the one before.

    Repeats go first, since they narrow intervals without changing what is asked; then values of the longest axes, whose
    ends stay; then strategies, the last first, but no reference arm and not the only one that treats imbalance; then
    outer folds.

    Parameters
    ----------
    study : Study

    Yields
    ------
    overrides : tuple of str
    study : Study
    """
    while study.protocol.repeats > 1:
        repeats = study.protocol.repeats // 2
        study = replace(study, protocol=replace(study.protocol, repeats=repeats))
        yield (f"protocol.repeats={repeats}",), study
    while (longest := _longest(study)) is not None:
        knob, axis = longest
        study, changed = _thinned(study, knob, axis)
        yield changed, study
    while len(treated := [s for s in study.strategies if s.sampler is not None or s.weight or s.space]) > 1:
        study = replace(study, strategies=tuple(s for s in study.strategies if s is not treated[-1]))
        yield (f"strategy=[{','.join(s.name for s in study.strategies)}]",), study
    if study.protocol.outer_folds > 3:
        study = replace(study, protocol=replace(study.protocol, outer_folds=3))
        yield ("protocol.outer_folds=3",), study


def _longest(study: Study) -> tuple[str, Choice] | None:
    """The longest axis of any strategy; None where every axis has one value."""
    axes = [
        (knob, axis)
        for strategy in study.strategies
        for knob, axis in strategy.space.items()
        if knob != "threshold" and isinstance(axis, Choice) and len(axis.values) > 1
    ]
    return max(axes, key=lambda item: len(item[1].values), default=None)


def _thinned(study: Study, knob: str, axis: Choice) -> tuple[Study, tuple[str, ...]]:
    """Half the values of an axis, its ends among them, in every strategy that has it: those share their fits."""
    n = len(axis.values)
    half = (n + 1) // 2
    thinner = Choice(tuple(axis.values[round(i * (n - 1) / max(half - 1, 1))] for i in range(half)))
    changed = [s.name for s in study.strategies if s.space.get(knob) == axis]
    strategies = tuple(
        replace(s, space={**s.space, knob: thinner}) if s.name in changed else s for s in study.strategies
    )
    overrides = tuple(f"strategy.{name}.space.{knob}={thinner.text()}" for name in changed)
    return replace(study, strategies=strategies), overrides
