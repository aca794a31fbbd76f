"""Figures as SVG text: small, the same bytes everywhere, readable without scripts, in light and dark, on paper."""

from imblab.edges.figures.axes import (
    Axes as Axes,
    Scale as Scale,
    same_spans as same_spans,
    scale_around as scale_around,
)
from imblab.edges.figures.curve_plot import (
    Curve as Curve,
    Marks as Marks,
    draw_curves as draw_curves,
    place_in_plot as place_in_plot,
)
from imblab.edges.figures.row_plot import DotRow as DotRow, draw_heat_map as draw_heat_map, draw_rows as draw_rows
