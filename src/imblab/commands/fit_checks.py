"""Checks of the audit of a study that fit some of it again: proof of origin, LEAKY twin, chance control.

Chance control runs the complete nested procedure of the study on tables with permuted labels.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from imblab.analysis import fit_audit_rules
from imblab.analysis.fit_audit_rules import ORIGIN, TWIN, OriginRecord, StudyChance, TwinRecord
from imblab.analysis.recommendation import knobs_in_use
from imblab.analysis.reproduction import evaluation_differences
from imblab.commands.audited_study import AuditedStudy, FitPrice, StudyCheck
from imblab.core import forecast, leaky_twin, origins, replay, splits
from imblab.core.evaluate import Task
from imblab.core.leaky_twin import OverSampler, TwinScores
from imblab.core.preparation import FeatureArrays, feature_arrays
from imblab.edges import runner
from imblab.edges.runner.bundle_evaluator import largest_k, single_threaded
from imblab.errors import DataError, FitFailed
from imblab.findings import DECISIVE_CHECK, Finding
from imblab.result import Evaluation, Family
from imblab.stats import curves
from imblab.study import Cell, Dataset, Learner, Measure, Split, Strategy, fingerprint

#: Evaluations per data set and learner whose origins are proved.
ORIGIN_EVALUATIONS = 3
#: Seconds on every process that the chance control may take at the pace of the record; the cheapest data set and
#: learner is always tried.
MAX_CHANCE_SECONDS = 600.0
#: Of the runs without information so many must give a score.
MIN_SCORED_SHARE = 0.5
#: Measures that are compared with chance where the primary measure has no chance level.
KNOWN_CHANCE_MEASURES = ("mcc", "pr_auc", "roc_auc")


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
            task = Task(cell, study.study, data, pairs, replay.lookup_only(lambda _: None))  # it fits by itself
            traced = origins.trace_cell(task, arrays_of(cell.dataset), largest_k(study.study))
        now = Evaluation.from_json(traced.evaluation.to_json())
        intrusions = tuple((each.step, each.reason, each.test_rows) for each in traced.intrusions)
        is_same = not evaluation_differences(study.evaluations[key], now)
        records.append(OriginRecord(key, traced.fits, traced.rows, intrusions, is_same))
        study.meter.count(ORIGIN)
    return [fit_audit_rules.origin_finding(records)]


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
    samplers = leaky_twin.over_samplers(study.study.strategies)
    for name, learner, sampler in product(study.datasets, study.study.learners, samplers):
        twin = _Twin(name, learner, sampler, study.first_repeat(name))
        reason = leaky_twin.twin_problem(study.datasets[name], sampler, twin.plan)
        if reason is None:
            makeable.append(twin)
        else:
            skipped[twin.key] = reason
    return makeable, skipped


def price_twins(study: AuditedStudy) -> FitPrice:
    """Return the price of the LEAKY twins: two fits per fold."""
    paces, twins = study.seconds_per_fit, _twins(study)[0]
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
        means = {name: _mean_twin_scores(scores, name, measures) for name in TwinScores.__dataclass_fields__}
        records.append(TwinRecord(twin.dataset, twin.learner.name, twin.sampler.label, **means))
    measure = measures[-1].name if measures else study.study.primary
    if not twins and not skipped:
        skipped["all"] = "the study has no over-sampler"
    return [fit_audit_rules.twin_finding(records, measure, skipped)]


def _mean_twin_scores(scores: Sequence[TwinScores], name: str, measures: Sequence[Measure]) -> dict[str, float]:
    by_fold: list[Mapping[str, float | None]] = [getattr(fold, name) for fold in scores]
    return {
        m.name: float(np.mean([math.nan if fold[m.name] is None else fold[m.name] for fold in by_fold]))
        for m in measures
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Procedure:
    """The procedure of one data set and learner that is run with permuted labels."""

    dataset: str
    learner: Learner
    strategy: Strategy
    folds: int

    @property
    def key(self) -> str:
        """Data set and learner, for readers."""
        return f"{self.dataset}/{self.learner.name}"


def _procedures(study: AuditedStudy) -> tuple[list[_Procedure], tuple[str, ...]]:
    """Choose the most complex strategy of every data set and learner, and leave out what takes too long."""
    scored = {(e.dataset, e.learner, e.strategy) for e in study.scored()}
    chosen = []
    for name, learner in product(study.datasets, study.study.learners):
        strategies = [s for s in study.study.strategies if (name, learner.name, s.name) in scored]
        if strategies:
            strategy = max(
                strategies, key=lambda s: (knobs_in_use(s), forecast.count_candidates(study.study, s, learner))
            )
            chosen.append(_Procedure(name, learner, strategy, len(study.first_repeat(name))))
    prices = {each.key: _price_of_procedure(study, each).seconds for each in chosen}
    affordable, total = set[str](), 0.0
    for each in sorted(chosen, key=lambda procedure: prices[procedure.key]):
        total += prices[each.key]
        if affordable and total > MAX_CHANCE_SECONDS * study.engine.n_jobs:
            break
        affordable.add(each.key)
    left_out = tuple(each.key for each in chosen if each.key not in affordable)
    return [each for each in chosen if each.key in affordable], left_out


def _price_of_procedure(study: AuditedStudy, procedure: _Procedure) -> FitPrice:
    keys = [
        Cell(procedure.dataset, procedure.learner, procedure.strategy, split).key
        for split in study.first_repeat(procedure.dataset)
    ]
    price = study.price_of(keys, times=study.permutations)
    return price._replace(evaluations=study.permutations * len(keys))


def price_chance(study: AuditedStudy) -> FitPrice:
    """Return the price of the chance control."""
    prices = [_price_of_procedure(study, each) for each in _procedures(study)[0]]
    return FitPrice(sum(price.evaluations for price in prices), sum(price.seconds for price in prices))


def permuted_dataset(dataset: Dataset, number: int, seed: int, n_folds: int) -> Dataset:
    """Return a table with permuted labels, under a name and a fingerprint of its own.

    Whole groups exchange labels where each has one label; labels stay within ``n_folds + 1`` blocks of time where the
    table has times.
    """
    y, groups = dataset.y, dataset.groups
    units = groups if groups is not None and curves.is_constant_within(y, groups) else None
    blocks = None if dataset.time is None else curves.time_blocks(dataset.time, n_folds + 1)
    permuted = curves.permute_labels(y, np.random.default_rng([seed, number]), units, blocks)
    name, address = f"{dataset.name}, permutation {number}", fingerprint(dataset.fingerprint, permuted)
    return replace(dataset, y=permuted, name=name, fingerprint=address)


def check_chance(study: AuditedStudy) -> Iterable[Finding]:
    """Run the complete nested procedure on tables with permuted labels, and compare its scores with chance."""
    procedures, left_out = _procedures(study)
    measure = _chance_measure(study)
    strategies = {each.key: each.strategy.name for each in procedures}
    folds = max((each.folds for each in procedures), default=0)
    if measure is None:
        lost = {"all": f"{study.study.primary!r} has no known chance level; state it with --chance"}
        return [
            fit_audit_rules.study_chance_finding(
                StudyChance(study.study.primary, strategies, {}, {}, folds, lost, left_out)
            )
        ]
    runs, lost = _permuted_runs(study, procedures)
    controls, scores = {}, {}
    for each in procedures:
        values = [_run_score(run, measure) for run in runs[each.key]]
        known = [(value, run) for value, run in zip(values, runs[each.key], strict=True) if math.isfinite(value)]
        if len(known) < study.permutations:
            lost.setdefault(each.key, "an evaluation failed or is not applicable")
        if len(known) >= max(2, MIN_SCORED_SHARE * study.permutations):
            levels = [run.level(measure, study.chance) for _, run in known]
            allowance = 0.0 if study.chance is not None else float(np.mean([run.excess(measure) for _, run in known]))
            controls[each.key] = curves.control_chance([value for value, _ in known], levels, allowance)
            scores[each.key] = _study_score(study, each, measure)
    return [
        fit_audit_rules.study_chance_finding(StudyChance(measure, strategies, controls, scores, folds, lost, left_out))
    ]


def _chance_measure(study: AuditedStudy) -> str | None:
    """Return the measure that is compared with chance: the primary one, if its chance level is known."""
    several = any(len(data.classes) > 2 for data in study.datasets.values())
    known = {name for name in curves.CHANCE_LEVELS if not (several and curves.chance_level(name, [1, 1, 1]) is None)}
    names = study.study.measure_names
    if study.chance is not None or study.study.primary in known:
        return study.study.primary
    return next((name for name in KNOWN_CHANCE_MEASURES if name in names and name in known), None)


@dataclass(frozen=True, slots=True, eq=False)
class _PermutedRun:
    """One data set with permuted labels: its test parts, and the evaluations of one learner."""

    dataset: Dataset
    plan: tuple[Split, ...]
    evaluations: list[Evaluation]

    def counts(self) -> Iterator[np.ndarray]:
        """Yield the rows of each class in every test part."""
        for split in self.plan:
            yield np.bincount(self.dataset.y[split.test], minlength=len(self.dataset.classes))

    def level(self, measure: str, stated: float | None) -> float:
        """Return the chance level, as a mean over the test parts."""
        levels = [stated if stated is not None else curves.chance_level(measure, counts) for counts in self.counts()]
        return float(np.mean([level for level in levels if level is not None]))

    def excess(self, measure: str) -> float:
        """Return what small test parts add to the score of chance."""
        return float(np.mean([curves.small_part_excess(measure, counts) for counts in self.counts()]))


def _permuted_runs(
    study: AuditedStudy, procedures: Sequence[_Procedure]
) -> tuple[dict[str, list[_PermutedRun]], dict[str, str]]:
    """Run the procedures on permuted tables, by data set and learner; no prediction is stored."""
    question = replace(study.study, protocol=replace(study.study.protocol, repeats=1))
    tables, plans, cells = dict[str, Dataset](), dict[str, tuple[Split, ...]](), list[Cell]()
    runs: dict[str, list[_PermutedRun]] = {each.key: [] for each in procedures}
    lost: dict[str, str] = {}
    received: dict[tuple[str, str], list[Evaluation]] = {}
    for number in range(study.permutations):
        for each in procedures:
            data = permuted_dataset(study.datasets[each.dataset], number, study.seed, each.folds)
            try:
                plan = plans.setdefault(data.name, splits.plan(data, question.protocol, question.seed))
            except DataError as error:
                lost.setdefault(each.key, str(error))
                for _ in range(each.folds):
                    study.meter.count(DECISIVE_CHECK)
                continue
            tables.setdefault(data.name, data)
            cells += [Cell(data.name, each.learner, each.strategy, split) for split in plan]
            evaluations = received.setdefault((data.name, each.learner.name), [])
            runs[each.key].append(_PermutedRun(data, plan, evaluations))

    def observe(evaluation: Evaluation) -> None:
        received[evaluation.dataset, evaluation.learner].append(evaluation)
        study.meter.count(DECISIVE_CHECK)

    bundles = runner.make_bundles(question, plans, cells)
    runner.run(tables, bundles, replace(study.engine, open_store=None), [observe])
    return runs, lost


def _run_score(run: _PermutedRun, measure: str) -> float:
    """Return the mean over folds; NaN where a fold has no score."""
    scores = [evaluation.scores.get(measure) for evaluation in run.evaluations]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(run.plan) else math.nan


def _study_score(study: AuditedStudy, procedure: _Procedure, measure: str) -> float:
    place = (procedure.dataset, procedure.learner.name, procedure.strategy.name)
    scores = [e.scores.get(measure) for e in study.scored() if (e.dataset, e.learner, e.strategy) == place]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else math.nan


FIT_CHECKS = (
    StudyCheck(ORIGIN, check_origins, price_origins),
    StudyCheck(TWIN, check_twins, price_twins),
    StudyCheck(DECISIVE_CHECK, check_chance, price_chance),
)
