"""Plots of curves with bands: one line per strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imblab.edges.figures.axes import TOP, WIDTH, Axes, Figure, Scale
from imblab.edges.figures.svg import dots, element, label, line_path, text_width
from imblab.edges.palette import colour_slots

#: Left and lower margin of the drawing area, and the height of the figure.
_LEFT, _BOTTOM, _HEIGHT = 40.0, 40.0, 268.0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line.

    Attributes
    ----------
    strategy : str
        The strategy whose colour and dashes it has.
    x, y : ndarray of shape (n_points,)
        NaN breaks the line.
    low, high : ndarray of shape (n_points,) or None
        Ends of the band.
    has_dots, has_line : bool
        Whether every point is marked; whether the points are joined.
    dash : int or None
        A dash pattern in place of the strategy's.
    note : str
        What tells the curve from others of its strategy, such as a value of k.
    has_quiet_band : bool
        Whether the band is hidden until a reader points at the curve.
    """

    strategy: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    has_dots: bool = False
    has_line: bool = True
    dash: int | None = None
    note: str = ""
    has_quiet_band: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """Marked values of a plot.

    Attributes
    ----------
    x, y : tuple of (float, str)
        Values of the x and the y axis with their names.
    diagonal : bool
        Whether x = y is drawn.
    threshold : float or None
        Where the threshold that a reader may move begins.
    """

    x: tuple[tuple[float, str], ...] = ()
    y: tuple[tuple[float, str], ...] = ()
    diagonal: bool = False
    threshold: float | None = None


def place_in_plot(x: Scale, y: Scale) -> tuple[Scale, Scale]:
    """Place two scales in the drawing area of a plot of curves."""
    return (
        Scale(x.low, x.high, _LEFT, WIDTH - 8, x.kind),
        Scale(y.low, y.high, _HEIGHT - _BOTTOM, TOP + 16, y.kind),
    )


def draw_curves(
    name: str,
    title: str,
    description: str,
    axes: Axes,
    curves: Sequence[Curve],
    all_strategies: Sequence[str],
    marks: Marks = Marks(),
) -> Figure:
    """Draw curves on axes that :func:`place_in_plot` placed.

    ``all_strategies`` are those of the study: they decide colours and the numbers by which a page picks strategies.
    """
    slots, order = colour_slots(all_strategies), {n: i for i, n in enumerate(all_strategies)}
    parts = [axes.draw(), axes.draw_x_marks(marks.x), *(axes.draw_y_mark(value) for value, _ in marks.y)]
    if marks.diagonal:
        parts.append(_draw_diagonal(axes))
    for curve in curves:
        names = f"{curve.strategy} {curve.note}".rstrip()
        children = _draw_curve(axes, curve, *slots[curve.strategy])
        parts.append(element("g", *children, data_s=order[curve.strategy], data_n=names))
    parts += [_draw_free_label(axes, value, word, curves, marks) for value, word in marks.y if word]
    facts = {"x": axes.x.described(), "y": axes.y.described()}
    if marks.threshold is not None:
        facts["threshold"] = f"{marks.threshold:g}"
    strategies = tuple(curve.strategy for curve in curves)
    return Figure(name, title, description, WIDTH, _HEIGHT, "".join(parts), facts, strategies)


def _draw_curve(axes: Axes, curve: Curve, hue: int, dash: int) -> list[str]:
    parts = [_draw_band(axes, curve, hue)]
    if curve.has_line and len(curve.x) > 1:
        pattern = dash if curve.dash is None else curve.dash
        d = line_path(axes.x.at(curve.x), axes.y.at(curve.y))
        parts.append(element("path", class_=f"line c{hue}{f' d{pattern}' if pattern else ''}", d=d))
    if curve.has_dots:
        defined = np.isfinite(curve.y)
        parts.append(dots(axes.x.at(curve.x[defined]), axes.y.at(curve.y[defined]), class_=f"dots c{hue}"))
    return parts


def _draw_band(axes: Axes, curve: Curve, hue: int) -> str:
    if curve.low is None or curve.high is None:
        return ""
    defined = np.isfinite(curve.low) & np.isfinite(curve.high)
    x, low, high = (
        scale.at(values[defined]) for scale, values in ((axes.x, curve.x), (axes.y, curve.low), (axes.y, curve.high))
    )
    outline = line_path(np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]]))
    hidden = " more" if curve.has_quiet_band else ""
    return element("path", class_=f"band p{hue}{hidden}", d=f"{outline}z") if outline else ""


def _draw_free_label(axes: Axes, value: float, word: str, curves: Sequence[Curve], marks: Marks) -> str:
    """The name of a marked y value at the end, over or under its line, where the fewest points are covered."""
    room, y = text_width(word, 10), float(axes.y.at(value))
    obstacles = [np.stack([axes.x.at(c.x), axes.y.at(c.y)], axis=1) for c in curves]
    obstacles += [
        np.stack([np.linspace(left, right, 9), np.full(9, base - 4)], axis=1)
        for _, _, left, right, base in axes.place_x_marks(marks.x)
    ]
    points = np.concatenate([o[np.isfinite(o).all(axis=1)] for o in obstacles] or [np.empty((0, 2))])
    places = [(x, base) for base in (y - 4, y + 12) for x in (axes.x.start + 3, axes.x.end - room)]

    def n_covered(place: tuple[float, float]) -> int:
        x, base = place
        inside = (points[:, 0] > x - 4) & (points[:, 0] < x + room + 4)
        near = (points[:, 1] > base - 12) & (points[:, 1] < base + 5)
        outside = base > axes.y.start - 2 or base < axes.y.end + 8
        return int((inside & near).sum()) + 1000 * outside

    x, base = min(places, key=n_covered)
    return label(x, base, word, room + 1, 10, class_="note")


def _draw_diagonal(axes: Axes) -> str:
    low, high = max(axes.x.low, axes.y.low), min(axes.x.high, axes.y.high)
    values = np.linspace(low, high, 2 if axes.x.kind == axes.y.kind == "linear" else 25)
    return element("path", class_="mark", d=line_path(axes.x.at(values), axes.y.at(values)))
