"""What is wrong with a table, all of it at once: each problem with the override that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from imblab.errors import DataError, combined
from imblab.overrides import to_override

#: Beyond this number of known names only the nearest are listed.
MAX_LISTED_NAMES = 30
MAX_LISTED_COLUMNS = 12
NEAREST = 8


class Checks:
    """Collect the problems of one data set.

    Parameters
    ----------
    name : str
    key : str or None
        The key under ``dataset.``, which is the name that messages use; None for a table in memory, whose arguments are
        named.

    Attributes
    ----------
    notes : list of str
        What was decided on the way, for the user to see.
    dropped : list of str
        Columns that are left out already: an override that leaves out one more lists them too.
    """

    def __init__(self, name: str, key: str | None) -> None:
        self.name, self.key = name if key is None else key, key
        self.notes: list[str] = []
        self.dropped: list[str] = []
        self._problems: list[DataError] = []

    def at(self, role: str) -> str:
        """Where a role is written."""
        return f"dataset.{self.key}.{role}" if self.key is not None else f"the argument {role}"

    def set(self, role: str, value: Any) -> str:
        """A role with its value as it is pasted: an override for the shell, or the argument of a table in memory."""
        return to_override(self.at(role), value) if self.key is not None else f"{role}={value!r}"

    def note(self, said: str) -> None:
        """Keep what was decided on the way, for the user to see."""
        self.notes.append(said)

    def refuse(self, found: str, rule: str, way_out: str, mend: Mapping[str, Any] | None = None) -> DataError:
        """A refusal in four parts; ``mend`` holds the values of roles that would do."""
        overrides = {self.at(role): value for role, value in (mend or {}).items()} if self.key is not None else {}
        return DataError(f"data set {self.name!r} {found}; {rule}. {way_out}", overrides=overrides)

    def keep(self, problem: DataError) -> None:
        """Keep a refusal that was raised: the other problems are found too."""
        self._problems.append(problem)

    def problem(self, found: str, rule: str, way_out: str, mend: Mapping[str, Any] | None = None) -> None:
        """Keep a problem: it is raised with all others."""
        self._problems.append(self.refuse(found, rule, way_out, mend))

    def problem_column(
        self, name: str, found: str, rule: str, way_out: str, mend: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a problem of a feature, which goes away with the column unless something better is known."""
        drop = {"drop": [*self.dropped, name]}
        self.problem(found, rule, f"{way_out}, or leave it out: {self.set('drop', drop['drop'])}.", mend or drop)

    def close(self) -> None:
        """Raise what was found.

        Raises
        ------
        DataError
            If there is any problem; all of them are in its text.
        """
        if self._problems:
            raise combined(self._problems)

    def called(self, name: Any) -> None:
        """Names address rows, folders and pictures."""
        if not isinstance(name, str) or not name.isprintable() or not name.strip(". ") or set(name) & set("/\\"):
            raise self.refuse(
                "has a name that cannot address rows",
                "names are text without '/', '\\' or line breaks",
                f"Correct {self.at('name')}.",
            )

    def shape(self, frame: Any) -> None:
        """A table with rows, whose columns are known by name."""
        if not isinstance(frame, pd.DataFrame):
            raise self.refuse(
                f"is given as {type(frame).__name__}", "a table is a pandas DataFrame", "Wrap it in pandas.DataFrame."
            )
        if len(frame) == 0:
            raise self.refuse("holds 0 rows", "a study needs rows of two classes", "Check where it comes from.")
        names = frame.columns.map(str)
        repeated = names[names.duplicated()].unique().tolist()
        if repeated:
            raise self.refuse(
                f"has {counted(len(repeated), 'column name')} more than once: {', '.join(map(repr, repeated))}",
                "columns are known by name",
                "Rename all but one of each.",
            )

    def role(self, role: str, value: Any, columns: Sequence[str]) -> str | None:
        """The one column of a role, as text; None where there is none, or none that exists."""
        if isinstance(value, (list, tuple, dict, set)):
            first = next((str(v) for v in value if str(v) in columns), columns[0])
            self.problem(
                f"names {value!r} as {role}",
                "one column plays that role",
                f"Name one, for example {self.set(role, first)}.",
            )
            return None
        if value is None or value == "":
            return None
        return next(iter(self.existing(role, [value], columns, one=True)), None)

    def existing(self, role: str, values: Sequence[Any], columns: Sequence[str], one: bool = False) -> list[str]:
        """Those of the named columns that exist; each other one is noted, with the nearest that does."""
        names = [column_named(str(value), columns) for value in values]
        known = [name for name in names if name in columns]
        for value, name in zip(values, names, strict=True):
            if name in known:
                continue
            nearest = nearest_name(name, columns)
            mended = nearest if one else [*known, *([nearest] if nearest and nearest not in known else [])]
            mend = None if mended is None else {role: mended}
            guess = f"Did you mean {nearest!r}? " if nearest else ""
            way_out = "Choose one of them. " if mend is None else f"Set {self.set(role, mended)}. "
            self.problem(
                f"has no column {name!r}, which {self.at(role)} names",
                f"its columns are {some(columns)}",
                f"{guess}{way_out}{yaml_word(value)}".rstrip(),
                mend,
            )
        return known

    def apart(self, target: str | None, roles: Mapping[str, list[str]]) -> None:
        """The labels play no other role."""
        for role, names in roles.items():
            if target is not None and target in names:
                rest = [name for name in names if name != target]
                value = rest if role in ("drop", "categorical") else None
                self.problem(
                    f"names {target!r} both as target and under {role}",
                    "the labels are nothing else",
                    f"Set {self.set(role, value)}.",
                    {role: value},
                )


def yaml_word(value: Any) -> str:
    """What to say of a value that YAML may have read as something else than what was written.

    Examples
    --------
    >>> yaml_word(True)
    'YAML reads yes, on and true without quotes as a truth value: quote the word, as in "yes".'
    """
    if not isinstance(value, bool):
        return ""
    words = ("yes, on and true", "yes") if value else ("no, off and false", "no")
    return f'YAML reads {words[0]} without quotes as a truth value: quote the word, as in "{words[1]}".'


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one stands for, or None.

    Examples
    --------
    >>> nearest_name("lft", ["a", "left"]), nearest_name("Kundigung", ["Kündigung"]), nearest_name("x", ["left"])
    ('left', 'Kündigung', None)
    """
    names = list(known)
    folded = {other.strip().casefold(): other for other in reversed(names)}
    if (same := folded.get(name.strip().casefold())) is not None:
        return same
    return next(iter(get_close_matches(name, names, n=1)), None)


def some(names: Iterable[str]) -> str:
    """Names, or the first of them and how many there are."""
    listed_names = list(names)
    shown = ", ".join(listed_names[:MAX_LISTED_COLUMNS])
    return f"{shown}, ... ({len(listed_names)} in all)" if len(listed_names) > MAX_LISTED_COLUMNS else shown


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(2, "class")
    ('1 row', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def column_named(name: Any, known: Iterable[Any]) -> str:
    """The column that a name means: itself, or the only one that differs by blanks around it.

    Examples
    --------
    >>> column_named("left", ["age", " left"]), column_named("lft", ["age", " left"])
    (' left', 'lft')
    """
    name, columns = str(name), [str(column) for column in known]
    alike = [column for column in columns if column.strip() == name.strip()]
    return alike[0] if name not in columns and len(alike) == 1 else name


def missing_texts(value: Any) -> list[str]:
    """The texts that stand for missing values; an unquoted null is the text null."""
    values = value if isinstance(value, (list, tuple, set)) else [value]
    return [] if value is None else ["null" if v is None else str(v) for v in values]


def listed(value: Sequence[Any] | str | None) -> list[Any]:
    """One name or several, as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, set)) else [value]
