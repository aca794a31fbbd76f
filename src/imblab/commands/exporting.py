"""``imblab export``: fits the selected strategy of a study on all rows, and writes or registers it as a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from imblab.analysis.advice import Selection, describe_left_out, select_strategies
from imblab.analysis.model_card import ModelFacts, write_card
from imblab.commands import results, syncing
from imblab.commands.layout import Layout, absent_table_error, lay_out
from imblab.core import admission, model, own_code
from imblab.core.evaluate import Task
from imblab.edges import config, datasets, ledger, mlflow, runner, store, terminal
from imblab.edges.config.requests import RUNTIME
from imblab.edges.config.studies import StudyModel
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, FitError, FitFailed, StudyError, close_match, presentable, unknown
from imblab.result import Evaluation, StudyResult, Trial
from imblab.study import PROBABILITY, Cell, Dataset, Scalar, Study, fingerprint

#: Keys of the command line that restrict the selection.
CHOICE_KEYS = ("dataset", "learner", "strategy")
#: Keys that are true or false, and their rule.
FLAGS = {
    "contains_rows": "it says whether a model that stores training rows may be exported, true or false. Write "
    "contains_rows=true if everyone who gets the model may see the rows.",
    "champion": "it says whether the alias 'champion' moves to this model, true or false. Write champion=true to serve "
    "it from now on.",
}
EXAMPLE_ROWS = 3


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A selected strategy, fitted on all rows of its data set; ``row_keeper`` is a class that stores training rows."""

    task: Task
    winner: Trial
    estimator: Any
    candidates: int
    row_keeper: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ExportedStrategy:
    """A selected strategy, fitted on all rows of its data set and written as a model."""

    selection: Selection  # data set, learner and strategy, and why they were selected
    estimator: Any  # the fitted model with its threshold
    #: where the model is (``folder``, or ``model`` and ``version``), what it rests on, and the command that serves it
    facts: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{self.selection.key}: {self.facts['said']} Serve it: {self.facts['serve']}"


def command_export(name: str, args: Sequence[str], as_json: bool) -> int:
    """``imblab export``: select, fit on all rows, write or register."""
    say, show = (terminal.print_nothing,) * 2 if as_json else (terminal.print_paragraph, terminal.show)
    exported = []
    for each in export_strategies(name, args, say):
        exported.append(each.facts)
        say(f"{each.facts['said']} Serve it:")
        show(f"  {each.facts['serve']}")  # one line, to be copied
    if as_json:
        terminal.put(json.dumps(exported))
    return 0


def export_strategies(
    name: str,
    args: Sequence[str],
    say: Callable[[str], None],
    experiments: Path = EXPERIMENTS,
    data: Sequence[Dataset] = (),
) -> Iterator[ExportedStrategy]:
    """Export the selected strategy of every data set of a study; all are checked before the first is fitted."""
    choice, flags, overrides = split_words(args, CHOICE_KEYS, FLAGS)
    home = ledger.find_study(name, experiments)
    request = config.load_request(home / ledger.STUDY_FILE, overrides)
    rows = ledger.read_evaluations(home)
    result = results.result_of(request.study, rows, home=home)
    selections = select_strategies(result, choice)
    for line in [*result.completeness.sentences(), *describe_left_out(result, choice)]:
        say(line)
    if not flags["contains_rows"]:
        _refuse_row_keepers(result.study, selections)
    _check_target(home, request, flags["champion"])
    for selection in selections:
        say(f"{selection.key}: {selection.reason}")
        given = {table.name: table for table in data}
        model = prepare_model(home, result, rows, selection, request, flags["contains_rows"], given)
        facts = _place_model(model, home, selection, request, flags["champion"])
        yield ExportedStrategy(selection, model.estimator, facts)


def split_words(
    args: Sequence[str], keys: Sequence[str], rules: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, bool], tuple[str, ...]]:
    """Separate the words that choose among models, and those that are true or false by a rule, from overrides."""
    pairs = [(word.partition("=")[0], word.partition("=")[2], word) for word in args]
    choice = {key: value.strip("[]") for key, value, _ in pairs if key in keys}
    flags = dict.fromkeys(rules, "false") | {key: value.lower() for key, value, _ in pairs if key in rules}
    for key, value in flags.items():
        if value not in ("true", "false"):
            raise ConfigError(f"{key!r} is {value!r}; {rules[key]}")
    overrides = tuple(word for key, _, word in pairs if key not in (*keys, *rules))
    valid = (*keys, *rules, *RUNTIME)
    heads = [word.lstrip("+~").partition("=")[0].split(".")[0] for word in overrides if "=" in word]
    if misspelt := [key for key in heads if key not in (*valid, *StudyModel.model_fields) and close_match(key, valid)]:
        raise ConfigError(*(unknown("key", key, valid) for key in misspelt))
    return choice, {key: value == "true" for key, value in flags.items()}, overrides


def prepare_model(
    home: Path,
    result: StudyResult,
    rows: Sequence[Evaluation],
    selection: Selection,
    request: config.Request,
    contains_rows: bool,
    given: Mapping[str, Dataset] | None = None,
) -> mlflow.ExportedModel:
    """Choose the knobs on all rows, fit, refuse a model that stores training rows and may not, and write the card."""
    with fit_errors(selection):
        data, fitted = fit_selected(request.study, rows, selection, bool(request.runner.get("store", True)), given)
    if fitted.row_keeper is not None and not contains_rows:
        raise _stores_rows_error(selection, fitted.row_keeper)
    packages = {path.partition(".")[0] for path in own_code.code_names([fitted.task.cell.learner.make])} - {"__main__"}
    form = replace(mlflow.choose_format(fitted.estimator, request.packages), modules=tuple(sorted(packages)))
    title = request.tracking.get("experiment") or request.study.name
    name = mlflow.model_name(title, selection.dataset, results.by_dataset_name(request.study).datasets)
    facts = _model_facts(name, data, selection, fitted, form)
    return mlflow.ExportedModel(
        name=name,
        estimator=fitted.estimator,
        form=form,
        columns=facts.columns,
        label={bool: "boolean", int: "long", float: "double"}.get(type(facts.labels[0]), "string"),
        example=_example_rows(data, facts.columns),
        card=write_card(facts, result, results.read_evidence(home)),
        tags=_model_tags(facts, result),
        answers=fingerprint(fitted.estimator.scores(data.X)),
    )


@contextmanager
def fit_errors(selection: Selection) -> Iterator[None]:
    """Say in a FitError which strategy cannot be fitted on all rows, and what to do."""
    try:
        yield
    except FitFailed as error:
        raise FitError(
            f"cannot export {selection.key!r}: on all rows of {selection.dataset!r}, {error}. A model predicts exactly "
            "as the study does. Choose another strategy=... or learner=..., or repair the cause and run the study "
            "again."
        ) from error


def fit_selected(
    study: Study,
    rows: Sequence[Evaluation],
    selection: Selection,
    use_store: bool,
    given: Mapping[str, Dataset] | None = None,
) -> tuple[Dataset, FittedModel]:
    """Choose the knobs of a selected strategy on all rows of the recorded table and fit it; return the table too.

    ``given`` holds tables in memory, by name. FitFailed if nothing can be fitted on all rows.
    """
    layout = layout_of_dataset(study, selection.dataset, given)
    data = layout.datasets[selection.dataset]
    _check_same_table(data, {row.data_fingerprint for row in rows if row.dataset == selection.dataset})
    place = (selection.dataset, selection.learner, selection.strategy)
    ledger.check_code([row for row in rows if (row.dataset, row.learner, row.strategy) == place], study.name)
    return data, fit_on_all_rows(layout, selection, use_store)


def fit_on_all_rows(layout: Layout, selection: Selection, use_store: bool) -> FittedModel:
    """Search, choose and fit as in an outer fold whose training part is the full table."""
    study, data = layout.study, layout.datasets[selection.dataset]
    learner = next(each for each in study.learners if each.name == selection.learner)
    strategy = next(each for each in study.strategies if each.name == selection.strategy)
    cell = Cell(selection.dataset, learner, strategy, model.all_rows_split(data))
    kept = store.SqliteStore(store.DEFAULT_PATH.resolve()) if use_store and store.DEFAULT_PATH.exists() else None
    with closing(kept) if kept is not None else nullcontext(), threadpool_limits(1):
        bundle = runner.Bundle(study, selection.dataset, layout.plans[selection.dataset], (cell,))
        task = runner.BundleEvaluator(bundle, runner.DatasetContext.of(data, kept)).task(cell)
        winner, candidates = model.choose_params(task)
        labels = data.labels or _typed_labels(data.classes)
        estimator = model.fit_model(task, winner.params, winner.threshold, labels)
        return FittedModel(task, winner, estimator, candidates, admission.row_keeper(estimator.learner))


def _model_facts(
    name: str, data: Dataset, selection: Selection, fitted: FittedModel, form: mlflow.ModelFormat
) -> ModelFacts:
    params = fitted.winner.params
    return ModelFacts(
        name=name,
        dataset=selection.dataset,
        learner=selection.learner,
        strategy=selection.strategy,
        labels=data.labels or _typed_labels(data.classes),
        class_rows=tuple(np.bincount(data.y, minlength=len(data.classes)).tolist()),
        source=data.parent,
        fingerprint=data.fingerprint,
        columns={name: _column_kind(data.X[name], name in data.categorical) for name in data.X.columns},
        split_by=tuple(role for role in ("groups", "time") if getattr(data, role) is not None),
        params=dict(params),
        threshold=fitted.winner.threshold,
        candidates=fitted.candidates,
        selection=selection.reason,
        form=form.sentence,
        contains_rows=fitted.row_keeper is not None,
        risks=fitted.task.scale(params) == PROBABILITY,
        scale=fitted.task.threshold_scale(params),
        missing=data.missing,
        groups_rare_levels=data.rare is not None,
    )


def _check_target(home: Path, request: config.Request, champion: bool) -> None:
    """Refuse a place from which no model could be loaded, before anything is fitted."""
    if not request.tracking.get("enabled", True):
        if champion:
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


def _place_model(
    exported: mlflow.ExportedModel, home: Path, selection: Selection, request: config.Request, champion: bool
) -> dict[str, Any]:
    """Register a model, or write it into the folder of the study if nothing is tracked; returns what was done."""
    facts = {**{kind: getattr(selection, kind) for kind in CHOICE_KEYS}, "model": exported.name, **exported.tags}
    if not request.tracking.get("enabled", True):
        folder = home / "model" / selection.dataset
        mlflow.save_model(exported, home, f"model/{selection.dataset}")
        serve = _serve_command(str(folder))
        return {**facts, "folder": str(folder), "said": f"Written to {folder}.{exported.form.needs}", "serve": serve}
    uri = str(request.tracking["uri"])
    owner = syncing.experiment_owner(home, request.study, syncing.settle_identity(home), request.tracking)
    registration = mlflow.register_model(exported, owner, uri, champion)
    return {
        **facts,
        "version": registration.version,
        "new": registration.is_new,
        "champion": registration.champion,
        "said": registration.sentence + exported.form.needs,
        "serve": f"MLFLOW_TRACKING_URI={quote(presentable(uri))} {_serve_command(registration.source)}",
    }


def _serve_command(source: str) -> str:
    return f"mlflow models serve -m {quote(source)} --env-manager local"


def _refuse_row_keepers(study: Study, selections: Sequence[Selection]) -> None:
    """Refuse learners that store training rows, before anything is fitted."""
    for selection in selections:
        learner = next(each for each in study.learners if each.name == selection.learner)
        if (keeper := model.find_row_keeper(learner)) is not None:
            raise _stores_rows_error(selection, keeper)


def _stores_rows_error(selection: Selection, keeper: str) -> StudyError:
    stores = f"stores training rows in the fitted model ({keeper})"
    if keeper.partition(".")[0] not in admission.SHIPPED:
        stores = f"may store training rows in the fitted model (its class {keeper!r} is not known to store none)"
    return StudyError(
        f"cannot export {selection.key!r}: learner {selection.learner!r} {stores}; a model holds none unless "
        "that is meant. Pass `contains_rows=true` to export it anyway, tagged so, or choose another learner."
    )


def layout_of_dataset(study: Study, name: str, given: Mapping[str, Dataset] | None = None) -> Layout:
    """Lay out the study with one of its data sets, which may be a table in memory."""
    if given and name in given:
        return lay_out(replace(study, datasets={}), {name: given[name]})
    specs = {key: spec for key, spec in study.datasets.items() if datasets.name_and_parent(spec, key)[0] == name}
    if not specs:
        raise absent_table_error(study.name, name)
    return lay_out(replace(study, datasets=specs))


def _check_same_table(data: Dataset, recorded: set[str]) -> None:
    """Refuse a table that is not the one the evaluations rest on."""
    if recorded != {data.fingerprint}:
        hashes = ", ".join(sorted(repr(each[:16]) for each in recorded))
        raise StudyError(
            f"data set {data.name!r} has another content ({data.fingerprint[:16]!r}) than the rows of the study "
            f"({hashes}); scores and model belong to one table. Restore the table, or run the study again under "
            "another name=..."
        )


def _typed_labels(classes: tuple[str, ...]) -> tuple[Scalar, ...]:
    """The labels of a file: whole numbers and truth values where all read as such, else text."""
    if set(classes) == {"True", "False"}:
        return tuple(each == "True" for each in classes)
    are_numbers = all(re.fullmatch("0|-?[1-9][0-9]*", each) for each in classes)
    return tuple(map(int, classes)) if are_numbers else classes


def _column_kind(column: pd.Series, is_categorical: bool) -> str:
    values = list(column.cat.categories) if is_categorical else list(column.dropna().unique())
    if is_categorical and values and all(isinstance(value, (bool, np.bool_)) for value in values):
        return "boolean"
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        return "string"
    return mlflow.WHOLE_NUMBERS if all(float(value).is_integer() for value in values) else "double"


def _example_rows(data: Dataset, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Synthetic rows: numbers drawn around the mean of their column, categories that do not exist."""
    rng = np.random.default_rng(0)
    unseen: dict[str, Any] = {"string": "example", "double": 0.0, mlflow.WHOLE_NUMBERS: 0, "boolean": False}
    columns = {}
    for name, kind in kinds.items():
        if name in data.categorical:
            columns[name] = [unseen[kind]] * EXAMPLE_ROWS
        else:
            values = data.X[name].to_numpy()
            mean, sd = (float(np.nan_to_num(statistic(values))) for statistic in (np.nanmean, np.nanstd))
            drawn = rng.normal(mean, sd, EXAMPLE_ROWS)
            columns[name] = [round(v) if kind == mlflow.WHOLE_NUMBERS else float(f"{v:.3g}") for v in drawn]
    return pd.DataFrame(columns)


def _model_tags(facts: ModelFacts, result: StudyResult) -> dict[str, str]:
    completeness = result.completeness
    class_tags = {"imblab.positive": str(facts.labels[1])}
    if len(facts.labels) > 2:
        class_tags = {"imblab.classes": json.dumps(facts.labels)}
    return {
        "imblab.study": result.study.name,
        "imblab.complete": str(completeness.is_complete).lower(),
        "imblab.evaluations": f"{completeness.evaluated} of {completeness.asked}",
        **{f"imblab.{kind}": value for kind, value in facts.coordinates.items()},
        "imblab.threshold": json.dumps(facts.threshold),
        "imblab.scale": facts.scale,
        "imblab.params": json.dumps(dict(facts.params)),
        **class_tags,
        "imblab.data_fingerprint": facts.fingerprint,
        "imblab.contains_rows": str(facts.contains_rows).lower(),
    }
