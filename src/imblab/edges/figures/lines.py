"""Curves with bands: one line a strategy, thinned to what a page can carry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imblab.edges.figures.frame import TOP, WIDTH, Axes, Figure
from imblab.edges.figures.palette import slots
from imblab.edges.figures.scales import Scale
from imblab.edges.figures.svg import brief, dots, label, tag, width_of

LEFT, BOTTOM, HEIGHT = 40.0, 40.0, 268.0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line.

    Attributes
    ----------
    strategy : str
    x, y : ndarray of shape (n_points,)
        NaN breaks the line.
    low, high : ndarray of shape (n_points,) or None
        The band.
    dots : bool
        Whether every point is marked.
    dash : int or None
        A pattern in place of the strategy's.
    words : str
        What a reader hears beside the strategy, such as a value of k.
    loose : bool
        Whether the points are not joined.
    quiet : bool
        Whether the band waits until a reader points at the curve.
    """

    strategy: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    dots: bool = False
    dash: int | None = None
    words: str = ""
    loose: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Extras:
    """What stands in a plot beside the curves.

    Attributes
    ----------
    uprights, levels : tuple of (float, str)
        Marked values of the x and y axis with their names.
    diagonal : bool
        Whether x = y is drawn.
    cut : float or None
        Where the cut that a reader may move begins.
    """

    uprights: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    diagonal: bool = False
    cut: float | None = None


def area(x: Scale, y: Scale) -> tuple[Scale, Scale]:
    """Two scales placed in the drawing area of a line plot."""
    return (
        Scale(x.low, x.high, LEFT, WIDTH - 8, x.kind),
        Scale(y.low, y.high, HEIGHT - BOTTOM, TOP + 16, y.kind),
    )


def lines(
    name: str,
    title: str,
    description: str,
    axes: Axes,
    curves: Sequence[Curve],
    names: Sequence[str],
    extras: Extras = Extras(),
    decimals: int = 1,
) -> Figure:
    """A plot of curves.

    Parameters
    ----------
    name, title, description : str
    axes : Axes
        Placed by :func:`area`.
    curves : sequence of Curve
    names : sequence of str
        Every strategy of the study: it decides colours and the numbers a page picks by.
    extras : Extras
    decimals : int, default=1
        Of places.

    Returns
    -------
    Figure
    """
    place, order = slots(list(names)), {n: i for i, n in enumerate(names)}
    parts = [axes.drawn(), axes.uprights(extras.uprights), *(axes.level(value) for value, _ in extras.levels)]
    if extras.diagonal:
        parts.append(_diagonal(axes))
    for curve in curves:
        hue, dash = place[curve.strategy]
        inside = [_band(axes, curve, hue, decimals)]
        if not curve.loose and len(curve.x) > 1:
            inside.append(_line(axes, curve, hue, dash if curve.dash is None else curve.dash, decimals))
        inside.append(_dots(axes, curve, hue) if curve.dots else "")
        said = f"{curve.strategy} {curve.words}".rstrip()
        parts.append(tag("g", *inside, data_s=order[curve.strategy], data_n=said))
    parts += [_free_label(axes, value, said, curves, extras) for value, said in extras.levels if said]
    facts = axes.facts()
    if extras.cut is not None:
        facts["cut"] = f"{extras.cut:g}"
    return Figure(
        name, title, description, WIDTH, HEIGHT, "".join(parts), facts, tuple(curve.strategy for curve in curves)
    )


def path(x: np.ndarray, y: np.ndarray, decimals: int = 1) -> str:
    """The commands of a line, relative and rounded so that no error adds up; NaN starts a new piece.

    Examples
    --------
    >>> path(np.array([0.0, 1.5, 3.0]), np.array([2.0, 2.0, 1.0]))
    'M0 2l1.5 0 1.5-1'
    """
    size = 10**decimals
    whole = np.rint(np.stack([x, y], axis=1) * size)
    said: list[str] = []
    here: np.ndarray | None = None
    for point in whole:
        if not np.isfinite(point).all():
            here = None
        elif here is None:
            said.append(f"M{_at(point, size)}l")
            here = point
        else:
            said.append(f" {_at(point - here, size)}")
            here = point
    return re.sub(r" (?=-)|(?<=l) ", "", "".join(said)).removesuffix("l")


def _at(point: np.ndarray, size: int) -> str:
    return f"{brief(float(point[0]) / size)} {brief(float(point[1]) / size)}"


def _line(axes: Axes, curve: Curve, hue: int, dash: int, decimals: int) -> str:
    x, y = axes.x.at(curve.x), axes.y.at(curve.y)
    return tag("path", class_=f"line c{hue}{f' d{dash}' if dash else ''}", d=path(x, y, decimals))


def _band(axes: Axes, curve: Curve, hue: int, decimals: int) -> str:
    if curve.low is None or curve.high is None:
        return ""
    known = np.isfinite(curve.low) & np.isfinite(curve.high)
    x = axes.x.at(curve.x[known])
    around = path(
        np.concatenate([x, x[::-1]]),
        np.concatenate([axes.y.at(curve.high[known]), axes.y.at(curve.low[known])[::-1]]),
        decimals,
    )
    return tag("path", class_=f"band p{hue}{' more' if curve.quiet else ''}", d=f"{around}z") if around else ""


def _dots(axes: Axes, curve: Curve, hue: int) -> str:
    known = np.isfinite(curve.y)
    return dots(axes.x.at(curve.x[known]), axes.y.at(curve.y[known]), class_=f"dots c{hue}")


def _free_label(axes: Axes, value: float, said: str, curves: Sequence[Curve], extras: Extras) -> str:
    """The name of a level at an end of it, over or under, wherever the fewest points lie in its way."""
    room, y = width_of(said, 10), float(axes.y.at(value))
    taken = [np.stack([axes.x.at(c.x), axes.y.at(c.y)], axis=1) for c in curves]
    taken += [
        np.stack([np.linspace(a, b, 9), np.full(9, base - 4)], axis=1)
        for _, _, a, b, base in axes.named(extras.uprights)
    ]
    points = np.concatenate([t[np.isfinite(t).all(axis=1)] for t in taken] or [np.empty((0, 2))])
    places = [(x, base) for base in (y - 4, y + 12) for x in (axes.x.start + 3, axes.x.end - room)]

    def in_the_way(place: tuple[float, float]) -> int:
        x, base = place
        inside = (points[:, 0] > x - 4) & (points[:, 0] < x + room + 4)
        near = (points[:, 1] > base - 12) & (points[:, 1] < base + 5)
        outside = base > axes.y.start - 2 or base < axes.y.end + 8
        return int((inside & near).sum()) + 1000 * outside

    x, base = min(places, key=in_the_way)
    return label(x, base, said, room + 1, 10, class_="note")


def _diagonal(axes: Axes) -> str:
    low, high = max(axes.x.low, axes.y.low), min(axes.x.high, axes.y.high)
    steps = np.linspace(low, high, 2 if axes.x.kind == axes.y.kind == "linear" else 25)
    return tag("path", class_="mark", d=path(axes.x.at(steps), axes.y.at(steps)))
