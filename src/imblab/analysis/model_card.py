"""The card of an exported model in Markdown: data, knobs, scores, verdicts, calibration, what not to use it for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imblab.analysis import evidence, outer_splits
from imblab.analysis.card_decisions import CardDecisions, describe_decisions
from imblab.analysis.compare import describe_estimators, describe_verdict
from imblab.analysis.methods import chooses_threshold, strategy_named
from imblab.analysis.outer_splits import count_outer_folds, count_test_parts, predefined_folds
from imblab.analysis.text_tables import percent
from imblab.result import Evaluation, StudyResult, ThresholdValue
from imblab.stats.paired_tests import corrected_t
from imblab.study import DECISION_VALUE, PROBABILITY, Scalar, Strategy, Study
from imblab.text import code_span, count_noun, format_knob, join_words


@dataclass(frozen=True, slots=True, eq=False)
class ModelFacts:
    """Facts of a model that are not in the result of its study."""

    name: str  # the name under which it is registered
    dataset: str
    learner: str
    strategy: str  # the one that it was fitted with
    labels: tuple[Scalar, ...]  # by class index: negative and positive, or from the most frequent class to the rarest
    class_rows: tuple[int, ...]  # rows of the table by class index
    source: str  # parent data set
    fingerprint: str  # of the table
    columns: Mapping[str, str]  # names and types of the columns that the model reads
    split_by: tuple[str, ...]  # ``groups`` or ``time`` where the folds follow them
    params: Mapping[str, Scalar]  # the chosen knobs
    #: the threshold chosen on all rows; with more than two classes one per class, None if costs decide
    threshold: ThresholdValue | None
    candidates: int  # number of candidates of the search on all rows
    #: how the strategy was chosen and how the model is written, one sentence each
    selection: str
    form: str
    contains_rows: bool  # whether the model stores rows of the table
    risks: bool  # whether it gives probabilities, and not decision values only
    scale: str = PROBABILITY  # {"probability", "decision_value"}: the values that are compared with the threshold
    missing: tuple[str, ...] = ()  # texts and numbers that stand for a missing value
    groups_rare_levels: bool = False  # whether rare levels of categorical columns are one level

    @property
    def coordinates(self) -> dict[str, str]:
        """Data set, learner and strategy."""
        return {"dataset": self.dataset, "learner": self.learner, "strategy": self.strategy}

    @property
    def decisions(self) -> CardDecisions:
        """The sentences for its number of classes."""
        return describe_decisions(self.labels, self.class_rows, self.threshold)


def write_card(facts: ModelFacts, result: StudyResult, evidence_frame: pd.DataFrame | None) -> str:
    """Return the card: no value of any cell of the table but the labels, and no verdict on an incomplete study."""
    study = result.study
    strategy = strategy_named(study, facts.strategy)
    lead = " ".join(map(_escape_markdown, result.completeness.sentences()))
    parts = [
        f"# {facts.name}",
        *([lead] if lead else []),
        f"{facts.decisions.lead(facts.dataset, _compared_value(facts))}: {code_span(facts.learner)} with the strategy "
        f"{code_span(facts.strategy)}, from the study {code_span(study.name)}. {facts.selection}",
        *_describe_data(facts, result),
        *_describe_knobs(facts, result),
        *facts.decisions.class_section(_scored_members(facts, result)),
        *_describe_scores(facts, result),
        *(_describe_contrasts(facts, result) if result.completeness.is_complete else ()),
        *_describe_calibration(facts, result, evidence_frame),
        "## What it must not be used for",
        "\n".join(
            f"- {text}" for text in _list_limits(facts, strategy, outer_splits.rebalancing_note(study, facts.learner))
        ),
        *_describe_use(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_data(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    study, protocol = result.study, result.study.protocol
    inner, tuned_again = f"{protocol.inner_folds} inner folds of each training part", ""
    if protocol.inner == "shared":
        inner, tuned_again = "the other outer folds", "tuned on all of them and "
    follow = f", kept together or in order by {' and '.join(facts.split_by)}" if facts.split_by else ""
    yield "## Data and folds"
    yield (
        f"{count_noun(sum(facts.class_rows), 'row')} of {code_span(facts.source)}{facts.decisions.rows()}; content "
        f"{code_span(facts.fingerprint[:16])}. Evaluated on "
        f"{_name_test_parts(facts, study)}{follow}, tuned on "
        f"{inner}, seed {study.seed}. Then {tuned_again}fitted on all rows: no row is left to evaluate this model "
        "itself."
    )
    lines = [f"| {code_span(name)} | {kind} |" for name, kind in facts.columns.items()]
    yield "\n".join(["| column | type |", "|---|---|", *lines])


def _name_test_parts(facts: ModelFacts, study: Study) -> str:
    """Name the test parts of the study on the data set of a model."""
    protocol = study.protocol
    if facts.dataset in predefined_folds(study):
        return f"{count_outer_folds(study, facts.dataset)} predefined outer folds"
    if protocol.test_size is not None:
        return f"{count_noun(protocol.repeats, 'hold-out')} of {100 * protocol.test_size:g} % of the rows"
    return f"{protocol.outer_folds} outer folds x {count_noun(protocol.repeats, 'repeat')}"


def _describe_knobs(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    summary, decisions, members = _summary_row(facts, result), facts.decisions, _scored_members(facts, result)
    knobs = ", ".join(f"{name} {format_knob(value)}" for name, value in facts.params.items()) or "no knob"
    yield "## Knobs"
    if facts.candidates <= 1 and decisions.is_fixed(members):
        yield f"{knobs}, {decisions.threshold()}: as the strategy fixes them."
        return
    yield (
        f"{knobs}, {decisions.threshold()}: chosen on all rows as in every fold of the study, by the same search "
        f"({result.study.tuning.method}, {count_noun(facts.candidates, 'candidate')}) on inner folds of all rows, by "
        f"{result.study.primary}. The outer folds chose {summary.knobs or 'no knob'}, "
        f"{decisions.fold_thresholds(members)}."
    )


def _describe_scores(facts: ModelFacts, result: StudyResult) -> Iterator[str]:
    study, family = result.study, result.scores[facts.dataset, facts.learner]
    row = family.strategies.index(facts.strategy)
    parts = count_test_parts(study, facts.dataset, int(_summary_row(facts, result).ok)).replace("fold", "outer fold")
    yield f"## Scores on rows never seen, mean over {parts}"
    lines = [f"| measure | mean | sd | {percent(study)} interval |", "|---|---|---|---|"]
    for measure in study.measures:
        values = family.values[measure.name][row] if measure.name in family.values else np.full(1, math.nan)
        if np.isnan(values).any():
            lines.append(f"| {measure.name} | undefined in {int(np.isnan(values).sum())} folds | | |")
            continue
        estimate = corrected_t(values, family.n_train[row], family.n_test[row], study.claims.alpha)
        low, high = facts.decisions.range_of(measure)
        ends = (
            max(estimate.low, -math.inf if low is None else low),
            min(estimate.high, math.inf if high is None else high),
        )
        # Scores that are equal in every fold have no variance to make an interval of.
        is_tested = not (estimate.reason or estimate.identical or "time" in facts.split_by)
        interval = f"{ends[0]:.4f} to {ends[1]:.4f}" if is_tested else ""
        sd = f"{values.std(ddof=1):.4f}" if len(values) > 1 else ""
        lines.append(f"| {measure.name} | {estimate.mean:.4f} | {sd} | {interval} |")
    yield "\n".join(lines)
    if len(family.folds) == 1:
        yield "One test part has no interval. Scores by which the strategy was chosen are optimistic to that extent."
        return
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
        difference = "" if math.isnan(row["mean"]) else f" {row['mean']:+.4f}{interval},"
        verdict = describe_verdict(row, result.study.claims.alpha)
        pair = f"{code_span(row.a)} - {code_span(row.b)}, {row.measure}:"
        lines.append(f"- {pair}{difference} **{verdict}**{reason}")
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
    yield f"Mean over outer folds: {text or 'not measured'}.{facts.decisions.no_statistics()}"


def _list_limits(facts: ModelFacts, strategy: Strategy, rebalancing_note: str | None) -> Iterator[str]:
    if rebalancing_note:
        yield f"Comparisons with a model of unchanged classes: {rebalancing_note}."
    yield f"Rows of another population, or with {facts.decisions.population(chooses_threshold(strategy))}"
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
    rows = " **It contains rows of its table.**" if facts.contains_rows else " It contains no row of its table."
    markers = f" (also {join_words(map(code_span, facts.missing))})" if facts.missing else ""
    unknown = "an unknown category is encoded as zeros"
    if facts.groups_rare_levels:
        unknown = "an unknown category counts as a rare one, or is encoded as zeros where its column has none"
    yield "## Use"
    yield (
        f"{facts.decisions.use(facts.risks)}. Columns are read by name; missing values{markers} are imputed, and "
        f"{unknown}. Categories are stored as digests. {facts.form}{rows}"
    )


def _compared_value(facts: ModelFacts) -> str:
    if facts.scale == DECISION_VALUE:
        return "decision value"
    return "probability" if facts.risks else "decision value d, as 1 / (1 + exp(-d)),"


def _summary_row(facts: ModelFacts, result: StudyResult) -> pd.Series[Any]:
    frame = result.summary
    is_strategy = np.logical_and.reduce([frame[name] == value for name, value in facts.coordinates.items()])
    return frame[is_strategy].iloc[0]


def _scored_members(facts: ModelFacts, result: StudyResult) -> list[Evaluation]:
    """The evaluations of the strategy that have scores."""
    members = result.scores[facts.dataset, facts.learner].evaluations_of(facts.strategy)
    return [each for each in members if each.status == "ok"]


def _escape_markdown(text: str) -> str:
    """A sentence whose names cannot become markup."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text)
