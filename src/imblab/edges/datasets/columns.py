"""Columns into what the kernel reads: numbers as float64, everything else as sorted categories, roles as arrays."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from imblab.core.preparation import MAX_LEVELS
from imblab.edges.datasets.notation import canonical_number, date_form, is_mark
from imblab.edges.datasets.problems import Checks, counted

#: The share of its rows that a text column has levels from which on it is an identifier and no category.
IDENTIFIER_SHARE = 0.9
#: What is proposed as the fewest fit rows of a level, the first that leaves few enough levels.
MIN_ROWS_PROPOSED = (20, 50, 100, 200, 500, 1000)
#: What pandas infers of values; the dtype of a column says too little (decimals and dates of Parquet are objects).
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty")
#: Marks that are levels as often as not.
NOT_SAID = ("unknown", "missing")
#: Day, month, year, hours of a date that ends with its year.
_PARTS = r"^\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(.*)$"
DATES = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "time")


def typed(
    frame: pd.DataFrame,
    features: Sequence[str],
    categorical: Collection[str],
    checks: Checks,
    min_rows: int | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The features in file order with their types, and the names of the categorical ones.

    Numbers alone become one C-ordered array, which the kernel reads without a copy. Dates, infinite numbers, too many
    levels (unless ``min_rows`` groups the rare ones) and values that are neither numbers nor texts are noted.
    """
    coded: dict[str, Any] = {}
    numbers = np.empty((len(frame), len(features)))
    for i, name in enumerate(features):
        column = frame[name]
        kind = infer_dtype(column, skipna=True)
        if kind in DATES or (name not in categorical and _holds_dates(column, kind)):
            checks.problem_column(
                name,
                f"has the date column {name!r} among its features",
                "a learner reads numbers and categories",
                f"If rows shall be split by it, set {checks.set('time', name)}",
            )
            numbers[:, i] = np.nan
        elif name in categorical or kind not in NUMBERS:
            coded[name] = _category(column, checks, min_rows)
            if name not in categorical:
                _note_marks(name, coded[name], checks)
        else:
            numbers[:, i] = _number(column, checks)
    if not coded:
        return pd.DataFrame(numbers, columns=list(features), copy=False), []
    return pd.DataFrame({name: coded.get(name, numbers[:, i]) for i, name in enumerate(features)}), list(coded)


def _holds_dates(column: pd.Series, kind: str) -> bool:
    """Whether texts are all dates, or some of the values of several types are."""
    if kind == "string":
        return date_form(_different(column)) is not None
    return kind.startswith("mixed") and any(isinstance(v, (datetime.date, datetime.time)) for v in column)


def when(column: pd.Series, name: str, checks: Checks, form: str | None = None) -> np.ndarray:
    """Times as datetime64 in UTC or as float64; every row has one.

    Parameters
    ----------
    column : Series
    name : str
    checks : Checks
    form : str, optional
        How dates are written, such as ``"%d/%m/%Y"``.
    """
    if infer_dtype(column, skipna=True) in NUMBERS and form is None:
        parsed = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
        bad = ~np.isfinite(parsed.to_numpy())
    else:
        parsed = _dates(column, name, checks, form)
        bad = parsed.isna().to_numpy()
    if bad.any():
        shown = next((f" (such as {text!r})" for text in column[bad].dropna().map(str)), "")
        checks.problem(
            f"has {counted(int(bad.sum()), 'row')} without a readable time in {name!r}{shown}",
            "time-ordered splits need the time of every row, as a number or a date such as 2024-01-31",
            f"Repair the column, or do without: {checks.set('time', None)}.",
        )
    return parsed.to_numpy()


def amount(column: pd.Series, name: str, checks: Checks) -> np.ndarray:
    """Amounts as finite float64."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        checks.problem(
            f"has {counted(bad, 'row')} without a finite amount in {name!r}",
            "amounts weigh costs, so every row needs a number",
            f"Repair the column, or do without: {checks.set('amount', None)}.",
        )
    return values


def coded(column: pd.Series, name: str, checks: Checks) -> np.ndarray:
    """Groups as whole numbers in the order of their values, as scikit-learn numbers them; every row has one."""
    missing = int(column.isna().sum())
    if missing:
        checks.problem(
            f"has {counted(missing, 'row')} without a group in {name!r}",
            "grouped splits need the group of every row",
            f"Fill the column, or do without: {checks.set('groups', None)}.",
        )
    if infer_dtype(column).startswith("mixed") and (pair := one_text(column)):
        checks.problem(f"has the groups {pair} in {name!r}", "groups are known by their text", "Write them in one way.")
        return np.zeros(len(column), dtype=np.int64)
    if (form := date_form([t for t in _different(column) if isinstance(t, str)])) in ("dots", "year last"):
        day_first, _ = _day_first(list(_different(column)), form)
        if day_first is not None:  # in the order of time, as dates are that have a type
            dates = pd.to_datetime(column.map(partial(_turned, day_first=day_first)), errors="coerce")
            column = dates if dates.notna().all() else column
    return pd.factorize(column, sort=True)[0].astype(np.int64)


def without_missing(column: pd.Series, missing: Sequence[Any]) -> pd.Series:
    """A column in which empty texts, and the texts and numbers of ``missing``, are missing."""
    numbers = [value for value in map(_number_of, missing) if value is not None]
    if is_bool_dtype(column) or is_datetime64_any_dtype(column):
        return column
    if is_numeric_dtype(column):
        return column.mask(column.isin(numbers)) if numbers else column
    texts = {"", *(str(value).strip() or str(value) for value in missing)}
    try:
        different = column.dropna().unique()
    except TypeError:  # lists in cells, which are refused later
        return column
    gone = [v for v in different if (v in texts or v.strip() in texts - {""} if isinstance(v, str) else v in numbers)]
    return column.astype(object).mask(column.isin(gone)) if gone else column


def one_text(values: Iterable[Any]) -> str | None:
    """Two values of different kinds that stand for one text, in words; None if there are none.

    Examples
    --------
    >>> one_text([1, "1", 2]), one_text([True, 0, 1]), one_text(["a", 1, 1.0])
    ("1 (number) and '1' (text)", 'True (flag) and 1 (number)', None)
    """
    seen: dict[str, tuple[str, Any]] = {}
    for value in values:
        kind, text = _kind(value), text_of(value)
        texts = [text.lower()] if text.lower() in ("true", "false") else [text]
        for known in [*texts, str(int(value))] if kind == "flag" else texts:
            other = seen.setdefault(known, (kind, value))
            if other[0] != kind:
                return f"{other[1]!r} ({other[0]}) and {value!r} ({kind})"
    return None


def text_of(label: Any) -> str:
    """A label as people write it: 1 and 1.0 alike."""
    whole = isinstance(label, (float, np.floating)) and float(label).is_integer()
    return str(int(label)) if whole else str(label)


def level_texts(levels: Sequence[Any]) -> list[str]:
    """The texts of levels as a fingerprint sees them: numbers, and texts that are all numbers, alike."""
    numbers = _numbers_of(levels)
    return [text_of(level) for level in (levels if numbers is None else numbers)]


def _numbers_of(levels: Sequence[Any]) -> list[int | float] | None:
    """The different numbers that texts write, if all of them do."""
    found = [canonical_number(level) if isinstance(level, str) else None for level in levels]
    numbers = [number for number in found if number is not None]
    return numbers if len(numbers) == len(levels) == len(set(numbers)) else None


def _number_of(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _different(column: pd.Series) -> list[Any]:
    return list(column.dropna().unique())


def _kind(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "flag"
    return "number" if isinstance(value, (int, float, np.integer, np.floating, Decimal)) else "text"


def sort_key(value: Any) -> tuple[str, Any]:
    """Numbers by value, then everything else by its text."""
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_))
    return ("", float(value)) if number else ("text", str(value))


def _dates(column: pd.Series, name: str, checks: Checks, form: str | None) -> pd.Series:
    """Dates in UTC without a time zone; NaT where unreadable."""
    plain = column if is_datetime64_any_dtype(column) else column.astype(object).map(_timestamp)
    if form is None and not is_datetime64_any_dtype(plain):
        plain = _year_first(plain, name, checks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what cannot be read is counted and refused
        if form is not None:
            parsed = _by_form(column, form, checks)
        else:
            parsed = pd.to_datetime(plain, errors="coerce", utc=True)
            # pandas reads all rows by the form of the first: dates with and without hours need the standard's reader.
            if parsed.isna().any():
                parsed = parsed.fillna(pd.to_datetime(plain, errors="coerce", utc=True, format="ISO8601"))
    years = parsed.dt.year.between(1678, 2261)  # what nanoseconds can hold
    found: pd.Series = parsed.where(years).dt.tz_localize(None).astype("datetime64[ns]")
    return found


def _by_form(column: pd.Series, form: str, checks: Checks) -> pd.Series:
    try:
        texts = column.map(text_of, na_action="ignore")
        return pd.to_datetime(texts, errors="coerce", utc=True, format=str(form))
    except ValueError as error:
        raise checks.refuse(
            f"has the time format {form!r}, which cannot be read ({str(error)[:80]})",
            "formats are written as for strftime",
            f"Write for example {checks.set('time_format', '%d/%m/%Y')}.",
        ) from None


def _year_first(plain: pd.Series, name: str, checks: Checks) -> pd.Series:
    """Dates that end with their year, with the year first; refused where day and month cannot be told apart."""
    texts = [text for text in _different(plain) if isinstance(text, str)]
    form = date_form(texts)
    if form == "short year":
        raise checks.refuse(
            f"has times such as {texts[0]!r} in {name!r}",
            "a year has four digits, or its place is named",
            f"Write how they are to be read, for example {checks.set('time_format', '%d/%m/%y')}.",
        )
    if form not in ("dots", "year last"):
        return plain
    day_first, proof = _day_first(texts, form)
    if day_first is None:
        raise checks.refuse(
            f"has times such as {proof!r} in {name!r}, and nothing tells the day from the month",
            "both orders are common",
            f"Say which: {checks.set('time_format', '%d/%m/%Y')} or {checks.set('time_format', '%m/%d/%Y')}.",
        )
    if form == "year last":
        order = "day, month" if day_first else "month, day"
        checks.note(f"reads the times in {name!r} as {order}, year, because of {proof!r}")
    return plain.map(lambda text: _turned(text, day_first) if isinstance(text, str) else text)


def _day_first(texts: list[str], form: str) -> tuple[bool | None, str]:
    """Whether the day comes before the month, None if nothing tells; and a text that shows it."""
    parts = [(int(found[1]), int(found[2]), text) for text in texts if (found := re.match(_PARTS, text))]
    days = next((text for one, _, text in parts if one > 12), None)
    months = next((text for _, other, text in parts if other > 12), None)
    if form == "dots":
        return True, texts[0]
    return (None if (days is None) == (months is None) else days is not None), days or months or texts[0]


def _turned(text: str, day_first: bool) -> str:
    return re.sub(_PARTS, r"\3-\2-\1\4" if day_first else r"\3-\1-\2\4", text.strip())


def _timestamp(value: Any) -> Any:
    """Periods begin at their first moment; spans of time are no points in it."""
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    return value if isinstance(value, (str, datetime.date)) else None


def _number(column: pd.Series, checks: Checks) -> np.ndarray:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    large = np.flatnonzero(np.abs(values) >= 2**53)
    whole = (v for v in column.iloc[large] if isinstance(v, (int, np.integer)) and int(v) != float(v))
    if (inexact := next(whole, None)) is not None:
        checks.problem_column(
            str(column.name),
            f"has whole numbers such as {inexact} in column {column.name!r}",
            "a learner reads float64, which holds whole numbers exactly up to 2**53 only, so that different ones would "
            "become equal",
            f"If it is an identifier, keep it apart from the features: {checks.set('id', column.name)}",
        )
    infinite = int(np.isinf(values).sum())
    if infinite:
        checks.problem_column(
            str(column.name),
            f"has {counted(infinite, 'infinite value')} in column {column.name!r}",
            "numbers must be finite or missing",
            "Replace them",
        )
    return values


def _note_marks(name: str, column: pd.Categorical, checks: Checks) -> None:
    """Say which levels often stand for a missing value; only the empty text does by itself."""
    marks = [v for v in column.categories if isinstance(v, str) and is_mark(v) and v.strip().lower() not in NOT_SAID]
    if marks:
        rows = dict(zip(column.categories, np.bincount(column.codes[column.codes >= 0]), strict=True))
        shown = ", ".join(f"{mark!r} ({counted(int(rows[mark]), 'row')})" for mark in marks)
        checks.note(
            f"has the {'level' if len(marks) == 1 else 'levels'} {shown} in column {name!r}, read as text; if that is "
            f"a missing value: {checks.set('missing', marks)}"
        )


def _category(column: pd.Series, checks: Checks, min_rows: int | None) -> pd.Categorical:
    values = column.astype(object).where(column.notna(), None)
    scanned = values.dropna() if infer_dtype(column, skipna=True).startswith(("mixed", "complex")) else ()
    odd = next((v for v in scanned if isinstance(v, (list, tuple, dict, set, np.ndarray, complex))), None)
    if odd is not None:
        checks.problem_column(
            str(column.name),
            f"has values of type {type(odd).__name__} in column {column.name!r}",
            "a learner reads numbers and categories",
            "Split the column into plain ones",
        )
        return pd.Categorical([None] * len(values))
    if pair := one_text(scanned):
        checks.problem_column(
            str(column.name),
            f"has the levels {pair} in column {column.name!r}",
            "levels are known by their text",
            "Write them in one way",
        )
        return pd.Categorical([None] * len(values))
    levels = sorted({v for v in values if v is not None}, key=sort_key)
    if (numbers := _numbers_of(levels)) is not None:  # texts of numbers stand in the order of the numbers
        levels = [level for _, level in sorted(zip(numbers, levels, strict=True))]
    if len(levels) > MAX_LEVELS and min_rows is None:
        _note_levels(column, len(levels), checks)
    return pd.Categorical(values, categories=levels)


def _note_levels(column: pd.Series, n_levels: int, checks: Checks) -> None:
    """Too many levels: those of an identifier go with their column, those of a category are grouped."""
    name, rows = str(column.name), column.value_counts()
    if n_levels >= IDENTIFIER_SHARE * rows.sum():
        checks.problem_column(
            name,
            f"has {n_levels} different texts in the {rows.sum()} rows of column {name!r}, an identifier by its looks",
            f"one-hot columns are made of at most {MAX_LEVELS} levels",
            f"Keep it apart from the features: {checks.set('id', name)}",
        )
        return
    proposed = (m for m in MIN_ROWS_PROPOSED if int((rows >= m).sum()) < MAX_LEVELS)
    rare = {"min_rows": next(proposed, int(rows.iloc[MAX_LEVELS - 1]) + 1)}
    checks.problem_column(
        name,
        f"has {n_levels} levels in column {name!r}",
        f"one-hot columns are made of at most {MAX_LEVELS} levels",
        f"Group rare levels: {checks.set('rare', rare)}",
        {"rare": rare},
    )
