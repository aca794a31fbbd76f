"""Data sets, methods and the scores of every strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from imblab.analysis import rebalancing
from imblab.analysis.methods import describe_methods, named
from imblab.analysis.text_tables import percent
from imblab.edges.figures import DotRow, draw_rows
from imblab.edges.palette import EXPLANATION
from imblab.edges.report.data import ReportData
from imblab.edges.report.elements import (
    MAX_OPEN_BLOCKS,
    Gallery,
    Line,
    Panel,
    ReportSection,
    Table,
    TableCell,
    columns,
    count_cell,
    difference_cell,
    file_name,
    interval_cell,
    score_cell,
    text_cell,
)
from imblab.text import format_range

#: Measures shown next to the primary one, as far as the study has them.
_SECONDARY = ("pr_auc", "recall", "precision", "f1", "mcc", "roc_auc", "brier")
#: Facts of the columns of a table, recorded with the evidence.
_COLUMN_FACTS = ("features", "categorical", ("missing", "missing values"))


def data_section(data: ReportData) -> ReportSection:
    """Build the sheet of the data sets."""
    facts: Mapping[str, Any] = data.facts.get("tables", {})
    lines = []
    for dataset in data.datasets:
        n, positives = data.census[dataset]
        has_both = 0 < positives < n
        first = next(row for row in data.result.evaluations if row.dataset == dataset)
        cells = [
            *(text_cell(dataset), count_cell(n), count_cell(positives)),
            *(score_cell(positives / n if has_both else None), score_cell(data.natural_ratio(dataset))),
            *(_column_facts(facts.get(dataset)) if facts else ()),
            *(count_cell(first.n_train), count_cell(first.n_test), text_cell(_parent(data, dataset))),
            text_cell(first.data_fingerprint[:12]),
        ]
        lines.append(Line(dataset, tuple(cells), data.picks(dataset)))
    header = columns(
        *(("dataset", "data set"), "rows", "positives", ("share", "positive share"), ("odds", "natural ratio")),
        *(_COLUMN_FACTS if facts else ()),
        *(("n_train", "training rows, first fold"), ("n_test", "test rows, first fold")),
        *(("parent", "parent data set"), "fingerprint"),
    )
    lead = (
        "The rarer class is the positive one unless the study names another. Rows and positives are those that were "
        "tested; the natural ratio is positives over negatives, before any resampling."
    )
    return ReportSection("data", "Data", (lead,), (Table("data", "Data sets", header, tuple(lines)),))


def methods_section(data: ReportData) -> ReportSection:
    """Build the paragraphs on the methods, for a paper."""
    return ReportSection(
        "methods", "Methods", tuple(describe_methods(data.study, data.result.completeness.is_complete))
    )


def scores_section(data: ReportData) -> ReportSection:
    """Build the scores of every strategy, with the intervals of the gains over the baselines."""
    primary = data.study.primary
    secondary = [m for m in _SECONDARY if m in data.result.summary and m != primary]
    header = columns(
        *("strategy", ("mean", named(primary)), "sd"),
        *(("gain_none", "gain over none"), ("gain_none_interval", "interval")),
        *(("gain_threshold", "gain over threshold"), ("gain_threshold_interval", "interval")),
        *((m, named(m)) for m in secondary),
    )
    tables: list[Table] = []
    panels: list[Panel] = []
    rows = {family: _fold_rows(data, *family) for family in data.families}
    on_axis = [value for items in rows.values() for row in items for value in row.values()]
    for dataset, learner in data.families:
        picks = data.picks(dataset, learner)
        lines = [
            Line("/".join(place), tuple(_score_cells(row, secondary)), {"s": data.strategies.index(place[2])})
            for place, row in data.summary_of.items()
            if place[:2] == (dataset, learner)
        ]
        name, note = file_name("scores", dataset, learner), rebalancing.note(data.study, learner) or ""
        folded = len(tables) >= MAX_OPEN_BLOCKS
        tables.append(Table(name, f"{dataset}, {learner}", header, tuple(lines), note, picks, folded))
        words = f"Mean and folds of {named(primary)} for {len(lines)} strategies on {dataset} with {learner}."
        title, family_rows = f"{dataset}, {learner}", rows[dataset, learner]
        figure = draw_rows(name, title, words, family_rows, data.looks, named(primary), on_axis=on_axis)
        panels.append(Panel(figure, picks))
    n_folds = format_range(data.result.summary.folds, "{:d}".format)
    lead = (
        f"Scores are means over {n_folds} outer test folds, with the standard deviation over folds. "
        f"{_explain_gains(data)}"
    )
    note = f"A marker is the mean, a thin stroke a test fold. {EXPLANATION}"
    gallery = Gallery(f"{named(primary)} of every fold", tuple(panels), note=note)
    return ReportSection("results", "Scores by strategy", (lead,), (*tables, gallery), "Scores")


def _column_facts(facts: Mapping[str, Any] | None) -> Sequence[TableCell]:
    if facts is None:
        return [text_cell("")] * len(_COLUMN_FACTS)
    counts = facts["features"], len(facts["categorical"]), sum(facts["missing"].values())
    return [count_cell(n) for n in counts]


def _parent(data: ReportData, dataset: str) -> str:
    facts = data.facts.get("tables", {}).get(dataset, {})
    return str(facts.get("source") or data.study.datasets.get(dataset, {}).get("parent") or "")


def _score_cells(row: Mapping[str, Any], secondary: Sequence[str]) -> list[TableCell]:
    cells = [text_cell(row["strategy"]), score_cell(row["mean"]), score_cell(row["sd"])]
    for baseline in ("none", "threshold"):
        cells.append(difference_cell(row[f"gain_{baseline}"]))
        cells.append(interval_cell(row[f"gain_{baseline}_low"], row[f"gain_{baseline}_high"]))
    return [*cells, *(score_cell(row[m]) for m in secondary)]


def _explain_gains(data: ReportData) -> str:
    if not data.result.summary[["gain_none_low", "gain_threshold_low"]].notna().any(axis=None):
        return "Gains over the two baselines have no interval here, so that none was demonstrated."
    text = f"Gains over the two baselines have their corrected {percent(data.study)} interval, unadjusted"
    if not data.result.completeness.is_complete:
        return f"{text}. There are {data.result.completeness.counted}: these intervals decide nothing."
    return f"{text}; intervals that include 0 are not significant."


def _fold_rows(data: ReportData, dataset: str, learner: str) -> list[DotRow]:
    primary = data.study.primary
    rows = []
    for strategy in (s for s in data.strategies if (dataset, learner, s) in data.evaluations_of):
        scored = (row for row in data.evaluations_of[dataset, learner, strategy] if row.status == "ok")
        values = [float(score) for row in scored if (score := row.scores.get(primary)) is not None]
        mean = float(pd.Series(values, dtype=float).mean())
        rows.append(DotRow(strategy, strategy, mean, strokes=tuple(values)))
    return rows
