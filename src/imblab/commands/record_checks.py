"""Checks of the audit of a study that fit nothing of it: they read its record, its evidence, its tables and splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences, table_audit_rules, tuning
from imblab.analysis.fit_audit_rules import BalanceNumbers, balance_finding
from imblab.analysis.optimism import (
    optimism_finding,
    peeking_finding,
    peeking_gaps,
    peeking_not_made,
    search_gaps,
    threshold_grid_of,
)
from imblab.commands import results
from imblab.commands.audited_study import AuditedStudy
from imblab.core import design, fitting, leaky_twin, measures, replay, search
from imblab.core.evaluate import threshold_measure
from imblab.core.preparation import PreparedRows
from imblab.core.sampling import sampler_for_columns
from imblab.core.table_clues import part_shift, telling_columns
from imblab.findings import Finding
from imblab.result import Evaluation
from imblab.study import Dataset, Learner, Strategy
from imblab.text import to_shell

#: The ratio that is looked at.
FULL_RATIO = 1.0


def check_optimism(study: AuditedStudy) -> list[Finding]:
    """Compare the inner scores of searches with those of the outer folds."""
    by_place, best_of_all = search_gaps(study.result)
    return [optimism_finding(by_place, best_of_all, study.study.primary_measure)]


def check_threshold_peeking(study: AuditedStudy) -> list[Finding]:
    """Say what thresholds chosen on the test rows of each fold would claim."""
    thresholds = study.study.protocol.thresholds
    grids = {
        s.name: threshold_grid_of(search.threshold_grid(s) or thresholds)
        for s in [s for s in study.study.strategies if s.threshold == "tuned" or search.threshold_grid(s) is not None]
    }
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


def _restore_evidence(study: AuditedStudy) -> str:
    command = to_shell(["imblab", "run", str(study.home / "study.yaml")])
    return (
        f"`{command}` builds them from the prediction store; where that has forgotten them, add name=... to run the "
        "study again, and audit that one."
    )


def _treated(study: AuditedStudy) -> dict[str, Strategy]:
    """Return the strategies with a sampler or a weight, by name."""
    strategies = study.study.strategies
    return {s.name: s for s in strategies if s.sampler is not None or s.knobs.get("weight") is not None}


def check_balance(study: AuditedStudy) -> Iterable[Finding]:
    """Collect what shows over-balancing in a study, and judge it."""
    treated, frame = _treated(study), results.read_evidence(study.home)
    unknown = []
    if treated and frame is None:
        unknown.append("Mean risks and chosen ratios are not known: the folder has no evidence.parquet.")
    if several := [name for name, data in study.datasets.items() if len(data.classes) > 2]:
        unknown.append(f"Mean risks are computed for two classes, and {', '.join(several)} has more.")
    frame = evidences.empty_frame() if frame is None else frame
    nearer = dict(_nearer_at_balance(study)) if treated else {}
    return [
        balance_finding(
            BalanceNumbers(
                risk_ratios=_means(frame, treated, "calibration", "mean_risk_ratio"),
                nearer_at_balance=nearer,
                nearer_as_chosen=_means(frame, treated, "synthetic"),
                balance_costs=dict(_balance_costs(study)),
                measure=study.study.primary,
                unknown=tuple(unknown),
            )
        )
    ]


def _means(frame: pd.DataFrame, strategies: Mapping[str, Strategy], kind: str, name: str = "") -> dict[str, float]:
    """Return means of a kind of evidence by data set, learner and strategy."""
    rows = evidences.select(frame, kind, **({"name": name} if name else {}))
    rows = rows[rows.strategy.isin(list(strategies))]
    means: dict[str, list[float]] = {}
    for dataset, learner, strategy, x in rows[["dataset", "learner", "strategy", "x"]].itertuples(index=False):
        means.setdefault(f"{dataset}/{learner}/{strategy}", []).append(float(x))
    return {key: float(np.mean(values)) for key, values in means.items()}


def _nearer_at_balance(study: AuditedStudy) -> Iterator[tuple[str, float]]:
    """Yield the share of synthetic rows at 1:1, of the first training part, that are nearer to another class."""
    for name, data in study.datasets.items():
        split = study.layout.plans[name][0]
        prepared = None
        for sampler in leaky_twin.over_samplers(study.study.strategies):
            make, params = sampler_for_columns(sampler.make, data), {**sampler.params, "ratio": FULL_RATIO}
            if make is None:
                continue
            if design.candidate_inapplicable_reason(params, make, design.fitted_parts(data, split, ())):
                continue
            prepared = prepared or PreparedRows(data, split.train)
            share = _nearer_share(data, study.study.learners[0], make, params, split.train, study.study.seed, prepared)
            if share is not None:
                yield f"{name}/{make['_target_'].rpartition('.')[2]}", share


def _nearer_share(
    data: Dataset,
    learner: Learner,
    make: Mapping[str, object],
    params: Mapping[str, float | int | str | bool],
    train: np.ndarray,
    seed: int,
    prepared: PreparedRows,
) -> float | None:
    """Return the share over all synthetic rows; None without any, and where the sampler fails."""
    request = fitting.fit_request(data, learner.make, make, params, seed, train, train[:0])
    try:
        shares = replay.shares_nearer_to_another_class(request, prepared)
    except Exception:  # any sampler may raise anything; the study says so in its own rows
        return None
    rows = sum(n for _, n in shares.values())
    return sum(share * n for share, n in shares.values()) / rows if rows else None


def _balance_costs(study: AuditedStudy) -> Iterator[tuple[str, float]]:
    """Yield the inner score at 1:1 minus that of the best ratio, where a search tried 1:1 and another ratio."""
    places: dict[tuple[str, str, str], list[Evaluation]] = {}
    for evaluation in study.scored():
        places.setdefault((evaluation.dataset, evaluation.learner, evaluation.strategy), []).append(evaluation)
    greater = study.study.primary_measure.greater_is_better
    for place, evaluations in places.items():
        candidates = tuning.average_candidates(evaluations)
        ratios, values = tuning.best_along(candidates, "ratio", greater_is_better=greater).get(None, ([], []))
        if len(ratios) > 1 and FULL_RATIO in ratios:
            best = (max if greater else min)(values)
            yield "/".join(place), values[ratios.index(FULL_RATIO)] - best
