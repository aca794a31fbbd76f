"""Pydantic models of ``study.yaml`` and of how a study is run: the type, rule, default and example of every key.

A field's description completes the sentence "it is ...": messages and the JSON Schema both take it from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from imblab.core import measures
from imblab.edges.config import parameters, sweeps, validation
from imblab.edges.config.validation import is_finite_number, quote
from imblab.errors import ConfigError, unknown
from imblab.study import SEARCH_METHODS, Claims, Measure, Protocol, Registered, Tuning
from imblab.text import join_words

#: The largest design: a study is laid out in memory before it runs.
MAX_FOLDS, MAX_REPEATS, MAX_TRIALS = 1_000, 1_000, 100_000
#: A year of seconds or minutes: timers of the system take no number at will.
MAX_DURATION = 31_536_000
#: Worker processes that one run may start: each takes a hundred megabytes before it does anything.
MAX_JOBS = 512
#: Characters of the name of an MLflow experiment.
MAX_EXPERIMENT_NAME = 200


def refusal_of(error: ConfigError) -> PydanticCustomError:
    """Wrap an error of ours for a validator; :func:`imblab.edges.config.validation.validate` takes it out again."""
    return PydanticCustomError("config_error", "refused", {"error": error})


def _is_within(low: float, high: float, value: Any) -> Any:
    if not is_finite_number(value) or not low < value < high:
        raise ValueError
    return value


Name = Annotated[str, Field(pattern=rf"^{validation.NAME_PATTERN.pattern}$")]
Duration = Annotated[
    float,
    PlainValidator(partial(_is_within, 0, MAX_DURATION + 1)),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_DURATION}),
]
ErrorRate = Annotated[
    float,
    PlainValidator(partial(_is_within, 0, 0.5)),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}),
]


class Section(BaseModel):
    """A mapping whose keys are all known; values keep their types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ProtocolModel(Section):
    """How evaluations are gathered."""

    outer_folds: int = Field(
        default=5, ge=2, le=MAX_FOLDS, description=f"a whole number of folds from 2 to {MAX_FOLDS}"
    )
    inner_folds: int = Field(
        default=3, ge=2, le=MAX_FOLDS, description=f"a whole number of folds from 2 to {MAX_FOLDS}"
    )
    repeats: int = Field(
        default=1, ge=1, le=MAX_REPEATS, description=f"a whole number of repeats from 1 to {MAX_REPEATS}"
    )
    inner: Literal["own", "shared"] = Field(
        default="own", description="own inner folds, or shared: the other outer folds are the inner folds"
    )
    thresholds: Any = Field(
        default=Protocol().thresholds,
        description="the thresholds to try, as space text; or observed",
        json_schema_extra={"type": ["string", "array", "null"], "default": "range(0.01,1,0.01)"},
    )
    threshold_measure: str = Field(
        default="mcc", description="the measure that a tuned threshold maximises", examples=["mcc"]
    )
    gap: Any = Field(
        default=None,
        description="the least distance between training and test times: a duration, a number of at least 0, or null",
        examples=["30D"],
        json_schema_extra={"type": ["string", "number", "null"]},
    )

    @field_validator("thresholds")
    @classmethod
    def _read_thresholds(cls, value: Any) -> Any:
        try:
            return Protocol().thresholds if value is None else sweeps.read_thresholds(value, "protocol.thresholds")
        except ConfigError as error:
            raise refusal_of(error) from None

    @field_validator("gap")
    @classmethod
    def _check_gap(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value) or (is_finite_number(value) and value >= 0):
            return value
        raise ValueError

    def noun(self) -> Protocol:
        """Build the protocol."""
        return Protocol(**dict(self))


def _search_method(name: str) -> str:
    if name not in SEARCH_METHODS:
        raise refusal_of(ConfigError(unknown("search method", name, SEARCH_METHODS, "for 'search.method'")))
    return name


class SearchModel(Section):
    """How the inner search chooses candidates."""

    method: Annotated[str, AfterValidator(_search_method), WithJsonSchema({"enum": list(SEARCH_METHODS)})] = Field(
        default="grid", description="a search method"
    )
    n_trials: int | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description=f"a whole number of trials from 1 to {MAX_TRIALS}", examples=[30]
    )
    tune_learner: bool = Field(
        default=False, description="true or false: whether the spaces of the learners are searched too"
    )
    prune: bool = Field(
        default=False, description="true or false: whether to drop candidates that can neither win nor tie"
    )

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        method = SEARCH_METHODS[self.method]
        drawn = join_words((name for name, other in SEARCH_METHODS.items() if other.is_drawn), "or")
        problem = ""
        if method.is_drawn and self.n_trials is None:
            problem = (
                f"'search.n_trials' is not set and the search is {method.name!r}; a drawn search needs a number of "
                "trials. Write for example search.n_trials=30."
            )
        elif not method.is_drawn and self.n_trials is not None:
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
            raise refusal_of(ConfigError(problem))
        return self

    def noun(self) -> Tuning:
        """Build the settings of the search."""
        return Tuning(**dict(self))


class MeasureModel(Section):
    """A measure: a number that says how good predictions are."""

    function: str = Field(description="the dotted path of a function", examples=["imblab.core.measures.mcc"])
    needs: Literal["label", "probability", "score", "amount"] = Field(
        description="what the function reads: label, probability, score or amount", examples=["label"]
    )
    greater_is_better: bool = Field(default=True, description="true or false: whether a higher value is better")
    range: Any = Field(
        default=(None, None),
        description="a pair of the lowest and the highest value, null for an end without a bound",
        json_schema_extra={"type": ["array", "null"], "items": {"type": ["number", "null"]}},
        examples=[[0, 1]],
    )
    reference: str | None = Field(default=None, description="the paper or documentation of the formula, as text")
    parameters: dict[str, Any] | None = Field(
        default=None, description="a mapping of further arguments of the function", examples=[{"beta": 2.0}]
    )

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
            name,
            self.function,
            self.needs,
            self.greater_is_better,
            self.range,
            self.reference or "",
            self.parameters or {},
        )
        for parameter, value in measure.parameters.items():
            parameters.check_parameter(parameter, value, object, f"measures.{name}.parameters")
        measures.function_of(measure, allow)
        return measure


def _contrast(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or value[0] == value[1]:
        raise refusal_of(
            ConfigError(
                f"'claims.contrasts' holds {quote(value)}; a contrast is a pair [a, b] of two strategies, read as a - "
                "b. Write for example [[smote_threshold, threshold]]."
            )
        )
    return str(value[0]), str(value[1])


def _half_width(value: Any) -> float:
    if not is_finite_number(value) or value < 0:
        raise ValueError
    return float(value)


Contrast = Annotated[
    tuple[str, str],
    PlainValidator(_contrast),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}),
]
HalfWidth = Annotated[float, PlainValidator(_half_width), WithJsonSchema({"type": "number", "minimum": 0})]
HALF_WIDTH = "a half-width of the region of practical equivalence, a number of at least 0"


class RegisteredModel(Section):
    """The claims before the first evaluation, as imblab recorded them."""

    primary: str = Field(description="the name of the primary measure")
    contrasts: list[Contrast] | None = Field(description="the contrasts that were declared")
    alpha: ErrorRate = Field(description="an error rate above 0 and below 0.5", examples=[0.05])
    rope: dict[str, HalfWidth] | None = Field(description=HALF_WIDTH, examples=[0.01])
    repeats: int = Field(ge=1, description="a whole number of repeats, at least 1")

    def noun(self) -> Registered:
        """Build the record."""
        return Registered(self.primary, tuple(self.contrasts or ()), self.alpha, self.rope or {}, self.repeats)


class ClaimsModel(Section):
    """What shall be claimed, fixed before the first evaluation."""

    contrasts: list[Contrast] | None = Field(
        default=None,
        description="a list of pairs [a, b] of strategies; null: smote_threshold - threshold, and each against none",
        examples=[[["smote_threshold", "threshold"]]],
    )
    alpha: ErrorRate = Field(default=0.05, description="an error rate above 0 and below 0.5", examples=[0.05])
    rope: dict[str, HalfWidth] | None = Field(default=None, description=f"{HALF_WIDTH}, by measure", examples=[0.01])
    registered: RegisteredModel | None = Field(
        default=None, description="the record that imblab writes; leave it as it is"
    )

    def noun(self) -> Claims:
        """Build the claims."""
        contrasts = None if self.contrasts is None else tuple(self.contrasts)
        registered = None if self.registered is None else self.registered.noun()
        return Claims(contrasts, self.alpha, self.rope or {}, registered)


class RunnerModel(Section):
    """How fits are carried out; changes no number."""

    n_jobs: int | None = Field(
        default=None,
        ge=1,
        le=MAX_JOBS,
        description=f"a number of worker processes from 1 to {MAX_JOBS}, or null for all cores",
        examples=[2],
    )
    fit_timeout: Duration | None = Field(
        default=None, description=f"a number of seconds above 0 and at most {MAX_DURATION:,}, or null", examples=[60]
    )
    on_error: Literal["row", "raise"] = Field(default="row", description="row or raise")
    retry_failed: bool = Field(default=False, description="true or false", examples=[True])
    report: bool = Field(default=True, description="true or false", examples=[True])
    store: bool = Field(default=True, description="true or false", examples=[True])


class TrackingModel(Section):
    """The MLflow store and how much is written to it; changes no number."""

    enabled: bool = Field(default=False, description="true or false", examples=[True])
    uri: str | None = Field(
        default=None, description="the address of an MLflow store", examples=["sqlite:///mlruns/mlflow.db"]
    )
    experiment: str | None = Field(
        default=None,
        description=f"the name of an MLflow experiment, 1 to {MAX_EXPERIMENT_NAME} printable characters, or null for "
        "the name of the study",
        examples=["churn-2"],
    )
    search: Literal["candidates", "winners", "trials", "none"] = Field(
        default="candidates", description="candidates, winners, trials or none"
    )
    predictions: bool = Field(default=True, description="true or false", examples=[True])
    git_diff: bool = Field(default=False, description="true or false", examples=[True])
    timeout: Duration | None = Field(
        default=300, description=f"a number of seconds above 0 and at most {MAX_DURATION:,}, or null", examples=[300]
    )

    @field_validator("experiment")
    @classmethod
    def _check_experiment(cls, value: str | None) -> str | None:
        if value is not None and not (value.isprintable() and 0 < len(value.strip()) <= MAX_EXPERIMENT_NAME):
            raise ValueError
        return value

    @model_validator(mode="after")
    def _check_uri(self) -> Self:
        if self.enabled and not self.uri:
            raise refusal_of(
                ConfigError(
                    f"'tracking.uri' is {self.uri!r}; it is the address of an MLflow store. Write for example "
                    "tracking.uri=sqlite:///mlruns/mlflow.db, or tracking=none."
                )
            )
        return self


class BudgetModel(Section):
    """The time that a plan may propose to use."""

    minutes: Duration | None = Field(
        default=None, description=f"a number of minutes above 0 and at most {MAX_DURATION:,}, or null", examples=[10]
    )


class RunModel(Section):
    """How a study is run: everything that is not part of the question."""

    runner: RunnerModel = RunnerModel()
    tracking: TrackingModel = TrackingModel()
    overwrite: bool = Field(default=False, description="true or false", examples=[True])
    budget: BudgetModel = BudgetModel()
    allow_network: bool = Field(default=False, description="true or false", examples=[True])
    allow_sql: bool = Field(default=False, description="true or false", examples=[True])
