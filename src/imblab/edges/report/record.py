"""The last sections: failures, leakage checks, cost, reproduction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from imblab.analysis.text_tables import list_remarks
from imblab.edges.report.data import STRATEGY_COLUMN, ReportData, strategy_table
from imblab.edges.report.elements import (
    Line,
    ReportSection,
    Table,
    columns,
    count_cell,
    difference_cell,
    score_cell,
    text_cell,
    typeset_minus,
)
from imblab.result import Evaluation
from imblab.text import count_noun, format_duration, join_words

#: A ROC-AUC that suggests that a column contains the answer.
_SUSPICIOUS_ROC_AUC = 0.9999
#: Rows of a table that comes before anything else.
MAX_FIRST_ROWS = 200
#: A check, its outcome in words, whether it passed.
LeakageCheck = tuple[str, str, bool]
_RETRY = "Once its cause is fixed, a failed evaluation is repeated by a run of the study with runner.retry_failed=true."


def failures_section(data: ReportData) -> ReportSection:
    """Build the evaluations without scores, and remarks on all others."""
    without_scores = [row for row in data.result.evaluations if row.status != "ok"]
    groups: dict[tuple[str, str, str, str], list[Evaluation]] = {}
    for row in without_scores:
        reason = row.error or "no reason recorded"
        groups.setdefault((row.dataset, row.strategy, row.status, reason), []).append(row)
    lines = []
    for i, ((dataset, strategy, status, reason), rows) in enumerate(groups.items()):
        learners = join_words(dict.fromkeys(row.learner for row in rows))
        cells = (
            *(text_cell(f"{dataset}, {strategy}"), text_cell(learners)),
            *(text_cell(status, "bad" if status == "failed" else ""), count_cell(len(rows)), text_cell(reason)),
        )
        picks = {"d": data.datasets.index(dataset), "s": data.strategies.index(strategy)}
        lines.append(Line(f"{dataset}/{strategy}/{status}/{i}", cells, picks))
    header = columns(("strategy", "data set, strategy"), "learners", "status", ("cells", "evaluations"), "reason")
    tables = [Table("failures", "Evaluations without scores", header, tuple(lines)), _remark_table(data)]
    completeness, n_evaluations = data.result.completeness, len(data.result.evaluations)
    n_scored = n_evaluations - len(without_scores)
    lead = [f"{n_scored:,} of {count_noun(n_evaluations, 'evaluation')} have scores."]
    lead += [] if completeness.is_complete else [f"The design is incomplete: {completeness.counted}."]
    lead += ["The others are listed here and never imputed."] if without_scores else []
    lead += [_RETRY] if any(row.status == "failed" for row in without_scores) else []
    title = "Failures and inapplicable strategies"
    return ReportSection("failures", title, tuple(lead), tuple(t for t in tables if t.lines), "Failures")


def leakage_section(data: ReportData) -> ReportSection:
    """Build the checks on leakage that the record allows."""
    checks = [*_check_splits(data), *_check_rows(data)]
    tones = {True: "good", False: "bad"}
    lines = [Line(name, (text_cell(name), text_cell(words, tones[passed]))) for name, words, passed in checks]
    tables = data.facts.get("tables", {})
    for dataset in data.datasets:
        for i, caution in enumerate(tables.get(dataset, {}).get("cautions", ())):
            lines.append(Line(f"{dataset}/{i}", (text_cell(dataset), text_cell(caution)), data.picks(dataset)))
    lead = (
        "Samplers, scalers and encoders are fitted on training rows inside each fold, by the same code for all "
        "strategies. These checks repeat what the record allows."
    )
    table = Table("audit", "Checks and cautions", columns("check", "outcome"), tuple(lines))
    return ReportSection("audit", "Leakage checks", (lead,), (table,))


def cost_section(data: ReportData) -> ReportSection:
    """Build the fits that every strategy rests on, and the time of every data set and learner."""
    lines = []
    for place, row in data.summary_of.items():
        gain = difference_cell(row["gain_none"])
        lines.append(data.line(place, *(count_cell(row[n]) for n in ("candidates", "fits")), gain))
    header = columns("candidates", "fits", ("gain", f"gain in {data.primary_label} over none"))
    times = data.result.summary.groupby(["dataset", "learner"], sort=False).seconds.sum()
    seconds = [
        Line(f"{d}/{n}", (text_cell(d), text_cell(n), score_cell(times[d, n])), data.picks(d, n))
        for d, n in data.families
    ]
    total, fits = float(times.sum()), int(data.result.summary.fits.sum())
    lead = (
        f"All evaluations took {format_duration(total)} of computing time and rest on {count_noun(fits, 'fit')}.",
        "Every strategy is charged for all fits that its evaluations rest on, also for those that another strategy "
        "shares. A shared fit is timed once, so that time is told by data set and learner.",
    )
    tables = (
        strategy_table("cost", "Fits and gain", header, lines),
        Table("seconds", "Computing time", columns(("dataset", "data set"), "learner", "seconds"), tuple(seconds)),
    )
    return ReportSection("cost", "Cost", lead, tables, "Cost")


def missing_table(data: ReportData) -> Table:
    """Build the table of the missing evaluations, as far as it fits a first screen."""
    missing, folds = data.result.completeness.missing, data.result.completeness.folds
    lines = [
        Line("/".join(place), (text_cell(", ".join(place)), count_cell(n), count_cell(folds[place[0]])))
        for place, n in list(missing.items())[:MAX_FIRST_ROWS]
    ]
    n_more = len(missing) - len(lines)
    note = f"{n_more:,} more have missing evaluations." if n_more else ""
    header = columns(STRATEGY_COLUMN, "missing", ("asked", "of"))
    return Table("missing", "Missing evaluations", header, tuple(lines), note)


def reproduction_section(data: ReportData) -> ReportSection:
    """Build the command that makes the study again, versions and fingerprints."""
    versions = data.facts.get("versions", {})
    facts = {f"how/{name}": (name, text) for name, text in _environment(data)}
    facts |= {f"version/{name}": (name, versions[name]) for name in sorted(versions)}
    facts |= {f"sha256/{name}": (f"sha256 of {name}", digest) for name, digest in data.hashes.items()}
    for dataset in data.datasets:
        rows = [row for row in data.result.evaluations if row.dataset == dataset]
        splits = sorted({row.split_fingerprint for row in rows})
        digest = hashlib.sha256(" ".join(splits).encode()).hexdigest()[:16]
        facts[f"data/{dataset}"] = (f"table {dataset}", rows[0].data_fingerprint)
        facts[f"splits/{dataset}"] = (f"outer splits of {dataset}", f"{len(splits)} splits, {digest}")
    lines = [Line(key, (text_cell(name), text_cell(value))) for key, (name, value) in facts.items()]
    lead = [
        f"{data.command} asks the same question with seed {data.study.seed}; with the same versions it gives the same "
        "evaluations, bit for bit, and keeps those that are there. In an empty folder it makes all of them."
    ]
    lead += [] if versions else ["Versions are recorded with evidence.parquet, which is missing."]
    table = Table("origin", "Versions and fingerprints", columns("what", "value"), tuple(lines))
    title = "Reproduction: command, environment, hashes"
    return ReportSection("origin", title, tuple(lead), (table,), "Reproduction")


def _remark_table(data: ReportData) -> Table:
    lines = []
    for (dataset, learner), rows in data.result.summary.groupby(["dataset", "learner"], sort=False):
        for i, remark in enumerate(list_remarks(rows)):
            cells = text_cell(f"{dataset}, {learner}"), text_cell(typeset_minus(remark))
            lines.append(Line(f"{dataset}/{learner}/{i}", cells, data.picks(str(dataset), str(learner))))
    header = columns(("family", "data set, learner"), "remark")
    return Table("remarks", "Remarks", header, tuple(lines))


def _environment(data: ReportData) -> Iterator[tuple[str, str]]:
    """The command, and the state of the code that wrote the evidence."""
    git = data.facts.get("git", {})
    yield "command", data.command
    yield "system", data.facts.get("system") or "not recorded"
    yield "git commit", git.get("git.commit") or "not recorded: no git tree, or an older evidence file"
    if "git.dirty" in git:
        diff = git.get("git.diff_sha256", "none: new files")
        yield "git tree", f"uncommitted changes, sha256 of the diff {diff}" if git["git.dirty"] == "true" else "clean"


def _check_splits(data: ReportData) -> Iterator[LeakageCheck]:
    """Whether all were tested on the same rows of the same tables."""
    folds = {(row.dataset, row.repeat, row.fold) for row in data.result.evaluations}
    splits = {(row.dataset, row.repeat, row.fold, row.split_fingerprint) for row in data.result.evaluations}
    words = f"{len(splits)} outer splits for {len(folds)} folds"
    yield "Every strategy and learner was tested on the same rows.", words, len(splits) == len(folds)
    tables = {(row.dataset, row.data_fingerprint) for row in data.result.evaluations}
    words = f"{len(tables)} fingerprints for {len(data.datasets)} data sets"
    yield "All evaluations of a data set use the same table.", words, len(tables) == len(data.datasets)
    scored = [row for row in data.result.evaluations if row.status == "ok"]
    tested = {(row.dataset, row.repeat, row.fold): row.n_test for row in reversed(scored)}
    sums: dict[str, dict[int, int]] = {}
    for (dataset, repeat, _), n_test in tested.items():
        by_repeat = sums.setdefault(dataset, {})
        by_repeat[repeat] = by_repeat.get(repeat, 0) + n_test
    n_equal = sum(len(set(by_repeat.values())) == 1 for by_repeat in sums.values())
    words = f"{n_equal} of {len(sums)} data sets"
    yield "Every repeat tested the same number of rows.", words, n_equal == len(sums)


def _check_rows(data: ReportData) -> Iterator[LeakageCheck]:
    """Whether learners received their training part, and no score suggests that the answer was known."""
    scored = [row for row in data.result.evaluations if row.status == "ok"]
    unsampled = [row for row in scored if row.reached and "sampler" not in row.reached]
    n_full = sum(row.n_received == row.n_train for row in unsampled)
    words = f"{n_full} of {len(unsampled)} evaluations"
    yield "Without a sampler a learner received exactly its training rows.", words, n_full == len(unsampled)
    n_suspicious = sum((row.scores.get("roc_auc") or 0.0) >= _SUSPICIOUS_ROC_AUC for row in scored)
    words = f"{n_suspicious} of {len(scored)} evaluations with a ROC-AUC of {_SUSPICIOUS_ROC_AUC} or more"
    yield "No score is suspiciously high.", words, n_suspicious == 0
