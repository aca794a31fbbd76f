"""Calibration of the predicted probabilities, their prior correction, and over-balancing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imblab.analysis import tuning
from imblab.analysis.evidence import NEARER_TO_MAJORITY
from imblab.analysis.methods import named
from imblab.core import decisions
from imblab.edges.figures.axes import Axes, Scale, scale_around
from imblab.edges.figures.curve_plot import Curve, Marks, draw_curves, place_in_plot
from imblab.edges.figures.row_plot import DotRow, draw_rows
from imblab.edges.report.data import MISSING_EVIDENCE, ReportData, strategy_table
from imblab.edges.report.elements import (
    MAX_OPEN_BLOCKS,
    Gallery,
    Panel,
    ReportSection,
    Table,
    columns,
    file_name,
    score_cell,
    text_cell,
)
from imblab.edges.report.scores import PROBABILITY_RATIO
from imblab.result import Family, Place
from imblab.study import Learner, Strategy
from imblab.text import capitalise, format_range, join_words

#: Statistics of calibration and their labels.
_STATISTICS = {
    **{"brier": "Brier", "brier_skill": "Brier skill", "log_loss": "log loss", "ece": "ECE", "slope": "slope"},
    **{"intercept": "intercept (with slope)", "observed_expected": "observed / expected"},
    "mean_risk_ratio": PROBABILITY_RATIO,
}
#: Statistics that prior correction changes.
_CORRECTED = ("brier", "log_loss", "mean_risk_ratio")


@dataclass(frozen=True, slots=True)
class _PriorCorrection:
    """The prior correction of one strategy."""

    place: Place
    kind: str  # ``exact``, ``approximate`` or ``inapplicable`` with the reason
    reason: str  # the reason alone
    before: Mapping[str, float]
    after: Mapping[str, float]  # statistics of calibration, as ``before``; empty for an inapplicable one


def calibration_section(data: ReportData) -> ReportSection | None:
    """Build calibration plots and statistics, before and after prior correction; None without two classes anywhere."""
    if not data.has_two_classes:
        return None
    title = "Calibration of the predicted probabilities"
    if data.evidence is None:
        return ReportSection("calibration", title, (MISSING_EVIDENCE,), (), "Calibration")
    corrections = _prior_corrections(data)
    lead = (
        "The test predictions of each repeat are pooled and divided into ten bins of equal size; dots on the diagonal "
        "mean that the observed shares equal the predicted probabilities. Axes are on a square-root scale, since most "
        "rows have small probabilities.",
        "Resampling and weights change the prevalence that the learner sees: its probabilities then tend to be too "
        "high.",
        *_describe_corrections(corrections),
        *data.not_for_classes(),
    )
    panels = tuple(panel for panel in (_draw_reliability(data, family) for family in data.families) if panel)
    note = "Above the diagonal: probabilities too low. Below: too high."
    gallery = Gallery("Observed share against predicted probability", panels, True, note=note)
    blocks = (gallery, _statistics_table(data), *_correction_blocks(data, corrections))
    return ReportSection("calibration", title, lead, blocks, "Calibration")


def balance_section(data: ReportData) -> ReportSection:
    """Build recall, precision and probabilities against the ratio that the learner received."""
    ratios = {place: tuning.received_ratio(data.evaluations_of[place]) for place in data.places()}
    excess = data.evidence_index.statistic("calibration", "mean_risk_ratio")
    nearer = data.evidence_index.statistic("synthetic", NEARER_TO_MAJORITY) | _mean_over_classes(data)
    lines = []
    for place, ratio in ratios.items():
        row = data.summary_of[place]
        scores = [score_cell(row[m]) if m in row else text_cell("") for m in ("recall", "precision")]
        cells = score_cell(ratio), *scores, score_cell(excess.get(place)), score_cell(nearer.get(place))
        lines.append(data.line(place, *cells))
    header = columns(
        *(("received", "ratio received"), "recall", "precision", ("risk", PROBABILITY_RATIO)),
        ("nearer", f"synthetic rows nearer to {'another class, mean' if data.classes else 'the majority'}"),
    )
    table = strategy_table("balance", "Ratio received, and its effects", header, lines)
    blocks: list[Gallery] = []
    for measure in ("recall", "precision"):
        if measure in data.result.summary:
            values = {place: float(row[measure]) for place, row in data.summary_of.items()}
            blocks.append(_balance_gallery(data, ratios, values, measure, measure))
    if excess:
        blocks.append(_balance_gallery(data, ratios, excess, PROBABILITY_RATIO, "risk"))
    lead = tuple(_describe_balance(data, excess, nearer))
    return ReportSection("balance", "Over-balancing", lead, (*blocks, table))


def _prior_corrections(data: ReportData) -> list[_PriorCorrection]:
    """The strategies whose learner saw another prevalence than the real one, corrected or not."""
    strategies = {s.name: s for s in data.study.strategies}
    learners = {n.name: n for n in data.study.learners}
    before, after = (data.evidence_index.statistics_of(kind) for kind in ("calibration", "prior"))
    corrections = []
    for place in data.places():
        strategy, learner = strategies.get(place[2]), learners.get(place[1])
        if strategy is None or learner is None or place not in before:
            continue
        is_weighted = strategy.weight is not None or "weight" in strategy.space
        if strategy.sampler is not None or is_weighted or learner.traits.rebalances:
            reason = "" if place in after else _uncorrected_reason(strategy, learner)
            is_approximate = strategy.sampler is not None and strategy.prior_correction == "approximate"
            kind = f"inapplicable: {reason}" if reason else "approximate" if is_approximate else "exact"
            corrections.append(_PriorCorrection(place, kind, reason, before[place], after.get(place, {})))
    return corrections


def _uncorrected_reason(strategy: Strategy, learner: Learner) -> str:
    """Return why a strategy has no prior correction."""
    if strategy.calibration != "none":
        return f"calibrated already ({strategy.calibration})"
    return decisions.prior_inapplicable_reason(strategy, learner) or "no probabilities"


def _correction_blocks(data: ReportData, corrections: Sequence[_PriorCorrection]) -> list[Table | Gallery]:
    panels, lines = [], []
    has_ranking = "pr_auc" in data.result.summary
    both = [c for c in corrections if c.after and "brier" in c.before]
    on_axis = [values["brier"] for c in both for values in (c.before, c.after)]
    for family in data.families:
        rows = [
            DotRow(data.label_of[c.place[2]], c.place[2], c.after["brier"], ring=c.before["brier"])
            for c in both
            if c.place[:2] == family
        ]
        if rows:
            where, (name, title) = " with ".join(family), (file_name("prior", *family), ", ".join(family))
            words = f"Brier score of {len(rows)} strategies on {where} before and after prior correction."
            figure = draw_rows(name, title, words, rows, data.looks, named("brier"), on_axis=on_axis)
            panels.append(data.panel(figure, *family))
    for c in corrections:
        ranking = [score_cell(data.summary_of[c.place]["pr_auc"])] if has_ranking else []
        pairs = [score_cell(values.get(name)) for name in _CORRECTED for values in (c.before, c.after)]
        lines.append(data.line(c.place, text_cell(c.kind), *ranking, *pairs))
    pairs_header = [p for n in _CORRECTED for p in ((n, f"{_STATISTICS[n]}, before"), (f"prior_{n}", "after"))]
    ranking_header = [("pr_auc", f"{named('pr_auc')}, before and after")] if has_ranking else []
    header = columns("correction", *ranking_header, *pairs_header)
    note = "Strategies that differ in the threshold alone have the same probabilities, and so the same row."
    gallery = Gallery("Brier score from before (ring) to after (dot)", tuple(panels), note=note)
    table = strategy_table("prior", "Before and after prior correction", header, lines)
    return [*([gallery] if panels else []), table] if lines else []


def _describe_corrections(corrections: Sequence[_PriorCorrection]) -> Iterator[str]:
    if not corrections:
        return
    yield (
        "Prior correction is p = a q / (a q + b (1 − q)); a and b are the real shares of positive and of negative rows "
        "over those that the learner received. It keeps the order of the rows, so that PR-AUC and ROC-AUC do not "
        "change; only the probabilities do."
    )
    corrected = [c for c in corrections if not c.reason]
    changes = [
        c.after["brier"] - c.before["brier"] for c in corrected if math.isfinite(c.before.get("brier", math.nan))
    ]
    ratios = [
        [values.get("mean_risk_ratio", math.nan) for values in column]
        for column in ([c.before for c in corrected], [c.after for c in corrected])
    ]
    if changes and np.isfinite(ratios).all():
        spans = [format_range(values, "{:.2f}".format) for values in ratios]
        yield (
            f"It lowered the Brier score of {sum(v < 0 for v in changes)} of {len(changes)} strategies that resample "
            f"or weight. Their mean probability was {spans[0]} times the prevalence before, and {spans[1]} times after."
        )
    if any(c.kind == "approximate" for c in corrected):
        yield "It is approximate where a sampler generates rows, which changes the distributions of the classes too."
    for reason in dict.fromkeys(c.reason for c in corrections if c.reason):
        names = dict.fromkeys(c.place[2] for c in corrections if c.reason == reason)
        yield f"Not applicable to {join_words(names)}: {reason}."


def _mean_over_classes(data: ReportData) -> dict[Place, float]:
    """Means over classes of the share of synthetic rows nearer to another class; of data sets with more than two."""
    shares = data.evidence_index.statistics_of("synthetic").items()
    return {place: float(np.mean([*values.values()])) for place, values in shares if place[0] in data.classes}


def _describe_balance(data: ReportData, excess: Mapping[Place, float], nearer: Mapping[Place, float]) -> list[str]:
    sentences = [
        "Ratio received is positives over negatives in the rows the learner was fitted on, weights included. At a "
        "fixed threshold, going towards 1:1 usually raises recall, lowers precision and inflates the probabilities."
    ]
    if data.classes:
        sentences.append(
            "With more than two classes it is the smallest over the largest class, and recall and precision are means "
            "over classes."
        )
    finite = {place: value for place, value in excess.items() if math.isfinite(value)}
    if finite:
        dataset, learner, strategy = largest = max(finite, key=lambda place: finite[place])
        sentences.append(
            f"The mean predicted probability reached {finite[largest]:.1f} times the prevalence ({strategy} on "
            f"{dataset} with {learner})."
        )
    if nearer:
        shares = format_range(nearer.values(), "{:.0%}".format)
        where = "a real majority row than to a minority row"
        where = "a real row of another class than to one of their own" if data.classes else where
        sentences.append(f"Of the synthetic rows, {shares} were nearer to {where}.")
    return sentences if data.evidence is not None else [*sentences, MISSING_EVIDENCE]


def _balance_gallery(
    data: ReportData, ratios: Mapping[Place, float], values: Mapping[Place, float], label: str, name: str
) -> Gallery:
    drawn = (_draw_balance(data, ratios, values, family, (label, name)) for family in data.families)
    panels, is_first = tuple(panel for panel in drawn if panel), name == "recall"
    folded = len(panels) > MAX_OPEN_BLOCKS and not is_first
    return Gallery(f"{capitalise(label)} against the ratio received", panels, is_first, folded=folded)


def _draw_balance(
    data: ReportData,
    ratios: Mapping[Place, float],
    values: Mapping[Place, float],
    family: Family,
    label_and_name: tuple[str, str],
) -> Panel | None:
    label, name = label_and_name
    places = [p for p in data.places(*family) if math.isfinite(values.get(p, math.nan)) and ratios[p] > 0]
    natural = data.natural_ratio(family[0])
    if not places or natural is None:
        return None
    x = scale_around([natural, 1.0, *(ratios[p] for p in places)], 0.0, 1.0, "log")
    y = Scale(0.0, max(1.0, *(1.1 * values[p] for p in places)), 0.0, 1.0)
    shares = "smallest / largest class" if family[0] in data.classes else "positives / negatives"
    axes = Axes(*place_in_plot(x, y), f"ratio received ({shares})", label)
    curves = [Curve(p[2], np.array([ratios[p]]), np.array([values[p]]), has_dots=True) for p in places]
    words = f"{label} against the ratio received by {len(places)} strategies on {' with '.join(family)}."
    prevalence = ((1.0, "equal to the prevalence"),) if name == "risk" else ()
    marks = Marks(((natural, f"natural {natural:.2g}"), (1.0, "1:1")), prevalence)
    file, title = file_name("balance", name, *family), ", ".join(family)
    return data.panel(draw_curves(file, title, words, axes, curves, data.looks, marks), *family)


def _draw_reliability(data: ReportData, family: Family) -> Panel | None:
    bins = {p[2]: data.evidence_index.bins[p] for p in data.places(*family) if p in data.evidence_index.bins}
    if not bins:
        return None
    curves = [Curve(s, b[:, 1] / b[:, 0], b[:, 2] / b[:, 0], has_dots=True) for s, b in bins.items()]
    unit = Scale(0.0, 1.0, 0.0, 1.0, "sqrt")
    axes = Axes(*place_in_plot(unit, unit), "mean predicted probability", "observed share")
    words = f"Observed share of positives against predicted probability of {len(curves)} strategies on "
    words += f"{' with '.join(family)}."
    name, title, marks = file_name("calibration", *family), ", ".join(family), Marks(diagonal=True)
    return data.panel(draw_curves(name, title, words, axes, curves, data.looks, marks), *family)


def _statistics_table(data: ReportData) -> Table:
    statistics = data.evidence_index.statistics_of("calibration")
    names = [n for n in _STATISTICS if any(math.isfinite(values.get(n, math.nan)) for values in statistics.values())]
    lines = [
        data.line(place, *(score_cell(statistics.get(place, {}).get(n)) for n in names)) for place in data.places()
    ]
    note = (
        "Means over repeats. Brier skill is relative to always predicting the training prevalence; slope, intercept "
        "(of the fit that has the slope) and ECE need 100 rows of either class. Calibration in the large is observed / "
        "expected."
    )
    header = columns(*((n, _STATISTICS[n]) for n in names))
    return strategy_table("calibration", "Calibration", header, lines, note)
