"""Labels: which classes a table has, how they are numbered, and which columns of labels cannot be studied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from imblab.core.classes import merged_classes, number_classes
from imblab.edges.datasets import notation
from imblab.edges.datasets.columns import sort_key, values_of_one_text
from imblab.edges.datasets.regrouping import Regrouping, is_same_label, list_labels, note_regrouping, regroup_labels
from imblab.study import Scalar
from imblab.text import count_noun

#: What YAML 1.1 reads as true and as false.
YAML_WORDS = {True: ("yes", "y", "on", "true"), False: ("no", "n", "off", "false")}
#: Classes that a table may have; a column of more labels is a number or a text more often than a class.
MAX_STUDIED_CLASSES = 100
#: A class has more rows than this on average, or its label is a different one in nearly every row.
MIN_MEAN_ROWS = 2
#: What pandas infers of labels that are numbers.
NUMERIC_LABELS = ("integer", "floating", "mixed-integer-float", "decimal")


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Keys of a data set on its labels: the positive one, those merged into one class, those left out."""

    positive: Any = None
    allow_majority: bool = False
    merge: Any = None
    drop: Any = None


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of a table."""

    y: np.ndarray  # (n_rows,): the class of each row, -1 for a row that is left out
    classes: tuple[str, ...]  # the label of each class, by its number
    merged: Mapping[str, tuple[str, ...]]  # labels that are one class, by the label of that class
    dropped: tuple[str, ...]  # labels whose rows are left out
    #: the label of each class as the column holds it; empty unless all are texts, flags or numbers of one type
    values: tuple[Scalar, ...]


def read_labels(column: pd.Series, options: LabelOptions, problems: notation.TableProblems) -> Labels | None:
    """Return the classes of a table; None after a problem.

    Labels of any type are known by their text. Those to be merged become one class, rows of those to be dropped are
    left out, and then the classes are numbered: of two the rarer is 1 unless ``positive`` names one (equally frequent:
    the last label), more of them by falling frequency.
    """
    missing = int(column.isna().sum())
    if missing:
        problems.add(
            f"has {count_noun(missing, 'row')} without a label in {column.name!r}",
            "every row must have a known class",
            "Drop those rows, or fill in the labels.",
        )
    labels = _distinct_labels(column, problems)
    if not labels:
        if labels is not None and not missing:
            _add_class_count(column, {}, False, problems)
        return None
    _check_label_texts(column, list(labels), problems)
    texts = {label: notation.label_text(label) for label in labels}
    rows = {text: labels[label] for label, text in texts.items()}
    regrouping = regroup_labels(str(column.name), rows, options.merge, options.drop, problems)
    if regrouping is None:
        return None
    classes = _numbered(column, regrouping, rows, options, problems)
    if classes is None:
        return None
    note_regrouping(regrouping, rows, problems)
    number: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    codes, distinct = pd.factorize(column)
    class_of_code = [number.get(regrouping.class_of[notation.label_text(label)], -1) for label in distinct]
    y = np.array([*class_of_code, -1], dtype=np.int64)[codes]  # a missing label has the code -1
    held = {text: label.item() if isinstance(label, np.generic) else label for label, text in texts.items()}
    values = tuple(name if name in regrouping.merged else held[name] for name in classes)
    is_plain = len({*map(type, values)}) == 1 and isinstance(values[0], (str, bool, int, float))
    return Labels(y, classes, regrouping.merged, regrouping.dropped, values if is_plain else ())


def _distinct_labels(column: pd.Series, problems: notation.TableProblems) -> dict[Any, int] | None:
    """Return the rows of each label, numbers by value, then texts; None if the values cannot be labels."""
    unusable = next((value for value in column if isinstance(value, (list, tuple, dict, set, bytes, np.ndarray))), None)
    if unusable is not None:
        problems.add(
            f"has values of type {type(unusable).__name__} in {column.name!r}",
            "a label is a number, a text, a flag or a date",
            f"Convert them, or name another column in {problems.option('target')}.",
        )
        return None
    counts = column.value_counts()
    counts = counts[counts > 0]  # a categorical column counts labels that no row has
    return {label: int(counts[label]) for label in sorted(counts.index, key=sort_key)}


def _numbered(
    column: pd.Series,
    regrouping: Regrouping,
    rows: Mapping[str, int],
    options: LabelOptions,
    problems: notation.TableProblems,
) -> tuple[str, ...] | None:
    """Return the classes by their number; None after a problem."""
    class_rows = regrouping.rows_of_classes(rows)
    n_rows = sum(class_rows.values())
    if len(class_rows) < 2:
        _add_class_count(column, class_rows, bool(regrouping.merged or regrouping.dropped), problems)
        return None
    if len(class_rows) == 2:
        return _numbered_pair(str(column.name), class_rows, options, problems)
    if len(class_rows) > MAX_STUDIED_CLASSES or MIN_MEAN_ROWS * len(class_rows) > n_rows:
        _add_many_labels(column, len(class_rows), n_rows, problems)
        return None
    if options.positive is not None:
        _add_positive_of_many(str(column.name), class_rows, regrouping.merged, options.positive, problems)
        return None
    return number_classes(class_rows)


def _numbered_pair(
    column: str, class_rows: Mapping[str, int], options: LabelOptions, problems: notation.TableProblems
) -> tuple[str, ...] | None:
    """Return the negative and the positive class: the rarer one, unless another is named."""
    classes = list(class_rows)
    chosen = min(classes, key=lambda name: (class_rows[name], -classes.index(name)))
    if options.positive is not None:
        matches = [name for name in classes if is_same_label(name, options.positive)]
        matches.sort(key=lambda name: name != notation.label_text(options.positive))
        if not matches:
            _add_unknown_positive(column, options, class_rows, problems)
            return None
        chosen = matches[0]
    other = next(name for name in classes if name != chosen)
    if class_rows[chosen] > class_rows[other] and not options.allow_majority:
        allowed = problems.assign("allow_majority_positive", True)
        problems.add(
            f"names {chosen!r} as positive, which {class_rows[chosen]} of {sum(class_rows.values())} rows are",
            "the positive class is the rare one",
            f"Set {problems.assign('positive', other)}, or {allowed} to study the frequent class.",
            {"positive": other},
        )
    return other, chosen


def _add_class_count(
    column: pd.Series, class_rows: Mapping[str, int], is_regrouped: bool, problems: notation.TableProblems
) -> None:
    listed = f" ({', '.join(map(repr, class_rows))})" if class_rows else ""
    merged = " after merge and drop_classes" if is_regrouped else ""
    problems.add(
        f"has {count_noun(len(class_rows), 'class')} in {column.name!r}{listed}{merged}",
        "a study needs at least two",
        f"Shorten {problems.option('merge')} or {problems.option('drop_classes')}."
        if is_regrouped
        else f"Check the table, or name another column in {problems.option('target')}.",
    )


def _add_many_labels(column: pd.Series, n_classes: int, n_rows: int, problems: notation.TableProblems) -> None:
    """Add the problem of a column of numbers to predict, of identifiers or of free text."""
    is_number = infer_dtype(column, skipna=True) in NUMERIC_LABELS
    kind = "a number to predict" if is_number else "an identifier or a free text"
    way_out = "make classes of its ranges" if is_number else "merge its labels into fewer classes"
    problems.add(
        f"has {n_classes} different labels in the {n_rows} rows of {column.name!r}, like {kind}",
        f"labels are classes, at most {MAX_STUDIED_CLASSES} of them and with several rows each",
        f"Name the column of classes in {problems.option('target')}, or {way_out}.",
    )


def _add_positive_of_many(
    column: str,
    class_rows: Mapping[str, int],
    merged: Mapping[str, Sequence[str]],
    positive: Any,
    problems: notation.TableProblems,
) -> None:
    """Add the problem of a positive class among more than two: one class against all others is a merge."""
    match = next((name for name in class_rows if is_same_label(name, positive)), None)
    meant = match or notation.nearest_name(str(positive), class_rows) or number_classes(class_rows)[-1]
    others = [name for name in class_rows if name != meant]
    solution = {"positive": meant, "merge": merged_classes(list(class_rows), merged, others, "rest")}
    separator = ", " if problems.key is None else " "
    named = f"names {str(positive)!r} as positive" + ("" if match else f", which {column!r} does not hold,")
    problems.add(
        f"{named} and has {len(class_rows)} classes in {column!r}: {list_labels(class_rows)}",
        "positive is for two classes",
        f"Leave it out to study all classes: {problems.assign('positive', None)}. To study {meant!r} against the rest: "
        f"{separator.join(problems.assign(role, value) for role, value in solution.items())}.",
        solution,
    )


def _add_unknown_positive(
    column: str, options: LabelOptions, rows: Mapping[str, int], problems: notation.TableProblems
) -> None:
    """Add the problem of a label that does not exist; the nearest one, else the rarer one, is proposed."""
    positive = options.positive
    words = YAML_WORDS.get(positive, ()) if isinstance(positive, bool) else ()
    yaml_guess = next((text for text in rows if text.casefold() in words), None)
    nearest = yaml_guess or notation.nearest_name(str(positive), rows)
    nearest = nearest or next((text for text in rows if str(positive).strip() in text), None)
    chosen = nearest or min(rows, key=lambda text: rows[text])
    solution: dict[str, Any] = {"positive": chosen}
    remedy = f"Set {problems.assign('positive', chosen)}"
    if rows[chosen] > sum(rows.values()) / 2 and not options.allow_majority:
        # The word that the user wrote decides, even if most rows have it.
        solution["allow_majority_positive"] = True
        remedy += f" and {problems.assign('allow_majority_positive', True)}, to study the class of most rows"
    problems.add(
        f"has no label {str(positive)!r} in {column!r}",
        f"its labels are {list_labels(rows)}",
        f"{remedy}. {notation.yaml_hint(positive) if yaml_guess else ''}".rstrip(),
        solution,
    )


def _check_label_texts(column: pd.Series, labels: list[Any], problems: notation.TableProblems) -> None:
    """Labels are known by their text, so different ones need different texts."""
    mixed = infer_dtype(column, skipna=True).startswith("mixed")
    pair, reason = values_of_one_text(column) if mixed else None, "have the same text or are equal in Python"
    stripped: dict[str, str] = {}
    folded: dict[str, str] = {}
    for text in map(notation.label_text, labels):
        other = stripped.setdefault(text.strip(), text)
        if other != text:
            pair, reason = f"{other!r} and {text!r}", "differ only by blanks"
        elif (alike := folded.setdefault(text.casefold(), text)) != text:
            problems.notes.append(
                f"has the labels {alike!r} and {text!r} in {column.name!r}, which differ only in case; to make them "
                f"one class: {problems.assign('merge', {alike: [alike, text]})}"
            )
    if pair:
        problems.add(
            f"has the labels {pair} in {column.name!r}, which {reason}",
            "labels are known by their text",
            "Write them in one way.",
        )
