"""How the candidates of searches are logged: as runs, or as one table per data set and learner if there are many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from imblab.analysis.outer_splits import count_outer_folds
from imblab.core import forecast
from imblab.edges.mlflow.artifacts import Artifact
from imblab.edges.mlflow.runs import InnerScores, describe_search
from imblab.result import Evaluation, FamilyScores, StudyResult
from imblab.study import Learner, Strategy, Study, fingerprint

#: A study with more runs below its strategies has tables in their place: each run takes about 15 ms and 15 kB.
MAX_CANDIDATE_RUNS = 5000
#: The value of ``tracking.search`` that leaves the choice between runs and tables to their number.
AUTO = "auto"
#: The folder of the tables among the artifacts of a study.
CANDIDATES_FOLDER = "candidates"
_COORDINATES, _STATES = ("dataset", "learner", "strategy"), ("repeat", "fold", "status", "reason")


@dataclass(frozen=True, slots=True)
class CandidateLog:
    """How the candidates of a study are logged.

    Attributes
    ----------
    mode : {"candidates", "table", "none"}
        As runs below their strategies, as tables, or not at all.
    n_runs : int
        Runs below strategies that there are, or would be, in the first case.
    note : str
        Why there are tables, if their number decided; else empty.
    """

    mode: str
    n_runs: int
    note: str = ""


def choose_candidate_log(study: Study, requested: str = AUTO) -> CandidateLog:
    """Choose how candidates are logged, before anything runs.

    The study alone decides, so that ``imblab sync`` chooses what the run chose.

    Parameters
    ----------
    study : Study
        All of what its folder records.
    requested : {"auto", "candidates", "table", "none"}, default="auto"
        ``tracking.search``.
    """
    n_runs = count_search_runs(study)
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


def count_search_runs(study: Study) -> int:
    """Count the runs below the strategies of a study as :func:`describe_search` describes them.

    What is not applicable is counted too, and so are repeated draws. The number of predefined folds is known once the
    table was read.
    """
    return sum(
        _count_below(study, count_outer_folds(study, dataset), strategy, learner)
        for dataset in study.datasets
        for learner in study.learners
        for strategy in study.strategies
    )


def _count_below(study: Study, n_folds: int, strategy: Strategy, learner: Learner) -> int:
    """Count the runs of a strategy on a data set: per candidate, or per outer fold where folds judge different ones."""
    n, method, repeats = forecast.count_candidates(study, strategy, learner), study.tuning.search_method, 1
    if method.is_drawn and forecast.is_searched(study, strategy, learner):
        if method.is_adaptive and n > method.options.get("n_startup_trials", 0):
            return n_folds * study.protocol.repeats
        repeats = study.protocol.repeats
    return n * repeats if n * repeats > 1 else 0


def candidate_tables(result: StudyResult, inner_scores: InnerScores) -> list[Artifact]:
    """Make the artifact with the candidates of every data set and learner, a CSV table each; none without a search.

    Its rows are the runs that would stand below the strategies: params, metrics and status, the best first.
    """
    tables = {}
    for (dataset, learner), scores in result.scores.items():
        rows = list(_table_rows(result.study, scores, inner_scores))
        if rows:
            tables[f"{dataset}/{learner}.csv"] = _to_csv(result.study, rows)
    return [Artifact(CANDIDATES_FOLDER, fingerprint(tables), partial(_write_tables, tables))] if tables else []


def _table_rows(study: Study, scores: FamilyScores, inner_scores: InnerScores) -> Iterator[dict[str, Any]]:
    calibrations = {each.name: each.calibration for each in study.strategies if each.calibration != "none"}
    for strategy, evaluations in zip(scores.strategies, scores.evaluations, strict=True):
        members: Sequence[Evaluation] = [each for each in evaluations if each is not None]
        place = dict(zip(_COORDINATES, (scores.dataset, scores.learner, strategy), strict=True))
        calibration = {"calibration": calibrations[strategy]} if strategy in calibrations else {}
        for run in describe_search(study, members, inner_scores):
            states = {name: run.tags[f"imblab.{name}"] for name in _STATES if f"imblab.{name}" in run.tags}
            yield {**place, **run.params, **calibration, **{name: v for name, v, _ in run.metrics}, **states}


def _to_csv(study: Study, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as CSV: coordinates and knobs, metrics, then the part of the search; best inner value first."""
    frame, primary = pd.DataFrame(rows), f"inner/{study.primary}"
    metrics = [name for name in frame if frame[name].dtype.kind == "f"]
    knobs = [name for name in frame if name not in (*_COORDINATES, *metrics, *_STATES)]
    ordered = frame[[*_COORDINATES, *knobs, *metrics, *(name for name in _STATES if name in frame)]]
    if primary in metrics:
        is_loss = not study.primary_measure.greater_is_better
        ordered = ordered.sort_values(primary, ascending=is_loss, kind="stable", na_position="last")
    return str(ordered.to_csv(index=False, lineterminator="\n"))


def _write_tables(tables: Mapping[str, str], folder: Path) -> Path:
    for name, text in tables.items():
        path = folder / CANDIDATES_FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder / CANDIDATES_FOLDER
