"""Fit a strategy and a learner on all rows of a table, as one estimator to export.

An exported model must not hold rows of the table: samplers are cleared, and the learner is searched for classes that
store rows (:mod:`imblab.core.admission`).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from imblab.core import decisions, estimator_specs, evaluate, fitting
from imblab.core.admission import VISITING_PROTOCOL, row_keeper
from imblab.core.evaluate import Task
from imblab.core.fitting import Prediction
from imblab.core.preparation import PreparedRows, find_crowded_column
from imblab.errors import FitFailed, foreign_reason
from imblab.result import ThresholdValue, Trial
from imblab.study import MAX_LEVELS, Dataset, Learner, Scalar, Split, fingerprint
from imblab_model import FrozenClassifier, Preparation, digest


def all_rows_split(dataset: Dataset) -> Split:
    """Return all rows as a training part without test rows, in the order of the outer training parts.

    Its fold is -1, so that with ``protocol.inner: shared`` every outer fold of the first repeat is an inner fold.
    """
    rows = np.arange(len(dataset.y)) if dataset.time is None else np.argsort(dataset.time, kind="stable")
    none = np.empty(0, dtype=np.int64)
    return Split(0, -1, rows, none, fingerprint(rows, none))


def choose_params(task: Task) -> tuple[Trial, int]:
    """Choose the knobs and the threshold for all rows, by the same search as in a cell.

    The task is of a cell whose split is :func:`all_rows_split`. Returns the winner and the number of distinct
    candidates that were judged. Raises FitFailed if no candidate applies or none has a value.
    """
    if reason := task.inapplicable_reason:
        raise FitFailed(reason)
    trials = evaluate.tune(task)
    winner = evaluate.best_candidate(task, trials)
    if winner is None:
        reasons = dict.fromkeys(t.reason for t in trials if t.reason)
        raise FitFailed("no candidate has a value: " + "; ".join(list(reasons)[:3]))
    return winner, sum(t.status in ("ok", "failed", "pruned") for t in trials)


def fit_model(
    task: Task, params: Mapping[str, Scalar], threshold: ThresholdValue | None, labels: Sequence[Scalar]
) -> FrozenClassifier:
    """Fit the estimator that predicts as the kernel does after a fit on all rows, bit for bit; every row is checked.

    Parameters
    ----------
    task : Task
        Of a cell whose split is :func:`all_rows_split`.
    params : mapping
        Flat knobs.
    threshold : float, tuple of float or None
        The value from which a row is called positive; with more than two classes one per class, None if costs decide.
    labels : sequence of label
        By class index.

    Returns
    -------
    ThresholdClassifier or MulticlassThresholdClassifier
        With cleared samplers.

    Raises
    ------
    FitFailed
        If the fit raises, or the estimator predicts differently from the kernel.
    """
    rows, kind = task.cell.split.train, task.cell.strategy.calibration
    if decisions.is_class(kind):
        raise FitFailed(f"calibration {kind!r} is a class of your own, and a model serves without its code")
    if crowded := find_crowded_column(task.dataset, rows):
        raise FitFailed(
            f"column {crowded[0]!r} has {crowded[1]} levels, once those with fewer than {task.dataset.rare} rows are "
            f"one; one-hot columns are made of at most {MAX_LEVELS} levels"
        )
    request, prepared = task.request(params, rows, rows), PreparedRows(task.dataset, rows)
    is_probability = estimator_specs.gives_probabilities(request.learner)
    try:
        with fitting.recorded_warnings():
            learner, y = fitting.fit_learner(request, prepared)
        clear_samplers(learner)
        values = fitting.predict_values(learner, request.learner, prepared.transform(rows), {}, len(labels))
    except BaseException as error:  # any library may raise anything
        raise FitFailed(f"{type(error).__name__}: {foreign_reason(error)}") from error
    parts = {
        "preparation": _preparation(task.dataset, prepared, rows),
        "learner": learner,
        "calibration": _calibration_values(task, params, y),
        "method": "predict_proba" if is_probability else "decision_function",
    }
    rule, _ = evaluate.threshold_rule(task)
    model = task.decisions.build_model(parts, labels, rule, threshold, task.threshold_scale(params))
    reached = fitting.reached_counts(request, y, len(labels))
    expected = evaluate.calibrate_prediction(task, params, Prediction(values, is_probability, reached)).values
    X = task.dataset.X.iloc[rows]
    _check_same_values(model.scores(X), expected)
    decided = task.decisions.decide(rule, threshold, task.compared(params, expected))
    _check_same_values(model.predict(X), np.array(labels)[decided.astype(np.int64)])
    return model


def clear_samplers(estimator: Any) -> None:
    """Remove what every sampler inside an estimator has fitted: samplers take no part in predictions."""
    for sampler in _find_samplers(estimator):
        unfitted = clone(sampler)
        sampler.__dict__.clear()
        sampler.__dict__.update(unfitted.__dict__)


def find_row_keeper(learner: Learner) -> str | None:
    """Find the class in a learner that stores the rows it is fitted on, by a fit of random rows before any search.

    See :func:`imblab.core.admission.row_keeper`. None also if the random rows cannot be fitted: the real model is
    checked later.

    Examples
    --------
    >>> find_row_keeper(Learner("svm", {"_target_": "sklearn.svm.SVC"}))
    'sklearn.svm.SVC'
    """
    X = np.random.default_rng(0).normal(size=(40, 3))
    try:
        fitted = estimator_specs.build_estimator(learner.make, allow=None, seed=0).fit(X, np.arange(40) % 2)
        clear_samplers(fitted)
    except BaseException as error:  # any library may raise anything
        foreign_reason(error)
        return None
    return row_keeper(fitted)


def _find_samplers(estimator: Any) -> list[Any]:
    """Return every sampler inside an estimator, at any depth: pickling visits all of it."""
    samplers: dict[int, Any] = {}

    class Visitor(pickle.Pickler):
        def persistent_id(self, obj: Any) -> None:
            if not isinstance(obj, type) and hasattr(type(obj), "_sampling_type"):
                samplers[id(obj)] = obj

    Visitor(io.BytesIO(), protocol=VISITING_PROTOCOL).dump(estimator)
    return list(samplers.values())


def _preparation(dataset: Dataset, prepared: PreparedRows, rows: np.ndarray) -> Preparation:
    """Make the kernel's preparation of this table for rows with named columns."""
    numeric = [name for name in dataset.X.columns if name not in dataset.categorical]
    categorical = [name for name in dataset.X.columns if name in dataset.categorical]
    imputer = scaler = None
    if numeric:
        numbers = dataset.X[numeric].to_numpy(dtype=np.float64)[rows]
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(numbers)
        scaler = StandardScaler().fit(imputer.transform(numbers))
    levels = [np.unique(prepared.X[:, position]) for position in prepared.categorical]
    rare = None if prepared.rare_levels is None else list(prepared.rare_levels.codes)
    known = []
    for i, name in enumerate(categorical):
        # Rare levels are left out, so that unknown means rare: a level of few rows may identify them.
        has_rare = rare is not None and rare[i] is not None
        codes = enumerate(dataset.X[name].cat.categories)
        known.append({digest(v): float(c) for c, v in codes if not has_rare or c in levels[i]})
    fill = prepared.filled.tolist()
    columns, missing = list(dataset.X.columns), list(dataset.missing)
    return Preparation(columns, categorical, imputer, scaler, known, levels, fill, rare, missing)


def _calibration_values(task: Task, params: Mapping[str, Scalar], received: np.ndarray) -> dict[str, Any] | None:
    """Return the calibration of the strategy as plain values."""
    kind = task.cell.strategy.calibration
    if decisions.corrects_prior(kind):
        weight = params.get("weight")
        assert weight is None or isinstance(weight, (int, float, str))
        values = task.decisions.prior_values(task.dataset.y, received, weight)
        return None if values is None else {"kind": kind, **values}
    if not decisions.is_learned(kind):
        return None
    make = fitting.with_tuned_params(task.cell.learner.make, params)
    folds = [
        (task.dataset.y[validate], decisions.scores_for_map(task.predict_rows(params, part, validate).values, make))
        for part, validate in task.pairs
    ]
    learned = task.decisions.map_values(task.decisions.fit_map(kind, folds))
    return {"kind": kind, "log_odds": decisions.reads_log_odds(make), **learned}


def _check_same_values(values: np.ndarray, expected: np.ndarray) -> None:
    """Refuse an estimator that reads the table differently from the kernel."""
    if not np.array_equal(values, expected):
        is_other = (values != expected).reshape(len(values), -1).any(axis=1)
        size = f", by up to {np.abs(values - expected).max():.2g}" if values.dtype.kind == "f" else ""
        raise FitFailed(
            f"the estimator predicts differently from the study in {int(is_other.sum())} of {len(values)} rows{size}; "
            "categories that read alike, such as 1 and '1', are one to it"
        )
