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
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib import import_module
from inspect import isclass, isroutine
from typing import Any

import numpy as np

from imblab.core import admission
from imblab.errors import ConfigError, foreign_reason, unknown
from imblab.study import Measure

#: Where the functions of measures may live without being allowed.
HOMES = ("imblab.core.measures", "imblab.core.costs", "sklearn.metrics")


@dataclass(frozen=True, slots=True)
class Counts:
    """A confusion matrix, or arrays of one shape that hold many."""

    tn: Any
    fp: Any
    fn: Any
    tp: Any

    def __add__(self, other: Counts) -> Counts:
        """The summed counts of two sets of rows."""
        return Counts(self.tn + other.tn, self.fp + other.fp, self.fn + other.fn, self.tp + other.tp)


def counts_at(y: np.ndarray, p: np.ndarray, thresholds: Any) -> Counts:
    """Confusion counts at every threshold: a row is called positive iff p >= threshold.

    ``thresholds`` may have any shape and order; the counts are whole numbers of that shape.

    Examples
    --------
    >>> counts_at(np.array([0, 1, 1]), np.array([0.2, 0.5, 0.9]), 0.5).tp.item()
    2
    """
    positive = np.asarray(y) == 1
    if np.ndim(thresholds) == 0:  # no sorting for a single cut
        called = p >= thresholds
        rows, flagged, right = len(p), np.count_nonzero(called), np.count_nonzero(called & positive)
        caught, wrong = np.count_nonzero(positive) - right, flagged - right
        return Counts(*(np.asarray(n) for n in (rows - flagged - caught, wrong, caught, right)))
    positives, negatives = np.sort(p[positive]), np.sort(p[~positive])
    cuts = np.asarray(thresholds, dtype=np.float64)
    fn, tn = np.searchsorted(positives, cuts), np.searchsorted(negatives, cuts)
    return Counts(tn, len(negatives) - tn, fn, len(positives) - fn)


def _ratio(above: Any, below: Any) -> np.ndarray:
    """Division that gives NaN over an empty denominator."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    out = np.full(np.broadcast(above, below).shape, np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below != 0))


def mcc(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Matthews (1975) correlation coefficient; 0 where a row or column of the confusion matrix is empty.

    ``(tp tn - fp fn) / sqrt((tp + fp) (tn + fn) (tp + fn) (tn + fp))``

    Examples
    --------
    >>> mcc(90, 0, 0, 10).item()
    1.0
    """
    tn, fp, fn, tp = (np.asarray(c, dtype=np.float64) for c in (tn, fp, fn, tp))
    # Floats, because the product of four counts leaves int64; one root, because only sqrt(a * a) is exactly a.
    scale = np.sqrt(((tp + fp) * (tn + fn)) * ((tp + fn) * (tn + fp)))
    found = _ratio(tp * tn - fp * fn, scale)
    found[np.isnan(found)] = 0.0
    return found


def recall(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the positives that are called positive; undefined without positives."""
    return _ratio(tp, np.add(tp, fn))


def precision(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the called positives that are positive; undefined where nothing is called positive."""
    return _ratio(tp, np.add(tp, fp))


def specificity(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of the negatives that are called negative; undefined without negatives."""
    return _ratio(tn, np.add(tn, fp))


def precision_at_prevalence(tn: Any, fp: Any, fn: Any, tp: Any, prevalence: float) -> np.ndarray:
    """Precision where another share of the rows is positive than in this sample.

    ``r pi / (r pi + f (1 - pi))`` with recall r, false positive rate f and prevalence pi, by Bayes' theorem: right as
    long as nothing but the prevalence differs (Elkan 2001, IJCAI, 973-978). Undefined where a class is absent or
    nothing is called positive. ``prevalence`` lies inside (0, 1).

    Examples
    --------
    >>> precision_at_prevalence(90, 10, 0, 10, 0.01).round(4).item()
    0.0917
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence is {prevalence!r}, and a prevalence lies inside (0, 1)")
    caught, alarmed = recall(tn, fp, fn, tp) * prevalence, (1 - specificity(tn, fp, fn, tp)) * (1 - prevalence)
    return _ratio(caught, caught + alarmed)


def f_beta(tn: Any, fp: Any, fn: Any, tp: Any, beta: float = 1.0) -> np.ndarray:
    """Weighted harmonic mean of precision and recall (van Rijsbergen 1979); undefined where tp, fp and fn are all 0."""
    weighted = (1 + beta**2) * np.asarray(tp, dtype=np.float64)
    return _ratio(weighted, weighted + beta**2 * np.asarray(fn, dtype=np.float64) + fp)


def g_mean(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Geometric mean of recall and specificity (Kubat and Matwin 1997); undefined where a class is absent."""
    return np.asarray(np.sqrt(recall(tn, fp, fn, tp) * specificity(tn, fp, fn, tp)))


def balanced_accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Mean of recall and specificity (Brodersen et al. 2010); undefined where a class is absent."""
    return np.asarray((recall(tn, fp, fn, tp) + specificity(tn, fp, fn, tp)) / 2)


def accuracy(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Share of right calls; means little under imbalance and is shown beside its baseline only."""
    return _ratio(np.add(tp, tn), np.add(tp, tn) + np.add(fp, fn))


def accuracy_baseline(tn: Any, fp: Any, fn: Any, tp: Any) -> np.ndarray:
    """Accuracy of always calling the majority of these rows."""
    positives, negatives = np.add(tp, fn), np.add(tn, fp)
    return _ratio(np.maximum(positives, negatives), positives + negatives)


def _steps(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True positives and called rows from the highest score down, one step a distinct score."""
    if not (p[1:] <= p[:-1]).all():  # `score` has sorted them already
        order = np.argsort(-p, kind="stable")
        y, p = y[order], p[order]
    last = np.append(np.flatnonzero(p[1:] != p[:-1]), len(p) - 1)
    return np.cumsum(y, dtype=np.int64)[last], last + 1


def average_precision(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the precision-recall curve, ``sum (R_n - R_(n-1)) P_n``; undefined without positives.

    scikit-learn's ``average_precision_score``; Davis and Goadrich (2006) on why not to interpolate linearly.

    Examples
    --------
    >>> average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])).__round__(4)
    0.8333
    """
    tp, called = _steps(y, p)
    return float(_ratio(np.sum(np.diff(tp, prepend=0) * (tp / called)), tp[-1]))


def roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Probability that a positive outranks a negative, ties half (Hanley and McNeil 1982); NaN if a class is absent."""
    tp, called = _steps(y, p)
    fp = called - tp
    area = np.sum(np.diff(fp, prepend=0) * (2 * tp - np.diff(tp, prepend=0)))
    return float(_ratio(area, 2 * tp[-1] * fp[-1]))


def _caught(y: np.ndarray, p: np.ndarray, share: float) -> tuple[float, float]:
    """Expected true positives among the ``share * n`` highest scores, and that number of rows."""
    tp, called = _steps(y, p)
    desk = _share("share", share) * len(y)
    return float(np.interp(desk, np.append(0, called), np.append(0, tp))) if tp[-1] else float("nan"), desk


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value!r}, and a share lies above 0 and at most at 1")
    return value


def recall_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Recall of an alert desk that looks at the top share of the rows; undefined without positives.

    The desk takes ``share * n_rows`` rows from the highest score down: a real number, not rounded, so that the last
    row may be taken in part. Where rows tie at its limit their order is random and the expectation is reported
    (McSherry and Najork 2008): the true positives grow linearly between two distinct scores.
    ``share`` lies in (0, 1]; the best value is ``min(1, share * n_rows / n_positives)``.

    Examples
    --------
    >>> recall_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.1, 0.1]), 0.5).__round__(4)
    0.6667
    """
    return float(_ratio(_caught(y, p, share)[0], np.sum(y)))


def precision_at(y: np.ndarray, p: np.ndarray, share: float) -> float:
    """Precision of an alert desk that looks at the top share of the rows; rows and ties as in :func:`recall_at`."""
    return float(_ratio(*_caught(y, p, share)))


def recall_at_precision(y: np.ndarray, p: np.ndarray, level: float) -> float:
    """The largest recall among the cuts at distinct scores whose precision reaches a level.

    0 where none does; undefined without positives. ``level`` lies in (0, 1].

    Examples
    --------
    >>> recall_at_precision(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.9]), 0.9)
    0.5
    """
    tp, called = _steps(y, p)
    reached = tp / called >= _share("level", level)  # as a quotient: level * called may round above tp
    return float(_ratio(np.max(tp, where=reached, initial=0), tp[-1]))


def brier(y: np.ndarray, p: np.ndarray) -> float:
    """Mean squared distance of probability and outcome (Brier 1950); lower is better."""
    return float(np.mean((p - y) ** 2))


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log-likelihood, clipped by the machine epsilon as scikit-learn does; lower is better."""
    eps = np.finfo(np.float64).eps
    q = np.clip(p, eps, 1 - eps)
    return float(-np.mean(np.log(np.where(y == 1, q, 1 - q))))


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
    homes = (*HOMES, *(own or ()), *(packages - {*admission.SHIPPED}))
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
) -> tuple[dict[str, float | None], Counts]:
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
    called = (counts.tn, counts.fp, counts.fn, counts.tp)
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
