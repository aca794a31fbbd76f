"""Whether predicted risks are right, and what over-balancing does to them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from imblab.analysis import tuning
from imblab.edges.figures import Axes, Curve, Figure, Marks, Scale, draw_curves, place_in_plot, scale_around
from imblab.edges.report import priors
from imblab.edges.report.curves import MISSING
from imblab.edges.report.model import (
    OPEN,
    Gallery,
    Panel,
    Section,
    Source,
    Table,
    groups,
    header,
    num,
    of,
    slug,
    spans,
    words,
)
from imblab.result import Evaluation

ARM = ("dataset", "learner", "strategy")
Arm = tuple[str, str, str]
#: Statistics of calibration and their names.
STATISTICS = {"brier": "Brier", "brier_skill": "Brier skill", "log_loss": "log loss", "ece": "ECE", "slope": "slope"}
STATISTICS |= {
    "intercept": "intercept",
    "observed_expected": "observed / expected",
    "mean_risk_ratio": "risk / prevalence",
}


def calibration(source: Source) -> Section:
    """Calibration plots and statistics, before and after prior correction."""
    title = "Are the predicted risks right?"
    if source.evidence is None:
        return Section("calibration", title, (MISSING,), (), "Calibration")
    bins = _bins(source.evidence)
    drawn = [_reliability(source, bins, d, learner) for d, learner in source.families]
    before, after = _named(source.evidence, "calibration"), _named(source.evidence, "prior")
    table = _statistics(source, before)
    said, corrected = priors.before_and_after(source, before, after)
    lead = (
        "Each repeat's test predictions are pooled and cut into ten bins of equal size; dots on the diagonal say that "
        "the predicted risks came true. Axes are on a square-root scale, since most rows have small risks.",
        "Resampling and weights teach the learner another prevalence than the real one: its risks then tend to be "
        "too high.",
        *said,
    )
    note = "Above the diagonal: risks too low. Below: too high."
    gallery = Gallery(
        "Observed share against predicted risk", tuple(p for p in drawn if p is not None), True, note=note
    )
    return Section("calibration", title, lead, (gallery, table, *corrected), "Calibration")


def balance(source: Source) -> Section:
    """What the learner received, and what that did to recall, precision and risks."""
    title = "Over-balancing"
    by_arm: dict[Arm, list[Evaluation]] = {}
    for r in source.rows:
        by_arm.setdefault((r.dataset, r.learner, r.strategy), []).append(r)
    arms = [(d, learner, s) for d, learner in source.families for s in source.arms(d, learner)]
    ratios = {arm: tuning.received(by_arm[arm]) for arm in arms}
    risk, nearer = _risk(source), _nearer(source)
    lines_ = []
    for arm, ratio in ratios.items():
        own = of(source.summary, *arm).iloc[0]
        known = [num(own[m]) if m in own else words("") for m in ("recall", "precision")]
        lines_.append(source.line(arm, num(ratio), *known, num(risk.get(arm)), num(nearer.get(arm))))
    columns = header(
        "arm",
        ("received", "ratio received"),
        "recall",
        "precision",
        ("risk", "risk / prevalence"),
        ("nearer", "synthetic rows nearer to the majority"),
    )
    table = Table("balance", "What learners received, and what came of it", columns, tuple(lines_))
    blocks = [_against(source, ratios, measure) for measure in ("recall", "precision") if measure in source.summary]
    blocks += [_gallery(source, ratios, risk, "mean risk / prevalence", "risk")] if risk else []
    return Section("balance", title, tuple(_balance_lead(source, risk, nearer)), (*blocks, table), "Over-balancing")


def _balance_lead(source: Source, risk: dict[Arm, float], nearer: dict[Arm, float]) -> list[str]:
    lead = [
        "Ratio received is positives over negatives in the rows the learner was fitted on, weights included. At a "
        "fixed threshold, going towards 1:1 usually raises recall, lowers precision and inflates predicted risks."
    ]
    known = {arm: v for arm, v in risk.items() if math.isfinite(v)}
    if known:
        arm = max(known, key=lambda a: known[a])
        where = f"{arm[2]} on {arm[0]} with {arm[1]}"
        lead.append(f"The mean predicted risk reached {known[arm]:.1f} times the prevalence ({where}).")
    if nearer:
        shares = spans(list(nearer.values()), "{:.0%}")
        lead.append(f"Of the synthetic rows, {shares} lay nearer to a real majority row than to a real minority row.")
    if source.evidence is None:
        lead.append(MISSING)
    return lead


def _against(source: Source, ratios: dict[Arm, float], measure: str) -> Gallery:
    values = {(r.dataset, r.learner, r.strategy): float(r[measure]) for _, r in source.summary.iterrows()}
    return _gallery(source, ratios, values, measure, measure)


def _gallery(source: Source, ratios: dict[Arm, float], values: dict[Arm, float], label: str, name: str) -> Gallery:
    panels = [_scatter(source, ratios, values, d, learner, label, name) for d, learner in source.families]
    kept = tuple(
        Panel(f, source.picks(d, learner))
        for (d, learner), f in zip(source.families, panels, strict=True)
        if f is not None
    )
    first = name == "recall"
    return Gallery(
        f"{label[0].upper()}{label[1:]} against the ratio received", kept, first, folded=len(kept) > OPEN and not first
    )


def _scatter(
    source: Source,
    ratios: dict[Arm, float],
    values: dict[Arm, float],
    dataset: str,
    learner: str,
    label: str,
    name: str,
) -> Figure | None:
    arms = [(dataset, learner, s) for s in source.arms(dataset, learner)]
    points = [(a[2], ratios[a], values[a]) for a in arms if math.isfinite(values.get(a, math.nan)) and ratios[a] > 0]
    if not points:
        return None
    n, positives = source.census[dataset]
    natural = positives / (n - positives)
    x = scale_around([natural, 1.0, *(p[1] for p in points)], 0.0, 1.0, "log")
    high = max(1.0, *(1.1 * p[2] for p in points))
    axes = Axes(*place_in_plot(x, Scale(0.0, high, 0.0, 1.0)), "ratio received (positives / negatives)", label)
    curves = [Curve(s, np.array([r]), np.array([v]), has_dots=True) for s, r, v in points]
    said = f"{label} against the ratio received by {len(points)} strategies on {dataset} with {learner}."
    levels = ((1.0, "as the prevalence"),) if name == "risk" else ()
    extras = Marks(((natural, f"natural {natural:.2g}"), (1.0, "1:1")), levels)
    return draw_curves(
        slug("balance", name, dataset, learner), f"{dataset}, {learner}", said, axes, curves, source.strategies, extras
    )


def _reliability(source: Source, bins: dict[Arm, np.ndarray], dataset: str, learner: str) -> Panel | None:
    arms = [(dataset, learner, s) for s in source.arms(dataset, learner)]
    own = {arm[2]: bins[arm] for arm in arms if arm in bins}
    curves = [Curve(s, b[:, 1] / b[:, 0], b[:, 2] / b[:, 0], has_dots=True) for s, b in own.items()]
    if not curves:
        return None
    unit = Scale(0.0, 1.0, 0.0, 1.0, "sqrt")
    axes = Axes(*place_in_plot(unit, unit), "mean predicted risk", "observed share")
    said = (
        f"Observed share of positives against predicted risk of {len(curves)} strategies on {dataset} with {learner}."
    )
    name = slug("calibration", dataset, learner)
    figure = draw_curves(name, f"{dataset}, {learner}", said, axes, curves, source.strategies, Marks(diagonal=True))
    return Panel(figure, source.picks(dataset, learner))


def _statistics(source: Source, before: dict[Arm, dict[str, float]]) -> Table:
    shown = [n for n in STATISTICS if any(math.isfinite(found.get(n, math.nan)) for found in before.values())]
    lines_ = []
    for arm in ((d, n, s) for d, n in source.families for s in source.arms(d, n)):
        lines_.append(source.line(arm, *(num(before.get(arm, {}).get(n)) for n in shown)))
    columns = header("arm", *((n, STATISTICS[n]) for n in shown))
    note = (
        "Means over repeats. Brier skill is against always predicting the training prevalence; slope, intercept and "
        "ECE need 100 rows of either class."
    )
    return Table("calibration", "Calibration", columns, tuple(lines_), note)


def _risk(source: Source) -> dict[Arm, float]:
    found = {} if source.evidence is None else _named(source.evidence, "calibration")
    return {arm: values["mean_risk_ratio"] for arm, values in found.items() if "mean_risk_ratio" in values}


def _nearer(source: Source) -> dict[Arm, float]:
    found = {} if source.evidence is None else _named(source.evidence, "synthetic")
    return {arm: values["nearer_to_majority"] for arm, values in found.items()}


def _named(frame: pd.DataFrame, kind: str) -> dict[Arm, dict[str, float]]:
    """Means over folds or repeats of what has a name; a value that is missing once is missing."""
    found: dict[Arm, dict[str, float]] = {}
    for (d, n, s, name), own in groups(frame[frame.kind == kind], *ARM, "name"):
        found.setdefault((d, n, s), {})[name] = float(own.x.mean(skipna=False))
    return found


def _bins(frame: pd.DataFrame) -> dict[Arm, np.ndarray]:
    """Rows, sum of risks and positives of every bin, by arm: summed over repeats."""
    found: dict[Arm, dict[int, np.ndarray]] = {}
    for (d, n, s, name), own in groups(frame[frame.kind == "bin"], *ARM, "name"):
        found.setdefault((d, n, s), {})[int(name)] = own[["x", "y", "z"]].to_numpy().sum(axis=0)
    return {arm: np.array([bins[i] for i in sorted(bins)]) for arm, bins in found.items()}
