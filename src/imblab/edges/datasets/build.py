"""From a raw table to a :class:`~imblab.records.Dataset`: roles, types, labels, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.errors import DataError, unknown
from imblab.records import Dataset

#: The roles that columns can have beside being a feature.
COLUMNS = ("target", "drop", "categorical", "groups", "time", "amount", "id")
#: One-hot columns beyond this are a design mistake more often than a wish.
MOST_LEVELS = 100


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
    checks = _Checks(name, key or name)
    checks.shape(frame)
    roles = {"groups": groups, "time": time, "amount": amount, "id": id}
    dropped, categories = _listed(drop), _listed(categorical)
    checks.columns(frame, {"target": [target], "drop": dropped, "categorical": categories, **_lists(roles)})
    y, classes = _labels(frame[target], positive, allow_majority_positive, checks)
    others = {target, *dropped, *(c for c in roles.values() if c)}
    features = frame[[c for c in frame.columns if c not in others]]
    if features.shape[1] == 0:
        raise DataError(
            f"data set {name!r} has no feature left of its {frame.shape[1]} columns; a learner needs at least one. "
            f"Shorten dataset.{checks.key}.drop."
        )
    X, found = _typed(features, categories, checks)
    apart = {role: frame[column].to_numpy() if column else None for role, column in roles.items()}
    if time:
        apart["time"] = _when(frame[time], time, checks)
    if amount:
        apart["amount"] = _amount(frame[amount], amount, checks)
    if groups:
        apart["groups"] = _coded(frame[groups], groups, checks)
    stamp = _fingerprint(X, y, apart)
    return Dataset(name, X, y, classes, tuple(found), **apart, source=source or name, fingerprint=stamp)


class _Checks:
    """Refusals, each with the name of the data set and its key."""

    def __init__(self, name: str, key: str) -> None:
        self.name, self.key = name, key

    def refuse(self, found: str, rule: str, way_out: str) -> DataError:
        return DataError(f"data set {self.name!r} {found}; {rule}. {way_out}")

    def shape(self, frame: pd.DataFrame) -> None:
        if len(frame) == 0:
            raise self.refuse("holds 0 rows", "a study needs rows of two classes", "Check the file.")
        repeated = frame.columns[frame.columns.duplicated()].unique().tolist()
        if repeated:
            raise self.refuse(
                f"has the column name {repeated[0]!r} more than once",
                "columns are known by name",
                "Rename one of them.",
            )

    def columns(self, frame: pd.DataFrame, roles: dict[str, list[str]]) -> None:
        for role, names in roles.items():
            for column in names:
                if column not in frame.columns:
                    raise DataError(
                        f"data set {self.name!r}, dataset.{self.key}.{role}: "
                        f"{unknown('column', str(column), map(str, frame.columns))}"
                    )
        target = roles["target"][0]
        for role, names in roles.items():
            if role != "target" and target in names:
                raise self.refuse(
                    f"names {target!r} as target and as {role}",
                    "the labels are no other column",
                    f"Correct dataset.{self.key}.{role}.",
                )


def _labels(
    column: pd.Series, positive: Any, allow_majority: bool, checks: _Checks
) -> tuple[np.ndarray, tuple[str, str]]:
    missing = int(column.isna().sum())
    if missing:
        raise checks.refuse(
            f"has {missing} rows without a label in {column.name!r}",
            "every row must be of a known class",
            "Drop those rows, or fill the labels in.",
        )
    counts = column.value_counts()
    labels = sorted(counts.index, key=_sort_key)
    if len(labels) != 2:
        shown = ", ".join(repr(_text(label)) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
        raise checks.refuse(
            f"has {len(labels)} classes in {column.name!r} ({shown})",
            "imblab studies two classes",
            "Keep rows of two labels, or make a column that says one class against the rest."
            if len(labels) > 2
            else "Check the file, or name another target.",
        )
    chosen = min(labels, key=lambda label: (counts[label], -labels.index(label)))
    if positive is not None:
        named = [label for label in labels if _same(label, positive)]
        if not named:
            raise checks.refuse(
                f"has no label {str(positive)!r} in {column.name!r}",
                f"the positive class must be one of {_text(labels[0])!r}, {_text(labels[1])!r}",
                f"Correct dataset.{checks.key}.positive.",
            )
        chosen = named[0]
    other = next(label for label in labels if label != chosen)
    if counts[chosen] > counts[other] and not allow_majority:
        raise checks.refuse(
            f"names {_text(chosen)!r} as positive, which {counts[chosen]} of {len(column)} rows are",
            "the positive class is the rare one",
            f"Name {_text(other)!r}, or set dataset.{checks.key}.allow_majority_positive=true if it is meant.",
        )
    return (column == chosen).to_numpy(dtype=np.int64), (_text(other), _text(chosen))


def _typed(features: pd.DataFrame, categories: list[str], checks: _Checks) -> tuple[pd.DataFrame, list[str]]:
    columns: dict[str, Any] = {}
    found = []
    for name in features.columns:
        column = features[name]
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
            raise checks.refuse(
                f"has the date column {name!r} among its features",
                "a learner reads numbers and categories",
                f"Name it with dataset.{checks.key}.time, or drop it.",
            )
        if name in categories or not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            columns[str(name)] = _category(column, checks)
            found.append(str(name))
        else:
            columns[str(name)] = _number(column, checks)
    return pd.DataFrame(columns), found


def _number(column: pd.Series, checks: _Checks) -> np.ndarray:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise checks.refuse(
            f"has {infinite} infinite values in column {str(column.name)!r}",
            "numbers must be finite or missing",
            f"Replace them, or drop the column with dataset.{checks.key}.drop.",
        )
    return values


def _category(column: pd.Series, checks: _Checks) -> pd.Categorical:
    values = column.astype(object).where(column.notna(), None)
    levels = sorted({v for v in values if v is not None}, key=_sort_key)
    if len(levels) > MOST_LEVELS:
        raise checks.refuse(
            f"has {len(levels)} levels in column {str(column.name)!r}",
            f"one-hot columns are made of at most {MOST_LEVELS} levels",
            f"Group rare levels, or leave the column out with dataset.{checks.key}.drop=[{column.name}].",
        )
    return pd.Categorical(values, categories=levels)


def _when(column: pd.Series, name: str, checks: _Checks) -> np.ndarray:
    parsed = column
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)):
        parsed = pd.to_datetime(column, errors="coerce")
    if parsed.isna().any():
        raise checks.refuse(
            f"has {int(parsed.isna().sum())} rows without a readable time in {name!r}",
            "time-ordered splits need the time of every row",
            f"Repair the column, or leave dataset.{checks.key}.time out.",
        )
    if pd.api.types.is_datetime64_any_dtype(parsed):
        plain = parsed.dt.tz_convert("UTC").dt.tz_localize(None) if parsed.dt.tz is not None else parsed
        return plain.to_numpy(dtype="datetime64[ns]")
    return parsed.to_numpy(dtype=np.float64)


def _amount(column: pd.Series, name: str, checks: _Checks) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise checks.refuse(
            f"has {int((~np.isfinite(values)).sum())} rows without a finite amount in {name!r}",
            "amounts weigh costs",
            f"Repair the column, or leave dataset.{checks.key}.amount out.",
        )
    return values


def _coded(column: pd.Series, name: str, checks: _Checks) -> np.ndarray:
    if column.isna().any():
        raise checks.refuse(
            f"has {int(column.isna().sum())} rows without a group in {name!r}",
            "grouped splits need the group of every row",
            f"Fill the column, or leave dataset.{checks.key}.groups out.",
        )
    return pd.factorize(column, sort=False)[0].astype(np.int64)


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


def _sort_key(value: Any) -> tuple[str, Any]:
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_))
    return ("", float(value)) if number else ("text", str(value))


def _text(label: Any) -> str:
    """A label as people write it: 1 and 1.0 alike."""
    whole = isinstance(label, (float, np.floating)) and float(label).is_integer()
    return str(int(label)) if whole else str(label)


def _same(label: Any, given: Any) -> bool:
    return _text(label) == _text(given) or _text(label).lower() == str(given).lower() == str(bool(given)).lower()


def _listed(value: Sequence[str] | str | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _lists(roles: dict[str, str | None]) -> dict[str, list[str]]:
    return {role: [column] if column else [] for role, column in roles.items()}
