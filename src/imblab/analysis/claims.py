"""What was claimed before the first row, and what was chosen after it: the latter is exploratory.

A verdict is the answer to a claim that could have failed. A contrast, an error rate or a region that somebody chose
with the rows before their eyes gets numbers and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from imblab.study import Registered, Study

#: What the default contrasts ask of resampling: SMOTE against its equal without it.
EQUAL_POLICY = ("smote_threshold", "threshold")
Pair = tuple[str, str]


def declared_contrasts(study: Study) -> tuple[Pair, ...]:
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


def register_claims(study: Study) -> Study:
    """The study with what it claims now on record, for the moment before its first row.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Study
        Unchanged where something is on record already.
    """
    claims = study.claims
    if claims.registered is not None:
        return study
    record = Registered(
        study.primary, declared_contrasts(study), claims.alpha, dict(claims.rope), study.protocol.repeats
    )
    return replace(study, claims=replace(claims, registered=record))


def claimed_contrasts(study: Study) -> tuple[Pair, ...]:
    """The contrasts over which p-values are adjusted: those on record, else those asked."""
    record = study.claims.registered
    return declared_contrasts(study) if record is None else record.contrasts


def exploratory_reasons(study: Study) -> Mapping[Pair, str | None]:
    """Say of every declared contrast why it is exploratory; None where it was claimed before the first evaluation.

    Parameters
    ----------
    study : Study
        Without ``claims.registered`` nothing was chosen late.

    Returns
    -------
    mapping of (str, str) to str or None

    Examples
    --------
    >>> from imblab.study import Strategy
    >>> study = register_claims(Study("s", 0, {}, (), (Strategy("none"), Strategy("smote")), ()))
    >>> exploratory_reasons(replace(study, strategies=(*study.strategies, Strategy("adasyn"))))[("adasyn", "none")]
    'the contrast was not claimed before the first row'
    """
    changed, claimed = _changed(study), set(claimed_contrasts(study))
    late = "the contrast was not claimed before the first row"
    return {pair: changed or (None if pair in claimed else late) for pair in declared_contrasts(study)}


def _changed(study: Study) -> str | None:
    """What differs from the record and touches every contrast, in words."""
    claims, record = study.claims, study.claims.registered
    if record is None:
        return None
    said = []
    if study.primary != record.primary:
        said.append(f"the primary measure was {record.primary}")
    if claims.alpha != record.alpha:
        said.append(f"alpha was {record.alpha:g}")
    width, before = (rope.get(study.primary, math.nan) for rope in (claims.rope, record.rope))
    if width != before and not (math.isnan(width) and math.isnan(before)):
        said.append(f"the region of {study.primary} was {'not set' if math.isnan(before) else f'±{before:g}'}")
    if study.protocol.repeats > record.repeats:
        said.append(f"the number of repeats was {record.repeats}")
    return f"{' and '.join(said)} before the first row" if said else None
