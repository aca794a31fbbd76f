"""The report of a study: its folder read, judged and laid out. A function of three files, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from imblab.analysis import methods
from imblab.commands import derived_files
from imblab.commands.results import result_of
from imblab.edges import config, evidence, files, ledger, report, terminal
from imblab.errors import ImblabError, StudyError
from imblab.result import Completeness, StudyResult
from imblab.study import Study
from imblab.text import join_words

READ = (ledger.QUESTION, ledger.ROWS, evidence.FILE)
#: What somebody who stands by a study writes into its folder: the index lists the studies that have one.
WORDS = "README.md"
_INDEX = """# Studies

Each folder is one study. `README.md` says what it showed; `report.html` holds every table and figure. Both come from
`study.yaml` (the resolved question), `ledger.jsonl` (one line per evaluation, append-only) and `evidence.parquet`
(counts at every threshold). `imblab run experiments/<name>/study.yaml` runs the study again, `imblab report <name>`
renders its report, `imblab report --index` writes this page.
"""


def source_of(
    home: Path, study: Study, result: StudyResult | None = None, exploratory: str | None = None
) -> report.ReportData:
    """What the report of a folder is made from.

    Parameters
    ----------
    home : Path
        Holds ``study.yaml``, ``ledger.jsonl`` and, where it was gathered, ``evidence.parquet``.
    study : Study
        As ``study.yaml`` has it.
    result : StudyResult, optional
        Of all its evaluations, where it is built already.
    exploratory : str, optional
        Why nothing here may have a verdict.

    Returns
    -------
    ReportData

    Raises
    ------
    StudyError
        If there is no row.
    """
    result = result or result_of(study, ledger.read_rows(home))
    if not result.evaluations:
        raise StudyError(
            f"study {study.name!r} has {result.completeness.counted} in {str(home)!r}; a report needs one. "
            f"Run it first: imblab run {home / ledger.QUESTION}."
        )
    evidence_frame = derived_files.read_evidence(home)
    return report.ReportData(
        result=result,
        evidence=evidence_frame,
        facts={} if evidence_frame is None else derived_files.read_facts(home),
        hashes={n: hashlib.sha256(files.read_bytes(home, n)).hexdigest() for n in READ if files.exists(home, n)},
        exploratory=exploratory,
        command=f"imblab run {_place(home)}/{ledger.QUESTION}",
    )


def write(home: Path, study: Study, exploratory: str | None = None) -> Path:
    """Write the report of a folder, its figures and its tables.

    Parameters
    ----------
    home : Path
    study : Study
    exploratory : str, optional

    Returns
    -------
    Path
        Of the page.
    """
    report.write(home, report.render(source_of(home, study, exploratory=exploratory)))
    return home / report.FILE


def outdate(home: Path, whole: Completeness) -> None:
    """Let the page of a study that is added to say so, until it is made again.

    Parameters
    ----------
    home : Path
    whole : Completeness
        Of what is asked for now.
    """
    report.mark_outdated(
        home,
        f"Outdated: evaluations are being added to this study, and {whole.counted} were there when that began. No "
        f"verdict below holds before the design is complete. Make this page again: imblab report {home.name}.",
    )


def index(experiments: Path, args: Sequence[str] = ()) -> str:
    """The page that lists the studies somebody stands by: question, verdict, tables.

    Parameters
    ----------
    experiments : Path
        Studies with a ``README.md`` are listed, by name.
    args : sequence of str, default=()
        ``allow=[...]`` for classes of the user's own.

    Returns
    -------
    str
        Markdown.
    """
    homes = [p.parent for p in sorted(experiments.glob(f"*/{ledger.QUESTION}")) if (p.parent / WORDS).exists()]
    return "\n".join([_INDEX, *(_entry(home, args) for home in homes)])


def command_report(name: str | None, args: Sequence[str], as_json: bool, listed: bool, experiments: Path) -> int:
    """``imblab report``: the page of a study, or the index of all of them."""
    if (name is None) != listed:
        raise StudyError(
            f"'imblab report' was given {'no name' if name is None else 'a name and --index'}; it makes the report of "
            "one study or the index of all. Say imblab report <name>, or imblab report --index."
        )
    if name is None:
        path = experiments / WORDS
        files.replace(experiments.resolve(), WORDS, index(experiments, args).encode())
    else:
        home = ledger.find(name, experiments)
        path = write(home, config.load_request(home / ledger.QUESTION, args, loads_data=False).study)
    terminal.put(json.dumps({"path": str(path)})) if as_json else terminal.print_paragraph(f"Written: {path}")
    return 0


def _entry(home: Path, args: Sequence[str]) -> str:
    """What the index says of a study; of one that cannot be read, why: the others are listed all the same."""
    try:
        return _told(home, args)
    except ImblabError as error:
        derived_files.say(str(error))
        return f"## {home.name}\n\nThis study cannot be read: {' '.join(str(error).split())}\n"


def _told(home: Path, args: Sequence[str]) -> str:
    study = config.load_request(home / ledger.QUESTION, args, loads_data=False).study
    source = source_of(home, study)
    verdict = report.build_sections(source)[0]
    folder = home.name
    names = join_words(f"[{n}]({quote(folder)}/{n})" for n in (WORDS, report.FILE, ledger.QUESTION, ledger.ROWS))
    said = " ".join(verdict.lead)
    tables = f"Data sets: {join_words(source.datasets)}. Learners: {join_words(source.learners)}."
    question = methods.describe_question(source.study)
    return f"## {folder}\n\n{question}\n\n**{said}**\n\n{tables} {len(source.evaluations)} evaluations; {names}.\n"


def _place(home: Path) -> str:
    """The folder of a study, or of one of its rescorings, as it is named below the current directory."""
    depth = 3 if home.parent.name == ledger.RESCORED else 1
    return "/".join(("experiments", *home.parts[-depth:]))
