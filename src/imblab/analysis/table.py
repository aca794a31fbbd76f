"""Evaluations as a table: one row per evaluation, one column per fact or measure."""

from __future__ import annotations

from collections.abc import Iterable
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
