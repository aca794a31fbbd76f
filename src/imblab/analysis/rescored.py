"""Rescored studies: what another question changed, compared with the evaluations of the study."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

STRATEGY_KEYS = ["dataset", "learner", "strategy"]
CELL_KEYS = [*STRATEGY_KEYS, "repeat", "fold"]


def moves(before: pd.DataFrame, after: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Compare the means of a measure, and count the folds in which a winner or a threshold moved.

    ``before`` and ``after`` are tables of :func:`imblab.analysis.table.to_frame`, ``measure`` is the primary of the new
    question. Returns ``dataset learner strategy folds`` (that both answer), ``before`` and ``after`` over these folds
    (NaN where one of them has no value), ``winners`` and ``cuts`` (thresholds) that moved, and ``missing`` folds that
    only the old question answers.
    """
    columns = [*CELL_KEYS, "params", "threshold", measure]
    old, new = before.reindex(columns=columns), after.reindex(columns=columns)
    merged = old.merge(new, on=CELL_KEYS, how="left", suffixes=("_before", "_after"), indicator=True)
    rows = []
    for place, cells in merged.groupby(STRATEGY_KEYS, sort=False):
        both = cells[cells["_merge"] == "both"]
        thresholds = both.threshold_before.fillna(-1) != both.threshold_after.fillna(-1)
        rows.append(
            {
                **dict(zip(STRATEGY_KEYS, place, strict=True)),
                "folds": len(both),
                "before": _complete_mean(both[f"{measure}_before"]),
                "after": _complete_mean(both[f"{measure}_after"]),
                "winners": int((both.params_before != both.params_after).sum()),
                "cuts": int(thresholds.sum()),
                "missing": len(cells) - len(both),
            }
        )
    return pd.DataFrame(rows, columns=[*STRATEGY_KEYS, "folds", "before", "after", "winners", "cuts", "missing"])


def added(before: pd.DataFrame, after: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Average the measures that the old question did not have: ``dataset learner strategy measure mean``."""
    new = [name for name in names if name not in before.columns]
    rows = [
        (*place, name, _complete_mean(cells[name]))
        for place, cells in after.groupby(STRATEGY_KEYS, sort=False)
        for name in new
    ]
    return pd.DataFrame(rows, columns=[*STRATEGY_KEYS, "measure", "mean"])


def _complete_mean(values: pd.Series) -> float:
    """The mean over folds; NaN where one of them has no value."""
    return float(values.astype("float64").mean(skipna=False))
