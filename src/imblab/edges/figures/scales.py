"""From values to places: linear, square-root and logarithmic axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]
#: What an axis does to its values before it places them evenly.
TRANSFORMS: dict[str, Transform] = {"linear": np.asarray, "sqrt": np.sqrt, "log": np.log10}
#: Ticks of an axis of shares on a square-root scale.
ROOTS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: the values at its two ends and the places they lie at.

    Attributes
    ----------
    low, high : float
        Values; different, and above 0 on a logarithmic axis.
    start, end : float
        Places.
    kind : {"linear", "sqrt", "log"}

    Examples
    --------
    >>> Scale(0.0, 1.0, 40.0, 340.0).at(0.5).item()
    190.0
    """

    low: float
    high: float
    start: float
    end: float
    kind: str = "linear"

    def at(self, values: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Places of values; those beyond the ends lie at the ends."""
        change = TRANSFORMS[self.kind]
        low, high = (float(change(np.asarray(v, dtype=float))) for v in (self.low, self.high))
        inside = np.clip(np.asarray(values, dtype=float), self.low, self.high)
        return self.start + (change(inside) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Three to seven round values inside the axis."""
        if self.kind == "sqrt":
            return [t for t in ROOTS if self.low <= t <= self.high]
        return _decades(self.low, self.high) if self.kind == "log" else _round_values(self.low, self.high)


def spanning(
    values: Sequence[float] | np.ndarray, start: float, end: float, kind: str = "linear", margin: float = 0.06
) -> Scale:
    """An axis a little longer than some values.

    Parameters
    ----------
    values : array-like
        NaN is left out; without any value the axis goes from 0 to 1.
    start, end : float
    kind : str, default="linear"
    margin : float, default=0.06
        Share of the range added at both ends.
    """
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found) & (found > 0 if kind == "log" else True)]
    if found.size == 0:
        return Scale(0.1 if kind == "log" else 0.0, 1.0, start, end, kind)
    change = TRANSFORMS[kind]
    low, high = float(change(found.min())), float(change(found.max()))
    reach = margin * (high - low) or margin * abs(high) or margin
    ends = (low - reach, high + reach)
    if kind == "log":
        return Scale(10 ** ends[0], 10 ** ends[1], start, end, kind)
    return Scale(ends[0], ends[1], start, end, kind)


def shown(value: float) -> str:
    """A tick in few characters.

    Examples
    --------
    >>> shown(0.25), shown(-0.1), shown(100.0)
    ('0.25', '−0.1', '100')
    """
    return f"{value:.4g}".replace("-", "−")


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") + 0.0 for i in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [float(f"{m * 10.0**p:.12g}") for p in powers for m in steps]
        inside = [v for v in found if low <= v <= high]
        if len(inside) >= 3:
            return inside
    return inside or _round_values(low, high)
