"""Our own small reader: plain mappings into records, every key known by name, every refusal in four parts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imblab.core import measures, targets, thresholds
from imblab.edges.config import sweeps
from imblab.errors import ConfigError, unknown
from imblab.records import (
    Axis,
    Choice,
    Claims,
    Interval,
    Learner,
    Measure,
    Protocol,
    Strategy,
    Study,
    Tuning,
)

KNOBS = ("ratio", "k", "weight", "threshold")
KEYS = ("name", "seed", "primary", "dataset", "learner", "strategy", "protocol", "search", "measures", "claims")
METHODS = ("grid", "random", "qmc", "tpe")
NEEDS = ("label", "probability", "score")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def read(mapping: Any, allow: Sequence[str] = targets.DEFAULT_ALLOW) -> Study:
    """Build a study from plain data.

    Parameters
    ----------
    mapping : mapping
        The content of a ``study.yaml``, or what Hydra composed.
    allow : sequence of str
        The packages whose estimators may be named.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For every value that cannot be asked, before anything is loaded.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"the study is {type(mapping).__name__}; it must be a mapping with the keys {', '.join(KEYS)}."
        )
    _known(mapping, KEYS, "key", "the study")
    learners = [_learner(name, raw, allow) for name, raw in _section(mapping, "learner").items()]
    strategies = [_strategy(name, raw, allow) for name, raw in _section(mapping, "strategy").items()]
    known = [_measure(name, raw) for name, raw in _section(mapping, "measures").items()]
    study = Study(
        name=_name(mapping.get("name"), "name"),
        seed=_whole(mapping.get("seed", 0), "seed", 0),
        datasets={_name(n, "dataset"): dict(raw or {}) for n, raw in _section(mapping, "dataset").items()},
        learners=tuple(learners),
        strategies=tuple(strategies),
        measures=tuple(known),
        protocol=_protocol(mapping.get("protocol") or {}),
        primary=str(mapping.get("primary", "mcc")),
        tuning=_tuning(mapping.get("search") or {}),
        claims=_claims(mapping.get("claims") or {}),
    )
    _agree(study)
    return study


def to_mapping(study: Study) -> dict[str, Any]:
    """The plain data behind a study: ``read(to_mapping(study)) == study``.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict
        Fit for JSON and YAML.
    """
    protocol, claims = study.protocol, study.claims
    cuts = protocol.thresholds
    return {
        "name": study.name,
        "seed": study.seed,
        "primary": study.primary,
        "dataset": {name: dict(spec) for name, spec in study.datasets.items()},
        "learner": {n.name: {"make": _plain(n.make), "space": sweeps.text_of(n.space)} for n in study.learners},
        "strategy": {
            s.name: {
                "sampler": _plain(s.sampler),
                **{knob: _plain(getattr(s, knob)) for knob in KNOBS},
                "space": sweeps.text_of(s.space),
            }
            for s in study.strategies
        },
        "protocol": {
            "outer_folds": protocol.outer_folds,
            "inner_folds": protocol.inner_folds,
            "repeats": protocol.repeats,
            "inner": protocol.inner,
            "thresholds": "range(0.01,1,0.01)" if cuts == Protocol().thresholds else _plain(cuts),
            "threshold_measure": protocol.threshold_measure,
            "gap": protocol.gap,
        },
        "search": {
            "method": study.tuning.method,
            "n_trials": study.tuning.n_trials,
            "tune_learner": study.tuning.tune_learner,
        },
        "measures": {
            m.name: {
                "function": m.function,
                "needs": m.needs,
                "greater_is_better": m.greater_is_better,
                "range": list(m.range),
                "reference": m.reference,
                "parameters": _plain(m.parameters),
            }
            for m in study.measures
        },
        "claims": {"contrasts": _plain(claims.contrasts), "alpha": claims.alpha, "rope": _plain(claims.rope)},
    }


def _learner(name: str, raw: Any, allow: Sequence[str]) -> Learner:
    where = f"learner.{_name(name, 'learner')}"
    _known(raw, ("make", "space"), "key", where)
    make = _make(raw.get("make"), f"{where}.make", allow)
    targets.build(make, allow=allow)
    space = {}
    for parameter, text in (raw.get("space") or {}).items():
        if text is None:
            continue
        if parameter not in targets.parameters(make) and not targets.takes_anything(make):
            raise ConfigError(f"{where}.space: {unknown('parameter', parameter, targets.parameters(make))}")
        space[parameter] = sweeps.axis(text, f"{where}.space.{parameter}", _is_whole(make, parameter))
    return Learner(name, make, space)


def _is_whole(make: Mapping[str, Any], parameter: str) -> bool:
    """Whether the constructor's default says that a parameter is a whole number."""
    found = inspect.signature(targets.resolve(make["_target_"], allow=None)).parameters.get(parameter)
    return found is not None and isinstance(found.default, int) and not isinstance(found.default, bool)


def _strategy(name: str, raw: Any, allow: Sequence[str]) -> Strategy:
    where = f"strategy.{_name(name, 'strategy')}"
    _known(raw, ("sampler", *KNOBS, "space"), "key", where)
    sampler = raw.get("sampler")
    if sampler is not None:
        sampler = _make(sampler, f"{where}.sampler", allow)
        for form in (sampler, sampler.get("_mixed_"), sampler.get("_categorical_")):
            if form is not None:
                _check_sampler(_make(form, f"{where}.sampler", allow), where, allow)
    given = raw.get("space") or {}
    _known(given, KNOBS, "knob", f"{where}.space")
    space = {n: _knob_axis(n, given[n], f"{where}.space.{n}") for n in KNOBS if given.get(n) is not None}
    fixed = {n: raw.get(n) for n in ("ratio", "k", "weight") if n not in space}
    for knob, value in fixed.items():
        if value is not None:
            _check_knob(knob, value, f"{where}.{knob}")
    _check_places(sampler, {*space, *(n for n, v in fixed.items() if v is not None)}, where)
    threshold = raw.get("threshold", 0.5)
    if "threshold" in space:
        threshold = "tuned"
    thresholds.check(threshold, f"{where}.threshold")
    return Strategy(name, sampler, fixed.get("weight"), threshold, space, fixed.get("ratio"), fixed.get("k"))


def _check_sampler(make: Mapping[str, Any], where: str, allow: Sequence[str]) -> None:
    cls = targets.resolve(make["_target_"], allow)
    if not hasattr(cls, "fit_resample"):
        raise ConfigError(
            f"'{where}.sampler' names {make['_target_']!r}, which has no fit_resample; a sampler is one of "
            "imbalanced-learn's kind. Name a sampler, or put the class under learner."
        )
    targets.build(make, {"ratio": 0.5, "k": 5, "categorical": [0]}, allow)


def _check_places(sampler: Mapping[str, Any] | None, knobs: set[str], where: str) -> None:
    """A knob needs a place to go: conditional spaces are real."""
    for knob in ("ratio", "k"):
        if knob not in knobs:
            continue
        if sampler is None:
            raise ConfigError(
                f"'{where}.{knob}' is set, but strategy {where.split('.')[1]!r} has no sampler; {knob} is a knob of a "
                f"sampler. Set {where}.sampler, or leave {knob} out."
            )
        places = {"ratio": {"sampling_strategy"}, "k": {"k_neighbors", "n_neighbors"}}[knob]
        if f"${knob}" not in _texts(sampler) and not places & targets.parameters(sampler):
            raise ConfigError(
                f"'{where}.{knob}' is set, but {sampler['_target_']!r} has no {' or '.join(sorted(places))}; a knob "
                f"needs a place. Write ${knob} where it belongs in {where}.sampler, or leave it out."
            )


def _texts(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*map(_texts, value.values())) if value else set()
    return {value} if isinstance(value, str) else set()


def _knob_axis(knob: str, given: Any, where: str) -> Axis:
    found = sweeps.axis(given, where, integer=knob == "k")
    if knob == "threshold" and isinstance(found, Interval):
        raise ConfigError(
            f"{where!r} is {found.text()}; thresholds are swept on fits that exist, over listed values. Write "
            f"range(0.05,1,0.05), or threshold=tuned."
        )
    for value in found.values if isinstance(found, Choice) else (found.low, found.high):
        _check_knob(knob, value, where)
    return found


def _check_knob(knob: str, value: Any, where: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    rules = {
        "ratio": (number and 0 < value <= 1, "a ratio lies above 0 and at most at 1 (minority to majority)", "0.5"),
        "k": (number and value >= 1 and float(value).is_integer(), "k is a whole number, at least 1", "5"),
        "weight": (
            value == "balanced" or (number and 0 < value < float("inf")),
            "a weight is above 0, or 'balanced'",
            "10",
        ),
        "threshold": (number and 0 <= value <= 1, "a threshold lies from 0 to 1", "0.5"),
    }
    fits, rule, example = rules[knob]
    if not fits:
        raise ConfigError(f"{where!r} is {value!r}; {rule}. Write for example {example}.")


def _measure(name: str, raw: Any) -> Measure:
    where = f"measures.{_name(name, 'measure')}"
    _known(raw, ("function", "needs", "greater_is_better", "range", "reference", "parameters"), "key", where)
    if raw.get("needs") not in NEEDS:
        raise ConfigError(f"{where}.needs: {unknown('need', str(raw.get('needs')), NEEDS)}")
    low, high = raw.get("range") or (None, None)
    found = Measure(
        name,
        str(raw.get("function")),
        raw["needs"],
        bool(raw.get("greater_is_better", True)),
        (low, high),
        str(raw.get("reference") or ""),
        dict(raw.get("parameters") or {}),
    )
    measures.function_of(found)
    return found


def _protocol(raw: Any) -> Protocol:
    _known(raw, tuple(Protocol.__dataclass_fields__), "key", "protocol")
    default = Protocol()
    inner = raw.get("inner", default.inner)
    if inner not in ("own", "shared"):
        raise ConfigError(f"protocol.inner: {unknown('kind of inner fold', str(inner), ('own', 'shared'))}")
    cuts = raw.get("thresholds")
    return Protocol(
        _whole(raw.get("outer_folds", default.outer_folds), "protocol.outer_folds", 2),
        _whole(raw.get("inner_folds", default.inner_folds), "protocol.inner_folds", 2),
        _whole(raw.get("repeats", default.repeats), "protocol.repeats", 1),
        inner,
        default.thresholds if cuts is None else sweeps.grid_of(cuts, "protocol.thresholds"),
        str(raw.get("threshold_measure") or default.threshold_measure),
        raw.get("gap"),
    )


def _tuning(raw: Any) -> Tuning:
    _known(raw, tuple(Tuning.__dataclass_fields__), "key", "search")
    method = raw.get("method", "grid")
    if method not in METHODS:
        raise ConfigError(f"search.method: {unknown('search', str(method), METHODS)}")
    trials = raw.get("n_trials")
    if method != "grid" and trials is None:
        raise ConfigError(
            f"'search.n_trials' is not set and the search is {method!r}; a drawn search needs a number of trials. "
            "Write for example search.n_trials=30."
        )
    if trials is not None:
        trials = _whole(trials, "search.n_trials", 1)
    tune = raw.get("tune_learner", False)
    if not isinstance(tune, bool):
        raise ConfigError(f"'search.tune_learner' is {tune!r}; it is true or false. Write search.tune_learner=true.")
    return Tuning(method, trials if method != "grid" else None, tune)


def _claims(raw: Any) -> Claims:
    _known(raw, tuple(Claims.__dataclass_fields__), "key", "claims")
    alpha = raw.get("alpha", 0.05)
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 0.5:
        raise ConfigError(
            f"'claims.alpha' is {alpha!r}; an error rate lies above 0 and below .5. Write claims.alpha=0.05."
        )
    rope = dict(raw.get("rope") or {})
    for name, width in rope.items():
        if isinstance(width, bool) or not isinstance(width, (int, float)) or width < 0:
            raise ConfigError(f"'claims.rope.{name}' is {width!r}; a half-width is at least 0. Write for example 0.01.")
    pairs = raw.get("contrasts")
    for pair in pairs or ():
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(
                f"'claims.contrasts' holds {pair!r}; a contrast is a pair [a, b], read as a - b. Write for example "
                "[[smote_threshold, threshold]]."
            )
    contrasts = None if pairs is None else tuple((str(a), str(b)) for a, b in pairs)
    return Claims(contrasts, float(alpha), {str(k): float(v) for k, v in rope.items()})


def _agree(study: Study) -> None:
    """What can be judged only of the whole."""
    for what, found in (("learner", study.learners), ("strategy", study.strategies), ("measure", study.measures)):
        if not found:
            raise ConfigError(f"study {study.name!r} has no {what}; a study crosses at least one of each. Choose one.")
    names = [m.name for m in study.measures]
    if study.primary not in names:
        raise ConfigError(f"primary: {unknown('measure', study.primary, names)}")
    cut = study.protocol.threshold_measure
    counted = [m.name for m in study.measures if measures.is_counted(m)]
    if study.primary not in counted and cut not in counted:
        raise ConfigError(f"protocol.threshold_measure: {unknown('measure of counts', cut, counted)}")
    for pair in study.claims.contrasts or ():
        for name in pair:
            if name not in [s.name for s in study.strategies]:
                raise ConfigError(f"claims.contrasts: {unknown('strategy', name, [s.name for s in study.strategies])}")
    if study.tuning.method == "grid":
        _no_intervals(study)


def _no_intervals(study: Study) -> None:
    spaces = [(f"strategy.{s.name}", s.space) for s in study.strategies]
    if study.tuning.tune_learner:
        spaces += [(f"learner.{item.name}", item.space) for item in study.learners]
    for where, space in spaces:
        for name, axis in space.items():
            if isinstance(axis, Interval):
                raise ConfigError(
                    f"'{where}.space.{name}' is {axis.text()} and the search is 'grid'; a grid needs listed values. "
                    "List them with choice(...), or choose search=tpe."
                )


def _make(raw: Any, where: str, allow: Sequence[str]) -> dict[str, Any]:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("_target_"), str):
        raise ConfigError(
            f"{where!r} is {raw!r}; it names a class as {{_target_: dotted.path, parameter: value}}. Add _target_."
        )
    for key, value in raw.items():
        if key == "random_state":
            raise ConfigError(
                f"'{where}.random_state' is {value!r}; everything random gets the one seed of the study. Leave it out "
                "and set seed=..."
            )
        if isinstance(value, Mapping) and "_target_" in value:
            _make(value, f"{where}.{key}", allow)
    targets.resolve(raw["_target_"], allow)
    return {str(k): _plain(v) for k, v in raw.items()}


def _section(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = mapping.get(key) or {}
    if not isinstance(found, Mapping):
        raise ConfigError(f"{key!r} is {found!r}; it maps names to their descriptions. Write for example {key}=[name].")
    return found


def _known(raw: Any, keys: Iterable[str], kind: str, where: str) -> None:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where!r} is {raw!r}; it must be a mapping with the keys {', '.join(keys)}.")
    for key in raw:
        if key not in keys:
            raise ConfigError(f"{where}: {unknown(kind, str(key), keys)}")


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ConfigError(
            f"{where!r} is {value!r}; names become folders and keys: letters, digits, '_', '-', '+', '.', beginning "
            "with a letter or digit. Choose such a name."
        )
    return value


def _whole(value: Any, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"{where!r} is {value!r}; it is a whole number, at least {least}. Write {where}={max(least, 3)}."
        )
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
