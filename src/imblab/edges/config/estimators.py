"""Estimators and weights of a configuration: checked, and built once, so that no fit fails for a spelling.

A weight stands between a configuration, ``{power: a}``, and the text that is recorded, ``power a``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import prod
from typing import Any

import numpy as np

from imblab.core import estimator_specs, search
from imblab.edges.config import parameters
from imblab.edges.config.validation import Allow, ErrorCollector, is_finite_number, quote, to_plain_data, values_of
from imblab.errors import ConfigError, foreign_reason, unknown
from imblab.study import Axis, Choice
from imblab.text import to_hydra_syntax
from imblab.weights import BALANCED, power_weight, weight_power

#: Keys of a sampler that hold its forms for tables with some and with only categorical columns.
FORM_KEYS = ("_mixed_", "_categorical_")

#: Estimators inside one another, and levels of lists and mappings.
MAX_NESTED, MAX_LEVELS = 10, 50


def read_spec(raw: Any, where: str, allow: Allow) -> dict[str, Any]:
    """Read ``{_target_: ..., parameter: value}``; refuses what is not admitted or reaches too far, nested or not."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("_target_"), str):
        raise ConfigError(
            f"{where!r} is {quote(raw)}; it names a class as {{_target_: dotted.path, parameter: value}}. Add _target_."
        )
    _check_depth(raw, where)
    errors = ErrorCollector()
    cls = errors.attempt(_resolve, raw["_target_"], where, allow)
    for key, value in raw.items():
        if str(key).startswith("_"):
            errors.attempt(_check_underscored, str(key), where)
        elif cls is not None:
            errors.attempt(parameters.check_parameter, str(key), value, cls, where)
        errors.attempt(_read_nested, value, f"{where}.{key}", allow)
    errors.check()
    return {str(k): to_plain_data(v) for k, v in raw.items()}


def _resolve(path: str, where: str, allow: Allow) -> type:
    try:
        return estimator_specs.resolve_class(path, allow)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", grants=error.grants) from error


def _check_depth(raw: Any, where: str) -> None:
    """Refuse a specification that is nested too deep, before anything walks through it."""
    parts = [(raw, 0, 0)]
    while parts:
        value, levels, estimators = parts.pop()
        inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        estimators += isinstance(value, Mapping) and "_target_" in value
        if levels > MAX_LEVELS or estimators > MAX_NESTED:
            raise ConfigError(
                f"{where!r} is nested deeper than {MAX_NESTED} estimators or {MAX_LEVELS} levels; no estimator needs "
                "that. Write it with fewer."
            )
        parts += [(part, levels + 1, estimators) for part in inside]


def _check_underscored(key: str, where: str) -> None:
    if key not in (reserved := ("_target_", *FORM_KEYS)):
        raise ConfigError(unknown("reserved key", key, reserved, f"in {where!r}"))


def check_values(estimator: Any, where: str) -> None:
    """Refuse values that scikit-learn would refuse in ``fit``, in an estimator and all inside it."""
    check_products(estimator, where)
    for path, inner, _ in walk_estimators(estimator):
        if not hasattr(inner, "_parameter_constraints"):
            continue
        try:
            inner._validate_params()
        except ValueError as error:
            place = f"{where}.{path}".rstrip(".")
            raise ConfigError(
                f"{place!r} holds a value that {type(inner).__name__!r} refuses: {_first_line(error)} Every parameter "
                f"takes what its class documents. Correct it in {where}."
            ) from error


def check_products(estimator: Any, where: str) -> None:
    """Refuse sizes of nested estimators that are too large when they are multiplied: members and degrees."""
    members: dict[str, int] = {}
    for path, inner, given in walk_estimators(estimator):
        outer = max((prefix for prefix in members if path.startswith(prefix)), key=len, default="")
        members[path] = members.get(outer, 1) * parameters.member_count(given, type(inner))
        if members[path] > parameters.MAX_MEMBERS:
            raise ConfigError(
                f"{where!r} is an ensemble of ensembles with {members[path]} members in all; it takes at most "
                f"{parameters.MAX_MEMBERS}, since more exhausts memory or time. Lower n_estimators."
            )
    degrees = [given.get("degree") for _, inner, given in walk_estimators(estimator) if _is_polynomial(inner)]
    degrees = [max(value) if isinstance(value, (list, tuple)) and value else value for value in degrees]
    degree = prod(value for value in degrees if isinstance(value, int))
    if len(degrees) > 1 and degree > parameters.MAX_DEGREE:
        raise ConfigError(
            f"{where!r} holds {len(degrees)} PolynomialFeatures with degrees that multiply to {degree}; together they "
            f"take at most {parameters.MAX_DEGREE}, since more columns exhaust memory. Keep one of them."
        )


def _is_polynomial(estimator: Any) -> bool:
    return any(cls.__name__ == "PolynomialFeatures" for cls in type(estimator).__mro__)


def walk_estimators(estimator: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield an estimator and all inside it, each with its path and, where its class tells them, its own parameters."""
    try:
        given = estimator.get_params(deep=False)
    except Exception:  # a class of the user's may raise any exception
        given = {}
    given = given if isinstance(given, Mapping) else {}
    yield path, estimator, given
    if depth < MAX_LEVELS:
        for name, value in given.items():
            for place, inner in _inner_estimators(str(name), value):
                yield from walk_estimators(inner, f"{path}{place}.", depth + 1)


def _inner_estimators(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield name, value
    elif isinstance(value, (Mapping, list, tuple)):
        for label, part in _labelled_parts(value):
            yield from _inner_estimators(f"{name}{label}", part)


def check_spelling(learner: Any, names: Sequence[str], text: Mapping[str, Any], where: str) -> None:
    """Refuse names close to a parameter, if the constructor accepts any name; aliases are spelt otherwise."""
    if not estimator_specs.accepts_any_parameter(text):
        return
    valid = set(type(learner)().get_params())
    for name in names:
        near = get_close_matches(name, valid, n=1, cutoff=0.85)
        if name not in valid and near:
            raise ConfigError(
                f"'{where}.{name}' is not a parameter of {type(learner).__name__}; it would be ignored. Did you mean "
                f"{near[0]!r}? Correct the name."
            )


def is_whole(text: Mapping[str, Any], parameter: str) -> bool:
    """Return whether the constructor's default says that a parameter takes whole numbers only."""
    cls = estimator_specs.resolve_class(text["_target_"], allow=None)
    default = getattr(inspect.signature(cls).parameters.get(parameter), "default", None)
    return isinstance(default, int) and not isinstance(default, bool)


def check_sampler(text: Mapping[str, Any], where: str, allow: Allow, knobs: Mapping[str, object] | None = None) -> None:
    """Refuse a class that does not resample, and values that it refuses."""
    if not hasattr(estimator_specs.resolve_class(text["_target_"], allow), "fit_resample"):
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which has no fit_resample; a sampler resamples as those of "
            "imbalanced-learn do. Name a sampler, or put the class under learner."
        )
    check_values(build_checked(text, where, allow, {"ratio": 0.5, "k": 5, "categorical": [0], **(knobs or {})}), where)


def build_checked(
    text: Mapping[str, Any], where: str, allow: Allow, placeholders: Mapping[str, object] | None = None
) -> Any:
    """Build an estimator; any exception of its constructor becomes a ConfigError."""
    try:
        return estimator_specs.build_estimator(text, placeholders, allow)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", grants=error.grants) from error
    except BaseException as error:  # a constructor may raise any exception
        raise ConfigError(
            f"{where!r} names {text['_target_']!r}, which cannot be built ({_first_line(error)}); its constructor must "
            "take what is given. Add or correct its parameters."
        ) from error


def _read_nested(value: Any, where: str, allow: Allow) -> None:
    if isinstance(value, Mapping) and "_target_" in value:
        read_spec(value, where, allow)
    elif isinstance(value, (Mapping, list, tuple)):
        errors = ErrorCollector()
        for label, part in _labelled_parts(value):
            errors.attempt(_read_nested, part, f"{where}{label}", allow)
        errors.check()


def _labelled_parts(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a value with their places: ``[name]`` for items that follow their name in a list, as steps."""
    if isinstance(value, Mapping):
        yield from ((f".{key}", part) for key, part in value.items())
    elif value and isinstance(value[0], str):
        yield from ((f"[{value[0]}]", part) for part in value[1:])
    else:
        yield from ((("" if isinstance(part, (list, tuple)) else f"[{n}]"), part) for n, part in enumerate(value))


def _first_line(error: BaseException) -> str:
    line = foreign_reason(error)
    return re.sub(r"^\S+ missing \d+ required (?:positional|keyword-only) arguments?: (.*)", r"it needs \1", line)


def read_weight(given: Any) -> Any:
    """Return the text of a weight ``{power: a}``; anything else as it is, to be checked."""
    power: Any = given.get("power") if isinstance(given, Mapping) and len(given) == 1 else None
    return power_weight(power) if is_finite_number(power) and power >= 0 else given


def write_weight(weight: Any) -> Any:
    """Return the mapping of a weight that is a power; any other weight as it is."""
    power = None if weight == BALANCED else weight_power(weight)
    return weight if power is None else {"power": int(power) if power.is_integer() else power}


def write_axis(space: Mapping[str, Axis]) -> dict[str, str]:
    """Return the space text of the weight by its name, where it lists a power; empty elsewhere."""
    axis = space.get("weight")
    if not isinstance(axis, Choice) or axis.values == (written := tuple(map(write_weight, axis.values))):
        return {}
    return {"weight": f"choice({','.join(map(to_hydra_syntax, written))})"}


def check_distinct_powers(axis: Axis, where: str) -> None:
    """Refuse powers that are one weight, such as ``{power: 1}`` and ``balanced``."""
    powers = {i: power for i, w in enumerate(values_of(axis)) if (power := weight_power(w)) is not None}
    pair = search.find_repeated([*powers.values()])
    if pair is None:
        return
    i = next(i for i, power in powers.items() if power == pair[0])
    j = next(j for j, power in powers.items() if power == pair[1] and j != i)
    first, second = (to_hydra_syntax(write_weight(values_of(axis)[n])) for n in (i, j))
    raise ConfigError(
        f"{where!r} lists {first} and {second}, which are one weight; 'balanced' is the power 1, and powers within "
        "1e-12 of each other are listed once. Leave one of them out."
    )


def is_same(value: Any, other: Any) -> bool:
    """Whether two values of a parameter are equal; estimators only if they are one object."""
    if value is other:
        return True
    if type(value) is not type(other) or hasattr(value, "get_params"):
        return False
    try:
        return bool(value == other or (value != value and other != other))
    except ValueError:  # arrays
        return bool(np.array_equal(value, other))


def one_line(value: Any) -> str:
    """Return the text of an object on one line."""
    try:
        text = repr(value)
    except Exception:  # of a class of the user's
        text = type(value).__name__
    return "".join(c for c in re.sub(r"\s+", " ", text) if c.isprintable())
