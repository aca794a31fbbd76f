"""A study as plain data: parsed from ``study.yaml`` or from what Hydra composed, and written back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from imblab.core import measures
from imblab.edges import files
from imblab.edges.config import grants, validation
from imblab.edges.config.learners import learner_mapping, read_learner
from imblab.edges.config.models import (
    ClaimsModel,
    MeasureModel,
    Name,
    ProtocolModel,
    SearchModel,
    Section,
    refusal_of,
)
from imblab.edges.config.strategies import read_strategy, strategy_mapping
from imblab.edges.config.validation import quote, validate
from imblab.edges.config.validation import to_plain_data as _plain
from imblab.errors import ConfigError
from imblab.study import Choice, Claims, Interval, Protocol, Registered, Study

#: The largest grid that is listed before the first fit.
MAX_CANDIDATES = 1_000_000
#: The largest random state that scikit-learn takes.
LAST_SEED = 2**32 - 1


def _empty_if_none(value: Any) -> Any:
    return {} if value is None else value


class StudyModel(Section):
    """A study: everything that may change a row or a verdict."""

    name: Name = Field(description="the name under which results are kept", examples=["churn-2"])
    seed: int = Field(default=0, ge=0, description="a whole number, at least 0", examples=[0])
    primary: str = Field(default="mcc", description="the name of the measure that is tuned and judged")
    dataset: Any = Field(default={}, description="the data sets, by name")
    learner: Any = Field(default={}, description="the learners, by name")
    strategy: Any = Field(default={}, description="the strategies, by name")
    protocol: Annotated[ProtocolModel, BeforeValidator(_empty_if_none)] = ProtocolModel()
    search: Annotated[SearchModel, BeforeValidator(_empty_if_none)] = SearchModel()
    measures: Any = Field(default={}, description="the measures, by name")
    claims: Annotated[ClaimsModel, BeforeValidator(_empty_if_none)] = ClaimsModel()

    @field_validator("name", mode="before")
    @classmethod
    def _name_as_text(cls, value: Any) -> Any:
        return str(value) if type(value) is int else value

    @field_validator("dataset")
    @classmethod
    def _read_datasets(cls, value: Any) -> Any:
        return _read_members("dataset", value, lambda name, raw: (name, _dataset_spec(name, raw)))

    @field_validator("learner")
    @classmethod
    def _read_learners(cls, value: Any, info: ValidationInfo) -> Any:
        return _read_members("learner", value, lambda name, raw: read_learner(name, raw, info.context or ()))

    @field_validator("strategy")
    @classmethod
    def _read_strategies(cls, value: Any, info: ValidationInfo) -> Any:
        return _read_members("strategy", value, lambda name, raw: read_strategy(name, raw, info.context or ()))

    @field_validator("measures")
    @classmethod
    def _read_measures(cls, value: Any, info: ValidationInfo) -> Any:
        return _read_members(
            "measures",
            value,
            lambda name, raw: validate(MeasureModel, raw, f"measures.{name}").noun(name, info.context or ()),
        )


def _read_members(group: str, value: Any, build: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    """Build the members of a group, and refuse all that cannot be built at once."""
    collector = validation.ErrorCollector()

    def read(name: Any, raw: Any) -> Any:
        validation.check_member_name(name, group)
        return build(name, raw)

    try:
        members = [
            collector.attempt(read, name, raw) for name, raw in validation.read_section({group: value}, group).items()
        ]
        collector.check()
    except ConfigError as error:
        raise refusal_of(error) from None
    return tuple(members)


def parse_study(mapping: Any, allow: Sequence[str] = (), sources: Mapping[str, bool] | None = None) -> Study:
    """Build a study from plain data.

    Parameters
    ----------
    mapping : mapping
        The content of a ``study.yaml``, or what Hydra composed.
    allow : sequence of str, default=()
        What may be named in addition to the shipped classes; see :func:`imblab.edges.config.grants.parse_allow`.
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
    collector = validation.ErrorCollector()
    if sources is not None and isinstance(mapping, Mapping):
        collector.attempt(grants.check_sources, mapping, sources)
    model = collector.attempt(validate, StudyModel, mapping, "", tuple(allow))
    collector.check()
    study = Study(
        name=model.name,
        seed=model.seed,
        datasets=dict(model.dataset),
        learners=model.learner or (),
        strategies=model.strategy or (),
        measures=model.measures or (),
        protocol=model.protocol.noun(),
        primary=model.primary,
        tuning=model.search.noun(),
        claims=model.claims.noun(),
    )
    _check_agreement(study)
    return study


def _dataset_spec(name: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"'dataset.{name}' is {quote(raw)}; a data set is described by a mapping such as {{kind: table, path: ..., "
            f"target: ...}}. Describe it, or leave {name!r} out of dataset=[...]."
        )
    return files.current_spelling(_plain(raw))


def to_mapping(study: Study) -> dict[str, Any]:
    """Return a study as plain data for JSON and YAML: ``parse_study(to_mapping(study)) == study``."""
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
        "claims": _claims_mapping(study.claims),
    }


def _claims_mapping(claims: Claims) -> dict[str, Any]:
    mapping: dict[str, Any] = {
        "contrasts": _plain(claims.contrasts),
        "alpha": claims.alpha,
        "rope": _plain(claims.rope),
    }
    if claims.registered is not None:
        mapping["registered"] = {
            field.name: _plain(getattr(claims.registered, field.name)) for field in fields(Registered)
        }
    return mapping


def _check_agreement(study: Study) -> None:
    """Check what concerns several sections of a study."""
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
    measure = study.protocol.threshold_measure
    counted = [m.name for m in study.measures if measures.is_counted(m)]
    if study.primary not in counted and measure not in counted:
        way_out = f"Choose one of: {', '.join(counted)}" if counted else "Add mcc to measures=[...]"
        raise ConfigError(
            f"'protocol.threshold_measure' is {measure!r}, which is not computed from counts, or not among the "
            f"measures of the study; a tuned threshold maximises it, as {study.primary!r} ranks rows. {way_out}."
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
                    f"'claims.contrasts' names {name!r}, which is not a strategy of the study; a contrast compares two "
                    "of them. Add it to strategy=[...], or choose among: "
                    f"{', '.join(s.name for s in study.strategies)}."
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
