"""A study as plain data: parsed from ``study.yaml`` or from what Hydra composed, and written back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, create_model, field_validator

from imblab.edges import files
from imblab.edges.config import command_line, models, overrides
from imblab.edges.config.agreement import check_agreement
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
from imblab.study import Claims, Protocol, Study, Tuning

#: Sections of which a refused key can be left out to read on; their defaults agree with any study.
OPTIONAL_SECTIONS = ("protocol", "claims", "search")
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
    context = (allow, is_recorded)
    model: Any = collector.attempt(validate, StudyModel, mapping, "", context)
    if model is None:
        model = _rest_of_study(mapping, context)
    if model is None:
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
    collector.attempt(check_agreement, study)
    collector.check()
    return study


def _rest_of_study(mapping: Any, context: tuple[Allow, bool]) -> Any:
    """Read a study without the values that are refused, in search of further errors; None where others rest on them."""
    try:
        return StudyModel.model_validate(mapping, context=context)
    except ValidationError as error:
        paths = {problem["loc"][:2] for problem in error.errors(include_url=False)}
    kept = dict(mapping) if isinstance(mapping, Mapping) else {}
    for section, key in (path for path in paths if len(path) == 2 and path[0] in OPTIONAL_SECTIONS):
        kept[section] = {name: value for name, value in kept[section].items() if name != key}
    for path in (path for path in paths if path == ("seed",) or (path and path[0] not in StudyModel.model_fields)):
        kept.pop(path[0], None)
    try:
        return StudyModel.model_validate(kept, context=context)
    except ValidationError:
        return None


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
