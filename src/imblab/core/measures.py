"""Numbers that mean something under imbalance, from one pass over the scores.

Four kinds, by what they need: ``label`` measures are functions ``f(tn, fp, fn, tp)`` of confusion counts of any one
shape and give float64 of that shape, so that every threshold is scored at once; ``score`` measures ``f(y, p)`` read a
ranking, by probabilities or decision values; ``probability`` measures ``f(y, p)`` read probabilities alone; ``amount``
measures ``f(y, called, amount)`` read which rows are called positive and what each is worth. ``y`` holds 0 and 1, ``p``
finite float64 of the same shape (n_rows,). Undefined is NaN here and null in a row; never 0.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache, partial
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
    balanced_accuracy,
    counts_at,
    f_beta,
    g_mean,
    mcc,
    precision,
    precision_at_prevalence,
    recall,
    specificity,
)
from imblab.stats.curves import average_precision, precision_at, recall_at, recall_at_precision, roc_auc
from imblab.stats.scoring_rules import brier, log_loss
from imblab.study import Measure

# Studies name these functions by paths such as ``imblab.core.measures.mcc``.
__all__ = [
    "HOMES",
    "ConfusionCounts",
    "MeasureFailed",
    "accuracy",
    "accuracy_baseline",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "counts_at",
    "f_beta",
    "function_of",
    "g_mean",
    "is_counted",
    "is_monotone",
    "log_loss",
    "mcc",
    "precision",
    "precision_at",
    "precision_at_prevalence",
    "recall",
    "recall_at",
    "recall_at_precision",
    "roc_auc",
    "score",
    "specificity",
]
#: Where the functions of measures may live without being allowed.
HOMES = ("imblab.core.measures", "imblab.core.costs", "sklearn.metrics")


class MeasureFailed(Exception):
    """Raised when the function of a measure fails on rows; the message becomes the evaluation's `error`."""


def function_of(measure: Measure, allow: Sequence[str] | None = ()) -> Callable[..., Any]:
    """Return the function of a measure with its parameters bound, tried once on two rows.

    Parameters
    ----------
    measure : Measure
    allow : sequence of str or None, default=()
        Packages, modules and functions that may be named in addition to those of imblab and ``sklearn.metrics``; None
        where the path was checked when the study was read, or the caller wrote it in Python.

    Returns
    -------
    callable
        Functions of imblab as they are; all others on copies of their arguments, with their answer checked.

    Raises
    ------
    ConfigError
        If the path lies outside the allowed modules (nothing is imported then), names no function, or one that with
        these parameters does not give what a measure of this need gives.

    Examples
    --------
    >>> function_of(Measure("f2", "imblab.core.measures.f_beta", "label", parameters={"beta": 2}))(0, 0, 1, 1).item()
    0.5555555555555556
    """
    given = json.dumps(dict(measure.parameters), sort_keys=True) if measure.parameters else "{}"
    where, _, called = measure.function.rpartition(".")
    own = None if allow is None else tuple(entry for entry in allow if entry not in admission.SHIPPED)
    if own is not None and not (_at_home(where, HOMES) or admission.is_allowed(measure.function, own)):
        can_be_allowed = admission.is_path(measure.function) and where.partition(".")[0] not in admission.SHIPPED
        way_out = f", or add `allow=[{measure.function}]` on your own command line if you trust it"
        raise ConfigError(
            f"measure {measure.name!r} has the function {measure.function[:80]!r}; functions of measures come from "
            f"{', '.join((*HOMES, *own))} only. Name one of theirs{way_out if can_be_allowed else ''}.",
            grants=(measure.function,) if can_be_allowed else (),
        )
    return _found(
        measure.name, measure.function, measure.needs, given, own, id(getattr(sys.modules.get(where), called, None))
    )


@lru_cache(maxsize=256)
def _found(
    name: str, path: str, needs: str, parameters: str, own: tuple[str, ...] | None, function_id: int
) -> Callable[..., Any]:
    """The function; ``function_id`` is that of the function in the module now, which a reload changes."""
    says = f"measure {name!r} has the function {path[:80]!r}"
    where, _, called = path.rpartition(".")
    in_notebook = own is None and where == "__main__"  # written by the caller in Python, as every such text
    if not admission.is_path(path) and not in_notebook:
        raise ConfigError(
            f"{says}; it must be the dotted path of a public function, at most 200 characters long. Correct the path."
        )
    try:
        module = import_module(where)
    except BaseException as error:  # an import runs the module, which may raise anything
        raise ConfigError(
            f"{says}: {foreign_reason(error)}; a path must import. Correct it, or install the package."
        ) from error
    bound, packages = json.loads(parameters), {entry.partition(".")[0] for entry in own or ()}
    homes = (*HOMES, "imblab.stats", *(own or ()), *(packages - {*admission.SHIPPED}))
    known = {
        n: _checked(name, partial(f, **bound) if bound else f, needs, f)
        for n, f in vars(module).items()
        if not n.startswith("_") and _is_function(f) and (own is None or _at_home(_home(f, where), homes))
    }
    if called not in known:
        near = get_close_matches(called, [n for n, f in known.items() if not _fault(f, needs)], n=12, cutoff=0)
        raise ConfigError(f"{says}: {unknown('measure function', called, near)}")
    fault = _fault(known[called], needs)
    if fault:
        says += f" with parameters {bound}, which fails on two rows ({fault})"
        rule = _FORMS[needs]
        raise ConfigError(f"{says}; what needs {needs!r} is {rule}. Correct its function, needs or parameters.")
    return known[called]


def _is_function(value: Any) -> bool:
    """Whether a value can be called for a number: a function, also a compiled or a bound one."""
    return callable(value) and not isclass(value)


def _home(function: Any, where: str) -> str:
    """The module that a function is defined in; of an object that is called like one, the module it was found in."""
    return str(function.__module__) if isroutine(function) and function.__module__ else where


def _checked(name: str, function: Callable[..., Any], needs: str, bare: Any) -> Callable[..., Any]:
    """A function from outside imblab whose failure is a failure of its measure, and that writes into no row of ours."""
    if _home(bare, "").partition(".")[0] == "imblab":
        return function

    def checked(*rows: Any) -> Any:
        try:
            value = np.asarray(function(*(np.copy(part) for part in rows)))
            if np.iscomplexobj(value):
                raise TypeError("it gives complex numbers")
            value = value.astype(np.float64)
        except BaseException as error:  # a function may raise anything
            line = " ".join(foreign_reason(error).split())
            raise MeasureFailed(f"measure {name!r} raised {type(error).__name__}: {line}") from error
        shape = np.broadcast_shapes(*map(np.shape, rows)) if needs == "label" else ()
        if value.shape != shape:
            raise MeasureFailed(f"measure {name!r} gives the shape {value.shape}, and {_FORMS[needs]}")
        return value

    return checked


#: What a function is that reads what a measure needs, and two rows to try it on.
_FORMS = {
    "label": "f(tn, fp, fn, tp) on arrays",
    "amount": "f(y, called, amount) and gives one number",
    **dict.fromkeys(("score", "probability"), "f(y, p) and gives one number"),
}
_ROWS: dict[str, tuple[Any, ...]] = {
    "label": tuple(np.ones((4, 2), dtype=np.int64)),
    "amount": (np.array([0, 1]), np.array([False, True]), np.array([1.0, 2.0])),
    **dict.fromkeys(("score", "probability"), (np.array([0, 1]), np.array([0.25, 0.75]))),
}


def _at_home(module: str, homes: Sequence[str]) -> bool:
    """Whether a module lies in one of the homes; what a home imported from elsewhere is none of its functions."""
    return any(f"{module}.".startswith(f"{home}.") for home in homes)


def _fault(function: Callable[..., Any], needs: str) -> str:
    """Why a function is no measure of this need; empty where it is one."""
    try:
        with warnings.catch_warnings(action="ignore"):
            shape = np.asarray(function(*_ROWS[needs]), dtype=np.float64).shape
    except BaseException as error:  # what a foreign function raises is the reader's answer
        return foreign_reason(error)
    return "" if shape == ((2,) if needs == "label" else ()) else f"it gives the shape {shape}"


#: Functions that never fall when a wrong call is put right: tested over every small confusion matrix.
_MONOTONE = {mcc, recall, precision, specificity, f_beta, g_mean, balanced_accuracy, accuracy}


def is_monotone(measure: Measure) -> bool:
    """Whether a better call never lowers a measure of counts, so that its best possible value is known."""
    function = function_of(measure, allow=None)
    return is_counted(measure) and measure.greater_is_better and getattr(function, "func", function) in _MONOTONE


def is_counted(measure: Measure) -> bool:
    """Whether a measure is made of confusion counts, and so depends on the threshold."""
    return measure.needs == "label"


def score(
    measures: Sequence[Measure],
    y: np.ndarray,
    p: np.ndarray,
    threshold: float,
    probability: bool,
    amount: np.ndarray | None = None,
    compared: np.ndarray | None = None,
) -> tuple[dict[str, float | None], ConfusionCounts]:
    """Every measure of one set of predictions, sorted once, and the counts at the threshold.

    ``probability`` says whether ``p`` holds probabilities or decision values, ``amount`` what every row is worth, and
    ``compared`` what the threshold is compared with, by default ``p`` itself. A score is None where it is undefined,
    and where it needs a probability or amounts that there are not. Raises :class:`MeasureFailed`.

    Examples
    --------
    >>> recalled = Measure("recall", "imblab.core.measures.recall", "label")
    >>> score([recalled], np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.6, True)[0]
    {'recall': 0.5}
    """
    compared = p if compared is None else compared
    counts = counts_at(y, compared, threshold)
    order = np.argsort(-p, kind="stable")
    called = tuple(counts)
    given = {
        "label": called,
        "score": (y[order], p[order]),
        "probability": (y, p) if probability else None,
        "amount": None if amount is None else (y, compared >= threshold, amount),
    }
    return {m.name: _number(function_of(m, allow=None), given[m.needs]) for m in measures}, counts


def _number(function: Callable[..., Any], rows: tuple[Any, ...] | None) -> float | None:
    value = float("nan") if rows is None else float(function(*rows))
    return value if np.isfinite(value) else None
