"""What to do next: one plain sentence a verdict, by a fixed table of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from imblab.analysis.across_datasets import Across
from imblab.analysis.claims import family
from imblab.analysis.methods import named
from imblab.analysis.wording import isolates_resampling, reasons
from imblab.stats.paired_tests import detectable_factor
from imblab.study import Study
from imblab.text import format_two_digits, join_words

#: Verdicts of a contrast a - b whose arms differ in resampling alone.
ON_RESAMPLING = {
    "better": "Use {a}: with the same way to a threshold, resampling gained here.",
    "worse": "Use {b}, drop {a}: with the same way to a threshold, resampling cost score here.",
    "equivalent": "Use {b}, the simpler arm, drop {a}: what resampling changes is too small to matter (within "
    "±{rope:g}).",
    "identical": "Use {b}, the simpler arm, drop {a}: the same score in every fold.",
    "inconclusive": "Until more is known, prefer {b}, the simpler arm, to {a}.",
    "untested": "Nothing could be tested: {reason}. Until that is mended, prefer {b}, the simpler arm.",
    "descriptive": "Folds that follow the time allow no test: prefer {b}, the simpler arm, unless {a} was ahead in "
    "every period.",
    "exploratory": "Take this as a hint: declare {a} − {b} in a new study, before its first row.",
}
#: Verdicts of operating points, where more than one thing differs.
ON_POINTS = {
    **ON_RESAMPLING,
    "better": "Use {a} rather than {b}; this does not say which part of it helped.",
    "worse": "Stay with {b}: {a} scored worse.",
    "equivalent": "Stay with {b}: what {a} changes is too small to matter (within ±{rope:g}).",
    "identical": "Stay with {b}: {a} scored the same in every fold.",
    "inconclusive": "Until more is known, stay with {b} rather than {a}.",
    "untested": "Nothing could be tested: {reason}. Until that is mended, stay with {b} rather than {a}.",
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
#: Verdicts that settle a contrast, in the order in which they are told.
SETTLED = ("better", "worse", "equivalent", "identical")
#: Folds that stand for endless repeats.
ENDLESS = 10**6


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
        One text for all contrasts against one strategy that came out alike. Where the verdicts on one contrast differ,
        one text a verdict, which names its learners and data sets. What is settled comes first; what the design could
        have found, and what it would take to know more, comes last, once for all that is inconclusive.
    """
    over = list(_over(contrasts, across))
    lead = "On each table by itself: " if over else ""
    found: dict[tuple[str, str, bool, str], list[pd.DataFrame]] = {}
    for _, rows in contrasts.groupby(["a", "b"], sort=False):
        a, b = str(rows.a.iloc[0]), str(rows.b.iloc[0])
        for where, word, own in _outcomes(rows):
            found.setdefault((b, word, isolates_resampling(study, a, b), where), []).append(own)
    settled = {pair for pair, rows in contrasts.groupby(["a", "b"]) if rows.verdict.isin(SETTLED).any()}
    # A pair of which something is settled comes first, with what is not settled of it right after.
    order = sorted(found, key=lambda key: (found[key][0].a.iloc[0], key[0]) not in settled)
    said = [f"{key[3] or lead}{_said(pd.concat(found[key]), key[1], key[2])}" for key in order]
    return [*over, *said, *_reach(contrasts[contrasts.verdict == "inconclusive"], study)]


def _over(contrasts: pd.DataFrame, across: Sequence[Across]) -> Iterator[str]:
    """What was told apart over sources, of the contrasts at hand."""
    asked = set(zip(contrasts.a, contrasts.b, strict=True))
    for each in across:
        for r in each.contrasts.to_dict("records"):
            if (r["a"], r["b"]) in asked and r["verdict"] in OVER:
                yield OVER[r["verdict"]].format(**{"learner": each.learner, **{str(k): v for k, v in r.items()}})


def _outcomes(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The verdicts on one contrast with where they hold; ``untested`` where there was no test."""
    untested = (rows.verdict == "inconclusive") & rows.p.isna()
    words = rows.verdict.mask(untested, "untested")
    settled, rest = [w for w in SETTLED if (words == w).any()], [w for w in dict.fromkeys(words) if w not in SETTLED]
    for word in settled + rest:
        own = rows[words == word]
        where = "Elsewhere" if settled and rest == [word] else _where(own, rows)
        yield "" if len(settled + rest) == 1 else f"{where}: ", word, own


def _where(own: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The learners and data sets of some rows of a contrast: learners with the same data sets stand together."""
    tables, whole = (
        {str(n): tuple(map(str, group.dataset)) for n, group in found.groupby("learner", sort=False)}
        for found in (own, rows)
    )
    said = []
    for names in dict.fromkeys(tables.values()):
        learners = [n for n, found in tables.items() if found == names]
        every = len(names) > 1 and all(names == whole[n] for n in learners)
        said.append(f"with {join_words(learners)} on {'all data sets' if every else join_words(names)}")
    text = "; ".join(said)
    return text[0].upper() + text[1:]


def _said(rows: pd.DataFrame, word: str, alone: bool) -> str:
    rule = (ON_RESAMPLING if alone else ON_POINTS)[word]
    a, b = join_words(dict.fromkeys(rows.a)), rows.b.iloc[0]
    return rule.format(a=a, b=b, rope=rows.rope.iloc[0], reason="; ".join(reasons(rows)))


def _reach(rows: pd.DataFrame, study: Study) -> Iterator[str]:
    """What the design could have found, where it was sharpest and where bluntest, and what it takes to find more."""
    known = rows[rows.detectable.notna()].sort_values("detectable", kind="stable")
    if known.empty:
        return
    ends = [known.iloc[0]] if len(known) == 1 else [known.iloc[0], known.iloc[-1]]
    said = " to ".join(f"{r.detectable:.3f} ({r.dataset}, {r.learner})" for r in ends)
    yield (
        f"This design could have found differences in {named(study.primary)} of {said} or more (80 % power), and "
        f"cannot rule out smaller ones. {_more(known, study)}"
    )


def _more(known: pd.DataFrame, study: Study) -> str:
    """What more repeats and more positives would find, the spread of the fold differences taken as it was seen.

    The corrected standard error holds ``1/J + n_test/n_train`` (Nadeau and Bengio 2003): repeats lower the first part
    alone. The spread itself is taken to fall with the root of the positives.
    """
    protocol = study.protocol
    level, ratio = study.claims.alpha / len(family(study)), 1 / (protocol.outer_folds - 1)
    now = known.detectable / [detectable_factor(int(n), ratio, level) for n in known.folds]
    best = _span(now * detectable_factor(ENDLESS, ratio, level))
    if protocol.repeats < ENOUGH:
        found = _span(now * detectable_factor(ENOUGH * protocol.outer_folds, ratio, level))
        said = f"A new study with {ENOUGH} repeats would find {found}, endless repeats of the same rows {best}."
    else:
        said = f"Endless repeats of the same rows would find no less than {best}."
    times = (known.detectable / known.rope) ** 2
    if times.notna().all() and times.min() > 1:
        more = _span(times, format_two_digits)
        said += f" To find ±{known.rope.iloc[0]:g}, the least that matters, takes about {more} times as many positives."
    return said


def _span(values: pd.Series[float], shown: Callable[[float], str] = "{:.3f}".format) -> str:
    low, high = shown(values.min()), shown(values.max())
    return low if low == high else f"{low} to {high}"
