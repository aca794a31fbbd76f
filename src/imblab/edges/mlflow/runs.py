"""Runs as values: what one MLflow run shall hold, how long it lasts, which evaluations a cell's run rests on.

Those of inner searches are described here: one run per candidate or winner, and all trials as one table. With more than
two classes, runs hold scores, thresholds, rows and labels by class. MLflow's keys refuse characters that labels have,
so classes stand there by their index: ``recall/class_2``. 0 is the most frequent class, the last one the rarest; the
tag ``class_2`` holds the label.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis.outer_splits import count_outer_folds
from imblab.errors import ConfigError
from imblab.result import Evaluation, ThresholdValue, Trial
from imblab.study import COORDINATES, FITTED_KNOBS, Scalar, Study, fingerprint
from imblab.text import code_span, format_score

#: Metrics that differ between two runs of the same study, and do not belong to the content of a run.
VOLATILE_METRICS = ("seconds",)
#: Metrics of every run of a cell next to those of its measures. ``threshold`` is one of the folds.
STATUSES, ALERTS = ("ok", "failed", "inapplicable"), "alerts_per_1000"
CURVE_METRICS = ("curve_mcc", "curve_precision", "curve_recall")
OTHER_METRICS = ("seconds", "fits", *(f"n_{status}" for status in STATUSES), ALERTS, *CURVE_METRICS, "threshold")
#: What follows the name of a measure in further metrics of its own, without a prefix.
MEASURE_SUFFIXES = ("", "_std", "_ci_low", "_ci_high")
#: Begins the name of a metric that other runs decide: it is updated in a run whose content stays.
RANK_PREFIX = "rank/"
#: Fingerprints of the evaluations of a cell, shortened, which tell whether two folders hold the same ones.
ADDRESSES_TAG, MAX_ADDRESSES = "imblab.addresses", 500
#: Follows the fingerprint of a failed evaluation: a retry with changed code has another fingerprint.
FAILED_MARK = "!"
#: Key, value and step.
Metric = tuple[str, float, int]
#: Scores of a candidate on the inner folds, in addition to the value of the primary measure.
INNER_MEASURES = ("mcc", "pr_auc", "recall")
#: By the key of an evaluation, one mapping of scores per trial.
InnerScores = Mapping[str, Sequence[Mapping[str, float]]]
#: Measures whose values by class are logged.
CLASS_MEASURES = ("recall", "pr_auc")


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The intended content of one MLflow run."""

    key: str  # address below the study; empty for the run of the study itself
    name: str  # name in MLflow's lists
    role: str  # {"study", "cell", "candidate", "winner"}: kind of run
    parent: str | None  # key of the run above
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()  # metrics in the order in which they are written
    note: str = ""  # description in Markdown
    #: ``name``, ``digest``, ``source`` and ``profile`` of the data set; empty for none
    data: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # computing time, shown as the duration of the run

    @property
    def content(self) -> str:
        """Hash of everything that cannot be changed once a run is written; tags, note and ranks can."""
        metrics = [m for m in self.metrics if m[0] not in VOLATILE_METRICS and not m[0].startswith(RANK_PREFIX)]
        return fingerprint([self.name, self.role, self.params, metrics, self.data])

    @property
    def ranks(self) -> dict[str, float]:
        """The metrics that other runs decide."""
        return {name: value for name, value, _ in self.metrics if name.startswith(RANK_PREFIX)}

    def extends(self, begun: RunSpec) -> bool:
        """Whether this run holds everything of one that was begun, and perhaps more metrics."""
        same = (self.params, self.data, self.parent) == (begun.params, begun.data, begun.parent)
        return same and set(begun.metrics) <= set(self.metrics)


def run_lengths(runs: Sequence[RunSpec]) -> dict[str, int]:
    """Duration of every run in milliseconds, by key: its computing time, at least that of the runs below it."""
    below: dict[str, int] = {}
    lengths: dict[str, int] = {}
    for run in reversed(runs):
        lengths[run.key] = length = max(int(1000 * run.seconds), below.get(run.key, 0))
        if run.parent is not None:
            below[run.parent] = below.get(run.parent, 0) + length
    return lengths


def run_offsets(runs: Sequence[RunSpec]) -> dict[str, int]:
    """Start of every run in milliseconds after the run above it, by key.

    Evaluations say how long they took and not when, since a study has the same ones at any time. Runs are laid out as
    if one process had done one after the other, without overlap. The first of several begins last, since MLflow shows
    the newest run on top. The remaining time of the run above is spread among them, so that runs without a length have
    an order too.
    """
    lengths = run_lengths(runs)
    siblings: dict[str, list[RunSpec]] = {}
    for run in reversed(runs):
        if run.parent is not None:
            siblings.setdefault(run.parent, []).append(run)
    offsets = {run.key: 0 for run in runs}
    for parent, members in siblings.items():
        idle = max(0, lengths.get(parent, 0) - sum(lengths[run.key] for run in members))
        elapsed = 0
        for rank, run in enumerate(members):
            offsets[run.key] = elapsed + idle * rank // len(members)
            elapsed += lengths[run.key]
    return offsets


def mlflow_name(name: str) -> str:
    """A name in the characters that MLflow accepts: letters, digits, ``_ - . / :`` and blanks."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def check_metric_names(study: Study) -> None:
    """Refuse a measure whose name in MLflow is that of another metric of a cell: one would hide the other."""
    owners = dict.fromkeys(OTHER_METRICS, "every run of a cell")
    for measure in study.measures:
        names = [mlflow_name(f"{measure.name}{suffix}") for suffix in MEASURE_SUFFIXES]
        for name in (name for name in names if name in owners):
            # Of two measures, the one whose own name it is stands to be renamed.
            owner, named = owners[name], next((m.name for m in study.measures if m.name == name), measure.name)
            owner = f"measure {measure.name!r}" if named != measure.name else owner
            raise ConfigError(
                f"measure {named!r} would be logged as the MLflow metric {name!r}, which {owner} has for itself; a "
                "metric holds the values of one thing. Give the measure another name, or log nowhere: tracking=none."
            )
        owners |= dict.fromkeys(names, f"measure {measure.name!r}")


def distinguishing_names(study: Study, dataset: str, learner: str) -> list[str]:
    """The data set and the learner, as far as a study has several: MLflow cuts long names of runs and views.

    Examples
    --------
    >>> from imblab.study import Learner
    >>> distinguishing_names(Study("s", 0, {"a": {}, "b": {}}, (Learner("knn", {}),), (), ()), "a", "knn")
    ['a']
    """
    return [*([dataset] if len(study.datasets) != 1 else []), *([learner] if len(study.learners) != 1 else [])]


def cell_of(key: str) -> str:
    """The key of the cell that a run is, or that it belongs to."""
    return "/".join(key.split("/")[:3])


def splits_of(evaluations: Sequence[Evaluation]) -> str:
    """Hash of the outer splits that evaluations of a cell rest on."""
    return fingerprint([each.split_fingerprint for each in evaluations])


def addresses_tag(evaluations: Sequence[Evaluation]) -> str:
    """The value of :data:`ADDRESSES_TAG` for the evaluations of a cell."""
    marks = ((each, FAILED_MARK if each.status == "failed" else "") for each in evaluations[:MAX_ADDRESSES])
    return " ".join(f"{each.fingerprint[:8]}{mark}" for each, mark in marks)


def addresses_of(tags: Mapping[str, str]) -> frozenset[str]:
    """The fingerprints in the tags of a cell's run."""
    return frozenset(tags.get(ADDRESSES_TAG, "").split(" ")) - {""}


def comparable_addresses(mine: frozenset[str], theirs: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Both sets without failed evaluations that the other side lacks: there they were repeated with other code."""
    failed = [{a.removesuffix(FAILED_MARK) for a in side if a.endswith(FAILED_MARK)} for side in (mine, theirs)]
    every = [frozenset(address.removesuffix(FAILED_MARK) for address in side) for side in (mine, theirs)]
    return every[0] - (failed[0] - every[1]), every[1] - (failed[1] - every[0])


def describe_search(study: Study, members: Sequence[Evaluation], inner_scores: InnerScores) -> list[RunSpec]:
    """Describe the runs below that of a cell, without its coordinates; none where nothing was searched.

    Where the outer folds of a repeat judged the same candidates there is one run per candidate, averaged over these
    folds (over all repeats where all judged the same); elsewhere one run per outer fold, with its best candidate.
    """
    if len({_params_key(t.params) for row in members for t in row.trials}) < 2:
        return []
    parts = _same_candidates(members)
    if parts is None:
        return [run for row in members if (run := _winner_run(study, row, inner_scores)) is not None]
    return [run for name, rows in parts for run in _candidate_runs(study, rows, name, inner_scores)]


def threshold_values(threshold: ThresholdValue | None) -> dict[str, float]:
    """Name a threshold, or those of several classes.

    Examples
    --------
    >>> threshold_values(0.25), threshold_values((0.5, 0.25)), threshold_values(None)
    ({'threshold': 0.25}, {'threshold/class_0': 0.5, 'threshold/class_1': 0.25}, {})
    """
    if threshold is None:
        return {}
    if isinstance(threshold, tuple):
        return {f"threshold/class_{index}": value for index, value in enumerate(threshold)}
    return {"threshold": threshold}


def knob_text(value: Scalar) -> str:
    """A value of a knob as text, numbers in the short form."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def search_table(rows: Sequence[Evaluation], inner_scores: InnerScores) -> pd.DataFrame:
    """Every trial of every search, one row each.

    The columns are ``dataset learner strategy repeat fold trial status params`` (JSON) ``ratio k weight threshold value
    chosen``, the known scores of :data:`INNER_MEASURES`, and ``reason``; where there are more than two classes also
    ``thresholds``, those of the classes (JSON), in place of ``threshold``.
    """
    records = []
    for row in rows:
        scores = inner_scores.get(row.key, ())
        for i, trial in enumerate(row.trials):
            knobs = {knob: trial.params.get(knob) for knob in FITTED_KNOBS}
            trial_scores = scores[i] if i < len(scores) else {}
            records.append(
                {
                    **{name: getattr(row, name) for name in COORDINATES},
                    **{"trial": i, "status": trial.status, "params": json.dumps(dict(trial.params))},
                    **{knob: None if value is None else str(value) for knob, value in knobs.items()},
                    **{"threshold": trial.single_threshold, "value": trial.value, "chosen": _is_chosen(row, trial)},
                    **{f"inner_{name}": trial_scores.get(name) for name in INNER_MEASURES},
                    "reason": trial.reason,
                    "thresholds": json.dumps(trial.threshold) if isinstance(trial.threshold, tuple) else None,
                }
            )
    numbers = ("threshold", "value", *(f"inner_{name}" for name in INNER_MEASURES))
    columns = [*COORDINATES, "trial", "status", "params", *FITTED_KNOBS]
    columns += [*numbers[:2], "chosen", *numbers[2:], "reason"]
    has_classes = any(isinstance(trial.threshold, tuple) for row in rows for trial in row.trials)
    frame = pd.DataFrame(records, columns=[*columns, *(["thresholds"] if has_classes else [])])
    return frame.astype(dict.fromkeys(numbers, "float64"))


def read_inner_scores(frame: pd.DataFrame, rows: Sequence[Evaluation]) -> dict[str, list[dict[str, float]]]:
    """The inner scores of some evaluations in a table of :func:`search_table`."""
    inner_scores: dict[str, list[dict[str, float]]] = {}
    columns = [*COORDINATES, *(f"inner_{name}" for name in INNER_MEASURES)]
    for values in frame[columns].itertuples(index=False, name=None):
        key, scores = "/".join(map(str, values[:5])), zip(INNER_MEASURES, values[5:], strict=True)
        inner_scores.setdefault(key, []).append({name: score for name, score in scores if score == score})
    return {row.key: inner_scores[row.key] for row in rows if any(inner_scores.get(row.key, ()))}


def invalid_table_reason(frame: pd.DataFrame) -> str | None:
    """Say what differs in a frame from a table of :func:`search_table`; None if it can be read."""
    for column in COORDINATES:
        if column not in frame:
            return f"column {column!r} is missing"
    for column in (f"inner_{name}" for name in INNER_MEASURES):
        if column not in frame or frame[column].dtype.kind != "f" or np.isinf(frame[column]).any():
            return f"column {column!r} is missing, or holds more than finite numbers"
    return None


def _same_candidates(members: Sequence[Evaluation]) -> list[tuple[str, list[Evaluation]]] | None:
    """Evaluations that judged the same candidates: all, or those of each repeat; None where folds of one differ."""
    repeats: dict[int, list[Evaluation]] = {}
    for row in members:
        if row.trials:
            repeats.setdefault(row.repeat, []).append(row)
    judged = {n: {frozenset(_params_key(t.params) for t in row.trials) for row in rows} for n, rows in repeats.items()}
    if any(len(candidates) > 1 for candidates in judged.values()):
        return None
    if len({next(iter(candidates)) for candidates in judged.values()}) == 1:
        return [("all", [row for row in members if row.trials])]
    return [(str(n), rows) for n, rows in repeats.items()]


def _candidate_runs(
    study: Study, rows: Sequence[Evaluation], part: str, inner_scores: InnerScores
) -> Iterator[RunSpec]:
    """One run per candidate, averaged over the outer folds of a part: all repeats, or one."""
    candidates: dict[str, list[tuple[Evaluation, int, Trial]]] = {_params_key(t.params): [] for t in rows[0].trials}
    for row in rows:
        for i, trial in enumerate(row.trials):
            candidates[_params_key(trial.params)].append((row, i, trial))
    for trials in candidates.values():
        first = {(row.repeat, row.fold): (row, i, t) for row, i, t in reversed(trials)}  # a repeated one counts once
        judged = [item for item in first.values() if item[2].value is not None]
        params = trials[0][2].params
        scores = [_inner_metrics(study, *item, inner_scores) for item in judged]
        names = dict.fromkeys(name for each in scores for name in each)
        metrics = {name: float(np.mean([each[name] for each in scores if name in each])) for name in names}
        n_chosen = sum(_is_chosen(row, trial) for row, _, trial in first.values())
        metrics |= {"n_folds": float(len(judged)), "n_chosen": float(n_chosen)}
        thresholds = [threshold_values(trial.threshold) for _, _, trial in judged if trial.threshold is not None]
        names_of = thresholds[0] if thresholds else {}
        key, suffix = f"{part}/{fingerprint(dict(params))[:8]}", "" if part == "all" else f" (repeat {part})"
        tags = {"imblab.repeat": part, **_candidate_state([t for _, _, t in trials])}
        medians = {name: float(median(each[name] for each in thresholds)) for name in names_of}
        points = tuple((name, value, 0) for name, value in metrics.items())
        name = f"{_params_name(params)}{suffix}"
        yield RunSpec(key, name, "candidate", None, tags, _run_params(params, medians), points)


def _candidate_state(trials: Sequence[Trial]) -> dict[str, str]:
    """Tags of a candidate: its status, ``ok`` where it was judged in any fold, and why it was not."""
    if {"ok", "repeated"} & {trial.status for trial in trials}:
        return {"imblab.status": "ok"}
    first = trials[0]
    return {"imblab.status": first.status, **({"imblab.reason": first.reason} if first.reason else {})}


def _winner_run(study: Study, row: Evaluation, inner_scores: InnerScores) -> RunSpec | None:
    winner = next(((i, t) for i, t in enumerate(row.trials) if _is_chosen(row, t)), None)
    if winner is None:
        return None
    step, scores = fold_step(study, row), _inner_metrics(study, row, *winner, inner_scores)
    inner = tuple((name, value, 0) for name, value in scores.items())
    outer = tuple((f"fold/{name}", value, step) for name, value in row.scores.items() if value is not None)
    key, name = f"{row.repeat}/{row.fold}", f"repeat {row.repeat} fold {row.fold}: {_params_name(row.params)}"
    tags = {"imblab.repeat": str(row.repeat), "imblab.fold": str(row.fold)}
    params = _run_params(row.params, threshold_values(row.threshold))
    return RunSpec(key, name, "winner", None, tags, params, (*inner, *outer), seconds=row.seconds)


def _inner_metrics(study: Study, row: Evaluation, i: int, trial: Trial, inner_scores: InnerScores) -> dict[str, float]:
    """The scores of a trial on the inner folds, with the threshold at which they hold."""
    scores = inner_scores.get(row.key, ())
    metrics = {f"inner/{name}": value for name, value in (scores[i] if i < len(scores) else {}).items()}
    metrics |= {f"inner/{study.primary}": trial.value} if trial.value is not None else {}
    return metrics | {f"inner/{name}": value for name, value in threshold_values(trial.threshold).items()}


def _is_chosen(row: Evaluation, trial: Trial) -> bool:
    """Whether a trial is the one that was refit; a repeated one is not."""
    return (trial.status, dict(trial.params), trial.threshold) == ("ok", dict(row.params), row.threshold)


def _run_params(params: Mapping[str, Scalar], thresholds: Mapping[str, float]) -> dict[str, str]:
    return {name: knob_text(value) for name, value in {**params, **thresholds}.items()}


def _params_name(params: Mapping[str, Scalar]) -> str:
    return " ".join(f"{name}={knob_text(value)}" for name, value in params.items()) or "no knobs"


def _params_key(params: Mapping[str, Scalar]) -> str:
    return json.dumps(dict(params), sort_keys=True)


def fold_step(study: Study, row: Evaluation) -> int:
    """Number the outer folds of all repeats from 0: the step of the metrics of an evaluation."""
    return row.repeat * count_outer_folds(study, row.dataset) + row.fold


def class_metrics(study: Study, members: Sequence[Evaluation]) -> Iterator[Metric]:
    """With more than two classes: mean scores by class over the outer folds, those of each fold, median thresholds."""
    scored = [each for each in members if each.class_scores]
    for name in (name for name in CLASS_MEASURES if scored and name in scored[0].class_scores):
        for index in range(len(scored[0].class_scores[name])):
            values = [(each, each.class_scores[name][index]) for each in scored]
            defined = [(each, value) for each, value in values if value is not None]
            if defined:
                yield f"{name}/class_{index}", float(np.mean([value for _, value in defined])), 0
            for each, value in defined:
                yield f"fold/{name}/class_{index}", value, fold_step(study, each)
    for name, value in _median_thresholds(scored).items():
        yield name, value, 0


def class_tags(labels: Sequence[str]) -> dict[str, str]:
    """The label of each class, under the tag ``class_<index>``."""
    return {f"class_{index}": label for index, label in enumerate(labels)}


def class_profile(matrices: Sequence[np.ndarray]) -> dict[str, Any]:
    """The rows of confusion matrices: all of them, and by class."""
    counts = np.sum(matrices, axis=(0, 2))
    return {"num_rows": int(counts.sum()), "num_classes": len(counts), "rows_by_class": counts.tolist()}


def class_table(members: Sequence[Evaluation], labels: Sequence[str]) -> str:
    """Write the classes as a Markdown table: test rows, mean scores, median threshold; empty with two classes."""
    scored = [each for each in members if each.class_scores]
    if not scored:
        return ""
    n_classes = len(scored[0].confusion)
    names = [name for name in CLASS_MEASURES if name in scored[0].class_scores]
    thresholds = list(_median_thresholds(scored).values())
    rows = np.mean([each.matrix.sum(axis=1) for each in scored], axis=0)
    header = ["class", "label", "test rows per fold", *names, *(["median threshold"] if thresholds else [])]
    lines = [header, ["---"] * len(header)]
    for index in range(n_classes):
        label = code_span(labels[index]) if labels else ""
        scores = [_mean_text([each.class_scores[name][index] for each in scored]) for name in names]
        lines.append([str(index), label, f"{rows[index]:.4g}", *scores, *(f"{t:.4g}" for t in thresholds[index:][:1])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _median_thresholds(members: Sequence[Evaluation]) -> Mapping[str, float]:
    """The median threshold of each class over folds; empty with two classes, and for a decision by costs."""
    chosen = [threshold_values(each.threshold) for each in members if isinstance(each.threshold, tuple)]
    return {name: float(median(each[name] for each in chosen)) for name in (chosen[0] if chosen else ())}


def _mean_text(values: Sequence[float | None]) -> str:
    defined = [value for value in values if value is not None]
    return format_score(float(np.mean(defined)) if defined else None)
