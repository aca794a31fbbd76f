"""Which column of a table could hold the labels, for a user who has not said it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imblab.edges.datasets.columns import text_of

#: Words in the names of columns of labels.
WORDS = (
    *("target", "label", "labels", "class", "y", "outcome", "response", "result", "status", "flag", "positive"),
    *("churn", "churned", "left", "exited", "attrition", "fraud", "fraudulent", "is_fraud", "default", "defaulted"),
    *("diagnosis", "disease", "sick", "death", "died", "survived", "readmitted", "failure", "failed", "defect"),
    *("spam", "bad", "risk", "income", "bought", "purchased", "subscribed", "converted", "clicked", "deposit"),
)
#: Columns that a message lists.
MAX_LISTED_TARGETS = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that could hold the labels.

    Attributes
    ----------
    column : str
    labels : tuple of (str, int)
        Its two labels with their numbers of rows, the rarer one first.
    """

    column: str
    labels: tuple[tuple[str, int], ...]

    def text(self) -> str:
        """The column with its labels, as a message lists it.

        Examples
        --------
        >>> Candidate("left", (("yes", 3), ("no", 9))).text()
        "'left' (yes 3, no 9)"
        """
        return f"{self.column!r} ({', '.join(f'{label} {rows}' for label, rows in self.labels)})"


def candidates(frame: pd.DataFrame, known_as: str = "") -> list[Candidate]:
    """Find the columns of two values, the likeliest first: by their name, their place and their rows.

    Parameters
    ----------
    frame : DataFrame
    known_as : str, default=""
        What the table is called: ``churn.csv`` has its labels in ``churn``.

    Returns
    -------
    list of Candidate

    Examples
    --------
    >>> frame = pd.DataFrame({"member": [0, 1, 0, 1], "left": ["no", "no", "no", "yes"], "age": [1, 2, 3, 4]})
    >>> [found.text() for found in candidates(frame)]
    ["'left' (yes 1, no 3)", "'member' (0 2, 1 2)"]
    """
    ranked = []
    for place, name in enumerate(frame.columns):
        column = frame[name]
        try:
            rows = column.value_counts()
        except TypeError:  # lists in cells
            continue
        rows = rows[rows > 0]
        if len(rows) != 2:
            continue
        labels = tuple((text_of(label), int(n)) for label, n in sorted(rows.items(), key=lambda item: item[1]))
        rank = (
            not _is_named_so(str(name), known_as),
            bool(column.isna().any()),
            place not in (0, frame.shape[1] - 1),
            labels[0][1] / int(rows.sum()),
        )
        ranked.append((rank, Candidate(str(name), labels)))
    return [candidate for _, candidate in sorted(ranked, key=lambda item: item[0])]


def nearly(frame: pd.DataFrame) -> list[str]:
    """The columns with three to ten values, where none has two: one class of them against the rest may be meant."""
    found: list[str] = []
    for name in frame.columns:
        try:
            n = int(frame[name].nunique())
        except TypeError:  # lists in cells
            continue
        found += [f"{str(name)!r} ({n} values)"] if 2 < n <= 10 else []
    return found


def describe(found: Sequence[Candidate], frame: pd.DataFrame) -> str:
    """What could be the target, in a sentence."""
    if found:
        more = f" and {len(found) - MAX_LISTED_TARGETS} more" if len(found) > MAX_LISTED_TARGETS else ""
        return f"Of two values are {', '.join(c.text() for c in found[:MAX_LISTED_TARGETS])}{more}."
    close = nearly(frame)
    said = f"; closest are {', '.join(close[:MAX_LISTED_TARGETS])}" if close else ""
    return f"None of its {frame.shape[1]} columns has two values{said}. Make one that says one class against the rest."


def _is_named_so(name: str, known_as: str) -> bool:
    words: list[Any] = re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    own = known_as.lower()
    return name.lower() in (*WORDS, own) or any(word in WORDS[:11] or (own and word == own) for word in words)
