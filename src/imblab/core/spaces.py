"""The axes of a search, in the one declared order: ratio, k, weight, then the learner's parameters by name.

Thresholds are no axis: they are swept on the same fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

from imblab.study import Axis, Choice, Interval, Learner, Scalar, Strategy

#: The knobs that need a fit, in the order in which candidates are written down.
KNOBS = ("ratio", "k", "weight")
#: Prefix of a tuned learner parameter among the params of a row.
LEARNER = "learner."
#: Numbers closer than this are tied.
TIE = 1e-12


def axes(strategy: Strategy, learner: Learner, tune_learner: bool) -> dict[str, Axis]:
    """The searched axes of a strategy with a learner, in the declared order.

    Parameters
    ----------
    strategy : Strategy
    learner : Learner
    tune_learner : bool
        Whether the space of the learner is searched too.

    Returns
    -------
    dict of str to Axis
        Empty where nothing is searched.

    Examples
    --------
    >>> axes(Strategy("s", space={"k": Choice((3, 5)), "ratio": Choice((0.5,))}), Learner("l", {}), False).keys()
    dict_keys(['ratio', 'k'])
    """
    found = {knob: strategy.space[knob] for knob in KNOBS if knob in strategy.space}
    if tune_learner:
        found |= {LEARNER + name: learner.space[name] for name in sorted(learner.space)}
    return found


def fixed(strategy: Strategy) -> dict[str, Scalar]:
    """The knobs a strategy holds still; those it does not have are absent.

    Examples
    --------
    >>> fixed(Strategy("s", ratio=0.5, weight="balanced"))
    {'ratio': 0.5, 'weight': 'balanced'}
    """
    return {knob: getattr(strategy, knob) for knob in KNOBS if getattr(strategy, knob) is not None}


def complete(still: Mapping[str, Scalar], searched: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Fixed and searched knobs as one mapping in the declared order.

    Examples
    --------
    >>> complete({"k": 5}, {"ratio": 0.5, "learner.C": 1.0})
    {'ratio': 0.5, 'k': 5, 'learner.C': 1.0}
    """
    both = {**still, **searched}
    rest = sorted(name for name in both if name not in KNOBS)
    return {name: both[name] for name in (*KNOBS, *rest) if name in both}


def grid(searched: Mapping[str, Axis]) -> list[dict[str, Scalar]]:
    """The product of listed axes; the last axis varies fastest, repeated candidates appear once.

    Raises
    ------
    TypeError
        If an axis is an interval (the configuration is refused before this can happen).

    Examples
    --------
    >>> grid({"ratio": Choice((0.5, 1.0)), "k": Choice((3, 5))})[1]
    {'ratio': 0.5, 'k': 5}
    >>> grid({})
    [{}]
    """
    values = []
    for name, axis in searched.items():
        if isinstance(axis, Interval):
            raise TypeError(f"axis {name!r} is an interval; a grid needs listed values")
        values.append(axis.values)
    unique = dict.fromkeys(product(*values))
    return [dict(zip(searched, combination, strict=True)) for combination in unique]


def repeated(values: Sequence[Scalar], absolute: bool = True) -> tuple[Scalar, Scalar] | None:
    """Find two listed values that are one: equal, whatever their type, or numbers within 1e-12 of each other.

    Parameters
    ----------
    values : sequence of float, int, str or bool
    absolute : bool, default=True
        Whether 1e-12 is a distance. False for parameters that may be smaller: it is a share of the larger one then.

    Returns
    -------
    (scalar, scalar) or None
        In the order in which they are listed.

    Examples
    --------
    >>> repeated((0.1, 0.30000000000000004, 0.3)), repeated((True, "a", 1)), repeated((1e-13, 1e-14), absolute=False)
    ((0.30000000000000004, 0.3), (True, 1), None)
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
    return math.isclose(low, high, rel_tol=TIE, abs_tol=TIE if absolute else 0.0)


def size(searched: Mapping[str, Axis]) -> int | None:
    """How many candidates a grid over the axes has; None where an axis is continuous.

    Examples
    --------
    >>> size({"ratio": Choice((0.5, 1.0)), "k": Choice((3, 5))})
    4
    """
    if any(isinstance(axis, Interval) for axis in searched.values()):
        return None
    return len(grid(searched))


def cuts(strategy: Strategy) -> tuple[float, ...] | None:
    """The strategy's own grid of thresholds, if it names one."""
    axis = strategy.space.get("threshold")
    return tuple(float(v) for v in axis.values) if isinstance(axis, Choice) else None
