"""``imblab report``: the report of a study, made from the files of its folder, and the index of studies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from imblab.analysis import methods
from imblab.commands import derived_files
from imblab.commands.results import read_result
from imblab.edges import config, evidence, files, ledger, report, terminal
from imblab.errors import ImblabError, StudyError
from imblab.result import Completeness, StudyResult
from imblab.text import count_noun, join_words

#: Files that a report is made from; older studies have no file of searches.
READ = (ledger.STUDY_FILE, ledger.LEDGER_FILE, ledger.SEARCHES_FILE, evidence.EVIDENCE_FILE)
#: A summary of a study, written by its authors: the index lists the studies that have one.
WORDS = "README.md"
_INDEX = """# Studies

Each folder is one study. `README.md` says what it showed; `report.html` holds every table and figure. Both come from
`study.yaml` (the resolved question), `ledger.jsonl` (one line per evaluation, append-only) and `evidence.parquet`
(counts at every threshold). `imblab run experiments/<name>/study.yaml` runs the study again, `imblab report <name>`
renders its report, `imblab report --index` writes this page.
"""


def report_data(home: Path, result: StudyResult, exploratory: str | None = None) -> report.ReportData:
    """Read what the report of a folder shows in addition to the result of all its evaluations.

    Raises
    ------
    StudyError
        If there is not one evaluation.
    """
    if not result.evaluations:
        raise StudyError(
            f"study {result.study.name!r} has {result.completeness.counted} in {str(home)!r}; a report needs one. "
            f"Run it first: imblab run {home / ledger.STUDY_FILE}."
        )
    evidence_frame = derived_files.read_evidence(home)
    return report.ReportData(
        result=result,
        evidence=evidence_frame,
        facts={} if evidence_frame is None else derived_files.read_facts(home),
        hashes={n: hashlib.sha256(files.read_bytes(home, n)).hexdigest() for n in READ if files.exists(home, n)},
        exploratory=exploratory,
        command=f"imblab run {_relative_folder(home)}/{ledger.STUDY_FILE}",
    )


def write_report(home: Path, result: StudyResult, exploratory: str | None = None) -> Path:
    """Write the report of a folder with its figures and tables; return the path of the page."""
    report.write_files(home, report.render(report_data(home, result, exploratory)))
    return home / report.PAGE_FILE


def mark_report_outdated(home: Path, completeness: Completeness) -> None:
    """Say on the page of a study that evaluations are being added, until the report is written again."""
    report.mark_outdated(
        home,
        f"Outdated: evaluations are being added to this study, and {completeness.counted} were there when that began. "
        f"The verdicts below do not hold before the design is complete. Write this page again: imblab report "
        f"{home.name}.",
    )


def build_index(experiments: Path, args: Sequence[str] = ()) -> str:
    """Return the index of the studies that have a ``README.md``, in Markdown: question, verdict, data sets.

    ``args`` may hold ``allow=[...]`` for classes of the user's own.
    """
    homes = [p.parent for p in sorted(experiments.glob(f"*/{ledger.STUDY_FILE}")) if (p.parent / WORDS).exists()]
    return "\n".join([_INDEX, *(_index_entry(home, args) for home in homes)])


def command_report(name: str | None, args: Sequence[str], as_json: bool, listed: bool, experiments: Path) -> int:
    """``imblab report``: the page of a study, or the index of all of them."""
    if (name is None) != listed:
        raise StudyError(
            f"'imblab report' was given {'no name' if name is None else 'a name and --index'}; it makes the report of "
            "one study or the index of all. Say imblab report <name>, or imblab report --index."
        )
    if name is None:
        path = experiments / WORDS
        files.replace(experiments.resolve(), WORDS, build_index(experiments, args).encode())
    else:
        home = ledger.find_study(name, experiments)
        path = write_report(home, _read_result(home, args))
    terminal.put(json.dumps({"path": str(path)})) if as_json else terminal.print_paragraph(f"Written: {path}")
    return 0


def _read_result(home: Path, args: Sequence[str]) -> StudyResult:
    study = config.load_request(home / ledger.STUDY_FILE, args, loads_data=False).study
    return read_result(home, study)


def _index_entry(home: Path, args: Sequence[str]) -> str:
    """The entry of a study; for one that cannot be read, the reason."""
    try:
        return _describe_study(home, args)
    except ImblabError as error:
        derived_files.say(str(error))
        return f"## {home.name}\n\nThis study cannot be read: {' '.join(str(error).split())}\n"


def _describe_study(home: Path, args: Sequence[str]) -> str:
    data = report_data(home, _read_result(home, args))
    verdict = " ".join(report.verdict_section(data).lead)
    folder = home.name
    names = (WORDS, report.PAGE_FILE, ledger.STUDY_FILE, ledger.LEDGER_FILE)
    links = join_words(f"[{name}]({quote(folder)}/{name})" for name in names)
    facts = f"Data sets: {join_words(data.datasets)}. Learners: {join_words(data.learners)}."
    n_evaluations = count_noun(len(data.result.evaluations), "evaluation")
    question = methods.describe_question(data.study)
    return f"## {folder}\n\n{question}\n\n**{verdict}**\n\n{facts} {n_evaluations}; {links}.\n"


def _relative_folder(home: Path) -> str:
    """The folder of a study, or of one of its rescorings, as it is named below the current directory."""
    depth = 3 if home.parent.name == ledger.RESCORED else 1
    return "/".join(("experiments", *home.parts[-depth:]))
