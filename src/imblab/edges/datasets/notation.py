"""How numbers, flags and dates are written as text, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Texts that often stand for a missing value, in lower case and without blanks around them.
MARKS = frozenset(
    (
        "?",
        "-",
        "--",
        ".",
        "..",
        "*",
        "na",
        "n/a",
        "n.a.",
        "#n/a",
        "#na",
        "<na>",
        "n/d",
        "nd",
        "n.d.",
        "nan",
        "-nan",
        "nat",
        "null",
        "(null)",
        "<null>",
        "none",
        "nil",
        "missing",
        "unknown",
        "\\n",
        "1.#ind",
        "1.#qnan",
        "-1.#ind",
        "-1.#qnan",
        "#div/0!",
        "#value!",
        "#ref!",
        "#name?",
        "#num!",
        "#null!",
    )
)
#: Blanks that stand in numbers and around them: of ASCII, no-break, narrow no-break, thin.
BLANKS = "\\s\\x{a0}\\x{202f}\\x{2009}"
CURRENCY = "\\p{Sc}|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN|BRL|ZAR)"
#: Sign, unit, digits with their marks, exponent, unit; brackets around a number are an accountant's minus.
NUMBER = (
    f"^[{BLANKS}]*(?P<open>\\(?)(?P<sign>[+\\-−]?)[{BLANKS}]*(?P<before>{CURRENCY})?[{BLANKS}]*(?P<minus>[+\\-−]?)"
    f"(?P<body>\\d[\\d.,'’{BLANKS}]*|[.,]\\d+)(?P<exponent>(?:[eE][+\\-−]?\\d+)?)[{BLANKS}]*(?P<after>(?:%|{CURRENCY})?)"
    f"(?P<close>\\)?)[{BLANKS}]*$"
)
INFINITE = f"(?i)^[{BLANKS}]*[+\\-−]?inf(?:inity)?[{BLANKS}]*$"
#: Whole numbers that begin with 0 are codes: 00123 is not 123.
CODE = f"^[{BLANKS}]*[+\\-−]?0\\d+[{BLANKS}]*$"
FLAG = "(?i)^(?:true|false)$"
_HOURS = "(?:[T ,]+\\d{1,2}:\\d{2}(?::\\d{2}(?:[.,]\\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|GMT|[+-]\\d{2}:?\\d{2}))?)?"
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?"
#: The forms of dates, those whose parts stand in a known order first.
DATES = {
    "year first": f"^\\s*\\d{{4}}[-/.]\\d{{1,2}}[-/.]\\d{{1,2}}{_HOURS}\\s*$",
    "dots": f"^\\s*\\d{{1,2}}\\.\\d{{1,2}}\\.\\d{{4}}{_HOURS}\\s*$",
    "year last": f"^\\s*\\d{{1,2}}[-/]\\d{{1,2}}[-/]\\d{{4}}{_HOURS}\\s*$",
    "short year": f"^\\s*\\d{{1,2}}[-/.]\\d{{1,2}}[-/.]\\d{{2}}{_HOURS}\\s*$",
    "names": f"(?i)^\\s*(?:\\d{{1,2}}[-. ]+{_MONTH}|{_MONTH}[-. ]+\\d{{1,2}})[-, ]+\\d{{4}}{_HOURS}\\s*$",
    "hours": "^\\s*\\d{1,2}:\\d{2}:\\d{2}(?:[.,]\\d+)?\\s*$",
    "spans": "^\\s*-?\\d+ days?(?: [+-]?\\d{1,2}:\\d{2}:\\d{2}(?:\\.\\d+)?)?\\s*$",
}


@dataclass(frozen=True, slots=True)
class Notation:
    """The marks in numbers.

    Parameters
    ----------
    decimal : str
        What stands before the decimals.
    thousands : str
        The characters that may stand between groups of three digits.
    """

    decimal: str
    thousands: str

    @property
    def grammar(self) -> str:
        """The digits of a number, as a regular expression."""
        point, group = _escaped(self.decimal), "".join(_escaped(c) for c in self.thousands)
        grouped = f"[1-9]\\d{{0,2}}(?:[{group}]\\d{{3}})+|" if group else ""
        return f"^(?:(?:{grouped}\\d+)(?:{point}\\d*)?|{point}\\d+)$"


#: 1,234.5 and 1.234,5; both group by blanks and by apostrophes too.
POINT = Notation(".", ",'’ \u00a0\u202f\u2009")
COMMA = Notation(",", ".'’ \u00a0\u202f\u2009")


class Written:
    """What the different texts of one column can be.

    Parameters
    ----------
    texts : pyarrow array of str
        The different texts without missing ones.
    """

    def __init__(self, texts: Any) -> None:
        self.texts = texts
        found = pc.extract_regex(texts, NUMBER)
        parts = {name: pc.struct_field(found, [i]) for i, name in enumerate(_PARTS)}
        self.body = pc.utf8_trim(parts["body"], " \t\r\n\u00a0\u202f\u2009")
        self.signs = (parts["sign"], parts["minus"])
        self.units = (parts["before"], parts["after"])
        self.brackets = (parts["open"], parts["close"])
        self.exponent = parts["exponent"]
        self.infinite = _matches(texts, INFINITE)

    @cached_property
    def number(self) -> np.ndarray:
        """Which texts are a number in some notation."""
        found: np.ndarray = self.infinite | self.fits(POINT) | self.fits(COMMA)
        return found

    @cached_property
    def mark(self) -> np.ndarray:
        """Which texts often stand for a missing value; blanks alone are one."""
        return np.array([is_mark(text) for text in self.texts.to_pylist()], dtype=bool)

    @cached_property
    def code(self) -> np.ndarray:
        """Which texts are whole numbers with leading zeros."""
        return _matches(self.texts, CODE)

    @cached_property
    def flag(self) -> np.ndarray:
        """Which texts are true or false."""
        return _matches(self.texts, FLAG)

    @cached_property
    def unit(self) -> list[str]:
        """The unit of every text: a currency, ``%``, or none."""
        before, after = (unit.to_pylist() for unit in self.units)
        return [(one or "") + (other or "") for one, other in zip(before, after, strict=True)]

    @cached_property
    def bracketed(self) -> np.ndarray:
        """Which numbers stand in brackets."""
        return np.array([bool(text) for text in self.brackets[0].to_pylist()], dtype=bool)

    @cached_property
    def separated(self) -> np.ndarray:
        """Which numbers hold a point or a comma, so that the notation decides their value."""
        return _matches(self.body, "[.,]")

    def fits(self, notation: Notation) -> np.ndarray:
        """Which texts are a finite number in a notation."""
        balanced = pc.equal(pc.binary_length(self.brackets[0]), pc.binary_length(self.brackets[1]))
        share = _matches(self.units[1], "%") & _matches(self.exponent, ".")
        fitting: np.ndarray = _matches(self.body, notation.grammar) & _flags(balanced) & ~share
        return fitting

    def values(self, notation: Notation) -> np.ndarray:
        """The numbers in a notation as float64, rounded correctly; NaN for what is not a number in it."""
        body = self.body
        for mark in notation.thousands:
            body = pc.replace_substring(body, mark, "")
        if notation.decimal != ".":
            body = pc.replace_substring(body, notation.decimal, ".")
        shift = pa.array(["e-2" if unit == "%" else "" for unit in self.unit], pa.string())
        exponent = pc.replace_substring(pc.replace_substring(self.exponent, "−", "-"), "+", "")
        text = pc.binary_join_element_wise(body, pc.coalesce(exponent, ""), shift, "")
        usable = pa.array(self.fits(notation))
        found = pc.cast(pc.if_else(usable, text, None), pa.float64()).to_numpy(zero_copy_only=False)
        sign = np.where(self._negative() | self.bracketed, -1.0, 1.0)
        values: np.ndarray = sign * found
        values[self.infinite] = [-np.inf if "-" in t or "−" in t else np.inf for t in self._texts(self.infinite)]
        return values

    def examples(self, which: np.ndarray, most: int = 3) -> list[str]:
        """Some of the texts."""
        return self._texts(which)[:most]

    def inexact(self, notation: Notation) -> np.ndarray:
        """Which whole numbers float64 cannot hold."""
        values = self.values(notation)
        large = np.isfinite(values) & (np.abs(values) >= 2**53)
        found = np.zeros(len(values), dtype=bool)
        for i in np.flatnonzero(large):
            digits = "".join(c for c in self.body[int(i)].as_py() if c.isdigit())
            whole = notation.decimal not in self.body[int(i)].as_py() and not self.exponent[int(i)].as_py()
            found[i] = whole and int(digits) != int(abs(values[i]))
        return found

    def _texts(self, which: np.ndarray) -> list[str]:
        kept: list[str] = self.texts.filter(pa.array(which)).to_pylist()
        return kept

    def _negative(self) -> np.ndarray:
        one, other = (_matches(sign, "[\\-−]") for sign in self.signs)
        negative: np.ndarray = one ^ other
        return negative


_PARTS = ("open", "sign", "before", "minus", "body", "exponent", "after", "close")


def is_mark(text: str) -> bool:
    """Whether a text often stands for a missing value.

    Examples
    --------
    >>> is_mark(" NA "), is_mark("paved"), is_mark("?")
    (True, False, True)
    """
    plain = text.strip().lower()
    return not plain or plain in MARKS


def canonical_number(text: str) -> int | float | None:
    """The number that Python writes in exactly this way, or None.

    Examples
    --------
    >>> [canonical_number(text) for text in ("12", "1.5", "1.50", "007", "1e5")]
    [12, 1.5, None, None, None]
    """
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if repr(value) == text and value - value == 0:
            return value
    return None


def date_form(texts: Sequence[str]) -> str | None:
    """The form in which all texts are dates, times of the day or spans of time; ``"mixed"`` for several forms.

    Parameters
    ----------
    texts : sequence of str
        The different texts of a column.

    Returns
    -------
    str or None
        A key of :data:`DATES`, ``"mixed"``, or None if some text is no date.

    Examples
    --------
    >>> date_form(["2024-01-31", "2024-02-01 10:30"]), date_form(["31.01.2024"]), date_form(["1.2.3"])
    ('year first', 'dots', None)
    """
    # One text decides for most columns.
    if not len(texts) or not any(_matches(pa.array(texts[:1], pa.string()), form)[0] for form in DATES.values()):
        return None
    column = pa.array(texts, pa.string())
    forms = {name: found for name, form in DATES.items() if (found := _matches(column, form)).any()}
    if not np.logical_or.reduce(list(forms.values())).all():
        return None
    return next(iter(forms)) if len(forms) == 1 else "mixed"


def _escaped(text: str) -> str:
    return "".join(f"\\x{{{ord(c):x}}}" for c in text)


def _matches(texts: Any, pattern: str) -> np.ndarray:
    return _flags(pc.match_substring_regex(texts, pattern))


def _flags(found: Any) -> np.ndarray:
    flags: np.ndarray = pc.fill_null(found, False).to_numpy(zero_copy_only=False).astype(bool)
    return flags
