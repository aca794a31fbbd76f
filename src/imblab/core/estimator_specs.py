"""From ``{_target_: dotted.path, parameter: value}`` to an estimator, and from nothing else.

A study may come from a colleague: only classes that derive from scikit-learn's ``BaseEstimator`` and live in an
allow-listed package are built, and nothing outside the list is even imported.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from imblab.core import admission
from imblab.errors import ConfigError, foreign_reason, unknown
from imblab.study import Make

#: The packages that ship with imblab; see :mod:`imblab.core.admission` for what of them a study may name.
DEFAULT_ALLOW = admission.SHIPPED
#: Classes that scikit-learn hands out only after the import of a module, which does nothing else.
EXPERIMENTAL = {
    "sklearn.impute.IterativeImputer": "sklearn.experimental.enable_iterative_imputer",
    "sklearn.model_selection.HalvingGridSearchCV": "sklearn.experimental.enable_halving_search_cv",
    "sklearn.model_selection.HalvingRandomSearchCV": "sklearn.experimental.enable_halving_search_cv",
}


def resolve(path: str, allow: Sequence[str] | None = DEFAULT_ALLOW) -> type:
    """The estimator class behind a dotted path.

    Parameters
    ----------
    path : str
        Such as ``"sklearn.linear_model.LogisticRegression"``.
    allow : sequence of str or None
        Packages, modules and classes that may be named in addition to :func:`imblab.core.admission.admitted`; None
        where the path was checked at the door already.

    Returns
    -------
    type

    Raises
    ------
    ConfigError
        If the class is not admitted (nothing is imported then), the name does not exist, or it is not a class deriving
        from ``BaseEstimator``.

    Examples
    --------
    >>> resolve("sklearn.linear_model.LogisticRegression").__name__
    'LogisticRegression'
    """
    module, _, name = str(path).rpartition(".")
    # A class that was written anew, or loaded anew, is another one. Read from the module's dictionary: its
    # __getattr__ may import, or raise.
    loaded = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    return _resolved(str(path), None if allow is None else tuple(allow), id(loaded))


@lru_cache(maxsize=256)
def _resolved(path: str, allow: tuple[str, ...] | None, class_id: int) -> type:
    from sklearn.base import BaseEstimator

    module, _, name = path.rpartition(".")
    if allow is not None and (refused := admission.refusal(path, allow)):
        raise refused
    try:
        if path in EXPERIMENTAL:
            import_module(EXPERIMENTAL[path])
        found = getattr(import_module(module), name)
    except BaseException as error:  # an import runs the module, which may raise anything
        raise ConfigError(
            f"'_target_' is {path!r}, which cannot be imported ({foreign_reason(error)}); it must be the dotted path "
            "of a class. Correct the path, or install the package."
        ) from error
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator)):
        raise ConfigError(
            f"'_target_' is {path!r}, which is not a class deriving from scikit-learn's BaseEstimator; only estimators "
            "and samplers are built. Name the class itself."
        )
    if allow is not None and path not in admission.admitted():
        _check_origin(found, path, allow)
    return found


def _check_origin(cls: type, path: str, allow: Sequence[str]) -> None:
    """Refuse a class that an allowed module merely imports from a package that is not allowed."""
    origin, public = f"{cls.__module__}.{cls.__qualname__}", admission.public_name(cls)
    roots = {entry.partition(".")[0] for entry in allow if entry not in admission.SHIPPED}
    foreign = origin.partition(".")[0] not in admission.SHIPPED
    if (foreign and origin.partition(".")[0] in roots) or public in admission.admitted():
        return
    if not (admission.is_allowed(public, allow) or admission.is_allowed(origin, allow)):
        packages = ", ".join(dict.fromkeys((*admission.SHIPPED, *allow)))
        raise ConfigError(
            f"'_target_' is {path!r}, another name of a class of {cls.__module__!r}, which lies outside the allowed "
            f"packages ({packages}); a class belongs where it is defined. "
            f"If you trust it and the study, add `allow=[{public}]` on your own command line.",
            grants=(public,) if admission.is_path(public) else (),
        )


def build(
    make: Make,
    placeholders: Mapping[str, object] | None = None,
    allow: Sequence[str] | None = DEFAULT_ALLOW,
    seed: int | None = None,
) -> Any:
    """Build the estimator that a text describes, nested ones included.

    Parameters
    ----------
    make : mapping
        ``_target_`` and constructor parameters; other keys that begin with an underscore are reserved and left out.
    placeholders : mapping, optional
        What the texts ``$ratio``, ``$k`` and ``$categorical`` stand for.
    allow : sequence of str or None
        As in :func:`resolve`.
    seed : int, optional
        Becomes the ``random_state`` of every estimator built that has one.

    Returns
    -------
    BaseEstimator

    Raises
    ------
    ConfigError
        If a parameter is none of the class's.

    Examples
    --------
    >>> build({"_target_": "imblearn.over_sampling.SMOTE", "k_neighbors": "$k"}, {"k": 3})
    SMOTE(k_neighbors=3)
    """
    cls = resolve(make["_target_"], allow)
    given = {
        name: value for name, value in make.items() if not name.startswith("_") and not _is_open(value, placeholders)
    }
    known = _parameters(cls)
    if not known.issuperset(given) and not _takes_anything(cls):
        stray = sorted(given.keys() - known)
        raise ConfigError(unknown("parameter", stray[0], known, f"in {make['_target_']!r}"))
    built = {name: _built(value, placeholders or {}, allow, seed) for name, value in given.items()}
    if seed is not None and _is_random(cls, built):
        built["random_state"] = seed
    return cls(**built)


#: Classes by whether they have a random_state; XGBoost's constructor does not name its own.
_RANDOM: dict[type, bool] = {}


def _is_random(cls: type, built: Mapping[str, Any]) -> bool:
    if cls not in _RANDOM:
        estimator: Any = cls(**built)
        _RANDOM[cls] = "random_state" in estimator.get_params(deep=False)
    return _RANDOM[cls]


def parameters(make: Make, allow: Sequence[str] | None = None) -> set[str]:
    """The names of the constructor's parameters of the class that a text describes.

    Examples
    --------
    >>> sorted(parameters({"_target_": "imblearn.over_sampling.SMOTE"}))
    ['k_neighbors', 'random_state', 'sampling_strategy']
    """
    return set(_parameters(resolve(make["_target_"], allow)))


@lru_cache(maxsize=256)
def _parameters(cls: Any) -> frozenset[str]:
    return frozenset(cls._get_param_names())


#: Texts by identity, with what they were made of: they are asked for at every fit, and a mapping may change.
_WRITTEN: dict[int, tuple[Make, Make, str]] = {}


def written(make: Make) -> str:
    """What describes an estimator as one text.

    Examples
    --------
    >>> written({"_target_": "sklearn.svm.SVC", "C": 2})
    '{"C": 2, "_target_": "sklearn.svm.SVC"}'
    """
    known = _WRITTEN.get(id(make))
    if known is None or known[0] is not make or known[1] != make:
        if len(_WRITTEN) > 1_000:
            _WRITTEN.clear()
        known = _WRITTEN[id(make)] = make, deepcopy(make), json.dumps(make, sort_keys=True, default=dict)
    return known[2]


def paths(value: Any) -> list[str]:
    """List the dotted paths of the classes that a text names, nested ones included.

    Examples
    --------
    >>> paths({"_target_": "a.Bagging", "estimator": {"_target_": "b.Tree"}})
    ['a.Bagging', 'b.Tree']
    """
    found: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            found += [str(item["_target_"])] if "_target_" in item else []
            waiting += [part for part in [*item.values()][::-1] if isinstance(part, (Mapping, list, tuple))]
        elif isinstance(item, (list, tuple)):
            waiting += item[::-1]
    return found


def versions(make: Make) -> str:
    """The installed versions behind a text: of its package, and of what every fit rests on, imblab included."""
    return _versions(make["_target_"].partition(".")[0])


@lru_cache(maxsize=64)
def _versions(package: str) -> str:
    return " ".join(
        f"{name} {_version(name)}" for name in dict.fromkeys(["imblab", "numpy", "scipy", "sklearn", package])
    )


def _version(package: str) -> str:
    """A package that is not there has no version: its fit will say so."""
    there = package in sys.modules or find_spec(package)
    return str(getattr(import_module(package), "__version__", "?")) if there else "?"


def takes_anything(make: Make) -> bool:
    """Whether the constructor takes further parameters by name, as those of LightGBM and XGBoost do."""
    return _takes_anything(resolve(make["_target_"], allow=None))


@lru_cache(maxsize=256)
def _takes_anything(cls: type) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())


def offers(make: Make, method: str) -> bool:
    """Whether the estimator that a text describes has a method, such as ``predict_proba``, before it is fitted.

    Parameters
    ----------
    make : mapping
    method : str

    Returns
    -------
    bool
        True where the estimator cannot be built: its fit will say why.

    Examples
    --------
    >>> offers({"_target_": "sklearn.svm.SVC"}, "predict_proba")
    False
    """
    return _offers(written(make), method)


@lru_cache(maxsize=1024)
def _offers(text: str, method: str) -> bool:
    try:
        return hasattr(build(json.loads(text), allow=None), method)
    except BaseException as error:  # a constructor may raise anything
        foreign_reason(error)
        return True


def _is_open(value: Any, placeholders: Mapping[str, object] | None) -> bool:
    """Whether a value is a knob that the strategy does not have: the class's own default stands then."""
    return placeholders is not None and value in ("$ratio", "$k") and value[1:] not in placeholders


def _built(value: Any, placeholders: Mapping[str, object], allow: Sequence[str] | None, seed: int | None) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, placeholders, allow, seed)
    if isinstance(value, Mapping):
        return {key: _built(item, placeholders, allow, seed) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built(item, placeholders, allow, seed) for item in value]
    if isinstance(value, str) and value.startswith("$") and value[1:] in placeholders:
        return placeholders[value[1:]]
    return value
