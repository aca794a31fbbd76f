"""The tables of a comparison as text: a header and rows of words and numbers, for any page that lays them out."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from imblab.records import Study

#: A header and its rows; a header that begins with ``>`` stands above numbers and is set to the right.
Words = tuple[list[str], list[list[str]]]


def heading(rows: pd.DataFrame, study: Study) -> str:
    """Which family the tables are about, and over how many folds."""
    folds, repeats = int(rows.folds.max()), study.protocol.repeats
    over = f"{folds} folds" if repeats == 1 else f"{folds} folds of {repeats} repeats"
    return f"{rows.dataset.iloc[0]}, {rows.learner.iloc[0]}: {study.primary}, mean ± sd over {over}"


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
            *(row.strategy, str(row.candidates), str(row.fits), seconds(row.seconds)),
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


def adjusted(contrasts: pd.DataFrame) -> list[str]:
    """The adjusted tests of one family in a line; none if nothing was tested."""
    said = [f"{r.a} - {r.b} {probability(r.p_holm)} {r.verdict}" for _, r in contrasts[contrasts.p.notna()].iterrows()]
    return [f"Holm p over {len(contrasts)} contrasts: {'; '.join(said)}"] if said else []


def number(value: float) -> str:
    """A score with three decimals; four digits from 100 on; a dash for NaN.

    Examples
    --------
    >>> number(0.12345), number(-0.0), number(12345.6), number(float("nan"))
    ('0.123', '0.000', '1.235e+04', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:z.3f}" if abs(value) < 100 else f"{value:.4g}"


def signed(value: float) -> str:
    """A difference with its sign.

    Examples
    --------
    >>> signed(0.0123), signed(-0.0001), signed(-123.45)
    ('+0.012', '+0.000', '-123.5')
    """
    return f"{value:+z.3f}" if abs(value) < 100 else f"{value:+.4g}"


def probability(p: float) -> str:
    """A p-value with three decimals, never rounded to zero.

    Examples
    --------
    >>> probability(0.0312), probability(1e-9)
    ('0.031', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def seconds(value: float) -> str:
    """A duration in one unit.

    Examples
    --------
    >>> seconds(0.04), seconds(90), seconds(7200)
    ('0.0 s', '1.5 min', '2.0 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.1f} s"


def percent(study: Study) -> str:
    """The coverage of the intervals of a study, such as ``95 %``."""
    return f"{100 * (1 - study.claims.alpha):g} %"


def _score(row: pd.Series[Any]) -> str:
    return number(row["mean"]) if math.isnan(row.sd) else f"{number(row['mean'])} ± {number(row.sd)}"


def _gain(row: pd.Series[Any], base: str) -> str:
    mean, low, high = (row[f"gain_{base}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(mean):
        return "-"
    return signed(mean) if math.isnan(low) else f"{signed(mean)} [{signed(low)}, {signed(high)}]"


def _cut(row: pd.Series[Any]) -> str:
    """The threshold used: one, or the median and the range over folds."""
    low, middle, high = (row[f"threshold_{end}"] for end in ("low", "median", "high"))
    if math.isnan(middle):
        return "-"
    return f"{middle:.3g}" if low == high else f"{middle:.3g} ({low:.3g}-{high:.3g})"
