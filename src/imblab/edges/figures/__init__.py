"""Figures as SVG text: small, the same bytes everywhere, readable without scripts, in light and dark, on paper."""

from imblab.edges.figures.frame import Axes, Figure
from imblab.edges.figures.heat import heat
from imblab.edges.figures.lines import Curve, Extras, area, lines
from imblab.edges.figures.palette import STYLE, slots, variables
from imblab.edges.figures.ranks import ranks
from imblab.edges.figures.rows import Row, rows
from imblab.edges.figures.scales import Scale, spanning

__all__ = [
    "STYLE",
    "Axes",
    "Curve",
    "Extras",
    "Figure",
    "Row",
    "Scale",
    "area",
    "heat",
    "lines",
    "ranks",
    "rows",
    "slots",
    "spanning",
    "variables",
]
