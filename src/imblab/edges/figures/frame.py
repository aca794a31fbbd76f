"""What every figure has: a title, axes with ticks, a drawing area, a description for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imblab.edges.figures.palette import GROUND, STYLE, slots, variables
from imblab.edges.figures.scales import Scale, shown
from imblab.edges.figures.svg import label, number, tag, width_of, words

WIDTH, TOP = 360.0, 30.0
_SIZE = 11.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing that says what it shows.

    Attributes
    ----------
    name : str
        Of its file, without ending.
    title : str
    description : str
        A sentence for a screen reader.
    width, height : float
    body : str
        Markup.
    facts : mapping of str to str
        ``data-*`` of the whole: what a page may read back.
    strategies : tuple of str
        Who is drawn, for the legend of a file.
    """

    name: str
    title: str
    description: str
    width: float
    height: float
    body: str
    facts: dict[str, str] = field(default_factory=dict)
    strategies: tuple[str, ...] = ()

    def inline(self) -> str:
        """The figure for a page that has the style."""
        return self._svg(self.body, self.height, {})

    def alone(self, names: Sequence[str]) -> str:
        """The figure as a file of its own: with style, ground and legend.

        Parameters
        ----------
        names : sequence of str
            Every strategy of the study, which decides the colours.
        """
        legend, deeper = _legend([n for n in names if n in self.strategies], list(names), self.width, self.height)
        style = tag("style", f"svg{{{variables(dark=False)}}}{STYLE}")
        ground = tag("rect", width=self.width, height=self.height + deeper, fill=GROUND["ground"][0])
        own = {"xmlns": "http://www.w3.org/2000/svg", "width": self.width, "height": self.height + deeper}
        return self._svg(style + ground + self.body + legend, self.height + deeper, own) + "\n"

    def _svg(self, body: str, height: float, own: dict[str, object]) -> str:
        box = f"0 0 {number(self.width)} {number(height)}"
        said = tag("title", words(self.title)) + tag("desc", words(self.description))
        heading = label(0.0, 13.0, self.title, self.width, 12.5, class_="title")
        facts = {f"data_{key}": value for key, value in self.facts.items()}
        return tag("svg", said, heading, body, class_="f", viewBox=box, role="img", **own, **facts)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a plot.

    Attributes
    ----------
    x, y : Scale
    x_label, y_label : str
    """

    x: Scale
    y: Scale
    x_label: str
    y_label: str

    def drawn(self) -> str:
        """Grid, ticks and labels."""
        return "".join([*self._rows(), self.columns(), label(0.0, 29.0, self.y_label, 300, class_="axis")])

    def facts(self) -> dict[str, str]:
        """What it takes to read values back from places."""
        return {
            "x": " ".join(f"{v:.9g}" for v in (self.x.low, self.x.high, self.x.start, self.x.end)) + f" {self.x.kind}",
            "y": " ".join(f"{v:.9g}" for v in (self.y.low, self.y.high, self.y.start, self.y.end)) + f" {self.y.kind}",
        }

    def uprights(self, marks: Sequence[tuple[float, str]]) -> str:
        """Marked values of the x axis with their names above."""
        found = []
        for x, said, left, right, base in self.named(marks):
            found.append(tag("path", class_="mark", d=f"M{number(x)} {number(self.y.start)}V{number(self.y.end)}"))
            found.append(label(left, base, said, right - left + 1, 10, class_="note") if said else "")
        return "".join(found)

    def named(self, marks: Sequence[tuple[float, str]]) -> list[tuple[float, str, float, float, float]]:
        """Place, name, left end, right end and baseline of every upright: a line lower where two would touch."""
        found, end = [], -100.0
        for value, said in sorted(marks):
            x, room = float(self.x.at(value)), width_of(said, 10)
            left = min(max(x - room / 2, self.x.start), self.x.end - room)
            deeper = 12 if left < end + 6 else 0
            end = left + room
            found.append((x, said, left, end, self.y.end - 4 + deeper))
        return found

    def level(self, value: float) -> str:
        """A marked value of the y axis."""
        y = float(self.y.at(value))
        return tag("path", class_="mark", d=f"M{number(self.x.start)} {number(y)}H{number(self.x.end)}")

    def _rows(self) -> list[str]:
        places = [(value, float(self.y.at(value))) for value in self.y.ticks()]
        d = "".join(f"M{number(self.x.start)} {number(y)}H{number(self.x.end)}" for _, y in places)
        ticks = [label(self.x.start - 6, y + 3.5, shown(v), 60, class_="axis e") for v, y in places]
        return [tag("path", class_="grid", d=d), *ticks]

    def columns(self) -> str:
        """The ticks and the name of the x axis."""
        found, d, taken = [], "", -100.0
        for value in self.x.ticks():
            x, text = float(self.x.at(value)), shown(value)
            half = width_of(text, _SIZE) / 2
            if x - half < taken or x + half > self.x.end + 14:
                continue
            taken = x + half + 5
            d += f"M{number(x)} {number(self.y.start)}v4"
            found.append(label(x, self.y.start + 16, text, 60, class_="axis m"))
        middle = (self.x.start + self.x.end) / 2
        found.append(label(middle, self.y.start + 32, self.x_label, 300, class_="axis m"))
        return "".join([tag("path", class_="grid", d=d), *found])


def _legend(drawn: list[str], names: list[str], width: float, height: float) -> tuple[str, float]:
    """The strategies of a file, in rows below it, and how much deeper that makes it."""
    place = slots(names)
    found, x, y = [], 0.0, height + 12
    for name in drawn:
        room = min(width_of(name, _SIZE), width - 40)
        if x and x + room + 38 > width:
            x, y = 0.0, y + 17
        hue, dash = place[name]
        found.append(tag("path", class_=f"line c{hue} d{dash}", d=f"M{number(x)} {number(y - 4)}h22"))
        found.append(label(x + 27, y, name, room + 1))
        x += room + 42
    return "".join(found), (y - height + 8 if drawn else 0.0)
