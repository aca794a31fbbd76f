"""The record of a study, wherever it is, and the rows that other studies have seen.

A record is a folder of this project, a path, or the artifacts of an MLflow run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imblab.analysis.claims import describe_before_fits, register_claims
from imblab.commands.layout import Layout, parse_request
from imblab.core.design import coordinates
from imblab.edges import config, datasets, files, ledger, mlflow, terminal
from imblab.edges.config.overrides import parse_overrides
from imblab.edges.files import locks
from imblab.edges.ledger import EXPERIMENTS
from imblab.errors import ConfigError, DataError, ImblabError, StudyError, presentable, unknown
from imblab.fields import parse_json
from imblab.groups import group_options
from imblab.result import Evaluation
from imblab.study import COORDINATES, Cell, Dataset, Study
from imblab.text import to_hydra_syntax, to_shell

RUN_ID = re.compile(r"[0-9a-f]{32}")
#: The table that a line of the ledger rests on; it is read from many lines, of which few are parsed.
_DATA_FINGERPRINT = re.compile(rb'"data_fingerprint": ?"([0-9a-zA-Z]+)"')


@dataclass(frozen=True, slots=True, eq=False)
class StudyRecord:
    """The files of a study, read: its question, its evaluations, and where they are."""

    source: str  # as people read it: the folder, or the MLflow run and its store
    home: Path  # the folder with the files of the record
    request: config.Request  # the question, and how it is run now
    study: Study  # the question with the tables where they are now
    evaluations: tuple[Evaluation, ...]  # all that the ledger has
    #: coordinates of the evaluations that an MLflow run stands for; empty for the complete study
    place: Mapping[str, str] = field(default_factory=dict)

    def covers(self, cell: Cell) -> bool:
        """Return whether a cell is one of those that the record stands for."""
        place = dict(zip(COORDINATES, map(str, coordinates(cell)), strict=True))
        return all(place[name] == value for name, value in self.place.items())


@contextmanager
def open_record(text: str, overrides: Sequence[str], tables: Mapping[str, str | Path]) -> Iterator[StudyRecord]:
    """Find and read a record by a name, a path or the id of an MLflow run; ``tables`` are files by data set."""
    if RUN_ID.fullmatch(text) and not (EXPERIMENTS / text).exists():
        typed = [o.value() for o in parse_overrides(overrides) if o.key_or_group == "tracking.uri"]
        address = str(typed[-1] if typed else mlflow.DEFAULT_URI)
        with locks.scratch_folder("record") as folder:
            place = mlflow.fetch_record(address, text, folder)
            yield _read_record(f"run {text} of {presentable(address)}", folder, overrides, tables, place)
        return
    home = find_home(text)
    yield _read_record(str(home), home, overrides, tables, {})


def parse_tables(words: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=PATH`` words."""
    pairs = {word: word.partition("=") for word in words}
    for word, (name, _, path) in pairs.items():
        if not name or not path:
            raise ConfigError(
                f"'--table {word}' is not a name and a path; it says where the file of a data set is now. Write for "
                "example --table churn=data/churn.csv."
            )
    return {name: path for name, _, path in pairs.values()}


def find_home(text: str) -> Path:
    """Return the folder of a study by its name or by a path into it."""
    path = Path(text)
    if path.name in (ledger.STUDY_FILE, ledger.LEDGER_FILE):
        path = path.parent
    elif "/" not in text or not path.is_dir():
        return ledger.find_study(text, EXPERIMENTS)
    for name, rule in (
        (ledger.STUDY_FILE, "it is the question of the study"),
        (ledger.LEDGER_FILE, "it holds the evaluations that are compared"),
    ):
        if not files.exists(path, name):
            raise StudyError(
                f"the record {text!r} has no {name!r} in {str(path)!r}; {rule}. Name a folder that imblab run has "
                "written, with both files."
            )
    return path


def _read_record(
    source: str, home: Path, overrides: Sequence[str], tables: Mapping[str, str | Path], place: Mapping[str, str]
) -> StudyRecord:
    request = config.load_request(home / ledger.STUDY_FILE, overrides)
    evaluations = ledger.read_evaluations(home)
    if not evaluations:
        raise StudyError(
            f"study {request.study.name!r} has no evaluation in {str(home)!r}; this command reads those that "
            f"were made. Run it first: {to_shell(['imblab', 'run', str(home / ledger.STUDY_FILE)])}."
        )
    study = _with_tables(request.study, tables)
    _check_files(study, {row.dataset: row.data_fingerprint for row in evaluations})
    return StudyRecord(source, home, request, study, tuple(evaluations), place)


def _with_tables(study: Study, tables: Mapping[str, str | Path]) -> Study:
    """Read some data sets from other files; their names stay."""
    keys = {datasets.name_and_parent(spec, key)[0]: key for key, spec in study.datasets.items()}
    specs: dict[str, Mapping[str, Any]] = dict(study.datasets)
    for name, path in tables.items():
        if name not in keys:
            raise ConfigError(unknown("data set", name, keys, f"in '--table {name}={path}'"))
        spec = specs[keys[name]]
        if spec.get("kind", "table") != "table":
            raise ConfigError(
                f"'--table {name}={path}' names a file, and data set {name!r} is of kind {spec['kind']!r}; only a "
                "table that was read from a file is read from another one. Leave it out."
            )
        parent = datasets.name_and_parent(spec, keys[name])[1]
        specs[keys[name]] = {**spec, "path": str(path), "name": name, "parent": parent}
    return replace(study, datasets=specs)


def _check_files(study: Study, fingerprints: Mapping[str, str]) -> None:
    """Refuse a study whose files are not at hand; the error names all of them."""
    problems = []
    for key, spec in study.datasets.items():
        if spec.get("kind", "table") != "table" or not spec.get("path"):
            continue
        if not Path(str(spec["path"])).expanduser().is_file():
            name = datasets.name_and_parent(spec, key)[0]
            content = f" (content {fingerprints[name][:12]!r})" if name in fingerprints else ""
            problems.append(
                f"the table of data set {name!r} is not at hand: {str(spec['path'])!r} is not a file; evaluations are "
                f"made again on the rows that they rest on{content}. Put it there, or say where it is: "
                f"{to_shell(['--table', f'{name}=PATH'])}."
            )
    if problems:
        raise DataError(*problems)


def find_tables(folder: Path, fingerprints: Collection[str]) -> set[str]:
    """Find which tables a study has scores on, by their fingerprints; reads its ledger without its trials."""
    found: set[str] = set()
    for number, line in enumerate(ledger.complete_lines(folder, ledger.LEDGER_FILE), start=1):
        match = _DATA_FINGERPRINT.search(line)
        name = match[1].decode() if match else ""
        if match and (name in found or name not in fingerprints):
            continue
        try:
            values = parse_json(line.decode())
            is_scored = values["status"] == "ok" and values.get("data_fingerprint") in fingerprints
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            path = str(folder / ledger.LEDGER_FILE)
            raise StudyError(f"line {number} of {path!r} is not an evaluation") from error
        if is_scored:
            found.add(values["data_fingerprint"])
    return found


def find_seen_before(home: Path, tables: Mapping[str, Dataset]) -> dict[str, tuple[str, ...]]:
    """Find the other studies next to a study's folder that have scores on the same rows.

    Returns their names by data set, without data sets that none has used. Studies that ship with imblab, and folders
    that ``overwrite`` kept aside, do not count. A folder that cannot be read is skipped, as is said on standard error.
    """
    fingerprints = {table.fingerprint for table in tables.values()}
    shipped = group_options("experiment")
    found: dict[str, set[str]] = {}
    for folder in sorted(path.parent for path in home.parent.glob(f"*/{ledger.LEDGER_FILE}")):
        if folder.name == home.name or "~" in folder.name:
            continue
        try:
            if folder.name in shipped and _asks_what_ships(folder):
                continue
            found[folder.name] = find_tables(folder, fingerprints)
        except (ImblabError, OSError) as error:
            terminal.warn(f"Skipped, while looking for studies of the same rows: {error}")
    seen = {
        name: tuple(study for study, known in found.items() if table.fingerprint in known)
        for name, table in tables.items()
    }
    return {name: studies for name, studies in seen.items() if studies}


def _asks_what_ships(folder: Path) -> bool:
    """Whether a study asks what the shipped experiment of its name asks, and no other question under that name.

    An experiment that takes its tables from a folder is compared with the folder on record.
    """
    asked = ledger.read_study(folder)
    words = [f"experiment={folder.name}"]
    if any(
        member.name == folder.name and config.DATA_DIR in member.content for member in config.read_group("experiment")
    ):
        folders = {str(Path(spec["path"]).parent) for spec in asked["dataset"].values() if "path" in spec}
        words.append(f"{config.DATA_DIR}={to_hydra_syntax(min(folders, default='.'))}")
    ships = config.to_mapping(parse_request(words, []).study)
    is_same_data = asked["dataset"] == json.loads(json.dumps(ships["dataset"]))
    return is_same_data and all(set(asked[part]) == set(ships[part]) for part in ("learner", "strategy"))


def plan_question(layout: Layout, home: Path, overwrite: bool = False) -> dict[str, Any]:
    """Return the question that the folder of a study will hold once it runs, with its record of claims."""
    study = register_claims(layout.study, find_seen_before(home, layout.datasets))
    question: dict[str, Any] = json.loads(json.dumps(config.to_mapping(study)))
    path = home / ledger.LEDGER_FILE
    if overwrite or not path.exists() or not path.stat().st_size:
        return question
    try:
        known = find_tables(home, {table.fingerprint for table in layout.datasets.values()})
        evaluated = [name for name, table in layout.datasets.items() if table.fingerprint in known]
        return ledger.extend_question(home.name, ledger.read_study(home), question, evaluated)
    except (ImblabError, OSError):  # running the study reports it
        return question


def recorded_seen(question: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the other studies with evaluations on the same rows that a question has on record, by data set."""
    record = question["claims"].get("registered") or {}
    return {name: tuple(studies) for name, studies in record.get("seen_before", {}).items()}


def notes_before_fits(layout: Layout, question: Mapping[str, Any]) -> list[str]:
    """Return one sentence each on rows seen before and on repeats added later, by the record of a question."""
    study = register_claims(layout.study, recorded_seen(question))
    claims, record = study.claims, question["claims"].get("registered")
    if record and claims.registered:
        study = replace(study, claims=replace(claims, registered=replace(claims.registered, repeats=record["repeats"])))
    return describe_before_fits(study, layout.datasets)
