"""From ``{_target_: dotted.path, parameter: value}`` to an estimator, and from nothing else.

A study may come from a colleague: only classes that derive from scikit-learn's ``BaseEstimator`` and live in an
allow-listed package are built, and nothing outside the list is even imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from imblab.errors import ConfigError
from imblab.records import Make

#: The packages whose estimators a study may name.
DEFAULT_ALLOW = ("sklearn", "imblearn", "lightgbm", "xgboost", "imblab")


def resolve(path: str, allow: Sequence[str] | None = DEFAULT_ALLOW) -> type:
    """The estimator class behind a dotted path.

    Parameters
    ----------
    path : str
        Such as ``"sklearn.linear_model.LogisticRegression"``.
    allow : sequence of str or None
        Top packages that may be named; None where the path was checked at the door already.

    Returns
    -------
    type

    Raises
    ------
    ConfigError
        If the package is not allowed (nothing is imported then), the name does not exist, or it is no class deriving
        from ``BaseEstimator``.

    Examples
    --------
    >>> resolve("sklearn.linear_model.LogisticRegression").__name__
    'LogisticRegression'
    """
    from sklearn.base import BaseEstimator

    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    if allow is not None and module.split(".")[0] not in allow:
        raise ConfigError(
            f"'_target_' is {path!r}, which lies outside the allowed packages ({', '.join(allow)}); only their "
            "estimators are built. Extend `allow` on your own command line if you trust it."
        )
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"'_target_' is {path!r}, which cannot be imported ({error}); it must be the dotted path of a class. "
            "Correct the path, or install the package."
        ) from error
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator)):
        raise ConfigError(
            f"'_target_' is {path!r}, which is no class deriving from scikit-learn's BaseEstimator; only estimators "
            "and samplers are built. Name the class itself."
        )
    return found


def build(
    make: Make, placeholders: Mapping[str, object] | None = None, allow: Sequence[str] | None = DEFAULT_ALLOW
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
    given = {name: value for name, value in make.items() if not name.startswith("_")}
    known = parameters(make, allow)
    stray = sorted(set(given) - known) if not takes_anything(make) else []
    if stray:
        raise ConfigError(
            f"{make['_target_']!r} has no parameter {stray[0]!r}; its constructor knows its parameters by name. "
            f"Choose among: {', '.join(sorted(known))}."
        )
    return cls(**{name: _built(value, placeholders or {}, allow) for name, value in given.items()})


def parameters(make: Make, allow: Sequence[str] | None = None) -> set[str]:
    """The names of the constructor's parameters of the class that a text describes.

    Examples
    --------
    >>> sorted(parameters({"_target_": "imblearn.over_sampling.SMOTE"}))
    ['k_neighbors', 'random_state', 'sampling_strategy']
    """
    cls: Any = resolve(make["_target_"], allow)
    return set(cls._get_param_names())


def takes_anything(make: Make) -> bool:
    """Whether the constructor takes further parameters by name, as those of LightGBM and XGBoost do."""
    signature = inspect.signature(resolve(make["_target_"], allow=None))
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())


def _built(value: Any, placeholders: Mapping[str, object], allow: Sequence[str] | None) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, placeholders, allow)
    if isinstance(value, Mapping):
        return {key: _built(item, placeholders, allow) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built(item, placeholders, allow) for item in value]
    if isinstance(value, str) and value.startswith("$") and value[1:] in placeholders:
        return placeholders[value[1:]]
    return value
