"""Cost measures by the path that studies record; the formulas are in :mod:`imblab.stats.counts`."""

from imblab.stats.counts import amount_cost, expected_cost

__all__ = ["amount_cost", "expected_cost"]
