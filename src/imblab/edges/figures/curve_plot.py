"""Plots of curves with bands: a line per strategy, or one for several that share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imblab.edges.figures.axes import (
    TOP,
    WIDTH,
    Axes,
    Figure,
    Scale,
    element,
    escaped,
    label,
    line_path,
    markers,
    text_width,
)
from imblab.edges.palette import Look

#: Left and lower margin of the drawing area, and the height of the figure.
_LEFT, _BOTTOM, _HEIGHT = 40.0, 40.0, 268.0
#: Size of notes at the ends of lines, and the distance of their baselines.
_NOTE_SIZE, _NOTE_HEIGHT = 10.0, 13.0


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line."""

    strategy: str  # the strategy whose colour and marker it has
    #: (n_points,): naN breaks the line
    x: np.ndarray
    y: np.ndarray
    #: (n_points,): ends of the band
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    #: whether every point is marked; whether the points are joined
    has_dots: bool = False
    has_line: bool = True
    #: what tells the curve from others of its strategy, such as a value of k; written at the end of a line with dots
    note: str = ""
    shared: tuple[str, ...] = ()  # further strategies that have the same line
    has_quiet_band: bool = False  # whether the band is hidden until a reader points at the curve


@dataclass(frozen=True, slots=True)
class ChosenThreshold:
    """Where the threshold of a strategy lies in a plot: at (x, y); ``words`` is shown to a reader who points at it."""

    strategy: str
    x: float
    y: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """Marked values of a plot."""

    #: values of the x and the y axis with their names
    x: tuple[tuple[float, str], ...] = ()
    y: tuple[tuple[float, str], ...] = ()
    diagonal: bool = False  # whether x = y is drawn
    threshold: float | None = None  # where the threshold that a reader may move begins
    lines: tuple[tuple[np.ndarray, np.ndarray], ...] = ()  # dashed lines of reference, by their x and y
    #: drawn over the curves with the markers of their strategies; those with NaN are left out
    chosen: tuple[ChosenThreshold, ...] = ()


def place_in_plot(x: Scale, y: Scale) -> tuple[Scale, Scale]:
    """Place two scales in the drawing area of a plot of curves."""
    return (Scale(x.low, x.high, _LEFT, WIDTH - 8, x.kind), Scale(y.low, y.high, _HEIGHT - _BOTTOM, TOP + 16, y.kind))


def draw_curves(
    name: str,
    title: str,
    description: str,
    axes: Axes,
    curves: Sequence[Curve],
    looks: Mapping[str, Look],
    marks: Marks = Marks(),
) -> Figure:
    """Draw curves on axes that :func:`place_in_plot` placed; the order of ``looks`` gives strategies their numbers."""
    order, curves = {name: i for i, name in enumerate(looks)}, merge_equal(curves, looks)
    parts = [axes.draw(), axes.draw_x_marks(marks.x), *(axes.draw_y_mark(value) for value, _ in marks.y)]
    if marks.diagonal:
        parts.append(_draw_diagonal(axes))
    parts += [element("path", class_="mark", d=line_path(axes.x.at(x), axes.y.at(y))) for x, y in marks.lines]
    notes = {id(curve): (x, base) for curve, x, base in _end_labels(axes, curves)}
    for curve in curves:
        names = f"{', '.join((curve.strategy, *curve.shared))} {curve.note}".rstrip()
        children = _draw_curve(axes, curve, looks[curve.strategy])
        if id(curve) in notes:
            children.append(label(*notes[id(curve)], curve.note, WIDTH, _NOTE_SIZE, class_="note"))
        parts.append(element("g", *children, data_s=_numbers_of(curve, order), data_n=names))
    parts += [_draw_chosen(axes, point, looks[point.strategy], order[point.strategy]) for point in marks.chosen]
    parts += [_draw_free_label(axes, value, word, curves, marks) for value, word in marks.y if word]
    facts = {"x": axes.x.described(), "y": axes.y.described()}
    if marks.threshold is not None:
        facts["threshold"] = f"{marks.threshold:g}"
    strategies = tuple(name for curve in curves for name in (curve.strategy, *curve.shared))
    shared = tuple(dict.fromkeys(_numbers_of(curve, order) for curve in curves if curve.shared))
    return Figure(name, title, description, WIDTH, _HEIGHT, "".join(parts), facts, strategies, shared)


def merge_equal(curves: Sequence[Curve], looks: Mapping[str, Look]) -> list[Curve]:
    """Join the curves of one colour that have the same line, such as those that differ in the threshold alone."""
    merged: dict[tuple[object, ...], Curve] = {}
    for curve in curves:
        band = [None if end is None else end.tobytes() for end in (curve.low, curve.high)]
        key = (looks[curve.strategy].colour, curve.note, curve.x.tobytes(), curve.y.tobytes(), *band)
        first = merged.get(key)
        is_quiet = curve.has_quiet_band and (first is None or first.has_quiet_band)
        names = () if first is None else (*first.shared, curve.strategy)
        merged[key] = replace(first or curve, shared=names, has_quiet_band=is_quiet)
    return list(merged.values())


def _numbers_of(curve: Curve, order: Mapping[str, int]) -> str:
    return " ".join(str(order[name]) for name in (curve.strategy, *curve.shared))


def _draw_curve(axes: Axes, curve: Curve, look: Look) -> list[str]:
    parts = [_draw_band(axes, curve, look.colour)]
    if curve.has_line and len(curve.x) > 1:
        d = line_path(axes.x.at(curve.x), axes.y.at(curve.y))
        parts.append(element("path", class_=f"line c{look.colour}", d=d))
    if curve.has_dots:
        defined = np.isfinite(curve.y)
        x, y = axes.x.at(curve.x[defined]), axes.y.at(curve.y[defined])
        parts.append(markers(x, y, look))
    return parts


def _end_labels(axes: Axes, curves: Sequence[Curve]) -> list[tuple[Curve, float, float]]:
    """Place the notes of joined curves at the ends of their lines, apart from one another: curve, x and baseline."""
    ends = []
    for curve in curves:
        defined = np.flatnonzero(np.isfinite(curve.y))
        if curve.note and curve.has_line and len(defined):
            x = float(axes.x.at(curve.x[defined[-1]])) + 6
            y = float(axes.y.at(curve.y[defined[-1]])) + 3
            ends.append((curve, min(x, WIDTH - text_width(curve.note, _NOTE_SIZE)), y))
    ends.sort(key=lambda end: end[2])
    bases = [y for _, _, y in ends]
    for i in range(1, len(bases)):
        bases[i] = max(bases[i], bases[i - 1] + _NOTE_HEIGHT)
    lowest = axes.y.start - 2
    for i in reversed(range(len(bases))):
        bases[i] = min(bases[i], lowest)
        lowest = bases[i] - _NOTE_HEIGHT
    return [(curve, x, base) for (curve, x, _), base in zip(ends, bases, strict=True)]


def _draw_chosen(axes: Axes, point: ChosenThreshold, look: Look, number: int) -> str:
    if not (np.isfinite(point.x) and np.isfinite(point.y)):
        return ""
    x, y = [float(axes.x.at(point.x))], [float(axes.y.at(point.y))]
    title = element("title", escaped(f"{point.strategy}: {point.words}" if point.words else point.strategy))
    return element("g", title, markers(x, y, look, "rim"), markers(x, y, look), data_s=number)


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
