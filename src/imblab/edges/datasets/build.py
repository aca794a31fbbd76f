"""From a raw table to a :class:`~imblab.study.Dataset`: roles, types, labels, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype, is_numeric_dtype

from imblab.edges.datasets.columns import amount as _amount
from imblab.edges.datasets.columns import coded, level_texts, one_text, sort_key, text_of, typed, when, without_missing
from imblab.edges.datasets.inference import Reading, typed_frame
from imblab.edges.datasets.notation import COMMA, POINT
from imblab.edges.datasets.problems import Checks, counted, listed, missing_texts, nearest_name, yaml_word
from imblab.errors import DataError
from imblab.study import Dataset

#: The roles that columns can have next to being a feature.
COLUMNS = ("target", "drop", "categorical", "numeric", "groups", "time", "amount", "id")
#: What YAML 1.1 reads as true and as false.
YAML_WORDS = {True: ("yes", "y", "on", "true"), False: ("no", "n", "off", "false")}
#: The fewest rows of a level that mean anything: a level of one row is rare by any measure.
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
    checks: Checks | None = None,
) -> Dataset:
    """Make a data set from a table in memory.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
    target : str
        The column of labels: two values of any type.
    name : str, default="table"
    positive : label, optional
        The rarest by default.
    drop, categorical, numeric : str or sequence of str, optional
        Columns to leave out; columns to read as categories whatever their type; columns of texts to read as numbers.
    groups, time, amount, id : str, optional
        Columns that are no features.
    parent : str, optional
        The parent data set; the name by default.
    rare : mapping, optional
        ``{"min_rows": m}``: in each fit part, levels of a categorical column with fewer than m rows become one level.
        Without it a column of more than 100 levels is refused.
    source : str, optional
        The old spelling of ``parent``.
    allow_majority_positive : bool, default=False
    missing : value or sequence of values, optional
        Texts and numbers that stand for a missing value, in every column; an empty text always does.
    time_format : str, optional
        How the times are written, such as ``"%d/%m/%Y"``; needed where day and month cannot be told apart.
    key : str, optional
        The key under ``dataset.`` that messages name.
    checks : Checks, optional
        What was found when the table was read; its problems are raised with those found here.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        For everything that cannot be studied, all of it at once; each problem names the data set, the value, the rule
        and the way out.

    Examples
    --------
    >>> data = dataset(pd.DataFrame({"a": [1, 2, 3], "left": ["no", "yes", "no"]}), "left", name="churn")
    >>> data.classes, data.y.tolist()
    (('no', 'yes'), [0, 1, 0])
    """
    checks = checks or Checks(name, key)
    checks.called(name)
    checks.shape(frame)
    # Columns are known by their text: a header 1 is the same on the command line, in CSV and in memory.
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    given = {"target": target, "groups": groups, "time": time, "amount": amount, "id": id}
    roles, lists = _roles(frame, given, {"drop": drop, "categorical": categorical, "numeric": numeric}, checks)
    dropped = lists["drop"]
    frame = _prepared(frame, missing_texts(missing), lists["numeric"], dropped, checks)
    min_rows = _min_rows(rare, checks)
    labels = None
    if roles["target"] is not None:
        labels = _labels(frame[roles["target"]], positive, allow_majority_positive, checks)
    others = {*dropped, *(c for c in roles.values() if c)}
    features = [c for c in frame.columns if c not in others]
    if not features:
        checks.problem(
            f"has no feature left of its {counted(frame.shape[1], 'column')}",
            "a learner needs at least one",
            f"Shorten {checks.at('drop')}.",
        )
    X, found = typed(frame, features, lists["categorical"], checks, min_rows)
    apart = _apart(frame, roles, time_format, checks)
    checks.close()
    assert labels is not None  # what has no labels was refused
    min_rows = min_rows if found else None
    (y, classes), home = labels, parent or source or name
    stamp, said = _fingerprint(X, y, apart, min_rows), tuple(checks.notes)
    return Dataset(
        name, X, y, classes, tuple(found), **apart, parent=home, fingerprint=stamp, notes=said, rare=min_rows
    )


def _roles(
    frame: pd.DataFrame, given: Mapping[str, Any], more: Mapping[str, Any], checks: Checks
) -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """The columns that exist, by their roles: single ones, and lists of those left out or read as something else."""
    columns = list(frame.columns)
    left_out = map(str, listed(more["drop"]))
    checks.dropped = [name for name in left_out if name in columns and name != str(given["target"])]
    roles = {role: checks.role(role, value, columns) for role, value in given.items()}
    if given["target"] is None or given["target"] == "":
        checks.problem(
            "names no target", "a study needs the column that holds the labels", f"Set {checks.at('target')}."
        )
    lists = {role: checks.existing(role, listed(value), columns) for role, value in more.items()}
    played = {role: [column] if column else [] for role, column in roles.items() if role != "target"}
    checks.apart(roles["target"], {**played, **lists})
    for name in (name for name in lists["numeric"] if name in lists["categorical"]):
        checks.problem(
            f"names {name!r} under numeric and under categorical", "a column is one of them", "Correct one of the two."
        )
    return roles, lists


def _prepared(
    frame: pd.DataFrame, missing: list[str], numeric: list[str], dropped: list[str], checks: Checks
) -> pd.DataFrame:
    """The table with its missing values, and with the texts of some columns as numbers."""
    found = {c: without_missing(frame[c], missing) for c in frame.columns if c not in dropped}
    for name in numeric:
        if name in found and not is_numeric_dtype(found[name]):
            texts = found[name].map(text_of, na_action="ignore").astype(object)
            how = Reading({name: "numeric"}, (), (POINT, COMMA))
            read = typed_frame([name], [pa.array(texts.where(texts.notna(), None), pa.string())], how, checks)
            found[name] = read[name].set_axis(frame.index)
    changed = {name: column for name, column in found.items() if column is not frame[name]}
    return frame.assign(**changed) if changed else frame


def _min_rows(rare: Any, checks: Checks) -> int | None:
    """The least number of fit rows of a level, of ``rare``."""
    if rare is None:
        return None
    value = rare.get("min_rows") if isinstance(rare, Mapping) and set(rare) == {"min_rows"} else None
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_RARE_ROWS:
        checks.problem(
            f"gives {rare!r} as rare",
            f"levels with fewer fit rows than min_rows, a whole number of at least {MIN_RARE_ROWS}, become one level",
            f"Write for example {checks.set('rare', {'min_rows': 20})}.",
        )
        return MIN_RARE_ROWS
    return value


def _apart(frame: pd.DataFrame, roles: dict[str, str | None], form: str | None, checks: Checks) -> dict[str, Any]:
    """The columns that are no features."""
    readers: dict[str, Callable[..., np.ndarray]] = {"groups": coded, "amount": _amount}
    readers["time"] = partial(when, form=form)
    found: dict[str, Any] = {}
    for role in ("groups", "time", "amount", "id"):
        column = roles[role]
        if column is None:
            found[role] = None
        elif role in readers:
            try:
                found[role] = readers[role](frame[column], column, checks)
            except DataError as problem:
                checks.keep(problem)
        else:
            found[role] = frame[column].to_numpy()
    return found


def _labels(
    column: pd.Series, positive: Any, allow_majority: bool, checks: Checks
) -> tuple[np.ndarray, tuple[str, str]] | None:
    """The class of each row and the two labels; None where a problem was noted."""
    missing = int(column.isna().sum())
    if missing:
        checks.problem(
            f"has {counted(missing, 'row')} without a label in {column.name!r}",
            "every row must be of a known class",
            "Drop those rows, or fill the labels in.",
        )
    counts = column.value_counts()
    counts = counts[counts > 0]  # a categorical column counts labels that no row has
    labels = sorted(counts.index, key=sort_key)
    _check_texts(column, labels, checks)
    if len(labels) != 2:
        if labels or not missing:
            _note_classes(column, labels, checks)
        return None
    chosen = min(labels, key=lambda label: (counts[label], -labels.index(label)))
    if positive is not None:
        named = [label for label in labels if _same(label, positive)]
        if not named:
            _note_positive(column, positive, labels, allow_majority, checks)
            return None
        chosen = named[0]
    other = next(label for label in labels if label != chosen)
    if counts[chosen] > counts[other] and not allow_majority:
        meant = checks.set("allow_majority_positive", True)
        checks.problem(
            f"names {text_of(chosen)!r} as positive, which {counts[chosen]} of {len(column)} rows are",
            "the positive class is the rare one",
            f"Set {checks.set('positive', text_of(other))}, or {meant} if it is meant.",
            {"positive": text_of(other)},
        )
    return (column == chosen).to_numpy(dtype=np.int64), (text_of(other), text_of(chosen))


def _note_classes(column: pd.Series, labels: Sequence[Any], checks: Checks) -> None:
    shown = ", ".join(repr(text_of(label)) for label in labels[:5]) + (", ..." if len(labels) > 5 else "")
    checks.problem(
        f"has {counted(len(labels), 'class')} in {column.name!r} ({shown})",
        "imblab studies two classes",
        "Keep rows of two labels, or make a column that says one class against the rest."
        if len(labels) > 2
        else f"Check the table, or name another column in {checks.at('target')}.",
    )


def _note_positive(
    column: pd.Series, positive: Any, labels: Sequence[Any], allow_majority: bool, checks: Checks
) -> None:
    """No label is the one that was named: the nearest, else the rarer one, is proposed."""
    counts = column.value_counts()
    texts = [text_of(label) for label in labels]
    words = YAML_WORDS.get(positive, ()) if isinstance(positive, bool) else ()
    guess = next((text for text in texts if text.casefold() in words), None)
    near = guess or nearest_name(str(positive), texts) or next((t for t in texts if str(positive).strip() in t), None)
    chosen = near or text_of(min(labels, key=lambda label: counts[label]))
    # The user's own word, however it is written, is meant though most rows have it.
    rows = {text: counts[label] for text, label in zip(texts, labels, strict=True)}
    meant = {"allow_majority_positive": True} if rows[chosen] > len(column) / 2 and not allow_majority else {}
    also = f" and {checks.set('allow_majority_positive', True)}, if the class of most rows is meant" if meant else ""
    shown = " and ".join(f"{text!r} ({counts[label]} rows)" for text, label in zip(texts, labels, strict=True))
    checks.problem(
        f"has no label {str(positive)!r} in {column.name!r}",
        f"its labels are {shown}",
        f"Set {checks.set('positive', chosen)}{also}. {yaml_word(positive) if guess else ''}".rstrip(),
        {"positive": chosen, **meant},
    )


def _check_texts(column: pd.Series, labels: list[Any], checks: Checks) -> None:
    """Labels are known by their text, so different ones need different texts."""
    mixed = infer_dtype(column, skipna=True).startswith("mixed")
    pair, what = one_text(column) if mixed else None, "have one text or are equal in a program"
    stripped: dict[str, str] = {}
    for text in map(text_of, labels):
        other = stripped.setdefault(text.strip(), text)
        if other != text:
            pair, what = f"{other!r} and {text!r}", "differ only by blanks"
    if pair:
        checks.problem(
            f"has the labels {pair} in {column.name!r}, which {what}",
            "labels are known by their text",
            "Write them in one way.",
        )


def _fingerprint(X: pd.DataFrame, y: np.ndarray, apart: dict[str, Any], min_rows: int | None = None) -> str:
    """sha256 of the content; neither the path, nor the format, nor the name of the data set enters."""
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
        if apart[role] is not None:
            digest.update(role.encode() + np.ascontiguousarray(apart[role]).tobytes())
    if min_rows is not None:
        digest.update(f"rare:{min_rows}".encode())
    return digest.hexdigest()


def _same(label: Any, given: Any) -> bool:
    """Whether a label is the one that was named; true and false are known in any case."""
    one, other = text_of(label), text_of(given)
    return one == other or (one.lower() == other.lower() and one.lower() in ("true", "false"))
