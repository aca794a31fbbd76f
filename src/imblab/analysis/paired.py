"""Paired per-fold differences between two strategies; a fold missing in either one is never imputed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import chain

import numpy as np

from imblab.analysis.claims import Pair, family, pairs
from imblab.analysis.methods import named
from imblab.result import Family, FamilyScores
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import Study

#: The baselines that every strategy is compared with.
BASELINES = ("none", "threshold")
#: Estimates of the contrasts of every family.
Estimates = Mapping[Family, Mapping[Pair, Estimate]]


def estimate_all(scores: Mapping[Family, FamilyScores], study: Study) -> dict[Family, dict[Pair, Estimate]]:
    """Estimate every contrast of every family once: those asked, those claimed, and the gains over the baselines."""
    declared = dict.fromkeys((*pairs(study), *family(study)))
    return {
        key: {
            pair: estimate(each, *pair, study)
            for pair in dict.fromkeys(chain(declared, ((s, b) for s in each.strategies for b in BASELINES if s != b)))
        }
        for key, each in scores.items()
    }


def estimate(scores: FamilyScores, a: str, b: str, study: Study) -> Estimate:
    """Estimate a - b on the primary measure with its corrected interval at 1 - ``claims.alpha``.

    Without a mean, and with the reason, where a fold is missing in either strategy; without an interval where folds
    follow the time.
    """
    differences, reason = paired_differences(scores, a, b, study.primary)
    if reason:
        return Estimate.untested(math.nan, reason)
    if scores.dataset in study.time_ordered:
        return Estimate.untested(float(differences.mean()), "folds follow the time, so there is no test")
    row = scores.strategies.index(a)
    return corrected_t(differences, scores.n_train[row], scores.n_test[row], study.claims.alpha)


def paired_differences(scores: FamilyScores, a: str, b: str, measure: str) -> tuple[np.ndarray, str | None]:
    """Per-fold differences a - b of a measure, and what is missing in words; None where nothing is."""
    reasons = dict.fromkeys(missing_reason(scores, name, measure) for name in (a, b))
    differences = strategy_scores(scores, a, measure) - strategy_scores(scores, b, measure)
    return differences, "; ".join(filter(None, reasons)) or None


def strategy_scores(scores: FamilyScores, strategy: str, measure: str) -> np.ndarray:
    """Scores of one strategy over the folds; all NaN where it has no evaluation."""
    if strategy not in scores.strategies or measure not in scores.values:
        return np.full(len(scores.folds), math.nan)
    row: np.ndarray = scores.values[measure][scores.strategies.index(strategy)]
    return row


def missing_reason(scores: FamilyScores, strategy: str, measure: str) -> str | None:
    """Say how many folds of a strategy have no score and why; None if every fold has one."""
    missing = np.flatnonzero(np.isnan(strategy_scores(scores, strategy, measure)))
    if not missing.size:
        return None
    is_known = strategy in scores.strategies
    row = scores.evaluations[scores.strategies.index(strategy)] if is_known else (None,) * len(scores.folds)
    statuses = [evaluation.status if (evaluation := row[fold]) is not None else "no row" for fold in missing]
    counts = Counter("undefined" if status == "ok" else status for status in statuses)
    what = ", ".join(f"{n} {status}" for status, n in counts.items())
    return f"{strategy!r} has no {named(measure)} in {missing.size} of {len(row)} folds: {what}"
