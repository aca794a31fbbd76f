"""The card of an exported model in Markdown: data, knobs, scores, verdicts, calibration, what not to use it for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence, rebalancing
from imblab.analysis.compare import describe_estimators, describe_verdict
from imblab.analysis.text_tables import percent
from imblab.result import StudyResult
from imblab.stats.paired_tests import corrected_t
from imblab.study import DECISION_VALUE, PROBABILITY, Scalar, Strategy
from imblab.text import code_span, count_noun, format_range


@dataclass(frozen=True, slots=True, eq=False)
class ModelFacts:
    """Facts of a model that are not in the result of its study.

    Attributes
    ----------
    name : str
        The name under which it is registered.
    dataset, learner, strategy : str
        Coordinates of the strategy that it was fitted with.
    labels : (label, label)
        Negative and positive.
    rows, positives : int
        Of the table.
    source, fingerprint : str
        Parent data set, and fingerprint of the table.
    columns : mapping of str to str
        Names and types of the columns that the model reads.
    split_by : tuple of str
        ``groups`` or ``time`` where the folds follow them.
    params : mapping
        The chosen knobs.
    threshold : float
        The threshold chosen on all rows.
    candidates : int
        Number of candidates of the search on all rows.
    selection, form : str
        How the strategy was chosen and how the model is written, one sentence each.
    contains_rows : bool
        Whether the model stores rows of the table.
    risks : bool
        Whether it gives probabilities, and not decision values only.
    scale : {"probability", "decision_value"}
        The values that are compared with the threshold.
    """

    name: str
    dataset: str
    learner: str
    strategy: str
    labels: tuple[Scalar, Scalar]
    rows: int
    positives: int
    source: str
    fingerprint: str
    columns: Mapping[str, str]
    split_by: tuple[str, ...]
    params: Mapping[str, Scalar]
    threshold: float
    candidates: int
    selection: str
    form: str
    contains_rows: bool
    risks: bool
    scale: str = PROBABILITY

    @property
    def coordinates(self) -> dict[str, str]:
        """Data set, learner and strategy."""
        return {"dataset": self.dataset, "learner": self.learner, "strategy": self.strategy}


def write_card(facts: ModelFacts, result: StudyResult, evidence_frame: pd.DataFrame | None) -> str:
    """Return the card; it holds no value of any cell of the table, except the two labels.

    Where evaluations are missing, the card says so first and holds no verdict.
    """
    study = result.study
    strategy = next(s for s in study.strategies if s.name == facts.strategy)
    lead = " ".join(map(_escape_markdown, result.completeness.sentences()))
    parts = [
        f"# {facts.name}",
        *([lead] if lead else []),
        f"Predicts {code_span(facts.labels[1])} for a row of {code_span(facts.dataset)} whose {_compared_value(facts)} "
        f"is at or above **{facts.threshold:g}**, else {code_span(facts.labels[0])}: {code_span(facts.learner)} with "
        f"the strategy {code_span(facts.strategy)}, from the study {code_span(study.name)}. {facts.selection}",
        *_describe_data(facts, result),
        *_describe_knobs(facts, result),
        *_describe_scores(facts, result),
        *(_describe_contrasts(facts, result) if result.completeness.is_complete else ()),
        *_describe_calibration(facts, result, evidence_frame),
        "## What it must not be used for",
        "\n".join(f"- {text}" for text in _list_limits(facts, strategy, rebalancing.note(study, facts.learner))),
        *_describe_use(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_data(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    study, protocol = result.study, result.study.protocol
    follow = f", kept together or in order by {' and '.join(facts.split_by)}" if facts.split_by else ""
    yield "## Data and folds"
    yield (
        f"{count_noun(facts.rows, 'row')} of {code_span(facts.source)}, {facts.positives:,} of them positive "
        f"({facts.positives / facts.rows:.2%}); content {code_span(facts.fingerprint[:16])}. Evaluated on "
        f"{protocol.outer_folds} outer folds x {count_noun(protocol.repeats, 'repeat')}{follow}, tuned on "
        f"{protocol.inner_folds} inner folds of each training part, seed {study.seed}. Then fitted on all rows: no row "
        "is left to evaluate this model itself."
    )
    lines = [f"| {code_span(name)} | {kind} |" for name, kind in facts.columns.items()]
    yield "\n".join(["| column | type |", "|---|---|", *lines])


def _describe_knobs(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    summary = _summary_row(facts, result)
    low, high = summary.threshold_low, summary.threshold_high
    knobs = ", ".join(f"{name} {_format_knob(value)}" for name, value in facts.params.items()) or "no knob"
    yield "## Knobs"
    if facts.candidates <= 1 and low == high == facts.threshold:
        yield f"{knobs}, threshold {facts.threshold:g}: as the strategy fixes them."
        return
    yield (
        f"{knobs}, threshold {facts.threshold:g}: chosen on all rows as in every fold of the study, by the same search "
        f"({result.study.tuning.method}, {count_noun(facts.candidates, 'candidate')}) on inner folds of all rows, by "
        f"{result.study.primary}. The outer folds chose {summary.knobs or 'no knob'}, threshold "
        f"{format_range((low, high), '{:g}'.format)}."
    )


def _describe_scores(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    study, family = result.study, result.scores[facts.dataset, facts.learner]
    row = family.strategies.index(facts.strategy)
    yield f"## Scores on rows never seen, mean over {int(_summary_row(facts, result).ok)} outer folds"
    lines = [f"| measure | mean | sd | {percent(study)} interval |", "|---|---|---|---|"]
    for measure in study.measures:
        values = family.values[measure.name][row] if measure.name in family.values else np.full(1, math.nan)
        if np.isnan(values).any():
            lines.append(f"| {measure.name} | undefined in {int(np.isnan(values).sum())} folds | | |")
            continue
        estimate = corrected_t(values, family.n_train[row], family.n_test[row], study.claims.alpha)
        low, high = (-math.inf if measure.range[0] is None else measure.range[0], measure.range[1])
        ends = max(estimate.low, low), min(estimate.high, math.inf if high is None else high)
        is_tested = not estimate.reason and "time" not in facts.split_by
        interval = f"{ends[0]:.4f} to {ends[1]:.4f}" if is_tested else ""
        lines.append(f"| {measure.name} | {estimate.mean:.4f} | {values.std(ddof=1):.4f} | {interval} |")
    yield "\n".join(lines)
    yield (
        "Intervals are corrected for the rows that training parts share (Nadeau and Bengio 2003) and not adjusted for "
        "the number of measures; they end where the measure does. They belong to the procedure refitted on each "
        "training part, not to this one model, and are optimistic to the extent that the strategy was chosen by these "
        "scores."
    )


def _describe_contrasts(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    frame = result.contrasts
    is_family = (frame.dataset == facts.dataset) & (frame.learner == facts.learner)
    rows = frame[is_family & ((frame.a == facts.strategy) | (frame.b == facts.strategy))]
    if rows.empty:
        return
    lines = []
    for _, row in rows.iterrows():
        interval = "" if math.isnan(row.low) else f" ({row.low:+.4f} to {row.high:+.4f})"
        reason = f" ({row.reason})" if row.reason else ""
        difference = f"{row.measure}: {row['mean']:+.4f}{interval}"
        verdict = describe_verdict(row, result.study.claims.alpha)
        lines.append(f"- {code_span(row.a)} - {code_span(row.b)}, {difference}, **{verdict}**{reason}")
    yield "## Compared with the other strategies"
    yield "\n".join(lines)
    if estimators := describe_estimators(rows):
        yield " ".join(estimators)


def _describe_calibration(facts: ModelFacts, result: StudyResult, evidence_frame: pd.DataFrame | None) -> Iterator[str]:
    yield "## Calibration"
    if not facts.risks:
        yield f"None: {code_span(facts.learner)} gives decision values, which rank rows and are not probabilities."
        return
    if evidence_frame is not None:
        statistics = evidence.select(evidence_frame, "calibration", **facts.coordinates)
        means = statistics.groupby("name", sort=False, observed=True).x.mean().dropna()
        if len(means):
            text = ", ".join(f"{str(name).replace('_', ' ')} {value:.4f}" for name, value in means.items())
            yield f"Of the pooled outer predictions, mean over repeats: {text}. Observed over expected is best at 1."
            return
    family = result.scores[facts.dataset, facts.learner]
    row = family.strategies.index(facts.strategy)
    names = [m.name for m in result.study.measures if m.needs == "probability" and m.name in family.values]
    means_by_name = {name: family.values[name][row].mean() for name in names}
    text = ", ".join(f"{name} {value:.4f}" for name, value in means_by_name.items() if not math.isnan(value))
    yield f"Mean over outer folds: {text or 'not measured'}. The predictions of the study are not stored."


def _list_limits(facts: ModelFacts, strategy: Strategy, rebalancing_note: str | None) -> Iterator[str]:
    if rebalancing_note:
        yield f"Comparisons with a model of unchanged classes: {rebalancing_note}."
    yield (
        f"Rows of another population, or with another share of positives than about {facts.positives / facts.rows:.2%}:"
        " precision and calibration change with that share, and the threshold was chosen for this one."
    )
    is_weighted = bool(strategy.weight) or "weight" in strategy.space
    if not facts.risks:
        yield "As a probability: its decision values rank rows and are not probabilities."
    elif strategy.calibration == "none" and (strategy.sampler or is_weighted or rebalancing_note):
        yield "As a probability: it was fitted on resampled or weighted rows, which shifts its probabilities."
    yield "Rows whose columns mean something else, or are known later, than in the table it was fitted on."
    yield "Decisions about people without a person: errors were counted over all rows, not for groups of people."
    yield "A claim that it scores as above: that takes new rows."
    if facts.contains_rows:
        yield "**Sharing with people who may not see its table: it contains rows of the table.**"


def _describe_use(facts: ModelFacts) -> Iterator[str]:
    scores = "`decision_function` gives values that rank the rows"
    if facts.risks:
        scores = "`predict_proba` gives probabilities in the order of `classes_`"
    rows = " **It contains rows of its table.**" if facts.contains_rows else " It contains no row of its table."
    yield "## Use"
    yield (
        f"`predict` gives labels by the threshold, {scores}. Columns are read by name; missing values are imputed, and "
        f"an unknown category is encoded as zeros. Categories are stored as digests. {facts.form}{rows}"
    )


def _compared_value(facts: ModelFacts) -> str:
    if facts.scale == DECISION_VALUE:
        return "decision value"
    return "probability" if facts.risks else "decision value d, as 1 / (1 + exp(-d)),"


def _summary_row(facts: ModelFacts, result: StudyResult) -> pd.Series[Any]:
    frame = result.summary
    is_strategy = np.logical_and.reduce([frame[name] == value for name, value in facts.coordinates.items()])
    return frame[is_strategy].iloc[0]


def _format_knob(value: Scalar) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _escape_markdown(text: str) -> str:
    """A sentence whose names cannot become markup."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text)
