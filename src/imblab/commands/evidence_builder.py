"""Build evidence.parquet from stored predictions at the end of a run; fits nothing."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from imblab.analysis import evidence as evidences
from imblab.analysis.evidence import FoldPredictions, RepeatKey
from imblab.commands import derived_files
from imblab.commands.layout import Layout
from imblab.core import estimator_specs, preparation, replay
from imblab.core.evaluate import Task
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.preparation import FeatureArrays, PreparedRows
from imblab.edges import evidence, files, provenance
from imblab.errors import DerivedFileError, FitFailed
from imblab.result import Evaluation
from imblab.study import Cell, Dataset

#: Bytes of prepared rows cached at once; those of one part always are.
MAX_OVERLAP_CACHE_BYTES = 64 * 2**20


def build_evidence(
    layout: Layout, evaluations: Iterable[Evaluation], home: Path, get: Callable[[str], Prediction | None]
) -> pd.DataFrame:
    """Write the stored test predictions of evaluations into the folder of their study, and return the whole file.

    Existing evidence stays, also if its predictions are no longer stored. ``get`` returns the stored prediction for an
    address, or None.
    """
    old, old_facts = _read_existing(home)
    existing = evidences.folds_by_repeat(old) if old is not None else {}
    scored = {evaluation.key: evaluation for evaluation in evaluations if evaluation.status == "ok"}
    cells_by_key: dict[RepeatKey, list[Cell]] = {}
    for cell in layout.cells:
        if cell.key in scored:
            cells_by_key.setdefault(_repeat_key(cell), []).append(cell)
    missing = {
        key: cells for key, cells in cells_by_key.items() if {c.split.fold for c in cells} - existing.get(key, set())
    }
    new = evidences.build_frame(
        (key, folds, len(folds) == sum(split.repeat == key[3] for split in layout.plans[key[0]]))
        for key, folds in _build_folds(layout, missing, scored, get)
        if len(folds) > len(existing.get(key, ()))
    )
    if new.empty and (old is not None or files.exists(home, evidence.EVIDENCE_FILE)):
        return evidences.empty_frame() if old is None else old  # a damaged file stays if nothing can replace it
    merged = evidences.merge_frames(evidences.empty_frame() if old is None else old, new)
    evidence.write_evidence(home / evidence.EVIDENCE_FILE, merged, _evidence_facts(layout, old_facts))
    return merged


def _read_existing(home: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Return the existing evidence and its facts; a damaged file is built anew."""
    try:
        return evidence.load_evidence(home / evidence.EVIDENCE_FILE), evidence.load_facts(home / evidence.EVIDENCE_FILE)
    except DerivedFileError as error:
        derived_files.say(str(error))
        return None, {}


def _evidence_facts(layout: Layout, old: Mapping[str, Any]) -> dict[str, Any]:
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
    return {
        "features": data.X.shape[1],
        "categorical": list(data.categorical),
        "source": data.parent,
        "missing": {str(name): int(n) for name, n in missing[missing > 0].items()},
        "cautions": cautions,
    }


def _build_folds(
    layout: Layout,
    missing: Mapping[RepeatKey, list[Cell]],
    scored: Mapping[str, Evaluation],
    get: Callable[[str], Prediction | None],
) -> Iterator[tuple[RepeatKey, list[FoldPredictions]]]:
    """Yield the stored test predictions of every repeat with missing evidence."""
    predict = replay.lookup_only(get)
    for name in dict.fromkeys(key[0] for key in missing):
        data, plan = layout.datasets[name], layout.plans[name]
        overlaps = _OverlapCache(preparation.feature_arrays(data))
        cells = [cell for key, members in missing.items() if key[0] == name for cell in members]
        tasks = replay.replay_tasks(layout.study, data, plan, cells, predict)
        for key, members in groupby(tasks, key=lambda task: _repeat_key(task.cell)):
            folds = [_fold_predictions(task, scored[task.cell.key], overlaps) for task in members]
            yield key, [fold for fold in folds if fold is not None]


def _repeat_key(cell: Cell) -> RepeatKey:
    return cell.dataset, cell.learner.name, cell.strategy.name, cell.split.repeat


def _fold_predictions(task: Task, evaluation: Evaluation, overlaps: _OverlapCache) -> FoldPredictions | None:
    """Return the test predictions of a cell; None if they are not stored."""
    try:
        prediction = replay.outer_prediction(task, evaluation)
    except (replay.MissingPrediction, FitFailed):
        return None
    split, y = task.cell.split, task.dataset.y
    return FoldPredictions(
        fold=split.fold,
        y=y[split.test],
        values=prediction.values,
        prevalence=float(y[split.train].mean()),
        is_probability=prediction.is_probability,
        corrected=replay.prior_corrected(task, evaluation, prediction),
        synthetic=overlaps.overlap(task.request(evaluation.params, split.train, split.test)),
    )


class _OverlapCache:
    """Locates the synthetic rows of samplers, each drawn once for all learners and weights of a table."""

    def __init__(self, arrays: FeatureArrays) -> None:
        self._arrays = arrays
        self._prepared: dict[str, PreparedRows] = {}
        self._overlaps: dict[str, tuple[float, int] | None] = {}

    def overlap(self, request: FitRequest) -> tuple[float, int] | None:
        """See :func:`imblab.core.replay.share_nearer_to_majority`."""
        if request.sampler is None:
            return None
        rows = request.fit_fingerprint
        key = json.dumps([rows, request.sampler, request.knobs, request.seed], default=dict, sort_keys=True)
        if key not in self._overlaps:
            if rows not in self._prepared:
                while sum(part.X.nbytes for part in self._prepared.values()) > MAX_OVERLAP_CACHE_BYTES:
                    self._prepared.pop(next(iter(self._prepared)))
                self._prepared[rows] = PreparedRows(self._arrays, request.fit)
            self._overlaps[key] = replay.share_nearer_to_majority(request, self._prepared[rows])
        return self._overlaps[key]
