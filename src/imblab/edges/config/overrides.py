"""How a study is run, which changes no number: pydantic models of every key; and overrides, parsed by Hydra.

The models have the type, rule, default and example of every key. What is refused of an override is told in our words,
with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from hydra.core.override_parser.types import Override
from pydantic import Field, field_validator, model_validator

from imblab.edges.config import validation
from imblab.edges.config.models import flag, option
from imblab.edges.config.validation import ErrorCollector, Name, Section, refusal
from imblab.errors import ConfigError
from imblab.groups import LISTED_GROUPS
from imblab.redaction import redact
from imblab.text import to_hydra_syntax, to_shell

#: Keys of a data set whose value is one word, even if it looks like a number.
ONE_WORD = re.compile(
    r"\+*dataset\.[^.]+\.(target|positive|groups|folds|time|amount|id|parent|source|name|path|sheet|sep)"
)
#: A year of seconds or minutes: timers of the system take no number at will.
MAX_DURATION = 31_536_000
#: Worker processes that one run may start: each takes a hundred megabytes before it does anything.
MAX_JOBS = 512
#: Values of ``tracking.search`` that older versions had: more runs of what is a row of a table now.
FORMER_SEARCH_VALUES = ("winners", "trials")
MAX_EXPERIMENT_NAME = 200

Duration = Annotated[float, Field(gt=0, le=MAX_DURATION)]


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """Parse overrides as typed; raises one ConfigError for all that cannot be parsed."""
    collector = ErrorCollector()
    overrides = [collector.attempt(parse_override, text) for text in texts]
    collector.check()
    return overrides


def parse_override(text: str) -> Override:
    """Parse one override; refuses overrides of Hydra itself and sweeps over keys that are not spaces."""
    flag, _, given = text.partition(" ")
    if refused := HYDRA_REFUSALS.get(LONG_FLAGS.get(flag, flag)):
        does, way_out = refused
        raise ConfigError(f"{text!r} {does}. {way_out.format(given or 'NAME')}.")
    key, _, value = text.partition("=")
    if key.lstrip("+~").startswith(("hydra.", "hydra/")):
        raise ConfigError(
            f"override {text!r} sets an option of Hydra, which only composes here and runs no job; nothing below "
            "'hydra' changes a study. Leave it out; folders of your own groups are named with --config-dir."
        )
    if "=" not in text and not text.startswith("~"):
        raise ConfigError(
            f"override {text!r} has no '='; overrides are written key=value. Write for example strategy=[smote], or "
            "strategy.smote.k=5."
        )
    if not key.lstrip("+~"):
        raise ConfigError(f"override {text!r} names no key; overrides are written key=value. Put a key before the '='.")
    space = validation.is_space_key(key.lstrip("+~"))
    try:
        # Space text is not Hydra's to read: a sweep there would demand --multirun.
        override = validation.parse_hydra_override(f"{key}=null" if space and value else text)
    except validation.UNREADABLE as error:
        raise _syntax_error(text, error) from None
    override.input_line = text
    listed = override.value() if key in LISTED_GROUPS else None
    if isinstance(listed, list) and len(names := dict.fromkeys(map(str, listed))) < len(listed):
        way_out = to_shell([f"{key}=[{','.join(names)}]"])
        raise ConfigError(f"override {text!r} lists a name twice; results are kept by name. Write {way_out}.")
    if not space and override.is_sweep_override():
        quoted = quote_as_meant(text) if key.lstrip("+~").startswith("dataset.") else None
        hint = f" If {value!r} is one word, write {to_shell([quoted])}." if quoted else ""
        raise ConfigError(
            f"override {text!r} sweeps over {override.key_or_group!r}; only spaces are swept, inside one study. "
            f"{describe_sweep(key, value)}.{hint}"
        )
    return override


#: Flags of Hydra's command line: what each asks for, with the rule, and the way out.
HYDRA_REFUSALS = {
    "-m": (
        "asks Hydra for many jobs; imblab compares all that is listed, and searches spaces, inside one study",
        "Leave it out and list names, as in 'learner=[knn,svm]', or write spaces such as "
        "'strategy.smote.space.k=choice(3,5)'",
    ),
    "-cn": (
        "names a configuration of Hydra; a study is composed from conf/config.yaml and an experiment",
        "Choose the experiment: experiment={}",
    ),
    "-cp": (
        "moves the configuration; groups of your own are added to the shipped ones",
        "Name their folder: --config-dir {}",
    ),
    "-i": (
        "asks for information on Hydra, which only composes here",
        "Print the study with --cfg job, the options of every group with `imblab list`, what would run with "
        "`imblab plan`",
    ),
    "--hydra-help": (
        "asks for the help of Hydra, which only composes here; its sweeps, launchers and logs are not used",
        "Write `imblab run --help`, or `imblab list` for all that may be named",
    ),
    "--experimental-rerun": (
        "asks Hydra to repeat a job from its pickle; imblab repeats studies from their record",
        "Write imblab run experiments/<name>/study.yaml, or imblab reproduce <name>",
    ),
}
LONG_FLAGS = {"--multirun": "-m", "--config-name": "-cn", "--config-path": "-cp", "--info": "-i"}


def describe_sweep(key: str, value: str) -> str:
    """Return what to write in place of a sweep over a key that is not a space."""
    bare = key.lstrip("+~")
    parts = bare.split(".")
    decimal = f"{key}={value.replace(',', '.')}" if re.fullmatch(r"-?\d+,\d+", value) else ""
    if decimal and value.lstrip("-").startswith("0,"):
        return f"A decimal point is a dot: write {to_shell([decimal])}"
    text = value if re.match(r"\w+\(", value) else f"choice({value})"
    if bare in LISTED_GROUPS and re.fullmatch(r"[\w.+-]+(,[\w.+-]+)+", value):
        return f"Write {to_shell([f'{key}=[{value}]'])}"
    if parts[0] == "strategy" and len(parts) == 3:
        return f"Write {to_shell([f'{parts[0]}.{parts[1]}.space.{parts[2]}={text}'])}"
    if parts[0] == "learner" and len(parts) == 4 and parts[2] == "make":
        space = f"learner.{parts[1]}.space.{parts[3]}={text}"
        return f"Write {to_shell([space, 'search.tune_learner=true', 'search=tpe'])}"
    if bare == "seed":
        return (
            "Repeats have seeds of their own: write protocol.repeats=3, or run one study per seed, each with its name"
        )
    dot = f"If {decimal.partition('=')[2]} is meant, write {to_shell([decimal])}. " if decimal else ""
    return (
        f"{dot}Sweep keys such as strategy.smote.space.ratio or protocol.thresholds, or list names: learner=[knn,svm]. "
        f"For several values of {bare} run one study each, with a name of its own, and compare them: imblab compare A B"
    )


def quote_as_meant(text: str) -> str | None:
    """Quote the words of an override, so that Hydra reads each as typed; None where quotes do not help."""
    key, _, value = text.partition("=")
    meant: Any = value
    if not ONE_WORD.fullmatch(key) and (value[:1] in ("[", "{") or re.match(r"\w+\(", value)):
        if not re.fullmatch(r"\[[^\[\]{}'\"]*\]", value):
            return None
        meant = [word.strip() for word in value[1:-1].split(",")]
    quoted = f"{key}={to_hydra_syntax(meant)}"
    try:
        parsed = validation.parse_hydra_override(quoted).value()
    except validation.UNREADABLE:
        return None
    return quoted if parsed == meant or "${" in value else None


def _syntax_error(text: str, error: Exception) -> ConfigError:
    # The parser quotes the text up to where it stopped, and that may be half of a password.
    reason = "" if "://" in text else f" ({validation.describe_parse_error(error)})"
    quoted = quote_as_meant(text) if redact(text) == text else None
    rule = "overrides are written key=value in Hydra's grammar. Quote the value for the shell, as in "
    way_out = "'strategy.smote.space.k=choice(3,5)'"
    if quoted is not None:
        rule = "Hydra's grammar gives some characters a meaning, unless they are quoted. Write "
        way_out = to_shell([quoted])
    return ConfigError(f"override {text!r} cannot be parsed{reason}; {rule}{way_out}.")


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
