"""MLflow's picture of a study: painted while it runs, and painted again from its folder at any time.

The picture is a function of the folder: question, rows, evidence, searches, origin. Where a file is missing and the
prediction store still has the answers, it is made from them, without a fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imblab.commands import derived_files
from imblab.commands.layout import Layout, lay_out
from imblab.core import replay
from imblab.core.evaluate import Task
from imblab.core.fitting import FitFailed
from imblab.edges import config, datasets, files, ledger, mlflow, provenance, runner, store, terminal
from imblab.errors import ImblabError, StudyError, describe
from imblab.result import Evaluation, Trial
from imblab.stats import counts as confusion
from imblab.stats import curves
from imblab.study import Cell, Study, fingerprint

SEARCHES, PREDICTIONS = "search.parquet", "predictions.parquet"
Inner = dict[str, list[dict[str, float]]]
Opener = Callable[[], runner.PredictionStore] | None


@contextmanager
def picture(
    layout: Layout, home: Path, asked: Mapping[str, Any], allow: Sequence[str], opener: Opener
) -> Iterator[Picture | None]:
    """The picture of a study that is about to run; None where it is not asked for.

    Parameters
    ----------
    layout : Layout
    home : Path
        The folder of the study.
    asked : mapping
        The section ``tracking`` of the configuration.
    allow : sequence of str
        See :func:`imblab.edges.config.parse_study`.
    opener : callable or None
        Opens the prediction store.

    Yields
    ------
    Picture or None

    Raises
    ------
    StudyError
        If the address can be no MLflow store.
    """
    if not asked.get("enabled", True):
        yield None
        return
    found = Picture(layout, home, asked, allow, opener)
    try:
        yield found
    finally:
        found.writer.abandon()
        found.settled(None)


class Picture:
    """What MLflow shows of a study while it runs; see :func:`picture`."""

    def __init__(
        self, layout: Layout, home: Path, asked: Mapping[str, Any], allow: Sequence[str], opener: Opener
    ) -> None:
        uri = str(asked["uri"])
        mlflow.check_store_uri(uri)
        self._layout, self._home, self._asked, self._allow, self._opener = layout, home, asked, allow, opener
        self._left = Counter((cell.dataset, cell.learner.name) for cell in layout.cells)
        self._rows: dict[tuple[str, str], list[Evaluation]] = {}
        self._inner: Inner = {}
        self._owner: SimpleQueue[mlflow.ExperimentOwner | None] = SimpleQueue()
        self.writer = mlflow.BackgroundWriter(partial(mlflow.open_writer, layout.study, home, uri, self._settled))

    def settled(self, study: provenance.Identity | None) -> None:
        """Say which study the folder holds, before its first new row; None where it does not get so far."""
        self._owner.put(None if study is None else owner(self._home, self._layout.study, study, self._asked))

    def _settled(self) -> mlflow.ExperimentOwner:
        found = self._owner.get()
        if found is None:
            raise StudyError("the study ended before its folder was opened. Run the same command again.")
        return found

    def resumed(self) -> None:
        """Say that a study with rows is added to: what MLflow said of it may hold no more."""
        self.writer.put(partial(self._begin, ()))

    def row(self, row: Evaluation) -> None:
        """Take a new row; when its family is whole, its searches are written."""
        family = (row.dataset, row.learner)
        self._rows.setdefault(family, []).append(row)
        self._left[family] -= 1
        if self._left[family] == 0:
            self.writer.put(partial(self._begin, self._rows[family]))

    def gathered(self) -> None:
        """Let the runs be completed: rows and evidence are in the folder, whatever else is still made of them."""
        if self._rows:
            provenance.record_provenance(self._home, bool(self._asked.get("git_diff", False)))
        self.writer.put(self._complete)

    def finish(self) -> None:
        """Send what the folder holds, and wait until everything is written.

        Raises
        ------
        StudyError
            If the store does not answer; the rows are safe.
        """
        self.writer.put(self._send)
        self.writer.close(self._asked.get("timeout"))

    @cached_property
    def _question(self) -> tuple[dict[str, Any], Study]:
        """What the folder asks, which stays as it is once there are rows."""
        mapping = ledger.read_study(self._home)
        return mapping, config.parse_study(mapping, self._allow)

    def _begin(self, rows: Sequence[Evaluation], writer: mlflow.RunWriter) -> None:
        mapping, study = self._question
        self._inner |= inner_scores(self._layout, rows, self._opener)
        search = str(self._asked.get("search", "none"))
        extras = mlflow.RunDetails(
            inner=self._inner, timed=_timed(study), specs=_specs(study), search=search, judged=False
        )
        writer.begin(mlflow.describe_runs(study, rows, mapping, extras))

    def _complete(self, writer: mlflow.RunWriter) -> None:
        # What is known of the searches of evaluations that were tried again is no longer so.
        anew = {row.key for rows in self._rows.values() for row in rows}
        known = self._home, self._asked, self._allow, self._layout, self._opener, self._inner, anew
        writer.write(_described(*known))

    def _send(self, writer: mlflow.RunWriter) -> None:
        writer.send(_files(self._home, self._asked, self._layout, self._opener))


def fix_identity(home: Path) -> None:
    """Keep the identity of a study that an older imblab began, before it grows or is set aside."""
    with suppress(StudyError):  # a damaged folder is refused where it is opened, unless it is set aside
        if (
            not provenance.has_identity(home)
            and files.exists(home, ledger.STUDY_FILE)
            and ledger.read_evaluations(home)
        ):
            settle(home)


def settle(home: Path, layout: Layout | None = None) -> provenance.Identity:
    """Give the identity of the study in a folder; it is written there if it is not kept yet.

    Parameters
    ----------
    home : Path
        Of the study.
    layout : Layout, optional
        The tables of a study that has no row: what it is begins now.

    Returns
    -------
    Identity
    """
    if layout is None and provenance.has_identity(home):
        return provenance.keep_identity(home, {}, {})
    if layout is not None:
        tables = {name: data.fingerprint for name, data in layout.datasets.items()}
    else:
        tables = {row.dataset: row.data_fingerprint for row in ledger.read_evaluations(home)}
    return provenance.keep_identity(home, ledger.read_study(home), tables, fresh=layout is not None)


def owner(home: Path, study: Study, known: provenance.Identity, asked: Mapping[str, Any]) -> mlflow.ExperimentOwner:
    """The study that writes to MLflow.

    Parameters
    ----------
    home : Path
        Of the study.
    study : Study
    known : Identity
    asked : mapping
        The section ``tracking`` of the configuration.

    Returns
    -------
    Owner
    """
    return mlflow.ExperimentOwner(study.name, known.now, known.former, asked.get("experiment"), partial(_ledgers, home))


def _ledgers(home: Path) -> Iterable[Sequence[Evaluation]]:
    """The rows of a study, and of those that it replaced in its folder."""
    yield ledger.read_evaluations(home)
    for other in sorted(home.parent.glob(f"{home.name}~*")):
        with suppress(StudyError):  # what lies aside may be damaged, and nothing rests on it
            yield ledger.read_evaluations(other)


def command_sync(name: str, args: Sequence[str], config_dirs: Sequence[Path], experiments: Path) -> int:
    """``imblab sync``: fill an MLflow store from the folder of a study; twice changes nothing."""
    home = ledger.find_study(name, experiments)
    request = config.load_request(home / ledger.STUDY_FILE, args, config_dirs, loads_data=False)
    asked = {**request.tracking, "enabled": True}
    opener = partial(store.SqliteStore, store.DEFAULT_PATH.resolve()) if store.DEFAULT_PATH.exists() else None
    layout: Layout | None = None
    try:
        request.check_sources()
        layout = lay_out(request.study)
    except ImblabError as error:
        terminal.warn(f"Predictions and inner scores are left as they are: {error}")
    if not ledger.read_evaluations(home):
        raise StudyError(
            f"study {name!r} has 0 evaluations in {str(home)!r}; a store is filled from them, and what it holds of the "
            f"study would be taken away. Run it first: imblab run {home / ledger.STUDY_FILE}."
        )
    study = owner(home, request.study, settle(home), asked)
    # What is wrong with a file here is no fault of the store: everything is read before that is opened.
    picture, sent = _described(home, asked, request.allow, layout, opener, {}), _files(home, asked, layout, opener)
    with mlflow.open_writer(request.study, home, str(asked["uri"]), lambda: study) as writer:
        writer.write(picture)
        writer.send(sent)
        written = writer.written
    terminal.print_paragraph(f"{written} runs of study {name!r} were written; what was there already is unchanged.")
    return 0


def inner_scores(layout: Layout, rows: Sequence[Evaluation], opener: Opener) -> Inner:
    """What the candidates of searches scored on the inner folds, as far as the prediction store knows.

    Parameters
    ----------
    layout : Layout
    rows : sequence of Evaluation
    opener : callable or None
        Opens the prediction store.

    Returns
    -------
    dict of str to list of dict
        By the key of a row, one mapping a trial. ``mcc`` and ``recall`` of the counts summed over the inner folds at
        the threshold of the trial, ``pr_auc`` as the mean over inner folds: as the search itself judges.
    """
    if opener is None:
        return {}
    found: Inner = {}
    searched = {row.key: row for row in rows if sum(trial.value is not None for trial in row.trials) > 1}
    with closing(opener()) as kept:
        for task in _tasks(layout, searched, replay.lookup_only(kept.get)):
            row = searched[task.cell.key]
            scores: list[dict[str, float]] = []
            for trial in row.trials:
                try:
                    folds = replay.inner_predictions(task, trial.params) if trial.threshold is not None else []
                except (replay.MissingPrediction, FitFailed):
                    folds = []
                scores.append(_judged(task, trial, folds) if folds else {})
            found[row.key] = scores
    return found


def _judged(task: Task, trial: Trial, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    called = [confusion.counts_at(y, task.compared(trial.params, v), trial.threshold) for y, v in folds]
    total = sum(called[1:], called[0])
    found = {
        "mcc": float(confusion.mcc(*total)),
        "pr_auc": float(np.mean([curves.average_precision(*_ranked(y, v)) for y, v in folds])),
        "recall": float(confusion.recall(*total)),
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _ranked(y: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-values, kind="stable")
    return y[order], values[order]


def _described(
    home: Path,
    asked: Mapping[str, Any],
    allow: Sequence[str],
    layout: Layout | None,
    opener: Opener,
    inner: Inner,
    anew: Collection[str] = (),
) -> list[mlflow.RunSpec]:
    """The runs of what the folder of a study holds, which may be more than was asked for now."""
    mapping, rows = ledger.read_study(home), ledger.read_evaluations(home)
    study = config.parse_study(mapping, allow)
    known = _searches(home, study, rows, layout, opener, inner, anew)
    extras = mlflow.RunDetails(
        evidence=derived_files.read_evidence(home),
        inner=known,
        origin=derived_files.read_origin(home),
        timed=_timed(study),
        specs=_specs(study),
        search=str(asked.get("search", "none")),
    )
    return mlflow.describe_runs(study, rows, mapping, extras)


def _files(home: Path, asked: Mapping[str, Any], layout: Layout | None, opener: Opener) -> list[mlflow.Artifact]:
    """The files of a study, and the predictions if they may go."""
    found = mlflow.folder_artifacts(home)
    if asked.get("predictions", True) and layout is not None and opener is not None:
        rows = ledger.read_evaluations(home)
        stamp = fingerprint(sorted(row.fingerprint for row in rows))
        found.append(mlflow.Artifact(PREDICTIONS, stamp, partial(_write_predictions, layout, rows, opener)))
    return found


def _searches(
    home: Path,
    study: Study,
    rows: Sequence[Evaluation],
    layout: Layout | None,
    opener: Opener,
    inner: Inner,
    anew: Collection[str],
) -> Inner:
    """The inner scores of all searches, from the file beside the rows and the store; the file is brought up to date."""
    old, kept = _read_searches(home, [row for row in rows if row.key not in anew])
    known: Inner = {**kept, **inner}
    missing = [row for row in rows if row.key not in known]
    if layout is not None and missing:
        known |= inner_scores(layout, missing, opener)
    frame = mlflow.search_table(rows, known)
    if old is None or not frame.equals(old):
        with files.open_replacement(home, SEARCHES) as stream:
            frame.to_parquet(stream, index=False)
    return known


def _read_searches(home: Path, rows: Sequence[Evaluation]) -> tuple[pd.DataFrame | None, Inner]:
    """The file of inner scores, and what it says of some rows."""
    if not files.exists(home, SEARCHES):
        return None, {}
    try:
        with files.open_file(home, SEARCHES) as stream:
            found = pd.read_parquet(stream)
        wrong = mlflow.invalid_table_reason(found)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        wrong = describe(error)
    if wrong:
        derived_files.say(
            f"the inner scores {str(home / SEARCHES)!r} are damaged ({wrong}); they are made from the prediction "
            "store, and are made again now as far as it has the predictions."
        )
        return None, {}
    return found, mlflow.read_inner_scores(found, rows)


def _write_predictions(layout: Layout, rows: Sequence[Evaluation], opener: Opener, folder: Path) -> Path | None:
    """Row numbers, labels and predictions of the test parts, and of the winner's inner folds; no id, no feature.

    ``p`` is the predicted probability. Learners without one have a ``decision_value`` in its place: a column that is
    there only where a learner needs it.
    """
    parts = list(_predictions(layout, rows, opener))
    if not parts:
        return None
    where, *arrays = zip(*parts, strict=True)
    names = ("dataset", "learner", "strategy", "repeat", "fold", "part", "inner_fold")
    lengths = [len(rows) for rows in arrays[0]]
    columns: dict[str, Any] = {}
    for name, values in zip(names, zip(*where, strict=True), strict=True):
        codes, known = pd.factorize(np.array(values))
        repeated = np.repeat(codes, lengths)
        columns[name] = (
            pd.Categorical.from_codes(repeated, pd.Index(known)) if known.dtype.kind in "OU" else known[repeated]
        )
    parts_of = dict(zip(("row", "y", "p", "decision_value"), arrays, strict=True))
    columns |= {name: np.concatenate(found) for name, found in parts_of.items()}
    if np.isnan(columns["decision_value"]).all():
        del columns["decision_value"]
    path = folder / PREDICTIONS
    # Probabilities are all different: looking for equal ones takes longer than writing them.
    pd.DataFrame(columns).to_parquet(path, index=False, use_dictionary=[*names, "y"], compression="zstd")
    return path


def _predictions(
    layout: Layout, rows: Sequence[Evaluation], opener: Opener
) -> Iterator[tuple[tuple[Any, ...], np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    scored = {row.key: row for row in rows if row.status == "ok"}
    if opener is None:
        return
    with closing(opener()) as kept:
        for task in _tasks(layout, scored, replay.lookup_only(kept.get)):
            row, split, y = scored[task.cell.key], task.cell.split, task.dataset.y
            parts = [("test", -1, split.train, split.test)]
            parts += [("inner", i, fit, validate) for i, (fit, validate) in enumerate(task.pairs)]
            for part, fold, fit, asked in parts:
                try:
                    prediction = task.predict_rows(row.params, fit, asked)
                except (replay.MissingPrediction, FitFailed):
                    continue
                where = (row.dataset, row.learner, row.strategy, row.repeat, row.fold, part, fold)
                absent = np.full(len(asked), np.nan)
                pair = (prediction.values, absent) if prediction.is_probability else (absent, prediction.values)
                yield where, asked, y[asked].astype(np.int8), *pair


def _tasks(layout: Layout, rows: Mapping[str, Evaluation], predict: Any) -> Iterator[Any]:
    """The kernels' tasks of the cells of some rows, as far as the layout has them."""
    by_table: dict[str, list[Cell]] = {}
    for cell in layout.cells:
        if cell.key in rows:
            by_table.setdefault(cell.dataset, []).append(cell)
    for name, cells in by_table.items():
        yield from replay.replay_tasks(layout.study, layout.datasets[name], layout.plans[name], cells, predict)


def _specs(study: Study) -> dict[str, Mapping[str, Any]]:
    """How each data set was asked for, by its name."""
    return {datasets.name_and_parent(spec, key)[0]: spec for key, spec in study.datasets.items()}


def _timed(study: Study) -> set[str]:
    """The data sets whose folds follow the time."""
    return {name for name, spec in _specs(study).items() if spec.get("time")}
