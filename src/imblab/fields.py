"""Checks of the fields of records that are read from files: type, range and known names.

A check takes a value and the name of its field, and returns the value as the record holds it, or raises
:class:`FieldError`. Checks of containers pass local names on, so that a dotted name is built only for an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from sys import intern
from typing import Any

Check = Callable[[Any, str], Any]
#: Larger integers are not counts: numpy and databases hold them in 64 bits, and sums of many of them too.
MAX_COUNT = 2**40
#: Larger integers are not parameters.
MAX_INTEGER = 2**63 - 1
#: Relative tolerance at the ends of a range, for sums of rounded numbers.
RANGE_TOLERANCE = 1e-9
MAX_VALUE_CHARACTERS = 80


class FieldError(ValueError):
    """A field of a record, dotted where it is nested, holds a value, as text, that breaks its rule.

    Examples
    --------
    >>> print(FieldError("counts.tp", "-1", "it is a count, at least 0"))
    field 'counts.tp' is -1; it is a count, at least 0
    """

    def __init__(self, field: str, value: str, rule: str) -> None:
        super().__init__(f"field {field!r} is {value}; {rule}")
        self.field, self.value, self.rule = field, value, rule

    def inside(self, outer: str) -> FieldError:
        """The same error with the name of the container in front."""
        joint = "." if outer and self.field and not self.field.startswith("[") else ""
        return FieldError(f"{outer}{joint}{self.field}", self.value, self.rule)


def quote_value(value: Any) -> str:
    """Write a value as JSON, shortened where it is long.

    Examples
    --------
    >>> quote_value(None), quote_value("x" * 100)[-8:]
    ('null', 'xxxx ...')
    """
    if isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return f"a whole number of {value.bit_length()} bits"
    try:
        quoted = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        quoted = f"a {type(value).__name__}"
    return quoted if len(quoted) <= MAX_VALUE_CHARACTERS else f"{quoted[: MAX_VALUE_CHARACTERS - 4]} ..."


def check_text(value: Any, field: str) -> str:
    """Check a text that can be written again, without lone surrogates."""
    if type(value) is not str:
        raise FieldError(field, quote_value(value), "it is a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FieldError(field, quote_value(value), "it is a text without halves of characters") from None
    return value


def check_name(value: Any, field: str) -> str:
    """Check a text that can be a part of a path: names become figures, tables and runs."""
    check_text(value, field)
    if not (value.isprintable() and value.strip(". ") and "/" not in value and "\\" not in value):
        raise FieldError(field, quote_value(value), "it is a name, without '/' and control characters")
    return str(value)


def check_flag(value: Any, field: str) -> bool:
    """Check a value that is true or false."""
    if type(value) is not bool:
        raise FieldError(field, quote_value(value), "it is true or false")
    return value


def integer_check(low: int = 0, high: int = MAX_COUNT) -> Check:
    """Make the check of an integer from ``low`` to ``high``."""

    def check(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise FieldError(field, quote_value(value), f"it is a whole number from {low} to {high}")
        return value

    return check


def number_check(low: float | None = None, high: float | None = None) -> Check:
    """Make the check of a finite number from ``low`` to ``high`` within :data:`RANGE_TOLERANCE`; None for no bound."""
    lowest = -math.inf if low is None else low - RANGE_TOLERANCE * max(1.0, abs(low))
    highest = math.inf if high is None else high + RANGE_TOLERANCE * max(1.0, abs(high))
    lower = "" if low is None else f" from {low:g}" if high is not None else f", at least {low:g}"
    upper = "" if high is None else f" to {high:g}" if low is not None else f", at most {high:g}"
    rule = f"it is a finite number{lower}{upper}"

    def check(value: Any, field: str) -> float:
        kind = type(value)
        # An integer beyond the largest float would fail in the first sum.
        is_number = (kind is float and math.isfinite(value)) or (kind is int and -MAX_INTEGER <= value <= MAX_INTEGER)
        if not is_number or not lowest <= value <= highest:
            raise FieldError(field, quote_value(value), rule)
        number: float = value
        return number

    return check


check_number = number_check()


def check_scalar(value: Any, field: str) -> float | int | str | bool:
    """Check the value of a knob: a finite number, a text or a flag."""
    kind = type(value)
    if kind is bool:
        return bool(value)
    if kind is str:
        return check_text(value, field)
    if kind in (int, float):
        number: float | int = check_number(value, field)
        return number
    raise FieldError(field, quote_value(value), "it is a finite number, a text or a flag")


def nullable(check: Check) -> Check:
    """Make the check of a value that may be null."""
    return lambda value, field: None if value is None else check(value, field)


def choice_check(names: Collection[str]) -> Check:
    """Make the check of a text that is one of ``names``."""

    def check(value: Any, field: str) -> str:
        if type(value) is not str or value not in names:
            raise FieldError(field, quote_value(value), f"it is one of {', '.join(names)}")
        return value

    return check


def list_check(check: Check) -> Check:
    """Make the check of a list whose items pass ``check``; it becomes a tuple."""

    def check_list(value: Any, field: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise FieldError(field, quote_value(value), "it is a list")
        items = []
        for item in value:
            try:
                items.append(check(item, ""))
            except FieldError as error:
                raise error.inside(f"{field}[{len(items)}]") from None
        return tuple(items)

    return check_list


def mapping_check(check: Check, by_name: Mapping[str, Check] | None = None) -> Check:
    """Make the check of a mapping from texts whose values pass ``check``, or the check of their name in ``by_name``.

    Names are interned: thousands of records share one copy of each.
    """
    special = by_name or {}

    def check_mapping(value: Any, field: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise FieldError(field, quote_value(value), "it is a mapping")
        checked = {}
        for key, item in value.items():
            if not key.isascii():
                check_text(key, field)
            try:
                checked[intern(key)] = special.get(key, check)(item, key)
            except FieldError as error:
                raise error.inside(field) from None
        return checked

    return check_mapping


def record_check(checks: Mapping[str, Check], required: Collection[str]) -> Check:
    """Make the check of a mapping with known names, of which some are required; it keeps their order."""
    needed = frozenset(required)

    def check_record(value: Any, field: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise FieldError(field, quote_value(value), "it is a mapping")
        if unknown := [key for key in value if key not in checks]:
            rule = f"the fields are {', '.join(checks)}; a newer imblab may have written it"
            raise FieldError(unknown[0], "unknown", rule).inside(field)
        if not needed <= value.keys():
            missing = next(key for key in required if key not in value)
            raise FieldError(missing, "missing", "every record has it").inside(field)
        try:
            return {key: checks[key](item, key) for key, item in value.items()}
        except FieldError as error:
            raise error.inside(field) from None

    return check_record


def parse_json(line: str | bytes) -> Any:
    """Parse JSON that holds no NaN, no infinity and no name twice.

    Raises FieldError for NaN and infinities, and for a name that stands twice; ValueError for text that is not JSON.
    """
    return json.loads(line, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)


def _refuse_constant(constant: str) -> Any:
    raise FieldError("?", constant, "numbers are finite or null")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise FieldError(twice, "there twice", "a field has one value")
    return values
