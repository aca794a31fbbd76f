"""Class weights as a study records them: a number, ``balanced``, or a power of the class counts as text.

A weight ``{power: a}`` weighs a row of class c by n_c^-a, the weights of all rows having mean 1; the formula stands in
:mod:`imblab.stats.probabilities`.
"""

from __future__ import annotations

import math
from typing import Any

#: The weight that gives every class the same total.
BALANCED = "balanced"
#: What stands in front of the power in the text of a weight.
POWER_PREFIX = "power "


def power_weight(power: float) -> str:
    """The weight ``{power: a}`` as the text that is recorded and shown.

    Examples
    --------
    >>> power_weight(0.5), power_weight(1.0)
    ('power 0.5', 'power 1')
    """
    return POWER_PREFIX + repr(float(power) + 0.0).removesuffix(".0")  # + 0.0: no negative zero


def weight_power(weight: Any) -> float | None:
    """The power a of a weight n_c^-a of class c: 1 for ``balanced``; None for any other weight.

    Examples
    --------
    >>> weight_power("power 0.5"), weight_power("balanced"), weight_power(10), weight_power("power -1")
    (0.5, 1.0, None, None)
    """
    if not isinstance(weight, str) or weight == BALANCED:
        return 1.0 if weight == BALANCED else None
    try:
        power = float(weight.removeprefix(POWER_PREFIX)) if weight.startswith(POWER_PREFIX) else math.nan
    except ValueError:
        return None
    # Any other spelling of the number is refused, so that equal weights are equal texts.
    return power if 0 <= power < math.inf and weight == power_weight(power) else None


def computed_weight(weight: Any) -> Any:
    """The weight as which a weight is computed: ``power 1`` as ``balanced``, ``power 0`` as None, others as they are.

    Examples
    --------
    >>> computed_weight("power 1"), computed_weight("power 0"), computed_weight("power 0.5")
    ('balanced', None, 'power 0.5')
    """
    return {power_weight(0): None, power_weight(1): BALANCED}.get(weight, weight)
