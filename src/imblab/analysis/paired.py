"""Paired per-fold differences between two strategies; a fold missing in either one is never imputed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from imblab.analysis.claims import Pair, claimed_contrasts, declared_contrasts
from imblab.analysis.evidence import RowCovariances
from imblab.analysis.methods import named
from imblab.analysis.outer_splits import predefined_folds, untested_reason
from imblab.result import Family, FamilyScores
from imblab.stats.paired_tests import Estimate, estimate_contrasts
from imblab.stats.standard_errors import (
    CORRECTED_T,
    TABLE_VERSION,
    RowLevelRule,
    is_simulated,
    row_level_errors,
    row_level_rule,
)
from imblab.study import Study

#: The baselines that every strategy is compared with.
BASELINES = ("none", "threshold")
#: Estimates of the contrasts of every family.
Estimates = Mapping[Family, Mapping[Pair, Estimate]]


def estimate_all(
    scores: Mapping[Family, FamilyScores], study: Study, covariances: Mapping[Family, RowCovariances] | None = None
) -> dict[Family, dict[Pair, Estimate]]:
    """Estimate every contrast of every family once: those asked, those claimed, and the gains over the baselines."""
    declared = dict.fromkeys((*declared_contrasts(study), *claimed_contrasts(study)))
    estimates = {}
    for key, each in scores.items():
        gains = ((s, b) for s in each.strategies for b in BASELINES if s != b)
        contrasts = tuple(dict.fromkeys(chain(declared, gains)))
        estimates[key] = estimate_family(each, contrasts, study, (covariances or {}).get(key))
    return estimates


def estimate_family(
    scores: FamilyScores, contrasts: Sequence[Pair], study: Study, covariances: RowCovariances | None = None
) -> dict[Pair, Estimate]:
    """Estimate contrasts a - b on the primary measure with their intervals at 1 - ``claims.alpha``.

    Without a mean, and with the reason, where a fold is missing in either strategy; without an interval where folds
    follow the time or there is one test part. The standard error is that of :mod:`imblab.stats.standard_errors` for the
    kind of the learner. The corrected t decides all contrasts of the data set and learner if the covariance over test
    rows, of means over these folds, is missing for a claimed one; it decides a contrast that was not claimed if its own
    is missing.
    """
    names = dict.fromkeys(chain.from_iterable(contrasts))
    values = {name: strategy_scores(scores, name, study.primary) for name in names}
    missing = {name: missing_reason(scores, name, study.primary) for name in names}
    estimates = {}
    for a, b in contrasts:
        if missing[a] or missing[b]:
            reason = "; ".join(dict.fromkeys(filter(None, (missing[a], missing[b]))))
            estimates[a, b] = Estimate.untested(math.nan, reason)
        elif why := untested_reason(study, scores.dataset):
            mean = float((values[a] - values[b]).mean())
            estimates[a, b] = Estimate.untested(mean, f"{why.removeprefix('the ')}, which excludes a test")
    tested = [pair for pair in contrasts if pair not in estimates]
    known = (covariances or {}).get(len(scores.folds), {})
    rule = _family_rule(scores, study, known)
    by_rows = [pair for pair in tested if rule and _has_covariances(pair, known)]
    for pairs in (by_rows, [pair for pair in tested if pair not in by_rows]):
        if pairs:
            differences = np.stack([values[a] - values[b] for a, b in pairs])
            rows = [scores.strategies.index(a) for a, _ in pairs]
            n_train, n_test = scores.n_train[rows], scores.n_test[rows]
            by_rule = rule if pairs is by_rows else None
            row_level = _row_level_errors(scores, pairs, differences, known, by_rule) if by_rule else None
            array = estimate_contrasts(differences, n_train, n_test, study.claims.alpha, row_level)
            estimates |= {pair: array[i] for i, pair in enumerate(pairs)}
    return {pair: estimates[pair] for pair in contrasts}


def row_errors(
    scores: Mapping[Family, FamilyScores], contrasts: pd.DataFrame, covariances: Mapping[Family, RowCovariances]
) -> dict[Family, dict[Pair, float]]:
    """Return the standard errors over test rows of contrasts of more than two classes, as far as they are known.

    The square root of the jackknife variance of the mean difference (:func:`.standard_errors.row_covariance`), without
    the weights of a simulation, which there is for two classes only.
    """
    errors: dict[Family, dict[Pair, float]] = {}
    for dataset, learner, a, b in zip(contrasts.dataset, contrasts.learner, contrasts.a, contrasts.b, strict=True):
        family = scores[dataset, learner]
        known = covariances.get((dataset, learner), {}).get(len(family.folds), {})
        if family.n_classes > 2 and _has_covariances((a, b), known):
            variance = _row_variances([(a, b)], known)[0]
            errors.setdefault((dataset, learner), {})[a, b] = math.sqrt(max(variance, 0.0))
    return errors


def corrected_t_reason(scores: FamilyScores, estimate: Estimate, study: Study) -> str | None:
    """Say why the corrected t decides although there is a row-level rule for the learner; None where that is not so.

    Data sets with groups, predefined folds and folds that follow the time have no covariances over test rows.
    """
    spec = study.datasets.get(scores.dataset, {})
    if estimate.estimator != CORRECTED_T or math.isnan(estimate.se) or spec.get("groups") or spec.get("time"):
        return None
    if _design_rule(scores, study) is None:
        return None
    return "the record lacks covariances of these folds over test rows"


def reads_covariances(study: Study) -> bool:
    """Whether a contrast of the study may rest on covariances over test rows."""
    return any(_row_level_rule(study, learner.name, study.protocol.repeats) for learner in study.learners)


def _row_level_rule(study: Study, learner: str, n_repeats: int) -> RowLevelRule | None:
    """The row-level rule of a learner: of its kind as recorded before the first evaluation, if there is a record."""
    record = study.claims.registered
    kinds = {each.name: each.kind for each in study.learners} if record is None else record.kinds
    version = TABLE_VERSION if record is None else record.table
    return row_level_rule(version, kinds.get(learner, ""), study.primary_measure.function, n_repeats)


def _design_rule(scores: FamilyScores, study: Study) -> RowLevelRule | None:
    """The row-level rule of a data set and learner, if its design is like those that were simulated."""
    n_repeats = len({repeat for repeat, _ in scores.folds})
    rule = _row_level_rule(study, scores.learner, n_repeats)
    if scores.n_classes > 2 or scores.dataset in predefined_folds(study):
        return None
    complete = rule and next((n for n in scores.strategies if missing_reason(scores, n, study.primary) is None), None)
    if not complete:
        return None
    n_rarer = _count_rarer_rows(scores, complete)
    return rule if is_simulated(len(scores.folds) // n_repeats, n_repeats, n_rarer) else None


def _family_rule(scores: FamilyScores, study: Study, covariances: Mapping[Pair, float]) -> RowLevelRule | None:
    """The row-level rule of a data set and learner; None if a claimed contrast that can be tested lacks covariances."""
    rule = _design_rule(scores, study)
    if rule is None:
        return None
    complete = {name for name in scores.strategies if missing_reason(scores, name, study.primary) is None}
    claimed = [pair for pair in claimed_contrasts(study) if set(pair) <= complete]
    return rule if all(_has_covariances(pair, covariances) for pair in claimed) else None


def _has_covariances(pair: Pair, covariances: Mapping[Pair, float]) -> bool:
    a, b = pair
    return {(a, a), (b, b), (a, b)} <= covariances.keys()


def _row_level_errors(
    scores: FamilyScores,
    contrasts: Sequence[Pair],
    differences: np.ndarray,
    covariances: Mapping[Pair, float],
    rule: RowLevelRule,
) -> tuple[np.ndarray, int]:
    """Row-level standard errors and their degrees of freedom."""
    variances = _row_variances(contrasts, covariances)
    n_repeats = len({repeat for repeat, _ in scores.folds})
    grid = differences.reshape(len(contrasts), n_repeats, -1)  # folds ascend by repeat
    return row_level_errors(grid, variances, rule), _count_rarer_rows(scores, contrasts[0][0]) - 1


def _row_variances(contrasts: Sequence[Pair], covariances: Mapping[Pair, float]) -> np.ndarray:
    """Variances of mean differences over test rows."""
    return np.array([covariances[a, a] + covariances[b, b] - 2 * covariances[a, b] for a, b in contrasts])


def _count_rarer_rows(scores: FamilyScores, strategy: str) -> int:
    """Rows of the rarer class in the table, by the counts of one repeat of a strategy that is complete."""
    first = [e.matrix for e in scores.evaluations_of(strategy) if e.repeat == scores.folds[0][0]]
    return int(np.sum(first, axis=(0, 2)).min())


def strategy_scores(scores: FamilyScores, strategy: str, measure: str) -> np.ndarray:
    """Scores of one strategy over the folds; all NaN where it has no evaluation."""
    if strategy not in scores.strategies or measure not in scores.values:
        return np.full(len(scores.folds), math.nan)
    row: np.ndarray = scores.values[measure][scores.strategies.index(strategy)]
    return row


def not_applicable_reason(scores: FamilyScores, strategy: str) -> str | None:
    """Say why a strategy cannot be applied to a data set and learner; None if any of its folds was tried.

    Only what the folds show before the first fit counts: a rule that no threshold meets is a result.
    """
    if strategy not in scores.strategies:
        return None
    row = scores.evaluations[scores.strategies.index(strategy)]
    if not all(e is not None and e.status == "inapplicable" and not e.fits for e in row):
        return None
    return f"{strategy!r} is not applicable: {next(e.error for e in row if e is not None)}"


def missing_reason(scores: FamilyScores, strategy: str, measure: str) -> str | None:
    """Say how many folds of a strategy have no score and why; None if every fold has one."""
    missing = np.flatnonzero(np.isnan(strategy_scores(scores, strategy, measure)))
    if not missing.size:
        return None
    is_known = strategy in scores.strategies
    row = scores.evaluations[scores.strategies.index(strategy)] if is_known else (None,) * len(scores.folds)
    statuses = [evaluation.status if (evaluation := row[fold]) is not None else "missing" for fold in missing]
    counts = Counter("undefined" if status == "ok" else status for status in statuses)
    what = ", ".join(f"{n} {status}" for status, n in counts.items())
    return f"{strategy!r} has no {named(measure)} in {missing.size} of {len(row)} folds: {what}"
