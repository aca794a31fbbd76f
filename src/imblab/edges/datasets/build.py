"""From a raw table to a :class:`~imblab.study.Dataset`: roles, types, labels, and what cannot be studied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype, is_numeric_dtype

from imblab.edges.datasets.columns import (
    amounts,
    feature_columns,
    group_codes,
    level_texts,
    sort_key,
    times,
    values_of_one_text,
    without_missing,
)
from imblab.edges.datasets.inference import ReadingOptions, typed_frame
from imblab.edges.datasets.notation import COMMA, POINT, text_of
from imblab.edges.datasets.problems import (
    TableProblems,
    as_list,
    column_named,
    first_names,
    missing_texts,
    nearest_name,
)
from imblab.errors import DataError
from imblab.study import Dataset
from imblab.text import count_noun

#: The roles of columns that are not features, and the ways to read features.
COLUMN_ROLES = ("target", "drop", "categorical", "numeric", "groups", "time", "amount", "id")
#: What YAML 1.1 reads as true and as false.
YAML_WORDS = {True: ("yes", "y", "on", "true"), False: ("no", "n", "off", "false")}
#: The smallest ``rare.min_rows`` with an effect.
MIN_RARE_ROWS = 2


def dataset(
    frame: pd.DataFrame,
    target: str,
    *,
    name: str = "table",
    positive: Any = None,
    drop: Sequence[str] | str | None = None,
    categorical: Sequence[str] | str | None = None,
    numeric: Sequence[str] | str | None = None,
    groups: str | None = None,
    time: str | None = None,
    amount: str | None = None,
    id: str | None = None,
    parent: str | None = None,
    rare: Mapping[str, int] | None = None,
    source: str | None = None,
    allow_majority_positive: bool = False,
    missing: Sequence[Any] | str | None = None,
    time_format: str | None = None,
    key: str | None = None,
    problems: TableProblems | None = None,
) -> Dataset:
    """Make a data set from a table in memory.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Features, labels and other columns; one row per example.
    target : str
        The column of labels: two values of any type.
    name : str, default="table"
        Name of the data set in results and messages.
    positive : label, optional
        The label of the positive class; the rarer one by default.
    drop, categorical, numeric : str or sequence of str, optional
        Columns to leave out; columns to read as categories whatever their type; columns of texts to read as numbers.
    groups, time, amount, id : str, optional
        Columns that are not features: rows of one group stay together, rows are split by time, costs are weighted by
        the amount, the identifier is kept for look-up.
    parent : str, optional
        The parent data set, whose rows this one shares with others; the name by default.
    rare : mapping, optional
        ``{"min_rows": m}``: in each fit part, levels of a categorical column with fewer than m rows become one level.
        Without it a column of more than 100 levels is refused.
    source : str, optional
        The old name of ``parent``.
    allow_majority_positive : bool, default=False
        Whether the positive class may be the more frequent one.
    missing : value or sequence of values, optional
        Texts and numbers that stand for a missing value, in every column; an empty text always does.
    time_format : str, optional
        How the times are written, such as ``"%d/%m/%Y"``; needed where day and month cannot be told apart.
    key : str, optional
        The key under ``dataset.`` that messages name.
    problems : TableProblems, optional
        Problems found while the table was read; they are raised with those found here.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        With everything that prevents a study; each problem names the data set, the value, the rule and the way out.

    Examples
    --------
    >>> data = dataset(pd.DataFrame({"a": [1, 2, 3], "left": ["no", "yes", "no"]}), "left", name="churn")
    >>> data.classes, data.y.tolist()
    (('no', 'yes'), [0, 1, 0])
    """
    problems = problems or TableProblems(name, key)
    _check_name_and_shape(name, frame, problems)
    # Columns are known by their text: a header 1 is the same on the command line, in CSV and in memory.
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    single = {"target": target, "groups": groups, "time": time, "amount": amount, "id": id}
    several = {"drop": drop, "categorical": categorical, "numeric": numeric}
    roles, lists = _column_roles(frame, single, several, problems)
    frame = _with_missing_and_numeric(frame, missing_texts(missing), lists["numeric"], lists["drop"], problems)
    min_rows = _rare_min_rows(rare, problems)
    labels = None
    if roles["target"] is not None:
        labels = _labels(frame[roles["target"]], positive, allow_majority_positive, problems)
    others = {*lists["drop"], *roles.values()}
    features = [column for column in frame.columns if column not in others]
    if not features:
        problems.add(
            f"has no feature left of its {count_noun(frame.shape[1], 'column')}",
            "a learner needs at least one",
            f"Shorten {problems.option('drop')}.",
        )
    X, categories = feature_columns(frame, features, lists["categorical"], problems, min_rows)
    arrays = _role_arrays(frame, roles, time_format, problems)
    problems.raise_all()
    assert labels is not None  # a table without labels was refused
    y, classes = labels
    min_rows = min_rows if categories else None
    return Dataset(
        name=name,
        X=X,
        y=y,
        classes=classes,
        categorical=tuple(categories),
        **arrays,
        parent=parent or source or name,
        fingerprint=_content_hash(X, y, arrays, min_rows),
        notes=tuple(problems.notes),
        rare=min_rows,
    )


def _check_name_and_shape(name: Any, frame: Any, problems: TableProblems) -> None:
    if not isinstance(name, str) or not name.isprintable() or not name.strip(". ") or set(name) & set("/\\"):
        raise problems.error(
            "has a name that cannot be used in file names",
            "names are text without '/', '\\' or line breaks",
            f"Correct {problems.option('name')}.",
        )
    if not isinstance(frame, pd.DataFrame):
        raise problems.error(
            f"is given as {type(frame).__name__}", "a table is a pandas DataFrame", "Wrap it in pandas.DataFrame."
        )
    if len(frame) == 0:
        raise problems.error("holds 0 rows", "a study needs rows of two classes", "Check where it comes from.")
    names = frame.columns.map(str)
    repeated = names[names.duplicated()].unique().tolist()
    if repeated:
        raise problems.error(
            f"has {count_noun(len(repeated), 'column name')} more than once: {', '.join(map(repr, repeated))}",
            "columns are known by name",
            "Rename all but one of each.",
        )


def _column_roles(
    frame: pd.DataFrame, single: Mapping[str, Any], several: Mapping[str, Any], problems: TableProblems
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Return the existing columns by role: one or none, and lists of those left out or read as something else."""
    columns = list(frame.columns)
    target = single["target"]
    problems.dropped = [name for name in map(str, as_list(several["drop"])) if name in columns and name != str(target)]
    roles = {role: _single_column(role, value, columns, problems) for role, value in single.items()}
    if target is None or target == "":
        problems.add(
            "has no target", "a study needs the column that holds the labels", f"Set {problems.option('target')}."
        )
    lists = {role: _existing_columns(role, as_list(value), columns, problems) for role, value in several.items()}
    played = {role: [column] for role, column in roles.items() if column and role != "target"} | lists
    for role, names in played.items():
        if roles["target"] in names:
            others = [name for name in names if name != roles["target"]]
            value = others if role in ("drop", "categorical") else None
            problems.add(
                f"names {roles['target']!r} both as target and under {role}",
                "the labels have no other role",
                f"Set {problems.assign(role, value)}.",
                {role: value},
            )
    for name in (name for name in lists["numeric"] if name in lists["categorical"]):
        problems.add(
            f"names {name!r} under numeric and under categorical", "a column is one of them", "Correct one of the two."
        )
    return roles, lists


def _single_column(role: str, value: Any, columns: Sequence[str], problems: TableProblems) -> str | None:
    """Return the column of a role; None without one, or if it does not exist."""
    if isinstance(value, (list, tuple, dict, set)):
        example = next((str(v) for v in value if str(v) in columns), columns[0])
        problems.add(
            f"names {value!r} as {role}",
            "one column has that role",
            f"Name one, for example {problems.assign(role, example)}.",
        )
        return None
    return next(iter(_existing_columns(role, as_list(value), columns, problems, single=True)), None)


def _existing_columns(
    role: str, values: Sequence[Any], columns: Sequence[str], problems: TableProblems, single: bool = False
) -> list[str]:
    """Return the named columns that exist; each other one is a problem, answered with the nearest name."""
    names = [column_named(value, columns) for value in values]
    existing = [name for name in names if name in columns]
    for value, name in zip(values, names, strict=True):
        if name in existing:
            continue
        nearest = nearest_name(name, columns)
        corrected = nearest if single else [*existing, *([nearest] if nearest and nearest not in existing else [])]
        solution = None if corrected is None else {role: corrected}
        guess = f"Did you mean {nearest!r}? " if nearest else ""
        remedy = "Choose one of them. " if solution is None else f"Set {problems.assign(role, corrected)}. "
        problems.add(
            f"has no column {name!r}, which {problems.option(role)} names",
            f"its columns are {first_names(columns)}",
            f"{guess}{remedy}{_yaml_hint(value)}".rstrip(),
            solution,
        )
    return existing


def _yaml_hint(value: Any) -> str:
    """Return what to say of a value that YAML may have read as something else than what was written."""
    if not isinstance(value, bool):
        return ""
    words, word = ("yes, on and true", "yes") if value else ("no, off and false", "no")
    return f'YAML reads {words} without quotes as a truth value: quote the word, as in "{word}".'


def _with_missing_and_numeric(
    frame: pd.DataFrame, missing: list[str], numeric: list[str], dropped: list[str], problems: TableProblems
) -> pd.DataFrame:
    """Return the table with its missing values, and with the texts of numeric columns as numbers."""
    columns = {name: without_missing(frame[name], missing) for name in frame.columns if name not in dropped}
    for name in numeric:
        if name in columns and not is_numeric_dtype(columns[name]):
            texts = columns[name].map(text_of, na_action="ignore").astype(object)
            options = ReadingOptions({name: "numeric"}, (), (POINT, COMMA))
            arrays = [pa.array(texts.where(texts.notna(), None), pa.string())]
            columns[name] = typed_frame([name], arrays, options, problems)[name].set_axis(frame.index)
    changed = {name: column for name, column in columns.items() if column is not frame[name]}
    return frame.assign(**changed) if changed else frame


def _rare_min_rows(rare: Any, problems: TableProblems) -> int | None:
    if rare is None:
        return None
    value = rare.get("min_rows") if isinstance(rare, Mapping) and set(rare) == {"min_rows"} else None
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_RARE_ROWS:
        problems.add(
            f"has the value {rare!r} for rare",
            f"levels with fewer fit rows than min_rows, a whole number of at least {MIN_RARE_ROWS}, become one level",
            f"Write for example {problems.assign('rare', {'min_rows': 20})}.",
        )
        return MIN_RARE_ROWS
    return value


def _role_arrays(
    frame: pd.DataFrame, roles: dict[str, str | None], time_format: str | None, problems: TableProblems
) -> dict[str, np.ndarray | None]:
    readers: dict[str, Callable[[pd.Series, TableProblems], np.ndarray]] = {
        "groups": group_codes,
        "time": partial(times, time_format=time_format),
        "amount": amounts,
        "id": lambda column, _: column.to_numpy(),
    }
    arrays: dict[str, np.ndarray | None] = dict.fromkeys(readers)
    for role, read in readers.items():
        if (column := roles[role]) is not None:
            try:
                arrays[role] = read(frame[column], problems)
            except DataError as error:
                problems.add_error(error)
    return arrays


def _labels(
    column: pd.Series, positive: Any, allow_majority: bool, problems: TableProblems
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
        problems.add(
            f"names {text_of(chosen)!r} as positive, which {counts[chosen]} of {len(column)} rows are",
            "the positive class is the rare one",
            f"Set {problems.assign('positive', text_of(other))}, or {problems.assign('allow_majority_positive', True)} "
            "to study the frequent class.",
            {"positive": text_of(other)},
        )
    return (column == chosen).to_numpy(dtype=np.int64), (text_of(other), text_of(chosen))


def _is_same_label(label: Any, given: Any) -> bool:
    """Whether a label is the one that was given; true and false are known in any case."""
    texts = (text_of(label), text_of(given))
    folded = {text.lower() for text in texts}
    return texts[0] == texts[1] or (len(folded) == 1 and folded <= {"true", "false"})


def _add_class_count(column: pd.Series, labels: Sequence[Any], problems: TableProblems) -> None:
    listed = ", ".join(repr(text_of(label)) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
    problems.add(
        f"has {count_noun(len(labels), 'class')} in {column.name!r} ({listed})",
        "imblab studies two classes",
        "Keep rows of two labels, or make a column that holds one class against the others."
        if len(labels) > 2
        else f"Check the table, or name another column in {problems.option('target')}.",
    )


def _add_unknown_positive(
    column: pd.Series, positive: Any, labels: Sequence[Any], allow_majority: bool, problems: TableProblems
) -> None:
    """Add the problem of a label that does not exist; the nearest one, else the rarer one, is proposed."""
    counts = column.value_counts()
    rows = {text_of(label): counts[label] for label in labels}
    words = YAML_WORDS.get(positive, ()) if isinstance(positive, bool) else ()
    yaml_guess = next((text for text in rows if text.casefold() in words), None)
    nearest = yaml_guess or nearest_name(str(positive), rows)
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
        f"{remedy}. {_yaml_hint(positive) if yaml_guess else ''}".rstrip(),
        solution,
    )


def _check_label_texts(column: pd.Series, labels: list[Any], problems: TableProblems) -> None:
    """Labels are known by their text, so different ones need different texts."""
    mixed = infer_dtype(column, skipna=True).startswith("mixed")
    pair, reason = values_of_one_text(column) if mixed else None, "have the same text or are equal in Python"
    stripped: dict[str, str] = {}
    for text in map(text_of, labels):
        other = stripped.setdefault(text.strip(), text)
        if other != text:
            pair, reason = f"{other!r} and {text!r}", "differ only by blanks"
    if pair:
        problems.add(
            f"has the labels {pair} in {column.name!r}, which {reason}",
            "labels are known by their text",
            "Write them in one way.",
        )


def _content_hash(
    X: pd.DataFrame, y: np.ndarray, arrays: Mapping[str, np.ndarray | None], min_rows: int | None = None
) -> str:
    """Return the sha256 of the content, independent of path, format and name."""
    digest = hashlib.sha256()
    for name in X.columns:
        column = X[name]
        digest.update(f"{name}:{column.dtype.name}".encode())
        if isinstance(column.dtype, pd.CategoricalDtype):
            digest.update(repr(level_texts(list(column.cat.categories))).encode())
            column = column.cat.codes
        digest.update(np.ascontiguousarray(column.to_numpy(dtype=np.float64)).tobytes())
    digest.update(y.tobytes())
    for role in ("groups", "time", "amount"):
        if (values := arrays[role]) is not None:
            digest.update(role.encode() + np.ascontiguousarray(values).tobytes())
    if min_rows is not None:
        digest.update(f"rare:{min_rows}".encode())
    return digest.hexdigest()
