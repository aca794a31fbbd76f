"""Single values of a question: what they must be, and the refusal that says so."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imblab.errors import ConfigError, combined, presentable, unknown

#: Names become folders, keys and addresses of rows.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
#: Longer values are cut in messages.
MAX_VALUE_CHARACTERS = 80


def quote(value: Any) -> str:
    """A value as a message shows it.

    Examples
    --------
    >>> quote("x"), quote({"a": 1})
    ("'x'", "{'a': 1}")
    """
    try:
        text = presentable(repr(value))  # before it is cut: half an address would show its password
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 5].rstrip()} ...{text[-1]}"


def check_keys(raw: Any, keys: Iterable[str], kind: str, where: str) -> None:
    """Refuse values that are not mappings, and unknown keys."""
    keys = tuple(keys)
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"{where!r} is {quote(raw)}; it must be a mapping. Write it with some of the keys {', '.join(keys)}."
        )
    for key in raw:
        if key not in keys:
            raise ConfigError(
                unknown(kind, str(key), keys, "in the study" if where == "the study" else f"in {where!r}")
            )


def read_section(raw: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    """The entries below a key, by their names; empty where there are none."""
    value = raw.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(
            f"{f'{where}.{key}'.lstrip('.')!r} is {quote(value)}; it must be a mapping by name. Write it as "
            f"{{name: ...}}, or leave it out."
        )
    return value or {}


def check_member_name(value: Any, where: str) -> str:
    """A name that can be a folder."""
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        raise ConfigError(
            f"{where!r} is {quote(value)}; names become folders and keys: at most 100 letters, digits, '_', '-', '+', "
            "'.', beginning with a letter or digit. Choose such a name."
        )
    return value


def check_boolean(value: Any, where: str) -> bool:
    """True or false, and no text that looks true."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where!r} is {quote(value)}; it is true or false. Write {where}=true or {where}=false.")
    return value


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite number; a flag is none, and neither is a whole number that no float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= sys.float_info.max


def to_plain_data(value: Any) -> Any:
    """Mappings and sequences as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(k): to_plain_data(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain_data(v) for v in value]
    return value


class ErrorCollector:
    """Collects the errors of several readers, so that everything that is wrong is said at once."""

    def __init__(self) -> None:
        self._errors: list[ConfigError] = []

    def attempt(self, reader: Callable[..., Any], *args: Any) -> Any:
        """Return what a reader returns, or None if it raises a ConfigError, which is kept."""
        try:
            return reader(*args)
        except ConfigError as error:
            self.add(error)
            return None

    def add(self, error: ConfigError) -> None:
        """Keep an error."""
        self._errors.append(error)

    def check(self) -> None:
        """Raise the errors that were kept as one, if there are any."""
        if self._errors:
            raise combined(self._errors)
