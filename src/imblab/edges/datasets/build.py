"""From a raw table to a :class:`~imblab.study.Dataset`: roles, types, labels, and what cannot be studied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_numeric_dtype

from imblab.edges.datasets import notation
from imblab.edges.datasets.columns import amounts, feature_columns, fold_codes, group_codes, level_texts, times
from imblab.edges.datasets.inference import ReadingOptions, typed_frame
from imblab.edges.datasets.inspection import group_notes
from imblab.edges.datasets.labels import LabelOptions, Labels, read_labels
from imblab.errors import DataError
from imblab.study import Dataset
from imblab.text import count_noun
from imblab_model import without_missing

#: The roles of columns that are not features, and the ways to read features.
COLUMN_ROLES = ("target", "drop", "categorical", "numeric", "groups", "folds", "time", "amount", "id")
#: The smallest ``rare.min_rows`` with an effect.
MIN_RARE_ROWS = 2


def dataset(  # noqa: PLR0913 (keyword arguments of the public API, one per key of a data set)
    frame: pd.DataFrame,
    target: str,
    *,
    name: str = "table",
    positive: Any = None,
    drop: Sequence[str] | str | None = None,
    categorical: Sequence[str] | str | None = None,
    numeric: Sequence[str] | str | None = None,
    groups: str | None = None,
    folds: str | None = None,
    time: str | None = None,
    amount: str | None = None,
    id: str | None = None,
    parent: str | None = None,
    rare: Mapping[str, int] | None = None,
    source: str | None = None,
    allow_majority_positive: bool = False,
    merge: Mapping[str, Sequence[Any]] | None = None,
    drop_classes: Sequence[Any] | str | None = None,
    missing: Sequence[Any] | str | None = None,
    time_format: str | None = None,
    key: str | None = None,
    problems: notation.TableProblems | None = None,
) -> Dataset:
    """Make a data set from a table in memory.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Features, labels and other columns; one row per example.
    target : str
        The column of labels: two or more values of any type. With more than two, classes are numbered by falling
        frequency: 0 is the most frequent class, the last the rarest.
    name : str, default="table"
        Name of the data set in results and messages.
    positive : label, optional
        The label of the positive class of two; the rarer one by default.
    drop, categorical, numeric : str or sequence of str, optional
        Columns to leave out; columns to read as categories, of any type; columns of texts to read as numbers.
    groups, folds, time, amount, id : str, optional
        Columns that are not features: rows of one group stay together, rows of one fold are tested together, rows are
        split by time, costs are weighted by the amount, the identifier is kept for look-up.
    parent : str, optional
        The parent data set, whose rows this one shares with others; the name by default.
    rare : mapping, optional
        ``{"min_rows": m}``: in each fit part, levels of a categorical column with fewer than m rows become one level.
        Without it a column of more than 100 levels is refused.
    source : str, optional
        The old name of ``parent``.
    allow_majority_positive : bool, default=False
        Whether the positive class may be the more frequent one.
    merge : mapping of label to sequence of labels, optional
        ``{"other": ["a", "b"]}``: the labels a and b become one class, called other.
    drop_classes : label or sequence of labels, optional
        Labels whose rows are left out, as if the table did not have them.
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
        Features, class numbers and roles; its fingerprint is the hash of its content, the order of rows included.

    Raises
    ------
    DataError
        With everything that prevents a study; each problem names the data set, the value, the rule and the way out.

    See Also
    --------
    imblab.run : Run a study of data sets, ``run(dataset(...))``.

    Examples
    --------
    >>> data = dataset(pd.DataFrame({"a": [1, 2, 3], "left": ["no", "yes", "no"]}), "left", name="churn")
    >>> data.classes, data.y.tolist()
    (('no', 'yes'), [0, 1, 0])
    >>> frame = pd.DataFrame({"a": range(7), "site": ["cyt", "nuc", "cyt", "mit", "cyt", "nuc", "mit"]})
    >>> data = dataset(frame, "site", name="sites")
    >>> data.classes, data.y.tolist()
    (('cyt', 'mit', 'nuc'), [0, 2, 0, 1, 0, 2, 1])
    """
    problems = problems or notation.TableProblems(name, key)
    _check_name_and_shape(name, frame, problems)
    # Columns are known by their text: a header 1 is the same on the command line, in CSV and in memory.
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    single = {"target": target, "groups": groups, "folds": folds, "time": time, "amount": amount, "id": id}
    _check_names(single, problems)
    several = {"drop": drop, "categorical": categorical, "numeric": numeric}
    roles, lists = _column_roles(frame, single, several, problems)
    frame = _with_missing_and_numeric(frame, notation.missing_texts(missing), lists["numeric"], lists["drop"], problems)
    min_rows = _rare_min_rows(rare, problems)
    options = LabelOptions(positive, allow_majority_positive, merge, drop_classes)
    frame, labels = _labelled_rows(frame, roles["target"], options, problems)
    features = _feature_names(frame, {*lists["drop"], *roles.values()}, problems)
    X, categories = feature_columns(frame, features, lists["categorical"], problems, min_rows)
    arrays, fold_names = _role_arrays(frame, roles, time_format, problems)
    problems.raise_all()
    assert labels is not None  # a table without labels was refused
    min_rows = min_rows if categories else None
    if not any(roles[role] for role in ("groups", "folds", "time")):
        problems.notes += group_notes(frame, roles["target"], problems)
    details: dict[str, Any] = {"merged": labels.merged, "dropped_classes": labels.dropped, "fold_names": fold_names}
    details |= arrays
    # The labels of a file may be texts because it holds nothing else.
    details |= {"missing": tuple(notation.missing_texts(missing)), "labels": labels.values if key is None else ()}
    return Dataset(
        name=name,
        X=X,
        y=labels.y,
        classes=labels.classes,
        categorical=tuple(categories),
        parent=parent or source or name,
        fingerprint=_content_hash(X, labels.y, arrays, min_rows),
        notes=tuple(problems.notes),
        rare=min_rows,
        **details,
    )


def _feature_names(frame: pd.DataFrame, others: Collection[str | None], problems: notation.TableProblems) -> list[str]:
    """Return the columns that are features; none is a problem."""
    features = [column for column in frame.columns if column not in others]
    if not features:
        problems.add(
            f"has no feature left of its {count_noun(frame.shape[1], 'column')}",
            "a learner needs at least one",
            "Give it a column that is neither dropped nor has a role.",
        )
    return features


def _labelled_rows(
    frame: pd.DataFrame, target: str | None, options: LabelOptions, problems: notation.TableProblems
) -> tuple[pd.DataFrame, Labels | None]:
    """Return the rows that are studied and their classes; the whole table and None after a problem."""
    labels = None if target is None else read_labels(frame[target], options, problems)
    if labels is None or not labels.dropped:
        return frame, labels
    kept = labels.y >= 0
    return frame[kept].reset_index(drop=True), replace(labels, y=labels.y[kept])


def _check_name_and_shape(name: Any, frame: Any, problems: notation.TableProblems) -> None:
    if not isinstance(name, str) or not name.isprintable() or not name.strip(". ") or set(name) & set("/\\"):
        raise problems.error(
            "has a name that cannot be used in file names",
            "names are text without '/', '\\' or line breaks",
            f"Correct {problems.option('name')}.",
        )
    if not isinstance(frame, pd.DataFrame):
        of = f"{type(frame).__module__.partition('.')[0]}.".removeprefix("builtins.") + type(frame).__name__
        way_out = "Wrap it in pandas.DataFrame, or pass it to imblab.run, which reads paths, arrays and other frames."
        raise problems.error(f"is given as {of}", "a table is a pandas DataFrame", way_out)
    if len(frame) == 0:
        raise problems.error("holds 0 rows", "a study needs rows of at least two classes", "Check where it comes from.")
    check_column_names(frame, problems)


def check_column_names(frame: pd.DataFrame, problems: notation.TableProblems) -> None:
    """Refuse a table in which several columns have one name."""
    names = frame.columns.map(str)
    repeated = names[names.duplicated()].unique().tolist()
    if repeated:
        raise problems.error(
            f"has {count_noun(len(repeated), 'column name')} more than once: {', '.join(map(repr, repeated))}",
            "columns are known by name",
            "Rename all but one of each.",
        )


def _check_names(single: Mapping[str, Any], problems: notation.TableProblems) -> None:
    """Refuse values where the name of a column stands."""
    given = [
        role for role, value in single.items() if isinstance(value, (pd.Series, pd.Index, pd.DataFrame, np.ndarray))
    ]
    if given:
        raise problems.error(
            f"is given with values for {', '.join(map(repr, given))}",
            "a column of the table is named",
            "Make a column of them, as in imblab.dataset(X.assign(label=y), 'label'), or call imblab.run(X, y).",
        )


def _column_roles(
    frame: pd.DataFrame, single: Mapping[str, Any], several: Mapping[str, Any], problems: notation.TableProblems
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Return the existing columns by role: one or none, and lists of those left out or read as something else."""
    columns = list(frame.columns)
    target = single["target"]
    problems.dropped = [
        name
        for text in map(str, notation.as_list(several["drop"]))
        for name in notation.comma_parts(text, columns) or [text]
        if name in columns and name != str(target)
    ]
    roles = {role: _single_column(role, value, columns, problems) for role, value in single.items()}
    if target is None or target == "":
        problems.add(
            "has no target", "a study needs the column that holds the labels", f"Set {problems.option('target')}."
        )
    lists = {
        role: _existing_columns(role, notation.as_list(value), columns, problems) for role, value in several.items()
    }
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


def _single_column(role: str, value: Any, columns: Sequence[str], problems: notation.TableProblems) -> str | None:
    """Return the column of a role; None without one, or if it does not exist."""
    if isinstance(value, (list, tuple, dict, set)):
        example = next((str(v) for v in value if str(v) in columns), columns[0])
        problems.add(
            f"names {value!r} as {role}",
            "one column has that role",
            f"Name one, for example {problems.assign(role, example)}.",
        )
        return None
    return next(iter(_existing_columns(role, notation.as_list(value), columns, problems, single=True)), None)


def _existing_columns(
    role: str, values: Sequence[Any], columns: Sequence[str], problems: notation.TableProblems, single: bool = False
) -> list[str]:
    """Return the named columns that exist; each other one is a problem, answered with the nearest name."""
    if problems.key is None and values and all(isinstance(value, (bool, np.bool_)) for value in values):
        masked = [name for name, is_meant in zip(columns, values, strict=False) if is_meant]
        setting = problems.assign(role, masked)
        problems.add(f"has truth values under {role}", "columns are given by name", f"Set {setting}.")
        return []
    names = [notation.column_named(value, columns) for value in values]
    existing = [name for name in names if name in columns]
    listed: list[str] = []
    for value, name in zip(values, names, strict=True):
        if name in existing:
            continue
        parts = [] if single else notation.comma_parts(name, columns)
        nearest = None if parts else notation.nearest_name(name, columns)
        meant = [column for column in (parts or [nearest or ""]) if column and column not in existing]
        corrected = nearest if single else [*existing, *meant]
        listed += parts
        solution = None if corrected is None and role == "target" else {role: corrected}
        guess = f"Did you mean {nearest!r}? " if nearest else ""
        remedy = "Choose one of them" if corrected is None else f"Set {problems.assign(role, corrected)}"
        remedy += f", or do without: {problems.assign(role, None)}. " if corrected is None and solution else ". "
        problems.add(
            f"has no column {name!r}, which {problems.option(role)} names",
            f"its columns are {notation.first_names(columns)}",
            f"{guess}{remedy}{notation.yaml_hint(value)}".rstrip(),
            solution,
        )
    return [*existing, *(name for name in listed if name not in existing)]


def _with_missing_and_numeric(
    frame: pd.DataFrame, missing: list[str], numeric: list[str], dropped: list[str], problems: notation.TableProblems
) -> pd.DataFrame:
    """Return the table with its missing values, and with the texts of numeric columns as numbers."""
    columns = {name: without_missing(frame[name], missing) for name in frame.columns if name not in dropped}
    for name in numeric:
        if name in columns and not is_numeric_dtype(columns[name]):
            values = columns[name].map(notation.label_text, na_action="ignore").astype(object)
            options = ReadingOptions({name: "numeric"}, (), (notation.POINT, notation.COMMA))
            arrays = [pa.array(values.where(values.notna(), None), pa.string())]
            numbers = typed_frame([name], arrays, options, problems)[name].set_axis(frame.index)
            columns[name] = without_missing(numbers, missing)
    changed = {name: column for name, column in columns.items() if column is not frame[name]}
    if changed:
        frame = frame.copy()
        for name, column in changed.items():  # `assign` takes no column that is called 'self'
            frame[name] = column
    return frame


def _rare_min_rows(rare: Any, problems: notation.TableProblems) -> int | None:
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
    frame: pd.DataFrame, roles: dict[str, str | None], time_format: str | None, problems: notation.TableProblems
) -> tuple[dict[str, np.ndarray | None], tuple[str, ...]]:
    """Return the columns of the roles as arrays, and the names of predefined folds."""
    readers: dict[str, Callable[[pd.Series, notation.TableProblems], np.ndarray]] = {
        "groups": group_codes,
        "time": partial(times, time_format=time_format),
        "amount": amounts,
        "id": lambda column, _: column.to_numpy(),
    }
    arrays: dict[str, np.ndarray | None] = dict.fromkeys((*readers, "folds"))
    for role, read in readers.items():
        if (column := roles[role]) is not None:
            try:
                arrays[role] = read(frame[column], problems)
            except DataError as error:
                problems.errors.append(error)
    fold_names: tuple[str, ...] = ()
    if (column := roles["folds"]) is not None:
        arrays["folds"], fold_names = fold_codes(frame[column], problems)
    return arrays, fold_names


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
    for role in ("groups", "time", "amount", "folds"):
        if (values := arrays[role]) is not None:
            digest.update(role.encode() + np.ascontiguousarray(values).tobytes())
    if min_rows is not None:
        digest.update(f"rare:{min_rows}".encode())
    return digest.hexdigest()
