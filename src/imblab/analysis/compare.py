"""Comparing strategies: a verdict on every contrast of a family.

A family is the contrasts of one data set and learner on the primary measure. Arms are compared on the same folds or
not at all: a fold that is missing in either arm is never filled in, it makes the contrast undetermined.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from imblab.analysis import arms, table
from imblab.analysis.arms import Descriptive
from imblab.analysis.intervals import Estimate, holm
from imblab.analysis.summary import summarise
from imblab.analysis.wording import sentences
from imblab.errors import StudyError, unknown
from imblab.records import Measure, Study

__all__ = ["contrasts", "pairs", "sentences", "summarise", "verdict"]

#: What the default contrasts ask of resampling: SMOTE against its equal without it.
EQUAL_POLICY = ("smote_threshold", "threshold")


def contrasts(frame: pd.DataFrame, study: Study, descriptive: Descriptive = False) -> pd.DataFrame:
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

    Returns
    -------
    DataFrame
        ``dataset learner a b measure folds``; ``mean`` of a - b; ``low`` and ``high`` at 1 - alpha;
        ``equivalence_low`` and ``equivalence_high`` at 1 - 2 alpha; ``p``, ``p_holm`` over the family; ``rope`` (NaN
        for a measure without one); ``verdict``, *better* meaning that a is better than b, whichever way the measure
        points; ``reason`` where the verdict is undetermined, else None.

    Raises
    ------
    StudyError
        If the rows cannot be compared, or the primary measure is not in the study.
    """
    table.check_paired(frame)
    rows = [row for family in arms.families(frame, study) for row in _judged_family(family, study, descriptive)]
    numbers = ["mean", "low", "high", "equivalence_low", "equivalence_high", "p", "p_holm", "rope"]
    columns = ["dataset", "learner", "a", "b", "measure", "folds", *numbers, "verdict", "reason"]
    # As objects first: pandas would turn the None of a reason into NaN.
    frame = pd.DataFrame(rows, columns=columns, dtype=object)
    return frame.astype({**dict.fromkeys(numbers, "float64"), "folds": "int64"})


def pairs(study: Study) -> tuple[tuple[str, str], ...]:
    """The contrasts of a study: those it declares, or the default ones.

    Parameters
    ----------
    study : Study

    Returns
    -------
    tuple of (str, str)
    """
    if study.claims.contrasts is not None:
        return tuple((a, b) for a, b in study.claims.contrasts)
    names = [s.name for s in study.strategies]
    first = [EQUAL_POLICY] if set(EQUAL_POLICY) <= set(names) else []
    against = [(name, "none") for name in names if name != "none"] if "none" in names else []
    return (*first, *against)


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
        ``identical``, ``equivalent``, ``better``, ``worse`` or ``undetermined``, and the reason of the last.

    Examples
    --------
    >>> from imblab.analysis.intervals import corrected_t
    >>> wide = corrected_t([0.1, 0.2, 0.15, 0.12, 0.18], 80, 20)
    >>> verdict(wide, wide, 0.01, 0.01, 0.05, greater_is_better=True)
    ('better', None)
    """
    if estimate.reason:
        return "undetermined", estimate.reason
    if estimate.identical:
        return "identical", None
    if -rope <= narrow.low and narrow.high <= rope:
        return "equivalent", None
    if p_holm <= alpha:
        return ("better" if (estimate.mean > 0) == greater_is_better else "worse"), None
    return "undetermined", f"Holm-adjusted p {p_holm:.3g} > {alpha:g}"


def _judged_family(family: pd.DataFrame, study: Study, descriptive: Descriptive) -> list[dict[str, Any]]:
    claims, asked, by_time = study.claims, pairs(study), arms.follows_time(descriptive, family)
    rope = claims.rope.get(study.primary, math.nan)
    better = _primary(study).greater_is_better
    wide = [arms.estimate(family, a, b, study, claims.alpha, by_time) for a, b in asked]
    narrow = [arms.estimate(family, a, b, study, 2 * claims.alpha, by_time) for a, b in asked]
    adjusted = holm([e.p for e in wide])
    shared = {"dataset": family.dataset.iloc[0], "learner": family.learner.iloc[0], "measure": study.primary}
    shared |= {"folds": len(arms.folds_of(family, study)), "rope": rope}
    rows = []
    for (a, b), e, n, p_holm in zip(asked, wide, narrow, adjusted, strict=True):
        said, reason = verdict(e, n, float(p_holm), rope, claims.alpha, better)
        if by_time and not math.isnan(e.mean):
            said, reason = "descriptive", None
        numbers = {"mean": e.mean, "low": e.low, "high": e.high, "p": e.p, "p_holm": float(p_holm)}
        numbers |= {"equivalence_low": n.low, "equivalence_high": n.high}
        rows.append({**shared, "a": a, "b": b, **numbers, "verdict": said, "reason": reason})
    return rows


def _primary(study: Study) -> Measure:
    for measure in study.measures:
        if measure.name == study.primary:
            return measure
    raise StudyError(unknown("measure", study.primary, [m.name for m in study.measures]))
