"""Findings on the tables and splits of an audited study: copies of rows, groups, telling columns, shift in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imblab.analysis.audit_rules import DUPLICATES
from imblab.findings import CAUTION, FAILED, NOT_MADE, PASSED, Finding
from imblab.stats.curves import ALARM_MARGIN, ALARM_T
from imblab.stats.paired_tests import holm
from imblab.text import count_noun, format_p_value, format_score, join_words

NEAR_DUPLICATES, GROUPS, TELLING_COLUMNS, TIME_SHIFT = "near-duplicates", "groups", "telling columns", "time shift"
#: A smaller share of the tested rows hardly moves a score, and passes.
MIN_COPY_SHARE = 0.02
#: Level of the test for shift, over all windows and data sets together (Holm).
SHIFT_ALPHA = 0.01
#: What each check counts, and what to do.
COPY_TEXTS = {DUPLICATES: "an identical row", NEAR_DUPLICATES: "a nearly identical row"}
COPY_WAY_OUT = (
    "Remove the copies, or name what they have in common as groups (dataset.<name>.groups=COLUMN), and run the study "
    "again under another name."
)
CLUE_TEXTS = {
    "function": "determines the label (few values, each with rows of one class)",
    "ranking": "ranks class {label} with a ROC-AUC of {auc}",
    "missing": "tells class {label} by its missing values (ROC-AUC {auc})",
    "row numbers": "numbers the rows",
    "row order": "follows the order of the rows",
    "dates": "holds dates",
}


@dataclass(frozen=True, slots=True)
class CopySummary:
    """Rows of one data set that were tested while the training part held a copy, and what they do to its scores."""

    dataset: str  # its name
    tested: int  # test rows of the first repeat; of a large table those whose neighbours were searched
    copies: int  # those of them with a copy in the training part
    contradicting: int = 0  # rows with the features of a row with another label
    rows: int = 0  # rows of the table
    #: mean of the primary measure over folds and learners with their recommended strategies, of all test rows and of
    #: those without a copy; NaN where it is not known
    score: float = math.nan
    score_without: float = math.nan
    lift: float = math.nan  # how much better the first is
    se: float = math.nan  # corrected standard error of the lift over folds
    reason: str = ""  # why the scores are not known; empty where they are
    #: whether in most folds all test rows of a class have a copy, so that nothing is left to score
    class_is_copied: bool = False

    @property
    def share(self) -> float:
        """Share of the tested rows that have a copy."""
        return self.copies / self.tested if self.tested else 0.0

    def lifts(self, margin: float) -> bool:
        """Whether the copies raise the score by more than a margin and its error, or nothing else was tested."""
        exceeds_error = math.isnan(self.se) or self.lift > ALARM_T * self.se
        return self.class_is_copied or (self.lift > margin and exceeds_error)


def copies_of_study_finding(check: str, tables: Sequence[CopySummary], margin: float = ALARM_MARGIN) -> Finding:
    """Judge test rows that have a copy in the training part, over all data sets.

    ``check`` is a key of :data:`COPY_TEXTS`, ``margin`` the lift of the score from which on the check fails, infinite
    for measures without bounds.

    Examples
    --------
    >>> table = CopySummary("d", 100, 30, 0, 100, 0.9, 0.5, 0.4, 0.02)
    >>> copies_of_study_finding("duplicates", [table]).state
    'failed'
    >>> copies_of_study_finding("duplicates", [CopySummary("d", 100, 0, 0, 100)]).state
    'passed'
    """
    worst = max(tables, key=lambda each: each.share)
    failing = sorted((each for each in tables if each.lifts(margin)), key=lambda each: -each.lift)
    doubtful = [each for each in tables if each.share >= MIN_COPY_SHARE]
    copies = sum(each.copies for each in tables)
    text = f"{copies:,} of {sum(each.tested for each in tables):,} rows were tested while the training part held "
    text += f"{COPY_TEXTS[check]}"
    text += f"; most in {worst.dataset} ({worst.share:.1%})." if copies else "."
    named = failing[0] if failing else worst
    if math.isfinite(named.lift):
        text += f" Without these rows the score on {named.dataset} is {format_score(named.score_without)} in place "
        text += f"of {format_score(named.score)}."
    elif copies and named.reason:
        text += f" {named.reason}"
    if parts := [f"{each.contradicting:,} in {each.dataset}" for each in tables if each.contradicting]:
        text += f" Rows with the same features and different labels: {join_words(parts)}."
    many_contradict = [each for each in tables if each.rows and each.contradicting >= MIN_COPY_SHARE * each.rows]
    details = {"tables": [{**asdict(each), "share": each.share} for each in tables]}
    if failing:
        return Finding(check, FAILED, text, copies, COPY_WAY_OUT, details)
    if doubtful:
        return Finding(check, CAUTION, text, copies, COPY_WAY_OUT, details)
    if many_contradict:
        names = join_words(each.dataset for each in many_contradict)
        return Finding(check, CAUTION, text, copies, f"Check the labels of {names}.", details)
    return Finding(check, PASSED, text, copies, details=details)


def groups_of_study_finding(split_groups: Mapping[str, int], ungrouped: Sequence[str]) -> Finding:
    """Judge whether rows of one group (``split_groups`` counts such groups) stand on both sides of an outer split.

    Examples
    --------
    >>> groups_of_study_finding({}, ["d"]).state, groups_of_study_finding({"d": 3}, []).state
    ('not made', 'failed')
    """
    split = {name: n for name, n in split_groups.items() if n}
    without = f" {join_words(ungrouped)}: no groups are named." if ungrouped else ""
    if not split_groups:
        text = "No groups are named. If several rows belong to one patient, customer or machine, scores of folds that "
        text += "ignore it are too high; near-duplicates are a sign of it."
        way_out = "Name the groups: dataset.<name>.groups=COLUMN."
        return Finding(GROUPS, NOT_MADE, text, way_out=way_out)
    if split:
        parts = join_words(f"{count_noun(n, 'group')} of {name}" for name, n in split.items())
        text = f"{parts} had rows in the training and the test part of one split.{without}"
        way_out = "Use folds that keep groups together, and run the study again."
        return Finding(GROUPS, FAILED, text, sum(split.values()), way_out, {"split_groups": split})
    text = f"In {join_words(split_groups)} all rows of a group are on one side of each split.{without}"
    return Finding(GROUPS, PASSED, text, 0, details={"split_groups": dict(split_groups)})


def telling_columns_finding(clues: Mapping[str, Sequence[Mapping[str, Any]]], columns: int) -> Finding:
    """Judge single columns that give the label away.

    ``clues`` are the fields of :func:`imblab.core.table_clues.telling_columns`, ``columns`` counts those of all data
    sets.

    Examples
    --------
    >>> clue = {"column": "outcome", "kind": "function", "label": "", "auc": None}
    >>> telling_columns_finding({"d": [clue]}, 5).state, telling_columns_finding({"d": []}, 5).state
    ('failed', 'passed')
    """
    every = [(name, clue) for name, listed in clues.items() for clue in listed]
    if not every:
        text = f"None of {count_noun(columns, 'column')} gives the label away by itself, and none numbers the rows."
        return Finding(TELLING_COLUMNS, PASSED, text, 0)
    every.sort(key=lambda item: not _determines_label(item[1]))
    text = join_words(f"{name}: {clue['column']!r} {_describe_clue(clue)}" for name, clue in every) + "."
    state = FAILED if _determines_label(every[0][1]) else CAUTION
    way_out = "Drop columns that are not known before the event (dataset.<name>.drop=[COLUMN]); a column that is known "
    way_out += "then is a good feature, and may stay."
    details = {"columns": [{"dataset": name, **clue} for name, clue in every]}
    return Finding(TELLING_COLUMNS, state, text, len(every), way_out, details)


def _determines_label(clue: Mapping[str, Any]) -> bool:
    """Whether a column tells the label of every row, by few values or by the missing ones."""
    return bool(clue["kind"] == "function" or (clue["kind"] == "missing" and clue["auc"] == 1))


def _describe_clue(clue: Mapping[str, Any]) -> str:
    """Say what a column gives away."""
    return CLUE_TEXTS[clue["kind"]].format(label=repr(clue["label"]), auc=format_score(clue["auc"]))


def shift_finding(windows: Sequence[Mapping[str, Any]], untimed: Sequence[str], small: Sequence[str] = ()) -> Finding:
    """Judge whether training and test rows of time-ordered splits can be told apart.

    ``windows`` are the fields of :func:`imblab.core.table_clues.part_shift`; ``small`` data sets have too small parts
    for it.

    Examples
    --------
    >>> window = {"dataset": "d", "repeat": 0, "fold": 1, "accuracy": 0.9, "rows": 200, "p": 1e-9}
    >>> window |= {"rarest_in_train": 0.1, "rarest_in_test": 0.2}
    >>> shift_finding([window], []).state, shift_finding([], ["d"]).state
    ('caution', 'not made')
    """
    if not windows:
        reason = "The parts of the splits in time are too small" if small else "No data set has a time column"
        text = f"{reason}, so that no shift from training to test rows is looked for."
        return Finding(TIME_SHIFT, NOT_MADE, text, way_out="" if small else "Name it: dataset.<name>.time=COLUMN.")
    adjusted = holm([window["p"] for window in windows])
    shifted = [
        w for w, p in zip(windows, adjusted, strict=True) if p < SHIFT_ALPHA and w["accuracy"] > 0.5 + ALARM_MARGIN
    ]
    worst = max(windows, key=lambda window: float(window["accuracy"]))
    p_value = format_p_value(float(adjusted[list(windows).index(worst)]))
    without = f" No time column: {join_words(untimed)}." if untimed else ""
    text = (
        f"A forest tells training from test rows by their features in {len(shifted)} of "
        f"{count_noun(len(windows), 'split')} in time; the best accuracy is {format_score(worst['accuracy'])} (.5 is "
        f"chance, adjusted p {p_value}) in fold {worst['fold']} of {worst['dataset']}, where the rarest class has "
        f"{worst['rarest_in_train']:.1%} of the training and {worst['rarest_in_test']:.1%} of the test rows.{without}"
    )
    details = {"windows": [{**w, "adjusted_p": float(p)} for w, p in zip(windows, adjusted, strict=True)]}
    if not shifted:
        return Finding(TIME_SHIFT, PASSED, text, worst["accuracy"], details=details)
    way_out = "Read the scores per period, not their mean; expect later rows to differ more, and fit the model again "
    way_out += "then."
    return Finding(TIME_SHIFT, CAUTION, text, worst["accuracy"], way_out, details)
