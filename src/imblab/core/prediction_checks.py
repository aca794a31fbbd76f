"""Checks of what samplers and learners return: unusable output is a failed fit with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np

#: How far rounding may carry a probability beyond 0 and 1; it is clipped there.
ROUNDING = 1e-12
#: The kinds of number that convert to float64: booleans, integers, floats.
_REAL_KINDS = "biuf"


class UnusableOutput(Exception):
    """Raised if a sampler or a learner returned what no measure can read; the message is the reason."""


def check_proba(learner: Any, output: Any, n_rows: int) -> np.ndarray:
    """Return the float64 probabilities of the positive class from the output of ``predict_proba``.

    The order of the learner's ``classes_`` determines the column. Values that rounding carried beyond [0, 1] by at
    most 1e-12 are clipped. Raises UnusableOutput if the shape is not ``(n_rows, 2)`` or a value is not a probability.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> learner = DummyClassifier().fit([[0], [0], [0], [0]], [0, 0, 0, 1])
    >>> check_proba(learner, learner.predict_proba([[0], [0]]), 2)
    array([0.25, 0.25])
    """
    subject = f"learner {type(learner).__name__!r} returned"
    table = _as_real_array(output, subject, "probabilities")
    if table.shape != (n_rows, 2):
        raise UnusableOutput(
            f"{subject} probabilities of shape {table.shape} for {n_rows} rows of 2 classes; predict_proba gives shape "
            f"{(n_rows, 2)}. Correct its predict_proba, or exclude it."
        )
    proba = _as_float64(table[:, _positive_column(learner)])
    _check_finite(proba, subject, "probabilities")
    outside = (proba < 0) | (proba > 1)
    if outside.any():
        if ((proba < -ROUNDING) | (proba > 1 + ROUNDING)).any():
            raise UnusableOutput(
                f"{subject} {np.count_nonzero(outside)} of {n_rows} probabilities outside 0 to 1 (lowest "
                f"{proba.min():g}, highest {proba.max():g}); a probability lies from 0 to 1. Correct its "
                "predict_proba, or exclude it."
            )
        proba = np.clip(proba, 0.0, 1.0)
    return proba


def check_decision_value(learner: Any, output: Any, n_rows: int) -> np.ndarray:
    """Return float64 decision values that rise with the positive class from the output of ``decision_function``.

    scikit-learn's decision values rise with the second of a learner's ``classes_``. Raises UnusableOutput if the shape
    is not ``(n_rows,)`` or a value is not a finite real number.
    """
    subject = f"learner {type(learner).__name__!r} returned"
    table = _as_real_array(output, subject, "decision values")
    if table.shape != (n_rows,):
        raise UnusableOutput(
            f"{subject} decision values of shape {table.shape} for {n_rows} rows; with two classes decision_function "
            f"gives shape {(n_rows,)}. Correct its decision_function, or exclude it."
        )
    values = _as_float64(table)
    _check_finite(values, subject, "decision values")
    # Without classes_ they are taken in the order in which scikit-learn sorts them.
    is_rising = getattr(learner, "classes_", None) is None or _positive_column(learner) == 1
    return values if is_rising else -values


def check_resampled(
    sampler: Any, output: tuple[Any, Any], y: np.ndarray, n_columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (float64, C-ordered) and labels for a learner from the output of ``fit_resample``.

    ``y`` and ``n_columns`` are those that the sampler received. Raises UnusableOutput if columns, lengths or labels do
    not fit, a value is not a finite number, or a class has no row left.

    Examples
    --------
    >>> X, y = check_resampled(None, ([[1], [2]], [0, 1]), np.array([0, 0, 1]), 1)
    >>> X.tolist(), y.tolist()
    ([[1.0], [2.0]], [0, 1])
    """
    name = type(sampler).__name__
    subject, way_out = f"sampler {name!r} returned", "Correct its fit_resample, or choose another sampler."
    X, labels = _as_real_array(output[0], subject, "rows"), _as_real_array(output[1], subject, "labels")
    if X.ndim != 2 or X.shape[1] != n_columns:
        raise UnusableOutput(
            f"{subject} rows of shape {X.shape}; it keeps the {n_columns} columns it was given. {way_out}"
        )
    if labels.shape != (len(X),):
        raise UnusableOutput(
            f"{subject} {len(X)} rows and labels of shape {labels.shape}; each row has one label. {way_out}"
        )
    unknown = labels[(labels != 0) & (labels != 1)]
    if unknown.size:
        raise UnusableOutput(
            f"{subject} the label {unknown[0]!s} in {unknown.size} of {len(labels)} rows; labels are 0 and 1. {way_out}"
        )
    X = np.ascontiguousarray(X, dtype=np.float64)
    n_bad = np.count_nonzero(~np.isfinite(X))
    if n_bad:
        raise UnusableOutput(f"{subject} {n_bad} of {X.size} values that are not finite; rows hold numbers. {way_out}")
    advice = f"{name!r} dropped one: change its parameters, or choose another sampler"
    check_classes(labels, "the sampler left", y, advice)
    return X, labels if labels.dtype == y.dtype else labels.astype(y.dtype)


def check_classes(
    labels: np.ndarray, subject: str, before: np.ndarray | None = None, way_out: str = "use fewer folds"
) -> None:
    """Refuse labels of one class alone; ``before`` holds the labels that a sampler received.

    Raises UnusableOutput with a message of the subject, the missing class and the way out.
    """
    for label, word in ((1, "positive"), (0, "negative")):
        if not (labels == label).any():
            n_rows = "no" if before is None else f"0 of {np.count_nonzero(before == label)}"
            raise UnusableOutput(f"{subject} {n_rows} {word} rows; a learner needs rows of both classes. {way_out}.")


def _as_real_array(output: Any, subject: str, what: str) -> np.ndarray:
    """Convert output to an array of real numbers; masked values count as missing."""
    table = np.asarray(output)
    if table.dtype.kind not in _REAL_KINDS:
        raise UnusableOutput(
            f"{subject} {what} of type {table.dtype}, where real numbers belong. Correct what it returns, or exclude "
            "it."
        )
    if np.ma.is_masked(output):
        return np.ma.filled(np.ma.asarray(output).astype(np.float64), np.nan)
    return table


def _as_float64(values: np.ndarray) -> np.ndarray:
    """Copy as float64; what is too large for it becomes infinite, which is refused."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64)


def _positive_column(learner: Any) -> int:
    """Return the position of the positive class."""
    classes = getattr(learner, "classes_", None)
    labels = None if classes is None else np.asarray(classes).tolist()
    if labels not in ([0, 1], [1, 0]):
        problem = "has no classes_" if labels is None else f"has the classes {labels}"
        raise UnusableOutput(
            f"learner {type(learner).__name__!r} {problem} after a fit on the labels 0 and 1; classes_ says which "
            "column is which. Correct its fit, or exclude it."
        )
    return int(labels.index(1))


def _check_finite(values: np.ndarray, subject: str, what: str) -> None:
    if np.isfinite(values).all():
        return
    n_missing, n_infinite = np.count_nonzero(np.isnan(values)), np.count_nonzero(np.isinf(values))
    counts = " and ".join(f"{n} {word}" for n, word in ((n_missing, "NaN"), (n_infinite, "infinite")) if n)
    raise UnusableOutput(
        f"{subject} {counts} of {len(values)} {what}; each must be a finite number. Check its parameters, or exclude "
        "it."
    )
