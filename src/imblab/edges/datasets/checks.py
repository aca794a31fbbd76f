"""Refusals of a table, each with the name of the data set and the key that would mend it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from imblab.errors import DataError, unknown

#: Beyond this number of known names only the nearest are listed.
MOST = 30
NEAREST = 8
#: Texts that Hydra reads as they stand; words such as NA, null and yes are quoted all the same.
_BARE = re.compile(r"(?!(?i:null|none|true|false|nan|inf|na|yes|no|on|off)$)[A-Za-z_]\w*", re.ASCII)


class Checks:
    """The voice of one data set.

    Parameters
    ----------
    name : str
    key : str or None
        The key under ``dataset.`` that messages name; None for a table in memory, whose arguments are named.
    notes : iterable of str, default=()
        What was decided so far.
    """

    def __init__(self, name: str, key: str | None, notes: Iterable[str] = ()) -> None:
        self.name, self.key = name, key
        self.notes = list(notes)

    def at(self, role: str) -> str:
        """Where a role is written."""
        return f"dataset.{self.key}.{role}" if self.key is not None else f"the argument {role}"

    def set(self, role: str, value: Any) -> str:
        """What to write to give a role a value, as the shell and Hydra take it."""
        if self.key is None:
            return f"{role}={value!r}"
        return shlex.quote(f"{self.at(role)}={hydra_value(value)}")

    def note(self, said: str) -> None:
        """Keep what was decided on the way, for the user to see."""
        self.notes.append(said)

    def refuse(self, found: str, rule: str, way_out: str) -> DataError:
        """A refusal in four parts."""
        return DataError(f"data set {self.name!r} {found}; {rule}. {way_out}")

    def refuse_all(self, problems: Sequence[tuple[str, str, str]]) -> DataError:
        """Several refusals as one."""
        return DataError(" ".join(str(self.refuse(*parts)).removesuffix(".") + "." for parts in problems))

    def called(self) -> None:
        """Names address rows, folders and pictures."""
        name = self.name
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
                f"has the column name {repeated[0]!r} more than once",
                "columns are known by name",
                "Rename one of them.",
            )

    def column(self, role: str, value: Any, known: Iterable[Any] = ()) -> str | None:
        """The one column of a role, by its name in the table."""
        if isinstance(value, (list, tuple, dict, set)):
            raise self.refuse(
                f"names {value!r} as {role}", "one column plays that role", f"Name one in {self.at(role)}."
            )
        return None if value is None or value == "" else column_named(str(value), known)

    def columns(self, frame: pd.DataFrame, roles: dict[str, list[str]]) -> None:
        """Roles are played by columns that exist, and the labels play no other."""
        for role, names in roles.items():
            for column in names:
                if column not in frame.columns:
                    said = near("column", column, frame.columns, "The table has {}; choose for example")
                    raise DataError(f"data set {self.name!r}, {self.at(role)}: {said}")
        target = roles["target"][0]
        for role, names in roles.items():
            if role != "target" and target in names:
                raise self.refuse(
                    f"names {target!r} both as target and under {role}",
                    "the labels are nothing else",
                    f"Correct {self.at(role)}.",
                )


def near(kind: str, name: str, known: Iterable[str], way_out: str) -> str:
    """One sentence for an unknown name; of many known names only the nearest are listed.

    Parameters
    ----------
    kind, name : str
    known : iterable of str
    way_out : str
        How the nearest names are announced; ``{}`` stands for the number of all.

    Returns
    -------
    str

    Examples
    --------
    >>> near("table", "glas0", [f"glass{i}" for i in range(99)], "There are {}; choose for example")[:99]
    "unknown table 'glas0'; a study knows its tables by name. There are 99; choose for example one of: g"
    """
    names = list(known)
    if len(names) <= MOST:
        return unknown(kind, name, names)
    return unknown(kind, name, get_close_matches(name, names, n=NEAREST, cutoff=0), way_out.format(len(names)))


def hydra_value(value: Any) -> str:
    """A text, a number or a list of them in Hydra's grammar, quoted where it would be misread.

    Examples
    --------
    >>> hydra_value("left"), hydra_value("?"), hydra_value(["NA", "yes"])
    ('left', '"?"', '["NA","yes"]')
    """
    if isinstance(value, (list, tuple)):
        quoted = len(value) != 1 or not isinstance(value[0], str) or not _BARE.fullmatch(value[0])
        return f"[{','.join(_quoted(v) if quoted else hydra_value(v) for v in value)}]"
    return value if isinstance(value, str) and _BARE.fullmatch(value) else _quoted(value)


def _quoted(value: Any) -> str:
    """A text in double quotes; only a quote, and backslashes before one, are escaped."""
    if not isinstance(value, str):
        return str(value)
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + (r"\"" if found[2] else ""), value)
    return f'"{escaped}"'


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(2, "class")
    ('1 row', '2 classes')
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def column_named(name: str, known: Iterable[Any]) -> str:
    """The column that a name means: itself, or the only one that differs by blanks around it.

    Examples
    --------
    >>> column_named("left", ["age", " left"]), column_named("lft", ["age", " left"])
    (' left', 'lft')
    """
    columns = [str(column) for column in known]
    alike = [column for column in columns if column.strip() == name.strip()]
    return alike[0] if name not in columns and len(alike) == 1 else name


def missing_texts(value: Any) -> list[str]:
    """The texts that stand for missing values; an unquoted null is the text null."""
    values = value if isinstance(value, (list, tuple, set)) else [value]
    return [] if value is None else ["null" if v is None else str(v) for v in values]


def listed(value: Sequence[Any] | str | None) -> list[str]:
    """One name or several, as a list of text."""
    if value is None or value == "":
        return []
    return [str(v) for v in value] if isinstance(value, (list, tuple, set)) else [str(value)]
