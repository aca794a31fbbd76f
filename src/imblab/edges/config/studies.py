"""A study as plain data: parsed from ``study.yaml`` or from what Hydra composed, and written back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import chain, product
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, create_model, field_validator

from imblab.analysis.claims import isolates_resampling
from imblab.core import measures
from imblab.edges import files
from imblab.edges.config import command_line, models, overrides
from imblab.edges.config.members import learner_mapping, read_learner, read_strategy, strategy_mapping
from imblab.edges.config.validation import (
    NAME_PATTERN,
    NAME_RULE,
    Allow,
    ErrorCollector,
    Name,
    Section,
    quote,
    refusal,
    to_plain_data,
    validate,
)
from imblab.errors import ConfigError
from imblab.groups import GROUP_HELP
from imblab.study import Choice, Claims, Interval, Protocol, Study, Tuning

#: The largest grid that is listed before the first fit.
MAX_CANDIDATES = 1_000_000
#: The largest seed of NumPy, and random state of scikit-learn.
MAX_SEED = 2**32 - 1
#: Keys of the description of a data set; their values are checked when the table is read.
DATASET_KEYS = {
    "kind": "table, sql, openml, keel, zenodo or bundled",
    "name": "its name in results",
    "parent": "the parent data set: tasks that share one share rows",
    "source": "the old spelling of parent",
    "positive": "the label of the positive class of two; the rarer by default",
    "allow_majority_positive": "true if the more frequent class is meant to be positive",
    "merge": "{other: [a, b]}: the labels a and b become one class, called other",
    "drop_classes": "labels whose rows are left out",
    "target": "the column that holds the labels",
    "drop": "columns to leave out",
    "categorical": "columns of numbers that are categories",
    "numeric": "columns of text that are numbers",
    "groups": "the column whose values must not span folds",
    "folds": "the column whose values are the outer folds",
    "n_folds": "the number of those values, as imblab records it; leave it out",
    "time": "the column that orders the rows",
    "amount": "the column of amounts for costs",
    "id": "the column that identifies a row",
    "rare": "{min_rows: m}: levels with fewer rows in a fit part become one level",
    "missing": "texts that stand for a missing value",
    "time_format": "how times are written, such as %d/%m/%Y",
    "path": "the path of the file",
    "sep": "the separator of the fields",
    "decimal": "the decimal mark",
    "thousands": "the separator of thousands",
    "encoding": "the encoding of the file",
    "sheet": "the sheet of a workbook",
    "query": "one statement that reads, with ORDER BY",
    "url_env": "the environment variable that holds the SQLAlchemy address",
    "table": "the table of a collection",
    "data_id": "the number of the data set at OpenML",
    "version": "the version of the name at OpenML",
    "fingerprint": "the first digits, eight or more, of the fingerprint that its content must have",
}
DatasetModel = create_model(
    "DatasetModel",
    __base__=Section,
    **{key: (Any, Field(default=None, description=text)) for key, text in DATASET_KEYS.items()},  # type: ignore[call-overload]
)


def _read_dataset(name: str, raw: Any, allow: Allow) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f"'dataset.{name}' is {quote(raw)}; a data set is described by a mapping such as {{kind: table, path: ..., "
            f"target: ...}}. Describe it, or leave {name!r} out of dataset=[...]."
        )
    n_folds = raw.get("n_folds")
    if n_folds is not None and (isinstance(n_folds, bool) or not isinstance(n_folds, int) or n_folds < 2):
        raise ConfigError(
            f"'dataset.{name}.n_folds' is {quote(n_folds)}; it is the number of values in the column of folds, which "
            "imblab counts and records. Leave it out."
        )
    return files.current_spelling(to_plain_data(raw))


def _read_measure(name: str, raw: Any, allow: Allow) -> Any:
    return validate(models.MeasureModel, raw, f"measures.{name}").noun(name, allow)


#: The groups whose members a study holds by name, with the readers of a member.
READERS: dict[str, Callable[[str, Any, Allow], Any]] = {
    "dataset": _read_dataset,
    "learner": read_learner,
    "strategy": read_strategy,
    "measures": _read_measure,
}
#: The words of ``imblab list`` with what the files of their groups hold; ``run`` says how a study is run.
FILES_OF_GROUPS: dict[str, Any] = {
    "learners": dict[str, models.LearnerModel],
    "strategies": dict[str, models.StrategyModel],
    "measures": dict[str, models.MeasureModel],
    "datasets": dict[str, DatasetModel],  # type: ignore[valid-type]
    "protocols": models.ProtocolModel,
    "searches": models.SearchModel,
    **overrides.MODELS_OF_RUNS,
}


def _or_empty(schema: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: {} if value is None else value, json_schema_input_type=schema)


def _members(group: str) -> Any:
    return Field(default={}, description=f"a mapping, as in {{name: ...}}: {GROUP_HELP[group]}")


class StudyModel(Section):
    """A study: everything that may change a row or a verdict."""

    name: Annotated[Name, BeforeValidator(lambda value: str(value) if type(value) is int else value)] = Field(
        description="the name under which results are kept", examples=["churn-2"]
    )
    seed: int = Field(default=0, ge=0, description="a whole number, at least 0", examples=[0])
    primary: str = Field(default="mcc", description="the name of the measure that is tuned and judged")
    dataset: Annotated[dict[Any, Any], _or_empty(FILES_OF_GROUPS["datasets"])] = _members("dataset")
    learner: Annotated[dict[Any, Any], _or_empty(FILES_OF_GROUPS["learners"])] = _members("learner")
    strategy: Annotated[dict[Any, Any], _or_empty(FILES_OF_GROUPS["strategies"])] = _members("strategy")
    protocol: Annotated[models.ProtocolModel, _or_empty(models.ProtocolModel)] = models.ProtocolModel()
    search: Annotated[models.SearchModel, _or_empty(models.SearchModel)] = models.SearchModel()
    measures: Annotated[dict[Any, Any], _or_empty(FILES_OF_GROUPS["measures"])] = _members("measures")
    claims: Annotated[models.ClaimsModel, _or_empty(models.ClaimsModel)] = models.ClaimsModel()

    @field_validator(*READERS)
    @classmethod
    def _read_members(cls, members: dict[Any, Any], info: ValidationInfo) -> Any:
        """Build the members of a group, and refuse all that cannot be built at once."""
        collector, group = ErrorCollector(), str(info.field_name)
        allow, is_recorded = info.context or ((), False)
        reader = partial(read_strategy, is_recorded=True) if group == "strategy" and is_recorded else READERS[group]

        def read(name: Any, raw: Any) -> Any:
            if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
                raise ConfigError(f"the key {quote(name)} in {group!r} is not a name; {NAME_RULE}.")
            return reader(name, raw, allow)

        built = {name: collector.attempt(read, name, raw) for name, raw in members.items()}
        try:
            collector.check()
        except ConfigError as error:
            raise refusal(error) from None
        return built


def parse_study(
    mapping: Any, allow: Allow = (), sources: Mapping[str, bool] | None = None, is_recorded: bool = False
) -> Study:
    """Build a study from the content of a ``study.yaml``, or from what Hydra composed.

    ``sources`` is what a received study is granted, ``allow_network`` and ``allow_sql``; its data sets are not checked
    without it. A study that ``is_recorded`` is only read back: shipped samplers are not imported, and their parameters
    not checked again. Raises one ConfigError for all values that cannot be asked, before anything is loaded.
    """
    collector = ErrorCollector()
    if sources is not None and isinstance(mapping, Mapping):
        collector.attempt(command_line.check_sources, mapping, sources)
    model: Any = collector.attempt(validate, StudyModel, mapping, "", (allow, is_recorded))
    collector.check()
    study = Study(
        name=model.name,
        seed=model.seed,
        datasets=model.dataset,
        learners=tuple(model.learner.values()),
        strategies=tuple(model.strategy.values()),
        measures=tuple(model.measures.values()),
        protocol=model.protocol.noun(),
        primary=model.primary,
        tuning=Tuning(**dict(model.search)),
        claims=model.claims.noun(),
    )
    check_agreement(study)
    return study


def to_mapping(study: Study) -> dict[str, Any]:
    """Return a study as plain data for JSON and YAML: ``parse_study(to_mapping(study)) == study``."""
    protocol = asdict(study.protocol)
    if study.protocol.thresholds == Protocol().thresholds:
        protocol["thresholds"] = "range(0.01,1,0.01)"
    if study.protocol.test_size is None:
        del protocol["test_size"]  # studies on record do not have it
    else:
        protocol["outer_folds"] = None
    mapping: dict[str, Any] = to_plain_data(
        {
            "name": study.name,
            "seed": study.seed,
            "primary": study.primary,
            "dataset": study.datasets,
            "learner": {learner.name: learner_mapping(learner) for learner in study.learners},
            "strategy": {strategy.name: strategy_mapping(strategy) for strategy in study.strategies},
            "protocol": protocol,
            "search": asdict(study.tuning),
            "measures": {values.pop("name"): values for values in map(asdict, study.measures)},
            "claims": _claims_mapping(study.claims),
        }
    )
    return mapping


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of the files of a group, a key of :data:`FILES_OF_GROUPS`, or else of ``study.yaml``."""
    schema = TypeAdapter(FILES_OF_GROUPS.get(kind or "", StudyModel)).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {}, **schema}


def check_agreement(study: Study) -> None:
    """Check what concerns several sections of a study."""
    for key, argument in (("learner", "learners"), ("strategy", "strategies"), ("measures", "measures")):
        if not getattr(study, argument):
            raise ConfigError(
                f"study {study.name!r} has no {key.removesuffix('s')}; a study crosses at least one of each. Choose "
                f"some with {key}=[...] ({argument} of imblab.run)."
            )
    if study.seed + study.protocol.repeats - 1 > MAX_SEED:
        raise ConfigError(
            f"'seed' is {study.seed}; repeat r is seeded with seed + r, which may be at most {MAX_SEED}. Write for "
            "example seed=0."
        )
    names = study.measure_names
    if study.primary not in names:
        raise ConfigError(
            f"'primary' is {study.primary!r}, which is not among the measures of the study; what is tuned and judged "
            f"is measured. Add it to measures=[...], or choose one of: {', '.join(names)}."
        )
    if study.primary_measure.needs == "amount":
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
            f"measures of the study; a tuned threshold is the best by it, as {study.primary!r} ranks rows. {way_out}."
        )
    for name in (name for name in study.claims.rope if name not in (*names, *Claims().rope)):
        raise ConfigError(
            f"'claims.rope' names {name!r}, which is not among the measures of the study; a region belongs to a "
            f"measure. Add it to measures=[...], or choose among: {', '.join(names)}."
        )
    _check_contrasts(study)
    if not study.tuning.search_method.is_drawn:
        _no_intervals(study)
        _check_candidates(study)


def _claims_mapping(claims: Claims) -> dict[str, Any]:
    """Return the claims; the older spelling where it was used, and a record as it was written."""
    mapping = asdict(claims)
    record = mapping.pop("registered")
    order = ("primary", "secondary", "contrasts", "alpha", "rope", "seen_before")
    left_out = {"contrasts": None, "seen_before": ()}
    mapping = {key: mapping[key] for key in order if key not in left_out or mapping[key] != left_out[key]}
    if record is None:
        return mapping
    later: dict[str, Any] = {"primary_contrasts": None, "seen_before": {}, "kinds": {}, "table": 0}
    return {**mapping, "registered": {k: v for k, v in record.items() if k not in later or v != later[k]}}


def _check_contrasts(study: Study) -> None:
    """Check that contrasts name strategies, that primary ones follow their rule, and that one spelling is used."""
    claims, names = study.claims, study.strategy_names
    spellings = {"contrasts": claims.contrasts, "primary": claims.primary, "secondary": claims.secondary}
    for key, pairs in spellings.items():
        for name in (n for n in chain.from_iterable(pairs or ()) if n not in names):
            raise ConfigError(
                f"'claims.{key}' names {name!r}, which is not a strategy of the study; a contrast compares two of "
                f"them. Add it to strategy=[...], or choose among: {', '.join(names)}."
            )
    if claims.contrasts is not None and (claims.primary is not None or claims.secondary is not None):
        raise ConfigError(
            "'claims.contrasts' and 'claims.primary' or 'claims.secondary' are both set; contrasts are declared in one "
            "spelling. Leave out claims.contrasts, the older one."
        )
    for a, b in claims.primary or ():
        if not isolates_resampling(study, a, b):
            reason, way_out = (
                ("in this order", f"Write [{b}, {a}]")
                if isolates_resampling(study, b, a)
                else ("which differ in more than the sampler, or have a fixed threshold", "Move it to claims.secondary")
            )
            raise ConfigError(
                f"'claims.primary' holds [{a}, {b}], {reason}; a primary contrast compares a strategy with a sampler "
                f"and one without, both with the same weight, calibration and chosen threshold. {way_out}."
            )
    declared: dict[frozenset[str], str] = {}
    for key in ("primary", "secondary"):
        for a, b in spellings[key] or ():
            text, pair = f"'claims.{key}' holds [{a}, {b}]", frozenset((a, b))
            if pair in declared:
                raise ConfigError(
                    f"{declared[pair]}, and {text}; a contrast is declared once, since each one makes the tests of its "
                    f"family stricter. Leave it out of claims.{key}."
                )
            declared[pair] = text


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
