"""The types of columns of texts: numbers, flags, dates and categories, as a file with types would hold them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import infer_dtype

from imblab.edges.datasets.columns import add_inexact_number
from imblab.edges.datasets.notation import COMMA, DistinctTexts, Notation, TableProblems, canonical_number
from imblab.text import count_noun

#: A column with more distinct numbers than this holds numbers, and its other texts are a question to the user.
MIN_NUMBERS = 20
MAX_LISTED_TEXTS = 5
#: Digits of a whole number; a longer one is text, since no float holds it and Python reads 4,300 at most.
MAX_DIGITS = 300
#: Roles whose values are taken as they are, except for plain numbers.
VERBATIM_ROLES = ("target", "groups", "folds", "id", "time")


@dataclass(slots=True)
class ReadingOptions:
    """How the texts of a file are to be read.

    ``roles`` has the role of every column that has one, ``missing`` the texts that are missing next to the empty one.
    Next to a comma as ``separator``, numbers have a decimal point unless a column shows otherwise; ``comma_example`` is
    set to the example that showed it.
    """

    roles: Mapping[str, str]
    missing: Collection[str]
    notations: tuple[Notation, ...]
    separator: str = ","
    comma_example: str = ""

    def columns_of(self, role: str, column: TextColumn) -> list[str]:
        """Return the columns of a role, and one more."""
        return [*(name for name, other in self.roles.items() if other == role), column.name]

    def missing_with(self, column: TextColumn, mask: np.ndarray) -> list[str]:
        """Return the texts that stand for a missing value, and those of a column."""
        assert column.distinct is not None
        texts = {text.strip() or text for text in column.distinct.examples(mask, MAX_LISTED_TEXTS)}
        return [*self.missing, *sorted(texts - set(self.missing))]


@dataclass(slots=True)
class TextColumn:
    """A column of texts (null where missing) on its way to a type; its role is ``feature`` where it has no other.

    ``floats`` are its values where every text is plainly a number with a decimal point. Otherwise ``distinct`` tells
    what the distinct texts can be, ``codes`` which of them each row has (-1 where missing), ``counts`` how many rows
    have it. ``notations`` are those in which every text is a number, and ``separated`` whether one has a point or a
    comma.
    """

    name: str
    role: str
    texts: Any
    floats: np.ndarray | None = None
    distinct: DistinctTexts | None = None
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    notations: tuple[Notation, ...] = ()
    separated: bool = False
    refused: bool = False

    def encode(self) -> DistinctTexts:
        """Find the distinct texts."""
        encoded = self.texts.dictionary_encode()
        self.distinct = DistinctTexts(encoded.dictionary)
        self.codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self.counts = np.bincount(self.codes[self.codes >= 0], minlength=len(encoded.dictionary))
        return self.distinct


def typed_frame(
    names: Sequence[str], columns: list[Any], options: ReadingOptions, problems: TableProblems
) -> pd.DataFrame:
    """Return the columns of a text file with their types; a column with a problem is a placeholder.

    ``columns`` are pyarrow arrays; the list is emptied, so that texts are freed as soon as their numbers are known.
    """
    problems.dropped = [name for name in names if options.roles.get(name) == "drop"]
    columns.reverse()
    parsed = [_classify(name, columns.pop(), options, problems) for name in names]
    notation = _file_notation(parsed, options, problems)
    series = [_typed_values(column, notation, problems) for column in parsed]
    return pd.concat(series, axis=1, keys=range(len(series))).set_axis(list(names), axis=1)


def retyped_mixed_columns(frame: pd.DataFrame, options: ReadingOptions, problems: TableProblems) -> pd.DataFrame:
    """Read columns that hold numbers and texts at once as a text file would; labels and groups stay as they are."""
    mixed = [
        i
        for i, name in enumerate(frame.columns)
        if options.roles.get(name, "feature") not in (*VERBATIM_ROLES, "drop")
        and infer_dtype(frame.iloc[:, i], skipna=True).startswith("mixed")
        and all(isinstance(value, (str, int, float, np.number)) for value in frame.iloc[:, i].dropna())
    ]
    if not mixed:
        return frame
    texts = [pa.array(frame.iloc[:, i].map(str, na_action="ignore").fillna(""), pa.string()) for i in mixed]
    retyped = typed_frame([frame.columns[i] for i in mixed], texts, options, problems)
    frame = frame.copy(deep=False)
    for position, i in enumerate(mixed):
        frame.isetitem(i, retyped.iloc[:, position].array)
    return frame


def _with_nulls(texts: Any, missing: Collection[str]) -> Any:
    """Return null for empty texts and for those that stand for a missing value, with or without blanks around them."""
    is_missing = pc.equal(texts, "")
    for text in missing:
        stripped = pc.utf8_trim_whitespace(texts) if text.strip() else texts
        is_missing = pc.or_(is_missing, pc.equal(stripped, text.strip() or text))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)


def _classify(name: str, texts: Any, options: ReadingOptions, problems: TableProblems) -> TextColumn:
    role = options.roles.get(name, "feature")
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    column = TextColumn(name, role, _with_nulls(texts, options.missing))
    if role == "drop":
        return column
    if role == "feature" and (floats := _plain_floats(column.texts, options)) is not None:
        column.floats = floats
        example = pc.index(pc.match_substring_regex(column.texts, "[.]"), True).as_py()
        column.separated = example >= 0
        both = column.separated and (
            pc.all(pc.match_substring_regex(column.texts, COMMA.grammar.replace("^", "^-?", 1))).as_py() is not False
        )
        column.notations = tuple(n for n in options.notations if n.decimal == "." or both or not column.separated)
        if not both:  # one text is enough for messages, and memory is short in large tables
            column.texts = pa.array([column.texts[example].as_py()] if column.separated else [], pa.string())
        return column
    distinct = column.encode()
    if role in ("feature", "numeric", "amount") and len(distinct.texts):
        if distinct.number.any():
            _find_notations(column, distinct, options, problems)
        elif role == "numeric":
            _add_other_texts(column, ~distinct.number, options, problems)
        elif (distinct.flag | distinct.marker).all() and distinct.flag.any() and not distinct.flag.all():
            _add_markers(column, ~distinct.flag, "true and false", options, problems)
    return column


def _plain_floats(texts: Any, options: ReadingOptions) -> np.ndarray | None:
    """Return the values of a column of plain numbers with a decimal point; None for anything else."""
    if not any(notation.decimal == "." for notation in options.notations):
        return None
    try:
        values: np.ndarray = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    present = values[pc.is_valid(texts).to_numpy(zero_copy_only=False)]
    if not np.isfinite(present).all() or (np.abs(present) >= 2**53).any() or _any_matches(texts, "^[+-]?0\\d"):
        return None
    return values


def _find_notations(
    column: TextColumn, distinct: DistinctTexts, options: ReadingOptions, problems: TableProblems
) -> None:
    """Find the notations in which a column with numbers is numeric, or why it is not."""
    number, others = distinct.number, ~distinct.number
    if others.any():
        mostly_numbers = number.sum() > MIN_NUMBERS and 2 * column.counts[number].sum() > column.counts.sum()
        if column.role == "feature" and distinct.marker[others].all():
            _add_markers(column, others, "numbers", options, problems)
        elif column.role == "numeric" or (column.role == "feature" and mostly_numbers):
            _add_other_texts(column, others, options, problems)
        return
    if distinct.bracketed.all():
        return
    if column.role == "feature" and distinct.code.any():
        problems.notes.append(
            f"reads column {column.name!r} as categories, because some of its whole numbers begin with 0; as numbers: "
            f"{problems.assign('numeric', options.columns_of('numeric', column))}"
        )
        return
    units = sorted({unit for unit, infinite in zip(distinct.unit, distinct.infinite, strict=True) if not infinite})
    if len(units) > 1:
        listed = " and ".join(f"in {unit!r}" if unit else "without a unit" for unit in units)
        column.refused = True
        problems.add_for_column(
            column.name,
            f"has numbers {listed} in column {column.name!r}",
            "numbers of one column have one unit",
            "Convert them",
        )
        return
    column.separated = bool(distinct.separated.any())
    column.notations = tuple(n for n in options.notations if (distinct.fits(n) | distinct.infinite).all())
    if not column.notations and len(options.notations) > 1:
        examples = [distinct.examples(distinct.fits(n) & distinct.separated, 1) or [""] for n in options.notations]
        column.refused = True
        problems.add_for_column(
            column.name,
            f"has numbers with a decimal point and with a decimal comma in column {column.name!r} (such as "
            f"{' and '.join(repr(text) for [text] in examples)})",
            "a file has one notation of numbers",
            f"Read it as categories: {problems.assign('categorical', options.columns_of('categorical', column))}",
        )
    elif not column.notations and column.role == "numeric":
        _add_other_texts(column, ~distinct.fits(options.notations[0]), options, problems)


def _file_notation(columns: Sequence[TextColumn], options: ReadingOptions, problems: TableProblems) -> Notation:
    if len(options.notations) == 1:
        return options.notations[0]
    numeric = [column for column in columns if column.notations and column.separated]
    point, comma = (next((n for n in options.notations if n.decimal == mark), options.notations[0]) for mark in ".,")
    with_point, with_comma = (next((c for c in numeric if c.notations == (n,)), None) for n in (point, comma))
    choice = f"Choose {problems.assign('decimal', 'point')} or {problems.assign('decimal', 'comma')}."
    if with_point is not None and with_comma is not None:
        listed = " and ".join(f"{_separated_text(c)!r} in {c.name!r}" for c in (with_point, with_comma))
        problems.add(
            f"has numbers with a decimal point and with a decimal comma ({listed})",
            "a file has one notation of numbers, and columns that do not fit are categories",
            choice,
        )
        return point
    if with_comma is not None:
        options.comma_example = f"{_separated_text(with_comma)!r} in {with_comma.name!r}"
        return comma
    ambiguous = numeric[:1] if options.separator == ";" else [c for c in numeric if _any_matches(c.texts, ",")][:1]
    if with_point is None and ambiguous and options.separator != ",":
        text = _separated_text(ambiguous[0])
        problems.add(
            f"has the number {text!r} in column {ambiguous[0].name!r}, and nothing in the file tells whether "
            f"{',' if ',' in text else '.'!r} precedes decimals or separates thousands",
            "both are common",
            choice,
        )
    return point


def _typed_values(column: TextColumn, notation: Notation, problems: TableProblems) -> pd.Series:
    """Return the values of a column with their type; a placeholder after a problem."""
    if column.refused:
        return pd.Series(np.full(len(column.texts), 0.0 if column.role == "amount" else np.nan))
    if column.floats is not None:
        if notation in column.notations and (notation.decimal == "." or not column.separated):
            return pd.Series(column.floats)
        # Texts such as 1.234 in a file with decimal commas.
        column = replace(column, floats=None)
        column.encode()
    distinct = column.distinct
    if distinct is None or not len(distinct.texts):
        return pd.Series(column.texts.to_pandas())
    if notation in column.notations:
        return _parse_numbers(column, distinct, notation, problems)
    if column.role == "feature" and distinct.flag.all():
        return _values_by_row(column, [text.lower() == "true" for text in distinct.texts.to_pylist()])
    if column.role == "categorical":
        levels = [canonical_number(text) for text in distinct.texts.to_pylist()]
        if None not in levels:
            return _values_by_row(column, levels)
    elif column.role in VERBATIM_ROLES:
        numbers = _plain_numbers(distinct, Notation(notation.decimal, ""))
        if numbers is not None:
            return _values_by_row(column, numbers)
    return pd.Series(column.texts.to_pandas())


def _parse_numbers(
    column: TextColumn, distinct: DistinctTexts, notation: Notation, problems: TableProblems
) -> pd.Series:
    values, inexact = distinct.values(notation), distinct.inexact(notation)
    if column.role != "amount" and inexact.any():
        add_inexact_number(column.name, distinct.examples(inexact, 1)[0], problems)
    # Python reads these texts otherwise, or not at all.
    plain = np.array([_to_float(text.replace(notation.decimal, ".")) for text in distinct.texts.to_pylist()])
    unusual = ~distinct.infinite & ~(plain == values)
    if unusual.any():
        text, value = distinct.examples(unusual, 1)[0], values[np.flatnonzero(unusual)[0]]
        problems.notes.append(f"reads {text!r} in column {column.name!r} as the number {value:.12g}")
    return pd.Series(np.append(values, np.nan)[column.codes])


def _to_float(text: str) -> float:
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def _plain_numbers(distinct: DistinctTexts, notation: Notation) -> list[int | float] | None:
    """Return the numbers that all texts are in a notation, without units, brackets and leading zeros; else None."""
    plain = (distinct.fits(notation) | distinct.infinite) & ~distinct.code & ~distinct.bracketed
    if not plain.all() or any(distinct.unit):
        return None
    texts = [text.strip().replace("−", "-") for text in distinct.texts.to_pylist()]
    is_whole = [text.lstrip("+-").isdigit() for text in texts]
    if any(digits and len(text) > MAX_DIGITS for text, digits in zip(texts, is_whole, strict=True)):
        return None
    values = distinct.values(notation)
    return [int(text) if digits else float(value) for text, digits, value in zip(texts, is_whole, values, strict=True)]


def _values_by_row(column: TextColumn, levels: Sequence[Any]) -> pd.Series:
    """Return the value of every row, given the values of the distinct texts."""
    integers = all(type(level) is int for level in levels) and all(abs(level) < 2**63 for level in levels)
    if (column.codes >= 0).all() and (integers or all(type(level) is bool for level in levels)):
        return pd.Series(np.array(levels)[column.codes])
    return pd.Series(np.array([*levels, None], dtype=object)[column.codes])


def _add_markers(
    column: TextColumn, mask: np.ndarray, kind: str, options: ReadingOptions, problems: TableProblems
) -> None:
    """Ask whether texts that often stand for a missing value do so here."""
    column.refused, missing = True, options.missing_with(column, mask)
    problems.add(
        f"has a column of {kind} with other texts, {column.name!r} ({_list_texts(column, mask)})",
        "only the empty field of a text is missing by itself",
        f"If they stand for missing values: {problems.assign('missing', missing)}; if they are levels: "
        f"{problems.assign('categorical', options.columns_of('categorical', column))}.",
        {"missing": missing},
    )


def _add_other_texts(column: TextColumn, mask: np.ndarray, options: ReadingOptions, problems: TableProblems) -> None:
    """Ask what texts mean that stand among numbers."""
    column.refused, missing = True, options.missing_with(column, mask)
    problems.add_for_column(
        column.name,
        f"has a column of numbers with other texts, {column.name!r} ({_list_texts(column, mask)})",
        "a column holds numbers or categories",
        f"If they stand for missing values: {problems.assign('missing', missing)}",
    )


def _list_texts(column: TextColumn, mask: np.ndarray) -> str:
    """List texts with their numbers of rows, the most frequent first."""
    assert column.distinct is not None
    rows = sorted(zip(column.distinct.examples(mask), column.counts[mask], strict=True), key=lambda row: -row[1])
    listed = ", ".join(f"{text!r} in {count_noun(int(count), 'row')}" for text, count in rows[:MAX_LISTED_TEXTS])
    return listed + (f", and {len(rows) - MAX_LISTED_TEXTS} more" if len(rows) > MAX_LISTED_TEXTS else "")


def _separated_text(column: TextColumn) -> str:
    texts = pc.unique(column.texts.filter(pc.match_substring_regex(column.texts, "[.,]")))
    return str(texts[0].as_py())


def _any_matches(texts: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())
