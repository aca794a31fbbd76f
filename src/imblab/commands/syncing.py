"""MLflow runs of a study: written while it runs by an observer, and from its folder at any time by ``imblab sync``.

Runs are a function of the folder: question, rows, evidence, searches and origin. Where a table is missing and the
prediction store still has the predictions, it is made from them, without a fit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from imblab.analysis.results import build_result
from imblab.commands import results
from imblab.commands.layout import Layout, lay_out, lay_out_recorded, store_opener
from imblab.edges import config, files, ledger, mlflow, provenance, runner, store, terminal
from imblab.errors import ImblabError, StudyError
from imblab.result import Evaluation, Family, StudyResult
from imblab.study import Study

#: Seconds that the first row of a study waits for the store, to learn whether the experiment is another study's.
OPEN_WAIT_SECONDS = 10.0
#: How often predictions that the runner has not flushed yet are looked up, and the seconds between.
MAX_FLUSH_WAITS, FLUSH_WAIT_SECONDS = 4, 0.5
StoreOpener = Callable[[], runner.PredictionStore] | None


@contextmanager
def observe_run(
    layout: Layout, home: Path, tracking: Mapping[str, Any], open_store: StoreOpener
) -> Iterator[MlflowObserver | None]:
    """Open the MLflow observer of a study that is about to run; None if ``tracking`` is off."""
    if not tracking.get("enabled", True):
        yield None
        return
    observer = MlflowObserver(layout, home, tracking, open_store)
    try:
        yield observer
    finally:
        observer.abandon()


class MlflowObserver:
    """Writes the runs of a study in the background, one call per event of the study; see :func:`observe_run`."""

    def __init__(self, layout: Layout, home: Path, tracking: Mapping[str, Any], open_store: StoreOpener) -> None:
        mlflow.check_store_uri(str(tracking["uri"]))
        mlflow.check_metric_names(layout.study)
        self._study, self._home, self._tracking = layout.study, home, tracking
        self._layout, self._open_store = layout, open_store
        self._classes = {name: data.classes for name, data in layout.datasets.items() if len(data.classes) > 2}
        self._missing = Counter((cell.dataset, cell.learner.name) for cell in layout.cells)
        self._rows: dict[Family, list[Evaluation]] = {}
        self._inner_scores: mlflow.InnerScores = {}
        self._tables: list[mlflow.Artifact] = []
        self._is_checked = False
        self._owner: SimpleQueue[mlflow.ExperimentOwner | None] = SimpleQueue()
        self._writer = mlflow.BackgroundWriter(
            partial(mlflow.open_writer, layout.study, home, str(tracking["uri"]), self._wait_for_owner)
        )

    def identified(self, identity: provenance.Identity, question: Mapping[str, Any], recorded: Study) -> str:
        """Receive which study the folder holds, as ``study.yaml`` and as a record, before its first new row.

        Returns a sentence if there are tables in place of runs because of their number, else nothing.
        """
        self._question, self._recorded = question, recorded
        self._log = mlflow.choose_candidate_log(recorded, str(self._tracking["search"]))
        self._owner.put(experiment_owner(self._home, self._study, identity, self._tracking))
        return self._log.note

    def check_owner(self) -> None:
        """Wait for the store, once: called before the first new row is recorded, while its fits need not wait.

        Raises ExperimentConflict if the experiment belongs to another study, and the store answers soon.
        """
        if not self._is_checked:
            self._is_checked = True
            self._writer.wait_until_open(min(OPEN_WAIT_SECONDS, self._tracking.get("timeout") or OPEN_WAIT_SECONDS))

    def resumed(self) -> None:
        """A study with rows is continued: its verdict in MLflow may not hold any more."""
        self._writer.put(partial(self._begin, ()))

    def evaluated(self, row: Evaluation) -> None:
        """Receive a new row; the cells and searches of a data set and learner are written after their last one."""
        family = (row.dataset, row.learner)
        self._rows.setdefault(family, []).append(row)
        self._missing[family] -= 1
        if self._missing[family] == 0:
            self._writer.put(partial(self._begin, self._rows[family]))

    def completed(self, result: StudyResult) -> None:
        """Rows and evidence are in the folder, of which this is the result: complete the runs."""
        self.check_owner()
        if self._rows:
            provenance.record_provenance(self._home, bool(self._tracking.get("git_diff", False)))
        self._evaluations = result.evaluations
        self._writer.put(partial(self._complete, result))

    def finish(self) -> None:
        """Send the files of the folder, and wait until all is written; StudyError if the store does not answer."""
        self._writer.put(self._send)
        self._writer.close(self._tracking.get("timeout"))

    def abandon(self) -> None:
        """Let the thread end after its current job."""
        self._writer.abandon()
        self._owner.put(None)

    @cached_property
    def _replayed(self) -> mlflow.StoredPredictions | None:
        """The stored predictions of all that the folder records of the tables at hand: they are one file in MLflow."""
        return _stored_predictions(self._layout.widened(self._recorded), self._open_store)

    def _wait_for_owner(self) -> mlflow.ExperimentOwner:
        owner = self._owner.get()
        if owner is None:
            raise StudyError("the study ended before its folder was opened. Run the same command again.")
        return owner

    def _begin(self, rows: Sequence[Evaluation], writer: mlflow.RunWriter) -> None:
        scores, are_complete = self._replay_inner_scores(rows)
        self._inner_scores = {**self._inner_scores, **scores}
        # Candidates without all their scores would have to be written again.
        search = self._log.mode if are_complete else "none"
        details = mlflow.RunDetails(
            inner_scores=self._inner_scores, search=search, is_running=True, classes=self._classes
        )
        # Contrasts are tested once, after the last fit.
        so_far = build_result(results.by_dataset_name(self._recorded), rows, is_running=True)
        writer.begin(mlflow.describe_runs(so_far, self._question, details))

    def _replay_inner_scores(self, rows: Sequence[Evaluation]) -> tuple[mlflow.InnerScores, bool]:
        """Inner scores of evaluations with all of them, and whether these are all: the store may flush them later."""
        scores: dict[str, list[dict[str, float]]] = {}
        remaining = list(rows)
        for attempt in range(MAX_FLUSH_WAITS):
            if self._replayed is None or not remaining:
                return scores, True
            if attempt:
                time.sleep(FLUSH_WAIT_SECONDS)
            replayed = self._replayed.inner_scores(remaining)
            remaining = [row for row in remaining if not mlflow.has_all_scores(row, replayed)]
            scores |= {key: replayed[key] for key in replayed.keys() - {row.key for row in remaining}}
        return scores, not remaining

    def _send(self, writer: mlflow.RunWriter) -> None:
        replayed = self._replayed
        if self._rows and replayed is not None and self._tracking.get("predictions", True):
            with suppress(ImblabError):  # a table that was not asked for is gone: its predictions stay as they were
                replayed = _stored_predictions(lay_out_recorded(self._layout, self._recorded), self._open_store)
        writer.send([*_artifacts(self._home, self._tracking, replayed, self._evaluations), *self._tables])

    def _complete(self, result: StudyResult, writer: mlflow.RunWriter) -> None:
        repeated = frozenset(row.key for rows in self._rows.values() for row in rows)
        known = self._replayed, self._inner_scores, repeated
        runs, self._tables = _describe_folder(result, self._question, self._home, self._log, *known)
        writer.write(runs)


def keep_former_identity(home: Path) -> None:
    """Keep the identity of a study that an older imblab began, before it grows or is set aside."""
    with suppress(StudyError):  # a damaged folder is refused where it is opened, unless it is set aside
        if (
            not provenance.has_identity(home)
            and files.exists(home, ledger.STUDY_FILE)
            and ledger.read_evaluations(home)
        ):
            settle_identity(home)


def settle_identity(home: Path, layout: Layout | None = None) -> provenance.Identity:
    """Return the identity of the study in a folder, and write it there if it is missing.

    ``layout`` is given for a study without rows: its identity begins with these tables.
    """
    if layout is not None:
        tables = layout.fingerprints
    elif provenance.has_identity(home):
        return provenance.keep_identity(home, {}, {})
    else:
        tables = {row.dataset: row.data_fingerprint for row in ledger.read_evaluations(home)}
    return provenance.keep_identity(home, ledger.read_study(home), tables, fresh=layout is not None)


def experiment_owner(
    home: Path, study: Study, identity: provenance.Identity, tracking: Mapping[str, Any]
) -> mlflow.ExperimentOwner:
    """The study that writes to MLflow."""
    experiment, ledgers = tracking.get("experiment"), partial(_read_ledgers, home)
    return mlflow.ExperimentOwner(study.name, identity.now, identity.former, experiment, ledgers)


def command_sync(name: str, args: Sequence[str], config_dirs: Sequence[Path], experiments: Path) -> int:
    """``imblab sync``: fill an MLflow store from the folder of a study; the second time changes nothing."""
    home = ledger.find_study(name, experiments)
    request = config.load_request(home / ledger.STUDY_FILE, args, config_dirs, loads_data=False)
    written = fill_store(home, request, terminal.print_paragraph)
    terminal.print_paragraph(f"{written} runs of study {name!r} were written; what was there already is unchanged.")
    return 0


def fill_store(home: Path, request: config.Request, say: Callable[[str], None]) -> int:
    """Fill the MLflow store of a request from the folder of a study; return the number of runs that were written."""
    mlflow.check_metric_names(request.study)
    tracking = {**request.tracking, "enabled": True}
    open_store = store_opener(store.DEFAULT_PATH if store.DEFAULT_PATH.exists() else None)
    replayed = None
    try:
        request.check_sources()
        replayed = _stored_predictions(lay_out(request.study), open_store)
    except ImblabError as error:
        terminal.warn(f"Predictions and inner scores are left as they are: {error}")
    question, rows = ledger.read_study(home), ledger.read_evaluations(home)
    if not rows:
        raise StudyError(
            f"study {home.name!r} has 0 evaluations in {str(home)!r}; a store is filled from them, and what it holds "
            f"of the study would be taken away. Run it first: imblab run {home / ledger.STUDY_FILE}."
        )
    owner = experiment_owner(home, request.study, settle_identity(home), tracking)
    # A damaged file of the folder is found before the store is opened.
    result = results.result_of(request.study, rows, home=home)
    log = mlflow.choose_candidate_log(request.study, str(tracking["search"]))
    if log.note:
        say(log.note)
    runs, tables = _describe_folder(result, question, home, log, replayed)
    artifacts = [*_artifacts(home, tracking, replayed, rows), *tables]
    return mlflow.log_study(request.study, runs, artifacts, home, str(tracking["uri"]), owner)


def _read_ledgers(home: Path) -> Iterable[Sequence[Evaluation]]:
    """The rows of a study, and of those that it replaced in its folder."""
    yield ledger.read_evaluations(home)
    for other in sorted(home.parent.glob(f"{home.name}~*")):
        with suppress(StudyError):  # a folder that was set aside may be damaged
            yield ledger.read_evaluations(other)


def _describe_folder(
    result: StudyResult,
    question: Mapping[str, Any],
    home: Path,
    log: mlflow.CandidateLog,
    replayed: mlflow.StoredPredictions | None,
    inner_scores: mlflow.InnerScores | None = None,
    repeated: frozenset[str] = frozenset(),
) -> tuple[list[mlflow.RunSpec], list[mlflow.Artifact]]:
    """Describe the runs of a study, and tables in place of some, from its result and the files of its folder."""
    known, warn = inner_scores or {}, results.report_damage
    tables = results.read_facts(home).get("tables", {})
    scores = mlflow.update_search_table(home, result.evaluations, known, replayed, warn, repeated)
    details = mlflow.RunDetails(
        evidence=results.read_evidence(home),
        inner_scores=scores,
        origin=results.read_origin(home),
        search=log.mode,
        remarks=[log.note] if log.note else [],
        classes={name: facts["classes"] for name, facts in tables.items() if "classes" in facts},
    )
    candidates = mlflow.candidate_tables(result, scores) if log.mode == "table" else []
    return mlflow.describe_runs(result, question, details), candidates


def _artifacts(
    home: Path,
    tracking: Mapping[str, Any],
    replayed: mlflow.StoredPredictions | None,
    evaluations: Sequence[Evaluation],
) -> list[mlflow.Artifact]:
    """The files of a study, and its predictions if they may be sent."""
    artifacts = mlflow.folder_artifacts(home)
    if tracking.get("predictions", True) and replayed is not None:
        artifacts.append(replayed.artifact(evaluations))
    return artifacts


def _stored_predictions(layout: Layout, open_store: StoreOpener) -> mlflow.StoredPredictions | None:
    if open_store is None:
        return None
    return mlflow.StoredPredictions(layout.study, layout.datasets, layout.plans, layout.cells, open_store)
