"""Clues that a table alone gives: telling columns, a shift between training and test rows, rows that are near-copies.

A *telling column* gives the label away: it ranks a class almost perfectly, determines it, or numbers the rows.

A *shift* is found by a classifier that tells the two parts apart (a classifier two-sample test): it is trained on one
half of both samples; where they are of one distribution, its answers on the other half do not depend on the sample. The
binomial test of Lopez-Paz and Oquab would be too liberal here: the numbers of rows of both parts are fixed.

*Near-copies* are so near that honest rows seldom are, at any density. The distance to a row is compared with the
distance to the 20th nearest row, so that it does not matter how dense the rows lie. Where rows lie evenly in d
dimensions, the ratio r of the distance to the nearest row and this one has the distribution P(r < f) = 1 - (1 -
f^d)^19, for every density that changes little over these distances (Levina and Bickel 2005 estimate d by the same
argument). The bound f is such that this is .001; the dimension comes from the 10th and the 20th neighbour, which copies
do not move as long as a row has fewer than ten of them. Two rows that share a common value in some columns, such as a
category or a zero, differ in the others alone: they lie in at most as many dimensions as there are others.

References
----------
Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, ICLR.
Levina and Bickel (2005), Maximum likelihood estimation of intrinsic dimension, Advances in Neural Information
Processing Systems 17, 777-784.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors

from imblab.core.group_folds import contradicting_rows, identical_row_ids
from imblab.core.preparation import PreparedRows
from imblab.stats.curves import roc_auc
from imblab.study import MAX_LEVELS, Dataset, Split

#: A column that ranks a class with more than this area under its ROC curve, in either direction, is suspicious.
MAX_COLUMN_AUC = 0.99
#: A column of few values has at least so many rows per value on average, in each class.
MIN_ROWS_PER_VALUE = 5
#: Folds in which the share of a class is found for each value of a column.
RATE_FOLDS = 5
#: Rank correlation with the number of the row from which on a column follows the order of the file, and the share of
#: its rows that have different values.
MIN_ORDER_CORRELATION, MIN_DISTINCT_SHARE = 0.999, 0.5
#: Different dates that a column of dates has at least.
MIN_DATES = 10
FUNCTION, RANKING, MISSING, ROW_NUMBERS, ROW_ORDER, DATES = (
    *("function", "ranking", "missing", "row numbers", "row order", "dates"),
)
#: Rows that are drawn of each part at most, and that it must have.
MAX_DRAWN_ROWS, MIN_DRAWN_ROWS = 1000, 20
#: The forest that tells the parts apart.
N_TREES, MIN_LEAF_ROWS = 50, 5
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


@dataclass(frozen=True, slots=True)
class ColumnClue:
    """A sign that a single column gives the label away.

    Kinds are ``function``: each of its few values has rows of one class alone; ``ranking``: its values rank a class;
    ``missing``: so does whether it has a value; ``row numbers``, ``row order``, ``dates``: what it holds.
    """

    column: str
    kind: str
    label: str = ""  # the class that it ranks; empty for the other kinds
    auc: float | None = None  # the area under the ROC curve, in the better direction


def telling_columns(dataset: Dataset) -> list[ColumnClue]:
    """List the columns of a table that give its label away, in the order of the table.

    Examples
    --------
    >>> y = np.arange(100) % 2
    >>> X = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=100), "copy": 3.0 - y})
    >>> telling_columns(Dataset("d", X, y, ("no", "yes")))
    [ColumnClue(column='copy', kind='function', label='', auc=None)]
    """
    clues: list[ColumnClue] = []
    for name in dataset.X.columns:
        codes, values = _column_values(dataset, name)
        clue = _label_clue(dataset, name, codes, values)
        clues += [] if clue is None else [clue]
        if clue is None or clue.kind != FUNCTION:
            clues += [ColumnClue(name, kind) for kind in _content_kinds(values)]
    return clues


def _label_clue(dataset: Dataset, name: str, codes: np.ndarray, values: np.ndarray | None) -> ColumnClue | None:
    """Return the clearest sign that a column gives the label away, or None."""
    if _is_function(codes, dataset.y):
        return ColumnClue(name, FUNCTION)
    gaps = (codes == 0).astype(np.float64)
    areas: list[tuple[str, Callable[[np.ndarray], float]]] = [
        (MISSING, lambda y: _either_direction(roc_auc(y, gaps)) if gaps.any() else 0.5),
        (RANKING, lambda y: _column_area(y, codes, values)),
    ]
    for kind, area in areas:
        best = _best_area(dataset, area)
        if best is not None:
            return ColumnClue(name, kind, *best)
    return None


def _either_direction(area: float) -> float:
    return max(area, 1 - area)


def _column_values(dataset: Dataset, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a code per distinct value, 0 where it is missing, and the numbers of a numeric column."""
    column = dataset.X[name]
    if name in dataset.categorical:
        return column.cat.codes.to_numpy().astype(np.int64) + 1, None
    values = column.to_numpy(dtype=np.float64)
    return pd.factorize(values, sort=True)[0] + 1, values


def _is_function(codes: np.ndarray, y: np.ndarray) -> bool:
    """Whether a column has few values in each class, and no value in two."""
    counts = pd.crosstab(codes, y).to_numpy()
    if not 1 < len(counts) <= MAX_LEVELS or ((counts > 0).sum(axis=1) > 1).any():
        return False
    return bool((counts.sum(axis=0) >= MIN_ROWS_PER_VALUE * (counts > 0).sum(axis=0)).all())


def _best_area(dataset: Dataset, area: Callable[[np.ndarray], float]) -> tuple[str, float] | None:
    """Return the class that is ranked best and the area, if that is suspicious; of two classes the last is ranked."""
    classes = range(len(dataset.classes)) if len(dataset.classes) > 2 else [1]
    areas = {c: area((dataset.y == c).astype(np.int64)) for c in classes}
    best = max(areas, key=lambda c: areas[c])
    return (dataset.classes[best], float(areas[best])) if areas[best] > MAX_COLUMN_AUC else None


def _column_area(y: np.ndarray, codes: np.ndarray, values: np.ndarray | None) -> float:
    """Return the area under the ROC curve of one class by a column, in the better direction.

    Of numbers by their order, the median in place of a missing one; of few values also by the share of the class at
    each value, found in other rows.
    """
    areas = [0.5]
    if values is not None and not np.isnan(values).all():
        filled = np.where(np.isnan(values), np.nanmedian(values), values)
        areas.append(_either_direction(roc_auc(y, filled)))
    if codes.max() <= MAX_LEVELS and min(y.sum(), len(y) - y.sum()) >= RATE_FOLDS:
        areas.append(roc_auc(y, _rates_in_other_folds(y, codes)))
    return max(areas)


def _rates_in_other_folds(y: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for every row the share of the class among the rows of the other folds with its value."""
    rates = np.empty(len(y))
    for others, rows in StratifiedKFold(RATE_FOLDS, shuffle=True, random_state=0).split(codes, y):
        n = np.bincount(codes[others], minlength=codes.max() + 1)
        positives = np.bincount(codes[others], weights=y[others], minlength=codes.max() + 1)
        share = y[others].mean()
        rates[rows] = ((positives + share) / (n + 1))[codes[rows]]  # an unseen value has the share of all rows
    return rates


def _content_kinds(values: np.ndarray | None) -> Iterator[str]:
    """Yield what a column of numbers is, if its values say so: row numbers, an order of the rows, dates."""
    if values is None or np.isnan(values).any():
        return
    is_whole, n_distinct = bool((values == np.floor(values)).all()), len(np.unique(values))
    n = len(values)
    if is_whole and n_distinct == n == values.max() - values.min() + 1:
        yield ROW_NUMBERS
    elif n_distinct >= MIN_DISTINCT_SHARE * n and _order_correlation(values) >= MIN_ORDER_CORRELATION:
        yield ROW_ORDER
    if is_whole and n_distinct >= MIN_DATES and (_are_calendar_dates(values) or _are_timestamps(values)):
        yield DATES


def _order_correlation(values: np.ndarray) -> float:
    return abs(float(np.corrcoef(rankdata(values), np.arange(len(values)))[0, 1]))


def _are_calendar_dates(values: np.ndarray) -> bool:
    """Whether all numbers read as year, month and day, such as 20240131."""
    if values.min() < 19_000_101 or values.max() > 21_001_231:
        return False
    return bool(
        pd.to_datetime(pd.Series(values.astype(np.int64).astype(str)), format="%Y%m%d", errors="coerce").notna().all()
    )


def _are_timestamps(values: np.ndarray) -> bool:
    """Whether all numbers are seconds since 1970 of the years from 1990 to 2039, or their thousandths and so on."""
    return any(6.3e8 * unit <= values.min() and values.max() < 2.2e9 * unit for unit in (1, 1e3, 1e6, 1e9))


@dataclass(frozen=True, slots=True)
class PartShift:
    """How well training and test rows of one split are told apart.

    ``p`` is that of Fisher's exact test, one-sided: the probability of so many correct answers if they do not depend on
    the part.
    """

    dataset: str
    repeat: int
    fold: int
    accuracy: float  # on rows that the classifier did not see, as many of each part; .5 is chance
    rows: int  # number of these rows
    p: float
    rarest_in_train: float  # share of the rarest class, or the positive one of two
    rarest_in_test: float


def part_shift(dataset: Dataset, split: Split, seed: int = 0) -> PartShift | None:
    """Try to tell the training rows of an outer split from its test rows by their features.

    The seed draws the rows and the forest. None if a part has fewer than 20 rows.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"a": np.r_[np.zeros(100), np.ones(100)] + np.linspace(0, 0.1, 200)})
    >>> data = Dataset("d", X, np.arange(200) % 2, ("no", "yes"))
    >>> part_shift(data, Split(0, 0, np.arange(100), np.arange(100, 200), "")).accuracy
    1.0
    """
    generator = np.random.default_rng([seed, split.repeat, split.fold])
    drawn = min(MAX_DRAWN_ROWS, len(split.train), len(split.test))
    if drawn < MIN_DRAWN_ROWS:
        return None
    parts = [generator.choice(part, drawn, replace=False) for part in (split.train, split.test)]
    half = drawn // 2
    learned = np.concatenate([part[:half] for part in parts])
    judged = np.concatenate([part[half:] for part in parts])
    prepared = PreparedRows(dataset, learned)
    forest = RandomForestClassifier(N_TREES, min_samples_leaf=MIN_LEAF_ROWS, random_state=seed, n_jobs=1)
    forest.fit(prepared.transform(learned), np.repeat([0, 1], half))
    predicted, is_test = forest.predict(prepared.transform(judged)), np.repeat([0, 1], drawn - half)
    correct, hits = int((predicted == is_test).sum()), int((predicted & is_test).sum())
    rarest = len(dataset.classes) - 1
    shares = (float((dataset.y[part] == rarest).mean()) for part in (split.train, split.test))
    p = float(hypergeom.sf(hits - 1, len(judged), drawn - half, int(predicted.sum())))
    return PartShift(dataset.name, split.repeat, split.fold, correct / len(judged), len(judged), p, *shares)


@dataclass(frozen=True, slots=True, eq=False)
class NearRows:
    """Which rows are identical, and which are nearly so."""

    identical: np.ndarray  # (n_rows,): the same number for rows with the same features
    point: np.ndarray  # (n_rows,): the same number for rows that a learner reads alike
    searched: np.ndarray  # (n_points,): points whose neighbours are known: all of them, but in large tables
    neighbors: np.ndarray  # (n_points, LAST_COPY): the nearest other points of those
    is_near: np.ndarray  # (n_points, LAST_COPY): which of them are nearer than the bound
    #: the part of the distance to the 20th neighbour, for rows that differ in every column; NaN for tables with too few
    #: points
    bound: float = math.nan
    dimension: float = math.nan  # in which the rows lie; NaN as well

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
    rows, places = np.nonzero(ratios < _near_bound(dimension))
    pairs = queries[rows], nearest[rows, places]
    free = points.shape[1] - _shared_common_values(prepared.X, points, *pairs)
    bounds = np.array([_near_bound(min(dimension, n)) for n in range(points.shape[1] + 1)])
    is_near[pairs[0], places] = ratios[rows, places] < bounds[free]
    return NearRows(identical, point, searched, neighbors, is_near, _near_bound(dimension), dimension)


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


def _near_bound(dimension: float) -> float:
    """Return the part of the distance to the 20th neighbour below which a row is nearly a copy."""
    if dimension == 0:
        return 0.0
    return float(min(MAX_BOUND, (HONEST_SHARE / (SCALE_NEIGHBOR - 1)) ** (1 / dimension)))
