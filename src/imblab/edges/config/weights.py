"""Weights of strategies between a configuration, ``{power: a}``, and the text that is recorded, ``power a``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imblab.core import search
from imblab.edges.config.validation import is_finite_number, values_of
from imblab.errors import ConfigError
from imblab.study import Axis, Choice
from imblab.text import to_hydra_syntax
from imblab.weights import BALANCED, power_weight, weight_power


def read_weight(given: Any) -> Any:
    """Return the text of a weight ``{power: a}``; anything else as it is, to be checked.

    Examples
    --------
    >>> read_weight({"power": 0.5}), read_weight({"power": -1}), read_weight(10)
    ('power 0.5', {'power': -1}, 10)
    """
    power: Any = given.get("power") if isinstance(given, Mapping) and len(given) == 1 else None
    return power_weight(power) if is_finite_number(power) and power >= 0 else given


def write_weight(weight: Any) -> Any:
    """Return the mapping of a weight that is a power; any other weight as it is.

    Examples
    --------
    >>> write_weight("power 0.5"), write_weight("balanced")
    ({'power': 0.5}, 'balanced')
    """
    power = None if weight == BALANCED else weight_power(weight)
    return weight if power is None else {"power": int(power) if power.is_integer() else power}


def write_axis(space: Mapping[str, Axis]) -> dict[str, str]:
    """Return the space text of the weight by its name, where it lists a power; empty elsewhere.

    Examples
    --------
    >>> write_axis({"weight": Choice(("power 0.5", "balanced"))}), write_axis({"weight": Choice((2, 5))})
    ({'weight': 'choice({power:0.5},balanced)'}, {})
    """
    axis = space.get("weight")
    if not isinstance(axis, Choice) or axis.values == (written := tuple(map(write_weight, axis.values))):
        return {}
    return {"weight": f"choice({','.join(map(to_hydra_syntax, written))})"}


def check_distinct_powers(axis: Axis, where: str) -> None:
    """Refuse powers that are one weight, such as ``{power: 1}`` and ``balanced``."""
    powers = {i: power for i, w in enumerate(values_of(axis)) if (power := weight_power(w)) is not None}
    pair = search.find_repeated([*powers.values()])
    if pair is None:
        return
    i = next(i for i, power in powers.items() if power == pair[0])
    j = next(j for j, power in powers.items() if power == pair[1] and j != i)
    first, second = (to_hydra_syntax(write_weight(values_of(axis)[n])) for n in (i, j))
    raise ConfigError(
        f"{where!r} lists {first} and {second}, which are one weight; 'balanced' is the power 1, and powers within "
        "1e-12 of each other are listed once. Leave one of them out."
    )
