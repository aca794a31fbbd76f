"""``imblab run`` and its Python functions: one study from its overrides to its result.

compose -> load -> split -> expand the design -> minus what is evaluated -> run -> append -> result.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from imblab.analysis.claims import register_claims
from imblab.analysis.results import completeness_of
from imblab.commands import footprint, results, study_answers, syncing
from imblab.commands.applicability import Applicability, is_study_file
from imblab.commands.evidence_builder import build_evidence
from imblab.commands.layout import Layout, lay_out, parse_request, requested_engine
from imblab.commands.study_records import find_seen_before, notes_before_fits, recorded_seen
from imblab.core import design, forecast
from imblab.core.fitting import Prediction
from imblab.edges import config, ledger, mlflow, optuna_storage, runner, store, terminal
from imblab.edges.ledger import EXPERIMENTS
from imblab.edges.provenance.environment import record_environment
from imblab.errors import FitError, ImblabError, presentable
from imblab.result import Evaluation, StudyResult
from imblab.study import Cell, Study
from imblab.text import count_noun


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the evaluations of a study are made; see :func:`complete_study`."""

    engine: runner.Engine  # processes, store and time limit
    note: Callable[[str], None]  # receives what is said before the fits
    #: whether the folder is set aside, failed evaluations are tried again, and the first failure stops the study
    overwrite: bool = False
    retry_failed: bool = False
    stop_at_failure: bool = False
    say: Callable[[str], None] | None = None  # receives what is said of the fits; None is silent
    builds_evidence: bool = True  # whether evidence is built of the evaluations
    shows_progress: bool = False  # whether progress is shown also where nothing is said

    def tell(self, sentence: str | None) -> None:
        """Say a sentence about the run, if there is one, unless the run is silent."""
        if sentence and self.say is not None:
            self.say(sentence)


def command_run(args: Sequence[str], config_dirs: Sequence[Path], as_json: bool) -> int:
    """``imblab run``: compose, run or resume, log, compare."""
    request = parse_request(args, config_dirs)
    home = EXPERIMENTS / request.study.name
    if not request.overwrite:
        _check_recorded(home, request)
    layout = lay_out(request.study)
    before_fits: list[str] = []
    note = before_fits.append if as_json else terminal.print_paragraph
    engine = requested_engine(request)
    applicability = Applicability(layout)
    for text in (*request.notes, *layout.notes(), *engine.notes(), *applicability.sentences()):
        note(text)
    if way_out := "" if is_study_file(args) else applicability.way_out():
        before_fits.append(way_out) if as_json else terminal.put(way_out)
    options = RunOptions(
        engine,
        note,
        request.overwrite,
        bool(request.runner.get("retry_failed")),
        request.runner.get("on_error") == "raise",
        None if as_json else terminal.print_paragraph,
    )
    with syncing.observe_run(layout, home, request.tracking, options.engine.open_store) as tracker:
        recorded, evaluations = complete_study(layout, home, options, request.allow, tracker)
        result = results.result_of(recorded, evaluations, home=home)
        if tracker is not None:
            tracker.completed(result)
        outputs: list[str] = []
        study_answers.write_answer(home, result)
        if request.runner.get("report", True):
            outputs.append(f"Open the report: {results.write_report(home, result)}")
        if tracker is not None:
            outputs.append(_finish_tracking(tracker, request.study.name))
        outputs += _copy_searches(request, in_design_order(layout, evaluations))
    steps = results.next_steps(result, home, request.allow, outputs)
    asked = asked_part(layout, result, home)
    if as_json:
        terminal.put(json.dumps({**results.result_to_json(asked), "before_fits": before_fits}))
    else:
        results.print_result(asked, steps, as_json=False)
    return 0


def command_ui(name: str | None, uri: str | None, port: int | None, no_browser: bool) -> int:
    """``imblab ui``: MLflow on this project's store, or on another one, on loopback, at the answer of a study."""
    return mlflow.serve(uri or mlflow.DEFAULT_URI, port, terminal.show, name, opens_browser=not no_browser)


def command_store(prune: float | None, merge: str | None, as_json: bool) -> int:
    """``imblab store``: what the prediction store holds; with another store, more of it; with a bound, less."""
    if merge is None and not store.DEFAULT_PATH.exists():
        nothing = {"predictions": 0, "bytes": 0, "limit": store.MAX_STORE_BYTES}
        facts: dict[str, Any] = {"path": str(store.DEFAULT_PATH), **nothing}
    else:
        with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as predictions:
            merged = {} if merge is None else {"merged": predictions.merge(Path(merge))}
            pruned = {} if prune is None else {"pruned": predictions.prune(int(prune * 2**20))}
            facts = {**predictions.facts(), "path": str(store.DEFAULT_PATH), **merged, **pruned}
    terminal.put(json.dumps(facts)) if as_json else terminal.print_paragraph(terminal.store_text(facts))
    return 0


def _check_recorded(home: Path, request: config.Request) -> None:
    """Refuse a folder whose study names more than is asked for now and cannot be read: it is needed at the end."""
    if (home / ledger.STUDY_FILE).exists():
        recorded, asked = ledger.read_study(home), config.to_mapping(request.study)
        sections = [(recorded.get(name), asked[name]) for name in ledger.GROWING_SECTIONS]
        if any(not isinstance(section, dict) or set(section) - set(names) for section, names in sections):
            config.parse_study(recorded, request.allow)


def complete_study(
    layout: Layout,
    home: Path,
    options: RunOptions,
    allow: Sequence[str] = (),
    tracker: syncing.MlflowObserver | None = None,
) -> tuple[Study, list[Evaluation]]:
    """Run the evaluations that the folder of a study lacks, and build its evidence.

    Returns the study as the folder records it, which may be more than was asked for now, and all its evaluations.
    """
    options.engine.check()
    syncing.keep_former_identity(home)
    question = config.to_mapping(register_claims(layout.study, find_seen_before(home, layout.datasets)))
    with ledger.open_study(home, question, options.overwrite, layout.expected(options.retry_failed)) as book:
        identity = syncing.settle_identity(home, None if book.evaluations else layout)
        missing = _missing_cells(layout, book, options)
        if missing:
            record_environment(home, design.named_code_paths(layout.study))
        recorded = _recorded_study(layout, book, allow)
        for text in notes_before_fits(layout, book.question) if missing else ():
            options.note(text)
        options.tell(None if tracker is None else tracker.identified(identity, book.question, recorded))
        options.tell(footprint.raise_store_limit(layout, options.engine.open_store) if missing else None)
        if missing and book.evaluations:
            named = results.by_dataset_name(layout.study)
            results.mark_report_outdated(home, completeness_of(named, list(layout.datasets), book.evaluations))
            if tracker is not None:
                tracker.resumed()
        with _completeness_if_stopped(layout, book), progress_observers(layout, missing, options, book) as progress:
            observers = [book.append, *([_raise_failure] if options.stop_at_failure else ())]
            if tracker is not None:
                observers = [lambda _: tracker.check_owner(), *observers, tracker.evaluated]
            bundles = runner.make_bundles(layout.study, layout.plans, missing)
            kept: dict[str, Prediction] = {}
            counts = runner.run(layout.datasets, bundles, options.engine, [*observers, *progress], kept)
    evaluations = in_design_order(layout, book.evaluations)
    _report_fits(evaluations, {cell.key for cell in missing}, counts, options.tell)
    if not options.builds_evidence:
        return recorded, book.evaluations
    full = layout.widened(recorded)
    with options.engine.opened_store() as stored:
        build_evidence(full, book.evaluations, home, lambda key: kept.get(key) or (stored.get(key) if stored else None))
        if stored is not None:
            stored.prune()
    return recorded, book.evaluations


def _missing_cells(layout: Layout, book: ledger.Ledger, options: RunOptions) -> list[Cell]:
    """The cells without an evaluation, or with a failed one that is tried again."""
    done = {e.key for e in book.evaluations if e.status != "failed" or not options.retry_failed}
    missing = [cell for cell in layout.cells if cell.key not in done]
    if not missing:
        options.tell(f"All {len(layout.cells):,} requested evaluations of study {layout.study.name!r} are there.")
    elif book.evaluations:
        n_retried = len({e.key for e in book.evaluations} & {cell.key for cell in missing})
        retried = f" {count_noun(n_retried, 'failed evaluation')} tried again." if n_retried else ""
        n_done, n_cells = len(layout.cells) - len(missing), len(layout.cells)
        options.tell(f"{n_done:,} of {n_cells:,} evaluations are there; continuing.{retried}")
    return missing


@contextmanager
def progress_observers(
    layout: Layout, missing: Sequence[Cell], options: RunOptions, book: ledger.Ledger | None = None
) -> Iterator[list[Callable[[Evaluation], None]]]:
    """Give an observer that moves the progress bar, if one is shown."""
    if not missing or (options.say is None and not options.shows_progress):
        yield []
        return
    sizes = {name: data.X.size for name, data in layout.datasets.items()}
    remaining = forecast.RemainingTime(
        [(c.dataset, c.learner.name) for c in missing], sizes, book.evaluations if book else ()
    )
    begin = time.monotonic()

    def advance(evaluation: Evaluation) -> None:
        remaining.count(evaluation)
        name = f"{evaluation.dataset}/{evaluation.learner}/{evaluation.strategy}"
        bar.advance(name, remaining.seconds_left(time.monotonic() - begin))

    with terminal.progress(len(missing), options.engine.workers) as bar:
        yield [advance]


def _raise_failure(evaluation: Evaluation) -> None:
    if evaluation.status == "failed":
        raise FitError(
            f"cell {evaluation.key!r} failed: {evaluation.error}; runner.on_error=raise stops a study there. Earlier "
            f"evaluations are kept: remove the cause and run again with {ledger.RETRY}, or set runner.on_error=row to "
            "continue after failures."
        )


@contextmanager
def _completeness_if_stopped(layout: Layout, book: ledger.Ledger) -> Iterator[None]:
    """Report how much is evaluated where a study is stopped, by a person or by an error."""
    try:
        yield
    except (KeyboardInterrupt, ImblabError):
        completeness = completeness_of(results.by_dataset_name(layout.study), list(layout.datasets), book.evaluations)
        terminal.warn("\n".join(completeness.sentences()))
        raise


def _report_fits(
    evaluations: Sequence[Evaluation], new: set[str], counts: runner.FitCounts, say: Callable[[str], None]
) -> None:
    """Report how many models were fitted or reused, every distinct failure once, and how it is tried again."""
    if new:
        reused = max(0, sum(e.fits for e in evaluations if e.key in new) - counts.fitted)
        say(
            f"{count_noun(counts.fitted, 'model')} fitted, {reused:,} reused "
            f"({counts.from_store:,} from the prediction store)."
        )
    causes = Counter(e.error or "" for e in evaluations if e.status == "failed")
    for cause, n in causes.most_common():
        say(f"Failed {count_noun(n, 'time')}: {cause}")
    if causes:
        say(f"Failed evaluations stay failed. Once the cause is removed, add {ledger.RETRY} to try them again.")


def in_design_order(layout: Layout, evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The evaluations of the cells of a layout, in their order."""
    by_key = {e.key: e for e in evaluations}
    return [by_key[cell.key] for cell in layout.cells if cell.key in by_key]


def _recorded_study(layout: Layout, book: ledger.Ledger, allow: Sequence[str]) -> Study:
    """The study as its folder records it; parsed only where it differs from what is asked for now."""
    study = register_claims(layout.study, recorded_seen(book.question))
    is_asked = book.question == json.loads(json.dumps(config.to_mapping(study)))
    return study if is_asked else config.parse_study(book.question, allow)


def asked_part(layout: Layout, result: StudyResult, home: Path) -> StudyResult:
    """The result of what was asked for now, judged by the record and the completeness of the folder."""
    keys = {cell.key for cell in layout.cells}
    part = [e for e in result.evaluations if e.key in keys]
    study = replace(layout.study, claims=replace(layout.study.claims, registered=result.study.claims.registered))
    if len(part) == len(result.evaluations) and study == replace(result.study, datasets=study.datasets):
        return result
    return results.result_of(study, part, result.completeness, home)


def _finish_tracking(tracker: syncing.MlflowObserver, name: str) -> str:
    """Log to MLflow; a store that does not answer never stops a study."""
    try:
        tracker.finish()
    except ImblabError as error:
        terminal.warn(f"Not logged: {error}")
        return f"Not logged to MLflow, see above; once it answers: imblab sync {name}"
    return "Compare the runs in MLflow: imblab ui"


def _copy_searches(request: config.Request, evaluations: Sequence[Evaluation]) -> list[str]:
    """Copy searches where they were asked for; a storage that does not answer never stops a study."""
    if request.storage is None:
        return []
    try:
        optuna_storage.copy_searches(request.study, evaluations, request.storage)
    except ImblabError as error:
        terminal.warn(f"Not copied: {error}")
        return ["The searches were not copied, see above; the same command copies them again"]
    return [f"See the inner searches: optuna-dashboard {quote(presentable(request.storage))}"]
