"""Labels: which classes a table has, how they are numbered, and which columns of labels cannot be studied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from imblab.edges.datasets import notation
from imblab.edges.datasets.columns import sort_key, values_of_one_text
from imblab.text import count_noun

#: What YAML 1.1 reads as true and as false.
YAML_WORDS = {True: ("yes", "y", "on", "true"), False: ("no", "n", "off", "false")}


def read_labels(
    column: pd.Series, positive: Any, allow_majority: bool, problems: notation.TableProblems
) -> tuple[np.ndarray, tuple[str, str]] | None:
    """Return the class of each row and the two labels; None after a problem."""
    missing = int(column.isna().sum())
    if missing:
        problems.add(
            f"has {count_noun(missing, 'row')} without a label in {column.name!r}",
            "every row must have a known class",
            "Drop those rows, or fill in the labels.",
        )
    counts = column.value_counts()
    counts = counts[counts > 0]  # a categorical column counts labels that no row has
    labels = sorted(counts.index, key=sort_key)
    _check_label_texts(column, labels, problems)
    if len(labels) != 2:
        if labels or not missing:
            _add_class_count(column, labels, problems)
        return None
    chosen = min(labels, key=lambda label: (counts[label], -labels.index(label)))
    if positive is not None:
        matches = [label for label in labels if _is_same_label(label, positive)]
        if not matches:
            _add_unknown_positive(column, positive, labels, allow_majority, problems)
            return None
        chosen = matches[0]
    other = next(label for label in labels if label != chosen)
    if counts[chosen] > counts[other] and not allow_majority:
        allowed = problems.assign("allow_majority_positive", True)
        problems.add(
            f"names {notation.label_text(chosen)!r} as positive, which {counts[chosen]} of {len(column)} rows are",
            "the positive class is the rare one",
            f"Set {problems.assign('positive', notation.label_text(other))}, or {allowed} to study the frequent class.",
            {"positive": notation.label_text(other)},
        )
    return (column == chosen).to_numpy(dtype=np.int64), (notation.label_text(other), notation.label_text(chosen))


def _is_same_label(label: Any, given: Any) -> bool:
    """Whether a label is the one that was given; true and false are known in any case."""
    texts = (notation.label_text(label), notation.label_text(given))
    folded = {text.lower() for text in texts}
    return texts[0] == texts[1] or (len(folded) == 1 and folded <= {"true", "false"})


def _add_class_count(column: pd.Series, labels: Sequence[Any], problems: notation.TableProblems) -> None:
    listed = ", ".join(repr(notation.label_text(label)) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
    problems.add(
        f"has {count_noun(len(labels), 'class')} in {column.name!r} ({listed})",
        "imblab studies two classes",
        "Keep rows of two labels, or make a column that holds one class against the others."
        if len(labels) > 2
        else f"Check the table, or name another column in {problems.option('target')}.",
    )


def _add_unknown_positive(
    column: pd.Series, positive: Any, labels: Sequence[Any], allow_majority: bool, problems: notation.TableProblems
) -> None:
    """Add the problem of a label that does not exist; the nearest one, else the rarer one, is proposed."""
    counts = column.value_counts()
    rows = {notation.label_text(label): counts[label] for label in labels}
    words = YAML_WORDS.get(positive, ()) if isinstance(positive, bool) else ()
    yaml_guess = next((text for text in rows if text.casefold() in words), None)
    nearest = yaml_guess or notation.nearest_name(str(positive), rows)
    nearest = nearest or next((text for text in rows if str(positive).strip() in text), None)
    chosen = nearest or min(rows, key=lambda text: rows[text])
    solution: dict[str, Any] = {"positive": chosen}
    remedy = f"Set {problems.assign('positive', chosen)}"
    if rows[chosen] > len(column) / 2 and not allow_majority:
        # The word that the user wrote decides, even if most rows have it.
        solution["allow_majority_positive"] = True
        remedy += f" and {problems.assign('allow_majority_positive', True)}, to study the class of most rows"
    listed = " and ".join(f"{text!r} ({count} rows)" for text, count in rows.items())
    problems.add(
        f"has no label {str(positive)!r} in {column.name!r}",
        f"its labels are {listed}",
        f"{remedy}. {notation.yaml_hint(positive) if yaml_guess else ''}".rstrip(),
        solution,
    )


def _check_label_texts(column: pd.Series, labels: list[Any], problems: notation.TableProblems) -> None:
    """Labels are known by their text, so different ones need different texts."""
    mixed = infer_dtype(column, skipna=True).startswith("mixed")
    pair, reason = values_of_one_text(column) if mixed else None, "have the same text or are equal in Python"
    stripped: dict[str, str] = {}
    for text in map(notation.label_text, labels):
        other = stripped.setdefault(text.strip(), text)
        if other != text:
            pair, reason = f"{other!r} and {text!r}", "differ only by blanks"
    if pair:
        problems.add(
            f"has the labels {pair} in {column.name!r}, which {reason}",
            "labels are known by their text",
            "Write them in one way.",
        )
