"""Artifacts of the run of a study: files of its folder, and tables made from the prediction store without a fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imblab.core import replay
from imblab.core.evaluate import Task, candidate_scores
from imblab.core.fitting import Prediction
from imblab.edges import files
from imblab.edges.mlflow.runs import InnerScores, invalid_table_reason, read_inner_scores, search_table
from imblab.errors import FitFailed, describe
from imblab.fields import check_text, mapping_check, parse_json
from imblab.result import Evaluation, Trial
from imblab.study import Cell, Dataset, Split, Study, fingerprint

#: Endings of the files in a study's folder that are sent.
ARTIFACT_SUFFIXES = (".yaml", ".jsonl", ".json", ".parquet", ".html", ".diff")
#: Holds the hashes of the artifacts that a run has.
FILES_TAG = "imblab.files"
SEARCH_FILE, PREDICTIONS_FILE = "search.parquet", "predictions.parquet"
#: Columns that say where a prediction belongs.
PREDICTION_PLACE = ("dataset", "learner", "strategy", "repeat", "fold", "part", "inner_fold")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact of the run of a study: its path below the run, and the hash of its content, which is sent once.

    ``write`` writes it into the folder it receives and gives the path of the file, None if there is nothing to send.
    """

    path: str
    content: str
    write: Callable[[Path], Path | None]


def folder_artifacts(folder: Path) -> list[Artifact]:
    """The files of a study's folder that are sent: question, rows, derived files, report, figures and tables."""
    names = [name for name in files.file_names(folder) if name.endswith(ARTIFACT_SUFFIXES)]
    names += [name for below in ("figures", "tables") for name in files.file_names(folder, below)]
    visible = [name for name in names if "." in name and not name.rpartition("/")[2].startswith(".")]
    hashes = [sha256(files.read_bytes(folder, name, single_link=True)).hexdigest() for name in visible]
    return [
        Artifact(name, content, partial(_copy_file, folder, name))
        for name, content in zip(visible, hashes, strict=True)
    ]


def _copy_file(folder: Path, name: str, place: Path) -> Path:
    """Copy a file, since MLflow would follow a link that has taken its place meanwhile."""
    path = place / name.rpartition("/")[2]
    path.write_bytes(files.read_bytes(folder, name, single_link=True))
    return path


def sent_files(tag: str) -> dict[str, str]:
    """Hashes of the artifacts that a run has, from its tag; none if it was overwritten, and all are sent again."""
    try:
        hashes: dict[str, str] = mapping_check(check_text)(parse_json(tag), FILES_TAG)
    except (ValueError, RecursionError):
        return {}
    return hashes


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
        """The predictions of the test parts, and of the winner's inner folds, as an artifact."""
        content = fingerprint(sorted(row.fingerprint for row in rows))
        return Artifact(PREDICTIONS_FILE, content, partial(self._write, rows))

    def _write(self, rows: Sequence[Evaluation], folder: Path) -> Path | None:
        """Write row numbers, labels and predictions; neither ids nor features.

        ``p`` is the predicted probability. A learner without one has a ``decision_value`` in its place, in a column
        that exists only if a learner needs it. More than two classes have one such column per class, ``p_0``, ...
        """
        with self._replayed([row for row in rows if row.status == "ok"]) as pairs:
            parts = [part for row, task in pairs for part in _task_predictions(row, task)]
        if not parts:
            return None
        places, numbers, labels, tables = zip(*parts, strict=True)
        lengths = [len(each) for each in numbers]
        columns: dict[str, Any] = {}
        for name, values in zip(PREDICTION_PLACE, zip(*places, strict=True), strict=True):
            codes, categories = pd.factorize(np.array(values))
            repeated, is_text = np.repeat(codes, lengths), categories.dtype.kind in "OU"
            columns[name] = (
                pd.Categorical.from_codes(repeated, pd.Index(categories)) if is_text else categories[repeated]
            )
        columns |= {"row": np.concatenate(numbers), "y": np.concatenate(labels), **_join_columns(tables, lengths)}
        if "decision_value" in columns and np.isnan(columns["decision_value"]).all():
            del columns["decision_value"]
        path = folder / PREDICTIONS_FILE
        # Probabilities are all different: looking for equal ones takes longer than writing them.
        dictionary = [*PREDICTION_PLACE, "y"]
        pd.DataFrame(columns).to_parquet(path, index=False, use_dictionary=dictionary, compression="zstd")
        return path

    @contextmanager
    def _replayed(self, rows: Sequence[Evaluation]) -> Iterator[Iterator[tuple[Evaluation, Task]]]:
        """Open the store for evaluations with their tasks; those without a cell are left out.

        A context, so that an error on the way closes the store in the thread that opened it.
        """
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
