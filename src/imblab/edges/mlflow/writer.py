"""Writes runs: descriptions go in, batches with explicit ids go to MLflow, at once or in a background thread.

A run that is there with the same content is left alone; one that was cut short or changed is written again. Writing
twice therefore changes nothing, and writing again repairs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from imblab.analysis.outer_splits import describe_kind
from imblab.edges.mlflow import addresses as owners, views
from imblab.edges.mlflow.addresses import ExperimentConflict, ExperimentOwner
from imblab.edges.mlflow.artifacts import Artifact, send_artifacts
from imblab.edges.mlflow.client import analyze_tables, locked_study, open_client
from imblab.edges.mlflow.notes import link_answer
from imblab.edges.mlflow.runs import (
    Metric,
    RunSpec,
    addresses_of,
    cell_of,
    comparable_addresses,
    mlflow_name,
    run_lengths,
    run_offsets,
)
from imblab.errors import StudyError
from imblab.redaction import redact
from imblab.study import Study

PARENT_TAG, KEY_TAG = "mlflow.parentRunId", "imblab.key"
#: Roles of the runs that imblab writes, or wrote formerly, and may delete.
ROLES = ("study", "cell", "candidate", "winner", "trial")
#: MLflow's limits: entries of a batch, and parameters among them; characters of a parameter and of a tag.
MAX_BATCH_ENTRIES, MAX_BATCH_PARAMS, MAX_TEXT_CHARACTERS = 1000, 100, 5000
#: Saved views that the description of an experiment links to.
MAX_LINKS = 2
WRITER_WAY_OUT = (
    "runs are written there next to a study. The rows are safe in the ledger: `imblab sync {}` writes the rest."
)


@dataclass(frozen=True, slots=True)
class _StoredRun:
    """A run of the study that MLflow has."""

    run_id: str
    role: str
    content: str
    tags: Mapping[str, str]
    start: int
    end: int
    ranks: Mapping[str, float]


def log_study(
    study: Study, runs: Sequence[RunSpec], artifacts: Sequence[Artifact], folder: Path, uri: str, owner: ExperimentOwner
) -> int:
    """Write the runs and artifacts of a study at once, and return the number of runs written: 0 the second time."""
    with open_writer(study, folder, uri, lambda: owner) as writer:
        writer.write(runs)
        writer.send(artifacts)
        return writer.written


@contextmanager
def open_writer(study: Study, folder: Path, uri: str, owner: Callable[[], ExperimentOwner]) -> Iterator[RunWriter]:
    """Open the writer of a study, one per folder at a time; ``owner`` is called before MLflow is imported."""
    study_owner = owner()
    with open_client(uri, WRITER_WAY_OUT.format(study.name)) as client, locked_study(folder):
        experiment = owners.claim_experiment(client, study_owner, uri)
        writer = RunWriter(client, experiment, study, study_owner, folder)
        yield writer
        if writer.written:
            analyze_tables(uri)


class RunWriter:
    """Writes the runs of one study into one experiment; runs of other studies are neither read nor changed."""

    def __init__(self, client: Any, experiment: str, study: Study, owner: ExperimentOwner, folder: Path) -> None:
        self._client, self._experiment, self._study, self._owner = client, experiment, study, owner
        self._user_tags = {**owners.user_tags(), owners.WRITER_TAG: owners.writer_id(folder)}
        self._opened = _now()
        self._ids: dict[str, str] = {}
        #: Start and end of every run that is written.
        self._spans: dict[str, tuple[int, int]] = {}
        self._begun: dict[str, tuple[str, RunSpec]] = {}
        self._stored = self._read_runs()
        #: Number of runs that were created, completed or written again.
        self.written = 0

    def begin(self, runs: Sequence[RunSpec]) -> None:
        """Write runs of which more will be known later; :meth:`write` completes them."""
        self._retire_former_study()
        runs = self._without_newer_copies(runs)
        lengths, offsets = run_lengths(runs), run_offsets(runs)
        # They follow what is there already: all of it lies within the study, however long that will be.
        elapsed = sum(stored.end - stored.start for stored in self._stored.values() if stored.role == "cell")
        elapsed += sum(self._spans[key][1] - self._spans[key][0] for key in self._begun)
        for run in runs:
            stored = self._stored.get(run.key)
            if stored is not None and run.role in ("study", "cell"):
                self._ids[run.key] = stored.run_id
                self._spans[run.key] = (stored.start, stored.end)
                if run.role == "study":
                    self._update_study(run)
            elif run.role == "study":
                self._create(replace(run, metrics=()), "", self._opened, self._opened)
                self._remember(run, "")
            else:
                start = self._spans[str(run.parent)][0] + offsets[run.key] + (elapsed if run.role == "cell" else 0)
                end = start + lengths[run.key]
                if run.role == "cell":
                    self._create(run, "", start, end)
                    self._begun[run.key] = self._ids[run.key], run
                else:
                    self._write_run(run, start, end)

    def write(self, runs: Sequence[RunSpec]) -> None:
        """Make the experiment equal to a description of the study, in which a run follows the one above it.

        Runs below a cell that are not described are deleted, and so are those of former studies.
        """
        self._retire_former_study()
        runs = self._without_newer_copies(runs)
        keys = {run.key for run in runs}
        self._prune(keys, {run.key for run in runs if run.role == "cell"})
        lengths, offsets = run_lengths(runs), run_offsets(runs)
        for run in runs:
            if run.parent is None:
                stored = self._stored.get(run.key)
                start = self._opened - lengths[run.key] if stored is None else stored.start
                others = [each.end for key, each in self._stored.items() if each.role == "cell" and key not in keys]
                self._write_run(run, start, max([start + lengths[run.key], *others]))
            else:
                start = self._spans[run.parent][0] + offsets[run.key]
                self._write_run(run, start, start + lengths[run.key])
        saved = views.save_views(self._client, self._experiment, self._study, views.logged_runs(runs))
        self._describe_experiment(runs[0], saved)

    def send(self, artifacts: Sequence[Artifact]) -> None:
        """Send the artifacts that the run of the study does not hold yet."""
        send_artifacts(self._client, self._ids[""], artifacts)

    def _retire_former_study(self) -> None:
        """Delete the run of a study that this one replaced, which MLflow can undo: it has other files."""
        stored = self._stored.get("")
        if stored is not None and stored.tags.get(owners.IDENTITY_TAG) not in (None, self._owner.identity):
            self._client.set_tag(stored.run_id, owners.STALE_TAG, "true")
            self._client.delete_run(stored.run_id)
            del self._stored[""]

    def _update_study(self, run: RunSpec) -> None:
        """Change the tags of a stored study run, whose statements may not hold any more."""
        stored = self._stored[run.key]
        if changed := self._changed_tags(run, stored.content, stored):
            self._log_batch(stored.run_id, (), {}, changed, _now())
            self._stored[run.key] = replace(stored, tags={**stored.tags, **changed})
        self._describe_experiment(run)

    def _describe_experiment(self, run: RunSpec, saved: Sequence[views.SavedView] = ()) -> None:
        """Make the note of the study that of its experiment too, with links to its first saved views."""
        links = {view.name: views.view_link("", self._experiment, view.key).lstrip("/") for view in saved[:MAX_LINKS]}
        note = link_answer(run.note, links)[:MAX_TEXT_CHARACTERS]
        if self._client.get_experiment(self._experiment).tags.get(owners.NOTE_TAG) != note:
            self._client.set_experiment_tag(self._experiment, owners.NOTE_TAG, note)

    def _write_run(self, run: RunSpec, start: int, end: int) -> None:
        """Write a run with a start and an end; a stored one keeps its start if it still lies within the run above."""
        stored, begun = self._stored.get(run.key), self._begun.pop(run.key, None)
        length = end - start
        if stored is not None and (run.role == "study" or self._lies_within(run, stored.start, length)):
            start, end = stored.start, stored.start + length
            if stored.content == run.content:
                self._update_tags(run, stored, start, end)
                return
        elif stored is not None:
            self._client.delete_run(stored.run_id)
            stored = None
        if stored is not None and run.role == "study":
            # It keeps its id, which people may have noted: new values follow the old ones.
            self._ids[run.key] = stored.run_id
            self._log_batch(stored.run_id, run.metrics, {}, self._tags(run, run.content), _now())
        elif begun is not None and run.extends(begun[1]) and self._lies_within(run, self._spans[run.key][0], length):
            start = self._spans[run.key][0]
            end, known = start + length, set(begun[1].metrics)
            old = self._tags(begun[1], "")
            changed = {name: value for name, value in self._tags(run, run.content).items() if old.get(name) != value}
            self._log_batch(begun[0], [metric for metric in run.metrics if metric not in known], {}, changed, end)
        else:
            replaced = begun[0] if begun is not None else None if stored is None else stored.run_id
            if replaced is not None:
                self._client.delete_run(replaced)
            self._create(run, run.content, start, end)
        self._end_run(run, start, end)

    def _update_tags(self, run: RunSpec, stored: _StoredRun, start: int, end: int) -> None:
        """Update the tags, the ranks and the end of a run with the same content."""
        self._ids[run.key] = stored.run_id
        changed = self._changed_tags(run, run.content, stored)
        ranks = [(name, rank, 0) for name, rank in run.ranks.items() if stored.ranks.get(name) != rank]
        if changed or ranks:
            # The latest value counts.
            self._log_batch(stored.run_id, ranks, {}, changed, max(_now(), stored.end + 1))
        if stored.end != end:
            self._end_run(run, start, end)
        else:
            self._spans[run.key] = (start, end)
            self._remember(run, run.content)

    def _end_run(self, run: RunSpec, start: int, end: int) -> None:
        self._client.set_terminated(self._ids[run.key], end_time=end)
        self._spans[run.key] = (start, end)
        self._remember(run, run.content)
        self.written += 1

    def _lies_within(self, run: RunSpec, start: int, length: int) -> bool:
        """Whether a run of that length lies within the run above it."""
        first, last = self._spans[str(run.parent)]
        return first <= start and start + length <= last

    def _remember(self, run: RunSpec, content: str) -> None:
        tags = self._tags(run, content)
        self._stored[run.key] = _StoredRun(
            self._ids[run.key], run.role, content, tags, *self._spans[run.key], run.ranks
        )

    def _tags(self, run: RunSpec, content: str) -> dict[str, str]:
        """All tags of a run but those of the user; a run without a content is begun only."""
        tags = {**run.tags, KEY_TAG: run.key, owners.ROLE_TAG: run.role, owners.IDENTITY_TAG: self._owner.identity}
        tags |= {owners.NOTE_TAG: run.note} if run.note else {}
        tags |= {owners.CONTENT_TAG: content} if content else {}
        tags |= {PARENT_TAG: self._ids[run.parent]} if run.parent is not None else {}
        return {name: redact(value)[:MAX_TEXT_CHARACTERS] for name, value in tags.items()}

    def _changed_tags(self, run: RunSpec, content: str, stored: _StoredRun) -> dict[str, str]:
        return {name: value for name, value in self._tags(run, content).items() if stored.tags.get(name) != value}

    def _create(self, run: RunSpec, content: str, start: int, end: int) -> None:
        """Create a run with everything that is known of it, not ended."""
        tags = {**self._user_tags, **self._tags(run, content)}
        created = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=run.name)
        self._ids[run.key] = run_id = str(created.info.run_id)
        self._spans[run.key] = (start, end)
        self._log_batch(run_id, run.metrics, run.params, {}, end)
        if run.data:
            self._log_input(run_id, run.data)

    def _log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str], at: int
    ) -> None:
        from mlflow.entities import Metric as Point, Param, RunTag

        points = [Point(mlflow_name(name), value, at, step) for name, value, step in metrics]
        knobs = [Param(mlflow_name(name), redact(value)[:MAX_TEXT_CHARACTERS]) for name, value in params.items()]
        texts = [RunTag(name, value[:MAX_TEXT_CHARACTERS]) for name, value in tags.items()]
        room = MAX_BATCH_ENTRIES - MAX_BATCH_PARAMS
        while points or knobs or texts:
            self._client.log_batch(run_id, metrics=points[:room], params=knobs[:MAX_BATCH_PARAMS], tags=texts)
            points, knobs, texts = points[room:], knobs[MAX_BATCH_PARAMS:], []

    def _log_input(self, run_id: str, data: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(data["name"], data["digest"], "imblab", redact(data["source"]), profile=data["profile"])
        tag = InputTag("mlflow.data.context", describe_kind(self._study))
        self._client.log_inputs(run_id, [DatasetInput(dataset, [tag])])

    def _read_runs(self) -> dict[str, _StoredRun]:
        """The finished runs of this study by their key, the latest of each; unfinished ones of this folder go."""
        stored: dict[str, _StoredRun] = {}
        for run in owners.iterate_runs(self._client, self._experiment):
            tags, info = run.data.tags, run.info
            role, key = tags.get(owners.ROLE_TAG), tags.get(KEY_TAG)
            if role not in ROLES or owners.STALE_TAG in tags or not self._owner.owns(tags.get(owners.IDENTITY_TAG)):
                continue
            is_finished = key is not None and owners.CONTENT_TAG in tags and info.status == "FINISHED"
            if (is_finished or role == "study") and (key or "") not in stored:
                content = tags.get(owners.CONTENT_TAG, "") if is_finished else ""
                span = (int(info.start_time or 0), int(info.end_time or 0))
                stored[key or ""] = _StoredRun(str(info.run_id), role, content, tags, *span, run.data.metrics)
            elif is_finished or tags.get(owners.WRITER_TAG) in (None, self._user_tags[owners.WRITER_TAG]):
                # An unfinished run of another folder with the same study is for that folder to finish.
                self._client.delete_run(info.run_id)
        return stored

    def _without_newer_copies(self, runs: Sequence[RunSpec]) -> list[RunSpec]:
        """Leave out cells of which a copy of the folder has logged more evaluations; other ones are refused."""
        newer = set()
        for run in (run for run in runs if run.role == "cell"):
            mine, theirs = comparable_addresses(addresses_of(run.tags), self._logged_addresses(run.key))
            newer |= {run.key} if mine < theirs else set()
            if not (mine <= theirs or theirs <= mine):
                raise StudyError(
                    f"cell {run.key!r} of study {self._study.name!r} holds other rows in MLflow than in this folder; "
                    "a copy of the folder has logged them, and the two have diverged since. Log this one with "
                    f"tracking.experiment={self._study.name}-2, or choose another name=..."
                )
        return [run for run in runs if cell_of(run.key) not in newer]

    def _logged_addresses(self, key: str) -> frozenset[str]:
        """The evaluations that this study, not one that it replaced, has logged for a cell."""
        stored = self._stored.get(key)
        is_mine = stored is not None and stored.tags.get(owners.IDENTITY_TAG) == self._owner.identity
        return addresses_of(stored.tags) if stored is not None and is_mine else frozenset()

    def _prune(self, keys: set[str], cells: set[str]) -> None:
        """Delete what the study has replaced, which MLflow can undo; other cells of a copy of the folder stay."""
        for key, stored in list(self._stored.items()):
            is_former = stored.tags.get(owners.IDENTITY_TAG) != self._owner.identity
            is_old_search = stored.role != "cell" and cell_of(key) in cells
            if key not in keys and stored.role != "study" and (is_former or is_old_search):
                if stored.role == "cell":
                    self._client.set_tag(stored.run_id, owners.STALE_TAG, "true")
                self._client.delete_run(stored.run_id)
                del self._stored[key]


class BackgroundWriter:
    """Does jobs for one writer in order, in a thread, while a study runs."""

    def __init__(self, open_writer: Callable[[], AbstractContextManager[RunWriter]]) -> None:
        self._open_writer = open_writer
        self._jobs: SimpleQueue[Callable[[RunWriter], None] | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._is_open = threading.Event()
        # A store that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="imblab-mlflow", daemon=True)
        self._thread.start()

    def put(self, job: Callable[[RunWriter], None]) -> None:
        """Let a job follow those before it; after a failure no job is done."""
        self._jobs.put(job)

    def wait_until_open(self, seconds: float) -> None:
        """Wait some seconds for the store, and raise an ExperimentConflict; :meth:`close` raises other errors."""
        self._is_open.wait(seconds)
        if isinstance(self._error, ExperimentConflict):
            raise self._error

    def close(self, seconds: float | None = None) -> None:
        """Wait until every job is done, for some seconds at most, and raise the error of the store."""
        self._jobs.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise StudyError(
                f"the MLflow store has not taken all runs within tracking.timeout={seconds:g} s; a finished study does "
                "not wait longer. The rows are safe in the ledger: `imblab sync <name>` writes the rest."
            )
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let the thread end after its current job; the next writer repairs what is unfinished."""
        self._jobs.put(None)

    def _work(self) -> None:
        try:
            with self._open_writer() as writer:
                self._is_open.set()
                while (job := self._jobs.get()) is not None:
                    job(writer)
        except BaseException as error:  # raised by the methods that wait
            self._error = error
        finally:
            self._is_open.set()


def _now() -> int:
    return int(time.time() * 1000)
