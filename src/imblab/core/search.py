"""Asking for candidates: a grid in the declared order, or Optuna's samplers, one sequential study a cell.

The only module that knows Optuna. Candidates are asked, judged and told one by one, in memory, with one seed; a
repeated candidate is told its known value without a fit; an inapplicable or failed one is told FAIL and uses up its
trial.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from imblab.core import spaces
from imblab.result import Trial
from imblab.study import Axis, Choice, Scalar, Tuning

if TYPE_CHECKING:
    import optuna

#: Values closer than this are tied: the first candidate in the declared order wins.
TIE = 1e-12

Judge = Callable[[Mapping[str, Scalar]], Trial]


def run(
    searched: Mapping[str, Axis],
    still: Mapping[str, Scalar],
    tuning: Tuning,
    seed: int,
    greater_is_better: bool,
    judge: Judge,
) -> tuple[Trial, ...]:
    """Judge the candidates that a search asks for.

    Parameters
    ----------
    searched : mapping of str to Axis
        In the declared order; empty for a single fixed candidate.
    still : mapping
        Knobs that do not move.
    tuning : Tuning
    seed : int
        ``seed + repeat`` of the cell.
    greater_is_better : bool
        Direction of the primary measure.
    judge : callable
        Takes complete params, gives a :class:`~imblab.result.Trial`.

    Returns
    -------
    tuple of Trial
        In the order asked.

    Examples
    --------
    >>> def judge(params):
    ...     return Trial(params, float(params["k"]), 0.5)
    >>> [t.params["k"] for t in run({"k": Choice((3, 5))}, {}, Tuning(), 0, True, judge)]
    [3, 5]
    """
    if tuning.method == "grid" or not searched:
        return tuple(judge(spaces.complete(still, c)) for c in spaces.grid(searched))
    return _ask_and_tell(searched, still, tuning, seed, greater_is_better, judge)


def best(trials: Iterable[Trial], greater_is_better: bool) -> Trial | None:
    """The winner: the first whose value is within 1e-12 of the best.

    Parameters
    ----------
    trials : iterable of Trial
    greater_is_better : bool

    Returns
    -------
    Trial or None
        None where no trial has a value.

    Examples
    --------
    >>> best([Trial({"k": 3}, 0.5, 0.5), Trial({"k": 5}, 0.5 + 1e-13, 0.5)], True).params
    {'k': 3}
    """
    sign = 1.0 if greater_is_better else -1.0
    valued = [(sign * t.value, t) for t in trials if t.status == "ok" and t.value is not None]
    if not valued:
        return None
    top = max(value for value, _ in valued)
    return next(t for value, t in valued if top - value <= TIE)


def _ask_and_tell(
    searched: Mapping[str, Axis],
    still: Mapping[str, Scalar],
    tuning: Tuning,
    seed: int,
    greater_is_better: bool,
    judge: Judge,
) -> tuple[Trial, ...]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = _samplers(optuna)[tuning.method](seed)
    study = optuna.create_study(direction="maximize" if greater_is_better else "minimize", sampler=sampler)
    known: dict[tuple[Scalar, ...], Trial] = {}
    trials = []
    for _ in range(tuning.n_trials or 0):
        asked = study.ask()
        params = spaces.complete(still, {name: _suggest(asked, name, axis) for name, axis in searched.items()})
        address = tuple(params.values())
        if address in known:
            trial = replace(known[address], status="repeated")
        else:
            trial = known[address] = judge(params)
        _tell(study, asked, known[address])
        trials.append(trial)
    return tuple(trials)


def _samplers(optuna: Any) -> dict[str, Callable[[int], optuna.samplers.BaseSampler]]:
    kinds = optuna.samplers
    return {
        "random": lambda seed: kinds.RandomSampler(seed=seed),
        "qmc": lambda seed: kinds.QMCSampler(seed=seed, scramble=True),
        "tpe": lambda seed: kinds.TPESampler(seed=seed, multivariate=True, n_startup_trials=10),
    }


def _suggest(asked: optuna.Trial, name: str, axis: Axis) -> Scalar:
    if isinstance(axis, Choice):
        return cast(Scalar, asked.suggest_categorical(name, axis.values))
    if axis.integer:
        return asked.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
    return asked.suggest_float(name, axis.low, axis.high, log=axis.log)


def _tell(study: optuna.Study, asked: optuna.Trial, trial: Trial) -> None:
    import optuna

    if trial.status == "ok" and trial.value is not None:
        study.tell(asked, trial.value)
    else:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
