"""Texts of tables: which are numbers, flags, dates or missing values; and the problems of a table, collected."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_datetime64_any_dtype

from imblab.errors import DataError, combined
from imblab.text import count_noun, table_option, table_setting

MAX_LISTED_COLUMNS = 12


class TableProblems:
    """Collects the problems of one data set, to raise all of them in one error.

    Messages begin with its name and propose overrides of its key under ``dataset.``; of a table in memory, which has
    no key, they propose arguments of :func:`imblab.dataset`. ``notes`` holds decisions for the user to see,
    ``dropped`` the columns left out already, which an override that drops one more lists too, ``numbers`` those that
    are to be read as numbers.
    """

    def __init__(self, name: str, key: str | None) -> None:
        self.name, self.key = name, key
        self.notes: list[str] = []
        self.dropped: list[str] = []
        self.numbers: list[str] = []
        self.errors: list[DataError] = []

    def option(self, role: str) -> str:
        """Name the place where a role is set; Python has the path of a file as X."""
        return table_option(self.key, "X" if role == "path" and self.key is None else role)

    def assign(self, role: str, value: Any) -> str:
        """Write a role with its value, ready to be pasted: an override, or an argument."""
        return table_setting(self.key, role, value)

    def error(self, finding: str, rule: str, remedy: str, solution: Mapping[str, Any] | None = None) -> DataError:
        """Make an error in four parts; ``solution`` maps roles to the values that would solve the problem."""
        overrides = {self.option(role): value for role, value in (solution or {}).items() if self.key is not None}
        return DataError(f"data set {self.name!r} {finding}; {rule}. {remedy}", overrides=overrides)

    def add(self, finding: str, rule: str, remedy: str, solution: Mapping[str, Any] | None = None) -> None:
        """Collect a problem; see :meth:`error`."""
        self.errors.append(self.error(finding, rule, remedy, solution))

    def add_for_column(
        self, name: str, finding: str, rule: str, remedy: str, solution: Mapping[str, Any] | None = None
    ) -> None:
        """Collect a problem of a feature; dropping the column is offered next to another remedy."""
        drop = {"drop": [*self.dropped, name]}
        self.add(finding, rule, f"{remedy}, or leave it out: {self.assign('drop', drop['drop'])}.", solution or drop)

    def add_incomplete(self, role: str, n_rows: int, content: str, rule: str) -> None:
        """Collect the problem of a role for which some rows have no value."""
        remedy = f"Repair the column, or do without: {self.assign(role, None)}."
        self.add(f"has {count_noun(n_rows, 'row')} without {content}", rule, remedy)

    def raise_all(self) -> None:
        """Raise one error with all collected problems, if there are any."""
        if self.errors:
            raise combined(self.errors)


def nearest_name(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that a misspelt one stands for, or None."""
    names = list(valid)
    folded = {other.strip().casefold(): other for other in reversed(names)}
    return folded.get(name.strip().casefold()) or next(iter(get_close_matches(name, names, n=1)), None)


def first_names(names: Iterable[str]) -> str:
    """List names; of many the first and their number."""
    every = list(names)
    more = f", ... ({len(every)} in all)" if len(every) > MAX_LISTED_COLUMNS else ""
    return ", ".join(every[:MAX_LISTED_COLUMNS]) + more


def column_named(name: Any, columns: Iterable[Any]) -> str:
    """Return the column that a name means: the column itself, or the only one that differs by blanks around it."""
    name, texts = str(name), [str(column) for column in columns]
    alike = [text for text in texts if text.strip() == name.strip()]
    return alike[0] if name not in texts and len(alike) == 1 else name


def as_list(value: Sequence[Any] | str | None) -> list[Any]:
    """Return one name or several as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def comma_parts(text: str, valid: Collection[str]) -> list[str]:
    """Return the names in a text between commas, if all of them are valid; else none."""
    parts = [part.strip() for part in text.split(",")]
    return list(dict.fromkeys(parts)) if len(parts) > 1 and set(parts) <= set(valid) else []


def missing_texts(value: Any) -> list[str]:
    """Return the texts that stand for missing values; an unquoted null of YAML is the text ``null``."""
    values = value if isinstance(value, (list, tuple, set)) else [value]
    return [] if value is None else ["null" if v is None else str(v) for v in values]


def yaml_hint(value: Any) -> str:
    """Return what to say of a value that YAML may have read as something else than what was written."""
    if not isinstance(value, bool):
        return ""
    words, word = ("yes, on and true", "yes") if value else ("no, off and false", "no")
    return f'YAML reads {words} without quotes as a truth value: quote the word, as in "{word}".'


#: Texts that often stand for a missing value, in lower case.
MISSING_MARKERS = frozenset(
    (
        *("?", "-", "--", ".", "..", "*", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "n/d", "nd", "n.d.", "nan"),
        *("-nan", "nat", "null", "(null)", "<null>", "none", "nil", "missing", "unknown", "\\n", "1.#ind", "1.#qnan"),
        *("-1.#ind", "-1.#qnan", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"),
    )
)
#: Blanks in numbers and around them: of ASCII, no-break, narrow no-break, thin.
_BLANKS = "\\s\\x{a0}\\x{202f}\\x{2009}"
_CURRENCY = "\\p{Sc}|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|ZAR)"
_NUMBER_PARTS = ("open", "sign", "before", "minus", "body", "exponent", "after", "close")
#: Sign, unit, digits with their separators, exponent, unit; brackets around a number are an accountant's minus.
_NUMBER_PATTERN = (
    f"^[{_BLANKS}]*(?P<open>\\(?)(?P<sign>[+\\-−]?)[{_BLANKS}]*(?P<before>{_CURRENCY})?[{_BLANKS}]*(?P<minus>[+\\-−]?)"
    f"(?P<body>\\d[\\d.,'’{_BLANKS}]*|[.,]\\d+)(?P<exponent>(?:[eE][+\\-−]?\\d+)?)[{_BLANKS}]*"
    f"(?P<after>(?:%|{_CURRENCY})?)(?P<close>\\)?)[{_BLANKS}]*$"
)
_INFINITE_PATTERN = f"(?i)^[{_BLANKS}]*[+\\-−]?inf(?:inity)?[{_BLANKS}]*$"
#: Whole numbers that begin with 0 are codes: 00123 is not 123.
_CODE_PATTERN = f"^[{_BLANKS}]*[+\\-−]?0\\d+[{_BLANKS}]*$"
_HOURS = "(?:[T ,]+\\d{1,2}:\\d{2}(?::\\d{2}(?:[.,]\\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|GMT|[+-]\\d{2}:?\\d{2}))?)?"
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?"
#: The forms of dates, those whose parts stand in a known order first.
DATE_PATTERNS = {
    "year first": f"^\\s*\\d{{4}}[-/.]\\d{{1,2}}[-/.]\\d{{1,2}}{_HOURS}\\s*$",
    "dots": f"^\\s*\\d{{1,2}}\\.\\d{{1,2}}\\.\\d{{4}}{_HOURS}\\s*$",
    "year last": f"^\\s*\\d{{1,2}}[-/]\\d{{1,2}}[-/]\\d{{4}}{_HOURS}\\s*$",
    "short year": f"^\\s*\\d{{1,2}}[-/.]\\d{{1,2}}[-/.]\\d{{2}}{_HOURS}\\s*$",
    "names": f"(?i)^\\s*(?:\\d{{1,2}}[-. ]+{_MONTH}|{_MONTH}[-. ]+\\d{{1,2}})[-, ]+\\d{{4}}{_HOURS}\\s*$",
    "hours": "^\\s*\\d{1,2}:\\d{2}:\\d{2}(?:[.,]\\d+)?\\s*$",
    "spans": "^\\s*-?\\d+ days?(?: [+-]?\\d{1,2}:\\d{2}:\\d{2}(?:\\.\\d+)?)?\\s*$",
}
#: Day, month, year and hours of a date that ends with its year.
_YEAR_LAST = r"^\s*(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(.*)$"


@dataclass(frozen=True, slots=True)
class Notation:
    """The characters that precede the decimals and that may separate groups of three digits."""

    decimal: str
    thousands: str

    @property
    def grammar(self) -> str:
        """The digits of a number, as a regular expression."""
        point, group = _escape_characters(self.decimal), _escape_characters(self.thousands)
        grouped = f"[1-9]\\d{{0,2}}(?:[{group}]\\d{{3}})+|" if group else ""
        return f"^(?:(?:{grouped}\\d+)(?:{point}\\d*)?|{point}\\d+)$"


#: 1,234.5 and 1.234,5; both separate groups by blanks and by apostrophes too.
POINT = Notation(".", ",'’ \u00a0\u202f\u2009")
COMMA = Notation(",", ".'’ \u00a0\u202f\u2009")


class DistinctTexts:
    """The distinct texts of a column, a pyarrow array without missing ones, and what each of them can be.

    Boolean arrays tell which texts are ``infinite``, a whole number with leading zeros (``code``), true or false
    (``flag``) and a number in brackets, and which numbers have a point or a comma (``separated``), so that the notation
    decides their value.
    """

    def __init__(self, texts: Any) -> None:
        self.texts = texts
        match = pc.extract_regex(texts, _NUMBER_PATTERN)
        parts = {name: pc.struct_field(match, [i]) for i, name in enumerate(_NUMBER_PARTS)}
        self.body = pc.utf8_trim(parts["body"], " \t\r\n\u00a0\u202f\u2009")
        self.exponent = parts["exponent"]
        self.infinite = _matches(texts, _INFINITE_PATTERN)
        self.code = _matches(texts, _CODE_PATTERN)
        self.flag = _matches(texts, "(?i)^(?:true|false)$")
        self.bracketed = _matches(parts["open"], ".")
        self.separated = _matches(self.body, "[.,]")
        self._parts = parts

    @cached_property
    def number(self) -> np.ndarray:
        """Which texts are a number in some notation."""
        result: np.ndarray = self.infinite | self.fits(POINT) | self.fits(COMMA)
        return result

    @cached_property
    def marker(self) -> np.ndarray:
        """Which texts often stand for a missing value; blanks alone do."""
        return np.array([is_missing_marker(text) for text in self.texts.to_pylist()], dtype=bool)

    @cached_property
    def unit(self) -> list[str]:
        """Unit of every text: a currency, ``%``, or empty."""
        before, after = (self._parts[name].to_pylist() for name in ("before", "after"))
        return [(first or "") + (second or "") for first, second in zip(before, after, strict=True)]

    def fits(self, notation: Notation) -> np.ndarray:
        """Return which texts are a finite number in a notation."""
        balanced = pc.equal(pc.binary_length(self._parts["open"]), pc.binary_length(self._parts["close"]))
        share = _matches(self._parts["after"], "%") & _matches(self.exponent, ".")
        result: np.ndarray = _matches(self.body, notation.grammar) & _to_bool(balanced) & ~share
        return result

    def values(self, notation: Notation) -> np.ndarray:
        """Return the numbers in a notation as float64, correctly rounded; NaN for other texts."""
        body = self.body
        for separator in notation.thousands:
            body = pc.replace_substring(body, separator, "")
        body = pc.replace_substring(body, notation.decimal, ".")
        shift = pa.array(["e-2" if unit == "%" else "" for unit in self.unit], pa.string())
        exponent = pc.replace_substring(pc.replace_substring(self.exponent, "−", "-"), "+", "")
        text = pc.binary_join_element_wise(body, pc.coalesce(exponent, ""), shift, "")
        usable = pc.if_else(pa.array(self.fits(notation)), text, None)
        negative = _matches(self._parts["sign"], "[\\-−]") ^ _matches(self._parts["minus"], "[\\-−]")
        values: np.ndarray = pc.cast(usable, pa.float64()).to_numpy(zero_copy_only=False)
        values = np.where(negative | self.bracketed, -1.0, 1.0) * values
        values[self.infinite] = [-np.inf if "-" in t or "−" in t else np.inf for t in self.examples(self.infinite)]
        return values

    def inexact(self, notation: Notation) -> np.ndarray:
        """Return which whole numbers float64 cannot hold."""
        values = self.values(notation)
        result = np.zeros(len(values), dtype=bool)
        for i in np.flatnonzero(np.isfinite(values) & (np.abs(values) >= 2**53)):
            body = self.body[int(i)].as_py()
            if notation.decimal not in body and not self.exponent[int(i)].as_py():
                result[i] = int(re.sub(r"\D", "", body)) != int(abs(values[i]))
        return result

    def examples(self, mask: np.ndarray, limit: int | None = None) -> list[str]:
        """Return the texts of a mask, at most ``limit``."""
        selected: list[str] = self.texts.filter(pa.array(mask))[:limit].to_pylist()
        return selected


def is_missing_marker(text: str) -> bool:
    """Return whether a text often stands for a missing value."""
    plain = text.strip().lower()
    return not plain or plain in MISSING_MARKERS


def canonical_number(text: str) -> int | float | None:
    """Return the number that Python writes in exactly this way, or None."""
    for number_type in (int, float):
        try:
            value = number_type(text)
        except ValueError:
            continue
        if repr(value) == text and value - value == 0:
            return value
    return None


def date_form(texts: Sequence[str]) -> str | None:
    """Return the form in which all texts are dates, times of the day or spans of time.

    It is a key of :data:`DATE_PATTERNS`, ``"mixed"`` for several forms, or None if some text is not a date.
    """
    # One text decides for most columns.
    first = pa.array(texts[:1], pa.string())
    if not len(texts) or not any(_matches(first, pattern)[0] for pattern in DATE_PATTERNS.values()):
        return None
    column = pa.array(texts, pa.string())
    matches = {name: _matches(column, pattern) for name, pattern in DATE_PATTERNS.items()}
    forms = [name for name, match in matches.items() if match.any()]
    if not np.logical_or.reduce(list(matches.values())).all():
        return None
    return forms[0] if len(forms) == 1 else "mixed"


def parse_times(column: pd.Series, name: str, problems: TableProblems, time_format: str | None) -> pd.Series:
    """Read dates as datetime64[ns] in UTC, NaT where unreadable; raises DataError for an ambiguous form."""
    plain = column if is_datetime64_any_dtype(column) else column.astype(object).map(_to_timestamp)
    if time_format is None and not is_datetime64_any_dtype(plain):
        plain = _with_year_first(plain, name, problems)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # unreadable values are counted and refused
        if time_format is not None:
            parsed = _parse_by_format(column, time_format, problems)
        else:
            parsed = pd.to_datetime(plain, errors="coerce", utc=True)
            # pandas reads all rows by the form of the first: dates with and without hours need the ISO reader.
            if parsed.isna().any():
                parsed = parsed.fillna(pd.to_datetime(plain, errors="coerce", utc=True, format="ISO8601"))
    in_range = parsed.dt.year.between(1678, 2261)  # of nanoseconds in 64 bits
    times: pd.Series = parsed.where(in_range).dt.tz_localize(None).astype("datetime64[ns]")
    return times


def order_of_time(column: pd.Series) -> pd.Series:
    """Return texts that are dates with their year last as dates, any other column as it is."""
    texts = [text for text in column.dropna().unique() if isinstance(text, str)]
    form = date_form(texts)
    day_first = _is_day_first(texts, form)[0] if form in ("dots", "year last") else None
    if day_first is None:
        return column
    dates = pd.to_datetime(
        column.map(partial(_put_year_first, day_first=day_first), na_action="ignore"), errors="coerce"
    )
    return dates if dates.notna().all() else column


def _parse_by_format(column: pd.Series, time_format: str, problems: TableProblems) -> pd.Series:
    try:
        texts = column.map(label_text, na_action="ignore")
        return pd.to_datetime(texts, errors="coerce", utc=True, format=str(time_format))
    except ValueError as error:
        raise problems.error(
            f"has the time format {time_format!r}, which cannot be read ({str(error)[:80]})",
            "formats are written as for strftime",
            f"Write for example {problems.assign('time_format', '%d/%m/%Y')}.",
        ) from None


def _with_year_first(plain: pd.Series, name: str, problems: TableProblems) -> pd.Series:
    """Rewrite dates that end with their year; refuse those whose day and month cannot be told apart."""
    texts = [text for text in plain.dropna().unique() if isinstance(text, str)]
    form = date_form(texts)
    if form == "short year":
        raise problems.error(
            f"has times such as {texts[0]!r} in {name!r}",
            "a year needs four digits unless the format is given",
            f"Give the format, for example {problems.assign('time_format', '%d/%m/%y')}.",
        )
    if form not in ("dots", "year last"):
        return plain
    day_first, example = _is_day_first(texts, form)
    if day_first is None:
        raise problems.error(
            f"has times such as {example!r} in {name!r}, and nothing tells the day from the month",
            "both orders are common",
            f"Choose {problems.assign('time_format', '%d/%m/%Y')} or {problems.assign('time_format', '%m/%d/%Y')}.",
        )
    if form == "year last":
        order = "day, month" if day_first else "month, day"
        problems.notes.append(f"reads the times in {name!r} as {order}, year, because of {example!r}")
    return plain.map(lambda text: _put_year_first(text, day_first) if isinstance(text, str) else text)


def _is_day_first(texts: Sequence[str], form: str) -> tuple[bool | None, str]:
    """Return whether the day comes before the month, None if nothing tells, and a text that shows it."""
    if form == "dots":
        return True, texts[0]
    matches = [match for text in texts if (match := re.match(_YEAR_LAST, text))]
    day_first = next((match.string for match in matches if int(match[1]) > 12), None)
    month_first = next((match.string for match in matches if int(match[2]) > 12), None)
    undecided = (day_first is None) == (month_first is None)
    return (None if undecided else day_first is not None), day_first or month_first or texts[0]


def _put_year_first(text: str, day_first: bool) -> str:
    return re.sub(_YEAR_LAST, r"\3-\2-\1\4" if day_first else r"\3-\1-\2\4", text.strip())


def _to_timestamp(value: Any) -> Any:
    """Return texts and dates; periods begin at their first moment, spans of time are not points in it."""
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    return value if isinstance(value, (str, datetime.date)) else None


def label_text(value: Any) -> str:
    """Write a label as people do: 1 and 1.0 alike."""
    whole_number = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if whole_number else str(value)


def _escape_characters(text: str) -> str:
    return "".join(f"\\x{{{ord(c):x}}}" for c in text)


def _matches(texts: Any, pattern: str) -> np.ndarray:
    return _to_bool(pc.match_substring_regex(texts, pattern))


def _to_bool(flags: Any) -> np.ndarray:
    result: np.ndarray = pc.fill_null(flags, False).to_numpy(zero_copy_only=False).astype(bool)
    return result
