"""The check of the audit of a study for copies of rows: test rows that the training part holds, exactly or nearly.

What the copies do to the scores is found for the recommended strategy of every learner in the first repeat, from stored
predictions, or by one fit per fold with the knobs that the evaluation chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imblab.analysis.audit_rules import DUPLICATES
from imblab.analysis.optimism import margin_of
from imblab.analysis.table_audit_rules import MIN_COPY_SHARE, NEAR_DUPLICATES, CopySummary, copies_of_study_finding
from imblab.commands.audited_study import AuditedStudy, FitPrice
from imblab.core import replay
from imblab.core.evaluate import Predict, Task
from imblab.core.fitting import FitRequest, Prediction, fit_predict
from imblab.core.preparation import PreparedRows, feature_arrays
from imblab.core.table_clues import NearRows, find_near_rows
from imblab.edges.runner.bundle_evaluator import largest_k, single_threaded
from imblab.errors import FitFailed
from imblab.findings import Finding
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import Cell, Dataset, Split

#: Which test rows have a copy, by the name of the finding.
COPY_KINDS: dict[str, Callable[[NearRows, Split], np.ndarray]] = {
    DUPLICATES: NearRows.copied,
    NEAR_DUPLICATES: NearRows.nearly_copied,
}


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
    margin = margin_of(study.study.primary_measure)
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


#: Scores the test rows of a cell that a mask keeps.
ScoreRows = Callable[[np.ndarray], float]


def _score_functions(study: AuditedStudy, name: str) -> dict[Cell, ScoreRows]:
    """Predict the test rows of the compared cells once, and return a function for each cell that scores some."""
    data, functions = study.datasets[name], {}
    with study.stored_predictions() as get:
        predict = _predict_or_fit(get, data, largest_k(study.study))
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


def _predict_or_fit(get: Callable[[str], Prediction | None], data: Dataset, neighbors: int) -> Predict:
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
