"""Prior correction: what it undoes of resampling and weights, and that it moves no rank."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from imblab.analysis.methods import named
from imblab.edges.figures import Row, draw_rows
from imblab.edges.report.model import Gallery, Line, Panel, Source, Table, header, num, of, slug, spans, words
from imblab.study import Learner, Strategy
from imblab.text import join_words

Arm = tuple[str, str, str]
Named = Mapping[Arm, Mapping[str, float]]
#: What the correction changes, and its words.
STATISTICS = {"brier": "Brier", "log_loss": "log loss", "mean_risk_ratio": "risk / prevalence"}


def before_and_after(source: Source, before: Named, after: Named) -> tuple[list[str], list[Table | Gallery]]:
    """Sentences, figures and a table on the arms that taught their learner another prevalence.

    Parameters
    ----------
    source : Source
    before, after : mapping
        Statistics of calibration by arm; an arm that cannot be corrected is in the first one alone.

    Returns
    -------
    tuple of (list of str, list of Table or Gallery)
        Nothing where no strategy resamples or weights.
    """
    strategies = {s.name: s for s in source.study.strategies}
    learners = {n.name: n for n in source.study.learners}
    asked = {
        (d, n, s): why_not(strategies[s], learners[n], (d, n, s) in after)
        for d, n in source.families
        for s in source.arms(d, n)
        if (d, n, s) in before and _moves(strategies.get(s), learners.get(n))
    }
    if not asked:
        return [], []
    done = [arm for arm, why in asked.items() if not why]
    lines = [_line(source, arm, why, strategies[arm[2]], before, after) for arm, why in asked.items()]
    pairs = [pair for n, word in STATISTICS.items() for pair in ((n, f"{word}, before"), (f"prior_{n}", "after"))]
    ranking = (("pr_auc", f"{named('pr_auc')}, before and after"),) if "pr_auc" in source.summary else ()
    columns = header("arm", "correction", *ranking, *pairs)
    table = Table("prior", "Before and after prior correction", columns, tuple(lines))
    panels = [_panel(source, d, n, [a for a in done if a[:2] == (d, n)], before, after) for d, n in source.families]
    kept = tuple(p for p in panels if p is not None)
    note = "Strategies that differ in the threshold alone have the same risks, and so the same row."
    gallery = Gallery("Brier score from before (ring) to after (dot)", kept, note=note)
    return _said(done, asked, strategies, before, after), [*([gallery] if kept else []), table]


def why_not(strategy: Strategy, learner: Learner, applied: bool) -> str:
    """Why an arm was not corrected; empty where it was.

    Examples
    --------
    >>> why_not(Strategy("smote_prior", calibration="prior"), Learner("logistic", {}), applied=False)
    'calibrated already (prior)'
    """
    if applied:
        return ""
    if strategy.calibration != "none":
        return f"calibrated already ({strategy.calibration})"
    if learner.rebalances:
        return f"{learner.name} balances by itself"
    if strategy.sampler is not None and strategy.prior_correction in (None, "inapplicable"):
        return "the sampler chooses rows by their place"
    return "no probabilities"


def _moves(strategy: Strategy | None, learner: Learner | None) -> bool:
    """Whether a learner is taught another prevalence than the real one."""
    if strategy is None or learner is None:
        return False
    weighted = strategy.weight is not None or "weight" in strategy.space
    return strategy.sampler is not None or weighted or learner.rebalances


def _kind(strategy: Strategy) -> str:
    return "approximate" if strategy.sampler is not None and strategy.prior_correction == "approximate" else "exact"


def _line(source: Source, arm: Arm, why: str, strategy: Strategy, before: Named, after: Named) -> Line:
    cells = [words(f"inapplicable: {why}" if why else _kind(strategy))]
    if "pr_auc" in source.summary:
        cells.append(num(of(source.summary, *arm).pr_auc.iloc[0]))
    for n in STATISTICS:
        cells += [num(before[arm].get(n)), num(after.get(arm, {}).get(n))]
    return source.line(arm, *cells)


def _panel(source: Source, dataset: str, learner: str, arms: list[Arm], before: Named, after: Named) -> Panel | None:
    given = [Row(a[2], a[2], after[a]["brier"], ring=before[a]["brier"]) for a in arms if "brier" in before[a]]
    if not given:
        return None
    said = f"Brier score of {len(given)} strategies on {dataset} with {learner} before and after prior correction."
    name, title = slug("prior", dataset, learner), f"{dataset}, {learner}"
    return Panel(draw_rows(name, title, said, given, source.strategies, named("brier")), source.picks(dataset, learner))


def _said(
    done: list[Arm], asked: Mapping[Arm, str], strategies: Mapping[str, Strategy], before: Named, after: Named
) -> list[str]:
    said = [
        "Prior correction is p = a q / (a q + b (1 − q)); a and b are the real shares of positive and of negative rows "
        "over those that the learner received. It puts no row before another, so that PR-AUC and ROC-AUC before are "
        "those after; it changes the risks alone."
    ]
    brier = [after[a]["brier"] - before[a]["brier"] for a in done if math.isfinite(before[a].get("brier", math.nan))]
    risks = [[found[a].get("mean_risk_ratio", math.nan) for a in done] for found in (before, after)]
    if brier and np.isfinite(risks).all():
        said.append(
            f"It lowered the Brier score in {sum(v < 0 for v in brier)} of {len(brier)} arms that resample or weight, "
            f"and took their mean risk from {spans(risks[0], '{:.2f}')} times the prevalence to "
            f"{spans(risks[1], '{:.2f}')}."
        )
    if any(_kind(strategies[s]) == "approximate" for _, _, s in done):
        said.append(
            "It is approximate where a sampler makes new rows: those move the distributions of the classes too."
        )
    reasons: dict[str, list[str]] = {}
    for arm, why in asked.items():
        if why:
            reasons.setdefault(why, []).append(arm[2])
    said += [f"Inapplicable to {join_words(dict.fromkeys(arms))}: {why}." for why, arms in reasons.items()]
    return said
