"""Outer and inner splits, fixed and fingerprinted before any model exists.

The outer pair is train/test, the inner pair fit/validate. Stratified folds by default, stratified group folds with
groups, growing windows with a time column; one test part per repeat in a hold-out, and the folds of a column where the
table has them (design: the numerical contract, rule 2).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property, partial

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split

from imblab.core import classes, preparation
from imblab.core.classes import class_rows
from imblab.core.group_folds import assign_group_folds
from imblab.errors import ConfigError, DataError, combined
from imblab.stats.curves import time_blocks
from imblab.study import MAX_LEVELS, Dataset, Protocol, Split, fingerprint
from imblab.text import count_noun, join_words, table_option, table_setting

RowPair = tuple[np.ndarray, np.ndarray]
MAX_LISTED_FOLDS = 8


class InnerFolds(tuple[RowPair, ...]):
    """The (fit, validate) row pairs of one outer split; their fingerprints are computed once."""

    @cached_property
    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        """Return the fingerprints of both parts of every pair."""
        return tuple((fingerprint(fit), fingerprint(validate)) for fit, validate in self)


def repeat_seed(seed: int, repeat: int) -> int:
    """Return the random state of one repeat, counted from 0: ``seed + repeat``.

    Everything random in a repeat (splits, samplers, learners, search) gets it, never anything derived from the
    strategy or the learner, so that strategies share random numbers and their differences are paired.

    Examples
    --------
    >>> repeat_seed(7, 2)
    9
    """
    return seed + repeat


def plan(dataset: Dataset, protocol: Protocol, seed: int, key: str | None = None) -> tuple[Split, ...]:
    """Make the outer splits of a data set, repeat by repeat, and check that they can carry a study.

    Repeat r shuffles with ``seed + r``. ``key`` is the key under ``dataset.`` in the overrides of messages; None for a
    table in memory, which has arguments.

    Raises DataError if an outer or inner part lacks a class or a fit part has fewer than two positives (with more than
    two classes: than two rows of any class); the message holds the largest feasible number of folds, and with more than
    two classes those that can be merged or left out. Or if a fit part has too many levels after its rare ones are
    grouped, or a group spans predefined folds. Raises ConfigError if a time column is combined with repeats, groups or
    shared inner folds, predefined folds with a time column, repeats or a hold-out, or a hold-out with shared inner
    folds: everything at once.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> toy = Dataset("toy", pd.DataFrame({"a": np.arange(40.0)}), np.repeat([0, 1], [30, 10]), ("no", "yes"))
    >>> [len(s.test) for s in plan(toy, Protocol(outer_folds=5, inner_folds=2), seed=0)]
    [8, 8, 8, 8, 8]
    >>> [len(s.test) for s in plan(toy, Protocol(test_size=0.25, inner_folds=2, repeats=2), seed=0)]
    [10, 10]
    """
    if clashes := [*_find_clashes(dataset, protocol, key), *_find_spanning_groups(dataset, key)]:
        raise combined(clashes)
    try:
        splits = make_splits(dataset, protocol, seed)
        problem = _find_unusable_part(dataset, protocol, seed, splits)
    except ValueError as error:
        splits, problem = (), f"the outer folds cannot be made ({error})"
    is_feasible = partial(_is_feasible, seed=seed)
    if problem and (lacking := _find_lacking_folds(dataset)):
        problem = lacking
    if problem and len(dataset.classes) > 2:
        small = _small_classes(dataset, protocol, seed, splits)
        raise classes.too_few_rows_error(dataset, protocol, key, problem, small, is_feasible)
    if problem:
        way_out, overrides = classes.suggest_folds(dataset, protocol, key, is_feasible)
        raise DataError(
            f"data set {dataset.name!r} is too small for {classes.describe_design(dataset, protocol)}: {problem}. "
            f"Every part needs a row of each class and every fit part two positives. {way_out}",
            overrides=overrides,
        )
    _check_levels(dataset, protocol, seed, splits, key)
    return splits


def inner_pairs(dataset: Dataset, protocol: Protocol, seed: int, split: Split, splits: Sequence[Split]) -> InnerFolds:
    """Split the training rows of one outer split into (fit, validate) pairs; ``splits`` are all outer splits.

    ``protocol.inner == "shared"`` takes the other outer folds of the same repeat. No row of ``split.test`` is among
    them.
    """
    if protocol.inner == "shared":
        others = [s.test for s in splits if s.repeat == split.repeat and s.fold != split.fold]
        return InnerFolds((np.setdiff1d(split.train, part, assume_unique=True), part) for part in others)
    if dataset.time is not None:
        return InnerFolds(_windows(dataset.time, split.train, protocol.inner_folds, protocol.gap))
    state = repeat_seed(seed, split.repeat)
    return InnerFolds(_stratified_folds(dataset, split.train, protocol.inner_folds, state))


def make_splits(dataset: Dataset, protocol: Protocol, seed: int) -> tuple[Split, ...]:
    """Make the outer splits of a data set without checking them; raises ValueError where they cannot be made."""
    rows = np.arange(len(dataset.y))
    splits = []
    for repeat in range(protocol.repeats):
        pairs = _outer_pairs(dataset, protocol, rows, repeat_seed(seed, repeat))
        splits += [Split(repeat, i, train, test, fingerprint(train, test)) for i, (train, test) in enumerate(pairs)]
    return tuple(splits)


def _outer_pairs(dataset: Dataset, protocol: Protocol, rows: np.ndarray, state: int) -> list[RowPair]:
    if dataset.folds is not None:
        return [(rows[dataset.folds != i], rows[dataset.folds == i]) for i in range(len(dataset.fold_names))]
    if protocol.test_size is not None:
        return [_hold_out(dataset, rows, protocol.test_size, protocol.gap, state)]
    if dataset.time is not None:
        return _windows(dataset.time, rows, protocol.outer_folds, protocol.gap)
    return _stratified_folds(dataset, rows, protocol.outer_folds, state)


def _hold_out(dataset: Dataset, rows: np.ndarray, test_size: float, gap: str | float | None, state: int) -> RowPair:
    """Hold out a share of the rows: the latest ones, one fold of whole groups, or stratified ones."""
    if dataset.time is not None:
        return _latest_rows(dataset.time, rows, test_size, gap)
    if dataset.groups is not None:
        return _stratified_folds(dataset, rows, max(2, round(1 / test_size)), state)[0]
    train, test = train_test_split(rows, test_size=test_size, stratify=dataset.y, random_state=state)
    return np.sort(train), np.sort(test)


def _latest_rows(time: np.ndarray, rows: np.ndarray, test_size: float, gap: str | float | None) -> RowPair:
    """Hold out the rows that have at least the other share of all rows strictly before them, in time order."""
    rows = rows[np.argsort(time[rows], kind="stable")]
    times = time[rows]
    # Exact: 1 - 0.7 is not 0.3 in floating point, and a row would change sides.
    first = math.ceil((1 - Fraction(repr(float(test_size)))) * len(rows))
    late = np.searchsorted(times, times, side="left") >= first
    early, distance = ~late, _parse_gap(gap, times)
    if late.any() and distance is not None:
        early &= times + distance <= times[late].min()
    return rows[early], rows[late]


def _stratified_folds(dataset: Dataset, rows: np.ndarray, folds: int, state: int) -> list[RowPair]:
    y = dataset.y[rows]
    if dataset.groups is not None:
        fold = assign_group_folds(y, dataset.groups[rows], folds, state)
        return [(rows[fold != i], rows[fold == i]) for i in range(folds)]
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=state)
    with warnings.catch_warnings():
        # "The least populated class ..." becomes an error of the check, with the way out.
        warnings.simplefilter("ignore", UserWarning)
        return [(rows[a], rows[b]) for a, b in splitter.split(np.zeros(len(rows)), y)]


def _windows(time: np.ndarray, rows: np.ndarray, folds: int, gap: str | float | None) -> list[RowPair]:
    """Make growing windows: fold i trains on blocks 1..i and tests on block i + 1; equal times stay together."""
    rows = rows[np.argsort(time[rows], kind="stable")]
    times = time[rows]
    block = time_blocks(times, folds + 1)
    distance = _parse_gap(gap, times)
    pairs = []
    for i in range(1, folds + 1):
        early, late = block < i, block == i
        if late.any() and distance is not None:
            early &= times + distance <= times[late].min()
        pairs.append((rows[early], rows[late]))
    return pairs


def _parse_gap(gap: str | float | None, times: np.ndarray) -> np.timedelta64 | float | None:
    if gap is None:
        return None
    is_date = np.issubdtype(times.dtype, np.datetime64)
    try:
        with warnings.catch_warnings(action="ignore"):  # of pandas, on spellings such as 7d
            if (pd.Timedelta(gap).total_seconds() if is_date else float(gap)) < 0:
                raise ValueError("negative")
            if is_date and re.fullmatch(r"[\d.e+]*[1-9][\d.e+]*", str(gap)):
                raise ValueError("no unit: pandas would read nanoseconds")
            return pd.Timedelta(gap).to_timedelta64() if is_date else float(gap)
    except ValueError as error:
        kind = "a duration such as '30D'" if is_date else "a number, at least 0"
        raise ConfigError(
            f"'protocol.gap' is {gap!r}, but the time column needs {kind}. Set protocol.gap accordingly, or to null."
        ) from error


def _check_levels(dataset: Dataset, protocol: Protocol, seed: int, splits: Sequence[Split], key: str | None) -> None:
    """Refuse a fit part with too many levels, before anything is fitted there."""
    if dataset.rare is None:
        return
    for split in splits:
        pairs = inner_pairs(dataset, protocol, seed, split, splits)
        for fit in (split.train, *(fit for fit, _ in pairs)):
            if (crowded := preparation.find_crowded_column(dataset, fit)) is None:
                continue
            column, n = crowded
            all_rows = np.arange(len(dataset.y))  # enough for every part
            min_rows = preparation.smallest_min_rows(dataset, column, all_rows)
            raise DataError(
                f"data set {dataset.name!r} has {n} levels in column {column!r} of a fit part of {len(fit)} rows, once "
                f"those with fewer than {dataset.rare} rows are one; one-hot columns are made of at most {MAX_LEVELS} "
                f"levels. Set {table_setting(key, 'rare', {'min_rows': min_rows})}, or leave the column out "
                f"with {table_option(key, 'drop')}.",
                overrides={table_option(key, "rare"): {"min_rows": min_rows}} if key is not None else {},
            )


def _find_clashes(dataset: Dataset, protocol: Protocol, key: str | None) -> Iterator[ConfigError]:
    """Find the settings that exclude each other on a data set."""
    if dataset.time is None and protocol.gap is not None:
        yield ConfigError(
            f"'protocol.gap' is {protocol.gap!r}, but data set {dataset.name!r} has no time column; a gap is a "
            f"distance in time. Name the column with {table_option(key, 'time')}, or set protocol.gap=null."
        )
    is_holdout, is_shared = protocol.test_size is not None, protocol.inner == "shared"
    if dataset.time is not None and dataset.folds is None:
        clashes = {
            f"protocol.repeats={protocol.repeats}": protocol.repeats > 1,
            "groups": dataset.groups is not None,
            "protocol.inner=shared": is_shared and not is_holdout,
        }
        how = "of the latest rows" if is_holdout else "from growing windows"
        for clash in (name for name, present in clashes.items() if present):
            yield ConfigError(
                f"data set {dataset.name!r} is ordered by time and {clash} was asked; time-ordered splits are made "
                f"once, {how}, without groups or shared inner folds. Drop one of the two."
            )
    if is_holdout and is_shared:
        yield ConfigError(
            f"'protocol.inner' is 'shared' and 'protocol.test_size' is {protocol.test_size:g}; a hold-out has one test "
            "part, so that there are no other outer folds to share. Set protocol.inner=own."
        )
    if dataset.folds is None:
        return
    remedies = {
        f"protocol.repeats={protocol.repeats}": (protocol.repeats > 1, "Set protocol.repeats=1"),
        f"protocol.test_size={protocol.test_size}": (is_holdout, "Choose protocol=nested_5x3"),
        table_option(key, "time"): (dataset.time is not None, f"Set {table_setting(key, 'time', None)}"),
    }
    for clash, remedy in ((name, remedy) for name, (present, remedy) in remedies.items() if present):
        yield ConfigError(
            f"data set {dataset.name!r} has predefined folds and {clash} was asked; the column of folds alone says "
            f"which rows are tested, once each. {remedy}, or set {table_setting(key, 'folds', None)}."
        )


def _find_spanning_groups(dataset: Dataset, key: str | None) -> Iterator[DataError]:
    """Find groups with rows in several predefined folds."""
    if dataset.folds is None or dataset.groups is None:
        return
    pairs = np.unique(np.column_stack([dataset.groups, dataset.folds]), axis=0)
    groups, n_folds = np.unique(pairs[:, 0], return_counts=True)
    if len(spanning := groups[n_folds > 1]):
        rows = np.flatnonzero(dataset.groups == spanning[0])
        names = dict.fromkeys(_fold_name(dataset, int(fold)) for fold in dataset.folds[rows])
        yield DataError(
            f"data set {dataset.name!r} has {count_noun(len(spanning), 'group')} with rows in several predefined "
            f"folds, the first in {join_words(names, limit=MAX_LISTED_FOLDS)}; rows of one group are tested together. "
            f"Correct the column of folds, or set {table_setting(key, 'groups', None)}."
        )


def _find_lacking_folds(dataset: Dataset) -> str | None:
    """Describe all predefined folds that lack a class."""
    if dataset.folds is None:
        return None
    findings = []
    for fold in range(len(dataset.fold_names)):
        rows = np.flatnonzero(dataset.folds == fold)
        lacking = [dataset.classes[c] for c in np.flatnonzero(class_rows(dataset, rows) == 0)]
        if lacking:
            held = f"{count_noun(len(rows), 'row')}, none of {join_words(map(repr, lacking), 'or')}"
            findings.append(f"{_fold_name(dataset, fold)} ({held})")
    if not findings:
        return None
    return f"a test part lacks a class in {join_words(findings, limit=MAX_LISTED_FOLDS)}"


def _fold_name(dataset: Dataset, fold: int) -> str:
    return f"fold {dataset.fold_names[fold]!r}" if dataset.fold_names else f"fold {fold}"


def _find_unusable_part(dataset: Dataset, protocol: Protocol, seed: int, splits: Sequence[Split]) -> str | None:
    """Describe the first part with too few rows of a class; None if all are usable."""
    try:
        for rows, name, where, min_rows in _list_parts(dataset, protocol, seed, splits):
            counts = class_rows(dataset, rows)
            if (counts >= min_rows).all():
                continue
            if len(counts) == 2:
                return f"the {name} part of {where} holds {counts[1]} positive and {counts[0]} negative rows"
            rarest = int(np.flatnonzero(counts < min_rows)[-1])
            held = f"{counts[rarest]} row" if counts[rarest] else "no row"
            return f"the {name} part of {where} holds {held} of {dataset.classes[rarest]!r}"
    except ValueError as error:
        return f"the inner folds of {error.__notes__[0]} cannot be made ({error})"
    return None


def _list_parts(
    dataset: Dataset, protocol: Protocol, seed: int, splits: Sequence[Split]
) -> Iterator[tuple[np.ndarray, str, str, np.ndarray]]:
    """List the rows of every outer and inner part, its name, where it is, and the rows that each class needs there.

    Raises ValueError, with a note on the outer split, where inner folds cannot be made.
    """
    n_classes = len(dataset.classes)
    one = np.ones(n_classes, dtype=np.int64)
    fit = one + 1 if n_classes > 2 else np.array([1, 2])
    for split in splits:
        where = f"repeat {split.repeat}, {_fold_name(dataset, split.fold)}"
        yield split.train, "training", f"outer {where}", fit
        yield split.test, "test", f"outer {where}", one
        try:
            pairs = inner_pairs(dataset, protocol, seed, split, splits)
        except ValueError as error:
            error.add_note(where)
            raise
        for j, (fit_rows, validation_rows) in enumerate(pairs):
            yield fit_rows, "fit", f"inner fold {j} of {where}", fit
            yield validation_rows, "validation", f"inner fold {j} of {where}", one


def _small_classes(dataset: Dataset, protocol: Protocol, seed: int, splits: Sequence[Split]) -> list[int]:
    """Return the classes with too few rows in some part; the rarest one where folds cannot be made at all."""
    small = np.zeros(len(dataset.classes), dtype=bool)
    try:
        for rows, _, _, min_rows in _list_parts(dataset, protocol, seed, splits):
            small |= class_rows(dataset, rows) < min_rows
    except ValueError:
        small[-1] = True
    return np.flatnonzero(small).tolist()


def _is_feasible(dataset: Dataset, protocol: Protocol, seed: int) -> bool:
    try:
        splits = make_splits(dataset, protocol, seed)
    except ValueError:
        return False
    return _find_unusable_part(dataset, protocol, seed, splits) is None
