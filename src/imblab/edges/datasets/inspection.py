"""What a reader should know of a table before trusting a study of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.edges.datasets.problems import counted
from imblab.study import Dataset, Split


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """The inferred column types and the counts of a data set.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict
        ``name``, ``rows``, ``features``, ``positives``, ``ratio`` (negatives to positives), ``classes``, ``numeric``,
        ``categorical`` (with their numbers of levels), ``missing`` (columns with their numbers of empty values).
    """
    X, positives = dataset.X, int(dataset.y.sum())
    empty = X.isna().sum()
    return {
        "name": dataset.name,
        "rows": len(X),
        "features": X.shape[1],
        "positives": positives,
        "ratio": (len(X) - positives) / positives,
        "classes": list(dataset.classes),
        "numeric": [c for c in X.columns if c not in dataset.categorical],
        "categorical": {c: len(X[c].cat.categories) for c in dataset.categorical},
        "missing": {str(c): int(n) for c, n in empty.items() if n},
        "parent": dataset.parent,
        **({"rare": {"min_rows": dataset.rare}} if dataset.rare is not None else {}),
        "fingerprint": dataset.fingerprint,
    }


def dataset_warnings(dataset: Dataset, splits: Sequence[Split]) -> tuple[str, ...]:
    """What makes scores of this table doubtful, each in a sentence.

    Parameters
    ----------
    dataset : Dataset
    splits : sequence of Split

    Returns
    -------
    tuple of str
        How the table was read, then exact duplicates (and how many straddle folds), contradicting labels, constant,
        empty and id-like columns, and single features that separate the classes.
    """
    found = (*dataset.notes, *_duplicates(dataset, splits), *_columns(dataset))
    return tuple(f"{dataset.name!r} {said}{'' if said.endswith(('.', '?')) else '.'}" for said in found)


def _duplicates(dataset: Dataset, splits: Sequence[Split]) -> Iterator[str]:
    same = _alike(dataset.X)
    sizes = np.bincount(same)
    extra = int((sizes - 1).sum())
    if not extra:
        return
    fold = np.full(len(same), -1)
    for split in (s for s in splits if s.repeat == 0):
        fold[split.test] = split.fold
    folds = pd.Series(fold).groupby(same).transform("nunique").to_numpy()
    yield (
        f"has {counted(extra, 'row')} whose features repeat an earlier row exactly; {int((folds > 1).sum())} of all "
        "rows have a copy in another outer fold, which flatters learners that memorise. Drop the copies or name their "
        "groups."
    )
    labels = pd.Series(dataset.y).groupby(same).transform("nunique").to_numpy()
    if (labels > 1).any():
        rows = counted(int((labels > 1).sum()), "row")
        yield f"has {rows} with equal features and contradicting labels: no learner can be right."


def _alike(X: pd.DataFrame) -> np.ndarray:
    """The same number for rows that hold the same values, from 0 on.

    Rows are hashed first: a group-by over all columns of all rows takes three times the memory of the table.
    """
    hashed = np.zeros(len(X), dtype=np.uint64)
    for name in X.columns:
        column = X[name].cat.codes if isinstance(X[name].dtype, pd.CategoricalDtype) else X[name]
        values = column.to_numpy(dtype=np.float64) + 0.0  # one zero, one NaN
        values[np.isnan(values)] = np.nan
        hashed = hashed * np.uint64(1_000_003) ^ pd.util.hash_array(values)
    suspects = pd.Series(hashed).duplicated(keep=False).to_numpy()
    same = np.cumsum(~suspects) - 1
    some = X[suspects].groupby(list(X.columns), dropna=False, sort=False, observed=True).ngroup().to_numpy()
    same[suspects] = some + int((~suspects).sum())
    return same


def _columns(dataset: Dataset) -> Iterator[str]:
    for name in dataset.X.columns:
        column = dataset.X[name]
        numbers = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
        empty = column.isna().to_numpy()
        if empty.all():
            yield f"has column {name!r} without any value: it is filled with 0 and teaches nothing."
        elif numbers.min() == numbers.max() and not empty.any():
            yield f"has the constant column {name!r}: it teaches nothing."
        elif not empty.any() and _is_id(column):
            what = "text" if name in dataset.categorical else "whole number"
            yield f"has column {name!r}, a different {what} in every row: an id? Leave it out with `drop` if so."
        elif name in dataset.categorical and dataset.rare and column.value_counts().max() < dataset.rare:
            yield (
                f"has column {name!r}, in which no level has {dataset.rare} rows: all of them are one rare level, "
                "which carries no information. Lower `rare`, or leave the column out with `drop`."
            )
        elif _separates(dataset, name):
            yield f"has column {name!r}, which separates the classes alone: does it know the answer?"


def _is_id(column: pd.Series) -> bool:
    if len(column) < 20:
        return False
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.is_unique
    numbers = column.to_numpy()
    # What is no whole number is seen at once; distinct values take a table of them.
    whole = bool((numbers == np.rint(numbers)).all()) and column.is_unique
    return whole and bool((np.diff(numbers) > 0).all() or np.ptp(numbers) < 2 * len(numbers))


def _separates(dataset: Dataset, name: str) -> bool:
    column, y = dataset.X[name], dataset.y
    if column.isna().any():
        return False
    if isinstance(column.dtype, pd.CategoricalDtype):
        return not set(column[y == 1]) & set(column[y == 0])
    values = column.to_numpy()
    one, other = values[y == 1], values[y == 0]
    return bool(one.min() > other.max() or one.max() < other.min())
