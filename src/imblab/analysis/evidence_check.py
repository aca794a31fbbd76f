"""Whether a frame is evidence: columns, types and ranges, since the file it comes from may be anybody's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from imblab.analysis.evidence import COLUMNS, COORDINATES, KINDS, POOLED

Test = Callable[[np.ndarray], np.ndarray]


def _whole(values: np.ndarray) -> np.ndarray:
    return np.asarray((values >= 0) & (values == np.floor(values)) & np.isfinite(values))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(values))


def _share(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.isnan(values) | ((values >= 0) & (values <= 1)))


def _known(values: np.ndarray) -> np.ndarray:
    return np.asarray(~np.isinf(values))


#: What numbers are by kind and column, and the rule in words; a column that is not named may hold anything.
NUMBERS: dict[str, dict[str, tuple[Test, str]]] = {
    "cut": {
        "x": (_finite, "a threshold is a finite number"),
        "y": (_whole, "false positives are a count, at least 0"),
        "z": (_whole, "true positives are a count, at least 0"),
    },
    "chance": {"x": (_share, "an expected average precision lies between 0 and 1")},
    "bin": {
        "x": (_whole, "rows are a count, at least 0"),
        "y": (_finite, "summed predicted probabilities are a finite number"),
        "z": (_whole, "positives are a count, at least 0"),
    },
    "calibration": {"x": (_known, "a statistic is finite or missing")},
    "prior": {"x": (_known, "a statistic is finite or missing")},
    "synthetic": {
        "x": (_share, "a share lies between 0 and 1"),
        "y": (_whole, "rows that were made are a count, at least 0"),
    },
}


def fault(frame: pd.DataFrame) -> str | None:
    """The first thing of a frame that is not as :mod:`imblab.analysis.evidence` builds it, in words.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str or None
        Column, row, value and rule; None for evidence.

    Examples
    --------
    >>> from imblab.analysis.evidence import empty
    >>> fault(empty()), fault(empty().drop(columns="x"))
    (None, "column 'x' is missing; the columns are dataset, learner, strategy, repeat, fold, kind, name, x, y, z")
    """
    for column in COLUMNS:
        if column not in frame:
            return f"column {column!r} is missing; the columns are {', '.join(COLUMNS)}"
    for column in (*COORDINATES[:3], "kind", "name"):
        if said := _text_fault(frame[column], column):
            return said
    for column in (*COORDINATES[3:], "x", "y", "z"):
        if frame[column].dtype.kind not in ("iu" if column in COORDINATES else "f"):
            kind = "whole numbers" if column in COORDINATES else "numbers"
            return f"column {column!r} holds {frame[column].dtype}; it holds {kind}"
    tests: list[tuple[str, np.ndarray, str]] = [
        ("repeat", frame["repeat"].to_numpy() >= 0, "it counts from 0"),
        ("fold", frame.fold.to_numpy() >= POOLED, f"it counts from 0, and is {POOLED} for all folds"),
        ("kind", frame.kind.astype("object").isin(KINDS).to_numpy(), f"it is one of {', '.join(KINDS)}"),
    ]
    for column, good, rule in tests:
        if not good.all():
            return _said(frame, column, int(np.argmin(good)), rule)
    return _number_fault(frame)


def _text_fault(values: pd.Series, column: str) -> str | None:
    """Texts, and where a name may be absent, nothing."""
    found = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values.dropna().unique()
    wrong = next((value for value in found if not isinstance(value, str)), None)
    if wrong is not None:
        return f"column {column!r} holds {wrong!r}; it holds texts"
    if column != "name" and values.isna().any():
        return f"column {column!r} is empty in row {int(np.argmax(values.isna().to_numpy()))}; every row has it"
    return None


def _number_fault(frame: pd.DataFrame) -> str | None:
    kinds = frame.kind.astype("object").to_numpy()
    for kind, columns in NUMBERS.items():
        rows = np.flatnonzero(kinds == kind)
        for column, (test, rule) in columns.items():
            good = test(frame[column].to_numpy(dtype=np.float64)[rows])
            if not good.all():
                return _said(frame, column, int(rows[np.argmin(good)]), rule)
    names, places = frame.name.astype("object").to_numpy(), np.flatnonzero(kinds == "bin")
    if all(_is_number(name) for name in set(names[places])):
        return None
    return _said(frame, "name", next(int(row) for row in places if not _is_number(names[row])), "bins are numbered")


def _is_number(name: object) -> bool:
    return isinstance(name, str) and name.isdecimal() and name.isascii()


def _said(frame: pd.DataFrame, column: str, row: int, rule: str) -> str:
    value = frame[column].iloc[row]
    shown = repr(value) if isinstance(value, str) else f"{value}"
    return f"column {column!r} is {shown} in row {row}; {rule}"
