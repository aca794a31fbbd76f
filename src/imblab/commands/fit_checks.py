"""Checks of the audit of a study that fit some of it again: proof of origin, LEAKY twin."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from imblab.analysis.fit_audit_rules import (
    ORIGIN,
    TWIN,
    OriginRecord,
    TwinRecord,
    origin_finding,
    twin_finding,
)
from imblab.analysis.reproduction import evaluation_differences
from imblab.commands.audited_study import AuditedStudy, FitPrice, StudyCheck
from imblab.core import leaky_twin, origins, splits
from imblab.core.evaluate import Task
from imblab.core.fitting import FitRequest, Prediction
from imblab.core.leaky_twin import OverSampler, TwinScores
from imblab.core.preparation import FeatureArrays, feature_arrays
from imblab.edges.runner.bundle_evaluator import largest_k, single_threaded
from imblab.errors import FitFailed
from imblab.findings import Finding
from imblab.result import Evaluation, Family
from imblab.study import Learner, Measure, Split

#: Evaluations per data set and learner whose origins are proved.
ORIGIN_EVALUATIONS = 3


def _refuse(request: FitRequest) -> Prediction:
    """Stand for the fits of a task that is traced."""
    raise FitFailed("a traced evaluation fits by itself")


def _drawn_keys(study: AuditedStudy) -> list[str]:
    """Draw some evaluations with scores of every data set and learner."""
    families: dict[Family, list[str]] = {}
    for evaluation in study.scored():
        families.setdefault((evaluation.dataset, evaluation.learner), []).append(evaluation.key)
    generator = random.Random(study.seed)
    drawn = [generator.sample(keys, min(ORIGIN_EVALUATIONS, len(keys))) for keys in families.values()]
    return [key for keys in drawn for key in keys]


def price_origins(study: AuditedStudy) -> FitPrice:
    """Return the price of the proof of origin: each step is made once more by plain libraries."""
    return study.price_of(_drawn_keys(study), times=2)


def check_origins(study: AuditedStudy) -> Iterable[Finding]:
    """Make some evaluations again, and check which rows entered every step."""
    cells, records = {cell.key: cell for cell in study.layout.cells}, []

    @lru_cache(maxsize=1)
    def arrays_of(name: str) -> FeatureArrays:
        return feature_arrays(study.datasets[name])

    for key in _drawn_keys(study):
        cell = cells[key]
        data, plan = study.datasets[cell.dataset], study.layout.plans[cell.dataset]
        pairs = splits.inner_pairs(data, study.study.protocol, study.study.seed, cell.split, plan)
        with single_threaded(cell.learner):
            task = Task(cell, study.study, data, pairs, _refuse)
            traced = origins.trace_cell(task, arrays_of(cell.dataset), largest_k(study.study))
        now = Evaluation.from_json(traced.evaluation.to_json())
        intrusions = tuple((each.step, each.reason, each.test_rows) for each in traced.intrusions)
        is_same = not evaluation_differences(study.evaluations[key], now)
        records.append(OriginRecord(key, traced.fits, traced.rows, intrusions, is_same))
        study.meter.count(ORIGIN)
    return [origin_finding(records)]


@dataclass(frozen=True, slots=True, eq=False)
class _Twin:
    """A LEAKY twin to be made: one repeat of a data set with a learner and a sampler."""

    dataset: str
    learner: Learner
    sampler: OverSampler
    plan: tuple[Split, ...]

    @property
    def key(self) -> str:
        """Data set, learner and sampler, for readers."""
        return f"{self.dataset}/{self.learner.name}/{self.sampler.label}"


def _twins(study: AuditedStudy) -> tuple[list[_Twin], dict[str, str]]:
    """List the twins that can be made, and why others cannot."""
    makeable, skipped = [], {}
    for name, data in study.datasets.items():
        plan = study.first_repeat(name)
        for learner in study.study.learners:
            for sampler in leaky_twin.over_samplers(study.study.strategies):
                twin = _Twin(name, learner, sampler, plan)
                reason = leaky_twin.twin_problem(data, sampler, plan)
                if reason is None:
                    makeable.append(twin)
                else:
                    skipped[twin.key] = reason
    return makeable, skipped


def price_twins(study: AuditedStudy) -> FitPrice:
    """Return the price of the LEAKY twins: two fits per fold."""
    paces, twins = study.seconds_per_fit(), _twins(study)[0]
    seconds = sum(2 * len(twin.plan) * paces.get((twin.dataset, twin.learner.name), 0.0) for twin in twins)
    return FitPrice(sum(len(twin.plan) for twin in twins), seconds)


def _twin_measures(study: AuditedStudy) -> tuple[Measure, ...]:
    """Return the primary measure and the PR-AUC, as far as they read no amounts; the last one is that of the text."""
    names = dict.fromkeys((study.study.primary, "pr_auc"))
    return tuple(m for name in names for m in study.study.measures if m.name == name and m.needs != "amount")


def check_twins(study: AuditedStudy) -> Iterable[Finding]:
    """Compute what resampling before the split would claim, next to the same sampler inside the folds."""
    twins, skipped = _twins(study)
    measures, records = _twin_measures(study), list[TwinRecord]()
    for twin in twins:
        data, scores = study.datasets[twin.dataset], list[TwinScores]()
        try:
            with single_threaded(twin.learner):
                for fold in leaky_twin.leaky_twin_scores(
                    data, twin.plan, twin.learner, twin.sampler, measures, study.study.seed
                ):
                    scores.append(fold)
                    study.meter.count(TWIN)
        except FitFailed as error:
            skipped[twin.key] = str(error)
            for _ in range(len(twin.plan) - len(scores)):
                study.meter.count(TWIN)
            continue
        means = {name: _mean_scores(scores, name, measures) for name in TwinScores.__dataclass_fields__}
        records.append(TwinRecord(twin.dataset, twin.learner.name, twin.sampler.label, **means))
    measure = measures[-1].name if measures else study.study.primary
    if not twins and not skipped:
        skipped["all"] = "the study has no over-sampler"
    return [twin_finding(records, measure, skipped)]


def _mean_scores(scores: Sequence[TwinScores], name: str, measures: Sequence[Measure]) -> dict[str, float]:
    by_fold: list[Mapping[str, float | None]] = [getattr(fold, name) for fold in scores]
    return {
        m.name: float(np.mean([math.nan if fold[m.name] is None else fold[m.name] for fold in by_fold]))
        for m in measures
    }


#: The checks of this module, in the order of the audit.
FIT_CHECKS = (
    StudyCheck(ORIGIN, check_origins, price_origins),
    StudyCheck(TWIN, check_twins, price_twins),
)
