"""Scores for an audit: an estimator under the auditor's own split, and any evaluation without information."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing

from imblab.core.group_folds import identical_row_ids
from imblab.core.splits import RowPair
from imblab.errors import DataError, StudyError, combined, foreign_reason
from imblab.stats.curves import (
    SUPPOSED_FOLDS,
    ChanceControl,
    chance_level,
    control_chance,
    is_constant_within,
    permute_labels,
    small_part_excess,
    time_blocks,
)
from imblab.text import count_noun
from imblab_model import named_frame, plain_array

#: Folds of the auditor unless others are given.
DEFAULT_FOLDS = 5
#: Blocks in time within which labels are exchanged: one more than the folds, as in a study.
TIME_BLOCKS = DEFAULT_FOLDS + 1
#: Of the runs without information so many must give a score.
MIN_RUN_SHARE = 0.5
#: Predictions of a row that differ by more, asked with other rows or without them, depend on those rows.
BATCH_TOLERANCE = 1e-6
#: The name of the column that must not help.
ROW_NUMBER = "row_number"

Evaluate = Callable[[Any, np.ndarray], float]


@dataclass(frozen=True, slots=True, eq=False)
class AuditTable:
    """A table that an audit hands over."""

    X: Any  # (n_rows, n_features): as the user gave it
    y: np.ndarray  # (n_rows,): labels, as the user gave them
    classes: np.ndarray  # the labels, the positive one last
    #: (n_rows,): rows that belong together; when a row was recorded
    groups: np.ndarray | None = None
    time: np.ndarray | None = None
    #: (n_rows, n_features): the columns by which rows are identical; those of ``X`` by default
    features: pd.DataFrame | None = None
    kept: tuple[str, ...] = ()  # columns of ``X`` that stay as they are in tables of noise

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    def counts(self, y: np.ndarray) -> np.ndarray:
        """Return the rows of each class, the positive one last."""
        return np.array([(y == label).sum() for label in self.classes])

    def chance(self, measure: str, y: np.ndarray) -> float:
        """Return the chance level of a measure on these labels; NaN where there is none."""
        level = chance_level(measure, self.counts(y))
        return math.nan if level is None else level

    def row_ids(self) -> np.ndarray:
        """Return the same number for rows with identical features."""
        frame = pd.DataFrame(self.X if self.features is None else self.features)
        frame = frame.set_axis(range(frame.shape[1]), axis=1)
        texts = frame.columns[[not pd.api.types.is_numeric_dtype(t) for t in frame.dtypes]]
        return identical_row_ids(frame.astype(dict.fromkeys(texts, "category")))


def audit_table(X: Any, y: Any, positive: Any = None, groups: Any = None, time: Any = None) -> AuditTable:
    """Check a table and arrange it for an audit; a DataError names all of its problems.

    ``y`` has labels of two or more classes; ``positive`` is the rarest by default. ``groups`` tell which rows belong
    together, ``time`` when a row was recorded.

    Examples
    --------
    >>> audit_table([[1.0], [2.0], [3.0]], ["no", "yes", "no"]).classes.tolist()
    ['no', 'yes']
    """
    if not isinstance(X, pd.DataFrame):
        X = plain_array(X) if (frame := named_frame(X)) is None else frame
    columns = {"y": np.asarray(y), "groups": groups, "time": time}
    arrays = {name: np.asarray(values) for name, values in columns.items() if values is not None}
    errors = [
        DataError(
            f"{name!r} has the shape {array.shape}, and X has {count_noun(len(X), 'row')}; an audit needs one value "
            f"per row. Pass {name} with the shape ({len(X)},)."
        )
        for name, array in arrays.items()
        if array.shape != (len(X),)
    ]
    if len(X.shape) != 2:
        errors.append(DataError(f"'X' has the shape {X.shape}; it is a dense table of rows and columns. Reshape it."))
    elif bool(pd.isna(arrays["y"]).any()):
        missing = count_noun(int(pd.isna(arrays["y"]).sum()), "missing label")
        errors.append(DataError(f"'y' holds {missing}; every row needs a label. Leave these rows out."))
    labels, rows = np.unique(arrays["y"][~pd.isna(arrays["y"])], return_counts=True)
    if len(labels) < 2:
        errors.append(DataError(f"'y' holds {count_noun(len(labels), 'class')}; two are needed. Pass other labels."))
    elif positive is not None and positive not in labels:
        known = ", ".join(map(repr, labels.tolist()[:10]))
        errors.append(DataError(f"the positive class is {positive!r}; 'y' does not hold it. Name one of: {known}."))
    if errors:
        raise combined(errors)
    last = labels[np.argmin(rows)] if positive is None else positive
    classes = np.array([*(label for label in labels if label != last), last], dtype=labels.dtype)
    return AuditTable(X, arrays["y"], classes, arrays.get("groups"), arrays.get("time"))


class EvaluationFailed(Exception):
    """Raised when an evaluation gives no score; the message is the reason, ``remedy`` the rule and the way out."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


def checked_score(value: Any) -> float:
    """Return the score of an evaluation as a float; raises EvaluationFailed if it is not a finite number.

    Examples
    --------
    >>> checked_score(np.float64(0.5))
    0.5
    """
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise EvaluationFailed(f"it returned {str(value)[:80]!r} of type {type(value).__name__}") from None
    if not math.isfinite(score):
        raise EvaluationFailed(f"it returned {score}")
    return score


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of an evaluation without information."""

    control: ChanceControl | None  # None if too few runs gave a score
    failed: int = 0  # runs without a score
    reason: str = ""  # why the first of them failed


@dataclass(frozen=True, slots=True)
class Chance:
    """How the chance level of a run is found."""

    measure: str  # a measure of :data:`imblab.stats.curves.CHANCE_LEVELS`, or any name where ``level`` is given
    level: float | None = None  # the chance level that the user stated
    folds: int = SUPPOSED_FOLDS  # a test part holds the rows divided by this number

    def of(self, table: AuditTable, y: np.ndarray) -> float:
        """Return the chance level on these labels."""
        return table.chance(self.measure, y) if self.level is None else self.level

    def allowance(self, table: AuditTable) -> float:
        """Return what small test parts add to the score of chance."""
        counts = table.counts(table.y)
        return 0.0 if self.level is not None else small_part_excess(self.measure, counts, folds=self.folds)


def uninformed_runs(
    evaluate: Evaluate, tables: Iterator[tuple[Any, np.ndarray]], table: AuditTable, chance: Chance
) -> Runs:
    """Run an evaluation, which may raise anything, on tables without information; compare its scores with chance."""
    scores, levels, failures = [], [], []
    for X, y in tables:
        try:
            score = checked_score(evaluate(X.copy(), y.copy()))  # which it may change
        except Exception as error:  # the user's code may raise anything
            failures.append(foreign_reason(error))
            continue
        scores.append(score)
        levels.append(chance.of(table, y))
    runs = len(scores) + len(failures)
    enough = len(scores) >= max(2, MIN_RUN_SHARE * runs)
    control = control_chance(scores, levels, chance.allowance(table)) if enough else None
    return Runs(control, len(failures), failures[0] if failures else "")


def permuted_tables(
    table: AuditTable, n_tables: int, seed: int, units: np.ndarray | None = None, n_blocks: int = TIME_BLOCKS
) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield the table with permuted labels.

    Within ``n_blocks`` blocks where the table has times; whole units exchange their labels where these are constant in
    each; else rows exchange them freely.
    """
    blocks = None if table.time is None else time_blocks(table.time, n_blocks)
    for number in range(n_tables):
        yield table.X, permute_labels(table.y, np.random.default_rng([seed, number]), units, blocks)


def label_units(table: AuditTable) -> np.ndarray | None:
    """Return the groups of a table where each has one label; None where labels are exchanged between rows."""
    groups = table.groups
    return groups if groups is not None and is_constant_within(table.y, groups) else None


def duplicate_units(table: AuditTable) -> np.ndarray | None:
    """Return a number per row that rows with identical features and labels share; None without such rows."""
    ids = table.row_ids() * len(table.classes) + np.argmax(table.y[:, None] == table.classes, axis=1)
    return ids if len(np.unique(ids)) < len(ids) else None


def noise_tables(table: AuditTable, n_tables: int, seed: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield tables of the same shape without any information: permuted labels and noise in place of the features.

    Each column is drawn with replacement from its own values, without regard to the other columns, so that its type,
    its levels and its missing values stay.
    """
    for number in range(n_tables):
        generator = np.random.default_rng([seed, number, 1])
        X = table.X.copy()
        for place in range(X.shape[1]):
            rows = generator.integers(table.n_rows, size=table.n_rows)
            if isinstance(X, pd.DataFrame) and X.columns[place] in table.kept:
                continue
            if isinstance(X, pd.DataFrame):
                X.isetitem(place, table.X.iloc[rows, place].set_axis(X.index))
            else:
                X[:, place] = table.X[rows, place]
        yield X, permute_labels(table.y, generator)


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """Predictions of an estimator for rows that it did not see, by the auditor's split."""

    scores: np.ndarray  # (n_folds,): per fold; NaN where a test part lacks a class that the measure needs
    #: (n_folds,): rows of the training and test parts
    n_train: np.ndarray
    n_test: np.ndarray
    #: (n_rows,): whether a row was tested while the training part held a row with identical features
    has_copy: np.ndarray
    unseen: np.ndarray  # (n_folds,): scores of the test rows without such a copy
    #: the largest change of a prediction where the test rows of the first fold are asked in two parts
    batch_difference: float

    @property
    def mean(self) -> float:
        """The mean over folds with a score; NaN without any."""
        scores = self.scores[np.isfinite(self.scores)]
        return float(scores.mean()) if len(scores) else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Auditor:
    """Owns the split: fits clones of an estimator on training rows alone, and scores them on the other rows."""

    estimator: Any  # anything with ``fit`` and ``predict`` that scikit-learn can clone
    table: AuditTable  # its labels, groups and times determine the folds
    measure: str  # a key of :data:`imblab.stats.curves.CHANCE_LEVELS`
    cv: Any  # see :func:`auditor_of`

    def splits(self, X: Any, y: np.ndarray) -> list[RowPair]:
        """Split the rows of a table."""
        return [(np.asarray(a), np.asarray(b)) for a, b in self.cv.split(X, y, self.table.groups)]

    def __call__(self, X: Any, y: np.ndarray) -> float:
        """Return the mean score over folds."""
        return self.validate(X, y).mean

    def validate(self, X: Any, y: np.ndarray, ids: np.ndarray | None = None) -> CrossValidation:
        """Fit and score every fold; ``ids`` of identical rows tell the rows with a copy in the training part."""
        scores, unseen, sizes = [], [], []
        has_copy, difference = np.zeros(len(y), dtype=bool), 0.0
        for number, (train, test) in enumerate(self.splits(X, y)):
            model = clone(self.estimator)
            model.fit(rows_of(X, train), y[train])
            part = rows_of(X, test)
            values = self._predict(model, part)
            if number == 0:
                difference = self._batch_difference(model, X, test, values)
            copied = np.isin(ids[test], ids[train]) if ids is not None else np.zeros(len(test), dtype=bool)
            has_copy[test] |= copied
            scores.append(self._score(y[test], values))
            unseen.append(self._score(y[test][~copied], values[~copied]) if copied.any() else scores[-1])
            sizes.append((len(train), len(test)))
        n_train, n_test = np.array(sizes).T
        return CrossValidation(np.array(scores), n_train, n_test, has_copy, np.array(unseen), difference)

    def _predict(self, model: Any, X: Any) -> np.ndarray:
        """Return what the measure reads: labels, or a column of values per class (two classes: the positive one)."""
        if self.measure not in RANKING_SCORES:
            return np.asarray(model.predict(X))
        method = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
        values = np.asarray(getattr(model, method)(X))
        known = list(model.classes_)
        if values.ndim == 1:
            return values if known[1] == self.table.classes[-1] else -values
        if len(self.table.classes) == 2:
            return np.asarray(values[:, known.index(self.table.classes[-1])])
        return np.asarray(values[:, [known.index(label) for label in self.table.classes]])

    def _batch_difference(self, model: Any, X: Any, test: np.ndarray, values: np.ndarray) -> float:
        halves = [self._predict(model, rows_of(X, half)) for half in (test[::2], test[1::2]) if len(half)]
        pairs = list(zip((values[::2], values[1::2]), halves, strict=False))
        if values.dtype.kind not in "fiub":
            return max(float(np.mean(a != b)) for a, b in pairs)
        return max(float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0)) for a, b in pairs)

    def _score(self, y: np.ndarray, values: np.ndarray) -> float:
        present = np.isin(self.table.classes, y)
        if self.measure in RANKING_SCORES:
            return RANKING_SCORES[self.measure](y, values, self.table.classes) if present.all() else math.nan
        if not present[-1] or not present[:-1].any():
            return math.nan
        return float(LABEL_SCORES[self.measure](y, values, self.table.classes))


def rows_of(X: Any, rows: np.ndarray) -> Any:
    """Return a copy of rows, so that no estimator can change the table."""
    return _safe_indexing(X, rows).copy()


def _each_class(score: Callable[[np.ndarray, np.ndarray], float]) -> Callable[..., float]:
    """Return the score of the positive class, or with several classes the mean of each against all others."""

    def mean_score(y: np.ndarray, values: np.ndarray, classes: np.ndarray) -> float:
        if values.ndim == 1:
            return float(score(y == classes[-1], values))
        return float(np.mean([score(y == label, values[:, place]) for place, label in enumerate(classes)]))

    return mean_score


RANKING_SCORES: dict[str, Callable[..., float]] = {
    "roc_auc": _each_class(roc_auc_score),
    "pr_auc": _each_class(average_precision_score),
}
LABEL_SCORES: dict[str, Callable[..., float]] = {
    "mcc": lambda y, predicted, classes: matthews_corrcoef(y, predicted),
    "accuracy": lambda y, predicted, classes: accuracy_score(y, predicted),
    "balanced_accuracy": lambda y, predicted, classes: balanced_accuracy_score(y, predicted),
    "f1": lambda y, predicted, classes: f1_score(y, predicted, pos_label=classes[-1], zero_division=0.0),
}


def _ordered_folds(time: np.ndarray, folds: int = DEFAULT_FOLDS) -> list[RowPair]:
    """Split rows in time: fold i trains on blocks up to i and tests on block i + 1."""
    blocks = time_blocks(time, folds + 1)
    return [(np.flatnonzero(blocks < b), np.flatnonzero(blocks == b)) for b in np.unique(blocks)[1:]]


def auditor_of(estimator: Any, table: AuditTable, measure: str, cv: Any = None, seed: int = 0) -> Auditor:
    """Give an estimator an auditor; a StudyError says why nothing can be split.

    ``cv`` is a number of folds, a splitter or (train, test) pairs. By default folds are stratified (5, shuffled with
    the seed), stratified group folds with groups, growing windows with times.
    """
    folds = DEFAULT_FOLDS if cv is None else cv
    if isinstance(folds, int) and table.time is not None:
        splitter: Any = check_cv(_ordered_folds(table.time, folds))
    elif isinstance(folds, int):
        kind = StratifiedKFold if table.groups is None else StratifiedGroupKFold
        splitter = kind(folds, shuffle=True, random_state=seed)
    else:
        splitter = folds if hasattr(folds, "split") else check_cv(folds)
    auditor = Auditor(estimator, table, measure, splitter)
    try:
        auditor.splits(table.X, table.y)
    except Exception as error:  # of the user's splitter
        raise StudyError(
            f"'cv' is {repr(cv)[:80]} and cannot split {table.n_rows} rows ({foreign_reason(error)}); an audit needs "
            "folds that hold each class. Pass fewer folds, or a splitter that fits the table."
        ) from error
    return auditor


def with_random_folds(auditor: Auditor, seed: int = 0) -> Auditor:
    """Return the auditor with stratified folds that ignore groups."""
    folds = len(auditor.splits(auditor.table.X, auditor.table.y))
    return replace(auditor, cv=StratifiedKFold(max(2, folds), shuffle=True, random_state=seed))


def with_row_number(X: Any) -> Any:
    """Return a table with a further column, the number of the row.

    Examples
    --------
    >>> with_row_number(np.array([[5.0], [6.0]])).tolist()
    [[5.0, 0.0], [6.0, 1.0]]
    """
    if isinstance(X, pd.DataFrame):
        return X.assign(**{ROW_NUMBER: np.arange(len(X), dtype=np.float64)})
    return np.column_stack([X, np.arange(len(X))])
