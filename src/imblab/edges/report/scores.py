"""Data sets, methods and the scores of every strategy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import outer_splits, tuning
from imblab.analysis.answer import select_over_parents
from imblab.analysis.compare import describe_verdict, estimator_places
from imblab.analysis.methods import describe_methods, gain_over, name_treatment, named
from imblab.analysis.text_tables import percent
from imblab.edges.figures.axes import Axes, Figure, Scale, same_spans, scale_around
from imblab.edges.figures.curve_plot import ChosenThreshold, Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import DotRow, ForestRow, draw_forest, draw_rows
from imblab.edges.palette import EXPLANATION
from imblab.edges.report.data import ReportData
from imblab.edges.report.elements import (
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
from imblab.result import Family, Place
from imblab.study import Strategy
from imblab.text import count_noun, format_range

#: What the mean predicted probability over the prevalence is called.
PROBABILITY_RATIO = "mean probability / prevalence"
#: Measures shown next to the primary one, as far as the study has them.
_SECONDARY = ("pr_auc", "recall", "precision", "f1", "mcc", "roc_auc", "brier")
#: Rows of the table of scores that are printed.
_MAX_PRINTED_ROWS = 200
#: Columns on the classes of a data set: with two classes everywhere, and otherwise.
_POSITIVE_COLUMNS = ("positives", ("share", "positive share"), ("odds", "positives over negatives"))
_CLASS_COLUMNS = (
    *("classes", ("rarest", "rarest class"), ("positives", "rows of the rarest or positive class")),
    *(("share", "their share"), ("odds", "ratio to the largest class")),
)
#: Facts of the columns of a table, recorded with the evidence.
_COLUMN_FACTS = ("features", "categorical", ("missing", "missing values"))

#: Columns of a mean with its interval, of one data set and over parent data sets.
_DIFFERENCE, _EFFECT = ("mean", "low", "high"), ("effect", "effect_low", "effect_high")


def data_section(data: ReportData) -> ReportSection:
    """Build the sheet of the data sets."""
    facts: Mapping[str, Any] = data.facts.get("tables", {})
    lines = []
    for dataset in data.datasets:
        class_rows, labels = data.class_rows[dataset], data.classes.get(dataset)
        n, positives = class_rows.sum(), class_rows[-1]
        has_both = 0 < positives < n
        first = next(row for row in data.result.evaluations if row.dataset == dataset)
        parent = facts.get(dataset, {}).get("source") or data.study.datasets.get(dataset, {}).get("parent") or ""
        cells = [
            *(text_cell(dataset), count_cell(n)),
            *((count_cell(len(class_rows)), text_cell(labels[-1] if labels else "")) if data.classes else ()),
            count_cell(positives),
            *(score_cell(positives / n if has_both else None), score_cell(data.natural_ratio(dataset))),
            *(_column_facts(facts.get(dataset)) if facts else ()),
            *(count_cell(first.n_train), count_cell(first.n_test), text_cell(parent)),
            text_cell(first.data_fingerprint[:12]),
        ]
        lines.append(Line(dataset, tuple(cells), data.picks(dataset)))
    header = columns(
        *(("dataset", "data set"), "rows"),
        *(_CLASS_COLUMNS if data.classes else _POSITIVE_COLUMNS),
        *(_COLUMN_FACTS if facts else ()),
        *(("n_train", "training rows, first fold"), ("n_test", "test rows, first fold")),
        *(("parent", "parent data set"), "fingerprint"),
    )
    lead = (
        "The rarer class is the positive one unless the study names another. Rows and positives are those that were "
        "tested; positives over negatives is what resampling begins with."
    )
    if data.classes:
        lead = (
            "Rows are those that were tested. With two classes the rarer one is positive unless the study names "
            "another; the ratio, which resampling begins with, is that of the rarest to the largest class."
        )
    return ReportSection("data", "Data", (lead,), (Table("data", "Data sets", header, tuple(lines)),))


def methods_section(data: ReportData) -> ReportSection:
    """Build the paragraphs on the methods, for a paper."""
    estimators, n_classes = estimator_places(data.result.contrasts), {n: len(c) for n, c in data.classes.items()}
    paragraphs = describe_methods(data.study, data.result.completeness.is_complete, estimators, n_classes)
    return ReportSection("methods", "Methods", tuple(paragraphs), is_printed=True)


def scores_section(data: ReportData) -> ReportSection:
    """Build the table of the scores of all strategies, with the intervals of the gains over the baselines."""
    primary, words = data.study.primary, gain_over(data.study)
    secondary = [m for m in _SECONDARY if m in data.result.summary and m != primary]
    header = columns(
        *(("dataset", "data set"), "learner", "strategy", ("mean", named(primary)), "sd"),
        *(("gain_none", f"{words} none"), ("gain_none_interval", "interval")),
        *(("gain_threshold", f"{words} threshold"), ("gain_threshold_interval", "interval")),
        *((m, named(m)) for m in secondary),
    )
    printed, what = _printed_places(data)
    lines = [
        Line("/".join(place), tuple(_score_cells(data, row, secondary)), data.picks(*place), place not in printed)
        for place, row in data.summary_of.items()
    ]
    notes = [text for learner in data.learners if (text := outer_splits.rebalancing_note(data.study, learner))]
    if len(printed) < len(lines):
        notes.append(f"Printed are {len(printed)} of {len(lines)} rows: {what}. All are in tables/scores.csv")
    caption = f"Scores of {count_noun(len(data.strategies), 'strategy')} by data set and learner"
    table = Table("scores", caption, header, tuple(lines), "; ".join(notes), is_sortable=True)
    n_folds = format_range(data.result.summary.folds, "{:d}".format)
    parts = "outer test folds" if data.study.protocol.test_size is None else "test parts"
    parts = parts.removesuffix("s") if n_folds == "1" else parts
    spread = ", with the standard deviation over folds" if data.result.summary.sd.notna().any() else ""
    lead = f"Scores are means over {n_folds} {parts}{spread}. {_explain_gains(data)}"
    return ReportSection("results", "Scores by strategy", (lead,), (table,), "Scores", is_open=True, is_printed=True)


def folds_section(data: ReportData) -> ReportSection:
    """Build the figures of the scores of every fold."""
    primary = data.study.primary
    rows = {family: _fold_rows(data, *family) for family in data.families}
    on_axis = [value for items in rows.values() for row in items for value in row.values()]
    panels = []
    for family, items in rows.items():
        name, title = file_name("scores", *family), ", ".join(family)
        words = f"Mean and folds of {named(primary)} for {len(items)} strategies on {' with '.join(family)}."
        figure = draw_rows(name, title, words, items, data.looks, named(primary), on_axis=on_axis)
        panels.append(data.panel(figure, *family))
    note = f"A marker is the mean, a thin stroke a test fold. {EXPLANATION}"
    gallery = Gallery(f"{named(primary)} of every fold", tuple(panels), note=note)
    return ReportSection("folds", "Scores of every fold", (), (gallery,), "Folds")


def ratio_section(data: ReportData) -> ReportSection:
    """Build test scores against the ratio of strategies that differ in it alone."""
    excess = data.evidence_index.statistic("calibration", "mean_risk_ratio")
    blocks = tuple(_ratio_galleries(data, {PROBABILITY_RATIO: excess}))
    title = f"How much {name_treatment(data.study, [s.name for s in data.study.strategies if s.ratio is not None])}?"
    lead = "No two strategies of this study differ in a fixed ratio alone."
    if blocks:
        lead = "Ratio is minority : majority after resampling, as a number: 1 is a balanced table."
    return ReportSection("ratio", title, (lead,), blocks, title, is_open=bool(blocks))


def _printed_places(data: ReportData) -> tuple[set[Place], str]:
    """Return the rows of the table of scores that paper has room for, and what they are if they are not all."""
    primary, recommendation = data.result.answer.primary, data.result.recommendation
    needed = {"none", "threshold", *primary.a, *primary.b}
    chosen = {(*family, each.strategy) for family, each in recommendation.families.items()}
    best = {(name, str(each.learner), each.strategy) for name, each in recommendation.datasets.items()}
    places = set(data.summary_of)
    contrasted = {place for place in places if place[2] in needed or place in chosen}
    choices = (
        (places, ""),
        (contrasted, "the recommended strategies, those of the primary contrasts and the baselines"),
        (places & chosen, "the recommended strategy of every data set and learner"),
        (places & best, "the recommended strategy of every data set"),
    )
    return next((choice for choice in choices if len(choice[0]) <= _MAX_PRINTED_ROWS), choices[-1])


def _column_facts(facts: Mapping[str, Any] | None) -> Sequence[TableCell]:
    if facts is None:
        return [text_cell("")] * len(_COLUMN_FACTS)
    counts = facts["features"], len(facts["categorical"]), sum(facts["missing"].values())
    return [count_cell(n) for n in counts]


def _score_cells(data: ReportData, row: Mapping[str, Any], secondary: Sequence[str]) -> list[TableCell]:
    cells = [text_cell(row["dataset"]), text_cell(row["learner"]), data.strategy_cell(row["strategy"])]
    cells += [score_cell(row["mean"]), score_cell(row["sd"])]
    for baseline in ("none", "threshold"):
        cells.append(difference_cell(row[f"gain_{baseline}"]))
        cells.append(interval_cell(row[f"gain_{baseline}_low"], row[f"gain_{baseline}_high"]))
    return [*cells, *(score_cell(row[m]) for m in secondary)]


def _explain_gains(data: ReportData) -> str:
    subject = gain_over(data.study, "s").capitalize()
    if not data.result.summary[["gain_none_low", "gain_threshold_low"]].notna().any(axis=None):
        return f"{subject} the two baselines have no interval here, so that none was demonstrated."
    text = f"{subject} the two baselines have their {percent(data.study)} interval, unadjusted"
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
        rows.append(DotRow(data.label_of[strategy], strategy, mean, strokes=tuple(values)))
    return rows


def _ratio_galleries(data: ReportData, further: Mapping[str, Mapping[Place, float]]) -> Iterator[Gallery]:
    """Build test scores, then ``further`` values, against the ratio of strategies that differ in it alone."""
    names = dict.fromkeys((data.study.primary, "recall", "precision"))
    scores = {m: {p: float(row[m]) for p, row in data.summary_of.items() if m in row} for m in names}
    scores[data.study.primary] = {p: float(row["mean"]) for p, row in data.summary_of.items()}
    for measure, values in {**scores, **further}.items() if data.ladders else ():
        is_first, word = measure == data.study.primary, measure if measure in further else named(measure)
        families = {f: lines for f in data.families if (lines := _ratio_lines(data, values, f))}
        spans = same_spans([np.array([y for _, points in lines for _, _, y in points]) for lines in families.values()])
        panels = tuple(
            data.panel(_draw_ratios(data, family, lines, (measure, word), span), *family)
            for (family, lines), span in zip(families.items(), spans, strict=True)
        )
        note = f"Leftmost: without the sampler. All vertical axes are equally long, at different levels. {EXPLANATION}"
        if panels:
            heading = f"Test {word} against the ratio"
            yield Gallery(heading, panels, note=note if is_first else "", folded=not is_first, vital=is_first)


def _ratio_lines(
    data: ReportData, values: Mapping[Place, float], family: Family
) -> list[tuple[tuning.RatioLadder, list[tuple[str, float, float]]]]:
    """The strategies of every ladder with ratio and score; the one without a sampler at the natural ratio."""
    natural = data.natural_ratio(family[0])
    lines = []
    for ladder in data.ladders:
        named_ratios = [(ladder.without, natural), *((name, ratio) for ratio, name in ladder.by_ratio.items())]
        points = [
            (name, ratio, values[(*family, name)])
            for name, ratio in named_ratios
            if ratio is not None and math.isfinite(values.get((*family, name), math.nan))
        ]
        lines += [(ladder, points)] if len(points) > 1 else []
    return lines


def _draw_ratios(
    data: ReportData,
    family: Family,
    lines: Sequence[tuple[tuning.RatioLadder, list[tuple[str, float, float]]]],
    measure: tuple[str, str],
    span: tuple[float, float],
) -> Figure:
    naturals = [ratio for d in data.datasets if (ratio := data.natural_ratio(d)) is not None]
    # Above 1 there is room for the names at the ends of the lines.
    x = scale_around([*naturals, 1.7], 0.0, 1.0, "log")
    axes = Axes(*place_in_plot(x, Scale(*span, 0.0, 1.0)), "ratio (minority : majority)", measure[1])
    curves = []
    for ladder, points in lines:
        names, ratios, scores = zip(*points, strict=True)
        curves.append(Curve(names[-1], np.array(ratios), np.array(scores), note=_name_rule(ladder.first)))
    chosen = [
        ChosenThreshold(name, ratio, y, f"ratio {ratio:.2g}, {measure[1]} {y:.3f}")
        for _, points in lines
        for name, ratio, y in points
    ]
    title, words = ", ".join(family), f"Test {measure[1]} against the ratio on {' with '.join(family)}."
    name, marks = file_name("ratio", measure[0], *family), Marks(chosen=tuple(chosen))
    return draw_curves(name, title, words, axes, curves, data.looks, marks)


def _name_rule(strategy: Strategy) -> str:
    rule = strategy.threshold
    if isinstance(rule, (int, float)):
        return f"at {rule:g}".replace("0.", ".")
    return "tuned" if rule == "tuned" else "rule"


def forest_gallery(data: ReportData, place: str = "under Contrasts") -> Iterator[Gallery]:
    """Yield every primary contrast on one axis, over parent data sets if they are many; nothing without a difference.

    ``place`` says where those of single data sets are.
    """
    answer, looks = data.result.answer, data.looks
    primary = answer.primary[answer.primary["mean"].notna() & answer.primary.a.isin(list(looks))]
    if primary.empty:
        return
    over_parents = select_over_parents(answer.primary, data.result.across)
    many = len(over_parents) > 0
    shown = over_parents.sort_values("effect", kind="stable") if many else primary
    pairs = dict.fromkeys(zip(shown.a, shown.b, strict=True))
    rows = []
    for r in shown.to_dict("records"):
        names = [data.pair(r["a"], r["b"])] * (len(pairs) > 1) + ([] if many else [r["dataset"]])
        mean, low, high = (float(r[column]) for column in (_EFFECT if many else _DIFFERENCE))
        verdict = describe_verdict(r, data.study.claims.alpha)
        rows.append(ForestRow(": ".join(names), r["learner"], r["a"], mean, low, high, verdict))
    region, difference = float(primary.rope.iloc[0]), f"difference in {data.primary_label}"
    title = data.pair(*next(iter(pairs))) if len(pairs) == 1 else "Primary contrasts"
    title += f", over {int(shown.parents.max())} parent data sets" if many else ""
    words = f"Differences in {data.primary_label} with intervals: {len(rows)} primary contrasts, from the lowest."
    figure = draw_forest("forest", title, words, rows, looks, difference, answer.sides, region)
    interval = f"with {percent(data.study)} interval" if many or primary.low.notna().any() else "without interval"
    strip = f" The shaded strip is the region of practical equivalence, ±{region:g}." if math.isfinite(region) else ""
    note = f"Full markers are better or worse, markers with a point equivalent, hollow ones inconclusive.{strip}"
    heading = f"Every primary contrast {interval}"
    if many:
        heading = f"Mean effects over parent data sets {interval}"
        note += f" The {len(primary)} contrasts of single data sets are {place}."
    yield Gallery(heading, (Panel(figure),), note=note, vital=True)
