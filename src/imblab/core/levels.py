"""Rare levels of categorical columns: one level for all of them in each fit part; and the limit of one-hot columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imblab.study import Dataset

#: One-hot columns beyond this are a design mistake more often than a wish.
MAX_LEVELS = 100


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


def too_many(dataset: Dataset, fit: np.ndarray) -> tuple[str, int] | None:
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
        The first such column and the number of its levels; None where all columns keep to :data:`MAX_LEVELS`.
    """
    if dataset.rare is None:
        return None
    for name in dataset.categorical:
        rows = _rows_of_levels(dataset, name, fit)
        n = int((rows >= dataset.rare).sum()) + bool((rows < dataset.rare).any())
        if n > MAX_LEVELS:
            return name, n
    return None


def least_min_rows(dataset: Dataset, column: str, fit: np.ndarray) -> int:
    """The smallest ``min_rows`` that leaves few enough levels of a column in some fit rows.

    Parameters
    ----------
    dataset : Dataset
    column : str
        A categorical one with more than :data:`MAX_LEVELS` levels there.
    fit : ndarray of int64
        Row numbers.

    Returns
    -------
    int
    """
    rows = np.sort(_rows_of_levels(dataset, column, fit))[::-1]
    return int(rows[MAX_LEVELS - 1]) + 1


def _rows_of_levels(dataset: Dataset, column: str, fit: np.ndarray) -> np.ndarray:
    """The fit rows of each level that is there; missing values count for the most frequent one, as they are imputed."""
    values = dataset.X[column].cat
    n_levels = len(values.categories)
    if n_levels == 0:
        return np.zeros(0, dtype=np.int64)
    counts = np.bincount(values.codes.to_numpy()[fit] + 1, minlength=n_levels + 1)
    missing, rows = counts[0], counts[1:]
    rows[rows.argmax()] += missing
    return np.asarray(rows[rows > 0])
