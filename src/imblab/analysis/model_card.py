"""The model card of an exported model: what it is, on what evidence, and what it must not be used for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imblab.analysis import evidence, rebalancing
from imblab.result import Completeness
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.study import DECISION_VALUE, PROBABILITY, Scalar, Strategy, Study


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known of a model beside the rows of its study.

    Attributes
    ----------
    name : str
        Under which it is registered.
    dataset, learner, strategy : str
    labels : (label, label)
        Negative and positive.
    rows, positives : int
    source, fingerprint : str
        Of the table.
    columns : mapping of str to str
        What the model reads.
    split_by : tuple of str
        ``groups`` or ``time`` where the folds follow them.
    params : mapping
        The chosen knobs.
    threshold : float
    candidates : int
        How many the search on all rows judged.
    selection : str
        How the strategy came to be exported, in one sentence.
    form : str
        How the model is written, in one sentence.
    contains_rows : bool
    risks : bool
        Whether it gives probabilities, and not decision values only.
    scale : {"probability", "decision_value"}
        What the threshold is compared with.
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
    def arm(self) -> dict[str, str]:
        """The coordinates of its strategy."""
        return {"dataset": self.dataset, "learner": self.learner, "strategy": self.strategy}


def card(
    facts: Facts,
    study: Study,
    frame: pd.DataFrame,
    summary: pd.DataFrame,
    contrasts: pd.DataFrame,
    gathered: pd.DataFrame | None,
    completeness: Completeness | None = None,
) -> str:
    """The card in Markdown.

    Parameters
    ----------
    facts : Facts
    study : Study
    frame : DataFrame
        As :func:`imblab.analysis.table.tidy` gives it.
    summary, contrasts : DataFrame
        As :mod:`imblab.analysis.compare` gives them.
    gathered : DataFrame or None
        The evidence of the study, where it is kept.
    completeness : Completeness, optional
        Of the design of the study: where evaluations are missing, the card says so first and holds no verdict.

    Returns
    -------
    str
        Without a value of any cell of the table, but for its two labels.
    """
    own = frame[_is(frame, facts)]
    told = summary[_is(summary, facts)].iloc[0]
    strategy = next(s for s in study.strategies if s.name == facts.strategy)
    lead = completeness.sentences() if completeness is not None else ()
    complete = completeness is None or completeness.is_complete
    parts = [
        f"# {facts.name}",
        *([" ".join(map(_plain_text, lead))] if lead else []),
        f"Says {_code(facts.labels[1])} for a row of {_code(facts.dataset)} whose {_compared(facts)} is at or above "
        f"**{facts.threshold:g}**, else {_code(facts.labels[0])}: {_code(facts.learner)} under the strategy "
        f"{_code(facts.strategy)}, from the study {_code(study.name)}. {facts.selection}",
        *_data(facts, study),
        *_choice(facts, study, told),
        *_scores(facts, study, own, told),
        *(_verdicts(facts, contrasts) if complete else ()),
        *_calibration(facts, study, own, gathered),
        "## What it must not be used for",
        "\n".join(f"- {text}" for text in _limits(facts, strategy, rebalancing.note(study, facts.learner))),
        *_use(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _data(facts: Facts, study: Study) -> Iterator[str]:
    share = facts.positives / facts.rows
    protocol = study.protocol
    follow = f", kept together or in order by {' and '.join(facts.split_by)}" if facts.split_by else ""
    yield "## Data and folds"
    yield (
        f"{facts.rows} rows of {_code(facts.source)}, {facts.positives} of them positive ({share:.2%}); content "
        f"{_code(facts.fingerprint[:16])}. Judged on {protocol.outer_folds} outer folds x {protocol.repeats} "
        f"repeat{'s' if protocol.repeats > 1 else ''}{follow}, tuned on {protocol.inner_folds} inner folds of each "
        f"training part, seed {study.seed}. Then fitted on all rows: no row is left to judge this very model with."
    )
    yield "\n".join(
        ["| column | type |", "|---|---|", *(f"| {_code(n)} | {kind} |" for n, kind in facts.columns.items())]
    )


def _choice(facts: Facts, study: Study, told: pd.Series) -> Iterator[str]:
    knobs = ", ".join(f"{name} {_plain(value)}" for name, value in facts.params.items()) or "no knob"
    fixed = facts.candidates <= 1 and told.threshold_low == told.threshold_high == facts.threshold
    yield "## Knobs"
    yield (
        f"{knobs}, threshold {facts.threshold:g}: "
        + (
            "as the strategy fixes them."
            if fixed
            else f"chosen on all rows as in every fold of the study, by the same search ({study.tuning.method}, "
            f"{facts.candidates} candidate{'s' if facts.candidates > 1 else ''}) on inner folds of all rows, by "
            f"{study.primary}. "
            f"The outer folds chose {told.knobs or 'no knob'}, threshold {_between(told)}."
        )
    )


def _scores(facts: Facts, study: Study, own: pd.DataFrame, told: pd.Series) -> Iterator[str]:
    level = f"{100 * (1 - study.claims.alpha):g} %"
    yield f"## Scores on rows never seen, mean over {int(told.ok)} outer folds"
    lines = [f"| measure | mean | sd | {level} interval |", "|---|---|---|---|"]
    for measure in study.measures:
        values = own[measure.name]
        if values.isna().any() or values.empty:
            lines.append(f"| {measure.name} | undefined in {int(values.isna().sum())} folds | | |")
            continue
        found = corrected_t(values.to_numpy(), own.n_train.to_numpy(), own.n_test.to_numpy(), study.claims.alpha)
        untested = found.reason or "time" in facts.split_by
        between = "" if untested else " to ".join(f"{end:.4f}" for end in _within(found, measure.range))
        lines.append(f"| {measure.name} | {found.mean:.4f} | {values.std(ddof=1):.4f} | {between} |")
    yield "\n".join(lines)
    yield (
        "Intervals are corrected for the rows that training parts share (Nadeau and Bengio 2003) and not adjusted for "
        "the number of measures; they end where the measure does. They belong to the procedure refit on each training "
        "part, not to this one model, and are optimistic by as much as the strategy was picked by these scores."
    )


def _verdicts(facts: Facts, contrasts: pd.DataFrame) -> Iterator[str]:
    mine = contrasts[
        (contrasts.dataset == facts.dataset)
        & (contrasts.learner == facts.learner)
        & ((contrasts.a == facts.strategy) | (contrasts.b == facts.strategy))
    ]
    if len(mine):
        yield "## Compared with the other strategies"
        yield "\n".join(
            f"- {_code(row.a)} - {_code(row.b)}, {row.measure}: {row['mean']:+.4f}"
            + ("" if math.isnan(row.low) else f" ({row.low:+.4f} to {row.high:+.4f})")
            + f", **{row.verdict}**"
            + (f" ({row.reason})" if row.reason else "")
            for _, row in mine.iterrows()
        )


def _calibration(facts: Facts, study: Study, own: pd.DataFrame, gathered: pd.DataFrame | None) -> Iterator[str]:
    yield "## Calibration"
    if not facts.risks:
        yield f"None: {_code(facts.learner)} gives decision values, which rank rows and are not probabilities."
        return
    found = pd.DataFrame() if gathered is None else evidence.select(gathered, "calibration", **facts.arm)
    if len(found):
        means = found.groupby("name", sort=False, observed=True).x.mean()
        said = ", ".join(
            f"{str(name).replace('_', ' ')} {value:.4f}" for name, value in means.items() if value == value
        )
        yield f"Of the pooled outer predictions, mean over repeats: {said}. Observed over expected is best at 1."
        return
    known = [m.name for m in study.measures if m.needs == "probability" and own[m.name].notna().all()]
    said = ", ".join(f"{name} {own[name].mean():.4f}" for name in known) or "not measured"
    yield f"Mean over outer folds: {said}. The predictions of the study are not kept, so there is no more to say."


def _limits(facts: Facts, strategy: Strategy, shifted: str | None) -> Iterator[str]:
    share = facts.positives / facts.rows
    if shifted:
        yield f"Comparisons with a model of untouched classes: {shifted}."
    yield (
        f"Rows of another population, or with another share of positives than about {share:.2%}: precision and "
        "calibration move with that share, and the threshold was chosen for this one."
    )
    if not facts.risks:
        yield "As a risk: its decision values rank rows and are not probabilities."
    elif strategy.calibration == "none" and (
        strategy.sampler or strategy.weight or "weight" in strategy.space or shifted
    ):
        yield "As a risk: it learned from resampled or weighted rows, which shifts its probabilities."
    yield "Rows whose columns mean something else, or are known later, than in the table it learned from."
    yield "Decisions about people without a person: errors were counted over all rows, not for groups of people."
    yield "A claim that it scores as above: that takes new rows."
    if facts.contains_rows:
        yield "**Leaving the place where its table may be: it contains rows of the table.**"


def _compared(facts: Facts) -> str:
    """What the threshold is compared with, in words."""
    if facts.scale == DECISION_VALUE:
        return "decision value"
    return "probability" if facts.risks else "decision value d, as 1 / (1 + exp(-d)),"


def _use(facts: Facts) -> Iterator[str]:
    yield "## Use"
    given = "`decision_function` what ranks the rows"
    given = "`predict_proba` probabilities in the order of `classes_`" if facts.risks else given
    yield (
        f"`predict` gives labels by the threshold, {given}. Columns "
        "are read by name; missing values are imputed, and an unknown category counts as none of those known. "
        "Categories are kept as digests. "
        + facts.form
        + (" **It contains rows of its table.**" if facts.contains_rows else " It contains no row of its table.")
    )


def _is(frame: pd.DataFrame, facts: Facts) -> pd.Series:
    mask = pd.Series(True, index=frame.index)
    for name, value in facts.arm.items():
        mask &= frame[name] == value
    return mask


def _within(found: Estimate, span: tuple[float | None, float | None]) -> tuple[float, float]:
    """An interval without values that the measure cannot have."""
    low, high = span
    return (
        found.low if low is None else max(found.low, low),
        found.high if high is None else min(found.high, high),
    )


def _between(told: pd.Series) -> str:
    if told.threshold_low == told.threshold_high:
        return f"{told.threshold_low:g}"
    return f"{told.threshold_low:g} to {told.threshold_high:g}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _plain_text(text: str) -> str:
    """A sentence whose names are no markup."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text)


def _code(text: Any) -> str:
    """A name as code: whatever it holds, it neither ends its cell nor becomes markup."""
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "¦")
    return f"`{''.join(c for c in plain if c.isprintable())}`"
