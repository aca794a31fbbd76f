"""Contrasts: every declared difference between two strategies, with its test and its verdict.

A family is the contrasts of one data set and learner on the primary measure. Strategies are compared on the same folds
only: a fold that is missing in either one makes the contrast inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from imblab.analysis.claims import Pair, claimed_contrasts, declared_contrasts, exploratory_reasons
from imblab.analysis.paired import Estimates, estimate_all
from imblab.result import Family, FamilyScores
from imblab.stats.paired_tests import Estimate, detectable, holm, is_equivalent, posterior
from imblab.study import Study

#: The columns of numbers, in their order.
NUMBERS = (
    *("mean", "low", "high", "equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "rope"),
    *("below", "within", "above"),
)
#: The columns that hold the result of a test or a posterior: empty before the design is complete.
TESTED = ("equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "below", "within", "above")
#: The verdict before every evaluation of the design is there.
INCOMPLETE = "incomplete"


def contrasts(
    scores: Mapping[Family, FamilyScores],
    study: Study,
    estimates: Estimates | None = None,
    incomplete: str | None = None,
) -> pd.DataFrame:
    """Test every declared contrast of every family.

    Parameters
    ----------
    scores : mapping of (str, str) to FamilyScores
        By data set and learner; see :func:`imblab.analysis.results.score_arrays`.
    study : Study
        ``claims.contrasts`` are the pairs; None stands for ``smote_threshold - threshold`` and every other strategy
        against ``none``, as far as they exist.
    estimates : mapping, optional
        The estimates of :func:`imblab.analysis.paired.estimate_all`, where they are known already.
    incomplete : str, optional
        Why nothing has a verdict yet: how much of the design is evaluated. Means and intervals are given, tests are
        not.

    Returns
    -------
    DataFrame
        ``dataset learner a b measure folds``; ``mean`` of a - b; ``low`` and ``high`` at 1 - alpha;
        ``equivalence_low`` and ``equivalence_high`` at 1 - 2 alpha; ``p``, ``p_holm`` over the family, NaN for what is
        exploratory; ``detectable``, the smallest difference the design would have found (80 % power, alpha divided by
        the size of the family); ``rope`` (NaN for a measure without one); ``below within above``, the posterior
        probabilities of :func:`.posterior`, which decide nothing; ``verdict``, *better* meaning
        that a is better than b, whichever way the measure points; ``reason`` where the verdict is inconclusive,
        exploratory or ``incomplete``, else None.
    """
    estimates = estimate_all(scores, study) if estimates is None else estimates
    exploratory = exploratory_reasons(study)
    rows = [row for key in scores for row in _tested_family(scores[key], estimates[key], study, exploratory)]
    if incomplete:
        rows = [{**row, **dict.fromkeys(TESTED, math.nan), "verdict": INCOMPLETE, "reason": incomplete} for row in rows]
    columns = ["dataset", "learner", "a", "b", "measure", "folds", *NUMBERS, "verdict", "reason"]
    # As objects first: pandas would turn the None of a reason into NaN.
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    return table.astype({**dict.fromkeys(NUMBERS, "float64"), "folds": "int64"})


def decide(
    estimate: Estimate, p_holm: float, rope: float, alpha: float, greater_is_better: bool
) -> tuple[str, str | None]:
    """Return the verdict on a contrast a - b, the first rule that holds, and the reason if it is ``inconclusive``.

    ``rope`` is the half-width of the region of practical equivalence; NaN for none, and then nothing is equivalent.

    Examples
    --------
    >>> from imblab.stats.paired_tests import corrected_t
    >>> decide(corrected_t([0.1, 0.2, 0.15, 0.12, 0.18], 80, 20), 0.01, 0.01, 0.05, greater_is_better=True)
    ('better', None)
    """
    if estimate.reason:
        return "inconclusive", estimate.reason
    if estimate.identical:
        return "identical", None
    if is_equivalent(estimate, rope, alpha):
        return "equivalent", None
    if p_holm <= alpha:
        return ("better" if (estimate.mean > 0) == greater_is_better else "worse"), None
    return "inconclusive", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}"


def _tested_family(
    scores: FamilyScores, estimates: Mapping[Pair, Estimate], study: Study, exploratory: Mapping[Pair, str | None]
) -> Iterator[dict[str, Any]]:
    claims, claimed = study.claims, claimed_contrasts(study)
    by_time, greater_is_better = scores.dataset in study.time_ordered, study.primary_measure.greater_is_better
    adjusted = dict(zip(claimed, holm([estimates[pair].p for pair in claimed]), strict=True))
    rope = claims.rope.get(study.primary, math.nan)
    for pair in declared_contrasts(study):
        e, narrow = estimates[pair], estimates[pair].at(2 * claims.alpha)
        p_holm = math.nan if exploratory[pair] else float(adjusted[pair])
        decision, reason = decide(e, p_holm, rope, claims.alpha, greater_is_better)
        if by_time and not math.isnan(e.mean):
            decision, reason = "descriptive", None
        elif exploratory[pair]:
            decision, reason = "exploratory", "; ".join(filter(None, (exploratory[pair], e.reason)))
        bayes = posterior(e, rope)
        yield {
            "dataset": scores.dataset,
            "learner": scores.learner,
            "a": pair[0],
            "b": pair[1],
            "measure": study.primary,
            "folds": len(scores.folds),
            "mean": e.mean,
            "low": e.low,
            "high": e.high,
            "equivalence_low": narrow.low,
            "equivalence_high": narrow.high,
            "p": e.p,
            "p_holm": p_holm,
            "detectable": detectable(e, claims.alpha / (1 if exploratory[pair] else len(claimed))),
            "rope": rope,
            "below": bayes.below,
            "within": bayes.within,
            "above": bayes.above,
            "verdict": decision,
            "reason": reason,
        }
