"""Cost measures by the path that studies record; the formulas are in :mod:`imblab.stats.costs`."""

from imblab.stats.costs import amount_cost, expected_cost

__all__ = ["amount_cost", "expected_cost"]
