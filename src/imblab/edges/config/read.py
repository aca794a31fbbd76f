"""Our own small reader: plain mappings into records, every key known by name, every refusal in four parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from imblab.core import measures
from imblab.edges.config import checks, claims, grants, parameters, sweeps
from imblab.edges.config.checks import check_flag, is_finite_number, quote
from imblab.edges.config.checks import check_keys as _known
from imblab.edges.config.checks import check_name as _name
from imblab.edges.config.checks import check_whole_number as _whole
from imblab.edges.config.checks import read_section as _section
from imblab.edges.config.checks import to_plain_data as _plain
from imblab.edges.config.learners import learner_mapping, read_learner
from imblab.edges.config.strategies import read_strategy, strategy_mapping
from imblab.edges.files import safe_yaml
from imblab.errors import ConfigError, unknown
from imblab.study import SEARCH_METHODS, Choice, Claims, Interval, Measure, Protocol, Study, Tuning
from imblab.text import join_words

STUDY_KEYS = ("name", "seed", "primary", "dataset", "learner", "strategy", "protocol", "search", "measures", "claims")
NEEDS = ("label", "probability", "score", "amount")
#: The largest design: a study is laid out in memory before it runs.
MAX_FOLDS, MAX_REPEATS, MAX_TRIALS, MAX_CANDIDATES = 1_000, 1_000, 100_000, 1_000_000
#: The largest random state that scikit-learn takes.
LAST_SEED = 2**32 - 1


def parse_study(mapping: Any, allow: Sequence[str] = (), sources: Mapping[str, bool] | None = None) -> Study:
    """Build a study from plain data.

    Parameters
    ----------
    mapping : mapping
        The content of a ``study.yaml``, or what Hydra composed.
    allow : sequence of str, default=()
        What may be named in addition to the shipped classes; see :func:`imblab.edges.config.grants.allowed`.
    sources : mapping of str to bool, optional
        What a received study is granted, ``allow_network`` and ``allow_sql``; its data sets are not checked without it.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For every value that cannot be asked, all of them at once, before anything is loaded.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"'study' is {quote(mapping)}; a study is a mapping. Its keys are {', '.join(STUDY_KEYS)}.")
    _known(mapping, STUDY_KEYS, "key", "the study")
    found = checks.ErrorCollector()

    def each(key: str, reader: Callable[..., Any], *more: Any) -> list[Any]:
        members = found.attempt(_section, mapping, key) or {}
        return [found.attempt(reader, name, raw, *more) for name, raw in members.items()]

    if sources is not None:
        found.attempt(grants.check_sources, mapping, sources)
    learners = each("learner", read_learner, allow)
    strategies = each("strategy", read_strategy, allow)
    measured = each("measures", _measure, allow)
    specs = each("dataset", _named_spec)
    title = found.attempt(_name, str(name) if type(name := mapping.get("name")) is int else name, "name")
    seed = found.attempt(_whole, mapping.get("seed", 0), "seed", 0)
    protocol = found.attempt(_protocol, mapping.get("protocol") or {})
    tuning = found.attempt(_tuning, mapping.get("search") or {})
    claimed = found.attempt(claims.read, mapping.get("claims") or {})
    found.check()
    study = Study(
        name=title,
        seed=seed,
        datasets=dict(specs),
        learners=tuple(learners),
        strategies=tuple(strategies),
        measures=tuple(measured),
        protocol=protocol,
        primary=str(mapping.get("primary", "mcc")),
        tuning=tuning,
        claims=claimed,
    )
    _agree(study)
    return study


def _named_spec(name: str, raw: Any) -> tuple[str, dict[str, Any]]:
    return _name(name, "dataset"), _spec(name, raw)


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
    protocol = study.protocol
    cuts = protocol.thresholds
    return {
        "name": study.name,
        "seed": study.seed,
        "primary": study.primary,
        "dataset": {name: dict(spec) for name, spec in study.datasets.items()},
        "learner": {learner.name: learner_mapping(learner) for learner in study.learners},
        "strategy": {strategy.name: strategy_mapping(strategy) for strategy in study.strategies},
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
            "prune": study.tuning.prune,
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
        "claims": claims.to_mapping(study.claims),
    }


def _given(key: str, value: Any) -> dict[str, Any]:
    """The entry of a key that may be left out."""
    return {key: _plain(value)} if value else {}


def _spec(name: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"'dataset.{name}' is {quote(raw)}; a data set is described by a mapping such as {{kind: table, path: ..., "
            f"target: ...}}. Describe it, or leave {name!r} out of dataset=[...]."
        )
    return safe_yaml.current_spelling({str(k): _plain(v) for k, v in raw.items()})


def _measure(name: str, raw: Any, allow: Sequence[str]) -> Measure:
    where = f"measures.{_name(name, 'measure')}"
    _known(raw, ("function", "needs", "greater_is_better", "range", "reference", "parameters"), "key", where)
    if raw.get("needs") not in NEEDS:
        raise ConfigError(unknown("value", str(raw.get("needs")), NEEDS, f"for '{where}.needs'"))
    found = Measure(
        name,
        str(raw.get("function")),
        raw["needs"],
        check_flag(raw.get("greater_is_better", True), f"{where}.greater_is_better"),
        _range(raw.get("range"), f"{where}.range"),
        str(raw.get("reference") or ""),
        {str(k): _plain(v) for k, v in _section(raw, "parameters", where).items()},
    )
    for parameter, value in found.parameters.items():
        parameters.check_parameter(parameter, value, object, f"{where}.parameters")
    measures.function_of(found, allow)
    return found


def _range(raw: Any, where: str) -> tuple[float | None, float | None]:
    ends = [None, None] if raw is None else raw
    if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(v is None or is_finite_number(v) for v in ends):
        raise ConfigError(
            f"{where!r} is {quote(raw)}; it is a pair of the lowest and the highest value, null where there is no "
            "bound. Write for example [0, 1]."
        )
    low, high = ends
    return low, high


def _protocol(raw: Any) -> Protocol:
    _known(raw, tuple(Protocol.__dataclass_fields__), "key", "protocol")
    default = Protocol()
    inner = raw.get("inner", default.inner)
    if inner not in ("own", "shared"):
        raise ConfigError(unknown("value", str(inner), ("own", "shared"), "for 'protocol.inner'"))
    cuts = raw.get("thresholds")
    return Protocol(
        _whole(raw.get("outer_folds", default.outer_folds), "protocol.outer_folds", 2, MAX_FOLDS),
        _whole(raw.get("inner_folds", default.inner_folds), "protocol.inner_folds", 2, MAX_FOLDS),
        _whole(raw.get("repeats", default.repeats), "protocol.repeats", 1, MAX_REPEATS),
        inner,
        default.thresholds if cuts is None else sweeps.grid_of(cuts, "protocol.thresholds"),
        str(raw.get("threshold_measure") or default.threshold_measure),
        _gap(raw.get("gap")),
    )


def _gap(raw: Any) -> str | float | None:
    if raw is None or (isinstance(raw, str) and raw) or (is_finite_number(raw) and raw >= 0):
        return raw  # type: ignore[no-any-return]
    raise ConfigError(
        f"'protocol.gap' is {quote(raw)}; it is the least distance between training and test times, a duration or a "
        "number, at least 0. Write for example protocol.gap=30D, or null."
    )


def _tuning(raw: Any) -> Tuning:
    _known(raw, tuple(Tuning.__dataclass_fields__), "key", "search")
    method = raw.get("method", "grid")
    if method not in SEARCH_METHODS:
        raise ConfigError(unknown("search method", str(method), tuple(SEARCH_METHODS), "for 'search.method'"))
    search_method = SEARCH_METHODS[method]
    trials = raw.get("n_trials")
    if search_method.is_drawn and trials is None:
        raise ConfigError(
            f"'search.n_trials' is not set and the search is {method!r}; a drawn search needs a number of trials. "
            "Write for example search.n_trials=30."
        )
    if trials is not None:
        trials = _whole(trials, "search.n_trials", 1, MAX_TRIALS)
        if not search_method.is_drawn:
            drawn = join_words([m.name for m in SEARCH_METHODS.values() if m.is_drawn], "or")
            raise ConfigError(
                f"'search.n_trials' is {trials} and the search is {method!r}, which tries every candidate; only a "
                f"drawn search has a number of trials. Leave it out, or choose search={drawn}."
            )
    tune = check_flag(raw.get("tune_learner", False), "search.tune_learner")
    prune = check_flag(raw.get("prune", False), "search.prune")
    if prune and search_method.is_adaptive:
        others = join_words([m.name for m in SEARCH_METHODS.values() if not m.is_adaptive])
        raise ConfigError(
            f"'search.prune' is true and the search is {method!r}, which learns from every value; only {others} can "
            "leave some out. Set search.prune=false, or choose search=grid."
        )
    return Tuning(method, trials, tune, prune)


def _agree(study: Study) -> None:
    """What can be judged only of the whole."""
    for key, what in (("learner", study.learners), ("strategy", study.strategies), ("measures", study.measures)):
        if not what:
            raise ConfigError(
                f"study {study.name!r} has no {key.removesuffix('s')}; a study crosses at least one of each. Choose "
                f"some with {key}=[...]."
            )
    if study.seed + study.protocol.repeats - 1 > LAST_SEED:
        raise ConfigError(
            f"'seed' is {study.seed}; repeat r is seeded with seed + r, which may be at most {LAST_SEED}. Write for "
            "example seed=0."
        )
    names = [m.name for m in study.measures]
    if study.primary not in names:
        raise ConfigError(
            f"'primary' is {study.primary!r}, which is not among the measures of the study; what is tuned and judged "
            f"is measured. Add it to measures=[...], or choose one of: {', '.join(names)}."
        )
    if next(m.needs for m in study.measures if m.name == study.primary) == "amount":
        raise ConfigError(
            f"'primary' is {study.primary!r}, which reads the amount of every row; what is tuned and judged is made of "
            "counts or ranks. Choose another primary, and strategy.<name>.threshold={cost: {fn: amount, fp: 1}} to cut "
            "where amounts cost least."
        )
    cut = study.protocol.threshold_measure
    counted = [m.name for m in study.measures if measures.is_counted(m)]
    if study.primary not in counted and cut not in counted:
        way_out = f"Choose one of: {', '.join(counted)}" if counted else "Add mcc to measures=[...]"
        raise ConfigError(
            f"'protocol.threshold_measure' is {cut!r}, which is no measure of counts among those of the study; beside "
            f"the ranking measure {study.primary!r} it is what a tuned threshold maximises. {way_out}."
        )
    for name in study.claims.rope:
        if name not in names and name not in Claims().rope:
            raise ConfigError(
                f"'claims.rope' names {name!r}, which is not among the measures of the study; a region belongs to a "
                f"measure. Add it to measures=[...], or choose among: {', '.join(names)}."
            )
    for pair in study.claims.contrasts or ():
        for name in pair:
            if name not in [s.name for s in study.strategies]:
                raise ConfigError(
                    f"'claims.contrasts' names {name!r}, which is no strategy of the study; a contrast compares two of "
                    f"them. Add it to strategy=[...], or choose among: {', '.join(s.name for s in study.strategies)}."
                )
    if not study.tuning.search_method.is_drawn:
        _no_intervals(study)
        _check_candidates(study)


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


def _check_candidates(study: Study) -> None:
    """Refuse grids that are too large to be listed, which happens before the first fit."""
    for item, treatment in product(study.learners, study.strategies):
        axes = [axis for name, axis in treatment.space.items() if name != "threshold"]
        axes += item.space.values() if study.tuning.tune_learner else ()
        candidates = prod(len(axis.values) for axis in axes if isinstance(axis, Choice))
        if candidates > MAX_CANDIDATES:
            raise ConfigError(
                f"strategy {treatment.name!r} with learner {item.name!r} has a grid of {candidates} candidates; a "
                f"grid lists at most {MAX_CANDIDATES}. Shorten its spaces, or write search=tpe search.n_trials=100."
            )
