"""From a raw table to a :class:`~imblab.records.Dataset`: roles, types, labels, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.edges.datasets.checks import Checks, counted, listed
from imblab.edges.datasets.columns import amount as _amount
from imblab.edges.datasets.columns import coded, sort_key, typed, when
from imblab.records import Dataset

#: The roles that columns can have beside being a feature.
COLUMNS = ("target", "drop", "categorical", "groups", "time", "amount", "id")


def dataset(
    frame: pd.DataFrame,
    target: str,
    *,
    name: str = "table",
    positive: Any = None,
    drop: Sequence[str] | str | None = None,
    categorical: Sequence[str] | str | None = None,
    groups: str | None = None,
    time: str | None = None,
    amount: str | None = None,
    id: str | None = None,
    source: str | None = None,
    allow_majority_positive: bool = False,
    key: str | None = None,
) -> Dataset:
    """Make a data set from a table in memory.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    target : str
        The column of labels: two values of any type.
    name : str, default="table"
    positive : label, optional
        The rarest by default.
    drop, categorical : str or sequence of str, optional
        Columns to leave out; columns to read as categories whatever their type.
    groups, time, amount, id : str, optional
        Columns that are no features.
    source : str, optional
        The parent table; the name by default.
    allow_majority_positive : bool, default=False
    key : str, optional
        The key under ``dataset.`` that messages name.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        For whatever cannot be studied; the message names the data set, the value, the rule and the way out.

    Examples
    --------
    >>> data = dataset(pd.DataFrame({"a": [1, 2, 3], "left": ["no", "yes", "no"]}), "left", name="churn")
    >>> data.classes, data.y.tolist()
    (('no', 'yes'), [0, 1, 0])
    """
    checks = Checks(name, key)
    checks.called()
    checks.shape(frame)
    # Columns are known by their text: a header 1 is the same on the command line, in CSV and in memory.
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    given = {"target": target, "groups": groups, "time": time, "amount": amount, "id": id}
    roles = {role: checks.column(role, value) for role, value in given.items()}
    if roles["target"] is None:
        raise checks.refuse(
            "names no target", "a study needs the column that holds the labels", f"Set {checks.at('target')}."
        )
    dropped, categories = listed(drop), listed(categorical)
    named = {role: [column] if column else [] for role, column in roles.items()}
    checks.columns(frame, {**named, "drop": dropped, "categorical": categories})
    y, classes = _labels(frame[named["target"][0]], positive, allow_majority_positive, checks)
    others = {*dropped, *(c for c in roles.values() if c)}
    features = [c for c in frame.columns if c not in others]
    if not features:
        raise checks.refuse(
            f"has no feature left of its {counted(frame.shape[1], 'column')}",
            "a learner needs at least one",
            f"Shorten {checks.at('drop')}.",
        )
    X, found = typed(frame, features, categories, checks)
    apart = _apart(frame, roles, checks)
    stamp = _fingerprint(X, y, apart)
    return Dataset(name, X, y, classes, tuple(found), **apart, source=source or name, fingerprint=stamp)


def _apart(frame: pd.DataFrame, roles: dict[str, str | None], checks: Checks) -> dict[str, Any]:
    """The columns that are no features."""
    readers = {"groups": coded, "time": when, "amount": _amount}
    found: dict[str, Any] = {}
    for role in ("groups", "time", "amount", "id"):
        column = roles[role]
        if column is None:
            found[role] = None
        elif role in readers:
            found[role] = readers[role](frame[column], column, checks)
        else:
            found[role] = frame[column].to_numpy()
    return found


def _labels(
    column: pd.Series, positive: Any, allow_majority: bool, checks: Checks
) -> tuple[np.ndarray, tuple[str, str]]:
    missing = int(column.isna().sum())
    if missing:
        raise checks.refuse(
            f"has {counted(missing, 'row')} without a label in {column.name!r}",
            "every row must be of a known class",
            "Drop those rows, or fill the labels in.",
        )
    counts = column.value_counts()
    counts = counts[counts > 0]  # a categorical column counts labels that no row has
    labels = sorted(counts.index, key=sort_key)
    if len(labels) != 2:
        shown = ", ".join(repr(_text(label)) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
        raise checks.refuse(
            f"has {counted(len(labels), 'class')} in {column.name!r} ({shown})",
            "imblab studies two classes",
            "Keep rows of two labels, or make a column that says one class against the rest."
            if len(labels) > 2
            else f"Check the table, or name another column in {checks.at('target')}.",
        )
    chosen = min(labels, key=lambda label: (counts[label], -labels.index(label)))
    if positive is not None:
        named = [label for label in labels if _same(label, positive)]
        if not named:
            raise checks.refuse(
                f"has no label {str(positive)!r} in {column.name!r}",
                f"the positive class must be one of {_text(labels[0])!r}, {_text(labels[1])!r}",
                f"Correct {checks.at('positive')}.",
            )
        chosen = named[0]
    other = next(label for label in labels if label != chosen)
    if counts[chosen] > counts[other] and not allow_majority:
        raise checks.refuse(
            f"names {_text(chosen)!r} as positive, which {counts[chosen]} of {len(column)} rows are",
            "the positive class is the rare one",
            f"Name {_text(other)!r}, or set {checks.at('allow_majority_positive')}=true if it is meant.",
        )
    return (column == chosen).to_numpy(dtype=np.int64), (_text(other), _text(chosen))


def _fingerprint(X: pd.DataFrame, y: np.ndarray, apart: dict[str, Any]) -> str:
    """sha256 of the content; neither the path, nor the format, nor the name of the data set enters."""
    digest = hashlib.sha256()
    for name in X.columns:
        column = X[name]
        digest.update(f"{name}:{column.dtype.name}".encode())
        if isinstance(column.dtype, pd.CategoricalDtype):
            digest.update(repr([_text(level) for level in column.cat.categories]).encode())
            column = column.cat.codes
        digest.update(np.ascontiguousarray(column.to_numpy(dtype=np.float64)).tobytes())
    digest.update(y.tobytes())
    for role in ("groups", "time", "amount"):
        if apart[role] is not None:
            digest.update(role.encode() + np.ascontiguousarray(apart[role]).tobytes())
    return digest.hexdigest()


def _text(label: Any) -> str:
    """A label as people write it: 1 and 1.0 alike."""
    whole = isinstance(label, (float, np.floating)) and float(label).is_integer()
    return str(int(label)) if whole else str(label)


def _same(label: Any, given: Any) -> bool:
    """Whether a label is the one that was named; true and false are known in any case."""
    one, other = _text(label), _text(given)
    return one == other or (one.lower() == other.lower() and one.lower() in ("true", "false"))
