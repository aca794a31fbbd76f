"""What tuning saw: the metric over ratio, k and weight, how much of it held outside, how steady the choices were."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from imblab.analysis import tuning
from imblab.analysis.methods import named
from imblab.core import measures
from imblab.edges.figures import (
    Axes,
    Curve,
    Marks,
    Row,
    draw_curves,
    draw_heat_map,
    draw_rows,
    place_in_plot,
    scale_around,
)
from imblab.edges.report.model import (
    OPEN,
    Gallery,
    Line,
    Panel,
    Section,
    Source,
    Table,
    diff,
    groups,
    header,
    num,
    of,
    slug,
    spans,
    whole,
    words,
)

MOST_COLUMNS = 14
ARM = ("dataset", "learner", "strategy")
TITLE = "How much is too much: ratio, k and weight"


def response(source: Source) -> Section:
    """The inner metric against ratio, k and weight."""
    found = tuning.response(source.rows)
    if found.empty or not any("ratio" in p or "weight" in p for p in found.params):
        return Section(
            "response", TITLE, ("No strategy of this study searched a ratio or a weight.",), (), "Ratio and k"
        )
    primary = named(source.study.primary)
    blocks: list[Table | Gallery] = []
    for axis in ("ratio", "weight"):
        drawn = [_curve(source, found, d, learner, axis) for d, learner in source.families]
        kept = tuple(p for p in drawn if p is not None)
        if kept:
            note = _response_note(source, found, axis)
            blocks.append(Gallery(f"Inner {primary} against the {axis}", kept, True, note=note, vital=axis == "ratio"))
    # Only a grid asks every fold for the same candidates: nothing else has values to average and lay out.
    grid = found if not source.study.tuning.search_method.is_drawn else found.iloc[:0]
    maps = tuple(p for p in (_map(source, own) for _, own in groups(grid, *ARM)) if p is not None)
    if maps:
        note = "The framed cell is the best; a candidate that did not apply in every fold is left empty."
        blocks.append(Gallery(f"Inner {primary} over ratio and k", maps, note=note, folded=len(maps) > OPEN))
    peaks, lead = _peaks(source, grid)
    blocks += [peaks] if peaks.lines else []
    lead.append(
        "These are inner values: they steer the search on validation folds and are no estimate of the test score; the "
        "optimism panel says how far off they are."
    )
    return Section("response", TITLE, tuple(lead), tuple(blocks), "Ratio and k")


def optimism(source: Source) -> Section:
    """Inner values of the winners beside the outer scores."""
    study, title = source.study, "Optimism: inner beside outer scores"
    primary = next(m for m in study.measures if m.name == study.primary)
    pooled = measures.function_of(primary, allow=None) if measures.is_counted(primary) else None
    found = tuning.optimism(source.frame, study.primary, pooled)
    if found.empty:
        return Section("optimism", title, ("Nothing was tuned in this study.",), (), "Optimism")
    panels, lines_ = [], []
    for (d, n), own in groups(found, "dataset", "learner"):
        arms = own.to_dict("records")
        given = [Row(r["strategy"], r["strategy"], r["outer"], ring=r["inner"]) for r in arms]
        said = f"Inner and outer {named(study.primary)} of {len(given)} tuned strategies on {d} with {n}."
        figure = draw_rows(slug("optimism", d, n), f"{d}, {n}", said, given, source.strategies, named(study.primary))
        panels.append(Panel(figure, source.picks(d, n)))
        for r in arms:
            numbers = (num(r["inner"]), num(r["outer"]), diff(r["optimism"]), whole(r["cells"]))
            lines_.append(source.line((d, n, r["strategy"]), *numbers))
    sign = 1 if primary.greater_is_better else -1
    worst = found.iloc[int((sign * found.optimism).argmax())]
    where = f"{worst.strategy} on {worst.dataset} with {worst.learner}"
    lead: tuple[str, ...] = (
        f"The inner {named(study.primary)} of the chosen candidate differed from its outer score by "
        f"{diff(float(found.optimism.mean())).text} on average; it flattered most for {where} "
        f"({diff(float(worst.optimism)).text}). Only outer scores are results.",
    )
    if pooled is not None:
        lead += ("Both sides rest on confusion counts summed over folds, so that they are the same kind of number.",)
    columns = header("arm", "inner", "outer", ("optimism", "inner − outer"), ("cells", "folds"))
    table = Table("optimism", "Inner and outer", columns, tuple(lines_))
    gallery = Gallery("From inner (ring) to outer (dot)", tuple(panels))
    return Section("optimism", title, lead, (gallery, table), "Optimism")


def stability(source: Source) -> Section:
    """How steady the chosen knobs and thresholds were."""
    found, title = tuning.chosen(source.frame), "Stability of the choices"
    cuts = _cuts(source)
    if found.empty and not cuts:
        return Section("stability", title, ("Nothing was chosen in this study.",), (), "Stability")
    lines_ = []
    for r in found.to_dict("records"):
        said = ", ".join(f"{v:g} × {n}" if isinstance(v, float | int) else f"{v} × {n}" for v, n in r["values"][:6])
        more = f" and {len(r['values']) - 6} more" if len(r["values"]) > 6 else ""
        cells = (words(r["knob"]), words(said + more), num(r["agreement"]), whole(r["cells"]))
        lines_.append(source.line((r["dataset"], r["learner"], r["strategy"]), *cells, more=r["knob"]))
    lead: tuple[str, ...] = (
        "A choice that differs from fold to fold says that the data cannot tell the candidates apart, and that no "
        "single "
        "value should be quoted as the best.",
    )
    if len(found):
        steady = int((found.agreement > 0.5).sum())
        lead += (f"{steady} of {len(found)} searched knobs took the same value in more than half of their folds.",)
    columns = header("arm", "knob", ("values", "chosen in folds"), "agreement", ("cells", "folds"))
    tables = [Table("chosen", "Chosen knobs", columns, tuple(lines_))] if lines_ else []
    if cuts:
        columns = header("arm", "median", ("low", "lowest"), ("high", "highest"))
        tables.append(Table("cuts", "Thresholds over folds", columns, tuple(cuts)))
    return Section("stability", title, lead, tuple(tables), "Stability")


def _response_note(source: Source, found: pd.DataFrame, axis: str) -> str:
    if source.study.tuning.search_method.is_drawn:
        return (
            "Each dot is one candidate in one outer fold: candidates differ from fold to fold, so nothing is averaged."
        )
    ks = sorted({p["k"] for p in found.params if "k" in p and axis in p}, key=lambda k: str(k).zfill(9))
    patterns = ("solid", "dashed", "dotted", "dash-dotted")
    said = ", ".join(f"k {k} {patterns[i % 4]}" for i, k in enumerate(ks))
    return f"Dots are candidates, averaged over outer folds{f': {said}' if len(ks) > 1 else ''}."


def _cuts(source: Source) -> list[Line]:
    return [
        source.line(
            (r.dataset, r.learner, r.strategy), num(r.threshold_median), num(r.threshold_low), num(r.threshold_high)
        )
        for _, r in source.summary.iterrows()
        if math.isfinite(r.threshold_median) and r.threshold_low < r.threshold_high
    ]


def _curve(source: Source, found: pd.DataFrame, dataset: str, learner: str, axis: str) -> Panel | None:
    curves = [c for s in source.strategies for c in _response_of(source, found, (dataset, learner, s), axis)]
    if not curves:
        return None
    n, positives = source.census[dataset]
    marks = [(positives / (n - positives), "natural"), (1.0, "1:1")] if axis == "ratio" and 0 < positives < n else []
    marks = [(at, f"{said} {at:.2g}" if said == "natural" else said) for at, said in marks]
    across = scale_around([*np.concatenate([c.x for c in curves]), *(at for at, _ in marks)], 0.0, 1.0, "log")
    upwards = scale_around(np.concatenate([c.y for c in curves]), 0.0, 1.0, margin=0.15)
    primary, title = named(source.study.primary), f"{dataset}, {learner}"
    words_ = "ratio of minority to majority rows" if axis == "ratio" else axis
    axes = Axes(*place_in_plot(across, upwards), words_, f"inner {primary}")
    said = f"Inner {primary} against the {axis} on {title}, by strategy and k."
    name = slug("response", axis, dataset, learner)
    figure = draw_curves(name, title, said, axes, curves, source.strategies, Marks(x=tuple(marks)))
    return Panel(figure, source.picks(dataset, learner))


def _response_of(source: Source, found: pd.DataFrame, arm: tuple[str, str, str], axis: str) -> list[Curve]:
    """The curves of one arm, one a value of k; loose dots where candidates differ from cell to cell."""
    if source.study.tuning.search_method.is_drawn:
        x, y = tuning.scattered([r for r in source.rows if (r.dataset, r.learner, r.strategy) == arm], axis)
        return [Curve(arm[2], np.array(x), np.array(y), has_dots=True, has_line=False)] if x else []
    by_k = tuning.along(of(found, *arm), axis, "k", _greater(source))
    found_k = sorted(by_k.items(), key=lambda item: str(item[0]).zfill(9))
    return [
        Curve(arm[2], np.array(x), np.array(y), has_dots=True, dash=i % 4, note="" if k is None else f"k {k}")
        for i, (k, (x, y)) in enumerate(found_k)
    ]


def _map(source: Source, own: pd.DataFrame) -> Panel | None:
    """A heat map where both ratio and k took several values; other knobs at their best."""
    by_k = tuning.along(own, "ratio", "k", _greater(source))
    ks = sorted(k for k in by_k if isinstance(k, (int, float)))
    ratios = sorted({x for k in ks for x in by_k[k][0]})
    if len(ks) < 2 or not 2 <= len(ratios) <= MOST_COLUMNS:
        return None
    values = np.full((len(ks), len(ratios)), math.nan)
    for i, k in enumerate(ks):
        for x, y in zip(*by_k[k], strict=True):
            values[i, ratios.index(x)] = y
    first = own.iloc[0]
    at = np.unravel_index(int(np.nanargmax(values if _greater(source) else -values)), values.shape)
    primary = named(source.study.primary)
    title = f"{first.dataset}, {first.learner}: {first.strategy}"
    said = f"Inner {primary} of {title} from {np.nanmin(values):.3f} to {np.nanmax(values):.3f} over ratio and k."
    name = slug("map", first.dataset, first.learner, first.strategy)
    columns, rows_ = [f"{r:g}" for r in ratios], [f"{k:g}" for k in ks]
    figure = draw_heat_map(name, title, said, values, columns, rows_, ("ratio", "k"), (int(at[0]), int(at[1])))
    return Panel(figure, source.picks(first.dataset, first.learner, first.strategy))


def _peaks(source: Source, found: pd.DataFrame) -> tuple[Table, list[str]]:
    """Where the inner metric peaks, and what 1:1 loses against that."""
    sign, primary = 1 if _greater(source) else -1, named(source.study.primary)
    lines_, lost = [], []
    for (d, learner, s), own in groups(found, *ARM):
        x, y = tuning.along(own, "ratio", greater_is_better=_greater(source)).get(None, ([], []))
        if len(x) < 2:
            continue
        best = int(np.argmax(sign * np.array(y)))
        at_one = y[x.index(1.0)] if 1.0 in x else math.nan
        loss = sign * (y[best] - at_one)
        lost += [loss] if math.isfinite(loss) else []
        lines_.append(source.line((d, learner, s), num(x[best]), num(y[best]), num(at_one), num(loss)))
    value = ("value", f"inner {primary}")
    columns = header("arm", ("ratio", "best ratio"), value, ("even", "at 1:1"), ("loss", "lost at 1:1"))
    lead = []
    if lost:
        inside = sum(v > 0 for v in lost)
        lead.append(
            f"The inner {primary} peaked below 1:1 in {inside} of {len(lost)} searches; going on to 1:1 lost "
            f"{spans(lost)} against the peak (median {np.median(lost):.3f})."
        )
    return Table("peaks", "The best ratio, and 1:1", columns, tuple(lines_)), lead


def _greater(source: Source) -> bool:
    return next(m for m in source.study.measures if m.name == source.study.primary).greater_is_better
