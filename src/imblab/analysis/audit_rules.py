"""Findings of an audit: from the numbers of a check to its state, its meaning and the way out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from imblab.findings import CAUTION, DECISIVE_CHECK, FAILED, NOT_MADE, PASSED, Finding
from imblab.stats.curves import ALARM_MARGIN, ALARM_T, ChanceControl
from imblab.stats.paired_tests import Estimate
from imblab.text import count_noun, format_difference, format_score, join_words

#: How each kind of run without information is called.
PERMUTED, NOISE, DUPLICATES = DECISIVE_CHECK, "pure noise", "duplicates"
RUN_NAMES = {
    PERMUTED: "With permuted labels",
    NOISE: "On tables of pure noise with the same shape",
    DUPLICATES: "With permuted labels that rows with identical features and labels share",
}
#: What to do about an evaluation that scores above chance.
WAYS_OUT = {
    PERMUTED: "Resample, select features, encode targets, and choose thresholds and stopping rounds inside each "
    "training part: an imblearn Pipeline in cross-validation does. Or audit the estimator.",
    NOISE: "Repair what the chance control names.",
    DUPLICATES: "Remove the copies before the split, or keep them in one part (group folds).",
}
MISUSES = (
    "Typical causes: resampling before the split, a selector or target encoder fitted on all rows, a threshold or a "
    "stopping round chosen on test rows, test rows that are copies of training rows."
)


def chance_finding(
    check: str, control: ChanceControl | None, score: float, failed: int = 0, reason: str = ""
) -> Finding:
    """Judge runs without information; ``check`` is a key of :data:`RUN_NAMES`.

    ``control`` has the runs with a score, None if there were too few; ``failed`` counts the others, the first for
    ``reason``. ``score`` is that of the table as it is.

    Examples
    --------
    >>> from imblab.stats.curves import control_chance
    >>> chance_finding("chance control", control_chance([0.9, 0.8, 0.85], [0.1, 0.1, 0.1]), 0.95).state
    'failed'
    """
    lost = f" {count_noun(failed, 'further run')} gave no score ({reason})." if failed else ""
    if control is None:
        return Finding(
            check,
            NOT_MADE,
            f"{RUN_NAMES[check]} too few runs gave a score:{lost}",
            way_out="Make the evaluation work with permuted labels; see --permutations and --timeout.",
        )
    runs = count_noun(control.runs, "run")
    numbers = f"{RUN_NAMES[check]} the mean score of {runs} is {format_score(control.mean)} (sd "
    numbers += f"{format_score(control.sd)}); chance is {format_score(control.chance)}."
    details = {**asdict(control), "failed_runs": failed}
    if control.alarms:
        leak = _leak_share(control, score)
        text = f"{numbers} Above chance by {format_difference(control.excess)} where there is nothing to learn:{leak}"
        cause = f" {MISUSES}" if check == PERMUTED else ""
        return Finding(check, FAILED, f"{text}{cause}{lost}", control.mean, WAYS_OUT[check], details)
    if control.is_doubtful:
        text = f"{numbers} Above chance by {format_difference(control.excess)}, less than the margin of an alarm ("
        text += f"{format_score(control.margin)}) but not by chance: a small leak, or a measure that is biased upwards."
        return Finding(check, CAUTION, f"{text}{lost}", control.mean, WAYS_OUT[check], details)
    return Finding(check, PASSED, f"{numbers}{lost}", control.mean, details=details)


def _leak_share(control: ChanceControl, score: float) -> str:
    """Say how much of a claim the procedure reaches without information."""
    above = score - control.chance
    if above <= 0 or control.excess >= above:
        return f" none of the score of {format_score(score)} is shown to be real."
    return f" that is {control.excess / above:.0%} of what the score of {format_score(score)} has above chance."


def limits_finding(permutations: int) -> Finding:
    """Say what the outcomes of an evaluation cannot show.

    Examples
    --------
    >>> limits_finding(20).state
    'not made'
    """
    return Finding(
        "scalers, imputers, small leaks",
        NOT_MADE,
        "A scaler or imputer that was fitted on all rows moves no score under permuted labels, and "
        f"{count_noun(permutations, 'permutation')} show no leak below {format_score(ALARM_MARGIN)}: outcomes "
        "cannot show them.",
        way_out="Audit the estimator (--estimator, imblab.audit(estimator, X, y)): there the auditor owns the split.",
    )


def claim_finding(claimed: float, score: float, scores: Sequence[float], error: float) -> Finding:
    """Compare a claimed score with the honest mean over folds, and its corrected error (NaN with one fold).

    Examples
    --------
    >>> claim_finding(0.94, 0.40, [0.38, 0.42], 0.03).state
    'failed'
    """
    gap = claimed - score
    numbers = f"Claimed {format_score(claimed)}, honest {format_score(score)} (folds {format_score(min(scores))} to "
    numbers += f"{format_score(max(scores))}, standard error {format_score(error)})."
    details = {"claimed": claimed, "score": score, "se": error}
    if gap <= ALARM_MARGIN:
        return Finding("claimed score", PASSED, numbers, gap, details=details)
    way_out = "Report the honest score; look for the leak in the evaluation that made the claim (--script)."
    if math.isnan(error) or gap > ALARM_T * error:
        text = f"{numbers} The claim is higher by {format_score(gap)}: it does not hold on rows that were not seen."
        return Finding("claimed score", FAILED, text, gap, way_out, details)
    text = f"{numbers} The claim is higher by {format_score(gap)}, within {ALARM_T:g} standard errors."
    return Finding("claimed score", CAUTION, text, gap, "More rows or repeats would tell.", details)


def state_finding(seen_all: Sequence[str], unknown: Sequence[str], harmless: Sequence[str] = ()) -> Finding:
    """Judge what an estimator holds before it is fitted; training rows would give what is ``harmless`` as well.

    Examples
    --------
    >>> state_finding(["StandardScaler (steps.scaler.estimator)"], []).state
    'failed'
    """
    check, details = "fitted before the split", {"all_rows": list(seen_all), "unknown_rows": list(unknown)}
    way_out = "Hand over unfitted steps in one pipeline, so that every training part fits them anew."
    lead = "Before it is fitted, the estimator holds what"
    if seen_all:
        text = f"{lead} all rows give, test rows included: {join_words(seen_all)}."
        return Finding(check, FAILED, text, len(seen_all), way_out, details)
    if unknown:
        text = f"{lead} other rows gave: {join_words(unknown)}. The audit cannot tell whether test rows are among them."
        return Finding(check, CAUTION, text, len(unknown), way_out, details)
    held = f" What it holds ({join_words(harmless)}) training rows would give as well." if harmless else ""
    text = f"Nothing that the estimator holds before it is fitted comes from the rows of this table.{held} Looked "
    text += "into: parameters, attributes, functions and their closures; files that the code reads are not."
    return Finding(check, PASSED, text, details=details)


def frozen_finding(unknown: Sequence[str], drop: Estimate) -> Finding:
    """Judge frozen estimators that were fitted to unknown rows, by the ``drop`` of the score with clones fitted anew.

    Examples
    --------
    >>> frozen_finding(["RandomForestClassifier (estimator)"], Estimate.untested(0.5, "one fold")).state
    'failed'
    """
    finding = state_finding([], unknown)
    text = f"{finding.meaning} Fitted anew on training rows, the score changes by {format_difference(-drop.mean)}."
    lifts = drop.mean > ALARM_MARGIN and (math.isnan(drop.se) or drop.mean > ALARM_T * drop.se)
    return replace(finding, state=FAILED if lifts else finding.state, meaning=text)


def batch_finding(difference: float, tolerance: float) -> Finding:
    """Judge whether predictions of a row depend on the rows that are predicted with it.

    Examples
    --------
    >>> batch_finding(0.2, 1e-6).state, batch_finding(0.0, 1e-6).state
    ('failed', 'passed')
    """
    check = "predicted row by row"
    if difference > tolerance:
        text = f"Predictions of test rows change by up to {difference:.3g} where they are asked in two parts: "
        text += "something is fitted to test rows when the model predicts."
        return Finding(check, FAILED, text, difference, "Call transform, never fit_transform, on rows to predict.")
    return Finding(check, PASSED, "Predictions of test rows do not depend on the other test rows.", difference)


def copies_finding(copies: int, rows: int, score: float, unseen: float, contradicting: int = 0) -> Finding:
    """Judge rows that were tested while a copy of them was trained on.

    ``unseen`` is the mean score over folds without these rows, NaN where the others lack a class. Rows that contradict
    have identical features and different labels.

    Examples
    --------
    >>> copies_finding(300, 600, 0.9, 0.4).state, copies_finding(0, 600, 0.4, 0.4).state
    ('failed', 'passed')
    """
    noise = ""
    if contradicting:
        noise = f" {count_noun(contradicting, 'row')} with identical features have different labels (label noise)."
    details = {"copies": copies, "score": score, "score_without_copies": unseen, "contradicting": contradicting}
    if not copies:
        text = f"No row was tested while an identical one was trained on.{noise}"
        way_out = "Check these labels." if contradicting else ""
        return Finding(DUPLICATES, CAUTION if contradicting else PASSED, text, 0, way_out, details)
    text = f"{copies:,} of {count_noun(rows, 'row')} were tested while the training part held a row with the same "
    text += f"features. Score {format_score(score)}, without these rows {format_score(unseen)}.{noise}"
    state = FAILED if math.isnan(unseen) or score - unseen > ALARM_MARGIN else CAUTION
    return Finding(DUPLICATES, state, text, copies, WAYS_OUT[DUPLICATES], details)


def few_duplicates_finding(copies: int, rows: int) -> Finding:
    """Say of the table of an evaluation that copies cannot move its score.

    Examples
    --------
    >>> few_duplicates_finding(0, 100).meaning
    'No row repeats the features and the label of another one.'
    """
    if not copies:
        return Finding(DUPLICATES, PASSED, "No row repeats the features and the label of another one.", 0)
    text = f"{copies:,} of {count_noun(rows, 'row')} repeat the features and the label of another one; what they add "
    return Finding(DUPLICATES, CAUTION, f"{text}to the score was not tried.", copies, WAYS_OUT[DUPLICATES])


def group_finding(split_groups: int | None, score: float = math.nan, random_score: float = math.nan) -> Finding:
    """Judge whether rows of one group are in both parts of a fold; without groups, ``split_groups`` is None.

    Examples
    --------
    >>> group_finding(None).state, group_finding(3).state, group_finding(0, 0.4, 0.9).state
    ('not made', 'failed', 'passed')
    """
    if split_groups is None:
        text = "No groups were named. If several rows belong to one patient, customer or machine, scores of random "
        way_out = "Name the groups (--groups COLUMN, groups=...)."
        return Finding("groups", NOT_MADE, f"{text}folds are too high.", way_out=way_out)
    if split_groups:
        text = f"{count_noun(split_groups, 'group')} had rows in the training and the test part of one fold."
        return Finding("groups", FAILED, text, split_groups, "Pass folds that keep groups together, or none.")
    gap = random_score - score
    text = "All rows of a group were in the same part."
    if math.isfinite(gap):
        text += f" Random folds would have claimed {format_score(random_score)} in place of {format_score(score)}."
    return Finding("groups", PASSED, text, gap if math.isfinite(gap) else None)


def row_number_finding(gain: Estimate | None, reason: str = "") -> Finding:
    """Judge whether a column with the number of the row helps; without a ``gain`` the check was not made, for a reason.

    Examples
    --------
    >>> row_number_finding(None, "rows are sorted by label").state
    'not made'
    """
    check = "row number"
    if gain is None or math.isnan(gain.mean):
        return Finding(check, NOT_MADE, f"Whether the number of the row helps was not tried: {reason or 'no score'}.")
    details = {"gain": gain.mean, "se": gain.se}
    if gain.identical:
        text = "A column with the number of the row changes no score: the estimator does not read it, or gains nothing."
        return Finding(check, PASSED, text, 0.0, details=details)
    text = f"A column with the number of the row changes the score by {format_difference(gain.mean)}"
    if gain.mean > ALARM_MARGIN and (math.isnan(gain.se) or gain.mean > ALARM_T * gain.se):
        text += ": the order of the rows tells the label, so that neighbouring rows are not independent."
        way_out = "Find what orders the rows, and split by it: --groups, --time, or folds of your own."
        return Finding(check, FAILED, text, gain.mean, way_out, details)
    return Finding(check, PASSED, f"{text}: the order of the rows does not tell the label.", gain.mean, details=details)


def step_findings(notes: Mapping[str, Sequence[str]]) -> tuple[Finding, ...]:
    """Judge the steps of an estimator.

    ``notes`` are places by kind: ``validates_on_resampled``, ``loose_samplers``, ``learns_before_folds``,
    ``learns_from_labels``.

    Examples
    --------
    >>> [finding.state for finding in step_findings({"validates_on_resampled": ["early stopping of 'model'"]})]
    ['failed', 'passed']
    """
    return _resampling_finding(notes), _label_finding(notes)


def _resampling_finding(notes: Mapping[str, Sequence[str]]) -> Finding:
    check = "validation on resampled rows"
    validating, loose = notes.get("validates_on_resampled", ()), notes.get("loose_samplers", ())
    if validating:
        text = f"Splits or validates on rows that a sampler made: {join_words(validating)}. Synthetic rows and copies "
        text += "lie on both sides, so that what is chosen there (rounds, calibration, knobs) is chosen on leaked "
        text += "rows, and scores such as best_score_ are too high. The honest score above is not affected."
        way_out = "Put the sampler inside: the search or calibration around an imblearn Pipeline; early stopping off."
        return Finding(check, FAILED, text, len(validating), way_out)
    if loose:
        text = f"{join_words(loose)}: a sampler outside an imblearn Pipeline. Inside fit it may come before a "
        return Finding(check, CAUTION, f"{text}split.", len(loose), "Make it a step of an imblearn Pipeline.")
    return Finding(check, PASSED, "No step splits or validates on rows that a sampler made.", 0)


def _label_finding(notes: Mapping[str, Sequence[str]]) -> Finding:
    check = "steps that learn from labels"
    before, steps = notes.get("learns_before_folds", ()), notes.get("learns_from_labels", ())
    if before:
        text = f"Learns from labels outside the folds of a later step: {join_words(before)}. What that step chooses, "
        text += "and its best_score_, rest on rows whose labels were used. The honest score above is not affected."
        way_out = "Put the step inside the pipeline that is searched or calibrated."
        return Finding(check, CAUTION, text, len(before), way_out)
    listed = f"{join_words(steps)}: fitted in every training part anew." if steps else "No transformer is known to."
    return Finding(check, PASSED, listed, len(steps))
