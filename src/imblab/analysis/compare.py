"""Comparing strategies: a verdict on every contrast of a family.

A family is the contrasts of one data set and learner on the primary measure. Arms are compared on the same folds or
not at all: a fold that is missing in either arm is never filled in, it makes the contrast inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from imblab.analysis import paired, table
from imblab.analysis.claims import Pair, labels, pairs, primary, register
from imblab.analysis.claims import family as claimed_pairs
from imblab.analysis.paired import Descriptive
from imblab.analysis.summary import summarise
from imblab.stats.paired_tests import Estimate, detectable, holm, posterior
from imblab.study import Study

__all__ = ["contrasts", "pairs", "primary", "register", "summarise", "verdict"]

#: The columns of numbers, in their order.
NUMBERS = (
    *("mean", "low", "high", "equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "rope"),
    *("below", "within", "above"),
)
#: What a test or a posterior says: nothing of it is given before the design is complete.
TESTED = ("equivalence_low", "equivalence_high", "p", "p_holm", "detectable", "below", "within", "above")
#: What stands in place of a verdict until every evaluation of the design is there.
INCOMPLETE = "incomplete"


def contrasts(
    frame: pd.DataFrame,
    study: Study,
    descriptive: Descriptive = False,
    exploratory: str | None = None,
    incomplete: str | None = None,
) -> pd.DataFrame:
    """Every declared contrast of every family, with its test and its verdict.

    Parameters
    ----------
    frame : DataFrame
        As :func:`imblab.analysis.table.tidy` gives it.
    study : Study
        ``claims.contrasts`` are the pairs; None stands for ``smote_threshold - threshold`` and every other strategy
        against ``none``, as far as they exist.
    descriptive : bool or collection of str, default=False
        Whether folds follow the time (or the names of the data sets where they do): no test there.
    exploratory : str, optional
        Why nothing here may have a verdict: what was changed after the rows were seen.
    incomplete : str, optional
        Why nothing here has a verdict yet: how much of the design is evaluated. Means and intervals are given, tests
        are not.

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

    Raises
    ------
    StudyError
        If the rows cannot be compared, or the primary measure is not in the study.
    """
    table.check_paired(frame)
    late = labels(study, exploratory)
    rows = [row for family in paired.families(frame, study) for row in _judged_family(family, study, descriptive, late)]
    if incomplete:
        rows = [{**row, **dict.fromkeys(TESTED, math.nan), "verdict": INCOMPLETE, "reason": incomplete} for row in rows]
    columns = ["dataset", "learner", "a", "b", "measure", "folds", *NUMBERS, "verdict", "reason"]
    # As objects first: pandas would turn the None of a reason into NaN.
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({**dict.fromkeys(NUMBERS, "float64"), "folds": "int64"})


def verdict(
    estimate: Estimate, narrow: Estimate, p_holm: float, rope: float, alpha: float, greater_is_better: bool
) -> tuple[str, str | None]:
    """What the evidence allows one to say of a contrast a - b; the first rule that holds.

    Parameters
    ----------
    estimate, narrow : Estimate
        At 1 - alpha and at 1 - 2 alpha.
    p_holm : float
    rope : float
        Half-width of the region of practical equivalence; NaN for none, and then nothing is equivalent.
    alpha : float
    greater_is_better : bool

    Returns
    -------
    tuple of (str, str or None)
        ``identical``, ``equivalent``, ``better``, ``worse`` or ``inconclusive``, and the reason of the last.

    Examples
    --------
    >>> from imblab.stats.paired_tests import corrected_t
    >>> wide = corrected_t([0.1, 0.2, 0.15, 0.12, 0.18], 80, 20)
    >>> verdict(wide, wide, 0.01, 0.01, 0.05, greater_is_better=True)
    ('better', None)
    """
    if estimate.reason:
        return "inconclusive", estimate.reason
    if estimate.identical:
        return "identical", None
    if -rope <= narrow.low and narrow.high <= rope:
        return "equivalent", None
    if p_holm <= alpha:
        return ("better" if (estimate.mean > 0) == greater_is_better else "worse"), None
    return "inconclusive", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}"


def _judged_family(
    family: pd.DataFrame, study: Study, descriptive: Descriptive, late: Mapping[Pair, str | None]
) -> Iterator[dict[str, Any]]:
    claims, by_time = study.claims, paired.follows_time(descriptive, family)
    better, claimed = primary(study).greater_is_better, claimed_pairs(study)
    asked = pairs(study)
    wide = {p: paired.estimate(family, *p, study, claims.alpha, by_time) for p in dict.fromkeys((*asked, *claimed))}
    adjusted = dict(zip(claimed, holm([wide[pair].p for pair in claimed]), strict=True))
    shared = {"dataset": family.dataset.iloc[0], "learner": family.learner.iloc[0], "measure": study.primary}
    shared |= {"folds": len(paired.folds_of(family, study)), "rope": claims.rope.get(study.primary, math.nan)}
    for pair in asked:
        e, narrow = wide[pair], wide[pair].at(2 * claims.alpha)
        p_holm = math.nan if late[pair] else float(adjusted[pair])
        said, reason = verdict(e, narrow, p_holm, shared["rope"], claims.alpha, better)
        if by_time and not math.isnan(e.mean):
            said, reason = "descriptive", None
        elif late[pair]:
            said, reason = "exploratory", "; ".join(why for why in (late[pair], e.reason) if why)
        shown = posterior(e, shared["rope"])
        yield {
            **{**shared, "a": pair[0], "b": pair[1], "mean": e.mean, "low": e.low, "high": e.high, "p": e.p},
            **{"equivalence_low": narrow.low, "equivalence_high": narrow.high, "p_holm": p_holm},
            "detectable": detectable(e, claims.alpha / (1 if late[pair] else len(claimed))),
            **{"below": shown.below, "within": shown.within, "above": shown.above, "verdict": said, "reason": reason},
        }
