"""Evaluations as a table, one row each with a column per fact or measure, and what another question changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.summary import candidate_count
from imblab.errors import StudyError
from imblab.result import Evaluation

#: The columns before those of the measures.
FACTS = (
    *("dataset", "learner", "strategy", "repeat", "fold", "status", "threshold", "scale", "params"),
    *("candidates", "fits", "seconds", "n_train", "n_test", "flagged", "value"),
    *("left_out", "error", "notes", "fingerprint", "split_fingerprint"),
)
#: The columns after those of the measures.
COUNTS = ("tn", "fp", "fn", "tp")
_FLOATS = ("threshold", "seconds", "flagged", "value", *COUNTS)
_INTEGERS = ("repeat", "fold", "candidates", "fits", "n_train", "n_test")
STRATEGY_KEYS = ["dataset", "learner", "strategy"]
CELL_KEYS = [*STRATEGY_KEYS, "repeat", "fold"]


def to_frame(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """Arrange evaluations as a table, sorted by their coordinates.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        In any order.

    Returns
    -------
    DataFrame
        The columns of :data:`FACTS`: ``params`` holds mappings, ``candidates`` counts the distinct candidates that were
        judged, ``left_out`` holds ``(status, params, reason)`` of those that did not apply or failed. Then one float
        column per measure with NaN for null, then ``tn fp fn tp`` with NaN where nothing was scored. With more than two
        classes the columns ``<measure>/class_<index>`` follow, and ``threshold`` holds tuples. Data sets, learners and
        strategies in the order they first appear, then repeat and fold.

    Raises
    ------
    StudyError
        If a measure has the name of another column.

    Examples
    --------
    >>> row = Evaluation("toy", "logistic", "none", 0, 0, {}, 0.5, {"mcc": None}, {}, 0.1, "ok", None, "f")
    >>> to_frame([row]).mcc.isna().tolist()
    [True]
    """
    rows = list(evaluations)
    measures = list(dict.fromkeys(name for row in rows for name in row.scores))
    for name in measures:
        if name in FACTS or name in COUNTS:
            raise StudyError(
                f"measure {name!r} has the name of a column of the result table; a column holds one thing. "
                "Give the measure another name."
            )
    by_class = list(dict.fromkeys(name for row in rows for name in _columns_by_class(row)))
    columns = [*FACTS, *measures, *COUNTS, *by_class]
    frame = pd.DataFrame([_table_row(row) for row in rows], columns=columns, dtype=object)
    floats = [*_FLOATS, *measures, *by_class]
    if any(isinstance(row.threshold, tuple) for row in rows):
        floats.remove("threshold")
    frame = frame.astype({**dict.fromkeys(floats, "float64"), **dict.fromkeys(_INTEGERS, "int64")})
    return _sort_rows(frame)


def _table_row(row: Evaluation) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in FACTS if name not in ("candidates", "left_out")}
    facts["candidates"] = candidate_count(row)
    facts["left_out"] = tuple(
        (trial.status, dict(trial.params), trial.reason)
        for trial in row.trials
        if trial.status in ("failed", "inapplicable")
    )
    return {**facts, "params": dict(row.params), **row.scores, **row.counts, **_columns_by_class(row)}


def _columns_by_class(row: Evaluation) -> dict[str, float | None]:
    return {f"{name}/class_{c}": v for name, values in row.class_scores.items() for c, v in enumerate(values)}


def _sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    rank = {c: {name: i for i, name in enumerate(frame[c].unique())} for c in ("dataset", "learner", "strategy")}
    keys = [frame.fold, frame["repeat"], *(frame[c].map(rank[c]) for c in ("strategy", "learner", "dataset"))]
    order = np.lexsort([k.to_numpy(dtype=np.int64) for k in keys])
    return frame.iloc[order].reset_index(drop=True)


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
