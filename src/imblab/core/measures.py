"""Measures: their functions resolved from dotted paths, checked, and applied to predictions.

A measure is data (:class:`imblab.study.Measure`); its ``needs`` say what its function reads. ``label``:
``f(tn, fp, fn, tp)`` on confusion counts of any one shape, giving float64 of that shape. ``score``: ``f(y, values)`` on
a ranking by probabilities or decision values. ``probability``: ``f(y, proba)``. ``amount``: ``f(y, called, amount)`` on
the rows that are called positive and their amounts. ``y`` holds 0 and 1; all are of shape (n_rows,). Undefined is NaN
here, null in an evaluation, and never 0. The formulas are in :mod:`imblab.stats`.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from inspect import isclass, isroutine
from typing import Any

import numpy as np

from imblab.core import admission
from imblab.errors import ConfigError, foreign_reason, unknown
from imblab.stats.counts import (
    ConfusionCounts,
    accuracy,
    accuracy_baseline,
    amount_cost,
    balanced_accuracy,
    class_accuracy,
    class_counts,
    class_mcc,
    class_recall_min,
    counts_at,
    expected_class_cost,
    expected_cost,
    f_beta,
    g_mean,
    invalid_class_costs_reason,
    largest_class_share,
    macro_of_counts,
    macro_precision,
    macro_recall,
    mcc,
    precision,
    precision_at_prevalence,
    recall,
    recall_g_mean,
    recall_min,
    specificity,
)
from imblab.stats.curves import average_precision, precision_at, recall_at, recall_at_precision, roc_auc
from imblab.stats.probabilities import brier, class_brier, class_log_loss, log_loss, macro_of_columns, scores_per_class
from imblab.study import Measure

# Studies name these functions by paths such as ``imblab.core.measures.mcc``.
__all__ = [
    "accuracy",
    "accuracy_baseline",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "f_beta",
    "g_mean",
    "log_loss",
    "mcc",
    "precision",
    "precision_at",
    "precision_at_prevalence",
    "recall",
    "recall_at",
    "recall_at_precision",
    "recall_min",
    "roc_auc",
    "specificity",
]
#: Where the functions of measures may live without being allowed.
HOMES = ("imblab.core.measures", "imblab.core.costs", "sklearn.metrics")


class MeasureFailed(Exception):
    """Raised when the function of a measure fails on rows; the message becomes the evaluation's `error`."""


def function_of(measure: Measure, allow: Sequence[str] | None = ()) -> Callable[..., Any]:
    """Return the function of a measure with its parameters bound, tried once on two rows.

    Functions of imblab are returned as they are; all others work on copies of their arguments, with their result
    checked. ``allow`` names packages, modules and functions in addition to those of imblab and ``sklearn.metrics``;
    None where the path was checked when the study was read, or the caller wrote it in Python. ConfigError if the path
    lies outside the allowed modules (nothing is imported then), is not that of a function, or the function with these
    parameters does not return what a measure of this need returns.

    Examples
    --------
    >>> function_of(Measure("f2", "imblab.core.measures.f_beta", "label", parameters={"beta": 2}))(0, 0, 1, 1).item()
    0.5555555555555556
    """
    parameters = json.dumps(dict(measure.parameters), sort_keys=True)
    module, _, name = measure.function.rpartition(".")
    granted = None if allow is None else tuple(entry for entry in allow if entry not in admission.SHIPPED)
    if granted is not None and not (_is_in_packages(module, HOMES) or admission.is_allowed(measure.function, granted)):
        raise _not_allowed(measure, granted)
    key = (measure.name, measure.function, measure.needs, parameters, granted)
    current = getattr(sys.modules.get(module), name, None)
    target, function = _FUNCTIONS.get(key, (None, None))
    if function is None or target is not current:  # a reload of the module changes the function
        function = _resolve_function(measure, json.loads(parameters), granted)
        _FUNCTIONS[key] = getattr(sys.modules.get(module), name), function
    return function


#: The functions that were resolved, each with the object in its module at that time.
_FUNCTIONS: dict[tuple[Any, ...], tuple[Any, Callable[..., Any]]] = {}


def _not_allowed(measure: Measure, granted: tuple[str, ...]) -> ConfigError:
    can_be_allowed = admission.is_path(measure.function) and measure.function.partition(".")[0] not in admission.SHIPPED
    way_out = f", or add `allow=[{measure.function}]` on your own command line if you trust it"
    return ConfigError(
        f"measure {measure.name!r} has the function {measure.function[:80]!r}; functions of measures come from "
        f"{', '.join((*HOMES, *granted))} only. Name one of theirs{way_out if can_be_allowed else ''}.",
        grants=(measure.function,) if can_be_allowed else (),
    )


def _resolve_function(
    measure: Measure, parameters: dict[str, Any], granted: tuple[str, ...] | None
) -> Callable[..., Any]:
    path = measure.function
    what = f"measure {measure.name!r} has the function {path[:80]!r}"
    where, _, name = path.rpartition(".")
    is_in_notebook = granted is None and where == "__main__"  # written by the caller in Python
    if not admission.is_path(path) and not is_in_notebook:
        raise ConfigError(
            f"{what}; it must be the dotted path of a public function, at most 200 characters long. Correct the path."
        )
    try:
        module = import_module(where)
    except BaseException as error:  # an import runs the module, which may raise any exception
        raise ConfigError(
            f"{what}: {foreign_reason(error)}; a path must import. Correct it, or install the package."
        ) from error
    packages = {entry.partition(".")[0] for entry in granted or ()} - {*admission.SHIPPED}
    homes = (*HOMES, "imblab.stats", *(granted or ()), *packages)
    functions = {
        key: _bind(measure, function, parameters)
        for key, function in vars(module).items()
        if not key.startswith("_") and callable(function) and not isclass(function)
        if granted is None or _is_in_packages(_module_of(function, where), homes)
    }
    if name not in functions:
        fitting = [key for key, function in functions.items() if not _unfit_reason(function, measure.needs)]
        near = get_close_matches(name, fitting or functions, n=12, cutoff=0)
        raise ConfigError(f"{what}: {unknown('measure function', name, near)}")
    reason = _unfit_reason(functions[name], measure.needs)
    if reason and not has_class_costs(measure):
        raise ConfigError(
            f"{what} with parameters {parameters}, which fails on two rows ({reason}); the function of a measure that "
            f"needs {measure.needs!r} is {_SIGNATURES[measure.needs]}. Correct its function, needs or parameters."
        )
    return functions[name]


def _is_in_packages(module: str, packages: Sequence[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _module_of(function: Any, default: str) -> str:
    """The module that defines a function; for another callable object the module that holds it."""
    return str(function.__module__) if isroutine(function) and function.__module__ else default


def _bind(measure: Measure, function: Any, parameters: dict[str, Any]) -> Callable[..., Any]:
    """Bind parameters; a function from outside imblab works on copies, and its failure is one of its measure."""
    bound = partial(function, **parameters) if parameters else function
    if _module_of(function, "").partition(".")[0] == "imblab":
        return bound

    def checked(*rows: Any) -> Any:
        try:
            value = np.asarray(bound(*(np.copy(part) for part in rows)))
            if np.iscomplexobj(value):
                raise TypeError("it gives complex numbers")
            value = value.astype(np.float64)
        except BaseException as error:  # a function may raise any exception
            line = " ".join(foreign_reason(error).split())
            raise MeasureFailed(f"measure {measure.name!r} raised {type(error).__name__}: {line}") from error
        shape = np.broadcast_shapes(*map(np.shape, rows)) if measure.needs == "label" else ()
        if value.shape != shape:
            rule = _SIGNATURES[measure.needs]
            raise MeasureFailed(f"measure {measure.name!r} gives the shape {value.shape}, but it must be {rule}")
        return value

    return checked


#: What the function of a measure must be by its need, and two rows to try it on.
_SIGNATURES = {
    "label": "f(tn, fp, fn, tp) on arrays, giving their shape",
    "amount": "f(y, called, amount), giving one number",
    "score": "f(y, values), giving one number",
    "probability": "f(y, proba), giving one number",
}
_TRIAL_ROWS: dict[str, tuple[Any, ...]] = {
    "label": tuple(np.ones((4, 2), dtype=np.int64)),
    "amount": (np.array([0, 1]), np.array([False, True]), np.array([1.0, 2.0])),
    **dict.fromkeys(("score", "probability"), (np.array([0, 1]), np.array([0.25, 0.75]))),
}


def _unfit_reason(function: Callable[..., Any], needs: str) -> str | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            shape = np.asarray(function(*_TRIAL_ROWS[needs]), dtype=np.float64).shape
    except BaseException as error:  # a function may raise any exception
        return foreign_reason(error)
    return None if shape == ((2,) if needs == "label" else ()) else f"it gives the shape {shape}"


#: Functions that never fall when a wrong call is corrected.
_MONOTONE = {mcc, recall, precision, specificity, f_beta, g_mean, recall_min, balanced_accuracy, accuracy}


def is_monotone(measure: Measure) -> bool:
    """Whether correcting a call never lowers a measure of counts, so that its best reachable value is known."""
    function = function_of(measure, allow=None)
    return is_counted(measure) and measure.greater_is_better and getattr(function, "func", function) in _MONOTONE


#: Measures of more than two classes, by the function for two: those that are not the mean over classes of that
#: function, each class against the rest.
_CLASS_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    mcc: class_mcc,
    precision: macro_precision,
    g_mean: recall_g_mean,
    recall_min: class_recall_min,
    balanced_accuracy: macro_recall,
    accuracy: class_accuracy,
    accuracy_baseline: largest_class_share,
    expected_cost: expected_class_cost,
    brier: class_brier,
    log_loss: class_log_loss,
}
#: Of those, the ones that have a value per class.
_PER_CLASS = {precision}
_TOP_SHARE = "it inspects the rows of one positive class from the highest score down"
#: Measures without a form for more than two classes, with the reason.
TWO_CLASSES_ONLY: dict[Callable[..., Any], str] = {
    precision_at_prevalence: "it reads one prevalence, that of the positive class",
    precision_at: _TOP_SHARE,
    recall_at: _TOP_SHARE,
    recall_at_precision: "it reads one level of precision, that of the positive class",
    amount_cost: "the amount of a row is the cost of one kind of wrong call, a missed positive",
}


def class_function_of(measure: Measure) -> Callable[..., Any]:
    """Return the function of a measure, whose path was checked before, for more than two classes.

    Its parameters are bound. ``f(matrices)`` on confusion matrices of shape (..., n_classes, n_classes), giving the
    leading shape, if the measure needs labels; else ``f(y, values)`` with values of shape (n_rows, n_classes), giving
    one number. For a function from outside imblab it is the mean over classes, each class against the rest. ConfigError
    if the measure is for two classes only.

    Examples
    --------
    >>> f1 = Measure("f1", "imblab.core.measures.f_beta", "label")
    >>> class_function_of(f1)(np.array([[4, 0, 0], [1, 1, 0], [0, 0, 2]])).round(4).item()
    0.8519
    """
    if reason := two_classes_only_reason(measure):
        raise ConfigError(
            f"measure {measure.name!r} is for two classes only, because {reason}. Leave it out of the measures."
        )
    target = _target_of(measure)
    if target in _CLASS_FUNCTIONS:
        return partial(_CLASS_FUNCTIONS[target], **measure.parameters)
    macro = macro_of_counts if is_counted(measure) else macro_of_columns
    return partial(macro, function=function_of(measure, allow=None))


def matrix_function_of(measure: Measure) -> Callable[[np.ndarray], Any]:
    """Return a measure of labels as a function of confusion matrices of any number of classes.

    Examples
    --------
    >>> recall = matrix_function_of(Measure("recall", "imblab.core.measures.recall", "label"))
    >>> float(recall(np.array([[5, 1], [1, 3]]))), float(recall(np.array([[4, 0, 0], [1, 1, 0], [0, 0, 2]])))
    (0.75, 0.8333333333333334)
    """

    def compute(matrices: np.ndarray) -> Any:
        if matrices.shape[-1] > 2:
            return class_function_of(measure)(matrices)
        return function_of(measure, allow=None)(*np.moveaxis(matrices.reshape(*matrices.shape[:-2], 4), -1, 0))

    return compute


def two_classes_only_reason(measure: Measure, n_classes: int | None = None) -> str | None:
    """Return why a measure has no form for more than two classes, or for this number of them; None if it has one.

    Examples
    --------
    >>> costs = {"costs": {"fn": 10, "fp": 1}}
    >>> cost = Measure("cost", "imblab.core.costs.expected_cost", "label", parameters=costs)
    >>> two_classes_only_reason(cost, 3)
    'a cost matrix of 3 classes is a list of 3 rows by true class, of 3 costs each by decided class'
    """
    target = _target_of(measure)
    if reason := TWO_CLASSES_ONLY.get(target) or ("it reads amounts" if measure.needs == "amount" else None):
        return reason
    reads_costs = n_classes is not None and reads_class_costs(measure)
    return invalid_class_costs_reason(measure.parameters.get("costs"), n_classes) if reads_costs else None


def has_class_costs(measure: Measure) -> bool:
    """Whether a measure reads a matrix of costs, one for each pair of classes: its function is for several classes.

    Examples
    --------
    >>> costs = {"costs": [[0, 1, 1], [5, 0, 1], [5, 1, 0]]}
    >>> has_class_costs(Measure("cost", "imblab.core.costs.expected_cost", "label", parameters=costs))
    True
    """
    return reads_class_costs(measure) and invalid_class_costs_reason(measure.parameters.get("costs")) is None


def reads_class_costs(measure: Measure) -> bool:
    """Whether a measure has a form that reads a matrix of costs."""
    return _CLASS_FUNCTIONS.get(_target_of(measure)) is expected_class_cost


def _per_class_function_of(measure: Measure) -> Callable[..., Any] | None:
    """Return the function that gives the values of a measure by class, each class against the rest; None without any.

    Its arguments are those of :func:`class_function_of`; its result has one more axis, of length n_classes.
    """
    target = _target_of(measure)
    if target in TWO_CLASSES_ONLY or (target in _CLASS_FUNCTIONS and target not in _PER_CLASS):
        return None
    function = function_of(measure, allow=None)
    if is_counted(measure):
        return lambda matrices: function(*class_counts(matrices))
    return partial(scores_per_class, function=function)


def _target_of(measure: Measure) -> Any:
    """The function of a measure as it is written, without its parameters; the path was checked before."""
    module, _, name = measure.function.rpartition(".")
    return getattr(sys.modules.get(module) or import_module(module), name)


def is_counted(measure: Measure) -> bool:
    """Whether a measure is a function of confusion counts, and so depends on the threshold."""
    return measure.needs == "label"


def score_predictions(
    measures: Sequence[Measure],
    y: np.ndarray,
    values: np.ndarray,
    threshold: float,
    is_probability: bool,
    amount: np.ndarray | None = None,
    compared: np.ndarray | None = None,
) -> tuple[dict[str, float | None], ConfusionCounts]:
    """Compute every measure of one set of predictions, sorted once, and the counts at the threshold.

    ``is_probability`` says whether ``values`` are probabilities or decision values, ``amount`` holds the amount of
    every row, ``compared`` what the threshold is compared with, by default ``values``. A score is None where it is
    undefined, and where it needs probabilities or amounts that are missing. Raises :class:`MeasureFailed`.

    Examples
    --------
    >>> recall = Measure("recall", "imblab.core.measures.recall", "label")
    >>> score_predictions([recall], np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.6, True)[0]
    {'recall': 0.5}
    """
    compared = values if compared is None else compared
    counts = counts_at(y, compared, threshold)
    order = np.argsort(-values, kind="stable")
    arguments: dict[str, tuple[Any, ...] | None] = {
        "label": tuple(counts),
        "score": (y[order], values[order]),
        "probability": (y, values) if is_probability else None,
        "amount": None if amount is None else (y, compared >= threshold, amount),
    }
    return {m.name: _finite_score(function_of(m, allow=None), arguments[m.needs]) for m in measures}, counts


def score_class_predictions(
    measures: Sequence[Measure], y: np.ndarray, values: np.ndarray, matrix: np.ndarray, is_probability: bool
) -> tuple[dict[str, float | None], dict[str, tuple[float | None, ...]]]:
    """Compute every measure of predictions for more than two classes, and its values by class.

    ``values`` of shape (n_rows, n_classes) are probabilities or decision values, ``matrix`` is the confusion matrix of
    the decided rows. A score is None as in :func:`score_predictions`, where a macro measure is undefined for one class,
    and where the measure has no form for so many classes. Only some measures have values by class, each class against
    the rest. Raises :class:`MeasureFailed`.

    Examples
    --------
    >>> recall = Measure("recall", "imblab.core.measures.recall", "label")
    >>> matrix = np.array([[4, 0, 0], [1, 1, 0], [0, 0, 2]])
    >>> scores, class_scores = score_class_predictions([recall], np.zeros(0), np.zeros((0, 3)), matrix, True)
    >>> round(scores["recall"], 4), class_scores
    (0.8333, {'recall': (1.0, 0.5, 1.0)})
    """
    ranked = (y, values)
    arguments = {"label": (matrix,), "score": ranked, "probability": ranked if is_probability else None}
    scores: dict[str, float | None] = {}
    class_scores: dict[str, tuple[float | None, ...]] = {}
    for measure in measures:
        given = arguments.get(measure.needs)
        if given is None or two_classes_only_reason(measure, len(matrix)):
            scores[measure.name] = None
            continue
        scores[measure.name] = _finite_score(class_function_of(measure), given)
        if (by_class := _per_class_function_of(measure)) is not None:
            listed = np.asarray(by_class(*given)).tolist()
            class_scores[measure.name] = tuple(value if np.isfinite(value) else None for value in listed)
    return scores, class_scores


def _finite_score(function: Callable[..., Any], arguments: tuple[Any, ...] | None) -> float | None:
    value = float("nan") if arguments is None else float(function(*arguments))
    return value if np.isfinite(value) else None
