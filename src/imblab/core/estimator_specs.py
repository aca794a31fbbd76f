"""Estimators from ``{_target_: dotted.path, parameter: value}``: the class, its parameters, its versions, the object.

A study may come from another person: only classes that derive from scikit-learn's ``BaseEstimator`` and are admitted
(:mod:`imblab.core.admission`) are built, and the module of any other class is not even imported.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from imblab.core import admission
from imblab.errors import ConfigError, did_you_mean, foreign_reason, unknown
from imblab.study import Learner, Make

#: Classes that scikit-learn provides only after the import of a module, which does nothing else.
EXPERIMENTAL = {
    "sklearn.impute.IterativeImputer": "sklearn.experimental.enable_iterative_imputer",
    "sklearn.model_selection.HalvingGridSearchCV": "sklearn.experimental.enable_halving_search_cv",
    "sklearn.model_selection.HalvingRandomSearchCV": "sklearn.experimental.enable_halving_search_cv",
}


class _EstimatorSpec(Mapping[str, Any]):
    """An immutable ``{_target_: dotted.path, parameter: value}`` whose text is computed once.

    It reads like the mapping that it was made from, which must not change afterwards, and is written as that mapping.
    """

    def __init__(self, make: Make) -> None:
        self._make = dict(make)

    def __getitem__(self, key: str) -> Any:
        return self._make[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"EstimatorSpec({self._make!r})"

    @cached_property
    def text(self) -> str:
        """Return the mapping as JSON with sorted keys."""
        return json.dumps(self._make, sort_keys=True, default=dict)


def as_spec(make: Make) -> _EstimatorSpec:
    """Return a mapping as a specification; one that is a specification is returned as it is."""
    return make if isinstance(make, _EstimatorSpec) else _EstimatorSpec(make)


def spec_text(make: Make) -> str:
    """Return the JSON text of an estimator specification, with sorted keys.

    Examples
    --------
    >>> spec_text({"_target_": "sklearn.svm.SVC", "C": 2})
    '{"C": 2, "_target_": "sklearn.svm.SVC"}'
    """
    return make.text if isinstance(make, _EstimatorSpec) else json.dumps(make, sort_keys=True, default=dict)


def resolve_class(path: str, allow: Sequence[str] | None = ()) -> type:
    """Return the estimator class of a dotted path.

    ``allow`` names packages, modules and classes beyond :data:`imblab.core.admission.ADMITTED`; None if the path was
    checked when the study was read. Raises ConfigError if the class is not admitted (nothing is imported then), the
    name does not exist, or it is not a class deriving from ``BaseEstimator``.

    Examples
    --------
    >>> resolve_class("sklearn.linear_model.LogisticRegression").__name__
    'LogisticRegression'
    """
    module, _, name = str(path).rpartition(".")
    # A class that was defined or imported again is another one. Read from the module's dictionary, because a module's
    # __getattr__ may import, or raise.
    loaded = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    return _resolve_cached(str(path), None if allow is None else tuple(allow), id(loaded))


@lru_cache(maxsize=256)
def _resolve_cached(path: str, allow: tuple[str, ...] | None, class_id: int) -> type:
    from sklearn.base import BaseEstimator

    module, _, name = path.rpartition(".")
    if allow is not None and (refused := admission.refusal(path, allow)):
        raise refused
    try:
        if path in EXPERIMENTAL:
            import_module(EXPERIMENTAL[path])
        cls = getattr(import_module(module), name)
    except BaseException as error:  # an import runs the module, which may raise any exception
        guess = did_you_mean(path, [name for name in admission.ADMITTED if name.startswith(f"{module}.")])
        raise ConfigError(
            f"'_target_' is {path!r}, which cannot be imported ({foreign_reason(error)}); it must be the dotted path "
            f"of a class. {guess}Correct the path, or install the package."
        ) from error
    if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator)):
        raise ConfigError(
            f"'_target_' is {path!r}, which is not a class deriving from scikit-learn's BaseEstimator; only estimators "
            "and samplers are built. Name the class itself."
        )
    if allow is not None and path not in admission.ADMITTED:
        _check_origin(cls, path, allow)
    return cls


def _check_origin(cls: type, path: str, allow: Sequence[str]) -> None:
    """Refuse a class that an allowed module merely imports from a package that is not allowed."""
    origin, public = f"{cls.__module__}.{cls.__qualname__}", admission.public_name(cls)
    roots = {entry.partition(".")[0] for entry in allow if entry not in admission.SHIPPED}
    foreign = origin.partition(".")[0] not in admission.SHIPPED
    if (foreign and origin.partition(".")[0] in roots) or public in admission.ADMITTED:
        return
    if not (admission.is_allowed(public, allow) or admission.is_allowed(origin, allow)):
        packages = ", ".join(dict.fromkeys((*admission.SHIPPED, *allow)))
        raise ConfigError(
            f"'_target_' is {path!r}, another name of a class of {cls.__module__!r}, which lies outside the allowed "
            f"packages ({packages}); a class is named where it is defined. "
            f"If you trust it and the study, add `allow=[{public}]` on your own command line.",
            grants=(public,) if admission.is_path(public) else (),
        )


def build_estimator(
    make: Make,
    placeholders: Mapping[str, object] | None = None,
    allow: Sequence[str] | None = (),
    seed: int | None = None,
) -> Any:
    """Build the estimator of a specification, nested ones included; keys that begin with an underscore are left out.

    ``placeholders`` are the values of texts such as ``$ratio``, by the name after the dollar sign; a parameter whose
    placeholder has no value keeps the default of its class. ``allow`` is that of :func:`resolve_class`, ``seed`` the
    ``random_state`` of every estimator that has one. ConfigError if a constructor has no parameter of a given name.

    Examples
    --------
    >>> build_estimator({"_target_": "imblearn.over_sampling.SMOTE", "k_neighbors": "$k"}, {"k": 3})
    SMOTE(k_neighbors=3)
    """
    cls = resolve_class(make["_target_"], allow)
    given = {
        name: value
        for name, value in make.items()
        if not name.startswith("_")
        and not (placeholders is not None and is_placeholder(value) and value[1:] not in placeholders)
    }
    names = _parameter_names(cls)
    if not names.issuperset(given) and not _accepts_any_parameter(cls):
        stray = sorted(given.keys() - names)
        raise ConfigError(unknown("parameter", stray[0], names, f"in {make['_target_']!r}"))
    values = {name: _build_value(value, placeholders or {}, allow, seed) for name, value in given.items()}
    if seed is not None and _is_random(cls, values):
        values["random_state"] = seed
    return cls(**values)


#: Whether a class has a random_state; XGBoost's constructor does not name its own.
_IS_RANDOM: dict[type, bool] = {}


def _is_random(cls: type, values: Mapping[str, Any]) -> bool:
    if cls not in _IS_RANDOM:
        estimator: Any = cls(**values)
        _IS_RANDOM[cls] = "random_state" in estimator.get_params(deep=False)
    return _IS_RANDOM[cls]


def is_placeholder(value: Any) -> bool:
    """Return whether a value is the text ``$name``, which stands for a knob or for the categorical columns."""
    return isinstance(value, str) and value.startswith("$") and value[1:].isidentifier()


def _build_value(value: Any, placeholders: Mapping[str, object], allow: Sequence[str] | None, seed: int | None) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping) and "_target_" in value:
        return build_estimator(value, placeholders, allow, seed)
    if isinstance(value, Mapping):
        return {key: _build_value(item, placeholders, allow, seed) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_build_value(item, placeholders, allow, seed) for item in value]
    return placeholders.get(value[1:], value) if is_placeholder(value) else value


def parameter_names(make: Make) -> frozenset[str]:
    """Return the parameter names of the constructor of a specification's class.

    Examples
    --------
    >>> sorted(parameter_names({"_target_": "imblearn.over_sampling.SMOTE"}))
    ['k_neighbors', 'random_state', 'sampling_strategy']
    """
    return _parameter_names(resolve_class(make["_target_"], allow=None))


@lru_cache(maxsize=256)
def _parameter_names(cls: Any) -> frozenset[str]:
    return frozenset(cls._get_param_names())


def accepts_any_parameter(make: Make) -> bool:
    """Return whether the constructor takes further parameters by name, as those of LightGBM and XGBoost do."""
    return _accepts_any_parameter(resolve_class(make["_target_"], allow=None))


@lru_cache(maxsize=256)
def _accepts_any_parameter(cls: type) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())


def has_method(make: Make, method: str) -> bool:
    """Return whether the unfitted estimator of a specification has a method.

    True if the estimator cannot be built: its fit will say why.

    Examples
    --------
    >>> has_method({"_target_": "sklearn.svm.SVC"}, "predict_proba")
    False
    """
    return _has_method(spec_text(make), method)


@lru_cache(maxsize=1024)
def _has_method(text: str, method: str) -> bool:
    try:
        return hasattr(build_estimator(json.loads(text), allow=None), method)
    except BaseException as error:  # a constructor may raise any exception
        foreign_reason(error)
        return True


def gives_probabilities(make: Make) -> bool:
    """Return whether a learner predicts probabilities; one without predicts decision values."""
    return has_method(make, "predict_proba")


def sampling_type(make: Make) -> str:
    """Return the kind that the class of a sampler declares as imbalanced-learn's do; a user's class need not.

    Examples
    --------
    >>> sampling_type({"_target_": "imblearn.combine.SMOTEENN"}), sampling_type({"_target_": "sklearn.svm.SVC"})
    ('over-sampling', '')
    """
    return str(getattr(resolve_class(make["_target_"], allow=None), "_sampling_type", ""))


def takes_sample_weight(make: Make) -> bool:
    """Return whether a learner's ``fit`` has a ``sample_weight``."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(resolve_class(make["_target_"], allow=None), "sample_weight"))


def with_traits(learner: Learner) -> Learner:
    """Complete the traits of a learner by those that its class tells.

    Examples
    --------
    >>> with_traits(Learner("svm", {"_target_": "sklearn.svm.SVC"})).traits.gives_probabilities
    False
    """
    try:
        takes_weight = takes_sample_weight(learner.make)
    except ConfigError:  # its fit will say why it cannot be built
        takes_weight = True
    traits = replace(
        learner.traits, gives_probabilities=gives_probabilities(learner.make), takes_sample_weight=takes_weight
    )
    return replace(learner, traits=traits)


def class_paths(value: Any) -> list[str]:
    """List the dotted paths of the classes in a specification, nested ones included.

    Examples
    --------
    >>> class_paths({"_target_": "a.Bagging", "estimator": {"_target_": "b.Tree"}})
    ['a.Bagging', 'b.Tree']
    """
    paths: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            paths += [str(item["_target_"])] if "_target_" in item else []
            waiting += [part for part in [*item.values()][::-1] if isinstance(part, (Mapping, list, tuple))]
        elif isinstance(item, (list, tuple)):
            waiting += item[::-1]
    return paths


def library_versions(make: Make) -> str:
    """Return the installed versions behind a fit: of the class's package, imblab, numpy, scipy and scikit-learn."""
    return _library_versions(make["_target_"].partition(".")[0])


@lru_cache(maxsize=64)
def _library_versions(package: str) -> str:
    names = dict.fromkeys(["imblab", "numpy", "scipy", "sklearn", package])
    return " ".join(f"{name} {_package_version(name)}" for name in names)


def _package_version(package: str) -> str:
    """Return the version, or "?" if the package is missing or has none: the fit will say so."""
    is_installed = package in sys.modules or find_spec(package)
    return str(getattr(import_module(package), "__version__", "?")) if is_installed else "?"
