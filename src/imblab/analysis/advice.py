"""What to do next: one plain sentence a verdict, by a fixed table of rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from imblab.analysis.many import Across
from imblab.analysis.methods import joined, named
from imblab.analysis.wording import isolates_resampling
from imblab.records import Study

#: Verdicts of a contrast a - b whose arms differ in resampling alone.
ON_RESAMPLING = {
    "better": "Use {a}: with the same way to a threshold, resampling gained here.",
    "worse": "Use {b}: with the same way to a threshold, resampling cost score here.",
    "equivalent": "Use {b}, the simpler arm: what resampling changes is too small to matter (within ±{rope:g}).",
    "identical": "Use {b}, the simpler arm: {a} scored the same in every fold.",
    "undetermined": "{reach} Until more is known, prefer {b}, the simpler arm. {more}",
    "untested": "Nothing could be tested ({reason}). Until that is mended, prefer {b}, the simpler arm.",
    "descriptive": "Folds that follow the time allow no test: prefer {b}, the simpler arm, unless {a} was ahead in "
    "every period.",
    "exploratory": "Take this as a hint: declare {a} − {b} in a new study, before its first row.",
    "mixed": "The answer on {a} against {b} differs from table to table: decide by the row of each.",
}
#: Verdicts of operating points, where more than one thing differs.
ON_POINTS = {
    **ON_RESAMPLING,
    "better": "Use {a} rather than {b}; this does not say which part of it helped.",
    "worse": "Stay with {b}: {a} scored worse.",
    "equivalent": "Stay with {b}: what {a} changes is too small to matter (within ±{rope:g}).",
    "identical": "Stay with {b}: {a} scored the same in every fold.",
    "undetermined": "{reach} Until more is known, stay with {b} rather than {a}. {more}",
    "untested": "Nothing could be tested ({reason}). Until that is mended, stay with {b} rather than {a}.",
    "descriptive": "Folds that follow the time allow no test: stay with {b} unless {a} was ahead in every period.",
}
#: Verdicts over sources that tell a new table what to begin with.
OVER = {
    "better": "On a new table like these, begin with {a} rather than {b} ({learner}): it won on {wins} of {sources} "
    "sources, too many for chance.",
    "worse": "On a new table like these, begin with {b} rather than {a} ({learner}): {a} lost on {losses} of {sources} "
    "sources, too many for chance.",
}
#: Repeats from which on more of them say little new: they shuffle the same rows.
ENOUGH = 5


def advice(contrasts: pd.DataFrame, study: Study, across: Sequence[Across] = ()) -> list[str]:
    """What the verdicts ask of somebody who must decide.

    Parameters
    ----------
    contrasts : DataFrame
        As :func:`imblab.analysis.compare.contrasts` gives it, the contrasts that decide.
    study : Study
    across : sequence of Across
        What holds over sources comes first: it speaks of tables that nobody has seen yet.

    Returns
    -------
    list of str
        One text for all contrasts against one strategy that came out alike, in the order of the contrasts.
    """
    over = list(_over(contrasts, across))
    lead = "On each table by itself: " if over else ""
    found: dict[tuple[str, str, bool], list[pd.DataFrame]] = {}
    for _, rows in contrasts.groupby(["a", "b"], sort=False):
        a, b = str(rows.a.iloc[0]), str(rows.b.iloc[0])
        found.setdefault((b, _outcome(rows), isolates_resampling(study, a, b)), []).append(rows)
    return over + [f"{lead}{_said(pd.concat(rows), word, alone, study)}" for (_, word, alone), rows in found.items()]


def _over(contrasts: pd.DataFrame, across: Sequence[Across]) -> Iterator[str]:
    """What was told apart over sources, of the contrasts at hand."""
    asked = set(zip(contrasts.a, contrasts.b, strict=True))
    for each in across:
        for r in each.contrasts.to_dict("records"):
            if (r["a"], r["b"]) in asked and r["verdict"] in OVER:
                yield OVER[r["verdict"]].format(**{"learner": each.learner, **{str(k): v for k, v in r.items()}})


def _outcome(rows: pd.DataFrame) -> str:
    """The one verdict over all tables, ``untested`` where none of them had a test."""
    words = list(dict.fromkeys(rows.verdict))
    if len(words) > 1:
        return "mixed"
    return "untested" if words[0] == "undetermined" and rows.p.isna().all() else str(words[0])


def _said(rows: pd.DataFrame, word: str, alone: bool, study: Study) -> str:
    rule = (ON_RESAMPLING if alone else ON_POINTS)[word]
    reasons = dict.fromkeys(r for r in rows.reason if isinstance(r, str))
    return rule.format(
        a=joined(dict.fromkeys(rows.a)),
        b=rows.b.iloc[0],
        rope=rows.rope.iloc[0],
        reach=" ".join(_reach(rows, study)),
        more=_more(study),
        reason="; ".join(reasons),
    ).strip()


def _reach(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    if rows.detectable.notna().any():
        yield f"This design could have found differences in {named(study.primary)} of {rows.detectable.max():.3f} or"
        yield "more (80 % power), and cannot rule out smaller ones."


def _more(study: Study) -> str:
    if study.protocol.repeats < ENOUGH:
        return "More repeats narrow the interval: protocol=repeated_5x5x3. More positives narrow it further."
    return "More repeats of the same rows would say little: it takes more positives."
