"""Checks of the fields of records that are read from files: type, range, known names; the field is named if one fails.

A check takes a value and the name of its field, and gives the value back as the record holds it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

Check = Callable[[Any, str], Any]
#: Whole numbers beyond it are no counts: numpy and databases hold them in 64 bits, sums of many of them too.
MAX_COUNT = 2**40
#: Whole numbers beyond it are no parameters.
MAX_WHOLE = 2**63 - 1
#: What a range may be missed by, relative to its end: sums of rounded numbers.
TOLERANCE = 1e-9
#: Characters of a value in a message.
MAX_SHOWN = 80


class FieldError(ValueError):
    """A field of a record does not hold what it should.

    Parameters
    ----------
    field : str
        Its name, dotted for what lies inside.
    found : str
        What it holds, in words.
    rule : str
        What it should hold, as the end of a sentence.

    Examples
    --------
    >>> print(FieldError("counts.tp", "-1", "it is a count, at least 0"))
    field 'counts.tp' is -1; it is a count, at least 0
    """

    def __init__(self, field: str, found: str, rule: str) -> None:
        super().__init__(f"field {field!r} is {found}; {rule}")


def shown(value: Any) -> str:
    """A value as a message shows it: as JSON, cut where it is long.

    Examples
    --------
    >>> shown(None), shown("x" * 100)[-8:]
    ('null', 'xxxx ...')
    """
    if isinstance(value, int) and not -MAX_WHOLE <= value <= MAX_WHOLE:
        return f"a whole number of {value.bit_length()} bits"
    try:
        said = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        said = f"a {type(value).__name__}"
    return said if len(said) <= MAX_SHOWN else f"{said[: MAX_SHOWN - 4]} ..."


def text(value: Any, field: str) -> str:
    """A text that can be written again: without halves of characters."""
    if type(value) is not str:
        raise FieldError(field, shown(value), "it is a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FieldError(field, shown(value), "it is a text without halves of characters") from None
    return value


def name(value: Any, field: str) -> str:
    """A text that can be a part of a path: names become figures, tables and runs."""
    text(value, field)
    if not (value.isprintable() and value.strip(". ") and "/" not in value and "\\" not in value):
        raise FieldError(field, shown(value), "it is a name, without '/' and control characters")
    return str(value)


def flag(value: Any, field: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise FieldError(field, shown(value), "it is true or false")
    return value


def whole(low: int = 0, high: int = MAX_COUNT) -> Check:
    """Make the check of a whole number.

    Parameters
    ----------
    low, high : int
        The lowest and the highest.

    Returns
    -------
    callable
    """

    def check(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise FieldError(field, shown(value), f"it is a whole number from {low} to {high}")
        return value

    return check


def number(low: float | None = None, high: float | None = None) -> Check:
    """Make the check of a finite number.

    Parameters
    ----------
    low, high : float or None
        The lowest and the highest, each missed by rounding at most; None for no bound.

    Returns
    -------
    callable
    """
    least = -math.inf if low is None else low - TOLERANCE * max(1.0, abs(low))
    most = math.inf if high is None else high + TOLERANCE * max(1.0, abs(high))
    rule = "it is a finite number" + (
        f" from {low:g} to {high:g}"
        if low is not None and high is not None
        else f", at least {low:g}"
        if low is not None
        else f", at most {high:g}"
        if high is not None
        else ""
    )

    def check(value: Any, field: str) -> float:
        # A whole number that no float holds would fail in the first sum.
        if type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE and least <= value <= most:
            return value
        if type(value) is not float or not math.isfinite(value) or not least <= value <= most:
            raise FieldError(field, shown(value), rule)
        return value

    return check


FINITE = number()


def scalar(value: Any, field: str) -> float | int | str | bool:
    """A knob: a finite number, a text or a flag."""
    kind = type(value)
    if kind is bool:
        return bool(value)
    if kind is str:
        return text(value, field)
    if kind in (int, float):
        found: float | int = FINITE(value, field)
        return found
    raise FieldError(field, shown(value), "it is a finite number, a text or a flag")


def nullable(check: Check) -> Check:
    """Make the check of a value that may be null."""
    return lambda value, field: None if value is None else check(value, field)


def one_of(names: Collection[str]) -> Check:
    """Make the check of one of some texts."""

    def check(value: Any, field: str) -> str:
        if type(value) is not str or value not in names:
            raise FieldError(field, shown(value), f"it is one of {', '.join(names)}")
        return value

    return check


def many(check: Check) -> Check:
    """Make the check of a list, each item by a check; it becomes a tuple."""

    def checked(value: Any, field: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise FieldError(field, shown(value), "it is a list")
        return tuple([check(item, f"{field}[{i}]") for i, item in enumerate(value)])

    return checked


def mapping(check: Check, checks: Mapping[str, Check] | None = None) -> Check:
    """Make the check of a mapping from texts, each value by a check.

    Parameters
    ----------
    check : callable
        Of the values.
    checks : mapping of str to callable, optional
        Of those under some names.

    Returns
    -------
    callable
    """
    own = checks or {}

    def checked(value: Any, field: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise FieldError(field, shown(value), "it is a mapping")
        inside = f"{field}." if field else ""
        return {text(key, field): own.get(key, check)(item, f"{inside}{key}") for key, item in value.items()}

    return checked


def record(checks: Mapping[str, Check], required: Collection[str]) -> Check:
    """Make the check of a mapping with known names.

    Parameters
    ----------
    checks : mapping of str to callable
        By name.
    required : collection of str
        Those that must be there.

    Returns
    -------
    callable
        Gives what is there, in the order in which it is.
    """

    def checked(value: Any, field: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise FieldError(field, shown(value), "it is a mapping")
        inside = f"{field}." if field else ""
        for key in value:
            if key not in checks:
                rule = f"the fields are {', '.join(checks)}; a newer imblab may have written it"
                raise FieldError(f"{inside}{key}", "unknown", rule)
        for key in required:
            if key not in value:
                raise FieldError(f"{inside}{key}", "missing", "every record has it")
        return {key: checks[key](item, f"{inside}{key}") for key, item in value.items()}

    return checked


def loaded(line: str | bytes) -> Any:
    """JSON as plain data: no NaN, no infinity, no name twice.

    Raises
    ------
    FieldError
        For NaN and infinities, and for a name that stands twice.
    ValueError
        For what is not JSON.
    """
    return json.loads(line, parse_constant=_refused, object_pairs_hook=_once)


def _refused(constant: str) -> Any:
    raise FieldError("?", constant, "numbers are finite or null")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise FieldError(twice, "there twice", "a field has one value")
    return found
