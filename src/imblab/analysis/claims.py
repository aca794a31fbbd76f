"""Claims: what was declared before the first evaluation gets a verdict, what was chosen later is exploratory.

A contrast, an error rate or a region that was chosen after the evaluations were seen gets numbers and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from imblab.study import Registered, Study

#: The default primary contrast: SMOTE compared with its counterpart without resampling.
EQUAL_POLICY = ("smote_threshold", "threshold")
Pair = tuple[str, str]


def declared_contrasts(study: Study) -> tuple[Pair, ...]:
    """List the contrasts that a study declares, or the default ones: equal threshold policy, then all against none."""
    if study.claims.contrasts is not None:
        return tuple((a, b) for a, b in study.claims.contrasts)
    names = study.strategy_names
    first = [EQUAL_POLICY] if set(EQUAL_POLICY) <= set(names) else []
    against = [(name, "none") for name in names if name != "none"] if "none" in names else []
    return (*first, *against)


def claimed_contrasts(study: Study) -> tuple[Pair, ...]:
    """List the contrasts over which p-values are adjusted: those on record, else those declared."""
    record = study.claims.registered
    return declared_contrasts(study) if record is None else record.contrasts


def register_claims(study: Study) -> Study:
    """Put what a study claims now on record, unless a record exists already."""
    claims = study.claims
    if claims.registered is not None:
        return study
    rope, repeats = dict(claims.rope), study.protocol.repeats
    record = Registered(study.primary, declared_contrasts(study), claims.alpha, rope, repeats)
    return replace(study, claims=replace(claims, registered=record))


def exploratory_reasons(study: Study) -> Mapping[Pair, str | None]:
    """Give for every declared contrast why it is exploratory; None where it was claimed before the first evaluation.

    Without ``claims.registered`` nothing was chosen late.

    Examples
    --------
    >>> from imblab.study import Strategy
    >>> study = register_claims(Study("s", 0, {}, (), (Strategy("none"), Strategy("smote")), ()))
    >>> exploratory_reasons(replace(study, strategies=(*study.strategies, Strategy("adasyn"))))[("adasyn", "none")]
    'the contrast was not claimed before the first row'
    """
    changed, claimed = _describe_late_changes(study), set(claimed_contrasts(study))
    late = "the contrast was not claimed before the first row"
    return {pair: changed or (None if pair in claimed else late) for pair in declared_contrasts(study)}


def _describe_late_changes(study: Study) -> str | None:
    """What differs from the record and concerns every contrast."""
    claims, record = study.claims, study.claims.registered
    if record is None:
        return None
    changes = []
    if study.primary != record.primary:
        changes.append(f"the primary measure was {record.primary}")
    if claims.alpha != record.alpha:
        changes.append(f"alpha was {record.alpha:g}")
    width, before = (rope.get(study.primary, math.nan) for rope in (claims.rope, record.rope))
    if width != before and not (math.isnan(width) and math.isnan(before)):
        changes.append(f"the region of {study.primary} was {'not set' if math.isnan(before) else f'±{before:g}'}")
    if study.protocol.repeats > record.repeats:
        changes.append(f"the number of repeats was {record.repeats}")
    return f"{' and '.join(changes)} before the first row" if changes else None
