"""Records of learners, strategies and measures from what Python users hold: objects, names and records."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from imblab.core import admission, estimator_specs
from imblab.edges.config import read_group
from imblab.edges.config.estimators import check_values
from imblab.edges.config.members import FORM_KEYS, check_splits_nothing
from imblab.edges.config.studies import READERS
from imblab.edges.config.validation import ErrorCollector
from imblab.errors import ConfigError, unknown
from imblab.stats.chance import MEASURE_ALIASES
from imblab.study import KNOBS, Learner, Measure, Strategy

#: Estimators inside one another, and levels of lists and mappings in their parameters.
MAX_DEPTH = 20
#: Parameters that may be mappings by label.
LABEL_PARAMETERS = ("class_weight", "sampling_strategy")


def to_records(
    learner: Any, strategies: Any, measure: Any
) -> tuple[Learner, tuple[Strategy, ...], tuple[Measure, ...]]:
    """Convert a learner, strategies and a measure to records; one ConfigError names everything that is wrong.

    Parameters
    ----------
    learner : classifier, str or Learner
        An object, whose parameters become the record; or the name of a shipped learner.
    strategies : sequence of str, Strategy or sampler
        Names of shipped strategies, records, and samplers of imbalanced-learn as objects: see :func:`sampler_strategy`.
    measure : str or Measure
        A name of imblab or of scikit-learn.

    Returns
    -------
    (Learner, tuple of Strategy, tuple of Measure)
        The measure first, then the one that thresholds are tuned for where the first ranks rows.
    """
    errors = ErrorCollector()
    learner_record = errors.attempt(_to_learner, learner)
    measure_record = errors.attempt(_to_measure, measure)
    records = [errors.attempt(_to_strategy, each) for each in errors.attempt(_strategy_list, strategies) or ()]
    errors.attempt(_check_names, [each.name for each in records if each is not None])
    errors.check()
    mcc = _shipped("measures", "mcc")
    named = (*records,)
    return learner_record, named, (measure_record, *(() if measure_record.name == mcc.name else (mcc,)))


def _strategy_list(strategies: Any) -> list[Any]:
    items = list(strategies) if isinstance(strategies, Sequence) and not isinstance(strategies, (str, bytes)) else []
    if not items:
        raise ConfigError(
            f"'strategies' is {_value_text(strategies)}; it is a list with at least one strategy: a name, an "
            "imblab.Strategy or a sampler. Write for example strategies=['none', 'threshold']."
        )
    return items


def _check_names(names: Sequence[str]) -> None:
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(
            f"'strategies' holds {names.count(repeated[0])} strategies called {repeated[0]!r}; a strategy is chosen by "
            "its name. Give each another one: imblab.Strategy(name, ...)."
        )


@cache
def _shipped(group: str, name: str) -> Any:
    """Return the record of a shipped file by the name of its member."""
    members = {member.name: member for member in read_group(group)}
    if name not in members:
        noun = {"learner": "learner", "strategy": "strategy", "measures": "measure"}[group]
        raise ConfigError(unknown(noun, name, members))
    return READERS[group](name, members[name].content, ())


def _to_measure(measure: Any) -> Measure:
    if isinstance(measure, str):
        measure = _shipped("measures", MEASURE_ALIASES.get(measure, measure))
    if not isinstance(measure, Measure):
        raise ConfigError(
            f"'measure' is {_value_text(measure)}; it is the name of a measure, or an imblab.Measure. Write for "
            "example measure='mcc'."
        )
    return measure


def _to_learner(learner: Any) -> Learner:
    if isinstance(learner, Learner):
        return estimator_specs.with_traits(learner)
    if isinstance(learner, str):
        record: Learner = _shipped("learner", learner)
        return record
    if not hasattr(learner, "get_params") or isinstance(learner, type):
        raise ConfigError(
            f"'estimator' is {_value_text(learner)}; it is a classifier of scikit-learn's interface, or the name of a "
            "shipped learner. Pass an object such as LogisticRegression()."
        )
    make, name = to_spec(learner, "estimator"), _snake_case(type(learner).__name__)
    paths = estimator_specs.class_paths(make)
    check_splits_nothing(learner, "estimator")
    check_values(learner, "estimator")
    if not all(map(admission.is_path, paths)):  # of a notebook cell, which no file can name
        return estimator_specs.with_traits(Learner(name, make))
    record = READERS["learner"](name, {"make": make}, paths)
    return record


def _to_strategy(strategy: Any) -> Strategy:
    if isinstance(strategy, Strategy):
        return strategy
    if isinstance(strategy, str):
        record: Strategy = _shipped("strategy", strategy)
        return record
    if hasattr(strategy, "fit_resample") and not isinstance(strategy, type):
        return sampler_strategy(strategy)
    raise ConfigError(
        f"'strategies' holds {_value_text(strategy)}; a strategy is a name, an imblab.Strategy, or a sampler with "
        "fit_resample. Pass one of them, such as SMOTE()."
    )


def sampler_strategy(sampler: Any) -> Strategy:
    """Return the strategy of a sampler as it is, with a tuned threshold.

    Its float ``sampling_strategy`` becomes the ratio and its number of neighbours k, so that both are checked against
    the rows before anything is fitted. A class that a shipped strategy uses has that strategy's forms for tables with
    categorical columns.

    Examples
    --------
    >>> from imblearn.over_sampling import SMOTE
    >>> strategy = sampler_strategy(SMOTE(sampling_strategy=0.5, k_neighbors=3))
    >>> strategy.name, strategy.ratio, strategy.k, strategy.threshold
    ('smote', 0.5, 3, 'tuned')
    """
    make, params = to_spec(sampler, "strategies"), sampler.get_params(deep=False)
    values: dict[str, Any] = {}
    for knob in ("ratio", "k"):
        parameter = KNOBS[knob].parameter_among(params)
        value = params.get(parameter) if parameter else None
        if isinstance(value, (int, float)) and KNOBS[knob].accepts(value):
            values[knob] = value
            make.pop(str(parameter), None)
    for shipped in (_shipped("strategy", member.name) for member in read_group("strategy")):
        if shipped.sampler is not None and shipped.sampler["_target_"] == make["_target_"]:
            make = {**make, **{key: shipped.sampler[key] for key in FORM_KEYS if key in shipped.sampler}}
            break
    name = _snake_case(type(sampler).__name__)
    content = {"sampler": make, "threshold": "tuned", **values}
    paths = estimator_specs.class_paths(make)
    if not all(map(admission.is_path, paths)):
        return Strategy(name, make, threshold="tuned", **values)
    strategy: Strategy = READERS["strategy"](name, content, paths)
    return strategy


def to_spec(estimator: Any, where: str, depth: int = 0) -> dict[str, Any]:
    """Convert an estimator to ``{_target_: dotted.path, parameter: value}`` with the parameters that are not defaults.

    ``random_state`` is left out: everything random gets the one seed of a study. What was fitted is left out too.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> to_spec(LogisticRegression(C=2.0, random_state=7), "estimator")
    {'_target_': 'sklearn.linear_model.LogisticRegression', 'C': 2.0}
    """
    cls = type(estimator)
    path = admission.public_name(cls)
    if path not in admission.ADMITTED:
        path = f"{cls.__module__}.{cls.__qualname__}"
    if "<locals>" in path:
        raise ConfigError(
            f"{where!r} holds a {cls.__qualname__!r}, which is defined inside a function; a class is known by the "
            "dotted path from which it is imported. Define it in a module."
        )
    defaults = _default_params(cls)
    spec: dict[str, Any] = {"_target_": path}
    for name, value in estimator.get_params(deep=False).items():
        if name != "random_state" and not (name in defaults and _is_same(value, defaults[name])):
            spec[name] = _to_plain(value, f"{where}.{name}", depth + 1)
    return spec


def _default_params(cls: type) -> Mapping[str, Any]:
    try:
        instance: Any = cls()
        return dict(instance.get_params(deep=False))
    except Exception:  # a constructor with required parameters
        signature = inspect.signature(cls).parameters.items()
        return {name: p.default for name, p in signature if p.default is not inspect.Parameter.empty}


def _is_same(value: Any, default: Any) -> bool:
    if type(value) is not type(default):
        return False
    if isinstance(value, float) and math.isnan(value):
        return math.isnan(default)
    return bool(value is default or (isinstance(value, (bool, int, float, str, tuple)) and value == default))


def _to_plain(value: Any, where: str, depth: int) -> Any:
    """Convert the value of a parameter to what can be written as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where!r} is nested deeper than {MAX_DEPTH} levels; no estimator needs that. Flatten it.")
    if hasattr(value, "get_params") and not isinstance(value, type):
        return to_spec(value, where, depth + 1)
    if isinstance(value, Mapping) and where.rpartition(".")[2] in LABEL_PARAMETERS:
        raise ConfigError(
            f"{where!r} is {_value_text(value)}; classes are numbered inside, 0 for the most frequent, so that what is "
            "given by label would be that of another class. Leave it out, and set weight or ratio of an "
            "imblab.Strategy."
        )
    if isinstance(value, Mapping) and all(isinstance(key, (str, int)) for key in value):
        return {key: _to_plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise ConfigError(
        f"{where!r} is {_value_text(value)}; parameters are numbers, texts, truth values, lists, mappings and "
        "estimators, because a record says what is fitted. Pass one of them, or a class of your own with that "
        "value as its default."
    )


def _value_text(value: Any) -> str:
    return f"{str(value)[:60]!r} of type {type(value).__name__}"


def _snake_case(name: str) -> str:
    """Write the name of a class with underscores.

    Examples
    --------
    >>> _snake_case("LogisticRegression"), _snake_case("SMOTEENN"), _snake_case("LGBMClassifier")
    ('logistic_regression', 'smoteenn', 'lgbm_classifier')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
