"""Studies run from Python: composed, evaluated in memory, run and resumed in a folder, or rescored.

``imblab rescore`` asks another question on the fits of a study, answered from the prediction store. The same kernel
runs with a ``predict`` that looks predictions up and never fits. Where the change moves winners, the missing refits are
listed, and made only on request. The rows were seen before the question was asked: the result is exploratory.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imblab.analysis import summary
from imblab.analysis.claims import register_claims
from imblab.analysis.methods import named
from imblab.analysis.summary import to_frame
from imblab.commands import results, syncing
from imblab.commands.applicability import Applicability
from imblab.commands.evidence_builder import build_evidence, evidence_facts, merge_evidence
from imblab.commands.layout import Layout, check_tables, in_memory, lay_out, parse_request, store_opener
from imblab.commands.running import RunOptions, asked_part, complete_study, in_design_order, progress_observers
from imblab.commands.short_form import overrides_from_python
from imblab.core import design, replay
from imblab.core.evaluate import evaluate_cell
from imblab.core.fitting import Prediction
from imblab.core.forecast import GetPrediction
from imblab.edges import config, files, ledger, runner, store, terminal
from imblab.edges.config.validation import quote
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, StudyError, presentable
from imblab.result import Evaluation, StudyResult
from imblab.study import Dataset, Study
from imblab.text import count_noun, format_difference, format_score, join_words

if TYPE_CHECKING:
    import pandas as pd

#: Keys whose differences are described in other words, or not at all.
UNLISTED_KEYS = ("name:", "measures.", "claims.registered")


def warn_caller(note: str) -> None:
    """Warn in the line of the code that called imblab."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "imblab":
        level, frame = level + 1, frame.f_back
    warnings.warn(note, UserWarning, stacklevel=level)


@dataclass(frozen=True, slots=True, eq=False)
class StudyRun:
    """The outcome of a run in Python: the study as it was asked, the one that is recorded, and evaluations."""

    layout: Layout  # the study that was asked for, with its tables
    recorded: Study  # the study that the folder records, which may be more
    evaluations: list[Evaluation]  # all of the recorded study
    home: Path | None = None  # the folder; None for a run in memory
    source: results.RecordFiles | None = None  # the evidence of a run in memory

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cell of the design that was asked for."""
        return to_frame(in_design_order(self.layout, self.evaluations))

    def result(self) -> StudyResult:
        """Build the result of what was asked for."""
        result = results.result_of(self.recorded, self.evaluations, home=self.home, source=self.source)
        return result if self.home is None else asked_part(self.layout, result, self.home)


def compose(*overrides: str, config_dirs: Sequence[str | Path] = (), **values: Any) -> Study:
    """Compose a study from the configuration, as the command line does.

    Parameters
    ----------
    *overrides : str
        Such as ``"experiment=quickstart"`` and ``"strategy.smote.space.k=choice(3,5)"``; a name alone is an experiment.
    config_dirs : sequence of path, default=()
        Further folders with groups and experiments.
    **values
        Overrides as keys and values, such as ``seed=3``, ``learner=["svm"]`` and ``**{"search.n_trials": 5}``.

    Returns
    -------
    Study
        The question, with all its defaults; nothing is loaded or fitted.

    Raises
    ------
    ConfigError
        For a study that cannot be run.

    See Also
    --------
    imblab.plan : What the study would do.
    imblab.run : Run it.

    Examples
    --------
    >>> compose("experiment=quickstart").primary
    'mcc'
    >>> compose("quickstart", seed=3, search="tpe", **{"search.n_trials": 5}).tuning.n_trials
    5
    """
    words = overrides_from_python(overrides, values)
    request = parse_request(words, [Path(d) for d in config_dirs])
    if request.runner.get("engine") == "dask":
        raise ConfigError(
            "'runner' is 'dask'; in Python a study runs in processes of this machine. Use `imblab run` with the same "
            "overrides, or pass runner='local' here and n_jobs to imblab.run."
        )
    return request.study


def evaluate(study: Study | str, data: Sequence[Dataset] = (), n_jobs: int = 1, **values: Any) -> pd.DataFrame:
    """Run a study in memory and return its evaluations; nothing is written.

    Parameters
    ----------
    study : Study or str
        As written in Python, or composed by :func:`imblab.compose`; or the name of an experiment.
    data : sequence of Dataset, default=()
        Tables in memory, in addition to those that ``study.datasets`` names; see :func:`imblab.dataset`.
    n_jobs : int, default=1
        Worker processes, -1 for all cores; changes no number.
    **values
        Overrides of a named experiment, as :func:`compose` takes them.

    Returns
    -------
    DataFrame
        One row per cell of the design, one column per measure.

    Warns
    -----
    UserWarning
        For code that cannot be read, and for what is doubtful in a table or its folds, as ``imblab run`` prints it.

    See Also
    --------
    imblab.run : The same with an answer, and kept in a folder.

    Examples
    --------
    >>> study = compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> evaluate(study).status.unique().tolist()
    ['ok']
    """
    if isinstance(study, str):
        study = compose(study, **values)
    else:
        check_no_overrides(study, values)
    return run_in_memory(study, data, n_jobs, builds_evidence=False).to_frame()


def check_path(argument: str, path: Any) -> None:
    """Refuse what is neither a text nor a path."""
    if not isinstance(path, (str, Path)):
        raise ConfigError(
            f"{argument!r} is {quote(path)}; it is a text or a path. Write for example {argument}='results'."
        )


def check_no_overrides(study: Study, values: Mapping[str, Any]) -> None:
    """Refuse overrides of a study that is composed already."""
    if values:
        raise ConfigError(
            f"study {study.name!r} is given with {', '.join(f'{key}=' for key in values)}; a composed study stands as "
            "it is. Pass the overrides to imblab.compose."
        )


def run_in_memory(
    study: Study,
    data: Sequence[Dataset] = (),
    n_jobs: int = 1,
    fit_timeout: float | None = None,
    builds_evidence: bool = True,
    progress: bool | None = False,
) -> StudyRun:
    """Run a study and write nothing; its evidence is for curves, and takes the memory of all test predictions."""
    layout = _lay_out_with_warnings(replace(study, datasets={**in_memory(data), **study.datasets}), data)
    evaluations: list[Evaluation] = []
    kept: dict[str, Prediction] | None = {} if builds_evidence else None
    bundles = runner.make_bundles(layout.study, layout.plans, layout.cells)
    engine = runner.Engine(runner.job_count(n_jobs), None, fit_timeout)
    options = RunOptions(engine, warn_caller, shows_progress=terminal.is_watched() if progress is None else progress)
    with progress_observers(layout, layout.cells, options) as bar:
        runner.run(layout.datasets, bundles, options.engine, [evaluations.append, *bar], kept)
    source = None
    if kept is not None and (frame := merge_evidence(layout, evaluations, kept.get)) is not None:
        source = results.record_in_memory(frame, evidence_facts(layout, {}), layout.study)
    return StudyRun(layout, register_claims(layout.study), evaluations, None, source)


def run_in_folder(  # noqa: PLR0913 (those of the public API)
    study: Study,
    n_jobs: int = 1,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
    store_path: str | Path | None = store.DEFAULT_PATH,
    fit_timeout: float | None = None,
    retry_failed: bool = False,
    progress: bool | None = None,
) -> StudyRun:
    """Run or resume a study in a folder; see :func:`imblab.run`."""
    study = replace(study, datasets={**in_memory(data), **study.datasets})
    layout = _lay_out_with_warnings(study, data)
    home = Path(folder) if folder is not None else EXPERIMENTS / study.name
    engine = runner.Engine(runner.job_count(n_jobs), store_opener(store_path), fit_timeout)
    is_shown = terminal.is_watched() if progress is None else progress
    run_options = RunOptions(engine, warn_caller, overwrite, retry_failed, shows_progress=is_shown)
    tracking = {"enabled": bool(tracking_uri), "uri": tracking_uri, "search": "auto"}
    allow = tuple(design.named_code_paths(study))  # the caller that named these classes has let them in
    with syncing.observe_run(layout, home, tracking, run_options.engine.open_store) as tracker:
        recorded, evaluations = complete_study(layout, home, run_options, allow, tracker)
        if tracker is not None:
            tracker.completed(results.result_of(recorded, evaluations, home=home))
            tracker.finish()
    return StudyRun(layout, recorded, evaluations, home)


def _lay_out_with_warnings(study: Study, data: Sequence[Dataset]) -> Layout:
    layout = lay_out(study, {d.name: d for d in data})
    for note in layout.notes():
        warn_caller(note)
    if sentences := Applicability(layout).sentences():
        warn_caller(" ".join(sentences))
    return layout


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rescored:
    """The answer to another question on the fits of a study."""

    study: Study  # the changed question
    folder: Path  # where it is kept with its evaluations and their evidence
    changed: tuple[str, ...]  # what differs from the study, as ``key: old -> new``
    table: pd.DataFrame  # one row per evaluation; see :func:`imblab.analysis.summary.to_frame`
    missing: Mapping[str, str]  # cells that need a fit that the store does not hold, with its knobs

    def __repr__(self) -> str:
        n_missing = len(self.missing)
        n_cells = len(self.table) + n_missing
        refits = f" Evaluations that need new fits: {n_missing}; 'refit=true' makes them." if n_missing else ""
        return presentable(
            f"Exploratory: study {self.study.name!r} scored again in {self.folder}; {'; '.join(self.changed)}. "
            f"{len(self.table)} of {count_noun(n_cells, 'evaluation')} (.table).{refits}"
        )


def rescore(
    name: str,
    *overrides: str,
    config_dirs: Sequence[Path] = (),
    n_jobs: int = 1,
    data: Sequence[Dataset] = (),
    **values: Any,
) -> Rescored:
    """Answer another question on the fits of a study.

    Parameters
    ----------
    name : str
        A folder below ``experiments``.
    *overrides : str
        Such as ``"primary=pr_auc"``, ``"protocol.thresholds=observed"``, ``"costs={fn: 20, fp: 1}"``; ``"label=..."``
        names the folder, ``"refit=true"`` makes the missing fits.
    config_dirs : sequence of Path, default=()
        Further folders with groups.
    n_jobs : int, default=1
        Worker processes for refits.
    data : sequence of Dataset, default=()
        Tables of the study that were in memory; see :func:`imblab.dataset`.
    **values
        Overrides as keys and values, such as ``primary="pr_auc"``.

    Returns
    -------
    Rescored
        The changed question, what differs, its evaluations as a table, and the cells that need new fits.

    Raises
    ------
    ConfigError
        If a change would need other fits than refits of winners.
    StudyError
        If there is no such study, its data have changed, or the label names another question.

    See Also
    --------
    imblab.compare : The rescored study next to the one it rests on.

    Examples
    --------
    >>> rescore("quickstart", "primary=pr_auc")  # doctest: +SKIP
    """
    home = ledger.find_study(name, EXPERIMENTS)
    if home.parent.name == ledger.RESCORED:
        study = name.split("/")[0]
        raise StudyError(
            f"{name!r} is itself a rescored study; rescoring begins from the study that was run. Write all changes in "
            f"one command: imblab rescore {study} ..."
        )
    old = ledger.read_study(home)
    changed = config.change_study(old, [*overrides, *overrides_from_python([], values)], config_dirs)
    layout = lay_out(changed.study, {table.name: table for table in data})
    recorded = ledger.read_evaluations(home, old)
    check_tables(layout, recorded, name)
    ledger.check_code(recorded, name)
    folder, question = home / ledger.RESCORED / changed.label, config.to_mapping(changed.study)
    _check_label(folder, question, changed.label)
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as predictions:
        evaluations, missing = _rescore_cells(layout, folder, question, predictions.get, recorded)
    if missing and changed.refit:
        run_in_folder(changed.study, n_jobs, folder, data=data)
        evaluations, missing = ledger.read_evaluations(folder), {}
    differences = tuple(_describe_differences(old, question))
    return Rescored(changed.study, folder, differences, summary.to_frame(evaluations), missing)


def command_rescore(name: str, args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab rescore``: another question on existing fits."""
    begin = time.perf_counter()
    answer = rescore(name, *args, config_dirs=config_dirs, n_jobs=runner.available_cores())
    study, before = answer.study, summary.to_frame(ledger.read_evaluations(EXPERIMENTS / name))
    moves = summary.moves(before, answer.table, study.primary)
    added = summary.added(before, answer.table, study.measure_names)
    seconds = time.perf_counter() - begin
    result = results.read_result(answer.folder, study)
    page = None
    if result.evaluations:
        page = str(results.write_report(answer.folder, result))
    facts = {
        "completeness": result.completeness.to_mapping(),
        "lead": list(result.completeness.sentences()),
        "study": name,
        "label": answer.folder.name,
        "primary": study.primary,
        "exploratory": True,
        "changed": list(answer.changed),
        "answered": len(answer.table),
        "missing": dict(answer.missing),
        "seconds": seconds,
        "moves": results.records(moves),
        "added": results.records(added),
        "report": page,
    }
    terminal.put(json.dumps(facts)) if as_json else terminal.show(rescored_text(facts))
    return 0


def _describe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two questions, measures by name."""
    left_out = [name for name in old["measures"] if name not in new["measures"]]
    if left_out:
        yield f"measures left out: {', '.join(left_out)}"
    for name, measure in new["measures"].items():
        parameters = json.dumps(measure["parameters"]) if measure["parameters"] else ""
        if name not in old["measures"]:
            yield f"measure added: {name} {parameters}".rstrip()
        elif measure != old["measures"][name]:
            yield f"measure changed: {name} {parameters}".rstrip()
    yield from (line for line in ledger.question_differences(old, new) if not line.startswith(UNLISTED_KEYS))


def _check_label(folder: Path, question: Mapping[str, Any], label: str) -> None:
    if not files.exists(folder, ledger.STUDY_FILE):
        return
    changed = list(_describe_differences(ledger.read_study(folder), json.loads(json.dumps(question))))
    if changed:
        raise StudyError(
            f"label {label!r} holds the answer to another question ({'; '.join(changed[:3])}); one label is one "
            f"question. Choose another label=..., or delete {str(folder)!r}."
        )


def _rescore_cells(
    layout: Layout, folder: Path, question: Mapping[str, Any], get: GetPrediction, recorded: Sequence[Evaluation]
) -> tuple[list[Evaluation], dict[str, str]]:
    """Evaluate what the store can answer and keep it in the folder; return it, and what the other cells lack."""
    missing: dict[str, str] = {}
    with ledger.open_study(folder, question, expected=layout.expected(retry_failed=True)) as book:
        # Failures are those of the study as it is now.
        done = {e.key for e in book.evaluations if e.status != "failed"}
        for evaluation in _replayed_evaluations(layout, done, get, {e.key: e for e in recorded}, missing):
            book.append(evaluation)
        order = {cell.key: i for i, cell in enumerate(layout.cells)}
        evaluations = sorted(book.evaluations, key=lambda e: order[e.key])
    build_evidence(layout, evaluations, folder, get)
    return evaluations, missing


def _replayed_evaluations(
    layout: Layout, done: set[str], get: GetPrediction, recorded: Mapping[str, Evaluation], missing: dict[str, str]
) -> Iterator[Evaluation]:
    failures: dict[str, str] = {}
    predict = replay.lookup_only(get, failures)
    for name, data in layout.datasets.items():
        cells = [cell for cell in layout.cells if cell.dataset == name and cell.key not in done]
        for task in replay.replay_tasks(layout.study, data, layout.plans[name], cells, predict):
            if task.cell.key in recorded:
                failures |= replay.recorded_failures(task, recorded[task.cell.key])
            try:
                yield evaluate_cell(task)
            except replay.MissingPrediction as error:
                request = error.request
                knobs = {**request.knobs, **({} if request.weight is None else {"weight": request.weight})}
                missing[task.cell.key] = ", ".join(f"{k}={v}" for k, v in knobs.items()) or "no knobs"


def rescored_text(facts: Mapping[str, Any], width: int | None = None) -> str:
    """Return what other thresholds, measures or costs changed on the same fits, and what is missing."""
    page, missing, name = terminal.Page(width), facts["missing"], f"{facts['study']}/rescored/{facts['label']}"
    for line in facts.get("lead", ()):
        page.add(line)
    page.add(f"Exploratory: study {facts['study']!r} is scored again after its results were seen, without a verdict.")
    for line in facts["changed"]:
        page.add(line, "- ", "  ")
    n_cells = facts["answered"] + len(missing)
    page.add(f"{facts['answered']} of {count_noun(n_cells, 'evaluation')} in {facts['seconds']:.1f} s.")
    page.add("")
    for family in dict.fromkeys((row["dataset"], row["learner"]) for row in facts["moves"]):
        _add_rescored_family(page, facts, *family)
    page.add("Winners, thresholds: folds in which another candidate or another threshold was chosen.")
    if missing:
        examples = join_words((f"{key} ({knobs})" for key, knobs in missing.items()), limit=7)
        page.add(f"Evaluations that need new fits: {len(missing)}, {examples}. refit=true makes them.")
    page.add("")
    steps = [f"All tables: imblab compare {name} --full", f"Evaluations: experiments/{name}"]
    page.add_list("Next steps", [*([f"Open the report: {facts['report']}"] if facts["report"] else []), *steps])
    return page.text()


def _add_rescored_family(page: terminal.Page, facts: Mapping[str, Any], dataset: str, learner: str) -> None:
    moves, added = (
        [row for row in facts[name] if (row["dataset"], row["learner"]) == (dataset, learner)]
        for name in ("moves", "added")
    )
    page.add(f"{dataset}, {learner}: {named(facts['primary'])}, mean over the folds that both have")
    header = ["strategy", ">before", ">after", ">change", ">winners", ">thresholds", ">missing"]
    page.add_table(header, map(_rescored_row, moves))
    for measure in dict.fromkeys(row["measure"] for row in added):
        means = [f"{row['strategy']} {format_score(row['mean'])}" for row in added if row["measure"] == measure]
        page.add(f"{named(measure)}: {', '.join(means)}", "  ", "    ")
    page.add("")


def _rescored_row(row: Mapping[str, Any]) -> list[str]:
    before, after = row["before"], row["after"]
    change = None if before is None or after is None else after - before
    scores = (format_score(before), format_score(after), format_difference(change))
    return [row["strategy"], *scores, *(str(row[key] or "") for key in ("winners", "cuts", "missing"))]
