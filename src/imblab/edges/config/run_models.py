"""Pydantic models of how a study is run; none of it changes a number."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from imblab.edges.config.models import MAX_DURATION, Duration, Section, refusal_of
from imblab.errors import ConfigError

#: Worker processes that one run may start: each takes a hundred megabytes before it does anything.
MAX_JOBS = 512
#: Characters of the name of an MLflow experiment.
MAX_EXPERIMENT_NAME = 200


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
