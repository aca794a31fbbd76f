"""The check of over-balancing: where synthetic rows lie, mean risk against prevalence, 1:1 against other ratios.

It reads the evidence and the ledger; samplers are drawn anew at 1:1, and no model is fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences, tuning
from imblab.analysis.fit_audit_rules import BALANCE, BalanceNumbers, balance_finding
from imblab.commands import results
from imblab.commands.audited_study import AuditedStudy, StudyCheck
from imblab.core import design, fitting, leaky_twin, replay
from imblab.core.preparation import PreparedRows
from imblab.core.sampling import sampler_for_columns
from imblab.findings import Finding
from imblab.result import Evaluation
from imblab.study import Dataset, Learner, Strategy

#: The ratio that is looked at.
FULL_RATIO = 1.0


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


#: The check of this module.
BALANCE_CHECK = StudyCheck(BALANCE, check_balance)
