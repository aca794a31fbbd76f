"""Rows of dots with whiskers, the diagram of mean ranks, and heat maps: figures whose strategies have a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imblab.edges.figures.axes import (
    WIDTH,
    Axes,
    Figure,
    Scale,
    coordinate,
    element,
    escaped,
    format_tick,
    label,
    markers,
    scale_around,
    shortened,
    text_width,
)
from imblab.edges.palette import Look

#: Height of a row, and the largest width of its name.
_ROW_HEIGHT, _MAX_NAME_WIDTH = 24.0, 168.0
#: Width of a forest of contrasts, its names and lines, the distance of contrasts in one line, and their largest number
#: up to which each has a line.
FOREST_WIDTH, _MAX_FOREST_NAME, _FOREST_ROW, _FOREST_STEP, MAX_FOREST_ROWS = 600.0, 200.0, 19.0, 7.0, 40
#: Width of a rank diagram, of the names at its sides, and the height of a row of names.
_RANK_WIDTH, _RANK_SIDE, _RANK_ROW = 640.0, 190.0, 20.0
#: Height of the cells of a heat map, the width of its row names, and the darkest shade on which words are readable.
_CELL_HEIGHT, _HEAT_LEFT, _DARKEST = 26.0, 38.0, 0.42
#: Room for the labels of classes, and the least side of a cell of a confusion matrix, and of one with its share.
_MAX_CLASS_NAME, _MIN_CELL, _MIN_WRITTEN_CELL = 96.0, 15.0, 26.0


@dataclass(frozen=True, slots=True)
class DotRow:
    """One row."""

    name: str  # stands at its left
    strategy: str  # the strategy whose colour and marker it has
    middle: float  # the filled dot; NaN for none
    low: float = math.nan  # ends of the whisker; NaN for none
    high: float = math.nan
    strokes: tuple[float, ...] = ()  # small strokes: single folds
    ring: float = math.nan  # a ring, joined to the filled dot; NaN for none

    def values(self) -> list[float]:
        """Return every value that must be inside the axis."""
        return [v for v in (self.middle, self.low, self.high, self.ring, *self.strokes) if math.isfinite(v)]


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One contrast with its interval."""

    dataset: str  # empty for an effect over parent data sets
    learner: str
    strategy: str  # the strategy whose colour and marker it has
    mean: float
    low: float = math.nan
    high: float = math.nan
    #: fills the marker: fully for ``better`` and ``worse``, with a point for ``equivalent`` and ``identical``, not at
    #: all for any other
    verdict: str = ""

    @property
    def place(self) -> str:
        """Data set and learner, as a label has them."""
        return ", ".join(filter(None, (self.dataset, self.learner)))


def draw_forest(
    name: str,
    title: str,
    description: str,
    rows: Sequence[ForestRow],
    looks: Mapping[str, Look],
    x_label: str,
    sides: tuple[str, str],
    region: float = math.nan,
) -> Figure:
    """Draw contrasts with their intervals on one axis, from the lowest difference to the highest.

    More than 40 contrasts share one line per data set, by the mean of its differences. ``sides`` say what a negative
    and what a positive difference favours; ``region`` is the half-width of the shaded region around 0, NaN for none.
    """
    lines = _forest_lines([row for row in rows if math.isfinite(row.mean)])
    ends = [-region, region] if math.isfinite(region) else []
    values = [0.0, *ends, *(v for _, items in lines for r in items for v in (r.mean, r.low, r.high))]
    left = min(_MAX_FOREST_NAME, 12 + max((text_width(word, 11) for word, _ in lines), default=0.0))
    heights = [max(_FOREST_ROW, 6.0 + _FOREST_STEP * len(items)) for _, items in lines]
    bottom = 36 + sum(heights)
    scale = scale_around(values, left, FOREST_WIDTH - 12)
    parts = _draw_background(Axes(scale, Scale(0.0, 1.0, bottom, 30.0), x_label, ""), 0.0, region)
    order, top = {strategy: i for i, strategy in enumerate(looks)}, 30.0
    for (word, items), height in zip(lines, heights, strict=True):
        first = top + height / 2 - _FOREST_STEP * (len(items) - 1) / 2
        parts.append(label(left - 8, top + height / 2 + 4, word, left - 8, class_="e"))
        for i, row in enumerate(items):
            children = _draw_contrast(row, scale, first + _FOREST_STEP * i, looks[row.strategy])
            parts.append(element("g", *children, data_s=order[row.strategy]))
        top += height
    half = (scale.end - scale.start) / 2 - 4
    parts.append(label(scale.start, bottom + 48, f"← {sides[0]}", half, class_="axis"))
    parts.append(label(scale.end, bottom + 48, f"{sides[1]} →", half, class_="axis e"))
    facts = {"rows": str(len(lines))}
    return Figure(name, title, description, FOREST_WIDTH, bottom + 56, "".join(parts), facts)


def _forest_lines(rows: Sequence[ForestRow]) -> list[tuple[str, list[ForestRow]]]:
    """The names of the lines of a forest with their contrasts."""
    ordered = sorted(rows, key=lambda row: row.mean)
    if len(ordered) <= MAX_FOREST_ROWS:
        return [(row.place, [row]) for row in ordered]
    groups: dict[str, list[ForestRow]] = {}
    for row in ordered:
        groups.setdefault(row.dataset, []).append(row)
    return sorted(groups.items(), key=lambda group: sum(row.mean for row in group[1]) / len(group[1]))


def _draw_contrast(row: ForestRow, scale: Scale, y: float, look: Look) -> list[str]:
    numbers = [f"{v:+.3f}".replace("-", "−") for v in (row.mean, row.low, row.high)]
    interval = f", {numbers[1]} to {numbers[2]}" if math.isfinite(row.low) else ""
    words = f"{row.place}: {numbers[0]}{interval}, {row.verdict}"
    parts, x = [element("title", escaped(words))], [float(scale.at(row.mean))]
    if math.isfinite(row.low):
        parts.append(_draw_horizontal("whisker", look.colour, row.low, row.high, scale, y))
    parts += [markers(x, [y], look, "rim"), markers(x, [y], look)]
    if row.verdict.partition(" by ")[0] not in ("better", "worse"):
        parts.append(markers(x, [y], look, "hole"))
    if row.verdict in ("equivalent", "identical"):
        parts.append(markers(x, [y], look, "point"))
    return parts


def draw_rows(
    name: str,
    title: str,
    description: str,
    rows: Sequence[DotRow],
    looks: Mapping[str, Look],
    x_label: str,
    reference: float | None = None,
    region: float = math.nan,
    on_axis: Sequence[float] = (),
) -> Figure:
    """Draw rows of dots with whiskers.

    ``reference`` is a marked value that is always inside the axis, ``region`` the half-width of a shaded region around
    it (NaN for none). ``looks`` are those of all strategies of the study. ``on_axis`` are further values that the axis
    holds: figures of one gallery that are given the values of all of them have one common axis.
    """
    left = min(_MAX_NAME_WIDTH, 10 + max((text_width(row.name, 11) for row in rows), default=0.0))
    values = [*on_axis, *(v for row in rows for v in row.values())]
    if reference is not None:
        values += [reference, *([reference - region, reference + region] if math.isfinite(region) else [])]
    bottom = 36 + _ROW_HEIGHT * len(rows)
    scale = scale_around(values, left, WIDTH - 12)
    parts = _draw_background(Axes(scale, Scale(0.0, 1.0, bottom, 30.0), x_label, ""), reference, region)
    order = {name: i for i, name in enumerate(looks)}
    for i, row in enumerate(rows):
        y = 30 + _ROW_HEIGHT * (i + 0.5)
        children = [*_draw_row_name(row.name, y, left - 8), *_draw_row(row, scale, y, looks[row.strategy])]
        parts.append(element("g", *children, data_s=order[row.strategy]))
    # Rows carry their names: a file needs no legend.
    facts = {"rows": str(len({row.strategy for row in rows}))}
    return Figure(name, title, description, WIDTH, bottom + 40, "".join(parts), facts)


def draw_ranks(
    name: str,
    title: str,
    description: str,
    mean_ranks: Sequence[tuple[str, float]],
    cliques: Sequence[Sequence[str]],
    looks: Mapping[str, Look],
) -> Figure:
    """Draw the critical-difference diagram (Demsar 2006) of mean ranks, the best first, a bar over each clique."""
    ordered = sorted(mean_ranks, key=lambda pair: pair[1])
    last = max(2, len(ordered))
    bars = [clique for clique in cliques if len(clique) > 1]
    ranks, axis = dict(ordered), 52.0
    below = axis + 14 + 9 * len(bars)
    parts = [_draw_rank_axis(axis, last)]
    for i, clique in enumerate(bars):
        first, second = (pick(ranks[n] for n in clique) for pick in (min, max))
        ends = [coordinate(x) for x in (_rank_place(first, last) - 4, _rank_place(second, last) + 4)]
        d = f"M{ends[0]} {coordinate(axis + 12 + 9 * i)}H{ends[1]}"
        parts.append(element("path", class_="clique", d=d))
    half = math.ceil(len(ordered) / 2)
    order = {name: i for i, name in enumerate(looks)}
    for i, (strategy, rank) in enumerate(ordered):
        row = i if i < half else len(ordered) - 1 - i
        y = below + 14 + _RANK_ROW * row
        children = _draw_rank(strategy, rank, (_rank_place(rank, last), axis, y), i < half, looks[strategy])
        parts.append(element("g", *children, data_s=order[strategy]))
    return Figure(name, title, description, _RANK_WIDTH, below + 14 + _RANK_ROW * half, "".join(parts))


def draw_heat_map(
    name: str,
    title: str,
    description: str,
    values: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    labels: tuple[str, str],
    framed: tuple[int, int],
) -> Figure:
    """Draw values of shape (n_rows, n_columns) as shades, NaN left empty; ``labels`` name the columns and the rows."""
    n_rows, n_columns = values.shape
    width = (WIDTH - _HEAT_LEFT - 4) / n_columns
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    parts = [label(0.0, 29.0, labels[1], 120, class_="axis")]
    for i in range(n_rows):
        y = 36 + _CELL_HEIGHT * i
        parts.append(label(_HEAT_LEFT - 6, y + 17, rows[i], 60, class_="axis e"))
        for j in np.flatnonzero(np.isfinite(values[i])).tolist():
            value = float(values[i, j])
            shade = 0.04 + (_DARKEST - 0.04) * ((value - low) / (high - low) if high > low else 0.5)
            place, text = (_HEAT_LEFT + j * width, y, width, _CELL_HEIGHT), f"{value:.3f}" if width >= 34 else ""
            parts += _draw_cell(place, shade, format_tick(value), text, is_framed=(i, j) == framed)
    bottom = 36 + _CELL_HEIGHT * n_rows
    for j, word in enumerate(columns):
        parts.append(label(_HEAT_LEFT + (j + 0.5) * width, bottom + 15, word, width, class_="axis m"))
    parts.append(label((_HEAT_LEFT + WIDTH) / 2, bottom + 31, labels[0], 300, class_="axis m"))
    return Figure(name, title, description, WIDTH, bottom + 38, "".join(parts))


def draw_confusion(
    name: str, title: str, description: str, shares: np.ndarray, counts: np.ndarray, labels: Sequence[str]
) -> Figure:
    """Draw a confusion matrix as shades, the rarest class first; a cell says its share and, pointed at, its rows.

    ``shares`` and ``counts`` are of shape (n_classes, n_classes), by true class; a row of shares sums to 1, and cells
    that are 0 or NaN are left empty.
    """
    order, n = list(reversed(range(len(labels)))), len(labels)
    longest = min(_MAX_CLASS_NAME, max(text_width(word, 11) for word in labels))
    left = longest + 12
    side = max(_MIN_CELL, (WIDTH - left - 4) / n)
    height = min(side, _CELL_HEIGHT)
    bottom, right = 36 + height * n, left + side * n
    parts = [label(0.0, 26.0, "true class", 120, class_="axis")]
    for i, true in enumerate(order):
        y = 36 + height * i
        parts.append(label(left - 6, y + height / 2 + 4, labels[true], longest + 1, class_="axis e"))
        for j in np.flatnonzero(shares[true, order] > 0).tolist():
            share, rows = float(shares[true, order[j]]), (counts[true, order[j]], counts[true].sum())
            words = f"{labels[true]} decided {labels[order[j]]}: {share:.3f}, {rows[0]:.4g} of {rows[1]:.4g} rows"
            place, text = (left + side * j, y, side, height), f"{share:.2f}" if side >= _MIN_WRITTEN_CELL else ""
            parts += _draw_cell(place, 0.04 + (_DARKEST - 0.04) * share, words, text, 0.5, 2.0)
    d = "".join(
        f"M{coordinate(left + side * i)} {coordinate(36 + height * i)}h{coordinate(side)}v{coordinate(height)}"
        f"h{coordinate(-side)}z"
        for i in range(n)
    )
    parts.append(element("path", class_="grid c0", d=d))
    is_wide = all(text_width(word, 11) <= side - 2 for word in labels)
    below = 14.0 if is_wide else longest + 6
    for j, decided in enumerate(order):
        x, y = left + side * (j + 0.5), bottom + (14 if is_wide else 6)
        if is_wide:
            parts.append(label(x, y, labels[decided], side, class_="axis m"))
        else:
            turn = f"rotate(-90 {coordinate(x + 4)} {coordinate(y)})"
            parts.append(label(x + 4, y, labels[decided], longest + 1, class_="axis e", transform=turn))
    parts.append(label((left + right) / 2, bottom + below + 16, "decided class", 300, class_="axis m"))
    return Figure(name, title, description, max(WIDTH, right + 4), bottom + below + 22, "".join(parts))


def _draw_background(axes: Axes, reference: float | None, region: float) -> list[str]:
    upright = f" {coordinate(axes.y.start)}V{coordinate(axes.y.end)}"
    d = "".join(f"M{coordinate(float(axes.x.at(value)))}{upright}" for value in axes.x.ticks())
    parts = [element("path", class_="grid", d=d)]
    if reference is not None and math.isfinite(region):
        a, b = (float(axes.x.at(reference + side)) for side in (-region, region))
        height = axes.y.start - axes.y.end
        parts.append(element("rect", class_="region", x=a, y=axes.y.end, width=b - a, height=height))
    if reference is not None:
        parts.append(axes.draw_x_marks([(reference, "")]))
    return [*parts, axes.draw_x_axis()]


def _draw_row_name(name: str, y: float, room: float) -> list[str]:
    """The name of a row; a difference that is too long for one line takes two."""
    first, minus, second = name.partition(" − ")
    if not minus or text_width(name, 11) <= room:
        return [label(0.0, y + 4, name, room)]
    return [label(0.0, y - 1.5, first, room), label(0.0, y + 9.5, f"− {second}", room)]


def _draw_row(row: DotRow, scale: Scale, y: float, look: Look) -> list[str]:
    parts, hue = [], look.colour
    if row.strokes:
        # Thin strokes stay apart where round dots of many folds would cover one another.
        places = [round(float(x), 1) for x in sorted(scale.at(row.strokes))]
        d = "".join(f"M{coordinate(x)} {coordinate(y - 4)}v8" for x in places)
        parts.append(element("path", class_=f"faint c{hue}", d=d))
    if math.isfinite(row.low):
        parts.append(_draw_horizontal("whisker", hue, row.low, row.high, scale, y))
    if math.isfinite(row.ring) and math.isfinite(row.middle):
        parts.append(_draw_horizontal("link", hue, row.ring, row.middle, scale, y))
        parts += [markers([float(scale.at(row.ring))], [y], look, kind) for kind in ("dots", "hole")]
    if math.isfinite(row.middle):
        parts.append(markers([float(scale.at(row.middle))], [y], look))
    return parts


def _draw_horizontal(kind: str, hue: int, low: float, high: float, scale: Scale, y: float) -> str:
    a, b = scale.at([low, high])
    return element("path", class_=f"{kind} c{hue}", d=f"M{coordinate(float(a))} {coordinate(y)}H{coordinate(float(b))}")


def _rank_place(rank: float, last: int) -> float:
    return _RANK_SIDE + (rank - 1) / (last - 1) * (_RANK_WIDTH - 2 * _RANK_SIDE)


def _draw_rank_axis(y: float, last: int) -> str:
    places = {t: _rank_place(t, last) for t in range(1, last + 1, 1 if last <= 12 else 2)}
    ticks = "".join(f"M{coordinate(x)} {coordinate(y)}v-6" for x in places.values())
    labels = [label(x, y - 10, str(t), 30, class_="axis m") for t, x in places.items()]
    line = f"M{coordinate(_RANK_SIDE)} {coordinate(y)}H{coordinate(_RANK_WIDTH - _RANK_SIDE)}{ticks}"
    return element("path", class_="link c0", d=line) + "".join(labels)


def _draw_rank(
    strategy: str, rank: float, place: tuple[float, float, float], is_left: bool, look: Look
) -> tuple[str, str, str, str]:
    """A strategy's name at one side, with a line from its place (x, y of the axis, y of the name)."""
    x, axis, y = place
    end = _RANK_SIDE - 12 if is_left else _RANK_WIDTH - _RANK_SIDE + 12
    line = element(
        "path",
        class_=f"link c{look.colour}",
        d=f"M{coordinate(x)} {coordinate(axis)}V{coordinate(y)}H{coordinate(end)}",
    )
    name = shortened(strategy, _RANK_SIDE - 18 - text_width(f"  {rank:.2f}", 11), 11)
    words = f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}"
    text = label(end - 5 if is_left else end + 5, y + 4, words, _RANK_SIDE - 18, class_="e" if is_left else None)
    title = element("title", escaped(strategy)) if name != strategy else ""
    return title, line, markers([x], [axis], look), text


def _draw_cell(
    place: tuple[float, float, float, float],
    shade: float,
    words: str,
    text: str,
    inset: float = 1.0,
    radius: float = 3.0,
    is_framed: bool = False,
) -> list[str]:
    """A shaded cell at (x, y, width, height), with a text in it and words for who points at it."""
    x, y, width, height = place
    box = {"x": x + inset, "y": y + inset, "width": width - 2 * inset, "height": height - 2 * inset, "rx": radius}
    parts = [element("rect", element("title", escaped(words)), class_="heat", fill_opacity=coordinate(shade), **box)]
    if is_framed:
        parts.append(element("rect", class_="grid c0", fill="none", **box))
    if text:
        parts.append(label(x + width / 2, y + height / 2 + 4, text, width, 10, class_="m"))
    return parts
