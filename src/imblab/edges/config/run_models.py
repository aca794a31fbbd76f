"""Pydantic models of how a study is run, which changes no number: the type, rule, default and example of every key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from imblab.edges.config.models import flag, option
from imblab.edges.config.validation import Name, Section, refusal

#: A year of seconds or minutes: timers of the system take no number at will.
MAX_DURATION = 31_536_000
#: Worker processes that one run may start: each takes a hundred megabytes before it does anything.
MAX_JOBS = 512
#: Values of ``tracking.search`` that older versions had: more runs of what is a row of a table now.
FORMER_SEARCH_VALUES = ("winners", "trials")
#: Characters of the name of an MLflow experiment.
MAX_EXPERIMENT_NAME = 200

Duration = Annotated[float, Field(gt=0, le=MAX_DURATION)]


def _duration(default: float | None, unit: str, example: int) -> Any:
    return option(f"a number of {unit} above 0 and at most {MAX_DURATION:,}, or null", default, example)


class RunnerModel(Section):
    """How fits are carried out; changes no number."""

    n_jobs: int | None = Field(
        default=None,
        ge=1,
        le=MAX_JOBS,
        description=f"a number of worker processes from 1 to {MAX_JOBS}, or null for all cores",
        examples=[2],
    )
    engine: Literal["local", "dask"] = option("local or dask: the kind of workers", "local")
    address: str | None = option("the address of a Dask scheduler, or null", example="tcp://127.0.0.1:8786")
    shared: str | None = option("a folder that all workers share, or null", example="/srv/shared")
    fit_timeout: Duration | None = _duration(None, "seconds", 60)
    on_error: Literal["row", "raise"] = option(
        "row or raise: whether a failed evaluation is a row, or ends the study", "row"
    )
    retry_failed: bool = flag(False, "whether failed evaluations are tried again")
    report: bool = flag(True, "whether report.html is written at the end")
    store: bool = flag(True, "whether predictions are stored, so that fits are reused")


class TrackingModel(Section):
    """The MLflow store and how much is written to it; changes no number."""

    enabled: bool = flag(False, "whether runs are logged to MLflow")
    uri: str | None = option("the address of an MLflow store", example="sqlite:///mlruns/mlflow.db")
    experiment: str | None = option(
        f"the name of an MLflow experiment, 1 to {MAX_EXPERIMENT_NAME} printable characters, or null for the name of "
        "the study",
        example="churn-2",
    )
    search: Literal["auto", "candidates", "table", "none"] = option(
        "auto, candidates, table or none: how the candidates of searches are logged", "auto"
    )
    predictions: bool = flag(True, "whether predicted probabilities are logged as an artifact")
    git_diff: bool = flag(False, "whether uncommitted changes are logged as an artifact")
    timeout: Duration | None = _duration(300, "seconds", 300)

    @field_validator("search", mode="before")
    @classmethod
    def _read_former_value(cls, value: Any) -> Any:
        return "candidates" if value in FORMER_SEARCH_VALUES else value

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


def former_value_notes(options: Mapping[str, Any]) -> list[str]:
    """Say how the options of a run are read where only older versions had their value."""
    value = (options.get("tracking") or {}).get("search")
    if value not in FORMER_SEARCH_VALUES:
        return []
    return [
        f"tracking.search={value} is read as tracking.search=candidates: a cell shows what its folds chose, and every "
        "trial of every fold is a row of the artifact search.parquet."
    ]


class BudgetModel(Section):
    """The time that a plan may propose to use."""

    minutes: Duration | None = _duration(None, "minutes", 10)


class StorageModel(Section):
    """Where finished searches are copied: an option of the run, although it stands in the section of the search."""

    storage: Annotated[str, Field(min_length=1)] | None = option(
        "the address of an Optuna storage or the path of a journal file, or null", example="searches.log"
    )


class SourcesModel(Section):
    """Grants for a received study."""

    allow_network: bool = flag(False, "whether a received study may load data sets from the network")
    allow_sql: bool = flag(False, "whether a received study may query a database")


class RunModel(SourcesModel):
    """How a study is run: everything that is not part of the question."""

    runner: RunnerModel = RunnerModel()
    tracking: TrackingModel = TrackingModel()
    overwrite: bool = flag(False, "whether an existing folder of the study is set aside")
    budget: BudgetModel = BudgetModel()
    search: StorageModel = StorageModel()


#: The words of ``imblab list --schema`` that are about runs, with what their files hold.
MODELS_OF_RUNS: Mapping[str, Any] = {"runners": RunnerModel, "tracking": TrackingModel, "run": RunModel}


class RescoreModel(SourcesModel):
    """How a changed study is scored: everything that does not change it."""

    refit: bool = flag(False, "whether fits that the store lacks are made")
    label: Name | None = option("the name of the folder below rescored/")
