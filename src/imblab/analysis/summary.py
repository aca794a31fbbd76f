"""Tables of a study: what every strategy scored, gained, chose and cost, and one row per evaluation.

Two tables of evaluations are compared where a study was scored again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import outer_splits
from imblab.analysis.paired import BASELINES, Estimates, estimate_all
from imblab.errors import StudyError
from imblab.result import Evaluation, Family, FamilyScores
from imblab.stats.paired_tests import Estimate
from imblab.study import COORDINATES, Scalar, Study, in_declared_order
from imblab.text import format_knob

#: The columns before those of the measures.
FACTS = (
    *("dataset", "learner", "strategy", "repeat", "fold", "status", "threshold", "scale", "params"),
    *("candidates", "fits", "seconds", "n_train", "n_test", "flagged", "value"),
    *("left_out", "error", "notes", "fingerprint", "split_fingerprint"),
)
#: The columns after those of the measures.
COUNTS = ("tn", "fp", "fn", "tp")
_FLOATS = ("threshold", "seconds", "flagged", "value", *COUNTS)
_INTEGERS = ("repeat", "fold", "candidates", "fits", "n_train", "n_test")
CELL_KEYS, STRATEGY_KEYS = list(COORDINATES), list(COORDINATES[:3])


def summarise(scores: Mapping[Family, FamilyScores], study: Study, estimates: Estimates | None = None) -> pd.DataFrame:
    """Summarise the evaluations of every data set, learner and strategy.

    After their names it has ``mean`` and ``sd`` (ddof 1) of the primary measure over the folds that have a score; how
    many ``folds`` there should be and how many are ``ok``, ``failed``, ``inapplicable`` and ``missing``; ``gain_none``
    and ``gain_threshold`` with ``_low`` and ``_high``, the interval at 1 - ``claims.alpha`` by the standard error that
    decides the contrasts, unadjusted, NaN where the strategy or a fold is missing; the ``knobs`` chosen, in words;
    ``threshold_median``, NaN with more than two classes, ``threshold_low`` and ``threshold_high``, over folds and
    classes; the largest number of ``candidates`` of a fold; ``fits``, ``seconds``; ``remarks``, a tuple of str; then
    every measure as its mean and ``<measure>_std``.
    """
    estimates = estimate_all(scores, study) if estimates is None else estimates
    rows = [
        _summary(scores[key], strategy, study, estimates[key]) for key in scores for strategy in scores[key].strategies
    ]
    return pd.DataFrame(rows)


def spread(values: Sequence[Scalar]) -> str:
    """Values chosen over folds, in few words: one, a range with its mode, or each text with its count.

    Examples
    --------
    >>> spread([0.5, 0.25, 0.5, 1.0, 0.5]), spread([5, 5]), spread(["balanced", 10, 10])
    ('0.25-1 (0.5 x3)', '5', '10 (x2), balanced (x1)')
    """
    counts = Counter(values)
    if len(counts) == 1:
        return format_knob(values[0])
    if any(isinstance(v, (str, bool)) for v in values):
        return ", ".join(f"{format_knob(v)} (x{n})" for v, n in counts.most_common())
    mode, n = max(sorted(counts.items()), key=lambda item: item[1])
    often = f" ({format_knob(mode)} x{n})" if n > 1 else ""
    return f"{format_knob(min(counts))}-{format_knob(max(counts))}{often}"


def _summary(
    scores: FamilyScores, strategy: str, study: Study, estimates: Mapping[tuple[str, str], Estimate]
) -> dict[str, Any]:
    row = scores.strategies.index(strategy)
    evaluations = scores.evaluations_of(strategy)
    scored = [e for e in evaluations if e.status == "ok"]
    statuses = Counter(e.status for e in evaluations)
    facts: dict[str, Any] = {"dataset": scores.dataset, "learner": scores.learner, "strategy": strategy}
    moments = _means_and_sds(scores, row) if scores.values else {}
    facts["mean"], facts["sd"] = moments.get(study.primary, (math.nan, math.nan))
    facts |= {"folds": len(scores.folds), **{s: statuses[s] for s in ("ok", "failed", "inapplicable")}}
    facts["missing"] = len(scores.folds) - len(evaluations)
    gains = {b: estimates[strategy, b] for b in BASELINES if b != strategy and b in scores.strategies}
    for base in BASELINES:
        gain = gains.get(base, Estimate.untested(math.nan, None))
        facts |= {f"gain_{base}": gain.mean, f"gain_{base}_low": gain.low, f"gain_{base}_high": gain.high}
    facts["knobs"] = _describe_knobs(scored)
    facts |= _threshold_facts(scored)
    facts |= {"candidates": max(candidate_count(e) for e in evaluations), "fits": sum(e.fits for e in evaluations)}
    facts |= {"seconds": float(np.sum([e.seconds for e in evaluations]))}
    remarks = [note] if (note := outer_splits.rebalancing_note(study, scores.learner)) else []
    facts["remarks"] = (*remarks, *_remarks(evaluations, scored, gains, study.primary, facts))
    for measure in (name for name in study.measure_names if name in moments):
        facts[measure], facts[f"{measure}_std"] = moments[measure]
    return facts


def _threshold_facts(scored: Sequence[Evaluation]) -> dict[str, float]:
    """The median threshold of folds, which several classes have not in common, and the lowest and highest one."""
    single = [math.nan if (t := e.single_threshold) is None else t for e in scored] or [math.nan]
    every = [t for e in scored if isinstance(e.threshold, tuple) for t in e.threshold] or single
    return {
        "threshold_median": float(np.median(single)),
        "threshold_low": float(np.min(every)),
        "threshold_high": float(np.max(every)),
    }


def candidate_count(evaluation: Evaluation) -> int:
    """Count the distinct candidates of an inner search that were judged."""
    return sum(trial.status in ("ok", "failed", "pruned") for trial in evaluation.trials)


def _means_and_sds(scores: FamilyScores, row: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (ddof 1) of every measure over the folds with a score."""
    is_ok = [e is not None and e.status == "ok" for e in scores.evaluations[row]]
    values = np.stack([scores.values[measure][row][is_ok] for measure in scores.values])
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known, values, 0.0).sum(axis=1) / n
        squares = np.where(known, means[:, None] - values, 0.0) ** 2
        sds = np.where(n > 1, np.sqrt(squares.sum(axis=1) / (n - 1)), math.nan)
    return dict(zip(scores.values, zip(means.tolist(), sds.tolist(), strict=True), strict=True))


def _remarks(
    evaluations: Sequence[Evaluation],
    scored: Sequence[Evaluation],
    gains: Mapping[str, Estimate],
    primary: str,
    facts: Mapping[str, Any],
) -> Iterator[str]:
    for status in ("failed", "inapplicable"):
        if facts[status]:
            reason = next(e.error for e in evaluations if e.status == status) or "no reason recorded"
            yield f"{status} in {facts[status]} of {len(evaluations)} folds: {reason}"
    if facts["missing"]:
        yield f"no row for {facts['missing']} of {facts['folds']} folds"
    undefined = Counter(name for e in scored for name, value in e.scores.items() if value is None)
    for name, n in undefined.items():
        if name == primary or n < len(scored):
            yield f"{name} undefined in {n} of {len(scored)} folds"
    yield from _left_out(scored)
    for base in BASELINES:
        if base not in gains and base != facts["strategy"]:
            yield f"no baseline {base!r}"
        elif base in gains and gains[base].reason and len(scored) - undefined[primary] == facts["folds"]:
            yield f"no interval for the gain over {base!r}: {gains[base].reason}"
    for note, n in Counter(note for e in scored for note in e.notes).items():
        yield note if n == len(scored) else f"{note} ({n} of {len(scored)} folds)"


def _left_out(scored: Sequence[Evaluation]) -> Iterator[str]:
    """Candidates that evaluations with scores had to do without, one example per status."""
    left_out = [t for e in scored for t in e.trials if t.status in ("failed", "inapplicable")]
    for status in dict.fromkeys(trial.status for trial in left_out):
        trials = [trial for trial in left_out if trial.status == status]
        texts = Counter(_format_params(trial.params) for trial in trials)
        text, n = texts.most_common(1)[0]
        reason = next(trial.reason for trial in trials if _format_params(trial.params) == text)
        more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
        yield f"candidate {text}{more} {status} in {n} of {len(scored)} folds: {reason}"


def _describe_knobs(scored: Sequence[Evaluation]) -> str:
    """The chosen or fixed knobs over folds, in words."""
    return ", ".join(
        f"{name} {spread(values)}" + (f" in {len(values)} folds" if len(values) < len(scored) else "")
        for name, values in knob_values(scored).items()
    )


def knob_values(evaluations: Iterable[Evaluation]) -> dict[str, list[Scalar]]:
    """Return the values of every knob over evaluations: ratio, k, weight, then learner parameters by name."""
    values: dict[str, list[Scalar]] = {}
    for evaluation in evaluations:
        for name, value in evaluation.params.items():
            values.setdefault(name, []).append(value)
    return {name: values[name] for name in in_declared_order(values)}


def _format_params(params: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {format_knob(value)}" for name, value in params.items())


def to_frame(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """Arrange evaluations as a table, sorted by their coordinates; StudyError if a measure has the name of a column.

    It has the columns of :data:`FACTS`: ``params`` holds mappings, ``candidates`` counts the distinct candidates that
    were judged, ``left_out`` holds ``(status, params, reason)`` of those that did not apply or failed. Then one float
    column per measure with NaN for null, then ``tn fp fn tp`` with NaN where nothing was scored. With more than two
    classes the columns ``<measure>/class_<index>`` follow, and ``threshold`` holds tuples. Data sets, learners and
    strategies stand in the order they first appear, then repeat and fold.

    Examples
    --------
    >>> row = Evaluation("toy", "logistic", "none", 0, 0, {}, 0.5, {"mcc": None}, {}, 0.1, "ok", None, "f")
    >>> to_frame([row]).mcc.isna().tolist()
    [True]
    """
    rows = list(evaluations)
    measures = list(dict.fromkeys(name for row in rows for name in row.scores))
    for name in measures:
        if name in FACTS or name in COUNTS:
            raise StudyError(
                f"measure {name!r} has the name of a column of the result table; a column holds one thing. "
                "Give the measure another name."
            )
    by_class = list(dict.fromkeys(name for row in rows for name in _columns_by_class(row)))
    columns = [*FACTS, *measures, *COUNTS, *by_class]
    frame = pd.DataFrame([_table_row(row) for row in rows], columns=columns, dtype=object)
    floats = [*_FLOATS, *measures, *by_class]
    if any(isinstance(row.threshold, tuple) for row in rows):
        floats.remove("threshold")
    frame = frame.astype({**dict.fromkeys(floats, "float64"), **dict.fromkeys(_INTEGERS, "int64")})
    return _sort_rows(frame)


def _table_row(row: Evaluation) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in FACTS if name not in ("candidates", "left_out")}
    facts["candidates"] = candidate_count(row)
    facts["left_out"] = tuple(
        (trial.status, dict(trial.params), trial.reason)
        for trial in row.trials
        if trial.status in ("failed", "inapplicable")
    )
    return {**facts, "params": dict(row.params), **row.scores, **row.counts, **_columns_by_class(row)}


def _columns_by_class(row: Evaluation) -> dict[str, float | None]:
    return {f"{name}/class_{c}": v for name, values in row.class_scores.items() for c, v in enumerate(values)}


def _sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    rank = {c: {name: i for i, name in enumerate(frame[c].unique())} for c in ("dataset", "learner", "strategy")}
    keys = [frame.fold, frame["repeat"], *(frame[c].map(rank[c]) for c in ("strategy", "learner", "dataset"))]
    order = np.lexsort([k.to_numpy(dtype=np.int64) for k in keys])
    return frame.iloc[order].reset_index(drop=True)


def moves(before: pd.DataFrame, after: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Compare the means of a measure, and count the folds in which a winner or a threshold moved.

    ``before`` and ``after`` are tables of :func:`to_frame`, ``measure`` is the primary of the new
    question. Returns ``dataset learner strategy folds`` (that both answer), ``before`` and ``after`` over these folds
    (NaN where one of them has no value), ``winners`` and ``cuts`` (thresholds) that moved, and ``missing`` folds that
    only the old question answers.
    """
    columns = [*CELL_KEYS, "params", "threshold", measure]
    old, new = before.reindex(columns=columns), after.reindex(columns=columns)
    merged = old.merge(new, on=CELL_KEYS, how="left", suffixes=("_before", "_after"), indicator=True)
    rows = []
    for place, cells in merged.groupby(STRATEGY_KEYS, sort=False):
        both = cells[cells["_merge"] == "both"]
        thresholds = both.threshold_before.fillna(-1) != both.threshold_after.fillna(-1)
        means = [_complete_mean(both[f"{measure}_{when}"]) for when in ("before", "after")]
        winners = int((both.params_before != both.params_after).sum())
        rows.append((*place, len(both), *means, winners, int(thresholds.sum()), len(cells) - len(both)))
    return pd.DataFrame(rows, columns=[*STRATEGY_KEYS, "folds", "before", "after", "winners", "cuts", "missing"])


def added(before: pd.DataFrame, after: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Average the measures that the old question did not have: ``dataset learner strategy measure mean``."""
    new = [name for name in names if name not in before.columns]
    rows = [
        (*place, name, _complete_mean(cells[name]))
        for place, cells in after.groupby(STRATEGY_KEYS, sort=False)
        for name in new
    ]
    return pd.DataFrame(rows, columns=[*STRATEGY_KEYS, "measure", "mean"])


def _complete_mean(values: pd.Series) -> float:
    """The mean over folds; NaN where one of them has no value."""
    return float(values.astype("float64").mean(skipna=False))
