"""Checks of the audit of a study that read its record, its evidence, its tables and splits, and search them for copies.

What copies of rows do to the scores, test rows that the training part holds exactly or nearly, is found for the
recommended strategy of every learner in the first repeat, from stored predictions, or by one fit per fold with the
knobs that the evaluation chose. The other checks fit nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences, optimism, table_audit_rules, tuning
from imblab.analysis.audit_rules import DUPLICATES
from imblab.analysis.fit_audit_rules import BalanceNumbers, balance_finding
from imblab.analysis.optimism import peeking_finding, peeking_gaps, peeking_not_made
from imblab.analysis.table_audit_rules import MIN_COPY_SHARE, NEAR_DUPLICATES, CopySummary, copies_of_study_finding
from imblab.commands import results
from imblab.commands.audited_study import AuditedStudy, FitPrice
from imblab.core import design, leaky_twin, measures, replay, search
from imblab.core.evaluate import Predict, Task, threshold_measure
from imblab.core.fitting import FitRequest, Prediction, fit_predict, fit_request
from imblab.core.forecast import GetPrediction
from imblab.core.group_folds import split_groups
from imblab.core.preparation import PreparedRows, feature_arrays
from imblab.core.sampling import sampler_for_columns
from imblab.core.table_clues import NearRows, find_near_rows, part_shift, telling_columns
from imblab.edges.runner.bundle_evaluator import largest_k, single_threaded
from imblab.errors import FitFailed
from imblab.findings import Finding
from imblab.result import Evaluation
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import Cell, Dataset, Split
from imblab.text import to_shell

FULL_RATIO = 1.0
#: Which test rows have a copy, by the name of the finding.
COPY_KINDS: dict[str, Callable[[NearRows, Split], np.ndarray]] = {
    DUPLICATES: NearRows.copied,
    NEAR_DUPLICATES: NearRows.nearly_copied,
}


def check_optimism(study: AuditedStudy) -> list[Finding]:
    """Compare the inner scores of searches with those of the outer folds."""
    by_place, best_of_all = optimism.search_gaps(study.result)
    return [optimism.optimism_finding(by_place, best_of_all, study.study.primary_measure)]


def check_threshold_peeking(study: AuditedStudy) -> list[Finding]:
    """Say what thresholds chosen on the test rows of each fold would claim."""
    thresholds = study.study.protocol.thresholds
    grids = {
        s.name: optimism.threshold_grid_of(search.threshold_grid(s) or thresholds)
        for s in study.study.strategies
        if s.threshold == "tuned" or search.threshold_grid(s) is not None
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
    plans = {name: [(split.train, split.test) for split in plan] for name, plan in study.layout.plans.items()}
    groups = {name: data.groups for name, data in study.datasets.items()}
    n_split = {name: len(split_groups(each, plans[name])) for name, each in groups.items() if each is not None}
    ungrouped = [name for name, each in groups.items() if each is None]
    return [table_audit_rules.groups_of_study_finding(n_split, ungrouped)]


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


def check_balance(study: AuditedStudy) -> Iterable[Finding]:
    """Collect what shows over-balancing in a study, and judge it."""
    strategies, frame = study.study.strategies, results.read_evidence(study.home)
    treated = {s.name for s in strategies if s.sampler is not None or s.knobs.get("weight") is not None}
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


def _means(frame: pd.DataFrame, strategies: set[str], kind: str, name: str = "") -> dict[str, float]:
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
        prepared, train = None, split.train
        for sampler in leaky_twin.over_samplers(study.study.strategies):
            make, params = sampler_for_columns(sampler.make, data), {**sampler.params, "ratio": FULL_RATIO}
            if make is None:
                continue
            if design.candidate_inapplicable_reason(params, make, design.fitted_parts(data, split, ())):
                continue
            prepared = prepared or PreparedRows(data, train)
            learner, seed = study.study.learners[0].make, study.study.seed
            share = _nearer_share(fit_request(data, learner, make, params, seed, train, train[:0]), prepared)
            if share is not None:
                yield f"{name}/{make['_target_'].rpartition('.')[2]}", share


def _nearer_share(request: FitRequest, prepared: PreparedRows) -> float | None:
    """Return the share over all synthetic rows; None without any, and where the sampler fails."""
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


@dataclass(frozen=True, slots=True, eq=False)
class _TestedCopies:
    """Test rows of the first repeat that have a copy in the training part, by the name of the finding and fold."""

    near: NearRows
    splits: tuple[Split, ...]
    flags: Mapping[str, tuple[np.ndarray, ...]]

    def moves_score(self, check: str, y: np.ndarray) -> bool:
        """Whether enough rows of some class have a copy to move a score."""
        tested = np.concatenate([y[split.test] for split in self.splits])
        copied = tested[np.concatenate(self.flags[check])]
        counts = np.bincount(tested), np.bincount(copied, minlength=int(tested.max()) + 1)
        return bool((counts[1] > 0).any() and (counts[1] >= MIN_COPY_SHARE * counts[0])[counts[1] > 0].any())


def check_copies(study: AuditedStudy) -> Iterator[Finding]:
    """Judge exact copies, then rows that are nearly copies."""
    margin = optimism.margin_of(study.study.primary_measure)
    scores = {name: _score_functions(study, name) for name in study.datasets if _scored_cells(study, name)}
    for check in COPY_KINDS:
        tables = [_summarise(study, name, check, scores.get(name, {})) for name in study.datasets]
        yield copies_of_study_finding(check, tables, margin)


def price_of_copies(study: AuditedStudy) -> FitPrice:
    """Return the price of one fit per fold and learner on every data set where copies may move a score."""
    keys = [cell.key for name in study.datasets for cell in _scored_cells(study, name)]
    recorded = [study.evaluations[key] for key in keys]
    return FitPrice(len(keys), sum(each.seconds / max(1, each.fits) for each in recorded))


def _tested_copies(study: AuditedStudy, name: str) -> _TestedCopies:
    key = (DUPLICATES, name)
    if key not in study.memo:
        near = find_near_rows(study.datasets[name])
        splits = study.first_repeat(name)
        flags = {check: tuple(kind(near, split) for split in splits) for check, kind in COPY_KINDS.items()}
        study.memo[key] = _TestedCopies(near, splits, flags)
    copies: _TestedCopies = study.memo[key]
    return copies


def _scored_cells(study: AuditedStudy, name: str) -> list[Cell]:
    """List the cells whose scores are compared: recommended strategies in the first repeat, where copies matter."""
    copies = _tested_copies(study, name)
    if not any(copies.moves_score(check, study.datasets[name].y) for check in COPY_KINDS):
        return []
    families = study.result.recommendation.families
    recommended = {(family[1], each.strategy) for family, each in families.items() if family[0] == name}
    return [
        cell
        for cell in study.layout.cells
        if cell.dataset == name and cell.split.repeat == 0 and (cell.learner.name, cell.strategy.name) in recommended
        if (row := study.evaluations.get(cell.key)) is not None and row.status == "ok"
    ]


ScoreRows = Callable[[np.ndarray], float]


def _score_functions(study: AuditedStudy, name: str) -> dict[Cell, ScoreRows]:
    """Predict the test rows of the compared cells once, and return a function for each cell that scores some."""
    data, functions = study.datasets[name], {}
    with study.engine.opened_store() as stored:
        predict = _predict_or_fit(stored.get if stored else lambda _: None, data, largest_k(study.study))
        for task in replay.replay_tasks(
            study.study, data, study.layout.plans[name], _scored_cells(study, name), predict
        ):
            function = _score_function(study, task)
            if function is not None:
                functions[task.cell] = function
            study.meter.count(DUPLICATES)
    return functions


def _score_function(study: AuditedStudy, task: Task) -> ScoreRows | None:
    evaluation = study.evaluations[task.cell.key]
    try:
        with single_threaded(task.cell.learner):
            prediction = replay.outer_prediction(task, evaluation)
    except FitFailed:
        return None
    return lambda kept: replay.score_test_rows(task, evaluation, prediction, kept)


def _predict_or_fit(get: GetPrediction, data: Dataset, neighbors: int) -> Predict:
    """Return a function that looks predictions up, and fits what is not stored."""
    look_up, arrays = replay.lookup_only(get), feature_arrays(data)

    def predict(request: FitRequest) -> Prediction:
        try:
            return look_up(request)
        except replay.MissingPrediction:
            return fit_predict(request, PreparedRows(arrays, request.fit, neighbors))

    return predict


def _summarise(study: AuditedStudy, name: str, check: str, scores: Mapping[Cell, ScoreRows]) -> CopySummary:
    """Count the copies of a data set, and compare its scores with those without them."""
    data, copies = study.datasets[name], _tested_copies(study, name)
    flags = copies.flags[check]
    is_searched = copies.near.searched[copies.near.point] | (check == DUPLICATES)
    facts: dict[str, Any] = {
        "dataset": name,
        "tested": sum(int(is_searched[split.test].sum()) for split in copies.splits),
        "copies": sum(int(flag.sum()) for flag in flags),
        "rows": len(data.y),
        "contradicting": int(copies.near.contradicting(data.y).sum()) if check == DUPLICATES else 0,
    }
    if not copies.moves_score(check, data.y):
        return CopySummary(**facts, reason="In no class are there enough of them to move a score.")
    if not scores:
        reason = "The score without them is not known: no learner has a recommended strategy that can be fitted."
        return CopySummary(**facts, reason=reason)
    pairs = _fold_scores(copies, flags, scores)
    return CopySummary(**facts, **_compare_scores(copies.splits, pairs, study.study.primary_measure.sign))


def _fold_scores(copies: _TestedCopies, flags: Sequence[np.ndarray], scores: Mapping[Cell, ScoreRows]) -> np.ndarray:
    """Return the mean scores over learners of all test rows and of those without a copy, of shape (n_folds, 2)."""
    means = np.full((len(copies.splits), 2), np.nan)
    for i, (split, flag) in enumerate(zip(copies.splits, flags, strict=True)):
        functions = [score for cell, score in scores.items() if cell.split.fold == split.fold]
        values = [(score(np.ones(len(flag), dtype=bool)), score(~flag)) for score in functions]
        if values:
            means[i] = np.mean(values, axis=0)
    return means


def _compare_scores(splits: Sequence[Split], pairs: np.ndarray, sign: int) -> dict[str, Any]:
    """Compare the scores of all test rows with those of the rows without a copy; the fields of a summary."""
    known = np.isfinite(pairs).all(axis=1)
    if 2 * known.sum() < len(known):
        is_copied = bool(2 * np.isfinite(pairs[:, 0]).sum() >= len(known))
        subject = "every test row of a class has a copy" if is_copied else "the measure is undefined"
        reason = f"The score without them is not known: in most folds {subject}."
        return {"class_is_copied": is_copied, "reason": reason}
    n_train, n_test = (np.array([len(getattr(s, part)) for s in splits])[known] for part in ("train", "test"))
    lift: Estimate = corrected_t(sign * (pairs[known, 0] - pairs[known, 1]), n_train, n_test)
    score, without = pairs[known].mean(axis=0).tolist()
    return {"score": score, "score_without": without, "lift": lift.mean, "se": lift.se}
