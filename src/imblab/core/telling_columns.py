"""Single columns that give the label away: they rank a class almost perfectly, determine it, or number the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold

from imblab.stats.curves import roc_auc
from imblab.study import MAX_LEVELS, Dataset

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
#: Kinds of clues.
FUNCTION, RANKING, MISSING, ROW_NUMBERS, ROW_ORDER, DATES = (
    *("function", "ranking", "missing", "row numbers", "row order", "dates"),
)


@dataclass(frozen=True, slots=True)
class ColumnClue:
    """A sign that a single column gives the label away.

    Attributes
    ----------
    column : str
        Its name.
    kind : str
        ``function``: each of its few values has rows of one class alone; ``ranking``: its values rank a class;
        ``missing``: so does whether it has a value; ``row numbers``, ``row order``, ``dates``: what it holds.
    label : str
        The class that it ranks; empty for the other kinds.
    auc : float or None
        The area under the ROC curve, in the better direction.
    """

    column: str
    kind: str
    label: str = ""
    auc: float | None = None


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
