"""Data sets with more than two classes: recall by class, confusion matrices, curves of each class, thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imblab.analysis import text_tables
from imblab.analysis.evidence import CLASS_RECALLS
from imblab.edges.figures.axes import UNIT_SCALE, Axes, Figure, scale_around
from imblab.edges.figures.curve_plot import ChosenThreshold, Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import draw_confusion
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
    score_cell,
    text_cell,
    typeset_minus,
)
from imblab.result import Family
from imblab.stats.curves import mean_precision_recall

#: Families with a sentence of their own.
_MAX_SENTENCES = 6
#: Figures of curves beyond which each has half of its points and no bands.
_MAX_FULL_CURVES = 240
#: Recalls of a curve that has all or half of its points.
_RECALLS = np.array(CLASS_RECALLS)


def classes_section(data: ReportData) -> ReportSection | None:
    """Build recall, confusion, curves, thresholds and places of synthetic rows by class; None with two classes."""
    families = [family for family in data.families if family[0] in data.classes]
    if not families:
        return None
    lead = [
        "Each class is taken against the rest. Recall of a class is the share of its test rows that were decided to be "
        "of it, averaged over folds; classes are listed from the rarest to the most frequent one.",
        *(typeset_minus(text) for text in _describe_recall_changes(data, families)),
    ]
    tables = [_recall_table(data, family) for family in families]
    by_class = [gallery for name in data.classes if (gallery := _class_gallery(data, name, families)) is not None]
    further = [_class_threshold_table, _synthetic_table]
    blocks: list[Table | Gallery] = [
        *_folded(tables),
        *_confusion_galleries(data, families),
        *by_class,
        *(table for build in further for table in _folded([build(data, family) for family in families])),
    ]
    return ReportSection("classes", "Classes", tuple(lead), tuple(blocks), "Classes", is_open=True)


def _folded(tables: Sequence[Table]) -> Iterator[Table]:
    """Fold the tables of one kind that are beyond the first ones; those without rows are left out."""
    for i, table in enumerate(table for table in tables if table.lines):
        yield replace(table, folded=i >= MAX_OPEN_BLOCKS)


def _describe_recall_changes(data: ReportData, families: Sequence[Family]) -> Iterator[str]:
    """Say how recall by class changes from the baseline to the recommended strategy."""
    for family in families[:_MAX_SENTENCES]:
        names, recalls = text_tables.recall_table(data.result, family)
        if len(names) > 1:
            change = text_tables.describe_changes(data.classes[family[0]], recalls[names[-1]] - recalls[names[0]])
            which = f"{data.label_of[names[-1]]} (compared with {data.label_of[names[0]]})"
            yield f"{', '.join(family)}: {which} {change}."


def _recall_table(data: ReportData, family: Family) -> Table:
    names, recalls = text_tables.recall_table(data.result, family)
    if not names:
        return Table(file_name("class-recall", *family), "", (), ())
    difference = recalls[names[-1]] - recalls[names[0]]
    rows = data.class_rows[family[0]]
    cells = {
        c: (count_cell(rows[c]), *(score_cell(recalls[name][c]) for name in names), difference_cell(difference[c]))
        for c in range(len(rows))
    }
    header = columns("class", "rows", *((f"recall_{n}", data.label_of[n]) for n in names), "difference")
    note = f"Difference: {data.pair(names[-1], names[0])}."
    return _class_table(data, family, "class-recall", "Recall by class", header, cells, note)


def _class_threshold_table(data: ReportData, family: Family) -> Table:
    """Median thresholds of the strategies that choose them."""
    chosen = [s.name for s in data.study.strategies if not isinstance(s.knobs["threshold"], (int, float))]
    medians = {name: text_tables.median_thresholds(data.evaluations_of.get((*family, name), ())) for name in chosen}
    known = {name: values for name, values in medians.items() if values}
    classes = range(len(data.classes[family[0]]) if known else 0)
    cells = {c: tuple(score_cell(values[c]) for values in known.values()) for c in classes}
    header = columns("class", *((name, data.label_of[name]) for name in known))
    note = (
        "A row is decided for the class with the largest (1 − t) / t times its probability: the lower the threshold of "
        "a class, the more rows it gets. Only ratios between classes count; .5 everywhere is the most probable class."
    )
    caption = "Thresholds by class, median over folds"
    return _class_table(data, family, "class-thresholds", caption, header, cells, note)


def _synthetic_table(data: ReportData, family: Family) -> Table:
    """Shares of the synthetic rows of each class that lie nearer to another class."""
    every = {name: data.evidence_index.statistics.get(("synthetic", (*family, name))) for name in data.strategies}
    shares = {name: values for name, values in every.items() if values}
    known = [c for c in range(len(data.classes[family[0]])) if any(str(c) in each for each in shares.values())]
    cells = {c: tuple(score_cell(values.get(str(c))) for values in shares.values()) for c in known}
    header = columns("class", *((name, data.label_of[name]) for name in shares))
    note = "Share of the synthetic rows of a class whose nearest real row is of another class, mean over folds."
    caption = "Synthetic rows nearer to another class"
    return _class_table(data, family, "class-synthetic", caption, header, cells, note)


def _class_table(
    data: ReportData,
    family: Family,
    name: str,
    caption: str,
    header: tuple[tuple[str, str], ...],
    cells: Mapping[int, Sequence[TableCell]],
    note: str = "",
) -> Table:
    """Make a table whose rows are classes, the rarest one first."""
    labels = data.classes[family[0]]
    lines = [Line(f"{'/'.join(family)}/{c}", (text_cell(labels[c]), *cells[c])) for c in sorted(cells, reverse=True)]
    title = f"{caption}: {', '.join(family)}"
    return Table(file_name(name, *family), title, header, tuple(lines), note, data.picks(*family))


def _confusion_galleries(data: ReportData, families: Sequence[Family]) -> Iterator[Gallery]:
    """Matrices side by side, one gallery per data set and learner; those beyond the first ones are folded."""
    note = (
        "Rows are true classes, columns decided ones; a row sums to 1. A cell says its share and, pointed at, its "
        "rows: means over folds, rows per repeat. Next to the baseline is the recommended strategy, or the best of the "
        "others where the baseline is recommended."
    )
    for i, family in enumerate(families):
        if panels := tuple(_confusion_panels(data, family)):
            heading, is_folded = f"Confusion matrices: {', '.join(family)}", 2 * i >= MAX_OPEN_BLOCKS
            yield Gallery(heading, panels, note="" if i else note, folded=is_folded)


def _confusion_panels(data: ReportData, family: Family) -> Iterator[Panel]:
    labels = data.classes[family[0]]
    for name in dict.fromkeys(text_tables.compared_strategies(data.result, family)):
        rows = text_tables.evaluations_of(data.result, family, name)
        if not rows:
            continue
        shares, counts = text_tables.mean_confusion(rows), text_tables.mean_counts(rows)
        title = f"{', '.join(family)}: {data.label_of[name]}"
        words = f"Confusion matrix of {title}, rows divided by their sums; macro recall {shares.diagonal().mean():.3f}."
        figure = draw_confusion(file_name("confusion", *family, name), title, words, shares, counts, labels)
        yield data.panel(figure, *family, name)


def _class_gallery(data: ReportData, dataset: str, families: Sequence[Family]) -> Gallery | None:
    """Recall against the ratio and precision against recall of one data set, one class at a time."""
    before = data.datasets[: data.datasets.index(dataset)]
    first = sum(len(labels) for name, labels in data.classes.items() if name in before)
    labels = data.classes[dataset]
    panels = []
    for c in reversed(range(len(labels))):
        for family in families:
            if family[0] != dataset:
                continue
            figures = [_draw_recall(data, family, c), _draw_precision(data, family, c)]
            panels += [Panel(f, {**data.picks(*family), "k": first + c}) for f in figures if f is not None]
    if not panels:
        return None
    choices = tuple((first + c, labels[c]) for c in reversed(range(len(labels))))
    heading = f"{dataset}, one class at a time: recall against the ratio, precision against recall"
    note = (
        "Recall is the mean over the folds that chose the ratio; natural is the smallest over the largest class. "
        "Curves are means over folds of the class against the rest, with the middle half of the folds; markers are the "
        "mean recall and precision of the decisions."
    )
    return Gallery(heading, tuple(panels), legend=True, note=note, choices=choices)


def _draw_recall(data: ReportData, family: Family, c: int) -> Figure | None:
    """The recall of one class by chosen or fixed ratio; None where no strategy has a ratio."""
    evaluations = {name: data.evaluations_of.get((*family, name), ()) for name in data.strategies}
    points = {name: text_tables.recalls_by_ratio(items) for name, items in evaluations.items()}
    natural = data.natural_ratio(family[0])
    if not any(points.values()) or natural is None:
        return None
    curves: list[Curve] = []
    joined: set[str] = set()
    for ladder in data.ladders:
        named = [(ratio, name) for ratio, name in ladder.by_ratio.items() if points[name]]
        joined.update(name for _, name in named)
        xy = [(ratio, points[name][ratio][c]) for ratio, name in named if ratio in points[name]]
        curves += [_curve(named[-1][1], xy, has_line=True)] if xy else []
    for name, by_ratio in points.items():
        if name not in joined and by_ratio:
            curves.append(_curve(name, [(ratio, values[c]) for ratio, values in by_ratio.items()]))
    for name in text_tables.COMPARED:
        if rows := text_tables.evaluations_of(data.result, family, name):
            curves.append(_curve(name, [(natural, text_tables.class_recalls(rows)[c])]))
    x = scale_around([natural, 1.0, *(value for curve in curves for value in curve.x)], 0.0, 1.0, "log")
    axes = Axes(*place_in_plot(x, UNIT_SCALE), "ratio to the largest class", "recall")
    title = f"{', '.join(family)}: {data.classes[family[0]][c]}"
    words = f"Recall of class {data.classes[family[0]][c]} against the ratio on {' with '.join(family)}."
    marks = Marks(((natural, f"natural {natural:.2g}"), (1.0, "1:1")))
    name = file_name("class-ratio", *family, str(c))
    return draw_curves(name, title, words, axes, curves, data.looks, marks)


def _curve(strategy: str, points: Sequence[tuple[float, float]], has_line: bool = False) -> Curve:
    x, y = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    return Curve(strategy, x, y, has_dots=True, has_line=has_line)


def _draw_precision(data: ReportData, family: Family, c: int) -> Figure | None:
    """Precision against recall of one class by the compared strategies; None without evidence."""
    n_figures = sum(len(data.classes[dataset]) for dataset, _ in data.families if dataset in data.classes)
    is_full = n_figures <= _MAX_FULL_CURVES
    grid = _RECALLS if is_full else _RECALLS[1::2]
    curves, points, chances = [], [], []
    for name in dict.fromkeys(text_tables.compared_strategies(data.result, family)):
        folds = data.evidence_index.class_folds.get(((*family, name), c), [])
        if not folds:
            continue
        mean = mean_precision_recall(folds, grid)
        band = (mean.low, mean.high) if is_full else (None, None)
        curves.append(Curve(name, mean.x, mean.mean, *band))
        rows = text_tables.evaluations_of(data.result, family, name)
        recall, precision = (float(f(rows)[c]) for f in (text_tables.class_recalls, text_tables.class_precisions))
        decided = "never decided" if math.isnan(precision) else f"recall {recall:.3f}, precision {precision:.3f}"
        points.append(ChosenThreshold(name, recall, precision, decided))
        chances += [f.prevalence for f in folds]
    if not curves:
        return None
    chance = float(np.mean(chances))
    axes = Axes(*place_in_plot(UNIT_SCALE, UNIT_SCALE), "recall", "precision")
    label = data.classes[family[0]][c]
    title = f"{', '.join(family)}: {label}"
    words = f"Precision against recall of class {label} on {' with '.join(family)}; chance is {chance:.3f}."
    marks = Marks(y=((chance, f"chance {chance:.3f}"),), chosen=tuple(points))
    return draw_curves(file_name("class-pr", *family, str(c)), title, words, axes, curves, data.looks, marks)
