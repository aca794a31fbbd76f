"""The critical-difference diagram (Demsar 2006), with the cliques it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imblab.edges.figures.frame import Figure
from imblab.edges.figures.palette import slots
from imblab.edges.figures.svg import fitted, label, number, tag, width_of, words

WIDTH, SIDE, ROW = 640.0, 190.0, 20.0


def ranks(
    name: str,
    title: str,
    description: str,
    mean_ranks: Sequence[tuple[str, float]],
    cliques: Sequence[Sequence[str]],
    names: Sequence[str],
) -> Figure:
    """A diagram of mean ranks: the best at the left, a bar over those that no test tells apart.

    Parameters
    ----------
    name, title, description : str
    mean_ranks : sequence of (str, float)
        1 is the best.
    cliques : sequence of sequence of str
        Strategies that are not told apart; those of one are left out.
    names : sequence of str
        Every strategy of the study.

    Returns
    -------
    Figure
    """
    ordered = sorted(mean_ranks, key=lambda pair: pair[1])
    last = max(2, len(ordered))
    bars = [clique for clique in cliques if len(clique) > 1]
    known, axis = dict(ordered), 52.0
    below = axis + 14 + 9 * len(bars)
    parts = [_axis(axis, last)]
    for i, clique in enumerate(bars):
        a, b = (pick(known[n] for n in clique) for pick in (min, max))
        y = axis + 12 + 9 * i
        parts.append(
            tag("path", class_="clique", d=f"M{number(_at(a, last) - 4)} {number(y)}H{number(_at(b, last) + 4)}")
        )
    half = math.ceil(len(ordered) / 2)
    for i, (strategy, rank) in enumerate(ordered):
        row = i if i < half else len(ordered) - 1 - i
        parts.append(_arm(strategy, rank, below + 14 + ROW * row, axis, last, i < half, list(names)))
    return Figure(name, title, description, WIDTH, below + 14 + ROW * half, "".join(parts))


def _at(rank: float, last: int) -> float:
    return SIDE + (rank - 1) / (last - 1) * (WIDTH - 2 * SIDE)


def _axis(y: float, last: int) -> str:
    step = 1 if last <= 12 else 2
    ticks = range(1, last + 1, step)
    marks = "".join(f"M{number(_at(t, last))} {number(y)}v-6" for t in ticks)
    named = [label(_at(t, last), y - 10, str(t), 30, class_="axis m") for t in ticks]
    line = tag("path", class_="link c1", d=f"M{number(SIDE)} {number(y)}H{number(WIDTH - SIDE)}{marks}")
    return line + "".join(named)


def _arm(strategy: str, rank: float, y: float, axis: float, last: int, left: bool, names: list[str]) -> str:
    hue, _ = slots(names)[strategy]
    x, end = _at(rank, last), SIDE - 12 if left else WIDTH - SIDE + 12
    line = tag("path", class_=f"link c{hue}", d=f"M{number(x)} {number(axis)}V{number(y)}H{number(end)}")
    shown = fitted(strategy, SIDE - 18 - width_of(f"  {rank:.2f}", 11), 11)
    said = f"{shown}  {rank:.2f}" if left else f"{rank:.2f}  {shown}"
    anchor = "e" if left else None
    named = label(end - 5 if left else end + 5, y + 4, said, SIDE - 18, class_=anchor)
    whole = tag("title", words(strategy)) if shown != strategy else ""
    return tag("g", whole, line, named, data_s=names.index(strategy))
