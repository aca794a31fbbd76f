"""Gathering the evidence of a study from the prediction store, at the end of a run: no fit is made."""

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
from imblab.core.fitting import FitFailed, FitRequest, Prediction
from imblab.core.preparation import FeatureArrays, PreparedRows
from imblab.edges import evidence, files, provenance
from imblab.errors import DerivedFileError
from imblab.result import Evaluation
from imblab.study import Cell, Dataset

#: Bytes of prepared parts kept at once; one part always is.
MAX_OVERLAP_CACHE_BYTES = 64 * 2**20
Get = Callable[[str], Prediction | None]


def build_evidence(layout: Layout, rows: Iterable[Evaluation], home: Path, get: Get) -> pd.DataFrame:
    """Write what the store can say of the rows of a study beside them.

    What is there already stays; so does evidence whose predictions are no longer kept.

    Parameters
    ----------
    layout : Layout
    rows : iterable of Evaluation
    home : Path
        The folder of the study.
    get : callable
        Gives what is known of an address, or None.

    Returns
    -------
    DataFrame
        What the file holds now.
    """
    path = home / evidence.EVIDENCE_FILE
    old, facts = _read_existing(home)
    known = evidences.folds_by_repeat(old) if old is not None else {}
    scored = {row.key: row for row in rows if row.status == "ok"}
    wanted: dict[RepeatKey, list[Cell]] = {}
    for cell in layout.cells:
        if cell.key in scored:
            wanted.setdefault(_group_of(cell), []).append(cell)
    missing = {g: cells for g, cells in wanted.items() if {c.split.fold for c in cells} - known.get(g, set())}
    new = evidences.build_frame(
        (group, parts, len(parts) == sum(split.repeat == group[3] for split in layout.plans[group[0]]))
        for group, parts in _build_groups(layout, missing, scored, get)
        if len(parts) > len(known.get(group, ()))
    )
    if new.empty and (old is not None or files.exists(home, evidence.EVIDENCE_FILE)):
        return evidences.empty_frame() if old is None else old  # a damaged file stays where nothing can take its place
    merged = evidences.merge_frames(evidences.empty_frame() if old is None else old, new)
    evidence.write_evidence(path, merged, _evidence_facts(layout, facts))
    return merged


def _read_existing(home: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """The evidence that is there and its facts; a damaged file is made anew."""
    try:
        return evidence.load_evidence(home / evidence.EVIDENCE_FILE), evidence.load_facts(home / evidence.EVIDENCE_FILE)
    except DerivedFileError as error:
        derived_files.say(str(error))
        return None, {}


def _evidence_facts(layout: Layout, old: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of the tables and of the libraries, and cannot know from rows."""
    study = layout.study
    makes = [n.make for n in study.learners] + [s.sampler for s in study.strategies if s.sampler]
    words = [word for make in makes for word in estimator_specs.library_versions(make).split()]
    found = dict(zip(words[::2], words[1::2], strict=True))
    versions = {**old.get("versions", {}), "python": platform.python_version(), **found}
    tables = {name: _table_facts(data, layout.cautions(name)) for name, data in layout.datasets.items()}
    made = {"system": f"{platform.system()} {platform.machine()}", "git": provenance.git_state()}
    return {**made, "versions": versions, "tables": {**old.get("tables", {}), **tables}}


def _table_facts(data: Dataset, cautions: list[str]) -> dict[str, Any]:
    missing = data.X.isna().sum()
    return {
        **{"features": data.X.shape[1], "categorical": list(data.categorical), "source": data.parent},
        **{"missing": {str(name): int(n) for name, n in missing[missing > 0].items()}, "cautions": cautions},
    }


def _build_groups(
    layout: Layout, missing: Mapping[RepeatKey, list[Cell]], scored: Mapping[str, Evaluation], get: Get
) -> Iterator[tuple[RepeatKey, list[FoldPredictions]]]:
    """What is kept of every group that is missing."""
    predict = replay.lookup_only(get)
    for name in dict.fromkeys(group[0] for group in missing):
        data, plan = layout.datasets[name], layout.plans[name]
        samples = _OverlapCache(preparation.feature_arrays(data))
        cells = [cell for group, members in missing.items() if group[0] == name for cell in members]
        tasks = replay.replay_tasks(layout.study, data, plan, cells, predict)
        for group, members in groupby(tasks, key=lambda task: _group_of(task.cell)):
            parts = [_fold_part(task, scored[task.cell.key], samples) for task in members]
            yield group, [part for part in parts if part is not None]


def _group_of(cell: Cell) -> RepeatKey:
    return cell.dataset, cell.learner.name, cell.strategy.name, cell.split.repeat


def _fold_part(task: Task, row: Evaluation, samples: _OverlapCache) -> FoldPredictions | None:
    """The test rows of a cell; None where their prediction is not kept."""
    try:
        prediction = replay.outer_prediction(task, row)
    except (replay.MissingPrediction, FitFailed):
        return None
    split, y = task.cell.split, task.dataset.y
    atom = task.request(row.params, split.train, split.test)
    return FoldPredictions(
        fold=split.fold,
        y=y[split.test],
        values=prediction.values,
        prevalence=float(y[split.train].mean()),
        is_probability=prediction.is_probability,
        corrected=replay.prior_corrected(task, row, prediction),
        synthetic=samples.overlap(atom),
    )


class _OverlapCache:
    """Where the rows of samplers fall, each drawn once for all learners and weights.

    Parameters
    ----------
    table : Table
    """

    def __init__(self, table: FeatureArrays) -> None:
        self._table = table
        self._parts: dict[str, PreparedRows] = {}
        self._known: dict[str, tuple[float, int] | None] = {}

    def overlap(self, atom: FitRequest) -> tuple[float, int] | None:
        """See :func:`imblab.core.replay.share_nearer_to_majority`."""
        if atom.sampler is None:
            return None
        rows = atom.fit_fingerprint
        key = json.dumps([rows, atom.sampler, atom.knobs, atom.seed], default=dict, sort_keys=True)
        if key not in self._known:
            if rows not in self._parts:
                while sum(part.X.nbytes for part in self._parts.values()) > MAX_OVERLAP_CACHE_BYTES:
                    self._parts.pop(next(iter(self._parts)))
                self._parts[rows] = PreparedRows(self._table, atom.fit)
            self._known[key] = replay.share_nearer_to_majority(atom, self._parts[rows])
        return self._known[key]
