"""Inspect an estimator: state from before the fit, validation on resampled rows, steps that learn from labels.

An audit hands over training rows alone. A transformer that was fitted before may have seen the test rows: it is looked
for in parameters, attributes, and the functions that the estimator calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from imblab.errors import foreign_reason

#: Objects inside one another that are looked into, and items of a list or mapping.
MAX_DEPTH, MAX_ITEMS = 12, 200
#: Packages whose classes hold no data of the user but in their attributes.
LIBRARIES = frozenset(
    ("builtins", "sklearn", "imblearn", "numpy", "scipy", "pandas", "lightgbm", "xgboost", "joblib", "functools")
)
#: Relative tolerance of statistics that are equal.
EQUAL_STATISTICS = 1e-6
#: Statistics of columns that a closed-over array may hold.
COLUMN_STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "means": lambda values: np.nanmean(values, axis=0),
    "standard deviations": lambda values: np.nanstd(values, axis=0),
    "sample standard deviations": lambda values: np.nanstd(values, axis=0, ddof=1),
    "variances": lambda values: np.nanvar(values, axis=0),
    "medians": lambda values: np.nanmedian(values, axis=0),
    "minima": lambda values: np.nanmin(values, axis=0),
    "maxima": lambda values: np.nanmax(values, axis=0),
}
#: Rows on which a transformer is tried with other labels.
MAX_TRIED_ROWS = 500
#: Rows up to which ``early_stopping="auto"`` of scikit-learn holds none back.
AUTO_STOPPING_ROWS = 10_000

SEEN_ALL, UNKNOWN_ROWS, HARMLESS = "all rows", "unknown rows", "nothing that differs"


@dataclass(frozen=True, slots=True)
class HeldState:
    """Something learned or copied from rows that an estimator holds before it is fitted.

    Its origin is :data:`SEEN_ALL` where it equals what all rows give, :data:`UNKNOWN_ROWS` where it was learned from
    other rows, :data:`HARMLESS` where training rows would give the same.
    """

    place: str  # such as ``steps.scaler.estimator``
    kind: str  # the class of a fitted estimator, or what an array holds
    origin: str


def held_state(estimator: Any, X: Any, y: np.ndarray, train: np.ndarray) -> list[HeldState]:
    """Find what an estimator holds before it is fitted, in the order in which it is found.

    ``train`` are the rows of a training part of ``X``. What scikit-learn's ``clone`` drops is not found.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = np.arange(8.0)[:, None] ** 2, np.arange(8) % 2
    >>> pipeline = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), LogisticRegression())
    >>> [(s.kind, s.origin) for s in held_state(pipeline, X, y, np.arange(6))]
    [('StandardScaler', 'all rows')]
    """
    fresh = clone(estimator)
    inputs = [(X, _safe_indexing(X, train)), *_prefix_outputs(fresh, X, y, train)]
    inputs += _column_parts(fresh, inputs)
    states, seen = [], set()
    for place, part in _parts(fresh):
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, (np.ndarray, pd.DataFrame, pd.Series)):
            state = _array_state(place, np.asarray(part), X, y, train)
        else:
            state = HeldState(place, type(part).__name__, _origin(part, inputs, y, train))
            inputs += [pair for pair in [_transformed(part, *inputs[-1])] if pair is not None]
        states += [state] if state is not None else []
    return states


def _is_fitted(part: Any) -> bool:
    """Return whether an object looks like an estimator with learned attributes."""
    if isinstance(part, type) or not (hasattr(part, "get_params") and hasattr(part, "fit")):
        return False
    return any(n.endswith("_") and not n.startswith("_") and value is not None for n, value in vars(part).items())


def _parts(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield fitted estimators and arrays that an object reaches, each with its place, outer ones first."""
    stack, seen = [("", root, 0)], set()
    while stack:
        place, value, depth = stack.pop()
        if id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        if _is_fitted(value) or isinstance(value, (np.ndarray, pd.DataFrame, pd.Series)):
            yield place or type(value).__name__, value
            continue
        children = [(f"{place}.{name}".strip("."), child, depth + 1) for name, child in _children(value)]
        stack += reversed(children)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds or calls, by name."""
    if isinstance(value, Mapping):
        yield from ((str(key), child) for key, child in list(value.items())[:MAX_ITEMS])
    elif isinstance(value, (list, tuple, set)):
        for place, child in enumerate(list(value)[:MAX_ITEMS]):
            is_step = isinstance(child, tuple) and len(child) > 1 and isinstance(child[0], str)
            yield (child[0], child[1]) if is_step else (str(place), child)
    elif isinstance(value, partial):
        yield from (("func", value.func), ("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, MethodType):
        yield from (("__self__", value.__self__), (value.__func__.__name__, value.__func__))
    elif isinstance(value, FunctionType):
        yield from _held_by_function(value)
    elif not isinstance(value, (type, ModuleType, str, bytes, int, float, complex, type(None), np.generic)):
        yield from list(getattr(value, "__dict__", {}).items())
        yield from _held_by_class(type(value))


def _held_by_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function of the user reaches: its closure, its defaults, the globals that its code names."""
    if (function.__module__ or "").partition(".")[0] in LIBRARIES:
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell without a value yet
            yield name, cell.cell_contents
    yield from ((f"default{place}", value) for place, value in enumerate(function.__defaults__ or ()))
    yield from (function.__kwdefaults__ or {}).items()
    names = _names_of(function.__code__)
    yield from ((name, function.__globals__[name]) for name in names if name in function.__globals__)


def _names_of(code: CodeType) -> list[str]:
    """Return the names that a function uses, inner functions included."""
    inner = [name for const in code.co_consts if isinstance(const, CodeType) for name in _names_of(const)]
    return [*dict.fromkeys([*code.co_names, *inner])]


def _held_by_class(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield attributes and methods of the classes of the user behind an object."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in LIBRARIES:
            yield from ((name, value) for name, value in vars(base).items() if not name.startswith("__"))


def _prefix_outputs(estimator: Any, X: Any, y: np.ndarray, train: np.ndarray) -> list[tuple[Any, Any]]:
    """Return what each step of a pipeline receives, if it is fitted on all rows and on training rows."""
    outputs: list[tuple[Any, Any]] = []
    if not isinstance(estimator, Pipeline):
        return outputs
    for end in range(1, len(estimator.steps)):
        steps = [(name, clone(step)) for name, step in estimator.steps[:end] if not hasattr(step, "fit_resample")]
        try:
            pair = (
                Pipeline(steps).fit_transform(X, y),
                clone(Pipeline(steps)).fit_transform(_safe_indexing(X, train), y[train]),
            )
        except Exception as error:  # a step that cannot be fitted alone gives no input to compare with
            foreign_reason(error)
            break
        outputs.append(pair)
    return outputs


def _column_parts(estimator: Any, inputs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the columns of these tables that a ColumnTransformer gives to its transformers."""
    parts = []
    for holder in [estimator, *estimator.get_params(deep=True).values()]:
        for *_, columns in holder.transformers if isinstance(holder, ColumnTransformer) else ():
            for pair in inputs:
                with suppress(Exception):  # the columns of another table
                    chosen = columns(pair[0]) if callable(columns) else columns
                    parts.append((_safe_indexing(pair[0], chosen, axis=1), _safe_indexing(pair[1], chosen, axis=1)))
    return parts


def thawed(estimator: Any) -> Any:
    """Return a clone in which estimators that were frozen are fitted anew; None without frozen ones.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> thawed(FrozenEstimator(LogisticRegression()))
    LogisticRegression()
    >>> thawed(LogisticRegression()) is None
    True
    """
    if isinstance(estimator, FrozenEstimator):
        return clone(estimator.estimator)
    frozen = {n: value for n, value in estimator.get_params(deep=True).items() if isinstance(value, FrozenEstimator)}
    fresh = {name: clone(value.estimator) for name, value in frozen.items()}
    return clone(estimator).set_params(**fresh) if fresh else None


def _transformed(part: Any, X: Any, X_train: Any) -> tuple[Any, Any] | None:
    """Return what a fitted transformer makes of a table; None where it cannot."""
    if not hasattr(part, "transform"):
        return None
    try:
        return part.transform(X), part.transform(X_train)
    except Exception as error:
        foreign_reason(error)
        return None


def _origin(part: Any, inputs: list[tuple[Any, Any]], y: np.ndarray, train: np.ndarray) -> str:
    """Find the rows that a fitted estimator was fitted on, by fitting it again on every table that it may have had."""
    for X, X_train in inputs:
        try:
            names = getattr(part, "feature_names_in_", None)
            if names is not None and isinstance(X, pd.DataFrame):
                X, X_train = X[list(names)], X_train[list(names)]
            whole, fitted = _learned(clone(part).fit(X, y), X), _learned(part, X)
            if not _same(whole, fitted):
                continue
            part_only = _learned(clone(part).fit(X_train, y[train]), X)
        except Exception as error:  # fitted on another table
            foreign_reason(error)
            continue
        return HARMLESS if _same(part_only, fitted) else SEEN_ALL
    return UNKNOWN_ROWS


def _learned(part: Any, X: Any) -> dict[str, np.ndarray]:
    """Return the learned numbers of an estimator and its answers for a table."""
    numbers = {}
    for name, value in vars(part).items():
        if name.endswith("_") and not name.startswith("_") and name not in ("n_features_in_", "feature_names_in_"):
            array = np.asarray(value) if isinstance(value, (np.ndarray, int, float, np.generic)) else None
            if array is not None and array.dtype.kind in "fiub":
                numbers[name] = array.astype(np.float64)
    for method in ("transform", "predict_proba", "decision_function"):
        if hasattr(part, method):
            answer = getattr(part, method)(X)
            answer = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
            if answer.dtype.kind in "fiub":
                numbers[method] = answer.astype(np.float64)
            break
    return numbers


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Return whether two estimators learned the same; without numbers to compare they did not."""
    if not one or one.keys() != other.keys():
        return False
    pairs = [(one[name], other[name]) for name in one]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=EQUAL_STATISTICS, equal_nan=True) for a, b in pairs)


def _array_state(place: str, array: np.ndarray, X: Any, y: np.ndarray, train: np.ndarray) -> HeldState | None:
    """Return what an array that an estimator holds says of the rows; None for nothing."""
    table = _numeric_values(X)
    if array.shape == y.shape and (array == y).all():
        return HeldState(place, "the labels of all rows", SEEN_ALL)
    if table.size and array.shape == np.shape(X) and np.array_equal(_numeric_values(array), table, equal_nan=True):
        return HeldState(place, "the table itself", SEEN_ALL)
    if array.ndim != 1 or len(array) != table.shape[1] or array.dtype.kind not in "fiu":
        return None
    for name, statistic in COLUMN_STATISTICS.items():
        whole, part = statistic(table), statistic(table[train])
        usable = np.isfinite(whole)
        if usable.any() and np.allclose(array[usable], whole[usable], rtol=EQUAL_STATISTICS):
            same = np.allclose(part[usable], whole[usable], rtol=EQUAL_STATISTICS)
            return HeldState(place, f"{name} of the columns", HARMLESS if same else SEEN_ALL)
    return None


def _numeric_values(X: Any) -> np.ndarray:
    """Return the numeric columns of a table."""
    frame = pd.DataFrame(X)
    return frame.select_dtypes("number").to_numpy(dtype=np.float64)


#: Whether a parameter of an estimator makes it split or validate on the rows that it receives: ``(name, value, all
#: parameters, estimator)``.
SplitsRows = Callable[[str, Any, Mapping[str, Any], Any], bool]


@dataclass(frozen=True, slots=True)
class _StepNotes:
    """Steps of an estimator that deserve a word, by their place."""

    validates_on_resampled: tuple[str, ...] = ()  # split or validate on rows that a sampler made
    loose_samplers: tuple[str, ...] = ()  # outside an imbalanced-learn pipeline or ensemble
    learns_before_folds: tuple[str, ...] = ()  # learn from labels before a step that splits the rows
    learns_from_labels: tuple[str, ...] = ()  # all transformers that do


def inspect_steps(estimator: Any, splits_rows: SplitsRows, X: Any, y: np.ndarray) -> _StepNotes:
    """Find the steps of an estimator that validate on resampled rows, or learn from labels.

    The numeric columns of the training rows ``X`` tell which transformers learn from labels.

    Examples
    --------
    >>> from imblearn.over_sampling import SMOTE
    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.calibration import CalibratedClassifierCV
    >>> pipeline = make_pipeline(SMOTE(), CalibratedClassifierCV())
    >>> X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    >>> inspect_steps(pipeline, lambda name, value, given, step: name == "cv", X, y).validates_on_resampled
    ('calibratedclassifiercv (CalibratedClassifierCV)',)
    """
    notes: dict[str, list[str]] = {field.name: [] for field in fields(_StepNotes)}
    validates = partial(_validates, splits_rows=splits_rows, n_rows=len(y))
    learns = partial(_learns_from_labels, X=np.nan_to_num(_numeric_values(X)[:MAX_TRIED_ROWS]), y=y[:MAX_TRIED_ROWS])
    _visit(estimator, "", _Position(), notes, validates, learns)
    return _StepNotes(**{name: tuple(dict.fromkeys(places)) for name, places in notes.items()})


@dataclass(frozen=True, slots=True)
class _Position:
    """What comes before a step."""

    resampled: bool = False
    supervised: tuple[str, ...] = ()


def _visit(
    step: Any,
    place: str,
    before: _Position,
    notes: dict[str, list[str]],
    validates: Callable[[Any], bool],
    learns: Callable[[Any], bool],
) -> _Position:
    """Note a step and what is inside it; return what comes before the next one."""
    if not hasattr(step, "get_params") or isinstance(step, type):
        return before
    label = f"{place} ({type(step).__name__})" if place else type(step).__name__
    if isinstance(step, Pipeline):
        for name, inner in step.steps:
            before = _visit(inner, f"{place}.{name}".strip("."), before, notes, validates, learns)
        return before
    if hasattr(step, "fit_resample"):
        return _Position(True, before.supervised)
    if validates(step):
        notes["validates_on_resampled"] += [label] if before.resampled else []
        notes["learns_before_folds"] += [f"{name} before {label}" for name in before.supervised]
    supervised: list[str] = []
    for name, child in step.get_params(deep=False).items():
        for number, inner in enumerate(child if isinstance(child, list) else [child]):
            inner = inner[1] if isinstance(inner, tuple) and len(inner) > 1 else inner
            inner_place = f"{place}.{name}{number if isinstance(child, list) else ''}".strip(".")
            if hasattr(inner, "fit_resample") and not isinstance(inner, type):
                notes["loose_samplers"] += [] if _is_of_imblearn(step) else [f"{inner_place} of {label}"]
            else:
                supervised += _visit(inner, inner_place, before, notes, validates, learns).supervised
    if not hasattr(step, "transform") or hasattr(step, "predict"):
        return before
    if learns(step):
        notes["learns_from_labels"].append(label)
        supervised.append(label)
    return _Position(before.resampled, tuple(dict.fromkeys((*before.supervised, *supervised))))


def _learns_from_labels(step: Any, X: np.ndarray, y: np.ndarray) -> bool:
    """Return whether a transformer needs labels, or learns something else from other labels."""
    if hasattr(step, "__sklearn_tags__") and step.__sklearn_tags__().target_tags.required:
        return True
    permuted = np.random.default_rng(0).permutation(y)
    try:
        one, again, other = (_learned(clone(step).fit(X, labels), X) for labels in (y, y, permuted))
    except Exception as error:  # it takes other columns than these
        foreign_reason(error)
        return False
    return _same(one, again) and not _same(one, other)


def _is_of_imblearn(step: Any) -> bool:
    return any(base.__module__.startswith("imblearn.") for base in type(step).__mro__)


def _validates(step: Any, splits_rows: SplitsRows, n_rows: int) -> bool:
    given = step.get_params(deep=False)
    switches = {
        name: value
        for name, value in given.items()
        if not (name == "early_stopping" and value == "auto" and n_rows <= AUTO_STOPPING_ROWS)
    }
    return any(splits_rows(name, value, given, step) for name, value in switches.items())
