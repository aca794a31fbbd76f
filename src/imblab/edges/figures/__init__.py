"""Figures as SVG text: small, the same bytes everywhere, readable without scripts, in light and dark, on paper."""

from imblab.edges.figures.axes import Axes, Figure, Scale, legend_key, same_spans, scale_around
from imblab.edges.figures.curve_plot import ChosenThreshold, Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import (
    DotRow,
    ForestRow,
    draw_confusion,
    draw_forest,
    draw_heat_map,
    draw_ranks,
    draw_rows,
)
from imblab.edges.figures.svg import STYLE

__all__ = [
    "STYLE",
    "Axes",
    "ChosenThreshold",
    "Curve",
    "DotRow",
    "Figure",
    "ForestRow",
    "Marks",
    "Scale",
    "draw_confusion",
    "draw_curves",
    "draw_forest",
    "draw_heat_map",
    "draw_ranks",
    "draw_rows",
    "legend_key",
    "place_in_plot",
    "same_spans",
    "scale_around",
]
