"""The winner leaves: the strategy that a study found best, on all rows, as a model that anyone can serve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from imblab.analysis.model_card import ModelFacts, write_card
from imblab.commands import derived_files, results, syncing
from imblab.commands.layout import EXPERIMENTS, Layout, lay_out
from imblab.core import admission, model
from imblab.core.evaluate import Task
from imblab.core.fitting import FitFailed
from imblab.edges import config, datasets, ledger, mlflow, runner, store, terminal
from imblab.errors import ConfigError, FitError, StudyError, presentable, unknown
from imblab.result import StudyResult, Trial
from imblab.study import PROBABILITY, Cell, Dataset, Scalar, Study, fingerprint

#: What chooses among the arms of a study.
CHOICE = ("dataset", "learner", "strategy")
#: What is true or false, and what it says.
FLAGS = {
    "contains_rows": "it says whether a model made of rows may leave, true or false. Write contains_rows=true if "
    "whoever gets the model may see the rows.",
    "champion": "it says whether the alias 'champion' moves to this model, true or false. Write champion=true to serve "
    "it from now on.",
}
#: Means closer than this are tied: the first in the order of the study wins.
TIED = 1e-12
#: Rows of the example that travels with a model.
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall leave.

    Attributes
    ----------
    choice : mapping of str to str
        ``dataset``, ``learner`` and ``strategy``, as far as they were named.
    contains_rows : bool
        Whether a model made of rows may leave.
    champion : bool
        Whether the alias moves to what is registered.
    rest : tuple of str
        Overrides of how it is run.
    """

    choice: Mapping[str, str]
    contains_rows: bool
    champion: bool
    rest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """A data set, learner and strategy of a study, and why it leaves."""

    dataset: str
    learner: str
    strategy: str
    reason: str

    @property
    def key(self) -> str:
        """The arm in a few words."""
        return f"{self.dataset}/{self.learner}/{self.strategy}"


def command_export(name: str, args: Sequence[str], as_json: bool) -> int:
    """``imblab export``: choose, fit on all rows, register."""
    say, show = (_quiet, _quiet) if as_json else (terminal.print_paragraph, terminal.show)
    wish = wished(args)
    home = ledger.find_study(name, EXPERIMENTS)
    request = config.load_request(home / ledger.STUDY_FILE, wish.rest)
    found = results.result_of(request.study, ledger.read_evaluations(home))
    chosen, done = arms(found, wish.choice), []
    for line in found.completeness.sentences():
        say(line)
    if not wish.contains_rows:
        _refuse_rows(found.study, chosen)
    _check_place(home, request, wish)
    for arm in chosen:
        say(f"{arm.key}: {arm.reason}")
        made = prepare(home, found, arm, request, wish.contains_rows)
        done.append(_placed(made, home, arm, request, wish.champion))
        say(f"{done[-1]['said']} Serve it:")
        show(f"  {done[-1]['serve']}")  # one line, to be copied
    if as_json:
        terminal.put(json.dumps(done))
    return 0


def wished(args: Sequence[str]) -> Wish:
    """What the words after the name of the study ask for.

    Raises
    ------
    ConfigError
        If ``contains_rows`` or ``champion`` is neither true nor false.

    Examples
    --------
    >>> wished(["strategy=[smote]", "tracking=none"])
    Wish(choice={'strategy': 'smote'}, contains_rows=False, champion=False, rest=('tracking=none',))
    """
    pairs = [(word.partition("=")[0], word.partition("=")[2], word) for word in args]
    choice = {key: value.strip("[]") for key, value, _ in pairs if key in CHOICE}
    said = {key: value.lower() for key, value, _ in pairs if key in FLAGS}
    for key, value in said.items():
        if value not in ("true", "false"):
            raise ConfigError(f"{key!r} is {value!r}; {FLAGS[key]}")
    rest = tuple(word for key, _, word in pairs if key not in (*CHOICE, *FLAGS))
    return Wish(choice, said.get("contains_rows") == "true", said.get("champion") == "true", rest)


def arms(found: StudyResult, choice: Mapping[str, str]) -> list[Arm]:
    """For every data set the best arm among those that every fold answered, or the one that was named.

    Parameters
    ----------
    found : StudyResult
    choice : mapping of str to str

    Returns
    -------
    list of Arm

    Raises
    ------
    StudyError
        If a name is unknown, no arm has a score in every fold, or one would be chosen from an incomplete design.
    """
    summary, primary = found.summary, found.study.primary
    for kind, name in choice.items():
        known = list(dict.fromkeys(summary[kind])) if len(summary) else []
        if name not in known:
            raise StudyError(unknown(kind if kind != "dataset" else "data set", name, known))
        summary = summary[summary[kind] == name]
    whole = summary[(summary.ok == summary.folds) & summary["mean"].notna()] if len(summary) else summary
    if not len(whole):
        raise StudyError(
            f"study {found.study.name!r} has no strategy with a {primary} in every fold among those asked for; a model "
            f"leaves with its scores. Finish it with imblab run, or see imblab compare {found.study.name}."
        )
    if not found.completeness.is_complete and not {"learner", "strategy"} <= set(choice):
        raise StudyError(
            f"study {found.study.name!r} is incomplete: {found.completeness.counted} are there; nothing is chosen "
            "before the design is complete. Finish it with imblab run, or name learner=... and strategy=... to export "
            "that pair as it stands, which its card says."
        )
    return [_best(rows, found.study, choice) for _, rows in whole.groupby("dataset", sort=False)]


def _best(rows: pd.DataFrame, study: Study, choice: Mapping[str, str]) -> Arm:
    measure = next(m for m in study.measures if m.name == study.primary)
    value = rows["mean"] if measure.greater_is_better else -rows["mean"]
    row = rows[value.max() - value <= TIED].iloc[0]
    named = " and ".join(f"{kind} {choice[kind]}" for kind in ("learner", "strategy") if kind in choice)
    asked = f" with {named}" if named else ""
    mean = f"mean {study.primary} {row['mean']:.4f}"
    many = f"the best of {len(rows)} pairs of learner and strategy{asked}, {mean}."
    reason = f"the one asked for, {mean}." if len(rows) == 1 else many
    return Arm(row.dataset, row.learner, row.strategy, f"Chosen as {reason}")


def prepare(
    home: Path, found: StudyResult, arm: Arm, request: config.Request, contains_rows: bool
) -> mlflow.ExportedModel:
    """Choose the knobs on all rows, fit, look for rows inside, write the card.

    Parameters
    ----------
    home : Path
        The folder of the study.
    found : StudyResult
    arm : Arm
    request : Request
    contains_rows : bool

    Returns
    -------
    Model

    Raises
    ------
    FitError
        If nothing can be fitted on all rows.
    StudyError
        If the table is another one than that of the study, or the model would hold rows and may not.
    """
    study = request.study
    layout = _laid_out(study, arm.dataset)
    data = layout.datasets[arm.dataset]
    rows = ledger.read_evaluations(home)
    _check_table(data, {r.data_fingerprint for r in rows if r.dataset == arm.dataset})
    ledger.check_code(
        [r for r in rows if (r.dataset, r.learner, r.strategy) == (arm.dataset, arm.learner, arm.strategy)], study.name
    )
    labels = (_label(data.classes, 0), _label(data.classes, 1))
    try:
        task, trial, made, candidates = _fitted(layout, arm, labels, bool(request.runner.get("store", True)))
    except FitFailed as error:
        raise FitError(
            f"{arm.key!r} cannot leave: on all rows of {arm.dataset!r}, {error}. A model answers exactly as the study "
            "does. Choose another strategy=... or learner=..., or mend the cause and run the study again."
        ) from error
    keeper = admission.row_keeper(made.learner)
    if keeper is not None and not contains_rows:
        raise _made_of_rows(arm, keeper)
    form = mlflow.choose_format(made, (*admission.SHIPPED, *(entry.partition(".")[0] for entry in request.allow)))
    facts = ModelFacts(
        name=mlflow.model_name(request.tracking.get("experiment") or study.name, arm.dataset),
        dataset=arm.dataset,
        learner=arm.learner,
        strategy=arm.strategy,
        labels=labels,
        rows=len(data.y),
        positives=int(data.y.sum()),
        source=data.parent,
        fingerprint=data.fingerprint,
        columns=_columns(data),
        split_by=tuple(name for name in ("groups", "time") if getattr(data, name) is not None),
        params=dict(trial.params),
        threshold=float(trial.threshold or 0.0),
        candidates=candidates,
        selection=arm.reason,
        form=form.sentence,
        contains_rows=keeper is not None,
        risks=task.scale(trial.params) == PROBABILITY,
        scale=task.threshold_scale(trial.params),
    )
    gathered = derived_files.read_evidence(home)
    text = write_card(facts, found, gathered)
    return mlflow.ExportedModel(
        name=facts.name,
        estimator=made,
        form=form,
        columns=facts.columns,
        label=_kind(labels),
        example=_example(data, facts.columns),
        card=text,
        tags=_tags(facts, found),
        answers=fingerprint(made.scores(data.X)),
    )


def _fitted(layout: Layout, arm: Arm, labels: tuple[Scalar, Scalar], keep: bool) -> tuple[Task, Trial, Any, int]:
    """The task on all rows, its winner, the estimator, and how many candidates were judged."""
    study, data = layout.study, layout.datasets[arm.dataset]
    learner = next(item for item in study.learners if item.name == arm.learner)
    strategy = next(s for s in study.strategies if s.name == arm.strategy)
    cell = Cell(arm.dataset, learner, strategy, model.all_rows_split(data))
    with (
        closing(store.SqliteStore(store.DEFAULT_PATH.resolve()))
        if keep and store.DEFAULT_PATH.exists()
        else nullcontext() as kept,
        threadpool_limits(1),
    ):
        bundle = runner.Bundle(study, arm.dataset, layout.plans[arm.dataset], (cell,))
        task = runner.BundleEvaluator(bundle, runner.DatasetContext.of(data, kept)).task(cell)
        trial, judged = model.choose_params(task)
        assert trial.threshold is not None
        return task, trial, model.fit_model(task, trial.params, trial.threshold, labels), judged


def _check_place(home: Path, request: config.Request, wish: Wish) -> None:
    """Refuse a place from which no model could be loaded, before anything is fitted."""
    if not request.tracking.get("enabled", True):
        if wish.champion:
            raise ConfigError(
                "'champion' is 'true' with tracking=none; the alias belongs to a version at a store. Leave out one of "
                "them."
            )
        mlflow.check_model_folder(home / "model")
        return
    uri = str(request.tracking["uri"])
    mlflow.check_store_uri(uri)
    if mlflow.is_database(uri):
        mlflow.check_model_folder(mlflow.artifact_folder(uri))


def _placed(
    made: mlflow.ExportedModel, home: Path, arm: Arm, request: config.Request, champion: bool = False
) -> dict[str, Any]:
    """Register a model, or write it beside the study where nothing is tracked."""
    facts: dict[str, Any] = {**{kind: getattr(arm, kind) for kind in CHOICE}, "model": made.name, **made.tags}
    if not request.tracking.get("enabled", True):
        folder = home / "model" / arm.dataset
        mlflow.save_model(made, home, f"model/{arm.dataset}")
        return {**facts, "folder": str(folder), "said": f"Written to {folder}.", "serve": _serve(str(folder))}
    uri = str(request.tracking["uri"])
    owner = syncing.experiment_owner(home, request.study, syncing.settle_identity(home), request.tracking)
    found = mlflow.register_model(made, owner, uri, champion)
    return {
        **facts,
        "version": found.version,
        "new": found.is_new,
        "champion": found.champion,
        "said": found.sentence,
        "serve": f"MLFLOW_TRACKING_URI={quote(presentable(uri))} {_serve(found.source)}",
    }


def _quiet(text: str) -> None:
    """Say nothing: a machine reads."""


def _serve(source: str) -> str:
    return f"mlflow models serve -m {quote(source)} --env-manager local"


def _refuse_rows(study: Study, chosen: Sequence[Arm]) -> None:
    """Refuse learners that are made of rows before anything is fitted."""
    for arm in chosen:
        learner = next(item for item in study.learners if item.name == arm.learner)
        if (keeper := model.find_row_keeper(learner)) is not None:
            raise _made_of_rows(arm, keeper)


def _made_of_rows(arm: Arm, keeper: str) -> StudyError:
    shipped = keeper.partition(".")[0] in admission.SHIPPED
    stores = f"stores training rows in the fitted model ({keeper})"
    may = f"may store training rows in the fitted model (its class {keeper!r} is not known to store none)"
    return StudyError(
        f"cannot export {arm.key!r}: learner {arm.learner!r} {stores if shipped else may}; a model holds none unless "
        "that is meant. Pass `contains_rows=true` to export it anyway, tagged so, or choose another learner."
    )


def _laid_out(study: Study, name: str) -> Layout:
    """The study with the one data set that is needed."""
    specs = {key: spec for key, spec in study.datasets.items() if datasets.name_and_parent(spec, key)[0] == name}
    if not specs:
        raise StudyError(
            f"data set {name!r} of study {study.name!r} was a table in memory; a model is fitted on all rows, which "
            "are read as the study describes them. Write the table to a file and run the study with dataset=table."
        )
    return lay_out(replace(study, datasets=specs))


def _check_table(data: Dataset, known: set[str]) -> None:
    if known != {data.fingerprint}:
        raise StudyError(
            f"data set {data.name!r} has another content ({data.fingerprint[:16]!r}) than the rows of the study "
            f"({', '.join(sorted(map(repr, (k[:16] for k in known))))}); scores and model belong to one table. Restore "
            "the table, or run the study again under another name=..."
        )


def _label(classes: tuple[str, str], which: int) -> Scalar:
    """A label as the table has it: whole numbers and truth values where both labels read as such, else text."""
    text = classes[which]
    if set(classes) == {"True", "False"}:
        return text == "True"
    whole = all(c.removeprefix("-").isdigit() and str(int(c)) == c for c in classes)
    return int(text) if whole else text


def _kind(labels: tuple[Scalar, Scalar]) -> str:
    return {bool: "boolean", int: "long"}.get(type(labels[0]), "string")


def _columns(data: Dataset) -> dict[str, str]:
    """The kind of every column: what MLflow shall take for it."""
    return {name: _kind_of(data.X[name], name in data.categorical) for name in data.X.columns}


def _kind_of(column: pd.Series, categorical: bool) -> str:
    values = list(column.cat.categories) if categorical else list(column.dropna().unique())
    if categorical and values and all(isinstance(value, (bool, np.bool_)) for value in values):
        return "boolean"
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        return "string"
    return mlflow.WHOLE_NUMBERS if all(float(value).is_integer() for value in values) else "double"


def _example(data: Dataset, columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows that nobody has: numbers drawn around the mean of their column, categories that do not exist."""
    draw = np.random.default_rng(0)
    said: dict[str, Any] = {"string": "example", "double": 0.0, mlflow.WHOLE_NUMBERS: 0, "boolean": False}
    made = {}
    for name, kind in columns.items():
        if name in data.categorical:
            made[name] = [said[kind]] * EXAMPLES
        else:
            values = data.X[name].to_numpy()
            middle, width = (float(np.nan_to_num(f(values))) for f in (np.nanmean, np.nanstd))
            drawn = draw.normal(middle, width, EXAMPLES)
            made[name] = [round(v) if kind == mlflow.WHOLE_NUMBERS else float(f"{v:.3g}") for v in drawn]
    return pd.DataFrame(made)


def _tags(facts: ModelFacts, found: StudyResult) -> dict[str, str]:
    whole = found.completeness
    return {
        "imblab.study": found.study.name,
        "imblab.complete": str(whole.is_complete).lower(),
        "imblab.evaluations": f"{whole.evaluated} of {whole.asked}",
        **{f"imblab.{kind}": value for kind, value in facts.coordinates.items()},
        "imblab.threshold": f"{facts.threshold!r}",
        "imblab.scale": facts.scale,
        "imblab.params": json.dumps(dict(facts.params)),
        "imblab.positive": str(facts.labels[1]),
        "imblab.data_fingerprint": facts.fingerprint,
        "imblab.contains_rows": str(facts.contains_rows).lower(),
    }
