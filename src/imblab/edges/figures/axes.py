"""Axes and the frame of a figure: scales with round ticks, grid, title, legend, description for screen readers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from imblab.edges.figures.svg import STYLE, coordinate, element, escaped, label, markers, text_width
from imblab.edges.palette import PAGE_COLOURS, Look, css_variables

#: Width of a plot, and the upper end of its drawing area, in units of the drawing.
WIDTH, TOP = 360.0, 30.0
_FONT_SIZE, _NOTE_SIZE = 11.0, 10.0
#: How an axis transforms its values before it places them evenly.
_TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"linear": np.asarray, "sqrt": np.sqrt, "log": np.log10}
#: Shares of the range of values by which an axis is longer at both ends, alone and among several of one length.
SCALE_MARGIN, SPAN_MARGIN = 0.06, 0.08
#: Ticks of an axis of shares on a square-root scale.
_SQRT_TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """Map the values of one axis to places.

    Examples
    --------
    >>> Scale(0.0, 1.0, 40.0, 340.0).at(0.5).item()
    190.0
    """

    #: values at the two ends; different, and above 0 on a logarithmic axis
    low: float
    high: float
    #: places of the two ends
    start: float
    end: float
    kind: str = "linear"  # {"linear", "sqrt", "log"}: the transformation of the values

    def at(self, values: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Return the places of values; those beyond the ends lie at the ends."""
        transform = _TRANSFORMS[self.kind]
        low, high = (float(transform(np.asarray(v, dtype=float))) for v in (self.low, self.high))
        inside = np.clip(np.asarray(values, dtype=float), self.low, self.high)
        return self.start + (transform(inside) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return three to seven round values inside the axis."""
        if self.kind == "sqrt":
            size = max(1.0, self.high)  # shares, or numbers per so many
            return [t * size for t in _SQRT_TICKS if self.low <= t * size <= self.high]
        return _decades(self.low, self.high) if self.kind == "log" else _round_values(self.low, self.high)

    def described(self) -> str:
        """Return what it takes to read values back from places: both ends and the kind."""
        return " ".join(f"{v:.9g}" for v in (self.low, self.high, self.start, self.end)) + f" {self.kind}"


#: The axis of a share.
UNIT_SCALE = Scale(0.0, 1.0, 0.0, 1.0)


def scale_around(values: Sequence[float] | np.ndarray, start: float, end: float, kind: str = "linear") -> Scale:
    """Return a scale that is longer than the range of some values by the share :data:`SCALE_MARGIN` at both ends.

    NaN is left out; without any value the scale goes from 0 (0.1 if logarithmic) to 1.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite) & (finite > 0 if kind == "log" else True)]
    if finite.size == 0:
        return Scale(0.1 if kind == "log" else 0.0, 1.0, start, end, kind)
    low, high = (float(_TRANSFORMS[kind](v)) for v in (finite.min(), finite.max()))
    reach = SCALE_MARGIN * (high - low) or SCALE_MARGIN * abs(high) or SCALE_MARGIN
    if kind == "log":
        return Scale(10 ** (low - reach), 10 ** (high + reach), start, end, kind)
    return Scale(low - reach, high + reach, start, end, kind)


def same_spans(groups: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Return one range per group of values, each around its values and all of the length that the widest one needs.

    Slopes in figures with such axes can be compared, although their levels differ. NaN is left out.

    Examples
    --------
    >>> [tuple(round(end, 2) for end in ends) for ends in same_spans([np.array([0.1, 0.3]), np.array([0.8, 0.9])])]
    [(0.08, 0.32), (0.73, 0.97)]
    """
    finite = [values[np.isfinite(values)] for values in groups]
    ends = [(float(v.min()), float(v.max())) if v.size else (0.0, 0.0) for v in finite]
    length = max((high - low for low, high in ends), default=0.0) * (1 + 2 * SPAN_MARGIN) or 0.1
    return [((low + high - length) / 2, (low + high + length) / 2) for low, high in ends]


def format_tick(value: float) -> str:
    """Write a tick in few characters.

    Examples
    --------
    >>> format_tick(0.25), format_tick(-0.1), format_tick(100.0)
    ('0.25', '−0.1', '100')
    """
    return f"{value:.4g}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Axes:
    """The x and the y axis of a plot with their labels."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str

    def draw(self) -> str:
        """Draw grid, ticks and labels."""
        return "".join([*self._draw_grid(), self.draw_x_axis(), label(0.0, 29.0, self.y_label, 300, class_="axis")])

    def draw_x_axis(self) -> str:
        """Draw the ticks and the label of the x axis; ticks that would touch are left out."""
        labels, d, taken = [], "", -100.0
        for value in self.x.ticks():
            x, text = float(self.x.at(value)), format_tick(value)
            half = text_width(text, _FONT_SIZE) / 2
            if x - half < taken or x + half > self.x.end + 14:
                continue
            taken = x + half + 5
            d += f"M{coordinate(x)} {coordinate(self.y.start)}v4"
            labels.append(label(x, self.y.start + 16, text, 60, class_="axis m"))
        middle = (self.x.start + self.x.end) / 2
        labels.append(label(middle, self.y.start + 32, self.x_label, 300, class_="axis m"))
        return "".join([element("path", class_="grid", d=d), *labels])

    def draw_x_marks(self, marks: Sequence[tuple[float, str]]) -> str:
        """Draw marked values of the x axis with their names above."""
        parts = []
        for x, name, left, right, base in self.place_x_marks(marks):
            line = f"M{coordinate(x)} {coordinate(self.y.start)}V{coordinate(self.y.end)}"
            parts.append(element("path", class_="mark", d=line))
            parts.append(label(left, base, name, right - left + 1, _NOTE_SIZE, class_="note") if name else "")
        return "".join(parts)

    def place_x_marks(self, marks: Sequence[tuple[float, str]]) -> list[tuple[float, str, float, float, float]]:
        """Return place, name, left end, right end and baseline of every mark: a line lower where two would touch."""
        places, right = [], -100.0
        for value, name in sorted(marks):
            x, room = float(self.x.at(value)), text_width(name, _NOTE_SIZE)
            left = min(max(x - room / 2, self.x.start), self.x.end - room)
            lower = 12 if left < right + 6 else 0
            right = left + room
            places.append((x, name, left, right, self.y.end - 4 + lower))
        return places

    def draw_y_mark(self, value: float) -> str:
        """Draw a marked value of the y axis, without a name."""
        y = coordinate(float(self.y.at(value)))
        return element("path", class_="mark", d=f"M{coordinate(self.x.start)} {y}H{coordinate(self.x.end)}")

    def _draw_grid(self) -> list[str]:
        places = [(value, float(self.y.at(value))) for value in self.y.ticks()]
        d = "".join(f"M{coordinate(self.x.start)} {coordinate(y)}H{coordinate(self.x.end)}" for _, y in places)
        ticks = [label(self.x.start - 6, y + 3.5, format_tick(v), 60, class_="axis e") for v, y in places]
        return [element("path", class_="grid", d=d), *ticks]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its title and a description."""

    name: str  # name of its file, without ending
    title: str  # stands above it
    description: str  # a sentence for a screen reader
    #: in units of the drawing
    width: float
    height: float
    body: str  # markup
    facts: dict[str, str] = field(default_factory=dict)  # ``data-*`` attributes, from which a page reads values back
    strategies: tuple[str, ...] = ()  # the strategies in the legend of a file
    shared: tuple[str, ...] = ()  # the numbers of strategies that one element stands for, such as ``"0 1"``

    def inline(self) -> str:
        """Return the figure for a page that has the style sheet."""
        return self._svg("", self.body, self.height, {})

    def standalone(self, looks: Mapping[str, Look]) -> str:
        """Return the figure as a file: with style sheet, background and legend.

        ``looks`` are those of all strategies of the study, in its order.
        """
        legend, depth = _legend({n: look for n, look in looks.items() if n in self.strategies}, self)
        style = element("style", f"svg{{{css_variables(dark=False)}}}{STYLE}")
        height = self.height + depth
        background = element("rect", width=self.width, height=height, fill=PAGE_COLOURS["ground"][0])
        attributes = {"xmlns": "http://www.w3.org/2000/svg", "width": self.width, "height": height}
        return self._svg(style + background, self.body + legend, height, attributes) + "\n"

    def _svg(self, ground: str, body: str, height: float, attributes: dict[str, object]) -> str:
        box = f"0 0 {coordinate(self.width)} {coordinate(height)}"
        words = element("title", escaped(self.title)) + element("desc", escaped(self.description))
        heading = label(0.0, 13.0, self.title, self.width, 12.5, class_="title")
        facts = {f"data_{key}": value for key, value in self.facts.items()}
        return element("svg", words, ground, heading, body, class_="f", viewBox=box, role="img", **attributes, **facts)


def legend_key(x: float, y: float, look: Look) -> str:
    """Draw the line and the marker of a strategy, 22 units wide, around a height."""
    line = element("path", class_=f"line c{look.colour}", d=f"M{coordinate(x)} {coordinate(y)}h22")
    return line + markers([x + 11], [y], look)


def _legend(drawn: Mapping[str, Look], figure: Figure) -> tuple[str, float]:
    """The strategies in rows below a figure, and how much deeper they make it."""
    parts, x, y = [], 0.0, figure.height + 12
    for name, look in drawn.items():
        room = min(text_width(name, _FONT_SIZE), figure.width - 40)
        if x and x + room + 38 > figure.width:
            x, y = 0.0, y + 17
        parts.append(legend_key(x, y - 4, look))
        parts.append(label(x + 27, y, name, room + 1))
        x += room + 42
    return "".join(parts), (y - figure.height + 8 if drawn else 0.0)


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") + 0.0 for i in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [float(f"{m * 10.0**p:.12g}") for p in powers for m in steps]
        inside = [v for v in values if low <= v <= high]
        if len(inside) >= 3:
            return inside
    return inside or _round_values(low, high)
