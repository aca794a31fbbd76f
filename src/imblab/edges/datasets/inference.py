"""Columns of a file that knows only texts: numbers, flags, dates and categories, as a typed file would hold them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import infer_dtype

from imblab.edges.datasets.notation import COMMA, Notation, Written, canonical_number
from imblab.edges.datasets.problems import Checks, counted

#: Of so many different numbers a column holds numbers, and its few other texts are a question to the user.
MIN_NUMBERS = 20
#: Texts that a message shows.
MAX_SHOWN = 5
#: Roles whose values are taken as they stand, but for plain numbers.
PLAIN = ("target", "groups", "id", "time")


@dataclass(slots=True)
class Column:
    """One column on its way to a type.

    Attributes
    ----------
    name, role : str
        The role is ``feature`` where it has no other.
    texts : pyarrow array of str
        Null where missing.
    floats : ndarray or None
        The values, where every text is plainly a number with a decimal point.
    written : Written or None
        What the different texts can be, where that was not so.
    places, counts : ndarray or None
        Which of the different texts stands in every row, -1 for none; and how often each one stands.
    notations : tuple of Notation
        Those in which every text is a number; empty for a column that holds something else.
    separated : bool
        Whether some number holds a point or a comma.
    refused : bool
        Whether a problem was noted.
    """

    name: str
    role: str
    texts: Any
    floats: np.ndarray | None = None
    written: Written | None = None
    places: np.ndarray | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    notations: tuple[Notation, ...] = ()
    separated: bool = False
    refused: bool = False


@dataclass(slots=True)
class Reading:
    """How the texts of a file are to be read.

    Parameters
    ----------
    roles : mapping of str to str
        The role of every column that has one: target, groups, time, amount, id, drop, categorical, numeric.
    missing : collection of str
        Texts that stand for a missing value, in addition to the empty one.
    notations : tuple of Notation
        The possible marks in numbers.
    separator : str
        What stands between the fields; next to a comma, numbers have a decimal point unless a column says otherwise.
    comma : str
        Set to the example that told that decimals stand behind a comma.
    """

    roles: Mapping[str, str]
    missing: Collection[str]
    notations: tuple[Notation, ...]
    separator: str = ","
    comma: str = ""

    def also(self, role: str, column: Column) -> list[str]:
        """The columns of a role, and one more."""
        return [*(name for name, known in self.roles.items() if known == role), column.name]

    def also_missing(self, column: Column, which: np.ndarray) -> list[str]:
        """The texts that stand for a missing value, and those of a column."""
        assert column.written is not None
        texts = {text.strip() or text for text in column.written.examples(which, MAX_SHOWN)}
        return [*self.missing, *sorted(texts - set(self.missing))]


def typed_frame(names: Sequence[str], columns: list[Any], how: Reading, checks: Checks) -> pd.DataFrame:
    """Give the columns of a text file their types.

    Parameters
    ----------
    names : sequence of str
    columns : list of pyarrow arrays of str
        Emptied, so that the texts of a column are freed as soon as its numbers are known.
    how : Reading
    checks : Checks
        Collects what was decided, and the columns whose texts have more than one meaning.

    Returns
    -------
    DataFrame
        Of a column with a problem, a placeholder.
    """
    checks.dropped = [name for name in names if how.roles.get(name) == "drop"]
    columns.reverse()
    found = [_column(name, _whole(columns.pop()), how, checks) for name in names]
    notation = _notation(found, how, checks)
    series = [_values(column, notation, checks) for column in found]
    return pd.concat(series, axis=1, keys=range(len(series))).set_axis(list(names), axis=1)


def settle_mixed(frame: pd.DataFrame, how: Reading, checks: Checks) -> pd.DataFrame:
    """Read columns that hold numbers and texts at once as a text file would; labels and groups stay as they are.

    Parameters
    ----------
    frame : DataFrame
        From a source whose cells have types one by one, such as Excel.
    how : Reading
    checks : Checks

    Returns
    -------
    DataFrame
    """
    mixed = [
        i
        for i, name in enumerate(frame.columns)
        if how.roles.get(name, "feature") not in (*PLAIN, "drop")
        and infer_dtype(frame.iloc[:, i], skipna=True).startswith("mixed")
        and all(isinstance(value, (str, int, float, np.number)) for value in frame.iloc[:, i].dropna())
    ]
    if not mixed:
        return frame
    texts = [pa.array(frame.iloc[:, i].map(str, na_action="ignore").fillna(""), pa.string()) for i in mixed]
    settled = typed_frame([frame.columns[i] for i in mixed], texts, how, checks)
    columns = [settled.iloc[:, mixed.index(i)] if i in mixed else frame.iloc[:, i] for i in range(frame.shape[1])]
    return pd.concat(columns, axis=1, keys=range(len(columns))).set_axis(frame.columns, axis=1)


def empty_to_null(texts: Any, missing: Collection[str]) -> Any:
    """Null for empty texts and for those that stand for a missing value, with or without blanks around them."""
    gone = pc.equal(texts, "")
    for text in missing:
        same = pc.equal(pc.utf8_trim_whitespace(texts), text.strip()) if text.strip() else pc.equal(texts, text)
        gone = pc.or_(gone, same)
    return pc.if_else(gone, pa.scalar(None, pa.string()), texts)


def _whole(texts: Any) -> Any:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _column(name: str, texts: Any, how: Reading, checks: Checks) -> Column:
    role = how.roles.get(name, "feature")
    column = Column(name, role, empty_to_null(texts, how.missing))
    if role == "drop":
        return column
    if role == "feature" and (floats := _plain_floats(column.texts, how)) is not None:
        column.floats = floats
        example = pc.index(pc.match_substring_regex(column.texts, "[.]"), True).as_py()
        column.separated = example >= 0
        both = column.separated and _every(column.texts, COMMA.grammar.replace("^", "^-?", 1))
        column.notations = tuple(n for n in how.notations if n.decimal == "." or both or not column.separated)
        if not both:  # one text is enough for messages, and memory is short in large tables
            column.texts = pa.array([column.texts[example].as_py()] if column.separated else [], pa.string())
        return column
    encoded = column.texts.dictionary_encode()
    column.written = Written(encoded.dictionary)
    column.places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    column.counts = np.bincount(column.places[column.places >= 0], minlength=len(encoded.dictionary))
    if role in ("feature", "numeric", "amount") and len(encoded.dictionary):
        _judge(column, column.written, how, checks)
    return column


def _plain_floats(texts: Any, how: Reading) -> np.ndarray | None:
    """The values of a column of plain numbers with a decimal point; None for anything else."""
    if not any(notation.decimal == "." for notation in how.notations):
        return None
    try:
        found = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None
    values: np.ndarray = found.to_numpy(zero_copy_only=False)
    present = pc.is_valid(texts).to_numpy(zero_copy_only=False)
    large = values[present]
    if not np.isfinite(large).all() or (np.abs(large) >= 2**53).any() or _any(texts, "^[+-]?0\\d"):
        return None
    return values


def _judge(column: Column, written: Written, how: Reading, checks: Checks) -> None:
    """Find the notations in which a column is numbers, and what makes it neither numbers nor categories."""
    number, others = written.number, ~written.number
    if not number.any():
        if column.role == "numeric":
            _ask_numbers(column, others, how, checks)
        elif (written.flag | written.mark).all() and written.flag.any() and not written.flag.all():
            _ask_marked(column, ~written.flag, "true and false", how, checks)
        return
    if others.any():
        if column.role == "numeric":
            _ask_numbers(column, others, how, checks)
        elif column.role == "feature" and written.mark[others].all():
            _ask_marked(column, others, "numbers", how, checks)
        elif (
            column.role == "feature"
            and number.sum() > MIN_NUMBERS
            and 2 * column.counts[number].sum() > column.counts.sum()
        ):
            _ask_numbers(column, others, how, checks)
        return
    if written.bracketed.all():
        return
    if column.role == "feature" and written.code.any():
        checks.note(
            f"reads column {column.name!r} as categories, because some of its whole numbers begin with 0; as numbers: "
            f"{checks.set('numeric', how.also('numeric', column))}"
        )
        return
    units = sorted({unit for unit, odd in zip(written.unit, written.infinite, strict=True) if not odd})
    if len(units) > 1:
        shown = " and ".join(f"in {unit!r}" if unit else "without a unit" for unit in units)
        column.refused = True
        checks.problem_column(
            column.name,
            f"has numbers {shown} in column {column.name!r}",
            "numbers of one column have one unit",
            "Convert them",
        )
        return
    column.separated = bool(written.separated.any())
    column.notations = tuple(n for n in how.notations if (written.fits(n) | written.infinite).all())
    if not column.notations and len(how.notations) > 1:
        one = [next(iter(written.examples(written.fits(n) & written.separated, 1)), "") for n in how.notations]
        column.refused = True
        checks.problem_column(
            column.name,
            f"has numbers with a decimal point and with a decimal comma in column {column.name!r} (such as "
            f"{' and '.join(repr(text) for text in one)})",
            "a file writes its numbers in one way",
            f"Read it as categories: {checks.set('categorical', how.also('categorical', column))}",
        )
    elif not column.notations and column.role == "numeric":
        _ask_numbers(column, ~written.fits(how.notations[0]), how, checks)


def _notation(columns: Sequence[Column], how: Reading, checks: Checks) -> Notation:
    """The one notation of a file."""
    if len(how.notations) == 1:
        return how.notations[0]
    numbers = [column for column in columns if column.notations and column.separated]
    decided = {n: next((c for c in numbers if c.notations == (n,)), None) for n in how.notations}
    point, comma = (next((n for n in how.notations if n.decimal == mark), how.notations[0]) for mark in ".,")
    if decided.get(point) is not None and decided.get(comma) is not None:
        shown = " and ".join(f"{_example(c)!r} in {c.name!r}" for c in decided.values() if c is not None)
        checks.problem(
            f"writes numbers with a decimal point and with a decimal comma ({shown})",
            "a file writes its numbers in one way, and columns that do not fit are categories",
            f"Say which: {checks.set('decimal', 'point')} or {checks.set('decimal', 'comma')}.",
        )
        return point
    if (column := decided.get(comma)) is not None:
        how.comma = f"{_example(column)!r} in {column.name!r}"
        return comma
    doubtful = numbers[:1] if how.separator == ";" else [c for c in numbers if _any(c.texts, ",")][:1]
    if decided.get(point) is None and doubtful and how.separator != ",":
        text = _example(doubtful[0])
        thousands = "," if "," in text else "."
        checks.problem(
            f"writes {text!r} in column {doubtful[0].name!r}, and nothing in the file tells whether {thousands!r} "
            "stands before decimals or between thousands",
            "both are common",
            f"Say which: {checks.set('decimal', 'point')} or {checks.set('decimal', 'comma')}.",
        )
    return point


def _values(column: Column, notation: Notation, checks: Checks) -> pd.Series:
    """The values of a column with their type; a placeholder where a problem was noted."""
    if column.refused:
        return pd.Series(np.full(len(column.texts), 0.0 if column.role == "amount" else np.nan))
    if column.floats is not None and notation in column.notations and (notation.decimal == "." or not column.separated):
        return pd.Series(column.floats)
    if column.floats is not None:  # texts such as 1.234 in a file with decimal commas
        return _values(_slow(column), notation, checks)
    written = column.written
    if written is None or not len(written.texts):
        return pd.Series(column.texts.to_pandas())
    if notation in column.notations:
        return _numbers(column, written, notation, checks)
    if column.role == "feature" and written.flag.all():
        flags = [text.lower() == "true" for text in written.texts.to_pylist()]
        return _spread(column, flags)
    if column.role == "categorical" or column.role in PLAIN:
        levels = _plain_numbers(written, Notation(notation.decimal, "") if column.role in PLAIN else None)
        if levels is not None:
            return _spread(column, levels)
    return pd.Series(column.texts.to_pandas())


def _slow(column: Column) -> Column:
    encoded = column.texts.dictionary_encode()
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return replace(column, floats=None, written=Written(encoded.dictionary), places=places)


def _numbers(column: Column, written: Written, notation: Notation, checks: Checks) -> pd.Series:
    values = written.values(notation)
    inexact = written.inexact(notation)
    if column.role != "amount" and inexact.any():
        checks.problem_column(
            column.name,
            f"has whole numbers such as {written.examples(inexact, 1)[0]} in column {column.name!r}",
            "a learner reads float64, which holds whole numbers exactly up to 2**53 only, so that different ones would "
            "become equal",
            f"If it is an identifier, keep it apart from the features: {checks.set('id', column.name)}",
        )
    odd = ~written.infinite & _differs(written, values, notation)
    if odd.any():
        text, value = written.examples(odd, 1)[0], values[np.flatnonzero(odd)[0]]
        checks.note(f"reads {text!r} in column {column.name!r} as the number {value:.12g}")
    assert column.places is not None
    return pd.Series(np.append(values, np.nan)[column.places])


def _differs(written: Written, values: np.ndarray, notation: Notation) -> np.ndarray:
    """Which texts a reader of plain numbers with that decimal mark would read differently or not at all."""
    plain = np.array([_as_float(text.replace(notation.decimal, ".")) for text in written.texts.to_pylist()])
    odd: np.ndarray = ~(plain == values)
    return odd


def _as_float(text: str) -> float:
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


#: Digits of a whole number; what has more is a text, since no float holds it and Python reads 4,300 at most.
MAX_DIGITS = 300


def _plain_numbers(written: Written, notation: Notation | None) -> list[Any] | None:
    """Numbers for texts that are plain ones: as Python would write them, or in the notation of the file."""
    texts = written.texts.to_pylist()
    if notation is None:
        levels = [canonical_number(text) for text in texts]
        return None if any(level is None for level in levels) else levels
    plain = (
        (written.fits(notation) | written.infinite)
        & ~written.code
        & ~written.bracketed
        & ~np.array([bool(u) for u in written.unit])
    )
    if not plain.all():
        return None
    whole = [text.strip().lstrip("+-−").isdigit() for text in texts]
    if any(w and len(text) > MAX_DIGITS for text, w in zip(texts, whole, strict=True)):
        return None
    values = written.values(notation)
    return [
        int(text.strip().replace("−", "-")) if w else float(v) for text, w, v in zip(texts, whole, values, strict=True)
    ]


def _spread(column: Column, levels: list[Any]) -> pd.Series:
    """The value of every row from the values of the different texts."""
    assert column.places is not None
    whole = all(type(level) is int for level in levels) and all(abs(level) < 2**63 for level in levels)
    if (column.places >= 0).all() and (whole or all(type(level) is bool for level in levels)):
        return pd.Series(np.array(levels)[column.places])
    return pd.Series(np.array([*levels, None], dtype=object)[column.places])


def _ask_marked(column: Column, which: np.ndarray, what: str, how: Reading, checks: Checks) -> None:
    """Ask whether texts that often stand for a missing value do so here."""
    column.refused, missing = True, how.also_missing(column, which)
    checks.problem(
        f"has a column of {what} with other texts, {column.name!r} ({_shown(column, which)})",
        "only the empty field of a text is missing by itself",
        f"If they stand for missing values: {checks.set('missing', missing)}; if they are levels: "
        f"{checks.set('categorical', how.also('categorical', column))}.",
        {"missing": missing},
    )


def _ask_numbers(column: Column, which: np.ndarray, how: Reading, checks: Checks) -> None:
    """Ask what texts mean that stand among numbers."""
    column.refused, missing = True, how.also_missing(column, which)
    checks.problem_column(
        column.name,
        f"has a column of numbers with other texts, {column.name!r} ({_shown(column, which)})",
        "a column holds numbers or categories",
        f"If they stand for missing values: {checks.set('missing', missing)}",
    )


def _shown(column: Column, which: np.ndarray) -> str:
    """Texts with the number of their rows, the most frequent first."""
    assert column.written is not None
    rows = sorted(
        zip(column.written.examples(which, len(which)), column.counts[which], strict=True), key=lambda r: -r[1]
    )
    shown = ", ".join(f"{text!r} in {counted(int(n), 'row')}" for text, n in rows[:MAX_SHOWN])
    return shown + (f", and {len(rows) - MAX_SHOWN} more" if len(rows) > MAX_SHOWN else "")


def _example(column: Column) -> str:
    texts = pc.unique(column.texts.filter(pc.match_substring_regex(column.texts, "[.,]")))
    return str(texts[0].as_py())


def _any(texts: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())


def _every(texts: Any, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern)).as_py() is not False
