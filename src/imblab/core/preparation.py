"""Preparation of fit rows: impute, standardise, group rare levels, one-hot; learned from real fit rows only."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.impute import SimpleImputer

from imblab.core.sampling import Resampler, max_new_rows
from imblab.study import MAX_LEVELS, Dataset, fingerprint

#: The code of "no category was ever seen here"; it becomes a constant column.
UNSEEN_CATEGORY_CODE = -1.0
#: Bytes of transformed rows beyond which they are not kept.
MAX_CACHED_BYTES = 32 * 2**20

#: Bytes of the columns that are looked at together.
SCALING_BLOCK_BYTES = 16 * 2**20


class Scaling:
    """Mean and standard deviation of every column; a constant column has deviation 1.

    The two passes of Chan, Golub and LeVeque (1983), *The American Statistician* 37, 242-247, as in scikit-learn, with
    its bound below which a variance is rounding.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns), float64, C-ordered
        At least one row, no missing value.
    at_once : int, optional
        Bytes of the columns that are looked at together; no bit depends on it.

    Attributes
    ----------
    mean, deviation : ndarray of shape (n_columns,)

    Examples
    --------
    >>> X = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> Scaling(X).apply(X).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, X: np.ndarray, at_once: int = SCALING_BLOCK_BYTES) -> None:
        self.mean, self.deviation = np.empty(X.shape[1]), np.empty(X.shape[1])
        for columns in _column_blocks(len(X), X.shape[1], at_once):
            self.mean[columns], self.deviation[columns] = _column_moments(X[:, columns])

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Standardise rows in place."""
        X -= self.mean
        X /= self.deviation
        return X


def _column_blocks(rows: int, columns: int, at_once: int) -> Iterator[slice]:
    """Columns to look at together: never one alone, because numpy adds a single column up in another order."""
    width = max(at_once // (8 * max(rows, 1)), 2)
    begin = 0
    while begin < columns:
        end = begin + width if columns - begin - width > 1 else columns
        yield slice(begin, end)
        begin = end


def _column_moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(X)
    mean = (X.sum(axis=0) + 0.0) / n  # no negative zero
    apart = X - mean
    slip = apart.sum(axis=0)
    apart *= apart
    variance = (apart.sum(axis=0) - slip**2 / n) / n
    eps = np.finfo(np.float64).eps
    deviation = np.sqrt(variance)
    deviation[variance <= n * eps * variance + (n * mean * eps) ** 2] = 1.0
    return mean, deviation


class RareLevels:
    """Learn which levels are rare in the fit rows, and put one level in their place everywhere.

    A level with fewer rows than asked becomes the level "rare", and so does a level that the fit rows do not hold. A
    column without a rare level in the fit rows has no such level: what is unseen there has no column at all. The new
    level has a code of its own above all others, so that a level of the table that is called "rare" stays itself.

    Parameters
    ----------
    codes : ndarray of shape (n_fit, n_columns)
        Real fit rows without missing values.
    min_rows : int
        Levels with fewer fit rows are rare.
    n_levels : sequence of int
        Levels of each column in the whole table; the codes lie below.

    Attributes
    ----------
    codes : tuple of float or None
        For each column the code of its rare level, None where no level is rare.

    Examples
    --------
    >>> grouped = RareLevels(np.array([[0.0], [0.0], [1.0], [2.0]]), min_rows=2, n_levels=[4])
    >>> grouped.apply(np.array([[0.0], [1.0], [3.0]])).ravel().tolist()
    [0.0, 4.0, 4.0]
    """

    def __init__(self, codes: np.ndarray, min_rows: int, n_levels: Sequence[int]) -> None:
        self._kept: list[np.ndarray] = []
        found: list[float | None] = []
        for column, n in zip(codes.T, n_levels, strict=True):
            levels, rows = np.unique(column, return_counts=True)
            self._kept.append(levels[rows >= min_rows])
            found.append(float(n) if (rows < min_rows).any() else None)
        self.codes = tuple(found)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """Replace rare and unseen levels, in place.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Without missing values.

        Returns
        -------
        ndarray
            The same array.
        """
        for place, (kept, rare) in enumerate(zip(self._kept, self.codes, strict=True)):
            if rare is not None:
                codes[~np.isin(codes[:, place], kept), place] = rare
        return codes


def find_crowded_column(dataset: Dataset, fit: np.ndarray) -> tuple[str, int] | None:
    """Find a column that still has too many levels in some fit rows, once its rare levels are one.

    Parameters
    ----------
    dataset : Dataset
        One without ``rare`` was checked as a whole when it was loaded.
    fit : ndarray of int64
        Row numbers.

    Returns
    -------
    (str, int) or None
        The first such column and the number of its levels; None where all columns keep to ``MAX_LEVELS``.
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
    """The smallest ``min_rows`` that leaves few enough levels of a column in some fit rows.

    Parameters
    ----------
    dataset : Dataset
    column : str
        A categorical one with more than ``MAX_LEVELS`` levels there.
    fit : ndarray of int64
        Row numbers.

    Returns
    -------
    int
    """
    rows = np.sort(_count_rows_per_level(dataset, column, fit))[::-1]
    return int(rows[MAX_LEVELS - 1]) + 1


def _count_rows_per_level(dataset: Dataset, column: str, fit: np.ndarray) -> np.ndarray:
    """The fit rows of each level that is there; missing values count for the most frequent one, as they are imputed."""
    values = dataset.X[column].cat
    n_levels = len(values.categories)
    if n_levels == 0:
        return np.zeros(0, dtype=np.int64)
    counts = np.bincount(values.codes.to_numpy()[fit] + 1, minlength=n_levels + 1)
    missing, rows = counts[0], counts[1:]
    rows[rows.argmax()] += missing
    return np.asarray(rows[rows > 0])


#: Digests of index arrays by identity: they are made once, never change, and stand in many atoms.
_DIGESTS: dict[int, tuple[weakref.ref[np.ndarray], str]] = {}


def row_digest(rows: np.ndarray) -> str:
    """The address of an index array."""
    known = _DIGESTS.get(id(rows))
    if known is None or known[0]() is not rows:
        if len(_DIGESTS) > 10_000:
            _DIGESTS.clear()
        known = _DIGESTS[id(rows)] = weakref.ref(rows), fingerprint(rows)
    return known[1]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureArrays:
    """The features of a data set as two float64 arrays.

    Attributes
    ----------
    numeric : ndarray of shape (n_rows, n_numeric)
        In file order; NaN where missing.
    codes : ndarray of shape (n_rows, n_categorical)
        Positions among the sorted categories of each column; NaN where missing.
    names : tuple of str
        Of the columns of ``numeric``, then of ``codes``.
    y : ndarray of shape (n_rows,)
    gaps : ndarray of shape (n_columns,), bool
        Whether a column misses a value anywhere.
    rare : int or None
        Levels with fewer fit rows than this are one level.
    n_levels : tuple of int
        Of each column of ``codes``.
    """

    numeric: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    y: np.ndarray
    gaps: np.ndarray
    rare: int | None = None
    n_levels: tuple[int, ...] = ()


def feature_arrays(dataset: Dataset) -> FeatureArrays:
    """The arrays behind a data set, made once."""
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
    return FeatureArrays(numbers, codes, (*numeric, *coded), dataset.y, gaps, dataset.rare, n_levels)


class PreparedRows:
    """The fit rows of one part of a table, imputed and standardised once, and the way to transform other rows.

    Parameters
    ----------
    data : Dataset or Table
    fit : ndarray of int64
        Row numbers.
    reach : int, default=0
        The largest k that a sampler will be asked for.

    Attributes
    ----------
    X : ndarray of shape (n_fit, n_columns), float64, C-ordered
        Numeric columns first in file order, then categorical ones as codes.
    y : ndarray of shape (n_fit,)
    categorical : list of int
        Positions of the categorical columns in ``X``.
    notes : tuple of str
        Columns that hold no value here.
    rare_levels : RareLevels or None
        What was learned of rare levels, where the table asks for it.
    finite : bool
        Whether every value of ``X`` is a number; then so is every value made of them.
    """

    def __init__(self, data: Dataset | FeatureArrays, fit: np.ndarray, reach: int = 0) -> None:
        self._table = table = data if isinstance(data, FeatureArrays) else feature_arrays(data)
        self._first, width = table.numeric.shape[1], len(table.names)
        self.categorical = list(range(self._first, width))
        self.y = table.y[fit]
        # SMOTE puts its rows behind the real ones: no ratio copies those again.
        whole = np.empty((len(fit) + max_new_rows(self.y), width))
        self.X = self._raw(fit, whole[: len(fit)])
        self.notes = self._empty()
        numeric, codes = self.X[:, : self._first], self.X[:, self._first :]
        # Without a single missing value in the table the imputer is the identity: left out.
        self._impute = (
            SimpleImputer(strategy="median", keep_empty_features=True).fit(numeric)
            if table.gaps[: self._first].any()
            else None
        )
        self._imputed(numeric)
        self._scaling = Scaling(numeric)
        self._fill = np.array([_most_frequent(column) for column in codes.T])
        self.rare_levels: RareLevels | None = None
        self._finished(self.X)
        if table.rare is not None and self.categorical:
            self.rare_levels = RareLevels(codes, table.rare, table.n_levels)
            self.rare_levels.apply(codes)
        self.finite = bool(np.isfinite(self.X).all())
        self._levels = [np.unique(self.X[:, column]) for column in self.categorical]
        self.resampler = Resampler(whole, self.y, self.categorical, reach)
        self._answered: list[tuple[np.ndarray, np.ndarray]] = []

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """The rows as the learner reads them: one-hot for categories, zeros for unseen ones."""
        # The candidates of a part answer for the same rows one after the other: for two folds where both share a fit.
        for known, X in self._answered:
            if known is rows:
                return X
        X = self._raw(rows, np.empty((len(rows), self.X.shape[1])))
        self._imputed(X[:, : self._first])
        X = self.encode(self._finished(X))
        if X.nbytes < MAX_CACHED_BYTES:  # large ones would lie idle during the next fit
            self._answered = [*self._answered[-1:], (rows, X)]
        return X

    @property
    def filled(self) -> np.ndarray:
        """The code of each coded column that a missing value becomes."""
        codes: np.ndarray = self._fill[None].copy()
        if self.rare_levels is not None:
            self.rare_levels.apply(codes)
        return codes.ravel()

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Replace the coded columns by one column a level seen in the real fit rows."""
        if not self.categorical:
            return X
        first = self.categorical[0]
        hot = [
            (X[:, column, None] == levels).astype(np.float64)
            for column, levels in zip(self.categorical, self._levels, strict=True)
        ]
        return np.ascontiguousarray(np.hstack([X[:, :first], *hot]))

    def _raw(self, rows: np.ndarray, into: np.ndarray) -> np.ndarray:
        """Rows of the table as they are."""
        if self.categorical:
            into[:, : self._first] = self._table.numeric.take(rows, axis=0)
            into[:, self._first :] = self._table.codes.take(rows, axis=0)
        else:  # "clip", because "raise" would make a copy first
            self._table.numeric.take(rows, axis=0, out=into, mode="clip")
        return into

    def _imputed(self, numeric: np.ndarray) -> None:
        if self._impute is not None:
            numeric[:] = self._impute.transform(numeric)

    def _finished(self, X: np.ndarray) -> np.ndarray:
        """Imputed numeric columns standardised, coded columns filled and their rare levels grouped, in place."""
        self._scaling.apply(X[:, : self._first])
        if self.categorical:
            codes = X[:, self._first :]
            np.copyto(codes, self._fill, where=np.isnan(codes))
            if self.rare_levels is not None:
                self.rare_levels.apply(codes)
        return X

    def _empty(self) -> tuple[str, ...]:
        gaps = np.flatnonzero(self._table.gaps)
        empty = [self._table.names[i] for i in gaps if np.isnan(self.X[:, i]).all()]
        return tuple(f"column {name!r} holds no value in a fit part and was filled with 0" for name in empty)


def _most_frequent(codes: np.ndarray) -> float:
    """The most frequent code; ties go to the lowest, as in scikit-learn's SimpleImputer."""
    seen, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return float(seen[counts.argmax()]) if len(seen) else UNSEEN_CATEGORY_CODE
