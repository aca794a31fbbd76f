"""The tables of a comparison as text: a header and rows of words and numbers, for any page that lays them out."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from imblab.analysis.across_datasets import Across
from imblab.analysis.methods import named
from imblab.study import Study
from imblab.text import format_difference, format_duration, format_p_value, format_score

#: A header and its rows; a header that begins with ``>`` stands above numbers and is set to the right.
Words = tuple[list[str], list[list[str]]]


def heading(rows: pd.DataFrame, study: Study) -> str:
    """Which family the tables are about, and over how many folds."""
    folds, repeats = int(rows.folds.max()), study.protocol.repeats
    over = f"{folds} folds" if repeats == 1 else f"{folds} folds of {repeats} repeats"
    return f"{rows.dataset.iloc[0]}, {rows.learner.iloc[0]}: {named(study.primary)}, mean ± sd over {over}"


def scores(rows: pd.DataFrame, study: Study) -> Words:
    """Mean and gains of every strategy.

    Parameters
    ----------
    rows : DataFrame
        Of one data set and learner, from :func:`imblab.analysis.summary.summarise`.
    study : Study

    Returns
    -------
    tuple of (list of str, list of list of str)
        An interval follows its gain in brackets; a dash stands where there is nothing to say.
    """
    header = ["strategy", "mean ± sd", f"over none [{percent(study)}]", f"over threshold [{percent(study)}]"]
    return header, [
        [row.strategy, _score(row), _gain(row, "none"), _gain(row, "threshold")] for _, row in rows.iterrows()
    ]


def choices(rows: pd.DataFrame) -> Words:
    """What every strategy chose, and what that cost.

    Parameters
    ----------
    rows : DataFrame
        As for :func:`scores`.

    Returns
    -------
    tuple of (list of str, list of list of str)
    """
    header = ["strategy", ">cand.", ">fits", ">time", ">ok", "threshold", "knobs"]
    return header, [
        [
            *(row.strategy, str(row.candidates), str(row.fits), format_duration(row.seconds)),
            *(f"{row.ok}/{row.folds}", _cut(row), row.knobs or "-"),
        ]
        for _, row in rows.iterrows()
    ]


def remarks(rows: pd.DataFrame) -> list[str]:
    """Every remark once, led by the strategies it is about unless that is all of them.

    Examples
    --------
    >>> remarks(pd.DataFrame({"strategy": ["none", "smote"], "remarks": [("slow",), ("slow", "odd")]}))
    ['slow', 'smote: odd']
    """
    about: dict[str, list[str]] = {}
    for strategy, said in zip(rows.strategy, rows.remarks, strict=True):
        for remark in said:
            about.setdefault(remark, []).append(strategy)
    return [r if len(names) == len(rows) else f"{', '.join(names)}: {r}" for r, names in about.items()]


def tests(contrasts: pd.DataFrame) -> Words:
    """The tests of one family; no rows where nothing was tested.

    Parameters
    ----------
    contrasts : DataFrame
        Of one data set and learner, from :func:`imblab.analysis.compare.contrasts`.

    Returns
    -------
    tuple of (list of str, list of list of str)
        ``detectable`` is the smallest difference that the design would have found; the last three columns are the
        posterior probabilities that a - b lies below, within and above the region of practical equivalence.
    """
    header = ["contrast", ">Holm p", "verdict", ">detectable", ">P(-)", ">P(=)", ">P(+)"]
    if contrasts.p.isna().all():
        return header, []
    return header, [
        [
            *(f"{row.a} - {row.b}", format_p_value(row.p_holm), row.verdict, format_score(row.detectable)),
            *("-" if math.isnan(x) else f"{x:.2f}" for x in (row.below, row.within, row.above)),
        ]
        for _, row in contrasts.iterrows()
    ]


def legend(contrasts: pd.DataFrame, study: Study) -> list[str]:
    """How the tables of a study are read, in a sentence each; nothing of tests where none was made."""
    said = [f"Intervals: Nadeau-Bengio corrected {percent(study)}, unadjusted."]
    if contrasts.p.isna().all():
        return said
    said.append(
        f"Holm p: over the claimed contrasts of a data set and learner, at alpha {study.claims.alpha:g}. "
        "detectable: the smallest difference that the design finds in 80 of 100 cases."
    )
    rope = contrasts.rope.iloc[0]
    if not math.isnan(rope):
        said.append(
            f"P(-), P(=), P(+): Bayesian correlated t, the probability that the difference in {named(study.primary)} "
            f"lies below, within and above ±{rope:g}; it decides nothing."
        )
    return said


def exploratory(contrasts: pd.DataFrame) -> list[str]:
    """Why contrasts have no verdict, each reason once, led by its contrasts unless that is all of them."""
    late = contrasts[contrasts.verdict == "exploratory"]
    return [
        f"exploratory{'' if len(rows) == len(contrasts) else f', {_pairs(rows)}'}: {reason}"
        for reason, rows in late.groupby("reason", sort=False)
    ]


def places(found: Across) -> Words:
    """Mean ranks and scores over sources."""
    header = ["strategy", ">mean rank", ">mean"]
    return header, [[r.strategy, f"{r.mean_rank:.2f}", format_score(r["mean"])] for _, r in found.rank_table.iterrows()]


def duels(found: Across) -> Words:
    """The declared contrasts over sources; ``w-t-l`` counts those that a wins, ties and loses."""
    header = ["contrast", ">sources", ">w-t-l", ">median", ">Holm p", "verdict"]
    return header, [
        [
            *(f"{row.a} - {row.b}", str(row.sources), f"{row.wins}-{row.ties}-{row.losses}"),
            *(format_difference(row["median"]), format_p_value(row.p_holm), row.verdict),
        ]
        for _, row in found.contrasts.iterrows()
    ]


def over_sources(found: Across) -> list[str]:
    """What stands under the tables of many data sets."""
    said = []
    if found.friedman is not None:
        t = found.friedman
        ties = (
            ""
            if math.isnan(t.corrected)
            else f", corrected for ties {t.corrected:.2f} (p {format_p_value(t.corrected_p)})"
        )
        said.append(
            f"Friedman: chi-square {t.statistic:.2f} (p {format_p_value(t.p)}){ties}; Iman-Davenport F({t.df}, "
            f"{t.df_within}) {t.f:.2f} (p {format_p_value(t.f_p)})"
        )
        groups = "; ".join(", ".join(clique) for clique in found.cliques)
        said.append(f"not told apart by Wilcoxon's test, Holm over all pairs: {groups or 'none'}")
    return [*said, *found.notes, *exploratory(found.contrasts)]


def percent(study: Study) -> str:
    """The coverage of the intervals of a study, such as ``95 %``."""
    return f"{100 * (1 - study.claims.alpha):g} %"


def _score(row: pd.Series[Any]) -> str:
    return format_score(row["mean"]) if math.isnan(row.sd) else f"{format_score(row['mean'])} ± {format_score(row.sd)}"


def _gain(row: pd.Series[Any], base: str) -> str:
    mean, low, high = (row[f"gain_{base}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(mean):
        return "-"
    interval = "" if math.isnan(low) else f" [{format_difference(low)}, {format_difference(high)}]"
    return f"{format_difference(mean)}{interval}"


def _cut(row: pd.Series[Any]) -> str:
    """The threshold used: one, or the median and the range over folds."""
    low, middle, high = (row[f"threshold_{end}"] for end in ("low", "median", "high"))
    if math.isnan(middle):
        return "-"
    between = " to " if low < 0 else "-"  # a decision value may be negative
    return f"{middle:.3g}" if low == high else f"{middle:.3g} ({low:.3g}{between}{high:.3g})"


def _pairs(rows: pd.DataFrame) -> str:
    return ", ".join(f"{a} - {b}" for a, b in zip(rows.a, rows.b, strict=True))
