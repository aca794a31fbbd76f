"""Figures as SVG: escaped elements, paths, the width of words, the style sheet; axes, grid, title, legend, description.

Axes and the frame of a figure have scales with round ticks; the description is for screen readers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from imblab.edges.palette import PAGE_COLOURS, STRATEGY_COLOURS, Look, css_variables

#: Widths of characters in ems, on the wide side of what common sans-serif fonts have.
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[] /-"), set("mwMW@%—")
ELLIPSIS = "…"
#: Lines (almost) without length whose caps have the shape of each marker: a square cap follows the line's direction.
_CAPS = ("h0", "l.01.01", "h0")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: The style sheet of every figure, in a page and in a file.
STYLE = (
    f"svg.f{{font-family:{_FONT};font-size:11px;fill:var(--ink)}}"
    "svg.f .grid{stroke:var(--line);stroke-width:1;fill:none}"
    "svg.f .axis{fill:var(--soft)}svg.f .e{text-anchor:end}svg.f .m{text-anchor:middle}"
    "svg.f .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3;fill:none}"
    "svg.f .note{fill:var(--soft);font-size:.91em;paint-order:stroke;stroke:var(--ground);stroke-width:3px}"
    "svg.f .title{font-weight:600;font-size:1.09em}"
    "svg.f :is(.line,.whisker,.link,.dots,.faint,.mark,.grid){vector-effect:non-scaling-stroke}"
    "svg.f .line{fill:none;stroke-width:1.8;stroke-linejoin:round}svg.f .band{stroke:none;fill-opacity:.09}"
    "svg.f .more{display:none}svg.f g:hover>.more{display:inline}"
    "svg.f .region{fill:var(--accent);fill-opacity:.1}svg.f .whisker{stroke-width:2}"
    # A marker is a line without length: its cap is its shape, its width its size at any size of the drawing.
    "svg.f .dots{fill:none;stroke-width:7.5;stroke-linecap:round}"
    "svg.f :is(.m1,.m2){stroke-linecap:square;stroke-width:6.5}"
    "svg.f .rim{stroke:var(--ground);stroke-width:10}svg.f .rim:is(.m1,.m2){stroke-width:9}"
    "svg.f .hole{stroke:var(--ground);stroke-width:4}svg.f .hole:is(.m1,.m2){stroke-width:3.2}"
    "svg.f .point{stroke-width:2.2!important}"
    "svg.f .faint{stroke-width:1.3;stroke-opacity:.6}svg.f .heat{fill:var(--accent)}"
    "svg.f .clique{stroke:var(--ink);stroke-width:3.5;stroke-linecap:round}svg.f .link{stroke-width:1.4;fill:none}"
    + "".join(f"svg.f .c{i}{{stroke:var(--s{i})}}svg.f .p{i}{{fill:var(--s{i})}}" for i in range(len(STRATEGY_COLOURS)))
)
#: Width of a plot, and the upper end of its drawing area, in units of the drawing.
WIDTH, TOP = 360.0, 30.0
_FONT_SIZE, _NOTE_SIZE = 11.0, 10.0
#: How an axis transforms its values before it places them evenly.
_TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"linear": np.asarray, "sqrt": np.sqrt, "log": np.log10}
#: Shares of the range of values by which an axis is longer at both ends, alone and among several of one length.
SCALE_MARGIN, SPAN_MARGIN = 0.06, 0.08
#: Ticks of an axis of shares on a square-root scale.
_SQRT_TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def coordinate(value: float) -> str:
    """Write a coordinate with at most two decimals.

    Examples
    --------
    >>> coordinate(1.0), coordinate(-0.001), coordinate(2.346)
    ('1', '0', '2.35')
    """
    text = f"{value:z.2f}"
    return text.rstrip("0").rstrip(".")


def element(name: str, *children: str, **attributes: object) -> str:
    """Build an element.

    ``children`` are markup that is safe already: other elements, or :func:`escaped` text. Of the attributes, floats
    become coordinates, None is left out, ``_`` becomes ``-`` and a trailing one goes.

    Examples
    --------
    >>> element("g", escaped("a < b"), class_="x", data_s=1)
    '<g class="x" data-s="1">a &lt; b</g>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(children)
    return f"<{name}{given}>{body}</{name}>" if body else f"<{name}{given}/>"


def markers(x: Iterable[float], y: Iterable[float], look: Look, kind: str = "dots") -> str:
    """Draw the markers of a strategy as one element; ``kind`` is ``dots``, or ``rim``, ``hole`` or ``point``.

    Examples
    --------
    >>> markers([1.0, 2.0], [3.0, 4.0], Look(5, 0)), markers([1.0], [3.0], Look(5, 1))
    ('<path class="dots m0 c5" d="M1 3h0M2 4h0"/>', '<path class="dots m1 c5" d="M1 3l.01.01"/>')
    """
    d = "".join(
        f"M{coordinate(round(float(a), 1))} {coordinate(round(float(b), 1))}{_CAPS[look.marker]}"
        for a, b in zip(x, y, strict=True)
    )
    paint = kind if kind in ("rim", "hole") else f"c{look.colour}" if kind == "dots" else f"c{look.colour} {kind}"
    return element("path", class_=f"dots m{look.marker} {paint}", d=d) if d else ""


def line_path(x: np.ndarray, y: np.ndarray) -> str:
    """Write the commands of a line, relative, in tenths so that errors do not add up; NaN starts a new piece.

    Examples
    --------
    >>> line_path(np.array([0.0, 1.5, 3.0]), np.array([2.0, 2.0, 1.0]))
    'M0 2l1.5 0 1.5-1'
    """
    places = np.rint(np.stack([x, y], axis=1) * 10)
    steps = np.diff(places, axis=0, prepend=np.nan)
    drawn, joined = (np.isfinite(values).all(axis=1).tolist() for values in (places, steps))
    commands = []
    for i, (place, step) in enumerate(zip((places / 10).tolist(), (steps / 10).tolist(), strict=True)):
        if joined[i]:
            commands.append(f" {_brief(step[0])} {_brief(step[1])}")
        elif drawn[i]:
            commands.append(f"M{_brief(place[0])} {_brief(place[1])}l")
    return re.sub(r" (?=-)|(?<=l) ", "", "".join(commands)).removesuffix("l")


def escaped(text: str) -> str:
    """Return text that holds no markup."""
    return escape(text)


def text_width(text: str, size: float) -> float:
    """Estimate the width of a text, in units of the drawing.

    Examples
    --------
    >>> text_width("ill", 10) < text_width("www", 10)
    True
    """
    return size * sum(
        0.34 if c in _NARROW else 0.92 if c in _WIDE else 0.7 if c.isupper() else 0.58 if ord(c) < 0x250 else 1.0
        for c in text
    )


def shortened(text: str, room: float, size: float) -> str:
    """Cut a text to some room, with an ellipsis where characters are left out.

    Examples
    --------
    >>> shortened("smote", 100, 12), shortened("a_very_long_name", 50, 12)
    ('smote', 'a_ver…')
    """
    if text_width(text, size) <= room:
        return text
    kept = text
    while kept and text_width(kept + ELLIPSIS, size) > room:
        kept = kept[:-1]
    return kept + ELLIPSIS


def label(x: float, y: float, text: str, room: float, size: float = 11, **attributes: object) -> str:
    """Write words at a place, cut to the room there is; a cut text has the full one as its tooltip.

    The classes ``e`` and ``m`` let the words end, or have their middle, at the place.
    """
    visible = shortened(text, room, size)
    title = element("title", escaped(text)) if visible != text else ""
    return element("text", title, escaped(visible), x=x, y=y, **attributes)


def _attribute(value: object) -> str:
    return coordinate(value) if isinstance(value, float) else str(value)


def _brief(value: float) -> str:
    """A coordinate without the zero before its point: ``.5``, ``-.25``, ``3``."""
    text = coordinate(value)
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


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
    width: float  # in units of the drawing
    height: float
    body: str  # markup
    facts: dict[str, str] = field(default_factory=dict)  # ``data-*`` attributes, from which a page reads values back
    strategies: tuple[str, ...] = ()  # the strategies in the legend of a file
    shared: tuple[str, ...] = ()  # the numbers of strategies that one element stands for, such as ``"0 1"``

    def inline(self) -> str:
        """Return the figure for a page that has the style sheet."""
        return self._svg("", self.body, self.height, {})

    def standalone(self, looks: Mapping[str, Look]) -> str:
        """Return the figure as a file: with style sheet, background, and a legend by the looks of all strategies."""
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
