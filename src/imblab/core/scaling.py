"""Standardised columns: to the last bit what scikit-learn's StandardScaler gives, a few columns at a time.

The scaler itself checks every part again, which takes longer than a small part needs, and holds two copies of a large
one while it learns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Bytes of the columns that are looked at together.
AT_ONCE = 16 * 2**20


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

    def __init__(self, X: np.ndarray, at_once: int = AT_ONCE) -> None:
        self.mean, self.deviation = np.empty(X.shape[1]), np.empty(X.shape[1])
        for columns in _blocks(len(X), X.shape[1], at_once):
            self.mean[columns], self.deviation[columns] = _moments(X[:, columns])

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Standardise rows in place."""
        X -= self.mean
        X /= self.deviation
        return X


def _blocks(rows: int, columns: int, at_once: int) -> Iterator[slice]:
    """Columns to look at together: never one alone, because numpy adds a single column up in another order."""
    width = max(at_once // (8 * max(rows, 1)), 2)
    begin = 0
    while begin < columns:
        end = begin + width if columns - begin - width > 1 else columns
        yield slice(begin, end)
        begin = end


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
