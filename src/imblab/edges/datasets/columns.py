"""Columns as the core reads them: features as float64 or sorted categories, labels and other roles as arrays."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from imblab.edges.datasets import notation
from imblab.study import MAX_LEVELS
from imblab.text import count_noun, pluralize

#: A text column with at least this share of distinct values is an identifier and not a category.
IDENTIFIER_SHARE = 0.9
#: Proposed minimal numbers of fit rows per level; the first that leaves few enough levels is taken.
PROPOSED_MIN_ROWS = (20, 50, 100, 200, 500, 1000)
#: What pandas infers of values; the dtype of a column says too little (decimals and dates of Parquet are objects).
NUMBER_KINDS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty")
#: What a column holds that is neither numbers nor categories, by what pandas infers.
TIME_KINDS = {
    **dict.fromkeys(("datetime64", "datetime", "date", "period"), "date"),
    **dict.fromkeys(("timedelta64", "timedelta"), "duration"),
    "time": "time-of-day",
}
#: Of the forms of dates in texts, hours and spans.
TIME_FORMS = {"hours": "time-of-day", "spans": "duration"}
#: The largest number of predefined folds; more values are those of an identifier or a number.
MAX_PREDEFINED_FOLDS = 1_000
#: The fold of scikit-learn's PredefinedSplit for rows that are in every training part and in no test part.
NEVER_TESTED = "-1"
#: Larger numbers are infinite in single precision, in which trees hold them.
MAX_NUMBER = 1e38
#: Missing markers that are levels as often as not.
COMMON_LEVELS = ("unknown", "missing")


def feature_columns(
    frame: pd.DataFrame,
    features: Sequence[str],
    categorical: Collection[str],
    problems: notation.TableProblems,
    min_rows: int | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return the features in file order with their types, and the names of the categorical ones.

    Numbers alone become one C-ordered array, which the core reads without a copy. ``min_rows`` groups rare levels.
    """
    categories: dict[str, pd.Categorical] = {}
    numbers = np.empty((len(frame), len(features)))
    for i, name in enumerate(features):
        column = frame[name]
        kind = infer_dtype(column, skipna=True)
        if noun := TIME_KINDS.get(kind) or (None if name in categorical else _time_noun(column, kind)):
            by_time = f"To split rows by time, set {problems.assign('time', name)}"
            problems.add_for_column(
                name,
                f"has the {noun} column {name!r} among its features",
                "a learner reads numbers and categories",
                by_time if noun == "date" else "Give it as a number, such as seconds",
            )
            numbers[:, i] = np.nan
        elif name in categorical or kind not in NUMBER_KINDS:
            categories[name] = _to_categorical(column, problems, min_rows, name in categorical)
            if name not in categorical:
                _note_missing_markers(name, categories[name], problems)
        else:
            numbers[:, i] = _to_numbers(column, problems)
    if not categories:
        return pd.DataFrame(numbers, columns=list(features), copy=False), []
    columns = {name: categories.get(name, numbers[:, i]) for i, name in enumerate(features)}
    return pd.DataFrame(columns), list(categories)


def _time_noun(column: pd.Series, kind: str) -> str | None:
    """Return whether texts and mixed values are dates, durations or times of the day, or None."""
    if kind == "string":
        form = notation.date_form(list(column.dropna().unique()))
        return TIME_FORMS.get(form, "date") if form else None
    has_dates = kind.startswith("mixed") and any(isinstance(v, (datetime.date, datetime.time)) for v in column)
    return "date" if has_dates else None


def times(column: pd.Series, problems: notation.TableProblems, time_format: str | None = None) -> np.ndarray:
    """Return times as datetime64 in UTC or as float64; a row without a time is a problem."""
    if infer_dtype(column, skipna=True) in NUMBER_KINDS and time_format is None:
        parsed = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
        unreadable = ~np.isfinite(parsed.to_numpy())
    else:
        parsed = notation.parse_times(column, str(column.name), problems, time_format)
        unreadable = parsed.isna().to_numpy()
    if unreadable.any():
        example = next((f" (such as {text!r})" for text in column[unreadable].dropna().map(str)), "")
        content = f"a readable time in {column.name!r}{example}"
        rule = "time-ordered splits need the time of every row, as a number or a date such as 2024-01-31"
        problems.add_incomplete("time", int(unreadable.sum()), content, rule)
    return parsed.to_numpy()


def amounts(column: pd.Series, problems: notation.TableProblems) -> np.ndarray:
    """Return amounts as float64; a row without a finite amount is a problem."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    invalid = int((~np.isfinite(values)).sum())
    if invalid:
        rule = "amounts weight costs, so every row needs a number"
        problems.add_incomplete("amount", invalid, f"a finite amount in {column.name!r}", rule)
    return values


def group_codes(column: pd.Series, problems: notation.TableProblems) -> np.ndarray:
    """Return groups as whole numbers in the order of their values, as scikit-learn numbers them."""
    return _number_values(column, problems, "groups", "group", "grouped splits need the group of every row")[0]


def fold_codes(column: pd.Series, problems: notation.TableProblems) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return predefined folds as whole numbers in the order of their values, and the text of each value."""
    rule = "predefined folds say of every row in which fold it is tested"
    codes, values = _number_values(column, problems, "folds", "fold", rule)
    names = tuple(map(notation.label_text, values))
    n_missing = int(column.isna().sum())
    if names and not n_missing and not 2 <= len(names) <= MAX_PREDEFINED_FOLDS:
        shown = f", {names[0]!r}," if len(names) == 1 else ""
        problems.add(
            f"has {count_noun(len(names), 'value')}{shown} in column {column.name!r} of folds",
            f"predefined folds are 2 to {MAX_PREDEFINED_FOLDS:,}, one value each",
            f"Name another column with {problems.option('folds')}, or do without: {problems.assign('folds', None)}.",
        )
    if NEVER_TESTED in names:
        problems.notes.append(
            f"has the value {NEVER_TESTED} in column {column.name!r} of folds: it is a fold like any other (in "
            "scikit-learn's PredefinedSplit its rows are never tested)"
        )
    return codes, names


def _number_values(
    column: pd.Series, problems: notation.TableProblems, role: str, noun: str, rule: str
) -> tuple[np.ndarray, Sequence[Any]]:
    """Number the values of a role in their order, and return these values."""
    missing = int(column.isna().sum())
    if missing:
        problems.add_incomplete(role, missing, f"a {noun} in {column.name!r}", rule)
    if infer_dtype(column).startswith("mixed") and (pair := values_of_one_text(column)):
        problems.add(
            f"has the {role} {pair} in {column.name!r}", f"{role} are known by their text", "Write them in one way."
        )
        return np.zeros(len(column), dtype=np.int64), ()
    codes, values = pd.factorize(notation.order_of_time(column), sort=True)
    return codes.astype(np.int64), list(values)


def values_of_one_text(values: Iterable[Any]) -> str | None:
    """Describe two values of different types that have one text; None if there are none."""
    seen: dict[str, tuple[str, Any]] = {}
    for value in values:
        kind, text = _value_kind(value), notation.label_text(value)
        if text.lower() in ("true", "false"):
            text = text.lower()
        for key in (text, str(int(value))) if kind == "flag" else (text,):
            other_kind, other = seen.setdefault(key, (kind, value))
            if other_kind != kind:
                return f"{other!r} ({other_kind}) and {value!r} ({kind})"
    return None


def _value_kind(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "flag"
    return "number" if isinstance(value, (int, float, np.integer, np.floating, Decimal)) else "text"


def level_texts(levels: Sequence[Any]) -> list[str]:
    """Return the texts of levels for a fingerprint: numbers, and texts that are all numbers, alike."""
    numbers = _levels_as_numbers(levels)
    return [notation.label_text(level) for level in (levels if numbers is None else numbers)]


def _levels_as_numbers(levels: Sequence[Any]) -> list[int | float] | None:
    """Return the numbers that distinct texts write, if all of them are different numbers."""
    parsed = [notation.canonical_number(level) if isinstance(level, str) else None for level in levels]
    numbers = [number for number in parsed if number is not None]
    return numbers if len(numbers) == len(levels) == len(set(numbers)) else None


def sort_key(value: Any) -> tuple[str, Any]:
    """Sort numbers by value, then everything else by its text."""
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_))
    return ("", float(value)) if number else ("text", str(value))


def _to_numbers(column: pd.Series, problems: notation.TableProblems) -> np.ndarray:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    large = np.flatnonzero(np.abs(values) >= 2**53)
    whole_numbers = (v for v in column.iloc[large] if isinstance(v, (int, np.integer)))
    if (inexact := next((v for v in whole_numbers if int(v) != float(v)), None)) is not None:
        add_inexact_number(str(column.name), inexact, problems)
    infinite, large = np.isinf(values), np.abs(values) > MAX_NUMBER
    if infinite.any() or large.any():
        what = "infinite value" if infinite.any() else "too large value"
        problems.add_for_column(
            str(column.name),
            f"has {count_noun(int((infinite if infinite.any() else large).sum()), what)} in column {column.name!r}",
            f"numbers are missing or within {MAX_NUMBER:g}, or sums of squares and single precision overflow",
            "Replace them",
        )
    return values


def add_inexact_number(name: str, number: Any, problems: notation.TableProblems) -> None:
    """Add the problem of a feature with a whole number that float64 cannot hold."""
    problems.add_for_column(
        name,
        f"has whole numbers such as {number} in column {name!r}",
        "a learner reads float64, which holds whole numbers exactly only up to 2**53, so different ones would become "
        "equal",
        f"If it is an identifier, keep it apart from the features: {problems.assign('id', name)}",
    )


def _note_missing_markers(name: str, column: pd.Categorical, problems: notation.TableProblems) -> None:
    """Note levels that often stand for a missing value; only the empty text is missing by itself."""
    markers = [
        level
        for level in column.categories
        if isinstance(level, str) and notation.is_missing_marker(level) and level.strip().lower() not in COMMON_LEVELS
    ]
    if markers:
        rows = dict(zip(column.categories, np.bincount(column.codes[column.codes >= 0]), strict=True))
        listed = ", ".join(f"{marker!r} ({count_noun(int(rows[marker]), 'row')})" for marker in markers)
        levels = "level" if len(markers) == 1 else pluralize("level")
        problems.notes.append(
            f"has the {levels} {listed} in column {name!r}, read as text; if that is a missing value: "
            f"{problems.assign('missing', markers)}"
        )


def _to_categorical(
    column: pd.Series, problems: notation.TableProblems, min_rows: int | None, is_asked: bool
) -> pd.Categorical:
    name = str(column.name)
    values = column.astype(object).where(column.notna(), None)
    mixed = values.dropna() if infer_dtype(column, skipna=True).startswith(("mixed", "complex")) else ()
    unusable = next((v for v in mixed if isinstance(v, (list, tuple, dict, set, np.ndarray, complex))), None)
    if unusable is not None:
        problems.add_for_column(
            name,
            f"has values of type {type(unusable).__name__} in column {name!r}",
            "a learner reads numbers and categories",
            "Split the column into plain ones",
        )
        return pd.Categorical([None] * len(values))
    if pair := values_of_one_text(mixed):
        problems.add_for_column(
            name, f"has the levels {pair} in column {name!r}", "levels are known by their text", "Write them in one way"
        )
        return pd.Categorical([None] * len(values))
    levels = sorted({v for v in values if v is not None}, key=sort_key)
    if (numbers := _levels_as_numbers(levels)) is not None:  # texts of numbers are sorted as numbers
        levels = [level for _, level in sorted(zip(numbers, levels, strict=True))]
    if len(levels) > MAX_LEVELS and min_rows is None:
        # Decimals that are texts; whole numbers are codes as often.
        if not is_asked and any(isinstance(number, float) for number in numbers or ()):
            _add_number_texts(name, len(levels), problems)
        else:
            _add_many_levels(column, len(levels), problems)
    return pd.Categorical(values, categories=levels)


def _add_number_texts(name: str, n_levels: int, problems: notation.TableProblems) -> None:
    problems.numbers.append(name)
    problems.add_for_column(
        name,
        f"has {n_levels} different texts of numbers in column {name!r}",
        f"a column is one-hot encoded with at most {MAX_LEVELS} levels",
        f"Read it as numbers: {problems.assign('numeric', problems.numbers)}",
        {"numeric": [*problems.numbers]},
    )


def _add_many_levels(column: pd.Series, n_levels: int, problems: notation.TableProblems) -> None:
    """Add the problem of too many levels: an identifier is kept apart, rare levels of a category are grouped."""
    name, rows = str(column.name), column.value_counts()
    rule = f"a column is one-hot encoded with at most {MAX_LEVELS} levels"
    if n_levels >= IDENTIFIER_SHARE * rows.sum():
        problems.add_for_column(
            name,
            f"has {n_levels} different texts in the {rows.sum()} rows of column {name!r}, like an identifier",
            rule,
            f"Keep it apart from the features: {problems.assign('id', name)}",
        )
        return
    proposed = (m for m in PROPOSED_MIN_ROWS if int((rows >= m).sum()) < MAX_LEVELS)
    rare = {"min_rows": next(proposed, int(rows.iloc[MAX_LEVELS - 1]) + 1)}
    if rows.iloc[0] < rare["min_rows"]:  # grouped, the column would be one level
        problems.add_for_column(
            name,
            f"has {n_levels} levels in column {name!r}, each in at most {count_noun(int(rows.iloc[0]), 'row')}",
            rule,
            f"Keep the rows of a level in one part of every split: {problems.assign('groups', name)}",
        )
        return
    problems.add_for_column(
        name,
        f"has {n_levels} levels in column {name!r}",
        rule,
        f"Group rare levels: {problems.assign('rare', rare)}",
        {"rare": rare},
    )
