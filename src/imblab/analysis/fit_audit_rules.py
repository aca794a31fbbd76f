"""Findings of the audit of a study that rest on fits: proof of origin, LEAKY twin, chance control, over-balancing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from imblab.findings import CAUTION, DECISIVE_CHECK, FAILED, NOT_MADE, PASSED, Finding
from imblab.stats.curves import ALARM_MARGIN, ALARM_T, CAUTION_MARGIN, ChanceControl
from imblab.text import count_noun, format_difference, format_score, join_words

#: The names of the checks; that of the twin is its watermark.
ORIGIN, TWIN, BALANCE = "proof of origin", "LEAKY twin", "over-balancing"
#: A mean predicted risk beyond this multiple of the prevalence, or below one over it, is a caution.
MAX_RISK_RATIO = 2.0
#: Evaluations or families that a text names.
MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class OriginRecord:
    """The proof of origin of one evaluation, as its finding reads it."""

    key: str  # address of the evaluation
    fits: int  # fits whose rows were recorded
    rows: Mapping[str, int]  # rows that entered, by step, and ``synthetic``
    #: steps that learned from other rows than those of their part, what entered, and the test rows among them
    intrusions: tuple[tuple[str, str, int], ...] = ()
    is_same: bool = True  # whether the evaluation has the scores, knobs and threshold of the record


def origin_finding(records: Sequence[OriginRecord]) -> Finding:
    """Judge the rows that entered the steps of evaluations that were made again.

    Examples
    --------
    >>> origin_finding([OriginRecord("toy/logistic/none/0/0", 1, {"scaler": 80, "learner": 80})]).state
    'passed'
    >>> leak = ("scaler", "100 rows entered, and its part has 80", 20)
    >>> origin_finding([OriginRecord("toy/logistic/none/0/0", 1, {"scaler": 100}, (leak,))]).state
    'failed'
    """
    if not records:
        reason = "No evaluation of the study has scores, so that none was made again."
        return Finding(ORIGIN, NOT_MADE, reason, way_out="Run the study first.")
    bad = [record for record in records if record.intrusions]
    rows = Counter[str]()
    for record in records:
        rows.update(record.rows)
    fits = sum(record.fits for record in records)
    details = {"evaluations": [asdict(record) for record in records], "fits": fits, "rows": dict(rows)}
    again = f"{count_noun(len(records), 'evaluation')} made again with {count_noun(fits, 'fit')}"
    if bad:
        listed = [
            f"{step} of {record.key} ({reason}{f', {n:,} of them test rows' if n else ''})"
            for record in bad
            for step, reason, n in record.intrusions
        ]
        text = f"{again}: a step learned from rows that are not of its training part, in {len(bad)} of them: "
        text += f"{join_words(listed, limit=MAX_NAMED)}."
        way_out = "Fit every step on the training rows of its fold alone; see what changed in the code of this step."
        return Finding(ORIGIN, FAILED, text, len(bad), way_out, details)
    steps = join_words(f"{step} {n:,}" for step, n in rows.items() if step != "synthetic" and n)
    text = f"{again}. Rows that entered, all of them training rows of their fold: {steps}"
    text += f" ({rows['synthetic']:,} of them synthetic, made of training rows)." if rows.get("synthetic") else "."
    text += " Other labels and predictions of the test rows change no knob, threshold or calibration."
    other = [record.key for record in records if not record.is_same]
    if other:
        text += f" {count_noun(len(other), 'evaluation has', 'evaluations have')} other numbers than the record "
        text += f"({join_words(other, limit=MAX_NAMED)}): the proof holds for this version of the code."
        return Finding(ORIGIN, CAUTION, text, 0, "See what differs: imblab reproduce.", details)
    return Finding(ORIGIN, PASSED, f"{text} Scores are those of the record, bit for bit.", 0, details=details)


@dataclass(frozen=True, slots=True)
class TwinRecord:
    """Means over folds of a LEAKY twin and of its honest counterpart, as the finding reads them."""

    dataset: str
    learner: str
    sampler: str  # with its knobs
    honest: Mapping[str, float]  # the sampler on training rows; by measure
    #: the sampler before the split, scored on original and on resampled test rows
    LEAKY_original_rows: Mapping[str, float]
    LEAKY_as_reported: Mapping[str, float]

    def gap(self, measure: str) -> float:
        """Return how much more the misuse reports than is true."""
        return self.LEAKY_as_reported[measure] - self.honest[measure]


def twin_finding(records: Sequence[TwinRecord], measure: str, skipped: Mapping[str, str]) -> Finding:
    """Say what resampling before the split would have claimed; information, not a judgement of the study.

    Examples
    --------
    >>> scores = {"pr_auc": 0.38}, {"pr_auc": 0.75}, {"pr_auc": 1.0}
    >>> finding = twin_finding([TwinRecord("yeast4", "lightgbm", "SMOTE (ratio 1)", *scores)], "pr_auc", {})
    >>> finding.check, finding.state, round(finding.value, 2)
    ('LEAKY twin', 'passed', 0.62)
    """
    details: dict[str, Any] = {"LEAKY": [asdict(record) for record in records], "measure": measure}
    details["skipped"] = dict(skipped)
    known = [record for record in records if math.isfinite(record.gap(measure))]
    left_out = ""
    if skipped:
        reasons = join_words(dict.fromkeys(skipped.values()), limit=MAX_NAMED)
        left_out = f" Not made in {count_noun(len(skipped), 'case')}: {reasons}."
    if not known:
        text = f"What resampling before the split would claim was not computed.{left_out}"
        return Finding(TWIN, NOT_MADE, text, way_out="It takes an over-sampler in the study, and no time order.")
    worst = max(known, key=lambda record: record.gap(measure))
    gaps = [record.gap(measure) for record in known]
    contamination = [record.LEAKY_original_rows[measure] - record.honest[measure] for record in known]
    changed = [record.LEAKY_as_reported[measure] - record.LEAKY_original_rows[measure] for record in known]
    text = f"LEAKY: {worst.sampler} before the split, {worst.learner} on {worst.dataset}, would report {measure} "
    text += f"{format_score(worst.LEAKY_as_reported[measure])} on resampled rows and "
    text += f"{format_score(worst.LEAKY_original_rows[measure])} on the original rows alone; inside the folds it is "
    text += f"{format_score(worst.honest[measure])}. Over {count_noun(len(known), 'twin')} the misuse would claim "
    text += f"{format_difference(float(np.mean(gaps)))} on average: {format_difference(float(np.mean(contamination)))} "
    text += f"by test rows that shaped the synthetic ones, {format_difference(float(np.mean(changed)))} by synthetic "
    text += f"rows in the test part. No score of the study is of this kind.{left_out}"
    return Finding(TWIN, PASSED, text, worst.gap(measure), details=details)


@dataclass(frozen=True, slots=True)
class StudyChance:
    """The chance control of a study, as its finding reads it."""

    measure: str  # the measure that is compared with chance
    strategies: Mapping[str, str]  # the strategy whose procedure was run, by data set and learner
    controls: Mapping[str, ChanceControl]  # runs with permuted labels, by data set and learner
    scores: Mapping[str, float]  # the score of the study, by data set and learner
    folds: int  # outer folds of each run, at most
    lost: Mapping[str, str] = field(default_factory=dict)  # why runs gave no score, by data set and learner
    left_out: tuple[str, ...] = ()  # data sets and learners that were left out for their price


def _required_t(runs: int, families: int) -> float:
    """The standard errors of an alarm; for several families the level of ``ALARM_T`` over their number (Bonferroni)."""
    if families == 1 or runs < 2:
        return ALARM_T
    return float(stats.t.isf(stats.t.sf(ALARM_T, runs - 1) / families, runs - 1))


def study_chance_finding(chance: StudyChance) -> Finding:
    """Judge the nested procedure of a study on tables with permuted labels.

    Examples
    --------
    >>> from imblab.stats.curves import control_chance
    >>> leaky, honest = control_chance([0.4, 0.5, 0.45], [0.0] * 3), control_chance([0.01, -0.02, 0.0], [0.0] * 3)
    >>> for control in (leaky, honest):
    ...     study_chance_finding(StudyChance("mcc", {"a/b": "smote"}, {"a/b": control}, {"a/b": 0.6}, 5)).state
    'failed'
    'passed'
    """
    details = {
        **{name: getattr(chance, name) for name in ("measure", "scores", "lost", "left_out")},
        "families": {key: asdict(each) for key, each in chance.controls.items()},
        "strategies": dict(chance.strategies),
    }
    lost = ""
    if chance.lost:
        first = next(iter(chance.lost))
        cases = count_noun(len(chance.lost), "case")
        lost = f" Runs without a score in {cases}, such as {first}: {chance.lost[first]}."
    if chance.left_out:
        lost += f" Left out for their price: {join_words(chance.left_out, limit=MAX_NAMED)}; fewer --permutations take "
        lost += "less."
    if not chance.controls:
        text = f"The procedure was not tried with permuted labels, or too few runs gave a score.{lost}"
        return Finding(DECISIVE_CHECK, NOT_MADE, text, way_out="See the reasons; --permutations and --chance.")
    runs = max(control.runs for control in chance.controls.values())
    needed = _required_t(runs, len(chance.controls))
    worst = max(chance.controls, key=lambda key: chance.controls[key].excess)
    control, mean = chance.controls[worst], float(np.mean([each.mean for each in chance.controls.values()]))
    level = float(np.mean([each.chance for each in chance.controls.values()]))
    names = join_words(dict.fromkeys(chance.strategies[key] for key in chance.controls), limit=MAX_NAMED)
    families = count_noun(len(chance.controls), "data set and learner", "data sets x learners")
    text = f"With permuted labels the complete nested procedure of {names} (search, refit, threshold) scores "
    text += f"{chance.measure} {format_score(mean)} on average over {families}, {count_noun(runs, 'run')} each of up "
    text += f"to {count_noun(chance.folds, 'fold')}; chance is {format_score(level)}. Highest above chance: {worst}, "
    text += f"{format_score(control.mean)} (sd {format_score(control.sd)}, chance {format_score(control.chance)}), "
    text += f"where the study has {format_score(chance.scores.get(worst))}."
    alarms = [key for key, each in chance.controls.items() if each.excess > each.margin and each.t >= needed]
    doubtful = [key for key, each in chance.controls.items() if _is_doubtful(each, needed)]
    if alarms:
        text += f" Above chance where there is nothing to learn: {join_words(alarms, limit=MAX_NAMED)}.{lost}"
        way_out = "Look for copies of rows across folds and for groups; see the checks of duplicates and of origin."
        return Finding(DECISIVE_CHECK, FAILED, text, mean, way_out, details)
    if doubtful:
        text += f" A small excess that is not by chance: {join_words(doubtful, limit=MAX_NAMED)}.{lost}"
        way_out = "See the checks of duplicates, or whether the measure is biased upwards in small test parts."
        return Finding(DECISIVE_CHECK, CAUTION, text, mean, way_out, details)
    return Finding(DECISIVE_CHECK, PASSED, f"{text}{lost}", mean, details=details)


def _is_doubtful(control: ChanceControl, needed: float) -> bool:
    return control.excess > control.margin - ALARM_MARGIN + CAUTION_MARGIN and control.t >= needed


@dataclass(frozen=True, slots=True)
class BalanceNumbers:
    """What shows over-balancing in a study; each mapping may be empty."""

    #: mean predicted risk over prevalence of strategies with a sampler or a weight, by data set, learner, strategy
    risk_ratios: Mapping[str, float]
    #: share of the synthetic rows at 1:1 that are nearer to a real row of another class, by data set and sampler
    nearer_at_balance: Mapping[str, float]
    #: the same at the ratios that the study chose, by data set, learner and strategy
    nearer_as_chosen: Mapping[str, float]
    #: score at 1:1 minus the score at the best ratio, by data set, learner and strategy
    balance_costs: Mapping[str, float]
    measure: str  # of these scores
    unknown: tuple[str, ...] = ()  # what could not be computed, and why, in sentences


def balance_finding(numbers: BalanceNumbers) -> Finding:
    """Judge whether strategies with a sampler or a weight carry the balance too far.

    Examples
    --------
    >>> balance_finding(BalanceNumbers({"a/logistic/smote": 9.5}, {}, {}, {}, "mcc")).state
    'caution'
    >>> balance_finding(BalanceNumbers({"a/logistic/smote": 1.2}, {"a/SMOTE": 0.1}, {}, {}, "mcc")).state
    'passed'
    """
    sentences, details = list[str](), asdict(numbers)
    ratios = {key: ratio for key, ratio in numbers.risk_ratios.items() if math.isfinite(ratio) and ratio > 0}
    off = [key for key, ratio in ratios.items() if not 1 / MAX_RISK_RATIO <= ratio <= MAX_RISK_RATIO]
    value = None
    if ratios:
        worst = max(ratios, key=lambda key: abs(math.log(ratios[key])))
        value = ratios[worst]
        sentences.append(
            f"The mean predicted risk is {value:.2g} times the prevalence for {worst}, and off by more than a factor "
            f"of {MAX_RISK_RATIO:g} in {len(off)} of {len(ratios)} cases."
        )
    if numbers.nearer_at_balance:
        key = max(numbers.nearer_at_balance, key=lambda name: numbers.nearer_at_balance[name])
        chosen = list(numbers.nearer_as_chosen.values())
        average = f" (at the chosen ratios {np.mean(chosen):.0%} on average)" if chosen else ""
        sentences.append(
            f"Of the synthetic rows at 1:1, up to {numbers.nearer_at_balance[key]:.0%} are nearer to a real row of "
            f"another class ({key}){average}."
        )
    if numbers.balance_costs:
        costs = numbers.balance_costs
        key = min(costs, key=lambda name: costs[name])
        sentences.append(
            f"1:1 against the best ratio of the search: {numbers.measure} "
            f"{format_difference(float(np.mean([*costs.values()])))} on average, at worst "
            f"{format_difference(costs[key])} ({key}; on the inner folds)."
        )
    text = " ".join((*sentences, *numbers.unknown))
    if not sentences:
        way_out = "It takes a sampler or a weight in the study, and its evidence: run the study again, without a fit."
        return Finding(BALANCE, NOT_MADE, text or "No strategy has a sampler or a weight.", way_out=way_out)
    if off:
        way_out = "Do not read these probabilities as risks: correct the prior (calibration: prior), calibrate, lower "
        way_out += "the ratio, or move the threshold in its place."
        return Finding(BALANCE, CAUTION, text, value, way_out, details)
    return Finding(BALANCE, PASSED, text, value, details=details)
