"""Rows of a table that are nearly copies of others: so near that honest rows seldom are, at any density.

The distance to a row is compared with the distance to the 20th nearest row, so that it does not matter how dense the
rows lie. Where rows lie evenly in d dimensions, the ratio r of the distance to the nearest row and this one has the
distribution P(r < f) = 1 - (1 - f^d)^19, for every density that changes little over these distances (Levina and Bickel
2005 estimate d by the same argument). The bound f is such that this is .001; the dimension comes from the 10th and the
20th neighbour, which copies do not move as long as a row has fewer than ten of them. Two rows that share a common value
in some columns, such as a category or a zero, differ in the others alone: they lie in at most as many dimensions as
there are others.

References
----------
Levina and Bickel (2005), Maximum likelihood estimation of intrinsic dimension, Advances in Neural Information
Processing Systems 17, 777-784.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from imblab.core.group_folds import contradicting_rows, identical_row_ids
from imblab.core.preparation import PreparedRows
from imblab.study import Dataset, Split

#: The neighbour whose distance is the scale, and the last one that may be a copy.
SCALE_NEIGHBOR, LAST_COPY = 20, 10
#: The share of honest rows whose nearest row is below the bound, where rows lie evenly.
HONEST_SHARE = 0.001
#: The bound is at most this part of the scale.
MAX_BOUND = 0.2
#: A value is common in a column if more rows have it: this share of them, and this number.
COMMON_SHARE, MIN_COMMON_ROWS = 0.01, 5
#: Distances that are measured at most; of larger tables evenly spaced rows are searched.
MAX_MEASURED_DISTANCES = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class NearRows:
    """Which rows are identical, and which are nearly so.

    Attributes
    ----------
    identical : ndarray of shape (n_rows,)
        The same number for rows with the same features.
    point : ndarray of shape (n_rows,)
        The same number for rows that a learner reads alike.
    searched : ndarray of shape (n_points,), bool
        Points whose neighbours are known: all of them, but in large tables.
    neighbors : ndarray of shape (n_points, LAST_COPY)
        The nearest other points of those.
    is_near : ndarray of shape (n_points, LAST_COPY), bool
        Which of them are nearer than the bound.
    bound : float
        The part of the distance to the 20th neighbour, for rows that differ in every column; NaN for tables with too
        few points.
    dimension : float
        In which the rows lie; NaN as well.
    """

    identical: np.ndarray
    point: np.ndarray
    searched: np.ndarray
    neighbors: np.ndarray
    is_near: np.ndarray
    bound: float = math.nan
    dimension: float = math.nan

    def copied(self, split: Split) -> np.ndarray:
        """Return which test rows have an identical row in the training part."""
        return np.isin(self.identical[split.test], self.identical[split.train])

    def nearly_copied(self, split: Split) -> np.ndarray:
        """Return which test rows have a row in the training part that is nearly, but not quite, the same."""
        is_trained = np.zeros(len(self.searched), dtype=bool)
        is_trained[self.point[split.train]] = True
        points = self.point[split.test]
        near = (self.is_near[points] & is_trained[self.neighbors[points]]).any(axis=1)
        return np.asarray(near & ~self.copied(split))

    def contradicting(self, y: np.ndarray) -> np.ndarray:
        """Return which rows have the same features as a row with another label."""
        return contradicting_rows(self.identical, y)


def find_near_rows(dataset: Dataset) -> NearRows:
    """Find the rows of a table that are identical, and those that are nearly so.

    Distances are Euclidean between rows as a learner reads them: imputed, standardised, one column per level.

    Parameters
    ----------
    dataset : Dataset
        The complete table.

    Examples
    --------
    >>> import pandas as pd
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> X[:20] = X[20:40] + 0.001
    >>> data = Dataset("d", pd.DataFrame(X, columns=list("abcd")), np.arange(200) % 2, ("no", "yes"))
    >>> near = find_near_rows(data)
    >>> int(near.is_near.any(axis=1).sum())
    40
    """
    every_row = np.arange(len(dataset.y))
    prepared = PreparedRows(dataset, every_row)
    points, first, point = np.unique(prepared.X, axis=0, return_index=True, return_inverse=True)
    identical, point = identical_row_ids(dataset.X), point.ravel()
    searched = np.zeros(len(points), dtype=bool)
    neighbors = np.zeros((len(points), LAST_COPY), dtype=np.int64)
    is_near = np.zeros(neighbors.shape, dtype=bool)
    if len(points) <= SCALE_NEIGHBOR:
        return NearRows(identical, point, searched, neighbors, is_near)
    step = max(1, math.ceil(len(points) ** 2 / MAX_MEASURED_DISTANCES))
    queries = np.argsort(first)[::step]  # in file order
    searched[queries] = True
    encoded = prepared.encode(points)
    index = NearestNeighbors(n_neighbors=SCALE_NEIGHBOR + 1).fit(encoded)
    distances, nearest = (part[:, 1:] for part in index.kneighbors(encoded[queries]))  # without the point itself
    dimension = _dimension(distances)
    neighbors[queries] = nearest[:, :LAST_COPY]
    ratios = distances[:, :LAST_COPY] / distances[:, -1:]
    rows, places = np.nonzero(ratios < near_bound(dimension))
    pairs = queries[rows], nearest[rows, places]
    free = points.shape[1] - _shared_common_values(prepared.X, points, *pairs)
    bounds = np.array([near_bound(min(dimension, n)) for n in range(points.shape[1] + 1)])
    is_near[pairs[0], places] = ratios[rows, places] < bounds[free]
    return NearRows(identical, point, searched, neighbors, is_near, near_bound(dimension), dimension)


def _shared_common_values(X: np.ndarray, points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Count the columns in which the points of each pair share a value that is common in the table ``X``."""
    shared = np.zeros(len(a), dtype=np.int64)
    least = max(MIN_COMMON_ROWS, COMMON_SHARE * len(X))
    for column in range(X.shape[1]):
        values, rows = np.unique(X[:, column], return_counts=True)
        is_common = np.isin(points[a, column], values[rows > least])
        shared += is_common & (points[a, column] == points[b, column])
    return shared


def _dimension(distances: np.ndarray) -> float:
    """Estimate the dimension from the ratios of the distances to the 20th and the 10th neighbour.

    The mean over rows is one of 1 / dimension: where rows lie in several, the lowest count most: the bound is small.
    """
    k, j = distances.shape[1], LAST_COPY
    expected = sum(1 / i for i in range(j, k))  # of the logarithm of the ratio, in one dimension
    spread = float(np.mean(np.log(distances[:, k - 1] / distances[:, j - 1])))
    return expected / spread if spread > 0 else math.inf


def near_bound(dimension: float) -> float:
    """Return the part of the distance to the 20th neighbour below which a row is nearly a copy.

    Examples
    --------
    >>> [round(near_bound(d), 4) for d in (0, 1, 2, 4, 8)]
    [0.0, 0.0001, 0.0073, 0.0852, 0.2]
    """
    if dimension == 0:
        return 0.0
    return float(min(MAX_BOUND, (HONEST_SHARE / (SCALE_NEIGHBOR - 1)) ** (1 / dimension)))
