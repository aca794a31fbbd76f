"""Columns into what the kernel reads: numbers as float64, everything else as sorted categories, roles as arrays."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_datetime64_any_dtype

from imblab.edges.datasets.checks import Checks, counted

#: One-hot columns beyond this are a design mistake more often than a wish.
MOST_LEVELS = 100
#: What pandas infers of values; the dtype of a column says too little (decimals and dates of Parquet are objects).
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty")
DATES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "time")


def typed(
    frame: pd.DataFrame, features: Sequence[str], categorical: Collection[str], checks: Checks
) -> tuple[pd.DataFrame, list[str]]:
    """The features in file order with their types, and the names of the categorical ones.

    Numbers alone become one C-ordered array, which the kernel reads without a copy.

    Raises
    ------
    DataError
        For dates, infinite numbers, too many levels and values that are neither numbers nor texts.
    """
    coded: dict[str, Any] = {}
    numbers = np.empty((len(frame), len(features)))
    for i, name in enumerate(features):
        column = frame[name]
        kind = infer_dtype(column, skipna=True)
        if kind in DATES:
            raise checks.refuse(
                f"has the date column {name!r} among its features",
                "a learner reads numbers and categories",
                f"Name it in {checks.at('time')}, or leave it out with {checks.at('drop')}.",
            )
        if name in categorical or kind not in NUMBERS:
            coded[name] = _category(column, checks)
        else:
            numbers[:, i] = _number(column, checks)
    if not coded:
        return pd.DataFrame(numbers, columns=list(features), copy=False), []
    return pd.DataFrame({name: coded.get(name, numbers[:, i]) for i, name in enumerate(features)}), list(coded)


def when(column: pd.Series, name: str, checks: Checks) -> np.ndarray:
    """Times as datetime64 in UTC or as float64; every row has one."""
    if infer_dtype(column, skipna=True) in NUMBERS:
        parsed = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
        bad = int((~np.isfinite(parsed)).sum())
    else:
        parsed = _dates(column)
        bad = int(parsed.isna().sum())
    if bad:
        raise checks.refuse(
            f"has {counted(bad, 'row')} without a readable time in {name!r}",
            "time-ordered splits need the time of every row, as a number or a date such as 2024-01-31",
            f"Repair the column, or leave {checks.at('time')} out.",
        )
    return parsed.to_numpy()


def amount(column: pd.Series, name: str, checks: Checks) -> np.ndarray:
    """Amounts as finite float64."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise checks.refuse(
            f"has {counted(bad, 'row')} without a finite amount in {name!r}",
            "amounts weigh costs, so every row needs a number",
            f"Repair the column, or leave {checks.at('amount')} out.",
        )
    return values


def coded(column: pd.Series, name: str, checks: Checks) -> np.ndarray:
    """Groups as whole numbers in the order of their values, as scikit-learn numbers them; every row has one."""
    missing = int(column.isna().sum())
    if missing:
        raise checks.refuse(
            f"has {counted(missing, 'row')} without a group in {name!r}",
            "grouped splits need the group of every row",
            f"Fill the column, or leave {checks.at('groups')} out.",
        )
    return pd.factorize(column, sort=True)[0].astype(np.int64)


def sort_key(value: Any) -> tuple[str, Any]:
    """Numbers by value, then everything else by its text."""
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_))
    return ("", float(value)) if number else ("text", str(value))


def _dates(column: pd.Series) -> pd.Series:
    """Dates in UTC without a time zone; NaT where unreadable."""
    plain = column if is_datetime64_any_dtype(column) else column.astype(object).map(_timestamp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what cannot be read is counted and refused
        parsed = pd.to_datetime(plain, errors="coerce", utc=True)
        # pandas reads all rows by the form of the first: dates with and without hours need the standard's own reader.
        if parsed.isna().any():
            parsed = parsed.fillna(pd.to_datetime(plain, errors="coerce", utc=True, format="ISO8601"))
    years = parsed.dt.year.between(1678, 2261)  # what nanoseconds can hold
    return parsed.where(years).dt.tz_localize(None).astype("datetime64[ns]")


def _timestamp(value: Any) -> Any:
    """Periods begin at their first moment; spans of time are no points in it."""
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    return value if isinstance(value, (str, datetime.date)) else None


def _number(column: pd.Series, checks: Checks) -> np.ndarray:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise checks.refuse(
            f"has {counted(infinite, 'infinite value')} in column {column.name!r}",
            "numbers must be finite or missing",
            f"Replace them, or leave the column out with {checks.at('drop')}.",
        )
    return values


def _category(column: pd.Series, checks: Checks) -> pd.Categorical:
    values = column.astype(object).where(column.notna(), None)
    scanned = values if infer_dtype(column, skipna=True).startswith(("mixed", "complex")) else ()
    odd = next((v for v in scanned if isinstance(v, (list, tuple, dict, set, np.ndarray, complex))), None)
    if odd is not None:
        raise checks.refuse(
            f"has values of type {type(odd).__name__} in column {column.name!r}",
            "a learner reads numbers and categories",
            f"Split the column into plain ones, or leave it out with {checks.at('drop')}.",
        )
    levels = sorted({v for v in values if v is not None}, key=sort_key)
    if len(levels) > MOST_LEVELS:
        raise checks.refuse(
            f"has {len(levels)} levels in column {column.name!r}",
            f"one-hot columns are made of at most {MOST_LEVELS} levels",
            f"Group rare levels, or leave the column out with {checks.at('drop')}.",
        )
    return pd.Categorical(values, categories=levels)
