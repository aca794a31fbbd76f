"""What went wrong, what was checked, what it cost, and what makes it again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

from imblab.analysis import text_tables as wording
from imblab.analysis.methods import named
from imblab.edges.report.model import Line, Section, Source, Table, diff, groups, header, key, minus, num, whole, words
from imblab.text import format_duration, join_words

#: A ROC-AUC that says rather that the answer was known.
TOO_GOOD = 0.9999
ARM = ("dataset", "learner", "strategy")
Check = tuple[str, str, bool]
RETRY = (
    "Once its cause is mended, a failed evaluation is tried again by running the study with runner.retry_failed=true."
)


def failures(source: Source) -> Section:
    """Cells without an answer, and what a reader should know of the others."""
    lost = source.frame[source.frame.status != "ok"].fillna({"error": "no reason recorded"})
    lines = []
    for i, ((d, s, status, why), own) in enumerate(groups(lost, "dataset", "strategy", "status", "error")):
        learners = words(join_words(dict.fromkeys(own.learner)))
        cells = (learners, words(status, "bad" if status == "failed" else ""), whole(len(own)), words(why))
        picks = {"d": source.datasets.index(d), "s": source.strategies.index(s)}
        lines.append(Line(key(d, s, status, str(i)), (words(f"{d}, {s}"), *cells), picks))
    columns = header(("arm", "data set, strategy"), "learners", "status", "cells", "why")
    tables = [Table("failures", "Cells without an answer", columns, tuple(lines))]
    said = [
        Line(key(d, n, str(i)), (words(f"{d}, {n}"), words(minus(remark))), source.picks(d, n))
        for (d, n), own in groups(source.summary, "dataset", "learner")
        for i, remark in enumerate(wording.list_remarks(own))
    ]
    remarks = Table("remarks", "Remarks", header("family", "remark"), tuple(said))
    lead = [f"{len(source.frame) - len(lost)} of {len(source.frame)} cells have an answer."]
    lead += [] if source.completeness.is_complete else [f"{source.completeness.counted} are there."]
    lead += ["The others are left out by name and never imputed."] if lines else []
    lead += [RETRY] if (lost.status == "failed").any() else []
    kept = tuple(t for t in (*tables, remarks) if t.lines)
    return Section("failures", "Failures, and what did not apply", tuple(lead), kept, "Failures")


def audit(source: Source) -> Section:
    """What can be checked of leakage from the record."""
    checked = [*_splits(source), *_received(source)]
    lines = [Line(name, (words(name), words(found, "good" if good else "bad"))) for name, found, good in checked]
    lines += [
        Line(key(dataset, str(i)), (words(dataset), words(said)), {"d": source.datasets.index(dataset)})
        for dataset in source.datasets
        for i, said in enumerate(source.facts.get("tables", {}).get(dataset, {}).get("cautions", ()))
    ]
    lead = (
        "Samplers, scalers and encoders are fitted on training rows inside each fold by the one kernel that all "
        "strategies "
        "share. What the record allows to check again is checked here.",
    )
    table = Table("audit", "Checks and cautions", header("check", "found"), tuple(lines))
    return Section("audit", "Leak audit", lead, (table,), "Leak audit")


def cost(source: Source) -> Section:
    """Seconds, fits, and the gain that they bought."""
    lines = []
    for _, r in source.summary.iterrows():
        # Seconds of an arm whose fits were all there already are seconds of looking up.
        rate = r.gain_none / r.seconds if r.seconds > 0 and r.spared < r.fits else math.nan
        counts = (whole(r.candidates), whole(r.fits), whole(r.spared))
        numbers = (num(r.seconds), *counts, diff(r.gain_none), diff(rate))
        lines.append(source.line((r.dataset, r.learner, r.strategy), *numbers))
    gain = ("gain", f"{named(source.study.primary)} over none")
    columns = header("arm", "seconds", "candidates", "fits", "spared", gain, ("rate", "gain per second"))
    total, fits, spared = (source.summary[c].sum() for c in ("seconds", "fits", "spared"))
    lead = (
        f"All cells took {format_duration(float(total))} of wall time and rest on {int(fits)} fits, {int(spared)} of "
        "which were there already: shared by strategies, or made by an earlier run.",
        "A fit that several strategies share is timed where it was made first, so that seconds depend on the order; "
        "the number of fits does not. An arm that made no fit itself has no gain per second.",
    )
    return Section("cost", "What it cost", lead, (Table("cost", "Cost and gain", columns, tuple(lines)),), "Cost")


def origin(source: Source) -> Section:
    """Versions, hashes, and the command that makes the study again."""
    versions = source.facts.get("versions", {})
    lines = [Line(f"how/{n}", (words(n), words(v))) for n, v in _how(source)]
    lines += [Line(f"version/{n}", (words(n), words(versions[n]))) for n in sorted(versions)]
    lines += [Line(f"sha256/{n}", (words(f"sha256 of {n}"), words(h))) for n, h in source.hashes.items()]
    for dataset in source.datasets:
        own = [r for r in source.rows if r.dataset == dataset]
        splits = dict.fromkeys(r.split_fingerprint for r in own)
        lines.append(Line(f"data/{dataset}", (words(f"table {dataset}"), words(own[0].data_fingerprint))))
        lines.append(
            Line(
                f"splits/{dataset}",
                (words(f"outer splits of {dataset}"), words(f"{len(splits)} splits, {_digest(splits)}")),
            )
        )
    lead = [
        f"{source.command} asks the same question with seed {source.study.seed}; with the same versions it gives "
        "the same rows, bit for bit, and skips those that are there. From an empty folder it makes them all.",
    ]
    lead += [] if versions else ["Versions are recorded with evidence.parquet, which is not here."]
    table = Table("origin", "Versions and fingerprints", header("what", "value"), tuple(lines))
    return Section("origin", "Reproduce: command, environment, hashes", tuple(lead), (table,), "Reproduce")


def _how(source: Source) -> Iterator[tuple[str, str]]:
    """The command, and where the code was that gathered the evidence."""
    git = source.facts.get("git", {})
    yield "command", source.command
    yield "system", source.facts.get("system") or "not recorded"
    yield "git commit", git.get("git.commit") or "not recorded: no git tree, or an evidence of before"
    if "git.dirty" in git:
        changed = f"changes that are not committed, sha256 of the diff {git.get('git.diff_sha256', 'none: new files')}"
        yield "git tree", changed if git["git.dirty"] == "true" else "clean, results aside"


def _digest(fingerprints: Iterable[str]) -> str:
    """One fingerprint for many, sorted."""
    return hashlib.sha256(" ".join(sorted(fingerprints)).encode()).hexdigest()[:16]


def _splits(source: Source) -> Iterator[Check]:
    """Whether all were tested on the same rows of the same tables."""
    frame = source.frame
    splits = frame.drop_duplicates(["dataset", "repeat", "fold", "split_fingerprint"])
    places = frame.drop_duplicates(["dataset", "repeat", "fold"])
    said = f"{len(splits)} outer splits for {len(places)} folds"
    yield "Every strategy and learner was tested on the same rows.", said, len(splits) == len(places)
    tables = {(r.dataset, r.data_fingerprint) for r in source.rows}
    said = f"{len(tables)} fingerprints for {len(source.datasets)} data sets"
    yield "All rows of a data set rest on one and the same table.", said, len(tables) == len(source.datasets)
    ok = frame[frame.status == "ok"].drop_duplicates(["dataset", "repeat", "fold"])
    tested = ok.groupby(["dataset", "repeat"]).n_test.sum().groupby("dataset").nunique()
    alike = int((tested == 1).sum())
    yield "Every repeat tested the same number of rows.", f"{alike} of {len(tested)} data sets", alike == len(tested)


def _received(source: Source) -> Iterator[Check]:
    """Whether learners received their training part, and no score knows the answer."""
    scored = [r for r in source.rows if r.status == "ok"]
    plain = [r for r in scored if r.reached and "sampler" not in r.reached]
    all_rows = sum(r.reached["negative"] + r.reached["positive"] == r.n_train for r in plain)
    said = f"{all_rows} of {len(plain)} cells"
    yield "Without a sampler a learner received its training part, no row more or less.", said, all_rows == len(plain)
    too_good = sum((r.scores.get("roc_auc") or 0.0) >= TOO_GOOD for r in scored)
    said = f"{too_good} of {len(scored)} cells with a ROC-AUC of {TOO_GOOD} or more"
    yield "No score is too good to be true.", said, too_good == 0
