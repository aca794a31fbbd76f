"""The problems of one data set, collected to be raised together, each with the override that solves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from imblab.errors import DataError, combined
from imblab.overrides import to_override
from imblab.text import count_noun

#: Column names that a message lists.
MAX_LISTED_COLUMNS = 12


class TableProblems:
    """Collects the problems of one data set, to raise all of them in one error.

    Messages begin with its key under ``dataset.`` and propose overrides. A table in memory has no key: messages begin
    with its name and propose arguments of :func:`imblab.dataset`. ``notes`` holds decisions for the user to see,
    ``dropped`` the columns left out already, which an override that drops one more lists too.
    """

    def __init__(self, name: str, key: str | None) -> None:
        self.name, self.key = name if key is None else key, key
        self.notes: list[str] = []
        self.dropped: list[str] = []
        self.errors: list[DataError] = []

    def option(self, role: str) -> str:
        """Name the place where a role is set."""
        return f"dataset.{self.key}.{role}" if self.key is not None else f"the argument {role}"

    def assign(self, role: str, value: Any) -> str:
        """Write a role with its value, ready to be pasted: an override, or an argument."""
        return to_override(self.option(role), value) if self.key is not None else f"{role}={value!r}"

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
    """Return the valid name that a misspelt one stands for, or None.

    Examples
    --------
    >>> nearest_name("lft", ["a", "left"]), nearest_name("Kundigung", ["Kündigung"]), nearest_name("x", ["left"])
    ('left', 'Kündigung', None)
    """
    names = list(valid)
    folded = {other.strip().casefold(): other for other in reversed(names)}
    return folded.get(name.strip().casefold()) or next(iter(get_close_matches(name, names, n=1)), None)


def first_names(names: Iterable[str]) -> str:
    """List names; of many the first and their number."""
    every = list(names)
    more = f", ... ({len(every)} in all)" if len(every) > MAX_LISTED_COLUMNS else ""
    return ", ".join(every[:MAX_LISTED_COLUMNS]) + more


def column_named(name: Any, columns: Iterable[Any]) -> str:
    """Return the column that a name means: the column itself, or the only one that differs by blanks around it.

    Examples
    --------
    >>> column_named("left", ["age", " left"]), column_named("lft", ["age", " left"])
    (' left', 'lft')
    """
    name, texts = str(name), [str(column) for column in columns]
    alike = [text for text in texts if text.strip() == name.strip()]
    return alike[0] if name not in texts and len(alike) == 1 else name


def as_list(value: Sequence[Any] | str | None) -> list[Any]:
    """Return one name or several as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


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
