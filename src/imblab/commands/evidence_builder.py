"""Build evidence.parquet from stored predictions at the end of a run; fits nothing."""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences
from imblab.analysis.evidence import FoldPredictions, RepeatKey
from imblab.commands import results
from imblab.commands.layout import Layout
from imblab.core import estimator_specs, replay
from imblab.core.design import coordinates
from imblab.core.evaluate import Task
from imblab.core.fitting import FitRequest
from imblab.core.forecast import GetPrediction
from imblab.core.preparation import PreparedRows
from imblab.edges import evidence, files, provenance, runner
from imblab.errors import DerivedFileError, FitFailed
from imblab.result import Evaluation, Family
from imblab.stats.standard_errors import row_covariance
from imblab.study import Cell, Dataset, Study

#: Bytes of prepared rows cached at once; those of one part always are.
MAX_OVERLAP_CACHE_BYTES = 64 * 2**20


def build_evidence(layout: Layout, evaluations: Iterable[Evaluation], home: Path, get: GetPrediction) -> pd.DataFrame:
    """Write the stored test predictions of evaluations into the folder of their study, and return the whole file.

    Existing evidence stays, also if its predictions are no longer stored. ``get`` returns the stored prediction for an
    address, or None.
    """
    old, old_facts = _read_existing(home)
    merged = merge_evidence(layout, evaluations, get, old)
    if merged is None and (old is not None or files.exists(home, evidence.EVIDENCE_FILE)):
        return evidences.empty_frame() if old is None else old  # a damaged file stays if nothing can replace it
    merged = evidences.empty_frame() if merged is None else merged
    evidence.write_evidence(home / evidence.EVIDENCE_FILE, merged, evidence_facts(layout, old_facts))
    return merged


def merge_evidence(
    layout: Layout, evaluations: Iterable[Evaluation], get: GetPrediction, old: pd.DataFrame | None = None
) -> pd.DataFrame | None:
    """Return existing evidence and that of further stored predictions, in memory; None if nothing is new."""
    existing = evidences.folds_by_repeat(old) if old is not None else {}
    scored = {evaluation.key: evaluation for evaluation in evaluations if evaluation.status == "ok"}
    cells_by_key: dict[RepeatKey, list[Cell]] = {}
    for cell in layout.cells:
        if cell.key in scored:
            cells_by_key.setdefault(coordinates(cell)[:4], []).append(cell)
    missing = {
        key: cells for key, cells in cells_by_key.items() if {c.split.fold for c in cells} - existing.get(key, set())
    }
    # The covariance of two strategies takes the predictions of both, so that all of a family are read again.
    families = {key[:2] for key in missing} | _without_covariance(layout, cells_by_key, old)
    asked = {key: cells for key, cells in cells_by_key.items() if key[:2] in families}
    changes = _FamilyChanges(layout.study)
    new = evidences.build_frame(
        (key, folds, len(folds) == sum(split.repeat == key[3] for split in layout.plans[key[0]]))
        for key, folds in _build_folds(layout, asked, scored, get, set(missing), changes)
        if key in missing and len(folds) > len(existing.get(key, ()))
    )
    covariances = changes.covariances(layout)
    if new.empty and covariances.empty:
        return None
    return evidences.merge_frames(evidences.empty_frame() if old is None else old, new, covariances)


def _without_covariance(
    layout: Layout, cells_by_key: Mapping[RepeatKey, list[Cell]], old: pd.DataFrame | None
) -> set[Family]:
    """Find the data sets and learners with a complete strategy that their covariances over all folds do not hold."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for key, cells in cells_by_key.items():
        counts[key[:3]] += len(cells)
    complete: dict[Family, set[str]] = {}
    for (name, learner, strategy), n in counts.items():
        data = layout.datasets[name]
        if n == len(layout.plans[name]) and _has_row_covariances(layout.study, data):
            complete.setdefault((name, learner), set()).add(strategy)
    rows = evidences.empty_frame() if old is None else evidences.select(old, "covariance")
    known = set(rows[["dataset", "learner", "strategy", "y"]].itertuples(index=False, name=None))
    return {
        key
        for key, names in complete.items()
        if len(names) > 1 and any((*key, name, len(layout.plans[key[0]])) not in known for name in names)
    }


def _has_row_covariances(study: Study, data: Dataset) -> bool:
    """Whether each repeat tests every row once, in random folds, and rows are independent."""
    return study.protocol.test_size is None and data.folds is None and data.groups is None and data.time is None


def _read_existing(home: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Return the existing evidence and its facts; a damaged file is built anew."""
    try:
        return evidence.load_evidence(home / evidence.EVIDENCE_FILE), evidence.load_facts(home / evidence.EVIDENCE_FILE)
    except DerivedFileError as error:
        results.report_damage(str(error))
        return None, {}


def evidence_facts(layout: Layout, old: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report says of the tables and the libraries, and cannot know from evaluations."""
    study = layout.study
    makes = [n.make for n in study.learners] + [s.sampler for s in study.strategies if s.sampler]
    words = [word for make in makes for word in estimator_specs.library_versions(make).split()]
    versions = {"python": platform.python_version(), **dict(zip(words[::2], words[1::2], strict=True))}
    tables = {name: _table_facts(data, layout.cautions(name)) for name, data in layout.datasets.items()}
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "git": provenance.git_state(),
        "versions": {**old.get("versions", {}), **versions},
        "tables": {**old.get("tables", {}), **tables},
    }


def _table_facts(data: Dataset, cautions: list[str]) -> dict[str, Any]:
    missing = data.X.isna().sum()
    facts: dict[str, Any] = {
        "features": data.X.shape[1],
        "categorical": list(data.categorical),
        "source": data.parent,
        "missing": {str(name): int(n) for name, n in missing[missing > 0].items()},
        "cautions": cautions,
    }
    # Two classes are a positive one and the others, for a report.
    return {**facts, "classes": list(data.classes)} if len(data.classes) > 2 else facts


def _build_folds(
    layout: Layout,
    asked: Mapping[RepeatKey, list[Cell]],
    scored: Mapping[str, Evaluation],
    get: GetPrediction,
    missing: Container[RepeatKey],
    changes: _FamilyChanges,
) -> Iterator[tuple[RepeatKey, list[FoldPredictions]]]:
    """Yield the stored test predictions of every repeat; where synthetic rows lie is found for missing ones alone."""
    predict = replay.lookup_only(get)
    for name in dict.fromkeys(key[0] for key in asked):
        data, plan = layout.datasets[name], layout.plans[name]
        overlaps = _OverlapCache(data)
        cells = [cell for key, members in asked.items() if key[0] == name for cell in members]
        tasks = replay.replay_tasks(layout.study, data, plan, cells, predict)
        lost: set[Family] = set()
        for key, members in groupby(tasks, key=lambda task: coordinates(task.cell)[:4]):
            folds = []
            for task in members:
                if key[:2] in lost and key not in missing:
                    continue  # neither evidence nor a covariance can come of it
                evaluation = scored[task.cell.key]
                fold = _fold_predictions(task, evaluation, overlaps if key in missing else None)
                if fold is not None:
                    folds.append(fold)
                    changes.add(task, evaluation, fold)
                else:
                    lost.add(key[:2])
            yield key, folds


def _fold_predictions(task: Task, evaluation: Evaluation, overlaps: _OverlapCache | None) -> FoldPredictions | None:
    """Return the test predictions of a cell; None if they are not stored. Without overlaps, no synthetic rows."""
    try:
        prediction = replay.outer_prediction(task, evaluation)
    except (replay.MissingPrediction, FitFailed):
        return None
    split, y = task.cell.split, task.dataset.y
    request = task.request(evaluation.params, split.train, split.test)
    has_two = len(task.dataset.classes) == 2
    return FoldPredictions(
        fold=split.fold,
        y=y[split.test],
        values=prediction.values,
        prevalence=float(y[split.train].mean()) if has_two else math.nan,
        is_probability=prediction.is_probability,
        corrected=replay.prior_corrected(task, evaluation, prediction) if has_two else None,
        synthetic=overlaps.overlap(request) if overlaps else {},
    )


class _FamilyChanges:
    """Sums, by data set, learner, strategy and measure, how much each row changes the scores of its folds."""

    def __init__(self, study: Study) -> None:
        self._study, self._measures = study, study.measures
        self._sums: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
        self._folds: Counter[tuple[str, str, str]] = Counter()

    def add(self, task: Task, evaluation: Evaluation, fold: FoldPredictions) -> None:
        """Add the test rows of one evaluation, unless their covariance decides nothing."""
        data, (name, learner, strategy) = task.dataset, coordinates(task.cell)[:3]
        if not _has_row_covariances(self._study, data):
            return
        changes_of = task.decisions.row_changes
        measures = [measure for measure in self._measures if measure.function in changes_of]
        by_strategy = self._sums.setdefault((name, learner), {})
        sums = by_strategy.setdefault(strategy, {m.name: np.zeros(len(data.y)) for m in measures})
        rule = task.decisions.resolve_rule(task.cell.strategy.threshold)
        decided = task.decisions.decide(rule, evaluation.threshold, task.compared(evaluation.params, fold.values))
        for measure in measures:
            is_undefined = measure.needs == "probability" and not fold.is_probability
            changes = np.nan if is_undefined else changes_of[measure.function](fold.y, fold.values, decided)
            sums[measure.name][task.cell.split.test] += changes
        self._folds[name, learner, strategy] += 1

    def covariances(self, layout: Layout) -> pd.DataFrame:
        """Return the covariances of the families whose predictions are all there, as evidence."""
        frames = []
        for (name, learner), by_strategy in self._sums.items():
            n_folds = len(layout.plans[name])
            names = [s for s in by_strategy if self._folds[name, learner, s] == n_folds]
            matrices = {}
            for measure in next(iter(by_strategy.values())):
                changes = np.stack([by_strategy[s][measure] for s in names]) / n_folds if names else np.empty((0, 0))
                if len(names) > 1 and np.isfinite(changes).all():
                    matrices[measure] = row_covariance(changes, layout.datasets[name].y)
            frames.append(evidences.covariance_frame(name, learner, names, matrices, n_folds))
        return evidences.merge_frames(evidences.empty_frame(), *frames)


class _OverlapCache:
    """Locates the synthetic rows of samplers, each drawn once for all learners and weights of a table."""

    def __init__(self, data: Dataset) -> None:
        self._arrays, self._has_two_classes = cache(partial(runner.read_arrays, data)), len(data.classes) == 2
        self._prepared: dict[str, PreparedRows] = {}
        self._overlaps: dict[str, dict[str, tuple[float, int]]] = {}

    def overlap(self, request: FitRequest) -> Mapping[str, tuple[float, int]]:
        """Return the shares of :mod:`imblab.core.replay` by the names that the evidence gives them."""
        if request.sampler is None:
            return {}
        rows = request.fit_fingerprint
        key = json.dumps([rows, request.sampler, request.knobs, request.seed], default=dict, sort_keys=True)
        if key not in self._overlaps:
            if rows not in self._prepared:
                while sum(part.X.nbytes for part in self._prepared.values()) > MAX_OVERLAP_CACHE_BYTES:
                    self._prepared.pop(next(iter(self._prepared)))
                self._prepared[rows] = PreparedRows(self._arrays(), request.fit)
            self._overlaps[key] = self._locate(request, self._prepared[rows])
        return self._overlaps[key]

    def _locate(self, request: FitRequest, prepared: PreparedRows) -> dict[str, tuple[float, int]]:
        if self._has_two_classes:
            share = replay.share_nearer_to_majority(request, prepared)
            return {} if share is None else {evidences.NEARER_TO_MAJORITY: share}
        return {str(c): share for c, share in replay.shares_nearer_to_another_class(request, prepared).items()}
