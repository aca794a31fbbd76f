"""What tuning saw: inner scores by ratio, k and weight, their optimism, the stability of the choices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from imblab.analysis import tuning
from imblab.core import measures
from imblab.edges.figures.axes import Axes, Scale, same_spans, scale_around
from imblab.edges.figures.curve_plot import Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import DotRow, draw_heat_map, draw_rows
from imblab.edges.report.data import ReportData, strategy_table
from imblab.edges.report.elements import (
    MAX_OPEN_BLOCKS,
    Gallery,
    Panel,
    ReportSection,
    Table,
    columns,
    count_cell,
    difference_cell,
    file_name,
    score_cell,
    text_cell,
)
from imblab.result import Family, Place
from imblab.study import SAMPLER_PREFIX, Scalar, in_declared_order
from imblab.text import format_knob, format_range

_MAX_HEAT_COLUMNS = 14
#: How the vertical axes of a gallery of curves against a knob are made.
SAME_SPANS = "All vertical axes are equally long; each begins where its data set needs it."
#: Values of a knob that a sentence lists.
_MAX_LISTED_VALUES = 6
#: The candidates of every strategy that searched.
CandidatesByPlace = Mapping[Place, Sequence[tuning.Candidate]]


def response_section(data: ReportData) -> ReportSection:
    """Build the inner scores against ratio, k and weight."""
    title, short = "Inner scores by ratio, k and weight", "Ratio and k"
    searched = {place: tuning.average_candidates(items) for place, items in data.evaluations_of.items()}
    candidates = {place: items for place, items in searched.items() if items}
    knobs = _plotted_knobs(candidate.params for items in candidates.values() for candidate in items)
    if not knobs:
        return ReportSection("response", title, ("No strategy of this study searched a ratio or a weight.",), (), short)
    primary = data.primary_label
    blocks: list[Table | Gallery] = []
    for knob in knobs:
        panels = _response_panels(data, candidates, knob)
        if panels:
            note = _explain_response(data, candidates, knob)
            heading = f"Inner {primary} against the {knob}"
            blocks.append(Gallery(heading, panels, True, note=note, vital=knob == "ratio"))
    lead: list[str] = []
    # Candidates that are drawn differ between folds: they have no values to average and lay out.
    if not data.study.tuning.search_method.is_drawn:
        maps = tuple(p for p in (_draw_map(data, place, items) for place, items in candidates.items()) if p)
        if maps:
            note = "The framed cell is the best; a candidate that was not applicable in every fold is left empty."
            heading = f"Inner {primary} over ratio and k"
            blocks.append(Gallery(heading, maps, note=note, folded=len(maps) > MAX_OPEN_BLOCKS))
        table, lead = _peak_table(data, candidates)
        blocks += [table] if table.lines else []
    lead.append(
        "These are inner scores: they steer the search on validation folds and do not estimate the test score; the "
        "optimism section says how far off they are."
    )
    return ReportSection("response", title, tuple(lead), tuple(blocks), short)


def _plotted_knobs(candidates: Iterable[Mapping[str, Scalar]]) -> list[str]:
    """Return the ratio, the weight and the further knobs of samplers whose values are positive numbers."""
    known = list(candidates)
    names = dict.fromkeys(name for params in known for name in params)
    further = [name for name in names if name.startswith(SAMPLER_PREFIX)]
    further = [name for name in further if all(_is_positive(params[name]) for params in known if name in params)]
    return in_declared_order([*(name for name in ("ratio", "weight") if name in names), *further])


def _is_positive(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def optimism_section(data: ReportData) -> ReportSection:
    """Build the inner scores of the winners, compared with their outer scores."""
    title, measure = "Optimism: inner and outer scores", data.primary_label
    primary = data.study.primary_measure
    pooled = measures.matrix_function_of(primary) if measures.is_counted(primary) else None
    by_place = {place: tuning.optimism(items, primary.name, pooled) for place, items in data.evaluations_of.items()}
    tuned = {place: item for place, item in by_place.items() if item is not None}
    if not tuned:
        return ReportSection("optimism", title, ("This study tuned nothing.",), (), "Optimism")
    rows: dict[Family, list[DotRow]] = {}
    lines = []
    for place, item in tuned.items():
        rows.setdefault(place[:2], []).append(DotRow(data.label_of[place[2]], place[2], item.outer, ring=item.inner))
        scores = score_cell(item.inner), score_cell(item.outer), difference_cell(item.difference)
        lines.append(data.line(place, *scores, count_cell(item.n_folds)))
    panels = []
    on_axis = [value for items in rows.values() for row in items for value in row.values()]
    for family, items in rows.items():
        words = f"Inner and outer {measure} of {len(items)} tuned strategies on {' with '.join(family)}."
        name = file_name("optimism", *family)
        figure = draw_rows(name, ", ".join(family), words, items, data.looks, measure, on_axis=on_axis)
        panels.append(data.panel(figure, *family))
    mean = float(np.mean([item.difference for item in tuned.values()]))
    dataset, learner, strategy = largest = max(tuned, key=lambda place: data.sign * tuned[place].difference)
    lead = [
        f"The inner {measure} of the chosen candidate differed from its outer score by {difference_cell(mean).text} on "
        f"average; it was most optimistic for {strategy} on {dataset} with {learner} "
        f"({difference_cell(tuned[largest].difference).text}). Only outer scores are results."
    ]
    if pooled is not None:
        lead.append("Both are computed from confusion counts summed over folds, so that they can be compared.")
    header = columns("inner", "outer", ("optimism", "inner − outer"), ("cells", "folds"))
    table = strategy_table("optimism", "Inner and outer scores", header, lines)
    gallery = Gallery("From inner (ring) to outer (dot)", tuple(panels))
    return ReportSection("optimism", title, tuple(lead), (gallery, table), "Optimism")


def stability_section(data: ReportData) -> ReportSection:
    """Build how often every value of a knob was chosen, and the thresholds over folds."""
    title, thresholds = "Stability of the choices", _threshold_table(data)
    chosen = [(place, knob) for place, items in data.evaluations_of.items() for knob in tuning.chosen_knobs(items)]
    if not chosen and not thresholds.lines:
        return ReportSection("stability", title, ("This study chose nothing.",), (), "Stability")
    lines = []
    for place, item in chosen:
        cells = text_cell(item.knob), text_cell(_describe_values(item.values)), score_cell(item.agreement)
        lines.append(data.line(place, *cells, count_cell(item.n_folds), note=item.knob))
    lead = [
        "A choice that differs from fold to fold means that the data cannot distinguish the candidates, and that no "
        "single value should be quoted as the best."
    ]
    if chosen:
        n_steady = sum(item.agreement > 0.5 for _, item in chosen)
        lead.append(f"{n_steady} of {len(chosen)} searched knobs took the same value in more than half of their folds.")
    header = columns("knob", ("values", "chosen in folds"), "agreement", ("cells", "folds"))
    tables = [strategy_table("chosen", "Chosen knobs", header, lines), thresholds]
    return ReportSection("stability", title, tuple(lead), tuple(t for t in tables if t.lines), "Stability")


def _explain_response(data: ReportData, candidates: CandidatesByPlace, knob: str) -> str:
    if data.study.tuning.search_method.is_drawn:
        text = "Each marker is one candidate in one outer fold: candidates differ between folds and are not averaged."
        return f"{text} {SAME_SPANS}"
    params = [candidate.params for items in candidates.values() for candidate in items]
    ks = {p["k"] for p in params if "k" in p and knob in p}
    named_ks = "; the end of a line names its k" if len(ks) > 1 else ""
    return f"Markers are candidates, averaged over outer folds{named_ks}. {SAME_SPANS}"


def _response_panels(data: ReportData, candidates: CandidatesByPlace, knob: str) -> tuple[Panel, ...]:
    curves = {
        family: [c for s in data.strategies for c in _response_curves(data, candidates, (*family, s), knob)]
        for family in data.families
    }
    drawn = {family: items for family, items in curves.items() if items}
    x = np.concatenate([c.x for items in drawn.values() for c in items]) if drawn else np.array([])
    spans = same_spans([np.concatenate([c.y for c in items]) for items in drawn.values()])
    return tuple(
        _draw_response(data, family, items, knob, (x, span))
        for (family, items), span in zip(drawn.items(), spans, strict=True)
    )


def _draw_response(
    data: ReportData, family: Family, curves: Sequence[Curve], knob: str, ends: tuple[np.ndarray, tuple[float, float]]
) -> Panel:
    marks: list[tuple[float, str]] = []
    natural = data.natural_ratio(family[0]) if knob == "ratio" else None
    if natural is not None:
        marks = [(natural, f"natural {natural:.2g}"), (1.0, "1:1")]
    naturals = [r for d in data.datasets if knob == "ratio" and (r := data.natural_ratio(d)) is not None]
    x = scale_around([*ends[0], *naturals, *(value for value, _ in marks)], 0.0, 1.0, "log")
    y = Scale(*ends[1], 0.0, 1.0)
    title, measure = ", ".join(family), f"inner {data.primary_label}"
    x_label = "ratio of minority to majority rows" if knob == "ratio" else knob
    axes = Axes(*place_in_plot(x, y), x_label, measure)
    words = f"Inner {data.primary_label} against the {knob} on {title}, by strategy and k."
    name = file_name("response", knob, *family)
    figure = draw_curves(name, title, words, axes, curves, data.looks, Marks(x=tuple(marks)))
    return data.panel(figure, *family)


def _response_curves(data: ReportData, candidates: CandidatesByPlace, place: Place, knob: str) -> list[Curve]:
    """The curves of one strategy, one per value of k; loose dots where candidates differ between folds."""
    strategy = place[2]
    if data.study.tuning.search_method.is_drawn:
        x, y = tuning.scatter(data.evaluations_of.get(place, []), knob)
        return [Curve(strategy, np.array(x), np.array(y), has_dots=True, has_line=False)] if x else []
    if place not in candidates:
        return []
    by_k = tuning.best_along(candidates[place], knob, "k", data.sign > 0)
    return [
        Curve(strategy, np.array(x), np.array(y), has_dots=True, note="" if k is None or len(by_k) == 1 else f"k {k}")
        for k, (x, y) in sorted(by_k.items(), key=lambda item: str(item[0]).zfill(9))
    ]


def _draw_map(data: ReportData, place: Place, candidates: Sequence[tuning.Candidate]) -> Panel | None:
    """A heat map where both ratio and k took several values; other knobs at their best."""
    by_k = tuning.best_along(candidates, "ratio", "k", data.sign > 0)
    ks = sorted(k for k in by_k if isinstance(k, (int, float)))
    ratios = sorted({x for k in ks for x in by_k[k][0]})
    if len(ks) < 2 or not 2 <= len(ratios) <= _MAX_HEAT_COLUMNS:
        return None
    values = np.full((len(ks), len(ratios)), math.nan)
    for i, k in enumerate(ks):
        for x, y in zip(*by_k[k], strict=True):
            values[i, ratios.index(x)] = y
    row, column = np.unravel_index(int(np.nanargmax(data.sign * values)), values.shape)
    dataset, learner, strategy = place
    title = f"{dataset}, {learner}: {strategy}"
    span = f"from {np.nanmin(values):.3f} to {np.nanmax(values):.3f}"
    words = f"Inner {data.primary_label} of {title} {span} over ratio and k."
    names = [f"{r:g}" for r in ratios], [f"{k:g}" for k in ks]
    name, best = file_name("map", *place), (int(row), int(column))
    return data.panel(draw_heat_map(name, title, words, values, *names, ("ratio", "k"), best), *place)


def _peak_table(data: ReportData, candidates: CandidatesByPlace) -> tuple[Table, list[str]]:
    """Where the inner score peaks, and how much less it is at 1:1."""
    lines, losses = [], []
    for place, items in candidates.items():
        x, y = tuning.best_along(items, "ratio", greater_is_better=data.sign > 0).get(None, ([], []))
        if len(x) < 2:
            continue
        best = int(np.argmax(data.sign * np.array(y)))
        at_one = y[x.index(1.0)] if 1.0 in x else math.nan
        loss = data.sign * (y[best] - at_one)
        losses += [loss] if math.isfinite(loss) else []
        lines.append(data.line(place, *map(score_cell, (x[best], y[best], at_one, loss))))
    value = ("value", f"inner {data.primary_label}")
    header = columns(("ratio", "best ratio"), value, ("even", "at 1:1"), ("loss", "loss at 1:1"))
    lead = []
    if losses:
        lead.append(
            f"The inner {data.primary_label} peaked below 1:1 in {sum(v > 0 for v in losses)} of {len(losses)} "
            f"searches; at 1:1 it was {format_range(losses)} worse than at the peak (median {np.median(losses):.3f})."
        )
    return strategy_table("peaks", "Best ratio, compared with 1:1", header, lines), lead


def _threshold_table(data: ReportData) -> Table:
    ends = ("threshold_median", "threshold_low", "threshold_high")
    lines = [
        data.line(place, *(score_cell(row[end]) for end in ends))
        for place, row in data.summary_of.items()
        if math.isfinite(row["threshold_median"]) and row["threshold_low"] < row["threshold_high"]
    ]
    header = columns("median", ("low", "lowest"), ("high", "highest"))
    return strategy_table("thresholds", "Thresholds over folds", header, lines)


def _describe_values(values: Sequence[tuple[Any, int]]) -> str:
    listed = [f"{format_knob(value)} × {n}" for value, n in values[:_MAX_LISTED_VALUES]]
    n_more = len(values) - len(listed)
    return f"{', '.join(listed)}{f' and {n_more} more' if n_more else ''}"
