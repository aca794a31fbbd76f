"""Checks of what samplers and learners give back: what cannot be used is a failed fit with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np

#: How far beyond 0 and 1 floating point may carry a probability; it is cut off there.
ROUNDING = 1e-12
#: The kinds of number that have a float64: truth values, whole numbers, floats.
_REAL = "biuf"


class UnusableOutput(Exception):
    """Raised where a sampler or a learner gave back what no measure can read; its text is the reason."""


def check_proba(learner: Any, given: Any, rows: int) -> np.ndarray:
    """Return the predicted probabilities of the positive class, or raise with the reason why they are none.

    Parameters
    ----------
    learner : classifier
        Fitted on labels 0 and 1; the order of its ``classes_`` decides which column is meant.
    given : array-like
        What its ``predict_proba`` gave.
    rows : int
        Number of rows that it was asked about.

    Returns
    -------
    ndarray of shape (rows,), float64
        In [0, 1]; values that rounding carried beyond it by at most 1e-12 are cut off.

    Raises
    ------
    UnusableOutput
        If the shape is another one than ``(rows, 2)``, or a value is not a finite real number from 0 to 1.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> learner = DummyClassifier().fit([[0], [0], [0], [0]], [0, 0, 0, 1])
    >>> probability(learner, learner.predict_proba([[0], [0]]), 2)
    array([0.25, 0.25])
    """
    says = f"learner {type(learner).__name__!r} returned"
    table = _as_real_array(given, says, "probabilities")
    if table.shape != (rows, 2):
        raise UnusableOutput(
            f"{says} probabilities of shape {table.shape} for {rows} rows of 2 classes; predict_proba gives shape "
            f"{(rows, 2)}. Correct its predict_proba, or exclude it."
        )
    found = _as_float64(table[:, _positive_column(learner)])
    _check_finite(found, says, "probabilities")
    outside = (found < 0) | (found > 1)
    if outside.any():
        if ((found < -ROUNDING) | (found > 1 + ROUNDING)).any():
            raise UnusableOutput(
                f"{says} {np.count_nonzero(outside)} of {rows} probabilities outside 0 to 1 (lowest {found.min():g}, "
                f"highest {found.max():g}); a probability lies from 0 to 1. Correct its predict_proba, or exclude it."
            )
        found = np.clip(found, 0.0, 1.0)
    return found


def check_decision_value(learner: Any, given: Any, rows: int) -> np.ndarray:
    """Return decision values that rise with the positive class, or raise with the reason why they are none.

    Parameters
    ----------
    learner : classifier
        Fitted on labels 0 and 1. scikit-learn's decision values rise with the second of its ``classes_``.
    given : array-like
        What its ``decision_function`` gave.
    rows : int
        Number of rows that it was asked about.

    Returns
    -------
    ndarray of shape (rows,), float64

    Raises
    ------
    UnusableOutput
        If the shape is another one than ``(rows,)``, or a value is not a finite real number.

    Examples
    --------
    >>> from sklearn.linear_model import RidgeClassifier
    >>> learner = RidgeClassifier().fit([[0.0], [1.0]], [0, 1])
    >>> (decision_value(learner, learner.decision_function([[0.0], [1.0]]), 2) > 0).tolist()
    [False, True]
    """
    says = f"learner {type(learner).__name__!r} returned"
    table = _as_real_array(given, says, "decision values")
    if table.shape != (rows,):
        raise UnusableOutput(
            f"{says} decision values of shape {table.shape} for {rows} rows; with two classes decision_function gives "
            f"shape {(rows,)}. Correct its decision_function, or exclude it."
        )
    found = _as_float64(table)
    _check_finite(found, says, "decision values")
    # Without classes_ they are taken in their order, as scikit-learn sorts them.
    return found if getattr(learner, "classes_", None) is None or _positive_column(learner) == 1 else -found


def check_resampled(sampler: Any, given: tuple[Any, Any], y: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and labels that a learner shall receive, or raise with the reason why it cannot.

    Parameters
    ----------
    sampler : sampler
    given : (array-like, array-like)
        What its ``fit_resample`` gave.
    y : ndarray of shape (n_rows,)
        Labels of the rows that the sampler was given.
    columns : int
        Number of columns that it was given.

    Returns
    -------
    X : ndarray of shape (n_new, columns), float64, C-ordered
    y : ndarray of shape (n_new,)

    Raises
    ------
    UnusableOutput
        If columns, lengths or labels do not fit, a value is not a finite number, or a class has no row left.

    Examples
    --------
    >>> X, y = resampled(None, ([[1], [2]], [0, 1]), np.array([0, 0, 1]), 1)
    >>> X.tolist(), y.tolist()
    ([[1.0], [2.0]], [0, 1])
    """
    name = type(sampler).__name__
    says, way_out = f"sampler {name!r} returned", "Correct its fit_resample, or choose another sampler."
    X, labels = _as_real_array(given[0], says, "rows"), _as_real_array(given[1], says, "labels")
    if X.ndim != 2 or X.shape[1] != columns:
        raise UnusableOutput(f"{says} rows of shape {X.shape}; it keeps the {columns} columns it was given. {way_out}")
    if labels.shape != (len(X),):
        raise UnusableOutput(
            f"{says} {len(X)} rows and labels of shape {labels.shape}; each row has one label. {way_out}"
        )
    strange = labels[(labels != 0) & (labels != 1)]
    if strange.size:
        raise UnusableOutput(
            f"{says} the label {strange[0]!s} in {strange.size} of {len(labels)} rows; labels are 0 and 1. {way_out}"
        )
    X = np.ascontiguousarray(X, dtype=np.float64)
    bad = np.count_nonzero(~np.isfinite(X))
    if bad:
        raise UnusableOutput(f"{says} {bad} of {X.size} values that are not finite; rows hold numbers. {way_out}")
    rest = f"{name!r} dropped one: change its parameters, or choose another sampler"
    check_classes(labels, "the sampler left", y, rest)
    return X, labels if labels.dtype == y.dtype else labels.astype(y.dtype)


def check_classes(
    labels: np.ndarray, says: str, before: np.ndarray | None = None, way_out: str = "use fewer folds"
) -> None:
    """Refuse the labels of one class alone.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        What a learner would receive.
    says : str
        The begin of the message.
    before : ndarray of shape (n_before,), optional
        What a sampler was given.
    way_out : str
        The end of the message.

    Raises
    ------
    UnusableOutput
    """
    for label, word in ((1, "positive"), (0, "negative")):
        if not (labels == label).any():
            were = "no" if before is None else f"0 of {np.count_nonzero(before == label)}"
            raise UnusableOutput(f"{says} {were} {word} rows; a learner needs rows of both classes. {way_out}.")


def _as_real_array(given: Any, says: str, what: str) -> np.ndarray:
    """The array behind an answer; masked values count as missing."""
    table = np.asarray(given)
    if table.dtype.kind not in _REAL:
        raise UnusableOutput(
            f"{says} {what} of type {table.dtype}, where real numbers belong. Correct what it returns, or exclude it."
        )
    if np.ma.is_masked(given):
        return np.ma.filled(np.ma.asarray(given).astype(np.float64), np.nan)
    return table


def _as_float64(values: np.ndarray) -> np.ndarray:
    """A copy as float64; what is too large for it becomes infinite, which is refused."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64)


def _positive_column(learner: Any) -> int:
    """The place of the positive class."""
    known = getattr(learner, "classes_", None)
    labels = None if known is None else np.asarray(known).tolist()
    if labels not in ([0, 1], [1, 0]):
        found = "has no classes_" if labels is None else f"has the classes {labels}"
        raise UnusableOutput(
            f"learner {type(learner).__name__!r} {found} after a fit on the labels 0 and 1; classes_ says which column "
            "is which. Correct its fit, or exclude it."
        )
    return int(labels.index(1))


def _check_finite(found: np.ndarray, says: str, what: str) -> None:
    if np.isfinite(found).all():
        return
    missing, endless = np.count_nonzero(np.isnan(found)), np.count_nonzero(np.isinf(found))
    counts = " and ".join(f"{n} {word}" for n, word in ((missing, "NaN"), (endless, "infinite")) if n)
    raise UnusableOutput(
        f"{says} {counts} of {len(found)} {what}; each must be a finite number. Check its parameters, or exclude it."
    )
