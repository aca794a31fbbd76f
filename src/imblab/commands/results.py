"""The result of a study, built once and shown as text, JSON or a page; ``imblab report``.

A damaged file that is made from the evaluations is named, and the commands go on without it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pandas as pd

from imblab.analysis import outer_splits, text_tables
from imblab.analysis.across_datasets import AcrossDatasets
from imblab.analysis.answer_page import answer_lines
from imblab.analysis.evidence import RowCovariances, row_covariances
from imblab.analysis.paired import reads_covariances
from imblab.analysis.results import build_result, explore_measure, select_families
from imblab.commands import study_answers
from imblab.edges import config, datasets, evidence, files, ledger, memory, provenance, report, terminal
from imblab.edges.datasets.inspection import SEPARATES
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, DerivedFileError, ImblabError, StudyError, unknown
from imblab.groups import group_options
from imblab.result import Completeness, Evaluation, Family, StudyResult
from imblab.study import Study
from imblab.text import count_noun, granting, join_words

T = TypeVar("T")


def read_evidence(home: Path) -> pd.DataFrame | None:
    """Read the evidence of a study; None where there is none, and where it is damaged, which is reported."""
    return _or_none(lambda: evidence.load_evidence(home / evidence.EVIDENCE_FILE))


def read_facts(home: Path) -> dict[str, Any]:
    """Read the facts stored with the evidence; empty where there is none, or a damaged one, which is reported."""
    return _or_none(lambda: evidence.load_facts(home / evidence.EVIDENCE_FILE)) or {}


def read_origin(home: Path) -> dict[str, str]:
    """Read the versions that the last evaluations were made with; empty where they are damaged, which is reported."""
    return _or_none(lambda: provenance.latest_provenance(home)) or {}


@dataclass(frozen=True, slots=True, eq=False)
class RecordFiles:
    """Evidence of a folder and hashes of its files, read once for a result and its report.

    ``covariances`` and ``facts`` are what :func:`result_of` needs of the evidence; None and empty where it is missing
    or damaged. ``evidence`` and the ``hashes`` of the files are for a report.
    """

    covariances: Mapping[Family, RowCovariances] | None
    facts: Mapping[str, Any]
    evidence: report.EvidenceIndex | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


def read_record_files(home: Path, study: Study, for_report: bool = False) -> RecordFiles:
    """Read what the result of a study needs of its evidence, and its report where asked; a damaged file is reported."""
    frame, hashes = read_evidence(home), study_answers.hash_files(home, READ) if for_report else {}
    if frame is None:
        return RecordFiles(None, {}, None, hashes)
    index = report.EvidenceIndex.from_frame(frame) if for_report else None
    return RecordFiles(row_covariances(frame, study.primary), read_facts(home), index, hashes)


def record_in_memory(frame: pd.DataFrame, facts: Mapping[str, Any], study: Study) -> RecordFiles:
    """Return evidence that no file holds, as :func:`read_record_files` returns that of a folder."""
    return RecordFiles(row_covariances(frame, study.primary), facts, report.EvidenceIndex.from_frame(frame))


def report_damage(message: str) -> None:
    """Report a damaged file on standard error, so that the output for machines stays as it is."""
    print(f"Damaged: {message}", file=sys.stderr)


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except DerivedFileError as error:
        report_damage(str(error))
        return None


def result_of(
    study: Study,
    evaluations: Iterable[Evaluation],
    completeness: Completeness | None = None,
    home: Path | None = None,
    source: RecordFiles | None = None,
) -> StudyResult:
    """Build the result of a study; see :func:`imblab.analysis.results.build_result`.

    ``home`` is the folder whose evidence holds the covariances that standard errors may rest on, and the labels of
    more than two classes; ``source`` is what was read of it, where that was done before.
    """
    evaluations = tuple(evaluations)
    if source is None and home is not None and (any(e.confusion for e in evaluations) or reads_covariances(study)):
        source = read_record_files(home, study)
    facts = source.facts if source is not None else {} if home is None else read_facts(home)
    tables = facts.get("tables", {})
    cautions = [text for each in tables.values() for text in each.get("cautions", ()) if SEPARATES in text]
    classes = {name: table.get("classes", ()) for name, table in tables.items()}
    covariances = None if source is None else source.covariances
    named = by_dataset_name(study)
    parents = _parents(study)
    return build_result(named, evaluations, parents, completeness, covariances, classes=classes, cautions=cautions)


def _parents(study: Study) -> dict[str, str]:
    return dict(datasets.name_and_parent(spec, key) for key, spec in study.datasets.items())


def read_result(home: Path, study: Study) -> StudyResult:
    """Build the result of everything that the folder of a study holds."""
    return result_of(study, ledger.read_evaluations(home), home=home)


def by_dataset_name(study: Study) -> Study:
    """The study with its data sets under the names that its evaluations have, in place of its keys."""
    return replace(
        study, datasets={datasets.name_and_parent(spec, key)[0]: spec for key, spec in study.datasets.items()}
    )


def as_text(result: StudyResult, steps: Sequence[str] = (), width: int | None = None) -> str:
    """Return every table of a result, after its headline and recommendation."""
    completeness, answer = result.completeness, result.answer
    verdicts = (*result.sentences, *completeness.without_scores()) if completeness.is_complete else ()
    lead = (answer.headline, *answer.recommendation) if len(result.evaluations) else ()
    return terminal.comparison_text(
        result.summary,
        result.contrasts,
        verdicts,
        result.study,
        steps,
        width,
        across=result.across,
        lead=tuple(dict.fromkeys((*lead[:1], *completeness.sentences(), *lead[1:]))),
        classes=text_tables.class_tables(result),
    )


def print_result(result: StudyResult, steps: Sequence[str], as_json: bool, is_full: bool = False) -> None:
    """Print the answer of a result or all its tables for people, with the next steps; or everything for machines."""
    if as_json:
        terminal.put(json.dumps(result_to_json(result)))
    elif is_full:
        terminal.show(as_text(result, steps))
    else:
        terminal.show_answer(partial(answer_lines, result, steps=steps))


def explore(result: StudyResult, measure: str) -> StudyResult:
    """Return the result by another measure of its study, exploratory."""
    if measure not in result.study.measure_names:
        raise StudyError(unknown("measure", measure, result.study.measure_names, f"in study {result.study.name!r}"))
    return explore_measure(result, measure, _parents(result.study))


def select_named_families(result: StudyResult, text: str) -> StudyResult:
    """Return the part of a result that ``DATASET/LEARNER`` names, or ``DATASET`` with all its learners."""
    families = [family for family in result.families if text in ("/".join(family), family[0])]
    if not families:
        known = dict.fromkeys([*(name for name, _ in result.families), *map("/".join, result.families)])
        raise StudyError(unknown("family", text, known, f"in study {result.study.name!r}"))
    return select_families(result, families)


def next_steps(
    result: StudyResult, home: Path, allow: Sequence[str], outputs: Sequence[str] = (), shown: Collection[str] = ()
) -> list[str]:
    """List what a reader may want next, the most important first, with what a recorded study must be granted each time.

    ``outputs`` are steps to what a run has just written, ``shown`` the options of ``imblab compare`` that the reader
    has just used.
    """
    name = home.relative_to(EXPERIMENTS).as_posix()
    grants = _required_grants(home, allow)
    run = (
        ["rescore", name.split("/")[0], "...", "refit=true"] if "/" in name else ["run", str(home / ledger.STUDY_FILE)]
    )
    n_failed = 0 if "/" in name else sum(e.status == "failed" for e in result.evaluations)
    failed = count_noun(n_failed, "failed evaluation")
    is_telling = "/" not in name and any(SEPARATES in text for text in result.answer.checks)
    allowed = [grant for grant in grants if "=" not in grant]  # it loads no data
    is_shipped = result.study.name in group_options("experiment")
    command = f"imblab run experiment={result.study.name}" if is_shipped else "the command of this study"
    views = (
        ("All tables", ["--full"]),
        ("One data set and learner", ["--family", "/".join(next(iter(result.families), ("DATASET", "LEARNER")))]),
        ("Another measure", ["--measure", _other_measure(result.study)]),
    )
    return [
        *([] if result.completeness.is_complete else [f"Continue: {granting(run, grants)}"]),
        *([f"Try the {failed} again: {granting([*run, ledger.RETRY], grants)}"] if n_failed else []),
        *([f"Look into the caution: {granting(['audit', name], allowed)}"] if is_telling else []),
        *outputs,
        *(f"{what}: {granting(['compare', name, *words], allowed)}" for what, words in views if words[0] not in shown),
        f"Evaluations: {home / ledger.LEDGER_FILE}; the question: {home / ledger.STUDY_FILE}",
        f"Change the question: {command} with name=... and overrides (see imblab run --help)",
    ]


def _other_measure(study: Study) -> str:
    others = [name for name in study.measure_names if name != study.primary]
    return "recall" if "recall" in others else next(iter(others), study.primary)


def _required_grants(home: Path, allow: Sequence[str]) -> tuple[str, ...]:
    """Overrides that a recorded study needs on the command line each time; ``allow`` is what was granted now."""
    question = ledger.read_study(home)
    try:
        config.check_sources(question, {})
        if allow:
            config.parse_study(question, (), sources={})
    except ConfigError as error:
        return error.grants
    return ()


def result_to_json(result: StudyResult) -> dict[str, Any]:
    """The result as plain data; NaN becomes null."""
    return {
        "study": result.study.name,
        "primary": result.study.primary,
        "completeness": result.completeness.to_mapping(),
        "rebalancing": outer_splits.rebalancing_notes(result.study),
        "summary": records(result.summary),
        "contrasts": records(result.contrasts),
        "sentences": list(result.sentences),
        "seen_before": dict(record.seen_before) if (record := result.study.claims.registered) else {},
        "answer": result.answer.to_mapping(),
        "recommendation": result.recommendation.to_mapping(),
        "across": [_across_as_json(each) for each in result.across],
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain data."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def _across_as_json(across: AcrossDatasets) -> dict[str, Any]:
    return {
        "learner": across.learner,
        "measure": across.measure,
        "parents": list(across.parents),
        "rank_table": records(across.rank_table),
        "friedman": None if across.friedman is None else records(pd.DataFrame([asdict(across.friedman)]))[0],
        "cliques": [list(clique) for clique in across.cliques],
        "contrasts": records(across.contrasts),
        "notes": list(across.notes),
    }


#: Why everything on the page of a rescored study is exploratory.
_RESCORED = "asked after the rows were seen"
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


def report_data(
    home: Path | None, result: StudyResult, exploratory: str | None = None, source: RecordFiles | None = None
) -> report.ReportData:
    """Build the data of the report of a folder, or of a study in memory, from the result of all its evaluations."""
    command = "imblab.run(study)"
    if home is not None:
        is_rescored = home.parent.name == ledger.RESCORED
        exploratory = _RESCORED if is_rescored else exploratory
        # The folder as it is named below the current directory; one of a rescoring lies deeper.
        folder = "/".join(("experiments", *home.parts[-3 if is_rescored else -1 :]))
        command = f"imblab run {folder}/{ledger.STUDY_FILE}"
    if not result.evaluations:
        raise StudyError(_no_evaluation(result.study.name, result.completeness.counted, home))
    if source is None:
        source = RecordFiles(None, {}) if home is None else read_record_files(home, result.study, for_report=True)
    return report.ReportData(
        result=result,
        evidence=source.evidence,
        facts=source.facts,
        hashes=source.hashes,
        exploratory=exploratory,
        command=command,
    )


def _no_evaluation(name: str, counted: str, home: Path | None) -> str:
    place, command = (
        ("memory", "imblab.run(study)") if home is None else (repr(str(home)), f"imblab run {home / ledger.STUDY_FILE}")
    )
    return f"study {name!r} has {counted} in {place}; a report needs one. Run it first: {command}."


def write_report(home: Path, result: StudyResult, source: RecordFiles | None = None) -> Path:
    """Write the report of a folder with its figures and tables; return the path of the page."""
    rendered = report.render_files(report_data(home, result, source=source))
    del source  # no reference keeps the evidence in memory while the page is written
    report.write_files(home, rendered)
    return home / report.PAGE_FILE


def mark_report_outdated(home: Path, completeness: Completeness) -> None:
    """Say on the page of a study that evaluations are being added, until the report is written again."""
    report.mark_outdated(
        home,
        f"Outdated: evaluations are being added to this study, and {completeness.counted} were there when that began. "
        f"The verdicts below do not hold before the design is complete. Write this page again: imblab report "
        f"{home.name}.",
    )


def build_index(experiments: Path, args: Sequence[str] = (), keeps: bool = False) -> str:
    """Return the index of the studies that have a ``README.md``, in Markdown: question, verdict, data sets."""
    homes = [folder for folder in ledger.study_folders(experiments) if (folder / WORDS).exists()]
    return "\n".join([_INDEX, *(_index_entry(home, args, keeps) for home in homes)])


def command_report(name: str | None, args: Sequence[str], as_json: bool, listed: bool, experiments: Path) -> int:
    """``imblab report``: the page of a study, or the index of all of them."""
    if (name is None) != listed:
        raise StudyError(
            f"'imblab report' was given {'no name' if name is None else 'a name and --index'}; it makes the report of "
            "one study or the index of all. Say imblab report <name>, or imblab report --index."
        )
    if name is None:
        path = experiments / WORDS
        files.replace(experiments.resolve(), WORDS, build_index(experiments, args, keeps=True).encode())
    else:
        home = ledger.find_study(name, experiments)
        path = write_folder_report(home, _read_study(home, args))
    terminal.put(json.dumps({"path": str(path)})) if as_json else terminal.print_paragraph(f"Written: {path}")
    return 0


def write_folder_report(home: Path, study: Study) -> Path:
    """Write the report of everything that the folder of a study holds, and its answer; return the path of the page."""
    sources = [read_record_files(home, study, for_report=True)]  # first: the memory that this takes is free again
    memory.trim()
    result = result_of(study, ledger.read_evaluations(home), source=sources[0])
    path = write_report(home, result, source=sources.pop())
    study_answers.write_answer(home, result)
    return path


def _read_study(home: Path, args: Sequence[str]) -> Study:
    return config.load_request(home / ledger.STUDY_FILE, args, loads_data=False).study


def _index_entry(home: Path, args: Sequence[str], keeps: bool) -> str:
    """The entry of a study; for one that cannot be read, the reason."""
    folder = home.name
    try:
        answer = short_answer(home, args, keeps)
        if not answer["n_evaluations"]:
            raise StudyError(_no_evaluation(folder, f"{answer['evaluations']} evaluations", home))
    except ImblabError as error:
        report_damage(str(error))
        return f"## {folder}\n\nThis study cannot be read: {' '.join(str(error).split())}\n"
    names = (WORDS, report.PAGE_FILE, ledger.STUDY_FILE, ledger.LEDGER_FILE)
    links = join_words(f"[{name}]({quote(folder)}/{name})" for name in names)
    facts = f"Data sets: {join_words(answer['datasets'])}. Learners: {join_words(answer['learners'])}."
    n_evaluations = count_noun(answer["n_evaluations"], "evaluation")
    verdict = " ".join(text for text in (answer["verdict"], answer["recommendation"]) if text)
    return f"## {folder}\n\n{answer['question']}\n\n**{verdict}**\n\n{facts} {n_evaluations}; {links}.\n"


def short_answer(home: Path, args: Sequence[str] = (), keeps: bool = False) -> dict[str, Any]:
    """Return the answer of a study in short, as its folder holds it, or a new one, which is written with ``keeps``."""
    answer = study_answers.read_answer(home)
    if answer is not None:
        return answer
    study = _read_study(home, args)
    result = result_of(study, ledger.read_evaluations(home), source=read_record_files(home, study))
    if not keeps:
        return study_answers.summarize_answer(result)
    try:
        return study_answers.write_answer(home, result)
    except ImblabError as error:  # the folder of another user
        report_damage(str(error))
        return study_answers.summarize_answer(result)
