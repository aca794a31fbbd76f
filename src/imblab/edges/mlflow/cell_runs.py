"""The numbers, knobs and words of one data set, learner and strategy: the run that teams compare."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence as evidences
from imblab.analysis.text_tables import percent
from imblab.core import measures
from imblab.result import Evaluation
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import Choice, Interval, Measure, Scalar, Strategy, Study
from imblab.text import format_score

#: Of these, and of the primary measure, the differences to the reference arms are shown.
GAIN_MEASURES = ("mcc", "pr_auc", "recall")
BASELINES = ("none", "threshold")
Metric = tuple[str, float, int]
Fold = tuple[int, int]


def cell_metrics(
    study: Study, arms: Mapping[str, Sequence[Evaluation]], strategy: str, timed: bool
) -> Iterator[Metric]:
    """The scores of one strategy beside those of its family.

    Parameters
    ----------
    study : Study
    arms : mapping of str to sequence of Evaluation
        The rows of one data set and learner by strategy.
    strategy : str
    timed : bool
        Whether folds follow the time: no interval then.

    Yields
    ------
    (key, value, step)
    """
    members = arms[strategy]
    folds = _folds(study, arms)
    for measure in study.measures:
        values = _scores(members, measure.name)
        if not values:
            continue
        yield measure.name, float(np.mean(list(values.values()))), 0
        if len(values) > 1:
            yield f"{measure.name}_std", float(np.std(list(values.values()), ddof=1)), 0
        yield from _interval(measure.name, _estimate(study, members, values, folds, timed))
        if measures.is_counted(measure):
            yield from _pooled(measure, members)
        for (repeat, fold), value in sorted(values.items()):
            yield f"fold/{measure.name}", value, repeat * study.protocol.outer_folds + fold
    yield from _gains(study, arms, strategy, folds, timed)
    yield from _chosen(study, members)


def cost_metrics(members: Sequence[Evaluation]) -> Iterator[Metric]:
    """Seconds, fits and how many rows ended how."""
    yield "seconds", float(sum(row.seconds for row in members)), 0
    yield "fits", float(sum(row.fits for row in members)), 0
    for status in ("ok", "failed", "inapplicable"):
        yield f"n_{status}", float(sum(row.status == status for row in members)), 0


def cell_params(study: Study, members: Sequence[Evaluation]) -> dict[str, str]:
    """What was asked under the knob's name, what was chosen, fold by fold, under ``chosen.*``."""
    strategy = next((s for s in study.strategies if s.name == members[0].strategy), None)
    learner = next((item for item in study.learners if item.name == members[0].learner), None)
    found = {"dataset": members[0].dataset, "learner": members[0].learner, "strategy": members[0].strategy}
    if strategy is not None:
        found |= _asked(strategy)
    if learner is not None:
        found["learner.make"] = json.dumps(learner.make, default=dict)
    chosen: dict[str, list[str]] = {}
    for row in members:
        for name, value in {**row.params, "threshold": row.threshold}.items():
            if value is not None:
                chosen.setdefault(f"chosen.{name}", []).append(knob_text(value))
    return found | {name: ", ".join(values) for name, values in chosen.items()}


def cell_note(study: Study, members: Sequence[Evaluation], verdict: str, first: bool = False) -> str:
    """The verdict of the family, and what was chosen in every fold as a table.

    Parameters
    ----------
    study : Study
    members : sequence of Evaluation
    verdict : str
        What is said of the family; while evaluations are missing, that.
    first : bool, default=False
        Whether it stands before the scores.
    """
    scores = list(_scores(members, study.primary).values())
    lines = [verdict, ""] if verdict and first else []
    if scores:
        spread = f" ± {format_score(float(np.std(scores, ddof=1)))}" if len(scores) > 1 else ""
        lines.append(f"**{study.primary} {format_score(float(np.mean(scores)))}{spread}** over {len(scores)} folds")
    lines += ["", verdict] if verdict and not first else []
    failed = {row.error for row in members if row.status != "ok" and row.error}
    lines += ["", *(f"- {reason}" for reason in sorted(failed))] if failed else []
    names = [n for n in dict.fromkeys(n for row in members for n in row.params)]
    header = ["repeat", "fold", *names, "threshold", f"inner {study.primary}", study.primary]
    lines += ["", _line(header), _line(["---"] * len(header))]
    for row in members:
        values = [*(row.params.get(name) for name in names), row.threshold, row.value, row.scores.get(study.primary)]
        lines.append(_line([str(row.repeat), str(row.fold), *("-" if v is None else _short(v) for v in values)]))
    lines += ["", f"Intervals cover {percent(study)}: Nadeau and Bengio's corrected t, unadjusted."]
    return "\n".join(lines).strip()


def dataset_input(members: Sequence[Evaluation], spec: Mapping[str, Any]) -> dict[str, str]:
    """The data set of a cell: our own hash of the whole table, what it is, and what its test parts held."""
    first = members[0]
    source = {k: spec[k] for k in ("kind", "table", "parent") if k in spec}
    counted = [row.counts for row in members if row.repeat == first.repeat and row.counts]
    profile = {
        "num_rows": sum(sum(counts.values()) for counts in counted),
        "num_positives": sum(counts["tp"] + counts["fn"] for counts in counted),
        "counted_in": "the test parts of one repeat",
    }
    return {
        "name": first.dataset,
        "digest": first.data_fingerprint[:36],  # the longest that MLflow keeps
        "source": json.dumps({"sha256": first.data_fingerprint, **source}, default=str),
        "profile": json.dumps(profile),
    }


def knob_text(value: Scalar) -> str:
    """A knob as text: short, and a number where it is one."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _asked(strategy: Strategy) -> dict[str, str]:
    found = {}
    for knob, setting in strategy.knobs.items():
        value = setting.text() if isinstance(setting, Choice | Interval) else setting
        found[knob] = value if isinstance(value, str) else json.dumps(value, default=dict)
    if strategy.calibration != "none":
        found["calibration"] = strategy.calibration
    if strategy.sampler is not None:
        found["sampler"] = str(strategy.sampler["_target_"])
    return found


def _pooled(measure: Measure, members: Sequence[Evaluation]) -> Iterator[Metric]:
    """A measure of the counts summed over all folds: descriptive, since folds choose their own knobs."""
    counted = [row.counts for row in members if row.status == "ok" and row.counts]
    function = measures.function_of(measure, allow=None)
    try:
        value = float(function(*(sum(counts[name] for counts in counted) for name in ("tn", "fp", "fn", "tp"))))
    except measures.MeasureFailed:
        return
    if math.isfinite(value):
        yield f"pooled/{measure.name}", value, 0


def _gains(
    study: Study, arms: Mapping[str, Sequence[Evaluation]], strategy: str, folds: Sequence[Fold], timed: bool
) -> Iterator[Metric]:
    """The differences to the reference arms, where every fold has a score in both."""
    known = [m.name for m in study.measures]
    for base in (b for b in BASELINES if b in arms and b != strategy):
        for name in (n for n in dict.fromkeys((study.primary, *GAIN_MEASURES)) if n in known):
            mine, theirs = _scores(arms[strategy], name), _scores(arms[base], name)
            if any(fold not in mine or fold not in theirs for fold in folds):
                continue
            found = _estimate(study, arms[strategy], {f: mine[f] - theirs[f] for f in folds}, folds, timed)
            yield f"gain_{base}/{name}", found.mean, 0
            yield from _interval(f"gain_{base}/{name}", found)


def _chosen(study: Study, members: Sequence[Evaluation]) -> Iterator[Metric]:
    """What the search chose, fold by fold, and what it promised."""
    values = [row.value for row in members if row.value is not None]
    if values:
        yield f"inner/{study.primary}", float(np.mean(values)), 0
    for row in members:
        if row.threshold is not None:
            yield "fold/threshold", row.threshold, row.repeat * study.protocol.outer_folds + row.fold


def _estimate(
    study: Study, members: Sequence[Evaluation], values: Mapping[Fold, float], folds: Sequence[Fold], timed: bool
) -> Estimate:
    """The corrected interval of a mean over folds; without one where a fold is missing or folds follow the time."""
    if timed:
        return Estimate.untested(float(np.mean([values.get(f, math.nan) for f in folds])), "folds follow the time")
    rows = {(row.repeat, row.fold): row for row in members}
    sizes = [(rows[f].n_train, rows[f].n_test) if f in rows else (math.nan, math.nan) for f in folds]
    train, test = ([pair[i] for pair in sizes] for i in (0, 1))
    return corrected_t([values.get(f, math.nan) for f in folds], train, test, study.claims.alpha)


def _interval(name: str, found: Estimate) -> Iterator[Metric]:
    if not math.isnan(found.low):
        yield f"{name}_ci_low", found.low, 0
        yield f"{name}_ci_high", found.high, 0


def _scores(members: Sequence[Evaluation], measure: str) -> dict[Fold, float]:
    """The scores of the folds that have one."""
    found = {(r.repeat, r.fold): r.scores.get(measure) for r in members if r.status == "ok"}
    return {fold: value for fold, value in found.items() if value is not None}


def _folds(study: Study, arms: Mapping[str, Sequence[Evaluation]]) -> list[Fold]:
    """Every fold the study asks for, and those the rows have beyond; see ``analysis.arms.folds_of``."""
    asked = {(r, f) for r in range(study.protocol.repeats) for f in range(study.protocol.outer_folds)}
    return sorted(asked | {(row.repeat, row.fold) for members in arms.values() for row in members})


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


#: Curves by name: what MLflow overlays, step = threshold x 1000.
CURVES = {"curve_mcc": measures.mcc, "curve_precision": measures.precision, "curve_recall": measures.recall}
#: Every hundredth where rare classes have their cuts, then every second one: a point costs a row of the database.
CURVE_THRESHOLDS = tuple(i / 100 for i in (*range(1, 20), *range(20, 99, 2)))


def curve_metrics(frame: pd.DataFrame | None, dataset: str, learner: str) -> dict[str, Sequence[Metric]]:
    """The curves and the calibration of every strategy of a data set and learner.

    Parameters
    ----------
    frame : DataFrame or None
        As :mod:`imblab.analysis.evidence` builds it.
    dataset, learner : str

    Returns
    -------
    dict of str to sequence of (key, value, step)
        A curve is the mean over the test parts, as the headline is; where it is undefined in all of them it has no
        point. Calibration is the mean over repeats.
    """
    if frame is None:
        return {}
    own = frame[(frame.dataset == dataset) & (frame.learner == learner)]
    if own.empty:
        return {}
    found: dict[str, list[Metric]] = {}
    for name, rows in evidences.confusion_table(own, CURVE_THRESHOLDS).groupby("strategy", sort=False):
        found[str(name)] = _curves(rows)
    stated = own[own.kind == "calibration"]
    for at, rows in stated.groupby(["strategy", "name"], sort=False, observed=True):
        strategy, name = (str(part) for part in at)
        if rows.x.notna().any():
            found.setdefault(strategy, []).append((f"calibration/{name}", float(rows.x.mean()), 0))
    return dict(found)


def _curves(rows: pd.DataFrame) -> list[Metric]:
    cuts = np.unique(rows.threshold)
    # One row a test part, one column a cut.
    shape = (-1, len(cuts))
    counts = [rows[name].to_numpy().reshape(shape) for name in ("tn", "fp", "fn", "tp")]
    points: list[Metric] = []
    for name, function in CURVES.items():
        values = function(*counts)
        defined = np.isfinite(values)
        sums, n = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
        points += [(name, float(s / k), round(1000 * c)) for s, k, c in zip(sums, n, cuts, strict=True) if k]
    return points
