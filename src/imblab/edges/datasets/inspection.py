"""Facts about a table, warnings about what makes its scores doubtful, and columns that could hold the labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from imblab.core.classes import class_rows
from imblab.core.group_folds import identical_row_ids
from imblab.edges.datasets.notation import TableProblems, date_form, label_text
from imblab.study import Dataset, Split
from imblab.text import count_noun, join_words

#: Words in the names of columns of labels; the first ones also as a part of a name.
TARGET_PARTS = (
    *("target", "label", "labels", "class", "y", "outcome"),
    *("response", "result", "status", "flag", "positive"),
)
TARGET_NAMES = (
    *TARGET_PARTS,
    *("churn", "churned", "left", "exited", "attrition", "fraud", "fraudulent", "is_fraud", "default", "defaulted"),
    *("diagnosis", "disease", "sick", "death", "died", "survived", "readmitted", "failure", "failed", "defect"),
    *("spam", "bad", "risk", "income", "bought", "purchased", "subscribed", "converted", "clicked", "deposit"),
)
MAX_LISTED_TARGETS = 6
#: Values of a column that may be the classes where no target is named.
MAX_CLASSES = 20
MAX_SHOWN_LABELS = 3
#: Words of the note on a column that may be known only after the label: it is repeated in the answer of a study.
SEPARATES = "separates the classes by itself"
#: Smaller tables are not searched for identifiers.
MIN_IDENTIFIER_ROWS = 20
#: Nouns for what has several rows of a table: a column of that name, or of its id, names groups of rows.
GROUP_NOUNS = (
    *("account", "animal", "case", "client", "company", "customer", "device", "donor", "employee", "family"),
    *("group", "household", "machine", "member", "participant", "patient", "person", "session", "student", "subject"),
    *("user", "visitor"),
)
#: Last words in the names of columns of identifiers; the first ones after any noun.
ID_WORDS = ("id", "identifier", "uid", "uuid", "code", "key", "name", "no", "nr", "number")
#: Values of a column that is named after a group; of texts and other ids it is more than this share of the rows.
MIN_GROUPS, MIN_GROUP_SHARE = 10, 0.1


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """Return the column types and counts of a data set.

    ``ratio`` is negatives to positives; with more than two classes it is rows of the largest to rows of the smallest
    class, and ``class_rows`` takes the place of ``positives``. ``categorical`` has numbers of levels, ``missing``
    numbers of missing values.
    """
    X, rows = dataset.X, class_rows(dataset).tolist()
    return {
        "name": dataset.name,
        "rows": len(X),
        "features": X.shape[1],
        **({"positives": rows[1]} if len(rows) == 2 else {"class_rows": rows}),
        "ratio": rows[0] / rows[-1],
        "classes": list(dataset.classes),
        "numeric": [c for c in X.columns if c not in dataset.categorical],
        "categorical": {c: len(X[c].cat.categories) for c in dataset.categorical},
        "missing": {str(c): int(n) for c, n in X.isna().sum().items() if n},
        "parent": dataset.parent,
        **({"rare": {"min_rows": dataset.rare}} if dataset.rare is not None else {}),
        **({"merged": {name: list(labels) for name, labels in dataset.merged.items()}} if dataset.merged else {}),
        **({"fold_names": list(dataset.fold_names)} if dataset.fold_names else {}),
        **({"dropped_classes": list(dataset.dropped_classes)} if dataset.dropped_classes else {}),
        "fingerprint": dataset.fingerprint,
    }


def dataset_warnings(dataset: Dataset, splits: Sequence[Split]) -> tuple[str, ...]:
    """Describe what makes scores of this table doubtful, one sentence per finding, after how the table was read."""
    findings = (*dataset.notes, *_duplicate_findings(dataset, splits), *_column_findings(dataset))
    return tuple(f"{dataset.name!r} {text}{'' if text.endswith(('.', '?')) else '.'}" for text in findings)


def _duplicate_findings(dataset: Dataset, splits: Sequence[Split]) -> Iterator[str]:
    row_ids = identical_row_ids(dataset.X)
    extra = int((np.bincount(row_ids) - 1).sum())
    if not extra:
        return
    fold = np.full(len(row_ids), -1)
    for split in (s for s in splits if s.repeat == 0):
        fold[split.test] = split.fold
    folds = pd.Series(fold).groupby(row_ids).transform("nunique").to_numpy()
    yield (
        f"has {count_noun(extra, 'row')} whose features repeat an earlier row exactly; {int((folds > 1).sum())} of all "
        f"rows have a copy in another outer fold. Exact duplicates across folds inflate scores. {_part_copies(dataset)}"
    )
    labels = pd.Series(dataset.y).groupby(row_ids).transform("nunique").to_numpy()
    contradicting = int((labels > 1).sum())
    if contradicting:
        rows = count_noun(contradicting, "row")
        yield f"has {rows} with identical features and different labels (label noise)."


def _part_copies(dataset: Dataset) -> str:
    """Say what to do about copies, by what makes the folds: `groups` are no way out where they are set or refused."""
    if dataset.folds is not None:
        return "Remove them, or put copies into one fold."
    if dataset.groups is not None:
        return "Remove them, or put copies into one group."
    return "Remove them, or set `groups`." if dataset.time is None else "Remove them."


def _column_findings(dataset: Dataset) -> Iterator[str]:
    for name in dataset.X.columns:
        column = dataset.X[name]
        numbers = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
        empty = column.isna().to_numpy()
        if empty.all():
            yield f"has column {name!r} without any value: it is filled with 0 and carries no information."
        elif numbers.min() == numbers.max() and not empty.any():
            yield f"has the constant column {name!r}, which carries no information."
        elif not empty.any() and _is_identifier(column):
            kind = "text" if name in dataset.categorical else "whole number"
            yield f"has column {name!r}, a different {kind} in every row: an id? Leave it out with `drop` if so."
        elif name in dataset.categorical and dataset.rare and column.value_counts().max() < dataset.rare:
            yield (
                f"has column {name!r}, in which no level has {dataset.rare} rows: all of them are one rare level, "
                "which carries no information. Lower `rare`, or leave the column out with `drop`."
            )
        elif not empty.any() and _separates_classes(column, dataset.y):
            yield f"has column {name!r}, which {SEPARATES}: is it known only after the label?"


def _is_identifier(column: pd.Series) -> bool:
    if len(column) < MIN_IDENTIFIER_ROWS:
        return False
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.is_unique
    numbers = column.to_numpy()
    # Fractions are seen at once; distinct values need a hash table.
    distinct = bool((numbers == np.rint(numbers)).all()) and column.is_unique
    return distinct and bool((np.diff(numbers) > 0).all() or np.ptp(numbers) < 2 * len(numbers))


def group_notes(frame: pd.DataFrame, target: str | None, problems: TableProblems) -> Iterator[str]:
    """Note columns that may name groups of rows, such as customers: no column is made one without being asked."""
    for name in map(str, frame.columns):
        if name != target and (n_values := _count_repeated_ids(name, frame[name])):
            yield (
                f"has {n_values} values in column {name!r}, most of them in several rows, like ids of customers or "
                "patients: rows with one id may be in training and test parts, which inflates scores. To keep them "
                f"together: {problems.assign('groups', name)}"
            )


def _count_repeated_ids(name: str, column: pd.Series) -> int:
    """Return the number of values of a column whose name and repetition are those of ids, or 0."""
    words = _name_words(name)
    names_group = words[0].removesuffix("id") in GROUP_NOUNS and (len(words) == 1 or words[-1] in ID_WORDS)
    kind = infer_dtype(column, skipna=False)
    is_text = kind in ("string", "categorical")
    if not is_text and (kind != "integer" or not (names_group or words[-1] in ID_WORDS[:4])):
        return 0
    counts = column.value_counts()
    least = MIN_GROUPS if names_group else max(MIN_GROUP_SHARE * len(column), MIN_GROUPS)
    is_repeated = len(counts) >= least and (counts > 1).mean() > 0.5
    has_dates = date_form([value for value in counts.index if isinstance(value, str)]) is not None
    return len(counts) if is_repeated and not has_dates else 0


def _separates_classes(column: pd.Series, y: np.ndarray) -> bool:
    """Whether no level, or no range of numbers, holds rows of two classes."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return not (pd.Series(y).groupby(column.cat.codes.to_numpy()).nunique() > 1).any()
    ranges = pd.Series(column.to_numpy()).groupby(y).agg(["min", "max"]).sort_values("min").to_numpy()
    return bool((ranges[1:, 0] > ranges[:-1, 1]).all())


@dataclass(frozen=True, slots=True)
class TargetCandidate:
    """A column that could hold the labels, with its labels and their rows, the rarest one first."""

    column: str
    labels: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        shown = [f"{label} {rows}" for label, rows in self.labels]
        if len(shown) > MAX_SHOWN_LABELS:
            shown = [*shown[:MAX_SHOWN_LABELS], f"{len(shown) - MAX_SHOWN_LABELS} more labels"]
        return f"{self.column!r} ({', '.join(shown)})"


def target_candidates(frame: pd.DataFrame, table: str = "") -> list[TargetCandidate]:
    """Find the columns that could hold the labels, the likeliest first: by name, values, gaps, position and rows.

    They are the columns of two values and those of a few more whose name is that of a target; without any, all columns
    of a few values. ``table`` is the name of the table: ``churn.csv`` has its labels in ``churn``.
    """
    ranked = []
    for position, name in enumerate(frame.columns):
        column = frame[name]
        try:
            rows = column.value_counts()
        except TypeError:  # lists in cells
            continue
        rows = rows[rows > 0]
        if not 2 <= len(rows) <= MAX_CLASSES or 2 < len(rows) == len(column):
            continue
        labels = tuple((label_text(label), int(n)) for label, n in sorted(rows.items(), key=lambda item: item[1]))
        rank = (
            not _is_target_name(str(name), table.lower()),
            len(rows) > 2,
            bool(column.isna().any()),
            position not in (0, frame.shape[1] - 1),
            labels[0][1] / int(rows.sum()),
        )
        ranked.append((rank, TargetCandidate(str(name), labels)))
    likely = [item for item in ranked if not (item[0][0] and item[0][1])]
    return [candidate for _, candidate in sorted(likely or ranked, key=lambda item: item[0])]


def describe_targets(candidates: Sequence[TargetCandidate], frame: pd.DataFrame) -> str:
    """Describe in a sentence which columns could be the target."""
    if not candidates:
        return f"None of its {frame.shape[1]} columns has from two to {MAX_CLASSES} values."
    values = "two values" if all(len(candidate.labels) == 2 for candidate in candidates) else "few values"
    return f"Columns with {values}: {join_words(map(str, candidates), limit=MAX_LISTED_TARGETS)}."


def _is_target_name(name: str, table: str) -> bool:
    words = _name_words(name)
    return name.lower() in (*TARGET_NAMES, table) or any(w in TARGET_PARTS or (table and w == table) for w in words)


def _name_words(name: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
