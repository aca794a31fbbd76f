"""The audit of an evaluation or an estimator of the user: runs, checks and findings."""

from __future__ import annotations

import math
import time as clock
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from imblab.analysis import audit_rules
from imblab.core import audited_scores, estimator_state
from imblab.core.audited_scores import Auditor, AuditTable, Chance, CrossValidation, Evaluate, EvaluationFailed
from imblab.core.group_folds import contradicting_rows, split_groups
from imblab.edges import terminal
from imblab.edges.config.parameters import splits_rows
from imblab.errors import ALIASES, ConfigError, StudyError, foreign_reason, unknown
from imblab.findings import Audit, Finding
from imblab.stats.curves import CHANCE_LEVELS
from imblab.stats.paired_tests import Estimate, corrected_t
from imblab.text import format_duration, join_words

DEFAULT_MEASURE = "mcc"
#: Permutations by default, and the tables of pure noise in one permutation.
DEFAULT_PERMUTATIONS, NOISE_SHARE = 20, 0.5
#: A smaller share of identical rows cannot move a score by the margin of an alarm.
MIN_DUPLICATE_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """The arguments of an audit; without a measure an estimator has the one by default."""

    measure: str = ""
    chance: float | None = None
    claimed: float | None = None
    permutations: int = DEFAULT_PERMUTATIONS
    seed: int = 0
    cv: Any = None

    @property
    def noise(self) -> int:
        """Tables of pure noise."""
        return max(2, round(self.permutations * NOISE_SHARE))


@dataclass(slots=True)
class Meter:
    """Counts and times evaluations; says the price before, and progress while they run."""

    says: bool = False
    runs: int = 0
    begin: float = field(default_factory=clock.monotonic)
    bar: Any = None
    planned: int = 0
    runs_before: int = 0
    followed_since: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the audit began."""
        return clock.monotonic() - self.begin

    def count(self, name: str) -> None:
        """Count an evaluation."""
        self.runs += 1
        if self.bar is not None:
            pace = (clock.monotonic() - self.followed_since) / max(1, self.runs - self.runs_before)
            self.bar.advance(name, pace * max(0, self.planned - self.runs))

    def counted(self, evaluate: Evaluate, name: str) -> Evaluate:
        """Return an evaluation that is counted under a name."""

        def evaluate_and_count(X: Any, y: np.ndarray) -> float:
            try:
                return evaluate(X, y)
            finally:
                self.count(name)

        return evaluate_and_count

    def watch(self, stack: ExitStack, runs: int) -> None:
        """Say what the other evaluations will take, and show their progress."""
        one = self.seconds / max(1, self.runs)
        price = f"One evaluation took {format_duration(one)}; {runs} more take about {format_duration(one * runs)}."
        self.follow(stack, runs, price)

    def follow(self, stack: ExitStack, runs: int, price: str, workers: str = "1 process") -> None:
        """Say the price of further evaluations, and show their progress."""
        self.planned, self.runs_before, self.followed_since = self.runs + runs, self.runs, clock.monotonic()
        if self.says:
            terminal.warn(price)
            self.bar = stack.enter_context(terminal.progress(runs, workers, noun="evaluation"))


def check_request(subject: Any, request: AuditRequest) -> AuditRequest:
    """Return the arguments of an audit with their measure; the error holds all problems."""
    problems, chance, claimed = [], request.chance, request.claimed
    is_estimator = hasattr(subject, "fit") and not isinstance(subject, type)
    name = (request.measure or (DEFAULT_MEASURE if is_estimator else "")).lower()
    name = ALIASES.get(name, name)
    known = join_words(sorted(CHANCE_LEVELS), "or")
    if not is_estimator and (isinstance(subject, type) or not callable(subject)):
        problems.append(
            f"the subject {str(subject)[:80]!r} is of type {type(subject).__name__}; an audit takes an estimator, or a "
            "function (X, y) -> score. Pass an instance of one of them."
        )
    elif is_estimator and name not in CHANCE_LEVELS:
        problems.append(unknown("measure", name, CHANCE_LEVELS, "for an estimator"))
    elif not is_estimator and name not in CHANCE_LEVELS and chance is None:
        lead = f"the measure is {name!r}" if name else "no measure is named"
        problems.append(
            f"{lead}; the chance level of a score is known for {known} alone. Name one of them (--measure f1), or "
            "state the score without information (--chance 0.5, chance=0.5)."
        )
    problems += permutation_problems(request.permutations)
    for key, value in (("chance", chance), ("claimed", claimed)):
        if value is not None and not math.isfinite(value):
            problems.append(f"{key} is {value!r}; it is a finite number. Pass one, or leave it out.")
    if claimed is not None and not is_estimator:
        problems.append(
            f"claimed is {claimed!r}; an evaluation makes its own claim, and only an estimator has an honest score "
            "next to it. Leave it out, or audit the estimator."
        )
    if problems:
        raise ConfigError(*problems)
    return replace(request, measure=name)


def permutation_problems(permutations: Any) -> list[str]:
    """Return what is wrong with a number of permutations."""
    is_enough = isinstance(permutations, int) and permutations >= 2
    return [] if is_enough else [f"permutations is {permutations!r}; a mean and its error need at least 2. Pass 20."]


def run_audit(subject: Any, table: AuditTable, request: AuditRequest, meter: Meter, name: str = "") -> Audit:
    """Audit an estimator or a function on a checked table; a program has a name."""
    form = "estimator" if hasattr(subject, "fit") else "script" if name else "function"
    label = name or getattr(subject, "__name__", type(subject).__name__)
    if request.chance is None and math.isnan(table.chance(request.measure, table.y)):
        raise ConfigError(
            f"the measure is {request.measure!r}, and 'y' holds {len(table.classes)} classes; its chance level is "
            "known for two. Take mcc, roc_auc, pr_auc or balanced_accuracy."
        )
    meter.begin = clock.monotonic()  # the table has been read
    with ExitStack() as stack:
        if form == "estimator":
            score, findings = _audit_estimator(subject, table, request, meter, stack)
        else:
            score, findings = _audit_evaluation(subject, table, request, meter, stack, f"{form} {label}")
    return Audit(label, form, request.measure, score, tuple(findings), meter.runs, meter.seconds)


def _audit_evaluation(
    evaluate: Evaluate, table: AuditTable, request: AuditRequest, meter: Meter, stack: ExitStack, name: str
) -> tuple[float, list[Finding]]:
    """Run an evaluation as it is, with permuted labels and on noise."""
    score = _first_score(meter.counted(evaluate, "as it is"), table, name)
    chance = Chance(request.measure, request.chance)
    units, copies = audited_scores.label_units(table), audited_scores.duplicate_units(table)
    share = 0.0 if copies is None else 1 - len(np.unique(copies)) / table.n_rows
    tries_copies = share >= MIN_DUPLICATE_SHARE and table.groups is None and table.time is None
    meter.watch(stack, request.permutations * (1 + tries_copies) + request.noise)
    permuted = audited_scores.permuted_tables(table, request.permutations, request.seed, units)
    findings = [_chance_finding(audit_rules.PERMUTED, evaluate, permuted, table, chance, score, meter)]
    noise = audited_scores.noise_tables(table, request.noise, request.seed)
    findings.append(_chance_finding(audit_rules.NOISE, evaluate, noise, table, chance, score, meter))
    if tries_copies:
        permuted = audited_scores.permuted_tables(table, request.permutations, request.seed, copies)
        findings.append(_chance_finding(audit_rules.DUPLICATES, evaluate, permuted, table, chance, score, meter))
    else:
        findings.append(audit_rules.few_duplicates_finding(round(share * table.n_rows), table.n_rows))
    return score, [*findings, audit_rules.limits_finding(request.permutations)]


def _first_score(evaluate: Evaluate, table: AuditTable, name: str) -> float:
    """Return the score on the table as it is."""
    try:
        return audited_scores.checked_score(evaluate(table.X.copy(), table.y.copy()))
    except ConfigError:
        raise
    except Exception as error:  # the user's code may raise anything
        kind = "" if isinstance(error, EvaluationFailed) else f"{type(error).__name__}: "
        remedy = getattr(error, "remedy", "") or "An audit needs a finite number. Correct the evaluation."
        raise StudyError(
            f"the {name} gave no score on the table as it is: {kind}{foreign_reason(error)}. {remedy}"
        ) from error


def _chance_finding(
    check: str, evaluate: Evaluate, tables: Any, table: AuditTable, chance: Chance, score: float, meter: Meter
) -> Finding:
    runs = audited_scores.uninformed_runs(meter.counted(evaluate, check), tables, table, chance)
    return audit_rules.chance_finding(check, runs.control, score, runs.failed, runs.reason)


def _audit_estimator(
    estimator: Any, table: AuditTable, request: AuditRequest, meter: Meter, stack: ExitStack
) -> tuple[float, list[Finding]]:
    """Own the split: honest score, chance control, and what the estimator holds and does."""
    auditor = audited_scores.auditor_of(estimator, table, request.measure, request.cv, request.seed)
    splits = auditor.splits(table.X, table.y)
    ids = table.row_ids()
    honest = _honest_validation(auditor, ids)
    meter.count("honest score")
    meter.watch(stack, request.permutations + 1 + (table.groups is not None))
    units = audited_scores.label_units(table)
    permuted = audited_scores.permuted_tables(table, request.permutations, request.seed, units, len(splits) + 1)
    chance = Chance(request.measure, request.chance, len(splits))
    findings = [] if request.claimed is None else [_claim_finding(request.claimed, honest)]
    findings.append(_chance_finding(audit_rules.PERMUTED, auditor, permuted, table, chance, honest.mean, meter))
    findings.append(_state_finding(auditor, splits[0][0], honest, meter))
    findings.append(audit_rules.batch_finding(honest.batch_difference, audited_scores.BATCH_TOLERANCE))
    findings.append(_copies_finding(honest, ids, table))
    findings.append(_group_finding(auditor, splits, honest, request.seed, meter))
    findings.append(_row_number_finding(auditor, honest, meter))
    train = splits[-1][0]
    rows = audited_scores.rows_of(table.X, train)
    notes = estimator_state.inspect_steps(estimator, splits_rows, rows, table.y[train])
    return honest.mean, [*findings, *audit_rules.step_findings(asdict(notes))]


def _honest_validation(auditor: Auditor, ids: np.ndarray) -> CrossValidation:
    try:
        validation = auditor.validate(auditor.table.X, auditor.table.y, ids)
    except Exception as error:  # the user's code may raise anything
        name = type(auditor.estimator).__name__
        raise StudyError(
            f"the estimator {name!r} failed on training rows ({type(error).__name__}: {foreign_reason(error)}); an "
            "audit fits an unfitted clone of it on the training rows of each fold. Make "
            "clone(estimator).fit(X, y).predict(X) work."
        ) from error
    if math.isnan(validation.mean):
        raise StudyError(
            f"the estimator {type(auditor.estimator).__name__!r} has no {auditor.measure} in any fold; each test part "
            "needs rows of the classes. Pass fewer folds (cv=...)."
        )
    return validation


def _estimate(scores: np.ndarray, others: np.ndarray | float, honest: CrossValidation) -> Estimate:
    """Return the mean difference of fold scores; folds without a score are left out."""
    differences = scores - others
    known = np.isfinite(differences)
    if not known.any():
        return Estimate.untested(math.nan, "no fold has a score")
    return corrected_t(differences[known], honest.n_train[known], honest.n_test[known])


def _claim_finding(claimed: float, honest: CrossValidation) -> Finding:
    scores = honest.scores[np.isfinite(honest.scores)].tolist()
    return audit_rules.claim_finding(claimed, honest.mean, scores, _estimate(honest.scores, 0.0, honest).se)


def _state_finding(auditor: Auditor, train: np.ndarray, honest: CrossValidation, meter: Meter) -> Finding:
    table = auditor.table
    states = estimator_state.held_state(auditor.estimator, table.X, table.y, train)
    kinds = (estimator_state.SEEN_ALL, estimator_state.UNKNOWN_ROWS, estimator_state.HARMLESS)
    anew = estimator_state.thawed(auditor.estimator)
    if anew is not None and {state.origin for state in states} == {estimator_state.UNKNOWN_ROWS}:
        meter.count("frozen steps fitted anew")
        fitted_anew = replace(auditor, estimator=anew).validate(table.X, table.y)
        drop = _estimate(honest.scores, fitted_anew.scores, honest)
        return audit_rules.frozen_finding([f"{s.kind} ({s.place})" for s in states], drop)
    return audit_rules.state_finding(*([f"{s.kind} ({s.place})" for s in states if s.origin == kind] for kind in kinds))


def _copies_finding(honest: CrossValidation, ids: np.ndarray, table: AuditTable) -> Finding:
    labels = np.argmax(table.y[:, None] == table.classes, axis=1)
    contradicting = int(contradicting_rows(ids, labels).sum())
    known = np.isfinite(honest.unseen) & np.isfinite(honest.scores)
    score, unseen = (
        float(values[known].mean()) if known.any() else math.nan for values in (honest.scores, honest.unseen)
    )
    return audit_rules.copies_finding(int(honest.has_copy.sum()), table.n_rows, score, unseen, contradicting)


def _group_finding(auditor: Auditor, splits: Any, honest: CrossValidation, seed: int, meter: Meter) -> Finding:
    groups = auditor.table.groups
    if groups is None:
        return audit_rules.group_finding(None)
    if split := split_groups(groups, splits):
        return audit_rules.group_finding(len(split))
    random_score = audited_scores.with_random_folds(auditor, seed)(auditor.table.X, auditor.table.y)
    meter.count("random folds")
    return audit_rules.group_finding(0, honest.mean, random_score)


def _row_number_finding(auditor: Auditor, honest: CrossValidation, meter: Meter) -> Finding:
    table = auditor.table
    if int((table.y[1:] != table.y[:-1]).sum()) < 2 * len(table.classes):
        return audit_rules.row_number_finding(None, "the rows are sorted by label; shuffle them")
    try:
        numbered = auditor.validate(audited_scores.with_row_number(table.X), table.y)
    except Exception as error:  # an estimator may insist on its columns
        return audit_rules.row_number_finding(None, f"the estimator refuses another column ({foreign_reason(error)})")
    finally:
        meter.count("row number")
    return audit_rules.row_number_finding(_estimate(numbered.scores, honest.scores, honest))
