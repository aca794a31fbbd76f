"""Artifacts of the run of a study: files of its folder, and tables made from the prediction store without a fit.

The candidates of searches are runs, or one of these tables per data set and learner if there are many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imblab.analysis.outer_splits import count_outer_folds
from imblab.core import forecast, replay
from imblab.core.evaluate import Task, candidate_scores
from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.files import locks
from imblab.edges.mlflow.runs import InnerScores, describe_search, invalid_table_reason, read_inner_scores, search_table
from imblab.errors import FitFailed, describe
from imblab.fields import check_text, mapping_check, parse_json
from imblab.result import Evaluation, FamilyScores, StudyResult, Trial
from imblab.study import COORDINATES, Cell, Dataset, Learner, Split, Strategy, Study, fingerprint

#: Endings of the files in a study's folder that are sent.
ARTIFACT_SUFFIXES = (".yaml", ".jsonl", ".json", ".parquet", ".html", ".diff")
#: Holds the hashes of the artifacts that a run has; where they are many, imblab.files.1 and so on hold the rest.
FILES_TAG = "imblab.files"
#: Characters of a tag that every MLflow keeps, and the digits of a hash in it.
MAX_TAG_CHARACTERS, HASH_DIGITS = 5000, 8
SEARCH_FILE, PREDICTIONS_FILE = "search.parquet", "predictions.parquet"
#: Columns that say where a prediction belongs.
PREDICTION_PLACE = (*COORDINATES, "part", "inner_fold")
#: A study with more runs below its strategies has tables in their place: each run takes about 15 ms and 15 kB.
MAX_CANDIDATE_RUNS = 5000
#: The value of ``tracking.search`` that leaves the choice between runs and tables to their number.
AUTO = "auto"
#: The folder of the tables among the artifacts of a study.
CANDIDATES_FOLDER = "candidates"
_STATES = ("repeat", "fold", "status", "reason")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact of the run of a study: its path below the run, and the hash of its content, which is sent once.

    ``write`` receives a folder, and a function that gives the path of the file that the run has, or None. It writes the
    file into the folder, and gives its path and the hash of what it holds; None if there is nothing to send.
    """

    path: str
    content: str
    write: Callable[[Path, Callable[[], Path | None]], tuple[Path, str] | None]


def folder_artifacts(folder: Path) -> list[Artifact]:
    """The files of a study's folder that are sent: question, rows, derived files, report, figures and tables."""
    names = [name for name in files.file_names(folder) if name.endswith(ARTIFACT_SUFFIXES)]
    names += [name for below in ("figures", "tables") for name in files.file_names(folder, below)]
    visible = [name for name in names if "." in name and not name.rpartition("/")[2].startswith(".")]
    hashes = [sha256(files.read_bytes(folder, name, single_link=True)).hexdigest() for name in visible]
    return [
        Artifact(name, content, partial(_copy_file, folder, name, content))
        for name, content in zip(visible, hashes, strict=True)
    ]


def _copy_file(folder: Path, name: str, content: str, place: Path, _: Any) -> tuple[Path, str]:
    """Copy a file, since MLflow would follow a link that has taken its place meanwhile."""
    path = place / name.rpartition("/")[2]
    path.write_bytes(files.read_bytes(folder, name, single_link=True))
    return path, content


def send_artifacts(client: Any, run_id: str, artifacts: Sequence[Artifact]) -> None:
    """Send the artifacts that a run does not hold yet."""
    tags = client.get_run(run_id).data.tags
    sent = all_sent_files(tags)
    with locks.scratch_folder("sent") as folder:
        for artifact in (each for each in artifacts if sent.get(each.path) != each.content[:HASH_DIGITS]):
            written = artifact.write(folder, partial(_download_sent, client, run_id, artifact.path, folder))
            if written is not None and sent.get(artifact.path) != (content := written[1][:HASH_DIGITS]):
                client.log_artifact(run_id, str(written[0]), artifact.path.rpartition("/")[0] or None)
                sent[artifact.path] = content
    noted = files_tags(sent) if sent else {}
    for name, value in noted.items():
        if tags.get(name) != value:
            client.set_tag(run_id, name, value)
    for name in files_tag_names(tags):
        if name not in noted:
            client.delete_tag(run_id, name)


def _download_sent(client: Any, run_id: str, path: str, folder: Path) -> Path | None:
    """Download a file of a run; None if it has none of that path."""
    if path not in {each.path for each in client.list_artifacts(run_id)}:
        return None
    place = folder / "fetched"
    place.mkdir(exist_ok=True)
    return Path(client.download_artifacts(run_id, path, str(place)))


def all_sent_files(tags: Mapping[str, str]) -> dict[str, str]:
    """Hashes of the artifacts that a run has, from all its tags that hold some."""
    return {path: content for name in files_tag_names(tags) for path, content in sent_files(tags[name]).items()}


def files_tag_names(tags: Mapping[str, str]) -> list[str]:
    """The names of the tags of a run that hold notes on artifacts, in order."""
    numbers = {name: name.removeprefix(f"{FILES_TAG}.") for name in tags if name.startswith(f"{FILES_TAG}.")}
    further = [name for name, number in numbers.items() if number.isdecimal()]
    return [*([FILES_TAG] if FILES_TAG in tags else []), *sorted(further, key=lambda name: int(numbers[name]))]


def files_tags(notes: Mapping[str, str]) -> dict[str, str]:
    """The notes on artifacts as tags, each a JSON object that is short enough for MLflow."""
    parts: list[dict[str, str]] = [{}]
    length = 2
    for path, note in notes.items():
        entry = len(json.dumps({path: note}))
        if length + entry > MAX_TAG_CHARACTERS:
            parts.append({})
            length = 2
        parts[-1][path] = note
        length += entry
    return {f"{FILES_TAG}.{i}" if i else FILES_TAG: json.dumps(part) for i, part in enumerate(parts)}


def sent_files(tag: str) -> dict[str, str]:
    """The hashes in one tag; none if it was overwritten, and its artifacts are sent again."""
    try:
        return dict(mapping_check(check_text)(parse_json(tag), FILES_TAG))
    except (ValueError, RecursionError):
        return {}


def update_search_table(
    home: Path,
    rows: Sequence[Evaluation],
    inner_scores: InnerScores,
    replayed: StoredPredictions | None,
    warn: Callable[[str], None],
    repeated: frozenset[str] = frozenset(),
) -> InnerScores:
    """Bring ``search.parquet`` up to date, and return the inner scores of all searches.

    Scores that are not given come from the file, unless their evaluation was ``repeated`` (its keys), or from the
    prediction store as far as it has the predictions.
    """
    frame = _read_search_table(home, warn)
    kept = [row for row in rows if row.key not in repeated]
    known = {**({} if frame is None else read_inner_scores(frame, kept)), **inner_scores}
    if replayed is not None and (missing := [row for row in rows if row.key not in known]):
        known = {**known, **replayed.inner_scores(missing)}
    updated = search_table(rows, known)
    if frame is None or not updated.equals(frame):
        with files.open_replacement(home, SEARCH_FILE) as stream:
            updated.to_parquet(stream, index=False)
    return known


def _read_search_table(home: Path, warn: Callable[[str], None]) -> pd.DataFrame | None:
    """Read ``search.parquet``; None if it is missing, or damaged, which is said."""
    if not files.exists(home, SEARCH_FILE):
        return None
    try:
        with files.open_file(home, SEARCH_FILE) as stream:
            frame = pd.read_parquet(stream)
        reason = invalid_table_reason(frame)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        reason = describe(error)
    if reason is None:
        return frame
    warn(
        f"the inner scores {str(home / SEARCH_FILE)!r} are damaged ({reason}); they are made from the prediction "
        "store, and are made again now as far as it has the predictions."
    )
    return None


@dataclass(frozen=True, slots=True, eq=False)
class StoredPredictions:
    """The predictions of a study that the prediction store still has; tables and splits by the name of a data set."""

    study: Study
    datasets: Mapping[str, Dataset]
    plans: Mapping[str, tuple[Split, ...]]
    cells: Sequence[Cell]
    open_store: Callable[[], Any]

    def inner_scores(self, rows: Sequence[Evaluation]) -> dict[str, list[dict[str, float]]]:
        """Score the candidates of searches on the inner folds, by the key of their evaluation.

        ``mcc`` and ``recall`` are those of the counts summed over the inner folds at the threshold of the candidate,
        ``pr_auc`` is the mean over inner folds, as the search itself judges.
        """
        searched = [row for row in rows if sum(trial.value is not None for trial in row.trials) > 1]
        with self._replayed(searched) as pairs:
            return {row.key: [_trial_scores(task, trial) for trial in row.trials] for row, task in pairs}

    def artifact(self, rows: Sequence[Evaluation]) -> Artifact:
        """The predictions of the test parts, and of the winner's inner folds, as an artifact.

        Where the store lacks some of them, they are joined with those that were sent before, and the hash is that of
        what is there: the file is made again as soon as there are more.
        """
        scored = [row for row in rows if row.status == "ok"]
        content = fingerprint("predictions", sorted(row.fingerprint for row in scored))
        return Artifact(PREDICTIONS_FILE, content, partial(self._write, scored, content))

    def _write(
        self, rows: Sequence[Evaluation], content: str, folder: Path, fetch: Callable[[], Path | None]
    ) -> tuple[Path, str] | None:
        """Write row numbers, labels and predictions; neither ids nor features.

        ``p`` is the predicted probability. A learner without one has a ``decision_value`` in its place, in a column
        that exists only if a learner needs it. More than two classes have one such column per class, ``p_0``, ...
        """
        with self._replayed(rows) as pairs:
            # Only searches fit the inner folds themselves.
            by_row = [(list(_task_predictions(row, task)), len(task.pairs) if row.trials else 0) for row, task in pairs]
        parts = [part for found, _ in by_row for part in found]
        if not parts:
            return None
        frame = _prediction_frame(parts)
        if len(by_row) < len(rows) or any(len(found) < 1 + n_inner for found, n_inner in by_row):
            frame = _join_sent(frame, fetch(), {row.key for row in rows})
            content = fingerprint("part", content, sorted(map(list, _places(frame))))
        path = folder / PREDICTIONS_FILE
        # Probabilities are all different: looking for equal ones takes longer than writing them.
        frame.to_parquet(path, index=False, use_dictionary=[*PREDICTION_PLACE, "y"], compression="zstd")
        return path, content

    @contextmanager
    def _replayed(self, rows: Sequence[Evaluation]) -> Iterator[Iterator[tuple[Evaluation, Task]]]:
        """Open the store for evaluations with their tasks; a context, so that this thread closes it after an error."""
        by_key = {row.key: row for row in rows}
        cells: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if cell.key in by_key:
                cells.setdefault(cell.dataset, []).append(cell)
        with closing(self.open_store()) as kept:
            predict = replay.lookup_only(kept.get)
            yield (
                (by_key[task.cell.key], task)
                for name, members in cells.items()
                for task in replay.replay_tasks(self.study, self.datasets[name], self.plans[name], members, predict)
            )


def _task_predictions(
    row: Evaluation, task: Task
) -> Iterator[tuple[tuple[Any, ...], np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Yield place, row numbers, labels and columns of the stored predictions for the test part and the inner folds."""
    split, y = task.cell.split, task.dataset.y
    parts = [("test", -1, split.train, split.test)]
    parts += [("inner", i, fit, validate) for i, (fit, validate) in enumerate(task.pairs)]
    for part, inner_fold, fit, predicted in parts:
        try:
            prediction = task.predict_rows(row.params, fit, predicted)
        except (replay.MissingPrediction, FitFailed):
            continue
        place = (row.dataset, row.learner, row.strategy, row.repeat, row.fold, part, inner_fold)
        yield place, predicted, y[predicted].astype(np.int8), _value_columns(prediction)


def _prediction_frame(parts: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Make one table of the parts that :func:`_task_predictions` yields."""
    places, numbers, labels, tables = zip(*parts, strict=True)
    lengths = [len(each) for each in numbers]
    columns: dict[str, Any] = {}
    for name, values in zip(PREDICTION_PLACE, zip(*places, strict=True), strict=True):
        codes, categories = pd.factorize(np.array(values))
        repeated, is_text = np.repeat(codes, lengths), categories.dtype.kind in "OU"
        columns[name] = pd.Categorical.from_codes(repeated, pd.Index(categories)) if is_text else categories[repeated]
    columns |= {"row": np.concatenate(numbers), "y": np.concatenate(labels), **_join_columns(tables, lengths)}
    if "decision_value" in columns and np.isnan(columns["decision_value"]).all():
        del columns["decision_value"]
    return pd.DataFrame(columns)


def _places(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    """The places of the predictions in a table."""
    columns = list(PREDICTION_PLACE)
    return set(frame[columns].drop_duplicates().itertuples(index=False, name=None))


def _join_sent(frame: pd.DataFrame, path: Path | None, keys: set[str]) -> pd.DataFrame:
    """Add the predictions of a file that was sent before, of evaluations with some keys, that a table lacks."""
    try:
        sent = pd.read_parquet(path) if path is not None else frame[:0]
        kept = {place for place in _places(sent) - _places(frame) if "/".join(map(str, place[:5])) in keys}
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException):  # it is damaged, or not from imblab
        return frame
    if not kept:
        return frame
    is_kept = [place in kept for place in sent[list(PREDICTION_PLACE)].itertuples(index=False, name=None)]
    joined = pd.concat([frame, sent[is_kept]], ignore_index=True)
    return joined.astype({name: "category" for name in PREDICTION_PLACE if frame[name].dtype == "category"})


def _value_columns(prediction: Prediction) -> dict[str, np.ndarray]:
    values, kinds = prediction.values, ("p", "decision_value")
    kind = kinds[0] if prediction.is_probability else kinds[1]
    if values.ndim > 1:
        return {f"{kind}_{index}": column for index, column in enumerate(values.T)}
    return {name: values if name == kind else np.full(len(values), np.nan) for name in kinds}


def _join_columns(parts: Sequence[Mapping[str, np.ndarray]], lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """Concatenate columns; a part without one of them has no value there."""
    names = dict.fromkeys(name for part in parts for name in part)
    pairs = list(zip(parts, lengths, strict=True))
    return {name: np.concatenate([part.get(name, np.full(n, np.nan)) for part, n in pairs]) for name in names}


def has_all_scores(row: Evaluation, inner_scores: InnerScores) -> bool:
    """Whether every trial of a search that has a value has inner scores, if the search has any."""
    scores = inner_scores.get(row.key)
    judged = [i for i, trial in enumerate(row.trials) if trial.value is not None]
    return scores is None or all(scores[i] for i in judged)


def _trial_scores(task: Task, trial: Trial) -> dict[str, float]:
    if trial.threshold is None and trial.value is None:
        return {}
    try:
        scores = candidate_scores(task, trial)
    except (replay.MissingPrediction, FitFailed):
        return {}
    return {name: value for name, value in scores.items() if np.isfinite(value)}


@dataclass(frozen=True, slots=True)
class CandidateLog:
    """How the candidates of a study are logged."""

    mode: str  # {"candidates", "table", "none"}: as runs below their strategies, as tables, or not at all
    n_runs: int  # runs below strategies that there are, or would be, in the first case
    note: str = ""  # why there are tables, if their number decided; else empty


def choose_candidate_log(study: Study, requested: str = AUTO) -> CandidateLog:
    """Choose how candidates are logged, by ``tracking.search`` and the study alone, as ``imblab sync`` does too."""
    n_runs = _count_search_runs(study)
    if requested != AUTO:
        return CandidateLog(requested, n_runs)
    if n_runs <= MAX_CANDIDATE_RUNS:
        return CandidateLog("candidates", n_runs)
    note = (
        f"MLflow: the searches of study {study.name!r} have {n_runs:,} candidates, more than {MAX_CANDIDATE_RUNS:,}: "
        f"they are tables in its artifacts, {CANDIDATES_FOLDER}/<data set>/<learner>.csv, and not runs. "
        "tracking.search=candidates makes them runs."
    )
    return CandidateLog("table", n_runs, note)


def _count_search_runs(study: Study) -> int:
    """Count the runs that :func:`describe_search` describes, with what is not applicable and with repeated draws."""
    places = product(study.datasets, study.learners, study.strategies)
    return sum(_count_below(study, count_outer_folds(study, name), s, learner) for name, learner, s in places)


def _count_below(study: Study, n_folds: int, strategy: Strategy, learner: Learner) -> int:
    """Count the runs of a strategy on a data set: per candidate, or per outer fold where folds judge different ones."""
    n, method, repeats = forecast.count_candidates(study, strategy, learner), study.tuning.search_method, 1
    if method.is_drawn and forecast.is_searched(study, strategy, learner):
        if method.is_adaptive and n > method.options.get("n_startup_trials", 0):
            return n_folds * study.protocol.repeats
        repeats = study.protocol.repeats
    return n * repeats if n * repeats > 1 else 0


def candidate_tables(result: StudyResult, inner_scores: InnerScores) -> list[Artifact]:
    """Make a CSV table of the candidates of every data set and learner, the best first; nothing without a search."""
    tables = {
        f"{dataset}/{learner}.csv": _to_csv(result.study, rows)
        for (dataset, learner), scores in result.scores.items()
        if (rows := list(_table_rows(result.study, scores, inner_scores)))
    }
    content = fingerprint(tables)
    return [Artifact(CANDIDATES_FOLDER, content, partial(_write_tables, tables, content))] if tables else []


def _table_rows(study: Study, scores: FamilyScores, inner_scores: InnerScores) -> Iterator[dict[str, Any]]:
    calibrations = {each.name: each.calibration for each in study.strategies if each.calibration != "none"}
    for strategy, evaluations in zip(scores.strategies, scores.evaluations, strict=True):
        members: Sequence[Evaluation] = [each for each in evaluations if each is not None]
        place = dict(zip(COORDINATES[:3], (scores.dataset, scores.learner, strategy), strict=True))
        calibration = {"calibration": calibrations[strategy]} if strategy in calibrations else {}
        for run in describe_search(study, members, inner_scores):
            states = {name: run.tags[f"imblab.{name}"] for name in _STATES if f"imblab.{name}" in run.tags}
            yield {**place, **run.params, **calibration, **{name: v for name, v, _ in run.metrics}, **states}


def _to_csv(study: Study, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as CSV: coordinates and knobs, metrics, then the part of the search; best inner value first."""
    frame, primary = pd.DataFrame(rows), f"inner/{study.primary}"
    metrics = [name for name in frame if frame[name].dtype.kind == "f"]
    knobs = [name for name in frame if name not in (*COORDINATES[:3], *metrics, *_STATES)]
    ordered = frame[[*COORDINATES[:3], *knobs, *metrics, *(name for name in _STATES if name in frame)]]
    if primary in metrics:
        is_loss = not study.primary_measure.greater_is_better
        ordered = ordered.sort_values(primary, ascending=is_loss, kind="stable", na_position="last")
    return str(ordered.to_csv(index=False, lineterminator="\n"))


def _write_tables(tables: Mapping[str, str], content: str, folder: Path, _: Any) -> tuple[Path, str]:
    for name, text in tables.items():
        path = folder / CANDIDATES_FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder / CANDIDATES_FOLDER, content
