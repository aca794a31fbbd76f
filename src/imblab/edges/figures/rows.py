"""Rows of dots with whiskers: fold scores, paired differences, inner beside outer scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imblab.edges.figures.frame import WIDTH, Axes, Figure
from imblab.edges.figures.palette import slots
from imblab.edges.figures.scales import Scale, spanning
from imblab.edges.figures.svg import label, number, tag, width_of

STEP, LABELS = 24.0, 168.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes
    ----------
    words : str
    strategy : str
        Whose colour it has.
    middle : float
        The filled dot; NaN for none.
    low, high : float
        Ends of the whisker; NaN for none.
    faint : tuple of float
        Small strokes: single folds.
    hollow : float
        A ring, joined to the filled dot; NaN for none.
    """

    words: str
    strategy: str
    middle: float
    low: float = math.nan
    high: float = math.nan
    faint: tuple[float, ...] = ()
    hollow: float = math.nan

    def values(self) -> list[float]:
        """Every value that must be in sight."""
        return [v for v in (self.middle, self.low, self.high, self.hollow, *self.faint) if math.isfinite(v)]


def rows(
    name: str,
    title: str,
    description: str,
    given: Sequence[Row],
    names: Sequence[str],
    x_label: str,
    reference: float | None = None,
    region: float = math.nan,
) -> Figure:
    """A plot of rows.

    Parameters
    ----------
    name, title, description : str
    given : sequence of Row
    names : sequence of str
        Every strategy of the study.
    x_label : str
    reference : float, optional
        A marked value, always in sight.
    region : float
        Half-width of a shaded region around the reference; NaN for none.

    Returns
    -------
    Figure
    """
    left = min(LABELS, 10 + max((width_of(row.words, 11) for row in given), default=0.0))
    seen = [v for row in given for v in row.values()]
    if reference is not None:
        seen += [reference, *([reference - region, reference + region] if math.isfinite(region) else [])]
    bottom = 36 + STEP * len(given)
    scale = spanning(seen, left, WIDTH - 12)
    axes = Axes(scale, Scale(0.0, 1.0, bottom, 30.0), x_label, "")
    parts = [*_ground(axes, reference, region)]
    place, order = slots(list(names)), {n: i for i, n in enumerate(names)}
    for i, row in enumerate(given):
        y = 30 + STEP * (i + 0.5)
        parts.append(tag("g", *_row(row, scale, y, left, *place[row.strategy]), data_s=order[row.strategy]))
    drawn = tuple(dict.fromkeys(row.strategy for row in given))
    # Rows carry their names: a file needs no legend.
    return Figure(name, title, description, WIDTH, bottom + 40, "".join(parts), {"rows": str(len(drawn))}, ())


def _ground(axes: Axes, reference: float | None, region: float) -> list[str]:
    upright = f" {number(axes.y.start)}V{number(axes.y.end)}"
    d = "".join(f"M{number(float(axes.x.at(value)))}{upright}" for value in axes.x.ticks())
    found = [tag("path", class_="grid", d=d)]
    if reference is not None and math.isfinite(region):
        a, b = (float(axes.x.at(reference + side)) for side in (-region, region))
        height = axes.y.start - axes.y.end
        found.append(tag("rect", class_="region", x=a, y=axes.y.end, width=b - a, height=height))
    if reference is not None:
        found.append(axes.uprights([(reference, "")]))
    return [*found, axes.columns()]


def _named(words: str, y: float, room: float) -> list[str]:
    """The name of a row; a difference that is too long for a line takes two."""
    first, minus, second = words.partition(" − ")
    if not minus or width_of(words, 11) <= room:
        return [label(0.0, y + 4, words, room)]
    return [label(0.0, y - 1.5, first, room), label(0.0, y + 9.5, f"− {second}", room)]


def _row(row: Row, scale: Scale, y: float, left: float, hue: int, _: int) -> list[str]:
    found = _named(row.words, y, left - 8)
    if row.faint:
        # Thin strokes stay apart where round dots of many folds would cover one another.
        d = "".join(f"M{number(round(float(x), 1))} {number(y - 4)}v8" for x in sorted(scale.at(row.faint)))
        found.append(tag("path", class_=f"faint c{hue}", d=d))
    if math.isfinite(row.low):
        a, b = scale.at([row.low, row.high])
        found.append(tag("path", class_=f"whisker c{hue}", d=f"M{number(float(a))} {number(y)}H{number(float(b))}"))
    if math.isfinite(row.hollow) and math.isfinite(row.middle):
        a, b = scale.at([row.hollow, row.middle])
        found.append(tag("path", class_=f"link c{hue}", d=f"M{number(float(a))} {number(y)}H{number(float(b))}"))
        found.append(tag("circle", class_=f"dot hollow c{hue}", cx=float(a), cy=y, r=4.0))
    if math.isfinite(row.middle):
        found.append(tag("circle", class_=f"dot p{hue} c{hue}", cx=float(scale.at(row.middle)), cy=y, r=4.0))
    return found
