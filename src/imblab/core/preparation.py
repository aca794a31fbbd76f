"""Preparation of rows: impute -> standardise -> group rare levels -> one-hot, learned from real fit rows only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.impute import SimpleImputer

from imblab.core import step_rows
from imblab.core.row_buffer import RowBuffer, room_for_all
from imblab.core.sampling import Resampler
from imblab.study import MAX_LEVELS, Dataset

#: The code of "no category was seen in the fit rows"; it becomes a constant column.
UNSEEN_CATEGORY_CODE = -1.0
#: Bytes of transformed rows beyond which they are not cached.
MAX_CACHED_BYTES = 32 * 2**20
#: Bytes of the columns that are standardised together.
SCALING_BLOCK_BYTES = 16 * 2**20


class Scaling:
    """Mean and standard deviation of every column, of at least one row; a constant column has deviation 1.

    Bit for bit those of scikit-learn's StandardScaler, by the two passes of Chan, Golub and LeVeque (1983), *The
    American Statistician* 37, 242-247, and its bound below which a variance is rounding. StandardScaler itself checks
    each part again, which takes longer than a small part needs, and holds two copies of a large one. Columns of
    ``block_bytes`` are read together; no bit depends on it.

    Examples
    --------
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> Scaling(X).apply(X).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, X: np.ndarray, block_bytes: int = SCALING_BLOCK_BYTES) -> None:
        step_rows.note_rows(step_rows.SCALER, X)
        self.mean, self.deviation = np.empty(X.shape[1]), np.empty(X.shape[1])
        for columns in _column_blocks(len(X), X.shape[1], block_bytes):
            self.mean[columns], self.deviation[columns] = _column_moments(X[:, columns])

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Standardise rows in place."""
        X -= self.mean
        X /= self.deviation
        return X


def _column_blocks(rows: int, columns: int, block_bytes: int) -> Iterator[slice]:
    """Cut columns into blocks: never one by itself, because numpy sums a single column in another order."""
    width = max(block_bytes // (8 * max(rows, 1)), 2)
    begin = 0
    while begin < columns:
        end = begin + width if columns - begin - width > 1 else columns
        yield slice(begin, end)
        begin = end


def _column_moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(X)
    mean = (X.sum(axis=0) + 0.0) / n  # no negative zero
    residuals = X - mean
    correction = residuals.sum(axis=0)
    residuals *= residuals
    variance = (residuals.sum(axis=0) - correction**2 / n) / n
    eps = np.finfo(np.float64).eps
    deviation = np.sqrt(variance)
    deviation[variance <= n * eps * variance + (n * mean * eps) ** 2] = 1.0
    return mean, deviation


class RareLevels:
    """Group the levels that are rare in the fit rows into one level per column.

    A level with fewer rows than ``min_rows`` becomes the level "rare", and so does a level that the fit rows do not
    hold. A column without a rare level in the fit rows has no such level: unseen levels have no one-hot column there,
    and its entry of ``codes`` is None. The new level has a code above the ``n_levels`` of the whole table, so that a
    level of the table that is called "rare" stays itself. No value is missing.

    Examples
    --------
    >>> grouped = RareLevels(np.array([[0.0], [0.0], [1.0], [2.0]]), min_rows=2, n_levels=[4])
    >>> grouped.apply(np.array([[0.0], [1.0], [3.0]])).ravel().tolist()
    [0.0, 4.0, 4.0]
    """

    def __init__(self, codes: np.ndarray, min_rows: int, n_levels: Sequence[int]) -> None:
        step_rows.note_rows(step_rows.RARE_LEVELS, codes)
        self._frequent: list[np.ndarray] = []
        rare_codes: list[float | None] = []
        for column, n in zip(codes.T, n_levels, strict=True):
            levels, rows = np.unique(column, return_counts=True)
            self._frequent.append(levels[rows >= min_rows])
            rare_codes.append(float(n) if (rows < min_rows).any() else None)
        self.codes = tuple(rare_codes)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """Replace rare and unseen levels, in place; ``codes`` holds no missing value."""
        for position, (frequent, rare) in enumerate(zip(self._frequent, self.codes, strict=True)):
            if rare is not None:
                codes[~np.isin(codes[:, position], frequent), position] = rare
        return codes


def find_crowded_column(dataset: Dataset, fit: np.ndarray) -> tuple[str, int] | None:
    """Find a column with more than ``MAX_LEVELS`` levels in fit rows, after its rare levels are grouped.

    Returns its name and number of levels, or None. A table without ``rare`` was checked as a whole when it was loaded.
    """
    if dataset.rare is None:
        return None
    for name in dataset.categorical:
        rows = _count_rows_per_level(dataset, name, fit)
        n = int((rows >= dataset.rare).sum()) + bool((rows < dataset.rare).any())
        if n > MAX_LEVELS:
            return name, n
    return None


def smallest_min_rows(dataset: Dataset, column: str, fit: np.ndarray) -> int:
    """Return the smallest ``min_rows`` that leaves few enough levels of a crowded column in fit rows."""
    rows = np.sort(_count_rows_per_level(dataset, column, fit))[::-1]
    return int(rows[MAX_LEVELS - 1]) + 1


def _count_rows_per_level(dataset: Dataset, column: str, fit: np.ndarray) -> np.ndarray:
    """Count the fit rows of each level present; missing values count for the most frequent one, as in imputation."""
    values = dataset.X[column].cat
    n_levels = len(values.categories)
    if n_levels == 0:
        return np.zeros(0, dtype=np.int64)
    counts = np.bincount(values.codes.to_numpy()[fit] + 1, minlength=n_levels + 1)
    missing, rows = counts[0], counts[1:]
    rows[rows.argmax()] += missing
    return np.asarray(rows[rows > 0])


@dataclass(frozen=True, slots=True, eq=False)
class FeatureArrays:
    """The features of a data set as two float64 arrays."""

    numeric: np.ndarray  # (n_rows, n_numeric): in file order; NaN where missing
    #: (n_rows, n_categorical): positions among the sorted categories of each column; NaN where missing
    codes: np.ndarray
    names: tuple[str, ...]  # of the columns of ``numeric``, then of ``codes``
    y: np.ndarray  # (n_rows,): class indices
    gaps: np.ndarray  # (n_columns,): whether a column has a missing value
    rare: int | None = None  # levels with fewer fit rows than this are grouped
    n_levels: tuple[int, ...] = ()  # of each column of ``codes``
    classes: tuple[str, ...] = ("negative", "positive")  # the labels behind the class indices


def feature_arrays(dataset: Dataset) -> FeatureArrays:
    """Convert the features of a data set to arrays."""
    numeric = [c for c in dataset.X.columns if c not in dataset.categorical]
    coded = [c for c in dataset.X.columns if c in dataset.categorical]
    columns = [dataset.X[c].cat.codes.to_numpy(dtype=np.float64) for c in coded]
    codes = np.column_stack(columns) if columns else np.empty((len(dataset.y), 0))
    codes[codes < 0] = np.nan
    numbers = np.empty((len(dataset.y), len(numeric)))
    for i, name in enumerate(numeric):  # column by column: no second copy of a large table
        numbers[:, i] = dataset.X[name].to_numpy(dtype=np.float64)
    gaps = np.concatenate([np.isnan(part).any(axis=0) for part in (numbers, codes)])
    n_levels = tuple(len(dataset.X[c].cat.categories) for c in coded)
    names = (*numeric, *coded)
    return FeatureArrays(numbers, codes, names, dataset.y, gaps, dataset.rare, n_levels, dataset.classes)


class PreparedRows:
    """Fit rows, imputed and standardised once, with the transformation of other rows.

    ``fit`` are row numbers of ``data``, ``largest_k`` is the largest k that a sampler will ask for. C-ordered ``X`` of
    shape (n_fit, n_columns) holds the numeric columns in file order, then, at the positions ``categorical``, the codes
    of the others. ``notes`` are one sentence for each column without a value. Where ``X`` is ``finite``, so is every
    value that a sampler makes of it.
    """

    def __init__(self, data: Dataset | FeatureArrays, fit: np.ndarray, largest_k: int = 0) -> None:
        self._arrays = arrays = data if isinstance(data, FeatureArrays) else feature_arrays(data)
        self._n_numeric = arrays.numeric.shape[1]
        self.categorical = list(range(self._n_numeric, len(arrays.names)))
        self.y, self.classes = arrays.y[fit], arrays.classes
        # SMOTE writes its rows behind the real ones; without neighbours to look for no SMOTE was asked for.
        room = room_for_all(np.bincount(self.y, minlength=len(self.classes)).tolist()) if largest_k else 0
        buffer = RowBuffer(len(fit), room, len(arrays.names))
        self.X = self._take(fit, buffer.real)
        self.notes = self._describe_empty_columns()
        numeric, codes = self.X[:, : self._n_numeric], self.X[:, self._n_numeric :]
        # Without a missing value in the table the imputer is the identity.
        has_gaps = arrays.gaps[: self._n_numeric].any()
        self._imputer = SimpleImputer(strategy="median", keep_empty_features=True) if has_gaps else None
        if self._imputer is not None:
            step_rows.note_rows(step_rows.IMPUTER, numeric)
            numeric[:] = self._imputer.fit(numeric).transform(numeric)
        self._scaling = Scaling(numeric)
        if self.categorical:
            step_rows.note_rows(step_rows.CATEGORIES, codes)
        self._most_frequent = np.array([_most_frequent_code(column) for column in codes.T])
        self.rare_levels: RareLevels | None = None
        self._scale_and_fill(self.X)
        if arrays.rare is not None and self.categorical:
            self.rare_levels = RareLevels(codes, arrays.rare, arrays.n_levels)
            self.rare_levels.apply(codes)
        if self.categorical:
            step_rows.note_rows(step_rows.ENCODER, codes)
        self.finite = bool(np.isfinite(self.X).all())
        self._levels = [np.unique(self.X[:, column]) for column in self.categorical]
        self.resampler = Resampler(self.X, self.y, self.categorical, largest_k, self.classes, buffer)
        self._transformed: list[tuple[np.ndarray, np.ndarray]] = []

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Return rows of the table as the learner reads them: one-hot columns, zeros for unseen categories."""
        # All candidates of a part predict the same rows, or those of two folds if both share the fit.
        for cached_rows, X in self._transformed:
            if cached_rows is rows:
                return X
        X = self._take(rows, np.empty((len(rows), len(self._arrays.names))))
        if self._imputer is not None:
            X[:, : self._n_numeric] = self._imputer.transform(X[:, : self._n_numeric])
        X = self.encode(self._scale_and_fill(X))
        if X.nbytes < MAX_CACHED_BYTES:  # larger ones would lie idle during the next fit
            self._transformed = [*self._transformed[-1:], (rows, X)]
        return X

    @property
    def filled(self) -> np.ndarray:
        """The code that a missing value of each categorical column becomes."""
        codes: np.ndarray = self._most_frequent[None].copy()
        if self.rare_levels is not None:
            self.rare_levels.apply(codes)
        return codes.ravel()

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Replace the coded columns by one column per level seen in the real fit rows."""
        if not self.categorical:
            return X
        hot = [
            (X[:, column, None] == levels).astype(np.float64)
            for column, levels in zip(self.categorical, self._levels, strict=True)
        ]
        return np.ascontiguousarray(np.hstack([X[:, : self._n_numeric], *hot]))

    def _take(self, rows: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Copy rows of the table as they are into an array; returns the array."""
        if self.categorical:
            X[:, : self._n_numeric] = self._arrays.numeric.take(rows, axis=0)
            X[:, self._n_numeric :] = self._arrays.codes.take(rows, axis=0)
        else:  # "clip", because "raise" would make a copy first
            self._arrays.numeric.take(rows, axis=0, out=X, mode="clip")
        return X

    def _scale_and_fill(self, X: np.ndarray) -> np.ndarray:
        """Standardise imputed numeric columns, fill coded columns and group their rare levels, in place."""
        self._scaling.apply(X[:, : self._n_numeric])
        if self.categorical:
            codes = X[:, self._n_numeric :]
            np.copyto(codes, self._most_frequent, where=np.isnan(codes))
            if self.rare_levels is not None:
                self.rare_levels.apply(codes)
        return X

    def _describe_empty_columns(self) -> tuple[str, ...]:
        gaps = np.flatnonzero(self._arrays.gaps)
        empty = [self._arrays.names[i] for i in gaps if np.isnan(self.X[:, i]).all()]
        return tuple(f"column {name!r} holds no value in a fit part and was filled with 0" for name in empty)


def _most_frequent_code(codes: np.ndarray) -> float:
    """Return the most frequent code; ties go to the lowest, as in scikit-learn's SimpleImputer."""
    seen, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return float(seen[counts.argmax()]) if len(seen) else UNSEEN_CATEGORY_CODE
