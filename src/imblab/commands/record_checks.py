"""Checks of the audit of a study that fit nothing of it: they read its record, its evidence, its tables and splits."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from imblab.analysis import table_audit_rules
from imblab.analysis.optimism import optimism_finding, search_gaps
from imblab.analysis.threshold_peeking import peeking_finding, peeking_gaps, peeking_not_made, threshold_grid_of
from imblab.commands import results
from imblab.commands.audited_study import AuditedStudy
from imblab.core import measures, search
from imblab.core.evaluate import threshold_measure
from imblab.core.part_shift import part_shift
from imblab.core.telling_columns import telling_columns
from imblab.findings import Finding
from imblab.study import Strategy
from imblab.text import to_shell


def check_optimism(study: AuditedStudy) -> list[Finding]:
    """Compare the inner scores of searches with those of the outer folds."""
    by_place, best_of_all = search_gaps(study.result)
    return [optimism_finding(by_place, best_of_all, study.study.primary_measure)]


def check_threshold_peeking(study: AuditedStudy) -> list[Finding]:
    """Say what thresholds chosen on the test rows of each fold would claim."""
    thresholds = study.study.protocol.thresholds
    grids = {s.name: threshold_grid_of(search.threshold_grid(s) or thresholds) for s in _tuning_strategies(study)}
    several = [name for name, data in study.datasets.items() if len(data.classes) > 2]
    if not grids:
        return [peeking_not_made("no strategy of the study tunes its threshold")]
    if len(several) == len(study.datasets):
        return [peeking_not_made("the evidence holds counts per threshold of two classes", several_classes=several)]
    frame = results.read_evidence(study.home)
    measure = threshold_measure(study.study)
    function = measures.function_of(measure, allow=None)
    gaps = [] if frame is None else peeking_gaps(study.result, frame, measure, function, grids)
    if not gaps:
        return [peeking_not_made("the folder has no counts of its test predictions", _restore_evidence(study), several)]
    return [peeking_finding(gaps, measure, several)]


def check_groups(study: AuditedStudy) -> list[Finding]:
    """Look for groups on both sides of an outer split."""
    split_groups = {}
    for name, data in study.datasets.items():
        if data.groups is not None:
            groups = data.groups
            shared = {
                group
                for split in study.layout.plans[name]
                for group in np.intersect1d(groups[split.train], groups[split.test]).tolist()
            }
            split_groups[name] = len(shared)
    ungrouped = [name for name in study.datasets if name not in split_groups]
    return [table_audit_rules.groups_of_study_finding(split_groups, ungrouped)]


def check_telling_columns(study: AuditedStudy) -> list[Finding]:
    """Look for single columns that give the label away."""
    clues = {name: [asdict(clue) for clue in telling_columns(data)] for name, data in study.datasets.items()}
    columns = sum(data.X.shape[1] for data in study.datasets.values())
    return [table_audit_rules.telling_columns_finding(clues, columns)]


def check_time_shift(study: AuditedStudy) -> list[Finding]:
    """Try to tell training from test rows of time-ordered splits."""
    timed = [name for name, data in study.datasets.items() if data.time is not None]
    windows, small = [], []
    for name in timed:
        shifts = [part_shift(study.datasets[name], split, study.seed) for split in study.layout.plans[name]]
        windows += [asdict(shift) for shift in shifts if shift is not None]
        small += [name] if None in shifts else []
    untimed = [name for name in study.datasets if name not in timed]
    return [table_audit_rules.shift_finding(windows, untimed, small)]


def _tuning_strategies(study: AuditedStudy) -> list[Strategy]:
    """Return the strategies whose threshold is chosen on inner folds among given thresholds."""
    return [s for s in study.study.strategies if s.threshold == "tuned" or search.threshold_grid(s) is not None]


def _restore_evidence(study: AuditedStudy) -> str:
    command = to_shell(["imblab", "run", str(study.home / "study.yaml")])
    return (
        f"`{command}` builds them from the prediction store; where that has forgotten them, add name=... to run the "
        "study again, and audit that one."
    )
