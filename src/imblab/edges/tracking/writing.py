"""The one writer: runs as values go in, batches with explicit ids go to MLflow.

A run that is there with the same content is left alone, one that was cut short or changed is written anew, so that
writing twice changes nothing and writing again repairs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from imblab.edges import files as folders
from imblab.edges.tracking import views
from imblab.edges.tracking.address import file
from imblab.edges.tracking.client import analyze, exclusive, experiment_id, session
from imblab.edges.tracking.values import Extras, Run, describe
from imblab.records import Evaluation, Study

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
KEY, ROLE, CONTENT, FILES = "imblab.key", "imblab.role", "imblab.content", "imblab.files"
#: Marks a cell that was deleted because the study no longer holds it; whoever restores it keeps it.
STALE = "imblab.stale"
#: The roles of runs that are ours to delete.
ROLES = ("study", "cell", "candidate", "winner", "trial")
#: MLflow's limits: entries a batch, characters of a parameter and of a tag.
METRICS, PARAMS, TEXT = 1000, 100, 5000
#: Of the files of a study's folder.
SENT = (".yaml", ".jsonl", ".json", ".parquet", ".html", ".diff")
Metric = tuple[str, float, int]
WAY_OUT = "runs are written there beside a study. The rows are safe in the ledger: `imblab sync {}` writes the rest."


@dataclass(frozen=True, slots=True)
class File:
    """An artifact of the run of a study.

    Attributes
    ----------
    path : str
        Below the run.
    content : str
        The address of what it holds; the same content is not sent twice.
    write : callable
        Gives the file, or writes it into the folder it receives; None where there is nothing to send.
    """

    path: str
    content: str
    write: Callable[[Path], Path | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """A run that MLflow has."""

    run_id: str
    role: str
    content: str
    tags: Mapping[str, str]


def log(
    study: Study,
    mapping: Mapping[str, Any],
    rows: Sequence[Evaluation],
    folder: Path,
    uri: str,
    extras: Extras | None = None,
    files: Sequence[File] = (),
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

    Returns
    -------
    int
        How many runs were written; 0 the second time.

    Raises
    ------
    StudyError
        If the store does not answer. The rows are safe in the folder.
    """
    with open_writer(study, folder, uri) as writer:
        writer.write(describe(study, rows, mapping, extras))
        writer.send([*in_folder(folder), *files])
        return writer.written


@contextmanager
def open_writer(study: Study, folder: Path, uri: str) -> Iterator[Writer]:
    """The writer of one study, alone; at the end the database learns how its tables are filled.

    Parameters
    ----------
    study : Study
    folder : Path
        Of the study; one process writes its runs at a time.
    uri : str

    Yields
    ------
    Writer

    Raises
    ------
    StudyError
        If the store does not answer.
    """
    with session(uri, WAY_OUT.format(study.name)) as client, exclusive(folder):
        writer = Writer(client, experiment_id(client, study.name, uri), study, file(uri) is not None)
        yield writer
        if writer.written:
            analyze(uri)


class Writer:
    """Writes the runs of one study into one experiment.

    Parameters
    ----------
    client : MlflowClient
    experiment : str
        Its id.
    study : Study
    alone : bool, default=False
        Whether the store is a file of one's own: on a server the other cells of the study may be a colleague's.
    """

    def __init__(self, client: Any, experiment: str, study: Study, alone: bool = False) -> None:
        self._client, self._experiment, self._study, self._alone = client, experiment, study, alone
        #: Later runs get earlier starts, since pages show the newest first: the study on top, then its order.
        self._clock = int(time.time() * 1000)
        self._ids: dict[str, str] = {}
        self._begun: dict[str, tuple[str, Run]] = {}
        self._known = self._found()
        #: How many runs were made, completed or written anew.
        self.written = 0

    def begin(self, runs: Iterable[Run]) -> None:
        """Write runs of which more will be known later; :meth:`write` completes them."""
        for run in runs:
            if run.role not in ("study", "cell"):
                self._put(run)
            elif run.key in self._known:
                self._ids[run.key] = self._known[run.key].run_id
                if run.role == "study":
                    self._tell(run)
            elif run.role == "study":
                self._keep(run, self._create(replace(run, metrics=()), ""), "")
            else:
                self._begun[run.key] = self._create(run, ""), run

    def write(self, runs: Sequence[Run]) -> None:
        """Bring MLflow to what is described; runs below a cell that are not described go, and cells where we are alone.

        Parameters
        ----------
        runs : sequence of Run
            A run stands after the one above it.
        """
        for run in runs:
            self._put(run)
        self._prune({run.key for run in runs}, {run.key for run in runs if run.role == "cell"})
        logged: dict[str, set[str]] = {}
        for run in runs:
            logged.setdefault(run.role, set()).update(key_text(name) for name, _, _ in run.metrics)
        views.save(self._client, self._experiment, self._study, logged)
        self._describe(runs[0])

    def _tell(self, run: Run) -> None:
        """Say of a study that was written before what is true of it now: what it said then may hold no more."""
        known = self._known[run.key]
        changed = {n: v for n, v in self._tags(run, known.content).items() if known.tags.get(n) != v}
        if changed:
            self._batch(known.run_id, (), {}, changed)
            self._known[run.key] = replace(known, tags={**known.tags, **changed})
        self._describe(run)

    def _describe(self, run: Run) -> None:
        """The note of a study is that of its experiment too."""
        if self._client.get_experiment(self._experiment).tags.get(NOTE) != run.note[:TEXT]:
            self._client.set_experiment_tag(self._experiment, NOTE, run.note[:TEXT])

    def send(self, files: Sequence[File]) -> None:
        """Send what the run of the study does not hold yet."""
        run_id = self._ids[""]
        held = json.loads(self._client.get_run(run_id).data.tags.get(FILES, "{}"))
        fresh = [file for file in files if held.get(file.path) != file.content[:8]]
        with folders.scratch("sent") as folder:
            sent = [file for file in fresh if self._sent(run_id, file, folder)]
        if sent:
            held |= {file.path: file.content[:8] for file in sent}
            self._client.set_tag(run_id, FILES, json.dumps(held))

    def _sent(self, run_id: str, file: File, folder: Path) -> bool:
        path = file.write(folder)
        if path is not None:
            self._client.log_artifact(run_id, str(path), file.path.rpartition("/")[0] or None)
        return path is not None

    def _put(self, run: Run) -> None:
        known, begun = self._known.get(run.key), self._begun.pop(run.key, None)
        if known is not None and known.content == run.content:
            self._ids[run.key] = known.run_id
            changed = {name: v for name, v in self._tags(run, run.content).items() if known.tags.get(name) != v}
            if changed:
                self._batch(known.run_id, (), {}, changed)
                self._keep(run, known.run_id, run.content)
            return
        if known is not None and run.role == "study":
            # It keeps its id, which people may have kept: new values come after the old ones.
            self._ids[run.key] = run_id = known.run_id
            self._batch(run_id, run.metrics, {}, self._tags(run, run.content))
        elif begun is not None and _extends(run, begun[1]):
            run_id, held = begun[0], set(begun[1].metrics)
            old = self._tags(begun[1], "")
            changed = {name: value for name, value in self._tags(run, run.content).items() if old.get(name) != value}
            self._batch(run_id, [metric for metric in run.metrics if metric not in held], {}, changed)
        else:
            replaced = begun[0] if begun is not None else None if known is None else known.run_id
            if replaced is not None:
                self._client.delete_run(replaced)
            run_id = self._create(run, run.content)
        self._client.set_terminated(run_id, end_time=self._clock + int(1000 * run.seconds))
        self._keep(run, run_id, run.content)
        self.written += 1

    def _keep(self, run: Run, run_id: str, content: str) -> None:
        self._known[run.key] = _Known(run_id, run.role, content, self._tags(run, content))

    def _tags(self, run: Run, content: str) -> dict[str, str]:
        """All tags of a run; without a content it is begun only."""
        tags = {**run.tags, KEY: run.key, ROLE: run.role}
        tags |= {NOTE: run.note} if run.note else {}
        tags |= {CONTENT: content} if content else {}
        tags |= {PARENT: self._ids[run.parent]} if run.parent is not None else {}
        return {name: value[:TEXT] for name, value in tags.items()}

    def _create(self, run: Run, content: str) -> str:
        """A run with all that is known of it, and not finished."""
        self._clock -= 1
        tags = self._tags(run, content)
        made = self._client.create_run(self._experiment, start_time=self._clock, tags=tags, run_name=run.name)
        self._ids[run.key] = run_id = str(made.info.run_id)
        self._batch(run_id, run.metrics, run.params, {})
        if run.data:
            self._input(run_id, run.data)
        return run_id

    def _batch(
        self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Metric as Point
        from mlflow.entities import Param, RunTag

        now = int(time.time() * 1000)
        points = [Point(key_text(name), value, now, step) for name, value, step in metrics]
        knobs = [Param(key_text(name), value[:TEXT]) for name, value in params.items()]
        texts = [RunTag(name, value[:TEXT]) for name, value in tags.items()]
        while points or knobs or texts:
            room = METRICS - PARAMS
            self._client.log_batch(run_id, metrics=points[:room], params=knobs[:PARAMS], tags=texts)
            points, knobs, texts = points[room:], knobs[PARAMS:], []

    def _input(self, run_id: str, data: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        seen = Dataset(data["name"], data["digest"], "imblab", data["source"], profile=data["profile"])
        self._client.log_inputs(
            run_id, [DatasetInput(seen, [InputTag("mlflow.data.context", "nested cross-validation")])]
        )

    def _found(self) -> dict[str, _Known]:
        """The runs of ours that are whole, by their key; the latest of each. Others are deleted."""
        known: dict[str, _Known] = {}
        for run in self._runs():
            tags = run.data.tags
            if tags.get(ROLE) not in ROLES or STALE in tags:
                continue
            key = tags.get(KEY)
            is_study = tags[ROLE] == "study"
            whole = key is not None and CONTENT in tags and run.info.status == "FINISHED"
            if (whole or is_study) and (key or "") not in known:
                content = tags.get(CONTENT, "") if whole else ""
                known[key or ""] = _Known(str(run.info.run_id), tags[ROLE], content, tags)
            else:
                self._client.delete_run(run.info.run_id)
        return known

    def _runs(self) -> Iterator[Any]:
        page = self._client.search_runs([self._experiment], max_results=1000)
        yield from page
        while page.token:
            page = self._client.search_runs([self._experiment], max_results=1000, page_token=page.token)
            yield from page

    def _prune(self, wanted: set[str], cells: set[str]) -> None:
        """Delete what the study does not hold (any more), which MLflow can undo."""
        gone = [
            key
            for key, known in self._known.items()
            if key not in wanted
            and known.role != "study"
            and (self._alone or (known.role != "cell" and "/".join(key.split("/")[:3]) in cells))
        ]
        for known in map(self._known.pop, gone):
            if known.role == "cell":
                self._client.set_tag(known.run_id, STALE, "true")
            self._client.delete_run(known.run_id)


def in_folder(folder: Path) -> list[File]:
    """What the folder of a study holds for people and machines."""
    found = [name for name in folders.names(folder) if name.endswith(SENT)]
    found += [name for below in ("figures", "tables") for name in folders.names(folder, below)]
    seen = [name for name in found if "." in name and not name.rpartition("/")[2].startswith(".")]
    return [
        File(name, sha256(folders.read(folder, name, alone=True)).hexdigest(), partial(_copied, folder, name))
        for name in seen
    ]


def _copied(folder: Path, name: str, place: Path) -> Path:
    """A copy of a file, since MLflow would follow a link that has taken its place meanwhile."""
    path = place / name.rpartition("/")[2]
    path.write_bytes(folders.read(folder, name, alone=True))
    return path


def key_text(name: str) -> str:
    """A name as MLflow takes it: letters, digits and ``_ - . / :`` and blanks."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def _extends(run: Run, begun: Run) -> bool:
    """Whether a run says all that was begun, and perhaps more."""
    same = (run.params, run.data, run.parent) == (begun.params, begun.data, begun.parent)
    return same and set(begun.metrics) <= set(run.metrics)
