"""What another question changed: the rows of a study beside those that rescoring gave."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

KEYS = ["dataset", "learner", "strategy", "repeat", "fold"]
ARM = KEYS[:3]


def moves(before: pd.DataFrame, after: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Per strategy: the mean of a measure before and after, and in how many folds a winner or a cut moved.

    Parameters
    ----------
    before, after : DataFrame
        As :func:`imblab.analysis.table.to_frame` gives them.
    measure : str
        The primary of the new question.

    Returns
    -------
    DataFrame
        ``dataset learner strategy folds`` (that both answer), ``before`` and ``after`` over these folds (NaN where
        the measure was not asked or is undefined in one of them), ``winners`` and ``cuts`` that moved, ``missing``
        folds that only the old question answers.
    """
    asked = [*KEYS, "params", "threshold", measure]
    old, new = before.reindex(columns=asked), after.reindex(columns=asked)
    both = old.merge(new, on=KEYS, how="left", suffixes=("_before", "_after"), indicator=True)
    rows = []
    for arm, part in both.groupby(ARM, sort=False):
        there = part[part["_merge"] == "both"]
        means = {side: _mean(there[f"{measure}_{side}"]) for side in ("before", "after")}
        winners = (there.params_before != there.params_after).sum()
        cuts = (there.threshold_before.fillna(-1) != there.threshold_after.fillna(-1)).sum()
        facts = {"folds": len(there), **means, "winners": int(winners), "cuts": int(cuts)}
        rows.append({**dict(zip(ARM, arm, strict=True)), **facts, "missing": len(part) - len(there)})
    return pd.DataFrame(rows, columns=[*ARM, "folds", "before", "after", "winners", "cuts", "missing"])


def _mean(values: pd.Series) -> float:
    """The mean over folds; NaN where one of them has no value."""
    return float(values.astype("float64").mean(skipna=False))


def added(before: pd.DataFrame, after: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Means over folds of the measures that the old question did not have.

    Parameters
    ----------
    before, after : DataFrame
    names : sequence of str
        The measures of the new question.

    Returns
    -------
    DataFrame
        ``dataset learner strategy measure mean``; NaN where a fold has no value.
    """
    fresh = [name for name in names if name not in before.columns]
    rows = [(*arm, name, _mean(part[name])) for arm, part in after.groupby(ARM, sort=False) for name in fresh]
    return pd.DataFrame(rows, columns=[*ARM, "measure", "mean"])
