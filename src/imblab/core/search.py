"""The search of a strategy's knobs: which axes are searched, in which order, and which candidates are judged.

The declared order is ratio, k, weight, then the further knobs of the sampler by name, then the parameters of the
learner by name. Thresholds are not an axis: they are swept on the same fits.

The only module that uses Optuna. Candidates are asked for, judged and told one by one, in memory, with one seed. A
repeated candidate is told its known value without a fit; an inapplicable or failed one is told FAIL and uses up its
trial.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, cast

from imblab.result import Trial
from imblab.study import (
    FITTED_KNOBS,
    KNOBS,
    LEARNER_PREFIX,
    SAMPLER_PREFIX,
    Axis,
    Choice,
    Interval,
    Learner,
    Scalar,
    Strategy,
    Tuning,
    in_declared_order,
)

if TYPE_CHECKING:
    import optuna

#: Values closer than this are tied: the first candidate in the declared order wins. Listed numbers are one value.
TIE_TOLERANCE = 1e-12

Judge = Callable[[Mapping[str, Scalar]], Trial]


def searched_axes(strategy: Strategy, learner: Learner, tune_learner: bool) -> dict[str, Axis]:
    """Return the searched axes of a strategy with a learner, in the declared order, by their names among params.

    Examples
    --------
    >>> space = {"m_neighbors": Choice((5, 10)), "k": Choice((3, 5)), "ratio": Choice((0.5,))}
    >>> searched_axes(Strategy("s", space=space), Learner("l", {}), False).keys()
    dict_keys(['ratio', 'k', 'sampler.m_neighbors'])
    """
    learner_axes = {LEARNER_PREFIX + name: learner.space[name] for name in sorted(learner.space)}
    return {**strategy.axes, **(learner_axes if tune_learner else {})}


def _complete_params(fixed: Mapping[str, Scalar], searched: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Join fixed and searched knobs in the declared order."""
    params = {**fixed, **searched}
    return {name: params[name] for name in in_declared_order(params)}


def learner_params(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the parameters of the learner among params, by their own names.

    Examples
    --------
    >>> learner_params({"ratio": 0.5, "learner.C": 2.0})
    {'C': 2.0}
    """
    prefix = LEARNER_PREFIX
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def sampler_params(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the knobs of the sampler among params, further ones by their own names.

    Examples
    --------
    >>> sampler_params({"ratio": 0.5, "weight": 2, "sampler.m_neighbors": 5})
    {'ratio': 0.5, 'm_neighbors': 5}
    """
    knobs = {name: params[name] for name in FITTED_KNOBS if name in params and KNOBS[name].place == "sampler"}
    prefix = SAMPLER_PREFIX
    return knobs | {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def _grid_candidates(axes: Mapping[str, Axis]) -> list[dict[str, Scalar]]:
    """Return the product of listed axes; the last axis varies fastest, repeated candidates appear once.

    Raises TypeError if an axis is an interval (such a configuration is refused before).
    """
    values = []
    for name, axis in axes.items():
        if isinstance(axis, Interval):
            raise TypeError(f"axis {name!r} is an interval; a grid needs listed values")
        values.append(axis.values)
    unique = dict.fromkeys(product(*values))
    return [dict(zip(axes, combination, strict=True)) for combination in unique]


def grid_size(axes: Mapping[str, Axis]) -> int | None:
    """Return the number of candidates of a grid; None if an axis is continuous.

    Examples
    --------
    >>> grid_size({"ratio": Choice((0.5, 1.0)), "k": Choice((3, 5))})
    4
    """
    if any(isinstance(axis, Interval) for axis in axes.values()):
        return None
    return len(_grid_candidates(axes))


def find_repeated(values: Sequence[Scalar], absolute: bool = True) -> tuple[Scalar, Scalar] | None:
    """Find two listed values that are one: equal in any type, or numbers within 1e-12 of each other.

    ``absolute`` is False for parameters that may be smaller: 1e-12 is a share of the larger one then, not a distance.

    Examples
    --------
    >>> find_repeated((0.1, 0.30000000000000004, 0.3)), find_repeated((True, "a", 1))
    ((0.30000000000000004, 0.3), (True, 1))
    >>> find_repeated((1e-13, 1e-14), absolute=False)
    """
    texts: dict[str, int] = {}
    for i, value in enumerate(values):
        if isinstance(value, str) and texts.setdefault(value, i) != i:
            return value, value
    numbers = sorted((value, i) for i, value in enumerate(values) if not isinstance(value, str))
    for (low, i), (high, j) in pairwise(numbers):
        if _is_one(low, high, absolute):
            return values[min(i, j)], values[max(i, j)]
    return None


def _is_one(low: float, high: float, absolute: bool) -> bool:
    if low == high or (isinstance(low, int) and isinstance(high, int)):  # whole numbers of any length
        return low == high
    return math.isclose(low, high, rel_tol=TIE_TOLERANCE, abs_tol=TIE_TOLERANCE if absolute else 0.0)


def threshold_grid(strategy: Strategy) -> tuple[float, ...] | None:
    """Return the thresholds that a strategy itself lists, if it does."""
    axis = strategy.space.get("threshold")
    return tuple(float(v) for v in axis.values) if isinstance(axis, Choice) else None


def run_search(
    axes: Mapping[str, Axis],
    fixed: Mapping[str, Scalar],
    tuning: Tuning,
    seed: int,
    greater_is_better: bool,
    judge: Judge,
) -> tuple[Trial, ...]:
    """Judge the candidates that a search method asks for, in the order asked; ``fixed`` knobs are not searched.

    Axes are in the declared order; without axes the fixed knobs are a single candidate.

    Examples
    --------
    >>> def judge(params):
    ...     return Trial(params, float(params["k"]), 0.5)
    >>> [t.params["k"] for t in run_search({"k": Choice((3, 5))}, {}, Tuning(), 0, True, judge)]
    [3, 5]
    """

    def judge_searched(searched: Mapping[str, Scalar]) -> Trial:
        return judge(_complete_params(fixed, searched))

    if not tuning.search_method.is_drawn or not axes:
        return tuple(map(judge_searched, _grid_candidates(axes)))
    return _ask_and_tell(axes, tuning, seed, greater_is_better, judge_searched)


def best_trial(trials: Iterable[Trial], greater_is_better: bool) -> Trial | None:
    """Return the first trial whose value is within 1e-12 of the best; None if no trial has a value.

    Examples
    --------
    >>> best_trial([Trial({"k": 3}, 0.5, 0.5), Trial({"k": 5}, 0.5 + 1e-13, 0.5)], True).params
    {'k': 3}
    """
    sign = 1.0 if greater_is_better else -1.0
    valued = [(sign * t.value, t) for t in trials if t.status == "ok" and t.value is not None]
    if not valued:
        return None
    top = max(value for value, _ in valued)
    return next(t for value, t in valued if top - value <= TIE_TOLERANCE)


def _ask_and_tell(
    axes: Mapping[str, Axis], tuning: Tuning, seed: int, greater_is_better: bool, judge: Judge
) -> tuple[Trial, ...]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    method = tuning.search_method
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = getattr(optuna.samplers, method.sampler)(seed=seed, **method.options)
    study = optuna.create_study(direction="maximize" if greater_is_better else "minimize", sampler=sampler)
    judged: dict[tuple[Scalar, ...], Trial] = {}
    trials = []
    for _ in range(tuning.n_trials or 0):
        proposal = study.ask()
        searched = {name: _suggest(proposal, name, axis) for name, axis in axes.items()}
        address = tuple(searched.values())
        if address in judged:
            trial = replace(judged[address], status="repeated")
        else:
            trial = judged[address] = judge(searched)
        if (first := judged[address]).status == "ok" and first.value is not None:
            study.tell(proposal, first.value)
        else:
            study.tell(proposal, state=optuna.trial.TrialState.FAIL)
        trials.append(trial)
    return tuple(trials)


def _suggest(proposal: optuna.Trial, name: str, axis: Axis) -> Scalar:
    if isinstance(axis, Choice):
        return cast(Scalar, proposal.suggest_categorical(name, axis.values))
    if axis.integer:
        return proposal.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
    return proposal.suggest_float(name, axis.low, axis.high, log=axis.log)
