"""Pydantic models of ``study.yaml`` and of how a study is run: the type, rule, default and example of every key.

A field's description completes the sentence "it is ...": messages and the JSON Schema both take it from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from imblab.core import decisions, measures
from imblab.edges.config import parameters
from imblab.edges.config.validation import (
    LABEL_RULE,
    SPACE_RULE,
    Label,
    Name,
    Section,
    Space,
    is_finite_number,
    quote,
    read_thresholds,
    refusal,
)
from imblab.errors import ConfigError, unknown
from imblab.study import KNOBS, SEARCH_METHODS, Claims, Measure, Protocol, Registered
from imblab.text import join_words

#: The largest design: a study is laid out in memory before it runs.
MAX_FOLDS, MAX_REPEATS, MAX_TRIALS = 1_000, 1_000, 100_000
#: A year of seconds or minutes: timers of the system take no number at will.
MAX_DURATION = 31_536_000
#: Worker processes that one run may start: each takes a hundred megabytes before it does anything.
MAX_JOBS = 512
#: Characters of the name of an MLflow experiment.
MAX_EXPERIMENT_NAME = 200

Duration = Annotated[float, Field(gt=0, le=MAX_DURATION)]
ErrorRate = Annotated[float, Field(gt=0, lt=0.5)]
HalfWidth = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ERROR_RATE = "an error rate above 0 and below 0.5"
HALF_WIDTH = "a half-width of the region of practical equivalence, a number of at least 0"

SPECIFICATION_RULE = "a class with its parameters: {_target_: dotted.path, parameter: value}"
TARGET_SCHEMA = {"type": "string", "description": "the dotted path of the class"}


def _field(rule: str, default: Any = None, example: Any = None, **schema: Any) -> Any:
    """Describe a key whose value may be left out; ``schema`` adds to what pydantic says of it in JSON Schema."""
    examples = None if example is None else [example]
    return Field(default=default, description=rule, examples=examples, json_schema_extra=schema or None)


def _count(default: int, noun: str, low: int, high: int) -> Any:
    return Field(default=default, ge=low, le=high, description=f"a whole number of {noun} from {low} to {high}")


def _flag(default: bool, effect: str = "") -> Any:
    return _field(f"true or false{effect and ': '}{effect}", default, None if effect else True)


def _duration(default: float | None, unit: str, example: int) -> Any:
    return _field(f"a number of {unit} above 0 and at most {MAX_DURATION:,}, or null", default, example)


class ProtocolModel(Section):
    """How evaluations are gathered."""

    outer_folds: int = _count(5, "folds", 2, MAX_FOLDS)
    inner_folds: int = _count(3, "folds", 2, MAX_FOLDS)
    repeats: int = _count(1, "repeats", 1, MAX_REPEATS)
    inner: Literal["own", "shared"] = _field(
        "own inner folds, or shared: the other outer folds are the inner folds", "own"
    )
    thresholds: Any = Field(
        default=Protocol().thresholds,
        description="the thresholds to try, as space text; or observed",
        json_schema_extra={"type": ["string", "array", "null"], "default": "range(0.01,1,0.01)"},
    )
    threshold_measure: str = _field("the measure that a tuned threshold maximises", "mcc")
    gap: Any = _field(
        "the least distance between training and test times: a duration, a number of at least 0, or null",
        example="30D",
        type=["string", "number", "null"],
    )

    @field_validator("thresholds")
    @classmethod
    def _read_thresholds(cls, value: Any) -> Any:
        try:
            return Protocol().thresholds if value is None else read_thresholds(value, "protocol.thresholds")
        except ConfigError as error:
            raise refusal(error) from None

    @field_validator("gap")
    @classmethod
    def _check_gap(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value) or (is_finite_number(value) and value >= 0):
            return value
        raise ValueError


def _search_method(name: str) -> str:
    if name not in SEARCH_METHODS:
        raise refusal(unknown("search method", name, SEARCH_METHODS, "for 'search.method'"))
    return name


class SearchModel(Section):
    """How the inner search chooses candidates."""

    method: Annotated[str, AfterValidator(_search_method), WithJsonSchema({"enum": list(SEARCH_METHODS)})] = _field(
        "a search method", "grid"
    )
    n_trials: int | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description=f"a whole number of trials from 1 to {MAX_TRIALS}", examples=[30]
    )
    tune_learner: bool = _flag(False, "whether the spaces of the learners are searched too")
    prune: bool = _flag(False, "whether to drop candidates that can neither win nor tie")

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        method = SEARCH_METHODS[self.method]
        problem = ""
        if method.is_drawn and self.n_trials is None:
            problem = (
                f"'search.n_trials' is not set and the search is {method.name!r}; a drawn search needs a number of "
                "trials. Write for example search.n_trials=30."
            )
        elif not method.is_drawn and self.n_trials is not None:
            drawn = join_words((name for name, other in SEARCH_METHODS.items() if other.is_drawn), "or")
            problem = (
                f"'search.n_trials' is {self.n_trials} and the search is {method.name!r}, which tries every candidate; "
                f"only a drawn search has a number of trials. Leave it out, or choose search={drawn}."
            )
        elif self.prune and method.is_adaptive:
            problem = (
                f"'search.prune' is true and the search is {method.name!r}, which learns from every value; only a "
                "search that is not adaptive can drop candidates. Set search.prune=false, or choose search=grid."
            )
        if problem:
            raise refusal(problem)
        return self


class MeasureModel(Section):
    """A measure: a number that says how good predictions are."""

    function: str = Field(description="the dotted path of a function", examples=["imblab.core.measures.mcc"])
    needs: Literal["label", "probability", "score", "amount"] = Field(
        description="what the function reads: label, probability, score or amount", examples=["label"]
    )
    greater_is_better: bool = _flag(True, "whether a higher value is better")
    range: Any = _field(
        "a pair of the lowest and the highest value, null for an end without a bound",
        (None, None),
        [0, 1],
        type=["array", "null"],
        items={"type": ["number", "null"]},
    )
    reference: str | None = _field("the paper or documentation of the formula, as text")
    parameters: dict[str, Any] | None = _field("a mapping of further arguments of the function", example={"beta": 2.0})

    @field_validator("range")
    @classmethod
    def _check_range(cls, value: Any) -> Any:
        if value is None:
            return (None, None)
        if isinstance(value, list) and len(value) == 2 and all(v is None or is_finite_number(v) for v in value):
            return tuple(value)
        raise ValueError

    def noun(self, name: str, allow: Sequence[str]) -> Measure:
        """Build the measure; its function is imported and tried on two rows."""
        measure = Measure(
            name, **{**dict(self), "reference": self.reference or "", "parameters": self.parameters or {}}
        )
        for parameter, value in measure.parameters.items():
            parameters.check_parameter(parameter, value, object, f"measures.{name}.parameters")
        measures.function_of(measure, allow)
        return measure


class StagedModel(Section):
    """How one fit predicts for fewer rounds."""

    parameter: str = Field(description="the parameter that counts rounds", examples=["n_estimators"])
    argument: str = Field(description="the argument of predict_proba", examples=["num_iteration"])
    form: Literal["count", "range"] = Field(description="count or range", examples=["count"])
    only: dict[str, Any] | None = _field("parameters and their values with which it is so")
    made: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] | None = _field(
        "the public attribute that says how many rounds there are"
    )


class LearnerModel(Section):
    """A classifier: a class with its parameters, and what is searched."""

    label: Label | None = _field(LABEL_RULE)
    make: Any = _field(SPECIFICATION_RULE, type=["object", "null"], properties={"_target_": TARGET_SCHEMA})
    space: Space = _field(SPACE_RULE)
    staged: StagedModel | None = _field("how one fit predicts for fewer rounds")
    rebalances: bool = _flag(False, "whether it weighs or resamples the classes by itself")
    kind: Name | None = _field("a name such as logistic: the kind that chooses the standard error of its contrasts")


class StrategyModel(Section):
    """A treatment of imbalance: a sampler, a weight, a calibration and a threshold, and what is searched."""

    label: Label | None = _field(LABEL_RULE)
    sampler: Any = _field(SPECIFICATION_RULE, type=["object", "null"], properties={"_target_": TARGET_SCHEMA})
    prior_correction: Any = _field("whether a prior correction undoes the sampler", enum=[*decisions.CORRECTIONS, None])
    ratio: Any = _field(KNOBS["ratio"].rule, type=["number", "null"], exclusiveMinimum=0, maximum=1)
    k: Any = _field(KNOBS["k"].rule, type=["number", "null"], minimum=1)
    weight: Any = _field(KNOBS["weight"].rule, type=["number", "string", "object", "null"])
    threshold: Any = _field(
        "a number from 0 to 1, tuned, or one rule such as {alert_rate: 0.01}", 0.5, type=["number", "string", "object"]
    )
    calibration: Any = _field(
        f"one of {', '.join(decisions.CALIBRATIONS)}, or the path of a class", type=["string", "object", "null"]
    )
    space: Space = _field(SPACE_RULE)


def _contrast(value: Any, info: ValidationInfo) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or value[0] == value[1]:
        raise refusal(
            f"'claims.{info.field_name}' holds {quote(value)}; a contrast is a pair [a, b] of two strategies, read as "
            "a - b. Write for example [[smote_threshold, threshold]]."
        )
    return str(value[0]), str(value[1])


Contrast = Annotated[
    tuple[str, str],
    PlainValidator(_contrast),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}),
]


class RegisteredModel(Section):
    """The claims before the first evaluation, as imblab recorded them."""

    primary: str = Field(description="the name of the primary measure")
    contrasts: list[Contrast] | None = Field(description="the contrasts that were declared")
    alpha: ErrorRate = Field(description=ERROR_RATE, examples=[0.05])
    rope: dict[str, HalfWidth] | None = Field(description=HALF_WIDTH, examples=[0.01])
    repeats: int = Field(ge=1, description="a whole number of repeats, at least 1")
    primary_contrasts: list[Contrast] | None = Field(
        default=None, description="those of the contrasts that are primary; null: all were one family"
    )
    seen_before: dict[str, list[str]] = Field(
        default_factory=dict, description="the other studies with evaluations on the same rows, by data set"
    )

    kinds: dict[str, str] = Field(default_factory=dict, description="the kind of each learner that has one")
    table: int = Field(default=0, ge=0, description="the version of the table of standard errors; 0: the corrected t")

    def noun(self) -> Registered:
        """Build the record."""
        primary = None if self.primary_contrasts is None else tuple(self.primary_contrasts)
        seen_before = {name: tuple(studies) for name, studies in self.seen_before.items()}
        contrasts, rope = tuple(self.contrasts or ()), self.rope or {}
        facts = (self.primary, contrasts, self.alpha, rope, self.repeats, primary, seen_before)
        return Registered(*facts, self.kinds, self.table)


class ClaimsModel(Section):
    """What shall be claimed, fixed before the first evaluation."""

    primary: list[Contrast] | None = _field(
        "a list of pairs [a, b] of strategies that differ in the sampler alone; null: smote_threshold - threshold, or "
        "else every such pair",
        example=[["smote_threshold", "threshold"]],
    )
    secondary: list[Contrast] | None = _field(
        "a list of pairs [a, b] of strategies; null: each against none", example=[["smote", "none"]]
    )
    contrasts: list[Contrast] | None = _field(
        "the older spelling: a list of all pairs [a, b], primary and secondary ones",
        example=[["smote_threshold", "threshold"]],
    )
    alpha: ErrorRate = _field(ERROR_RATE, 0.05)
    rope: dict[str, HalfWidth] | None = _field(f"{HALF_WIDTH}, by measure", example=0.01)
    seen_before: list[Name] = _field("names of studies that used these rows before, in addition to those found", [])
    registered: RegisteredModel | None = _field("the record that imblab writes; leave it as it is")

    def noun(self) -> Claims:
        """Build the claims."""
        contrasts, primary, secondary = (
            None if pairs is None else tuple(pairs) for pairs in (self.contrasts, self.primary, self.secondary)
        )
        registered = None if self.registered is None else self.registered.noun()
        seen = tuple(self.seen_before)
        return Claims(contrasts, self.alpha, self.rope or {}, registered, primary, secondary, seen)


class RunnerModel(Section):
    """How fits are carried out; changes no number."""

    n_jobs: int | None = Field(
        default=None,
        ge=1,
        le=MAX_JOBS,
        description=f"a number of worker processes from 1 to {MAX_JOBS}, or null for all cores",
        examples=[2],
    )
    engine: Literal["local", "dask"] = _field("local or dask: the kind of workers", "local")
    address: str | None = _field("the address of a Dask scheduler, or null", example="tcp://127.0.0.1:8786")
    shared: str | None = _field("a folder that all workers share, or null", example="/srv/shared")
    fit_timeout: Duration | None = _duration(None, "seconds", 60)
    on_error: Literal["row", "raise"] = _field("row or raise", "row")
    retry_failed: bool = _flag(False)
    report: bool = _flag(True)
    store: bool = _flag(True)


class TrackingModel(Section):
    """The MLflow store and how much is written to it; changes no number."""

    enabled: bool = _flag(False)
    uri: str | None = _field("the address of an MLflow store", example="sqlite:///mlruns/mlflow.db")
    experiment: str | None = _field(
        f"the name of an MLflow experiment, 1 to {MAX_EXPERIMENT_NAME} printable characters, or null for the name of "
        "the study",
        example="churn-2",
    )
    search: Literal["candidates", "winners", "trials", "none"] = _field(
        "candidates, winners, trials or none", "candidates"
    )
    predictions: bool = _flag(True)
    git_diff: bool = _flag(False)
    timeout: Duration | None = _duration(300, "seconds", 300)

    @field_validator("experiment")
    @classmethod
    def _check_experiment(cls, value: str | None) -> str | None:
        if value is not None and not (value.isprintable() and 0 < len(value.strip()) <= MAX_EXPERIMENT_NAME):
            raise ValueError
        return value

    @model_validator(mode="after")
    def _check_uri(self) -> Self:
        if self.enabled and not self.uri:
            raise refusal(
                f"'tracking.uri' is {self.uri!r}; it is the address of an MLflow store. Write for example "
                "tracking.uri=sqlite:///mlruns/mlflow.db, or tracking=none."
            )
        return self


class BudgetModel(Section):
    """The time that a plan may propose to use."""

    minutes: Duration | None = _duration(None, "minutes", 10)


class StorageModel(Section):
    """Where finished searches are copied: an option of the run, although it stands in the section of the search."""

    storage: Annotated[str, Field(min_length=1)] | None = _field(
        "the address of an Optuna storage or the path of a journal file, or null", example="searches.log"
    )


class SourcesModel(Section):
    """Grants for a received study."""

    allow_network: bool = _flag(False)
    allow_sql: bool = _flag(False)


class RunModel(SourcesModel):
    """How a study is run: everything that is not part of the question."""

    runner: RunnerModel = RunnerModel()
    tracking: TrackingModel = TrackingModel()
    overwrite: bool = _flag(False)
    budget: BudgetModel = BudgetModel()
    search: StorageModel = StorageModel()


class RescoreModel(SourcesModel):
    """How a changed study is scored: everything that does not change it."""

    refit: bool = _flag(False)
    label: Name | None = _field("the name of a folder")
