"""Numbers, counts and lists as text: the one place that rounds, forms a plural and joins names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

#: Names that a sentence lists before it counts the others.
MAX_LISTED_NAMES = 12


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, whose plural follows the rules of English unless it is given.

    Examples
    --------
    >>> count_noun(1, "row"), count_noun(2000, "class"), count_noun(0, "strategy"), count_noun(2, "is", "are")
    ('1 row', '2,000 classes', '0 strategies', '2 are')
    """
    return f"{count:,} {noun if count == 1 else plural or pluralize(noun)}"


def pluralize(noun: str) -> str:
    """Form the plural of a noun.

    Examples
    --------
    >>> pluralize("fold"), pluralize("class"), pluralize("query"), pluralize("key")
    ('folds', 'classes', 'queries', 'keys')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def join_words(words: Iterable[str], last: str = "and", limit: int = MAX_LISTED_NAMES) -> str:
    """Join words as a list in a sentence; beyond a limit of items, which is at least 2, the others are counted.

    Examples
    --------
    >>> join_words(["a", "b", "c"]), join_words(["a", "b"], "or"), join_words("abcd", limit=3), join_words([])
    ('a, b and c', 'a or b', 'a, b and 2 others', '')
    """
    items = list(words)
    if len(items) > limit:
        items = [*items[: limit - 1], f"{len(items) - limit + 1} others"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def format_score(value: float | None) -> str:
    """Write a score with three decimals, with four digits from 100 on; a dash stands for a missing one.

    Examples
    --------
    >>> format_score(0.12345), format_score(-0.0), format_score(12345.6), format_score(None)
    ('0.123', '0.000', '1.235e+04', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:z.3f}" if abs(value) < 100 else f"{value:.4g}"


def format_difference(value: float | None) -> str:
    """Write a difference as a score with its sign.

    Examples
    --------
    >>> format_difference(0.0123), format_difference(-0.0001), format_difference(-123.45), format_difference(None)
    ('+0.012', '+0.000', '-123.5', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:+z.3f}" if abs(value) < 100 else f"{value:+.4g}"


def format_p_value(p: float | None) -> str:
    """Write a p-value with three decimals, never rounded to zero; a dash stands for a missing one.

    Examples
    --------
    >>> format_p_value(0.0312), format_p_value(1e-9), format_p_value(None)
    ('0.031', '<0.001', '-')
    """
    if p is None or math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_duration(seconds: float) -> str:
    """Write a duration with one decimal in seconds, minutes or hours.

    Examples
    --------
    >>> format_duration(0.04), format_duration(90), format_duration(7200)
    ('0.0 s', '1.5 min', '2.0 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def format_range(values: Iterable[float], form: Callable[[float], str] = "{:.3f}".format) -> str:
    """Write the lowest and the highest of some values, or the one text of both.

    Examples
    --------
    >>> format_range([0.25, 0.1]), format_range([0.5, 0.50001])
    ('0.100 to 0.250', '0.500')
    """
    items = list(values)
    low, high = form(min(items)), form(max(items))
    return low if low == high else f"{low} to {high}"


def format_two_digits(value: float) -> str:
    """Write a number with two significant digits, without an exponent.

    Examples
    --------
    >>> format_two_digits(9.61), format_two_digits(824.0)
    ('9.6', '820')
    """
    return f"{float(f'{value:.2g}'):g}"
