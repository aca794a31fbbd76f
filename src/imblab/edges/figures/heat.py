"""A table of values as shades: the metric over two knobs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imblab.edges.figures.frame import WIDTH, Figure
from imblab.edges.figures.scales import shown
from imblab.edges.figures.svg import label, number, tag

CELL, LEFT = 26.0, 38.0
#: The darkest shade: words on it must stay readable.
DARKEST = 0.42


def heat(
    name: str,
    title: str,
    description: str,
    values: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    labels: tuple[str, str],
    outlined: Sequence[tuple[int, int]] = (),
) -> Figure:
    """A map of values.

    Parameters
    ----------
    name, title, description : str
    values : ndarray of shape (n_rows, n_columns)
        NaN is left empty.
    columns, rows : sequence of str
    labels : tuple of str
        Of the columns and the rows.
    outlined : sequence of (int, int)
        Cells with a frame.

    Returns
    -------
    Figure
    """
    n_rows, n_columns = values.shape
    width = (WIDTH - LEFT - 4) / n_columns
    low, high = (float(f(values[np.isfinite(values)])) for f in (np.min, np.max))
    parts = [label(0.0, 29.0, labels[1], 120, class_="axis")]
    for i in range(n_rows):
        y = 36 + CELL * i
        parts.append(label(LEFT - 6, y + 17, rows[i], 60, class_="axis e"))
        for j in range(n_columns):
            value = float(values[i, j])
            if np.isfinite(value):
                shade = 0.04 + (DARKEST - 0.04) * ((value - low) / (high - low) if high > low else 0.5)
                parts += _cell(LEFT + j * width, y, width, value, shade, (i, j) in set(outlined))
    bottom = 36 + CELL * n_rows
    for j, word in enumerate(columns):
        parts.append(label(LEFT + (j + 0.5) * width, bottom + 15, word, width, class_="axis m"))
    parts.append(label((LEFT + WIDTH) / 2, bottom + 31, labels[0], 300, class_="axis m"))
    return Figure(name, title, description, WIDTH, bottom + 38, "".join(parts))


def _cell(x: float, y: float, width: float, value: float, shade: float, outlined: bool) -> list[str]:
    box = {"x": x + 1, "y": y + 1, "width": width - 2, "height": CELL - 2, "rx": 3.0}
    found = [tag("rect", tag("title", shown(value)), class_="heat", fill_opacity=number(shade), **box)]
    if outlined:
        found.append(tag("rect", class_="grid c1", fill="none", **box))
    if width >= 34:
        found.append(label(x + width / 2, y + 17, f"{value:.3f}", width, 10, class_="m"))
    return found
