"""What every arm scored, gained, chose and cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import paired, rebalancing, table
from imblab.analysis.paired import Descriptive
from imblab.stats.paired_tests import Estimate
from imblab.study import Scalar, Study

#: The reference arms of every study.
BASELINES = ("none", "threshold")


def summarise(frame: pd.DataFrame, study: Study, descriptive: Descriptive = False) -> pd.DataFrame:
    """One row a data set, learner and strategy: what it scored, gained, chose and cost.

    Parameters
    ----------
    frame : DataFrame
        As :func:`imblab.analysis.table.tidy` gives it.
    study : Study
    descriptive : bool or collection of str, default=False
        Whether folds follow the time (or the names of the data sets where they do): gains get no interval there.

    Returns
    -------
    DataFrame
        ``mean`` and ``sd`` (ddof 1) of the primary measure over the folds that have a score; how many ``folds`` there
        should be and how many are ``ok``, ``failed``, ``inapplicable`` and ``missing``; ``gain_none`` and
        ``gain_threshold`` with ``_low`` and ``_high``, the corrected interval at 1 - ``claims.alpha``, unadjusted, NaN
        where the arm or a fold is missing; the ``knobs`` chosen, in words; ``threshold_median``, ``_low`` and
        ``_high``; the largest number of ``candidates`` of a fold; ``fits``, ``spared``, ``seconds``; ``remarks``, a
        tuple of str; then every measure as its mean and ``<measure>_std``.

    Raises
    ------
    StudyError
        If the rows cannot be compared, see :func:`imblab.analysis.table.check_paired`.
    """
    table.check_paired(frame)
    rows = [
        _summary(family, strategy, study, paired.follows_time(descriptive, family))
        for family in paired.families(frame, study)
        for strategy in paired.ordered(family.strategy, [s.name for s in study.strategies])
    ]
    return pd.DataFrame(rows)


def spread(values: Sequence[Scalar]) -> str:
    """Values chosen over folds, in few words: one, a range with its mode, or each text with its count.

    Parameters
    ----------
    values : sequence of float, int, str or bool
        At least one.

    Returns
    -------
    str

    Examples
    --------
    >>> spread([0.5, 0.25, 0.5, 1.0, 0.5]), spread([5, 5]), spread(["balanced", 10, 10])
    ('0.25-1 (0.5 x3)', '5', '10 (x2), balanced (x1)')
    """
    counts = Counter(values)
    if len(counts) == 1:
        return _plain(values[0])
    if any(isinstance(v, (str, bool)) for v in values):
        return ", ".join(f"{_plain(v)} (x{n})" for v, n in counts.most_common())
    mode, n = max(sorted(counts.items()), key=lambda item: item[1])
    often = f" ({_plain(mode)} x{n})" if n > 1 else ""
    return f"{_plain(min(counts))}-{_plain(max(counts))}{often}"


def _summary(family: pd.DataFrame, strategy: str, study: Study, descriptive: bool) -> dict[str, Any]:
    own, folds = family[family.strategy == strategy], paired.folds_of(family, study)
    scored = own[own.status == "ok"]
    by_status = {s: int((own.status == s).sum()) for s in ("ok", "failed", "inapplicable")}
    bases = [b for b in BASELINES if b != strategy and b in set(family.strategy)]
    gains = {b: paired.estimate(family, strategy, b, study, study.claims.alpha, descriptive) for b in bases}
    facts: dict[str, Any] = {"dataset": own.dataset.iloc[0], "learner": own.learner.iloc[0], "strategy": strategy}
    facts |= {"mean": _mean(scored, study.primary), "sd": _sd(scored, study.primary)}
    facts |= {"folds": len(folds), **by_status, "missing": len(folds) - len(own)}
    for base in BASELINES:
        gain = gains.get(base, Estimate.untested(math.nan, None))
        facts |= {f"gain_{base}": gain.mean, f"gain_{base}_low": gain.low, f"gain_{base}_high": gain.high}
    facts |= {"knobs": _knobs(scored)}
    for name, pick in (("median", np.median), ("low", np.min), ("high", np.max)):
        facts[f"threshold_{name}"] = float(pick(scored.threshold)) if len(scored) else math.nan
    facts |= {"candidates": int(own.candidates.max()), "fits": int(own.fits.sum()), "spared": int(own.spared.sum())}
    said = [told] if (told := rebalancing.note(study, facts["learner"])) else []
    said += _remarks(own, scored, gains, study.primary, facts)
    facts |= {"seconds": float(own.seconds.sum()), "remarks": tuple(said)}
    for name in (m.name for m in study.measures if m.name in own):
        facts |= {name: _mean(scored, name), f"{name}_std": _sd(scored, name)}
    return facts


def _remarks(
    own: pd.DataFrame, scored: pd.DataFrame, gains: Mapping[str, Estimate], primary: str, facts: Mapping[str, Any]
) -> Iterator[str]:
    for status in ("failed", "inapplicable"):
        if facts[status]:
            why = own[own.status == status].error.iloc[0] or "no reason recorded"
            yield f"{status} in {facts[status]} of {len(own)} folds: {why}"
    if facts["missing"]:
        yield f"no row for {facts['missing']} of {facts['folds']} folds"
    undefined = int(scored[primary].isna().sum()) if primary in scored else len(scored)
    if undefined:
        yield f"{primary} undefined in {undefined} of {len(scored)} folds"
    yield from _left_out(scored)
    for base in BASELINES:
        if base not in gains and base != facts["strategy"]:
            yield f"no baseline {base!r}"
        elif base in gains and gains[base].reason and len(scored) - undefined == facts["folds"]:
            yield f"no interval for the gain over {base!r}: {gains[base].reason}"
    for note, n in Counter(note for notes in scored.notes for note in notes).items():
        yield note if n == len(scored) else f"{note} ({n} of {len(scored)} folds)"


def _left_out(scored: pd.DataFrame) -> Iterator[str]:
    """The candidates that rows with an answer had to do without, one example a status."""
    every = [item for items in scored.left_out for item in items]
    for status in dict.fromkeys(status for status, _, _ in every):
        texts = Counter(_said(params) for kind, params, _ in every if kind == status)
        text, n = texts.most_common(1)[0]
        reason = next(why for kind, params, why in every if kind == status and _said(params) == text)
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        yield f"candidate {text}{more} {status} in {n} of {len(scored)} folds: {reason}"


def _said(params: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in params.items())


def _knobs(scored: pd.DataFrame) -> str:
    """The chosen or fixed knobs over folds: ratio, k, weight, then learner parameters by name."""
    found: dict[str, list[Scalar]] = {}
    for params in scored.params:
        for name, value in params.items():
            found.setdefault(name, []).append(value)
    first = [name for name in ("ratio", "k", "weight") if name in found]
    names = first + sorted(set(found) - set(first))
    return ", ".join(
        f"{name} {spread(found[name])}" + (f" in {len(found[name])} folds" if len(found[name]) < len(scored) else "")
        for name in names
    )


def _mean(rows: pd.DataFrame, measure: str) -> float:
    return float(rows[measure].mean()) if measure in rows else math.nan


def _sd(rows: pd.DataFrame, measure: str) -> float:
    return float(rows[measure].std(ddof=1)) if measure in rows else math.nan


def _plain(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
