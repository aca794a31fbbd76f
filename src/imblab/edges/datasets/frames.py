"""Tables from Python objects: frames and arrays with their labels, as one pandas frame and the columns by role.

Frames of other libraries (polars, pyarrow, DuckDB) come through Arrow's stream interface, which needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imblab.errors import DataError, ImblabError, combined, unknown
from imblab.text import count_noun
from imblab_model import plain_array

#: What to pass where a value is not a table.
ACCEPTED = "a frame of pandas, polars or another library of Arrow, or a dense array of rows and columns"


@dataclass(frozen=True, slots=True, eq=False)
class FrameWithRoles:
    """A table with the names of its columns by role."""

    frame: pd.DataFrame  # (n_rows, n_columns): features, labels and other columns; its rows are numbered from 0
    columns: Mapping[str, Any]  # the column of each role that was given: ``target``, ``groups``, ``time``


def frame_with_roles(X: Any, y: Any, **roles: Any) -> FrameWithRoles:
    """Join features, labels and further columns in one frame.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n_rows, n_columns)
        A frame of pandas or of a library with Arrow's stream interface, or an array; the columns of an array are called
        x0, x1, ...
    y : str or array-like of shape (n_rows,)
        The labels, or the name of their column in ``X``.
    **roles : str, array-like of shape (n_rows,), or None
        Further columns, such as ``groups``.

    Raises
    ------
    DataError
        With everything that prevents it.

    Examples
    --------
    >>> table = frame_with_roles(np.zeros((3, 2)), ["no", "yes", "no"], groups=None)
    >>> table.frame.columns.tolist(), table.columns
    (['x0', 'x1', 'target'], {'target': 'target'})
    >>> frame_with_roles(pd.DataFrame({"a": [1, 2], "left": [0, 1]}), "left").columns
    {'target': 'left'}
    """
    source, index = _pandas_frame(X), X.index if isinstance(X, pd.DataFrame) else None
    if y is None:
        raise DataError(
            "'y' is not given; a study needs a label for each row. Pass the labels, or the name of their column in X."
        )
    frame, columns, errors = source.reset_index(drop=True), dict[str, str](), list[ImblabError]()
    for role, values in {"target": y, **roles}.items():
        if values is None:
            continue
        argument = "y" if role == "target" else role
        try:
            if isinstance(values, (str, Integral)):
                columns[role] = _existing_column(str(values), frame, argument)
            else:
                name = _unused_name(getattr(values, "name", None), role, frame)
                column = _read_column(values, len(source), index, argument)
                frame = frame.copy(deep=False)
                frame[name] = column  # assign takes no column called self
                columns[role] = name
        except DataError as error:
            errors.append(error)
    if errors:
        raise combined(errors)
    return FrameWithRoles(frame, columns)


def _pandas_frame(X: Any) -> pd.DataFrame:
    """Return a table as a pandas frame whose columns are called by texts."""
    if isinstance(X, pd.DataFrame):
        return X.set_axis([str(name) for name in X.columns], axis=1)
    if hasattr(X, "toarray"):
        raise DataError(
            f"'X' is a sparse matrix ({type(X).__name__}) of the shape {X.shape}; imblab studies dense tables. Pass "
            "X.toarray() if it fits into memory."
        )
    try:
        if hasattr(X, "__arrow_c_stream__"):
            return pd.DataFrame(pa.table(X).to_pandas())
        array = plain_array(X)
    except Exception as error:  # of a foreign library
        raise DataError(
            f"'X' is of type {type(X).__name__} and cannot be read as a table ({error}); X is {ACCEPTED}. Pass one of "
            "them."
        ) from error
    if array.ndim != 2:
        shape = f" with the shape {array.shape}" if array.ndim else ""
        example = "X.collect() of a lazy frame" if hasattr(X, "collect") else "X.reshape(-1, 1) for a single feature"
        raise DataError(
            f"'X' is of type {type(X).__name__}{shape}; X is {ACCEPTED}. Pass one of them, such as {example}."
        )
    frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    return frame.infer_objects() if array.dtype == object else frame


def _existing_column(name: str, frame: pd.DataFrame, argument: str) -> str:
    if name not in frame.columns:
        raise DataError(unknown("column", name, map(str, frame.columns), f"for {argument!r} in X"))
    return name


def _unused_name(given: Any, role: str, frame: pd.DataFrame) -> str:
    """Return the name of a series, or else that of its role, as no column of the frame has it."""
    name = str(given) if isinstance(given, str) and given else role
    while name in frame.columns:
        name = f"{name}_"
    return name


def _read_column(values: Any, n_rows: int, index: pd.Index | None, argument: str) -> Any:
    """Return one value per row; ``index`` is that of X where it is a pandas frame."""
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Series) and index is not None:
        _check_same_order(values, index, argument)
    if hasattr(values, "to_pandas"):  # polars and pyarrow
        values = values.to_pandas()
    column: Any = values.array if isinstance(values, (pd.Series, pd.Index)) else plain_array(values)
    shape = np.shape(column)
    if len(shape) == 2 and shape[1] == 1:
        column, shape = np.ravel(column), shape[:1]
    if shape != (n_rows,):
        raise DataError(
            f"{argument!r} has the shape {shape}, and X has {count_noun(n_rows, 'row')}; there is one value for "
            f"each row. Pass {argument} with the shape ({n_rows},)."
        )
    return column


def _check_same_order(values: pd.Series, index: pd.Index, argument: str) -> None:
    """Refuse labels with the same index as the rows, in another order: positions would mix them up."""
    if len(values) != len(index) or values.index.equals(index):
        return
    if values.index.is_unique and index.is_unique and values.index.isin(index).all():
        raise DataError(
            f"{argument!r} has the index of X in another order; rows are taken by position, which would mix them up. "
            f"Pass {argument}.loc[X.index], or reset both indexes."
        )
