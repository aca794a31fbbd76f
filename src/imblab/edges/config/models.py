"""Pydantic models of ``study.yaml``: the type, rule, default and example of every key.

A field's description completes the sentence "it is ...": messages and the JSON Schema both take it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    Allow,
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

ErrorRate = Annotated[float, Field(gt=0, lt=0.5)]
HalfWidth = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ERROR_RATE = "an error rate above 0 and below 0.5"
HALF_WIDTH = "a half-width of the region of practical equivalence, a number of at least 0"

SPECIFICATION_RULE = "a class with its parameters: {_target_: dotted.path, parameter: value}"
TARGET_SCHEMA = {"type": "string", "description": "the dotted path of the class"}


def option(rule: str, default: Any = None, example: Any = None, **schema: Any) -> Any:
    """Describe a key whose value may be left out; ``schema`` adds to what pydantic says of it in JSON Schema."""
    examples = None if example is None else [example]
    return Field(default=default, description=rule, examples=examples, json_schema_extra=schema or None)


def _count(default: int, noun: str, low: int, high: int) -> Any:
    return Field(default=default, ge=low, le=high, description=f"a whole number of {noun} from {low} to {high}")


def flag(default: bool, effect: str = "") -> Any:
    """Describe a key that is true or false."""
    return option(f"true or false{effect and ': '}{effect}", default, None if effect else True)


class ProtocolModel(Section):
    """How evaluations are gathered."""

    outer_folds: int | None = _count(5, "folds", 2, MAX_FOLDS)
    inner_folds: int = _count(3, "folds", 2, MAX_FOLDS)
    repeats: int = _count(1, "repeats", 1, MAX_REPEATS)
    inner: Literal["own", "shared"] = option(
        "own inner folds, or shared: the other outer folds are the inner folds", "own"
    )
    thresholds: Any = Field(
        default=Protocol().thresholds,
        description="the thresholds to try, as space text; or observed",
        json_schema_extra={"type": ["string", "array", "null"], "default": "range(0.01,1,0.01)"},
    )
    threshold_measure: str = option("the measure that a tuned threshold maximises", "mcc")
    gap: Any = option(
        "the least distance between training and test times: a duration, a number of at least 0, or null",
        example="30D",
        type=["string", "number", "null"],
    )
    test_size: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the share of the rows that a hold-out tests, above 0 and below 1, or null for folds",
        examples=[0.3],
    )

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if self.test_size is None and self.outer_folds is None:
            raise refusal(
                "'protocol.outer_folds' is null; without a number of folds a study tests a share of the rows. Choose "
                "protocol=holdout, or write for example protocol.outer_folds=5."
            )
        if self.test_size is not None and self.outer_folds is not None and "outer_folds" in self.model_fields_set:
            raise refusal(
                f"'protocol.outer_folds' is {self.outer_folds} and 'protocol.test_size' is {self.test_size:g}; rows "
                "are tested in folds or in a hold-out. Choose protocol=holdout, where protocol.outer_folds is null, or "
                "set protocol.test_size=null."
            )
        return self

    def noun(self) -> Protocol:
        """Build the protocol; a hold-out has no number of folds."""
        return Protocol(**{key: value for key, value in dict(self).items() if (key, value) != ("outer_folds", None)})

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

    method: Annotated[str, AfterValidator(_search_method), WithJsonSchema({"enum": list(SEARCH_METHODS)})] = option(
        "a search method", "grid"
    )
    n_trials: int | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description=f"a whole number of trials from 1 to {MAX_TRIALS}", examples=[30]
    )
    tune_learner: bool = flag(False, "whether the spaces of the learners are searched too")
    prune: bool = flag(False, "whether to drop candidates that can neither win nor tie")

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        method = SEARCH_METHODS[self.method]
        if method.is_drawn and self.n_trials is None:
            raise refusal(
                f"'search.n_trials' is not set and the search is {method.name!r}; a drawn search needs a number of "
                "trials. Write for example search.n_trials=30."
            )
        if not method.is_drawn and self.n_trials is not None:
            drawn = join_words((name for name, other in SEARCH_METHODS.items() if other.is_drawn), "or")
            raise refusal(
                f"'search.n_trials' is {self.n_trials} and the search is {method.name!r}, which tries every candidate; "
                f"only a drawn search has a number of trials. Leave it out, or choose search={drawn}."
            )
        if self.prune and method.is_adaptive:
            raise refusal(
                f"'search.prune' is true and the search is {method.name!r}, which learns from every value; only a "
                "search that is not adaptive can drop candidates. Set search.prune=false, or choose search=grid."
            )
        return self


class MeasureModel(Section):
    """A measure: a number that says how good predictions are."""

    function: str = Field(description="the dotted path of a function", examples=["imblab.core.measures.mcc"])
    needs: Literal["label", "probability", "score", "amount"] = Field(
        description="what the function reads: label, probability, score or amount", examples=["label"]
    )
    greater_is_better: bool = flag(True, "whether a higher value is better")
    range: Any = option(
        "a pair of the lowest and the highest value, null for an end without a bound",
        (None, None),
        [0, 1],
        type=["array", "null"],
        items={"type": ["number", "null"]},
    )
    reference: str | None = option("the paper or documentation of the formula, as text")
    parameters: dict[str, Any] | None = option("a mapping of further arguments of the function", example={"beta": 2.0})

    @field_validator("range")
    @classmethod
    def _check_range(cls, value: Any) -> Any:
        if value is None:
            return (None, None)
        if isinstance(value, list) and len(value) == 2 and all(v is None or is_finite_number(v) for v in value):
            return tuple(value)
        raise ValueError

    def noun(self, name: str, allow: Allow) -> Measure:
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
    only: dict[str, Any] | None = option("parameters and their values with which it is so")
    made: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] | None = option(
        "the public attribute that says how many rounds there are"
    )


class LearnerModel(Section):
    """A classifier: a class with its parameters, and what is searched."""

    label: Label | None = option(LABEL_RULE)
    make: Any = option(SPECIFICATION_RULE, type=["object", "null"], properties={"_target_": TARGET_SCHEMA})
    space: Space = option(SPACE_RULE)
    staged: StagedModel | None = option("how one fit predicts for fewer rounds")
    rebalances: bool = flag(False, "whether it weighs or resamples the classes by itself")
    kind: Name | None = option("a name such as logistic: the kind that chooses the standard error of its contrasts")


class StrategyModel(Section):
    """A treatment of imbalance: a sampler, a weight, a calibration and a threshold, and what is searched."""

    label: Label | None = option(LABEL_RULE)
    sampler: Any = option(SPECIFICATION_RULE, type=["object", "null"], properties={"_target_": TARGET_SCHEMA})
    prior_correction: Any = option("whether a prior correction undoes the sampler", enum=[*decisions.CORRECTIONS, None])
    ratio: Any = option(KNOBS["ratio"].rule, type=["number", "null"], exclusiveMinimum=0, maximum=1)
    k: Any = option(KNOBS["k"].rule, type=["number", "null"], minimum=1)
    weight: Any = option(KNOBS["weight"].rule, type=["number", "string", "object", "null"])
    threshold: Any = option(
        "a number from 0 to 1, tuned, or one rule such as {alert_rate: 0.01}", 0.5, type=["number", "string", "object"]
    )
    calibration: Any = option(
        f"one of {', '.join(decisions.CALIBRATIONS)}, or the path of a class", type=["string", "object", "null"]
    )
    space: Space = option(SPACE_RULE)


def _contrast(value: Any, info: ValidationInfo) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or value[0] == value[1]:
        raise refusal(
            f"'claims.{info.field_name}' holds {quote(value)}; a contrast is a pair [a, b] of two strategies, read as "
            f"a - b. Write for example claims.{info.field_name}=[[a,b]] with the names of two strategies of the study."
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

    primary: list[Contrast] | None = option(
        "a list of pairs [a, b] of strategies that differ in the sampler alone; null: smote_threshold - threshold, or "
        "else every such pair",
        example=[["smote_threshold", "threshold"]],
    )
    secondary: list[Contrast] | None = option(
        "a list of pairs [a, b] of strategies; null: each against none", example=[["smote", "none"]]
    )
    contrasts: list[Contrast] | None = option(
        "the older spelling: a list of all pairs [a, b], primary and secondary ones",
        example=[["smote_threshold", "threshold"]],
    )
    alpha: ErrorRate = option(ERROR_RATE, 0.05)
    rope: dict[str, HalfWidth] | None = option(f"{HALF_WIDTH}, by measure", example=0.01)
    seen_before: list[Name] = option("names of studies that used these rows before, in addition to those found", [])
    registered: RegisteredModel | None = option("the record that imblab writes; leave it as it is")

    @field_validator("rope", mode="before")
    @classmethod
    def _check_rope(cls, value: Any) -> Any:
        if value is None or isinstance(value, Mapping):
            return value
        width = value if is_finite_number(value) and value >= 0 else 0.01
        raise refusal(
            f"'claims.rope' is {quote(value)}; it is {HALF_WIDTH}, by measure. Write for example "
            f"claims.rope.mcc={width}."
        )

    def noun(self) -> Claims:
        """Build the claims."""
        contrasts, primary, secondary = (
            None if pairs is None else tuple(pairs) for pairs in (self.contrasts, self.primary, self.secondary)
        )
        registered = None if self.registered is None else self.registered.noun()
        seen = tuple(self.seen_before)
        return Claims(contrasts, self.alpha, self.rope or {}, registered, primary, secondary, seen)
