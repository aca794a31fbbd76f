"""Curves from the evidence: precision-recall, ROC, and measures against the threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from imblab.analysis.methods import named
from imblab.core import measures
from imblab.edges.figures.axes import UNIT_SCALE, Axes, Figure, Scale
from imblab.edges.figures.curve_plot import ChosenThreshold, Curve, Marks, draw_curves, place_in_plot
from imblab.edges.report.data import MISSING_EVIDENCE, ReportData, strategy_table
from imblab.edges.report.elements import Gallery, ReportSection, Table, columns, file_name, score_cell
from imblab.result import Family, Place
from imblab.stats import counts
from imblab.stats.curves import (
    FoldCounts,
    MeanCurve,
    mean_gain,
    mean_net_benefit,
    mean_over_thresholds,
    mean_precision_recall,
    mean_roc,
    net_benefit_of_all,
)
from imblab.study import DECISION_VALUE
from imblab.text import capitalise

#: Mean curves by strategy.
Bands = Mapping[str, MeanCurve]
#: Characters that the curves of a report may take together, and that one point takes.
_MAX_CHARACTERS, _CHARACTERS_PER_POINT = 1_800_000, 11
_MIN_POINTS, _MAX_POINTS = 20, 99
#: Where an axis of scores may end.
_AXIS_ENDS = (0.1, 0.2, 0.5, 1.0)
#: Curves beyond which they are drawn without their bands.
_MAX_BANDS = 240
#: Strategies up to which all bands are visible; else those of one baseline and of the best other strategy are.
_MAX_VISIBLE_BANDS = 3
_BASELINES = ("threshold", "none")
#: Share of the axis below which the curves of a panel are so low that the axis gets a square-root scale.
_SQRT_BELOW = 0.25
#: Kinds of figures of curves, which share the characters that they may take.
_N_KINDS = 8
#: The measure that is not one of a study, and its axis.
_ALERTS, _ALERT_AXIS = "alerts per 1,000 rows", Scale(0.0, 1000.0, 0.0, 1.0, "sqrt")
#: Where the axis of net benefit ends.
_LOWEST_BENEFIT = -0.25


@dataclass(frozen=True, slots=True)
class _FigureKind:
    """A kind of figure of mean curves."""

    name: str  # beginning of the names of its files
    labels: tuple[str, str]  # of the x and the y axis
    average: Callable[[Sequence[FoldCounts]], MeanCurve]  # of the folds of one strategy
    mark: Callable[[Family, Bands], tuple[str, Marks]]  # the description and the marks of a figure
    note: str = ""  # stands below the gallery
    y: Scale | None = None  # None for the axis that holds all curves
    x: Scale | None = None  # None for an axis from 0 to 1
    needs_probabilities: bool = False  # leaves out learners with decision values


def operating_section(data: ReportData) -> ReportSection | None:
    """Build the view of thresholds: precision-recall curves, counts, a threshold to move; None without two classes."""
    if not data.has_two_classes:
        return None
    title = "Operating view: thresholds, counts and alerts"
    if not data.evidence_index.folds:
        return ReportSection("thresholds", title, (MISSING_EVIDENCE,), (_count_table(data),), "Operating view")
    lead = [
        "Markers are the thresholds that inner folds chose. Curves against the threshold show test scores if one "
        "threshold were used for all folds: a row is called positive when its probability reaches it. They are "
        "computed on test rows and choose nothing.",
        *data.not_for_classes(),
    ]
    if learners := data.decision_value_learners():
        lead.append(f"Decision values d of {learners}, which give no probabilities, are shown as 1 / (1 + exp(-d)).")
    galleries = [threshold_gallery(data, m, i == 0) for i, m in enumerate((*counted_measures(data), _ALERTS))]
    first = precision_recall_gallery(data)
    return ReportSection("thresholds", title, tuple(lead), (first, _count_table(data), *galleries), "Operating view")


def precision_recall_gallery(data: ReportData) -> Gallery:
    """Draw precision against recall, with the points at the chosen thresholds."""
    note = _explain_bands(data)
    return _gallery(data, "Precision against recall", _precision_recall(data), note, legend=True, vital=True)


def threshold_gallery(data: ReportData, measure: str, is_first: bool = True) -> Gallery:
    """Draw a measure of counts against the threshold; the first such gallery of a page is explained."""
    name = _ALERTS if measure == _ALERTS else named(measure)
    note = f"{_explain_bands(data)} Markers are median thresholds."
    kind, is_folded = _against_threshold(data, measure), not is_first and len(data.families) > 4
    options = {"legend": is_first, "slider": is_first, "folded": is_folded, "vital": is_first}
    heading = f"{capitalise(name)} against the threshold"
    return _gallery(data, heading, kind, note if is_first else "", **options)


def ranking_section(data: ReportData) -> ReportSection | None:
    """Build ROC curves, cumulative gain, net benefit and the areas under curves; None without two classes anywhere."""
    if not data.has_two_classes:
        return None
    title, short = "ROC, cumulative gain and net benefit", "Curves"
    if not data.evidence_index.folds:
        return ReportSection("curves", title, (MISSING_EVIDENCE,), (), short)
    note = _explain_bands(data)
    lead = (
        "How well each strategy ranks the rows, at any threshold. Two strategies that differ in the threshold alone "
        "have the same curves. The dashed diagonal is chance.",
        "Net benefit (Vickers and Elkin 2006) is what acting from a threshold on is worth, if one false alert costs "
        "t / (1 - t) of one positive that is found; 1 is to find all of them without a false alert, 0 is to do "
        "nothing, and the dashed line is to act on every row.",
        *data.not_for_classes(),
    )
    blocks = (
        _gallery(data, "ROC", _roc(data), note, legend=True),
        _gallery(data, "Cumulative gain", _gain(data), folded=len(data.families) > 4),
        _gallery(data, "Net benefit per positive row", _benefit(data), folded=len(data.families) > 4),
        _area_table(data),
    )
    return ReportSection("curves", title, lead, tuple(b for b in blocks if isinstance(b, Table) or b.panels), short)


def counted_measures(data: ReportData) -> list[str]:
    """Return the measures of counts that are drawn: the one that chooses thresholds, precision, recall."""
    counted = {m.name for m in data.study.measures if measures.is_counted(m)}
    first = data.study.primary if data.study.primary in counted else data.study.protocol.threshold_measure
    return [name for name in dict.fromkeys((first, "precision", "recall")) if name in counted]


def _gallery(data: ReportData, heading: str, kind: _FigureKind, note: str = "", **options: Any) -> Gallery:
    """Draw one figure per data set and learner, all with the same axes."""
    bands: dict[Family, dict[str, MeanCurve]] = {}
    probable = {n.name for n in data.study.learners if n.traits.gives_probabilities}
    for family in data.families:
        if kind.needs_probabilities and family[1] not in probable:
            continue
        places = [place for place in data.places(*family) if place in data.evidence_index.folds]
        if places:
            bands[family] = {place[2]: kind.average(data.evidence_index.folds[place]) for place in places}
    y = _common_scale(data, bands.values()) if kind.y is None else kind.y
    panels = tuple(
        data.panel(_draw(data, kind, family, by_strategy, y), *family) for family, by_strategy in bands.items()
    )
    axes = " The vertical axis is common to these figures and has a square-root scale." if y.kind == "sqrt" else ""
    return Gallery(heading, panels, note=f"{note} {kind.note}{axes}".strip(), **options)


def _precision_recall(data: ReportData) -> _FigureKind:
    def mark(family: Family, bands: Bands) -> tuple[str, Marks]:
        folds = [fold for s in bands for fold in data.evidence_index.folds[(*family, s)]]
        chance = float(np.mean([f.prevalence for f in folds]))
        points = _chosen_points(data, family, bands, counts.recall, counts.precision, ("recall", "precision"))
        where = f"{len(bands)} strategies on {' with '.join(family)}"
        words = f"Precision against recall of {where}; chance is {chance:.3f}."
        return words, Marks(y=((chance, f"chance {chance:.3f}"),), chosen=points)

    grid = np.linspace(0.01, 1.0, _n_points(len(data.evidence_index.folds)))
    note = "Markers are mean recall and precision at the chosen thresholds; they need not lie on the mean curve."
    return _FigureKind("pr", ("recall", "precision"), lambda folds: mean_precision_recall(folds, grid), mark, note)


def _roc(data: ReportData) -> _FigureKind:
    def mark(family: Family, bands: Bands) -> tuple[str, Marks]:
        rates = ("false positive rate", "true positive rate")
        points = _chosen_points(data, family, bands, _false_positive_rate, counts.recall, rates)
        words = f"ROC curves of {len(bands)} strategies on {' with '.join(family)}; the diagonal is chance."
        return words, Marks(diagonal=True, chosen=points)

    # Closer points where few negatives are called.
    grid = np.linspace(0.0, 1.0, _n_points(len(data.evidence_index.folds))) ** 2
    labels = ("false positive rate", "true positive rate")
    note = "Markers are the mean rates at the chosen thresholds."
    return _FigureKind("roc", labels, lambda folds: mean_roc(folds, grid), mark, note, UNIT_SCALE)


def _gain(data: ReportData) -> _FigureKind:
    def mark(family: Family, bands: Bands) -> tuple[str, Marks]:
        words = f"Recall when a share of the rows is inspected, of {len(bands)} strategies on {' with '.join(family)}."
        return words, Marks(diagonal=True)

    grid = np.linspace(0.0, 1.0, _n_points(len(data.evidence_index.folds))) ** 2
    labels = ("share of the rows inspected, the most probable first", "recall")
    return _FigureKind("gain", labels, lambda folds: mean_gain(folds, grid), mark, "", UNIT_SCALE)


def _benefit(data: ReportData) -> _FigureKind:
    """Net benefit over prevalence, so that data sets have one axis; not of learners without probabilities."""
    grid = np.unique(np.round(np.linspace(0.1, 0.95**0.5, min(40, _n_points(len(data.evidence_index.folds)))) ** 2, 2))

    def per_positive(folds: Sequence[FoldCounts], values: np.ndarray) -> np.ndarray:
        return values / float(np.mean([f.prevalence for f in folds]))

    def average(folds: Sequence[FoldCounts]) -> MeanCurve:
        curve = mean_net_benefit(folds, grid)
        return MeanCurve(grid, *(per_positive(folds, v) for v in (curve.mean, curve.low, curve.high)))

    def mark(family: Family, bands: Bands) -> tuple[str, Marks]:
        folds = data.evidence_index.folds[(*family, next(iter(bands)))]
        everything = per_positive(folds, net_benefit_of_all(folds, grid))
        inside = everything >= _LOWEST_BENEFIT
        words = f"Net benefit over prevalence of {len(bands)} strategies on {' with '.join(family)}."
        return words, Marks(y=((0.0, ""),), lines=((grid[inside], everything[inside]),))

    x, y = Scale(0.01, 1.0, 0.0, 1.0, "sqrt"), Scale(_LOWEST_BENEFIT, 1.0, 0.0, 1.0)
    labels = ("threshold", "net benefit / prevalence")
    note = f"Lines below −{-_LOWEST_BENEFIT:g} are drawn there; below 0, acting costs more than it gains."
    return _FigureKind("benefit", labels, average, mark, note, y, x, True)


def _against_threshold(data: ReportData, measure: str) -> _FigureKind:
    def mark(family: Family, bands: Bands) -> tuple[str, Marks]:
        points = []
        for strategy, band in bands.items():
            chosen = _median_threshold(data, (*family, strategy))
            y = float(np.interp(chosen, band.x, band.mean)) if band.x[0] <= chosen <= band.x[-1] else math.nan
            points.append(ChosenThreshold(strategy, chosen, y, f"threshold {chosen:.2f}"))
        words = f"{label} against the threshold of {len(bands)} strategies on {' with '.join(family)}."
        return words, Marks(threshold=0.5, chosen=tuple(points))

    n_points = _n_points(len(data.families) * len(data.strategies))
    step = next(s for s in (1, 2, 4, 5) if 99 / s <= n_points or s == 5)
    grid = np.arange(step, 100, step) / 100
    function: Callable[..., np.ndarray] = counts.alerts_per_thousand
    y: Scale | None = _ALERT_AXIS
    if measure != _ALERTS:
        function, y = measures.function_of(next(m for m in data.study.measures if m.name == measure), allow=None), None
    name, label = ("alerts", _ALERTS) if measure == _ALERTS else (measure, named(measure))

    def average(folds: Sequence[FoldCounts]) -> MeanCurve:
        return mean_over_thresholds(folds, grid, function)

    return _FigureKind(f"threshold-{name}", ("threshold", label), average, mark, y=y)


def _draw(data: ReportData, kind: _FigureKind, family: Family, bands: Bands, y: Scale) -> Figure:
    words, marks = kind.mark(family, bands)
    axes = Axes(*place_in_plot(kind.x or UNIT_SCALE, y), *kind.labels)
    has_bands, visible = _has_bands(data), _visible_bands(data, family, bands)
    curves = []
    for strategy, band in bands.items():
        low, high = (band.low, band.high) if has_bands else (None, None)
        curves.append(Curve(strategy, band.x, band.mean, low, high, has_quiet_band=strategy not in visible))
    return draw_curves(file_name(kind.name, *family), ", ".join(family), words, axes, curves, data.looks, marks)


def _chosen_points(
    data: ReportData,
    family: Family,
    strategies: Iterable[str],
    x: Callable[..., np.ndarray],
    y: Callable[..., np.ndarray],
    labels: tuple[str, str],
) -> tuple[ChosenThreshold, ...]:
    """Two mean measures of counts over folds, at the thresholds that each strategy chose."""
    points = []
    for strategy in strategies:
        means = []
        for function in (x, y):
            rows = [row for row in data.evaluations_of[(*family, strategy)] if row.status == "ok" and row.counts]
            values = np.array([float(function(*(row.counts[n] for n in ("tn", "fp", "fn", "tp")))) for row in rows])
            means.append(float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else math.nan)
        words = ", ".join(f"{label} {value:.3f}" for label, value in zip(labels, means, strict=True))
        points.append(ChosenThreshold(strategy, means[0], means[1], words))
    return tuple(points)


def _false_positive_rate(tn: int, fp: int, fn: int, tp: int) -> np.ndarray:
    return 1 - counts.specificity(tn, fp, fn, tp)


def _median_threshold(data: ReportData, place: Place) -> float:
    """The median threshold over folds, on the scale of probabilities; NaN without one."""
    values = [
        float(expit(row.single_threshold)) if row.scale == DECISION_VALUE else float(row.single_threshold)
        for row in data.evaluations_of[place]
        if row.status == "ok" and row.single_threshold is not None
    ]
    return float(np.median(values)) if values else math.nan


def _has_bands(data: ReportData) -> bool:
    return len(data.families) * len(data.strategies) <= _MAX_BANDS


def _visible_bands(data: ReportData, family: Family, bands: Bands) -> set[str]:
    if len(bands) <= _MAX_VISIBLE_BANDS:
        return set(bands)
    means = {s: data.sign * data.summary_of[(*family, s)]["mean"] for s in bands}
    others = [s for s in bands if s not in _BASELINES and means[s] == means[s]]
    # The two baselines rank the rows alike: one band stands for both.
    baseline = next((s for s in _BASELINES if s in bands), None)
    return {s for s in (baseline, max(others, key=lambda s: means[s], default=None)) if s is not None}


def _explain_bands(data: ReportData) -> str:
    if not _has_bands(data):
        return "Mean over folds."
    text = "Lines are means over folds; a band holds the middle half of the folds (first to third quartile)."
    if len(data.strategies) <= _MAX_VISIBLE_BANDS:
        return text
    baseline = next((s for s in _BASELINES if s in data.strategies), "no baseline")
    return (
        f"{text} Bands are drawn for {baseline} and for the other strategy with the best {data.primary_label}; point "
        f"at a curve or a name, or pick at most {_MAX_VISIBLE_BANDS} strategies, to see others."
    )


def _count_table(data: ReportData) -> Table:
    """Confusion counts per 1,000 test rows at the chosen thresholds, means over folds."""
    lines = []
    for place in data.places():
        rows = [row for row in data.evaluations_of[place] if row.status == "ok" and row.counts]
        if rows:
            cells = np.array([[row.counts[n] for n in ("tn", "fp", "fn", "tp")] for row in rows], dtype=float)
            tn, fp, fn, tp = (1000 * cells / cells.sum(axis=1, keepdims=True)).mean(axis=0)
            values = (_median_threshold(data, place), tp + fp, tp, fp, fn, tn)
            lines.append(data.line(place, *(score_cell(float(v)) for v in values)))
    names = (("tp", "true alerts"), ("fp", "false alerts"), ("fn", "missed"), ("tn", "left alone"))
    header = columns(("threshold", "median threshold"), "alerts", *names)
    return strategy_table("counts", "Alerts and confusion counts per 1,000 rows", header, lines)


def _area_table(data: ReportData) -> Table:
    chance = data.evidence_index.statistics_of("chance")
    lines = []
    for place in data.places():
        if place in data.evidence_index.folds:
            areas = np.array([fold.areas() for fold in data.evidence_index.folds[place]])
            pr_auc, roc_auc = (score_cell(areas[:, i].mean()) for i in (0, 1))
            lines.append(data.line(place, pr_auc, score_cell(chance.get(place, {}).get("pr_auc")), roc_auc))
    header = columns(("pr_auc", "PR-AUC"), ("chance", "PR-AUC of chance"), ("roc_auc", "ROC-AUC"))
    note = "Chance is the expected average precision of the same scores if the labels were assigned at random."
    return strategy_table("areas", "Areas under the curves, mean over folds", header, lines, note)


def _n_points(n_curves: int) -> int:
    """How many points a curve may have so that all of them fit the page."""
    per_point = _CHARACTERS_PER_POINT * (3 if n_curves <= _MAX_BANDS else 1)
    return int(min(_MAX_POINTS, max(_MIN_POINTS, _MAX_CHARACTERS / (max(n_curves, 1) * _N_KINDS * per_point))))


def _common_scale(data: ReportData, families: Iterable[Bands]) -> Scale:
    """An axis that holds every mean and band; square roots keep low curves of a data set readable next to high ones."""
    names = ("mean", "low", "high") if _has_bands(data) else ("mean",)
    values = [np.concatenate([getattr(b, n) for b in bands.values() for n in names]) for bands in families]
    tops = [float(np.nanmax(v, initial=0.0)) for v in values] or [1.0]
    low = min(0.0, *(float(np.nanmin(v, initial=0.0)) for v in values), 0.0)
    end = next((e for e in _AXIS_ENDS if e >= max(tops)), max(tops))
    return Scale(low, end, 0.0, 1.0, "sqrt" if low == 0.0 and min(tops) < _SQRT_BELOW * end else "linear")
