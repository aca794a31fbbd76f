"""The composition root: one study, read aloud.

compose -> load -> plan the splits -> expand the design -> minus what is done -> run -> append -> compare.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from imblab.analysis import table
from imblab.analysis.claims import register
from imblab.analysis.completeness import completeness_of
from imblab.commands import derived_files, reporting, results, syncing
from imblab.commands.evidence_builder import build_evidence
from imblab.commands.layout import (
    EXPERIMENTS,
    Layout,
    in_memory,
    lay_out,
    parse_request,
    requested_engine,
    store_opener,
)
from imblab.core import design
from imblab.edges import config, ledger, mlflow, optuna_storage, runner, store, terminal
from imblab.errors import ConfigError, FitError, ImblabError, presentable
from imblab.overrides import granting
from imblab.result import Completeness, Evaluation
from imblab.study import Dataset, Study
from imblab.text import count_noun

if TYPE_CHECKING:
    import pandas as pd


def compose(*overrides: str, config_dirs: Sequence[str | Path] = ()) -> Study:
    """Compose a study from the configuration, as the command line does.

    Parameters
    ----------
    *overrides : str
        Such as ``"experiment=quickstart"`` and ``"strategy.smote.space.k=choice(3,5)"``.
    config_dirs : sequence of path, default=()
        Further folders with groups and experiments.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For whatever cannot be asked.

    Examples
    --------
    >>> compose("experiment=quickstart").primary
    'mcc'
    """
    return parse_request(overrides, [Path(d) for d in config_dirs]).study


def evaluate(study: Study, data: Sequence[Dataset] = (), n_jobs: int = 1) -> pd.DataFrame:
    """Answer a study in memory: records in, a tidy table out, nothing written.

    Parameters
    ----------
    study : Study
    data : sequence of Dataset, default=()
        Tables beside those that ``study.datasets`` names; see :func:`imblab.dataset`.
    n_jobs : int, default=1
        Worker processes; changes no number.

    Returns
    -------
    DataFrame
        One row a cell, one column a measure.

    Examples
    --------
    >>> study = compose("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    >>> evaluate(study).status.unique().tolist()
    ['ok']
    """
    layout = _laid_out(study, data)
    rows: list[Evaluation] = []
    runner.run(
        layout.datasets, runner.make_bundles(study, layout.plans, layout.cells), runner.Engine(n_jobs), [rows.append]
    )
    order = {cell.key: i for i, cell in enumerate(layout.cells)}
    return table.tidy(sorted(rows, key=lambda row: order[row.key]))


def run(
    study: Study,
    n_jobs: int = 1,
    folder: str | Path | None = None,
    overwrite: bool = False,
    data: Sequence[Dataset] = (),
    tracking_uri: str | None = None,
    store_path: str | Path | None = store.DEFAULT_PATH,
    fit_timeout: float | None = None,
    retry_failed: bool = False,
) -> pd.DataFrame:
    """Run or resume a study in a folder.

    Parameters
    ----------
    study : Study
    n_jobs : int, default=1
    folder : path, optional
        ``experiments/<name>`` below the current directory by default.
    overwrite : bool, default=False
        Start over; the old folder is kept aside.
    data : sequence of Dataset, default=()
        Tables in memory.
    tracking_uri : str, optional
        An MLflow store; nothing is logged without it.
    store_path : path or None
        Where answers of fits are kept for the next study; ``mlruns/predictions.sqlite`` below the current directory by
        default, nowhere if None.
    fit_timeout : float, optional
        Seconds a fit may take; a fit that takes longer is a failed candidate.
    retry_failed : bool, default=False
        Whether failed evaluations of the folder are tried again; their rows are replaced.

    Returns
    -------
    DataFrame
        One row a cell of the folder.

    Raises
    ------
    StudyError
        If the folder answers another question; what differs is named.
    """
    study = replace(study, datasets={**in_memory(data), **study.datasets})
    layout = _laid_out(study, data)
    home = Path(folder) if folder is not None else EXPERIMENTS / study.name
    engine = runner.Engine(n_jobs, store_opener(store_path), fit_timeout)
    asked = {"enabled": bool(tracking_uri), "uri": tracking_uri, "search": "candidates"}
    with syncing.observe_run(layout, home, asked, _named_classes(study), engine.open_store) as observer:
        rows = _carry_out(layout, home, engine, overwrite, retry_failed, observer=observer)
        if observer is not None:
            observer.finish()
    return table.tidy(rows)


def _laid_out(study: Study, data: Sequence[Dataset]) -> Layout:
    """A study laid out, with a warning where its code is not known."""
    layout = lay_out(study, {d.name: d for d in data})
    for note in layout.code_notes():
        warnings.warn(note, UserWarning, stacklevel=3)
    return layout


def command_run(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab run``: compose, run or resume, log, compare."""
    request = parse_request(args, config_dirs)
    home = EXPERIMENTS / request.study.name
    if not request.overwrite and (home / ledger.STUDY_FILE).exists():
        # It is read again at the end, and may hold more than is asked for now.
        config.parse_study(ledger.read_study(home), request.allow)
    layout = lay_out(request.study)
    say: Callable[[str], None] = (lambda text: None) if as_json else terminal.print_paragraph
    for note in (
        *request.notes,
        *layout.code_notes(),
        *(said for name in layout.datasets for said in layout.cautions(name)),
    ):
        say(note)
    engine, spoken = requested_engine(request), None if as_json else say
    with syncing.observe_run(layout, home, request.tracking, request.allow, engine.open_store) as observer:
        retry = bool(request.runner.get("retry_failed"))
        rows = _carry_out(layout, home, engine, request.overwrite, retry, spoken, _stops(request), observer)
        kept = config.parse_study(ledger.read_study(home), request.allow)
        whole = results.design_completeness(kept, ledger.read_evaluations(home))
        steps = [
            *_reported(request, home, kept),
            *_copied(request, rows),
            *_next_steps(request.study.name, whole, rows),
        ]
        if observer is not None:
            steps = [_logged(observer, request.study.name), *steps]
    _print_comparison(results.with_record(request.study, kept), rows, steps, as_json, whole)
    return 0


def command_compare(name: str, args: Sequence[str], as_json: bool) -> int:
    """``imblab compare``: the table and the verdict of a study that has rows."""
    home = ledger.find_study(name, EXPERIMENTS)
    study = config.load_request(home / ledger.STUDY_FILE, args, loads_data=False).study
    rows = ledger.read_evaluations(home)
    whole = results.design_completeness(study, rows)
    for message in derived_files.damage(home):
        derived_files.say(message)
    _print_comparison(study, rows, _next_steps(name, whole, rows), as_json, whole)
    return 0


def command_ui(name: str | None, uri: str | None, port: int | None) -> int:
    """``imblab ui``: MLflow on this project's store, or on another one, on loopback, at the view of a study."""
    return mlflow.serve(uri or mlflow.DEFAULT_URI, port, terminal.show, name)


def command_store(prune: float | None, as_json: bool) -> int:
    """``imblab store``: what the prediction store holds; with a bound, less of it."""
    if not store.DEFAULT_PATH.exists():
        facts: dict[str, Any] = {"path": str(store.DEFAULT_PATH), "predictions": 0, "bytes": 0}
    else:
        with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
            gone = {} if prune is None else {"pruned": kept.prune(int(prune * 2**20))}
            facts = {**kept.facts(), "path": str(store.DEFAULT_PATH), **gone}
    terminal.put(json.dumps(facts)) if as_json else terminal.print_paragraph(terminal.store_text(facts))
    return 0


def _carry_out(
    layout: Layout,
    home: Path,
    engine: runner.Engine,
    overwrite: bool,
    retry_failed: bool = False,
    say: Callable[[str], None] | None = None,
    stop_at_failure: bool = False,
    observer: syncing.MlflowObserver | None = None,
) -> list[Evaluation]:
    """Answer what is missing and give every row of the study, in the order of the design."""
    syncing.keep_former_identity(home)
    question, expected = config.to_mapping(register(layout.study)), layout.expected(retry_failed)
    with ledger.open_study(home, question, overwrite, expected) as book:
        known = syncing.settle_identity(home, None if book.evaluations else layout)
        if observer is not None:
            observer.identified(known)
        done = {row.key for row in book.evaluations if row.status != "failed" or not retry_failed}
        todo = [cell for cell in layout.cells if cell.key not in done]
        if say and not todo:
            say(f"All {len(layout.cells)} evaluations that study {layout.study.name!r} was asked for are there.")
        elif say and book.evaluations:
            again = sum(cell.key in {row.key for row in book.evaluations} for cell in todo)
            retried = f" {again} failed evaluations are tried again." if again else ""
            say(f"{len(layout.cells) - len(todo)} of {len(layout.cells)} evaluations are there; continuing.{retried}")
        if todo and book.evaluations:
            reporting.mark_report_outdated(home, completeness_of(layout.study, list(layout.datasets), book.evaluations))
            if observer is not None:
                observer.resumed()
        bars = terminal.progress(len(todo), engine.n_jobs) if say and todo else nullcontext()
        with _counted_if_stopped(layout, book), bars as bar:

            def on_row(row: Evaluation) -> None:
                book.append(row)
                if stop_at_failure and row.status == "failed":
                    raise FitError(
                        f"cell {row.key!r} failed: {row.error}; runner.on_error=raise stops a study there. What is "
                        f"answered is kept: mend the cause and run again with {ledger.RETRY}, or set "
                        "runner.on_error=row to go on."
                    )
                if observer is not None:
                    observer.evaluated(row)
                if bar is not None:
                    bar.advance(f"{row.dataset}/{row.learner}/{row.strategy}")

            tally = runner.run(layout.datasets, runner.make_bundles(layout.study, layout.plans, todo), engine, [on_row])
        order = {cell.key: i for i, cell in enumerate(layout.cells)}
        rows = sorted((row for row in book.evaluations if row.key in order), key=lambda row: order[row.key])
    if say:
        new = {cell.key for cell in todo}
        _account([row for row in rows if row.key in new], tally, say)
        _report_failures(rows, say)
    if engine.open_store is not None:
        with closing(engine.open_store()) as kept:
            build_evidence(layout, rows, home, kept.get)
            kept.prune()
    elif say:
        say("No prediction is kept (runner.store=false): no evidence for curves and calibration.")
    if observer is not None:
        observer.completed()
    return rows


@contextmanager
def _counted_if_stopped(layout: Layout, book: ledger.Ledger) -> Iterator[None]:
    """Say how much is evaluated where a study is stopped, by a person or by an error."""
    try:
        yield
    except (KeyboardInterrupt, ImblabError):
        found = completeness_of(layout.study, list(layout.datasets), book.evaluations)
        terminal.warn("\n".join(found.sentences()))
        raise


def _account(rows: Sequence[Evaluation], counts: runner.FitCounts, say: Callable[[str], None]) -> None:
    """Say how many models were fitted and how many were reused."""
    if rows:
        reused = max(0, sum(row.fits for row in rows) - counts.fitted)
        say(
            f"{count_noun(counts.fitted, 'model')} fitted, {reused:,} reused "
            f"({counts.from_store:,} from the prediction store)."
        )


def _report_failures(rows: Sequence[Evaluation], say: Callable[[str], None]) -> None:
    """Every distinct failure once, and how it is tried again."""
    causes = Counter(row.error or "" for row in rows if row.status == "failed")
    for cause, n in causes.most_common():
        say(f"Failed {n} times: {cause}")
    if causes:
        say(f"Failed evaluations stay failed. Once the cause is mended, add {ledger.RETRY} to try them again.")


def _stops(request: config.Request) -> bool:
    return bool(request.runner.get("on_error") == "raise")


def _named_classes(study: Study) -> tuple[str, ...]:
    """The classes and functions that a study in memory names: the caller that wrote it has let them in."""
    return tuple(design.named_code_paths(study))


def _logged(observer: syncing.MlflowObserver, name: str) -> str:
    """Log to MLflow; a store that does not answer never stops a study."""
    try:
        observer.finish()
    except ImblabError as error:
        terminal.warn(f"Not logged: {error}")
        return f"Not logged to MLflow, see above; once it answers: imblab sync {name}"
    return "Compare the runs in MLflow: imblab ui"


def _reported(request: config.Request, home: Path, kept: Study) -> list[str]:
    """Write the report of what the folder holds, which may be more than was asked for now."""
    if not request.runner.get("report", True):
        return []
    return [f"Open the report: {reporting.write_report(home, kept)}"]


def _copied(request: config.Request, rows: Sequence[Evaluation]) -> list[str]:
    """Copy finished searches where they were asked for; a storage that does not answer never stops a study."""
    if request.storage is None:
        return []
    try:
        optuna_storage.copy_searches(request.study, rows, request.storage)
    except ImblabError as error:
        terminal.warn(f"Not copied: {error}")
        return ["The searches were not copied, see above; the same command copies them again"]
    return [f"See the inner searches: optuna-dashboard {quote(presentable(request.storage))}"]


def _next_steps(name: str, whole: Completeness, rows: Sequence[Evaluation]) -> list[str]:
    home = EXPERIMENTS / name
    needs = _needs(home)
    words = (
        ["rescore", name.split("/")[0], "...", "refit=true"] if "/" in name else ["run", str(home / ledger.STUDY_FILE)]
    )
    failed = 0 if "/" in name else sum(row.status == "failed" for row in rows)
    compare = granting(["compare", name], [need for need in needs if "=" not in need])  # it loads no data
    return [
        *([] if whole.is_complete else [f"Continue: {granting(words, needs)}"]),
        *([f"Try the {failed} failed evaluations again: {granting([*words, ledger.RETRY], needs)}"] if failed else []),
        f"See this again: {compare}",
        f"Every row: {home / ledger.LEDGER_FILE}; the question: {home / ledger.STUDY_FILE}",
        "Change the question: imblab run experiment=... strategy.smote.space.k=... (see README.md)",
    ]


def _needs(home: Path) -> tuple[str, ...]:
    """What a recorded study needs granted on the command line each time, so that the lines to paste run."""
    try:
        config.parse_study(ledger.read_study(home), (), sources={})
    except ConfigError as error:
        return error.grants
    return ()


def _print_comparison(
    study: Study,
    rows: Sequence[Evaluation],
    steps: Sequence[str],
    as_json: bool,
    whole: Completeness,
) -> None:
    """Print the comparison of a study, or of the part that was asked for of a whole one."""
    found = results.result_of(study, rows, completeness=whole)
    terminal.put(json.dumps(results.as_json(found))) if as_json else terminal.show(results.as_text(found, steps))
