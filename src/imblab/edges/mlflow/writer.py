"""The one writer: runs as values go in, batches with explicit ids go to MLflow.

A run that is there with the same content is left alone, one that was cut short or changed is written anew, so that
writing twice changes nothing and writing again repairs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imblab.edges.files import locks
from imblab.edges.mlflow import experiments, ui
from imblab.edges.mlflow.artifacts import Artifact, folder_artifacts
from imblab.edges.mlflow.client import analyze_tables, locked_study, open_client
from imblab.edges.mlflow.experiments import (
    CONTENT_TAG,
    IDENTITY_TAG,
    NOTE_TAG,
    ROLE_TAG,
    STALE_TAG,
    WRITER_TAG,
    ExperimentOwner,
)
from imblab.edges.mlflow.runs import (
    RunDetails,
    RunSpec,
    addresses_of,
    comparable_addresses,
    describe_runs,
    run_lengths,
    run_offsets,
)
from imblab.errors import StudyError
from imblab.fields import check_text, mapping_check, parse_json
from imblab.redaction import redact
from imblab.result import Evaluation
from imblab.study import Study, fingerprint

PARENT = "mlflow.parentRunId"

KEY, FILES = "imblab.key", "imblab.files"
#: The roles of runs that are ours to delete.
ROLES = ("study", "cell", "candidate", "winner", "trial")
#: MLflow's limits: entries a batch, characters of a parameter and of a tag.
MAX_BATCH_ENTRIES, MAX_BATCH_PARAMS, MAX_TEXT_CHARACTERS = 1000, 100, 5000
Metric = tuple[str, float, int]
WRITER_WAY_OUT = (
    "runs are written there beside a study. The rows are safe in the ledger: `imblab sync {}` writes the rest."
)


@dataclass(frozen=True, slots=True)
class _StoredRun:
    """A run that MLflow has."""

    run_id: str
    role: str
    content: str
    tags: Mapping[str, str]
    start: int
    end: int


def log_study(
    study: Study,
    mapping: Mapping[str, Any],
    rows: Sequence[Evaluation],
    folder: Path,
    uri: str,
    extras: RunDetails | None = None,
    files: Sequence[Artifact] = (),
    owner: ExperimentOwner | None = None,
) -> int:
    """Write the runs of a study: one for the study, below it one for each data set, learner and strategy.

    Parameters
    ----------
    study : Study
    mapping : mapping
        The resolved question.
    rows : sequence of Evaluation
    folder : Path
        Of the study; its question and rows become artifacts.
    uri : str
        A tracking server or ``sqlite:///...``, relative to the current directory.
    extras : Extras, optional
    files : sequence of File
        Artifacts beside the files of the folder.
    owner : Owner, optional
        Which study it is; the one that this question asks by default.

    Returns
    -------
    int
        How many runs were written; 0 the second time.

    Raises
    ------
    StudyError
        If the store does not answer, or the experiment belongs to another study. The rows are safe in the folder.
    """
    owner = owner or ExperimentOwner(study.name, fingerprint(dict(mapping)), ledgers=lambda: [rows])
    with open_writer(study, folder, uri, lambda: owner) as writer:
        writer.write(describe_runs(study, rows, mapping, extras))
        writer.send([*folder_artifacts(folder), *files])
        return writer.written


@contextmanager
def open_writer(study: Study, folder: Path, uri: str, owner: Callable[[], ExperimentOwner]) -> Iterator[RunWriter]:
    """The writer of one study, alone; at the end the database learns how its tables are filled.

    Parameters
    ----------
    study : Study
    folder : Path
        Of the study; one process writes its runs at a time.
    uri : str
    owner : callable
        Gives the study that writes; called when the store has answered.

    Yields
    ------
    Writer

    Raises
    ------
    StudyError
        If the store does not answer, or the experiment belongs to another study.
    """
    with open_client(uri, WRITER_WAY_OUT.format(study.name)) as client, locked_study(folder):
        asked = owner()
        writer = RunWriter(client, experiments.claim_experiment(client, asked, uri), study, asked, folder)
        yield writer
        if writer.written:
            analyze_tables(uri)


class RunWriter:
    """Writes the runs of one study into one experiment.

    Parameters
    ----------
    client : MlflowClient
    experiment : str
        Its id.
    study : Study
    owner : Owner
        Runs of another study are neither seen nor touched.
    folder : Path
        Of the study.
    """

    def __init__(self, client: Any, experiment: str, study: Study, owner: ExperimentOwner, folder: Path) -> None:
        self._client, self._experiment, self._study, self._owner = client, experiment, study, owner
        self._who = {**experiments.user_tags(), WRITER_TAG: experiments.writer_id(folder)}
        self._opened = _now()
        self._ids: dict[str, str] = {}
        #: Beginning and end of every run that stands.
        self._spans: dict[str, tuple[int, int]] = {}
        self._begun: dict[str, tuple[str, RunSpec]] = {}
        self._known = self._found()
        #: How many runs were made, completed or written anew.
        self.written = 0

    def begin(self, runs: Sequence[RunSpec]) -> None:
        """Write runs of which more will be known later; :meth:`write` completes them."""
        runs = self._mine(runs)
        long, offset = run_lengths(runs), run_offsets(runs)
        # Behind what stands already: all of it lies within the study, however long that will be.
        taken = sum(known.end - known.start for known in self._known.values() if known.role == "cell")
        taken += sum(self._spans[key][1] - self._spans[key][0] for key in self._begun)
        for run in runs:
            known = self._known.get(run.key)
            if known is not None and run.role in ("study", "cell"):
                self._ids[run.key] = known.run_id
                self._spans[run.key] = (known.start, known.end)
                if run.role == "study":
                    self._tell(run)
            elif run.role == "study":
                self._create(replace(run, metrics=()), "", self._opened, self._opened)
                self._keep(run, "")
            else:
                start = self._spans[str(run.parent)][0] + offset[run.key] + (taken if run.role == "cell" else 0)
                if run.role == "cell":
                    self._create(run, "", start, start + long[run.key])
                    self._begun[run.key] = self._ids[run.key], run
                else:
                    self._put(run, start, start + long[run.key])

    def write(self, runs: Sequence[RunSpec]) -> None:
        """Bring MLflow to what is described; runs below a cell that are not described go, and those of former studies.

        Parameters
        ----------
        runs : sequence of Run
            A run stands after the one above it.
        """
        runs = self._mine(runs)
        keys = {run.key for run in runs}
        self._prune(keys, {run.key for run in runs if run.role == "cell"})
        long, offset = run_lengths(runs), run_offsets(runs)
        for run in runs:
            if run.parent is None:
                known = self._known.get(run.key)
                start = self._opened - long[run.key] if known is None else known.start
                others = [each.end for key, each in self._known.items() if each.role == "cell" and key not in keys]
                self._put(run, start, max([start + long[run.key], *others]))
            else:
                start = self._spans[run.parent][0] + offset[run.key]
                self._put(run, start, start + long[run.key])
        logged: dict[str, set[str]] = {}
        for run in runs:
            logged.setdefault(run.role, set()).update(mlflow_name(name) for name, _, _ in run.metrics)
        ui.save_views(self._client, self._experiment, self._study, logged)
        self._describe(runs[0])

    def _tell(self, run: RunSpec) -> None:
        """Say of a study that was written before what is true of it now: what it said then may hold no more."""
        known = self._known[run.key]
        changed = {n: v for n, v in self._tags(run, known.content).items() if known.tags.get(n) != v}
        if changed:
            self._batch(known.run_id, (), {}, changed, _now())
            self._known[run.key] = replace(known, tags={**known.tags, **changed})
        self._describe(run)

    def _describe(self, run: RunSpec) -> None:
        """The note of a study is that of its experiment too."""
        if self._client.get_experiment(self._experiment).tags.get(NOTE_TAG) != run.note[:MAX_TEXT_CHARACTERS]:
            self._client.set_experiment_tag(self._experiment, NOTE_TAG, run.note[:MAX_TEXT_CHARACTERS])

    def send(self, artifacts: Sequence[Artifact]) -> None:
        """Send the artifacts that the run of the study does not hold yet."""
        run_id = self._ids[""]
        sent = _sent_files(self._client.get_run(run_id).data.tags.get(FILES, "{}"))
        before = dict(sent)
        with locks.scratch_folder("sent") as folder:
            for artifact in (each for each in artifacts if sent.get(each.path) != each.content[:8]):
                if (path := artifact.write(folder)) is not None:
                    self._client.log_artifact(run_id, str(path), artifact.path.rpartition("/")[0] or None)
                    sent[artifact.path] = artifact.content[:8]
        if sent != before:
            self._client.set_tag(run_id, FILES, json.dumps(sent))

    def _put(self, run: RunSpec, start: int, end: int) -> None:
        """Write a run that shall begin and end there; one that stands keeps its beginning where it may."""
        known, begun = self._known.get(run.key), self._begun.pop(run.key, None)
        length = end - start
        if known is not None and (run.role == "study" or self._lies_within(run, known.start, length)):
            start, end = known.start, known.start + length
            if known.content == run.content:
                self._leave(run, known, start, end)
                return
        elif known is not None:
            self._client.delete_run(known.run_id)
            known = None
        if known is not None and run.role == "study":
            # It keeps its id, which people may have kept: new values come after the old ones.
            self._ids[run.key] = known.run_id
            self._batch(known.run_id, run.metrics, {}, self._tags(run, run.content), _now())
        elif begun is not None and _extends(run, begun[1]) and self._lies_within(run, self._spans[run.key][0], length):
            start = self._spans[run.key][0]
            end, held = start + length, set(begun[1].metrics)
            old = self._tags(begun[1], "")
            changed = {name: value for name, value in self._tags(run, run.content).items() if old.get(name) != value}
            self._batch(begun[0], [metric for metric in run.metrics if metric not in held], {}, changed, end)
        else:
            replaced = begun[0] if begun is not None else None if known is None else known.run_id
            if replaced is not None:
                self._client.delete_run(replaced)
            self._create(run, run.content, start, end)
        self._end(run, start, end)

    def _leave(self, run: RunSpec, known: _StoredRun, start: int, end: int) -> None:
        """Leave a run as it is, but for tags and its end."""
        self._ids[run.key] = known.run_id
        changed = {name: v for name, v in self._tags(run, run.content).items() if known.tags.get(name) != v}
        if changed:
            self._batch(known.run_id, (), {}, changed, end)
        if known.end != end:
            self._end(run, start, end)
        else:
            self._spans[run.key] = (start, end)
            self._keep(run, run.content)

    def _end(self, run: RunSpec, start: int, end: int) -> None:
        self._client.set_terminated(self._ids[run.key], end_time=end)
        self._spans[run.key] = (start, end)
        self._keep(run, run.content)
        self.written += 1

    def _lies_within(self, run: RunSpec, start: int, length: int) -> bool:
        """Whether a run of that length lies within the run above it."""
        first, last = self._spans[str(run.parent)]
        return first <= start and start + length <= last

    def _keep(self, run: RunSpec, content: str) -> None:
        tags = self._tags(run, content)
        self._known[run.key] = _StoredRun(self._ids[run.key], run.role, content, tags, *self._spans[run.key])

    def _tags(self, run: RunSpec, content: str) -> dict[str, str]:
        """All tags of a run, but for whose it is; without a content it is begun only."""
        tags = {**run.tags, KEY: run.key, ROLE_TAG: run.role, IDENTITY_TAG: self._owner.identity}
        tags |= {NOTE_TAG: run.note} if run.note else {}
        tags |= {CONTENT_TAG: content} if content else {}
        tags |= {PARENT: self._ids[run.parent]} if run.parent is not None else {}
        return {name: redact(value)[:MAX_TEXT_CHARACTERS] for name, value in tags.items()}

    def _create(self, run: RunSpec, content: str, start: int, end: int) -> None:
        """A run with all that is known of it, and not finished."""
        tags = {**self._who, **self._tags(run, content)}
        made = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=run.name)
        self._ids[run.key] = run_id = str(made.info.run_id)
        self._spans[run.key] = (start, end)
        self._batch(run_id, run.metrics, run.params, {}, end)
        if run.data:
            self._input(run_id, run.data)

    def _batch(
        self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str], at: int
    ) -> None:
        from mlflow.entities import Metric as Point
        from mlflow.entities import Param, RunTag

        points = [Point(mlflow_name(name), value, at, step) for name, value, step in metrics]
        knobs = [Param(mlflow_name(name), redact(value)[:MAX_TEXT_CHARACTERS]) for name, value in params.items()]
        texts = [RunTag(name, value[:MAX_TEXT_CHARACTERS]) for name, value in tags.items()]
        while points or knobs or texts:
            room = MAX_BATCH_ENTRIES - MAX_BATCH_PARAMS
            self._client.log_batch(run_id, metrics=points[:room], params=knobs[:MAX_BATCH_PARAMS], tags=texts)
            points, knobs, texts = points[room:], knobs[MAX_BATCH_PARAMS:], []

    def _input(self, run_id: str, data: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        seen = Dataset(data["name"], data["digest"], "imblab", redact(data["source"]), profile=data["profile"])
        self._client.log_inputs(
            run_id, [DatasetInput(seen, [InputTag("mlflow.data.context", "nested cross-validation")])]
        )

    def _found(self) -> dict[str, _StoredRun]:
        """The runs of this study that are whole, by their key, the latest of each; others of this folder go."""
        known: dict[str, _StoredRun] = {}
        for run in experiments.iterate_runs(self._client, self._experiment):
            tags, info = run.data.tags, run.info
            if tags.get(ROLE_TAG) not in ROLES or STALE_TAG in tags or not self._owner.owns(tags.get(IDENTITY_TAG)):
                continue
            key = tags.get(KEY)
            is_study = tags[ROLE_TAG] == "study"
            whole = key is not None and CONTENT_TAG in tags and info.status == "FINISHED"
            if (whole or is_study) and (key or "") not in known:
                content = tags.get(CONTENT_TAG, "") if whole else ""
                span = (int(info.start_time or 0), int(info.end_time or 0))
                known[key or ""] = _StoredRun(str(info.run_id), tags[ROLE_TAG], content, tags, *span)
            elif whole or tags.get(WRITER_TAG) in (None, self._who[WRITER_TAG]):
                # What another folder with the same study has begun is its own to finish.
                self._client.delete_run(info.run_id)
        return known

    def _mine(self, runs: Sequence[RunSpec]) -> list[RunSpec]:
        """The runs to write: without cells of which a copy of the folder has logged more rows than this one holds.

        Raises
        ------
        StudyError
            If a copy has logged other rows for a cell, before anything is written.
        """
        ahead = set()
        for run in (run for run in runs if run.role == "cell"):
            mine, theirs = comparable_addresses(addresses_of(run.tags), self._answered(run.key))
            ahead |= {run.key} if mine < theirs else set()
            if not (mine <= theirs or theirs <= mine):
                raise StudyError(
                    f"cell {run.key!r} of study {self._study.name!r} holds other rows in MLflow than in this folder; "
                    "a copy of the folder has logged them, and the two have gone different ways since. Log this one "
                    f"with tracking.experiment={self._study.name}-2, or choose another name=..."
                )
        return [run for run in runs if _cell(run.key) not in ahead]

    def _answered(self, key: str) -> frozenset[str]:
        """The addresses that this study, not one that it replaced, has logged for a cell."""
        known = self._known.get(key)
        mine = known is not None and known.tags.get(IDENTITY_TAG) == self._owner.identity
        return addresses_of(known.tags) if known is not None and mine else frozenset()

    def _prune(self, wanted: set[str], cells: set[str]) -> None:
        """Delete what the study has replaced, which MLflow can undo; cells of a copy of the folder stay."""
        gone = [
            key
            for key, known in self._known.items()
            if key not in wanted
            and known.role != "study"
            and (known.tags.get(IDENTITY_TAG) != self._owner.identity or (known.role != "cell" and _cell(key) in cells))
        ]
        for known in map(self._known.pop, gone):
            if known.role == "cell":
                self._client.set_tag(known.run_id, STALE_TAG, "true")
            self._client.delete_run(known.run_id)


def mlflow_name(name: str) -> str:
    """A name as MLflow takes it: letters, digits and ``_ - . / :`` and blanks."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def _cell(key: str) -> str:
    """The key of the cell that a run is, or stands below."""
    return "/".join(key.split("/")[:3])


def _now() -> int:
    return int(time.time() * 1000)


def _extends(run: RunSpec, begun: RunSpec) -> bool:
    """Whether a run says all that was begun, and perhaps more."""
    same = (run.params, run.data, run.parent) == (begun.params, begun.data, begun.parent)
    return same and set(begun.metrics) <= set(run.metrics)


def _sent_files(tag: str) -> dict[str, str]:
    """What a run holds, by the tag that says so; nothing where somebody wrote another text there: it is sent again."""
    try:
        found: dict[str, str] = mapping_check(check_text)(parse_json(tag), FILES)
    except (ValueError, RecursionError):
        return {}
    return found
