"""Threshold curves and calibration of a strategy as metrics, from the evidence of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences
from imblab.core import measures

#: Curves by name: what MLflow overlays, step = threshold x 1000.
CURVES = {"curve_mcc": measures.mcc, "curve_precision": measures.precision, "curve_recall": measures.recall}
#: Every hundredth where rare classes have their cuts, then every second one: a point costs a row of the database.
CUTS = tuple(i / 100 for i in (*range(1, 20), *range(20, 99, 2)))
Metric = tuple[str, float, int]


def of_family(frame: pd.DataFrame | None, dataset: str, learner: str) -> dict[str, Sequence[Metric]]:
    """The curves and the calibration of every strategy of a data set and learner.

    Parameters
    ----------
    frame : DataFrame or None
        As :mod:`imblab.analysis.evidence` builds it.
    dataset, learner : str

    Returns
    -------
    dict of str to sequence of (key, value, step)
        A curve is the mean over the test parts, as the headline is; where it is undefined in all of them it has no
        point. Calibration is the mean over repeats.
    """
    if frame is None:
        return {}
    own = frame[(frame.dataset == dataset) & (frame.learner == learner)]
    if own.empty:
        return {}
    found: dict[str, list[Metric]] = {}
    for name, rows in evidences.counts_at(own, CUTS).groupby("strategy", sort=False):
        found[str(name)] = _curves(rows)
    stated = own[own.kind == "calibration"]
    for at, rows in stated.groupby(["strategy", "name"], sort=False, observed=True):
        strategy, name = (str(part) for part in at)
        if rows.x.notna().any():
            found.setdefault(strategy, []).append((f"calibration/{name}", float(rows.x.mean()), 0))
    return dict(found)


def _curves(rows: pd.DataFrame) -> list[Metric]:
    cuts = np.unique(rows.threshold)
    # One row a test part, one column a cut.
    shape = (-1, len(cuts))
    counts = [rows[name].to_numpy().reshape(shape) for name in ("tn", "fp", "fn", "tp")]
    points: list[Metric] = []
    for name, function in CURVES.items():
        values = function(*counts)
        defined = np.isfinite(values)
        sums, n = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
        points += [(name, float(s / k), round(1000 * c)) for s, k, c in zip(sums, n, cuts, strict=True) if k]
    return points
