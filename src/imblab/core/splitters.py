"""Splitters of scikit-learn as the outer folds of a study: by the protocol, or by a fold for each row.

A study makes its own folds from its protocol (:mod:`imblab.core.splits`). A splitter whose parts the protocol makes too
is written as that protocol. Any other one is run once, and the fold in which each row is tested is kept, which takes
test parts that hold every row once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imblab.core.splits import RowPair, make_splits
from imblab.errors import ConfigError, foreign_reason
from imblab.study import Dataset, Protocol
from imblab.text import count_noun

MAX_SPLITTER_CHARACTERS = 120


@dataclass(frozen=True, slots=True, eq=False)
class OuterFolds:
    """How a study makes the folds of a splitter; ``fold_of_row`` is None where the protocol makes the same parts."""

    protocol: Protocol  # the numbers of folds and repeats, and the share of a hold-out
    fold_of_row: np.ndarray | None = None  # the fold in which each row is tested, int64


def read_splitter(splitter: Any, data: Dataset, labels: Any, groups: Any, protocol: Protocol, seed: int) -> OuterFolds:
    """Express a splitter by the protocol, or by the fold of each row; the test parts stay the same.

    It is a splitter of scikit-learn, an object with its ``split``, or (train, test) row numbers; ``labels`` and
    ``groups`` are what it receives. ConfigError if it cannot split the table, or its parts are not those of any
    protocol and do not test every row once.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.model_selection import StratifiedKFold
    >>> data = Dataset("toy", pd.DataFrame({"a": np.arange(40.0)}), np.repeat([0, 1], [30, 10]), ("no", "yes"))
    >>> folds = StratifiedKFold(4, shuffle=True, random_state=0)
    >>> read_splitter(folds, data, data.y, None, Protocol(), 0).protocol.outer_folds
    4
    >>> read_splitter(StratifiedKFold(4), data, data.y, None, Protocol(), 0).fold_of_row[:4]
    array([0, 0, 0, 0])
    """
    if isinstance(splitter, type):
        raise ConfigError(
            f"'cv' is the class {splitter.__name__}; a study splits with an object. Write cv={splitter.__name__}()."
        )
    pairs = _pairs_of(splitter, data, labels, groups)
    for candidate in _candidates(splitter, protocol):
        if _makes_pairs(data, candidate, seed, pairs):
            return OuterFolds(candidate)
    n_rows = len(data.y)
    tested = np.bincount(np.concatenate([test for _, test in pairs]), minlength=n_rows)
    trains_on_others = all(len(train) + len(test) == n_rows for train, test in pairs)
    if len(pairs) < 2 or not (tested == 1).all() or not trains_on_others:
        raise _not_folds(splitter, pairs, tested)
    fold_of_row = np.empty(n_rows, dtype=np.int64)
    for fold, (_, test) in enumerate(pairs):
        fold_of_row[test] = fold
    _check_classes(splitter, data, pairs)
    return OuterFolds(replace(protocol, repeats=1, test_size=None), fold_of_row)


def _check_classes(splitter: Any, data: Dataset, pairs: list[RowPair]) -> None:
    """Refuse folds of which some test no row of a class."""
    rows = np.array([np.bincount(data.y[test], minlength=len(data.classes)) for _, test in pairs])
    n_lacking, label = int((rows == 0).any(axis=1).sum()), data.classes[int((rows == 0).sum(axis=0).argmax())]
    if n_lacking and data.time is None:
        n_folds = max(2, min(5, len(pairs), int(rows.sum(axis=0).min())))
        raise ConfigError(
            f"'cv' is {_text_of(splitter)}, and {n_lacking} of its {len(pairs)} test parts lack a class, such as "
            f"{label!r}; a test part needs a row of each class. Write cv=StratifiedKFold({n_folds}), or cv={n_folds}."
        )


def _pairs_of(splitter: Any, data: Dataset, labels: Any, groups: Any) -> list[RowPair]:
    """Return the sorted row numbers of every train and test part."""
    n_rows = len(data.y)
    try:
        split = getattr(splitter, "split", None)
        parts = list(splitter if split is None else split(np.zeros((n_rows, 1)), labels, groups))
        pairs = [(_row_numbers(train, n_rows), _row_numbers(test, n_rows)) for train, test in parts]
    except Exception as error:  # of any class of splitters
        raise ConfigError(
            f"'cv' is {_text_of(splitter)}, which cannot split the {n_rows:,} rows ({foreign_reason(error)}); it is a "
            "number of folds, the name of a protocol, a splitter of scikit-learn or a list of (train, test). Correct "
            "it, pass groups= or time= if it needs them, or write cv=5."
        ) from error
    if not pairs:
        raise ConfigError(f"'cv' is {_text_of(splitter)}, which holds 0 folds; a study tests rows. Write cv=5.")
    return pairs


def _row_numbers(part: Any, n_rows: int) -> np.ndarray:
    """Return sorted row numbers; raises ValueError for rows that the table does not have."""
    rows = np.asarray(part)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if len(rows) == 0 or rows.min() < 0 or rows.max() >= n_rows or len(np.unique(rows)) < len(rows):
        raise ValueError("a part is empty, or holds a row twice or one that the table does not have")
    return np.sort(rows)


def _candidates(splitter: Any, protocol: Protocol) -> Iterator[Protocol]:
    """List the protocols that may make the parts of a splitter."""
    inner = getattr(splitter, "cvargs", {})  # of repeated splitters
    folds, test_size = inner.get("n_splits", getattr(splitter, "n_splits", None)), getattr(splitter, "test_size", None)
    if isinstance(test_size, float):
        yield replace(protocol, test_size=test_size, repeats=getattr(splitter, "n_splits", 1))
    elif isinstance(folds, int):
        yield replace(protocol, test_size=None, outer_folds=folds, repeats=getattr(splitter, "n_repeats", 1))


def _makes_pairs(data: Dataset, protocol: Protocol, seed: int, pairs: list[RowPair]) -> bool:
    """Return whether a protocol makes exactly these parts, in this order."""
    try:
        splits = make_splits(data, protocol, seed)
    except (ValueError, ConfigError):  # the table cannot carry it
        return False
    return len(splits) == len(pairs) and all(
        np.array_equal(np.sort(split.train), train) and np.array_equal(np.sort(split.test), test)
        for split, (train, test) in zip(splits, pairs, strict=True)
    )


def _not_folds(splitter: Any, pairs: list[RowPair], tested: np.ndarray) -> ConfigError:
    """Explain which rows are not tested once, and the nearest design that a study has."""
    facts = {
        f"{count_noun(int((tested == 0).sum()), 'row')} never": (tested == 0).any(),
        f"{count_noun(int((tested > 1).sum()), 'row')} more than once": (tested > 1).any(),
        "every row once, without training on all others": (tested == 1).all(),
    }
    how = " and ".join(fact for fact, holds in facts.items() if holds)
    kind = type(splitter).__name__
    way_out = "cv=5, or a splitter with n_splits folds"
    if "Repeated" in kind:
        folds, repeats = splitter.cvargs.get("n_splits", 5), splitter.n_repeats
        way_out = (
            f"cv={folds}, repeats={repeats}: repeat r is StratifiedKFold({folds}, shuffle=True, "
            "random_state=random_state + r)"
        )
    elif "Shuffle" in kind or len(pairs) == 1:
        way_out = "cv='holdout' with repeats=10, which tests 30 % of the rows and draws repeat r with random_state + r"
    elif kind == "TimeSeriesSplit":
        way_out = f"cv={len(pairs)} and time=..., which trains on all earlier blocks of equal size"
    return ConfigError(
        f"'cv' is {_text_of(splitter)}, which tests {how}; the folds of a study are those of its protocol, or test "
        f"every row once against training on all others. Write {way_out}."
    )


def _text_of(splitter: Any) -> str:
    is_list = isinstance(splitter, (list, tuple))
    text = f"a list of {len(splitter)} parts" if is_list else " ".join(repr(splitter).split())
    return text if len(text) <= MAX_SPLITTER_CHARACTERS else f"{text[:MAX_SPLITTER_CHARACTERS]}..."
