"""The runs of a study as values, from its result: one for the study, one per cell, those of its searches below.

A cell is a data set, learner and strategy: the run that teams compare. ``docs/mlflow.md`` explains every name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence, outer_splits
from imblab.analysis.outer_splits import count_outer_folds, describe_protocol, untested_reason
from imblab.analysis.paired import BASELINES, strategy_scores
from imblab.core import measures
from imblab.edges.mlflow import notes
from imblab.edges.mlflow.runs import (
    ADDRESSES_TAG,
    ALERTS,
    CURVE_METRICS,
    RANK_PREFIX,
    STATUSES,
    InnerScores,
    Metric,
    RunSpec,
    addresses_tag,
    class_metrics,
    class_profile,
    class_table,
    class_tags,
    describe_search,
    distinguishing_names,
    fold_step,
    knob_text,
    splits_of,
    threshold_values,
)
from imblab.edges.palette import line_colour, looks_of
from imblab.result import Evaluation, FamilyScores, Place, StudyResult
from imblab.stats import counts
from imblab.stats.paired_tests import EstimateArray, estimate_contrasts
from imblab.study import COORDINATES, Choice, Interval, Measure, Strategy, Study, fingerprint

#: Measures whose gains over the baselines are logged, in addition to the primary one.
GAIN_MEASURES = ("mcc", "pr_auc", "recall")
#: Threshold curves: metric and function of the confusion counts. The step of a point is its threshold x 1000.
CURVES = dict(zip(CURVE_METRICS, (counts.mcc, counts.precision, counts.recall), strict=True))
#: Every hundredth where the thresholds of rare classes lie, then every second one: each point is a row of the database.
CURVE_THRESHOLDS = tuple(i / 100 for i in (*range(1, 20), *range(20, 99, 2)))
PLACE = [*COORDINATES[:3]]
#: MLflow shows a run in the colour of this tag.
COLOUR_TAG = "mlflow.runColor"
#: Characters of a digest that MLflow keeps.
MAX_DIGEST_CHARACTERS = 36


@dataclass(frozen=True, slots=True, eq=False)
class RunDetails:
    """Everything that runs show in addition to a result."""

    #: as :mod:`imblab.analysis.evidence` builds it, for threshold curves and calibration
    evidence: pd.DataFrame | None = None
    #: by the key of an evaluation, one mapping per trial: ``mcc``, ``pr_auc``, ``recall`` on the inner folds
    inner_scores: InnerScores = field(default_factory=dict)
    #: tags with the versions and the commit that the evaluations were made with
    origin: Mapping[str, str] = field(default_factory=dict)
    #: {"candidates", "table", "none"}: how candidates are logged: only ``candidates`` are runs below those of the cells
    search: str = "candidates"
    remarks: Sequence[str] = ()  # sentences for the description of the study
    is_running: bool = False  # whether the study is running: notes have no verdict then
    #: the labels of the data sets with more than two classes, by class index
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def describe_runs(result: StudyResult, question: Mapping[str, Any], details: RunDetails | None = None) -> list[RunSpec]:
    """Describe the runs of a study; a run follows the one above it, and undefined values are left out.

    ``question`` is the content of ``study.yaml``. Before the design is complete notes have no verdict, and begin with
    the number of evaluations that are there, and what is missing.
    """
    details = details or RunDetails()
    study, completeness = result.study, result.completeness
    commit = details.origin.get("git.commit")
    shared = {
        "imblab.study": study.name,
        "imblab.config": fingerprint(question),
        "imblab.primary": study.primary,
        "imblab.complete": str(not details.is_running and bool(result.scores) and completeness.is_complete).lower(),
        **details.origin,
        **({"mlflow.source.git.commit": commit} if commit else {}),
    }
    lead = notes.leading_sentences(result, details.is_running)
    verdicts = notes.verdict_sentences(result, details.is_running)
    note = notes.study_note(result, [*lead, *details.remarks], verdicts, details.is_running)
    runs = [_study_run(result, shared, note, details)]
    curves, answers = _curve_metrics(details.evidence), {} if details.is_running else notes.answer_tags(result)
    gains = {} if details.is_running else _primary_gain_intervals(result)
    for family, scores in result.scores.items():
        verdict = verdicts.get(family, " ".join(lead))
        ranks = {} if details.is_running else notes.rank_strategies(scores, study)
        gain_note = "" if details.is_running else notes.describe_gain_intervals(result, family)
        for row, strategy in enumerate(scores.strategies):
            labels = details.classes.get(scores.dataset, ())
            tags = {**shared, **class_tags(labels), **answers.get((*family, strategy), {})}
            rank = [(f"{RANK_PREFIX}{study.primary}", float(ranks[strategy]), 0)] if strategy in ranks else []
            further = *rank, *gains.get((*family, strategy), ()), *curves.get((*family, strategy), ())
            cell = _cell_run(study, scores, row, tags, further)
            note = notes.cell_note(study, scores, row, verdict, verdict_first=not completeness.is_complete)
            members, are_runs = scores.evaluations_of(strategy), details.search == "candidates"
            note = "\n\n".join(filter(None, [f"{note} {gain_note}".rstrip(), class_table(members, labels)]))
            searched = describe_search(study, members, details.inner_scores) if are_runs else ()
            runs += [replace(cell, note=note), *(_below(cell, run) for run in searched)]
    return runs


def run_colour(study: Study, strategy: str) -> str:
    """The colour of a strategy in the report, paler where the threshold is .5: MLflow draws lines without markers."""
    return line_colour(looks_of(study.strategies, [strategy])[strategy])


def _curve_metrics(frame: pd.DataFrame | None) -> dict[tuple[str, ...], list[Metric]]:
    """Threshold curves, means over test parts, and calibration, over repeats, by data set, learner and strategy."""
    if frame is None or frame.empty:
        return {}
    table = evidence.confusion_table(frame, CURVE_THRESHOLDS)
    metrics: dict[tuple[str, ...], list[Metric]] = {}
    for cell, rows in table.groupby(PLACE, sort=False, observed=True):
        metrics[tuple(map(str, cell))] = _curve_points(rows)
    statistics = frame[frame.kind == "calibration"]
    for place, values in statistics.groupby([*PLACE, "name"], sort=False, observed=True).x:
        *coordinates, name = map(str, place)
        if values.notna().any():
            metrics.setdefault(tuple(coordinates), []).append((f"calibration/{name}", float(values.mean()), 0))
    return metrics


def _curve_points(rows: pd.DataFrame) -> list[Metric]:
    thresholds = np.unique(rows.threshold)
    # Test parts x thresholds.
    confusion = [rows[name].to_numpy().reshape(-1, len(thresholds)) for name in ("tn", "fp", "fn", "tp")]
    points: list[Metric] = []
    for name, function in CURVES.items():
        values = function(*confusion)
        defined = np.isfinite(values)
        sums, n = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
        points += [(name, float(s / k), round(1000 * t)) for s, k, t in zip(sums, n, thresholds, strict=True) if k]
    return points


def _study_run(result: StudyResult, shared: Mapping[str, str], note: str, details: RunDetails) -> RunSpec:
    study, completeness = result.study, result.completeness
    evaluated = "running" if details.is_running else completeness.evaluated
    tags = {
        **{**shared, "imblab.evaluations": f"{evaluated} of {completeness.asked}", "imblab.seed": str(study.seed)},
        **{"imblab.protocol": describe_protocol(study), "imblab.search": study.tuning.method},
    }
    if not details.is_running:
        tags["imblab.candidates"] = "runs" if details.search == "candidates" else details.search
    metrics, seconds = tuple(_cost_metrics(result.evaluations)), _seconds(result.evaluations)
    return RunSpec("", study.name, "study", None, tags, {}, metrics, note, seconds=seconds)


def _cell_run(
    study: Study, scores: FamilyScores, row: int, shared: Mapping[str, str], further: Sequence[Metric]
) -> RunSpec:
    strategy = scores.strategies[row]
    members = scores.evaluations_of(strategy)
    place = {"dataset": scores.dataset, "learner": scores.learner, "strategy": strategy}
    rebalanced = outer_splits.rebalancing_note(study, scores.learner)
    tags = {
        **shared,
        **{f"imblab.{name}": value for name, value in place.items()},
        "imblab.data_fingerprint": members[0].data_fingerprint,
        "imblab.split_fingerprint": splits_of(members),
        ADDRESSES_TAG: addresses_tag(members),
        **({"imblab.rebalances": rebalanced} if rebalanced else {}),
        "imblab.rows": _rows_hash(members),
        COLOUR_TAG: run_colour(study, strategy),
    }
    name = ", ".join([strategy, *distinguishing_names(study, scores.dataset, scores.learner)])
    params = place | _cell_params(study, scores, row)
    metrics = *_score_metrics(study, scores, row), *class_metrics(study, members), *_cost_metrics(members)
    metrics = *metrics, *_alert_metric(members), *further
    data = _dataset_input(members, study.datasets.get(scores.dataset, {}))
    key, seconds = "/".join(place.values()), _seconds(members)
    return RunSpec(key, name, "cell", "", tags, params, metrics, data=data, seconds=seconds)


def _below(cell: RunSpec, run: RunSpec) -> RunSpec:
    """A run of the search below its cell, with the cell's coordinates."""
    coordinates = ("imblab.study", "imblab.dataset", "imblab.learner", "imblab.strategy", COLOUR_TAG)
    tags = {**{name: cell.tags[name] for name in coordinates}, **run.tags}
    # Calibration is not chosen by the search, but its scores are those after it.
    calibration = {name: cell.params[name] for name in ("calibration",) if name in cell.params}
    params = {**{name: cell.params[name] for name in PLACE}, **run.params, **calibration}
    return replace(run, key=f"{cell.key}/{run.key}", parent=cell.key, tags=tags, params=params)


def _score_metrics(study: Study, scores: FamilyScores, row: int) -> Iterator[Metric]:
    """Means, intervals, folds and gains of a strategy, and what its search chose."""
    strategy = scores.strategies[row]
    members = scores.evaluations_of(strategy)
    n_folds = count_outer_folds(study, scores.dataset)
    steps = [repeat * n_folds + fold for repeat, fold in scores.folds]
    values = {name: strategy_scores(scores, strategy, name) for name in study.measure_names}
    values = {name: each for name, each in values.items() if not np.isnan(each).all()}
    intervals = _estimates(study, scores, row, list(values.values()))
    for i, measure in enumerate(each for each in study.measures if each.name in values):
        name, defined = measure.name, ~np.isnan(values[measure.name])
        scored = values[name][defined]
        yield name, float(np.mean(scored)), 0
        if len(scored) > 1:
            yield f"{name}_std", float(np.std(scored, ddof=1)), 0
        yield from _interval_metrics(name, intervals, i)
        if measures.is_counted(measure):
            yield from _pooled_metric(measure, members)
        for step, value in zip(np.array(steps)[defined].tolist(), scored.tolist(), strict=True):
            yield f"fold/{name}", value, step
    yield from _gain_metrics(study, scores, row)
    promised = [each.value for each in members if each.value is not None]
    if promised:
        yield f"inner/{study.primary}", float(np.mean(promised)), 0
    for each in members:
        for name, value in threshold_values(each.threshold).items():
            yield f"fold/{name}", value, fold_step(study, each)


def _gain_metrics(study: Study, scores: FamilyScores, row: int) -> Iterator[Metric]:
    """Differences to the baselines, where every fold has a score in both; see :func:`_primary_gain_intervals`."""
    strategy, gains = scores.strategies[row], {}
    names = [n for n in dict.fromkeys((study.primary, *GAIN_MEASURES)) if n in study.measure_names]
    for baseline in (each for each in BASELINES if each in scores.strategies and each != strategy):
        for name in names:
            difference = strategy_scores(scores, strategy, name) - strategy_scores(scores, baseline, name)
            if not np.isnan(difference).any():
                gains[f"gain_{baseline}/{name}"] = difference
    intervals = _estimates(study, scores, row, list(gains.values()))
    for i, (name, difference) in enumerate(gains.items()):
        is_untested = untested_reason(study, scores.dataset) is not None
        yield name, float(np.mean(difference) if is_untested else intervals.mean[i]), 0
        if name.partition("/")[2] != study.primary:
            yield from _interval_metrics(name, intervals, i)


def _primary_gain_intervals(result: StudyResult) -> dict[Place, list[Metric]]:
    """Intervals of the gains in the primary measure, by data set, learner and strategy: those of the result.

    Their standard errors may need all evaluations. They are added at the end, so that a run never shows two of them.
    """
    metrics: dict[Place, list[Metric]] = {}
    for row, baseline, end in product(result.summary.to_dict("records"), BASELINES, ("low", "high")):
        value = float(row[f"gain_{baseline}_{end}"])
        if not math.isnan(value):
            place = str(row["dataset"]), str(row["learner"]), str(row["strategy"])
            metrics.setdefault(place, []).append((f"gain_{baseline}/{result.study.primary}_ci_{end}", value, 0))
    return metrics


def _estimates(study: Study, scores: FamilyScores, row: int, values: Sequence[np.ndarray]) -> EstimateArray:
    """Corrected intervals of means over folds; none where a fold is missing or differences have no test."""
    matrix = np.array(values, dtype=np.float64).reshape(len(values), len(scores.folds))
    estimates = estimate_contrasts(matrix, scores.n_train[row], scores.n_test[row], study.claims.alpha)
    nothing = np.full(len(values), math.nan)
    return replace(estimates, low=nothing, high=nothing) if untested_reason(study, scores.dataset) else estimates


def _interval_metrics(name: str, estimates: EstimateArray, i: int) -> Iterator[Metric]:
    if not math.isnan(estimates.low[i]):
        yield f"{name}_ci_low", float(estimates.low[i]), 0
        yield f"{name}_ci_high", float(estimates.high[i]), 0


def _pooled_metric(measure: Measure, members: Sequence[Evaluation]) -> Iterator[Metric]:
    """A measure of the counts summed over all folds: descriptive, since each fold chooses its own knobs."""
    counted = [each.matrix for each in members if each.status == "ok" and (each.counts or each.confusion)]
    try:
        value = float(measures.matrix_function_of(measure)(np.sum(counted, axis=0))) if counted else math.nan
    except measures.MeasureFailed:
        return
    if math.isfinite(value):
        yield f"pooled/{measure.name}", value, 0


def _cost_metrics(evaluations: Sequence[Evaluation]) -> Iterator[Metric]:
    yield "seconds", _seconds(evaluations), 0
    yield "fits", float(sum(each.fits for each in evaluations)), 0
    for status in STATUSES:
        yield f"n_{status}", float(sum(each.status == status for each in evaluations)), 0


def _alert_metric(evaluations: Sequence[Evaluation]) -> Iterator[Metric]:
    """Rows per 1,000 that are called positive: the mean over the outer test parts."""
    shares = [each.flagged for each in evaluations if each.status == "ok" and each.flagged is not None]
    if shares:
        yield ALERTS, 1000 * float(np.mean(shares)), 0


def _seconds(evaluations: Sequence[Evaluation]) -> float:
    return float(sum(each.seconds for each in evaluations))


def _cell_params(study: Study, scores: FamilyScores, row: int) -> dict[str, str]:
    """The requested knobs under their names, and the chosen ones, fold by fold, under ``chosen.*``."""
    name = scores.strategies[row]
    strategy = next((each for each in study.strategies if each.name == name), None)
    learner = next((each for each in study.learners if each.name == scores.learner), None)
    params = _requested_knobs(strategy) if strategy is not None else {}
    if learner is not None:
        params["learner.make"] = json.dumps(learner.make, default=dict)
    chosen: dict[str, list[str]] = {}
    for each in scores.evaluations_of(name):
        for knob, value in {**each.params, **threshold_values(each.threshold)}.items():
            chosen.setdefault(f"chosen.{knob}", []).append(knob_text(value))
    return params | {knob: ", ".join(values) for knob, values in chosen.items()}


def _requested_knobs(strategy: Strategy) -> dict[str, str]:
    """The fixed value or the space of every knob of a strategy."""
    params = {}
    for knob, setting in strategy.knobs.items():
        value = setting.text() if isinstance(setting, Choice | Interval) else setting
        params[knob] = value if isinstance(value, str) else json.dumps(value, default=dict)
    if strategy.calibration != "none":
        params["calibration"] = strategy.calibration
    if strategy.sampler is not None:
        params["sampler"] = str(strategy.sampler["_target_"])
    return params


def _dataset_input(members: Sequence[Evaluation], spec: Mapping[str, Any]) -> dict[str, str]:
    """The data set of a cell: imblab's hash of the full table, its source, and the rows of its test parts."""
    first = members[0]
    source = {key: spec[key] for key in ("kind", "table", "parent") if key in spec}
    of_repeat = [each for each in members if each.repeat == first.repeat]
    counted = [each.counts for each in of_repeat if each.counts]
    profile: dict[str, Any] = {
        "num_rows": sum(sum(each.values()) for each in counted),
        "num_positives": sum(each["tp"] + each["fn"] for each in counted),
    }
    if matrices := [each.matrix for each in of_repeat if each.confusion]:
        profile = class_profile(matrices)
    profile["counted_in"] = "the test parts of one repeat"
    return {
        "name": first.dataset,
        "digest": first.data_fingerprint[:MAX_DIGEST_CHARACTERS],
        "source": json.dumps({"sha256": first.data_fingerprint, **source}, default=str),
        "profile": json.dumps(profile),
    }


def _rows_hash(members: Sequence[Evaluation]) -> str:
    """Hash of what evaluations chose and scored."""
    names = ("fingerprint", "status", "error", "params", "threshold", "scores", "counts", "value")
    by_class = [[each.class_scores, each.confusion] for each in members if each.confusion]
    return fingerprint([*([getattr(each, name) for name in names] for each in members), *by_class])
