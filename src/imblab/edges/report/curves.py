"""Curves from the evidence: precision-recall, ROC, and measures against the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from imblab.analysis.methods import named
from imblab.core import measures
from imblab.edges.figures import Axes, Curve, Figure, Marks, Scale, draw_curves, place_in_plot
from imblab.edges.report.data import MISSING_EVIDENCE, ReportData, strategy_table
from imblab.edges.report.elements import Gallery, Panel, ReportSection, Table, columns, file_name, score_cell
from imblab.result import Family
from imblab.stats.curves import FoldCounts, MeanCurve, mean_over_thresholds, mean_precision_recall, mean_roc

FoldsByStrategy = Mapping[str, Sequence[FoldCounts]]
#: Characters that the curves of a report may take together, and that one point takes.
_MAX_CHARACTERS, _CHARACTERS_PER_POINT = 2_400_000, 11
_MIN_POINTS, _MAX_POINTS = 20, 99
#: Where an axis of scores may end.
_AXIS_ENDS = (0.1, 0.2, 0.5, 1.0)
#: Curves beyond which they are drawn without their bands.
_MAX_BANDS = 240
#: Strategies up to which all bands are visible; else those of one baseline and of the best other strategy are.
_MAX_VISIBLE_BANDS = 3
_BASELINES = ("threshold", "none")


def ranking_section(data: ReportData) -> ReportSection:
    """Build precision-recall and ROC curves with fold bands and chance lines."""
    title = "Precision-recall and ROC curves"
    if not data.evidence_index.folds:
        return ReportSection("curves", title, (MISSING_EVIDENCE,), (), "Curves")
    n_points = _n_points(len(data.evidence_index.folds))
    note = _explain_bands(data)
    lead = (
        "How well each strategy ranks the rows, at any threshold. Two strategies that differ in the threshold alone "
        "have the same curves. The dashed line is chance: under imbalance a random ranking has a precision equal to "
        "the share of positives."
    )
    blocks = (
        Gallery("Precision against recall", _panels(data, partial(_draw_pr, n_points)), True, note=note, vital=True),
        Gallery("ROC", _panels(data, partial(_draw_roc, n_points)), True, note=note),
        _area_table(data),
    )
    return ReportSection("curves", title, (lead,), blocks, "Curves")


def thresholds_section(data: ReportData) -> ReportSection:
    """Build measures against the threshold, with a threshold that a reader may move."""
    title = "Effect of the decision threshold"
    if not data.evidence_index.folds:
        return ReportSection("thresholds", title, (MISSING_EVIDENCE,), (), "Thresholds")
    galleries = []
    for i, measure in enumerate(_counted_measures(data)):
        name = named(measure)
        is_first = i == 0
        gallery = Gallery(
            f"{name[0].upper()}{name[1:]} against the threshold",
            _panels(data, partial(_draw_against_threshold, measure)),
            legend=is_first,
            slider=is_first,
            note=_explain_bands(data) if is_first else "",
            folded=not is_first and len(data.families) > 4,
            vital=is_first,
        )
        galleries.append(gallery)
    lead = [
        "Test scores if one threshold were used for all folds: a row is called positive when its probability reaches "
        "it. These curves are computed on test rows and choose nothing; thresholds were chosen on inner folds."
    ]
    if learners := data.decision_value_learners():
        lead.append(f"Decision values d of {learners}, which give no probabilities, are shown as 1 / (1 + exp(-d)).")
    return ReportSection("thresholds", title, tuple(lead), tuple(galleries), "Thresholds")


def _counted_measures(data: ReportData) -> list[str]:
    """The measures of counts that are drawn: the one that chooses thresholds, precision, recall."""
    counted = {m.name for m in data.study.measures if measures.is_counted(m)}
    first = data.study.primary if data.study.primary in counted else data.study.protocol.threshold_measure
    return [name for name in dict.fromkeys((first, "precision", "recall")) if name in counted]


def _panels(data: ReportData, draw: Callable[[ReportData, Family, FoldsByStrategy], Figure]) -> tuple[Panel, ...]:
    panels = []
    for family in data.families:
        places = [place for place in data.places(*family) if place in data.evidence_index.folds]
        folds = {place[2]: data.evidence_index.folds[place] for place in places}
        if folds:
            panels.append(Panel(draw(data, family, folds), data.picks(*family)))
    return tuple(panels)


def _draw_pr(n_points: int, data: ReportData, family: Family, folds: FoldsByStrategy) -> Figure:
    grid = np.linspace(0.01, 1.0, n_points)
    shares = [f.positives / (f.positives + f.negatives) for by_fold in folds.values() for f in by_fold]
    chance = float(np.mean(shares))
    bands = {s: mean_precision_recall(by_fold, grid) for s, by_fold in folds.items()}
    axes = Axes(*place_in_plot(_unit_scale(), _score_scale(bands)), "recall", "precision")
    words = f"Precision against recall of {len(folds)} strategies on {' with '.join(family)}; chance is {chance:.3f}."
    return _draw(data, "pr", family, words, axes, bands, Marks(y=((chance, f"chance {chance:.3f}"),)))


def _draw_roc(n_points: int, data: ReportData, family: Family, folds: FoldsByStrategy) -> Figure:
    grid = np.linspace(0.0, 1.0, n_points) ** 2  # closer points where few negatives are called
    bands = {s: mean_roc(by_fold, grid) for s, by_fold in folds.items()}
    axes = Axes(*place_in_plot(_unit_scale(), _unit_scale()), "false positive rate", "true positive rate")
    words = f"ROC curves of {len(folds)} strategies on {' with '.join(family)}; the diagonal is chance."
    return _draw(data, "roc", family, words, axes, bands, Marks(diagonal=True))


def _draw_against_threshold(measure: str, data: ReportData, family: Family, folds: FoldsByStrategy) -> Figure:
    n_points = _n_points(len(data.families) * len(data.strategies))
    step = next(s for s in (1, 2, 4, 5) if 99 / s <= n_points or s == 5)
    grid = np.arange(step, 100, step) / 100
    function = measures.function_of(next(m for m in data.study.measures if m.name == measure), allow=None)
    bands = {s: mean_over_thresholds(by_fold, grid, function) for s, by_fold in folds.items()}
    axes = Axes(*place_in_plot(_unit_scale(), _score_scale(bands)), "threshold", named(measure))
    words = f"{named(measure)} against the threshold of {len(folds)} strategies on {' with '.join(family)}."
    return _draw(data, f"threshold-{measure}", family, words, axes, bands, Marks(threshold=0.5))


def _draw(
    data: ReportData, kind: str, family: Family, words: str, axes: Axes, bands: Mapping[str, MeanCurve], marks: Marks
) -> Figure:
    has_bands, visible = _has_bands(data), _visible_bands(data, family, bands)
    curves = [
        Curve(
            strategy,
            band.x,
            band.mean,
            low=band.low if has_bands else None,
            high=band.high if has_bands else None,
            has_quiet_band=strategy not in visible,
        )
        for strategy, band in bands.items()
    ]
    return draw_curves(file_name(kind, *family), ", ".join(family), words, axes, curves, data.looks, marks)


def _has_bands(data: ReportData) -> bool:
    return len(data.families) * len(data.strategies) <= _MAX_BANDS


def _visible_bands(data: ReportData, family: Family, bands: Mapping[str, MeanCurve]) -> set[str]:
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
    text = "Lines are means over folds; a band spans the lowest to the highest fold."
    if len(data.strategies) <= _MAX_VISIBLE_BANDS:
        return text
    baseline = next((s for s in _BASELINES if s in data.strategies), "no baseline")
    return (
        f"{text} Bands are drawn for {baseline} and for the other strategy with the best {data.primary_label}; point "
        f"at a curve or a name, or pick at most {_MAX_VISIBLE_BANDS} strategies, to see others."
    )


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
    return int(min(_MAX_POINTS, max(_MIN_POINTS, _MAX_CHARACTERS / (max(n_curves, 1) * 5 * per_point))))


def _score_scale(bands: Mapping[str, MeanCurve]) -> Scale:
    """An axis from 0, or the lowest mean below it, to the first round value above every mean."""
    means = np.concatenate([band.mean for band in bands.values()])
    high = float(np.nanmax(means, initial=0.0))
    end = next((e for e in _AXIS_ENDS if e >= 1.05 * high), 1.0)
    return Scale(min(0.0, float(np.nanmin(means, initial=0.0))), end, 0.0, 1.0)


def _unit_scale() -> Scale:
    return Scale(0.0, 1.0, 0.0, 1.0)
