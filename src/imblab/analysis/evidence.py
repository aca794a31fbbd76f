"""The evidence of a study: counts at thresholds, calibration, chance levels, and where synthetic rows lie.

One long frame per study, with the columns of :data:`COLUMNS`; the meaning of ``name``, ``x``, ``y`` and ``z`` depends
on ``kind``:

=============== ====================== =========================== ======================= =====================
kind            name                   x                           y                       z
=============== ====================== =========================== ======================= =====================
``cut``         null                   threshold (p >= x is        false positives         true positives
                                       positive)
``class_cut``   class                  threshold of the class      false positives         true positives
                                       against the rest
``chance``      ``pr_auc``             expected value of a random  null                    null
                                       ranking
``bin``         number of the bin      rows                        sum of probabilities    positives
``calibration`` statistic              value                       null                    null
``prior``       statistic              value after prior           null                    null
                                       correction
``synthetic``   ``nearer_to_majority`` share of the synthetic rows number of synthetic     null
                or class                                           rows
``covariance``  ``measure:strategy``   covariance with that        folds that it pools     null
                                       strategy
=============== ====================== =========================== ======================= =====================

With more than two classes there are ``class_cut``, with the points that precision at :data:`CLASS_RECALLS` needs,
``synthetic`` by class, the share that is nearer to another class, and ``covariance``; a class is its index as text.
``bin``, ``calibration`` and ``prior`` pool the outer test rows of a repeat and have fold -1; ``covariance`` pools all
repeats and stands at repeat 0, fold -1 (:func:`imblab.stats.standard_errors.row_covariance`); the others belong to one
outer fold. Thresholds are those of :meth:`imblab.stats.curves.FoldCounts.from_predictions`. Those of decision values d
are ``1 / (1 + exp(-d))``: several of them may be one number where d is large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from imblab.result import Family
from imblab.stats import probabilities
from imblab.stats.curves import HUNDREDTHS, FoldCounts, expected_average_precision
from imblab.study import COORDINATES

COLUMNS = (*COORDINATES, "kind", "name", "x", "y", "z")
EVIDENCE_KINDS = ("cut", "class_cut", "chance", "bin", "calibration", "prior", "synthetic", "covariance")
#: The name of the share of synthetic rows with two classes.
NEARER_TO_MAJORITY = "nearer_to_majority"
#: Recalls at which the precision of a class against the rest is kept.
CLASS_RECALLS = tuple(i / 50 for i in range(1, 51))
#: Kinds that every fold with predictions has.
_COUNTED = ("cut", "class_cut")
#: Kinds whose names are whole numbers.
_NUMBERED = {"bin": "bins are numbered", "class_cut": "classes are numbered"}
#: The fold of values that pool all folds of a repeat.
POOLED = -1

#: ``(dataset, learner, strategy, repeat)``
RepeatKey = tuple[str, str, str, int]
#: Covariances of the mean scores of two strategies that come from the test rows, by the number of folds of the means.
RowCovariances = Mapping[int, Mapping[tuple[str, str], float]]
#: ``(dataset, learner, strategy, repeat, fold)``
CellKey = tuple[str, str, str, int, int]
#: Fold, kind, then the values of name, x, y and z.
_Block = tuple[int, str, Sequence[str | None], Sequence[float], Sequence[float], Sequence[float]]


@dataclass(frozen=True, slots=True, eq=False)
class FoldPredictions:
    """Predictions of the test rows of one outer fold."""

    fold: int  # number of the fold
    y: np.ndarray  # (n_test,): labels, or classes
    values: np.ndarray  # (n_test,), or (n_test, n_classes): predicted probabilities, or decision values
    prevalence: float  # share of positives in the outer training rows; unused with more than two classes
    is_probability: bool = True  # which of the two ``values`` are
    corrected: np.ndarray | None = None  # (n_test,): ``values`` after prior correction, where that applies
    #: share of the synthetic rows that are nearer to the majority or another class, and their number, by name
    synthetic: Mapping[str, tuple[float, int]] = field(default_factory=dict)


def build_frame(repeats: Iterable[tuple[RepeatKey, Sequence[FoldPredictions], bool]]) -> pd.DataFrame:
    """Build the evidence of strategies from their predictions, each in one repeat.

    Its order is that of :func:`merge_frames`. The flag of a repeat says whether these are all of its folds, without
    which nothing is pooled.
    """
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for key, folds, is_complete in repeats:
        blocks = [block for predictions in folds for block in _fold_blocks(predictions)]
        if is_complete and folds and all(each.is_probability and each.values.ndim == 1 for each in folds):
            blocks += _pooled_blocks(folds)
        for fold, kind, names, *values in blocks:
            for column, value in zip((*COORDINATES, "kind"), (*key, fold, kind), strict=True):
                columns[column] += [value] * len(names)
            for column, items in zip(("name", "x", "y", "z"), (names, *values), strict=True):
                columns[column] += items
    return merge_frames(empty_frame(), _with_dtypes(pd.DataFrame(columns)))


def _fold_blocks(predictions: FoldPredictions) -> Iterator[_Block]:
    fold, y, values = predictions.fold, predictions.y, predictions.values
    if values.ndim == 1:
        counts = FoldCounts.from_predictions(y, values, predictions.is_probability)
        yield _count_block(fold, "cut", None, counts)
        yield _one_value(fold, "chance", "pr_auc", expected_average_precision(values, int(y.sum())))
    else:
        for c, column in enumerate(values.T):
            counts = FoldCounts.from_predictions((y == c).astype(np.int64), column, predictions.is_probability)
            yield _count_block(fold, "class_cut", str(c), counts.thinned(len(CLASS_RECALLS)))
    for name, item in predictions.synthetic.items():
        yield _one_value(fold, "synthetic", name, *item)


def _count_block(fold: int, kind: str, name: str | None, counts: FoldCounts) -> _Block:
    return fold, kind, [name] * len(counts.tp), counts.thresholds.tolist(), counts.fp.tolist(), counts.tp.tolist()


def _pooled_blocks(folds: Sequence[FoldPredictions]) -> list[_Block]:
    y, proba = (np.concatenate([getattr(each, name) for each in folds]) for name in ("y", "values"))
    prevalence = np.concatenate([np.full(len(each.y), each.prevalence) for each in folds])
    bins = probabilities.quantile_bins(y, proba)
    number, n_rows, summed, positives = (list(column) for column in zip(*bins, strict=True))
    blocks: list[_Block] = [(POOLED, "bin", [str(i) for i in number], n_rows, summed, positives)]
    corrected = [each.corrected for each in folds if each.corrected is not None]
    variants = {"calibration": proba}
    if len(corrected) == len(folds):
        variants["prior"] = np.concatenate(corrected)
    for kind, values in variants.items():
        statistics = probabilities.calibration_statistics(y, values, prevalence)
        blocks += [_one_value(POOLED, kind, *item) for item in statistics.items()]
    return blocks


def _one_value(fold: int, kind: str, name: str, x: float | None, y: float | None = None) -> _Block:
    nan = float("nan")
    return fold, kind, [name], [nan if x is None else x], [nan if y is None else y], [nan]


def covariance_frame(
    dataset: str, learner: str, strategies: Sequence[str], matrices: Mapping[str, np.ndarray], n_folds: int
) -> pd.DataFrame:
    """Build the rows of the covariances of one data set and learner.

    ``matrices`` are symmetric, of shape (n_strategies, n_strategies), by measure; ``n_folds`` counts the folds of all
    repeats, over which the scores are means.
    """
    rows = [
        (dataset, learner, a, 0, POOLED, "covariance", f"{measure}:{b}", float(matrix[i, j]), float(n_folds), math.nan)
        for measure, matrix in matrices.items()
        for i, a in enumerate(strategies)
        for j, b in enumerate(strategies[i:], i)
    ]
    return _with_dtypes(pd.DataFrame(rows, columns=list(COLUMNS)))


class _PairCovariances(Mapping[tuple[str, str], float]):
    """Covariances by pair of strategies, in both orders; as one matrix, since a dict takes forty times the memory."""

    __slots__ = ("_is_known", "_matrix", "_position")

    def __init__(self, upper: Mapping[tuple[str, str], float]) -> None:
        names = dict.fromkeys(name for pair in upper for name in pair)
        self._position = {name: i for i, name in enumerate(names)}
        self._matrix = np.zeros((len(names), len(names)))
        self._is_known = np.zeros(self._matrix.shape, dtype=bool)
        for (a, b), value in upper.items():
            i, j = self._position[a], self._position[b]
            self._matrix[i, j] = self._matrix[j, i] = value
            self._is_known[i, j] = self._is_known[j, i] = True

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """Return the covariance of a pair; KeyError where there is none."""
        place = self._position[pair[0]], self._position[pair[1]]
        if not self._is_known[place]:
            raise KeyError(pair)
        return float(self._matrix[place])

    def __iter__(self) -> Iterator[tuple[str, str]]:
        names = list(self._position)
        return ((names[i], names[j]) for i, j in np.argwhere(self._is_known))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._is_known))


def row_covariances(frame: pd.DataFrame, measure: str) -> dict[Family, RowCovariances]:
    """Return the covariances of one measure, by data set and learner, then by number of folds and pair of strategies.

    Rows without a number of folds, which older files have, are left out.
    """
    families: dict[Family, dict[int, dict[tuple[str, str], float]]] = {}
    rows = frame.loc[(frame.kind == "covariance") & frame.y.notna()]
    texts = (_shared_texts(rows[column]) for column in ("dataset", "learner", "strategy", "name"))
    for dataset, learner, a, name, x, n_folds in zip(*texts, rows.x, rows.y, strict=True):
        of, _, b = name.partition(":")
        if of == measure:
            families.setdefault((dataset, learner), {}).setdefault(int(n_folds), {})[a, b] = float(x)
    return {
        family: {n_folds: _PairCovariances(upper) for n_folds, upper in by_folds.items()}
        for family, by_folds in families.items()
    }


def _shared_texts(column: pd.Series) -> Iterator[str]:
    """Yield the texts of a column, one object per text, however many rows have it."""
    codes, values = pd.factorize(column)
    texts = [str(value) for value in values]
    return (texts[code] for code in codes)


def empty_frame() -> pd.DataFrame:
    """Return evidence without rows."""
    return _with_dtypes(pd.DataFrame({column: [] for column in COLUMNS}))


def merge_frames(old: pd.DataFrame, *new: pd.DataFrame) -> pd.DataFrame:
    """Merge evidence into one order, by data set, learner, strategy, repeat, fold and kind.

    Repeats in ``new`` replace those in ``old``; so do the covariances of a data set and learner.
    """
    if len(old):
        keys, is_covariance = list(COORDINATES[:4]), (old.kind == "covariance").to_numpy()
        replaced = {key for frame in new for key in folds_by_repeat(frame)}
        covered = {
            key
            for frame in new
            for key in frame.loc[frame.kind == "covariance", keys[:2]].itertuples(index=False, name=None)
        }
        stays = [
            (key[:2] not in covered) if pooled else (key not in replaced)
            for key, pooled in zip(old[keys].itertuples(index=False, name=None), is_covariance, strict=True)
        ]
        old = old[stays]
    frames = [frame.astype({c: "object" for c in COORDINATES[:3]}) for frame in (old, *new) if len(frame)]
    if not frames:
        return empty_frame()
    frame = pd.concat(frames, ignore_index=True)
    order = [frame[column].to_numpy() for column in COORDINATES]
    rank = frame.kind.astype("object").map({kind: i for i, kind in enumerate(EVIDENCE_KINDS)}).to_numpy()
    # Stable: the rows of one kind stay as they were built.
    position = pd.DataFrame({i: values for i, values in enumerate([*order, rank])})
    return _with_dtypes(frame.loc[position.sort_values(list(position.columns), kind="stable").index])


def folds_by_repeat(frame: pd.DataFrame) -> dict[RepeatKey, set[int]]:
    """Return the folds that have counts, by data set, learner, strategy and repeat."""
    folds: dict[RepeatKey, set[int]] = {}
    cells = frame.loc[frame.kind.isin(_COUNTED), list(COORDINATES)].drop_duplicates()
    for dataset, learner, strategy, repeat, fold in cells.itertuples(index=False, name=None):
        folds.setdefault((str(dataset), str(learner), str(strategy), int(repeat)), set()).add(int(fold))
    return folds


def select(frame: pd.DataFrame, kind: str, **where: str) -> pd.DataFrame:
    """Select the rows of one kind, and of one ``dataset``, ``learner``, ``strategy`` or ``name``."""
    mask = frame.kind == kind
    for column, value in where.items():
        mask &= frame[column] == value
    return frame[mask].reset_index(drop=True)


def group_rows(frame: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Group the rows that share values: their positions, by appearance, and where each group begins among them."""
    number = np.zeros(len(frame), dtype=np.int64)
    for name in names:
        codes, values = pd.factorize(frame[name])
        number = number * (len(values) + 1) + codes + 1  # a missing value has the code -1
    _, appearance, group = np.unique(number, return_index=True, return_inverse=True)
    rank = np.empty_like(appearance)
    rank[np.argsort(appearance)] = np.arange(len(appearance))
    number = rank[group]
    order = np.argsort(number, kind="stable")
    return order, np.searchsorted(number[order], np.arange(len(appearance)))


@dataclass(frozen=True, slots=True, eq=False)
class CountsOfFolds:
    """The counts of all folds as three arrays: one object per fold would take several times the memory."""

    #: coordinates of each fold, in the order of the frame, and its class, which is unused with two classes
    cells: list[tuple[CellKey, str]]
    bounds: np.ndarray  # (n_folds + 1,): where the points of each fold begin
    #: (n_points,): by fold, then from the highest threshold down
    thresholds: np.ndarray
    fp: np.ndarray
    tp: np.ndarray
    #: (n_folds,): rows of each class
    negatives: np.ndarray
    positives: np.ndarray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, kind: str) -> CountsOfFolds:
        """Read the rows of the kind ``cut``, or ``class_cut``: precision at :data:`CLASS_RECALLS`, no exact areas."""
        rows, names = np.flatnonzero(frame.kind == kind), (*COORDINATES, "name")
        order, first = group_rows(frame[list(names)].iloc[rows], names)
        rows = rows[order]
        x, fp, tp = (frame[name].to_numpy()[rows] for name in ("x", "y", "z"))
        python_types = {**dict.fromkeys((*COORDINATES[:3], "name"), "object"), "repeat": "int64", "fold": "int64"}
        cells = frame.iloc[rows[first]][list(names)].astype(python_types)
        bounds = np.append(first, len(x))
        falling = np.lexsort((-x, np.repeat(np.arange(len(first)), np.diff(bounds))))  # points come in any order
        keys: list[tuple[CellKey, str]] = [
            ((dataset, learner, strategy, repeat, fold), c)
            for dataset, learner, strategy, repeat, fold, c in cells.itertuples(index=False, name=None)
        ]
        totals = (np.maximum.reduceat(v, first) if len(first) else np.empty(0) for v in (fp, tp))
        return cls(keys, bounds, x[falling], fp[falling], tp[falling], *totals)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, i: int) -> FoldCounts:
        """Return the counts of one fold."""
        points = slice(self.bounds[i], self.bounds[i + 1])
        totals = float(self.negatives[i]), float(self.positives[i])
        return FoldCounts(self.thresholds[points], self.fp[points], self.tp[points], *totals)


def fold_counts(frame: pd.DataFrame) -> Iterator[tuple[CellKey, FoldCounts]]:
    """Yield the coordinates and the counts of every outer fold, in the order of the frame."""
    counts = CountsOfFolds.from_frame(frame, "cut")
    for i, (cell, _) in enumerate(counts.cells):
        yield cell, counts[i]


def areas(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute the areas under both curves of every outer fold.

    The columns are ``dataset learner strategy repeat fold pr_auc roc_auc``: average precision, the area with ties half.
    """
    rows = [(*cell, *counts.areas()) for cell, counts in fold_counts(frame)]
    return pd.DataFrame(rows, columns=[*COORDINATES, "pr_auc", "roc_auc"])


def confusion_table(frame: pd.DataFrame, thresholds: Sequence[float] = HUNDREDTHS) -> pd.DataFrame:
    """Tabulate the confusion counts of every outer fold at hundredths.

    The columns are ``dataset learner strategy repeat fold threshold tn fp fn tp``, folds are in the order of the frame.
    ValueError for any other threshold: its counts are not kept.
    """
    places = np.asarray(thresholds, dtype=np.float64)
    if not np.isin(places, HUNDREDTHS).all():
        raise ValueError(f"thresholds {places.tolist()}: evidence holds the counts at i/100 for i = 1..99 only")
    pairs = list(fold_counts(frame))
    counts = np.empty((4, len(pairs), len(places)), dtype=np.int64)
    for i, (_, each) in enumerate(pairs):
        counts[:, i] = tuple(each.at(places))
    cells = pd.DataFrame([cell for cell, _ in pairs], columns=list(COORDINATES))
    table = cells.loc[cells.index.repeat(len(places))].reset_index(drop=True)
    columns = dict(zip(("tn", "fp", "fn", "tp"), counts.reshape(4, -1), strict=True))
    return table.assign(threshold=np.tile(places, len(pairs)), **columns)


def _with_dtypes(frame: pd.DataFrame) -> pd.DataFrame:
    texts = dict.fromkeys(("dataset", "learner", "strategy", "kind", "name"), "category")
    integers, numbers = dict.fromkeys(("repeat", "fold"), "int16"), dict.fromkeys(("x", "y", "z"), "float64")
    frame = frame[list(COLUMNS)].astype({**dict.fromkeys(texts, "object"), **integers, **numbers})
    return frame.astype(texts).reset_index(drop=True)


def _are_counts(values: np.ndarray) -> np.ndarray:
    return np.asarray((values >= 0) & (values == np.floor(values)) & np.isfinite(values))


def _are_shares(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.isnan(values) | ((values >= 0) & (values <= 1)))


#: Condition and rule of the numbers of a kind, by column; a column that is not named may hold any number.
_COUNT_RULES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "x": (np.isfinite, "a threshold is a finite number"),
    "y": (_are_counts, "false positives are a count, at least 0"),
    "z": (_are_counts, "true positives are a count, at least 0"),
}
_NUMBER_RULES: dict[str, dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]]] = {
    **dict.fromkeys(_COUNTED, _COUNT_RULES),
    "chance": {"x": (_are_shares, "an expected average precision lies between 0 and 1")},
    "bin": {
        "x": (_are_counts, "rows are a count, at least 0"),
        "y": (np.isfinite, "summed predicted probabilities are a finite number"),
        "z": (_are_counts, "positives are a count, at least 0"),
    },
    "calibration": {"x": (lambda x: ~np.isinf(x), "a statistic is finite or missing")},
    "prior": {"x": (lambda x: ~np.isinf(x), "a statistic is finite or missing")},
    "synthetic": {
        "x": (_are_shares, "a share lies between 0 and 1"),
        "y": (_are_counts, "synthetic rows are a count, at least 0"),
    },
    "covariance": {
        "x": (np.isfinite, "a covariance is a finite number"),
        "y": (lambda y: np.isnan(y) | _are_counts(y), "folds are a count, at least 0, or missing"),
    },
}


def invalid_reason(frame: pd.DataFrame) -> str | None:
    """Say what is wrong with a frame from a file: the first invalid column, row, value and its rule; None if nothing.

    Examples
    --------
    >>> invalid_reason(empty_frame()), invalid_reason(empty_frame().drop(columns="x"))
    (None, "column 'x' is missing; the columns are dataset, learner, strategy, repeat, fold, kind, name, x, y, z")
    """
    for column in COLUMNS:
        if column not in frame:
            return f"column {column!r} is missing; the columns are {', '.join(COLUMNS)}"
    for column in (*COORDINATES[:3], "kind", "name"):
        if reason := _invalid_text_reason(frame[column], column):
            return reason
    for column in (*COORDINATES[3:], "x", "y", "z"):
        if frame[column].dtype.kind not in ("iu" if column in COORDINATES else "f"):
            kind = "whole numbers" if column in COORDINATES else "numbers"
            return f"column {column!r} holds {frame[column].dtype}; it must hold {kind}"
    is_kind = frame.kind.astype("object").isin(EVIDENCE_KINDS).to_numpy()
    conditions: list[tuple[str, np.ndarray, str]] = [
        ("repeat", frame["repeat"].to_numpy() >= 0, "it counts from 0"),
        ("fold", frame.fold.to_numpy() >= POOLED, f"it counts from 0, and is {POOLED} for all folds"),
        ("kind", is_kind, f"it must be one of {', '.join(EVIDENCE_KINDS)}"),
    ]
    for column, valid, rule in conditions:
        if not valid.all():
            return _invalid_value(frame, column, int(np.argmin(valid)), rule)
    return _invalid_number_reason(frame)


def _invalid_text_reason(values: pd.Series, column: str) -> str | None:
    texts = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values.dropna().unique()
    wrong = next((value for value in texts if not isinstance(value, str)), None)
    if wrong is not None:
        return f"column {column!r} holds {wrong!r}; it must hold texts"
    if column != "name" and values.isna().any():
        return f"column {column!r} is empty in row {int(np.argmax(values.isna().to_numpy()))}; every row needs it"
    return None


def _invalid_number_reason(frame: pd.DataFrame) -> str | None:
    kinds = frame.kind.astype("object").to_numpy()
    for kind, columns in _NUMBER_RULES.items():
        rows = np.flatnonzero(kinds == kind)
        for column, (condition, rule) in columns.items():
            valid = condition(frame[column].to_numpy(dtype=np.float64)[rows])
            if not valid.all():
                return _invalid_value(frame, column, int(rows[np.argmin(valid)]), rule)
    names = frame.name.astype("object").to_numpy()
    for kind, rule in _NUMBERED.items():
        rows = np.flatnonzero(kinds == kind)
        numbered = {name: isinstance(name, str) and name.isdecimal() and name.isascii() for name in set(names[rows])}
        if not all(numbered.values()):
            return _invalid_value(frame, "name", next(int(row) for row in rows if not numbered[names[row]]), rule)
    return None


def _invalid_value(frame: pd.DataFrame, column: str, row: int, rule: str) -> str:
    value = frame[column].iloc[row]
    quoted = repr(value) if isinstance(value, str) else f"{value}"
    return f"column {column!r} is {quoted} in row {row}; {rule}"
