"""What the evidence allows one to say, in sentences.

*Resampling helps* is said only of a contrast whose arms share a moving threshold policy and a weight: SMOTE at .5
against nothing at .5 is a moved threshold in disguise, and such contrasts are called operating points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from imblab.analysis import rebalancing
from imblab.analysis.across_datasets import Across, too_few
from imblab.analysis.methods import named
from imblab.analysis.text_tables import percent
from imblab.study import Strategy, Study
from imblab.text import format_difference, format_p_value, join_words


def sentences(contrasts: pd.DataFrame, study: Study) -> list[str]:
    """One sentence a data set and learner.

    Parameters
    ----------
    contrasts : DataFrame
        As :func:`imblab.analysis.compare.contrasts` gives it.
    study : Study

    Returns
    -------
    list of str
        One sentence that says so if there is no contrast at all.
    """
    if contrasts.empty:
        return [f"Study {study.name!r} has no contrast to judge: it needs two strategies, one of them 'none'."]
    families = contrasts.groupby(["dataset", "learner"], sort=False)
    return [f"{dataset}, {learner}: {'; '.join(_parts(rows, study))}." for (dataset, learner), rows in families]


def over_sources(found: Across, study: Study) -> str:
    """One sentence on a learner over all sources.

    Parameters
    ----------
    found : Across
    study : Study

    Returns
    -------
    str
    """
    rows = found.contrasts
    n = int(rows.sources.max()) if len(rows) else len(found.sources)
    lead = f"across {n} {'source' if n == 1 else 'sources'}, {found.learner}: "
    if rows.empty:
        return f"{lead}there is no contrast to judge."
    if (rows.verdict == "untested").all():
        return f"{lead}{too_few(int(rows.sources.max()))}."
    said = []
    for verdict, group in rows.groupby("verdict", sort=False):
        pairs = [f"{r.a} - {r.b} ({_tally(r)})" for _, r in group.iterrows()]
        said.append(f"{join_words(pairs)} {'is' if len(pairs) == 1 else 'are'} {verdict}")
    shifted = rebalancing.note(study, found.learner)
    return f"{lead}{', '.join(said)}{f'; {shifted}' if shifted else ''}."


def incomparable(rows: pd.DataFrame) -> list[str]:
    """Contrasts without a difference: what lacks the same is said once.

    Parameters
    ----------
    rows : DataFrame
        As :func:`imblab.analysis.compare.contrasts` gives it.

    Returns
    -------
    list of str

    Examples
    --------
    >>> why = [f"{name!r} has no MCC in 5 of 5 folds: 5 failed" for name in ("adasyn", "svm")]
    >>> incomparable(pd.DataFrame({"a": ["adasyn", "svm"], "mean": [math.nan, math.nan], "reason": why}))
    ['adasyn and svm cannot be compared (no MCC in 5 of 5 folds: 5 failed)']
    """
    found: dict[str, list[str]] = {}
    for _, row in rows[rows["mean"].isna()].iterrows():
        found.setdefault(str(row.reason).replace(f"{row.a!r} has ", "", 1), []).append(str(row.a))
    return [f"{join_words(arms)} cannot be compared ({why})" for why, arms in found.items()]


def reasons(rows: pd.DataFrame) -> list[str]:
    """Why contrasts have no verdict, where it is more than a p-value; what holds for several is said once.

    Parameters
    ----------
    rows : DataFrame
        As for :func:`incomparable`.

    Returns
    -------
    list of str
    """
    known = rows[rows["mean"].notna()]
    said = [r for r in known.reason if isinstance(r, str) and not r.startswith("Holm-adjusted")]
    return [*dict.fromkeys(said), *incomparable(rows)]


def isolates_resampling(study: Study, a: str, b: str) -> bool:
    """Whether a and b differ in the sampler alone, and their threshold is chosen rather than fixed.

    Parameters
    ----------
    study : Study
    a, b : str
        Strategies; only a has a sampler.

    Returns
    -------
    bool
        False for strategies that the study does not know.
    """
    known = {s.name: s for s in study.strategies}
    if a not in known or b not in known or known[a].sampler is None or known[b].sampler is not None:
        return False
    policy = _policy(known[a])
    return policy == _policy(known[b]) and not isinstance(policy[0], (int, float))


def _policy(strategy: Strategy) -> tuple[Any, Any, str]:
    """What decides the cut of a strategy: the rule, the weight and the calibration."""
    cut = strategy.space.get("threshold", strategy.threshold)
    return cut, strategy.space.get("weight", strategy.weight), strategy.calibration


def _parts(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    isolating = [isolates_resampling(study, a, b) for a, b in zip(rows.a, rows.b, strict=True)]
    level = f"{percent(study)} interval"
    for _, row in rows[isolating].iterrows():
        yield _on_resampling(row, level)
    if not any(isolating) and any(s.sampler is not None for s in study.strategies):
        yield "nothing here isolates resampling, which takes a contrast such as smote_threshold - threshold"
    others = rows[[not i for i in isolating]]
    for base, against in others.groupby("b", sort=False):
        yield f"against {base}, as operating points, {_listed(against)}"
    absent = [repr(n) for n in ("none", "threshold") if n not in {s.name for s in study.strategies}]
    if absent:
        yield f"the study has no baseline {' and no '.join(absent)}"
    if shifted := rebalancing.note(study, str(rows.learner.iloc[0])):
        yield shifted


def _on_resampling(row: pd.Series[Any], level: str) -> str:
    pair = f"{row.a} against {row.b}, its equal without resampling"
    said = {
        "better": f"resampling helps: {pair}, is better",
        "worse": f"resampling harms: {pair}, is worse",
        "equivalent": f"resampling changes nothing that matters: {pair}, is equivalent within ±{row.rope:g}",
        "identical": f"resampling changes nothing: {pair}, has the same {named(row.measure)} in every fold",
        "inconclusive": f"whether resampling helps is inconclusive: {pair}",
        "exploratory": f"{pair}, is exploratory and gets no verdict: {row.reason}",
        "descriptive": f"{pair}, is described only, since folds that follow the time allow no test",
    }
    told = row.verdict == "identical" or (row.verdict == "exploratory" and math.isnan(row["mean"]))
    evidence = "" if told else f" ({_evidence(row, level)})"
    return said[row.verdict] + evidence


def _evidence(row: pd.Series[Any], level: str) -> str:
    if math.isnan(row["mean"]):
        return str(row.reason)
    mean = f"{named(row.measure)} {format_difference(row['mean'])}"
    if math.isnan(row.p):
        return f"{mean}; {row.reason}" if row.reason else f"{mean} on average"
    tested = f"p {format_p_value(row.p)}" if math.isnan(row.p_holm) else f"Holm p {format_p_value(row.p_holm)}"
    return f"{mean}, {level} {format_difference(row.low)} to {format_difference(row.high)}, {tested}"


def _listed(rows: pd.DataFrame) -> str:
    """Arms by verdict, with their mean difference; those without one by what they lack."""
    said = []
    for verdict, group in rows[rows["mean"].notna()].groupby("verdict", sort=False):
        arms = [f"{r.a} ({format_difference(r['mean'])})" for _, r in group.iterrows()]
        said.append(f"{join_words(arms)} {'is' if len(arms) == 1 else 'are'} {verdict}")
    return ", ".join([*said, *incomparable(rows)])


def _tally(row: pd.Series[Any]) -> str:
    """Wins, ties and losses over sources, and the test where there is one."""
    tested = "" if math.isnan(row.p_holm) else f", Holm p {format_p_value(row.p_holm)}"
    return f"won {row.wins}, tied {row.ties}, lost {row.losses}{tested}"
